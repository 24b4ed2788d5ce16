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

struct tls_context;
struct tls_session;

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

const char *tls_version(const struct tls_session *s); /* "TLSv1.3" */
const char *tls_cipher(const struct tls_session *s);
bool tls_resumed(const struct tls_session *s);
/* Client with verify false: would it have verified? Then the reason why not (static text) or null. */
const char *tls_verify_failure(const struct tls_session *s);

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
