/* Names, cache and throttle: what is decided without a store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vault/cache.h"
#include "vault/name.h"
#include "vault/throttle.h"

#include <stdio.h>
#include <string.h>

static const uint8_t key[32] = "a key";

static void names(void **state)
{
	static const struct {
		const char *name, *domain, *expected; /* null: refused */
	} rows[] = {
		{"Anna", "", "anna"},
		{"Anna", "Example.org", "anna@example.org"},
		{"ANNA@B.example", "example.org", "anna@b.example"},
		{"\xc3\x84nna", "", "\xc3\x84nna"},
		{"", "", NULL},
		{"", "example.org", NULL},
		{"a\tb", "", NULL},
		{"a\x7f", "", NULL},
		{"\xff", "", NULL},
		{"' or '1'='1", "", "' or '1'='1"},
	};
	struct vault_key made;
	char text[300];

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		bool good = vault_key_make(
			base_slice_text(rows[i].name), base_slice_text(rows[i].domain), &made);

		assert_int_equal(good, rows[i].expected != NULL);
		if (good)
			assert_string_equal(made.text, rows[i].expected);
	}
	memset(text, 'a', sizeof(text));
	assert_true(vault_key_make(base_slice_make(text, 255), BASE_SLICE_EMPTY, &made));
	assert_false(vault_key_make(base_slice_make(text, 256), BASE_SLICE_EMPTY, &made));
	assert_false(vault_key_make(base_slice_make(text, 250), BASE_SLICE("b.example"), &made));
}

static void app_names(void **state)
{
	struct base_slice name, label;

	assert_true(vault_name_split_app(BASE_SLICE("a/b@c/printer-2"), &name, &label));
	assert_true(base_slice_equal_text(name, "a/b@c"));
	assert_true(base_slice_equal_text(label, "printer-2"));
	assert_false(vault_name_split_app(BASE_SLICE("anna"), &name, &label));
	assert_false(vault_name_split_app(BASE_SLICE("anna/"), &name, &label));
	assert_false(vault_name_split_app(BASE_SLICE("/x"), &name, &label));
	assert_false(vault_name_split_app(BASE_SLICE("anna/a b"), &name, &label));
}

static void cache_remembers_the_pair(void **state)
{
	struct vault_cache *c = vault_cache_new(64, key, 1000);
	uint32_t scope = 99;

	vault_cache_put(c, BASE_SLICE("anna"), BASE_SLICE("pw"), 7, 10);
	assert_true(vault_cache_has(c, BASE_SLICE("anna"), BASE_SLICE("pw"), 1009, &scope));
	assert_int_equal(scope, 7);
	assert_false(vault_cache_has(c, BASE_SLICE("anna"), BASE_SLICE("pw"), 1010, &scope));
	vault_cache_put(c, BASE_SLICE("anna"), BASE_SLICE("pw"), 0, 10);
	assert_false(vault_cache_has(c, BASE_SLICE("anna"), BASE_SLICE("pW"), 20, &scope));
	assert_false(vault_cache_has(c, BASE_SLICE("annap"), BASE_SLICE("w"), 20, &scope));
	assert_false(vault_cache_has(c, BASE_SLICE("bert"), BASE_SLICE("pw"), 20, &scope));
	vault_cache_drop_user(c, BASE_SLICE("bert"));
	assert_true(vault_cache_has(c, BASE_SLICE("anna"), BASE_SLICE("pw"), 20, &scope));
	vault_cache_drop_user(c, BASE_SLICE("anna"));
	assert_false(vault_cache_has(c, BASE_SLICE("anna"), BASE_SLICE("pw"), 20, &scope));
	vault_cache_free(&c);
}

static void cache_is_bounded(void **state)
{
	struct vault_cache *c = vault_cache_new(64, key, 1000000);
	unsigned found = 0;
	uint32_t scope;
	char user[16];

	for (int i = 0; i < 1000; i++) {
		snprintf(user, sizeof(user), "u%d", i);
		vault_cache_put(c, base_slice_text(user), BASE_SLICE("pw"), 0, i);
		assert_true(vault_cache_has(c, base_slice_text(user), BASE_SLICE("pw"), i, &scope));
	}
	for (int i = 0; i < 1000; i++) {
		snprintf(user, sizeof(user), "u%d", i);
		found += vault_cache_has(c, base_slice_text(user), BASE_SLICE("pw"), 1000, &scope);
	}
	assert_in_range(found, 32, 64);
	vault_cache_set_ttl(c, 0);
	assert_false(vault_cache_has(c, BASE_SLICE("u999"), BASE_SLICE("pw"), 1000, &scope));
	vault_cache_put(c, BASE_SLICE("u999"), BASE_SLICE("pw"), 0, 1000);
	assert_false(vault_cache_has(c, BASE_SLICE("u999"), BASE_SLICE("pw"), 1000, &scope));
	vault_cache_free(&c);
}

static struct base_addr addr(const char *text)
{
	struct base_addr a;

	assert_true(base_addr_parse(base_slice_text(text), &a));
	return a;
}

static uint32_t guess(
	struct vault_throttle *t, const char *from, const char *user, unsigned number, int64_t now)
{
	struct base_addr a = addr(from);
	char text[16];

	snprintf(text, sizeof(text), "guess %u", number);
	return vault_throttle_failed(t, &a, base_slice_text(user), base_slice_text(text), now);
}

static void guessing_gets_slow(void **state)
{
	struct vault_throttle *t = vault_throttle_new(64, key);
	uint32_t delay = 0;

	assert_int_equal(guess(t, "192.0.2.7", "anna", 0, 1), 500);
	for (unsigned i = 1; i < 10; i++)
		delay = guess(t, "192.0.2.7", "anna", i, 1);
	assert_int_equal(delay, 2000);
	/* Somebody else, somewhere else: nothing of it. */
	assert_int_equal(guess(t, "192.0.2.8", "anna", 0, 1), 500);
	/* Time heals. */
	assert_int_equal(guess(t, "192.0.2.7", "anna", 99, 1 + 3600 * 1000), 500);
	vault_throttle_free(&t);
}

static void the_same_mistake_counts_once(void **state)
{
	struct vault_throttle *t = vault_throttle_new(64, key);

	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(guess(t, "192.0.2.7", "anna", 1, 1), 500);
	vault_throttle_free(&t);
}

static void networks_of_ip6_are_one_client(void **state)
{
	struct vault_throttle *t = vault_throttle_new(64, key);
	char text[64];
	uint32_t delay = 0;

	for (unsigned i = 0; i < 10; i++) {
		snprintf(text, sizeof(text), "2001:db8:1:2::%x", i + 1);
		delay = guess(t, text, "anna", i, 1);
	}
	assert_int_equal(delay, 2000);
	assert_int_equal(guess(t, "2001:db8:1:3::1", "anna", 1, 1), 500);
	vault_throttle_free(&t);
}

static void right_answers_wait_only_for_guessers(void **state)
{
	struct vault_throttle *t = vault_throttle_new(256, key);
	struct base_addr a = addr("192.0.2.7"), b = addr("192.0.2.8");
	char user[16];

	assert_int_equal(vault_throttle_succeeded(t, &a, BASE_SLICE("anna"), 1), 0);
	for (unsigned i = 0; i < 40; i++) {
		snprintf(user, sizeof(user), "u%u", i);
		(void)guess(t, "192.0.2.7", user, i, 2);
	}
	assert_int_equal(vault_throttle_succeeded(t, &a, BASE_SLICE("anna"), 3), 0);
	assert_int_equal(vault_throttle_succeeded(t, &a, BASE_SLICE("bert"), 3), 2000);
	assert_int_equal(vault_throttle_succeeded(t, &b, BASE_SLICE("bert"), 3), 0);
	assert_true(vault_throttle_forget(t, &a));
	assert_false(vault_throttle_forget(t, &a));
	assert_int_equal(vault_throttle_succeeded(t, &a, BASE_SLICE("carl"), 3), 0);
	assert_int_equal(guess(t, "192.0.2.7", "anna", 77, 3), 500);
	vault_throttle_free(&t);
}

static void loopback_and_nobody_are_not_counted(void **state)
{
	struct vault_throttle *t = vault_throttle_new(64, key);
	struct base_addr none = {BASE_ADDR_NONE, 0, {0}};

	for (unsigned i = 0; i < 50; i++) {
		assert_int_equal(guess(t, "127.0.0.1", "anna", i, 1), 500);
		assert_int_equal(guess(t, "::1", "anna", i, 1), 500);
		assert_int_equal(
			vault_throttle_failed(t, &none, BASE_SLICE("anna"), BASE_SLICE_EMPTY, 1),
			500);
	}
	vault_throttle_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(app_names),
		cmocka_unit_test(cache_remembers_the_pair),
		cmocka_unit_test(cache_is_bounded),
		cmocka_unit_test(guessing_gets_slow),
		cmocka_unit_test(the_same_mistake_counts_once),
		cmocka_unit_test(networks_of_ip6_are_one_client),
		cmocka_unit_test(right_answers_wait_only_for_guessers),
		cmocka_unit_test(loopback_and_nobody_are_not_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
