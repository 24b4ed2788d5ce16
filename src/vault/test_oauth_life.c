/* When tokens are renewed and given; clocks that jump; what is kept; what is wiped. */
#include "vault/test_oauth.h"

#include "vault/oauth_internal.h"

#include <malloc.h>

#define S 1000
#define MIN (60 * S)
#define NOW 1700000000000

static struct vault_oauth_tokens t;

static const uint64_t randoms[] = {
	0, 1, 2, 12345, UINT32_MAX, UINT64_MAX / 2, UINT64_MAX - 1, UINT64_MAX};

static void life(int64_t obtained, int64_t until)
{
	assert_true(base_secret_set(&t.access, BASE_SLICE("a")));
	t.obtained_ms = obtained;
	t.until_ms = until;
}

static void renewed_ahead_of_the_end(void **state)
{
	static const struct {
		int64_t life_s, ahead_s;
	} rows[] = {{3600, 600}, {86400, 600}, {365 * 86400, 600}, {1500, 300}, {300, 60},
		{150, 30}, {100, 30}, {60, 30}, {40, 20}, {20, 10}};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		int64_t ahead = rows[i].ahead_s * S, until = NOW + rows[i].life_s * S;

		life(NOW, until);
		assert_int_equal(vault_oauth_renew_at(&t, 0), until - ahead);
		for (size_t k = 0; k < BASE_COUNT(randoms); k++) {
			int64_t at = vault_oauth_renew_at(&t, randoms[k]);

			assert_true(at >= until - ahead);
			assert_true(at <= until - ahead / 2);
		}
	}
	/* All of the span is used. */
	life(NOW, NOW + 3600 * S);
	assert_int_equal(vault_oauth_renew_at(&t, 300 * S), NOW + 3600 * S - 300 * S);
}

static void a_short_life_floods_nobody(void **state)
{
	for (int64_t ms = 1; ms < 20 * S; ms += 37)
		for (size_t k = 0; k < BASE_COUNT(randoms); k++) {
			life(NOW, NOW + ms);
			assert_true(vault_oauth_renew_at(&t, randoms[k]) >= NOW + 10 * S);
		}
}

static void extreme_times(void **state)
{
	static const int64_t times[] = {INT64_MIN, INT64_MIN + 1, INT64_MIN / 2, -1, 0, 1, 59 * S,
		NOW, INT64_MAX / 2, INT64_MAX - 1, INT64_MAX};

	for (size_t a = 0; a < BASE_COUNT(times); a++)
		for (size_t b = 0; b < BASE_COUNT(times); b++)
			for (size_t k = 0; k < BASE_COUNT(randoms); k++) {
				int64_t at;

				life(times[a], times[b]);
				at = vault_oauth_renew_at(&t, randoms[k]);
				assert_true(at >= times[a]);
				for (size_t n = 0; n < BASE_COUNT(times); n++)
					if (vault_oauth_is_usable(&t, times[n])) {
						assert_true(times[n] < times[b]);
						assert_true(times[n] >= times[a] ||
							times[a] - times[n] <= MIN);
					}
			}
}

static void given_while_it_lasts_a_minute(void **state)
{
	life(NOW, NOW + 3600 * S);
	assert_true(vault_oauth_is_usable(&t, NOW));
	assert_true(vault_oauth_is_usable(&t, NOW + 3539 * S));
	assert_false(vault_oauth_is_usable(&t, NOW + 3540 * S));
	assert_false(vault_oauth_is_usable(&t, NOW + 3600 * S));
	assert_false(vault_oauth_is_usable(&t, NOW + 999999 * S));
	/* One that lives for a minute can be used at all. */
	life(NOW, NOW + MIN);
	assert_true(vault_oauth_is_usable(&t, NOW + 29 * S));
	assert_false(vault_oauth_is_usable(&t, NOW + 30 * S));
	base_secret_clear(&t.access);
	assert_false(vault_oauth_is_usable(&t, NOW));
}

static void clocks_jump(void **state)
{
	life(NOW, NOW + 3600 * S);
	assert_true(vault_oauth_is_usable(&t, NOW - MIN));
	assert_false(vault_oauth_is_usable(&t, NOW - MIN - 1));
	assert_false(vault_oauth_is_usable(&t, NOW - 86400ll * S));
	assert_false(vault_oauth_is_usable(&t, 0));
	assert_false(vault_oauth_is_usable(&t, NOW + 10 * 365 * 86400ll * S));
	/* Made by nonsense: renewed at once. */
	life(NOW, NOW - 1);
	assert_int_equal(vault_oauth_renew_at(&t, 5), NOW);
	assert_false(vault_oauth_is_usable(&t, NOW - 2));
}

static void retries(void **state)
{
	static const int64_t refused[] = {60, 120, 240, 480, 960, 1920, 3600, 3600};
	static const int64_t later[] = {5, 10, 20, 40, 80, 160, 300, 300};

	for (uint32_t i = 0; i < BASE_COUNT(refused); i++) {
		assert_int_equal(
			vault_oauth_retry_ms(VAULT_OAUTH_REFUSED, i + 1, 0), refused[i] * S);
		assert_int_equal(vault_oauth_retry_ms(VAULT_OAUTH_LATER, i + 1, 0), later[i] * S);
		for (size_t k = 0; k < BASE_COUNT(randoms); k++) {
			int64_t ms = vault_oauth_retry_ms(VAULT_OAUTH_LATER, i + 1, randoms[k]);

			assert_true(ms <= later[i] * S && ms >= later[i] * S * 3 / 4);
		}
	}
	assert_int_equal(vault_oauth_retry_ms(VAULT_OAUTH_REFUSED, 0, 0), 60 * S);
	assert_int_equal(vault_oauth_retry_ms(VAULT_OAUTH_REFUSED, UINT32_MAX, 0), 3600 * S);
	assert_int_equal(vault_oauth_retry_ms(VAULT_OAUTH_LATER, UINT32_MAX, 0), 300 * S);
}

static void kept_and_read_again(void **state)
{
	struct vault_oauth_tokens u;
	struct base_buf bytes;
	uint8_t longest[VAULT_OAUTH_TOKEN_MAX_BYTES];

	memset(longest, 'x', sizeof(longest));
	vault_oauth_tokens_init(&u);
	base_buf_init_secret(&bytes, VAULT_OAUTH_STATE_MAX_BYTES);
	for (int i = 0; i < 3; i++) {
		assert_true(base_secret_set(
			&t.access, base_slice_make(longest, i ? sizeof(longest) : 0)));
		assert_true(base_secret_set(
			&t.refresh, base_slice_make(longest, i == 2 ? sizeof(longest) : 0)));
		t.obtained_ms = -1;
		t.until_ms = INT64_MAX;
		base_buf_clear(&bytes);
		vault_oauth_tokens_write(&t, &bytes);
		assert_true(base_buf_ok(&bytes));
		assert_true(vault_oauth_tokens_read(base_buf_slice(&bytes), &u));
		assert_true(base_equal_constant_time(
			base_secret_slice(&t.access), base_secret_slice(&u.access)));
		assert_true(base_equal_constant_time(
			base_secret_slice(&t.refresh), base_secret_slice(&u.refresh)));
		assert_int_equal(u.obtained_ms, -1);
		assert_int_equal(u.until_ms, INT64_MAX);
	}
	/* Cut anywhere, longer, of another format, with what no token holds. */
	for (size_t len = 0; len < bytes.len; len++)
		assert_false(
			vault_oauth_tokens_read(base_slice_first(base_buf_slice(&bytes), len), &u));
	bytes.max++;
	base_buf_append_byte(&bytes, 'x');
	assert_false(vault_oauth_tokens_read(base_buf_slice(&bytes), &u));
	base_buf_truncate(&bytes, bytes.len - 1);
	bytes.ptr[30] = '\n';
	assert_false(vault_oauth_tokens_read(base_buf_slice(&bytes), &u));
	bytes.ptr[30] = 'x';
	assert_true(vault_oauth_tokens_read(base_buf_slice(&bytes), &u));
	bytes.ptr[0] = 2;
	assert_false(vault_oauth_tokens_read(base_buf_slice(&bytes), &u));
	vault_oauth_tokens_release(&u);
	base_buf_release(&bytes);
}

/* jansson's freed memory: wiped before it goes back. */
static void json_leaves_nothing_behind(void **state)
{
	static const char text[] = "{\"key\":\"SECRETSECRETSECRETSECRETSECRETSECRETSECRET\"}";
	json_free_t give;
	json_malloc_t take;
	json_t *json = vault_oauth_json(BASE_SLICE(text), NULL);
	uint8_t *block;

	assert_non_null(json);
	json_get_alloc_funcs(&take, &give);
	/* The block of this size that was freed last comes first. */
	block = take(200);
	memset(block, 'S', 200);
	assert_ptr_not_equal(give, free);
	json_decref(json);
	give(block);
	block = take(200);
	for (size_t i = 0; i < 200; i++)
		assert_int_not_equal(block[i], 'S');
	give(block);
	json_set_alloc_funcs(malloc, free);
	assert_null(vault_oauth_json(BASE_SLICE("{"), NULL));
	json_get_alloc_funcs(&take, &give);
	assert_ptr_not_equal(give, free);
}

static int begin(void **state)
{
	vault_oauth_tokens_init(&t);
	return 0;
}

static int give_up(void **state)
{
	vault_oauth_tokens_release(&t);
	assert_null(t.access.ptr);
	assert_int_equal(t.until_ms, 0);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(renewed_ahead_of_the_end),
		cmocka_unit_test(a_short_life_floods_nobody),
		cmocka_unit_test(extreme_times),
		cmocka_unit_test(given_while_it_lasts_a_minute),
		cmocka_unit_test(clocks_jump),
		cmocka_unit_test(retries),
		cmocka_unit_test(kept_and_read_again),
		cmocka_unit_test(json_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, begin, give_up);
}
