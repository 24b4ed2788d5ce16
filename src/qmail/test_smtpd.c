/* Whole sessions of the core: the client's bytes in, replies and wants out, whatever way they are cut. */
#include "qmail/smtpd_core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const uint8_t mock_key[32] = {1};
#define FOREVER 100000

/* What the partners do, and what was seen of them. */
struct world {
	struct smtpd_options options;
	struct smtpd core;
	int queue_status;
	bool queue_crash, queue_broken, queue_missing;
	struct base_buf said; /* replies */
	struct base_buf seen; /* wants */
};

static void basic(struct world *w)
{
	struct smtpd_options *o = &w->options;

	o->greeting = BASE_SLICE("mail.test");
	o->host_name = BASE_SLICE("local.test");
	o->local_ip = BASE_SLICE("10.0.0.1");
	o->local_host = BASE_SLICE("own.test");
	o->remote_ip = BASE_SLICE("192.0.2.7");
	o->remote_host = BASE_SLICE("host.test");
	o->rcpthosts = (struct smtpd_file){true, BASE_SLICE("in.test\n.sub.test\n")};
	o->auth = SMTPD_AUTH_CHECKER;
	o->pid = 42;
	o->mock_key = base_slice_make(mock_key, sizeof(mock_key));
	smtpd_offer(o, smtpd_smtpauth_parse("+cram").mask, true);
}

/* Whatever the mask says, what is offered is what a server speaks. */
static void everything(struct world *w)
{
	basic(w);
	smtpd_offer(&w->options,
		~(uint32_t)0 &
			~(SASL_MASK(SASL_MECHANISM_SCRAM_SHA_1) |
				SASL_MASK(SASL_MECHANISM_SCRAM_SHA_256) |
				SASL_MASK(SASL_MECHANISM_SCRAM_SHA_512)),
		true);
}

static void compat(struct world *w)
{
	basic(w);
	w->options.compat = true;
	w->options.databytes = 2000;
}

static void required(struct world *w)
{
	compat(w);
	w->options.auth_required = true;
}

static void broken_argv(struct world *w)
{
	basic(w);
	w->options.auth = SMTPD_AUTH_NONE;
	w->options.auth_broken = true;
	smtpd_offer(&w->options, 0, false);
}

static void with_tls(struct world *w)
{
	basic(w);
	w->options.tls_offer = true;
	smtpd_offer(&w->options, smtpd_smtpauth_parse("+cram").mask, false);
}

static void relay(struct world *w)
{
	basic(w);
	w->options.relay = true;
	w->options.suffix = BASE_SLICE("@relay.test");
}

static void bad_sender(struct world *w)
{
	basic(w);
	w->options.badmailfrom = (struct smtpd_file){true, BASE_SLICE("#x\nbad@a.test\n@b.test\n")};
}

static void listed(struct world *w)
{
	basic(w);
	w->options.recipients = (struct smtpd_file){
		true, BASE_SLICE("!free.in.test\n@in.test:users.cdb\nsub.test|prog a b\n")};
}

static void crashing(struct world *w)
{
	compat(w);
	w->queue_crash = true;
}

static void half_written(struct world *w)
{
	compat(w);
	w->queue_broken = true;
}

static void no_queue(struct world *w)
{
	compat(w);
	w->queue_missing = true;
}

static void full_disk(struct world *w)
{
	basic(w);
	w->queue_status = 53;
}

static void note(struct world *w, const char *what, struct base_slice bytes)
{
	base_buf_append_text(&w->seen, what);
	for (size_t i = 0; i < bytes.len; i++) {
		uint8_t c = bytes.ptr[i];

		if (c == '\0')
			base_buf_append_text(&w->seen, "|");
		else if (c == '\n')
			base_buf_append_text(&w->seen, "/");
		else if (c != '\r')
			base_buf_append_byte(&w->seen, c);
	}
	base_buf_append_byte(&w->seen, ' ');
}

static enum smtpd_check check(struct base_slice question)
{
	struct wire_checkpassword m;

	if (wire_checkpassword_get(question, WIRE_CHECKPASSWORD_STANDARD, &m) !=
		WIRE_CHECKPASSWORD_OK)
		return SMTPD_REJECTED;
	if (base_slice_equal_text(m.secret, "down"))
		return SMTPD_UNAVAILABLE;
	return base_slice_equal_text(m.secret, "good") || m.challenge.len ? SMTPD_ACCEPTED
									  : SMTPD_REJECTED;
}

/* Received has the time, 0, so it is the same in each run; messages are noted whole. */
static bool answer(struct world *w, enum smtpd_want want, const struct smtpd_now *now)
{
	struct smtpd *s = &w->core;
	char text[32];

	switch (want) {
	case SMTPD_READ:
	case SMTPD_FLUSH:
		break;
	case SMTPD_TLS:
		note(w, "tls", BASE_SLICE_EMPTY);
		smtpd_tls_done(s, "TLSv1.3", "X", false);
		break;
	case SMTPD_CHECK:
		note(w, "check:", base_buf_slice(&s->question));
		smtpd_checked(s, check(base_buf_slice(&s->question)));
		break;
	case SMTPD_PAUSE:
		snprintf(text, sizeof(text), "pause:%u", s->pause_ms);
		note(w, text, BASE_SLICE_EMPTY);
		smtpd_paused(s);
		break;
	case SMTPD_AUTH_BEGIN:
	case SMTPD_AUTH_CONTINUE:
		smtpd_auth_done(s, SMTPD_UNAVAILABLE, BASE_SLICE_EMPTY);
		break;
	case SMTPD_AUTH_CANCEL:
		break;
	case SMTPD_IDENTITY:
		note(w, "user:", smtpd_user(s));
		break;
	case SMTPD_ASK:
		note(w, s->ask.kind == SMTPD_ASK_CDB ? "cdb:" : "prog:", s->ask.target);
		note(w, "key:", s->ask.key);
		smtpd_asked(s,
			base_slice_starts_with(s->ask.key, BASE_SLICE("yes")) ? SMTPD_YES
				: base_slice_starts_with(s->ask.key, BASE_SLICE("what"))
				? SMTPD_CANNOT_TELL
				: SMTPD_NO);
		break;
	case SMTPD_OPEN:
		note(w, "open", BASE_SLICE_EMPTY);
		smtpd_opened(s, !w->queue_missing, now);
		break;
	case SMTPD_WRITE:
		note(w, "write:", base_buf_slice(&s->message));
		smtpd_written(s);
		break;
	case SMTPD_COMMIT:
		note(w, "commit:", base_buf_slice(&s->envelope));
		smtpd_queued(s, w->queue_status, w->queue_crash, w->queue_broken, 77, 5000);
		break;
	case SMTPD_ABORT:
		note(w, "abort", BASE_SLICE_EMPTY);
		break;
	case SMTPD_CLOSE:
		note(w, s->end, BASE_SLICE_EMPTY);
		return false;
	}
	return true;
}

/* Hand the client's bytes over @cut at a time. */
static void play(struct world *w, struct base_slice in, size_t cut)
{
	struct smtpd_now now = {.wall_ms = 0, .random = {7}};
	size_t at = 0, end = 0, used;
	bool go_on = true;

	base_buf_init(&w->said, 65536);
	base_buf_init(&w->seen, 65536);
	smtpd_init(&w->core, &w->options);
	while (go_on) {
		enum smtpd_want want = smtpd_next(
			&w->core, base_slice_first(base_slice_from(in, at), end - at), &used, &now);

		at += used;
		base_buf_append_slice(&w->said, base_buf_slice(&w->core.out));
		base_buf_clear(&w->core.out);
		if (want == SMTPD_READ && end == in.len)
			smtpd_lost(&w->core, "eof");
		else if (want == SMTPD_READ)
			end = in.len - end > cut ? end + cut : in.len;
		else
			go_on = answer(w, want, &now);
	}
}

static void release(struct world *w)
{
	smtpd_release(&w->core);
	base_buf_release(&w->said);
	base_buf_release(&w->seen);
}

#define TRACE(who, proto) \
	"Received: from host.test (HELO me) (" who ")/  by local.test with " proto \
	"; 1 Jan 1970 00:00:00 -0000/"
#define GREET "220 mail.test ESMTP Postern\r\n"
#define HELLO \
	"250-mail.test\r\n250-PIPELINING\r\n250-SIZE\r\n250-AUTH LOGIN PLAIN CRAM-MD5\r\n" \
	"250-8BITMIME\r\n250-CHUNKING\r\n250 ENHANCEDSTATUSCODES\r\n"
#define OLD_GREET "220 mail.test ESMTP\r\n"
#define OLD_HELLO \
	"250-mail.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 2000\r\n" \
	"250 AUTH LOGIN PLAIN CRAM-MD5\r\n"
#define BYE "221 2.0.0 goodbye\r\n"
#define GOOD "235 2.7.0 authentication successful\r\n"
#define NOT_OFFERED "504 5.5.4 mechanism not offered\r\n"
#define BAD "535 5.7.8 authentication credentials invalid\r\n"

static const struct row {
	const char *name;
	void (*setup)(struct world *w);
	const char *in, *said, *seen;
} rows[] = {
	{"plain at once", basic, "EHLO me\r\nAUTH PLAIN AHUAZ29vZA==\r\nQUIT\r\n",
		GREET HELLO GOOD BYE, "check:u|good|| user:u quit "},
	{"a client's mechanisms", everything,
		"EHLO me\r\nAUTH EXTERNAL =\r\nAUTH OAUTHBEARER AQ==\r\nAUTH xoauth2\r\n"
		"AUTH DIGEST-MD5\r\nAUTH GSSAPI\r\nQUIT\r\n",
		GREET HELLO NOT_OFFERED NOT_OFFERED NOT_OFFERED NOT_OFFERED NOT_OFFERED BYE,
		"quit "},
	{"plain with its own authzid", basic, "EHLO me\r\nAUTH PLAIN dQB1AGdvb2Q=\r\nQUIT\r\n",
		GREET HELLO GOOD BYE, "check:u|good|| user:u quit "},
	{"a foreign authzid never reaches the checker", basic,
		"EHLO me\r\nAUTH PLAIN eAB1AGdvb2Q=\r\nQUIT\r\n", GREET HELLO BAD BYE,
		"pause:1000 quit "},
	{"login without EHLO, lines of LF", basic, "auth login\ndQ==\nZ29vZA==\t \nQUIT\n",
		GREET "334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n" GOOD BYE,
		"check:u|good|| user:u quit "},
	{"a NUL in the name forges nothing", basic,
		"EHLO me\r\nAUTH LOGIN dQBkZWFkAGNo\r\nQUIT\r\n", GREET HELLO BAD BYE,
		"pause:1000 quit "},
	{"a line end in the name is no name", basic,
		"EHLO me\r\nAUTH PLAIN AHUKdgBnb29k\r\nQUIT\r\n", GREET HELLO BAD BYE,
		"pause:1000 quit "},
	{"the checker is down", basic, "EHLO me\r\nAUTH PLAIN AHUAZG93bg==\r\nQUIT\r\n",
		GREET HELLO "454 4.7.0 temporary authentication failure\r\n" BYE,
		"check:u|down|| quit "},
	{"failures cost more and more", basic,
		"EHLO me\r\nAUTH PLAIN AHUAeA==\r\nAUTH PLAIN AHUAeA==\r\nQUIT\r\n",
		GREET HELLO BAD BAD BYE, "check:u|x|| pause:1000 check:u|x|| pause:2000 quit "},
	{"the words of the original", compat,
		"EHLO me\r\nAUTH PLAIN AHUAeA==\r\nAUTH\r\nAUTH FOO\r\nAUTH PLAIN x\r\n"
		"AUTH LOGIN\r\n*\r\nAUTH LOGIN\r\n\r\nRCPT TO:<a@b>\r\nDATA\r\nFOO\r\nVRFY a\r\n"
		"NOOP\r\nRSET\r\nMAIL FROM:<a@b> SIZE=9999\r\nAUTH PLAIN AHUAZ29vZA==\r\n"
		"AUTH PLAIN AHUAZ29vZA==\r\nMAIL FROM:<a@b>\r\nDATA\r\nAUTH LOGIN\r\nQUIT\r\n",
		OLD_GREET OLD_HELLO
		"535 authentication failed (#5.7.1)\r\n504 auth type unimplemented (#5.5.1)\r\n"
		"504 auth type unimplemented (#5.5.1)\r\n501 malformed auth input (#5.5.4)\r\n"
		"334 VXNlcm5hbWU6\r\n501 auth exchange canceled (#5.0.0)\r\n"
		"334 VXNlcm5hbWU6\r\n501 malformed auth input (#5.5.4)\r\n"
		"503 MAIL first (#5.5.1)\r\n503 MAIL first (#5.5.1)\r\n"
		"502 unimplemented (#5.5.1)\r\n252 send some mail, i'll try my best\r\n250 ok\r\n"
		"250 flushed\r\n"
		"552 sorry, that message size exceeds my databytes limit (#5.3.4)\r\n"
		"235 ok, go ahead (#2.0.0)\r\n503 you're already authenticated (#5.5.0)\r\n"
		"250 ok\r\n503 RCPT first (#5.5.1)\r\n"
		"503 no auth during mail transaction (#5.5.0)\r\n221 mail.test\r\n",
		"check:u|x|| pause:5000 check:u|good|| user:u quit "},
	{"required", required, "EHLO me\r\nMAIL FROM:<a@b>\r\nQUIT\r\n",
		OLD_GREET OLD_HELLO "530 Authorization required (#5.7.1) \r\n221 mail.test\r\n",
		"quit "},
	{"a broken command line offers nothing and says later", broken_argv,
		"EHLO me\r\nAUTH PLAIN AHUAZ29vZA==\r\nQUIT\r\n",
		GREET "250-mail.test\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n"
		      "250-CHUNKING\r\n250 ENHANCEDSTATUSCODES\r\n"
		      "454 4.7.0 temporary authentication failure\r\n" BYE,
		"quit "},
	{"a certificate takes passwords out of the clear", with_tls,
		"EHLO me\r\nAUTH PLAIN AHUAZ29vZA==\r\nSTARTTLS\r\n",
		GREET "250-mail.test\r\n250-PIPELINING\r\n250-SIZE\r\n250-STARTTLS\r\n"
		      "250-AUTH CRAM-MD5\r\n250-8BITMIME\r\n250-CHUNKING\r\n"
		      "250 ENHANCEDSTATUSCODES\r\n"
		      "538 5.7.11 encryption is required for this mechanism\r\n"
		      "220 2.0.0 ready for TLS\r\n",
		"tls eof "},
	{"a message", basic,
		"EHLO me\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@in.test>\r\n"
		"RCPT TO:<\"d e\"@x.SUB.test>\r\nDATA\r\nS: x\r\n\r\n..y\r\n.\r\nQUIT\r\n",
		GREET HELLO "250 2.1.0 sender ok\r\n250 2.1.5 recipient ok\r\n"
			    "250 2.1.5 recipient ok\r\n"
			    "354 go ahead, end with <CRLF>.<CRLF>\r\n"
			    "250 2.0.0 ok 5 qp 77\r\n" BYE,
		"open write:" TRACE("192.0.2.7",
			"ESMTP") "S: x//.y/ "
				 "commit:Fa@b.test|Tc@in.test|Td e@x.SUB.test|| quit "},
	{"strangers go nowhere else", basic,
		"EHLO me\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@out.test>\r\nRCPT TO:<local>\r\n"
		"RCPT TO:<c@[10.0.0.1]>\r\nQUIT\r\n",
		GREET HELLO "250 2.1.0 sender ok\r\n"
			    "553 5.7.1 sorry, that domain isn't in my list of allowed rcpthosts; "
			    "log in first\r\n"
			    "250 2.1.5 recipient ok\r\n"
			    "553 5.7.1 sorry, that domain isn't in my list of allowed rcpthosts; "
			    "log in first\r\n" BYE,
		"quit "},
	{"who logged in goes everywhere, and RSET keeps that", compat,
		"EHLO me\r\nAUTH PLAIN AHVfAGdvb2Q=\r\nRSET\r\nMAIL FROM: a@b\r\n"
		"RCPT TO:<@r:c@out>\r\nDATA\r\nx\r\n.\r\n",
		OLD_GREET OLD_HELLO
		"235 ok, go ahead (#2.0.0)\r\n250 flushed\r\n250 ok\r\n250 ok\r\n354 go ahead\r\n"
		"250 ok 5 qp 77\r\n",
		"check:u_|good|| user:u_ open write:" TRACE(
			"u?@192.0.2.7", "ESMTPA") "x/ "
						  "commit:Fa@b|Tc@out|| eof "},
	{"the suffix of RELAYCLIENT", relay,
		"EHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<c@out>\r\nDATA\r\n.\r\nQUIT\r\n",
		GREET HELLO "250 2.1.0 sender ok\r\n250 2.1.5 recipient ok\r\n"
			    "354 go ahead, end with <CRLF>.<CRLF>\r\n"
			    "250 2.0.0 ok 5 qp 77\r\n" BYE,
		"open write:" TRACE("192.0.2.7", "ESMTP") " commit:F|Tc@out@relay.test|| quit "},
	{"badmailfrom speaks at RCPT, MAIL may come again", bad_sender,
		"MAIL FROM:<BAD@a.test>\r\nRCPT TO:<c@in.test>\r\nMAIL FROM:<x@b.test>\r\n"
		"RCPT TO:<c@in.test>\r\nMAIL FROM:<x@c.test>\r\nRCPT TO:<c@in.test>\r\nQUIT\r\n",
		GREET "250 2.1.0 sender ok\r\n"
		      "553 5.7.1 sorry, your envelope sender is in my badmailfrom list\r\n"
		      "250 2.1.0 sender ok\r\n"
		      "553 5.7.1 sorry, your envelope sender is in my badmailfrom list\r\n"
		      "250 2.1.0 sender ok\r\n250 2.1.5 recipient ok\r\n" BYE,
		"quit "},
	{"recipients", listed,
		"MAIL FROM:<>\r\nRCPT TO:<Yes@in.test>\r\nRCPT TO:<no-x@in.test>\r\n"
		"RCPT TO:<any@a.free.in.test>\r\nRCPT TO:<yes@x.sub.test>\r\n"
		"RCPT TO:<what@in.test>\r\nQUIT\r\n",
		GREET "250 2.1.0 sender ok\r\n250 2.1.5 recipient ok\r\n"
		      "550 5.7.1 sorry, no mailbox by that name\r\n"
		      "553 5.7.1 sorry, that domain isn't in my list of allowed rcpthosts; "
		      "log in first\r\n"
		      "250 2.1.5 recipient ok\r\n421 4.3.0 unable to check recipients\r\n",
		"cdb:users.cdb key:yes@in.test cdb:users.cdb key:no-x@in.test "
		"cdb:users.cdb key:no-@in.test prog:prog a b key:yes@x.sub.test "
		"cdb:users.cdb key:what@in.test recipients "},
	{"a bare LF in the message", compat,
		"MAIL FROM:<>\r\nRCPT TO:<a@in.test>\r\nDATA\r\nx\n.\r\n.\r\nQUIT\r\n",
		OLD_GREET "250 ok\r\n250 ok\r\n354 go ahead\r\n"
			  "451 See http://pobox.com/~djb/docs/smtplf.html.\r\n",
		"open abort errors "},
	{"a bare LF in the message, today", basic,
		"MAIL FROM:<>\r\nRCPT TO:<a@in.test>\r\nDATA\r\nx\n.\r\ny\r\n.\r\nQUIT\r\n",
		GREET "250 2.1.0 sender ok\r\n250 2.1.5 recipient ok\r\n"
		      "354 go ahead, end with <CRLF>.<CRLF>\r\n"
		      "554 5.6.0 message holds a LF without CR\r\n" BYE,
		"open abort quit "},
	{"a client that leaves", basic, "MAIL FROM:<>\r\nRCPT TO:<a@in.test>\r\nDATA\r\nx\r\n",
		GREET "250 2.1.0 sender ok\r\n250 2.1.5 recipient ok\r\n"
		      "354 go ahead, end with <CRLF>.<CRLF>\r\n",
		"open abort eof "},
	{"the queue crashes", crashing,
		"MAIL FROM:<>\r\nRCPT TO:<a@in.test>\r\nDATA\r\n.\r\nQUIT\r\n",
		OLD_GREET "250 ok\r\n250 ok\r\n354 go ahead\r\n451 qq crashed (#4.3.0)\r\n"
			  "221 mail.test\r\n",
		NULL},
	{"the queue did not hear all", half_written,
		"MAIL FROM:<>\r\nRCPT TO:<a@in.test>\r\nDATA\r\n.\r\nQUIT\r\n",
		OLD_GREET "250 ok\r\n250 ok\r\n354 go ahead\r\n451 qq read error (#4.3.0)\r\n"
			  "221 mail.test\r\n",
		NULL},
	{"no queue", no_queue, "MAIL FROM:<>\r\nRCPT TO:<a@in.test>\r\nDATA\r\nQUIT\r\n",
		OLD_GREET "250 ok\r\n250 ok\r\n451 qqt failure (#4.3.0)\r\n221 mail.test\r\n",
		"open quit "},
	{"a full disk", full_disk, "MAIL FROM:<>\r\nRCPT TO:<a@in.test>\r\nDATA\r\n.\r\nQUIT\r\n",
		GREET "250 2.1.0 sender ok\r\n250 2.1.5 recipient ok\r\n"
		      "354 go ahead, end with <CRLF>.<CRLF>\r\n"
		      "451 4.3.0 the queue cannot write, or its disk is full\r\n" BYE,
		NULL},
};

static void play_row(const struct row *row, size_t cut)
{
	struct world w = {0};
	const char *said, *seen;

	row->setup(&w);
	play(&w, base_slice_text(row->in), cut);
	said = base_buf_text(&w.said);
	seen = base_buf_text(&w.seen);
	if (strcmp(said, row->said) != 0 || (row->seen && strcmp(seen, row->seen) != 0))
		print_message("%s, %zu bytes at a time\n--- said\n%s--- want\n%s--- seen\n%s\n"
			      "--- want\n%s\n",
			row->name, cut, said, row->said, seen, row->seen ? row->seen : "-");
	assert_string_equal(said, row->said);
	if (row->seen)
		assert_string_equal(seen, row->seen);
	release(&w);
}

static void test_conversations(void **state)
{
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		play_row(&rows[i], FOREVER);
		play_row(&rows[i], 1);
		play_row(&rows[i], 7);
	}
}

/* The challenge holds the time and random bytes, so it is taken from the first part. */
static void test_cram(void **state)
{
	static const char digest[] = "b913a602c7eda7a495b4e6e7334d3890";

	for (unsigned order = 0; order < 2; order++) {
		struct world w = {0};
		const char *seen;

		basic(&w);
		w.options.cram_order = order ? WIRE_CHECKPASSWORD_LEGACY
					     : WIRE_CHECKPASSWORD_STANDARD;
		/* "u v b913…": split at the last space. */
		play(&w,
			BASE_SLICE("EHLO me\r\nAUTH CRAM-MD5\r\n"
				   "dSB2IGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw\r\n"),
			1);
		seen = base_buf_text(&w.seen);
		assert_non_null(strstr(seen, "check:u v|"));
		assert_non_null(strstr(seen, digest));
		assert_non_null(strstr(seen, "@local.test>"));
		/* Which of the two comes first. */
		assert_int_equal(strstr(seen, digest) > strstr(seen, "<"), order == 1);
		assert_non_null(strstr(seen, "user:u v "));
		release(&w);
	}
}

static void test_smtpauth(void **state)
{
	enum { L = 1, P = 2, C = 4 };
	static const struct {
		const char *value;
		bool set;
		unsigned which;
		bool required;
	} table[] = {
		{NULL, false, 0, false},
		{"", true, L | P, false},
		{"yes", true, L | P, false},
		{"-", true, 0, false},
		{"0", true, 0, false},
		{"!", true, L | P, true},
		{"cram", true, C, false},
		{"CRAM", true, C, false},
		{"crammed", true, C, false},
		{"+cram", true, L | P | C, false},
		{"!cram", true, C, true},
		{"!+CRAM", true, L | P | C, true},
	};

	for (size_t i = 0; i < BASE_COUNT(table); i++) {
		struct smtpd_smtpauth a = smtpd_smtpauth_parse(table[i].value);
		unsigned which = (a.mask & SASL_MASK(SASL_MECHANISM_LOGIN) ? L : 0) |
			(a.mask & SASL_MASK(SASL_MECHANISM_PLAIN) ? P : 0) |
			(a.mask & SASL_MASK(SASL_MECHANISM_CRAM_MD5) ? C : 0);

		assert_int_equal(a.set, table[i].set);
		assert_int_equal(which, table[i].which);
		assert_int_equal(a.required, table[i].required);
	}
}

/* A header of @count hops in any spelling, then a body full of them. */
static void hops(struct base_buf *in, unsigned count)
{
	base_buf_append_text(in, "MAIL FROM:<>\r\nRCPT TO:<a@in.test>\r\nDATA\r\n");
	for (unsigned i = 0; i < count; i++)
		base_buf_append_text(
			in, i % 2 ? "rEceived: x\r\n\tReceived: y\r\n" : "Delivered-To: z\r\n");
	base_buf_append_text(in, "X-Received: n\r\n\r\n");
	for (unsigned i = 0; i < 200; i++)
		base_buf_append_text(in, "Received: no hop\r\n");
	base_buf_append_text(in, ".\r\n");
}

static void test_hops(void **state)
{
	static const struct {
		unsigned count;
		const char *reply;
	} table[] = {{99, "250 ok 5 qp 77\r\n"},
		{100, "554 too many hops, this message is looping (#5.4.6)\r\n"}};

	for (size_t i = 0; i < BASE_COUNT(table); i++) {
		for (size_t cut = 1; cut < 4096; cut += 1361) {
			struct world w = {0};
			struct base_buf in;

			base_buf_init(&in, 65536);
			hops(&in, table[i].count);
			compat(&w);
			w.options.databytes = 0;
			play(&w, base_buf_slice(&in), cut);
			assert_non_null(strstr(base_buf_text(&w.said), table[i].reply));
			assert_int_equal(strstr(base_buf_text(&w.seen), "abort") != NULL, i == 1);
			release(&w);
			base_buf_release(&in);
		}
	}
}

/* Names of a stranger's choice stay in their field. */
static void test_log(void **state)
{
	static const char in[] =
		"EHLO a'b\r\nAUTH PLAIN AHUKcCBxbWFpbC1zbXRwZDonIHgAeA==\r\nQUIT\r\n";

	for (int form = SMTPD_LOG_SPAMCONTROL; form <= SMTPD_LOG_POSTERN; form++) {
		struct world w = {0};
		unsigned lines = 0;
		const char *log;

		basic(&w);
		w.options.log = (enum smtpd_log)form;
		memcpy(w.options.session.text, "0123456789abcdef", 17);
		play(&w, base_slice_make(in, sizeof(in) - 1), FOREVER);
		log = base_buf_text(&w.core.log);
		for (const char *p = log; *p; p++)
			lines += *p == '\n';
		if (form == SMTPD_LOG_SPAMCONTROL) {
			assert_int_equal(lines, 1);
			assert_string_equal(log,
				"qmail-smtpd: pid 42 Reject::AUTH::plain P:ESMTPA "
				"S:192.0.2.7:host.test ?= 'u?p?qmail-smtpd:??x'\n");
		} else {
			assert_int_equal(lines, 2);
			assert_non_null(strstr(log, "session=0123456789abcdef client=192.0.2.7"));
			assert_non_null(strstr(log, "result=refused"));
			assert_non_null(strstr(log, "end=quit"));
		}
		release(&w);
	}
}

/* What the engine refuses by itself is logged too. */
static void test_log_of_refusals(void **state)
{
	static const char start[] = "EHLO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@in.test>\r\nDATA\r\n";
	struct world w = {0};
	struct base_buf in;

	basic(&w);
	w.options.databytes = 100;
	w.options.log = SMTPD_LOG_SPAMCONTROL;
	base_buf_init(&in, 4096);
	base_buf_append_text(&in, start);
	for (unsigned i = 0; i < 100; i++)
		base_buf_append_text(&in, "x\r\n");
	base_buf_append_text(&in, ".\r\nQUIT\r\n");
	play(&w, base_buf_slice(&in), FOREVER);
	assert_non_null(strstr(base_buf_text(&w.core.log),
		" Reject::DATA::Invalid_Size P:ESMTP S:192.0.2.7:host.test H:me F:a@b "));
	release(&w);
	base_buf_release(&in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conversations),
		cmocka_unit_test(test_cram),
		cmocka_unit_test(test_smtpauth),
		cmocka_unit_test(test_hops),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_log_of_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
