/* front/core.c: the machine of one session; see the drawing in core.h
 *
 * What is true while a session waits:
 *   WAIT_NONE   the client's next bytes may be given
 *   WAIT_TLS    220 was (or is being) written; nothing of before will be looked at again
 *   WAIT_AUTH   a request is open at auth, or about to be (an effect says so)
 *   WAIT_DNSBL  a stranger's RCPT is held until the zones have answered
 *   WAIT_FILE   the message outgrew the inline limit; work->message holds what came so far
 *   WAIT_QUEUE  envelope and message were given to queue; the client waits for its reply */
#include "front/core.h"

#include "base/base64.h"
#include "base/digest.h"
#include "base/escape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_wait(struct front_session *s, enum front_wait to)
{
	BASE_BUG_IF(s->wait != FRONT_WAIT_NONE && to != FRONT_WAIT_NONE);
	s->wait = (uint8_t)to;
}

void front_work_init(struct front_work *w)
{
	*w = (struct front_work){0};
	base_buf_init_secret(&w->line, SMTP_AUTH_LINE_MAX_BYTES + 2);
	base_buf_init(&w->out, 65536);
	base_buf_init_secret(&w->unread, FRONT_UNREAD_MAX_BYTES);
	base_buf_init(&w->hold, MAIL_FIELD_MAX_BYTES + 1024);
	base_buf_init(
		&w->message, IPC_INLINE_MESSAGE_MAX_BYTES + MAIL_FIELD_MAX_BYTES + 256 * 1024);
	base_buf_init(&w->rcpts, FRONT_RCPTS_MAX_BYTES);
	base_buf_init(&w->sender, SMTP_PATH_MAX_BYTES * 2);
	base_buf_init(&w->envid, SMTP_ENVID_MAX_BYTES * 3);
	base_buf_init(&w->mail_auth, 1024);
	base_buf_init(&w->dialogue, 65536);
	base_buf_init_secret(&w->heard, SMTP_AUTH_LINE_MAX_BYTES + 2);
	base_secret_init(&w->secret, SMTP_AUTH_LINE_MAX_BYTES);
}

enum { BUFFERS = 11, USER_MAX_BYTES = 512 };

static struct base_buf *const *all_buffers(struct front_work *w, struct base_buf *(*list)[BUFFERS])
{
	struct base_buf *buffers[BUFFERS] = {&w->line, &w->out, &w->unread, &w->hold, &w->message,
		&w->rcpts, &w->sender, &w->envid, &w->mail_auth, &w->dialogue, &w->heard};

	memcpy(*list, buffers, sizeof(buffers));
	return *list;
}

void front_work_clear(struct front_work *w)
{
	enum { KEEP_BYTES = 16384 };
	struct base_buf *list[BUFFERS];

	all_buffers(w, &list);
	for (size_t i = 0; i < BASE_COUNT(list); i++) {
		if (list[i]->cap > KEEP_BYTES)
			base_buf_release(list[i]);
		else
			base_buf_clear(list[i]);
	}
	base_secret_clear(&w->secret);
	w->effects = 0;
	w->in_transaction = w->in_body = w->file = w->submit_after_file = w->refused = false;
	w->has_initial = w->plus_offered = w->exchange = w->again = false;
}

void front_work_release(struct front_work *w)
{
	struct base_buf *list[BUFFERS];

	all_buffers(w, &list);
	for (size_t i = 0; i < BASE_COUNT(list); i++)
		base_buf_release(list[i]);
	base_secret_release(&w->secret);
}

/* The only function that forgets sender, recipients and body. */
static void end_transaction(struct front_session *s, struct front_work *w)
{
	if (s->queue_id || w->file || s->wait == FRONT_WAIT_FILE)
		w->effects |= FRONT_SUBMIT_ABORT;
	base_buf_clear(&w->hold);
	base_buf_clear(&w->message);
	base_buf_clear(&w->rcpts);
	base_buf_clear(&w->sender);
	base_buf_clear(&w->envid);
	base_buf_clear(&w->mail_auth);
	w->message_size = 0;
	w->rcpt_count = 0;
	w->envelope_flags = 0;
	w->ret = 0;
	w->in_transaction = w->in_body = w->file = w->submit_after_file = w->refused = false;
}

static void close_after_write(struct front_session *s, struct front_work *w, const char *why)
{
	s->closing = true;
	if (!s->end)
		s->end = why;
	w->effects |= FRONT_CLOSE;
}

static bool has_tls(const struct front_session *s)
{
	return s->tls_version != NULL;
}

static void apply_mechanisms(struct front_session *s)
{
	const struct front_listener *l = s->listener;
	const char *announce = l->announce_clear;

	if (has_tls(s))
		announce = s->bindings ? l->announce_tls : l->announce_tls_unbound;
	smtp_server_set_mechanisms(&s->smtp, base_slice_text(announce),
		base_slice_text(has_tls(s) ? "" : l->withheld));
}

void front_session_begin(struct front_session *s, struct front_work *w,
	const struct front_listener *listener, const struct base_addr *client, struct base_id id,
	const struct smtp_reply *refusal)
{
	struct smtp_server_options options = listener->options;
	const char *version = s->tls_version, *cipher = s->tls_cipher;
	uint8_t bindings = s->bindings;
	struct front_admission admission = s->admission;

	*s = (struct front_session){.listener = listener,
		.id = id,
		.client = *client,
		.admission = admission,
		.tls_version = version,
		.tls_cipher = cipher,
		.bindings = bindings};
	if (has_tls(s))
		options.flags |= SMTP_SERVER_TLS_ACTIVE;
	if (admission.may_relay)
		options.flags &= ~(unsigned)SMTP_SERVER_AUTH_REQUIRED;
	smtp_server_init(&s->smtp, &options);
	if (refusal) {
		base_buf_printf(
			&w->out, "%u %s %s\r\n", refusal->code, refusal->enhanced, refusal->text);
		close_after_write(s, w, "refused");
	} else {
		apply_mechanisms(s);
		smtp_server_greet(&s->smtp, &w->out);
	}
	w->effects |= FRONT_WRITE;
}

void front_session_tls(
	struct front_session *s, const char *version, const char *cipher, unsigned bindings)
{
	s->tls_version = version;
	s->tls_cipher = cipher;
	s->bindings = (uint8_t)bindings;
	if (s->wait == FRONT_WAIT_TLS) {
		smtp_server_tls_done(&s->smtp);
		free(s->user);
		s->user = NULL;
		s->mechanism = NULL;
		set_wait(s, FRONT_WAIT_NONE);
		apply_mechanisms(s);
	}
}

void front_session_tls_unavailable(struct front_session *s, struct front_work *w)
{
	BASE_BUG_IF(s->wait != FRONT_WAIT_TLS);
	smtp_server_tls_unavailable(&s->smtp, &w->out);
	set_wait(s, FRONT_WAIT_NONE);
	w->effects = (w->effects & ~(unsigned)FRONT_START_TLS) | FRONT_WRITE;
}

/* ---- AUTH ---- */

static const char *static_mechanism_name(struct base_slice name)
{
	uint32_t mask = conf_mechanism_parse(name);

	for (unsigned bit = 0; bit < 32; bit++)
		if (mask == 1u << bit)
			return conf_mechanism_name(bit);
	return "";
}

static void on_auth(struct front_session *s, struct front_work *w)
{
	const char *announced = s->bindings ? s->listener->announce_tls : "";

	w->mechanism = static_mechanism_name(smtp_server_auth_mechanism(&s->smtp, &w->line));
	w->has_initial = smtp_server_auth_response(&s->smtp, &w->line, &w->secret);
	w->plus_offered = has_tls(s) && strstr(announced, "-PLUS");
	s->mechanism = w->mechanism;
	s->login_end = NULL;
	w->effects |= FRONT_AUTH_BEGIN;
	set_wait(s, FRONT_WAIT_AUTH);
}

static void on_auth_response(struct front_session *s, struct front_work *w)
{
	(void)smtp_server_auth_response(&s->smtp, &w->line, &w->secret);
	w->exchange = false;
	w->effects |= FRONT_AUTH_CONTINUE;
	set_wait(s, FRONT_WAIT_AUTH);
}

static void show_replies(struct front_session *s, struct front_work *w, size_t from);

void front_session_auth_challenge(
	struct front_session *s, struct front_work *w, struct base_slice challenge)
{
	size_t before = w->out.len;

	BASE_BUG_IF(s->wait != FRONT_WAIT_AUTH);
	base_secret_clear(&w->secret);
	smtp_server_auth_challenge(&s->smtp, challenge, &w->out);
	w->exchange = true;
	w->again = true; /* a challenge that no line can carry ends the exchange */
	w->effects |= FRONT_WRITE;
	set_wait(s, FRONT_WAIT_NONE);
	show_replies(s, w, before);
}

/* Another server's auth may say anything; a name with a line end in it would be in no envelope. */
static bool is_user_name(struct base_slice user)
{
	for (size_t i = 0; i < user.len; i++)
		if (user.ptr[i] < 0x20 || user.ptr[i] == 0x7f)
			return false;
	return user.len > 0 && user.len <= USER_MAX_BYTES;
}

void front_session_auth_done(struct front_session *s, struct front_work *w,
	enum front_auth_result result, struct base_slice user)
{
	static const enum smtp_auth_outcome outcomes[] = {
		[FRONT_AUTH_OK] = SMTP_AUTH_OK,
		[FRONT_AUTH_REJECTED] = SMTP_AUTH_REJECTED,
		[FRONT_AUTH_MALFORMED] = SMTP_AUTH_MALFORMED,
		[FRONT_AUTH_DOWN] = SMTP_AUTH_UNAVAILABLE,
	};
	size_t before = w->out.len;

	BASE_BUG_IF(s->wait != FRONT_WAIT_AUTH);
	base_secret_clear(&w->secret);
	w->exchange = false;
	s->auth_id = 0;
	if (result == FRONT_AUTH_OK && !is_user_name(user))
		result = FRONT_AUTH_DOWN;
	if (result == FRONT_AUTH_OK) {
		free(s->user);
		s->user = base_slice_dup(user);
	}
	if (smtp_server_auth_done(&s->smtp, outcomes[result], &w->out))
		close_after_write(s, w, "auth-failures");
	w->effects |= FRONT_WRITE;
	set_wait(s, FRONT_WAIT_NONE);
	show_replies(s, w, before);
}

/* ---- the transaction ---- */

static void on_mail(struct front_session *s, struct front_work *w)
{
	const struct smtp_mail *mail = smtp_server_mail(&s->smtp);

	end_transaction(s, w);
	base_buf_append_slice(&w->sender, mail->sender);
	base_buf_append_slice(&w->envid, mail->envid);
	if (mail->smtputf8)
		w->envelope_flags |= ENVELOPE_SMTPUTF8;
	/* Only a listener that trusts its clients passes an AUTH= on (RFC 4954 section 5). */
	if (mail->auth_given && s->listener->options.flags & SMTP_SERVER_TRUST_AUTH_PARAM &&
		s->user) {
		base_buf_append_slice(&w->mail_auth, mail->auth);
		w->envelope_flags |= ENVELOPE_AUTH_GIVEN;
	}
	w->ret = (uint8_t)mail->ret;
	w->in_transaction = true;
	smtp_server_mail_answer(&s->smtp, SMTP_REPLY(250, "2.1.0", "sender ok"), &w->out);
}

static struct smtp_reply judge_rcpt(
	struct front_session *s, struct front_work *w, const struct smtp_rcpt *rcpt)
{
	struct envelope_rcpt line = {
		.address = rcpt->address, .notify = (uint8_t)rcpt->notify, .orcpt = rcpt->orcpt};
	size_t before = w->rcpts.len;

	if (!front_session_may_send_to(s, rcpt->address))
		return SMTP_REPLY(550, "5.7.1", "relaying denied, log in first");
	if (s->admission.listed && front_session_is_guarded(s, rcpt->address))
		return SMTP_REPLY(554, "5.7.1", s->admission.listed);
	envelope_put_rcpt(&w->rcpts, &line);
	if (!base_buf_ok(&w->rcpts)) {
		base_buf_truncate(&w->rcpts, before);
		w->rcpts.overflow = false;
		return SMTP_REPLY(452, "4.5.3", "too many recipients");
	}
	w->rcpt_count++;
	return SMTP_REPLY(250, "2.1.5", "recipient ok");
}

static void on_rcpt(struct front_session *s, struct front_work *w)
{
	const struct smtp_rcpt *rcpt = smtp_server_rcpt(&s->smtp);

	if (s->admission.dnsbl_open && !s->admission.listed &&
		front_session_is_guarded(s, rcpt->address)) {
		set_wait(s, FRONT_WAIT_DNSBL);
		return;
	}
	smtp_server_rcpt_answer(&s->smtp, judge_rcpt(s, w, rcpt), &w->out);
}

/* The RCPT that waited is answered, however the zones stand now. */
static void answer_held_rcpt(struct front_session *s, struct front_work *w)
{
	size_t before = w->out.len;

	set_wait(s, FRONT_WAIT_NONE);
	smtp_server_rcpt_answer(&s->smtp, judge_rcpt(s, w, smtp_server_rcpt(&s->smtp)), &w->out);
	w->again = true;
	w->effects |= FRONT_WRITE;
	show_replies(s, w, before);
}

void front_session_dnsbl(struct front_session *s, struct front_work *w, const char *listed)
{
	struct front_admission *a = &s->admission;

	if (a->dnsbl_open)
		a->dnsbl_open--;
	if (listed && !a->listed)
		a->listed = base_strdup(listed);
	if (s->wait == FRONT_WAIT_DNSBL && (a->listed || !a->dnsbl_open))
		answer_held_rcpt(s, w);
}

/* What stands in Received where the real value is not to be shown: the same for the same value
 * during one run of the server, and of no use to anybody else. */
static struct base_slice pseudonym(
	const struct front_now *now, struct base_slice value, struct base_buf *out)
{
	uint8_t mac[BASE_HASH_MAX_BYTES];

	base_hmac(BASE_HASH_SHA256, now->pseudonym_key, value, mac);
	base_hex_encode(base_slice_make(mac, 6), out);
	return base_buf_slice(out);
}

static void begin_intake(struct front_session *s, struct front_work *w, const struct front_now *now)
{
	const struct front_listener *l = s->listener;
	struct base_buf address, client_alias, user_alias;
	struct mail_origin origin = {
		.host_name = l->options.host_name,
		.helo = smtp_server_helo(&s->smtp),
		.client = s->client,
		.show_client = l->trace_client,
		.esmtp = smtp_server_is_esmtp(&s->smtp),
		.tls = has_tls(s),
		.authenticated = s->user != NULL,
		.smtputf8 = smtp_server_is_smtputf8(&s->smtp),
		.tls_version = base_slice_text(s->tls_version),
		.tls_cipher = base_slice_text(s->tls_cipher),
		.user = base_slice_text(s->user),
		.show_user = l->trace_user,
		.mail_auth = base_buf_slice(&w->mail_auth),
		.message_id = w->message_id,
		.now_ms = now->wall_ms,
	};

	base_buf_init(&address, 64);
	base_buf_init(&client_alias, 32);
	base_buf_init(&user_alias, 32);
	base_addr_format(&s->client, &address);
	if (!l->trace_client)
		origin.client_pseudonym = pseudonym(now, base_buf_slice(&address), &client_alias);
	if (!l->trace_user && s->user)
		origin.user_pseudonym = pseudonym(now, base_slice_text(s->user), &user_alias);
	mail_intake_begin(&w->intake, front_session_is_trusted(s) ? MAIL_INTAKE_FIXUP : 0, &origin,
		&w->message);
	base_buf_release(&address);
	base_buf_release(&client_alias);
	base_buf_release(&user_alias);
}

static void on_data(struct front_session *s, struct front_work *w, const struct front_now *now)
{
	w->message_id = base_id_make(now->wall_ms, now->random);
	base_buf_clear(&w->message);
	begin_intake(s, w, now);
	w->message_size = w->message.len;
	w->in_body = true;
	s->messages_total++;
	smtp_server_data_answer(
		&s->smtp, SMTP_REPLY(354, "", "go ahead, end with <CRLF>.<CRLF>"), &w->out);
}

static void refuse_body(struct front_session *s, struct front_work *w, struct smtp_reply reply)
{
	w->refused = true;
	base_buf_clear(&w->message);
	base_buf_clear(&w->hold);
	smtp_server_body_refuse(&s->smtp, reply);
}

static struct smtp_reply reply_of(enum mail_intake_result result)
{
	struct mail_intake_reply r = mail_intake_reply(result);

	return SMTP_REPLY(r.code, r.enhanced, r.text);
}

/* The message no longer fits in one frame: everything waits until queue has handed out a file. */
static bool must_wait_for_file(struct front_session *s, struct front_work *w)
{
	if (w->file || w->message.len <= IPC_INLINE_MESSAGE_MAX_BYTES)
		return false;
	w->effects |= FRONT_WANT_FILE;
	set_wait(s, FRONT_WAIT_FILE);
	return true;
}

static void on_body(struct front_session *s, struct front_work *w)
{
	size_t before = w->message.len;
	enum mail_intake_result result;

	if (w->refused)
		return;
	result = mail_intake_push(&w->intake, smtp_server_body(&s->smtp), &w->hold, &w->message);
	if (result != MAIL_INTAKE_OK) {
		refuse_body(s, w, reply_of(result));
		return;
	}
	w->message_size += w->message.len - before;
	if (w->file && w->message.len >= FRONT_FILE_CHUNK_BYTES)
		w->effects |= FRONT_FILE_WRITE;
	else
		must_wait_for_file(s, w);
}

static void submit(struct front_session *s, struct front_work *w)
{
	if (w->file && w->message.len)
		w->effects |= FRONT_FILE_WRITE;
	w->effects |= FRONT_SUBMIT;
	set_wait(s, FRONT_WAIT_QUEUE);
}

static void on_body_end(struct front_session *s, struct front_work *w)
{
	size_t before = w->message.len;
	enum mail_intake_result result = mail_intake_end(&w->intake, &w->hold, &w->message);

	if (result != MAIL_INTAKE_OK) {
		smtp_server_message_answer(&s->smtp, reply_of(result), &w->out);
		end_transaction(s, w);
		return;
	}
	w->message_size += w->message.len - before;
	if (w->intake.has_8bit)
		w->envelope_flags |= ENVELOPE_8BIT;
	if (w->intake.header_8bit)
		w->envelope_flags |= ENVELOPE_HEADER_8BIT;
	if (must_wait_for_file(s, w))
		w->submit_after_file = true;
	else
		submit(s, w);
}

void front_session_file(struct front_session *s, struct front_work *w, unsigned class)
{
	BASE_BUG_IF(s->wait != FRONT_WAIT_FILE);
	set_wait(s, FRONT_WAIT_NONE);
	w->again = true; /* the reply to a BDAT chunk that was the last bytes to come */
	if (class != 0) {
		front_session_file_failed(s, w, class == (unsigned)-BASE_ERROR_NO_SPACE);
		return;
	}
	w->file = true;
	w->effects |= FRONT_FILE_WRITE;
	if (w->submit_after_file)
		submit(s, w);
}

static struct smtp_reply storage_reply(bool no_space)
{
	return no_space ? SMTP_REPLY(452, "4.3.1", "not enough disk space, try again later")
			: SMTP_REPLY(451, "4.3.0", "cannot store the message now, try again later");
}

void front_session_file_failed(struct front_session *s, struct front_work *w, bool no_space)
{
	w->effects &= ~(unsigned)(FRONT_FILE_WRITE | FRONT_SUBMIT);
	w->effects |= FRONT_SUBMIT_ABORT;
	if (s->wait == FRONT_WAIT_QUEUE || w->submit_after_file) {
		s->wait = FRONT_WAIT_NONE;
		smtp_server_message_answer(&s->smtp, storage_reply(no_space), &w->out);
		w->effects |= FRONT_WRITE;
		end_transaction(s, w);
		return;
	}
	refuse_body(s, w, storage_reply(no_space));
}

static void bye_if_draining(struct front_session *s, struct front_work *w)
{
	if (!s->draining || s->closing || s->wait != FRONT_WAIT_NONE || w->in_transaction)
		return;
	smtp_server_bye(
		&s->smtp, SMTP_REPLY(421, "4.3.2", "closing down, try again later"), &w->out);
	close_after_write(s, w, "drain");
	w->effects |= FRONT_WRITE;
}

void front_session_submitted(struct front_session *s, struct front_work *w, unsigned class)
{
	struct smtp_reply reply = storage_reply(class == (unsigned)-BASE_ERROR_NO_SPACE);
	size_t before = w->out.len;
	char text[64];

	BASE_BUG_IF(s->wait != FRONT_WAIT_QUEUE);
	set_wait(s, FRONT_WAIT_NONE);
	s->queue_id = 0;
	if (class == 0) {
		snprintf(text, sizeof(text), "queued as %s", w->message_id.text);
		reply = SMTP_REPLY(250, "2.0.0", text);
		s->messages++;
	}
	smtp_server_message_answer(&s->smtp, reply, &w->out);
	w->file = false; /* queue owns it now, or has forgotten it */
	end_transaction(s, w);
	w->effects |= FRONT_WRITE;
	show_replies(s, w, before);
	bye_if_draining(s, w);
}

void front_session_envelope(const struct front_session *s, const struct front_work *w,
	int64_t arrived_ms, struct base_buf *out_head)
{
	struct base_buf address;
	struct envelope e = {
		.flags = w->envelope_flags | (s->user ? 0 : ENVELOPE_STRANGER),
		.ret = w->ret,
		.arrived_ms = arrived_ms,
		.session = base_id_slice(&s->id),
		.user = base_slice_text(s->user),
		.sender = base_buf_slice(&w->sender),
		.envid = base_buf_slice(&w->envid),
		.auth = base_buf_slice(&w->mail_auth),
		.rcpt_count = w->rcpt_count,
	};

	base_buf_init(&address, 64);
	base_addr_format(&s->client, &address);
	e.client = base_buf_slice(&address);
	envelope_put(out_head, &e);
	base_buf_release(&address);
}

/* ---- the dialogue, for people who want to watch ---- */

static void show(struct front_work *w, const char *who, struct base_slice line)
{
	base_buf_append_text(&w->dialogue, who);
	base_escape_text(line, 400, &w->dialogue);
	base_buf_append_byte(&w->dialogue, '\n');
}

static void show_replies(struct front_session *s, struct front_work *w, size_t from)
{
	struct base_slice rest = base_slice_from(base_buf_slice(&w->out), from), line;

	if (!s->listener->dialogue)
		return;
	while (base_slice_split(&rest, '\n', &line))
		show(w, "S: ", base_slice_trim(line));
}

/* One line that the client said, without any part of an AUTH exchange that could be a secret. */
static void show_line(struct front_work *w, struct base_slice line, bool exchange)
{
	struct base_slice words, name = BASE_SLICE_EMPTY;
	struct base_buf text;

	base_buf_init(&text, 512);
	if (exchange && !base_slice_equal_text(line, "*")) {
		base_buf_printf(&text, "(response, %zu characters, not shown)", line.len);
	} else if (base_slice_starts_with_nocase(line, BASE_SLICE("AUTH "))) {
		words = base_slice_from(line, 5);
		base_slice_split(&words, ' ', &name);
		base_buf_append_text(&text, "AUTH ");
		base_buf_append_slice(&text, base_slice_first(name, 32));
		if (words.len)
			base_buf_printf(
				&text, " (initial response, %zu characters, not shown)", words.len);
	} else {
		base_buf_append_slice(&text, base_slice_first(line, 400));
	}
	show(w, "C: ", base_buf_slice(&text));
	base_buf_release(&text);
}

/* Only a whole line tells what it is, so half of one waits. Of a line that is longer than any that is
 * taken, some parts are left out. */
static void show_input(
	struct front_session *s, struct front_work *w, struct base_slice taken, bool exchange)
{
	size_t end;

	if (!s->listener->dialogue || w->in_body)
		return;
	while ((end = base_slice_find(taken, '\n')) < taken.len) {
		(void)base_buf_append_slice(&w->heard, base_slice_first(taken, end));
		show_line(w, base_slice_trim(base_buf_slice(&w->heard)), exchange);
		base_buf_clear(&w->heard);
		taken = base_slice_from(taken, end + 1);
	}
	(void)base_buf_append_slice(&w->heard, taken);
}

/* ---- the loop over the engine's events ---- */

/* False: the client's next bytes must wait. */
static bool handle(struct front_session *s, struct front_work *w, enum smtp_server_event event,
	const struct front_now *now)
{
	switch (event) {
	case SMTP_SERVER_MORE:
		return false;
	case SMTP_SERVER_FULL: /* the shell writes, and offers the rest again */
		w->again = true;
		return false;
	case SMTP_SERVER_HELLO:
		end_transaction(s, w);
		return true;
	case SMTP_SERVER_STARTTLS:
		end_transaction(s, w);
		set_wait(s, FRONT_WAIT_TLS);
		w->effects |= FRONT_START_TLS;
		return false;
	case SMTP_SERVER_AUTH:
		on_auth(s, w);
		return false;
	case SMTP_SERVER_AUTH_RESPONSE:
		on_auth_response(s, w);
		return false;
	case SMTP_SERVER_AUTH_CANCEL:
		w->exchange = false;
		s->login_end = smtp_server_auth_given_up(&s->smtp)
			? "the client gave up the login with \"*\""
			: "the client's response cannot be used";
		if (s->auth_id)
			w->effects |= FRONT_AUTH_CANCEL;
		return true;
	case SMTP_SERVER_MAIL:
		on_mail(s, w);
		return true;
	case SMTP_SERVER_RCPT:
		on_rcpt(s, w);
		return s->wait == FRONT_WAIT_NONE;
	case SMTP_SERVER_DATA:
		on_data(s, w, now);
		return true;
	case SMTP_SERVER_BODY:
		on_body(s, w);
		return s->wait == FRONT_WAIT_NONE;
	case SMTP_SERVER_BODY_END:
		on_body_end(s, w);
		return s->wait == FRONT_WAIT_NONE;
	case SMTP_SERVER_RESET:
		end_transaction(s, w);
		return true;
	case SMTP_SERVER_CLOSE:
		close_after_write(s, w,
			base_slice_equal_text(
				base_slice_text(smtp_server_verb_name(&s->smtp)), "QUIT")
				? "quit"
				: "errors");
		return false;
	}
	return false;
}

void front_session_input(struct front_session *s, struct front_work *w, struct base_slice in,
	size_t *out_used, const struct front_now *now)
{
	size_t used = 0;
	bool go_on = true;

	BASE_BUG_IF(s->wait != FRONT_WAIT_NONE);
	*out_used = 0;
	if (s->closing) {
		*out_used = in.len;
		return;
	}
	apply_mechanisms(s);
	w->again = false;
	while (go_on) {
		struct base_slice rest = base_slice_from(in, *out_used);
		size_t before = w->out.len;
		bool exchange = w->exchange;
		enum smtp_server_event event = smtp_server_push(
			&s->smtp, rest, &used, &w->line, &w->out);

		show_input(s, w, base_slice_first(rest, used), exchange);
		*out_used += used;
		go_on = handle(s, w, event, now);
		show_replies(s, w, before);
	}
	if (w->out.len)
		w->effects |= FRONT_WRITE;
	bye_if_draining(s, w);
}

/* ---- the end ---- */

void front_session_timeout(struct front_session *s, struct front_work *w)
{
	uint32_t auth_id = s->auth_id;

	if (s->closing) {
		w->effects |= FRONT_CLOSE;
		return;
	}
	switch ((enum front_wait)s->wait) {
	case FRONT_WAIT_AUTH:
		front_session_auth_done(s, w, FRONT_AUTH_DOWN, BASE_SLICE_EMPTY);
		/* Still open there, and the link still knows who asked: CANCEL ends both. */
		s->auth_id = auth_id;
		w->effects |= auth_id ? FRONT_AUTH_CANCEL : 0;
		return;
	case FRONT_WAIT_DNSBL:
		s->admission.dnsbl_open = 0;
		answer_held_rcpt(s, w);
		return;
	case FRONT_WAIT_QUEUE:
		/* The message may be stored: no reply is right, and the client asks again. */
		close_after_write(s, w, "queue-timeout");
		return;
	case FRONT_WAIT_NONE:
		smtp_server_bye(&s->smtp, SMTP_REPLY(421, "4.4.2", "idle for too long"), &w->out);
		w->effects |= FRONT_WRITE;
		break;
	case FRONT_WAIT_TLS:
	case FRONT_WAIT_FILE:
	case FRONT_WAIT_COUNT:
		break;
	}
	close_after_write(s, w, "timeout");
}

void front_session_drain(struct front_session *s, struct front_work *w)
{
	s->draining = true;
	bye_if_draining(s, w);
}

void front_session_lost(struct front_session *s, struct front_work *w, const char *why)
{
	if (!s->end)
		s->end = why;
	if (w->exchange)
		s->login_end = "the client left in the middle of the login";
	s->closing = true;
	if (s->auth_id)
		w->effects |= FRONT_AUTH_CANCEL;
	/* What was given to queue whole stays there; what was not is forgotten. */
	if (s->wait != FRONT_WAIT_QUEUE)
		end_transaction(s, w);
	w->effects |= FRONT_CLOSE;
}

void front_session_release(struct front_session *s)
{
	free(s->user);
	free(s->admission.listed);
	s->user = s->admission.listed = NULL;
}

bool front_session_is_idle(const struct front_session *s, const struct front_work *w)
{
	return s->wait == FRONT_WAIT_NONE && !w->in_transaction && !w->exchange && !w->again &&
		!w->effects && w->out.len == 0 && w->unread.len == 0 && w->heard.len == 0 &&
		!smtp_server_holds_bytes(&s->smtp, &w->line);
}

_Static_assert(sizeof(struct front_session) <= FRONT_SESSION_MAX_BYTES, "an idle session is small");
