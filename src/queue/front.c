/* Messages from fronts, until they are whole.
 *
 * A transaction exists here only while something of it waits: parts of a long envelope, or the file
 * that its front is writing. SUBMIT ends it, SUBMIT_ABORT too, and the end of the front ends all of
 * that front's. A message that came in one frame never becomes one.
 *
 * A command that submits through the control socket is a front too, in a table of its own. */
#include "queue/shell.h"

#include "base/clock.h"
#include "loop/log.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
	TRANSACTIONS_MAX = 16384, /* of one front */
	ENVELOPE_MAX_BYTES = 16 * 1024 * 1024,
	ENVELOPES_MAX_BYTES = 64 * 1024 * 1024, /* of one front, all that wait */
	ANSWERS_MAX_BYTES = 4 * 1024 * 1024,    /* to one front, unread */
};

struct queue_transaction {
	struct queue_transaction *next;
	uint32_t id;
	struct spool_file file;
	struct base_buf envelope;
};

static struct queue_transaction *find(struct queue_front *f, uint32_t id)
{
	struct queue_transaction *t = f->transactions;

	while (t && t->id != id)
		t = t->next;
	return t;
}

static struct queue_transaction *find_or_make(struct queue_front *f, uint32_t id)
{
	struct queue_transaction *t = find(f, id);

	if (t || f->transaction_count >= TRANSACTIONS_MAX)
		return t;
	t = base_alloc_zero(1, sizeof(*t));
	t->id = id;
	spool_file_init(&t->file);
	base_buf_init(&t->envelope, ENVELOPE_MAX_BYTES);
	t->next = f->transactions;
	f->transactions = t;
	f->transaction_count++;
	return t;
}

static void forget(struct queue_shell *q, struct queue_front *f, struct queue_transaction *t)
{
	struct queue_transaction **at = &f->transactions;

	if (!t)
		return;
	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	f->transaction_count--;
	f->envelope_bytes -= t->envelope.len;
	spool_file_drop(q->spool, &t->file);
	base_buf_release(&t->envelope);
	free(t);
}

static struct queue_front *front_at(struct queue_shell *q, unsigned index)
{
	if (index >= QUEUE_SUBMITTERS_FROM)
		return index - QUEUE_SUBMITTERS_FROM < q->submitter_count
			? &q->submitters[index - QUEUE_SUBMITTERS_FROM]
			: NULL;
	return index < q->front_count ? &q->fronts[index] : NULL;
}

void queue_front_up(struct queue_shell *q, unsigned index)
{
	if (index >= q->front_count) {
		q->fronts = base_realloc(q->fronts, (index + 1) * sizeof(*q->fronts));
		memset(q->fronts + q->front_count, 0,
			(index + 1 - q->front_count) * sizeof(*q->fronts));
		q->front_count = index + 1;
	}
	q->fronts[index].generation++;
}

void queue_front_down(struct queue_shell *q, unsigned index)
{
	struct queue_front *f = front_at(q, index);

	if (!f)
		return;
	while (f->transactions)
		forget(q, f, f->transactions);
	f->generation++;
}

void queue_front_close(struct queue_shell *q)
{
	for (unsigned i = 0; i < q->front_count; i++)
		queue_front_down(q, i);
	for (unsigned i = 0; i < q->submitter_count; i++)
		queue_front_down(q, QUEUE_SUBMITTERS_FROM + i);
	free(q->fronts);
	free(q->submitters);
	q->fronts = q->submitters = NULL;
	q->front_count = q->submitter_count = 0;
}

struct ipc_channel *queue_front_channel(struct queue_shell *q, const struct queue_client *client)
{
	const struct queue_front *f = front_at(q, client->front);
	struct ipc_channel *ch;

	if (!f || f->generation != client->generation)
		return NULL;
	ch = client->front >= QUEUE_SUBMITTERS_FROM ? f->command
						    : role_peer(q->role, IPC_FRONT, client->front);
	/* No sound front leaves that much unread; another one must not fill our memory. */
	return ch && ipc_channel_pending(ch) <= ANSWERS_MAX_BYTES ? ch : NULL;
}

static void on_file_want(struct queue_shell *q, unsigned index, uint32_t id)
{
	struct queue_front *f = front_at(q, index);
	struct queue_client client = {index, f->generation, id};
	struct ipc_channel *ch = queue_front_channel(q, &client);
	struct queue_transaction *t = find_or_make(f, id);
	struct base_error err = {.class = BASE_ERROR_TEMPORARY};
	int rc = BASE_ERROR_TEMPORARY;

	if (t && ch) {
		spool_file_drop(q->spool, &t->file);
		rc = spool_file_make(q->spool, &t->file, &err);
		if (rc != 0)
			log_error(LOG_LEVEL_ERROR, "a message is refused", &err);
	}
	ipc_begin(&q->frame, IPC_SUBMIT_FILE, id);
	ipc_put_u8(&q->frame, (uint8_t)-rc);
	if (ch)
		ipc_send(ch, &q->frame, rc == 0 ? &t->file.fd : NULL, rc == 0 ? 1 : 0);
	if (rc != 0)
		forget(q, f, t);
}

static void on_envelope(struct queue_shell *q, struct queue_front *f, struct ipc_frame *frame)
{
	struct ipc_reader in = ipc_reader_make(frame->body);
	struct base_slice part = ipc_get_bytes(&in);
	struct queue_transaction *t;

	if (!ipc_reader_done(&in))
		return;
	t = find_or_make(f, frame->id);
	/* What does not fit makes the envelope broken, and SUBMIT is refused. */
	if (!t || f->envelope_bytes + part.len > ENVELOPES_MAX_BYTES)
		return;
	if (base_buf_append_slice(&t->envelope, part))
		f->envelope_bytes += part.len;
}

static void refuse(
	struct queue_shell *q, const struct queue_client *client, const struct base_id *id)
{
	queue_shell_ports.submitted(q, client, id, BASE_ERROR_PEER);
}

static void on_submit(struct queue_shell *q, unsigned index, struct ipc_frame *frame)
{
	struct queue_front *f = front_at(q, index);
	struct queue_client client = {index, f->generation, frame->id};
	struct queue_transaction *t = f->transactions ? find(f, frame->id) : NULL;
	struct ipc_reader in = ipc_reader_make(frame->body);
	struct base_slice id_text = ipc_get_bytes(&in), envelope = ipc_get_bytes(&in), body;
	bool file = ipc_get_u8(&in) != 0;
	uint64_t size = ipc_get_u64(&in);
	struct base_id id = {{0}};
	bool good;

	body = ipc_get_bytes(&in);
	good = ipc_reader_done(&in) && base_id_parse(id_text, &id) &&
		(!file || (t && t->file.fd >= 0 && body.len == 0));
	if (good && t && t->envelope.len) {
		f->envelope_bytes += envelope.len;
		good = base_buf_append_slice(&t->envelope, envelope);
		if (!good)
			f->envelope_bytes -= envelope.len;
		envelope = base_buf_slice(&t->envelope);
	}
	if (good)
		queue_core_submit(q->core, &client, &id, envelope, size, body,
			file ? &t->file : NULL, base_clock_wall_ms());
	else
		refuse(q, &client, &id);
	forget(q, f, t);
}

static void on_query(struct queue_shell *q, unsigned index, struct ipc_frame *frame)
{
	struct queue_client client = {index, front_at(q, index)->generation, frame->id};
	struct ipc_reader in = ipc_reader_make(frame->body);
	struct base_id id;

	if (base_id_parse(ipc_get_bytes(&in), &id))
		queue_core_query(q->core, &client, &id);
}

void queue_front_frame(struct queue_shell *q, unsigned index, struct ipc_frame *frame)
{
	struct queue_front *f = front_at(q, index);

	if (!f)
		return;
	if (frame->type == IPC_SUBMIT)
		on_submit(q, index, frame);
	else if (frame->type == IPC_SUBMIT_ENVELOPE)
		on_envelope(q, f, frame);
	else if (frame->type == IPC_SUBMIT_FILE_WANT)
		on_file_want(q, index, frame->id);
	else if (frame->type == IPC_SUBMIT_ABORT)
		forget(q, f, find(f, frame->id));
	else if (frame->type == IPC_SUBMIT_QUERY)
		on_query(q, index, frame);
}

/* The command's place; UINT_MAX: it has none. */
static unsigned submitter_find(const struct queue_shell *q, const struct ipc_channel *ch)
{
	for (unsigned i = 0; i < q->submitter_count; i++)
		if (q->submitters[i].command == ch)
			return i;
	return UINT_MAX;
}

static unsigned submitter_add(struct queue_shell *q, struct ipc_channel *ch)
{
	unsigned place = submitter_find(q, NULL);

	if (place == UINT_MAX) {
		if (q->submitter_count == QUEUE_SUBMITTERS_MAX)
			return UINT_MAX;
		place = q->submitter_count++;
		q->submitters = base_realloc(
			q->submitters, q->submitter_count * sizeof(*q->submitters));
		q->submitters[place] = (struct queue_front){0};
	}
	q->submitters[place].command = ch;
	return place;
}

void queue_submitter_frame(struct role *r, struct ipc_channel *ch, struct ipc_frame *frame)
{
	struct queue_shell *q = role_state(r);
	unsigned place = submitter_find(q, ch);

	if (place == UINT_MAX)
		place = submitter_add(q, ch);
	/* With too many, this one gets no answer; it gives up and its client tries again. */
	if (place == UINT_MAX)
		return;
	q->events = true;
	queue_front_frame(q, QUEUE_SUBMITTERS_FROM + place, frame);
	if (queue_core_wants_turn(q->core))
		queue_shell_turn(q);
}

void queue_submitter_gone(struct role *r, struct ipc_channel *ch)
{
	struct queue_shell *q = role_state(r);
	unsigned place = submitter_find(q, ch);

	if (place == UINT_MAX)
		return;
	queue_front_down(q, QUEUE_SUBMITTERS_FROM + place);
	q->submitters[place].command = NULL;
}
