/* wire/dovecot_server.h: the server's end of the Dovecot authentication protocol, as a codec
 * Job      an SMTP server's bytes to requests; replies to lines
 * Not      sockets, the 200 ms wait for a VERSION, exchanges, how many requests may be open (auth/)
 * Trust    the peer is hostile, and so is what it hands on from its own clients: a TAB in a response
 *          must not become a field; what is wrong with one request is BAD, never the connection's end
 * Memory   the caller owns everything; decoded values live in its scratch buffer
 * Secrets  lines hold responses: give secret buffers
 * Spec     Dovecot's authentication protocol 1.0 to 1.4 */
#ifndef WIRE_DOVECOT_SERVER_H
#define WIRE_DOVECOT_SERVER_H

#include "wire/dovecot.h"

#define WIRE_DOVECOT_SERVER_MINOR 4
/* From this minor number on a client knows -PLUS mechanisms and channel_binding=. */
#define WIRE_DOVECOT_MINOR_BINDING 3
/* From this minor number on a CANCEL is answered by CANCELLED. */
#define WIRE_DOVECOT_MINOR_CANCELLED 4
#define WIRE_DOVECOT_COOKIE_BYTES 16

enum wire_dovecot_server_event {
	WIRE_SERVER_MORE,
	WIRE_SERVER_VERSION, /* minor is set: send the list of mechanisms made for it */
	WIRE_SERVER_AUTH,    /* id, request */
	WIRE_SERVER_CONT,    /* id, response; has_binding, binding */
	WIRE_SERVER_CANCEL,  /* id */
	WIRE_SERVER_BAD,     /* id: fail this request with WIRE_FAIL_BASE64, go on with the rest */
	WIRE_SERVER_BROKEN,  /* the stream cannot be followed any more: close */
};

/* What a client says with AUTH; empty where it said nothing. Not verified: the socket is the border. */
struct wire_dovecot_request {
	struct base_slice mechanism;
	struct base_slice service; /* "smtp" */
	struct base_slice local_ip, remote_ip;
	uint16_t local_port, remote_port;
	struct base_slice local_name, session;
	bool secured;      /* secured or secured=… */
	bool secured_tls;  /* secured=tls: clients of minor 3 bind to it */
	bool plus_offered; /* postern_plus=1 */
	bool final_resp_ok;
	bool no_penalty;
	bool has_initial;          /* a response came; it may be empty */
	struct base_slice initial; /* decoded */
};

struct wire_dovecot_server {
	unsigned minor; /* the client's; 0 until it says VERSION */
	bool version_seen, cpid_seen;
	const char *broken; /* why BROKEN */
	/* of the last event; slices borrow the caller's buffers until the next call */
	uint32_t id;
	struct wire_dovecot_request request;
	struct base_slice response; /* of CONT, decoded */
	bool out_of_band;           /* the response was "#": only a binding comes */
	bool has_binding;
	struct base_slice binding; /* decoded data; only from clients of minor 3 and later */
};

void wire_dovecot_server_init(struct wire_dovecot_server *s);
/* As wire_dovecot_client_next(). */
BASE_MUST_USE enum wire_dovecot_server_event wire_dovecot_server_next(struct wire_dovecot_server *s,
	struct base_slice in, size_t *out_used, struct base_buf *scratch);

/* The handshake, in this order: version at once; then the mechanisms and the end together, when the
 * client's VERSION came or did not come in time. A list without a mechanism is a fatal error for
 * some clients, so give at least one. */
void wire_dovecot_server_version(struct base_buf *out);
void wire_dovecot_server_mech(struct base_buf *out, struct base_slice name, unsigned flags);
void wire_dovecot_server_end(struct base_buf *out, uint32_t spid, uint32_t cuid,
	const uint8_t cookie[WIRE_DOVECOT_COOKIE_BYTES]);

/* Replies. False: it does not fit a line or @out; nothing was appended. */
bool wire_dovecot_server_ok(struct base_buf *out, uint32_t id, struct base_slice user,
	const struct base_slice *final_response);
/* @user may be empty. No reason is ever sent: it would reach the stranger. */
bool wire_dovecot_server_fail(struct base_buf *out, uint32_t id, struct base_slice user,
	enum wire_dovecot_fail fail, unsigned client_minor);
/* @binding: name of the channel binding that is wanted back, or empty. With @out_of_band the challenge
 * is "#". A binding for a client below WIRE_DOVECOT_MINOR_BINDING is a bug. */
bool wire_dovecot_server_cont(struct base_buf *out, uint32_t id, struct base_slice challenge,
	struct base_slice binding, bool out_of_band, unsigned client_minor);
bool wire_dovecot_server_cancelled(struct base_buf *out, uint32_t id);

#endif
