/* wire/dovecot.h: the Dovecot authentication protocol, both ends, as codecs
 * Job      bytes to lines to requests and replies, and back; handshake order
 * Not      sockets, time-outs, who may log in
 * Trust    both ends are hostile to each other: any byte, any length, cut anywhere
 * Limits   a line of WIRE_DOVECOT_LINE_MAX_BYTES with its LF; longer ends the connection
 * Secrets  lines hold responses: callers give secret buffers
 * Spec     Dovecot's authentication protocol 1.0 to 1.4 */
#ifndef WIRE_DOVECOT_H
#define WIRE_DOVECOT_H

#include "base/buf.h"

#define WIRE_DOVECOT_LINE_MAX_BYTES 16384

/* Escape byte 0x01: every value that is sent goes through this. */
bool wire_dovecot_escape(struct base_slice in, struct base_buf *out);
bool wire_dovecot_unescape(struct base_slice in, struct base_buf *out);

enum wire_dovecot_mech_flags {
	WIRE_MECH_ANONYMOUS = 1u << 0,
	WIRE_MECH_PLAINTEXT = 1u << 1,
	WIRE_MECH_DICTIONARY = 1u << 2,
	WIRE_MECH_ACTIVE = 1u << 3,
	WIRE_MECH_FORWARD_SECRECY = 1u << 4,
	WIRE_MECH_MUTUAL_AUTH = 1u << 5,
	WIRE_MECH_PRIVATE = 1u << 6,
	WIRE_MECH_CHANNEL_BINDING = 1u << 7,
};

/* What an SMTP server says about a session. Empty slices and zero ports are left out. */
struct wire_dovecot_auth {
	struct base_slice mechanism;
	struct base_slice local_ip, remote_ip; /* text */
	uint16_t local_port, remote_port;
	struct base_slice local_name; /* SNI */
	struct base_slice session;
	bool secured;      /* TLS is up: secured=tls */
	bool plus_offered; /* private field postern_plus=1: a -PLUS name was announced */
	bool final_resp_ok;
	bool nologin;
	bool no_penalty;                  /* we slow guessers down ourselves */
	const struct base_slice *initial; /* null: none; base64 text is made here from raw bytes */
};

/* Client end (front; others later). */
enum wire_dovecot_client_event {
	WIRE_CLIENT_MORE,
	WIRE_CLIENT_MECH,   /* name and flags */
	WIRE_CLIENT_DONE,   /* the handshake is complete; requests may be sent */
	WIRE_CLIENT_OK,     /* id, user, resp */
	WIRE_CLIENT_FAIL,   /* id, user (may be empty), code */
	WIRE_CLIENT_CONT,   /* id, resp, binding */
	WIRE_CLIENT_BROKEN, /* protocol broken: close */
};

enum wire_dovecot_fail {
	WIRE_FAIL_REJECTED,
	WIRE_FAIL_TEMPORARY,
	WIRE_FAIL_AUTHZ,
	WIRE_FAIL_DISABLED,
	WIRE_FAIL_EXPIRED,
	WIRE_FAIL_BASE64
};

struct wire_dovecot_client {
	unsigned minor; /* of the server */
	bool version_seen, mech_seen, cookie_seen, done;
	uint32_t spid, cuid;
	const char *broken; /* why BROKEN */
	/* of the last event; slices borrow the caller's buffers until the next call */
	uint32_t id;
	struct base_slice mech_name;
	unsigned mech_flags;
	struct base_slice user; /* unescaped */
	struct base_slice resp; /* decoded from base64 */
	bool has_resp;
	bool out_of_band;          /* CONT with "#": answer with "#" and the binding at once */
	struct base_slice binding; /* wanted channel binding's name; empty: none */
	enum wire_dovecot_fail fail;
};

void wire_dovecot_client_init(struct wire_dovecot_client *c);
/* VERSION and CPID, to be sent at once. */
void wire_dovecot_client_hello(struct base_buf *out, uint32_t pid);
/* @in holds unread bytes; whole lines are taken one event at a time. @out_used is always set.
 * @scratch: secret buffer of WIRE_DOVECOT_LINE_MAX_BYTES where decoded values live. A half line stays
 * with the caller (MORE); when @in reaches the line limit without LF the result is BROKEN. */
BASE_MUST_USE enum wire_dovecot_client_event wire_dovecot_client_next(struct wire_dovecot_client *c,
	struct base_slice in, size_t *out_used, struct base_buf *scratch);
/* Append requests. False: too long for a line (nothing appended). */
bool wire_dovecot_client_auth(
	struct base_buf *out, uint32_t id, const struct wire_dovecot_auth *auth);
bool wire_dovecot_client_cont(struct base_buf *out, uint32_t id, struct base_slice response,
	const struct base_slice *binding_data, bool out_of_band);
bool wire_dovecot_client_cancel(struct base_buf *out, uint32_t id);

#endif
