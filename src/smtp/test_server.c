#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/test_session.h"

#include <stdio.h>

/* Conversations as data: what the client sends, what the server must say, what must happen. Each row
 * runs whole, byte by byte, and cut in two at every place; the result must be the same. */

static const struct test_setup open_setup = {
	.announced = "PLAIN LOGIN CRAM-MD5",
	.size_max_bytes = 1000,
	.recipients_max = 3,
};
static const struct test_setup submission = {
	.flags = SMTP_SERVER_TLS_OFFER | SMTP_SERVER_AUTH_REQUIRED | SMTP_SERVER_REQUIRE_FQDN,
	.announced = "CRAM-MD5",
	.needs_tls = "PLAIN LOGIN",
	.announced_tls = "PLAIN LOGIN",
	.recipients_max = 3,
};
static const struct test_setup tls_broken = {
	.flags = SMTP_SERVER_TLS_OFFER,
	.tls_fails = true,
};
static const struct test_setup tls_required = {
	.flags = SMTP_SERVER_TLS_OFFER | SMTP_SERVER_TLS_REQUIRED,
	.announced = "CRAM-MD5",
	.needs_tls = "PLAIN",
	.announced_tls = "PLAIN",
};
static const struct test_setup trusting = {
	.flags = SMTP_SERVER_TRUST_AUTH_PARAM | SMTP_SERVER_AUTH_LEGACY,
	.announced = "PLAIN",
	.size_max_bytes = 1000,
};

#define GREET "220 mx.test ESMTP Postern\r\n"
#define TAIL "250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-CHUNKING\r\n"
#define LAST "250 ENHANCEDSTATUSCODES\r\n"
#define LIMITS "250-LIMITS RCPTMAX=3\r\n"
#define TOP "250-mx.test\r\n250-PIPELINING\r\n"
#define HELLO TOP "250-SIZE 1000\r\n250-AUTH PLAIN LOGIN CRAM-MD5\r\n" TAIL LIMITS LAST
#define HELLO_IN TOP "250-SIZE 1000\r\n" TAIL LIMITS LAST
#define OK "250 2.0.0 ok\r\n"
#define MAIL_OK "250 2.1.0 ok\r\n"
#define RCPT_OK "250 2.1.5 ok\r\n"
#define GO "354 go\r\n"
#define QUEUED "250 2.0.0 queued\r\n"
#define CHUNK_OK "250 2.0.0 chunk taken\r\n"
#define BYE "221 2.0.0 goodbye\r\n"
#define ENOUGH "421 4.7.0 too many errors, goodbye\r\n"
#define EHLO "EHLO c\r\n"
#define START EHLO "MAIL FROM:<a@x.y>\r\nRCPT TO:<b@x.y>\r\n"
#define STARTED GREET HELLO MAIL_OK RCPT_OK
#define STARTED_LOG "hello:c mail:a@x.y rcpt:b@x.y"

struct row {
	const char *name;
	const struct test_setup *setup;
	struct base_slice client;
	const char *server;
	struct base_slice events;
};
#define S(literal) \
	{ \
		(const uint8_t *)(literal), sizeof(literal) - 1 \
	}

static const struct row rows[] = {
	{"a message", &open_setup, S(START "DATA\r\nSubject: x\r\n\r\nhi\r\n.\r\nQUIT\r\n"),
		STARTED GO QUEUED BYE,
		S(STARTED_LOG " data message:Subject: x\r\n\r\nhi\r\n close")},
	{"two messages", &open_setup,
		S(START "DATA\r\na\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<PostMaster>\r\nDATA\r\n.\r\n"),
		STARTED GO QUEUED MAIL_OK RCPT_OK GO QUEUED,
		S(STARTED_LOG " data message:a\r\n mail: rcpt:postmaster data message:")},
	{"lower case and blanks", &open_setup,
		S("ehlo  c \r\nmail from: <a@x.y> size=5\r\nrcpt to:\t<b@x.y>\t\r\nrset \r\nnoop "
		  "x\r\n"),
		GREET HELLO MAIL_OK RCPT_OK OK OK, S(STARTED_LOG " reset")},
	{"dots", &open_setup, S(START "DATA\r\n..\r\n..a\r\n.b\r\n...\r\n.\r\n"), STARTED GO QUEUED,
		S(STARTED_LOG " data message:.\r\n.a\r\nb\r\n..\r\n")},
	{"helo", &open_setup,
		S("HELO c\r\nAUTH PLAIN AHUAcA==\r\nMAIL FROM:<a@x.y> SIZE=1\r\nMAIL "
		  "FROM:<a@x.y>\r\n"
		  "RCPT TO:<b@x.y> NOTIFY=NEVER\r\n"),
		GREET
		"250 mx.test\r\n503 5.5.1 EHLO first\r\n555 5.5.4 parameters need EHLO\r\n" MAIL_OK
		"555 5.5.4 parameters need EHLO\r\n",
		S("hello:c mail:a@x.y")},
	{"before ehlo", &open_setup,
		S("MAIL FROM:<a@x.y>\r\nRCPT TO:<a@x.y>\r\nDATA\r\nAUTH PLAIN\r\nSTARTTLS\r\nVRFY "
		  "a\r\n"
		  "NOOP\r\nRSET\r\nHELP\r\nEXPN a\r\nETRN x\r\nQUIT\r\n"),
		GREET
		"503 5.5.1 EHLO first\r\n503 5.5.1 EHLO first\r\n503 5.5.1 EHLO first\r\n"
		"503 5.5.1 EHLO first\r\n503 5.5.1 EHLO first\r\n503 5.5.1 EHLO first\r\n" OK OK
		"214 2.0.0 EHLO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\r\n"
		"502 5.5.1 not implemented\r\n500 5.5.2 command not recognized\r\n" BYE,
		S("close")},
	{"order", &open_setup,
		S(EHLO "RCPT TO:<b@x.y>\r\nDATA\r\nMAIL FROM:<a@x.y>\r\nMAIL "
		       "FROM:<a@x.y>\r\nDATA\r\n"
		       "AUTH PLAIN AHUAcA==\r\nSTARTTLS\r\nDATA x\r\n"),
		GREET HELLO
		"503 5.5.1 MAIL first\r\n503 5.5.1 MAIL and RCPT first\r\n" MAIL_OK
		"503 5.5.1 a transaction is open already\r\n554 5.5.1 no valid recipients\r\n"
		"503 5.5.1 not inside a transaction\r\n503 5.5.1 not inside a transaction\r\n"
		"554 5.5.1 no valid recipients\r\n",
		S("hello:c mail:a@x.y")},
	{"nothing changes mid-transaction", &open_setup,
		S(START "VRFY \xc3\xa9\r\nEXPN x\r\nNOOP (((\r\nNOOP \"\r\nHELP "
			"x\r\nFOO\r\nEHLO\r\nHELO a b\r\n"
			"RCPT TO:<no@x.y>\r\nDATA\r\nok\r\n.\r\n"),
		STARTED
		"252 2.0.0 send some mail and see\r\n502 5.5.1 not implemented\r\n" OK OK
		"214 2.0.0 EHLO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\r\n"
		"500 5.5.2 command not recognized\r\n501 5.5.4 a host name is needed\r\n"
		"501 5.5.4 a host name is needed\r\n550 5.1.1 no\r\n" GO QUEUED,
		S(STARTED_LOG " rcpt:no@x.y data message:ok\r\n")},
	{"ehlo resets", &open_setup, S(START EHLO "RCPT TO:<b@x.y>\r\nDATA\r\n"),
		STARTED HELLO "503 5.5.1 MAIL first\r\n503 5.5.1 MAIL and RCPT first\r\n",
		S(STARTED_LOG " reset hello:c")},
	{"refused mail, pipelined", &open_setup,
		S(EHLO "MAIL FROM:<no@x.y>\r\nRCPT TO:<b@x.y>\r\nDATA\r\nQUIT\r\n"),
		GREET HELLO
		"550 5.7.1 no\r\n503 5.5.1 MAIL first\r\n503 5.5.1 MAIL and RCPT first\r\n" BYE,
		S("hello:c mail:no@x.y close")},
	{"refused message", &open_setup,
		S(START "DATA\r\nReject\r\n.\r\nRCPT TO:<b@x.y>\r\nDATA\r\n"),
		STARTED GO
		"554 5.7.1 rejected\r\n503 5.5.1 MAIL first\r\n503 5.5.1 MAIL and RCPT first\r\n",
		S(STARTED_LOG " data message:Reject\r\n")},
	{"a caller's 421 closes", &open_setup, S(START "RCPT TO:<end@x.y>\r\nDATA\r\n"),
		STARTED "421 4.3.2 end\r\n", S(STARTED_LOG " rcpt:end@x.y close")},
	{"too many recipients", &open_setup,
		S(START "RCPT TO:<c@x.y>\r\nRCPT TO:<no@x.y>\r\nRCPT TO:<d@x.y>\r\nRCPT "
			"TO:<e@x.y>\r\n"
			"DATA\r\n.\r\n"),
		STARTED RCPT_OK "550 5.1.1 no\r\n" RCPT_OK
				"452 4.5.3 too many recipients\r\n" GO QUEUED,
		S(STARTED_LOG " rcpt:c@x.y rcpt:no@x.y rcpt:d@x.y data message:")},
	{"size declared", &open_setup,
		S(EHLO "MAIL FROM:<a@x.y> SIZE=1001\r\nMAIL FROM:<a@x.y> "
		       "SIZE=99999999999999999999\r\n"
		       "MAIL FROM:<a@x.y> SIZE=-1\r\nMAIL FROM:<a@x.y> SIZE=1000\r\n"),
		GREET HELLO "552 5.3.4 message too large\r\n552 5.3.4 message too large\r\n"
			    "501 5.5.4 bad parameter\r\n" MAIL_OK,
		S("hello:c mail:a@x.y")},
	{"parameters", &open_setup,
		S(EHLO "MAIL FROM:<a@x.y> BODY=8BITMIME RET=HDRS ENVID=q+2B1 SMTPUTF8 AUTH=b@x.y "
		       "SIZE=9\r\n"
		       "RCPT TO:<b@x.y> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+40x\r\n"),
		GREET HELLO MAIL_OK RCPT_OK,
		S("hello:c mail:a@x.y auth= envid=q+2B1 rcpt:b@x.y orcpt=rfc822;b+40x")},
	{"bad parameters", &open_setup,
		S(EHLO "MAIL FROM:<a@x.y> FOO=1\r\nMAIL FROM:<a@x.y> =\r\nMAIL FROM:<a@x.y>\"\r\n"
		       "MAIL FROM:<a@x.y> RET=FULL RET=FULL\r\nMAIL FROM:<a@x.y> "
		       "BODY=BINARYMIME\r\n"
		       "MAIL FROM:<a@x.y> AUTH=x+0Ay@z\r\nMAIL FROM:<a@x.y> AUTH=a@x AUTH=a@x\r\n"
		       "MAIL a@x.y\r\nMAIL FROM:a@x.y\r\nMAIL\r\nMAIL FROM:<a@x.y> XFOO\r\n"),
		GREET HELLO
		"555 5.5.4 parameter not recognized\r\n501 5.5.4 bad parameter\r\n"
		"501 5.1.7 bad sender address\r\n501 5.5.4 bad parameter\r\n501 5.5.4 bad "
		"parameter\r\n"
		"501 5.5.4 bad parameter\r\n501 5.5.4 bad parameter\r\n"
		"501 5.5.4 syntax: MAIL FROM:<address>\r\n501 5.1.7 bad sender address\r\n"
		"501 5.5.4 syntax: MAIL FROM:<address>\r\n555 5.5.4 parameter not recognized\r\n",
		S("hello:c")},
	{"smtputf8", &open_setup,
		S(EHLO "MAIL FROM:<\xc3\xa9@x.y>\r\nMAIL FROM:<\xc3@x.y> SMTPUTF8\r\n"
		       "MAIL FROM:<\xc3\xa9@x.y> SMTPUTF8\r\nRCPT TO:<a@\xc3\xa9.y>\r\nRSET\r\n"
		       "MAIL FROM:<a@x.y>\r\nRCPT TO:<a@\xc3\xa9.y>\r\n"),
		GREET HELLO
		"553 5.6.7 address needs SMTPUTF8\r\n501 5.1.7 bad sender address\r\n" MAIL_OK
			RCPT_OK OK MAIL_OK "553 5.6.7 address needs SMTPUTF8\r\n",
		S("hello:c mail:\xc3\xa9@x.y rcpt:a@\xc3\xa9.y reset mail:a@x.y")},
	{"faulty lines", &open_setup,
		S("EHLO\0c\r\nEHLO c\rx\r\nMAIL FROM:<a@b>\nRCPT TO:<c@d>\r\n\r\n EHLO c\r\nEHLO "
		  "c\r\r\n"),
		GREET
		"500 5.5.2 NUL in a command\r\n500 5.5.2 CR without LF in a command\r\n"
		"500 5.5.2 LF without CR in a command\r\n500 5.5.2 command not recognized\r\n"
		"500 5.5.2 command not recognized\r\n500 5.5.2 CR without LF in a command\r\n",
		S("")},
	{"http", &open_setup, S("GET / HTTP/1.1\r\nHost: x\r\n\r\nEHLO c\r\n"),
		GREET "500 5.5.2 this is an SMTP server, goodbye\r\n", S("close")},
	{"a header field", &open_setup, S(EHLO "Subject: x\r\nQUIT\r\n"),
		GREET HELLO "500 5.5.2 this is an SMTP server, goodbye\r\n", S("hello:c close")},
	{"tls where none is", &open_setup, S("\x16\x03\x01\x02"), GREET "500 5.5.2 no TLS here\r\n",
		S("close")},
	{"twenty faults", &open_setup,
		S("A\r\nA\r\nA\r\nA\r\nA\r\nA\r\nA\r\nA\r\nA\r\nA\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r"
		  "\n\r\n"
		  "A\r\nQUIT\r\n"),
		GREET
#define BAD "500 5.5.2 command not recognized\r\n"
			BAD BAD BAD BAD BAD BAD BAD BAD BAD BAD BAD BAD BAD BAD BAD BAD BAD BAD BAD
				BAD ENOUGH,
		S("close")},
	{"storage failed", &open_setup,
		S(EHLO "MAIL FROM:<full@x.y>\r\nRCPT "
		       "TO:<b@x.y>\r\nDATA\r\na\r\nQUIT\r\n.\r\nDATA\r\n"),
		GREET HELLO MAIL_OK RCPT_OK GO
		"452 4.3.1 disk full\r\n503 5.5.1 MAIL and RCPT first\r\n",
		S("hello:c mail:full@x.y rcpt:b@x.y data reset")},

	/* BDAT */
	{"bdat", &open_setup, S(START "BDAT 4\r\na\r\n.BDAT 3\r\n\r\nbBDAT 2 LAST\r\n\r\nQUIT\r\n"),
		STARTED CHUNK_OK CHUNK_OK QUEUED BYE,
		S(STARTED_LOG " data message:a\r\n.\r\nb\r\n close")},
	{"bdat: cr and lf apart", &open_setup, S(START "BDAT 2\r\na\rBDAT 2 last\r\n\nbRSET\r\n"),
		STARTED CHUNK_OK QUEUED OK, S(STARTED_LOG " data message:a\r\nb\r\n")},
	{"bdat 0 last", &open_setup, S(START "BDAT 0 LAST\r\nNOOP\r\n"), STARTED QUEUED OK,
		S(STARTED_LOG " data message:")},
	{"bdat 0, then last", &open_setup, S(START "BDAT 0\r\nBDAT 3\r\na\r\nBDAT 0 LAST\r\n"),
		STARTED CHUNK_OK CHUNK_OK QUEUED, S(STARTED_LOG " data message:a\r\n")},
	{"bdat: data after", &open_setup,
		S(START "BDAT 3\r\na\r\nDATA\r\nMAIL FROM:<>\r\nRCPT TO:<b@x.y>\r\nRSET\r\nBDAT 1 "
			"LAST\r\nxNOOP\r\n"),
		STARTED CHUNK_OK "503 5.5.1 BDAT or RSET comes next\r\n"
				 "503 5.5.1 a transaction is open already\r\n503 5.5.1 BDAT or "
				 "RSET comes next\r\n" OK "503 5.5.1 MAIL and RCPT first\r\n" OK,
		S(STARTED_LOG " data reset")},
	{"bdat before ehlo", &open_setup, S("BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"),
		GREET "503 5.5.1 EHLO first\r\n" OK, S("")},
	{"bdat without rcpt voids", &open_setup,
		S(EHLO "MAIL FROM:<a@x.y>\r\nBDAT 6 LAST\r\nQUIT\r\nRCPT TO:<b@x.y>\r\n"),
		GREET HELLO MAIL_OK "503 5.5.1 MAIL and RCPT first\r\n503 5.5.1 MAIL first\r\n",
		S("hello:c mail:a@x.y reset")},
	{"bdat: bad size voids", &open_setup,
		S(START "BDAT x\r\nDATA\r\n"
			"BDAT -1\r\nBDAT 0x5\r\nBDAT\r\nBDAT 6 FIRST\r\nQUIT\r\nNOOP\r\n"),
		STARTED
		"501 5.5.4 syntax: BDAT octets [LAST]\r\n503 5.5.1 MAIL and RCPT first\r\n"
		"501 5.5.4 syntax: BDAT octets [LAST]\r\n501 5.5.4 syntax: BDAT octets [LAST]\r\n"
		"501 5.5.4 syntax: BDAT octets [LAST]\r\n503 5.5.1 MAIL and RCPT first\r\n" OK,
		S(STARTED_LOG " reset")},
	{"bdat: bad word", &open_setup, S(START "BDAT 6 FIRST\r\nQUIT\r\nNOOP\r\nDATA\r\n"),
		STARTED "501 5.5.4 syntax: BDAT octets [LAST]\r\n" OK
			"503 5.5.1 MAIL and RCPT first\r\n",
		S(STARTED_LOG " reset")},
	{"bdat: endless", &open_setup, S(START "BDAT 9223372036854775808\r\nQUIT\r\n"),
		STARTED "501 5.5.4 syntax: BDAT octets [LAST]\r\n", S(STARTED_LOG " close")},
	{"bdat: bare lf", &open_setup, S(START "BDAT 3\r\na\nbBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"),
		STARTED
		"554 5.6.0 message holds a LF without CR\r\n503 5.5.1 MAIL and RCPT first\r\n" OK,
		S(STARTED_LOG " data reset")},
	{"bdat: cr at the end", &open_setup, S(START "BDAT 2 LAST\r\na\rNOOP\r\n"),
		STARTED "554 5.6.0 message holds a CR without LF\r\n" OK,
		S(STARTED_LOG " data reset")},
	{"bdat: storage failed", &open_setup,
		S(EHLO "MAIL FROM:<full@x.y>\r\nRCPT TO:<b@x.y>\r\nBDAT 6\r\nQUIT\r\nBDAT 6 "
		       "LAST\r\nQUIT\r\nNOOP\r\n"),
		GREET HELLO MAIL_OK RCPT_OK
		"452 4.3.1 disk full\r\n503 5.5.1 MAIL and RCPT first\r\n" OK,
		S("hello:c mail:full@x.y rcpt:b@x.y data reset")},

	/* AUTH */
	{"auth plain, mail behind", &open_setup,
		S(EHLO "AUTH PLAIN AHUAcA==\r\nMAIL FROM:<a@x.y>\r\nRSET\r\nAUTH PLAIN "
		       "AHUAcA==\r\nEHLO c\r\n"),
		GREET HELLO "235 2.7.0 authentication successful\r\n" MAIL_OK OK
			    "503 5.5.1 already authenticated\r\n" HELLO_IN,
		S("hello:c auth:PLAIN initial:\0u\0p mail:a@x.y reset hello:c")},
	{"auth plain on two lines", &open_setup, S(EHLO "auth plain \r\n" PAUSE "AHUAcA==\r\n"),
		GREET HELLO "334 \r\n235 2.7.0 authentication successful\r\n",
		S("hello:c auth:PLAIN initial:(none) response:\0u\0p")},
	{"auth plain, guessed", &open_setup, S(EHLO "AUTH PLAIN\r\nAHUAcA==\r\n"),
		GREET HELLO "334 \r\n235 2.7.0 authentication successful\r\n",
		S("hello:c auth:PLAIN initial:(none) response:\0u\0p")},
	{"auth login, in one go", &open_setup, S(EHLO "AUTH LOGIN\r\ndQ==\r\ncA==\r\nNOOP\r\n"),
		GREET HELLO "334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n235 2.7.0 authentication "
			    "successful\r\n" OK,
		S("hello:c auth:LOGIN initial:(none) response:u response:p")},
	{"auth login with initial response", &open_setup,
		S(EHLO "AUTH LOGIN dQ==\r\n" PAUSE "cA==\r\n"),
		GREET HELLO "334 UGFzc3dvcmQ6\r\n235 2.7.0 authentication successful\r\n",
		S("hello:c auth:LOGIN initial:u response:p")},
	{"auth: empty initial response", &open_setup, S(EHLO "AUTH PLAIN =\r\n"),
		GREET HELLO "535 5.7.8 authentication credentials invalid\r\n",
		S("hello:c auth:PLAIN initial:")},
	{"auth: three failures", &open_setup,
		S(EHLO "AUTH PLAIN AAAA\r\nAUTH PLAIN AAAA\r\nAUTH PLAIN AAAA\r\nNOOP\r\n"),
		GREET HELLO "535 5.7.8 authentication credentials invalid\r\n"
			    "535 5.7.8 authentication credentials invalid\r\n"
			    "535 5.7.8 authentication credentials invalid\r\n"
			    "421 4.7.0 too many failed authentications\r\n",
		S("hello:c auth:PLAIN initial:\0\0\0 auth:PLAIN initial:\0\0\0 auth:PLAIN "
		  "initial:\0\0\0 close")},
	{"auth: backend down", &open_setup,
		S(EHLO "AUTH PLAIN ZG93bg==\r\nAUTH PLAIN ZG93bg==\r\nAUTH PLAIN "
		       "ZG93bg==\r\nNOOP\r\n"),
		GREET HELLO "454 4.7.0 temporary authentication failure\r\n"
			    "454 4.7.0 temporary authentication failure\r\n"
			    "454 4.7.0 temporary authentication failure\r\n" OK,
		S("hello:c auth:PLAIN initial:down auth:PLAIN initial:down auth:PLAIN "
		  "initial:down")},
	{"auth: cancel", &open_setup, S(EHLO "AUTH CRAM-MD5\r\n" PAUSE "*\r\nMAIL FROM:<>\r\n"),
		GREET HELLO "334 VXNlcm5hbWU6\r\n501 5.7.0 authentication cancelled\r\n" MAIL_OK,
		S("hello:c auth:CRAM-MD5 initial:(none) cancel mail:")},
	{"auth: cancel of the second line", &open_setup,
		S(EHLO "AUTH LOGIN\r\ndQ==\r\n*\r\nNOOP\r\n"),
		GREET HELLO
		"334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n501 5.7.0 authentication cancelled\r\n" OK,
		S("hello:c auth:LOGIN initial:(none) response:u cancel")},
	{"auth: lines are data", &open_setup,
		S(EHLO "AUTH CRAM-MD5\r\n" PAUSE "QUIT\r\n" PAUSE "RSET\r\n"),
		GREET HELLO "334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n"
			    "535 5.7.8 authentication credentials invalid\r\n",
		S("hello:c auth:CRAM-MD5 initial:(none) response:A\x42\x13 response:E!\x13")},
	{"auth: empty response", &open_setup, S(EHLO "AUTH LOGIN\r\n" PAUSE "\r\n" PAUSE "\r\n"),
		GREET HELLO "334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n"
			    "535 5.7.8 authentication credentials invalid\r\n",
		S("hello:c auth:LOGIN initial:(none) response: response:")},
	{"auth: bad base64", &open_setup,
		S(EHLO "AUTH PLAIN =AAA\r\nAUTH PLAIN AAA=BBB\r\nAUTH PLAIN AA==AA==\r\nAUTH PLAIN "
		       "A\r\n"
		       "AUTH PLAIN AAAAA\r\nAUTH PLAIN AA-_\r\nAUTH PLAIN A=A=\r\nAUTH PLAIN "
		       "AHUAcB==\r\n"
		       "AUTH PLAIN\r\n" PAUSE "=\r\nAUTH PLAIN\r\n" PAUSE " AAAA\r\n"
		       "AUTH PLAIN\r\n" PAUSE "AAAA\t\r\nAUTH PLAIN\r\n" PAUSE "AA\0A\r\n"
		       "AUTH PLAIN\r\n" PAUSE "AAAA\n\r\nNOOP\r\n"),
#define BAD64 "501 5.5.2 cannot decode base64\r\n"
		GREET HELLO BAD64 BAD64 BAD64 BAD64 BAD64 BAD64 BAD64 BAD64
		"334 \r\n" BAD64 "334 \r\n" BAD64 "334 \r\n" BAD64 "334 \r\n" BAD64
		"334 \r\n" BAD64 OK,
		S("hello:c auth:PLAIN initial:(none) cancel auth:PLAIN initial:(none) cancel "
		  "auth:PLAIN initial:(none) cancel auth:PLAIN initial:(none) cancel "
		  "auth:PLAIN initial:(none) cancel")},
	{"auth: arguments", &open_setup,
		S(EHLO "AUTH\r\nAUTH \r\nAUTH PLAIN x y z\r\nAUTH evil\r\nAUTH __proto__\r\n"
		       "AUTH NTLM\r\nAUTH CRAM-MD5 AAAA\r\nAUTH CRAM-MD5 =\r\nAUTH PLAI AAAA\r\n"),
		GREET HELLO "501 5.5.4 syntax: AUTH mechanism [initial-response]\r\n"
			    "501 5.5.4 syntax: AUTH mechanism [initial-response]\r\n"
			    "501 5.5.4 syntax: AUTH mechanism [initial-response]\r\n504 5.5.4 "
			    "mechanism not offered\r\n"
			    "504 5.5.4 mechanism not offered\r\n504 5.5.4 mechanism not offered\r\n"
			    "501 5.7.0 this mechanism takes no initial response\r\n"
			    "501 5.7.0 this mechanism takes no initial response\r\n504 5.5.4 "
			    "mechanism not offered\r\n",
		S("hello:c")},
	{"auth not offered", &tls_broken, S(EHLO "AUTH PLAIN AHUAcA==\r\n"),
		GREET TOP "250-SIZE\r\n250-STARTTLS\r\n" TAIL LAST
			  "503 5.5.1 authentication is not offered\r\n",
		S("hello:c")},
	{"auth= is believed from the trusted", &trusting,
		S(EHLO "MAIL FROM:<a@x.y> AUTH=b@x.y\r\nRSET\r\nAUTH PLAIN AHUAcA==\r\n"
		       "MAIL FROM:<a@x.y> AUTH=b+2Bc@x.y\r\nRSET\r\nMAIL FROM:<a@x.y> AUTH=<>\r\n"),
		GREET TOP
		"250-SIZE 1000\r\n250-AUTH PLAIN\r\n250-AUTH=PLAIN\r\n" TAIL LAST MAIL_OK OK
		"235 2.7.0 authentication successful\r\n" MAIL_OK OK MAIL_OK,
		S("hello:c mail:a@x.y auth= reset auth:PLAIN initial:\0u\0p mail:a@x.y "
		  "auth=b+c@x.y reset "
		  "mail:a@x.y auth=")},

	/* submission: TLS and AUTH */
	{"submission", &submission,
		S(EHLO "MAIL FROM:<a@x.y>\r\nRCPT TO:<a@x.y>\r\nDATA\r\nBDAT 6 "
		       "LAST\r\nQUIT\r\nVRFY a\r\n"
		       "AUTH PLAIN AHUAcA==\r\nAUTH LOGIN\r\nSTARTTLS x\r\nSTARTTLS\r\n" PAUSE
		       "MAIL FROM:<a@x.y>\r\n" EHLO
		       "STARTTLS\r\nAUTH PLAIN AHUAcA==\r\nMAIL FROM:<a@x.y>\r\n"),
#define NO_AUTH "530 5.7.0 authentication required\r\n"
#define NO_TLS "538 5.7.11 encryption is required for this mechanism\r\n"
		GREET TOP "250-SIZE\r\n250-STARTTLS\r\n250-AUTH CRAM-MD5\r\n" TAIL LIMITS LAST
			NO_AUTH NO_AUTH NO_AUTH NO_AUTH NO_AUTH NO_TLS NO_TLS
			  "501 5.5.4 STARTTLS takes no argument\r\n220 2.0.0 ready for TLS\r\n"
			  "503 5.5.1 EHLO first\r\n" TOP
			  "250-SIZE\r\n250-AUTH PLAIN LOGIN\r\n" TAIL LIMITS LAST
			  "503 5.5.1 TLS is active already\r\n235 2.7.0 authentication "
			  "successful\r\n" MAIL_OK,
		S("hello:c starttls hello:c auth:PLAIN initial:\0u\0p mail:a@x.y")},
	{"nothing survives starttls", &submission,
		S(EHLO "AUTH CRAM-MD5\r\n" PAUSE "b2s=\r\n" PAUSE
		       "b2s=\r\nMAIL FROM:<a@x.y>\r\nRSET\r\n"
		       "starttls \r\n" PAUSE EHLO "MAIL FROM:<a@x.y>\r\n"),
		GREET TOP "250-SIZE\r\n250-STARTTLS\r\n250-AUTH CRAM-MD5\r\n" TAIL LIMITS LAST
			  "334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n235 2.7.0 authentication "
			  "successful\r\n" MAIL_OK OK "220 2.0.0 ready for TLS\r\n" TOP
			  "250-SIZE\r\n250-AUTH PLAIN LOGIN\r\n" TAIL LIMITS LAST NO_AUTH,
		S("hello:c auth:CRAM-MD5 initial:(none) response:ok response:ok mail:a@x.y reset "
		  "starttls "
		  "hello:c")},
	{"auth fails, the rest gets 530", &submission,
		S(EHLO "STARTTLS\r\n" PAUSE EHLO
		       "AUTH PLAIN AAAA\r\nMAIL FROM:<a@x.y>\r\nRCPT TO:<b@x.y>\r\nDATA\r\n"),
		GREET TOP
		"250-SIZE\r\n250-STARTTLS\r\n250-AUTH CRAM-MD5\r\n" TAIL LIMITS LAST
		"220 2.0.0 ready for TLS\r\n" TOP
		"250-SIZE\r\n250-AUTH PLAIN LOGIN\r\n" TAIL LIMITS LAST
		"535 5.7.8 authentication credentials invalid\r\n" NO_AUTH NO_AUTH NO_AUTH,
		S("hello:c starttls hello:c auth:PLAIN initial:\0\0\0")},
	{"tls required", &tls_required,
		S(EHLO "MAIL FROM:<a@x.y>\r\nAUTH PLAIN AHUAcA==\r\nAUTH "
		       "CRAM-MD5\r\nNOOP\r\nRSET\r\n"),
		GREET TOP "250-SIZE\r\n250-STARTTLS\r\n250-AUTH CRAM-MD5\r\n" TAIL LAST
			  "530 5.7.0 must issue a STARTTLS command first\r\n" NO_TLS
			  "530 5.7.0 must issue a STARTTLS command first\r\n" OK OK,
		S("hello:c")},
	{"tls unavailable", &tls_broken, S(EHLO "STARTTLS\r\n" PAUSE "NOOP\r\n"),
		GREET TOP "250-SIZE\r\n250-STARTTLS\r\n" TAIL LAST
			  "454 4.7.0 TLS is not available now\r\n" OK,
		S("hello:c starttls")},
	{"starttls not offered", &open_setup, S(EHLO "STARTTLS\r\n"),
		GREET HELLO "502 5.5.1 not offered\r\n", S("hello:c")},
	{"domains must be qualified", &submission,
		S(EHLO "AUTH CRAM-MD5\r\n" PAUSE "b2s=\r\n" PAUSE
		       "b2s=\r\nMAIL FROM:<a@x>\r\nMAIL FROM:<>\r\n"
		       "RCPT TO:<b@x>\r\nRCPT TO:<b@[192.0.2.1]>\r\nRCPT TO:<b>\r\n"),
		GREET TOP
		"250-SIZE\r\n250-STARTTLS\r\n250-AUTH CRAM-MD5\r\n" TAIL LIMITS LAST
		"334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n235 2.7.0 authentication successful\r\n"
		"554 5.1.8 sender domain is not fully qualified\r\n" MAIL_OK
		"554 5.1.2 recipient domain is not fully qualified\r\n" RCPT_OK
		"501 5.1.3 bad recipient address\r\n",
		S("hello:c auth:CRAM-MD5 initial:(none) response:ok response:ok mail: "
		  "rcpt:b@[192.0.2.1]")},
};

static void expect(const struct row *row, const char *how, size_t cut, const char *what,
	struct base_slice want, struct base_slice got)
{
	if (base_slice_equal(want, got))
		return;
	fprintf(stderr, "%s (%s %zu), %s:\n--- want\n%.*s\n--- got\n%.*s\n", row->name, how, cut,
		what, BASE_SLICE_ARGS(want), BASE_SLICE_ARGS(got));
	fail();
}

static void run(const struct row *row, const char *how, size_t size, size_t cut)
{
	struct test_session t;

	test_session_init(&t, row->setup);
	test_feed(&t, row->client, size, cut);
	expect(row, how, size ? size : cut, "replies", base_slice_text(row->server),
		base_buf_slice(&t.sent));
	expect(row, how, size ? size : cut, "events", row->events, base_buf_slice(&t.log));
	test_session_release(&t);
}

static void conversations(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		run(&rows[i], "whole", 0, rows[i].client.len);
		run(&rows[i], "pieces of", 1, 0);
		run(&rows[i], "pieces of", 3, 0);
		for (size_t cut = 1; cut < rows[i].client.len; cut++)
			run(&rows[i], "cut at", 0, cut);
	}
}

/* These depend on what arrived together, so they run whole only. */
static const struct row together[] = {
	{"clear text behind starttls", &submission,
		S(EHLO "STARTTLS\r\nRSET\r\nEHLO evil\r\nAUTH PLAIN AHUAcA==\r\n" PAUSE "NOOP\r\n"),
		GREET TOP "250-SIZE\r\n250-STARTTLS\r\n250-AUTH CRAM-MD5\r\n" TAIL LIMITS LAST
			  "220 2.0.0 ready for TLS\r\n" OK,
		S("hello:c starttls")},
	{"half a command behind starttls", &submission, S(EHLO "STARTTLS\r\nNO" PAUSE "OP\r\n"),
		GREET TOP "250-SIZE\r\n250-STARTTLS\r\n250-AUTH CRAM-MD5\r\n" TAIL LIMITS LAST
			  "220 2.0.0 ready for TLS\r\n500 5.5.2 command not recognized\r\n",
		S("hello:c starttls")},
	{"ahead of a challenge", &open_setup, S(EHLO "AUTH CRAM-MD5\r\nMAIL FROM:<>\r\nQUIT\r\n"),
		GREET HELLO "503 5.5.0 bytes were sent ahead of the challenge\r\n",
		S("hello:c auth:CRAM-MD5 initial:(none) cancel close")},
	{"ahead of the second challenge", &open_setup,
		S(EHLO "AUTH CRAM-MD5\r\n" PAUSE "b2s=\r\nb2s=\r\n"),
		GREET HELLO
		"334 VXNlcm5hbWU6\r\n503 5.5.0 bytes were sent ahead of the challenge\r\n",
		S("hello:c auth:CRAM-MD5 initial:(none) response:ok cancel close")},
};

static void arrived_together(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_COUNT(together); i++)
		run(&together[i], "whole", 0, together[i].client.len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conversations),
		cmocka_unit_test(arrived_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
