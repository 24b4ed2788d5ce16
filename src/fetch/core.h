/* fetch/core.h: which HTTPS requests run, which wait, which are refused
 * Job      frames of askers in; what is to be looked up, begun, broken off and answered out
 * Not      the DNS, connections, TLS (main.c, curl.c)
 * Trust    askers are our own processes, but a frame may be broken and an address wrong
 * Limits   FETCH_RUNNING_MAX at once, FETCH_WAITING_MAX more wait, FETCH_BYTES_MAX of forms and
 *          authorities are held; what is beyond is refused as TEMPORARY. A request has one deadline, from
 *          its frame to its answer, so that an endpoint that hangs costs its place and nobody's time
 * Memory   requests live from fetch_core_want() until fetch_core_forget()
 * Secrets  forms and answers are in secret buffers; no error text holds a byte of either */
#ifndef FETCH_CORE_H
#define FETCH_CORE_H

#include "fetch/url.h"
#include "loop/ipc.h"

#define FETCH_RUNNING_MAX 64
#define FETCH_WAITING_MAX 192
#define FETCH_BYTES_MAX (8u << 20)
#define FETCH_ADDRS_MAX 16
#define FETCH_TIME_DEFAULT_MS 30000 /* a frame that says 0 */
#define FETCH_TIME_MAX_MS 120000
/* What a second question for addresses may take when the first one has an answer. */
#define FETCH_SECOND_ANSWER_MS 1000

enum fetch_phase {
	FETCH_WAITING, /* for a place */
	FETCH_ASKING,  /* the DNS */
	FETCH_RUNNING, /* begun by the shell, which says fetch_core_done() */
	FETCH_OVER,    /* to be answered, or dropped */
	FETCH_PHASE_COUNT,
};

/* One may be due or several, in this order. */
enum fetch_effect_kind {
	FETCH_STOP,    /* break it off; nothing is to be told of it any more */
	FETCH_ASK_IP4, /* its host's addresses; answer with fetch_core_addresses() */
	FETCH_ASK_IP6, /* the same */
	FETCH_START,   /* connect to its addresses, send the request */
	FETCH_ANSWER,  /* fetch_core_reply() builds the frame for its asker; then forget it */
	FETCH_DROP,    /* its asker is gone: forget it */
	FETCH_EFFECT_COUNT,
};

struct fetch_request {
	struct fetch_request *next;
	uint32_t number; /* never 0 */
	unsigned asker;
	uint32_t id;
	enum fetch_phase phase;
	unsigned due;       /* effects, as bits */
	unsigned questions; /* without an answer yet */
	bool dns_failed;
	int64_t deadline_ms, second_ms, limit_ms;
	char *url;
	struct fetch_url at;
	struct base_addr addrs[FETCH_ADDRS_MAX];
	size_t addr_count;
	struct base_buf form, ca, body;
	int class;
	uint16_t status;
	uint32_t retry_after_s;
	char error[BASE_ERROR_TEXT_MAX_BYTES];
	void *transfer; /* the shell's */
};

enum fetch_dns { FETCH_DNS_FOUND, FETCH_DNS_NONE, FETCH_DNS_FAILED };

struct fetch_core;

/* @ip6: there is a route; else no addresses of that family are asked for. */
struct fetch_core *fetch_core_new(bool ip6);
void fetch_core_free(struct fetch_core **core);

/* A FETCH_WANT frame. False: it is broken, nothing is kept of it. */
BASE_MUST_USE bool fetch_core_want(
	struct fetch_core *core, unsigned asker, const struct ipc_frame *frame, int64_t now_ms);
/* What the DNS says of request @number; unknown ones are none any more. @addrs with FOUND. */
void fetch_core_addresses(struct fetch_core *core, uint32_t number, enum fetch_dns dns,
	const struct base_addr *addrs, size_t count, int64_t now_ms);
/* A RUNNING one ended; its body is filled. @err: why there is no answer; null: there is one. */
void fetch_core_done(struct fetch_core *core, struct fetch_request *r, uint16_t status,
	uint32_t retry_after_s, const struct base_error *err);
/* Nobody waits for the answers any more. */
void fetch_core_asker_gone(struct fetch_core *core, unsigned asker);
/* The same for all of them: the process ends. */
void fetch_core_all_gone(struct fetch_core *core);
/* No new requests; those that are here are finished. */
void fetch_core_drain(struct fetch_core *core);
bool fetch_core_is_idle(const struct fetch_core *core);

/* The time went on. */
void fetch_core_tick(struct fetch_core *core, int64_t now_ms);
/* When fetch_core_tick() is needed next; negative: not at all. */
int64_t fetch_core_due_ms(const struct fetch_core *core);

/* The next thing to do; false: nothing. Call until then after every call above. */
BASE_MUST_USE bool fetch_core_effect(
	struct fetch_core *core, enum fetch_effect_kind *out_kind, struct fetch_request **out);
/* The FETCHED frame, into @out (a secret buffer, cleared). */
void fetch_core_reply(const struct fetch_request *r, struct base_buf *out);
void fetch_core_forget(struct fetch_core *core, struct fetch_request *r);

/* The truths of all phases; debug and fuzz builds call it at the end of each function above. */
void fetch_core_check(const struct fetch_core *core);

#endif
