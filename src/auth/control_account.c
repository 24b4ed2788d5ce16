/* account token | retry, and what account list and status tell of tokens. */
#include "auth/tokens.h"

#include "base/clock.h"
#include "base/time.h"
#include "loop/log.h"

#include <stdlib.h>

enum { ANSWER_MAX_BYTES = 64 * 1024 };

/* An account token that is being obtained. */
struct auth_token_ticket {
	struct auth_token_ticket *next;
	uint32_t number;
	struct control_reply *reply;
};

static struct auth_now now_of(void)
{
	return (struct auth_now){base_clock_monotonic_ms(), base_clock_wall_ms()};
}

static struct control_reply *take_ticket(struct auth_shell *s, uint32_t number)
{
	for (struct auth_token_ticket **at = &s->token_tickets; *at; at = &(*at)->next) {
		struct auth_token_ticket *t = *at;
		struct control_reply *reply = t->reply;

		if (t->number != number)
			continue;
		*at = t->next;
		free(t);
		return reply;
	}
	return NULL;
}

void auth_account_tickets_drop(struct auth_shell *s)
{
	struct base_error err;

	base_error_set(&err, BASE_ERROR_TEMPORARY, 0, "the server ends");
	while (s->token_tickets)
		control_end(take_ticket(s, s->token_tickets->number), &err);
}

/* By hand, because jansson's copies of a token would not be wiped. */
static void put_token(
	const struct auth_account *a, const struct auth_token_effect *e, struct base_buf *out)
{
	base_buf_append_text(out, "{\"user\":");
	log_json_string(base_slice_text(a->merged.user), out);
	base_buf_append_text(out, ",\"kind\":\"oauth\",\"token\":");
	log_json_string(e->secret, out);
	base_buf_append_text(out, ",\"until\":\"");
	(void)base_time_rfc3339(e->until_ms, false, out);
	base_buf_append_text(out, "\"}");
}

void auth_account_token_answer(struct auth_shell *s, const struct auth_token_effect *e)
{
	struct control_reply *reply = take_ticket(s, e->asker.id);
	struct base_error err = {0};
	struct auth_account a = {.name = ""};
	struct base_buf out;
	int rc;

	if (!reply)
		return;
	base_buf_init_secret(&out, ANSWER_MAX_BYTES);
	rc = e->class == 0 ? auth_account_find(s, base_slice_text(e->name), &a, &err)
			   : base_error_set(&err, (enum base_error_class)e->class, 0,
				     "account \"%s\": %s", e->name, e->reason);
	if (rc == 0) {
		put_token(&a, e, &out);
		control_json(reply, base_buf_slice(&out));
	}
	control_end(reply, rc == 0 ? NULL : &err);
	base_buf_release(&out);
}

static const char *kind_of(enum sasl_credential credential)
{
	switch (credential) {
	case SASL_CREDENTIAL_PASSWORD:
		return "a password";
	case SASL_CREDENTIAL_CERTIFICATE:
		return "a client certificate";
	case SASL_CREDENTIAL_TICKET:
		return "a Kerberos ticket";
	case SASL_CREDENTIAL_TOKEN:
	case SASL_CREDENTIAL_COUNT:
		break;
	}
	return "a token";
}

void auth_account_token(
	struct auth_shell *s, const struct control_request *req, struct control_reply *reply)
{
	struct auth_asker asker = {.relay = AUTH_ASKER_COMMAND};
	struct auth_token_ticket *t;
	struct auth_account a = {.name = ""};
	struct base_error err;
	bool refused = req->word_count == 4 && control_word_is(req, 3, "refused");
	int rc;

	if (req->word_count == 3 || refused)
		rc = auth_account_find(s, req->words[2], &a, &err);
	else
		rc = base_error_set(&err, BASE_ERROR_PERMANENT, 0,
			"which account? write account token NAME [refused]");
	if (rc == 0 && a.merged.credential != SASL_CREDENTIAL_TOKEN)
		rc = base_error_set(&err, BASE_ERROR_PERMANENT, 0,
			"account \"%s\" logs in with %s, not with a token", a.name,
			kind_of(a.merged.credential));
	if (rc != 0) {
		control_end(reply, &err);
		return;
	}
	t = base_alloc_zero(1, sizeof(*t));
	*t = (struct auth_token_ticket){
		.next = s->token_tickets, .number = ++s->next_ticket, .reply = reply};
	s->token_tickets = t;
	asker.id = t->number;
	auth_tokens_want(s, &a, asker, refused);
}

void auth_account_retry(
	struct auth_shell *s, const struct control_request *req, struct control_reply *reply)
{
	struct base_error err;
	struct auth_account a = {.name = ""};

	if (req->word_count > 2 && auth_account_find(s, req->words[2], &a, &err) != 0) {
		control_end(reply, &err);
		return;
	}
	if (auth_tokens_retry(s, req->word_count > 2 ? a.name : NULL))
		control_json(reply, BASE_SLICE("{\"done\":\"tried again\"}"));
	else
		control_json(reply, BASE_SLICE("{\"done\":\"no token was refused\"}"));
	control_end(reply, NULL);
}

static json_t *time_json(int64_t unix_ms)
{
	struct base_buf text;
	json_t *json;

	if (!unix_ms)
		return json_null();
	base_buf_init(&text, 64);
	(void)base_time_rfc3339(unix_ms, false, &text);
	json = json_stringn((const char *)text.ptr, text.len);
	base_buf_release(&text);
	return json;
}

static const char *shown_state(const struct auth_token_view *view)
{
	switch (view->state) {
	case AUTH_TOKEN_OBTAINING:
		return "renewing";
	case AUTH_TOKEN_REFUSED:
		return "refused";
	case AUTH_TOKEN_VALID:
	case AUTH_TOKEN_LATER:
	case AUTH_TOKEN_NONE:
	case AUTH_TOKEN_STATE_COUNT:
		break;
	}
	return view->usable ? "valid" : "none";
}

static json_t *view_json(const struct auth_token_view *view)
{
	return json_pack("{s:s, s:o, s:o, s:s}", "state", shown_state(view), "until",
		time_json(view->until_ms), "next", time_json(view->next_ms), "reason",
		view->reason);
}

json_t *auth_account_token_json(const char *name, void *shell)
{
	struct auth_shell *s = shell;
	struct auth_token_view view;

	return auth_accounts_view(s->accounts, name, now_of(), &view) ? view_json(&view) : NULL;
}

struct totals {
	json_t *troubles;
	json_int_t valid, refused;
};

static void count_one(const struct auth_token_view *view, void *arg)
{
	struct totals *totals = arg;
	json_t *one;

	totals->valid += view->usable;
	totals->refused += view->state == AUTH_TOKEN_REFUSED;
	if (!view->reason[0])
		return;
	one = view_json(view);
	json_object_del(one, "until");
	json_object_set_new(one, "name", json_string(view->name));
	json_array_append_new(totals->troubles, one);
}

void auth_account_status(struct auth_shell *s, json_t *out)
{
	struct totals totals = {.troubles = json_array()};

	auth_accounts_each(s->accounts, now_of(), count_one, &totals);
	json_object_set_new(out, "tokens_valid", json_integer(totals.valid));
	json_object_set_new(out, "tokens_refused", json_integer(totals.refused));
	json_object_set_new(out, "accounts", totals.troubles);
}
