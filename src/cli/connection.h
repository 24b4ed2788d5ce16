/* cli/connection.h: one connection of a command to a server, waited for with a deadline
 * Job      resolve, connect, TLS handshake, send, receive; nothing blocks longer than it was told to
 * Not      what the bytes mean (client_session.h, probe.h)
 * Trust    the server is hostile; what was received waits in a bounded buffer
 * Memory   the caller owns struct cli_connection; cli_connection_close() gives up what it holds */
#ifndef CLI_CONNECTION_H
#define CLI_CONNECTION_H

#include "base/buf.h"
#include "base/error.h"
#include "base/host.h"
#include "loop/tls.h"
#include "sasl/mechanism.h"

#include <netdb.h>

struct cli_connection {
	int fd;
	struct tls_session *tls; /* null: in clear */
	struct base_buf in;      /* received and not taken yet */
	struct base_addr peer, own;
};

/* "host:port", "[2001:db8::1]:port", the port may be left out (then *out_port is 0). False: it is no
 * such thing. */
BASE_MUST_USE bool cli_host_port(
	const char *text, char host[BASE_HOST_NAME_MAX_BYTES + 1], uint16_t *out_port);

/* An object that holds nothing: what cli_connection_close() may be called on. */
void cli_connection_init(struct cli_connection *c);
void cli_connection_close(struct cli_connection *c);

/* The addresses of @host, for freeaddrinfo(). 0, or TEMPORARY (the resolver is silent), NOT_FOUND. */
BASE_MUST_USE int cli_resolve(
	const char *host, uint16_t port, struct addrinfo **out, struct base_error *err);
/* Try one after the other, each for @timeout_ms. 0, or TEMPORARY: the last one's reason. */
BASE_MUST_USE int cli_connect(struct cli_connection *c, const struct addrinfo *list,
	uint32_t timeout_ms, struct base_error *err);
/* Both. */
BASE_MUST_USE int cli_connection_open(struct cli_connection *c, const char *host, uint16_t port,
	uint32_t timeout_ms, struct base_error *err);

/* Shake hands by @tls, which is the connection's from now on, also when that fails (the caller asks it
 * why). What came in clear before it is forgotten. */
enum cli_handshake { CLI_HANDSHAKE_DONE, CLI_HANDSHAKE_FAILED, CLI_HANDSHAKE_TIMEOUT };
BASE_MUST_USE enum cli_handshake cli_connection_tls(
	struct cli_connection *c, struct tls_session *tls, uint32_t timeout_ms);
/* The strongest channel binding that both sides can have; *out_len 0: none. */
enum sasl_binding cli_connection_binding(
	const struct cli_connection *c, uint8_t out[TLS_BINDING_MAX_BYTES], size_t *out_len);

/* All of @bytes. False: the connection is gone, or the server does not read within @timeout_ms. */
bool cli_connection_send(struct cli_connection *c, struct base_slice bytes, uint32_t timeout_ms);
/* More of the server's bytes into c->in. Null, or words why there are none. */
const char *cli_connection_receive(struct cli_connection *c, uint32_t timeout_ms);

/* What we call ourselves in EHLO: the machine's name if it has a domain, else an address literal. */
#define CLI_HELO_MAX_BYTES 300
void cli_helo_name(const struct cli_connection *c, char out[CLI_HELO_MAX_BYTES]);

#endif
