#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Conversations, with the exact bytes of both sides. A script is a list of lines of text:
 *	"S: …"	the server says this line (CRLF is added)
 *	"s: …"	the server says these bytes, nothing added
 *	"C: …"	we have said exactly this line since
 *	"c: …"	we have said exactly these bytes since
 *	"E: …"	the events since the last E line
 *	"X"	the server closes
 * Each row runs with the server's bytes whole and one by one. */

enum { OUT_MAX = 1 << 20 };

struct row {
	const char *name;
	struct smtp_client_options options;
	bool verified;
	bool binding;              /* TLS gives a channel binding */
	const char *user, *secret; /* default: tim, tanstaaftanstaaf */
	bool whole_only;           /* what matters is what lies in one segment */
	bool reports_all;          /* the caller sends a second message after the first */
	const char *sender;
	const char *rcpts[4];
	const char *body; /* default: "hi\r\n" */
	struct smtp_client_mail mail;
	const char *auth_error; /* what is kept of a refused token at the end */
	const char *script[48];
};

#define HELO "S: 220 hi", "C: EHLO me.example"
#define READY_WITH(ext) HELO, "S: 250-srv", "S: 250 " ext
/* protocol texts of Google and of RFC 7628 section 4.1 */
#define GOOGLE_B64 \
	"dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhk" \
	"SFJo" \
	"ZG1semRHRXVZMjl0Q2cBAQ=="
#define RFC_7628_B64 \
	"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9NTg3AWF1dGg9QmVhcmVy" \
	"IHZG" \
	"OWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
#define ONE .sender = "a@x.example", .rcpts = {"b@y.example"}

static const struct row rows[] = {
	{"plain message, no extensions", ONE,
		.script = {HELO, "S: 250 srv", "C: MAIL FROM:<a@x.example>", "S: 250 ok",
			"C: RCPT TO:<b@y.example>", "S: 250 ok", "C: DATA", "S: 354 go",
			"c: hi\r\n.\r\n", "S: 250 2.0.0 queued", "C: QUIT", "S: 221 bye",
			"E: ready mail:250 rcpt0:250 body message:250 done closed"}},
	{"pipelined", ONE,
		.script = {READY_WITH("PIPELINING"),
			"c: MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n",
			"s: 250 ok\r\n250 ok\r\n354 go\r\n", "c: hi\r\n.\r\n", "S: 250 ok",
			"C: QUIT", "X",
			"E: ready mail:250 rcpt0:250 body message:250 done closed"}},
	{"small message by BDAT, in one go", ONE, .mail = {.size_bytes = 4},
		.script = {HELO,
			"s: 250-srv\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250 CHUNKING\r\n",
			"c: MAIL FROM:<a@x.example> SIZE=4\r\nRCPT TO:<b@y.example>\r\n"
			"BDAT 4 LAST\r\nhi\r\n",
			"s: 250 ok\r\n250 ok\r\n250 queued\r\n", "C: QUIT",
			"E: ready body mail:250 rcpt0:250 message:250 done"}},
	{"BDAT, bare line ends are mended", ONE, .mail = {.size_bytes = 9}, .body = "a\nb\r.\nc",
		.script = {HELO, "s: 250-srv\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
			"c: MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\n"
			"BDAT 12 LAST\r\na\r\nb\r\n.\r\nc\r\n",
			"s: 250 ok\r\n250 ok\r\n250 queued\r\n", "C: QUIT",
			"E: ready body mail:250 rcpt0:250 message:250 done"}},
	{"BDAT, nobody accepted: RSET before the next", ONE, .mail = {.size_bytes = 4},
		.reports_all = true,
		.script = {HELO, "s: 250-srv\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
			"c: MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nBDAT 4 "
			"LAST\r\nhi\r\n",
			"s: 250 ok\r\n550 5.1.1 no\r\n503 no\r\n",
			"c: RSET\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\n"
			"BDAT 4 LAST\r\nhi\r\n",
			"s: 250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n", "C: QUIT",
			"E: ready body mail:250 rcpt0:550 done body mail:250 rcpt0:250 message:250 "
			"done"}},
	{"dots, bare CR and LF, no last CRLF", ONE, .body = ".a\r\n..\nb\rc\r\r\n.",
		.script = {READY_WITH("PIPELINING"),
			"c: MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n",
			"s: 250 ok\r\n250 ok\r\n354 go\r\n",
			"c: ..a\r\n...\r\nb\r\nc\r\n\r\n..\r\n.\r\n", "S: 250 ok", "C: QUIT",
			"E: ready mail:250 rcpt0:250 body message:250 done"}},
	{"empty body", ONE, .body = "",
		.script = {READY_WITH("PIPELINING"),
			"c: MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n",
			"s: 250 ok\r\n250 ok\r\n354 go\r\n", "c: .\r\n", "S: 250 ok", "C: QUIT",
			"E: ready mail:250 rcpt0:250 body message:250 done"}},
	{"one of two recipients refused", .sender = "", .rcpts = {"b@y.example", "c@y.example"},
		.script = {READY_WITH("PIPELINING"),
			"c: MAIL FROM:<>\r\nRCPT TO:<b@y.example>\r\nRCPT "
			"TO:<c@y.example>\r\nDATA\r\n",
			"s: 250 ok\r\n550 5.1.1 no\r\n250 ok\r\n354 go\r\n", "c: hi\r\n.\r\n",
			"S: 250 ok", "C: QUIT",
			"E: ready mail:250 rcpt0:550 rcpt1:250 body message:250 done"}},
	{"354 in place of a recipient's reply is no yes", .sender = "a@x.example",
		.rcpts = {"b@y.example", "c@y.example"},
		.script = {READY_WITH("PIPELINING"),
			"c: MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nRCPT "
			"TO:<c@y.example>\r\nDATA\r\n",
			"s: 250 ok\r\n354 go\r\n", "E: ready mail:250 failed(RCPT,later,354)"}},
	{"354 in place of the sender's", ONE,
		.script = {READY_WITH("PIPELINING"),
			"c: MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n",
			"s: 354 go\r\n", "E: ready failed(MAIL,later,354)"}},
	{"all refused, 354 all the same: a lone dot", ONE,
		.script = {READY_WITH("PIPELINING"),
			"c: MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n",
			"s: 250 ok\r\n550 no\r\n354 go\r\n", "c: .\r\n", "S: 554 nobody", "C: QUIT",
			"E: ready mail:250 rcpt0:550 done"}},
	{"all refused, no pipelining: no DATA", ONE,
		.script = {HELO, "S: 250 srv", "C: MAIL FROM:<a@x.example>", "S: 250 ok",
			"C: RCPT TO:<b@y.example>", "S: 550 no", "C: QUIT",
			"E: ready mail:250 rcpt0:550 done"}},
	{"MAIL refused, pipelined", ONE,
		.script = {READY_WITH("PIPELINING"),
			"c: MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n",
			"s: 550 no\r\n503 no\r\n503 no\r\n", "C: QUIT", "E: ready mail:550 done"}},
	{"DATA refused", ONE,
		.script = {READY_WITH("PIPELINING"),
			"c: MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n",
			"s: 250 ok\r\n250 ok\r\n451 later\r\n", "C: QUIT",
			"E: ready mail:250 rcpt0:250 message:451 done"}},
	{"421 in the middle", ONE,
		.script = {READY_WITH("PIPELINING"),
			"c: MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n",
			"s: 250 ok\r\n421 bye\r\n", "E: ready mail:250 failed(RCPT,later,421)"}},
	{"end of file after the final dot", ONE,
		.script = {READY_WITH("PIPELINING"),
			"c: MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n",
			"s: 250 ok\r\n250 ok\r\n354 go\r\n", "c: hi\r\n.\r\n", "X",
			"E: ready mail:250 rcpt0:250 body failed(end of message,later,maybe,0)"}},
	{"LMTP", .options = {.lmtp = true}, .sender = "a@x.example",
		.rcpts = {"b@y.example", "c@y.example", "d@y.example"},
		.script = {"S: 220 hi", "C: LHLO me.example", "S: 250-srv", "S: 250 PIPELINING",
			"c: MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\n"
			"RCPT TO:<c@y.example>\r\nRCPT TO:<d@y.example>\r\nDATA\r\n",
			"s: 250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n", "c: hi\r\n.\r\n",
			"s: 250 ok\r\n452 full\r\n", "C: QUIT",
			"E: ready mail:250 rcpt0:250 rcpt1:550 rcpt2:250 body message0:250 "
			"message2:452 done"}},
	{"LMTP, DATA refused for all", .options = {.lmtp = true}, .sender = "a@x.example",
		.rcpts = {"b@y.example", "c@y.example"},
		.script = {"S: 220 hi", "C: LHLO me.example", "S: 250-srv", "S: 250 PIPELINING",
			"c: MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\n"
			"RCPT TO:<c@y.example>\r\nDATA\r\n",
			"s: 250 ok\r\n250 ok\r\n250 ok\r\n451 no\r\n", "C: QUIT",
			"E: ready mail:250 rcpt0:250 rcpt1:250 message0:451 message1:451 done"}},
	{"EHLO unknown: HELO", ONE,
		.script = {HELO, "S: 502 what", "C: HELO me.example", "S: 250 srv",
			"C: MAIL FROM:<a@x.example>", "E: ready"}},
	{"EHLO unknown where a login is demanded", ONE, .options = {.auth = true},
		.script = {HELO, "S: 502 what", "E: failed(EHLO,permanent,502)"}},
	{"greeting refused", ONE, .script = {"S: 554 no", "E: failed(greeting,permanent,554)"}},
	{"greeting later", ONE, .script = {"S: 421 no", "E: failed(greeting,later,421)"}},
	{"greeting is HTTP", ONE, .script = {"S: HTTP/1.1 400 Bad", "E: failed(greeting,later,0)"}},

	{"STARTTLS", ONE, .options = {.tls = SMTP_CLIENT_TLS_REQUIRE},
		.script = {HELO, "S: 250-srv", "S: 250-PIPELINING", "S: 250 STARTTLS",
			"C: STARTTLS", "S: 220 go", "C: EHLO me.example", "S: 250 srv",
			"C: MAIL FROM:<a@x.example>", "E: starttls ready"}},
	{"STARTTLS, bytes behind the reply", ONE, .whole_only = true,
		.options = {.tls = SMTP_CLIENT_TLS_MAY},
		.script = {READY_WITH("STARTTLS"), "C: STARTTLS",
			"s: 220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n",
			"E: failed(STARTTLS,later,0)"}},
	{"STARTTLS not offered, demanded", ONE, .options = {.tls = SMTP_CLIENT_TLS_REQUIRE},
		.script = {HELO, "S: 250 srv", "c: ", "E: failed(STARTTLS,later,0)"}},
	{"STARTTLS refused, demanded", ONE,
		.options = {.tls = SMTP_CLIENT_TLS_REQUIRE, .auth = true},
		.script = {HELO, "S: 250-srv", "S: 250-AUTH PLAIN", "S: 250 STARTTLS",
			"C: STARTTLS", "S: 454 later", "c: ", "E: failed(STARTTLS,later,454)"}},
	{"STARTTLS answered by nonsense", ONE, .options = {.tls = SMTP_CLIENT_TLS_MAY},
		.script = {READY_WITH("STARTTLS"), "C: STARTTLS", "S: 250 what",
			"E: failed(STARTTLS,later,250)"}},
	{"STARTTLS refused, wished", ONE, .options = {.tls = SMTP_CLIENT_TLS_MAY},
		.script = {READY_WITH("STARTTLS"), "C: STARTTLS", "S: 454 later",
			"C: MAIL FROM:<a@x.example>", "E: ready"}},
	{"capabilities are forgotten", ONE, .mail = {.body_8bit = true},
		.options = {.tls = SMTP_CLIENT_TLS_REQUIRE},
		.script = {HELO, "S: 250-srv", "S: 250-8BITMIME", "S: 250 STARTTLS", "C: STARTTLS",
			"S: 220 go", "C: EHLO me.example", "S: 250 srv", "C: QUIT",
			"E: starttls ready mail:554* done"}},

	{"AUTH PLAIN with initial response", ONE, .verified = true,
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT, .auth = true},
		.script = {READY_WITH("AUTH PLAIN LOGIN"),
			"C: AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm", "S: 235 ok",
			"C: MAIL FROM:<a@x.example> AUTH=<>", "E: credentials ready"}},
	{"AUTH= form, identity passed on", ONE, .verified = true,
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT, .auth = true},
		.mail = {.auth_identity = true},
		.script = {READY_WITH("AUTH=LOGIN"), "C: AUTH LOGIN", "S: 334 VXNlcm5hbWU6",
			"C: dGlt", "S: 334 UGFzc3dvcmQ6",
			"C: dGFuc3RhYWZ0YW5zdGFhZg==", "S: 235 ok",
			"C: MAIL FROM:<a@x.example> AUTH=a+2Bb@x.example", "E: credentials ready"}},
	{"AUTH= alone, with a word nobody knows; prompts that say nothing", ONE, .verified = true,
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT, .auth = true},
		.script = {READY_WITH("AUTH=MBS_BASIC LOGIN"), "C: AUTH LOGIN", "S: 334", "C: dGlt",
			"S: 334 VXNlciBOYW1lAA==", "C: dGFuc3RhYWZ0YW5zdGFhZg==", "S: 235 ok",
			"C: MAIL FROM:<a@x.example> AUTH=<>", "E: credentials ready"}},
	{"AUTH PLAIN, the initial response is overlooked", ONE, .verified = true,
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT, .auth = true},
		.script = {READY_WITH("AUTH PLAIN"), "C: AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm",
			"S: 334", "C: AHRpbQB0YW5zdGFhZnRhbnN0YWFm", "S: 235 ok",
			"C: MAIL FROM:<a@x.example> AUTH=<>", "E: credentials ready"}},
	{"AUTH PLAIN, asked for ever", ONE, .verified = true,
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT, .auth = true},
		.script = {READY_WITH("AUTH PLAIN"), "C: AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm",
			"S: 334 ", "C: AHRpbQB0YW5zdGFhZnRhbnN0YWFm", "S: 334 ", "C: *",
			"S: 501 ok", "E: credentials failed(AUTH,later,account,0)"}},
	{"identity that is no mailbox", ONE, .verified = true,
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT, .auth = true},
		.mail = {.auth_identity = true, .auth = {(const uint8_t *)"a=b+c d", 7}},
		.script = {READY_WITH("AUTH PLAIN"), "C: AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm",
			"S: 235 ok", "C: MAIL FROM:<a@x.example> AUTH=a+3Db+2Bc+20d",
			"E: credentials ready"}},
	{"identity with a line in it", ONE, .verified = true,
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT, .auth = true},
		.mail = {.auth_identity = true, .auth = {(const uint8_t *)"a\r\nb", 4}},
		.script = {READY_WITH("AUTH PLAIN"), "C: AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm",
			"S: 235 ok", "C: QUIT", "E: credentials ready mail:501* done"}},
	{"CRAM-MD5, RFC 2195", ONE, .options = {.auth = true},
		.script = {READY_WITH("AUTH PLAIN CRAM-MD5"), "C: AUTH CRAM-MD5",
			"S: 334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+",
			"C: dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw", "S: 235 ok",
			"C: MAIL FROM:<a@x.example> AUTH=<>", "E: credentials ready"}},
	{"PLAIN never without verified TLS", ONE,
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT, .auth = true},
		.script = {READY_WITH("AUTH PLAIN LOGIN"),
			"c: ", "E: failed(AUTH,permanent,account,0)"}},
	{"AUTH not offered", ONE, .verified = true,
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT, .auth = true},
		.script = {READY_WITH("PIPELINING"), "c: ", "E: failed(AUTH,permanent,account,0)"}},
	{"none of the account's mechanisms", ONE, .verified = true,
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT,
			.auth = true,
			.mechanisms = SASL_MASK(SASL_MECHANISM_SCRAM_SHA_256)},
		.script = {READY_WITH("AUTH PLAIN"), "c: ", "E: failed(AUTH,permanent,account,0)"}},
	{"535: nothing weaker is tried", ONE, .verified = true,
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT, .auth = true},
		.script = {READY_WITH("AUTH PLAIN LOGIN CRAM-MD5"), "C: AUTH CRAM-MD5",
			"S: 334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+",
			"C: dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw", "S: 535 5.7.8 no",
			"c: ", "E: credentials failed(AUTH,permanent,refused,535)"}},
	{"454: later, the account is fine", ONE, .verified = true,
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT, .auth = true},
		.script = {READY_WITH("AUTH PLAIN"), "C: AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm",
			"S: 454 4.7.0 later", "E: credentials failed(AUTH,later,454)"}},
	{"504: another one", ONE, .verified = true,
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT, .auth = true},
		.script = {READY_WITH("AUTH PLAIN CRAM-MD5"), "C: AUTH CRAM-MD5", "S: 504 no",
			"C: AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm", "S: 534 no",
			"c: ", "E: credentials credentials failed(AUTH,permanent,refused,534)"}},
	{"undecodable challenge", ONE, .options = {.auth = true},
		.script = {READY_WITH("AUTH CRAM-MD5"), "C: AUTH CRAM-MD5", "S: 334 ???", "C: *",
			"S: 501 ok", "c: ", "E: credentials failed(AUTH,later,account,0)"}},
	{"235 before the server's proof", ONE, .options = {.auth = true},
		.script = {READY_WITH("AUTH SCRAM-SHA-256"),
			"C: AUTH SCRAM-SHA-256 biwsbj10aW0scj1BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=",
			"S: 235 ok", "c: ", "E: credentials failed(AUTH,later,account,235)"}},
	{"challenge in two lines", ONE, .options = {.auth = true},
		.script = {READY_WITH("AUTH CRAM-MD5"), "C: AUTH CRAM-MD5",
			"s: 334-QQ==\r\n334 QQ==\r\n", "C: *", "S: 501 ok",
			"E: credentials failed(AUTH,later,account,0)"}},
	{"reply 250 to AUTH", ONE, .options = {.auth = true},
		.script = {READY_WITH("AUTH CRAM-MD5"), "C: AUTH CRAM-MD5", "S: 250 ok",
			"c: ", "E: credentials failed(AUTH,later,account,250)"}},

	{"AUTH before STARTTLS only: no password goes", ONE, .verified = true,
		.options = {.tls = SMTP_CLIENT_TLS_REQUIRE, .auth = true},
		.script = {HELO, "S: 250-srv", "S: 250-AUTH PLAIN LOGIN CRAM-MD5",
			"S: 250 STARTTLS", "C: STARTTLS", "S: 220 go", "C: EHLO me.example",
			"S: 250 srv", "c: ", "E: starttls failed(AUTH,permanent,account,0)"}},
	{"other mechanisms behind STARTTLS", ONE, .verified = true,
		.options = {.tls = SMTP_CLIENT_TLS_MAY, .auth = true},
		.script = {HELO, "S: 250-srv", "S: 250-AUTH CRAM-MD5", "S: 250 STARTTLS",
			"C: STARTTLS", "S: 220 go", "C: EHLO me.example", "S: 250-srv",
			"S: 250 AUTH PLAIN", "C: AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm",
			"S: 235 ok", "C: MAIL FROM:<a@x.example> AUTH=<>",
			"E: starttls credentials ready"}},
	{"STARTTLS gone where it is demanded", ONE, .verified = true,
		.options = {.tls = SMTP_CLIENT_TLS_REQUIRE, .auth = true},
		.script = {HELO, "S: 250-srv", "S: 250 AUTH PLAIN LOGIN",
			"c: ", "E: failed(STARTTLS,later,0)"}},
	{"a binding is demanded, and offered", ONE, .verified = true, .binding = true,
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT,
			.auth = true,
			.mechanisms = SASL_MASK(SASL_MECHANISM_SCRAM_SHA_256_PLUS)},
		.script = {READY_WITH("AUTH PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS"),
			"C: AUTH SCRAM-SHA-256-PLUS "
			"cD10bHMtZXhwb3J0ZXIsLG49dGltLHI9QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB",
			"S: 535 5.7.8 no", "E: credentials failed(AUTH,permanent,refused,535)"}},
	{"a binding is demanded, and the server has none", ONE, .verified = true, .binding = true,
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT,
			.auth = true,
			.mechanisms = SASL_MASK(SASL_MECHANISM_SCRAM_SHA_256_PLUS) |
				SASL_MASK(SASL_MECHANISM_SCRAM_SHA_512_PLUS)},
		.script = {READY_WITH("AUTH PLAIN SCRAM-SHA-256 SCRAM-SHA-512"),
			"c: ", "E: failed(AUTH,permanent,account,0)"}},
	{"a binding is demanded, and TLS gives none", ONE, .verified = true,
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT,
			.auth = true,
			.mechanisms = SASL_MASK(SASL_MECHANISM_SCRAM_SHA_256_PLUS)},
		.script = {READY_WITH("AUTH PLAIN SCRAM-SHA-256-PLUS"),
			"c: ", "E: failed(AUTH,permanent,account,0)"}},
	{"504 and then none is left: nobody has refused the login", ONE, .verified = true,
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT, .auth = true},
		.script = {READY_WITH("AUTH PLAIN"), "C: AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm",
			"S: 504 5.5.4 no",
			"c: ", "E: credentials failed(AUTH,permanent,account,504)"}},
	{"538: another one", ONE, .verified = true,
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT, .auth = true},
		.script = {READY_WITH("AUTH PLAIN LOGIN"),
			"C: AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm", "S: 538 5.7.11 no",
			"C: AUTH LOGIN", "S: 421 4.3.0 bye",
			"E: credentials credentials failed(AUTH,later,421)"}},
	{"432: the password must be changed", ONE, .verified = true,
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT, .auth = true},
		.script = {READY_WITH("AUTH PLAIN"), "C: AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm",
			"S: 432 4.7.12 change it",
			"E: credentials failed(AUTH,later,refused,432)"}},

	{"XOAUTH2, Google's example", ONE, .verified = true, .user = "someuser@example.com",
		.secret = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg",
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT,
			.auth = true,
			.credential = SASL_CREDENTIAL_TOKEN},
		.script = {READY_WITH("AUTH LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN XOAUTH"),
			"C: AUTH XOAUTH2 " GOOGLE_B64, "S: 235 2.7.0 Accepted",
			"C: MAIL FROM:<a@x.example> AUTH=<>", "E: credentials ready"}},
	{"XOAUTH2 refused: its reasons, an empty answer, 535", ONE, .verified = true,
		.user = "someuser@example.com",
		.secret = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg",
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT,
			.auth = true,
			.credential = SASL_CREDENTIAL_TOKEN},
		.auth_error = "{\"status\":\"401\",\"schemes\":\"bearer mac\","
			      "\"scope\":\"https://mail.google.com/\"}\n",
		.script = {READY_WITH("AUTH XOAUTH2"), "C: AUTH XOAUTH2 " GOOGLE_B64,
			"S: 334 "
			"eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiYmVhcmVyIG1hYyIsInNjb3BlIjoiaHR0cHM6L"
			"y9tYWlsLmdvb2dsZS5jb20vIn0K",
			"C: ", "S: 535 5.7.8 Username and Password not accepted",
			"c: ", "E: credentials failed(AUTH,permanent,refused,535)"}},
	{"OAUTHBEARER, RFC 7628", ONE, .verified = true, .user = "user@example.com",
		.secret = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==",
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT,
			.auth = true,
			.credential = SASL_CREDENTIAL_TOKEN,
			.host = {(const uint8_t *)"server.example.com", 18},
			.port = 587},
		.script = {READY_WITH("AUTH PLAIN XOAUTH2 OAUTHBEARER"),
			"C: AUTH OAUTHBEARER " RFC_7628_B64, "S: 235 ok",
			"C: MAIL FROM:<a@x.example> AUTH=<>", "E: credentials ready"}},
	{"OAUTHBEARER refused, and 235 all the same", ONE, .verified = true,
		.user = "user@example.com", .secret = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==",
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT,
			.auth = true,
			.credential = SASL_CREDENTIAL_TOKEN,
			.host = {(const uint8_t *)"server.example.com", 18},
			.port = 587},
		.auth_error = "{\"status\":\"invalid_token\",\"schemes\":\"bearer mac\","
			      "\"scope\":\"https://mail.example.com/\"}",
		.script = {READY_WITH("AUTH OAUTHBEARER"), "C: AUTH OAUTHBEARER " RFC_7628_B64,
			"S: 334 "
			"eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NoZW1lcyI6ImJlYXJlciBtYWMiLCJzY29wZS"
			"I6Imh0"
			"dHBzOi8vbWFpbC5leGFtcGxlLmNvbS8ifQ==",
			"C: AQ==", "S: 235 ok",
			"c: ", "E: credentials failed(AUTH,later,account,235)"}},
	{"a token refused twice", ONE, .verified = true, .user = "u", .secret = "t",
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT,
			.auth = true,
			.credential = SASL_CREDENTIAL_TOKEN},
		.auth_error = "{}",
		.script = {READY_WITH("AUTH XOAUTH2"),
			"C: AUTH XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIHQBAQ==", "S: 334 e30=", "C: ",
			"S: 334 e30=", "C: *", "S: 501 ok",
			"E: credentials failed(AUTH,later,account,0)"}},
	{"a token server that is not well: the account is fine", ONE, .verified = true, .user = "u",
		.secret = "t",
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT,
			.auth = true,
			.credential = SASL_CREDENTIAL_TOKEN},
		.auth_error = "{}",
		.script = {READY_WITH("AUTH XOAUTH2"),
			"C: AUTH XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIHQBAQ==", "S: 334 e30=", "C: ",
			"S: 454 4.7.0 later", "E: credentials failed(AUTH,later,454)"}},
	{"a token never without verified TLS", ONE, .user = "u", .secret = "t",
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT,
			.auth = true,
			.credential = SASL_CREDENTIAL_TOKEN},
		.script = {READY_WITH("AUTH XOAUTH2 OAUTHBEARER"),
			"c: ", "E: failed(AUTH,permanent,account,0)"}},
	{"a token is no password", ONE, .verified = true, .user = "u", .secret = "t",
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT,
			.auth = true,
			.credential = SASL_CREDENTIAL_TOKEN},
		.script = {READY_WITH("AUTH PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256"),
			"c: ", "E: failed(AUTH,permanent,account,0)"}},
	{"a password is no token", ONE, .verified = true,
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT, .auth = true},
		.script = {READY_WITH("AUTH XOAUTH2 OAUTHBEARER EXTERNAL GSSAPI DIGEST-MD5"),
			"c: ", "E: failed(AUTH,permanent,account,0)"}},
	{"a token that is none", ONE, .verified = true, .user = "u", .secret = "t\1auth=x",
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT,
			.auth = true,
			.credential = SASL_CREDENTIAL_TOKEN},
		.script = {READY_WITH("AUTH XOAUTH2"),
			"c: ", "E: credentials failed(AUTH,permanent,account,0)"}},

	{"EXTERNAL, as the certificate says", ONE, .verified = true, .user = "", .secret = "",
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT,
			.auth = true,
			.credential = SASL_CREDENTIAL_CERTIFICATE},
		.script = {READY_WITH("AUTH PLAIN EXTERNAL"), "C: AUTH EXTERNAL =", "S: 235 ok",
			"C: MAIL FROM:<a@x.example> AUTH=<>", "E: credentials ready"}},
	{"EXTERNAL, asked again", ONE, .verified = true, .user = "", .secret = "",
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT,
			.auth = true,
			.credential = SASL_CREDENTIAL_CERTIFICATE},
		.script = {READY_WITH("AUTH EXTERNAL"), "C: AUTH EXTERNAL =", "S: 334 ", "C: ",
			"S: 235 ok", "C: MAIL FROM:<a@x.example> AUTH=<>", "E: credentials ready"}},
	{"EXTERNAL, as somebody", ONE, .verified = true, .secret = "",
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT,
			.auth = true,
			.credential = SASL_CREDENTIAL_CERTIFICATE},
		.script = {READY_WITH("AUTH EXTERNAL"), "C: AUTH EXTERNAL dGlt", "S: 535 no",
			"c: ", "E: credentials failed(AUTH,permanent,refused,535)"}},
	{"EXTERNAL never without verified TLS", ONE, .secret = "",
		.options = {.auth = true, .credential = SASL_CREDENTIAL_CERTIFICATE},
		.script = {READY_WITH("AUTH EXTERNAL"),
			"c: ", "E: failed(AUTH,permanent,account,0)"}},
	{"a certificate that TLS has shown, and no AUTH", ONE, .verified = true, .secret = "",
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT,
			.auth = true,
			.auth_if_offered = true,
			.credential = SASL_CREDENTIAL_CERTIFICATE},
		.script = {READY_WITH("AUTH PLAIN"), "C: MAIL FROM:<a@x.example>", "E: ready"}},
	{"a certificate that nobody has seen", ONE, .secret = "",
		.options = {.tls = SMTP_CLIENT_TLS_MAY,
			.auth = true,
			.auth_if_offered = true,
			.credential = SASL_CREDENTIAL_CERTIFICATE},
		.script = {READY_WITH("AUTH PLAIN"), "c: ", "E: failed(AUTH,permanent,account,0)"}},
	{"a password is never left out", ONE, .verified = true,
		.options = {.tls = SMTP_CLIENT_TLS_IMPLICIT, .auth = true, .auth_if_offered = true},
		.script = {READY_WITH("PIPELINING"), "c: ", "E: failed(AUTH,permanent,account,0)"}},

	{"RSET before the second message", ONE, .reports_all = true,
		.script = {READY_WITH("PIPELINING"),
			"c: MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n",
			"s: 250 ok\r\n250 ok\r\n354 go\r\n", "c: hi\r\n.\r\n", "S: 250 ok",
			"c: RSET\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n",
			"s: 250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n", "c: hi\r\n.\r\n",
			"S: 250 ok", "C: QUIT",
			"E: ready mail:250 rcpt0:250 body message:250 done mail:250 rcpt0:250 body "
			"message:250 done"}},
	{"RSET and MAIL one by one without PIPELINING", ONE, .reports_all = true,
		.script = {HELO, "S: 250 srv", "C: MAIL FROM:<a@x.example>", "S: 550 no", "C: RSET",
			"S: 250 ok", "C: MAIL FROM:<a@x.example>", "S: 250 ok",
			"C: RCPT TO:<b@y.example>", "E: ready mail:550 done mail:250"}},
	{"RSET refused", ONE, .reports_all = true,
		.script = {HELO, "S: 250 srv", "C: MAIL FROM:<a@x.example>", "S: 550 no", "C: RSET",
			"S: 502 what", "c: ", "E: ready mail:550 done failed(MAIL,later,502)"}},

	{"all parameters", .sender = "a@x.example", .rcpts = {"b@y.example"},
		.mail = {.size_bytes = 70000,
			.body_8bit = true,
			.smtputf8 = true,
			.ret = SMTP_DSN_RET_HDRS},
		.script = {HELO,
			"s: 250-srv\r\n250-size 100000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
			"250-AUTH PLAIN\r\n250 dsn\r\n",
			"C: MAIL FROM:<a@x.example> SIZE=70000 BODY=8BITMIME SMTPUTF8 RET=HDRS "
			"ENVID=id+2B",
			"S: 250 ok",
			"C: RCPT TO:<b@y.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@y.example",
			"E: ready mail:250"}},
	{"larger than SIZE", ONE, .mail = {.size_bytes = 70000},
		.script = {READY_WITH("SIZE 1000"), "C: QUIT", "E: ready mail:552* done"}},
	{"SMTPUTF8 not offered", .sender = "a@x.example", .rcpts = {"b@y.example"},
		.mail = {.smtputf8 = true},
		.script = {READY_WITH("8BITMIME"), "C: QUIT", "E: ready mail:553* done"}},
	{"LIMITS RCPTMAX", .sender = "a@x.example", .rcpts = {"b@y.example", "c@y.example"},
		.script = {READY_WITH("LIMITS RCPTMAX=1 MAILMAX=2"), "C: MAIL FROM:<a@x.example>",
			"S: 250 ok", "C: RCPT TO:<b@y.example>", "S: 250 ok", "C: DATA",
			"E: ready rcpt1:452* mail:250 rcpt0:250"}},
	{"CR in the sender", .sender = "a\r\nRCPT TO:<z@z>@x", .rcpts = {"b@y.example"},
		.script = {HELO, "S: 250 srv", "C: QUIT", "E: ready mail:553* done"}},
	{"a path in the sender", .sender = "a> SIZE=1 <b@x", .rcpts = {"b@y.example"},
		.script = {HELO, "S: 250 srv", "C: QUIT", "E: ready mail:553* done"}},
	{"LF in the only recipient", .sender = "", .rcpts = {"b\n@y.example"},
		.script = {HELO, "S: 250 srv", "C: QUIT", "E: ready rcpt0:553* done"}},
	{"quoted local part", .sender = "\"a b>\"@x.example", .rcpts = {"b@y.example"},
		.script = {HELO, "S: 250 srv", "C: MAIL FROM:<\"a b>\"@x.example>", "E: ready"}},
	{"8-bit recipient of an ASCII message", .sender = "", .rcpts = {"\xc3\xa4@y.example"},
		.script = {READY_WITH("SMTPUTF8"), "C: QUIT", "E: ready rcpt0:553* done"}},
	{"host name with a line in it", ONE,
		.options = {.helo_name = {(const uint8_t *)"a\r\nb", 4}},
		.script = {"c: ", "E: failed(greeting,permanent,0)"}},
	{"unasked words when idle",
		.script = {HELO, "S: 250 srv", "c: ", "S: 250 what",
			"E: ready failed(MAIL,later,250)"}},
	{"refused in the middle of the body", ONE, .body = "#wait#",
		.script = {READY_WITH("PIPELINING"),
			"c: MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n",
			"s: 250 ok\r\n250 ok\r\n354 go\r\n", "c: ", "S: 552 5.3.4 too big",
			"E: ready mail:250 rcpt0:250 message:552 failed(DATA,later,552)"}},
};

struct run {
	const struct row *row;
	struct smtp_client *client;
	struct base_buf out, events;
	struct smtp_client_rcpt rcpts[4];
	size_t rcpt_count;
	unsigned sent;
	bool ended;
};

static void send_mail(struct run *r)
{
	const struct row *row = r->row;
	struct smtp_client_mail mail = row->mail;

	if (!row->sender)
		return;
	mail.sender = base_slice_text(row->sender);
	if (mail.auth_identity && !mail.auth.len)
		mail.auth = BASE_SLICE("a+b@x.example");
	if (mail.ret) {
		mail.envid = BASE_SLICE("id+2B");
		r->rcpts[0].notify = SMTP_DSN_NOTIFY_SUCCESS | SMTP_DSN_NOTIFY_DELAY;
		r->rcpts[0].orcpt = BASE_SLICE("rfc822;b@y.example");
	}
	for (r->rcpt_count = 0; r->rcpt_count < 4 && row->rcpts[r->rcpt_count]; r->rcpt_count++)
		r->rcpts[r->rcpt_count].address = base_slice_text(row->rcpts[r->rcpt_count]);
	r->sent++;
	smtp_client_send_mail(r->client, &mail, r->rcpts, r->rcpt_count, &r->out);
}

static void note(struct run *r, const char *format, ...) BASE_PRINTF(2, 3);

static void note(struct run *r, const char *format, ...)
{
	va_list args;

	if (r->events.len)
		base_buf_append_byte(&r->events, ' ');
	va_start(args, format);
	base_buf_vprintf(&r->events, format, args);
	va_end(args);
}

static void note_reply(struct run *r, const char *what, bool index)
{
	const char *local = smtp_client_reply_is_local(r->client) ? "*" : "";
	unsigned code = smtp_client_reply(r->client)->code;

	if (index)
		note(r, "%s%zu:%u%s", what, smtp_client_rcpt_index(r->client), code, local);
	else
		note(r, "%s:%u%s", what, code, local);
}

static void note_failure(struct run *r)
{
	const struct smtp_client_failure *f = smtp_client_failure(r->client);

	if (r->ended)
		return;
	assert_non_null(f->reason);
	assert_true(f->reason[0] != '\0');
	assert_true(f->account || !f->refused);
	note(r, "failed(%s,%s%s%s,%u)", smtp_client_stage_name(f->stage),
		f->permanent ? "permanent" : "later",
		f->refused           ? ",refused"
			: f->account ? ",account"
				     : "",
		f->maybe_delivered ? ",maybe" : "", smtp_client_reply(r->client)->code);
	r->ended = true;
}

static bool give_body(struct run *r)
{
	const char *body = r->row->body ? r->row->body : "hi\r\n";
	size_t len = strlen(body), at = 0, used;

	if (!strcmp(body, "#wait#"))
		return false;
	note(r, "body");
	if (!r->row->mail.size_bytes) /* byte by byte, to cross every edge */
		for (; at < len; at++) {
			smtp_client_body(
				r->client, base_slice_make(body + at, 1), false, &used, &r->out);
			assert_int_equal(used, 1);
		}
	smtp_client_body(r->client, base_slice_make(body + at, len - at), true, &used, &r->out);
	assert_int_equal(used, len - at);
	return true;
}

static void on_done(struct run *r)
{
	note(r, "done");
	if (r->row->reports_all && r->sent < 2)
		send_mail(r);
	else
		smtp_client_quit(r->client, &r->out);
}

static void tls_done(struct run *r)
{
	bool binding = r->row->binding;

	smtp_client_tls_done(r->client, binding ? SASL_BINDING_TLS_EXPORTER : SASL_BINDING_NONE,
		binding ? BASE_SLICE("0123456789abcdef") : BASE_SLICE_EMPTY, r->row->verified,
		&r->out);
}

static void feed(struct run *r, struct base_slice in)
{
	static const uint8_t random[SASL_CLIENT_RANDOM_BYTES];
	size_t used;

	for (;;) {
		switch (smtp_client_push(r->client, in, &used, &r->out)) {
		case SMTP_CLIENT_MORE:
			assert_int_equal(used, in.len);
			return;
		case SMTP_CLIENT_STARTTLS:
			note(r, "starttls");
			tls_done(r);
			break;
		case SMTP_CLIENT_CREDENTIALS:
			note(r, "credentials");
			smtp_client_credentials(r->client,
				base_slice_text(r->row->user ? r->row->user : "tim"),
				base_slice_text(
					r->row->secret ? r->row->secret : "tanstaaftanstaaf"),
				base_slice_make(random, sizeof(random)), &r->out);
			break;
		case SMTP_CLIENT_READY:
			note(r, "ready");
			send_mail(r);
			break;
		case SMTP_CLIENT_MAIL_REPLY:
			note_reply(r, "mail", false);
			break;
		case SMTP_CLIENT_RCPT_REPLY:
			note_reply(r, "rcpt", true);
			break;
		case SMTP_CLIENT_MESSAGE_REPLY:
			note_reply(r, "message", r->row->options.lmtp);
			break;
		case SMTP_CLIENT_BODY:
			if (!give_body(r))
				return;
			break;
		case SMTP_CLIENT_DONE:
			on_done(r);
			break;
		case SMTP_CLIENT_FAILED:
			note_failure(r);
			return;
		case SMTP_CLIENT_CLOSED:
			note(r, "closed");
			return;
		}
		in = base_slice_from(in, used);
	}
}

static void server_says(struct run *r, const char *text, bool crlf, size_t step)
{
	size_t len = strlen(text) + (crlf ? 2 : 0), at, n;
	uint8_t *bytes = malloc(len + 1);

	snprintf((char *)bytes, len + 1, "%s%s", text, crlf ? "\r\n" : "");
	for (at = 0; at < len; at += n) {
		n = len - at < step ? len - at : step;
		uint8_t *copy = malloc(n);

		memcpy(copy, bytes + at, n);
		feed(r, base_slice_make(copy, n));
		free(copy);
	}
	free(bytes);
}

static void expect_said(struct run *r, const char *text, bool crlf)
{
	struct base_buf want;

	base_buf_init(&want, OUT_MAX);
	base_buf_append_text(&want, text);
	if (crlf)
		base_buf_append_text(&want, "\r\n");
	if (!base_slice_equal(base_buf_slice(&want), base_buf_slice(&r->out)))
		fail_msg("%s: we said \"%s\", not \"%s\"", r->row->name, base_buf_text(&r->out),
			base_buf_text(&want));
	base_buf_clear(&r->out);
	base_buf_release(&want);
}

static void play(const struct row *row, size_t step)
{
	struct run r = {.row = row};
	struct smtp_client_options options = row->options;
	const char *const *line;

	if (!options.helo_name.len)
		options.helo_name = BASE_SLICE("me.example");
	r.client = smtp_client_new(&options);
	base_buf_init_secret(&r.out, OUT_MAX);
	base_buf_init(&r.events, OUT_MAX);
	if (options.tls == SMTP_CLIENT_TLS_IMPLICIT)
		tls_done(&r);
	feed(&r, BASE_SLICE_EMPTY);
	for (line = row->script; *line; line++) {
		const char *text = strlen(*line) > 3 ? *line + 3 : "";

		switch (**line) {
		case 'S':
		case 's':
			server_says(&r, text, **line == 'S', step);
			break;
		case 'C':
		case 'c':
			expect_said(&r, text, **line == 'C');
			break;
		case 'X':
			if (smtp_client_eof(r.client, "closed") == SMTP_CLIENT_FAILED)
				note_failure(&r);
			else
				note(&r, "closed");
			break;
		case 'E':
			if (strcmp(text, base_buf_text(&r.events)))
				fail_msg("%s: events \"%s\"", row->name, base_buf_text(&r.events));
			base_buf_clear(&r.events);
			break;
		default:
			fail_msg("%s: bad script", row->name);
		}
	}
	if (!base_slice_equal_text(
		    smtp_client_auth_error(r.client), row->auth_error ? row->auth_error : ""))
		fail_msg("%s: auth error \"%.*s\"", row->name,
			BASE_SLICE_ARGS(smtp_client_auth_error(r.client)));
	smtp_client_free(&r.client);
	assert_null(r.client);
	base_buf_release(&r.out);
	base_buf_release(&r.events);
}

static void test_conversations(void **state)
{
	size_t i;

	for (i = 0; i < BASE_COUNT(rows); i++) {
		play(&rows[i], SIZE_MAX);
		if (!rows[i].whole_only)
			play(&rows[i], 1);
	}
}

/* The connection may end after any byte of the server's: the session then says so, once. */
static void test_cut_anywhere(void **state)
{
	static const char script[] = "220 hi\r\n250-srv\r\n250 PIPELINING\r\n"
				     "250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n";
	static const struct row row = {"cut", ONE};
	struct smtp_client_options options = {.helo_name = BASE_SLICE("me.example")};
	size_t cut, at;

	for (cut = 0; cut < sizeof(script); cut++) {
		struct run r = {.row = &row};

		r.client = smtp_client_new(&options);
		base_buf_init(&r.out, OUT_MAX);
		base_buf_init(&r.events, OUT_MAX);
		for (at = 0; at < cut; at++)
			feed(&r, base_slice_make(script + at, 1));
		assert_int_equal(smtp_client_eof(r.client, "closed"),
			cut < sizeof(script) - 1 ? SMTP_CLIENT_FAILED : SMTP_CLIENT_CLOSED);
		smtp_client_free(&r.client);
		base_buf_release(&r.out);
		base_buf_release(&r.events);
	}
}

static void test_endless_rounds(void **state)
{
	static const struct row row = {"rounds", ONE};
	struct smtp_client_options options = {.helo_name = BASE_SLICE("me.example"),
		.auth = true,
		.allow_plaintext_without_tls = true};
	struct run r = {.row = &row};
	unsigned round;

	r.client = smtp_client_new(&options);
	base_buf_init_secret(&r.out, OUT_MAX);
	base_buf_init(&r.events, OUT_MAX);
	feed(&r, BASE_SLICE("220 hi\r\n250-srv\r\n250 AUTH LOGIN\r\n"));
	for (round = 0; round < 200 && !r.ended; round++)
		feed(&r, BASE_SLICE("334 VXNlcm5hbWU6\r\n"));
	assert_true(r.ended);
	assert_true(round <= 102);
	smtp_client_free(&r.client);
	base_buf_release(&r.out);
	base_buf_release(&r.events);
}

static void never_the_response(void *arg, bool sent, struct base_slice line)
{
	assert_null(memmem(line.ptr, line.len, "AHUAcA==", 8));
}

/* A server that repeats what it was sent does not bring a password into reports. */
static void test_repeated_response(void **state)
{
	static const struct row row = {"repeats", ONE};
	struct smtp_client_options options = {.helo_name = BASE_SLICE("me.example"),
		.auth = true,
		.allow_plaintext_without_tls = true};
	struct run r = {.row = &row};
	const struct smtp_client_reply *reply;
	size_t used;

	r.client = smtp_client_new(&options);
	base_buf_init_secret(&r.out, OUT_MAX);
	smtp_client_set_trace(r.client, (struct smtp_client_trace){never_the_response, NULL});
	assert_int_equal(
		smtp_client_push(r.client, BASE_SLICE("220 hi\r\n250-srv\r\n250 AUTH PLAIN\r\n"),
			&used, &r.out),
		SMTP_CLIENT_CREDENTIALS);
	smtp_client_credentials(r.client, BASE_SLICE("u"), BASE_SLICE("p"),
		base_slice_make((const uint8_t[64]){0}, 64), &r.out);
	assert_non_null(memmem(r.out.ptr, r.out.len, "AHUAcA==", 8));
	assert_int_equal(
		smtp_client_push(r.client, BASE_SLICE("535-5.7.8 no\r\n535 5.7.8 <AHUAcA==>\r\n"),
			&used, &r.out),
		SMTP_CLIENT_FAILED);
	reply = smtp_client_reply(r.client);
	assert_int_equal(reply->code, 535);
	assert_string_equal(reply->enhanced, "5.7.8");
	assert_null(strstr(reply->text, "AHUAcA=="));
	assert_int_equal(reply->text_len, strlen(reply->text));
	smtp_client_free(&r.client);
	base_buf_release(&r.out);
}

struct traced {
	struct base_buf text;
};

static void on_trace(void *arg, bool sent, struct base_slice line)
{
	struct traced *t = arg;

	base_buf_append_text(&t->text, sent ? "> " : "< ");
	base_buf_append_slice(&t->text, line);
	base_buf_append_byte(&t->text, '\n');
}

static void test_trace_masks_secrets(void **state)
{
	static const struct row row = {"trace", ONE};
	struct smtp_client_options options = {.helo_name = BASE_SLICE("me.example"),
		.auth = true,
		.allow_plaintext_without_tls = true};
	struct run r = {.row = &row};
	struct traced t;

	base_buf_init(&t.text, OUT_MAX);
	r.client = smtp_client_new(&options);
	smtp_client_set_trace(r.client, (struct smtp_client_trace){on_trace, &t});
	base_buf_init_secret(&r.out, OUT_MAX);
	base_buf_init(&r.events, OUT_MAX);
	feed(&r, BASE_SLICE("220 hi\r\n250-srv\r\n250 AUTH PLAIN\r\n235 ok\r\n"));
	assert_string_equal(base_buf_text(&t.text),
		"< 220 hi\n> EHLO me.example\n< 250-srv\n< 250 AUTH PLAIN\n"
		"> AUTH PLAIN [initial response]\n< 235 ok\n> MAIL FROM:<a@x.example> AUTH=<>\n");
	smtp_client_free(&r.client);
	base_buf_release(&r.out);
	base_buf_release(&r.events);
	base_buf_release(&t.text);
}

/* RSET that the caller asked for does for the next MAIL as well. */
static void test_rset_once(void **state)
{
	static const struct row row = {"rset", ONE, .reports_all = true};
	struct smtp_client_options options = {.helo_name = BASE_SLICE("me.example")};
	struct run r = {.row = &row};
	size_t used;

	r.client = smtp_client_new(&options);
	base_buf_init(&r.out, OUT_MAX);
	base_buf_init(&r.events, OUT_MAX);
	assert_int_equal(
		smtp_client_push(r.client, BASE_SLICE("220 hi\r\n250 srv\r\n"), &used, &r.out),
		SMTP_CLIENT_READY);
	send_mail(&r);
	assert_int_equal(smtp_client_push(r.client, BASE_SLICE("550 no\r\n"), &used, &r.out),
		SMTP_CLIENT_MAIL_REPLY);
	assert_int_equal(
		smtp_client_push(r.client, BASE_SLICE_EMPTY, &used, &r.out), SMTP_CLIENT_DONE);
	base_buf_clear(&r.out);
	smtp_client_rset(r.client, &r.out);
	expect_said(&r, "RSET", true);
	assert_int_equal(smtp_client_push(r.client, BASE_SLICE("250 ok\r\n"), &used, &r.out),
		SMTP_CLIENT_READY);
	send_mail(&r);
	expect_said(&r, "MAIL FROM:<a@x.example>", true);
	smtp_client_free(&r.client);
	base_buf_release(&r.out);
	base_buf_release(&r.events);
}

static void test_offer(void **state)
{
	struct smtp_client_options options = {.helo_name = BASE_SLICE("me.example")};
	struct smtp_client *c = smtp_client_new(&options);
	struct smtp_client_rcpt rcpts[3] = {{.address = BASE_SLICE("a@x")},
		{.address = BASE_SLICE("b@X")}, {.address = BASE_SLICE("c@y")}};
	struct base_buf out;
	size_t used;

	base_buf_init(&out, OUT_MAX);
	assert_int_equal(
		smtp_client_push(c, BASE_SLICE("220 hi\r\n"), &used, &out), SMTP_CLIENT_MORE);
	assert_int_equal(
		smtp_client_push(c,
			BASE_SLICE("250-srv PIPELINING\r\n250-SIZE 18446744073709551616\r\n"
				   "250-AUTH  plain x-foo  scram-sha-256-plus\r\n250-LIMITS "
				   "MAILMAX=1 RCPTDOMAINMAX=1 RCPTMAX=0\r\n"
				   "250 AUTH=LOGIN\r\n"),
			&used, &out),
		SMTP_CLIENT_READY);
	assert_int_equal(
		smtp_client_extensions(c), SMTP_EXT_SIZE | SMTP_EXT_AUTH | SMTP_EXT_LIMITS);
	assert_int_equal(smtp_client_size_max(c), 0);
	assert_int_equal(smtp_client_mechanisms(c),
		SASL_MASK(SASL_MECHANISM_PLAIN) | SASL_MASK(SASL_MECHANISM_LOGIN) |
			SASL_MASK(SASL_MECHANISM_SCRAM_SHA_256_PLUS));
	assert_int_equal(smtp_client_rcpt_fit(c, rcpts, 3), 2);
	smtp_client_free(&c);
	base_buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conversations),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_endless_rounds),
		cmocka_unit_test(test_repeated_response),
		cmocka_unit_test(test_trace_masks_secrets),
		cmocka_unit_test(test_rset_once),
		cmocka_unit_test(test_offer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
