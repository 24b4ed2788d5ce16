/* DATA and BDAT. A message is always read to its true end, also when it is refused: only then does
 * the client look at the reply, and no byte of it can be taken for a command.
 *
 * A chunk that may not run (wrong place, bad argument, storage failed) is taken and dropped, then
 * answered; after that the whole transaction is void, so that a client that pipelines on gets 503
 * for each further chunk instead of half a message. */
#include "smtp/server_machine.h"

enum {
	SMALL_CHUNK_BYTES = 1024,
	SMALL_CHUNKS_MAX = 1000,
};

static bool is_bad(const struct smtp_server *s)
{
	return s->refused || s->dropping || s->too_large || s->text.faults;
}

/* The order makes the reply independent of how the bytes were cut: faults are noted to the end, the
 * size is counted while there is no fault, and when the caller refuses depends on the cuts. It is
 * also the useful one: a message that can never be taken should not be tried again. */
static struct smtp_reply verdict(const struct smtp_server *s)
{
	if (s->dropping)
		return s->refusal;
	if (s->text.faults & SMTP_TEXT_NUL)
		return smtp_server_say(s, SMTP_SAY_BODY_NUL);
	if (s->text.faults & SMTP_TEXT_BARE_CR)
		return smtp_server_say(s, SMTP_SAY_BODY_BARE_CR);
	if (s->text.faults & SMTP_TEXT_BARE_LF)
		return smtp_server_say(s, SMTP_SAY_BODY_BARE_LF);
	if (s->too_large)
		return smtp_server_say(s, SMTP_SAY_TOO_LARGE);
	return s->refusal;
}

/* Bytes to hand out, unless nobody wants them any more. */
static enum smtp_server_event give(struct smtp_server *s, struct base_slice bytes)
{
	if (s->size_max_bytes && bytes.len > s->size_max_bytes - s->body_bytes)
		s->too_large = true;
	else
		s->body_bytes += bytes.len;
	if (is_bad(s))
		return SMTP_SERVER_MORE;
	s->body = bytes;
	return SMTP_SERVER_BODY;
}

/* The message was complete and clean, or it is refused now. */
static enum smtp_server_event end_message(struct smtp_server *s, struct base_buf *out)
{
	if (!is_bad(s)) {
		smtp_server_set_phase(s, SMTP_PHASE_ASK_MESSAGE);
		return SMTP_SERVER_BODY_END;
	}
	if (s->mail_open) {
		s->counts.messages++;
		if (smtp_server_take_answer(s, verdict(s), out))
			base_bug(__FILE__, __LINE__, "a refusal that accepts");
	} else {
		smtp_server_refuse(s, s->refusal, out);
	}
	if (s->phase != SMTP_PHASE_CLOSED)
		smtp_server_end_transaction(s);
	return SMTP_SERVER_MORE;
}

enum smtp_server_event smtp_server_on_data(struct smtp_server *s, struct smtp_step *step)
{
	if (step->argument.len) {
		smtp_server_refuse(
			s, SMTP_REPLY(501, "5.5.4", "DATA takes no argument"), step->out);
		return SMTP_SERVER_MORE;
	}
	s->chunked = false;
	smtp_text_init(&s->text, true);
	smtp_server_set_phase(s, SMTP_PHASE_ASK_DATA);
	return SMTP_SERVER_DATA;
}

void smtp_server_data_answer(struct smtp_server *s, struct smtp_reply reply, struct base_buf *out)
{
	bool go = reply.code < 400;

	BASE_BUG_IF(s->phase != SMTP_PHASE_ASK_DATA);
	s->line_held = false;
	if (s->chunked) {
		s->dropping = !go;
		if (!go)
			s->refusal = reply;
		smtp_server_set_phase(s, SMTP_PHASE_CHUNK);
		return;
	}
	if (smtp_server_take_answer(s, reply, out))
		smtp_server_set_phase(s, SMTP_PHASE_TEXT);
	else if (s->phase != SMTP_PHASE_CLOSED)
		smtp_server_end_transaction(s);
}

void smtp_server_body_refuse(struct smtp_server *s, struct smtp_reply reply)
{
	BASE_BUG_IF(reply.code < 400 || reply.code > 599);
	BASE_BUG_IF(s->phase != SMTP_PHASE_TEXT && s->phase != SMTP_PHASE_CHUNK &&
		s->phase != SMTP_PHASE_CHUNKS);
	if (s->refused || s->dropping)
		return;
	s->refused = true;
	s->refusal = reply;
}

enum smtp_server_event smtp_server_step_text(
	struct smtp_server *s, struct base_slice in, size_t *out_used, struct base_buf *out)
{
	struct base_slice bytes;

	enum smtp_text_result result = smtp_text_push(&s->text, in, out_used, &bytes);

	if (s->dialect && (s->dialect->flags & SMTP_DIALECT_BARE_LF_ENDS) &&
		(s->text.faults & SMTP_TEXT_BARE_LF)) {
		s->counts.messages++;
		smtp_server_bye(s, smtp_server_say(s, SMTP_SAY_BODY_BARE_LF), out);
		return SMTP_SERVER_MORE;
	}
	switch (result) {
	case SMTP_TEXT_MORE:
		break;
	case SMTP_TEXT_BYTES:
		return give(s, bytes);
	case SMTP_TEXT_END:
		return end_message(s, out);
	}
	return SMTP_SERVER_MORE;
}

/* The argument of BDAT. */
struct chunk {
	bool counted; /* the size is a number that can be waited for */
	bool valid;   /* … and the rest is right too */
	bool last;
	bool endless; /* a number beyond all sense */
	uint64_t octets;
};

static struct chunk read_chunk(struct base_slice argument)
{
	struct base_slice size = smtp_command_word(&argument);
	struct base_slice last = smtp_command_word(&argument);
	struct chunk c = {.last = base_slice_equal_text_nocase(last, "LAST")};

	for (size_t i = 0; i < size.len; i++)
		if (!base_ascii_is_digit(size.ptr[i]))
			return c;
	if (size.len == 0)
		return c;
	c.counted = base_slice_to_u64(size, &c.octets) && c.octets <= INT64_MAX;
	c.endless = !c.counted;
	c.valid = c.counted && argument.len == 0 && (last.len == 0 || c.last);
	return c;
}

static enum smtp_server_event skip_chunk(
	struct smtp_server *s, uint64_t octets, struct smtp_reply reply)
{
	s->dropping = true;
	s->refusal = reply;
	s->chunked = true;
	s->chunk_last = false;
	s->chunk_left = octets;
	smtp_server_set_phase(s, SMTP_PHASE_CHUNK);
	return SMTP_SERVER_MORE;
}

/* BDAT whose size is no number: nobody knows how many octets follow. The transaction is void. If the
 * number is merely too large, everything to come is message, so the session ends. */
static enum smtp_server_event refuse_uncounted(
	struct smtp_server *s, struct smtp_step *step, struct chunk c)
{
	struct smtp_reply reply = SMTP_REPLY(501, "5.5.4", "syntax: BDAT octets [LAST]");

	smtp_server_end_transaction(s);
	if (c.endless)
		smtp_server_bye(s, reply, step->out);
	else
		smtp_server_refuse(s, reply, step->out);
	return SMTP_SERVER_MORE;
}

enum smtp_server_event smtp_server_refuse_bdat(
	struct smtp_server *s, struct smtp_step *step, struct smtp_reply reply)
{
	struct chunk c = read_chunk(step->argument);

	if (!c.counted)
		return refuse_uncounted(s, step, c);
	return skip_chunk(s, c.octets, reply);
}

enum smtp_server_event smtp_server_on_bdat(struct smtp_server *s, struct smtp_step *step)
{
	struct chunk c = read_chunk(step->argument);
	bool first = s->phase == SMTP_PHASE_RCPT;

	if (!c.counted)
		return refuse_uncounted(s, step, c);
	if (!c.valid)
		return skip_chunk(
			s, c.octets, SMTP_REPLY(501, "5.5.4", "syntax: BDAT octets [LAST]"));
	if (!c.last && c.octets < SMALL_CHUNK_BYTES && ++s->small_chunks > SMALL_CHUNKS_MAX)
		return skip_chunk(s, c.octets, SMTP_REPLY(552, "5.3.0", "too many small chunks"));
	s->chunked = true;
	s->chunk_last = c.last;
	s->chunk_left = c.octets;
	if (!first) {
		smtp_server_set_phase(s, SMTP_PHASE_CHUNK);
		return SMTP_SERVER_MORE;
	}
	smtp_text_init(&s->text, false);
	smtp_server_set_phase(s, SMTP_PHASE_ASK_DATA);
	return SMTP_SERVER_DATA;
}

/* All octets of the chunk are here. */
static enum smtp_server_event end_chunk(struct smtp_server *s, struct base_buf *out)
{
	if (s->chunk_last) {
		bool open_line = !smtp_text_line_is_empty(&s->text);

		smtp_text_finish(&s->text);
		/* A last line without CRLF gets one: what is stored and relayed is lines. */
		if (open_line && give(s, BASE_SLICE("\r\n")) == SMTP_SERVER_BODY)
			return SMTP_SERVER_BODY;
	}
	if (s->chunk_last || is_bad(s))
		return end_message(s, out);
	smtp_server_set_phase(s, SMTP_PHASE_CHUNKS);
	smtp_server_reply(SMTP_REPLY(250, "2.0.0", "chunk taken"), out);
	return SMTP_SERVER_MORE;
}

enum smtp_server_event smtp_server_step_chunk(
	struct smtp_server *s, struct base_slice in, size_t *out_used, struct base_buf *out)
{
	struct base_slice part = base_slice_first(
		in, s->chunk_left < in.len ? (size_t)s->chunk_left : in.len);
	struct base_slice bytes;
	enum smtp_text_result result;

	if (s->chunk_left == 0)
		return end_chunk(s, out);
	if (s->dropping) {
		s->chunk_left -= part.len;
		*out_used = part.len;
		return SMTP_SERVER_MORE;
	}
	result = smtp_text_push(&s->text, part, out_used, &bytes);
	s->chunk_left -= *out_used;
	BASE_BUG_IF(result == SMTP_TEXT_END);
	return result == SMTP_TEXT_BYTES ? give(s, bytes) : SMTP_SERVER_MORE;
}

void smtp_server_message_answer(
	struct smtp_server *s, struct smtp_reply reply, struct base_buf *out)
{
	BASE_BUG_IF(s->phase != SMTP_PHASE_ASK_MESSAGE);
	s->counts.messages++;
	if (smtp_server_take_answer(s, reply, out)) {
		s->counts.messages_ok++;
		s->bad_commands = 0;
		s->lost_commands = 0;
	}
	if (s->phase == SMTP_PHASE_CLOSED)
		return;
	smtp_server_end_transaction(s);
	s->due &= (uint8_t)~SMTP_DUE_RESET;
}
