/* front/record.c: the log records of a session */
#include "front/front.h"

#include <stdio.h>

static void put_common(struct log_record *r, struct front_conn *c)
{
	log_put_id(r, LOG_KEY_SESSION, &c->session.id);
	log_put_text(r, LOG_KEY_LISTENER, c->listener->title);
	log_put_addr(r, LOG_KEY_CLIENT, &c->session.client);
	if (c->session.user)
		log_put_text(r, LOG_KEY_USER, c->session.user);
	else if (c->session.admission.may_relay)
		log_put_text(r, LOG_KEY_EXPLAIN, "may relay: its address is in relay_ctrl");
}

void front_record_session(struct front_conn *c)
{
	struct front_session *s = &c->session;
	const struct smtp_server_counts *counts;
	struct log_record r;

	/* A handshake that failed never had a session. */
	if (!s->id.text[0]) {
		log_begin(&r, LOG_LEVEL_INFO, LOG_KIND_SESSION);
		log_put_text(&r, LOG_KEY_LISTENER, c->listener->title);
		log_put_addr(&r, LOG_KEY_CLIENT, &s->client);
		if (c->tls && s->end) {
			struct base_error err = {0};

			tls_error(c->tls, &err);
			log_put_text(&r, LOG_KEY_REASON, err.text);
		}
		log_put_text(&r, LOG_KEY_END, s->end);
		log_commit(&r);
		return;
	}
	counts = smtp_server_counts(&s->smtp);
	log_begin(&r, LOG_LEVEL_INFO, LOG_KIND_SESSION);
	put_common(&r, c);
	if (s->mechanism && (s->user || s->login_end))
		log_put_text(&r, LOG_KEY_MECH, s->mechanism);
	if (s->tls_version)
		log_put_text(&r, LOG_KEY_TLS, s->tls_version);
	log_put_ratio(&r, LOG_KEY_MAIL, s->messages, s->messages_total);
	log_put_ratio(&r, LOG_KEY_RCPT, counts->rcpt_ok, counts->rcpt);
	log_put_ratio(
		&r, LOG_KEY_COMMANDS, counts->commands - counts->bad_commands, counts->commands);
	if (c->refusal)
		log_put_text(&r, LOG_KEY_REASON, c->refusal);
	else if (s->login_end)
		log_put_text(&r, LOG_KEY_REASON, s->login_end);
	else if (s->admission.listed && !s->user)
		log_put_text(&r, LOG_KEY_REASON, s->admission.listed);
	log_put_text(&r, LOG_KEY_END, s->end);
	log_commit(&r);
}

void front_record_message(struct front_conn *c, unsigned class)
{
	struct front_work *w = c->work;
	struct log_record r;

	log_begin(&r, class ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, LOG_KIND_MESSAGE);
	log_put_id(&r, LOG_KEY_MESSAGE, &w->message_id);
	put_common(&r, c);
	if (c->session.tls_version)
		log_put_text(&r, LOG_KEY_TLS, c->session.tls_version);
	log_put(&r, LOG_KEY_SENDER, base_buf_slice(&w->sender));
	log_put_u64(&r, LOG_KEY_RCPT, w->rcpt_count);
	log_put_u64(&r, LOG_KEY_SIZE, w->message_size);
	log_put_text(&r, LOG_KEY_RESULT, class ? "not stored" : "accepted");
	if (class)
		log_put_text(&r, LOG_KEY_REASON,
			class == (unsigned)-BASE_ERROR_NO_SPACE ? "no disk space"
								: "the queue could not store it");
	log_commit(&r);
}

/* One record a line, so that the journal can mark the direction. */
void front_record_dialogue(struct front_conn *c)
{
	struct base_slice rest = base_buf_slice(&c->work->dialogue), line;

	while (base_slice_split(&rest, '\n', &line)) {
		struct log_record r;

		if (line.len < 3)
			continue;
		log_begin(&r, LOG_LEVEL_INFO, LOG_KIND_DIALOGUE);
		log_put_id(&r, LOG_KEY_SESSION, &c->session.id);
		log_put(&r, LOG_KEY_DIRECTION, base_slice_first(line, 1));
		if (c->work->mechanism)
			log_put_text(&r, LOG_KEY_MECH, c->work->mechanism);
		log_put(&r, LOG_KEY_LINE, base_slice_from(line, 3));
		log_commit(&r);
	}
	base_buf_clear(&c->work->dialogue);
}
