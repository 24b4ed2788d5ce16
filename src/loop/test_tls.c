/* Both ends of TLS on a socket pair: versions, names, bindings. */
#include "base/test_support.h"

#include "loop/tls.h"
#include "loop/tls_internal.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
