/* postern-smtpd: one SMTP session on descriptors 0 and 1, in place of qmail-smtpd.
 *
 *   postern-smtpd [-c FILE] [--compat] [--log spamcontrol|postern|none]
 *                 [--cram-order standard|legacy] [--allow-clear] [CHECKPASSWORD PROG ARGS…]
 *
 * The loop asks the core what it wants and does that, one thing after another: there is but one client,
 * and nothing of it can be done before the last thing is. Exit status: 0 after QUIT, else 1. */
#include "qmail/auth_client.h"
#include "qmail/checker.h"
#include "qmail/own_queue.h"
#include "qmail/qmail_queue.h"
#include "qmail/smtpd_setup.h"
#include "qmail/smtpd_wire.h"

#include "base/cdb.h"
#include "base/clock.h"
#include "base/escape.h"
#include "loop/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { UNREAD_MAX_BYTES = 65536, ENVELOPE_MAX_BYTES = SMTPD_RCPTS_MAX_BYTES + 65536 };

struct program {
	struct smtpd_setup setup;
	struct smtpd core;
	struct smtpd_wire wire;
	struct base_buf unread; /* secret */
	struct auth_client auth;
	struct qmail_queue qmail;
	struct own_queue own;
	struct base_error err;
	int64_t last_ms; /* a command that takes long is not the client's idleness */
};

static struct smtpd_now take_now(void)
{
	struct smtpd_now now = {.wall_ms = base_clock_wall_ms()};

	base_random_fill(now.random, sizeof(now.random));
	return now;
}

/* Descriptor 2 may be anything, the client too (recordio): what cannot be written is lost. */
static void tell(struct base_buf *lines)
{
	size_t done = 0;

	while (done < lines->len) {
		ssize_t n = write(2, lines->ptr + done, lines->len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	base_buf_clear(lines);
}

/* False: the client is gone. */
static bool flush(struct program *p)
{
	if (p->core.out.len == 0 || smtpd_wire_write(&p->wire, &p->core.out) == SMTPD_WIRE_OK)
		return true;
	base_buf_clear(&p->core.out);
	smtpd_lost(&p->core, "write");
	return false;
}

static void read_client(struct program *p)
{
	switch (smtpd_wire_read(&p->wire, &p->unread)) {
	case SMTPD_WIRE_OK:
		break;
	case SMTPD_WIRE_EOF:
		smtpd_lost(&p->core, "eof");
		break;
	case SMTPD_WIRE_TIMEOUT:
		smtpd_timeout(&p->core);
		break;
	case SMTPD_WIRE_FAILED:
		smtpd_lost(&p->core, "read");
		break;
	}
}

/* ---- logins ---- */

/* What keeps a partner from answering is told where logs are asked for: in many run scripts
 * descriptor 2 is the client's, and a line in the midst of the dialogue would end it. */
static void log_error(struct program *p)
{
	struct base_buf *log = &p->core.log;

	if (p->setup.log == SMTPD_LOG_NONE)
		return;
	base_buf_append_text(log, "postern-smtpd: ");
	base_escape_log(base_slice_text(p->err.text), BASE_ERROR_TEXT_MAX_BYTES, log);
	base_buf_append_byte(log, '\n');
}

static void run_checker(struct program *p)
{
	enum smtpd_check result = SMTPD_REJECTED;
	int status;

	if (checker_run(p->setup.checker, base_buf_slice(&p->core.question), p->wire.out, &status,
		    &p->err)) {
		log_error(p);
		result = SMTPD_UNAVAILABLE;
	} else if (status == WIRE_CHECKPASSWORD_ACCEPTED) {
		result = SMTPD_ACCEPTED;
	} else if (status == WIRE_CHECKPASSWORD_TEMPORARY) {
		result = SMTPD_UNAVAILABLE;
	}
	smtpd_checked(&p->core, result);
}

static void take_answer(struct program *p, enum auth_client_result result, struct base_slice text)
{
	switch (result) {
	case AUTH_CLIENT_CHALLENGE:
		smtpd_auth_challenge(&p->core, text);
		return;
	case AUTH_CLIENT_OK:
		smtpd_auth_done(&p->core, SMTPD_ACCEPTED, text);
		return;
	case AUTH_CLIENT_REJECTED:
		smtpd_auth_done(&p->core, SMTPD_REJECTED, text);
		return;
	case AUTH_CLIENT_MALFORMED:
		smtpd_auth_done(&p->core, SMTPD_MALFORMED, text);
		return;
	case AUTH_CLIENT_UNAVAILABLE:
		smtpd_auth_done(&p->core, SMTPD_UNAVAILABLE, text);
		return;
	}
}

static uint16_t env_port(const char *name)
{
	uint64_t port;

	return base_slice_to_u64(base_slice_text(getenv(name)), &port) && port < 65536
		? (uint16_t)port
		: 0;
}

static struct base_slice address_or_empty(struct base_slice ip)
{
	struct base_addr addr;

	return base_addr_parse(ip, &addr) ? ip : BASE_SLICE_EMPTY;
}

static void begin_at_server(struct program *p)
{
	const struct smtpd_options *o = &p->setup.options;
	struct base_slice initial = base_secret_slice(&p->core.response), text;
	struct wire_dovecot_auth request = {
		.mechanism = base_slice_text(p->core.mechanism),
		.local_ip = address_or_empty(o->local_ip),
		.remote_ip = address_or_empty(o->remote_ip),
		.local_port = env_port("TCPLOCALPORT"),
		.remote_port = env_port("TCPREMOTEPORT"),
		.session = base_slice_text(o->session.text),
		.secured = p->wire.tls != NULL,
		.plus_offered = p->wire.tls && p->core.tls_bindings &&
			strstr(o->announce_bound, "-PLUS"),
		.nologin = true,
		.initial = p->core.has_response ? &initial : NULL,
	};
	enum auth_client_result result = auth_client_begin(&p->auth, &request, p->wire.tls, &text);

	take_answer(p, result, text);
}

static void continue_at_server(struct program *p)
{
	struct base_slice text;
	enum auth_client_result result = auth_client_continue(
		&p->auth, base_secret_slice(&p->core.response), p->wire.tls, &text);

	take_answer(p, result, text);
}

static void set_or_unset(const char *name, struct base_slice value, bool wanted)
{
	char *text = wanted ? base_slice_dup(value) : NULL;

	if (text)
		setenv(name, text, 1);
	else
		unsetenv(name);
	free(text);
}

/* Children see who logged in, as those of the original and of its successors do. */
static void set_identity(struct program *p)
{
	const struct smtpd_options *o = &p->setup.options;
	struct base_slice user = smtpd_user(&p->core), method;
	char lower[sizeof(p->core.mechanism)];
	bool known = user.len > 0;
	size_t i = 0;

	for (; p->core.mechanism[i]; i++)
		lower[i] = (char)base_ascii_lower((uint8_t)p->core.mechanism[i]);
	lower[i] = '\0';
	method = base_slice_text(lower);
	set_or_unset("SMTPAUTHUSER", user, known);
	set_or_unset("SMTPAUTHMETHOD", method, known);
	set_or_unset("AUTHUSER", user, known);
	set_or_unset("AUTHPROTOCOL", method, known);
	set_or_unset("TCPREMOTEINFO", known ? user : o->remote_info, known || o->remote_info.len);
	set_or_unset("RELAYCLIENT", known ? BASE_SLICE_EMPTY : o->suffix, known || o->relay);
}

static void start_tls(struct program *p)
{
	base_buf_clear(&p->unread);
	if (smtpd_wire_start_tls(&p->wire, p->setup.tls) != SMTPD_WIRE_OK) {
		/* Nothing can be said any more: the client listens for TLS. */
		smtpd_lost(&p->core, "tls");
		return;
	}
	smtpd_tls_done(&p->core, tls_version(p->wire.tls), tls_cipher(p->wire.tls),
		tls_binding_available(p->wire.tls, "tls-exporter") ||
			tls_binding_available(p->wire.tls, "tls-server-end-point"));
}

/* ---- recipients ---- */

static enum smtpd_answer look_up(struct program *p, struct base_slice file, struct base_slice key)
{
	char *path = base_slice_dup(file);
	struct base_buf bytes, question;
	struct base_slice data;
	enum smtpd_answer answer = SMTPD_CANNOT_TELL;

	base_buf_init(&bytes, 256 * 1024 * 1024);
	base_buf_init(&question, key.len + 1);
	base_buf_append_byte(&question, ':');
	base_buf_append_slice(&question, key);
	if (file_read(path, &bytes, NULL, &p->err) != 0) {
		log_error(p);
	} else {
		switch (base_cdb_find(base_buf_slice(&bytes), base_buf_slice(&question), &data)) {
		case BASE_CDB_FOUND:
			answer = SMTPD_YES;
			break;
		case BASE_CDB_MISSING:
			answer = SMTPD_NO;
			break;
		case BASE_CDB_BROKEN:
			break;
		}
	}
	base_buf_release(&bytes);
	base_buf_release(&question);
	free(path);
	return answer;
}

static enum smtpd_answer ask_program(
	struct program *p, struct base_slice command, struct base_slice key)
{
	enum { WORDS_MAX = 7 };
	char *argv[WORDS_MAX + 1] = {NULL};
	struct base_slice word;
	struct base_buf question;
	enum smtpd_answer answer = SMTPD_CANNOT_TELL;
	int status = 0, count = 0;

	while (count < WORDS_MAX && (word = base_slice_word(&command)).len)
		argv[count++] = base_slice_dup(word);
	base_buf_init(&question, key.len + 3);
	base_buf_append_slice(&question, key);
	base_buf_append(&question, "\0\0\0", 3);
	if (count == 0 || checker_run(argv, base_buf_slice(&question), -1, &status, &p->err) != 0)
		log_error(p);
	else if (status != WIRE_CHECKPASSWORD_TEMPORARY)
		answer = status == 0 ? SMTPD_YES : SMTPD_NO;
	for (int i = 0; i < count; i++)
		free(argv[i]);
	base_buf_release(&question);
	return answer;
}

static void ask_recipients(struct program *p)
{
	const struct smtpd_ask *ask = &p->core.ask;
	enum smtpd_answer answer = SMTPD_CANNOT_TELL;

	/* The file's own bytes: a path with a NUL in it is none. */
	if (!base_slice_has(ask->target, '\0'))
		answer = ask->kind == SMTPD_ASK_CDB ? look_up(p, ask->target, ask->key)
						    : ask_program(p, ask->target, ask->key);
	smtpd_asked(&p->core, answer);
}

/* ---- the message ---- */

/* The recipients between spaces; none where they are more than an environment should hold. */
static void set_rcptto(const struct base_buf *envelope)
{
	enum { RCPTTO_MAX_BYTES = 64 * 1024 };
	struct base_slice rest = base_buf_slice(envelope), item;
	struct base_buf list;

	base_buf_init(&list, RCPTTO_MAX_BYTES);
	while (base_slice_split(&rest, '\0', &item)) {
		if (!item.len || item.ptr[0] != 'T')
			continue;
		if (list.len)
			base_buf_append_byte(&list, ' ');
		base_buf_append_slice(&list, base_slice_from(item, 1));
	}
	set_or_unset("RCPTTO", base_buf_slice(&list), list.len > 0 && base_buf_ok(&list));
	base_buf_release(&list);
}

/* For those of the queue's own plug-ins that look at the session. */
static void set_envelope_environment(struct program *p)
{
	struct base_slice helo = smtp_server_helo(&p->core.smtp);
	struct base_slice sender = base_buf_slice(&p->core.sender);

	set_or_unset("HELOHOST", helo, helo.len > 0);
	set_or_unset("MAILFROM", sender, !base_slice_has(sender, '\0'));
	set_rcptto(&p->core.envelope);
}

static void open_queue(struct program *p)
{
	struct smtpd_now now = take_now();
	int rc;

	if (p->setup.queue_path) {
		set_envelope_environment(p);
		rc = qmail_queue_open(&p->qmail, p->setup.queue_path, &p->err);
	} else if (p->setup.conf) {
		rc = own_queue_open(&p->own, p->setup.conf->run, &p->err);
	} else {
		rc = base_error_set(&p->err, BASE_ERROR_CONFIG, 0,
			"there is neither a qmail-queue nor a configuration of Postern");
	}
	if (rc != 0)
		log_error(p);
	smtpd_opened(&p->core, rc == 0, &now);
}

static void write_queue(struct program *p)
{
	if (p->setup.queue_path)
		qmail_queue_write(&p->qmail, base_buf_slice(&p->core.message));
	else
		own_queue_write(&p->own, base_buf_slice(&p->core.message), &p->err);
	smtpd_written(&p->core);
}

static void commit_to_server(struct program *p)
{
	struct base_buf envelope;
	int rc;

	base_buf_init(&envelope, ENVELOPE_MAX_BYTES);
	smtpd_envelope(&p->core, base_clock_wall_ms(), &envelope);
	rc = own_queue_commit(&p->own, &p->core.message_id, base_buf_slice(&envelope), &p->err);
	base_buf_release(&envelope);
	if (rc != 0)
		log_error(p);
	smtpd_stored(&p->core, rc);
}

static void commit_queue(struct program *p)
{
	long pid = (long)p->qmail.pid;
	bool crashed;
	int status;

	if (!p->setup.queue_path) {
		commit_to_server(p);
		return;
	}
	qmail_queue_commit(&p->qmail, base_buf_slice(&p->core.envelope), &status, &crashed);
	smtpd_queued(&p->core, status, crashed, p->qmail.broken, pid, base_clock_wall_ms());
}

static void abort_queue(struct program *p)
{
	if (p->setup.queue_path)
		qmail_queue_abort(&p->qmail);
	else
		own_queue_abort(&p->own);
}

/* ---- the loop ---- */

static void pause_for(uint32_t ms)
{
	int64_t until = base_clock_monotonic_ms() + ms, left;

	while ((left = until - base_clock_monotonic_ms()) > 0)
		(void)poll(NULL, 0, (int)left);
}

/* False: the session is over. */
static bool serve(struct program *p, enum smtpd_want want)
{
	switch (want) {
	case SMTPD_READ:
		read_client(p);
		break;
	case SMTPD_FLUSH:
		break;
	case SMTPD_TLS:
		start_tls(p);
		break;
	case SMTPD_CHECK:
		run_checker(p);
		break;
	case SMTPD_PAUSE:
		pause_for(p->core.pause_ms);
		smtpd_paused(&p->core);
		break;
	case SMTPD_AUTH_BEGIN:
		begin_at_server(p);
		break;
	case SMTPD_AUTH_CONTINUE:
		continue_at_server(p);
		break;
	case SMTPD_AUTH_CANCEL:
		auth_client_cancel(&p->auth);
		break;
	case SMTPD_IDENTITY:
		set_identity(p);
		break;
	case SMTPD_ASK:
		ask_recipients(p);
		break;
	case SMTPD_OPEN:
		open_queue(p);
		break;
	case SMTPD_WRITE:
		write_queue(p);
		break;
	case SMTPD_COMMIT:
		commit_queue(p);
		break;
	case SMTPD_ABORT:
		abort_queue(p);
		break;
	case SMTPD_CLOSE:
		return false;
	}
	return true;
}

static bool is_quick(enum smtpd_want want)
{
	return want == SMTPD_IDENTITY || want == SMTPD_WRITE || want == SMTPD_ABORT ||
		want == SMTPD_AUTH_CANCEL;
}

static void converse(struct program *p)
{
	bool go_on = true;

	while (go_on) {
		struct smtpd_now now = take_now();
		size_t used;
		enum smtpd_want want = smtpd_next(
			&p->core, base_buf_slice(&p->unread), &used, &now);

		base_buf_consume(&p->unread, used);
		tell(&p->core.log);
		if (!is_quick(want) && !flush(p))
			continue;
		go_on = serve(p, want);
	}
	tell(&p->core.log);
}

/* A closed one would be given to the next file that is opened. */
static void fill_descriptors(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			_exit(1);
}

static int refuse(struct program *p)
{
	struct base_buf out;

	tell(&p->setup.complaints);
	base_buf_init(&out, 1024);
	smtpd_refuse(&out, p->setup.compat, p->setup.refusal, p->setup.refusal_original);
	(void)!smtpd_wire_write(&p->wire, &out);
	base_buf_release(&out);
	smtpd_setup_release(&p->setup);
	return 1;
}

/* What the running server offers; as long as it does not answer, what its configuration says. */
static uint32_t server_mask(struct program *p)
{
	if (!p->setup.auth_path)
		return 0;
	auth_client_init(&p->auth, p->setup.auth_path);
	if (auth_client_open(&p->auth, &p->err) == 0)
		return p->auth.mask;
	log_error(p);
	return p->setup.conf->auth.mechanisms;
}

int main(int argc, char **argv)
{
	static struct program p;
	int code;

	fill_descriptors();
	signal(SIGPIPE, SIG_IGN);
	p.wire = (struct smtpd_wire){.in = 0, .out = 1, .timeout_ms = 60 * 1000};
	if (!smtpd_setup_parse(&p.setup, argc, argv) || !smtpd_setup_load(&p.setup))
		return refuse(&p);
	tell(&p.setup.complaints);
	p.wire.timeout_ms = p.setup.timeout_s * 1000;
	base_buf_init_secret(&p.unread, UNREAD_MAX_BYTES);
	base_buf_init(&p.core.log, 4096);
	own_queue_init(&p.own);
	smtpd_setup_offer(&p.setup, server_mask(&p));
	tell(&p.core.log);
	base_buf_release(&p.core.log);
	smtpd_init(&p.core, &p.setup.options);
	converse(&p);
	code = smtpd_exit_code(&p.core);
	tls_session_free(&p.wire.tls);
	auth_client_release(&p.auth);
	own_queue_close(&p.own);
	smtpd_release(&p.core);
	base_buf_release(&p.unread);
	smtpd_setup_release(&p.setup);
	return code;
}
