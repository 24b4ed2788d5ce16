/* The session around an exchange: who may say what when. A transcript may begin anywhere, so what
 * came before its first line is never held against it: `seen` is set by a greeting, EHLO or HELO.
 *
 * Replies belong to commands in their order (`pending`); AUTH stays the first of them until a reply
 * other than 334 ends it. */
#include "cli/cli.h"
#include "cli/explain_internal.h"

#include <stdlib.h>
#include <string.h>

enum { COMMAND_MAX = 510, MAIL_MAX = 1100, RESPONSE_MAX = 12288 };

struct explain *explain_new(const struct explain_options *options)
{
	struct explain *e = base_alloc_zero(1, sizeof(*e));

	e->show_secrets = options->show_secrets;
	e->tls = options->tls;
	e->rounds_left = options->rounds_left;
	base_buf_init(&e->user, 4096);
	base_buf_init_secret(&e->password, 4096);
	base_buf_init(&e->offer, 4096);
	base_buf_append_slice(&e->user, options->user);
	base_buf_append_slice(&e->password, options->password);
	return e;
}

void explain_free(struct explain **e)
{
	if (!*e)
		return;
	explain_exchange_release(&(*e)->x);
	base_buf_release(&(*e)->user);
	base_buf_release(&(*e)->password);
	base_buf_release(&(*e)->offer);
	free(*e);
	*e = NULL;
}

bool explain_knows_password(const struct explain *e)
{
	return e->user.len && e->password.len;
}

bool explain_offers(const struct explain *e, struct base_slice mechanism)
{
	struct base_slice rest = base_buf_slice(&e->offer), word;

	while (word = base_slice_word(&rest), word.len)
		if (base_slice_equal_nocase(word, mechanism))
			return true;
	return false;
}

void explain_tls(struct explain *e)
{
	if (e->tls)
		return;
	e->tls = true;
	e->ehlo = e->helo = e->authenticated = e->in_mail = e->has_rcpt = false;
	e->knows_offer = false;
	base_buf_clear(&e->offer);
}

static bool is_pending(const struct explain *e, enum smtp_verb verb)
{
	for (size_t i = 0; i < e->pending_count; i++)
		if (e->pending[i] == verb)
			return true;
	return false;
}

static void push_pending(struct explain *e, enum smtp_verb verb)
{
	if (e->pending_count < EXPLAIN_PENDING_MAX)
		e->pending[e->pending_count++] = verb;
}

static void pop_pending(struct explain *e)
{
	memmove(e->pending, e->pending + 1, --e->pending_count * sizeof(e->pending[0]));
}

static void end_transaction(struct explain *e)
{
	e->in_mail = e->has_rcpt = false;
}

/* ---- the client ---- */

static void check_length(struct base_slice text, size_t max, struct explain_line *l)
{
	if (text.len > max)
		explain_mistake(l, EXPLAIN_LINE_LENGTH, "%zu characters where %zu are the limit",
			text.len, max);
}

static void on_auth(struct explain *e, struct base_slice argument, struct explain_line *l)
{
	bool again = e->authenticated, inside = e->in_mail || is_pending(e, SMTP_VERB_MAIL);

	if (again)
		explain_mistake(l, EXPLAIN_AUTH_TWICE, "%s", "");
	if (inside)
		explain_mistake(l, EXPLAIN_AUTH_IN_MAIL, "%s", "");
	if (e->in_reply || is_pending(e, SMTP_VERB_EHLO))
		explain_mistake(l, EXPLAIN_EHLO_WAIT, "%s", "");
	else if (e->seen && !e->ehlo)
		explain_mistake(
			l, EXPLAIN_AUTH_BEFORE_EHLO, "%s", e->helo ? "HELO is not enough" : "");
	explain_auth(e, argument, l);
	e->x.out_of_place = again || inside;
}

static void on_mail(struct explain *e, struct base_slice argument, struct explain_line *l)
{
	explain_say(l, "a message begins; this is its return path");
	if (e->seen && !e->ehlo && !e->helo && !is_pending(e, SMTP_VERB_EHLO) &&
		!is_pending(e, SMTP_VERB_HELO))
		explain_mistake(l, EXPLAIN_MAIL_BEFORE_EHLO, "%s", "");
	if (e->in_mail || is_pending(e, SMTP_VERB_MAIL))
		explain_mistake(l, EXPLAIN_MAIL_TWICE, "%s", "");
	explain_auth_parameter(argument, l);
}

static void on_order(struct explain *e, enum smtp_verb verb, struct explain_line *l)
{
	bool mail = e->in_mail || is_pending(e, SMTP_VERB_MAIL);
	bool rcpt = e->has_rcpt || is_pending(e, SMTP_VERB_RCPT);

	if (verb == SMTP_VERB_RCPT) {
		explain_say(l, "one recipient");
		if (e->seen && !mail)
			explain_mistake(l, EXPLAIN_RCPT_WITHOUT_MAIL, "%s", "");
		return;
	}
	explain_say(l, "the message follows");
	if (e->seen && !rcpt)
		explain_mistake(l, EXPLAIN_DATA_WITHOUT_RCPT, "%s", "");
}

static void on_bdat(struct explain *e, struct base_slice argument)
{
	if (!base_slice_to_u64(base_slice_word(&argument), &e->chunk))
		e->chunk = 0;
}

static const char *verb_words(enum smtp_verb verb)
{
	static const char *const texts[SMTP_VERB_COUNT] = {
		[SMTP_VERB_HELO] = "the client's name; the old greeting, without extensions",
		[SMTP_VERB_EHLO] = "the client's name; which extensions are there?",
		[SMTP_VERB_STARTTLS] = "TLS, please",
		[SMTP_VERB_RSET] = "the transaction is given up; the login stays",
		[SMTP_VERB_NOOP] = "nothing; is the server there?",
		[SMTP_VERB_QUIT] = "the client goes",
	};

	return texts[verb] ? texts[verb] : "";
}

/* A response that came too late: signs of base64 and nothing else. */
static bool looks_like_response(struct base_slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!base_ascii_is_alnum(text.ptr[i]) && text.ptr[i] != '+' && text.ptr[i] != '/' &&
			text.ptr[i] != '=')
			return false;
	return text.len >= 4;
}

/* Of these, such as words are not: of both cases, or with a digit or a sign in it. */
static bool looks_encoded(struct base_slice text)
{
	size_t capitals = 0, small = 0, others = 0;

	for (size_t i = 0; i < text.len; i++) {
		capitals += text.ptr[i] >= 'A' && text.ptr[i] <= 'Z';
		small += text.ptr[i] >= 'a' && text.ptr[i] <= 'z';
		others += text.ptr[i] < 'A';
	}
	return looks_like_response(text) && capitals + small && (others || (capitals > 1 && small));
}

/* What is no command may still hold a password: "AUTH=PLAIN …", "PASS …", a response that stands alone. */
static void hide_unknown(const struct explain *e, struct base_slice text, struct explain_line *l)
{
	static const char *const words[] = {"AUTH", "PASS"};
	struct base_slice line = base_slice_trim(text);
	const char *before = looks_encoded(line) ? "" : NULL;

	for (size_t i = 0; i < BASE_COUNT(words); i++)
		if (line.len > 4 && base_slice_starts_with_nocase(line, base_slice_text(words[i])))
			before = words[i];
	if (e->show_secrets || !before)
		return;
	base_buf_clear(&l->text);
	base_buf_printf(&l->text, "%s<%zu characters>", before, line.len - strlen(before));
}

static void on_unknown(struct explain *e, struct base_slice text, struct explain_line *l)
{
	hide_unknown(e, text, l);
	if (e->ended_badly && looks_like_response(text)) {
		l->auth = true;
		explain_say(l, "a response, to nobody");
		explain_mistake(l, EXPLAIN_AFTER_END, "%s", "");
	} else {
		explain_say(l, "no command of SMTP");
	}
}

static void on_command(struct explain *e, struct base_slice text, struct explain_line *l)
{
	struct smtp_command c = smtp_command_parse(text);

	if (c.verb == SMTP_VERB_UNKNOWN || c.verb == SMTP_VERB_FOREIGN)
		on_unknown(e, text, l);
	else
		e->ended_badly = false;
	explain_say(l, "%s", verb_words(c.verb));
	if (c.verb == SMTP_VERB_AUTH)
		on_auth(e, c.argument, l);
	else if (c.verb == SMTP_VERB_MAIL)
		on_mail(e, c.argument, l);
	else if (c.verb == SMTP_VERB_RCPT || c.verb == SMTP_VERB_DATA || c.verb == SMTP_VERB_BDAT)
		on_order(e, c.verb, l);
	if (c.verb == SMTP_VERB_BDAT)
		on_bdat(e, c.argument);
	if (c.verb == SMTP_VERB_EHLO || c.verb == SMTP_VERB_HELO)
		e->seen = true;
	if (c.verb == SMTP_VERB_STARTTLS && e->tls)
		explain_mistake(l, EXPLAIN_TLS_TWICE, "%s", "");
	check_length(text,
		c.verb == SMTP_VERB_MAIL || c.verb == SMTP_VERB_RCPT ? MAIL_MAX : COMMAND_MAX, l);
	push_pending(e, c.verb);
}

static void on_body(struct explain *e, struct base_slice text, struct explain_line *l)
{
	if (e->chunk) {
		e->chunk = text.len + 2 < e->chunk ? e->chunk - text.len - 2 : 0;
	} else if (base_slice_equal_text(text, ".")) {
		explain_say(l, "the message's end");
		e->in_body = false;
		push_pending(e, SMTP_VERB_DATA);
	} else if (!e->body_begun) {
		explain_say(l, "text of the message, to the line of one dot");
		e->body_begun = true;
	}
}

/* After a challenge the next line is the answer, whatever it looks like; before one, a client that
 * sends all at once may be at its responses or, after an initial response, at the next command. */
static bool is_response(const struct explain *e, struct base_slice text)
{
	enum smtp_verb verb = smtp_command_parse(text).verb;

	if (!e->x.running || e->x.cancelled)
		return false;
	return e->x.challenges || (verb == SMTP_VERB_UNKNOWN && e->x.kind == EXPLAIN_KIND_LOGIN);
}

static void on_client(struct explain *e, struct base_slice text, struct explain_line *l)
{
	if (e->in_body || e->chunk) {
		on_body(e, text, l);
	} else if (is_response(e, text)) {
		l->auth = true;
		check_length(text, RESPONSE_MAX, l);
		explain_response(e, text, l);
	} else {
		on_command(e, text, l);
	}
}

/* ---- the server ---- */

static void read_offer(struct explain *e, struct base_slice rest, struct explain_line *l)
{
	bool old = base_slice_starts_with_nocase(rest, BASE_SLICE("AUTH="));
	struct base_slice word;

	if (!old && !base_slice_starts_with_nocase(rest, BASE_SLICE("AUTH ")) &&
		!base_slice_equal_text_nocase(base_slice_trim(rest), "AUTH"))
		return;
	rest = base_slice_from(rest, 5);
	explain_say(
		l, "%s", old ? "the same for clients of old, which want a =" : "ways to log in");
	while (word = base_slice_word(&rest), word.len) {
		base_buf_append_byte(&e->offer, ' ');
		base_buf_append_slice(&e->offer, word);
	}
}

static void on_ehlo_line(
	struct explain *e, unsigned code, bool last, struct base_slice rest, struct explain_line *l)
{
	if (code == 220)
		explain_mistake(l, EXPLAIN_EHLO_CODE, "it is 220 here");
	if (!e->in_reply)
		base_buf_clear(&e->offer);
	else
		read_offer(e, rest, l);
	if (e->in_reply && base_slice_equal_text_nocase(base_slice_trim(rest), "STARTTLS"))
		explain_say(l, "TLS can be had");
	if (!e->in_reply && !l->meaning.len)
		explain_say(l, "the server's name%s", last ? "; it offers no extension" : "");
	if (code < 400) {
		e->ehlo = true;
		e->knows_offer = last;
		end_transaction(e);
	}
}

static void on_done(struct explain *e, enum smtp_verb verb, unsigned code)
{
	bool good = code >= 200 && code < 300;

	if (verb == SMTP_VERB_HELO && good)
		e->helo = true;
	else if (verb == SMTP_VERB_MAIL && good)
		e->in_mail = true;
	else if (verb == SMTP_VERB_RCPT && good)
		e->has_rcpt = true;
	else if (verb == SMTP_VERB_STARTTLS && code == 220)
		explain_tls(e);
	else if ((verb == SMTP_VERB_DATA || verb == SMTP_VERB_RSET || verb == SMTP_VERB_BDAT) &&
		code != 354)
		end_transaction(e);
	if (code == 354) {
		e->in_body = true;
		e->body_begun = false;
	}
}

static const char *reply_words(unsigned code)
{
	static const struct {
		unsigned code;
		const char *words;
	} table[] = {
		{220, "go on"},
		{221, "the server closes"},
		{235, "logged in"},
		{250, "done"},
		{354, "send the message, then a line of one dot"},
		{421, "the server closes; come again later"},
		{450, "not now; try later"},
		{451, "not now; try later"},
		{452, "not now; too many, or no room"},
		{454, "not now; the server cannot check it, or cannot do TLS"},
		{500, "the server does not know this"},
		{501, "the server does not understand the argument"},
		{502, "the server does not have this command"},
		{503, "not at this point"},
		{504, "the server does not have this parameter"},
		{521, "no mail here"},
		{535, "user or password is wrong"},
		{530, "log in first (or STARTTLS first)"},
		{550, "refused"},
		{552, "too large"},
		{553, "this address is refused"},
		{554, "refused"},
		{555, "a parameter that the server does not know"},
	};

	for (size_t i = 0; i < BASE_COUNT(table); i++)
		if (table[i].code == code)
			return table[i].words;
	if (code >= 200 && code < 300)
		return "done";
	return code >= 400 && code < 500 ? "not now; try later" : code >= 500 ? "refused" : "";
}

static void on_challenge(struct explain *e, struct base_slice text, struct explain_line *l)
{
	l->auth = true;
	if (text.len > 3 && text.ptr[3] == '-')
		explain_mistake(l, EXPLAIN_CHALLENGE_MULTILINE, "%s", "");
	if (text.len == 3 && !explain_server_first(&e->x))
		explain_mistake(l, EXPLAIN_CHALLENGE_BLANK,
			"unless the transcript has lost blanks at line ends");
	if (!e->x.running) {
		explain_say(l, "a challenge; the AUTH before it is not here");
		return;
	}
	explain_challenge(e, base_slice_trim(base_slice_from(text, 4)), l);
}

static bool reply_code(struct base_slice text, unsigned *out_code)
{
	unsigned code = 0;

	if (text.len < 3 || (text.len > 3 && text.ptr[3] != ' ' && text.ptr[3] != '-'))
		return false;
	for (size_t i = 0; i < 3; i++) {
		if (!base_ascii_is_digit(text.ptr[i]))
			return false;
		code = code * 10 + (unsigned)(text.ptr[i] - '0');
	}
	*out_code = code;
	return code >= 200 && code < 600;
}

/* Another greeting: another session in the same transcript. */
static void begin_anew(struct explain *e)
{
	explain_exchange_release(&e->x);
	base_buf_clear(&e->offer);
	e->greeted = e->seen = e->ehlo = e->helo = e->authenticated = e->knows_offer = false;
	e->ended_badly = false;
	e->chunk = 0;
	end_transaction(e);
}

static void on_reply(
	struct explain *e, unsigned code, struct base_slice text, struct explain_line *l)
{
	bool last = text.len < 4 || text.ptr[3] != '-', asked;
	enum smtp_verb verb;

	if (e->in_body) { /* the transcript leaves the message out */
		e->in_body = false;
		push_pending(e, SMTP_VERB_DATA);
	}
	if (e->in_reply && code != e->reply_code) { /* it was cut off */
		e->in_reply = false;
		if (e->pending_count)
			pop_pending(e);
	}
	if (code == 220 && !e->in_reply && e->greeted && !e->pending_count)
		begin_anew(e);
	asked = e->pending_count > 0;
	verb = asked ? e->pending[0] : SMTP_VERB_UNKNOWN;

	if (asked && verb == SMTP_VERB_EHLO && code < 300)
		on_ehlo_line(e, code, last, base_slice_from(text, 4), l);
	if (last && asked) {
		pop_pending(e);
		on_done(e, verb, code);
	}
	if (last && asked && verb == SMTP_VERB_AUTH) {
		l->auth = true;
		explain_end(e, code, l);
	} else if (!asked && !e->greeted && !e->seen && code == 220) {
		explain_say(l, "the server is there; its name");
		e->greeted = e->seen = true;
	} else if (!l->meaning.len && (last || !e->in_reply)) {
		explain_say(l, "%s", verb == SMTP_VERB_EHLO && code < 300 ? "" : reply_words(code));
	}
	e->in_reply = !last;
	e->reply_code = code;
}

/* A challenge that stands on a line of its own. */
static bool is_folded(const struct explain *e, struct base_slice text)
{
	return e->x.running && e->x.may_fold && looks_like_response(base_slice_trim(text));
}

enum explain_who explain_guess(const struct explain *e, struct base_slice text)
{
	enum smtp_verb verb = smtp_command_parse(text).verb;
	bool due = e->x.running && e->x.challenges && !e->x.cancelled;
	unsigned code;

	if (e->in_body || e->chunk)
		return EXPLAIN_CLIENT;
	if (reply_code(text, &code))
		return EXPLAIN_SERVER;
	if (is_folded(e, text))
		return EXPLAIN_SERVER;
	if (due || (verb != SMTP_VERB_UNKNOWN && verb != SMTP_VERB_FOREIGN))
		return EXPLAIN_CLIENT;
	if (e->ended_badly && looks_like_response(text))
		return EXPLAIN_CLIENT;
	return EXPLAIN_NOBODY;
}

static void on_server(struct explain *e, struct base_slice text, struct explain_line *l)
{
	unsigned code;

	if (is_folded(e, text)) {
		l->auth = true;
		explain_mistake(l, EXPLAIN_CHALLENGE_FOLDED, "%s", "");
		e->x.challenges--;
		explain_challenge(e, base_slice_trim(text), l);
		return;
	}
	if (!reply_code(text, &code)) {
		explain_say(l, "no reply of SMTP");
		return;
	}
	check_length(text, code == 334 ? RESPONSE_MAX + 4 : COMMAND_MAX, l);
	if (code == 334)
		on_challenge(e, text, l);
	else
		on_reply(e, code, text, l);
}

void explain_push(
	struct explain *e, enum explain_who who, struct base_slice text, struct explain_line *out)
{
	explain_line_clear(out);
	cli_text_safe(text, &out->text);
	if (who == EXPLAIN_NOBODY && is_folded(e, text))
		who = EXPLAIN_SERVER;
	out->who = who;
	if (who == EXPLAIN_SERVER)
		on_server(e, text, out);
	else if (who == EXPLAIN_CLIENT)
		on_client(e, text, out);
	else
		hide_unknown(e, text, out);
	if (who != EXPLAIN_NOBODY && !base_slice_starts_with(text, BASE_SLICE("334")))
		e->x.may_fold = false;
}
