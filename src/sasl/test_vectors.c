/* Published examples, each played through our server and our client. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sasl/test_support.h"

#include "base/base64.h"
#include "sasl/client_internal.h"

#define S(literal) \
	{ \
		(const uint8_t *)(literal), sizeof(literal) - 1 \
	}

#define NONCE_1 "fyko+d2lbbFgONRv9qkxdawL"
#define SERVER_NONCE_1 "3rfcNHYJY1ZVvWVs7j"
#define SALT_1 "QSXCR+Q6sek8bf92"
#define NONCE_256 "rOprNGfwEbeRWgbNEkqO"
#define SERVER_NONCE_256 "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SALT_256 "W22ZaJ0SNY7soEsUEjb6gQ=="
#define BYTES_8 "\0\1\2\3\4\5\6\7"
#define BYTES_32 BYTES_8 "\10\11\12\13\14\15\16\17\20\21\22\23\24\25\26\27\30\31\32\33\34\35\36\37"

struct row {
	const char *name;
	enum sasl_mechanism mechanism;
	const char *header;       /* gs2-header */
	const char *binding_text; /* the value of c=, where the source gives it */
	enum sasl_binding binding;
	struct base_slice data;
	const char *user, *user_text, *authzid;
	const char *nonce, *server_nonce, *salt;
	const char *proof, *signature;
};

#define AS_1 "user", "user", "", NONCE_1, SERVER_NONCE_1, SALT_1
#define AS_256 "user", "user", "", NONCE_256, SERVER_NONCE_256, SALT_256

static const struct row rows[] = {
	{"SHA-1, RFC 5802", SASL_MECHANISM_SCRAM_SHA_1, "n,,", "biws", SASL_BINDING_NONE, S(""),
		AS_1, "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "rmF9pqV8S7suAoZWja4dJRkFsKQ="},
	{"SHA-256, RFC 7677", SASL_MECHANISM_SCRAM_SHA_256, "n,,", "biws", SASL_BINDING_NONE, S(""),
		AS_256, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	{"SHA-256, y", SASL_MECHANISM_SCRAM_SHA_256, "y,,", "eSws", SASL_BINDING_NONE, S(""),
		AS_256, "FoqiHTtQEDE8lz1CdaEe3tK4mS+iMDTl77SPyDS53DY=",
		"dI4KpiQJwBr1+V+K6U1dA6l6I4I9DUNXWND4pcpRU3U="},
	{"SHA-256-PLUS, tls-unique", SASL_MECHANISM_SCRAM_SHA_256_PLUS, "p=tls-unique,,",
		"cD10bHMtdW5pcXVlLCx4eHg=", SASL_BINDING_TLS_UNIQUE, S("xxx"), AS_256,
		"v0J7PaQUPWowoTrwRLCKLzIZBpNUhWFlTrUKI1j9DpM=",
		"XjAev9iHBOvTxT+eNzBaFmP1IrqWah2PpZAa0wQrfY4="},
	{"SHA-256-PLUS, tls-server-end-point", SASL_MECHANISM_SCRAM_SHA_256_PLUS,
		"p=tls-server-end-point,,", NULL, SASL_BINDING_TLS_SERVER_END_POINT, S(BYTES_32),
		AS_256, "nY1Wus9a+gM2DrbQ1msXFgyhW6KM5ktOxWiU+/P/EGY=",
		"RwppMGddhz/J0lFYaRReBjXcQeNUFP5Qc76Lo5Exrig="},
	{"SHA-256-PLUS, tls-exporter", SASL_MECHANISM_SCRAM_SHA_256_PLUS, "p=tls-exporter,,",
		"cD10bHMtZXhwb3J0ZXIsLAABAgMEBQYH", SASL_BINDING_TLS_EXPORTER, S(BYTES_8), AS_256,
		"QAd7eifevIt6X/f2Cv9W4HLXcFLw7OayX8dQ2scckyI=",
		"8dbpxwe4DaC4ESpY8u6aAvFeP2ks9+LClF/ADCxyWOE="},
	{"SHA-256-PLUS, tls-exporter of 32 bytes", SASL_MECHANISM_SCRAM_SHA_256_PLUS,
		"p=tls-exporter,,", NULL, SASL_BINDING_TLS_EXPORTER, S(BYTES_32), AS_256,
		"QC6CS20quADQRb3mT99YUH+n3VJxUvzuK0K0E1Vrs2M=",
		"2GiAgapEppLVlUXbxUDksL3VgYHzuqiK5tR4mhJGgvs="},
	{"SHA-256, authzid and encoded name", SASL_MECHANISM_SCRAM_SHA_256, "n,a=admin=2Croot,",
		"bixhPWFkbWluPTJDcm9vdCw=", SASL_BINDING_NONE, S(""), "us=er", "us=3Der",
		"admin,root", NONCE_256, SERVER_NONCE_256, SALT_256,
		"Be8G7C039ufPQRkiiB+7/Porkv1dQEzyZU3NX080TYg=",
		"ZiFBiSvgvWf9pH3vQi/etu0jd7+e6AT9VScpjQ/ihtM="},
	{"SHA-1-PLUS, tls-unique", SASL_MECHANISM_SCRAM_SHA_1_PLUS, "p=tls-unique,,",
		"cD10bHMtdW5pcXVlLCx4eHg=", SASL_BINDING_TLS_UNIQUE, S("xxx"), AS_1,
		"/63TtbB5lIS6610+k4/luJMJqAI=", "GCPHy5gy1sRwXTCbwNhiiWIzLtU="},
	{"SHA-512, another salt", SASL_MECHANISM_SCRAM_SHA_512, "n,,", "biws", SASL_BINDING_NONE,
		S(""), "user", "user", "", NONCE_256, "02431b08-2f89-4bad-a4e6-80c0564ec865",
		"Yin2FuHTt/M0kJWb0t9OI32n2VmOGi3m+JfjOvuDF88=",
		"Hc5yec3NmCD7t+kFRw4/3yD6/F3SQHc7AVYschRja+Bc3sbdjlA0eH1OjJc0DD4ghn1tnXN5/Wr6qm9x"
		"maHt4A==",
		"BQuhnKHqYDwQWS5jAw4sZed+C9KFUALsbrq81bB0mh+bcUUbbMPNNmBIupnS2AmyyDnG5CTBQtkjJ9ky"
		"Y4kzmw=="},
	{"SHA-512", SASL_MECHANISM_SCRAM_SHA_512, "n,,", "biws", SASL_BINDING_NONE, S(""), AS_256,
		"gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTx"
		"wnYPJQ==",
		"ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2r"
		"R7N7Zw=="},
	{"SHA-512-PLUS, tls-server-end-point", SASL_MECHANISM_SCRAM_SHA_512_PLUS,
		"p=tls-server-end-point,,", NULL, SASL_BINDING_TLS_SERVER_END_POINT,
		S("imap://elwood.innosoft.com/"), AS_256,
		"Lrbr64QBLm57rPiUjNzRxRpy5SmWXr9uo1YaZamnGl5eJlvHL+VO3EogXgUmr8ht+aJoS3d2XOSNN6RU"
		"iA05sQ==",
		"mAlQYGd+jaCA+/6Ayj8wRQLKnuxQhjSabvJW4XqtPzjXayzXxbIElZP27ANJa7yNfb54XATe9O0/w1cN"
		"xvsRfg=="},
};

static void decode(const char *text, struct base_buf *out)
{
	base_buf_clear(out);
	assert_int_equal(base64_decode(base_slice_text(text), out, NULL), BASE64_OK);
}

static void expect(const char *name, const char *what, const struct base_buf *found,
	const struct base_buf *wanted)
{
	if (!base_slice_equal(base_buf_slice(found), base_buf_slice(wanted)))
		fail_msg("%s: %s is \"%.*s\", not \"%.*s\"", name, what, (int)found->len,
			(const char *)found->ptr, (int)wanted->len, (const char *)wanted->ptr);
}

struct messages {
	struct base_buf client_first, server_first, client_final, server_final;
};

static void messages_make(const struct row *row, struct messages *m)
{
	struct base_buf binding;

	base_buf_init(&binding, 256);
	base_buf_append_text(&binding, row->header);
	base_buf_append_slice(&binding, row->data);
	base_buf_init(&m->client_first, 1024);
	base_buf_init(&m->server_first, 1024);
	base_buf_init(&m->client_final, 1024);
	base_buf_init(&m->server_final, 1024);
	base_buf_printf(&m->client_first, "%sn=%s,r=%s", row->header, row->user_text, row->nonce);
	base_buf_printf(
		&m->server_first, "r=%s%s,s=%s,i=4096", row->nonce, row->server_nonce, row->salt);
	base_buf_append_text(&m->client_final, "c=");
	base64_encode(base_buf_slice(&binding), &m->client_final);
	if (row->binding_text)
		assert_true(base_slice_equal_text(
			base_slice_from(base_buf_slice(&m->client_final), 2), row->binding_text));
	base_buf_printf(
		&m->client_final, ",r=%s%s,p=%s", row->nonce, row->server_nonce, row->proof);
	base_buf_printf(&m->server_final, "v=%s", row->signature);
	base_buf_release(&binding);
}

static void messages_release(struct messages *m)
{
	base_buf_release(&m->client_first);
	base_buf_release(&m->server_first);
	base_buf_release(&m->client_final);
	base_buf_release(&m->server_final);
}

static struct support_store store_of(const struct row *row)
{
	struct support_store store = {
		.user = base_slice_text(row->user),
		.password = BASE_SLICE("pencil"),
		.binding_available = row->data.len > 0,
		.binding_data = row->data,
	};
	struct base_buf salt;

	base_buf_init(&salt, 64);
	decode(row->salt, &salt);
	assert_true(sasl_scram_derive(sasl_mechanism_info(row->mechanism)->hash, store.password,
		base_buf_slice(&salt), 4096, &store.keys));
	base_buf_release(&salt);
	return store;
}

static void scram_server_says_what_is_published(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		const struct row *row = &rows[i];
		struct sasl_server_options o = support_server_options(row->mechanism);
		struct support_store store = store_of(row);
		struct sasl_server *s;
		struct base_slice initial;
		struct base_buf out;
		struct messages m;

		messages_make(row, &m);
		initial = base_buf_slice(&m.client_first);
		base_buf_init(&out, 1024);
		assert_int_equal(sasl_server_begin(&s, &o, &initial, &out), SASL_SERVER_NEED_SCRAM);
		s->scram.nonce_len = (uint8_t)strlen(row->server_nonce);
		memcpy(s->scram.nonce, row->server_nonce, s->scram.nonce_len);
		assert_int_equal(support_answer(s, SASL_SERVER_NEED_SCRAM, &store, &out),
			SASL_SERVER_CHALLENGE);
		expect(row->name, "server-first", &out, &m.server_first);
		assert_int_equal(sasl_server_binding(s), row->binding);
		assert_false(sasl_server_challenge_is_final(s));
		assert_int_equal(support_push(s, base_buf_slice(&m.client_final), &store, &out),
			SASL_SERVER_CHALLENGE);
		expect(row->name, "server-final", &out, &m.server_final);
		assert_true(sasl_server_challenge_is_final(s));
		assert_int_equal(
			support_push(s, BASE_SLICE_EMPTY, &store, &out), SASL_SERVER_SUCCESS);
		assert_int_equal(out.len, 0);
		assert_true(base_slice_equal_text(sasl_server_user(s), row->user));
		assert_true(base_slice_equal_text(sasl_server_authzid(s), row->authzid));
		sasl_server_free(&s);
		assert_null(s);
		base_buf_release(&out);
		messages_release(&m);
	}
}

static void scram_client_says_what_is_published(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		const struct row *row = &rows[i];
		struct sasl_client_options o = {
			.mechanism = row->mechanism,
			.user = base_slice_text(row->user),
			.password = BASE_SLICE("pencil"),
			.authzid = base_slice_text(row->authzid),
			.binding = row->binding,
			.binding_data = row->data,
			.tls = row->header[0] == 'y',
		};
		struct base_buf random, out;
		struct sasl_client *c;
		struct messages m;

		messages_make(row, &m);
		base_buf_init(&random, 64);
		base_buf_init(&out, 1024);
		decode(row->nonce, &random);
		o.random = base_buf_slice(&random);
		assert_int_equal(sasl_client_begin(&c, &o, &out), SASL_CLIENT_RESPONSE);
		expect(row->name, "client-first", &out, &m.client_first);
		base_buf_clear(&out);
		assert_int_equal(sasl_client_push(c, base_buf_slice(&m.server_first), &out),
			SASL_CLIENT_RESPONSE);
		expect(row->name, "client-final", &out, &m.client_final);
		base_buf_clear(&out);
		assert_int_equal(sasl_client_push(c, base_buf_slice(&m.server_final), &out),
			SASL_CLIENT_RESPONSE);
		assert_int_equal(out.len, 0);
		assert_int_equal(sasl_client_finish(c), SASL_CLIENT_DONE);
		sasl_client_free(&c);
		assert_null(c);
		base_buf_release(&random);
		base_buf_release(&out);
		messages_release(&m);
	}
}

static void scram_keys_are_those_published(void **state)
{
	static const struct {
		enum base_hash hash;
		const char *salt, *stored_key, *server_key;
	} keys[] = {
		{BASE_HASH_SHA1, SALT_1,
			"6dlGYMOdZcOPutkcNY8U2g7vK9Y=", "D+CSWLOshSulAsxiupA+qs2/fTE="},
		{BASE_HASH_SHA256, SALT_256, "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=",
			"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="},
	};

	(void)state;
	for (size_t i = 0; i < BASE_COUNT(keys); i++) {
		size_t len = base_hash_len(keys[i].hash);
		struct sasl_scram_keys found;
		struct base_buf bytes;

		base_buf_init(&bytes, 64);
		decode(keys[i].salt, &bytes);
		assert_true(sasl_scram_derive(
			keys[i].hash, BASE_SLICE("pencil"), base_buf_slice(&bytes), 4096, &found));
		assert_int_equal(found.iterations, 4096);
		assert_int_equal(found.salt_len, bytes.len);
		assert_memory_equal(found.salt, bytes.ptr, bytes.len);
		decode(keys[i].stored_key, &bytes);
		assert_int_equal(bytes.len, len);
		assert_memory_equal(found.stored_key, bytes.ptr, len);
		decode(keys[i].server_key, &bytes);
		assert_memory_equal(found.server_key, bytes.ptr, len);
		base_buf_release(&bytes);
	}
}

static void scram_keys_of_bad_passwords(void **state)
{
	struct sasl_scram_keys a, b;
	struct base_slice salt = BASE_SLICE("0123456789abcdef");
	uint8_t longest[BASE_SECRET_PASSWORD_MAX_BYTES + 1];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	assert_false(sasl_scram_derive(BASE_HASH_SHA256, BASE_SLICE(""), salt, 4096, &a));
	assert_false(sasl_scram_derive(BASE_HASH_SHA256, BASE_SLICE("a\0b"), salt, 4096, &a));
	assert_false(sasl_scram_derive(BASE_HASH_SHA256, BASE_SLICE("\xff"), salt, 4096, &a));
	assert_false(sasl_scram_derive(BASE_HASH_SHA256, BASE_SLICE("\xc2\xad"), salt, 4096, &a));
	assert_false(sasl_scram_derive(
		BASE_HASH_SHA256, base_slice_make(longest, sizeof(longest)), salt, 4096, &a));
	assert_true(sasl_scram_derive(
		BASE_HASH_SHA256, base_slice_make(longest, sizeof(longest) - 1), salt, 1, &a));
	assert_true(sasl_scram_derive(BASE_HASH_SHA256, BASE_SLICE("I\xc2\xadX"), salt, 1, &a));
	assert_true(sasl_scram_derive(BASE_HASH_SHA256, BASE_SLICE("IX"), salt, 1, &b));
	assert_memory_equal(a.stored_key, b.stored_key, 32);
}

static void cram_md5(void **state)
{
	static const char challenge[] = "<1896.697170952@postoffice.reston.mci.net>";
	struct support_store store = {
		.user = BASE_SLICE("tim"), .password = BASE_SLICE("tanstaaftanstaaf")};
	struct sasl_server_options so = support_server_options(SASL_MECHANISM_CRAM_MD5);
	struct sasl_client_options co = {.mechanism = SASL_MECHANISM_CRAM_MD5,
		.user = store.user,
		.password = store.password};
	struct base_buf wanted, out;
	struct sasl_server *s;
	struct sasl_client *c;

	(void)state;
	base_buf_init(&wanted, 256);
	base_buf_init(&out, 256);
	decode("PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+", &wanted);
	assert_true(base_slice_equal_text(base_buf_slice(&wanted), challenge));
	decode("dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw", &wanted);

	assert_int_equal(sasl_client_begin(&c, &co, &out), SASL_CLIENT_WAIT);
	assert_int_equal(sasl_client_push(c, BASE_SLICE(challenge), &out), SASL_CLIENT_RESPONSE);
	expect("CRAM-MD5", "response", &out, &wanted);
	assert_int_equal(sasl_client_finish(c), SASL_CLIENT_DONE);
	sasl_client_free(&c);

	assert_int_equal(support_begin(&s, &so, NULL, &store, &out), SASL_SERVER_CHALLENGE);
	assert_true(base_slice_equal_text(base_buf_slice(&out),
		"<30313233343536373839616263646566.1795532400@mail.example.org>"));
	base_buf_clear(&s->text);
	base_buf_append_text(&s->text, challenge);
	assert_int_equal(
		support_push(s, base_buf_slice(&wanted), &store, &out), SASL_SERVER_SUCCESS);
	sasl_server_free(&s);
	base_buf_release(&wanted);
	base_buf_release(&out);
}

static void plain(void **state)
{
	static const struct {
		const char *message, *authzid, *user, *password;
		enum sasl_server_result expected;
	} plains[] = {
		{"AHRpbQB0YW5zdGFhZnRhbnN0YWFm", "", "tim", "tanstaaftanstaaf",
			SASL_SERVER_SUCCESS},
		{"VXJzZWwAS3VydAB4aXBqM3BsbXE=", "Ursel", "Kurt", "xipj3plmq", SASL_SERVER_SUCCESS},
		{"dGVzdAB0ZXN0ADEyMzQ=", "test", "test", "1234", SASL_SERVER_SUCCESS},
		{"AHRlc3QAdGVzdAA=", NULL, "test", "test", SASL_SERVER_MALFORMED},
	};

	(void)state;
	for (size_t i = 0; i < BASE_COUNT(plains); i++) {
		struct support_store store = {.user = base_slice_text(plains[i].user),
			.password = base_slice_text(plains[i].password)};
		struct sasl_server_options o = support_server_options(SASL_MECHANISM_PLAIN);
		bool same = plains[i].authzid && strcmp(plains[i].authzid, plains[i].user) == 0;
		struct base_buf message, out;
		struct base_slice initial;
		struct sasl_server *s;
		struct sasl_client *c;

		base_buf_init(&message, 256);
		base_buf_init(&out, 256);
		decode(plains[i].message, &message);
		initial = base_buf_slice(&message);
		assert_int_equal(support_begin(&s, &o, &initial, &store, &out), plains[i].expected);
		if (plains[i].authzid) {
			struct sasl_client_options co = {.mechanism = SASL_MECHANISM_PLAIN,
				.user = store.user,
				.password = store.password,
				.authzid = base_slice_text(plains[i].authzid)};

			assert_true(base_slice_equal_text(sasl_server_user(s), plains[i].user));
			assert_true(base_slice_equal_text(
				sasl_server_authzid(s), same ? "" : plains[i].authzid));
			assert_int_equal(sasl_client_begin(&c, &co, &out), SASL_CLIENT_RESPONSE);
			expect("PLAIN", "message", &out, &message);
			assert_int_equal(sasl_client_finish(c), SASL_CLIENT_DONE);
			sasl_client_free(&c);
		}
		sasl_server_free(&s);
		base_buf_release(&message);
		base_buf_release(&out);
	}
}

static void login(void **state)
{
	struct support_store store = {.user = BASE_SLICE("test"), .password = BASE_SLICE("1234")};
	struct sasl_server_options o = support_server_options(SASL_MECHANISM_LOGIN);
	struct base_buf out;
	struct sasl_server *s;

	(void)state;
	base_buf_init(&out, 256);
	assert_int_equal(support_begin(&s, &o, NULL, &store, &out), SASL_SERVER_CHALLENGE);
	assert_true(base_slice_equal_text(base_buf_slice(&out), "Username:"));
	assert_int_equal(support_push(s, BASE_SLICE("test"), &store, &out), SASL_SERVER_CHALLENGE);
	assert_true(base_slice_equal_text(base_buf_slice(&out), "Password:"));
	assert_int_equal(support_push(s, BASE_SLICE("1234"), &store, &out), SASL_SERVER_SUCCESS);
	sasl_server_free(&s);
	base_buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scram_server_says_what_is_published),
		cmocka_unit_test(scram_client_says_what_is_published),
		cmocka_unit_test(scram_keys_are_those_published),
		cmocka_unit_test(scram_keys_of_bad_passwords),
		cmocka_unit_test(cram_md5),
		cmocka_unit_test(plain),
		cmocka_unit_test(login),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
