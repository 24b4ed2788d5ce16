/* Everything that comes from a provider or a browser: token and device answers, redirects; and the bytes
 * that the vault keeps of tokens. First byte: which; second: the status. */
#include "vault/oauth.h"

#include <stdlib.h>
#include <string.h>

#define NOW_MS 1700000000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_visible(struct base_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		BASE_BUG_IF(s.ptr[i] < 0x21 || s.ptr[i] > 0x7e);
}

static void check_words(const char *text)
{
	for (; *text; text++)
		BASE_BUG_IF(*text < ' ' || *text > '~');
}

static void check_life(const struct vault_oauth_tokens *t)
{
	check_visible(base_secret_slice(&t->access));
	check_visible(base_secret_slice(&t->refresh));
	BASE_BUG_IF(vault_oauth_renew_at(t, 7) < t->obtained_ms);
	(void)vault_oauth_is_usable(t, NOW_MS);
}

static void token(unsigned status, struct base_slice body)
{
	char reason[VAULT_OAUTH_REASON_MAX_BYTES];
	struct vault_oauth_tokens t;
	enum vault_oauth_result result;

	memset(reason, 0x7f, sizeof(reason));
	vault_oauth_tokens_init(&t);
	result = vault_oauth_answer(status, body, NOW_MS, &t, reason);
	BASE_BUG_IF(!memchr(reason, '\0', sizeof(reason)));
	check_words(reason);
	if (result == VAULT_OAUTH_OBTAINED) {
		BASE_BUG_IF(!t.access.len || t.until_ms < NOW_MS + 1000 ||
			t.until_ms > NOW_MS + 366ll * 86400 * 1000);
		check_life(&t);
	} else {
		BASE_BUG_IF(t.access.len || t.refresh.len || t.until_ms || !reason[0]);
		BASE_BUG_IF(vault_oauth_retry_ms(result, status, status) <= 0);
	}
	vault_oauth_tokens_release(&t);
}

static void device(unsigned status, struct base_slice body)
{
	struct vault_oauth_device d;
	struct base_error err = {0};

	vault_oauth_device_init(&d);
	if (vault_oauth_device_answer(status, body, &d, &err) == 0) {
		check_visible(base_secret_slice(&d.code));
		check_words(d.user_code);
		check_words(d.uri);
		check_words(d.complete_uri);
		BASE_BUG_IF(!d.code.len || !d.user_code[0] || !d.interval_s || !d.expires_s);
	} else {
		check_words(err.text);
	}
	vault_oauth_device_release(&d);
}

static void redirect(struct base_slice query)
{
	static const uint8_t random[2 * VAULT_OAUTH_RANDOM_BYTES];
	static struct vault_oauth_profile *p;
	struct base_error err = {0};
	struct base_buf out;

	if (!p)
		BASE_BUG_IF(vault_oauth_profile_parse(&p,
				    BASE_SLICE("{\"profile\":\"google\",\"client_id\":\"c\"}"), "p",
				    NULL, NULL, NULL, &err) != 0);
	base_buf_init_secret(&out, VAULT_OAUTH_FORM_MAX_BYTES);
	if (vault_oauth_code_form(p, query, "http://127.0.0.1:1/", random, NOW_MS, &out, &err) == 0)
		check_visible(base_buf_slice(&out));
	else
		check_words(err.text);
	base_buf_release(&out);
}

static void kept(struct base_slice bytes)
{
	struct vault_oauth_tokens t;
	struct base_buf again;

	vault_oauth_tokens_init(&t);
	if (vault_oauth_tokens_read(bytes, &t)) {
		check_life(&t);
		base_buf_init_secret(&again, VAULT_OAUTH_STATE_MAX_BYTES);
		vault_oauth_tokens_write(&t, &again);
		BASE_BUG_IF(!base_slice_equal(base_buf_slice(&again), bytes));
		base_buf_release(&again);
	}
	vault_oauth_tokens_release(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned statuses[] = {200, 400, 401, 429, 500, 503, 302, 0};
	struct base_slice body;
	unsigned status;

	if (size < 2)
		return 0;
	status = statuses[data[1] % BASE_COUNT(statuses)];
	body = base_slice_make(data + 2, size - 2);
	switch (data[0] % 4) {
	case 0:
		token(status, body);
		break;
	case 1:
		device(status, body);
		break;
	case 2:
		redirect(body);
		break;
	default:
		kept(body);
	}
	return 0;
}
