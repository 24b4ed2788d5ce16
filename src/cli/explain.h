/* cli/explain.h: what each line of an SMTP dialogue means, and what is wrong with it
 * Job      a line and whose it is in; its text made safe, its meaning and its mistakes out
 * Not      where lines come from (explain_read.h); printing (explain.c)
 * Trust    transcripts hold strangers' bytes: everything that comes out is safe for a terminal
 * Memory   one heap object for each session; a line's buffers are the caller's
 * Secrets  passwords, tokens and what holds them come out as counts unless show_secrets; the
 *          password to check against is kept in a base_secret
 * Spec     RFC 4954, 5321, 4422, 4616, 2195, 2831, 5802, 7677, 7628, 3461 */
#ifndef CLI_EXPLAIN_H
#define CLI_EXPLAIN_H

#include "base/buf.h"

enum explain_who {
	EXPLAIN_NOBODY, /* noise between the lines of the dialogue */
	EXPLAIN_CLIENT,
	EXPLAIN_SERVER,
};

/* What can be wrong: name, the document, the rule in words. */
#define EXPLAIN_RULES(X) \
	X(EHLO_CODE, "RFC 5321 section 4.1.1.1", "a good answer to EHLO has the code 250") \
	X(EHLO_WAIT, "RFC 2920 section 3.1", \
		"the client waits for the end of the answer to EHLO before it goes on") \
	X(AUTH_BEFORE_EHLO, "RFC 5321 section 4.1.4", \
		"EHLO comes before AUTH, again after STARTTLS") \
	X(AUTH_TWICE, "RFC 4954 section 4", "after a successful AUTH there is no second one") \
	X(AUTH_IN_MAIL, "RFC 4954 section 4", "AUTH is not allowed inside a mail transaction") \
	X(AUTH_NOT_503, "RFC 4954 section 4", \
		"AUTH inside a transaction, or a second time, is answered by 503") \
	X(AUTH_WORDS, "RFC 4954 section 4", \
		"AUTH takes a mechanism and at most one initial response") \
	X(NOT_ANNOUNCED, "RFC 4954 section 4", \
		"a client chooses a mechanism that the server announced") \
	X(ANNOUNCED, "RFC 4954 section 3", "what a server announces it also takes") \
	X(SERVER_FIRST, "RFC 4954 section 4", \
		"a mechanism in which the server speaks first takes no initial response") \
	X(CHALLENGE_FOLDED, "RFC 4954 section 4", "334 and its challenge stand on one line") \
	X(CHALLENGE_MULTILINE, "RFC 4954 section 4", "a 334 reply is one line, never 334-") \
	X(CHALLENGE_BLANK, "RFC 4954 section 8", \
		"a blank stands behind 334, also when the challenge is empty") \
	X(BASE64_CHARACTER, "RFC 4954 section 4, RFC 4648 section 3.3", \
		"base64 has A-Z a-z 0-9 + / and nothing else") \
	X(BASE64_PADDING, "RFC 4954 section 8, RFC 4648 section 3.2", \
		"base64 comes in groups of four, the last one filled up with =") \
	X(BASE64_BITS, "RFC 4648 section 3.5", "unused bits of the last group are zero") \
	X(BASE64_EQUALS, "RFC 4954 section 4", \
		"= means empty on the AUTH line only; later an empty line does") \
	X(BASE64_CODE, "RFC 4954 section 4", "what is no base64 is answered by 501") \
	X(CANCEL_CODE, "RFC 4954 section 4", "a client's * is answered by 501") \
	X(AFTER_END, "RFC 4954 section 4", "the exchange is over; the client begins anew by AUTH") \
	X(IN_CLEAR, "RFC 4954 section 9, RFC 4616 section 4", \
		"a password or token crosses the line readable; TLS comes first") \
	X(PLAIN_FORM, "RFC 4616 section 2", \
		"PLAIN is authorization identity, NUL, user, NUL, password: two NUL bytes") \
	X(PLAIN_TAB, "RFC 4616 section 2", \
		"a TAB begins the field: printf took \"\\t\" of \"\\test\" for one") \
	X(LINE_END, "RFC 4616 section 2", \
		"a line end belongs to the text: echo adds one, printf does not") \
	X(EMPTY, "RFC 4616 section 2", "user and password are not empty") \
	X(NOT_UTF8, "RFC 4616 section 2", "names and passwords are UTF-8") \
	X(CRAM_CHALLENGE, "RFC 2195 section 2", "the challenge has the form <unique@host>") \
	X(CRAM_RESPONSE, "RFC 2195 section 2", \
		"the response is user, blank, 32 hexadecimal digits in small letters") \
	X(SCRAM_SYNTAX, "RFC 5802 section 7", "the message does not have SCRAM's form") \
	X(SCRAM_NAME, "RFC 5802 section 5.1", "in a name , is =2C and = is =3D; no other =") \
	X(SCRAM_NONCE, "RFC 5802 section 5.1", \
		"the server's nonce begins with the client's and is longer") \
	X(SCRAM_NONCE_SAME, "RFC 5802 section 5.1", "the client sends the server's nonce back") \
	X(SCRAM_FEW, "RFC 7677 section 4", "at least 4096 iterations") \
	X(SCRAM_MANY, "RFC 5802 section 9", \
		"more iterations than clients will do: it costs them the time") \
	X(SCRAM_DOWNGRADE, "RFC 5802 section 6", \
		"the client says y (no -PLUS was offered), but it was: somebody took it away") \
	X(SCRAM_PLUS, "RFC 5802 section 6", "a -PLUS mechanism needs p= and a channel binding") \
	X(SCRAM_BINDING, "RFC 5802 section 5.1", \
		"c= repeats the header of the first message, in base64") \
	X(SCRAM_SIGNATURE, "RFC 5802 section 5.1", \
		"v= does not come from one who knows the password's keys") \
	X(SCRAM_LAST, "RFC 4954 section 4", \
		"the client's answer to the server's last message is empty") \
	X(NO_PROOF, "RFC 5802 section 5, RFC 4954 section 4", \
		"235 without the server's v=: the server has proven nothing") \
	X(DIGEST_PROOF, "RFC 2831 section 2.1.3, RFC 4954 section 4", \
		"235 without rspauth=: the server has proven nothing") \
	X(OAUTH_FORM, "RFC 7628 section 3.1", \
		"key=value pairs end in a byte 1 each, and the message in one more") \
	X(OAUTH_HEADER, "RFC 7628 section 3.1, RFC 5801 section 4", \
		"the message begins with n,, or n,a=USER, and nothing else") \
	X(OAUTH_ERROR, "RFC 7628 section 3.2.3", \
		"the error in JSON is answered by a single byte 1, or an empty line for XOAUTH2") \
	X(OAUTH_REFUSED, "RFC 7628 section 3.2.3", "behind an error comes a refusal, never 235") \
	X(MAIL_BEFORE_EHLO, "RFC 5321 section 4.1.4", "EHLO or HELO comes before MAIL") \
	X(MAIL_TWICE, "RFC 5321 section 4.1.4", \
		"MAIL begins a transaction; the earlier one has not ended") \
	X(RCPT_WITHOUT_MAIL, "RFC 5321 section 4.1.4", "RCPT comes after MAIL") \
	X(DATA_WITHOUT_RCPT, "RFC 5321 section 4.1.4", "DATA comes after RCPT") \
	X(AUTH_PARAMETER, "RFC 4954 section 5, RFC 3461 section 4", \
		"AUTH= is a mailbox or <>, in xtext: + and = are written +2B and +3D") \
	X(TLS_TWICE, "RFC 3207 section 4.2", "STARTTLS is not allowed inside TLS") \
	X(LINE_LENGTH, "RFC 5321 section 4.5.3.1, RFC 4954 section 4", "the line is too long")

enum explain_rule {
#define X(name, document, words) EXPLAIN_##name,
	EXPLAIN_RULES(X)
#undef X
		EXPLAIN_RULE_COUNT,
};

const char *explain_rule_words(enum explain_rule rule);
const char *explain_rule_document(enum explain_rule rule);

#define EXPLAIN_MISTAKES_MAX 8

struct explain_line {
	enum explain_who who;
	bool auth;               /* it belongs to a login */
	struct base_buf text;    /* as it may be shown */
	struct base_buf meaning; /* empty: nothing to say */
	size_t mistake_count;
	struct {
		enum explain_rule rule;
		char detail[160]; /* where and what; may be "" */
	} mistakes[EXPLAIN_MISTAKES_MAX];
};

void explain_line_init(struct explain_line *l);
void explain_line_clear(struct explain_line *l);
void explain_line_release(struct explain_line *l);

struct explain_options {
	bool show_secrets;
	bool tls;                   /* all of it ran over TLS */
	struct base_slice user;     /* to check proofs against; both empty: do not */
	struct base_slice password; /* copied */
	uint64_t
		*rounds_left; /* of PBKDF2, for all sessions; null: no limit but each proof's own */
};

struct explain;

struct explain *explain_new(const struct explain_options *options);
void explain_free(struct explain **e);
/* From here on the lines ran over TLS: the transcript says so. */
void explain_tls(struct explain *e);
/* Whose is a line that has no mark? By its look and by what is due. */
enum explain_who explain_guess(const struct explain *e, struct base_slice text);
/* One line of the dialogue, without its end. @out is cleared first. */
void explain_push(
	struct explain *e, enum explain_who who, struct base_slice text, struct explain_line *out);

#endif
