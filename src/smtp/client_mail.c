#include "smtp/client_internal.h"

#include "base/utf8.h"
#include "base/xtext.h"

/* One transaction.
 *
 * Commands go out in this order, all at once where the server offers PIPELINING, else one by one:
 *	[RSET] MAIL RCPT … DATA          or  [RSET] MAIL RCPT … BDAT (small message, CHUNKING too)
 * Replies come in the same order, so two counters (what was sent, what was answered) say which
 * command a reply belongs to. RSET goes before every MAIL but the first: what an earlier transaction left
 * behind on the server, a refused recipient's message perhaps, must not become part of this one. DATA is sent early as well: should every recipient be refused and the
 * server still say 354, the message is a lone dot (RFC 2920 section 3.1).
 *
 * Recipients that are refused here never reach the wire; their events come first. */

enum { COMMAND_ROOM = 2048, BDAT_MAX_BYTES = 64 * 1024, RCPT_DEFAULT_MAX = 100 };

static enum smtp_rcpt_state state(const struct smtp_transaction *t, size_t i)
{
	return (enum smtp_rcpt_state)t->states.ptr[i];
}

static void set_state(struct smtp_transaction *t, size_t i, enum smtp_rcpt_state to)
{
	t->states.ptr[i] = (uint8_t)to;
}

static bool is_local(enum smtp_rcpt_state s)
{
	return s == SMTP_RCPT_LOCAL || s == SMTP_RCPT_SURPLUS || s == SMTP_RCPT_TOLD;
}

static size_t skip_local(const struct smtp_transaction *t, size_t i)
{
	while (i < t->rcpt_count && is_local(state(t, i)))
		i++;
	return i;
}

static bool pipelines(const struct smtp_client *c)
{
	return c->offer.extensions & SMTP_EXT_PIPELINING;
}

static void broken(struct smtp_client *c, const char *reason)
{
	smtp_client_fail(c, false, true, reason);
}

/* limits */

static struct base_slice domain_of(struct base_slice address)
{
	return base_slice_from(address, base_slice_find_last(address, '@') + 1);
}

static size_t fit_domains(const struct smtp_client_rcpt *rcpts, size_t count, uint32_t domains_max)
{
	struct base_slice domain;
	uint32_t domains = 0;
	size_t i, k;

	for (i = 0; i < count; i++) {
		domain = domain_of(rcpts[i].address);
		for (k = 0; k < i; k++)
			if (base_slice_equal_nocase(domain, domain_of(rcpts[k].address)))
				break;
		if (k == i && ++domains > domains_max)
			return i;
	}
	return count;
}

size_t smtp_client_rcpt_fit(
	const struct smtp_client *c, const struct smtp_client_rcpt *rcpts, size_t rcpt_count)
{
	size_t max = c->offer.rcpt_max ? c->offer.rcpt_max : RCPT_DEFAULT_MAX;

	if (rcpt_count > max)
		rcpt_count = max;
	if (c->offer.rcpt_domain_max)
		rcpt_count = fit_domains(rcpts, rcpt_count, c->offer.rcpt_domain_max);
	return rcpt_count;
}

bool smtp_client_is_spent(const struct smtp_client *c)
{
	return c->offer.mail_max && c->mails >= c->offer.mail_max;
}

/* commands */

static void write_mail(struct smtp_client *c, struct base_buf *out)
{
	const struct smtp_client_mail *m = &c->txn.mail;
	unsigned ext = c->offer.extensions;
	size_t start = out->len;

	(void)base_buf_append_text(out, "MAIL FROM:<");
	(void)base_buf_append_slice(out, m->sender);
	(void)base_buf_append_byte(out, '>');
	if ((ext & SMTP_EXT_SIZE) && m->size_bytes)
		(void)base_buf_printf(out, " SIZE=%llu", (unsigned long long)m->size_bytes);
	if (m->body_8bit && (ext & SMTP_EXT_8BITMIME))
		(void)base_buf_append_text(out, " BODY=8BITMIME");
	if (m->smtputf8 || !base_is_ascii(m->sender))
		(void)base_buf_append_text(out, " SMTPUTF8");
	if (ext & SMTP_EXT_DSN) {
		if (m->ret != SMTP_DSN_RET_NONE)
			(void)base_buf_append_text(
				out, m->ret == SMTP_DSN_RET_FULL ? " RET=FULL" : " RET=HDRS");
		if (m->envid.len) {
			(void)base_buf_append_text(out, " ENVID=");
			(void)base_buf_append_slice(out, m->envid);
		}
	}
	if (c->authenticated && (ext & SMTP_EXT_AUTH)) {
		(void)base_buf_append_text(out, " AUTH=");
		if (m->auth_identity && m->auth.len)
			(void)base_xtext_encode(m->auth, out);
		else
			(void)base_buf_append_text(out, "<>");
	}
	(void)base_buf_append_text(out, "\r\n");
	smtp_client_trace_sent(c, out, start, NULL);
	c->mails++;
	c->unclean = true;
}

static void write_notify(unsigned notify, struct base_buf *out)
{
	static const struct {
		unsigned flag;
		const char *word;
	} words[] = {
		{SMTP_DSN_NOTIFY_SUCCESS, "SUCCESS"},
		{SMTP_DSN_NOTIFY_FAILURE, "FAILURE"},
		{SMTP_DSN_NOTIFY_DELAY, "DELAY"},
	};
	const char *before = " NOTIFY=";
	size_t i;

	if (notify & SMTP_DSN_NOTIFY_NEVER) { /* never beside another word: RFC 3461 section 4.1 */
		(void)base_buf_append_text(out, " NOTIFY=NEVER");
		return;
	}
	for (i = 0; i < BASE_COUNT(words); i++) {
		if (!(notify & words[i].flag))
			continue;
		(void)base_buf_append_text(out, before);
		(void)base_buf_append_text(out, words[i].word);
		before = ",";
	}
}

static void write_rcpt(
	struct smtp_client *c, const struct smtp_client_rcpt *rcpt, struct base_buf *out)
{
	size_t start = out->len;

	(void)base_buf_append_text(out, "RCPT TO:<");
	(void)base_buf_append_slice(out, rcpt->address);
	(void)base_buf_append_byte(out, '>');
	if (c->offer.extensions & SMTP_EXT_DSN) {
		write_notify(rcpt->notify, out);
		if (rcpt->orcpt.len) {
			(void)base_buf_append_text(out, " ORCPT=");
			(void)base_buf_append_slice(out, rcpt->orcpt);
		}
	}
	(void)base_buf_append_text(out, "\r\n");
	smtp_client_trace_sent(c, out, start, NULL);
}

/* Write the next command of the order above, if there is one that does not depend on a reply. */
static bool write_next(struct smtp_client *c, struct base_buf *out)
{
	struct smtp_transaction *t = &c->txn;

	if (!t->rset_sent) {
		smtp_client_write_line(c, out, "RSET\r\n");
		t->rset_sent = true;
	} else if (!t->mail_sent) {
		write_mail(c, out);
		t->mail_sent = true;
	} else if ((t->written = skip_local(t, t->written)) < t->rcpt_count) {
		write_rcpt(c, &t->rcpts[t->written++], out);
	} else if (!t->bdat && !t->data_sent && (pipelines(c) || t->accepted)) {
		smtp_client_write_line(c, out, "DATA\r\n");
		t->data_sent = true;
	} else {
		return false;
	}
	t->in_flight++;
	return true;
}

static void write_all(struct smtp_client *c, struct base_buf *out)
{
	struct smtp_transaction *t = &c->txn;

	while (!t->over && base_buf_room(out) >= COMMAND_ROOM && (pipelines(c) || !t->in_flight))
		if (!write_next(c, out))
			break;
	if (t->bdat && !t->over && !t->body_open && !t->body_sent && t->mail_sent &&
		t->written == t->rcpt_count)
		t->body_open = true;
}

/* begin and end */

static void judge_rcpts(struct smtp_client *c)
{
	struct smtp_transaction *t = &c->txn;
	const char *enhanced;
	size_t i, sendable = 0;

	base_buf_clear(&t->states);
	for (i = 0; i < t->rcpt_count; i++) {
		enum smtp_rcpt_state s = SMTP_RCPT_OPEN;

		if (smtp_check_rcpt(&t->rcpts[i], t->mail.smtputf8, &enhanced))
			s = SMTP_RCPT_LOCAL;
		else if (c->offer.rcpt_max && sendable >= c->offer.rcpt_max)
			s = SMTP_RCPT_SURPLUS;
		else
			sendable++;
		(void)base_buf_append_byte(&t->states, (uint8_t)s);
	}
	if (!sendable)
		t->over = true;
}

void smtp_client_send_mail(struct smtp_client *c, const struct smtp_client_mail *mail,
	const struct smtp_client_rcpt *rcpts, size_t rcpt_count, struct base_buf *out)
{
	struct smtp_transaction *t = &c->txn;
	struct base_buf states = t->states;
	unsigned bdat = SMTP_EXT_CHUNKING | SMTP_EXT_PIPELINING;

	BASE_BUG_IF(c->phase != SMTP_CLIENT_PHASE_IDLE);
	*t = (struct smtp_transaction){.mail = *mail, .rcpts = rcpts, .rcpt_count = rcpt_count};
	t->states = states;
	t->rset_sent = t->rset_done = !c->unclean;
	t->bdat = !c->lmtp && (c->offer.extensions & bdat) == bdat && mail->size_bytes &&
		mail->size_bytes <= BDAT_MAX_BYTES;
	t->stuffer.dots = !t->bdat;
	c->due = SMTP_CLIENT_MORE;
	smtp_client_set_phase(c, SMTP_CLIENT_PHASE_MAIL);
	if (smtp_check_mail(c, mail)) {
		t->over = true;
		t->told = rcpt_count;
		c->due = SMTP_CLIENT_MAIL_REPLY;
		return;
	}
	judge_rcpts(c);
	write_all(c, out);
}

static enum smtp_client_event end_transaction(struct smtp_client *c)
{
	struct base_buf states = c->txn.states;

	c->txn = (struct smtp_transaction){.told = 0};
	base_buf_clear(&states);
	c->txn.states = states;
	base_buf_clear(&c->scratch);
	smtp_client_set_phase(c, SMTP_CLIENT_PHASE_IDLE);
	return SMTP_CLIENT_DONE;
}

/* events */

/* A recipient that we refused ourselves: its event. */
static bool tell_local(struct smtp_client *c)
{
	struct smtp_transaction *t = &c->txn;
	const char *enhanced, *text;

	for (; t->told < t->rcpt_count; t->told++) {
		enum smtp_rcpt_state s = state(t, t->told);

		if (s != SMTP_RCPT_LOCAL && s != SMTP_RCPT_SURPLUS)
			continue;
		c->rcpt_index = t->told;
		set_state(t, t->told, SMTP_RCPT_TOLD);
		if (s == SMTP_RCPT_SURPLUS) {
			smtp_client_local_reply(
				c, 452, "4.5.3", "the server takes no more recipients in one go");
			return true;
		}
		text = smtp_check_rcpt(&t->rcpts[t->told], t->mail.smtputf8, &enhanced);
		smtp_client_local_reply(c, 553, enhanced, text ? text : "");
		return true;
	}
	return false;
}

/* The next recipient for which a final reply counts. */
static bool next_final(struct smtp_transaction *t)
{
	while (t->final < t->rcpt_count && state(t, t->final) != SMTP_RCPT_ACCEPTED)
		t->final++;
	return t->final < t->rcpt_count;
}

static bool tell_final(struct smtp_client *c)
{
	struct smtp_transaction *t = &c->txn;

	if (!t->fan_out || !next_final(t))
		return false;
	c->rcpt_index = t->final;
	set_state(t, t->final, SMTP_RCPT_ANSWERED);
	return true;
}

enum smtp_client_event smtp_transaction_next(struct smtp_client *c, struct base_buf *out)
{
	struct smtp_transaction *t = &c->txn;

	if (tell_local(c))
		return SMTP_CLIENT_RCPT_REPLY;
	if (tell_final(c))
		return SMTP_CLIENT_MESSAGE_REPLY;
	write_all(c, out);
	if (t->over && t->doomed) {
		broken(c, "the server answered before the message was sent");
		return SMTP_CLIENT_FAILED;
	}
	if (t->over && !t->in_flight)
		return end_transaction(c);
	if (t->body_open && !t->over && base_buf_room(out) >= SMTP_CLIENT_OUT_ROOM_BYTES)
		return SMTP_CLIENT_BODY;
	return SMTP_CLIENT_MORE;
}

/* replies */

static void on_mail_reply(struct smtp_client *c)
{
	struct smtp_transaction *t = &c->txn;

	t->mail_done = true;
	t->mail_ok = c->reply.code < 300;
	if (!t->mail_ok) {
		t->over = true;
		t->body_open = false;
	}
	c->due = SMTP_CLIENT_MAIL_REPLY;
}

static void on_rcpt_reply(struct smtp_client *c)
{
	struct smtp_transaction *t = &c->txn;
	bool ok = c->reply.code < 300;

	c->rcpt_index = t->answered++;
	set_state(t, c->rcpt_index, ok ? SMTP_RCPT_ACCEPTED : SMTP_RCPT_REFUSED);
	if (!t->mail_ok)
		return; /* the refusal of MAIL was told for all */
	t->accepted += ok;
	c->due = SMTP_CLIENT_RCPT_REPLY;
	if (!t->accepted && t->written == t->rcpt_count &&
		skip_local(t, t->answered) == t->rcpt_count && !t->data_sent) {
		t->over = true;
		t->body_open = false;
	}
}

/* The message was answered as a whole. */
static void tell_message(struct smtp_client *c)
{
	struct smtp_transaction *t = &c->txn;

	t->over = true;
	t->body_open = false;
	if (!t->accepted)
		return;
	if (c->lmtp)
		t->fan_out = true;
	else
		c->due = SMTP_CLIENT_MESSAGE_REPLY;
}

static void on_data_reply(struct smtp_client *c, struct base_buf *out)
{
	struct smtp_transaction *t = &c->txn;

	t->data_done = true;
	if (c->reply.code >= 400) {
		tell_message(c);
	} else if (c->reply.code != 354) {
		broken(c, "the server's answer to DATA makes no sense");
	} else if (t->accepted) {
		t->body_open = true;
	} else if (c->lmtp) { /* no recipient, no reply: nobody would answer the dot */
		broken(c, "the server wants a message for nobody");
	} else {
		smtp_client_write_line(c, out, ".\r\n");
		t->body_sent = true;
		t->in_flight++;
	}
}

static void on_final_reply(struct smtp_client *c)
{
	struct smtp_transaction *t = &c->txn;

	if (!c->lmtp || !t->accepted) {
		tell_message(c);
		return;
	}
	if (next_final(t)) {
		c->rcpt_index = t->final;
		set_state(t, t->final, SMTP_RCPT_ANSWERED);
		c->due = SMTP_CLIENT_MESSAGE_REPLY;
	}
	if (next_final(t))
		t->in_flight++;
	else
		t->over = true;
}

/* Replies to chunks: the first refusal is the message's; the ones behind it say the same. */
static void on_chunk_reply(struct smtp_client *c)
{
	struct smtp_transaction *t = &c->txn;
	bool last;

	t->chunks--;
	last = t->body_sent && !t->chunks;
	if (t->over)
		return;
	if (c->reply.code >= 400 || last)
		tell_message(c);
}

/* A refusal in the middle of the body counts, but the stream is out of step from then on. */
static void on_unasked(struct smtp_client *c)
{
	struct smtp_transaction *t = &c->txn;

	if (!t->body_open || !t->data_done || c->reply.code < 400) {
		broken(c, "the server says something unasked");
		return;
	}
	t->doomed = true;
	tell_message(c);
}

/* All commands before DATA have their replies: "354" in place of one of those is no yes to it. */
static bool data_is_next(const struct smtp_transaction *t)
{
	return t->rset_done && t->mail_done && skip_local(t, t->answered) >= t->written &&
		t->data_sent && !t->data_done;
}

void smtp_transaction_reply(struct smtp_client *c, struct base_buf *out)
{
	struct smtp_transaction *t = &c->txn;
	uint16_t code = c->reply.code;

	if (!t->in_flight) {
		on_unasked(c);
		return;
	}
	if (code >= 300 && code < 400 && !(code == 354 && data_is_next(t))) {
		broken(c, "the server's answer makes no sense here");
		return;
	}
	t->in_flight--;
	if (!t->rset_done) {
		t->rset_done = true;
		if (code >= 400)
			broken(c, "the server refused RSET");
	} else if (!t->mail_done) {
		on_mail_reply(c);
	} else if ((t->answered = skip_local(t, t->answered)) < t->written) {
		on_rcpt_reply(c);
	} else if (t->data_sent && !t->data_done) {
		on_data_reply(c, out);
	} else if (t->chunks) {
		on_chunk_reply(c);
	} else {
		on_final_reply(c);
	}
}

enum smtp_client_stage smtp_transaction_stage(const struct smtp_transaction *t)
{
	if (t->body_open)
		return SMTP_STAGE_BODY;
	if (!t->mail_done)
		return SMTP_STAGE_MAIL;
	if (skip_local(t, t->answered) < t->written)
		return SMTP_STAGE_RCPT;
	if (t->body_sent)
		return SMTP_STAGE_FINAL;
	return SMTP_STAGE_DATA;
}
