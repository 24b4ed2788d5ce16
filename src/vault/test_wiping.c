/* Secrets that were given up are not in the heap any more: all of it is searched after the whole life of an
 * account's secrets. Not with a sanitizer, which keeps the heap elsewhere. */
#include "vault/test_support.h"

#include "vault/admin.h"
#include "vault/oauth.h"
#include "vault/test_keys.h"

#include <fcntl.h>

#define NEEDLE_BYTES 48
#define SKIPPED_BYTES 16 /* of a freed block: malloc() writes there */

/* Never in the binary or in a literal as it is searched for. */
static void needle(char kind, char out[NEEDLE_BYTES + 1])
{
	for (int i = 0; i < NEEDLE_BYTES; i++)
		out[i] = (char)('a' + (i * 7 + i * i + kind) % 26);
	out[NEEDLE_BYTES] = '\0';
}

static bool heap(uintptr_t *start, uintptr_t *end)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	bool found = false;

	while (maps && !found && fgets(line, sizeof(line), maps))
		found = strstr(line, "[heap]") != NULL;
	if (maps)
		fclose(maps);
	if (found) {
		char *dash = NULL;

		*start = strtoul(line, &dash, 16);
		*end = strtoul(dash + 1, NULL, 16);
	}
	return found;
}

/* How often the end of it is there. */
static unsigned count(char kind)
{
	char text[NEEDLE_BYTES + 1];
	uintptr_t start = 0, end = 0;
	unsigned found = 0;

	if (!heap(&start, &end))
		return 0;
	needle(kind, text);
	for (const char *at = (const char *)start; (uintptr_t)at + NEEDLE_BYTES <= end; at++)
		if (memcmp(at, text + SKIPPED_BYTES, NEEDLE_BYTES - SKIPPED_BYTES) == 0)
			found++;
	return found;
}

static char *around(const char *before, char kind, const char *after)
{
	char text[NEEDLE_BYTES + 1], *out = base_alloc_zero(1, 4096);

	needle(kind, text);
	snprintf(out, 4096, "%s%s%s", before, text, after);
	base_wipe(text, sizeof(text));
	return out;
}

static void wipe(char *text)
{
	base_wipe(text, 4096);
	free(text);
}

static bool can_search(void)
{
	char *text = around("padding before what is searched: ", 'z', "");
	bool found;

	free(text);
	found = count('z') > 0;
	text = base_alloc_zero(1, 4096); /* the same block: clean again */
	free(text);
	return found;
}

enum { CLIENT_SECRET = 'A', REFRESH, ACCESS, ROTATED, DEVICE, CODE, PASSWORD, KINDS_END };

static void parse_and_ask(struct vault_oauth_profile **p)
{
	static const uint8_t random[2 * VAULT_OAUTH_RANDOM_BYTES];
	char *json = around("{\"token_endpoint\":\"https://a/t\",\"client_id\":\"c\","
			    "\"authorization_endpoint\":\"https://a/\",\"client_secret\":\"",
		CLIENT_SECRET, "\",\"refresh_token\":\"");
	char *refresh = around("", REFRESH, "\"}"),
	     *query = around("code=", CODE, "&state=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
	struct base_error err = {0};
	struct base_buf out;

	strcat(json, refresh);
	assert_int_equal(
		vault_oauth_profile_parse(p, base_slice_text(json), "x", NULL, NULL, NULL, &err),
		0);
	base_buf_init_secret(&out, VAULT_OAUTH_FORM_MAX_BYTES);
	assert_int_equal(
		vault_oauth_renew_form(*p, NULL, BASE_SLICE("u"), 1, random, &out, &err), 0);
	base_buf_clear(&out);
	assert_int_equal(vault_oauth_code_form(*p, base_slice_text(query), "http://127.0.0.1:1/",
				 random, 1, &out, &err),
		0);
	base_buf_release(&out);
	wipe(json);
	wipe(refresh);
	wipe(query);
}

static void answers(struct vault_oauth_tokens *t)
{
	char reason[VAULT_OAUTH_REASON_MAX_BYTES];
	char *token = around("{\"token_type\":\"Bearer\",\"access_token\":\"", ACCESS, "\""),
	     *rotated = around(",\"refresh_token\":\"", ROTATED, "\"}"),
	     *device = around("{\"device_code\":\"", DEVICE,
		     "\",\"user_code\":\"u\",\"verification_uri\":\"https://a/\"}");
	struct vault_oauth_device d;
	struct base_error err;

	strcat(token, rotated);
	assert_int_equal(vault_oauth_answer(200, base_slice_text(token), 1, t, reason),
		VAULT_OAUTH_OBTAINED);
	/* One that cannot be read to its end. */
	token[strlen(token) - 1] = '\0';
	assert_int_equal(
		vault_oauth_answer(200, base_slice_text(token), 1, t, reason), VAULT_OAUTH_LATER);
	vault_oauth_device_init(&d);
	assert_int_equal(vault_oauth_device_answer(200, base_slice_text(device), &d, &err), 0);
	vault_oauth_device_release(&d);
	wipe(token);
	wipe(rotated);
	wipe(device);
}

static void put_and_get(struct support_vault *v, const char *words, struct base_slice profile,
	struct base_slice token)
{
	struct base_slice word[8], rest = base_slice_text(words);
	struct vault_admin_request req = {word, 0, BASE_SLICE_EMPTY};
	struct vault_admin_env env = {.store = v->store, .now_ms = 1};
	struct base_error err = {0};
	struct base_buf secret, answer, part;

	while (base_slice_split(&rest, ' ', &word[req.word_count]))
		req.word_count++;
	base_buf_init_secret(&secret, 1 << 17);
	base_buf_init(&answer, 4096);
	assert_true(vault_admin_account_secret_put(&secret, VAULT_ACCOUNT_SECRET, profile));
	if (token.len)
		assert_true(vault_admin_account_secret_put(&secret, VAULT_ACCOUNT_TOKEN, token));
	req.secret = base_buf_slice(&secret);
	if (vault_admin_run(&env, &req, &answer, &err) != 0)
		fail_msg("%s", err.text);
	base_buf_init_secret(&part, VAULT_ACCOUNT_PART_MAX_BYTES);
	assert_int_equal(
		vault_store_account_part_get(v->store, word[2], VAULT_ACCOUNT_SECRET, &part, &err),
		0);
	assert_int_equal(part.len, profile.len);
	base_buf_release(&part);
	base_buf_release(&secret);
	base_buf_release(&answer);
}

static void keep(struct support_vault *v, const struct vault_oauth_profile *p,
	const struct vault_oauth_tokens *t)
{
	char *password = around("", PASSWORD, "");
	struct base_buf profile, token;

	base_buf_init_secret(&profile, VAULT_OAUTH_PROFILE_MAX_BYTES);
	base_buf_init_secret(&token, VAULT_OAUTH_STATE_MAX_BYTES);
	vault_oauth_profile_write(p, &profile);
	vault_oauth_tokens_write(t, &token);
	put_and_get(v, "account add o url=smtp://a user=u kind=oauth", base_buf_slice(&profile),
		base_buf_slice(&token));
	put_and_get(v, "account add p url=smtp://a user=u", base_slice_text(password),
		BASE_SLICE_EMPTY);
	base_buf_release(&profile);
	base_buf_release(&token);
	wipe(password);
}

static void nothing_is_left_in_the_heap(void **state)
{
	struct support_vault *v = *state;
	struct vault_oauth_profile *p = NULL;
	struct vault_oauth_tokens t;

	if (!can_search()) {
		print_message("skipped: a sanitizer's heap cannot be searched\n");
		skip();
	}
	vault_oauth_tokens_init(&t);
	/* Sooner or later other things stand where a secret was left: look at once. */
	parse_and_ask(&p);
	assert_int_equal(count(CODE), 0);
	answers(&t);
	assert_int_equal(count(DEVICE), 0);
	keep(v, p, &t);
	assert_true(count(CLIENT_SECRET) >= 1); /* in the profile, so the search sees it */
	assert_true(count(ACCESS) >= 1);
	vault_oauth_profile_free(&p);
	vault_oauth_tokens_release(&t);
	for (char kind = CLIENT_SECRET; kind < KINDS_END; kind++)
		if (count(kind) != 0)
			fail_msg("secret %c is left %u times", kind, count(kind));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			nothing_is_left_in_the_heap, support_set_up, support_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
