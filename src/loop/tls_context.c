/* loop/tls_context.c: contexts and certificates from bytes */
#include "loop/authorities.h"
#include "loop/tls.h"
#include "loop/tls_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int openssl_error(struct base_error *err, enum base_error_class class, const char *what)
{
	unsigned long code = ERR_peek_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	ERR_clear_error();
	return base_error_set(err, class, ERR_GET_REASON(code), "%s: %s", what,
		reason ? reason : "not understood");
}

/* No pass phrase can be typed into a server. */
static int no_password(char *buf, int size, int rwflag, void *arg)
{
	return -1;
}

static BIO *bio_of(struct base_slice pem)
{
	BIO *bio = BIO_new_mem_buf(pem.len ? (const void *)pem.ptr : "", (int)pem.len);

	if (!bio)
		base_out_of_memory();
	return bio;
}

static int use_chain(SSL_CTX *ssl, struct base_slice pem, struct base_error *err)
{
	BIO *bio = bio_of(pem);
	X509 *leaf = PEM_read_bio_X509_AUX(bio, NULL, no_password, NULL), *more;
	int rc = 0;

	if (!leaf || SSL_CTX_use_certificate(ssl, leaf) != 1)
		rc = openssl_error(err, BASE_ERROR_CONFIG, "cannot use the certificate");
	while (rc == 0 && (more = PEM_read_bio_X509(bio, NULL, no_password, NULL)) != NULL)
		SSL_CTX_add0_chain_cert(ssl, more);
	ERR_clear_error(); /* the loop above ends with "no start line" */
	X509_free(leaf);
	BIO_free(bio);
	return rc;
}

static int use_key(SSL_CTX *ssl, struct base_slice pem, struct base_error *err)
{
	BIO *bio = bio_of(pem);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	int rc = 0;

	if (!key)
		rc = openssl_error(err, BASE_ERROR_CONFIG, "cannot read the private key");
	else if (SSL_CTX_use_PrivateKey(ssl, key) != 1 || SSL_CTX_check_private_key(ssl) != 1)
		rc = openssl_error(
			err, BASE_ERROR_CONFIG, "the key does not belong to the certificate");
	EVP_PKEY_free(key);
	BIO_free(bio);
	return rc;
}

/* RFC 7301, and no protocol confusion: who names protocols must name ours. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
	const unsigned char *in, unsigned in_len, void *arg)
{
	static const unsigned char ours[] = {4, 's', 'm', 't', 'p'};

	if (SSL_select_next_proto((unsigned char **)out, out_len, ours, sizeof(ours), in, in_len) ==
		OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_OK;
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static SSL_CTX *context_new(const SSL_METHOD *method)
{
	SSL_CTX *ssl = SSL_CTX_new(method);

	if (!ssl)
		base_out_of_memory();
	SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
	SSL_CTX_set_options(ssl,
		SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
			SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(ssl,
		SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
			SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	return ssl;
}

/* As use_chain() and use_key(), where only one session is to have them. */
int tls_use_client_pair(
	SSL *ssl, struct base_slice chain, struct base_slice key, struct base_error *err)
{
	BIO *chain_bio = bio_of(chain), *key_bio = bio_of(key);
	X509 *leaf = PEM_read_bio_X509_AUX(chain_bio, NULL, no_password, NULL), *more;
	EVP_PKEY *pkey = PEM_read_bio_PrivateKey(key_bio, NULL, no_password, NULL);
	int rc = 0;

	if (!leaf || SSL_use_certificate(ssl, leaf) != 1)
		rc = openssl_error(err, BASE_ERROR_CONFIG, "cannot use the client certificate");
	while (rc == 0 && (more = PEM_read_bio_X509(chain_bio, NULL, no_password, NULL)) != NULL)
		SSL_add0_chain_cert(ssl, more);
	ERR_clear_error(); /* the loop above ends with "no start line" */
	if (rc == 0 && !pkey)
		rc = base_error_set(err, BASE_ERROR_CONFIG, 0,
			"cannot read the client certificate's private key");
	else if (rc == 0 && (SSL_use_PrivateKey(ssl, pkey) != 1 || SSL_check_private_key(ssl) != 1))
		rc = base_error_set(err, BASE_ERROR_CONFIG, 0,
			"the private key does not belong to the client certificate");
	ERR_clear_error();
	X509_free(leaf);
	EVP_PKEY_free(pkey);
	BIO_free(chain_bio);
	BIO_free(key_bio);
	return rc;
}

int tls_server_context_new(struct tls_context **out, struct base_slice chain, struct base_slice key,
	struct base_slice ticket_keys, struct base_error *err)
{
	static const unsigned char service[] = "postern smtp";
	SSL_CTX *ssl = context_new(TLS_server_method());
	int rc = use_chain(ssl, chain, err);

	if (rc == 0)
		rc = use_key(ssl, key, err);
	if (rc != 0) {
		SSL_CTX_free(ssl);
		return rc;
	}
	/* A ticket of another service is not taken. One ticket a session: clients keep one. */
	SSL_CTX_set_session_id_context(ssl, service, sizeof(service) - 1);
	SSL_CTX_set_num_tickets(ssl, 1);
	/* One read for a record instead of two. Bytes may then wait inside OpenSSL where poll does not
	 * see them: callers ask tls_has_pending(). */
	SSL_CTX_set_read_ahead(ssl, 1);
	if (ticket_keys.len == TLS_TICKET_KEY_BYTES)
		SSL_CTX_set_tlsext_ticket_keys(ssl, (void *)ticket_keys.ptr, (long)ticket_keys.len);
	SSL_CTX_set_alpn_select_cb(ssl, on_alpn, NULL);
	SSL_CTX_set_max_early_data(ssl, 0);
	*out = base_alloc(sizeof(**out));
	(*out)->ssl = ssl;
	return 0;
}

static int trust(X509_STORE *store, struct base_slice pem, struct base_error *err)
{
	BIO *bio = bio_of(pem);
	size_t count = 0;
	X509 *ca;

	while ((ca = PEM_read_bio_X509(bio, NULL, no_password, NULL)) != NULL) {
		X509_STORE_add_cert(store, ca);
		X509_free(ca);
		count++;
	}
	ERR_clear_error();
	BIO_free(bio);
	if (count == 0)
		return base_error_set(
			err, BASE_ERROR_CONFIG, 0, "no certificate in the authorities' file");
	return 0;
}

static void trust_all_of(X509_STORE *store, X509_STORE *of)
{
	/* The certificates themselves are shared. */
	STACK_OF(X509) *all = X509_STORE_get1_all_certs(of);

	if (!all)
		base_out_of_memory();
	for (int i = 0; i < sk_X509_num(all); i++)
		X509_STORE_add_cert(store, sk_X509_value(all, i));
	sk_X509_pop_free(all, X509_free);
}

/* What could be read last: behind the sandbox a reload may find the file replaced by one that this
 * process cannot open. */
static X509_STORE *system_store;

static void trust_system(SSL_CTX *ssl)
{
	const char *file = authorities_file();
	X509_STORE *fresh = X509_STORE_new();

	if (!fresh)
		base_out_of_memory();
	if (file && X509_STORE_load_file(fresh, file) == 1) {
		X509_STORE_free(system_store);
		system_store = fresh;
	} else {
		X509_STORE_free(fresh);
	}
	ERR_clear_error();
	if (system_store)
		trust_all_of(SSL_CTX_get_cert_store(ssl), system_store);
}

static int client_context_new(
	struct tls_context **out, bool system, struct base_slice ca, struct base_error *err)
{
	SSL_CTX *ssl = context_new(TLS_client_method());
	int rc = 0;

	SSL_CTX_set_read_ahead(ssl, 1); /* a record in one read, not two */
	SSL_CTX_set_cert_verify_callback(ssl, tls_verify_server, NULL);
	if (system)
		trust_system(ssl);
	/* A certificate that the administrator names is trusted though it is no authority. */
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ssl), X509_V_FLAG_PARTIAL_CHAIN);
	if (ca.len)
		rc = trust(SSL_CTX_get_cert_store(ssl), ca, err);
	if (rc != 0) {
		SSL_CTX_free(ssl);
		return rc;
	}
	*out = base_alloc(sizeof(**out));
	(*out)->ssl = ssl;
	return 0;
}

int tls_client_context_new(
	struct tls_context **out, struct base_slice extra_ca, struct base_error *err)
{
	return client_context_new(out, true, extra_ca, err);
}

int tls_client_context_only_new(
	struct tls_context **out, struct base_slice only_ca, struct base_error *err)
{
	return client_context_new(out, false, only_ca, err);
}

void tls_context_free(struct tls_context **ctx)
{
	if (!*ctx)
		return;
	SSL_CTX_free((*ctx)->ssl);
	free(*ctx);
	*ctx = NULL;
}

int tls_authorities_new(struct tls_authorities **out, const struct tls_context *ctx,
	struct base_slice pem, struct base_error *err)
{
	X509_STORE *store = X509_STORE_new();
	int rc;

	if (!store)
		base_out_of_memory();
	trust_all_of(store, SSL_CTX_get_cert_store(ctx->ssl));
	rc = trust(store, pem, err);
	if (rc != 0) {
		X509_STORE_free(store);
		return rc;
	}
	*out = base_alloc(sizeof(**out));
	(*out)->store = store;
	return 0;
}

void tls_authorities_free(struct tls_authorities **authorities)
{
	if (!*authorities)
		return;
	X509_STORE_free((*authorities)->store);
	free(*authorities);
	*authorities = NULL;
}

static void add_extension(X509 *cert, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (ext)
		X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
}

static void take_bio(BIO *bio, struct base_buf *out)
{
	char *bytes;
	long len = BIO_get_mem_data(bio, &bytes);

	base_buf_append(out, bytes, (size_t)len);
	BIO_free(bio);
}

int tls_self_signed(const char *host_name, int64_t now_ms, struct base_buf *out_chain,
	struct base_buf *out_key, struct base_error *err)
{
	const long ten_years = 3650L * 86400;
	time_t start = (time_t)(now_ms / 1000) - 3600;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	BIO *pem_cert = BIO_new(BIO_s_mem()), *pem_key = BIO_new(BIO_s_secmem());
	char names[400];
	X509_NAME *name;

	if (!key || !cert || !pem_cert || !pem_key)
		base_out_of_memory();
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), (uint64_t)now_ms);
	X509_time_adj_ex(X509_getm_notBefore(cert), 0, 0, &start);
	X509_time_adj_ex(X509_getm_notAfter(cert), 0, ten_years, &start);
	name = X509_get_subject_name(cert);
	X509_NAME_add_entry_by_txt(
		name, "CN", MBSTRING_UTF8, (const unsigned char *)host_name, -1, -1, 0);
	X509_set_issuer_name(cert, name);
	X509_set_pubkey(cert, key);
	snprintf(names, sizeof(names), "DNS:%s,DNS:localhost,IP:127.0.0.1,IP:::1", host_name);
	add_extension(cert, NID_subject_alt_name, names);
	add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
	add_extension(cert, NID_ext_key_usage, "serverAuth");
	if (X509_sign(cert, key, EVP_sha256()) == 0)
		goto failed;
	if (PEM_write_bio_X509(pem_cert, cert) != 1 ||
		PEM_write_bio_PrivateKey(pem_key, key, NULL, NULL, 0, NULL, NULL) != 1)
		goto failed;
	take_bio(pem_cert, out_chain);
	take_bio(pem_key, out_key);
	X509_free(cert);
	EVP_PKEY_free(key);
	return 0;
failed:
	BIO_free(pem_cert);
	BIO_free(pem_key);
	X509_free(cert);
	EVP_PKEY_free(key);
	return openssl_error(err, BASE_ERROR_TEMPORARY, "cannot make a self-signed certificate");
}

int tls_pair_check(struct base_slice chain, struct base_slice key, int64_t *out_not_after_ms,
	struct base_error *err)
{
	struct tls_context *ctx;
	struct tm tm;
	int rc = tls_server_context_new(&ctx, chain, key, BASE_SLICE_EMPTY, err);

	if (rc != 0)
		return rc;
	*out_not_after_ms = 0;
	if (ASN1_TIME_to_tm(X509_get0_notAfter(SSL_CTX_get0_certificate(ctx->ssl)), &tm) == 1)
		*out_not_after_ms = (int64_t)timegm(&tm) * 1000;
	tls_context_free(&ctx);
	return 0;
}
