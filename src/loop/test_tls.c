/* Both ends of TLS on a socket pair: versions, names, bindings. */
#include "base/test_support.h"

#include "loop/tls.h"
#include "loop/tls_internal.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NOW_MS INT64_C(1795531961000)

struct pair {
	int fds[2];
	struct base_buf chain, key;
	struct tls_context *server_context, *client_context;
	struct tls_session *server, *client;
};

static void begin(struct pair *p, const char *name, bool verify, bool trust)
{
	struct base_error err = {0};

	memset(p, 0, sizeof(*p));
	base_buf_init(&p->chain, 65536);
	base_buf_init_secret(&p->key, 65536);
	/* valid from an hour ago in the clock of this machine, not in that of the rows */
	assert_int_equal(tls_self_signed("mail.example.org", (int64_t)time(NULL) * 1000, &p->chain,
				 &p->key, &err),
		0);
	assert_int_equal(tls_server_context_new(&p->server_context, base_buf_slice(&p->chain),
				 base_buf_slice(&p->key), BASE_SLICE_EMPTY, &err),
		0);
	assert_int_equal(tls_client_context_new(&p->client_context,
				 trust ? base_buf_slice(&p->chain) : BASE_SLICE_EMPTY, &err),
		0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->fds), 0);
	p->server = tls_accept_new(p->server_context, p->fds[0]);
	p->client = tls_connect_new(p->client_context, p->fds[1], name, verify);
}

static void finish(struct pair *p)
{
	tls_session_free(&p->client);
	tls_session_free(&p->server);
	tls_context_free(&p->client_context);
	tls_context_free(&p->server_context);
	base_buf_release(&p->chain);
	base_buf_release(&p->key);
	close(p->fds[0]);
	close(p->fds[1]);
}

/* Results of client and server, once neither wants more. */
static enum tls_io shake(struct pair *p)
{
	enum tls_io a = TLS_WANT_READ, b = TLS_WANT_READ;

	for (int i = 0; i < 20 && (a != TLS_OK || b != TLS_OK); i++) {
		if (a != TLS_OK)
			a = tls_handshake(p->client);
		if (a == TLS_FAILED || a == TLS_EOF)
			return a;
		if (b != TLS_OK)
			b = tls_handshake(p->server);
		if (b == TLS_FAILED || b == TLS_EOF)
			return b;
	}
	return a == TLS_OK && b == TLS_OK ? TLS_OK : TLS_WANT_READ;
}

static void bytes_cross_and_the_end_is_seen(void **state)
{
	struct pair p;
	char got[16];
	size_t len = 0;

	begin(&p, "mail.example.org", true, true);
	assert_int_equal(shake(&p), TLS_OK);
	assert_string_equal(tls_version(p.server), "TLSv1.3");
	assert_null(tls_verify_failure(p.client));
	assert_int_equal(tls_write(p.client, "hello", 5, &len), TLS_OK);
	assert_int_equal(tls_read(p.server, got, 3, &len), TLS_OK);
	assert_int_equal(len, 3);
	assert_true(tls_has_pending(p.server));
	assert_int_equal(tls_read(p.server, got, sizeof(got), &len), TLS_OK);
	assert_int_equal(len, 2);
	assert_int_equal(tls_read(p.server, got, sizeof(got), &len), TLS_WANT_READ);
	tls_session_free(&p.client);
	assert_int_equal(tls_read(p.server, got, sizeof(got), &len), TLS_EOF);
	finish(&p);
}

static void names_are_verified(void **state)
{
	static const struct {
		const char *name;
		bool trust, good;
	} rows[] = {{"mail.example.org", true, true}, {"localhost", true, true},
		{"127.0.0.1", true, true}, {"::1", true, true}, {"other.example.org", true, false},
		{"127.0.0.2", true, false}, {"mail.example.org", false, false},
		{"example.org", true, false}};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct base_error err = {0};
		struct pair p;

		begin(&p, rows[i].name, true, rows[i].trust);
		assert_int_equal(shake(&p), rows[i].good ? TLS_OK : TLS_FAILED);
		if (!rows[i].good) {
			tls_error(p.client, &err);
			assert_non_null(strstr(err.text, "certificate not accepted"));
		}
		finish(&p);
		/* not demanded: it goes on, and says what would have been wrong */
		begin(&p, rows[i].name, false, rows[i].trust);
		assert_int_equal(shake(&p), TLS_OK);
		assert_int_equal(tls_verify_failure(p.client) == NULL, rows[i].good);
		finish(&p);
	}
}

static void both_ends_compute_the_same_binding(void **state)
{
	static const struct {
		int version;
		const char *name;
		bool available;
	} rows[] = {{TLS1_3_VERSION, "tls-exporter", true}, {TLS1_3_VERSION, "tls-unique", false},
		{TLS1_3_VERSION, "tls-server-end-point", true},
		{TLS1_2_VERSION, "tls-exporter", true}, {TLS1_2_VERSION, "tls-unique", true},
		{TLS1_2_VERSION, "tls-server-end-point", true},
		{TLS1_3_VERSION, "TLS-EXPORTER", false}, {TLS1_3_VERSION, "", false}};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		uint8_t a[TLS_BINDING_MAX_BYTES], b[TLS_BINDING_MAX_BYTES];
		size_t a_len = 0, b_len = 0;
		struct pair p;

		begin(&p, "mail.example.org", true, true);
		assert_false(
			tls_binding(p.server, rows[i].name, a, &a_len)); /* before the handshake */
		SSL_CTX_set_max_proto_version(p.client_context->ssl, rows[i].version);
		tls_session_free(&p.client);
		p.client = tls_connect_new(p.client_context, p.fds[1], "mail.example.org", true);
		assert_int_equal(shake(&p), TLS_OK);
		assert_int_equal(tls_binding_available(p.server, rows[i].name), rows[i].available);
		assert_int_equal(tls_binding(p.server, rows[i].name, a, &a_len), rows[i].available);
		assert_int_equal(tls_binding(p.client, rows[i].name, b, &b_len), rows[i].available);
		assert_int_equal(a_len, b_len);
		assert_memory_equal(a, b, a_len);
		assert_true(!rows[i].available || a_len >= 12);
		finish(&p);
	}
}

static void old_versions_are_refused(void **state)
{
	struct pair p;

	begin(&p, "mail.example.org", false, true);
	SSL_CTX_set_min_proto_version(p.client_context->ssl, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(p.client_context->ssl, TLS1_1_VERSION);
	SSL_CTX_set_security_level(p.client_context->ssl, 0);
	tls_session_free(&p.client);
	p.client = tls_connect_new(p.client_context, p.fds[1], "mail.example.org", false);
	assert_int_equal(shake(&p), TLS_FAILED);
	finish(&p);
}

static void a_stranger_protocol_is_refused(void **state)
{
	static const unsigned char http[] = "\x08http/1.1", both[] = "\x08http/1.1\x04smtp";
	struct pair p;

	begin(&p, "mail.example.org", false, true);
	SSL_CTX_set_alpn_protos(p.client_context->ssl, http, sizeof(http) - 1);
	tls_session_free(&p.client);
	p.client = tls_connect_new(p.client_context, p.fds[1], "mail.example.org", false);
	assert_int_equal(shake(&p), TLS_FAILED);
	finish(&p);
	begin(&p, "mail.example.org", false, true);
	SSL_CTX_set_alpn_protos(p.client_context->ssl, both, sizeof(both) - 1);
	tls_session_free(&p.client);
	p.client = tls_connect_new(p.client_context, p.fds[1], "mail.example.org", false);
	assert_int_equal(shake(&p), TLS_OK);
	finish(&p);
}

static void pairs_are_judged(void **state)
{
	struct base_buf chain, key, other_chain, other_key;
	struct base_error err = {0};
	int64_t ends = 0;

	base_buf_init(&chain, 65536);
	base_buf_init(&key, 65536);
	base_buf_init(&other_chain, 65536);
	base_buf_init(&other_key, 65536);
	assert_int_equal(tls_self_signed("a.example.org", NOW_MS, &chain, &key, &err), 0);
	assert_int_equal(
		tls_self_signed("b.example.org", NOW_MS, &other_chain, &other_key, &err), 0);
	assert_int_equal(
		tls_pair_check(base_buf_slice(&chain), base_buf_slice(&key), &ends, &err), 0);
	assert_in_range(ends, NOW_MS + INT64_C(3640) * 86400000, NOW_MS + INT64_C(3650) * 86400000);
	assert_int_equal(
		tls_pair_check(base_buf_slice(&chain), base_buf_slice(&other_key), &ends, &err),
		BASE_ERROR_CONFIG);
	assert_int_equal(tls_pair_check(BASE_SLICE("nonsense"), base_buf_slice(&key), &ends, &err),
		BASE_ERROR_CONFIG);
	assert_int_equal(tls_pair_check(base_buf_slice(&chain), BASE_SLICE_EMPTY, &ends, &err),
		BASE_ERROR_CONFIG);
	base_buf_release(&chain);
	base_buf_release(&key);
	base_buf_release(&other_chain);
	base_buf_release(&other_key);
}

/* A certificate signed by Ed25519 has no end-point binding: it must not seem to have an empty one. */
static void ed25519_has_no_end_point(void **state)
{
	struct base_buf chain, key_pem;
	struct base_error err = {0};
	struct pair p;
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	X509 *cert = X509_new();
	BIO *a = BIO_new(BIO_s_mem()), *b = BIO_new(BIO_s_mem());
	uint8_t data[TLS_BINDING_MAX_BYTES];
	size_t len = 0;
	char *text;

	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	assert_true(X509_sign(cert, key, NULL) > 0);
	PEM_write_bio_X509(a, cert);
	PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL);
	base_buf_init(&chain, 65536);
	base_buf_init(&key_pem, 65536);
	len = (size_t)BIO_get_mem_data(a, &text);
	base_buf_append(&chain, text, len);
	len = (size_t)BIO_get_mem_data(b, &text);
	base_buf_append(&key_pem, text, len);
	begin(&p, "localhost", false, true);
	tls_session_free(&p.server);
	tls_context_free(&p.server_context);
	assert_int_equal(tls_server_context_new(&p.server_context, base_buf_slice(&chain),
				 base_buf_slice(&key_pem), BASE_SLICE_EMPTY, &err),
		0);
	p.server = tls_accept_new(p.server_context, p.fds[0]);
	assert_int_equal(shake(&p), TLS_OK);
	assert_false(tls_binding_available(p.server, "tls-server-end-point"));
	assert_false(tls_binding(p.client, "tls-server-end-point", data, &len));
	assert_true(tls_binding(p.server, "tls-exporter", data, &len));
	finish(&p);
	base_buf_release(&chain);
	base_buf_release(&key_pem);
	BIO_free(a);
	BIO_free(b);
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* What is wrong with a certificate, in words. */

struct made {
	X509 *cert;
	EVP_PKEY *key;
	struct base_buf chain, key_pem; /* the certificate alone, and its key */
};

static void add(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(ext);
	X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
}

/* A DNS name with bytes that no configuration text can hold. */
static void add_raw_name(X509 *cert, const char *name, int len)
{
	GENERAL_NAMES *all = GENERAL_NAMES_new();
	GENERAL_NAME *one = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();

	ASN1_STRING_set(text, name, len);
	GENERAL_NAME_set0_value(one, GEN_DNS, text);
	sk_GENERAL_NAME_push(all, one);
	X509_add1_ext_i2d(cert, NID_subject_alt_name, all, 0, 0);
	GENERAL_NAMES_free(all);
}

static void take_pem(BIO *bio, struct base_buf *out)
{
	char *text;
	size_t len = (size_t)BIO_get_mem_data(bio, &text);

	base_buf_init(out, 65536);
	base_buf_append(out, text, len);
	BIO_free(bio);
}

/* @issuer null: signs itself. @names: of subjectAltName, null: none; "NUL": a name with one. @from and
 * @days: seconds from now, and the time after that. */
static void make(struct made *m, const struct made *issuer, const char *common, const char *names,
	long from_s, long days)
{
	X509_NAME *name;
	BIO *a = BIO_new(BIO_s_mem()), *b = BIO_new(BIO_s_mem());
	static long serial;

	m->key = EVP_EC_gen("P-256");
	m->cert = X509_new();
	X509_set_version(m->cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(m->cert), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(m->cert), from_s);
	X509_gmtime_adj(X509_getm_notAfter(m->cert), from_s + days * 86400);
	name = X509_get_subject_name(m->cert);
	X509_NAME_add_entry_by_txt(
		name, "CN", MBSTRING_UTF8, (const unsigned char *)common, -1, -1, 0);
	X509_set_issuer_name(m->cert, issuer ? X509_get_subject_name(issuer->cert) : name);
	X509_set_pubkey(m->cert, m->key);
	if (names && !strcmp(names, "NUL"))
		add_raw_name(m->cert, "good.example\0.evil.example", 26);
	else if (names)
		add(m->cert, NID_subject_alt_name, names);
	if (!names)
		add(m->cert, NID_basic_constraints, "critical,CA:TRUE");
	assert_true(X509_sign(m->cert, issuer ? issuer->key : m->key, EVP_sha256()) > 0);
	PEM_write_bio_X509(a, m->cert);
	PEM_write_bio_PrivateKey(b, m->key, NULL, NULL, 0, NULL, NULL);
	take_pem(a, &m->chain);
	take_pem(b, &m->key_pem);
}

static void unmake(struct made *m)
{
	X509_free(m->cert);
	EVP_PKEY_free(m->key);
	base_buf_release(&m->chain);
	base_buf_release(&m->key_pem);
}

/* The server shows @m; the client trusts only what it is told. */
static void begin_made(
	struct pair *p, const struct made *m, const char *host, const struct tls_demands *demands)
{
	struct base_error err = {0};

	memset(p, 0, sizeof(*p));
	base_buf_init(&p->chain, 65536);
	base_buf_init(&p->key, 65536);
	assert_int_equal(tls_server_context_new(&p->server_context, base_buf_slice(&m->chain),
				 base_buf_slice(&m->key_pem), BASE_SLICE_EMPTY, &err),
		0);
	assert_int_equal(
		tls_client_context_only_new(&p->client_context, BASE_SLICE_EMPTY, &err), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->fds), 0);
	p->server = tls_accept_new(p->server_context, p->fds[0]);
	assert_int_equal(
		tls_connect_with(&p->client, p->client_context, p->fds[1], host, demands, &err), 0);
}

/* Authorities of one session, parsed once and used for all rows. */
static struct tls_authorities *trust_made(const struct made *m)
{
	struct tls_authorities *out = NULL;
	struct tls_context *context;
	struct base_error err = {0};

	assert_int_equal(tls_client_context_only_new(&context, BASE_SLICE_EMPTY, &err), 0);
	assert_int_equal(tls_authorities_new(&out, context, base_buf_slice(&m->chain), &err), 0);
	tls_context_free(&context);
	return out;
}

static void a_bad_certificate_is_told_in_words(void **state)
{
	struct made root, other;
	struct tls_authorities *trusted;
	static const struct {
		const char *host, *names;
		long from_s, days;
		int issuer; /* 0: itself, 1: the trusted root, 2: another */
		const char *why;
	} rows[] = {
		{"b.example", "DNS:b.example", -60, 1, 1, NULL},
		{"B.EXAMPLE", "DNS:*.example.org,DNS:b.example", -60, 1, 1, NULL},
		{"a.example.org", "DNS:*.example.org", -60, 1, 1, NULL},
		{"192.0.2.1", "IP:192.0.2.1", -60, 1, 1, NULL},
		{"2001:db8::1", "IP:2001:db8::1", -60, 1, 1, NULL},
		{"b.example", "DNS:a.example", -60, 1, 1,
			"certificate is for a.example, not b.example"},
		{"b.example",
			"DNS:a.example,IP:192.0.2.1,DNS:c.example,DNS:d.example,DNS:e.example", -60,
			1, 1,
			"certificate is for a.example, 192.0.2.1, c.example and 2 more names, not "
			"b.example"},
		/* A name that reads as an address is none. */
		{"192.0.2.1", "DNS:192.0.2.1", -60, 1, 1,
			"certificate is for 192.0.2.1, not 192.0.2.1"},
		{"192.0.2.2", "IP:192.0.2.1", -60, 1, 1,
			"certificate is for 192.0.2.1, not 192.0.2.2"},
		{"good.example", "NUL", -60, 1, 1,
			"certificate is for good.example\\x00.evil.example, not good.example"},
		{"a.example", "DNS:a.example", -86400 * 30, 2, 1, "certificate expired on 20"},
		{"a.example", "DNS:a.example", 86400 * 30, 2, 1,
			"certificate is valid only from 20"},
		{"a.example", "DNS:a.example", -60, 1, 0, "self-signed certificate"},
		{"a.example", "DNS:a.example", -60, 1, 2, "unknown authority \"Other\""},
	};

	make(&root, NULL, "Root", NULL, -60, 365);
	make(&other, NULL, "Other", NULL, -60, 365);
	trusted = trust_made(&root);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct tls_demands demands = {.verify = true, .authorities = trusted};
		struct base_error err = {0};
		struct made m;
		struct pair p;

		make(&m,
			rows[i].issuer == 0           ? NULL
				: rows[i].issuer == 1 ? &root
						      : &other,
			"somebody", rows[i].names, rows[i].from_s, rows[i].days);
		begin_made(&p, &m, rows[i].host, &demands);
		assert_int_equal(shake(&p), rows[i].why ? TLS_FAILED : TLS_OK);
		if (rows[i].why) {
			tls_error(p.client, &err);
			if (!strstr(err.text, rows[i].why))
				fail_msg("%zu: \"%s\"", i, err.text);
		} else {
			assert_null(tls_verify_failure(p.client));
		}
		finish(&p);
		demands.verify = false;
		begin_made(&p, &m, rows[i].host, &demands);
		assert_int_equal(shake(&p), TLS_OK);
		if (rows[i].why)
			assert_non_null(strstr(tls_verify_failure(p.client), rows[i].why));
		else
			assert_null(tls_verify_failure(p.client));
		finish(&p);
		unmake(&m);
	}
	tls_authorities_free(&trusted);
	unmake(&root);
	unmake(&other);
}

/* A right name beside one with a NUL does not help. */
static void a_nul_in_a_name_fails(void **state)
{
	struct made root, m;
	struct tls_authorities *trusted;
	struct pair p;

	make(&root, NULL, "Root", NULL, -60, 365);
	trusted = trust_made(&root);
	make(&m, &root, "x", "DNS:good.example", -60, 1);
	{
		GENERAL_NAMES *all = X509_get_ext_d2i(m.cert, NID_subject_alt_name, NULL, NULL);
		GENERAL_NAME *one = GENERAL_NAME_new();
		ASN1_IA5STRING *text = ASN1_IA5STRING_new();
		BIO *a = BIO_new(BIO_s_mem());

		ASN1_STRING_set(text, "x\0y", 3);
		GENERAL_NAME_set0_value(one, GEN_DNS, text);
		sk_GENERAL_NAME_push(all, one);
		assert_int_equal(
			X509_add1_ext_i2d(m.cert, NID_subject_alt_name, all, 0, X509V3_ADD_REPLACE),
			1);
		assert_true(X509_sign(m.cert, root.key, EVP_sha256()) > 0);
		PEM_write_bio_X509(a, m.cert);
		base_buf_release(&m.chain);
		take_pem(a, &m.chain);
		GENERAL_NAMES_free(all);
	}
	begin_made(&p, &m, "good.example",
		&(struct tls_demands){.verify = true, .authorities = trusted});
	assert_int_equal(shake(&p), TLS_FAILED);
	assert_string_equal(
		tls_verify_failure(p.client), "certificate has a name with a NUL in it");
	finish(&p);
	tls_authorities_free(&trusted);
	unmake(&root);
	unmake(&m);
}

static void authorities_need_a_certificate(void **state)
{
	struct tls_authorities *none = NULL;
	struct tls_context *context;
	struct base_error err = {0};

	assert_int_equal(tls_client_context_only_new(&context, BASE_SLICE_EMPTY, &err), 0);
	assert_int_equal(tls_authorities_new(&none, context, BASE_SLICE("nonsense"), &err),
		BASE_ERROR_CONFIG);
	tls_authorities_free(&none);
	tls_context_free(&context);
}

static void hash_key(const struct made *m, uint8_t out[TLS_PIN_BYTES])
{
	unsigned char *der = NULL;
	int len = i2d_PUBKEY(m->key, &der);

	assert_int_equal(EVP_Digest(der, (size_t)len, out, NULL, EVP_sha256(), NULL), 1);
	OPENSSL_free(der);
}

static void a_pin_decides_alone(void **state)
{
	struct base_error err = {0};
	uint8_t pin[TLS_PIN_BYTES];
	char words[160] = "the server's key is not the pinned one, but sha256:";
	struct made m;
	struct pair p;

	make(&m, NULL, "x", "DNS:other.example", -86400 * 30, 1); /* wrong in every way but one */
	hash_key(&m, pin);
	for (int verify = 0; verify < 2; verify++) {
		begin_made(&p, &m, "host.example",
			&(struct tls_demands){.verify = verify, .pin = pin});
		assert_int_equal(shake(&p), TLS_OK);
		assert_null(tls_verify_failure(p.client));
		finish(&p);
	}
	for (size_t i = 0; i < sizeof(pin); i++)
		(void)snprintf(words + strlen(words), 3, "%02x", pin[i]);
	pin[31] ^= 1;
	for (int verify = 0; verify < 2; verify++) {
		begin_made(&p, &m, "other.example",
			&(struct tls_demands){.verify = verify, .pin = pin});
		assert_int_equal(shake(&p), TLS_FAILED);
		assert_string_equal(tls_verify_failure(p.client), words);
		tls_error(p.client, &err);
		assert_non_null(strstr(err.text, words));
		finish(&p);
	}
	pin[31] ^= 1;
	begin_made(&p, &m, "host.example",
		&(struct tls_demands){.pin = pin, .highest = TLS_PROTOCOL_1_2});
	SSL_set_min_proto_version(p.server->ssl, TLS1_3_VERSION);
	assert_int_equal(shake(&p), TLS_FAILED);
	finish(&p);
	unmake(&m);
}

static int take_any(int ok, X509_STORE_CTX *x)
{
	return 1;
}

static void a_client_certificate_is_shown(void **state)
{
	struct base_error err = {0};
	struct tls_session *none = NULL;
	struct made server, client;
	X509 *seen;
	struct pair p;

	make(&server, NULL, "server", "DNS:s.example", -60, 1);
	make(&client, NULL, "robot", "DNS:c.example", -60, 1);
	for (int with = 0; with < 2; with++)
		for (int version = TLS_PROTOCOL_1_2; version <= TLS_PROTOCOL_1_3; version++) {
			struct tls_demands demands = {.lowest = version, .highest = version};

			if (with) {
				demands.chain = base_buf_slice(&client.chain);
				demands.key = base_buf_slice(&client.key_pem);
			}
			begin_made(&p, &server, "s.example", &demands);
			SSL_set_verify(p.server->ssl, SSL_VERIFY_PEER, take_any);
			assert_int_equal(shake(&p), TLS_OK);
			assert_string_equal(tls_version(p.client),
				version == TLS_PROTOCOL_1_2 ? "TLSv1.2" : "TLSv1.3");
			seen = SSL_get0_peer_certificate(p.server->ssl);
			assert_int_equal(seen != NULL, with);
			if (seen)
				assert_int_equal(X509_cmp(seen, client.cert), 0);
			assert_null(SSL_get_privatekey(p.client->ssl)); /* forgotten */
			finish(&p);
		}
	/* Key and certificate of different people; no key; no certificate. */
	begin_made(&p, &server, "s.example", &(struct tls_demands){.verify = false});
	assert_int_equal(tls_connect_with(&none, p.client_context, p.fds[1], "s.example",
				 &(struct tls_demands){.chain = base_buf_slice(&client.chain),
					 .key = base_buf_slice(&server.key_pem)},
				 &err),
		BASE_ERROR_CONFIG);
	assert_non_null(strstr(err.text, "does not belong"));
	assert_int_equal(
		tls_connect_with(&none, p.client_context, p.fds[1], "s.example",
			&(struct tls_demands){.chain = base_buf_slice(&client.chain)}, &err),
		BASE_ERROR_CONFIG);
	assert_int_equal(tls_connect_with(&none, p.client_context, p.fds[1], "s.example",
				 &(struct tls_demands){.chain = BASE_SLICE("x"),
					 .key = base_buf_slice(&client.key_pem)},
				 &err),
		BASE_ERROR_CONFIG);
	assert_null(none);
	finish(&p);
	unmake(&server);
	unmake(&client);
}

/* Only somebody who looks for them meets the two old versions. */
static void old_versions_are_found_when_asked_for(void **state)
{
	static const char *const names[] = {"", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"};
	struct made m;
	struct pair p;

	make(&m, NULL, "server", "DNS:s.example", -60, 1);
	for (int version = TLS_PROTOCOL_1_0; version <= TLS_PROTOCOL_1_3; version++) {
		begin_made(&p, &m, "s.example",
			&(struct tls_demands){.lowest = version, .highest = version});
		SSL_set_min_proto_version(p.server->ssl, TLS1_VERSION);
		SSL_set_security_level(p.server->ssl, 0);
		SSL_set_cipher_list(p.server->ssl, "DEFAULT:@SECLEVEL=0");
		assert_int_equal(shake(&p), TLS_OK);
		assert_string_equal(tls_version(p.client), names[version]);
		finish(&p);
	}
	unmake(&m);
}

static void a_chain_is_described(void **state)
{
	struct tls_certificate c;
	struct made root, m;
	char pin[TLS_PIN_TEXT_BYTES] = "sha256:";
	uint8_t hash[TLS_PIN_BYTES];
	struct pair p;

	make(&root, NULL, "Root", NULL, -60, 365);
	make(&m, &root, "h\"\xc3\xa4\x1b[m", "DNS:a.example,IP:192.0.2.1,email:x@y.example", -60,
		1);
	base_buf_append_slice(&m.chain, base_buf_slice(&root.chain));
	begin_made(&p, &m, "s.example", &(struct tls_demands){.verify = false});
	assert_false(tls_peer_certificate(p.client, 0, &c));
	assert_int_equal(shake(&p), TLS_OK);
	assert_true(tls_peer_certificate(p.client, 0, &c));
	assert_null(strpbrk(c.subject, "\x1b\n"));
	assert_non_null(strstr(c.subject, "CN = "));
	assert_string_equal(c.issuer, "CN = Root");
	assert_string_equal(c.names, "a.example\n192.0.2.1");
	assert_int_equal(c.name_count, 2);
	assert_true(c.not_after_ms - c.not_before_ms == 86400000);
	assert_string_equal(c.key_type, "EC prime256v1");
	assert_int_equal(c.key_bits, 256);
	assert_string_equal(c.signature, "ecdsa-with-SHA256");
	hash_key(&m, hash);
	for (size_t i = 0; i < sizeof(hash); i++)
		(void)snprintf(pin + strlen(pin), 3, "%02x", hash[i]);
	assert_string_equal(c.pin, pin);
	assert_false(c.self_signed);
	assert_false(c.authority);
	assert_true(tls_peer_certificate(p.client, 1, &c));
	assert_string_equal(c.subject, "CN = Root");
	assert_true(c.self_signed && c.authority);
	assert_int_equal(c.name_count, 0);
	assert_false(tls_peer_certificate(p.client, 2, &c));
	finish(&p);
	unmake(&root);
	unmake(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_cross_and_the_end_is_seen),
		cmocka_unit_test(names_are_verified),
		cmocka_unit_test(both_ends_compute_the_same_binding),
		cmocka_unit_test(old_versions_are_refused),
		cmocka_unit_test(a_stranger_protocol_is_refused),
		cmocka_unit_test(pairs_are_judged),
		cmocka_unit_test(ed25519_has_no_end_point),
		cmocka_unit_test(a_bad_certificate_is_told_in_words),
		cmocka_unit_test(a_nul_in_a_name_fails),
		cmocka_unit_test(authorities_need_a_certificate),
		cmocka_unit_test(a_pin_decides_alone),
		cmocka_unit_test(a_client_certificate_is_shown),
		cmocka_unit_test(old_versions_are_found_when_asked_for),
		cmocka_unit_test(a_chain_is_described),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
