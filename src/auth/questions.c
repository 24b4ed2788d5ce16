/* Questions to the processes of providers that block. A process has one at a time; the others wait with
 * their source, in turn by client. What a dead process had is asked once more, and then counts as not
 * answered, in case it was the question that killed it.
 *
 *   waits --give--> with a process --said--> over
 *     ^                 | died, once
 *     +-----------------+
 *
 * Over by time, either way, is the same as CANNOT: the next source is asked. A question that its
 * process still has is then cancelled, and keeps the process until that answers or dies. */
#include "auth/core_internal.h"

#include <stdlib.h>
#include <string.h>

static struct auth_named_source *source_of(struct auth_core *core, const struct auth_question *q)
{
	return &core->sources[q->source];
}

static void question_free(struct auth_core *core, struct auth_question *q)
{
	if (q->process < 0 && q->source < core->source_count)
		auth_fair_remove(&source_of(core, q)->waiting, q->bucket, &q->in_bucket);
	else if (q->process >= 0)
		core->processes[q->process].question = NULL;
	auth_list_remove(&q->in_core);
	base_buf_release(&q->bytes);
	base_wipe(q, sizeof(*q));
	free(q);
}

static bool any_up(const struct auth_core *core, const struct auth_named_source *s)
{
	for (unsigned i = s->first; i < s->first + s->processes && i < AUTH_PROCESSES_MAX; i++)
		if (core->processes[i].up)
			return true;
	return false;
}

static int idle_process(const struct auth_core *core, const struct auth_named_source *s)
{
	for (unsigned i = s->first; i < s->first + s->processes && i < AUTH_PROCESSES_MAX; i++)
		if (core->processes[i].up && !core->processes[i].question)
			return (int)i;
	return -1;
}

static void give(struct auth_core *core, struct auth_question *q, int process)
{
	struct auth_queued *e = auth_effect_push(core, AUTH_EFFECT_QUESTION);
	struct base_slice bytes = base_buf_slice(&q->bytes);

	auth_fair_remove(&source_of(core, q)->waiting, q->bucket, &q->in_bucket);
	q->process = process;
	q->until_ms = q->limit_ms;
	core->processes[process].question = q;
	bytes = auth_effect_keep(e, bytes);
	e->effect.worker = (unsigned)process;
	e->effect.task = q->number;
	e->effect.ask = q->ask;
	e->effect.hash = q->hash;
	e->effect.name = base_slice_first(bytes, q->name_len);
	bytes = base_slice_from(bytes, e->effect.name.len);
	e->effect.password = base_slice_first(bytes, q->secret_len);
	e->effect.challenge = base_slice_from(bytes, e->effect.password.len);
	e->effect.source = auth_effect_keep(e, base_slice_text(source_of(core, q)->name));
	e->effect.login.client = q->client;
}

static void give_out(struct auth_core *core, struct auth_named_source *s)
{
	struct auth_link *link;
	int process;

	while ((process = idle_process(core, s)) >= 0 && (link = auth_fair_next(&s->waiting)))
		give(core, AUTH_OF(link, struct auth_question, in_bucket), process);
}

/* While none of its processes lives there is little hope. */
static void limit_wait(struct auth_core *core, struct auth_question *q, int64_t now_ms)
{
	if (!any_up(core, source_of(core, q)) && q->until_ms > now_ms + AUTH_DOWN_WAIT_MS)
		q->until_ms = now_ms + AUTH_DOWN_WAIT_MS;
}

bool auth_question_put(struct auth_core *core, struct auth_request *r, enum auth_ask ask,
	struct base_slice secret, struct base_slice challenge, int64_t now_ms)
{
	struct base_slice name = sasl_server_user(r->sasl);
	struct auth_question *q = base_alloc_zero(1, sizeof(*q));

	q->number = ++core->next_question;
	q->token = r->token;
	q->source = r->source;
	q->process = -1;
	q->ask = ask;
	q->hash = sasl_mechanism_info(r->mechanism)->hash;
	q->client = r->client;
	q->bucket = auth_fair_bucket(core, &r->client);
	q->until_ms = q->limit_ms = now_ms + AUTH_WORKER_WAIT_MS;
	q->name_len = name.len;
	q->secret_len = secret.len;
	base_buf_init_secret(&q->bytes, AUTH_QUESTION_MAX_BYTES);
	base_buf_append_slice(&q->bytes, name);
	base_buf_append_slice(&q->bytes, secret);
	base_buf_append_slice(&q->bytes, challenge);
	auth_list_push(&core->questions, &q->in_core);
	if (!base_buf_ok(&q->bytes) ||
		!auth_fair_push(&source_of(core, q)->waiting, q->bucket, &q->in_bucket)) {
		question_free(core, q);
		return false;
	}
	limit_wait(core, q, now_ms);
	give_out(core, source_of(core, q));
	return true;
}

static struct auth_question *next_of(struct auth_core *core, struct auth_link **at)
{
	struct auth_link *l = *at;

	if (l == &core->questions)
		return NULL;
	*at = l->next;
	return AUTH_OF(l, struct auth_question, in_core);
}

#define EACH_QUESTION(core, q, at) \
	for (struct auth_link *at = (core)->questions.next; (q = next_of((core), &at));)

static void tell(struct auth_core *core, uint32_t token, const struct auth_said *said,
	int64_t now_ms, int64_t wall_ms)
{
	struct auth_request *r = auth_request_by_token(core, token);

	if (r && r->wait == AUTH_WAIT_SOURCE)
		auth_request_said(core, r, said, now_ms, wall_ms);
}

static void over(struct auth_core *core, struct auth_question *q, const char *reason,
	int64_t now_ms, int64_t wall_ms)
{
	struct auth_said said = {.result = AUTH_SAID_CANNOT, .reason = base_slice_text(reason)};
	uint32_t token = q->token;
	bool cancelled = q->cancelled;

	if (q->process < 0)
		question_free(core, q);
	else
		q->cancelled = true;
	if (!cancelled)
		tell(core, token, &said, now_ms, wall_ms);
}

void auth_questions_forget(struct auth_core *core, uint32_t token)
{
	struct auth_question *q;

	EACH_QUESTION(core, q, at)
	{
		if (q->token != token)
			continue;
		if (q->process < 0)
			question_free(core, q);
		else
			q->cancelled = true;
	}
}

/* The source that this process serves; null: none. */
static struct auth_named_source *served_by(struct auth_core *core, unsigned process)
{
	for (unsigned i = 0; i < core->source_count; i++) {
		struct auth_named_source *s = &core->sources[i];

		if (process >= s->first && process - s->first < s->processes)
			return s;
	}
	return NULL;
}

void auth_core_provider_up(struct auth_core *core, unsigned process, int64_t now_ms)
{
	struct auth_named_source *s = served_by(core, process);

	if (process >= AUTH_PROCESSES_MAX)
		return;
	core->processes[process].up = true;
	if (!s)
		return;
	/* While it was away nobody saw the file change. */
	if (s->kind == AUTH_SOURCE_FILE)
		auth_core_source_changed(core, base_slice_text(s->name));
	give_out(core, s);
}

void auth_core_provider_down(
	struct auth_core *core, unsigned process, int64_t now_ms, int64_t wall_ms)
{
	struct auth_question *q;

	if (process >= AUTH_PROCESSES_MAX)
		return;
	core->processes[process].up = false;
	q = core->processes[process].question;
	if (q) {
		core->processes[process].question = NULL;
		q->process = -1;
		if (q->cancelled) {
			question_free(core, q);
		} else if (q->retried || q->source >= core->source_count ||
			!auth_fair_push(&source_of(core, q)->waiting, q->bucket, &q->in_bucket)) {
			over(core, q, "its process died", now_ms, wall_ms);
		} else {
			q->retried = true;
			give_out(core, source_of(core, q));
		}
	}
	EACH_QUESTION(core, q, at)
	if (q->process < 0 && q->source < core->source_count)
		limit_wait(core, q, now_ms);
}

void auth_core_said(struct auth_core *core, unsigned process, uint32_t task,
	const struct auth_said *said, int64_t now_ms, int64_t wall_ms)
{
	struct auth_question *q = process < AUTH_PROCESSES_MAX ? core->processes[process].question
							       : NULL;
	struct auth_named_source *s;
	uint32_t token;
	bool cancelled;

	if (!q || q->number != task)
		return;
	token = q->token;
	cancelled = q->cancelled;
	question_free(core, q);
	if (!cancelled)
		tell(core, token, said, now_ms, wall_ms);
	s = served_by(core, process);
	if (s)
		give_out(core, s);
}

void auth_questions_tick(struct auth_core *core, int64_t now_ms, int64_t wall_ms)
{
	struct auth_question *q;

	EACH_QUESTION(core, q, at)
	if (!q->cancelled && q->until_ms <= now_ms)
		over(core, q, q->process < 0 ? "its processes had no time" : "it takes too long",
			now_ms, wall_ms);
}

int64_t auth_questions_wake(const struct auth_core *core)
{
	int64_t wake = INT64_MAX;

	for (const struct auth_link *l = core->questions.next; l != &core->questions; l = l->next) {
		const struct auth_question *q = AUTH_OF(l, struct auth_question, in_core);

		if (!q->cancelled && q->until_ms < wake)
			wake = q->until_ms;
	}
	return wake;
}

/* After a new configuration: @map says for each old source which one it is now; AUTH_SOURCES_MAX: none. */
void auth_questions_remap(
	struct auth_core *core, const unsigned map[AUTH_SOURCES_MAX + 1], int64_t now_ms)
{
	struct auth_question *q;

	EACH_QUESTION(core, q, at)
	{
		q->source = map[q->source < AUTH_SOURCES_MAX ? q->source : AUTH_SOURCES_MAX];
		if (q->process >= 0)
			continue;
		q->in_bucket = (struct auth_link){NULL, NULL}; /* the old lists are no more */
		if (q->source >= core->source_count ||
			!auth_fair_push(&source_of(core, q)->waiting, q->bucket, &q->in_bucket))
			q->until_ms = now_ms; /* the next tick tells */
	}
	for (unsigned i = 0; i < core->source_count; i++)
		give_out(core, &core->sources[i]);
}

void auth_questions_free(struct auth_core *core)
{
	struct auth_question *q;

	EACH_QUESTION(core, q, at)
	question_free(core, q);
}
