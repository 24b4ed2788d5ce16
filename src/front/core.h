/* front/core.h: what front decides about one SMTP session
 * Job      joins the SMTP engine, the header pass and the two partners (auth, queue) into a session:
 *          events and the time in, effects out
 * Not      sockets, TLS, streams, frames, the clock (front/main.c, conn.c, auth_link.c, queue_link.c)
 * Trust    the client is hostile; auth and queue may die or answer late
 * Memory   struct front_session stays for the life of a connection and is small; struct front_work
 *          holds every buffer and is lent by the shell from the first byte until the session is idle
 *          again (front_session_is_idle())
 * Secrets  work->line, work->unread and work->secret are wiped; the shell clears work when it takes
 *          it back
 *
 *            input()          answers: auth_*(), dnsbl(), file_*(), submitted()
 *   WAIT_NONE ------> WAIT_AUTH, WAIT_DNSBL, WAIT_FILE, WAIT_QUEUE ------> WAIT_NONE
 *       |
 *       +-----> WAIT_TLS (after 220) --tls_done()--> WAIT_NONE
 *
 * While a session waits, input() must not be called: the shell keeps unread bytes in work->unread and
 * offers them again after the answer. Effects are collected in work->effects, a set of flags; the
 * shell carries them out in the order of the enum and clears them. */
#ifndef FRONT_CORE_H
#define FRONT_CORE_H

#include "base/digest.h"
#include "base/host.h"
#include "base/id.h"
#include "base/secret.h"
#include "loop/conf.h"
#include "loop/envelope.h"
#include "loop/log.h"
#include "mail/intake.h"
#include "smtp/server.h"
#include "wire/dovecot.h"

#define FRONT_SESSION_MAX_BYTES 1024
/* A message passes to its file in pieces of this size once it is no longer inline. */
#define FRONT_FILE_CHUNK_BYTES 65536
#define FRONT_RCPTS_MAX_BYTES (1024 * 1024)
#define FRONT_UNREAD_MAX_BYTES (128 * 1024)

/* What a listener demands, made from the configuration; shared by its sessions, counted. */
struct front_listener {
	unsigned references;
	char *title;
	char *host_name;
	enum conf_tls_mode tls;
	enum conf_auth_mode auth;
	uint32_t mechanisms; /* masks of conf_mechanism_parse() bits */
	bool plaintext_without_tls;
	bool trace_client, trace_user, dialogue;
	struct conf_networks from_networks;
	struct conf_strings accept, dnsbl;
	bool relay_ctrl;
	int64_t relay_ctrl_expiry_s;
	struct smtp_server_options options; /* flags without TLS_ACTIVE */
	uint32_t command_timeout_s;
	/* words after AUTH, by front_listener_announce() */
	char announce_clear[256], announce_tls[256], announce_tls_unbound[256], withheld[64];
};

/* What auth offers now, from the handshake of the link. */
struct front_mechanisms {
	bool known; /* false: the link is down; what is configured is announced, 454 */
	uint32_t mask;
	uint32_t plaintext; /* of these, the ones with the flag "plaintext" */
	uint32_t binding;   /* the -PLUS ones */
};

enum front_wait {
	FRONT_WAIT_NONE,
	FRONT_WAIT_TLS,
	FRONT_WAIT_AUTH,
	FRONT_WAIT_DNSBL,
	FRONT_WAIT_FILE,
	FRONT_WAIT_QUEUE,
	FRONT_WAIT_COUNT
};

enum front_effects {
	FRONT_WRITE = 1u << 0,     /* work->out has bytes for the client */
	FRONT_START_TLS = 1u << 1, /* when they are written: drop unread bytes, handshake */
	FRONT_AUTH_BEGIN = 1u
		<< 2, /* open a request: work->mechanism, work->secret if has_initial */
	FRONT_AUTH_CONTINUE = 1u << 3, /* work->secret is the client's response */
	FRONT_AUTH_CANCEL = 1u << 9,   /* CANCEL the open request */
	FRONT_WANT_FILE = 1u << 4,     /* ask queue for a file */
	FRONT_FILE_WRITE = 1u << 5,    /* append work->message to the file, clear it */
	FRONT_SUBMIT = 1u << 6,        /* give envelope and message to queue */
	FRONT_SUBMIT_ABORT = 1u << 7,  /* forget the transaction and its file */
	FRONT_CLOSE = 1u << 8,         /* when work->out is written */
};

struct front_work {
	unsigned effects;
	struct base_buf line;   /* secret: the engine's half lines */
	struct base_buf out;    /* replies */
	struct base_buf unread; /* secret: offered again after an answer */
	struct base_buf hold;   /* header field being read */
	struct base_buf message;
	struct base_buf rcpts; /* encoded by envelope_put_rcpt() */
	struct base_buf sender, envid, mail_auth;
	struct base_secret secret; /* one decoded response */
	struct mail_intake intake;
	struct base_id message_id;
	uint64_t message_size; /* bytes that went to message or file so far */
	uint32_t rcpt_count;
	unsigned envelope_flags;
	uint8_t ret;
	bool in_transaction; /* between an accepted MAIL and its end */
	bool in_body;
	bool file;              /* the message goes (or went) to a file */
	bool submit_after_file; /* the message was complete when it proved to be too long */
	bool again;             /* the engine has more to say: push even without bytes */
	bool refused;           /* the rest of the body is read and dropped */
	bool has_initial;
	bool plus_offered;
	bool exchange;            /* the client's next line answers a challenge */
	const char *mechanism;    /* of the exchange */
	struct base_buf dialogue; /* lines "C: …" and "S: …", secrets masked; only if asked for */
	struct base_buf heard;    /* secret: half a line of the client's, until it can be masked */
};

/* What is known of a client by its address. The shell sets it before front_session_begin(), which
 * keeps it. */
struct front_admission {
	bool may_relay;     /* without a login: relay_ctrl */
	uint8_t dnsbl_open; /* zones that have not answered yet */
	char *listed;       /* reply text: the first zone that lists it; owned */
};

struct front_session {
	struct smtp_server smtp;
	const struct front_listener *listener;
	char *user; /* null until authenticated; owned */
	struct base_id id;
	struct base_addr client;
	struct front_admission admission;
	const char *tls_version, *tls_cipher; /* static texts of OpenSSL; null without TLS */
	const char *end;                      /* why it ended, for the log */
	const char *mechanism; /* of the login, or of the last that failed (static name) */
	const char *
		login_end; /* why the last exchange was left unfinished; static; null: it was not */
	uint32_t messages, messages_total;
	uint32_t auth_id;  /* open request at the link, 0: none */
	uint32_t queue_id; /* open transaction at queue, 0: none */
	uint8_t wait;      /* enum front_wait */
	uint8_t bindings;  /* mask of FRONT_BINDING_* that the shell can compute */
	bool closing;
	bool draining;
};

enum front_bindings {
	FRONT_BINDING_UNIQUE = 1u << 0,
	FRONT_BINDING_END_POINT = 1u << 1,
	FRONT_BINDING_EXPORTER = 1u << 2
};

/* Random bytes and time, taken by the shell once for each call. */
struct front_now {
	int64_t wall_ms;
	uint8_t random[8]; /* fresh: for the message id */
	struct base_slice pseudonym_key;
};

void front_work_init(struct front_work *w);
void front_work_clear(struct front_work *w); /* wipe what is secret, keep some memory */
void front_work_release(struct front_work *w);

/* @refusal not null: it stands in place of the greeting, and the session closes. */
void front_session_begin(struct front_session *s, struct front_work *w,
	const struct front_listener *listener, const struct base_addr *client, struct base_id id,
	const struct smtp_reply *refusal);
/* Implicit TLS: before begin. STARTTLS: at WAIT_TLS. Texts are static. */
void front_session_tls(
	struct front_session *s, const char *version, const char *cipher, unsigned bindings);
void front_session_tls_unavailable(struct front_session *s, struct front_work *w);

/* Client's bytes. @out_used: taken; the rest must be offered again after the answer. */
void front_session_input(struct front_session *s, struct front_work *w, struct base_slice in,
	size_t *out_used, const struct front_now *now);

/* Answers of auth. */
enum front_auth_result {
	FRONT_AUTH_OK,
	FRONT_AUTH_REJECTED,
	FRONT_AUTH_MALFORMED,
	FRONT_AUTH_DOWN
};
void front_session_auth_challenge(
	struct front_session *s, struct front_work *w, struct base_slice challenge);
void front_session_auth_done(struct front_session *s, struct front_work *w,
	enum front_auth_result result, struct base_slice user);

/* A zone answered. @listed: the reply to recipients, or null: it does not list the client, or did not
 * answer. @w may be null while the session holds none. */
void front_session_dnsbl(struct front_session *s, struct front_work *w, const char *listed);

/* Answers of queue. class: 0 or -enum base_error_class. */
void front_session_file(struct front_session *s, struct front_work *w, unsigned class);
void front_session_file_failed(struct front_session *s, struct front_work *w, bool no_space);
void front_session_submitted(struct front_session *s, struct front_work *w, unsigned class);
/* Encode the envelope for SUBMIT. */
void front_session_envelope(const struct front_session *s, const struct front_work *w,
	int64_t arrived_ms, struct base_buf *out_head);

/* Time is up, or the server drains: 421 and the end, where a reply may be given. */
void front_session_timeout(struct front_session *s, struct front_work *w);
void front_session_drain(struct front_session *s, struct front_work *w);
/* The connection ended from outside; @why: static text. */
void front_session_lost(struct front_session *s, struct front_work *w, const char *why);
/* Release what the session owns. */
void front_session_release(struct front_session *s);

/* No buffer holds anything: the work may be taken back. */
bool front_session_is_idle(const struct front_session *s, const struct front_work *w);

/* front/admission.c: what a client may do. Trusted: it logged in, or may relay by its address. */
bool front_session_is_trusted(const struct front_session *s);
bool front_session_may_send_to(const struct front_session *s, struct base_slice address);
/* Is @address one that a stranger whom a zone lists must not write to? */
bool front_session_is_guarded(const struct front_session *s, struct base_slice address);

/* front/listener.c */
struct front_listener *front_listener_new(const struct conf *conf, const struct conf_listener *l,
	const struct front_mechanisms *mechanisms);
void front_listener_announce(struct front_listener *l, const struct front_mechanisms *mechanisms);
void front_listener_free(struct front_listener **l); /* drops one reference */

#endif
