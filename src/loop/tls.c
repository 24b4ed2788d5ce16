/* loop/tls.c: sessions straight on the socket, so that an idle one holds no buffer of ours
 *
 * A session remembers of its failure only OpenSSL's code, errno and the verification result; the text
 * is made when somebody asks. Making contexts and certificates stands in tls_context.c. */
#include "loop/tls.h"
#include "loop/tls_internal.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

static struct tls_session *session_new(SSL_CTX *ctx, int in, int out)
{
	struct tls_session *s;
	SSL *ssl = SSL_new(ctx);

	if (!ssl)
		return NULL;
	/* One BIO where both are the same. */
	if (SSL_set_rfd(ssl, in) != 1 || SSL_set_wfd(ssl, out) != 1) {
		SSL_free(ssl);
		return NULL;
	}
	s = base_alloc_zero(1, sizeof(*s));
	s->ssl = ssl;
	SSL_set_app_data(ssl, s);
	return s;
}

struct tls_session *tls_accept_new(struct tls_context *ctx, int fd)
{
	return tls_accept_pair_new(ctx, fd, fd);
}

struct tls_session *tls_accept_pair_new(struct tls_context *ctx, int in, int out)
{
	struct tls_session *s = session_new(ctx->ssl, in, out);

	if (s)
		SSL_set_accept_state(s->ssl);
	return s;
}

/* What the certificate must say, and what is said to the server of it. */
static void name_server(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	struct base_addr addr;

	if (base_addr_parse(base_slice_text(host), &addr)) {
		X509_VERIFY_PARAM_set1_ip(param, addr.bytes, addr.family == BASE_ADDR_IP4 ? 4 : 16);
	} else {
		/* RFC 9525: names stand among the alternative names; a CN is a text for people. */
		X509_VERIFY_PARAM_set_hostflags(param,
			X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
		X509_VERIFY_PARAM_set1_host(param, host, 0);
		SSL_set_tlsext_host_name(ssl, host);
	}
}

static void limit_protocols(SSL *ssl, enum tls_protocol lowest, enum tls_protocol highest)
{
	static const int versions[] = {[TLS_PROTOCOL_1_0] = TLS1_VERSION,
		[TLS_PROTOCOL_1_1] = TLS1_1_VERSION,
		[TLS_PROTOCOL_1_2] = TLS1_2_VERSION,
		[TLS_PROTOCOL_1_3] = TLS1_3_VERSION};

	if (lowest != TLS_PROTOCOL_ANY)
		SSL_set_min_proto_version(ssl, versions[lowest]);
	if (highest != TLS_PROTOCOL_ANY)
		SSL_set_max_proto_version(ssl, versions[highest]);
	/* What the two old ones sign with is below OpenSSL's level 1. */
	if (lowest == TLS_PROTOCOL_1_0 || lowest == TLS_PROTOCOL_1_1) {
		SSL_set_security_level(ssl, 0);
		SSL_set_cipher_list(ssl, "DEFAULT:@SECLEVEL=0");
	}
}

static struct tls_session *client_new(
	SSL_CTX *ctx, int fd, const char *host, const struct tls_demands *demands)
{
	struct tls_session *s = session_new(ctx, fd, fd);

	if (!s)
		return NULL;
	s->client = base_alloc_zero(1, sizeof(*s->client));
	s->client->host = base_strdup(host);
	SSL_set_connect_state(s->ssl);
	name_server(s->ssl, host);
	limit_protocols(s->ssl, demands->lowest, demands->highest);
	if (demands->pin) {
		s->client->pinned = true;
		memcpy(s->client->pin, demands->pin, TLS_PIN_BYTES);
	}
	if (demands->authorities)
		SSL_set1_verify_cert_store(s->ssl, demands->authorities->store);
	/* Without a demand the chain is looked at all the same, so that a log can say what it was. */
	SSL_set_verify(
		s->ssl, demands->verify || demands->pin ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	return s;
}

struct tls_session *tls_connect_new(struct tls_context *ctx, int fd, const char *host, bool verify)
{
	return client_new(ctx->ssl, fd, host, &(struct tls_demands){.verify = verify});
}

int tls_connect_with(struct tls_session **out, struct tls_context *ctx, int fd, const char *host,
	const struct tls_demands *demands, struct base_error *err)
{
	struct tls_session *s = client_new(ctx->ssl, fd, host, demands);
	int rc = 0;

	if (!s)
		base_out_of_memory();
	if (demands->chain.len)
		rc = tls_use_client_pair(s->ssl, demands->chain, demands->key, err);
	if (rc != 0)
		tls_session_free(&s);
	else
		*out = s;
	return rc;
}

void tls_session_free(struct tls_session **session)
{
	struct tls_session *s = *session;

	if (!s)
		return;
	if (!s->failed && SSL_is_init_finished(s->ssl))
		SSL_shutdown(s->ssl);
	ERR_clear_error();
	SSL_free(s->ssl);
	if (s->client)
		free(s->client->host);
	free(s->client);
	free(s);
	*session = NULL;
}

/* What a call that returned @rc <= 0 means. */
static enum tls_io outcome(struct tls_session *s, int rc)
{
	int saved = errno;

	switch (SSL_get_error(s->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_EOF;
	default:
		break;
	}
	s->failed = true;
	s->code = ERR_peek_error();
	s->error_number = s->code ? 0 : saved;
	ERR_clear_error();
	/* The peer closed the socket without close_notify: an end, but an untidy one. SMTP ends its
	 * messages itself, so nothing can be cut off unnoticed. */
	if (ERR_GET_REASON(s->code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return TLS_EOF;
	return TLS_FAILED;
}

enum tls_io tls_handshake(struct tls_session *s)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_do_handshake(s->ssl);
	if (rc != 1)
		return outcome(s, rc);
	if (s->client)
		SSL_certs_clear(s->ssl); /* the key has done its work */
	return TLS_OK;
}

enum tls_io tls_read(struct tls_session *s, void *to, size_t size, size_t *out_len)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_read_ex(s->ssl, to, size, out_len);
	return rc == 1 ? TLS_OK : outcome(s, rc);
}

enum tls_io tls_write(struct tls_session *s, const void *from, size_t len, size_t *out_len)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_write_ex(s->ssl, from, len, out_len);
	return rc == 1 ? TLS_OK : outcome(s, rc);
}

bool tls_has_pending(const struct tls_session *s)
{
	return SSL_pending(s->ssl) > 0 || SSL_has_pending(s->ssl);
}

bool tls_wants_certificate(const struct tls_session *s)
{
	return s->code && ERR_GET_REASON(s->code) == SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED;
}

void tls_error(const struct tls_session *s, struct base_error *err)
{
	long verify = SSL_get_verify_result(s->ssl);
	char words[160];

	if (s->code && ERR_GET_REASON(s->code) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
		base_error_set(err, BASE_ERROR_TEMPORARY, (int)verify,
			"certificate not accepted: %s",
			s->client && s->client->reason[0] ? s->client->reason
							  : X509_verify_cert_error_string(verify));
		return;
	}
	if (s->code) {
		const char *reason = ERR_reason_error_string(s->code);

		if (!reason) {
			ERR_error_string_n(s->code, words, sizeof(words));
			reason = words;
		}
		base_error_set(
			err, BASE_ERROR_PEER, ERR_GET_REASON(s->code), "TLS failed: %s", reason);
		return;
	}
	base_error_set(err, BASE_ERROR_PEER, s->error_number, "TLS failed: %s",
		s->error_number ? strerror(s->error_number) : "connection closed");
}

const char *tls_version(const struct tls_session *s)
{
	return SSL_get_version(s->ssl);
}

const char *tls_cipher(const struct tls_session *s)
{
	return SSL_get_cipher_name(s->ssl);
}

bool tls_resumed(const struct tls_session *s)
{
	return SSL_session_reused(s->ssl) == 1;
}

const char *tls_verify_failure(const struct tls_session *s)
{
	if (s->client && s->client->reason[0])
		return s->client->reason;
	return SSL_get0_peer_certificate(s->ssl) ? NULL : "no certificate";
}

/* The hash of the certificate's own signature (RFC 5929 section 4.1): MD5 and SHA-1 become SHA-256.
 * Null for a signature without a hash of its own (Ed25519), which has no such binding. */
static const EVP_MD *end_point_hash(const struct tls_session *s, const X509 **out_certificate)
{
	const X509 *certificate = !s->client ? SSL_get_certificate(s->ssl)
					     : SSL_get0_peer_certificate(s->ssl);
	int nid;

	if (!certificate ||
		X509_get_signature_info((X509 *)certificate, &nid, NULL, NULL, NULL) != 1 ||
		nid == NID_undef)
		return NULL;
	if (nid == NID_md5 || nid == NID_sha1)
		nid = NID_sha256;
	*out_certificate = certificate;
	return EVP_get_digestbynid(nid);
}

bool tls_binding_available(const struct tls_session *s, const char *name)
{
	bool tls13 = SSL_version(s->ssl) >= TLS1_3_VERSION;
	const X509 *certificate;

	if (!SSL_is_init_finished(s->ssl))
		return false;
	if (strcmp(name, "tls-exporter") == 0)
		return tls13 || SSL_get_extms_support(s->ssl) == 1;
	if (strcmp(name, "tls-unique") == 0)
		return !tls13 && SSL_get_extms_support(s->ssl) == 1;
	if (strcmp(name, "tls-server-end-point") == 0)
		return end_point_hash(s, &certificate) != NULL;
	return false;
}

/* RFC 9266. The context is present and empty: in TLS 1.2 that differs from none at all. */
static bool bind_exporter(SSL *ssl, uint8_t *out, size_t *out_len)
{
	static const char label[] = "EXPORTER-Channel-Binding";

	*out_len = 32;
	return SSL_export_keying_material(ssl, out, 32, label, sizeof(label) - 1,
		       (const unsigned char *)"", 0, 1) == 1;
}

/* RFC 5929 section 3: the first Finished message of the handshake; the server's when resumed. */
static bool bind_unique(const struct tls_session *s, uint8_t *out, size_t *out_len)
{
	bool own = !s->client == (SSL_session_reused(s->ssl) == 1);

	*out_len = own ? SSL_get_finished(s->ssl, out, TLS_BINDING_MAX_BYTES)
		       : SSL_get_peer_finished(s->ssl, out, TLS_BINDING_MAX_BYTES);
	return *out_len > 0 && *out_len <= TLS_BINDING_MAX_BYTES;
}

static bool bind_end_point(const struct tls_session *s, uint8_t *out, size_t *out_len)
{
	const X509 *certificate;
	const EVP_MD *md = end_point_hash(s, &certificate);
	unsigned len = 0;

	if (!md || X509_digest(certificate, md, out, &len) != 1)
		return false;
	*out_len = len;
	return true;
}

bool tls_binding(const struct tls_session *s, const char *name, uint8_t out[TLS_BINDING_MAX_BYTES],
	size_t *out_len)
{
	if (!tls_binding_available(s, name))
		return false;
	if (strcmp(name, "tls-exporter") == 0)
		return bind_exporter(s->ssl, out, out_len);
	if (strcmp(name, "tls-unique") == 0)
		return bind_unique(s, out, out_len);
	return bind_end_point(s, out, out_len);
}
