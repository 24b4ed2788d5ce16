/* loop/tls.h: TLS sessions on a socket, by OpenSSL
 * Job      contexts from PEM bytes (no files), handshake, read, write, close_notify; channel bindings
 * Limits   TLS 1.2 at least; no renegotiation, no compression, no early data; buffers are released
 *          while a session is idle
 * Trust    errors become struct base_error with OpenSSL's words; nothing of the peer unescaped
 * Spec     RFC 8446, 5246, 7627, 5929, 9266, 8314 */
#ifndef LOOP_TLS_H
#define LOOP_TLS_H

#include "base/buf.h"
#include "base/error.h"
#include "base/host.h"

#define TLS_TICKET_KEY_BYTES 80
#define TLS_BINDING_MAX_BYTES 64
#define TLS_PIN_BYTES 32      /* SHA-256 of a SubjectPublicKeyInfo */
#define TLS_PIN_TEXT_BYTES 72 /* "sha256:" and its digits, with the NUL */
#define TLS_REASON_MAX_BYTES 320

struct tls_context;
struct tls_session;
struct tls_authorities;

/* Server context. @chain and @key are PEM; @ticket_keys 80 bytes shared by all fronts, or empty. */
int tls_server_context_new(struct tls_context **out, struct base_slice chain, struct base_slice key,
	struct base_slice ticket_keys, struct base_error *err);
/* Client context: the system's authorities, and those in the PEM bytes @extra_ca. */
int tls_client_context_new(
	struct tls_context **out, struct base_slice extra_ca, struct base_error *err);
/* The same with the authorities of the PEM bytes @only_ca and no others; empty: for sessions that
 * verify nothing, and need not read what the system trusts. */
int tls_client_context_only_new(
	struct tls_context **out, struct base_slice only_ca, struct base_error *err);
/* Sessions keep what they need of it. */
void tls_context_free(struct tls_context **ctx);

/* Null: out of memory only. @fd stays the caller's. */
struct tls_session *tls_accept_new(struct tls_context *ctx, int fd);
/* The same where reading and writing have a descriptor each: two pipes, say. */
struct tls_session *tls_accept_pair_new(struct tls_context *ctx, int in, int out);
/* @host: SNI and the name (or address) that the certificate must carry when @verify. */
struct tls_session *tls_connect_new(struct tls_context *ctx, int fd, const char *host, bool verify);

/* Authorities for single sessions: those of @ctx and the certificates of @pem, parsed once. Later
 * changes of @ctx do not reach it. CONFIG: there is no certificate in @pem. */
int tls_authorities_new(struct tls_authorities **out, const struct tls_context *ctx,
	struct base_slice pem, struct base_error *err);
/* Sessions keep what they need of it. Null is taken. */
void tls_authorities_free(struct tls_authorities **authorities);

enum tls_protocol {
	TLS_PROTOCOL_ANY, /* 1.2 and 1.3 */
	TLS_PROTOCOL_1_0, /* this and 1.1 for finding out what a server still speaks, no more */
	TLS_PROTOCOL_1_1,
	TLS_PROTOCOL_1_2,
	TLS_PROTOCOL_1_3,
};

/* What one session demands; all is borrowed for the call. */
struct tls_demands {
	bool verify; /* chain and name; else both are looked at for tls_verify_failure() only */
	const struct tls_authorities *authorities; /* in place of the context's; null: those */
	const uint8_t *pin; /* TLS_PIN_BYTES: this public key and no other, whatever chain and name
			     * say; demanded without @verify too. Null: none */
	/* PEM of a client certificate; empty: none. The session forgets the key after the handshake. */
	struct base_slice chain, key;
	enum tls_protocol lowest, highest;
};
/* As tls_connect_new(). An address for @host is compared with the certificate's addresses. CONFIG: the
 * client certificate cannot be used; *out is not set then. */
int tls_connect_with(struct tls_session **out, struct tls_context *ctx, int fd, const char *host,
	const struct tls_demands *demands, struct base_error *err);
/* Sends close_notify if it can without blocking. */
void tls_session_free(struct tls_session **s);

enum tls_io {
	TLS_OK,
	TLS_WANT_READ,
	TLS_WANT_WRITE,
	TLS_EOF,    /* close_notify, or the socket ended: nothing more to read */
	TLS_FAILED, /* tls_error() says why; only free is allowed */
};
enum tls_io tls_handshake(struct tls_session *s);
enum tls_io tls_read(struct tls_session *s, void *to, size_t size, size_t *out_len);
enum tls_io tls_write(struct tls_session *s, const void *from, size_t len, size_t *out_len);
/* Decrypted bytes that wait inside OpenSSL: poll will not tell of them. */
bool tls_has_pending(const struct tls_session *s);
void tls_error(const struct tls_session *s, struct base_error *err);
/* FAILED because the peer demands a certificate of ours. TLS 1.3 tells only after the handshake. */
bool tls_wants_certificate(const struct tls_session *s);

const char *tls_version(const struct tls_session *s); /* "TLSv1.3" */
const char *tls_cipher(const struct tls_session *s);
bool tls_resumed(const struct tls_session *s);
/* Client, after the handshake or its failure: null if chain and name (or the pin) were found good, else
 * why not, in plain words with the names, dates and issuers that matter: "certificate is for a.example,
 * not b.example". One line, escaped; valid as long as the session. */
const char *tls_verify_failure(const struct tls_session *s);

/* A certificate of the peer, for people. All texts are one line and escaped; UTF-8 outside ASCII too. */
struct tls_certificate {
	char subject[256], issuer[256];
	char names[2048];  /* subjectAltName, one a line: "a.example", "192.0.2.1" */
	size_t name_count; /* all of them; not all need fit */
	int64_t not_before_ms, not_after_ms;
	char key_type[32]; /* "RSA", "EC prime256v1", "ED25519" */
	unsigned key_bits;
	char signature[64]; /* "sha256WithRSAEncryption" */
	char pin[TLS_PIN_TEXT_BYTES];
	bool self_signed, authority;
};
/* The @index-th certificate as the server sent them, its own first. False: no more. */
bool tls_peer_certificate(const struct tls_session *s, size_t index, struct tls_certificate *out);

/* Channel binding by its RFC name. False: not to be had on this session (tls-unique on TLS 1.3 or
 * without extended master secret, tls-server-end-point with a certificate that has no hash, …). */
bool tls_binding(const struct tls_session *s, const char *name, uint8_t out[TLS_BINDING_MAX_BYTES],
	size_t *out_len);

/* The same question without the work: would tls_binding() succeed? */
bool tls_binding_available(const struct tls_session *s, const char *name);

/* A self-signed certificate for @host_name (and localhost, 127.0.0.1, ::1), PEM chain and key. */
int tls_self_signed(const char *host_name, int64_t now_ms, struct base_buf *out_chain,
	struct base_buf *out_key, struct base_error *err);
/* Do @chain and @key fit each other, and when does the certificate end (unix ms)? */
int tls_pair_check(struct base_slice chain, struct base_slice key, int64_t *out_not_after_ms,
	struct base_error *err);

#endif
