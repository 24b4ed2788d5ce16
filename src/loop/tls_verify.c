/* loop/tls_verify.c: what a server's certificate is worth, and what it says
 *
 * OpenSSL judges chain, dates and name; here its verdict becomes words that name what is wrong. A pin
 * stands in place of all that: a pinned key needs no authority, no name and no date. A name with a NUL in
 * it fails whatever else the certificate says, because somebody counts on its being read halfway. */
#include "loop/tls.h"
#include "loop/tls_internal.h"

#include "base/digest.h"
#include "base/escape.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NAMES_SHOWN = 3, NAME_SHOWN_BYTES = 80 };

static struct base_slice slice_of(const ASN1_STRING *s)
{
	return base_slice_make(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

/* @buf has room for the NUL: its maximum is one less than @size. */
static void take_text(struct base_buf *buf, char *out, size_t size)
{
	(void)snprintf(out, size, "%.*s", BASE_SLICE_ARGS(base_buf_slice(buf)));
	base_buf_release(buf);
}

/* names */

static bool append_name(const GENERAL_NAME *name, struct base_buf *out)
{
	struct base_addr addr = {.family = BASE_ADDR_NONE};
	struct base_slice bytes;

	if (name->type == GEN_DNS)
		return base_escape_log(slice_of(name->d.dNSName), 255, out);
	if (name->type != GEN_IPADD)
		return false;
	bytes = slice_of(name->d.iPAddress);
	if (bytes.len != 4 && bytes.len != 16)
		return false;
	addr.family = bytes.len == 4 ? BASE_ADDR_IP4 : BASE_ADDR_IP6;
	memcpy(addr.bytes, bytes.ptr, bytes.len);
	return base_addr_format(&addr, out);
}

static size_t count_names(const GENERAL_NAMES *all)
{
	size_t count = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
		int type = sk_GENERAL_NAME_value(all, i)->type;

		count += type == GEN_DNS || type == GEN_IPADD;
	}
	return count;
}

static GENERAL_NAMES *names_of(const X509 *cert)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);

	ERR_clear_error();
	return all;
}

/* The last common name, as UTF-8; null: none. OPENSSL_free() it. */
static unsigned char *common_name(const X509_NAME *name, size_t *out_len)
{
	unsigned char *text = NULL;
	int at = -1, next, len;

	while ((next = X509_NAME_get_index_by_NID((X509_NAME *)name, NID_commonName, at)) >= 0)
		at = next;
	if (at < 0)
		return NULL;
	len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	ERR_clear_error();
	if (len < 0)
		return NULL;
	*out_len = (size_t)len;
	return text;
}

/* The name of an authority as people know it: its common name, or all of it. */
static void append_short(const X509_NAME *name, struct base_buf *out)
{
	size_t len = 0;
	unsigned char *common = common_name(name, &len);
	char *line;

	if (common) {
		(void)base_escape_log(base_slice_make(common, len), NAME_SHOWN_BYTES, out);
		OPENSSL_free(common);
		return;
	}
	line = X509_NAME_oneline(name, NULL, 0);
	(void)base_escape_log(base_slice_text(line ? line : ""), NAME_SHOWN_BYTES, out);
	OPENSSL_free(line);
}

/* "a.example, 192.0.2.1 and 3 more names" */
static void append_names(const X509 *cert, struct base_buf *out)
{
	GENERAL_NAMES *all = names_of(cert);
	size_t count = all ? count_names(all) : 0, shown = 0;

	for (int i = 0; all && i < sk_GENERAL_NAME_num(all) && shown < NAMES_SHOWN; i++) {
		size_t start = out->len;

		if (shown)
			(void)base_buf_append_text(out, ", ");
		if (append_name(sk_GENERAL_NAME_value(all, i), out))
			shown++;
		else
			base_buf_truncate(out, start);
	}
	if (!shown)
		append_short(X509_get_subject_name(cert), out);
	if (count > shown)
		(void)base_buf_printf(out, " and %zu more names", count - shown);
	GENERAL_NAMES_free(all);
}

static bool has_nul(const X509 *cert)
{
	GENERAL_NAMES *all = names_of(cert);
	size_t len = 0;
	unsigned char *common = common_name(X509_get_subject_name(cert), &len);
	bool found = common && memchr(common, 0, len);

	for (int i = 0; all && i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);

		if (name->type == GEN_DNS && base_slice_has(slice_of(name->d.dNSName), 0))
			found = true;
	}
	OPENSSL_free(common);
	GENERAL_NAMES_free(all);
	return found;
}

/* the verdict in words */

static int64_t unix_ms(const ASN1_TIME *at)
{
	struct tm tm;

	return ASN1_TIME_to_tm(at, &tm) == 1 ? (int64_t)timegm(&tm) * 1000 : 0;
}

static void append_date(const ASN1_TIME *at, struct base_buf *out)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(at, &tm) == 1)
		(void)base_buf_printf(
			out, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
	else
		(void)base_buf_append_text(out, "a day that cannot be read");
}

/* "certificate", or whose it is where it is not the server's own. */
static void append_which(const X509 *cert, int depth, struct base_buf *out)
{
	(void)base_buf_append_text(out, "certificate");
	if (depth == 0)
		return;
	(void)base_buf_append_text(out, " of the authority \"");
	append_short(X509_get_subject_name(cert), out);
	(void)base_buf_append_byte(out, '"');
}

static void append_unknown(const X509 *cert, struct base_buf *out)
{
	(void)base_buf_append_text(out, "unknown authority \"");
	append_short(X509_get_issuer_name(cert), out);
	(void)base_buf_append_byte(out, '"');
}

static void append_mismatch(const X509 *cert, const char *host, struct base_buf *out)
{
	(void)base_buf_append_text(out, "certificate is for ");
	append_names(cert, out);
	(void)base_buf_append_text(out, ", not ");
	(void)base_escape_log(base_slice_text(host), 255, out);
}

static void append_verdict(const X509_STORE_CTX *x, const char *host, struct base_buf *out)
{
	int error = X509_STORE_CTX_get_error(x), depth = X509_STORE_CTX_get_error_depth(x);
	const X509 *cert = X509_STORE_CTX_get_current_cert(x);

	if (!cert)
		cert = X509_STORE_CTX_get0_cert(x);
	switch (error) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		append_mismatch(X509_STORE_CTX_get0_cert(x), host, out);
		break;
	case X509_V_ERR_CERT_HAS_EXPIRED:
		append_which(cert, depth, out);
		(void)base_buf_append_text(out, " expired on ");
		append_date(X509_get0_notAfter(cert), out);
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		append_which(cert, depth, out);
		(void)base_buf_append_text(out, " is valid only from ");
		append_date(X509_get0_notBefore(cert), out);
		break;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		(void)base_buf_append_text(out, "self-signed certificate");
		break;
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_CERT_UNTRUSTED:
		append_unknown(cert, out);
		break;
	default:
		append_which(cert, depth, out);
		(void)base_buf_printf(out, ": %s", X509_verify_cert_error_string(error));
		break;
	}
}

/* pins */

static bool key_hash(const X509 *cert, uint8_t out[TLS_PIN_BYTES])
{
	unsigned char *der = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);

	ERR_clear_error();
	if (len <= 0)
		return false;
	base_hash(BASE_HASH_SHA256, base_slice_make(der, (size_t)len), out);
	OPENSSL_free(der);
	return true;
}

static void append_pin(const uint8_t hash[TLS_PIN_BYTES], struct base_buf *out)
{
	(void)base_buf_append_text(out, "sha256:");
	for (size_t i = 0; i < TLS_PIN_BYTES; i++)
		(void)base_buf_printf(out, "%02x", hash[i]);
}

static bool pin_fits(struct tls_client *client, const X509 *cert, struct base_buf *why)
{
	uint8_t hash[TLS_PIN_BYTES];

	if (!cert || !key_hash(cert, hash)) {
		(void)base_buf_append_text(why, "the server's key cannot be read");
		return false;
	}
	if (memcmp(hash, client->pin, sizeof(hash)) == 0)
		return true;
	(void)base_buf_append_text(why, "the server's key is not the pinned one, but ");
	append_pin(hash, why);
	return false;
}

int tls_verify_server(X509_STORE_CTX *x, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(x, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_session *s = SSL_get_app_data(ssl);
	struct tls_client *client = s->client;
	struct base_buf why;
	bool good;

	base_buf_init(&why, sizeof(client->reason) - 1);
	if (client->pinned) {
		good = pin_fits(client, X509_STORE_CTX_get0_cert(x), &why);
		X509_STORE_CTX_set_error(x, good ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
	} else {
		good = X509_verify_cert(x) == 1;
		if (!good) {
			append_verdict(x, client->host, &why);
			if (X509_STORE_CTX_get_error(x) == X509_V_OK)
				X509_STORE_CTX_set_error(x, X509_V_ERR_UNSPECIFIED);
		} else if (has_nul(X509_STORE_CTX_get0_cert(x))) {
			good = false;
			(void)base_buf_append_text(&why, "certificate has a name with a NUL in it");
			X509_STORE_CTX_set_error(x, X509_V_ERR_HOSTNAME_MISMATCH);
		}
	}
	ERR_clear_error();
	if (!good && !why.len)
		(void)base_buf_append_text(&why, "certificate cannot be verified");
	take_text(&why, client->reason, sizeof(client->reason));
	return good;
}

/* what a certificate says, for people */

static void take_name(const X509_NAME *name, char *out, size_t size)
{
	BIO *bio = BIO_new(BIO_s_mem());
	struct base_buf text;
	char *bytes;
	long len;

	if (!bio)
		base_out_of_memory();
	X509_NAME_print_ex(bio, name, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB);
	len = BIO_get_mem_data(bio, &bytes);
	base_buf_init(&text, 4 * size);
	(void)base_escape_log(base_slice_make(bytes, (size_t)len), size, &text);
	take_text(&text, out, size);
	BIO_free(bio);
}

static void take_names(const X509 *cert, struct tls_certificate *out)
{
	GENERAL_NAMES *all = names_of(cert);
	struct base_buf text;

	base_buf_init(&text, sizeof(out->names) - 1);
	out->name_count = all ? count_names(all) : 0;
	for (int i = 0; all && i < sk_GENERAL_NAME_num(all); i++) {
		size_t start = text.len;

		if ((start && !base_buf_append_byte(&text, '\n')) ||
			!append_name(sk_GENERAL_NAME_value(all, i), &text))
			base_buf_truncate(&text, start);
	}
	GENERAL_NAMES_free(all);
	take_text(&text, out->names, sizeof(out->names));
}

static void take_key(X509 *cert, struct tls_certificate *out)
{
	EVP_PKEY *key = X509_get0_pubkey(cert);
	const char *type = key ? EVP_PKEY_get0_type_name(key) : NULL;
	char group[24] = "";
	uint8_t hash[TLS_PIN_BYTES];
	struct base_buf pin;

	if (key && EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1)
		(void)snprintf(out->key_type, sizeof(out->key_type), "%.6s %s", type, group);
	else
		(void)snprintf(out->key_type, sizeof(out->key_type), "%s", type ? type : "unknown");
	out->key_bits = key ? (unsigned)EVP_PKEY_get_bits(key) : 0;
	out->pin[0] = '\0';
	if (key_hash(cert, hash)) {
		base_buf_init(&pin, sizeof(out->pin) - 1);
		append_pin(hash, &pin);
		take_text(&pin, out->pin, sizeof(out->pin));
	}
	ERR_clear_error();
}

bool tls_peer_certificate(const struct tls_session *s, size_t index, struct tls_certificate *out)
{
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(s->ssl);
	X509 *cert;

	if (!chain || index >= (size_t)sk_X509_num(chain))
		return false;
	cert = sk_X509_value(chain, (int)index);
	memset(out, 0, sizeof(*out));
	take_name(X509_get_subject_name(cert), out->subject, sizeof(out->subject));
	take_name(X509_get_issuer_name(cert), out->issuer, sizeof(out->issuer));
	take_names(cert, out);
	out->not_before_ms = unix_ms(X509_get0_notBefore(cert));
	out->not_after_ms = unix_ms(X509_get0_notAfter(cert));
	take_key(cert, out);
	(void)snprintf(out->signature, sizeof(out->signature), "%s",
		OBJ_nid2ln(X509_get_signature_nid(cert)));
	out->self_signed = X509_self_signed(cert, 0) == 1;
	out->authority = X509_check_ca(cert) == 1;
	ERR_clear_error();
	return true;
}
