/* How a client's line is judged.
 *
 *            "AUTH"              a word
 *    START ---------> MECHANISM --------> GAP ---> HIDDEN      at the line's end: "<N bytes>"
 *      |  \  "PASS", "APOP"               ^
 *      |   `------------------------------'
 *      |    anything else              354                in an exchange
 *      `-----------------> SHOWN       START -> BODY      START -> HIDDEN
 *
 * An exchange begins with the AUTH line, or with a challenge when that line was missed, and ends with
 * the reply that belongs to it. Replies are counted: one to a command that was sent before AUTH does
 * not end it. After an exchange that failed, a client may go on with its responses all the same: so
 * a line whose first word is no command is hidden then. */
#include "qmail/mask.h"

#include "base/macros.h"

#include <string.h>

/* Names that may be written in small letters; others only in capitals, so that base64 is none. */
static const char *const mechanisms[] = {"PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "XOAUTH2",
	"OAUTHBEARER", "EXTERNAL", "ANONYMOUS", "GSSAPI", "NTLM", "KERBEROS_V4", "SCRAM-SHA-1",
	"SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512",
	"SCRAM-SHA-512-PLUS"};

static const char *const commands[] = {"EHLO", "HELO", "LHLO", "STARTTLS", "AUTH", "MAIL", "RCPT",
	"DATA", "BDAT", "RSET", "NOOP", "VRFY", "EXPN", "HELP", "QUIT", "ETRN", "USER", "PASS",
	"APOP", "STLS", "CAPA", "STAT", "LIST", "RETR", "DELE", "UIDL", "LAST", "TOP"};

void mask_init(struct mask *m, bool show_secrets)
{
	*m = (struct mask){.show = show_secrets, .owed = 1}; /* the greeting */
}

static bool is_blank(uint8_t byte)
{
	return byte == ' ' || byte == '\t';
}

static struct base_slice head(const struct mask *m)
{
	return base_slice_make(m->head, m->head_len);
}

/* The first word of the line. */
static struct base_slice verb(const struct mask *m)
{
	struct base_slice line = head(m);
	size_t len = 0;

	while (len < line.len && base_ascii_is_alnum(line.ptr[len]))
		len++;
	return base_slice_first(line, len);
}

static void show_head(struct mask *m, struct base_buf *out)
{
	base_buf_append(out, m->head, m->head_len);
}

static void count(struct mask *m, uint8_t byte)
{
	if (m->cr) {
		m->hidden++;
		m->cr = false;
	}
	if (byte == '\r') {
		m->cr = true;
		return;
	}
	if (m->hidden++ == 0)
		m->hidden_first = byte;
}

/* What was held of the line is secret. */
static void hide_head(struct mask *m)
{
	bool cr = m->cr;

	m->cr = false;
	for (size_t i = 0; i < m->head_len; i++)
		count(m, m->head[i]);
	if (cr)
		count(m, '\r');
	base_wipe(m->head, sizeof(m->head));
	m->head_len = 0;
	m->place = MASK_PLACE_HIDDEN;
}

/* A mark for what was counted. "*" (cancelled) and "=" (empty) are no secrets. */
static void show_count(struct mask *m, struct base_buf *out)
{
	if (m->hidden == 1 && (m->hidden_first == '*' || m->hidden_first == '='))
		base_buf_append_byte(out, m->hidden_first);
	else if (m->hidden)
		base_buf_printf(out, "<%zu bytes>", m->hidden);
	if (m->cr)
		base_buf_append_byte(out, '\r');
	m->hidden = 0;
	m->cr = false;
}

static bool names_mechanism(struct base_slice word)
{
	for (size_t i = 0; i < BASE_COUNT(mechanisms); i++)
		if (base_slice_equal_text_nocase(word, mechanisms[i]))
			return true;
	for (size_t i = 0; i < word.len; i++) {
		bool capital = word.ptr[i] >= 'A' && word.ptr[i] <= 'Z';

		if (!capital && !base_ascii_is_digit(word.ptr[i]) && word.ptr[i] != '-' &&
			word.ptr[i] != '_')
			return false;
	}
	return word.len <= 20;
}

static bool is_command(struct base_slice word)
{
	for (size_t i = 0; i < BASE_COUNT(commands); i++)
		if (base_slice_equal_text_nocase(word, commands[i]))
			return true;
	return false;
}

/* The head has grown by one byte: what is the line? */
static void judge_start(struct mask *m, struct base_buf *out)
{
	static const char *const secret[] = {"AUTH", "PASS", "APOP"};
	struct base_slice line = head(m);

	for (size_t i = 0; i < BASE_COUNT(secret); i++) {
		struct base_slice word = base_slice_text(secret[i]);

		if (base_slice_starts_with_nocase(word, line)) {
			if (line.len < word.len)
				return;
			m->is_auth = i == 0;
			m->place = m->is_auth ? MASK_PLACE_MECHANISM : MASK_PLACE_GAP;
			m->distrust = false;
			show_head(m, out);
			m->head_len = 0;
			return;
		}
	}
	if (m->distrust) {
		bool ended = verb(m).len < line.len;

		if (!ended && line.len < MASK_HELD_MAX)
			return;
		if (!ended || !is_command(verb(m))) {
			hide_head(m);
			return;
		}
		m->distrust = false;
	}
	show_head(m, out);
	m->place = MASK_PLACE_SHOWN;
}

static void on_mechanism(struct mask *m, uint8_t byte, struct base_buf *out)
{
	bool blank = is_blank(byte);

	if (m->cr || (!m->gap && !blank && byte != '\r')) {
		hide_head(m);
		count(m, byte);
	} else if (byte == '\r') {
		m->cr = true;
	} else if (blank && m->head_len == 0) {
		m->gap = true;
		base_buf_append_byte(out, byte);
	} else if (blank && names_mechanism(head(m))) {
		show_head(m, out);
		m->head_len = 0;
		base_buf_append_byte(out, byte);
		m->place = MASK_PLACE_GAP;
	} else {
		m->head[m->head_len++] = byte;
		if (blank || m->head_len == MASK_HELD_MAX)
			hide_head(m);
	}
}

/* The line of a command has ended: what does it change? */
static void on_command(struct mask *m)
{
	struct base_slice rest = base_slice_trim(head(m));

	if (m->is_auth) {
		m->in_exchange = true;
		return;
	}
	m->owed++;
	if (base_slice_equal_text_nocase(verb(m), "STARTTLS") ||
		base_slice_equal_text_nocase(verb(m), "STLS"))
		m->starttls = true;
	if (base_slice_equal_text_nocase(verb(m), "BDAT")) {
		(void)base_slice_word(&rest);
		if (!base_slice_to_u64(base_slice_word(&rest), &m->chunk))
			m->chunk = 0;
	}
}

static void begin_line(struct mask *m)
{
	m->place = MASK_PLACE_START;
	m->head_len = 0;
	m->hidden = 0;
	m->cr = m->is_auth = m->gap = false;
	m->dot = 0;
}

static void end_line(struct mask *m, struct base_buf *out)
{
	bool in_chunk = m->chunk > 0;

	switch (m->place) {
	case MASK_PLACE_MECHANISM:
		if (m->head_len && names_mechanism(head(m)))
			show_head(m, out);
		else
			hide_head(m);
		show_count(m, out);
		break;
	case MASK_PLACE_START:
		if (m->distrust && m->head_len && !is_command(verb(m)))
			hide_head(m);
		else
			show_head(m, out);
		show_count(m, out);
		break;
	case MASK_PLACE_GAP:
	case MASK_PLACE_HIDDEN:
		show_count(m, out);
		break;
	case MASK_PLACE_SHOWN:
	case MASK_PLACE_BODY:
		break;
	}
	if (!m->in_exchange && !m->in_body && !in_chunk)
		on_command(m);
	begin_line(m);
}

static void on_body(struct mask *m, uint8_t byte, struct base_buf *out)
{
	static const uint8_t end[2] = {'.', '\r'};

	base_buf_append_byte(out, byte);
	if (byte == '\n') {
		bool over = m->dot == 1 || m->dot == 2;

		begin_line(m);
		if (over) {
			m->in_body = false;
			m->owed++;
		}
		return;
	}
	m->dot = m->dot < 2 && end[m->dot] == byte ? m->dot + 1 : 3;
}

/* The first byte of a line: what the state alone decides. */
static void enter_line(struct mask *m, uint8_t byte)
{
	if (m->in_body)
		m->place = MASK_PLACE_BODY;
	else if (byte == 0x16) /* a TLS record: no command, no base64 begins so */
		m->tls = true;
	else if (m->in_exchange && m->chunk == 0)
		m->place = MASK_PLACE_HIDDEN;
}

static void on_start(struct mask *m, uint8_t byte, struct base_buf *out)
{
	if (m->head_len == 0 && is_blank(byte)) {
		base_buf_append_byte(out, byte);
		return;
	}
	m->head[m->head_len++] = byte;
	judge_start(m, out);
}

static void on_byte(struct mask *m, uint8_t byte, struct base_buf *out)
{
	if (byte == '\n' && m->place != MASK_PLACE_BODY) {
		end_line(m, out);
		base_buf_append_byte(out, byte);
		return;
	}
	switch (m->place) {
	case MASK_PLACE_START:
		on_start(m, byte, out);
		break;
	case MASK_PLACE_SHOWN:
		if (m->head_len < MASK_HELD_MAX)
			m->head[m->head_len++] = byte;
		base_buf_append_byte(out, byte);
		break;
	case MASK_PLACE_MECHANISM:
		on_mechanism(m, byte, out);
		break;
	case MASK_PLACE_GAP:
		if (is_blank(byte)) {
			base_buf_append_byte(out, byte);
			break;
		}
		m->place = MASK_PLACE_HIDDEN;
		count(m, byte);
		break;
	case MASK_PLACE_HIDDEN:
		count(m, byte);
		break;
	case MASK_PLACE_BODY:
		on_body(m, byte, out);
		break;
	}
}

static bool line_has_begun(const struct mask *m)
{
	return m->place != MASK_PLACE_START || m->head_len;
}

/* Returns how many bytes were taken: the rest is TLS. */
static size_t push_client(struct mask *m, struct base_slice in, struct base_buf *out)
{
	for (size_t i = 0; i < in.len; i++) {
		bool in_chunk = m->chunk > 0;

		if (!line_has_begun(m) && in.ptr[i] != '\n') {
			enter_line(m, in.ptr[i]);
			if (m->tls)
				return i;
		}
		on_byte(m, in.ptr[i], out);
		if (in_chunk && --m->chunk == 0 && line_has_begun(m)) {
			m->chunk = 1; /* the line is still the message's, though it has no end */
			end_line(m, out);
			m->chunk = 0;
		}
	}
	return in.len;
}

/* The server's reply has ended. */
static void on_reply(struct mask *m, bool challenge, bool good, unsigned code)
{
	if (challenge) {
		m->in_exchange = true;
		m->owed = 0;
		return;
	}
	if (m->starttls && good && (code == 220 || code == 0)) {
		m->tls = true;
		return;
	}
	if (m->in_exchange && (m->owed == 0 || code == 235)) {
		m->in_exchange = false;
		m->distrust = code ? code != 235 : !good;
	} else if (m->owed) {
		m->owed--;
	}
	if (m->owed == 0 && !good)
		m->starttls = false;
	if (code == 354)
		m->in_body = true;
}

static void on_server_line(struct mask *m)
{
	struct base_slice r = base_slice_make(m->reply, m->reply_len);
	unsigned code = 0;
	size_t digits = 0;

	while (digits < 3 && digits < r.len && base_ascii_is_digit(r.ptr[digits]))
		code = code * 10 + (unsigned)(r.ptr[digits++] - '0');
	if (digits == 3 && code == 334)
		on_reply(m, true, true, code);
	else if (digits == 3 && (r.len == 3 || r.ptr[3] != '-'))
		on_reply(m, false, code < 400, code);
	else if (base_slice_starts_with(r, BASE_SLICE("+OK")))
		on_reply(m, false, true, 0);
	else if (base_slice_starts_with(r, BASE_SLICE("-ERR")))
		on_reply(m, false, false, 0);
	else if (r.len && r.ptr[0] == '+')
		on_reply(m, true, true, 0);
	m->reply_len = 0;
}

static size_t push_server(struct mask *m, struct base_slice in, struct base_buf *out)
{
	for (size_t i = 0; i < in.len; i++) {
		base_buf_append_byte(out, in.ptr[i]);
		if (in.ptr[i] == '\n') {
			on_server_line(m);
			if (m->tls)
				return i + 1;
		} else if (m->reply_len < sizeof(m->reply) && in.ptr[i] != '\r') {
			m->reply[m->reply_len++] = in.ptr[i];
		}
	}
	return in.len;
}

void mask_push(struct mask *m, enum mask_side side, struct base_slice in, struct base_buf *out)
{
	size_t used = 0;

	if (m->show) {
		base_buf_append_slice(out, in);
		return;
	}
	if (!m->tls)
		used = side == MASK_CLIENT ? push_client(m, in, out) : push_server(m, in, out);
	if (used < in.len)
		base_buf_printf(out, "<%zu bytes of TLS>\n", in.len - used);
}

bool mask_is_holding(const struct mask *m, enum mask_side side)
{
	if (side == MASK_SERVER || m->show || m->tls)
		return false;
	return m->place != MASK_PLACE_SHOWN && m->place != MASK_PLACE_BODY;
}

void mask_end(struct mask *m, enum mask_side side, struct base_buf *out)
{
	if (side == MASK_CLIENT && !m->show && line_has_begun(m))
		end_line(m, out);
}
