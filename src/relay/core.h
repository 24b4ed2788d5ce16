/* relay/core.h: what relay decides
 * Job      jobs of queue, answers of the DNS, of auth and of servers in; where to connect, what to
 *          say and what became of each recipient out
 * Not      sockets, TLS, resolver, frames, the clock (main.c, net.c, resolver.c)
 * Trust    servers and DNS are hostile; queue and auth may end at any time
 * Memory   heap objects: destinations, connections, jobs; each list is bounded by what queue may
 *          have outstanding (RELAY_JOBS_MAX) and by RELAY_CONNS_MAX
 * Secrets  pass through smtp/client.h for one exchange; a client certificate stays for one handshake;
 *          buffers for the wire are wiped
 * Order    every call takes the time; after it the shell carries out all effects
 *
 * A destination is (via, host, port or path, TLS policy, account): connections are shared only
 * inside it, so nobody's mail leaves under another one's login. Jobs wait at their destination and
 * are given to a connection when it is READY. A destination starts with one connection and may open
 * another one for every RELAY_GROWTH_MESSAGES messages that went well while more were waiting.
 * What an account is (URL, TLS demands, limits) auth says; when it says something new, connections
 * made for the old are not used any more.
 *
 *	destination: RESOLVING -> targets -> one after another -> all failed: its jobs deferred
 *	connection:  CONNECTING -> [TLS] -> OPEN (login, transactions, idle) -> CLOSED */
#ifndef RELAY_CORE_H
#define RELAY_CORE_H

#include "loop/account.h"
#include "loop/job.h"
#include "route/mx.h"
#include "smtp/client.h"

#include <limits.h>

#define RELAY_NO_QUEUE UINT_MAX /* it ended: nobody waits for the result */

#define RELAY_JOBS_MAX 256
#define RELAY_CONNS_MAX 512
#define RELAY_CONNS_PER_DEST_MAX 8
#define RELAY_GROWTH_MESSAGES 8
#define RELAY_OUT_MAX_BYTES (256u * 1024)
#define RELAY_BODY_PIECE_BYTES 65536

struct relay_core;
struct relay_dest;

struct relay_now {
	int64_t mono_ms, wall_ms;
	uint64_t random;
};

struct relay_options {
	struct base_slice own_name; /* copied */
	bool allow_special;         /* MX targets may be loopback and private: tests only */
	bool ip6;
	uint16_t mx_port; /* 0: 25 */
	/* As in struct smtp_client_options; null: none. */
	bool (*foreign_new)(void *arg, enum sasl_mechanism mechanism, struct base_slice host,
		struct base_slice user, struct base_slice password,
		struct sasl_client_foreign *out);
	sasl_mechanism_mask foreign;
};

/* Who is at the other end, as far as it is known. */
struct relay_peer {
	char host[ROUTE_DNS_NAME_MAX_BYTES];
	char path[108]; /* LMTP socket; else "" */
	struct base_addr addr;
	const char *tls_version, *tls_cipher; /* static texts; null without TLS */
	bool verified, pinned, reused;
	const char *mechanism; /* logged in with, or tried; static; null: none */
	uint32_t connection;   /* its number; 0: nobody was reached */
};

/* What became of one recipient so far. */
struct relay_rcpt_result {
	bool done, accepted, local, dsn_relayed;
	enum job_outcome outcome;
	uint16_t code;
	char enhanced[12];
	uint32_t reply_at, reply_len; /* in relay_job.texts */
	const char *reason;           /* static; null: none */
};

struct relay_job {
	struct relay_job *next; /* at its destination, or null */
	struct relay_dest *dest;
	uint32_t id;
	unsigned queue;            /* index of the queue process, or RELAY_NO_QUEUE */
	int fd;                    /* the message, or -1; the shell closes it at the end */
	uint64_t size, offset;     /* offset: bytes of the body given to the session */
	struct base_slice message; /* inline */
	struct base_slice message_id;
	struct envelope envelope;
	bool needs_utf8, retried;
	bool charged; /* one of its account's rate */
	struct relay_peer peer;
	int64_t arrived_ms, started_ms; /* monotonic */
	int64_t not_before_ms;          /* wall clock; 0: no wish */
	uint32_t rcpt_count, batch_count;
	struct smtp_client_rcpt *rcpts, *batch;
	uint32_t *batch_index; /* of batch[i] in rcpts */
	struct relay_rcpt_result *results;
	struct base_buf texts;
	uint8_t *bytes; /* the frame's body */
};

enum relay_conn_phase { RELAY_CONN_CONNECTING, RELAY_CONN_TLS, RELAY_CONN_OPEN, RELAY_CONN_CLOSED };

struct relay_conn {
	struct relay_conn *next; /* of all */
	struct relay_conn *next_idle;
	struct relay_core *core;
	struct relay_dest *dest;
	enum relay_conn_phase phase;
	uint32_t number;
	struct smtp_client *smtp;
	struct relay_job *job;
	bool ready; /* logged in, no job: may be given one */
	bool driving, wants_write, wants_body, quitting, heard;
	bool reached;   /* it was READY once */
	bool in_clear;  /* STARTTLS failed here before: without it this time */
	bool unwelcome; /* MAIL was answered by a 4xx */
	struct smtp_client_reply
		*no_login; /* a command was refused for want of the login; or null */
	uint32_t messages;
	uint32_t generation; /* of what its account was when it was opened */
	int64_t opened_ms, idle_ms;
	int64_t waits_ms, deadline_ms; /* since when, and how long, something is waited for */
	struct relay_peer peer;
	struct base_buf out; /* secret: for the wire */
	bool asking;         /* auth is asked for a secret; which: */
	enum ipc_secret asked;
	bool asked_refused;          /* and told that the last one was refused */
	struct base_buf certificate; /* secret: chain and key, until the handshake begins */
	struct base_slice chain, key;
	char *no_secret; /* why there are no credentials */
	void *shell;     /* the shell's own */
};

enum relay_effect_kind {
	RELAY_ASK,          /* DNS question for dest: relay_core_answer() */
	RELAY_CONNECT,      /* conn->addr or conn->path: relay_conn_connected() */
	RELAY_START_TLS,    /* when conn->out is written: handshake, relay_conn_tls() */
	RELAY_WANT_SECRET,  /* conn->asked of its account: relay_core_secret() */
	RELAY_WANT_ACCOUNT, /* what is the account? relay_core_account_told() */
	RELAY_WRITE,        /* conn->out has bytes; relay_conn_written() when it is empty */
	RELAY_READ_BODY,    /* read the job's file at job->offset: relay_conn_body() */
	RELAY_CLOSE,        /* close, then relay_conn_free() */
	RELAY_RESULT,       /* send the result, close job->fd, then relay_job_free() */
	RELAY_DROP,         /* the same without a result */
	RELAY_ACCOUNT,      /* tell queue of the account's pause, or its end */
};

struct relay_effect {
	enum relay_effect_kind kind;
	struct relay_conn *conn;
	struct relay_job *job;
	struct relay_dest *dest;
	uint32_t dest_id; /* ASK: for the answer */
	struct route_mx_question question;
	bool hosts;                    /* ASK: names of /etc/hosts count */
	struct relay_account *account; /* WANT_ACCOUNT, ACCOUNT */
	bool alert;                    /* ACCOUNT: this is news for the log */
};

enum relay_account_state {
	RELAY_ACCOUNT_UNKNOWN, /* auth has not said yet */
	RELAY_ACCOUNT_KNOWN,
	RELAY_ACCOUNT_MISSING, /* it cannot be used, @missing says why */
};

struct relay_account {
	char *name;
	uint32_t id; /* for the answer; from 1 */
	enum relay_account_state state;
	bool asking;
	bool unsure; /* auth was away: KNOWN, but used by nobody before auth says so again */
	int64_t state_until_ms; /* monotonic: then auth is asked again */
	uint32_t generation;    /* rises when anything but the limits is another */
	/* KNOWN: */
	bool implicit_tls, pinned, certificate;
	char host[ROUTE_DNS_NAME_MAX_BYTES];
	uint16_t port;
	enum sasl_credential credential;
	sasl_mechanism_mask mechanisms;
	struct base_buf ca;
	uint8_t pin[ACCOUNT_PIN_BYTES];
	uint32_t conns_max, rate_count, rate_s;
	/* MISSING: */
	char missing[128];
	/* pause */
	int64_t until_ms;  /* wall clock; 0: not paused */
	uint32_t failures; /* since it worked last */
	uint16_t code;     /* of the reply that paused it; 0: none */
	char reason[512];
	char told[512];     /* what the last alert was about, without the peer's words; "": none */
	bool token_refused; /* once: the next login asks for another token */
	bool unproven; /* logins went well that were worth nothing: only a transaction proves one */
	/* use */
	uint32_t conns, dests;            /* open connections of all its destinations */
	int64_t level, level_ms, slot_ms; /* rate: limits.c */
	void *shell;                      /* the shell's own */
};

struct relay_core *relay_core_new(const struct relay_options *options);
void relay_core_free(struct relay_core **core);
void relay_core_configure(struct relay_core *core, const struct relay_options *options);
/* The next thing to do. */
bool relay_core_effect(struct relay_core *core, struct relay_effect *out);

/* A JOB of queue process @queue. @parts: what JOB_ENVELOPE frames brought before, or empty.
 * False: it cannot be read; the sender is broken, and @fd is still the caller's. */
BASE_MUST_USE bool relay_core_job(struct relay_core *core, uint32_t id, unsigned queue,
	struct base_slice parts, struct base_slice body, int fd, const struct relay_now *now);
/* The queue process ended: its jobs that wait are forgotten, those under way get no result. */
void relay_core_queue_gone(struct relay_core *core, unsigned queue);
void relay_core_answer(struct relay_core *core, uint32_t dest_id, unsigned question,
	const struct route_dns_answer *answer, const struct relay_now *now);
/* The bodies of ACCOUNT and SECRET frames. What cannot be read, or was not asked for, harms nobody but
 * the account. @random: SASL_CLIENT_RANDOM_BYTES. */
void relay_core_account_told(
	struct relay_core *core, uint32_t id, struct base_slice body, const struct relay_now *now);
void relay_core_secret(struct relay_core *core, uint32_t id, struct base_slice body,
	struct base_slice random, const struct relay_now *now);
/* auth is back: questions that it did not answer are put again. What it may have come to say of accounts
 * before it went is asked for too, and no secret before that. */
void relay_core_auth_back(struct relay_core *core);
/* Lift pauses: @account empty: all. _changed: what auth said is no longer true either. */
void relay_core_account_retry(
	struct relay_core *core, struct base_slice account, const struct relay_now *now);
void relay_core_account_changed(
	struct relay_core *core, struct base_slice account, const struct relay_now *now);
/* By its index from 0; null: no more. */
struct relay_account *relay_core_account(const struct relay_core *core, size_t index);
/* About once a second: time-outs, idle connections, waiting jobs. */
void relay_core_tick(struct relay_core *core, const struct relay_now *now);
/* Take nothing new, finish what runs. */
void relay_core_drain(struct relay_core *core, const struct relay_now *now);
const struct relay_options *relay_core_options(const struct relay_core *core);
/* By its number; null: gone. */
struct relay_conn *relay_core_conn(struct relay_core *core, uint32_t number);
struct relay_conn *relay_core_conns(struct relay_core *core); /* linked by next */
/* No job and no connection. */
bool relay_core_is_idle(const struct relay_core *core);
/* A connection or a job is there: the tick must run. */
bool relay_core_needs_tick(const struct relay_core *core);

/* --- events of a connection; @error: our words, static --- */
void relay_conn_connected(struct relay_conn *conn, const char *error, const struct relay_now *now);
struct relay_tls_done {
	const char *version, *cipher; /* static */
	bool verified, pinned;
	enum sasl_binding binding;
	struct base_slice binding_data;
};
/* @done null: the handshake failed, @error says why (copied). */
void relay_conn_tls(struct relay_conn *conn, const struct relay_tls_done *done, const char *error,
	const struct relay_now *now);
void relay_conn_input(struct relay_conn *conn, struct base_slice in, const struct relay_now *now);
void relay_conn_ended(struct relay_conn *conn, const char *reason, const struct relay_now *now);
void relay_conn_written(struct relay_conn *conn, const struct relay_now *now);
/* @bytes: the next piece at job->offset; empty with @failed when it cannot be read. */
void relay_conn_body(
	struct relay_conn *conn, struct base_slice bytes, bool failed, const struct relay_now *now);
void relay_conn_free(struct relay_conn *conn);
/* Null: none. */
struct relay_account *relay_conn_account(const struct relay_conn *conn);
/* The handshake has begun: the client certificate is wiped. */
void relay_conn_certificate_taken(struct relay_conn *conn);
/* Handshake: implicit TLS or STARTTLS demands the certificate's name to match. */
bool relay_conn_must_verify(const struct relay_conn *conn);

/* "smtp://host", "smtps://host:port": false if it is no such thing. @host points into @url. */
BASE_MUST_USE bool relay_url_parse(struct base_slice url, bool *out_implicit_tls,
	struct base_slice *out_host, uint16_t *out_port);
/* A domain in its ASCII form (IDNA 2008). False: it has none. */
BASE_MUST_USE bool relay_domain_to_ascii(
	struct base_slice domain, char out[ROUTE_DNS_NAME_MAX_BYTES]);
/* Append the body of JOB_RESULT. */
void relay_job_report(
	const struct relay_job *job, const struct relay_now *now, struct base_buf *out);
void relay_job_free(struct relay_job *job);

#endif
