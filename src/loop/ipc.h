/* loop/ipc.h: what Postern's own processes say to each other
 * Job      typed frames over SOCK_SEQPACKET pairs, with descriptors by SCM_RIGHTS; one table says of
 *          every frame who may send it, to whom, how long it is and how many descriptors it brings
 * Not      front <-> auth, which speak the Dovecot authentication protocol on a stream (wire/dovecot.h)
 * Trust    our processes do not trust each other: a frame that breaks the table ends the sender's
 *          connection, never the receiver
 * Memory   one receive buffer per process; sending copies only when the socket is full
 * Secrets  frames marked WIPED are wiped from the buffers after the handler returned
 *
 * A frame is struct ipc_header, then its fields one after another in the order of the comment:
 * u8 u16 u32 u64 i64 in host byte order without padding; "text" and "bytes" as u32 length and bytes. */
#ifndef LOOP_IPC_H
#define LOOP_IPC_H

#include "base/buf.h"
#include "base/error.h"

#include <uv.h>

#define IPC_FRAME_MAX_BYTES (112 * 1024)
#define IPC_INLINE_MESSAGE_MAX_BYTES (64 * 1024)
/* Envelopes longer than this go ahead in SUBMIT_ENVELOPE frames. */
#define IPC_INLINE_ENVELOPE_MAX_BYTES (32 * 1024)
#define IPC_FDS_MAX 2

enum ipc_role {
	IPC_MASTER,
	IPC_FRONT,
	IPC_AUTH,
	IPC_WORKER,
	IPC_QUEUE,
	IPC_RELAY,
	IPC_DELIVER,
	IPC_JOURNAL,
	IPC_PROVIDER,
	IPC_FETCH, /* HTTPS requests */
	IPC_CLI,   /* a command on a control socket */
	IPC_ROLE_COUNT,
};
#define IPC_FROM(role) (1u << IPC_##role)
#define IPC_ROLES \
	(IPC_FROM(FRONT) | IPC_FROM(AUTH) | IPC_FROM(WORKER) | IPC_FROM(QUEUE) | IPC_FROM(RELAY) | \
		IPC_FROM(DELIVER) | IPC_FROM(JOURNAL) | IPC_FROM(PROVIDER) | IPC_FROM(FETCH))

enum ipc_frame_flags { IPC_WIPED = 1u << 0 };

/* X(name, senders, receivers, min body bytes, max body bytes, descriptors, flags)
 *
 * master -> role
 *  CONF       fd 0: memfd with the role's part of the configuration, in the grammar of the file.
 *             First frame of all; again on every reload. body: u32 index of this process in its role,
 *             u32 count of its role, u8 first(1)/reload(0), text instance (base_id of this server run)
 *  LISTENER   a listening socket. body: u8 kind (enum ipc_listener), text name (the conf title)
 *  LISTENER_GONE body: u8 kind, text name
 *  PEER       a connected socket to a peer (again when the peer was restarted).
 *             body: u8 role, u32 index, u8 stream(1)/seqpacket(0). id: generation of the pair
 *  TLS        fd 0: memfd: u32 length and PEM chain, u32 length and PEM key, u32 length and 80 bytes of ticket keys
 *  COUNTERS   fd 0: the shared memory of loop/counters.h
 *  RELAY_CTRL fd 0: the directory of a listener's relay_ctrl, as a place only (O_PATH); none: it cannot
 *             be opened now. After the listener itself. body: text name
 *  ACCOUNT_CERTIFICATE  to auth: fd 0: memfd: u32 length and PEM chain, u32 length and PEM key, u32 length and
 *             PEM authorities that an account section names (empty: it names none; no descriptor: they
 *             cannot be read now). After CONF, before any peer; again on every reload.
 *             body: text account, text error ("": there is a descriptor)
 *  DRAIN      finish: no new work; exit 0 when idle. body: u32 milliseconds at most
 * role -> master
 *  READY      the role works (after CONF and sandbox); sent once
 *  REFUSED    the new configuration or certificate cannot be used, the old one stays. body: text why
 *  WANT_AUTH  front asks for a (new) stream to auth or to auth { service }; answered by one PEER, as
 *             soon as there is somebody to connect to
 *  WANT_PEER  the channel to a living peer broke; id: that of the PEER frame that brought it, so that
 *             both sides may ask. body: u8 role, u32 index
 *
 * front -> queue
 *  SUBMIT_ENVELOPE  a part of a long envelope (loop/envelope.h bytes), appended; id: transaction.
 *             body: bytes part
 *  SUBMIT     whole message. body: text message id, bytes envelope (rest of it), u8 file(1)/inline(0),
 *             u64 size, bytes message (inline only)
 *  SUBMIT_FILE_WANT  id: transaction; queue answers SUBMIT_FILE
 *  SUBMIT_ABORT      id: transaction is forgotten, its file too
 *  SUBMIT_QUERY      body: text message id: is it stored?
 * queue -> front
 *  SUBMIT_FILE  fd 0: empty file to write the message to. No descriptor: body's class says why
 *             body: u8 class (0 ok, else -enum base_error_class)
 *  SUBMITTED  id: transaction. body: u8 class (0: durable), text message id
 *  SUBMIT_KNOWN body: u8 1/0, text message id
 *
 * queue -> relay, deliver
 *  JOB        body: see loop/job.h; fd 0: message file opened for reading (large messages)
 *  JOB_ENVELOPE a part of a long job, appended before JOB with the same id. body: bytes part
 * relay, deliver -> queue
 *  JOB_RESULT id: the job. body: see loop/job.h
 *  CAPACITY   body: u32 jobs that may be outstanding at most
 *  ACCOUNT_STATE relay says that an account was refused (or works again, or has changed; "" all): text
 *             account, u8 paused, i64 until unix ms, text reason
 * queue -> relay: ACCOUNT_RETRY body: text account ("" all): lift pauses now
 *
 * relay -> auth
 *  ACCOUNT_WANT id. body: text account
 *  SECRET_WANT  id. body: text account, u8 what (enum ipc_secret), u8 refused (1: the server refused the one
 *             given last: where it is a token, it is not to be given again)
 * auth -> relay
 *  ACCOUNT    id. body: loop/account.h
 *  ACCOUNT_CHANGED  what was known of it is no longer true, its pause is lifted. body: text account ("" all)
 *  SECRET     id. body: u8 class (0 ok), text user, bytes secret (LOGIN: password or token, or empty;
 *             CERTIFICATE: u32 length and PEM chain, u32 length and PEM key), text reason (of a failure)
 *
 * auth, command -> fetch
 *  FETCH_WANT id: one HTTPS request (fetch/). body: text url, bytes form (what is posted; "": GET), bytes ca
 *             (PEM of authorities trusted beside the system's), u32 milliseconds at most
 * fetch -> auth, command
 *  FETCHED    id. body: u8 class (0: a server answered), u16 status, bytes body (at most
 *             IPC_FETCH_BODY_MAX_BYTES; longer is a failure), text error, u32 seconds of Retry-After (0 none)
 *
 * auth -> worker
 *  VERIFY     id. body: text stored hash ("" stands for an unknown user: default work), bytes password
 *  HASH       id. body: u32 mechanisms wanted (sasl mask), bytes password
 * worker -> auth
 *  VERIFIED   id. body: u8 result (0 wrong, 1 right, 2 cannot), u8 wants upgrade
 *  HASHED     id. body: bytes credentials (vault/credentials.h)
 *
 * auth -> provider
 *  ASK        id. body: u8 kind (enum ipc_ask), u8 hash (enum base_hash, of SCRAM), text provider (the
 *             conf title), text name (as the client sent it), bytes secret (PASSWORD: the password; CRAM,
 *             APOP: the digest in hexadecimal; SCRAM: the salt for keys made from a clear password),
 *             bytes challenge (CRAM, APOP), text client address ("" unknown)
 * provider -> auth
 *  ASKED      id. body: u8 result (enum ipc_asked), text name (as the source spells it; "": as asked),
 *             bytes stored (LOOKUP: what vault/verify.h checks, CRAM: what vault/stored.h calls clear,
 *             SCRAM: keys as vault/stored.h puts them; else empty), text reason for the log
 *  SOURCE_CHANGED  the file behind it changed: what was remembered of it is no longer true.
 *             body: text provider (the conf title)
 *
 * front -> relay
 *  DNSBL_WANT id. body: text name to be asked for an A record, "9.2.0.192.zone"
 * relay -> front
 *  DNSBL      id. body: u8 state (0 not listed, 1 listed, 2 no answer), text what the TXT record says
 *
 * command -> queue, on its control socket: the SUBMIT frames, answered as to a front
 *
 * any role -> journal
 *  EVENT      body: see loop/log.h
 *
 * command <-> auth, queue, journal (control sockets)
 *  CTL_REQUEST body: u32 count of words, that many text words, bytes secret. Words are a command as in
 *             "queue", "hold", "ID": loop/control.h lists them
 *  CTL_JSON   body: bytes of the answer's JSON, a part; appended until CTL_END
 *  CTL_END    body: u8 class (0 ok), text error */
#define IPC_FRAMES(X) \
	X(CONF, IPC_FROM(MASTER), IPC_ROLES, 9, 4096, 1, 0) \
	X(LISTENER, IPC_FROM(MASTER), IPC_ROLES, 5, 1024, 1, 0) \
	X(LISTENER_GONE, IPC_FROM(MASTER), IPC_ROLES, 5, 1024, 0, 0) \
	X(PEER, IPC_FROM(MASTER), IPC_ROLES, 6, 6, 1, 0) \
	X(TLS, IPC_FROM(MASTER), IPC_FROM(FRONT), 0, 0, 1, 0) \
	X(COUNTERS, IPC_FROM(MASTER), IPC_FROM(FRONT), 0, 0, 1, 0) \
	X(RELAY_CTRL, IPC_FROM(MASTER), IPC_FROM(FRONT), 5, 1024, IPC_FDS_OPTIONAL | 1, 0) \
	X(ACCOUNT_CERTIFICATE, IPC_FROM(MASTER), IPC_FROM(AUTH), 8, 4096, IPC_FDS_OPTIONAL | 1, 0) \
	X(DRAIN, IPC_FROM(MASTER), IPC_ROLES, 4, 4, 0, 0) \
	X(READY, IPC_ROLES, IPC_FROM(MASTER), 0, 0, 0, 0) \
	X(REFUSED, IPC_ROLES, IPC_FROM(MASTER), 4, 4096, 0, 0) \
	X(WANT_AUTH, IPC_FROM(FRONT), IPC_FROM(MASTER), 0, 0, 0, 0) \
	X(WANT_PEER, IPC_ROLES, IPC_FROM(MASTER), 5, 5, 0, 0) \
	X(SUBMIT_ENVELOPE, IPC_FROM(FRONT) | IPC_FROM(CLI), IPC_FROM(QUEUE), 4, \
		IPC_FRAME_MAX_BYTES, 0, 0) \
	X(SUBMIT, IPC_FROM(FRONT) | IPC_FROM(CLI), IPC_FROM(QUEUE), 21, IPC_FRAME_MAX_BYTES, 0, 0) \
	X(SUBMIT_FILE_WANT, IPC_FROM(FRONT) | IPC_FROM(CLI), IPC_FROM(QUEUE), 0, 0, 0, 0) \
	X(SUBMIT_ABORT, IPC_FROM(FRONT) | IPC_FROM(CLI), IPC_FROM(QUEUE), 0, 0, 0, 0) \
	X(SUBMIT_QUERY, IPC_FROM(FRONT) | IPC_FROM(CLI), IPC_FROM(QUEUE), 4, 64, 0, 0) \
	X(SUBMIT_FILE, IPC_FROM(QUEUE), IPC_FROM(FRONT) | IPC_FROM(CLI), 1, 1, \
		IPC_FDS_OPTIONAL | 1, 0) \
	X(SUBMITTED, IPC_FROM(QUEUE), IPC_FROM(FRONT) | IPC_FROM(CLI), 5, 64, 0, 0) \
	X(SUBMIT_KNOWN, IPC_FROM(QUEUE), IPC_FROM(FRONT) | IPC_FROM(CLI), 5, 64, 0, 0) \
	X(JOB, IPC_FROM(QUEUE), IPC_FROM(RELAY) | IPC_FROM(DELIVER), 4, IPC_FRAME_MAX_BYTES, \
		IPC_FDS_OPTIONAL | 1, 0) \
	X(JOB_ENVELOPE, IPC_FROM(QUEUE), IPC_FROM(RELAY) | IPC_FROM(DELIVER), 4, \
		IPC_FRAME_MAX_BYTES, 0, 0) \
	X(JOB_RESULT, IPC_FROM(RELAY) | IPC_FROM(DELIVER), IPC_FROM(QUEUE), 4, \
		IPC_FRAME_MAX_BYTES, 0, 0) \
	X(CAPACITY, IPC_FROM(RELAY) | IPC_FROM(DELIVER), IPC_FROM(QUEUE), 4, 4, 0, 0) \
	X(ACCOUNT_STATE, IPC_FROM(RELAY), IPC_FROM(QUEUE), 17, 4096, 0, 0) \
	X(ACCOUNT_RETRY, IPC_FROM(QUEUE), IPC_FROM(RELAY), 4, 1024, 0, 0) \
	X(ACCOUNT_WANT, IPC_FROM(RELAY), IPC_FROM(AUTH), 4, 1024, 0, 0) \
	X(SECRET_WANT, IPC_FROM(RELAY), IPC_FROM(AUTH), 6, 1024, 0, 0) \
	X(ACCOUNT, IPC_FROM(AUTH), IPC_FROM(RELAY), 1, IPC_FRAME_MAX_BYTES, 0, 0) \
	X(ACCOUNT_CHANGED, IPC_FROM(AUTH), IPC_FROM(RELAY), 4, 1024, 0, 0) \
	X(SECRET, IPC_FROM(AUTH), IPC_FROM(RELAY), 13, 65536, 0, IPC_WIPED) \
	X(FETCH_WANT, IPC_FROM(AUTH) | IPC_FROM(CLI), IPC_FROM(FETCH), 16, IPC_FRAME_MAX_BYTES, 0, \
		IPC_WIPED) \
	X(FETCHED, IPC_FROM(FETCH), IPC_FROM(AUTH) | IPC_FROM(CLI), 15, IPC_FRAME_MAX_BYTES, 0, \
		IPC_WIPED) \
	X(VERIFY, IPC_FROM(AUTH), IPC_FROM(WORKER), 8, 8192, 0, IPC_WIPED) \
	X(HASH, IPC_FROM(AUTH), IPC_FROM(WORKER), 8, 8192, 0, IPC_WIPED) \
	X(VERIFIED, IPC_FROM(WORKER), IPC_FROM(AUTH), 2, 2, 0, 0) \
	X(HASHED, IPC_FROM(WORKER), IPC_FROM(AUTH), 4, 16384, 0, IPC_WIPED) \
	X(ASK, IPC_FROM(AUTH), IPC_FROM(PROVIDER), 22, 16384, 0, IPC_WIPED) \
	X(ASKED, IPC_FROM(PROVIDER), IPC_FROM(AUTH), 13, 16384, 0, IPC_WIPED) \
	X(SOURCE_CHANGED, IPC_FROM(PROVIDER), IPC_FROM(AUTH), 5, 1024, 0, 0) \
	X(DNSBL_WANT, IPC_FROM(FRONT), IPC_FROM(RELAY), 4, 512, 0, 0) \
	X(DNSBL, IPC_FROM(RELAY), IPC_FROM(FRONT), 5, 1024, 0, 0) \
	X(EVENT, IPC_ROLES | IPC_FROM(MASTER), IPC_FROM(JOURNAL), 3, 16384, 0, 0) \
	X(CTL_REQUEST, IPC_FROM(CLI), IPC_FROM(AUTH) | IPC_FROM(QUEUE) | IPC_FROM(JOURNAL), 8, \
		65536, 0, IPC_WIPED) \
	X(CTL_JSON, IPC_FROM(AUTH) | IPC_FROM(QUEUE) | IPC_FROM(JOURNAL), IPC_FROM(CLI), 4, \
		IPC_FRAME_MAX_BYTES, 0, IPC_WIPED) \
	X(CTL_END, IPC_FROM(AUTH) | IPC_FROM(QUEUE) | IPC_FROM(JOURNAL), IPC_FROM(CLI), 5, 4096, \
		0, 0)

#define IPC_FDS_OPTIONAL 0x80 /* none or that many */

enum ipc_frame_type {
#define X(name, from, to, min, max, fds, flags) IPC_##name,
	IPC_FRAMES(X)
#undef X
		IPC_FRAME_COUNT,
};

enum ipc_listener {
	IPC_LISTENER_SMTP,         /* to front; name: title of the listener section */
	IPC_LISTENER_AUTH_SERVICE, /* to auth: Dovecot protocol for other programs */
	IPC_LISTENER_CONTROL,      /* to auth, queue, journal: SOCK_SEQPACKET, CTL frames */
};

/* What of an account is asked for. */
enum ipc_secret { IPC_SECRET_LOGIN, IPC_SECRET_CERTIFICATE, IPC_SECRET_COUNT };
#define IPC_FETCH_BODY_MAX_BYTES 65536

/* What a provider is asked. */
enum ipc_ask {
	IPC_ASK_PASSWORD, /* is it right? */
	IPC_ASK_CRAM,     /* is the digest right? or, where the source has clear text, that */
	IPC_ASK_APOP,     /* the same for APOP's digest */
	IPC_ASK_LOOKUP,   /* what is stored? for sources that are files */
	IPC_ASK_SCRAM,    /* the keys, stored or made from the clear text with the salt */
	IPC_ASK_COUNT,
};
enum ipc_asked {
	IPC_ASKED_REFUSED, /* wrong, or known and not to log in */
	IPC_ASKED_RIGHT,   /* PASSWORD, CRAM, APOP */
	IPC_ASKED_FOUND,   /* stored is set */
	IPC_ASKED_UNKNOWN, /* no such user, or nothing stored that serves: ask the next provider */
	IPC_ASKED_CANNOT,  /* the source does not answer */
	IPC_ASKED_COUNT,
};

struct ipc_header {
	uint16_t type;
	uint16_t reserved; /* 0 */
	uint32_t id;       /* what an answer belongs to; 0 where none is meant */
};

/* A received frame; body and descriptors are borrowed for the handler's time. A handler that keeps a
 * descriptor sets its slot to -1; the rest are closed after it. A frame whose descriptor is optional
 * comes without it when this process has no descriptor number left. */
struct ipc_frame {
	enum ipc_frame_type type;
	uint32_t id;
	struct base_slice body;
	int fds[IPC_FDS_MAX];
	unsigned fd_count;
};

struct ipc_channel;

struct ipc_handlers {
	void (*frame)(struct ipc_channel *ch, struct ipc_frame *frame, void *arg);
	/* The peer ended, or broke the table (@why says). The channel is freed after this returns. */
	void (*closed)(struct ipc_channel *ch, const char *why, void *arg);
	/* Optional: everything that waited was written. */
	void (*drained)(struct ipc_channel *ch, void *arg);
};

/* Take @fd (SOCK_SEQPACKET, made non-blocking here). @self receives, @peer sends: the table is checked
 * for both directions. */
struct ipc_channel *ipc_channel_new(uv_loop_t *loop, int fd, enum ipc_role self, enum ipc_role peer,
	const struct ipc_handlers *handlers, void *arg);
/* Close without calling closed(); null is taken. Allowed inside a handler. */
void ipc_channel_free(struct ipc_channel **ch);
void *ipc_channel_arg(const struct ipc_channel *ch);
/* Bytes that wait because the socket is full. Senders stop above their own limit. */
size_t ipc_channel_pending(const struct ipc_channel *ch);
/* Stop and go on receiving (back-pressure). */
void ipc_channel_pause(struct ipc_channel *ch, bool paused);

/* Build a frame in @b: begin, then fields, then send. The buffer can be reused after it. */
void ipc_begin(struct base_buf *b, enum ipc_frame_type type, uint32_t id);
void ipc_put_u8(struct base_buf *b, uint8_t v);
void ipc_put_u16(struct base_buf *b, uint16_t v);
void ipc_put_u32(struct base_buf *b, uint32_t v);
void ipc_put_u64(struct base_buf *b, uint64_t v);
void ipc_put_i64(struct base_buf *b, int64_t v);
void ipc_put_bytes(struct base_buf *b, struct base_slice v);
void ipc_put_text(struct base_buf *b, const char *v);

/* Write or queue the frame in @b. Descriptors are duplicated by the kernel; the caller still owns its
 * own. False: the channel is closed (closed() follows or was called) or the frame is not allowed. */
bool ipc_send(struct ipc_channel *ch, const struct base_buf *b, const int *fds, unsigned fd_count);
/* Header and several parts without a copy; @parts[0] is a frame begun with ipc_begin(). */
bool ipc_send_parts(struct ipc_channel *ch, const struct base_slice *parts, size_t part_count,
	const int *fds, unsigned fd_count);

/* Blocking forms for commands on a control socket and for a role before its loop runs. */
int ipc_write_blocking(int fd, const struct base_buf *b, struct base_error *err);
/* Into @b (cleared). Returns 0, or negative; @out_fd (may be null) takes one descriptor or -1. */
int ipc_read_blocking(int fd, struct base_buf *b, struct ipc_frame *out, struct base_error *err);

/* Read fields in order. Reading past the end sets bad, and gives 0 or an empty slice from then on. */
struct ipc_reader {
	struct base_slice rest;
	bool bad;
};
struct ipc_reader ipc_reader_make(struct base_slice body);
uint8_t ipc_get_u8(struct ipc_reader *r);
uint16_t ipc_get_u16(struct ipc_reader *r);
uint32_t ipc_get_u32(struct ipc_reader *r);
uint64_t ipc_get_u64(struct ipc_reader *r);
int64_t ipc_get_i64(struct ipc_reader *r);
struct base_slice ipc_get_bytes(struct ipc_reader *r); /* borrows the frame */
/* All was read and nothing was missing. */
bool ipc_reader_done(const struct ipc_reader *r);

const char *ipc_role_name(enum ipc_role role); /* "front" */
const char *ipc_frame_name(enum ipc_frame_type type);
/* Frame codec without a socket, for tests and fuzzers: null if fine, else what is wrong. */
const char *ipc_frame_check(
	enum ipc_role from, enum ipc_role to, struct base_slice raw, unsigned fd_count);

#endif
