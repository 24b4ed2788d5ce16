/* loop/log.h: what the administrator reads, and what postern why remembers
 * Job      records of key=value fields, sent to journal, which writes the log and the event store
 * Not      deciding what is worth a line: one function handles an error and logs it, once
 * Trust    values may be strangers' bytes: the journal escapes every one with a length limit
 * Secrets  none may be given; keys of secrets do not exist
 *
 * EVENT frame: records one after another, each behind its u16 length: u8 level, u8 kind, i64 unix ms,
 * then fields to the end: u8 key, u8 type (0 bytes as u32 length and bytes, 1 u64, 2 i64), value.
 * Records of some milliseconds travel in one frame (LOG_GATHER_MS), because waking the journal costs more
 * than a record; warnings and errors go at once, and what waited with them. Without a journal
 * (before the first PEER, or in commands) lines go to standard error. While a journal is away (it is
 * being restarted) records wait, up to LOG_PENDING_MAX_BYTES; the first one beyond goes to standard error. */
#ifndef LOOP_LOG_H
#define LOOP_LOG_H

#include "base/buf.h"
#include "base/error.h"
#include "base/host.h"
#include "base/id.h"

#define LOG_PENDING_MAX_BYTES (256 * 1024)
#define LOG_GATHER_MS 10
#define LOG_VALUE_MAX_BYTES 2048  /* longer values are cut */
#define LOG_RECORD_MAX_BYTES 8192 /* fields that do not fit are left out */

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_COUNT
};

/* What the record is about; every kind but SYSTEM and DIALOGUE goes to the event store too. */
#define LOG_KINDS(X) \
	X(SYSTEM, "system")     /* the server itself: start, reload, an error */ \
	X(SESSION, "session")   /* a finished SMTP session */ \
	X(LOGIN, "login")       /* a finished AUTH, right or wrong */ \
	X(MESSAGE, "message")   /* a message accepted (or refused after DATA) */ \
	X(ROUTE, "route")       /* where a recipient goes and which rule said so */ \
	X(DELIVERY, "delivery") /* one attempt for one or more recipients of a message */ \
	X(BOUNCE, "bounce")     /* a notice made, or not made and why */ \
	X(DONE, "done")         /* a message left the queue */ \
	X(ADMIN, "admin")       /* hold, release, retry, remove, user changes */ \
	X(DIALOGUE, "dialogue") /* a line of SMTP, for postern try; secrets masked by front */

enum log_kind {
#define X(name, text) LOG_KIND_##name,
	LOG_KINDS(X)
#undef X
		LOG_KIND_COUNT,
};

/* The one documented list of fields, in the order in which they are printed. */
#define LOG_KEYS(X) \
	X(TEXT, "text") /* words for people; printed first, without a key */ \
	X(ROLE, "role") \
	X(SESSION, "session") \
	X(MESSAGE, "message") /* queue id */ \
	X(LISTENER, "listener") \
	X(CLIENT, "client") \
	X(HELO, "helo") \
	X(USER, "user") \
	X(MECH, "mech") \
	X(BINDING, "binding") \
	X(PROVIDER, "provider") \
	X(TLS, "tls") \
	X(CIPHER, "cipher") \
	X(SENDER, "sender") \
	X(RECIPIENT, "recipient") \
	X(SIZE, "size") \
	X(MAIL, "mail") /* accepted, or accepted/total when they differ; same for the next two */ \
	X(RCPT, "rcpt") \
	X(COMMANDS, "commands") \
	X(ROUTE, "route") /* title of the route section */ \
	X(VIA, "via") \
	X(SENDER_LINE, "sender_line") \
	X(ACCOUNT, "account") \
	X(HOST, "host") \
	X(ADDRESS, "address") \
	X(TLS_POLICY, "tls_policy") \
	X(VERIFIED, "verified") \
	X(CONNECTION, "connection") /* new or reused, and its number */ \
	X(CODE, "code")             /* SMTP reply code */ \
	X(ENHANCED, "enhanced") \
	X(REPLY, "reply") \
	X(RESULT, "result") /* ok, rejected, deferred, failed, delivered, … */ \
	X(ATTEMPT, "attempt") \
	X(NEXT, "next") /* unix ms of the next attempt */ \
	X(DELAY, "delay_ms") \
	X(REASON, "reason") \
	X(ACTION, "action") \
	X(NUMBER, "count") \
	X(DIRECTION, "direction") \
	X(LINE, "line") \
	X(EXPLAIN, "explain") \
	X(END, "end")

enum log_key {
#define X(name, text) LOG_KEY_##name,
	LOG_KEYS(X)
#undef X
		LOG_KEY_COUNT,
};

struct log_record {
	struct base_buf frame;
};

/* begin, put …, commit (which releases). now_ms: wall clock. */
void log_begin(struct log_record *r, enum log_level level, enum log_kind kind);
void log_put(struct log_record *r, enum log_key key, struct base_slice value);
void log_put_text(struct log_record *r, enum log_key key, const char *value);
void log_put_id(struct log_record *r, enum log_key key, const struct base_id *id);
void log_put_addr(struct log_record *r, enum log_key key, const struct base_addr *addr);
void log_put_u64(struct log_record *r, enum log_key key, uint64_t value);
void log_put_i64(struct log_record *r, enum log_key key, int64_t value);
/* accepted/total, or one number when they are the same. */
void log_put_ratio(struct log_record *r, enum log_key key, uint64_t part, uint64_t whole);
void log_commit(struct log_record *r);

/* One SYSTEM line; @format must not contain strangers' bytes (escape them first). */
void log_write(enum log_level level, const char *format, ...) BASE_PRINTF(2, 3);
/* Handle @err: "@what: err->text". */
void log_error(enum log_level level, const char *what, const struct base_error *err);

struct ipc_channel;
/* Where records go from now on; null: standard error. Set by loop/role.c. */
void log_set_journal(struct ipc_channel *journal, const char *role_name);
void log_set_level(enum log_level least);
/* The form of lines that this process writes to standard error itself. */
void log_set_json(bool json);
/* Send what was gathered; loop/role.c calls it LOG_GATHER_MS after log_waits() became true. */
void log_flush(void);
bool log_waits(void);
/* The process ends: what no journal took goes to standard error, and memory is given up. */
void log_end(void);

const char *log_key_name(enum log_key key);
const char *log_kind_name(enum log_kind kind);
const char *log_level_name(enum log_level level);
/* Append the text form of a record, without the line end; false: it is no record, nothing appended. */
bool log_format_text(struct base_slice record, struct base_buf *out);
/* One JSON object: "time", "level", "kind", then the fields; keys given twice become a list. */
bool log_format_json(struct base_slice record, struct base_buf *out);
/* The fields alone as `, "key": value` (events, as why shows them). */
bool log_format_json_fields(struct base_slice record, struct base_buf *out);
/* RFC 3339 with milliseconds; the epoch where the calendar does not reach. */
void log_format_time(int64_t unix_ms, struct base_buf *out);
/* Append @s as a JSON string with quotes; bytes that are no UTF-8 appear as \\xHH text. */
void log_json_string(struct base_slice s, struct base_buf *out);
/* Take the next record off the front of an EVENT frame's body; false at the end, or if the rest is
 * broken (then *body is not empty). */
BASE_MUST_USE bool log_frame_next(struct base_slice *body, struct base_slice *out_record);
/* Step through the fields of a record after the fixed part. */
struct log_field {
	enum log_key key;
	bool is_number;
	struct base_slice bytes;
	int64_t number;
};
struct log_event {
	enum log_level level;
	enum log_kind kind;
	int64_t time_ms;
	struct base_slice fields;
};
BASE_MUST_USE bool log_event_parse(struct base_slice body, struct log_event *out);
BASE_MUST_USE bool log_event_next(struct log_event *e, struct log_field *out);

#endif
