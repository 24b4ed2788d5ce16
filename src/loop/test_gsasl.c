/* DIGEST-MD5 against libgsasl's own server and against the formula of RFC 2831; challenges that no good
 * server sends; GSSAPI where there is no ticket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "loop/gsasl.h"

#if LOOP_HAVE_GSASL

#include "base/base64.h"

#include <gsasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* MIT Kerberos keeps 16 bytes of a context that never came to be. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
	return "leak:libgssapi_krb5";
}

#define HOST BASE_SLICE("elwood.innosoft.com")

/* the formula (RFC 2831 section 2.1.2.1), qop auth, nc 1 */

struct digest {
	const char *user, *realm, *password, *nonce, *cnonce, *uri;
};

static void hex_of(struct base_slice data, char out[33])
{
	uint8_t sum[16];

	base_hash(BASE_HASH_MD5, data, sum);
	for (size_t i = 0; i < sizeof(sum); i++)
		snprintf(out + 2 * i, 3, "%02x", sum[i]);
}

static void respond(const struct digest *d, bool server, char out[33])
{
	char ha1[33], ha2[33];
	uint8_t inner[16];
	struct base_buf text;

	base_buf_init(&text, 4096);
	base_buf_printf(&text, "%s:%s:%s", d->user, d->realm, d->password);
	base_hash(BASE_HASH_MD5, base_buf_slice(&text), inner);
	base_buf_clear(&text);
	base_buf_append(&text, inner, sizeof(inner));
	base_buf_printf(&text, ":%s:%s", d->nonce, d->cnonce);
	hex_of(base_buf_slice(&text), ha1);
	base_buf_clear(&text);
	base_buf_printf(&text, "%s:%s", server ? "" : "AUTHENTICATE", d->uri);
	hex_of(base_buf_slice(&text), ha2);
	base_buf_clear(&text);
	base_buf_printf(&text, "%s:%s:00000001:%s:auth:%s", ha1, d->nonce, d->cnonce, ha2);
	hex_of(base_buf_slice(&text), out);
	base_buf_release(&text);
}

static void the_formula_is_right(void **state)
{
	static const struct {
		struct digest digest;
		const char *response, *proof;
	} rows[] = {
		{{"chris", "elwood.innosoft.com", "secret", "OA6MG9tEQGm2hh", "OA6MHXh6VqTrRk",
			 "imap/elwood.innosoft.com"},
			"d388dad90d4bbd760a152321f2143af7", "ea40f60335c427b5527b84dbabcdfffd"},
		{{"chris", "elwood.innosoft.com", "secret", "OA9BSXrbuRhWay", "OA9BSuZWMSpW8m",
			 "acap/elwood.innosoft.com"},
			"6084c6db3fede7352c551284490fd0fc", "2f0b3d7c3c2e486600ef710726aa2eae"},
		{{"chris", "elwood.innosoft.com", "secret", "OA6MG9tEQGm2hh", "OA6MHXh6VqTrRk",
			 "smtp/elwood.innosoft.com"},
			"52ff44907f72314481b5c098c708ebf3", "84106ee5cb85c426e7ef928db0e49bfa"},
	};
	char text[33];

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		respond(&rows[i].digest, false, text);
		assert_string_equal(text, rows[i].response);
		respond(&rows[i].digest, true, text);
		assert_string_equal(text, rows[i].proof);
	}
}

/* one of our exchanges */

struct client {
	struct sasl_client_foreign f;
	struct base_buf out;
};

static void open_client(struct client *c, struct base_slice user, struct base_slice password)
{
	base_buf_init_secret(&c->out, SASL_CLIENT_RESPONSE_MAX_BYTES);
	assert_true(gsasl_client_new(NULL, SASL_MECHANISM_DIGEST_MD5, HOST, user, password, &c->f));
}

/* Push a copy that ends where its memory ends. */
static enum sasl_client_result push(struct client *c, struct base_slice challenge)
{
	uint8_t *copy = malloc(challenge.len ? challenge.len : 1);
	enum sasl_client_result result;

	if (challenge.len)
		memcpy(copy, challenge.ptr, challenge.len);
	base_buf_clear(&c->out);
	result = c->f.step(c->f.arg, base_slice_make(copy, challenge.len), &c->out);
	free(copy);
	return result;
}

static void close_client(struct client *c)
{
	c->f.free(c->f.arg);
	base_buf_release(&c->out);
}

static void take_field(struct client *c, const char *name, char *to, size_t size)
{
	const char *text = base_buf_text(&c->out), *at = strstr(text, name);
	size_t len;

	assert_non_null(at);
	at += strlen(name);
	len = strcspn(at, "\",");
	assert_true(len < size);
	memcpy(to, at, len);
	to[len] = '\0';
}

#define CHALLENGE \
	"realm=\"elwood.innosoft.com\",nonce=\"OA6MG9tEQGm2hh\",qop=\"auth\"," \
	"algorithm=md5-sess,charset=utf-8"

static void responses_are_those_of_rfc_2831(void **state)
{
	char cnonce[64], response[64], expected[33], proof[48] = "rspauth=";
	struct digest d = {"chris", "elwood.innosoft.com", "secret", "OA6MG9tEQGm2hh", cnonce,
		"smtp/elwood.innosoft.com"};
	struct client c;

	open_client(&c, BASE_SLICE("chris"), BASE_SLICE("secret"));
	assert_int_equal(push(&c, BASE_SLICE(CHALLENGE)), SASL_CLIENT_RESPONSE);
	take_field(&c, "cnonce=\"", cnonce, sizeof(cnonce));
	take_field(&c, "response=", response, sizeof(response));
	respond(&d, false, expected);
	assert_string_equal(response, expected);
	assert_non_null(strstr(base_buf_text(&c.out), "digest-uri=\"smtp/elwood.innosoft.com\""));
	assert_non_null(strstr(base_buf_text(&c.out), "qop=auth,"));
	/* Success before the server's proof is none. */
	assert_int_equal(c.f.finish(c.f.arg), SASL_CLIENT_NOT_PROVEN);
	assert_true(c.f.reason(c.f.arg)[0] != '\0');
	respond(&d, true, proof + 8);
	assert_int_equal(push(&c, base_slice_text(proof)), SASL_CLIENT_RESPONSE);
	assert_int_equal(c.out.len, 0);
	assert_int_equal(c.f.finish(c.f.arg), SASL_CLIENT_DONE);
	assert_int_equal(push(&c, base_slice_text(proof)), SASL_CLIENT_ABORT);
	close_client(&c);
}

static void a_wrong_proof_is_no_proof(void **state)
{
	char cnonce[64], good[33], proof[64];
	struct digest d = {"chris", "elwood.innosoft.com", "secret", "OA6MG9tEQGm2hh", cnonce,
		"smtp/elwood.innosoft.com"};

	for (unsigned i = 0; i < 7; i++) {
		struct base_slice said;
		struct client c;

		open_client(&c, BASE_SLICE("chris"), BASE_SLICE("secret"));
		assert_int_equal(push(&c, BASE_SLICE(CHALLENGE)), SASL_CLIENT_RESPONSE);
		take_field(&c, "cnonce=\"", cnonce, sizeof(cnonce));
		respond(&d, i != 0, good); /* 0: the client's own response said back */
		if (i == 1)
			good[31] ^= 1;
		snprintf(proof, sizeof(proof), "%s%s",
			i == 2 ? "" : "rspauth=", i == 2 || i == 3 ? "" : good);
		said = base_slice_text(proof);
		if (i == 4)
			said.len--;
		if (i == 5)
			said = base_slice_make(proof, said.len + 1); /* the NUL too */
		if (i == 6)
			said = BASE_SLICE(CHALLENGE);
		assert_int_equal(push(&c, said), SASL_CLIENT_ABORT);
		assert_true(c.f.reason(c.f.arg)[0] != '\0');
		assert_int_equal(c.f.finish(c.f.arg), SASL_CLIENT_NOT_PROVEN);
		close_client(&c);
	}
}

#define N "nonce=\"abc\","
#define A "algorithm=md5-sess"

static void challenges_are_looked_at(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{CHALLENGE, true},
		{N A, true},
		{" , " N " , algorithm=\"md5-sess\" ,", true},
		{N A ",qop=\"auth-conf,auth-int, auth\",maxbuf=65536,cipher=\"rc4\"", true},
		{N A ",realm=\"\"", true},
		{N A ",realm=\"a\",realm=\"b\"", true},
		{N A ",realm=\"\xc3\xa9\",charset=utf-8", true},
		{N A ",x-new=\"what\"", true},
		{"", false},
		{"=", false},
		{"nonce", false},
		{A, false},
		{N, false},
		{N N A, false},
		{N A "," A, false},
		{N "algorithm=md5", false},
		{N "algorithm=\"MD5-sess, x\"", false},
		{N A ",qop=\"auth-int,auth-conf\"", false},
		{N A ",qop=\"authx\"", false},
		{N A ",qop=\"\"", false},
		{N A ",qop=\"auth\",qop=\"auth\"", false},
		{N A ",charset=iso-8859-1", false},
		{"nonce=\"\"," A, false},
		{"nonce=\"a\\\"b\"," A, false},
		{"nonce=\"a\nb\"," A, false},
		{"nonce=\"\xc3\xa9\"," A, false},
		{"nonce=\"abc," A, false},
		{"nonce=\"abc\"" A, false},
		{N A ",realm=\"a\\\\\"", false},
		{N A ",realm=\"a\x01\"", false},
		{N A ",realm=\"\xe9\"", false},
		{N A ",realm=a b", false},
		{N A "; x", false},
		{"rspauth=ea40f60335c427b5527b84dbabcdfffd", false},
		{"<1896.697170952@postoffice.reston.mci.net>", false},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct client c;
		enum sasl_client_result result;

		open_client(&c, BASE_SLICE("chris"), BASE_SLICE("secret"));
		result = push(&c, base_slice_text(rows[i].text));
		if ((result == SASL_CLIENT_RESPONSE) != rows[i].good)
			fail_msg("%s: %d %s", rows[i].text, result, c.f.reason(c.f.arg));
		if (!rows[i].good) {
			assert_int_equal(result, SASL_CLIENT_ABORT);
			assert_int_equal(c.out.len, 0);
			assert_true(c.f.reason(c.f.arg)[0] != '\0');
		}
		assert_int_equal(c.f.finish(c.f.arg), SASL_CLIENT_NOT_PROVEN);
		close_client(&c);
	}
}

static void long_challenges_are_refused(void **state)
{
	struct base_buf text;
	struct client c;

	base_buf_init(&text, 1 << 16);
	base_buf_append_text(&text, N A ",x=\"");
	while (text.len < 2046)
		base_buf_append_byte(&text, 'x');
	base_buf_append_byte(&text, '"');
	open_client(&c, BASE_SLICE("chris"), BASE_SLICE("secret"));
	assert_int_equal(push(&c, base_buf_slice(&text)), SASL_CLIENT_RESPONSE);
	close_client(&c);
	base_buf_append_byte(&text, ',');
	open_client(&c, BASE_SLICE("chris"), BASE_SLICE("secret"));
	assert_int_equal(push(&c, base_buf_slice(&text)), SASL_CLIENT_ABORT);
	close_client(&c);
	open_client(&c, BASE_SLICE("chris"), BASE_SLICE("secret"));
	assert_int_equal(
		push(&c, base_slice_make(CHALLENGE "\0", sizeof(CHALLENGE))), SASL_CLIENT_ABORT);
	close_client(&c);
	base_buf_release(&text);
}

static void names_that_end_a_string_are_not_carried(void **state)
{
	static const struct {
		enum sasl_mechanism mechanism;
		struct base_slice host, user, password;
		bool good;
	} rows[] = {
#define ROW(m, h, u, p, good) \
	{SASL_MECHANISM_##m, {(const uint8_t *)(h), sizeof(h) - 1}, \
		{(const uint8_t *)(u), sizeof(u) - 1}, {(const uint8_t *)(p), sizeof(p) - 1}, \
		good}
		ROW(DIGEST_MD5, "h", "u", "p", true),
		ROW(DIGEST_MD5, "h", "u", "p\"\\,", true),
		ROW(DIGEST_MD5, "h", "u\",authzid=\"boss", "p", false),
		ROW(DIGEST_MD5, "h", "u\\", "p", false),
		ROW(DIGEST_MD5, "h", "u\n", "p", false),
		ROW(DIGEST_MD5, "h", "u\0v", "p", false),
		ROW(DIGEST_MD5, "h", "\xe9", "p", false),
		ROW(DIGEST_MD5, "h", "", "p", false),
		ROW(DIGEST_MD5, "h", "u", "", false),
		ROW(DIGEST_MD5, "h", "u", "p\0q", false),
		ROW(DIGEST_MD5, "", "u", "p", false),
		ROW(DIGEST_MD5, "h\",x=\"", "u", "p", false),
		ROW(DIGEST_MD5, "h/i", "u", "p", false),
		ROW(GSSAPI, "h", "", "", true),
		ROW(GSSAPI, "h", "u", "", true),
		ROW(GSSAPI, "h@EVIL", "", "", false),
		ROW(PLAIN, "h", "u", "p", false),
		ROW(XOAUTH2, "h", "u", "p", false),
		ROW(NONE, "h", "u", "p", false),
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct sasl_client_foreign f = {NULL};
		bool made = gsasl_client_new(
			NULL, rows[i].mechanism, rows[i].host, rows[i].user, rows[i].password, &f);

		if (made != rows[i].good)
			fail_msg("row %zu", i);
		assert_true(made == (f.step != NULL));
		if (made)
			f.free(f.arg);
	}
}

/* RFC 2831 has such names in ISO 8859-1 unless the server says UTF-8; we have no other than UTF-8. */
static void names_outside_ascii_want_utf_8(void **state)
{
	struct client c;

	open_client(&c, BASE_SLICE("\xc3\xa9"), BASE_SLICE("secret"));
	assert_int_equal(push(&c, BASE_SLICE(N A)), SASL_CLIENT_ABORT);
	close_client(&c);
	open_client(&c, BASE_SLICE("\xc3\xa9"), BASE_SLICE("\xc3\xa9"));
	assert_int_equal(push(&c, BASE_SLICE(N A ",charset=utf-8")), SASL_CLIENT_RESPONSE);
	close_client(&c);
}

/* libgsasl's server */

static int ask(Gsasl *library, Gsasl_session *session, Gsasl_property property)
{
	switch ((int)property) {
	case GSASL_PASSWORD:
		return gsasl_property_set(session, property,
			strcmp(gsasl_property_fast(session, GSASL_AUTHID), "chris") ? "another"
										    : "secret");
	case GSASL_REALM:
		return gsasl_property_set(session, property, "a realm");
	case GSASL_SERVICE:
		return gsasl_property_set(session, property, "smtp");
	case GSASL_HOSTNAME:
		return gsasl_property_set(session, property, "elwood.innosoft.com");
	default:
		return GSASL_NO_CALLBACK;
	}
}

/* Our side within sasl/client.h, as the SMTP session has it. True: both are content. */
static bool log_in(const char *password, bool spoil, const char **out_reason)
{
	struct sasl_client_foreign foreign;
	struct sasl_client_options o = {
		.mechanism = SASL_MECHANISM_DIGEST_MD5, .foreign = &foreign};
	Gsasl *library;
	Gsasl_session *server;
	struct sasl_client *c;
	struct base_buf up;
	char *text = NULL;
	size_t len = 0;
	int code;
	bool content = false;

	assert_true(gsasl_client_new(
		NULL, o.mechanism, HOST, BASE_SLICE("chris"), base_slice_text(password), &foreign));
	assert_int_equal(gsasl_init(&library), GSASL_OK);
	gsasl_callback_set(library, ask);
	assert_int_equal(gsasl_server_start(library, "DIGEST-MD5", &server), GSASL_OK);
	base_buf_init_secret(&up, SASL_CLIENT_RESPONSE_MAX_BYTES);
	assert_int_equal(sasl_client_begin(&c, &o, &up), SASL_CLIENT_WAIT);
	assert_int_equal(gsasl_step(server, NULL, 0, &text, &len), GSASL_NEEDS_MORE);
	assert_int_equal(
		sasl_client_push(c, base_slice_make(text, len), &up), SASL_CLIENT_RESPONSE);
	gsasl_free(text);
	text = NULL;
	code = gsasl_step(server, (const char *)up.ptr, up.len, &text, &len);
	if (code == GSASL_OK || code == GSASL_NEEDS_MORE) {
		if (spoil)
			text[len - 1] ^= 1;
		base_buf_clear(&up);
		content = sasl_client_push(c, base_slice_make(text, len), &up) ==
			SASL_CLIENT_RESPONSE;
	}
	gsasl_free(text);
	content = sasl_client_finish(c) == SASL_CLIENT_DONE && content;
	*out_reason = sasl_client_reason(c);
	sasl_client_free(&c);
	base_buf_release(&up);
	gsasl_finish(server);
	gsasl_done(library);
	return content;
}

static void another_implementation_understands_us(void **state)
{
	const char *reason;

	assert_true(log_in("secret", false, &reason));
	assert_false(log_in("Secret", false, &reason));
	assert_false(log_in("secret", true, &reason));
	assert_string_equal(reason, "server could not prove that it knows the password");
}

static void no_ticket_is_said_in_words(void **state)
{
	struct sasl_client_foreign foreign;
	struct sasl_client_options o = {.mechanism = SASL_MECHANISM_GSSAPI, .foreign = &foreign};
	struct sasl_client *c;
	struct base_buf up;

	setenv("KRB5CCNAME", "FILE:/nonexistent/ticket", 1);
	setenv("KRB5_CONFIG", "/dev/null", 1);
	assert_true(gsasl_client_new(
		NULL, o.mechanism, HOST, BASE_SLICE_EMPTY, BASE_SLICE_EMPTY, &foreign));
	base_buf_init_secret(&up, SASL_CLIENT_RESPONSE_MAX_BYTES);
	assert_int_equal(sasl_client_begin(&c, &o, &up), SASL_CLIENT_ABORT);
	assert_string_equal(sasl_client_reason(c),
		"no Kerberos ticket for this server could be had (see kinit and klist)");
	sasl_client_free(&c);
	base_buf_release(&up);
}

static void masks_name_what_is_built(void **state)
{
	assert_int_equal(GSASL_MECHANISMS_LOCAL, SASL_MASK(SASL_MECHANISM_DIGEST_MD5));
	assert_int_equal(GSASL_MECHANISMS_BLOCKING,
		SASL_MASK(SASL_MECHANISM_DIGEST_MD5) | SASL_MASK(SASL_MECHANISM_GSSAPI));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_formula_is_right),
		cmocka_unit_test(responses_are_those_of_rfc_2831),
		cmocka_unit_test(a_wrong_proof_is_no_proof),
		cmocka_unit_test(challenges_are_looked_at),
		cmocka_unit_test(long_challenges_are_refused),
		cmocka_unit_test(names_that_end_a_string_are_not_carried),
		cmocka_unit_test(names_outside_ascii_want_utf_8),
		cmocka_unit_test(another_implementation_understands_us),
		cmocka_unit_test(no_ticket_is_said_in_words),
		cmocka_unit_test(masks_name_what_is_built),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void nothing_is_built(void **state)
{
	struct sasl_client_foreign f;

	assert_int_equal(GSASL_MECHANISMS_LOCAL, 0);
	assert_int_equal(GSASL_MECHANISMS_BLOCKING, 0);
	assert_false(gsasl_client_new(NULL, SASL_MECHANISM_DIGEST_MD5, BASE_SLICE("h"),
		BASE_SLICE("u"), BASE_SLICE("p"), &f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_built),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
