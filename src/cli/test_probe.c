#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/probe.h"

#include <string.h>

#define DAY_MS INT64_C(86400000)
#define NOW_MS (INT64_C(20000) * DAY_MS)

/* --- the answer to EHLO --- */

/* What is read from the lines, as "mechanisms|size|mails,rcpts,domains|flags". */
static const struct {
	const char *hello, *expected;
} hellos[] = {
	{"srv.example", "|-|0,0,0|"},
	{"srv.example\nAUTH PLAIN login\nSIZE 1000", "PLAIN,LOGIN|1000|0,0,0|"},
	{"srv.example\nAUTH=PLAIN LOGIN\nAUTH PLAIN", "PLAIN,LOGIN|-|0,0,0|old"},
	{"srv.example\nSIZE", "|0|0,0,0|"}, {"srv.example\nSIZE x", "|0|0,0,0|"},
	{"srv.example\nLIMITS MAILMAX=5 RCPTMAX=100 X=1 RCPTDOMAINMAX=7", "|-|5,100,7|"},
	{"srv.example\nLIMITS RCPTMAX=1000000", "|-|0,0,0|"},
	{"srv.example\nXFOO bar\nFUTURE-THING", "|-|0,0,0|"},
	{"srv.example\n\x1b[31m", "|-|0,0,0|odd"},
	{"srv.example\nAUTH P!LAIN NTLM", "NTLM|-|0,0,0|odd"},
	{"AUTH PLAIN", "|-|0,0,0|"}, /* the first line is a name */
};

static void hellos_are_read(void **state)
{
	for (size_t i = 0; i < BASE_COUNT(hellos); i++) {
		struct probe_offer offer = {.asked = true, .code = 250};
		struct base_buf out;

		base_buf_init(&offer.hello, PROBE_HELLO_MAX_BYTES);
		base_buf_init(&out, 1000);
		base_buf_append_text(&offer.hello, hellos[i].hello);
		probe_offer_read(&offer);
		for (size_t m = 0; m < offer.mechanism_count; m++)
			base_buf_printf(&out, "%s%s", m ? "," : "", offer.mechanisms[m]);
		if (offer.has_size)
			base_buf_printf(&out, "|%llu", (unsigned long long)offer.size);
		else
			base_buf_append_text(&out, "|-");
		base_buf_printf(&out, "|%u,%u,%u|%s%s", offer.limit_mails, offer.limit_rcpts,
			offer.limit_domains, offer.old_auth ? "old" : "", offer.odd ? "odd" : "");
		assert_string_equal(base_buf_text(&out), hellos[i].expected);
		base_buf_release(&out);
		base_buf_release(&offer.hello);
	}
}

static void a_hello_never_has_more_than_it_may(void **state)
{
	struct probe_offer offer = {.asked = true, .code = 250};

	base_buf_init(&offer.hello, PROBE_HELLO_MAX_BYTES);
	base_buf_append_text(&offer.hello, "srv\nAUTH");
	for (unsigned i = 0; i < 2 * PROBE_MECHANISMS_MAX; i++)
		base_buf_printf(&offer.hello, " M%u", i);
	base_buf_append_text(&offer.hello, " A23456789012345678901 DSN\nDSN");
	probe_offer_read(&offer);
	assert_int_equal(offer.mechanism_count, PROBE_MECHANISMS_MAX);
	assert_true(probe_offer_has(&offer, "DSN"));
	assert_false(probe_offer_has(&offer, "SIZE"));
	base_buf_release(&offer.hello);
}

/* --- names in certificates --- */

static void names_fit_hosts(void **state)
{
	static const struct {
		const char *host, *names;
		bool fits;
	} rows[] = {
		{"mail.example.org", "mail.example.org", true},
		{"MAIL.example.org", "a.example\nmail.EXAMPLE.org", true},
		{"mail.example.org", "example.org", false},
		{"mail.example.org", "*.example.org", true},
		{"a.mail.example.org", "*.example.org", false},
		{"example.org", "*.org", false},
		{"example.org", "*.example.org", false},
		{"mail.example.org", "*", false},
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "*.0.2.1", false},
		{"2001:db8::1", "2001:db8:0:0::1", true},
		{"mail.example.org", "", false},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct tls_certificate c = {.name_count = 1};

		snprintf(c.names, sizeof(c.names), "%s", rows[i].names);
		if (probe_name_fits(rows[i].host, &c) != rows[i].fits)
			fail_msg("%s in %s", rows[i].host, rows[i].names);
	}
}

/* --- findings --- */

#define GOOD \
	"srv.example\nPIPELINING\nSIZE 1\n8BITMIME\nSMTPUTF8\nDSN\nENHANCEDSTATUSCODES\n" \
	"AUTH SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN"

static void good_probe(struct probe *p)
{
	struct tls_certificate *c = &p->chain[0];

	*p = (struct probe){.port = 587, .mode = PROBE_STARTTLS, .now_ms = NOW_MS};
	probe_init(p);
	snprintf(p->host, sizeof(p->host), "srv.example");
	p->greeting_code = 220;
	base_buf_append_text(&p->greeting, "srv.example ESMTP");
	p->before.asked = p->after.asked = p->tls = p->verified = true;
	p->before.code = p->after.code = 250;
	base_buf_append_text(&p->before.hello, "srv.example\nSTARTTLS");
	base_buf_append_text(&p->after.hello, GOOD);
	p->starttls = PROBE_STARTTLS_DONE;
	p->injection = PROBE_INJECTION_IGNORED;
	p->versions[0] = p->versions[1] = PROBE_VERSION_REFUSED;
	p->versions[2] = p->versions[3] = PROBE_VERSION_ACCEPTED;
	p->chain_count = 1;
	c->not_before_ms = NOW_MS - 10 * DAY_MS;
	c->not_after_ms = NOW_MS + 80 * DAY_MS;
	c->key_bits = 256;
	snprintf(c->key_type, sizeof(c->key_type), "EC P-256");
	snprintf(c->signature, sizeof(c->signature), "ecdsa-with-SHA256");
	snprintf(c->names, sizeof(c->names), "srv.example");
}

static void say(struct base_buf *hello, const char *text)
{
	base_buf_clear(hello);
	base_buf_append_text(hello, text);
}

static void nothing(struct probe *p)
{
	(void)p;
}
static void no_starttls(struct probe *p)
{
	p->starttls = PROBE_STARTTLS_NOT_OFFERED;
	p->tls = p->after.asked = false;
	p->injection = PROBE_INJECTION_UNKNOWN;
	memset(p->versions, 0, sizeof(p->versions));
	say(&p->before.hello, GOOD);
}
static void no_starttls_no_login(struct probe *p)
{
	no_starttls(p);
	say(&p->before.hello,
		"srv.example\nPIPELINING\nSIZE\n8BITMIME\nSMTPUTF8\nDSN\n"
		"ENHANCEDSTATUSCODES");
}
static void starttls_asked(struct probe *p)
{
	no_starttls_no_login(p);
	p->asked = PROBE_STARTTLS;
}
static void handshake_fails(struct probe *p)
{
	p->tls = p->after.asked = false;
	memset(p->versions, 0, sizeof(p->versions));
	say(&p->before.hello, GOOD);
	say(&p->before.hello,
		"srv.example\nPIPELINING\nSIZE\n8BITMIME\nSMTPUTF8\nDSN\n"
		"ENHANCEDSTATUSCODES\nSTARTTLS");
	snprintf(p->tls_failure, sizeof(p->tls_failure), "handshake failure");
}
static void injection(struct probe *p)
{
	p->injection = PROBE_INJECTION_ANSWERED;
}
static void injection_in_clear(struct probe *p)
{
	p->injection = PROBE_INJECTION_IN_CLEAR;
}
static void old_versions(struct probe *p)
{
	p->versions[1] = PROBE_VERSION_ACCEPTED;
	p->versions[3] = PROBE_VERSION_REFUSED;
}
static void only_old_versions(struct probe *p)
{
	p->versions[0] = PROBE_VERSION_ACCEPTED;
	p->versions[2] = p->versions[3] = PROBE_VERSION_REFUSED;
}
static void expired(struct probe *p)
{
	p->verified = false;
	p->chain[0].not_after_ms = NOW_MS - 1;
}
static void expires(struct probe *p)
{
	p->chain[0].not_after_ms = NOW_MS + 21 * DAY_MS - 1;
}
static void expires_later(struct probe *p)
{
	p->chain[0].not_after_ms = NOW_MS + 21 * DAY_MS;
}
static void not_yet(struct probe *p)
{
	p->verified = false;
	p->chain[0].not_before_ms = NOW_MS + 1;
}
static void wrong_name(struct probe *p)
{
	p->verified = false;
	snprintf(p->chain[0].names, sizeof(p->chain[0].names), "other.example");
}
static void self_signed(struct probe *p)
{
	p->verified = false;
	p->chain[0].self_signed = true;
}
static void self_signed_and_trusted(struct probe *p)
{
	p->chain[0].self_signed = true;
}
static void unknown_issuer(struct probe *p)
{
	p->verified = false;
}
static void weak(struct probe *p)
{
	snprintf(p->chain[0].key_type, sizeof(p->chain[0].key_type), "RSA");
	p->chain[0].key_bits = 1024;
	snprintf(p->chain[0].signature, sizeof(p->chain[0].signature), "sha1WithRSAEncryption");
}
static void weak_root(struct probe *p)
{
	p->chain[1] = p->chain[0];
	p->chain[1].self_signed = true;
	snprintf(p->chain[1].signature, sizeof(p->chain[1].signature), "ecdsa-with-SHA1");
	p->chain_count = 2;
}
static void weak_intermediate(struct probe *p)
{
	weak_root(p);
	p->chain[1].self_signed = false;
}
static void plain_before_tls(struct probe *p)
{
	say(&p->before.hello, "srv.example\nSTARTTLS\nAUTH PLAIN SCRAM-SHA-256");
}
static void scram_before_tls(struct probe *p)
{
	say(&p->before.hello, "srv.example\nSTARTTLS\nAUTH SCRAM-SHA-256");
}
static void bad_mechanisms(struct probe *p)
{
	say(&p->after.hello,
		"srv.example\nPIPELINING\nSIZE 1\n8BITMIME\nSMTPUTF8\nDSN\n"
		"ENHANCEDSTATUSCODES\nAUTH NTLM ANONYMOUS CRAM-MD5");
}
static void cram_only(struct probe *p)
{
	say(&p->after.hello,
		"srv.example\nPIPELINING\nSIZE 1\n8BITMIME\nSMTPUTF8\nDSN\n"
		"ENHANCEDSTATUSCODES\nAUTH CRAM-MD5");
}
static void no_plus(struct probe *p)
{
	say(&p->after.hello,
		"srv.example\nPIPELINING\nSIZE 1\n8BITMIME\nSMTPUTF8\nDSN\n"
		"ENHANCEDSTATUSCODES\nAUTH SCRAM-SHA-256\nAUTH=PLAIN");
}
static void bare(struct probe *p)
{
	say(&p->after.hello, "localhost");
}
static void dangerous(struct probe *p)
{
	say(&p->after.hello,
		GOOD "\nVRFY\nEXPN\nETRN\nTURN\nATRN\nXCLIENT NAME\nXFORWARD NAME\n"
		     "STARTTLS\n;x");
}
static void banner(struct probe *p)
{
	say(&p->greeting, "srv.example ESMTP Postfix 3.7.11 (Debian)");
}
static void banner_with_address(struct probe *p)
{
	say(&p->greeting,
		"mx2.srv4.example ESMTP ready [192.0.2.1] Tue, 1 Dec 2026 02:00:00 +0000");
}
static void helo_only(struct probe *p)
{
	no_starttls(p);
	p->before.helo = true;
	p->starttls = PROBE_STARTTLS_NOT_TRIED;
	say(&p->before.hello, "srv.example");
}
static void broke_off(struct probe *p)
{
	p->after.code = 0;
	snprintf(p->trouble, sizeof(p->trouble), "EHLO: gone");
}

static void findings_follow_from_facts(void **state)
{
	static const struct {
		const char *name;
		void (*change)(struct probe *p);
		const char *expected;
	} rows[] = {
		{"nothing", nothing, ""},
		{"no STARTTLS", no_starttls, "bad:no-starttls bad:plaintext-login-without-tls"},
		{"no STARTTLS, no login", no_starttls_no_login, "warning:no-starttls"},
		{"STARTTLS was asked for", starttls_asked, "bad:no-starttls"},
		{"handshake fails", handshake_fails, "bad:tls-failed"},
		{"injection", injection, "bad:starttls-injection"},
		{"in clear", injection_in_clear, "warning:starttls-pipelined"},
		{"1.1", old_versions, "warning:old-tls note:no-tls-1.3"},
		{"1.0 only", only_old_versions, "warning:old-tls bad:no-tls-1.2"},
		{"expired", expired, "bad:certificate-expired"},
		{"expires", expires, "warning:certificate-expires"},
		{"expires later", expires_later, ""},
		{"not yet", not_yet, "bad:certificate-not-yet-valid"},
		{"wrong name", wrong_name, "bad:certificate-wrong-name"},
		{"self-signed", self_signed, "bad:certificate-self-signed"},
		{"self-signed, trusted", self_signed_and_trusted, ""},
		{"unknown issuer", unknown_issuer, "bad:certificate-unverified"},
		{"weak", weak, "bad:short-key bad:weak-signature"},
		{"weak root", weak_root, ""},
		{"weak intermediate", weak_intermediate, "bad:weak-signature"},
		{"PLAIN before TLS", plain_before_tls, "bad:plaintext-login-without-tls"},
		{"SCRAM before TLS", scram_before_tls, "warning:login-without-tls"},
		{"bad mechanisms", bad_mechanisms,
			"bad:anonymous-login warning:ntlm warning:weak-login note:no-scram"},
		{"CRAM-MD5 only", cram_only, "warning:weak-login note:no-scram"},
		{"no -PLUS", no_plus, "note:no-channel-binding note:old-announcement"},
		{"bare", bare,
			"warning:hello-name warning:no-login note:no-pipelining note:no-size "
			"note:no-enhanced-codes note:no-8bitmime note:no-smtputf8 note:no-dsn"},
		{"dangerous", dangerous,
			"note:odd-lines warning:turn warning:atrn warning:xclient "
			"warning:xforward note:etrn note:vrfy warning:expn "
			"warning:starttls-inside-tls"},
		{"banner", banner, "note:banner-version"},
		{"banner without a version", banner_with_address, ""},
		{"HELO only", helo_only, "warning:no-ehlo"},
		{"broke off", broke_off, "bad:session-ended"},
	};
	static struct probe p;

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct base_buf out;

		good_probe(&p);
		rows[i].change(&p);
		probe_offer_read(&p.before);
		probe_offer_read(&p.after);
		probe_judge(&p);
		base_buf_init(&out, 4096);
		for (size_t f = 0; f < p.finding_count; f++)
			base_buf_printf(&out, "%s%s:%s", f ? " " : "",
				probe_level_name(p.findings[f].level), p.findings[f].code);
		if (strcmp(base_buf_text(&out), rows[i].expected) != 0)
			fail_msg("%s: %s, not %s", rows[i].name, base_buf_text(&out),
				rows[i].expected);
		base_buf_release(&out);
		probe_release(&p);
	}
}

static void days_are_rounded_down(void **state)
{
	struct probe p = {.now_ms = NOW_MS};
	struct tls_certificate c = {.not_after_ms = NOW_MS + DAY_MS - 1};

	assert_int_equal(probe_days_left(&p, &c), 0);
	c.not_after_ms = NOW_MS + DAY_MS;
	assert_int_equal(probe_days_left(&p, &c), 1);
	c.not_after_ms = NOW_MS - 1;
	assert_int_equal(probe_days_left(&p, &c), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hellos_are_read),
		cmocka_unit_test(a_hello_never_has_more_than_it_may),
		cmocka_unit_test(names_fit_hosts),
		cmocka_unit_test(findings_follow_from_facts),
		cmocka_unit_test(days_are_rounded_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
