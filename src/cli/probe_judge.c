/* From facts to findings: what is bad, what should be better, what is only worth knowing. Says nothing about
 * what it could not see. */
#include "cli/probe.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static void finding(struct probe *p, enum probe_level level, const char *code, const char *right,
	const char *format, ...) BASE_PRINTF(5, 6);

static void finding(struct probe *p, enum probe_level level, const char *code, const char *right,
	const char *format, ...)
{
	struct probe_finding *f = &p->findings[p->finding_count];
	va_list args;

	BASE_BUG_IF(p->finding_count == PROBE_FINDINGS_MAX);
	p->finding_count++;
	*f = (struct probe_finding){.level = level, .code = code, .right = right};
	va_start(args, format);
	(void)vsnprintf(f->text, sizeof(f->text), format, args);
	va_end(args);
}

/* TLS or none */

static void judge_starttls(struct probe *p)
{
	bool logs_in = p->before.mechanism_count > 0;

	switch (p->starttls) {
	case PROBE_STARTTLS_NOT_OFFERED:
		finding(p, p->asked == PROBE_STARTTLS || logs_in ? PROBE_BAD : PROBE_WARNING,
			"no-starttls", "offer STARTTLS, or TLS from the first byte on port 465",
			"there is no TLS: STARTTLS is not offered, %s can be read on the way",
			logs_in ? "mail and logins" : "mail");
		break;
	case PROBE_STARTTLS_REFUSED:
		finding(p, PROBE_BAD, "starttls-refused", "accept STARTTLS, or do not offer it",
			"STARTTLS is offered and then refused");
		break;
	case PROBE_STARTTLS_BEHIND:
		finding(p, PROBE_BAD, "bytes-behind-starttls",
			"220 is the last word in clear; look for somebody in the middle",
			"bytes in clear come behind the answer to STARTTLS: clients end there, or "
			"take "
			"them for the server's words inside TLS");
		break;
	case PROBE_STARTTLS_NOT_TRIED:
		if (p->mode == PROBE_NONE)
			finding(p, logs_in ? PROBE_BAD : PROBE_NOTE, "not-looked-at-tls",
				"probe without --tls none",
				"nothing is known of its TLS: --tls none was asked for");
		break;
	case PROBE_STARTTLS_DONE:
		break;
	}
	if (p->tls_failure[0])
		finding(p, PROBE_BAD, "tls-failed", "a handshake that any client of today can make",
			"no TLS session could be made: %s", p->tls_failure);
}

static void judge_injection(struct probe *p)
{
	if (p->injection == PROBE_INJECTION_ANSWERED)
		finding(p, PROBE_BAD, "starttls-injection",
			"drop what was received before the handshake (CVE-2011-0411)",
			"a command sent in clear behind STARTTLS is executed inside TLS: somebody "
			"in "
			"the middle can put words into a client's mouth");
	else if (p->injection == PROBE_INJECTION_IN_CLEAR)
		finding(p, PROBE_WARNING, "starttls-pipelined",
			"end the session, or drop what came behind STARTTLS",
			"a command behind STARTTLS is answered in clear, before the handshake");
}

static void judge_versions(struct probe *p)
{
	bool old = p->versions[0] == PROBE_VERSION_ACCEPTED ||
		p->versions[1] == PROBE_VERSION_ACCEPTED;

	if (old)
		finding(p, PROBE_WARNING, "old-tls", "TLS 1.2 at least (RFC 8996)",
			"%s%s%s accepted: withdrawn, and weak",
			p->versions[0] == PROBE_VERSION_ACCEPTED ? "TLS 1.0" : "",
			p->versions[0] == PROBE_VERSION_ACCEPTED &&
					p->versions[1] == PROBE_VERSION_ACCEPTED
				? " and 1.1 are"
				: " is",
			p->versions[0] == PROBE_VERSION_ACCEPTED ? "" : " TLS 1.1");
	if (p->versions[2] == PROBE_VERSION_REFUSED && p->versions[3] == PROBE_VERSION_REFUSED)
		finding(p, PROBE_BAD, "no-tls-1.2", "TLS 1.2 and 1.3",
			"neither TLS 1.2 nor 1.3 is spoken: clients of today cannot connect");
	else if (p->versions[3] == PROBE_VERSION_REFUSED)
		finding(p, PROBE_NOTE, "no-tls-1.3", "TLS 1.3 beside 1.2", "TLS 1.3 is not spoken");
}

/* the certificate */

static bool label_fits(struct base_slice pattern, struct base_slice host)
{
	if (base_slice_starts_with(pattern, BASE_SLICE("*."))) {
		struct base_slice rest = base_slice_from(host, base_slice_find(host, '.'));

		return rest.len > 1 && base_slice_has(base_slice_from(rest, 1), '.') &&
			base_slice_equal_nocase(base_slice_from(pattern, 1), rest);
	}
	return base_slice_equal_nocase(pattern, host);
}

bool probe_name_fits(const char *host, const struct tls_certificate *certificate)
{
	struct base_slice rest = base_slice_text(certificate->names), name;
	struct base_addr wanted, has;
	bool address = base_addr_parse(base_slice_text(host), &wanted);

	while (base_slice_split(&rest, '\n', &name)) {
		if (!address && label_fits(name, base_slice_text(host)))
			return true;
		if (address && base_addr_parse(name, &has) && base_addr_equal(&wanted, &has))
			return true;
	}
	return false;
}

/* Finds what is wrong with the dates of one certificate. */
static bool judge_dates(struct probe *p, const struct tls_certificate *c, const char *whose)
{
	int64_t days = probe_days_left(p, c);

	if (p->now_ms > c->not_after_ms)
		finding(p, PROBE_BAD, "certificate-expired",
			"renew it, and reload the server after each renewal",
			"%s has expired, %lld day%s ago", whose, (long long)-days,
			days == -1 ? "" : "s");
	else if (p->now_ms < c->not_before_ms)
		finding(p, PROBE_BAD, "certificate-not-yet-valid",
			"look at the clocks of both machines", "%s is not valid yet", whose);
	else if (days < PROBE_EXPIRY_WARNING_DAYS)
		finding(p, PROBE_WARNING, "certificate-expires",
			"renewal should not wait for the last weeks", "%s expires in %lld day%s",
			whose, (long long)days, days == 1 ? "" : "s");
	return p->now_ms <= c->not_after_ms && p->now_ms >= c->not_before_ms;
}

static void judge_strength(struct probe *p, const struct tls_certificate *c, const char *whose)
{
	bool rsa = strncmp(c->key_type, "RSA", 3) == 0 || strncmp(c->key_type, "DSA", 3) == 0;
	struct base_slice signature = base_slice_text(c->signature);

	if (c->key_bits && c->key_bits < (rsa ? 2048u : 224u))
		finding(p, PROBE_BAD, "short-key", "RSA of 2048 bits at least, or EC P-256",
			"the key of %s has only %u bits", whose, c->key_bits);
	/* Nobody looks at the signature of what is trusted by itself. */
	if (c->self_signed && c != &p->chain[0])
		return;
	if (base_slice_starts_with_nocase(signature, BASE_SLICE("md5")) ||
		base_slice_starts_with_nocase(signature, BASE_SLICE("sha1")) ||
		base_slice_ends_with_nocase(signature, BASE_SLICE("SHA1")))
		finding(p, PROBE_BAD, "weak-signature", "a certificate signed with SHA-256",
			"%s is signed with %s, which can be forged", whose, c->signature);
}

static void judge_certificate(struct probe *p)
{
	const struct tls_certificate *leaf = &p->chain[0];
	bool explained;

	if (!p->tls)
		return;
	if (!p->chain_count) {
		finding(p, PROBE_BAD, "no-certificate", "a certificate for the server's name",
			"the server shows no certificate");
		return;
	}
	explained = !judge_dates(p, leaf, "the certificate");
	if (!probe_name_fits(p->host, leaf) && !p->verified) {
		explained = true;
		finding(p, PROBE_BAD, "certificate-wrong-name",
			"a certificate that names the host clients connect to",
			"the certificate is not for %s", p->host);
	}
	if (leaf->self_signed && !p->verified) {
		explained = true;
		finding(p, PROBE_BAD, "certificate-self-signed",
			"one of an authority that clients trust; or give clients this one as --ca "
			"or pin",
			"the certificate is self-signed: clients cannot tell it from anybody "
			"else's");
	}
	if (!p->verified && !explained)
		finding(p, PROBE_BAD, "certificate-unverified",
			"the whole chain but for its root, of an authority that clients trust; "
			"--ca "
			"FILE for one of your own",
			"the certificate does not verify: %s", p->verify_failure);
	judge_strength(p, leaf, "the certificate");
	for (size_t i = 1; i < p->chain_count; i++) {
		char whose[64];

		snprintf(whose, sizeof(whose), "certificate %zu of the chain", i + 1);
		if (!p->chain[i].self_signed)
			(void)judge_dates(p, &p->chain[i], whose);
		judge_strength(p, &p->chain[i], whose);
	}
}

/* logins */

/* Names of those for which @test holds, joined by ", ". */
static size_t names_that(
	const struct probe_offer *offer, bool (*test)(const char *name), char *out, size_t size)
{
	size_t count = 0, at = 0;

	out[0] = '\0';
	for (size_t i = 0; i < offer->mechanism_count; i++) {
		if (!test(offer->mechanisms[i]))
			continue;
		if (at < size)
			at += (size_t)snprintf(out + at, size - at, "%s%s", count ? ", " : "",
				offer->mechanisms[i]);
		count++;
	}
	return count;
}

static bool is_any(const char *name)
{
	return name[0] != '\0';
}

static bool is_scram(const char *name)
{
	return strncmp(name, "SCRAM-", 6) == 0;
}

static bool is_plus(const char *name)
{
	return base_slice_ends_with_nocase(base_slice_text(name), BASE_SLICE("-PLUS"));
}

static bool is_weak(const char *name)
{
	return strcmp(name, "CRAM-MD5") == 0 || strcmp(name, "DIGEST-MD5") == 0;
}

/* None of these is a login that one could recommend. */
static bool is_better(const char *name)
{
	return !is_weak(name) && strcmp(name, "NTLM") != 0 && strcmp(name, "ANONYMOUS") != 0;
}

static void judge_before_tls(struct probe *p)
{
	char names[200];

	if (!p->before.asked)
		return;
	if (names_that(&p->before, probe_mechanism_is_plaintext, names, sizeof(names)))
		finding(p, PROBE_BAD, "plaintext-login-without-tls",
			"offer AUTH only inside TLS (RFC 4954, RFC 8314)",
			"%s without TLS: passwords cross the net in clear", names);
	else if (names_that(&p->before, is_any, names, sizeof(names)))
		finding(p, PROBE_WARNING, "login-without-tls",
			"offer AUTH only inside TLS (RFC 8314)",
			"AUTH without TLS (%s): what follows the login is not protected", names);
}

static void judge_mechanisms(struct probe *p, const struct probe_offer *offer)
{
	char names[200];
	bool alone = !names_that(offer, is_better, names, sizeof(names));

	if (!names_that(offer, is_any, names, sizeof(names))) {
		if (p->tls && (p->port == 587 || p->port == 465))
			finding(p, PROBE_WARNING, "no-login",
				"AUTH inside TLS: this is a port of submission (RFC 6409)",
				"no AUTH is offered, also not inside TLS");
		return;
	}
	if (probe_offer_has_mechanism(offer, "ANONYMOUS"))
		finding(p, PROBE_BAD, "anonymous-login", "no ANONYMOUS where mail is sent",
			"ANONYMOUS is offered: everybody may log in");
	if (probe_offer_has_mechanism(offer, "NTLM"))
		finding(p, PROBE_WARNING, "ntlm", "SCRAM-SHA-256, or GSSAPI",
			"NTLM is offered: the password can be computed from one exchange");
	if (names_that(offer, is_weak, names, sizeof(names)))
		finding(p, alone ? PROBE_WARNING : PROBE_NOTE, "weak-login",
			"SCRAM-SHA-256; PLAIN inside TLS is better than these",
			"%s %soffered%s: weak, and the server must keep passwords readable", names,
			alone ? "" : "is ", alone ? ", and nothing better" : "");
	if (!names_that(offer, is_scram, names, sizeof(names)))
		finding(p, PROBE_NOTE, "no-scram", "SCRAM-SHA-256 beside PLAIN",
			"no SCRAM is offered: the server learns the password at every login");
	else if (p->tls && !names_that(offer, is_plus, names, sizeof(names)))
		finding(p, PROBE_NOTE, "no-channel-binding", "SCRAM-SHA-256-PLUS",
			"no -PLUS mechanism is offered: logins are not bound to the TLS session");
	if (offer->old_auth)
		finding(p, PROBE_NOTE, "old-announcement",
			"AUTH with a blank, unless clients of "
			"1999 are served",
			"\"AUTH=\" is offered, a form older than the standard");
}

/* extensions */

static void judge_missing(struct probe *p, const struct probe_offer *offer)
{
	static const struct {
		const char *keyword, *text, *right;
	} rows[] = {
		{"PIPELINING", "PIPELINING is not offered: clients wait for every answer",
			"PIPELINING (RFC 2920)"},
		{"SIZE", "SIZE is not offered: clients learn too late that mail is too large",
			"SIZE (RFC 1870)"},
		{"ENHANCEDSTATUSCODES",
			"ENHANCEDSTATUSCODES is not offered: programs must guess why mail is "
			"refused",
			"ENHANCEDSTATUSCODES (RFC 2034)"},
		{"8BITMIME", "8BITMIME is not offered: text must be recoded, or is refused",
			"8BITMIME (RFC 6152)"},
		{"SMTPUTF8", "SMTPUTF8 is not offered: no addresses but ASCII",
			"SMTPUTF8 (RFC 6531)"},
		{"DSN", "DSN is not offered: senders cannot say which notices they want",
			"DSN (RFC 3461)"},
	};
	static const char *const codes[] = {"no-pipelining", "no-size", "no-enhanced-codes",
		"no-8bitmime", "no-smtputf8", "no-dsn"};

	static_assert(BASE_COUNT(rows) == BASE_COUNT(codes), "a code for each");
	for (size_t i = 0; i < BASE_COUNT(rows); i++)
		if (!probe_offer_has(offer, rows[i].keyword))
			finding(p, PROBE_NOTE, codes[i], rows[i].right, "%s", rows[i].text);
}

static void judge_dangerous(struct probe *p, const struct probe_offer *offer)
{
	static const struct {
		enum probe_level level;
		const char *keyword, *code, *text, *right;
	} rows[] = {
		{PROBE_WARNING, "TURN", "turn",
			"TURN is offered: a domain's mail is handed to whoever asks",
			"no TURN (RFC 5321 section 7.10)"},
		{PROBE_WARNING, "ATRN", "atrn",
			"ATRN is offered: a domain's mail is handed to who is logged in",
			"no ATRN but where it is used on purpose"},
		{PROBE_WARNING, "XCLIENT", "xclient",
			"XCLIENT is offered to us: we could claim any address and login",
			"XCLIENT for proxies' addresses only"},
		{PROBE_WARNING, "XFORWARD", "xforward",
			"XFORWARD is offered to us: we could write false addresses into its log",
			"XFORWARD for proxies' addresses only"},
		{PROBE_NOTE, "ETRN", "etrn", "ETRN is offered: strangers can start queue runs",
			"no ETRN where nobody needs it"},
		{PROBE_NOTE, "VRFY", "vrfy",
			"VRFY is offered: strangers may ask which addresses exist",
			"no VRFY, or 252 to everything"},
		{PROBE_WARNING, "EXPN", "expn",
			"EXPN is offered: strangers may ask who is on a list", "no EXPN"},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++)
		if (probe_offer_has(offer, rows[i].keyword))
			finding(p, rows[i].level, rows[i].code, rows[i].right, "%s", rows[i].text);
}

/* names */

/* "Postfix 3.7.2", "Exim 4.96", "v8.15": a digit, a dot, a digit, in a word of the banner behind the host's
 * name; addresses and dates have more dots or none. */
static bool names_version(struct base_slice banner)
{
	struct base_slice word;

	(void)base_slice_word(&banner);
	while ((word = base_slice_word(&banner)).len) {
		size_t dots = 0, digits = 0, at = 0;

		while (at < word.len && !base_ascii_is_digit(word.ptr[at]))
			at++;
		for (; at < word.len; at++) {
			if (base_ascii_is_digit(word.ptr[at]))
				digits++;
			else if (word.ptr[at] == '.')
				dots++;
			else
				break;
		}
		if (dots >= 1 && dots <= 3 && digits >= 2 && word.ptr[0] != '[')
			return true;
	}
	return false;
}

static void judge_names(struct probe *p, const struct probe_offer *offer)
{
	struct base_slice rest = base_buf_slice(&offer->hello), line, name;

	if (names_version(base_buf_slice(&p->greeting)))
		finding(p, PROBE_NOTE, "banner-version", "the host's name and ESMTP are enough",
			"the greeting tells which version runs here");
	if (!base_slice_split(&rest, '\n', &line))
		return;
	name = base_slice_word(&line);
	if (name.len && name.ptr[0] != '[' && !base_host_name_valid(name, true, true))
		finding(p, PROBE_WARNING, "hello-name",
			"the server's own full name (RFC 5321 section 4.1.1.1)",
			"the answer to EHLO does not begin with a host name with a domain");
}

static void judge_hello(struct probe *p, const struct probe_offer *offer)
{
	if (offer->helo)
		finding(p, PROBE_WARNING, "no-ehlo", "EHLO (RFC 5321 section 3.2)",
			"EHLO is refused, only HELO is known: no TLS, no login");
	if (offer->odd)
		finding(p, PROBE_NOTE, "odd-lines", "keyword, blank, parameters (RFC 5321)",
			"the answer to EHLO has words that its grammar does not know");
}

void probe_judge(struct probe *p)
{
	const struct probe_offer *offer = p->after.asked ? &p->after : &p->before;

	if (p->trouble[0])
		finding(p, PROBE_BAD, "session-ended", "an answer to every command, within seconds",
			"the session ended early: %s", p->trouble);
	if (p->mode != PROBE_IMPLICIT && !p->before.helo && p->before.code == 250)
		judge_starttls(p);
	judge_injection(p);
	judge_versions(p);
	judge_certificate(p);
	judge_before_tls(p);
	if (offer->code == 250) {
		judge_hello(p, offer);
		judge_names(p, offer);
	}
	if (offer->code == 250 && !offer->helo) {
		judge_mechanisms(p, offer);
		judge_dangerous(p, offer);
		judge_missing(p, offer);
	}
	if (p->after.asked && probe_offer_has(&p->after, "STARTTLS"))
		finding(p, PROBE_WARNING, "starttls-inside-tls", "no STARTTLS once TLS is on",
			"STARTTLS is offered inside TLS");
}
