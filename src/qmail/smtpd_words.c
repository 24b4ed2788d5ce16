/* Both languages: today's, with enhanced codes, and the original's. */
#include "qmail/smtpd_core.h"

#include <assert.h>

static const struct saying {
	struct smtp_reply today, original;
} sayings[] = {
	[SMTPD_SAY_MAIL_OK] = {{250, "2.1.0", "sender ok"}, {250, NULL, "ok"}},
	[SMTPD_SAY_RCPT_OK] = {{250, "2.1.5", "recipient ok"}, {250, NULL, "ok"}},
	[SMTPD_SAY_DATA_OK] = {{354, NULL, "go ahead, end with <CRLF>.<CRLF>"},
		{354, NULL, "go ahead"}},
	[SMTPD_SAY_BAD_SENDER] = {{553, "5.7.1",
					  "sorry, your envelope sender is in my badmailfrom list"},
		{553, NULL, "sorry, your envelope sender is in my badmailfrom list (#5.7.1)"}},
	[SMTPD_SAY_NO_GATEWAY] = {{553, "5.7.1",
					  "sorry, that domain isn't in my list of allowed "
					  "rcpthosts; log in first"},
		{553, NULL, "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"}},
	[SMTPD_SAY_NO_MAILBOX] = {{550, "5.7.1", "sorry, no mailbox by that name"},
		{550, NULL, "sorry, no mailbox by that name  (#5.7.1)"}},
	[SMTPD_SAY_NO_MAILBOX_450] = {{450, "4.2.1", "sorry, mailbox currently unavailable"},
		{450, NULL, "sorry, mailbox currently unavailable (#4.2.1)"}},
	[SMTPD_SAY_NO_RECIPIENTS] = {{421, "4.3.0", "unable to check recipients"},
		{421, NULL, "unable to check recipients (#4.3.0)"}},
	[SMTPD_SAY_NO_CONTROLS] = {{421, "4.3.0", "unable to read controls"},
		{421, NULL, "unable to read controls (#4.3.0)"}},
	[SMTPD_SAY_ADDRESS_LONG] = {{555, "5.5.4", "address too long"},
		{555, NULL, "syntax error (#5.5.4)"}},
	[SMTPD_SAY_NO_QUEUE] = {{451, "4.3.0", "the queue cannot be reached now"},
		{451, NULL, "qqt failure (#4.3.0)"}},
	[SMTPD_SAY_HOPS] = {{554, "5.4.6", "too many hops, this message is looping"},
		{554, NULL, "too many hops, this message is looping (#5.4.6)"}},
	[SMTPD_SAY_TIMEOUT] = {{421, "4.4.2", "idle for too long"},
		{451, NULL, "timeout (#4.4.2)"}},
};
static_assert(BASE_COUNT(sayings) == SMTPD_SAY_COUNT, "words for each saying");

/* The original's words for what the engine says by itself. */
static const struct smtp_reply original[SMTP_SAY_COUNT] = {
	[SMTP_SAY_NO_RCPT] = {503, NULL, "RCPT first (#5.5.1)"},
	[SMTP_SAY_MAIL_FIRST] = {503, NULL, "MAIL first (#5.5.1)"},
	[SMTP_SAY_MAIL_RCPT_FIRST] = {503, NULL, "MAIL first (#5.5.1)"},
	[SMTP_SAY_AUTH_INSIDE] = {503, NULL, "no auth during mail transaction (#5.5.0)"},
	[SMTP_SAY_AUTH_FIRST] = {530, NULL, "Authorization required (#5.7.1) "},
	[SMTP_SAY_FOREIGN] = {502, NULL, "unimplemented (#5.5.1)"},
	[SMTP_SAY_NOT_IMPLEMENTED] = {502, NULL, "unimplemented (#5.5.1)"},
	[SMTP_SAY_UNKNOWN] = {502, NULL, "unimplemented (#5.5.1)"},
	[SMTP_SAY_TLS_NONE] = {502, NULL, "unimplemented (#5.5.1)"},
	[SMTP_SAY_AUTH_NEEDS_TLS] = {538, NULL, "auth not available without TLS (#5.3.3)"},
	[SMTP_SAY_AUTH_NONE] = {503, NULL, "auth not available (#5.3.3)"},
	[SMTP_SAY_AUTH_MECHANISM] = {504, NULL, "auth type unimplemented (#5.5.1)"},
	[SMTP_SAY_AUTH_TWICE] = {503, NULL, "you're already authenticated (#5.5.0)"},
	[SMTP_SAY_AUTH_SYNTAX] = {504, NULL, "auth type unimplemented (#5.5.1)"},
	[SMTP_SAY_AUTH_INITIAL] = {501, NULL, "malformed auth input (#5.5.4)"},
	[SMTP_SAY_AUTH_BASE64] = {501, NULL, "malformed auth input (#5.5.4)"},
	[SMTP_SAY_AUTH_CANCELLED] = {501, NULL, "auth exchange canceled (#5.0.0)"},
	[SMTP_SAY_AUTH_LONG] = {501, NULL, "malformed auth input (#5.5.4)"},
	[SMTP_SAY_AUTH_OK] = {235, NULL, "ok, go ahead (#2.0.0)"},
	[SMTP_SAY_AUTH_MALFORMED] = {501, NULL, "malformed auth input (#5.5.4)"},
	[SMTP_SAY_AUTH_DOWN] = {454, NULL, "oops, problem with child and I can't auth (#4.3.0)"},
	[SMTP_SAY_AUTH_REJECTED] = {535, NULL, "authentication failed (#5.7.1)"},
	[SMTP_SAY_BODY_BARE_LF] = {451, NULL, "See http://pobox.com/~djb/docs/smtplf.html."},
	[SMTP_SAY_TOO_LARGE] = {552, NULL,
		"sorry, that message size exceeds my databytes limit (#5.3.4)"},
	[SMTP_SAY_HELO_NAME] = {501, NULL, "syntax error (#5.5.4)"},
	[SMTP_SAY_PARAM_UNKNOWN] = {555, NULL, "syntax error (#5.5.4)"},
	[SMTP_SAY_PARAM_BAD] = {555, NULL, "syntax error (#5.5.4)"},
	[SMTP_SAY_MAIL_SYNTAX] = {555, NULL, "syntax error (#5.5.4)"},
	[SMTP_SAY_SENDER_BAD] = {555, NULL, "syntax error (#5.5.4)"},
	[SMTP_SAY_PARAM_EHLO] = {555, NULL, "syntax error (#5.5.4)"},
	[SMTP_SAY_RCPT_SYNTAX] = {555, NULL, "syntax error (#5.5.4)"},
	[SMTP_SAY_RCPT_BAD] = {555, NULL, "syntax error (#5.5.4)"},
	[SMTP_SAY_OK] = {250, NULL, "ok"},
	[SMTP_SAY_RESET] = {250, NULL, "flushed"},
	[SMTP_SAY_VRFY] = {252, NULL, "send some mail, i'll try my best"},
	[SMTP_SAY_HELP] = {214, NULL, "qmail home page: http://pobox.com/~djb/qmail.html"},
};

struct smtp_reply smtpd_say(const struct smtpd *s, enum smtpd_saying what)
{
	return s->options->compat ? sayings[what].original : sayings[what].today;
}

void smtpd_words_fill(struct smtpd *s)
{
	const struct smtpd_options *o = s->options;

	s->dialect = (struct smtp_dialect){
		.flags = SMTP_DIALECT_LENIENT,
		.greeting = o->compat ? " ESMTP" : NULL,
		.words = s->words,
		.name_in_goodbye = o->compat,
	};
	if (!o->own_queue)
		s->dialect.flags |= SMTP_DIALECT_NO_DSN | SMTP_DIALECT_NO_SMTPUTF8;
	if (o->compat)
		s->dialect.flags |= SMTP_DIALECT_SHORT_HELLO | SMTP_DIALECT_BARE_LF_ENDS;
	for (unsigned i = 0; i < SMTP_SAY_COUNT; i++)
		if (o->compat)
			s->words[i] = original[i];
	/* Not 503: somebody is to mend the command line, and the client may come again. */
	if (o->auth_broken)
		s->words[SMTP_SAY_AUTH_NONE] = smtp_dialect_say(&s->dialect, SMTP_SAY_AUTH_DOWN);
}
