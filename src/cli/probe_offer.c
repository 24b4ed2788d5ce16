/* What EHLO offers: keywords that we know, with what they are good for, and mechanisms. */
#include "cli/probe.h"

#include "sasl/mechanism.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

const struct probe_extension probe_extensions[] = {
	{"PIPELINING", "commands without waiting for each answer (RFC 2920)"},
	{"SIZE", "the largest message it takes (RFC 1870)"},
	{"8BITMIME", "bodies with bytes above 127 (RFC 6152)"},
	{"SMTPUTF8", "addresses and headers in UTF-8 (RFC 6531)"},
	{"CHUNKING", "the message in chunks, by BDAT (RFC 3030)"},
	{"BINARYMIME", "bodies without lines (RFC 3030)"},
	{"ENHANCEDSTATUSCODES", "replies with codes as in 5.7.1 (RFC 2034)"},
	{"DSN", "delivery notices as the sender wants them (RFC 3461)"},
	{"AUTH", "login (RFC 4954)"},
	{"STARTTLS", "TLS from here on (RFC 3207)"},
	{"LIMITS", "how much in one session (RFC 9422)"},
	{"REQUIRETLS", "mail that never leaves TLS (RFC 8689)"},
	{"DELIVERBY", "a time by which mail must be there (RFC 2852)"},
	{"FUTURERELEASE", "mail to be sent later (RFC 4865)"},
	{"MT-PRIORITY", "urgent mail first (RFC 6710)"},
	{"BURL", "bodies fetched from a mailbox (RFC 4468)"},
	{"RRVS", "an address must still be its old owner's (RFC 7293)"},
	{"MTRK", "tracking (RFC 3885)"},
	{"CHECKPOINT", "restart of a broken transaction (RFC 1845)"},
	{"CONNEG", "content negotiation (RFC 4141)"},
	{"CONPERM", "content conversion (RFC 4141)"},
	{"NO-SOLICITING", "marked advertising is refused (RFC 3865)"},
	{"UTF8SMTP", "the experiment before SMTPUTF8 (RFC 5336)"},
	{"HELP", "help texts"},
	{"VRFY", "asks whether an address exists"},
	{"EXPN", "lists the members of an alias"},
	{"ETRN", "starts a queue run for a domain (RFC 1985)"},
	{"TURN", "hands a domain's mail to whoever asks (obsolete)"},
	{"ATRN", "hands a domain's mail to who is logged in (RFC 2645)"},
	{"SEND", "messages to terminals (obsolete)"},
	{"SOML", "messages to terminals (obsolete)"},
	{"SAML", "messages to terminals (obsolete)"},
	{"XCLIENT", "another client's address is believed (Postfix)"},
	{"XFORWARD", "another client's address for logs (Postfix)"},
	{"PRDR", "an answer for each recipient (Exim)"},
	{"PIPECONNECT", "commands before the greeting (Exim)"},
	{"PIPE_CONNECT", "commands before the greeting (Exim)"},
	{"XEXCH50", "Exchange's own"},
	{"X-EXPS", "Exchange's own login"},
	{"X-ANONYMOUSTLS", "Exchange's own TLS between its servers"},
	{"XRDST", "Exchange's own"},
	{NULL, NULL},
};

const struct probe_extension *probe_extension_find(struct base_slice keyword)
{
	for (const struct probe_extension *e = probe_extensions; e->keyword; e++)
		if (base_slice_equal_text_nocase(keyword, e->keyword))
			return e;
	return NULL;
}

bool probe_offer_has(const struct probe_offer *offer, const char *keyword)
{
	const struct probe_extension *e = probe_extension_find(base_slice_text(keyword));

	static_assert(BASE_COUNT(probe_extensions) <= 64, "a bit for each");
	return e && (offer->known & (UINT64_C(1) << (e - probe_extensions)));
}

bool probe_offer_has_mechanism(const struct probe_offer *offer, const char *name)
{
	for (size_t i = 0; i < offer->mechanism_count; i++)
		if (strcmp(offer->mechanisms[i], name) == 0)
			return true;
	return false;
}

static void on_mechanisms(struct probe_offer *offer, struct base_slice rest)
{
	struct base_slice word;

	while ((word = base_slice_word(&rest)).len) {
		char name[21];

		if (!sasl_mechanism_name_valid(word)) {
			offer->odd = true;
			continue;
		}
		for (size_t i = 0; i <= word.len; i++) {
			uint8_t b = i < word.len ? word.ptr[i] : 0;

			name[i] = (char)(b >= 'a' && b <= 'z' ? b - 32 : b);
		}
		if (offer->mechanism_count < PROBE_MECHANISMS_MAX &&
			!probe_offer_has_mechanism(offer, name))
			memcpy(offer->mechanisms[offer->mechanism_count++], name, sizeof(name));
	}
}

static void on_limits(struct probe_offer *offer, struct base_slice rest)
{
	struct {
		const char *name;
		uint32_t *to;
	} limits[] = {
		{"MAILMAX", &offer->limit_mails},
		{"RCPTMAX", &offer->limit_rcpts},
		{"RCPTDOMAINMAX", &offer->limit_domains},
	};
	struct base_slice word;

	while ((word = base_slice_word(&rest)).len) {
		size_t equals = base_slice_find(word, '=');
		uint64_t number;

		for (size_t i = 0; i < BASE_COUNT(limits); i++)
			if (base_slice_equal_text_nocase(
				    base_slice_first(word, equals), limits[i].name) &&
				base_slice_to_u64(base_slice_from(word, equals + 1), &number) &&
				number < 1000000)
				*limits[i].to = (uint32_t)number;
	}
}

static bool keyword_valid(struct base_slice word)
{
	for (size_t i = 0; i < word.len; i++)
		if (!base_ascii_is_alnum(word.ptr[i]) && (i == 0 || word.ptr[i] != '-') &&
			word.ptr[i] != '_')
			return false;
	return word.len > 0;
}

static void on_line(struct probe_offer *offer, struct base_slice line)
{
	struct base_slice word = base_slice_word(&line);
	const struct probe_extension *e;

	if (base_slice_starts_with_nocase(word, BASE_SLICE("AUTH="))) {
		offer->old_auth = true;
		on_mechanisms(offer, base_slice_from(word, 5));
		on_mechanisms(offer, line);
		return;
	}
	e = probe_extension_find(word);
	if (!e) {
		offer->odd = offer->odd || !keyword_valid(word);
		return;
	}
	offer->known |= UINT64_C(1) << (e - probe_extensions);
	if (strcmp(e->keyword, "AUTH") == 0) {
		on_mechanisms(offer, line);
	} else if (strcmp(e->keyword, "SIZE") == 0) {
		offer->has_size = true;
		if (!base_slice_to_u64(base_slice_word(&line), &offer->size))
			offer->size = 0;
	} else if (strcmp(e->keyword, "LIMITS") == 0) {
		on_limits(offer, line);
	}
}

void probe_offer_read(struct probe_offer *offer)
{
	struct base_slice rest = base_buf_slice(&offer->hello), line;

	if (offer->code != 250 || offer->helo)
		return;
	(void)base_slice_split(&rest, '\n', &line); /* the server's name */
	while (base_slice_split(&rest, '\n', &line))
		on_line(offer, line);
}

static const struct {
	const char *name, *words;
	bool plaintext;
} mechanisms[] = {
	{"PLAIN", "the password itself crosses the line: inside TLS only", true},
	{"LOGIN", "as PLAIN, in an older form: inside TLS only", true},
	{"CRAM-MD5", "weak: MD5, and the server must keep passwords readable", false},
	{"DIGEST-MD5", "weak and withdrawn (RFC 6331)", false},
	{"SCRAM-SHA-1", "good: the password stays here, both sides prove themselves", false},
	{"SCRAM-SHA-1-PLUS", "good, and bound to this TLS session", false},
	{"SCRAM-SHA-256", "good: the password stays here, both sides prove themselves", false},
	{"SCRAM-SHA-256-PLUS", "good, and bound to this TLS session", false},
	{"SCRAM-SHA-512", "good: the password stays here, both sides prove themselves", false},
	{"SCRAM-SHA-512-PLUS", "good, and bound to this TLS session", false},
	{"SCRAM-SHA3-512", "good: the password stays here, both sides prove themselves", false},
	{"SCRAM-SHA3-512-PLUS", "good, and bound to this TLS session", false},
	{"XOAUTH2", "an OAuth 2 token in place of a password: inside TLS only", true},
	{"OAUTHBEARER", "an OAuth 2 token in place of a password: inside TLS only", true},
	{"EXTERNAL", "good: the client certificate of TLS", false},
	{"GSSAPI", "good: a Kerberos ticket", false},
	{"GSS-SPNEGO", "a Kerberos ticket, or NTLM behind it", false},
	{"NTLM", "broken: a password can be computed from one exchange", false},
	{"ANONYMOUS", "no login at all", false},
	{"OTP", "one-time passwords (RFC 2444)", false},
	{"SKEY", "one-time passwords, obsolete", false},
	{"SRP", "not seen in practice", false},
	{"KERBEROS_V4", "broken and withdrawn", false},
	{"CLIENTID", "no mechanism of its own", false},
};

const char *probe_mechanism_words(const char *name)
{
	for (size_t i = 0; i < BASE_COUNT(mechanisms); i++)
		if (strcmp(mechanisms[i].name, name) == 0)
			return mechanisms[i].words;
	return "not known here";
}

bool probe_mechanism_is_plaintext(const char *name)
{
	for (size_t i = 0; i < BASE_COUNT(mechanisms); i++)
		if (strcmp(mechanisms[i].name, name) == 0)
			return mechanisms[i].plaintext;
	return false;
}
