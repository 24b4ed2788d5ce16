/* The device grant (RFC 8628): a code that a person types into a browser anywhere.
 *
 *   device endpoint -> address and code shown -> wait, ask, wait, ask … until the token endpoint says
 *   yes or no, or the code expires. slow_down: 5 s more between questions; nobody answered: twice as long. */
#include "cli/account.h"

#include "base/clock.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SLOWER_S = 5, SLOWEST_S = 60 };

static void show_text(FILE *out, const char *before, const char *text)
{
	struct base_buf safe;

	base_buf_init(&safe, 8192);
	cli_text_safe(base_slice_text(text), &safe);
	fprintf(out, "%s%.*s", before, BASE_SLICE_ARGS(base_buf_slice(&safe)));
	base_buf_release(&safe);
}

static void show(const struct account_login *l, const struct vault_oauth_device *d)
{
	show_text(l->out, "Open  ", d->uri);
	show_text(l->out, "  and enter  ", d->user_code);
	if (d->complete_uri[0])
		show_text(l->out, "\n(or   ", d->complete_uri);
	fprintf(l->out, "%s\n", d->complete_uri[0] ? "  which has the code in it)" : "");
	fflush(l->out);
}

/* A line that is written over each second, where somebody looks. */
static void show_left(int64_t left_ms)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\rWaiting for the login, %d:%02d left \033[K",
			(int)(left_ms / 60000), (int)(left_ms / 1000 % 60));
}

static void show_end(void)
{
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

static void wait_until(int64_t at_ms, int64_t deadline_ms)
{
	int64_t now;

	while ((now = base_clock_monotonic_ms()) < at_ms) {
		int64_t ms = at_ms - now < 1000 ? at_ms - now : 1000;
		struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

		show_left(deadline_ms - now);
		nanosleep(&t, NULL);
	}
}

static int ask_for_code(struct account_login *l, struct vault_oauth_device *d)
{
	const char *endpoint = vault_oauth_device_endpoint(l->profile);
	struct base_buf form, body;
	struct base_error *err = &l->account->err;
	uint8_t random[VAULT_OAUTH_RANDOM_BYTES];
	unsigned http;
	int rc;

	if (!endpoint)
		return cli_fail(l->account->cli, CLI_FAILED,
			"--oauth: the grant device_code needs a device_authorization_endpoint in "
			"FILE");
	base_buf_init_secret(&form, VAULT_OAUTH_FORM_MAX_BYTES);
	base_buf_init_secret(&body, IPC_FETCH_BODY_MAX_BYTES);
	base_random_fill(random, sizeof(random));
	rc = vault_oauth_device_form(l->profile, base_clock_wall_ms(), random, &form, err);
	base_wipe(random, sizeof(random));
	if (rc == 0)
		rc = account_login_post(l, endpoint, &form, &http, &body);
	if (rc == 0)
		rc = vault_oauth_device_answer(http, base_buf_slice(&body), d, err);
	base_buf_release(&form);
	base_buf_release(&body);
	return rc == 0 ? CLI_OK : cli_fail_error(l->account->cli, err);
}

static int poll_once(struct account_login *l, const struct vault_oauth_device *d,
	enum vault_oauth_result *out_result, struct vault_oauth_tokens *t,
	char reason[VAULT_OAUTH_REASON_MAX_BYTES])
{
	uint8_t random[VAULT_OAUTH_RANDOM_BYTES];
	struct base_buf form;
	int rc;

	base_random_fill(random, sizeof(random));
	base_buf_init_secret(&form, VAULT_OAUTH_FORM_MAX_BYTES);
	rc = vault_oauth_device_poll_form(
		l->profile, d, base_clock_wall_ms(), random, &form, &l->account->err);
	if (rc == 0)
		rc = account_login_ask(l, &form, out_result, t, reason);
	base_buf_release(&form);
	base_wipe(random, sizeof(random));
	if (rc != BASE_ERROR_TEMPORARY)
		return rc;
	*out_result = VAULT_OAUTH_LATER;
	snprintf(reason, VAULT_OAUTH_REASON_MAX_BYTES, "%.*s", VAULT_OAUTH_REASON_MAX_BYTES - 1,
		l->account->err.text);
	return 0;
}

static int64_t slower(enum vault_oauth_result result, int64_t interval_s)
{
	if (result == VAULT_OAUTH_SLOW_DOWN)
		return interval_s + SLOWER_S;
	if (result != VAULT_OAUTH_LATER)
		return interval_s;
	interval_s *= 2;
	return interval_s < SLOWEST_S ? interval_s : SLOWEST_S;
}

/* A person who waits is told of what keeps coming in the way, once for each reason. */
static void warn_once(
	const struct account_login *l, const char *reason, char told[VAULT_OAUTH_REASON_MAX_BYTES])
{
	if (strcmp(reason, told) == 0)
		return;
	show_end();
	account_warn("%s: %s; asking again until the code expires", l->account->name, reason);
	memcpy(told, reason, VAULT_OAUTH_REASON_MAX_BYTES);
}

static int poll_for_token(
	struct account_login *l, const struct vault_oauth_device *d, struct vault_oauth_tokens *t)
{
	int64_t now = base_clock_monotonic_ms(), deadline = now + (int64_t)d->expires_s * 1000;
	int64_t interval_s = d->interval_s ? d->interval_s : 1;
	char reason[VAULT_OAUTH_REASON_MAX_BYTES] = "", told[VAULT_OAUTH_REASON_MAX_BYTES] = "";
	enum vault_oauth_result result = VAULT_OAUTH_PENDING;

	while (now + interval_s * 1000 < deadline) {
		wait_until(now + interval_s * 1000, deadline);
		if (poll_once(l, d, &result, t, reason) != 0) {
			show_end();
			return cli_fail_error(l->account->cli, &l->account->err);
		}
		if (result == VAULT_OAUTH_OBTAINED || result == VAULT_OAUTH_REFUSED)
			break;
		if (result == VAULT_OAUTH_LATER)
			warn_once(l, reason, told);
		interval_s = slower(result, interval_s);
		now = base_clock_monotonic_ms();
	}
	show_end();
	if (result == VAULT_OAUTH_OBTAINED)
		return CLI_OK;
	if (result == VAULT_OAUTH_REFUSED)
		return account_login_refused(l, reason);
	return cli_fail(l->account->cli, CLI_FAILED,
		"%s: nobody entered the code in time%s%s; run the command again for a new one",
		l->account->name, result == VAULT_OAUTH_LATER ? ": " : "",
		result == VAULT_OAUTH_LATER ? reason : "");
}

int account_login_device(struct account_login *l, struct vault_oauth_tokens *t)
{
	struct vault_oauth_device device;
	int status;

	vault_oauth_device_init(&device);
	status = ask_for_code(l, &device);
	if (status == CLI_OK) {
		show(l, &device);
		status = poll_for_token(l, &device, t);
	}
	vault_oauth_device_release(&device);
	return status;
}
