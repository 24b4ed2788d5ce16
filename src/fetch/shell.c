#include "fetch/shell.h"

#include "loop/authorities.h"
#include "loop/file.h"
#include "loop/reach.h"

enum { CA_FILE_MAX_BYTES = 4 << 20, QUESTION_IP4 = 0, QUESTION_IP6 = 1 };

static void run(struct fetch_shell *s);

static int64_t now_ms(const struct fetch_shell *s)
{
	return (int64_t)uv_now(s->loop);
}

/* effects */

static void ask(struct fetch_shell *s, const struct fetch_request *r, bool ip6)
{
	resolver_ask(s->resolver, r->number, ip6 ? QUESTION_IP6 : QUESTION_IP4, r->at.host,
		ip6 ? ROUTE_DNS_AAAA : ROUTE_DNS_A, true);
}

static void start(struct fetch_shell *s, struct fetch_request *r)
{
	struct base_error err = {0};

	if (fetch_curl_start(s->curl, r, &err) != 0)
		fetch_core_done(s->core, r, 0, 0, &err);
}

static void answer(struct fetch_shell *s, struct fetch_request *r)
{
	struct ipc_channel *ch = s->channel(s, r->asker);

	if (ch) {
		fetch_core_reply(r, &s->frame);
		(void)ipc_send(ch, &s->frame, NULL, 0);
		base_buf_clear(&s->frame);
	}
	fetch_core_forget(s->core, r);
}

static void carry_out(struct fetch_shell *s, enum fetch_effect_kind kind, struct fetch_request *r)
{
	switch (kind) {
	case FETCH_STOP:
		fetch_curl_stop(s->curl, r);
		break;
	case FETCH_ASK_IP4:
	case FETCH_ASK_IP6:
		ask(s, r, kind == FETCH_ASK_IP6);
		break;
	case FETCH_START:
		start(s, r);
		break;
	case FETCH_ANSWER:
		answer(s, r);
		break;
	case FETCH_DROP:
		fetch_core_forget(s->core, r);
		break;
	case FETCH_EFFECT_COUNT:
		break;
	}
}

static void on_tick(uv_timer_t *timer)
{
	struct fetch_shell *s = timer->data;

	fetch_core_tick(s->core, now_ms(s));
	run(s);
}

static void run(struct fetch_shell *s)
{
	enum fetch_effect_kind kind;
	struct fetch_request *r;
	int64_t due, now = now_ms(s);

	if (s->running)
		return;
	s->running = true;
	while (fetch_core_effect(s->core, &kind, &r))
		carry_out(s, kind, r);
	s->running = false;
	due = fetch_core_due_ms(s->core);
	if (due < 0)
		uv_timer_stop(&s->tick);
	else
		uv_timer_start(&s->tick, on_tick, due > now ? (uint64_t)(due - now) : 0, 0);
	if (fetch_core_is_idle(s->core) && s->idle)
		s->idle(s);
}

/* what comes */

static void on_dns(void *arg, uint32_t id, unsigned question, const struct route_dns_answer *dns)
{
	struct fetch_shell *s = arg;
	struct base_addr addrs[FETCH_ADDRS_MAX];
	enum fetch_dns found = FETCH_DNS_FAILED;
	size_t count = 0;

	if (dns->status == ROUTE_DNS_FOUND)
		found = FETCH_DNS_FOUND;
	else if (dns->status == ROUTE_DNS_EMPTY || dns->status == ROUTE_DNS_NO_NAME)
		found = FETCH_DNS_NONE;
	while (count < dns->count && count < FETCH_ADDRS_MAX) {
		addrs[count] = dns->records[count].addr;
		count++;
	}
	fetch_core_addresses(s->core, id, found, addrs, count, now_ms(s));
	run(s);
}

static void on_answer(void *arg, struct fetch_request *r, const struct fetch_answer *a)
{
	struct fetch_shell *s = arg;

	fetch_core_done(s->core, r, a->status, a->retry_after_s, a->err);
	run(s);
}

bool fetch_shell_want(struct fetch_shell *s, unsigned asker, const struct ipc_frame *frame)
{
	bool fine = fetch_core_want(s->core, asker, frame, now_ms(s));

	run(s);
	return fine;
}

void fetch_shell_asker_gone(struct fetch_shell *s, unsigned asker)
{
	fetch_core_asker_gone(s->core, asker);
	run(s);
}

void fetch_shell_drain(struct fetch_shell *s)
{
	fetch_core_drain(s->core);
	run(s);
}

/* begin and end */

int fetch_shell_trust(struct fetch_shell *s, const char *ca_file, struct base_error *err)
{
	X509_STORE *trust = fetch_trust_copy(s->system);
	struct base_buf pem;
	int rc = 0;

	base_buf_init(&pem, CA_FILE_MAX_BYTES);
	if (ca_file && *ca_file) {
		rc = file_read(ca_file, &pem, NULL, err);
		if (rc == 0)
			rc = fetch_trust_add(trust, base_buf_slice(&pem), ca_file, err);
	}
	if (rc == 0)
		fetch_curl_trust(s->curl, trust);
	X509_STORE_free(trust);
	base_buf_release(&pem);
	return rc;
}

/* Without the system's, those of the configuration or of the request may do. */
static void read_system(struct fetch_shell *s)
{
	const char *file = authorities_file();
	struct base_buf pem;
	struct base_error err;

	s->system = fetch_trust_new();
	base_buf_init(&pem, CA_FILE_MAX_BYTES);
	if (file && file_read(file, &pem, NULL, &err) == 0)
		(void)!fetch_trust_add(s->system, base_buf_slice(&pem), file, &err);
	base_buf_release(&pem);
}

int fetch_shell_open(
	struct fetch_shell *s, uv_loop_t *loop, const char *ca_file, struct base_error *err)
{
	int rc;

	s->loop = loop;
	base_buf_init_secret(&s->frame, IPC_FRAME_MAX_BYTES);
	uv_timer_init(loop, &s->tick);
	s->tick.data = s;
	s->core = fetch_core_new(reach_ip6());
	rc = fetch_curl_open(&s->curl, loop, on_answer, s, err);
	if (rc == 0)
		rc = resolver_open(&s->resolver, loop, on_dns, s, err);
	if (rc == 0) {
		read_system(s);
		rc = fetch_shell_trust(s, ca_file, err);
	}
	return rc;
}

void fetch_shell_close(struct fetch_shell *s)
{
	enum fetch_effect_kind kind;
	struct fetch_request *r;

	s->idle = NULL;
	resolver_close(&s->resolver);
	if (s->core) {
		fetch_core_all_gone(s->core);
		while (fetch_core_effect(s->core, &kind, &r))
			carry_out(s, kind, r);
		uv_timer_stop(&s->tick);
	}
	fetch_core_free(&s->core);
	fetch_curl_close(&s->curl);
	base_buf_release(&s->frame);
	X509_STORE_free(s->system);
	s->system = NULL;
}
