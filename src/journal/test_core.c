#include "journal/core.h"

#include "base/test_support.h"
#include "loop/log.h"

#include <stdio.h>

static struct journal_core core;

static void say(enum log_level level, enum log_kind kind, const char *text, int64_t now_ms)
{
	struct log_record r;

	log_begin(&r, level, kind);
	log_put_text(&r, LOG_KEY_TEXT, text);
	journal_core_record(&core, base_buf_slice(&r.frame), now_ms);
	base_buf_release(&r.frame);
}

static void expect(const char *lines)
{
	assert_string_equal(core.out.len ? base_buf_text(&core.out) : "", lines);
	base_buf_clear(&core.out);
}

static int setup(void **state)
{
	journal_core_init(&core);
	return 0;
}

static int teardown(void **state)
{
	journal_core_release(&core);
	return 0;
}

static void test_repeats(void **state)
{
	for (int i = 0; i < 10; i++)
		say(LOG_LEVEL_WARNING, LOG_KIND_SYSTEM, "vault is away", 1000 + i);
	say(LOG_LEVEL_WARNING, LOG_KIND_SYSTEM, "something else", 1020);
	expect("warning: vault is away\nwarning: vault is away\nwarning: vault is away\n"
	       "warning: something else\n");
	assert_int_equal(journal_core_wait_ms(&core, 1020), JOURNAL_REPEAT_MS - 20);
	journal_core_tick(&core, 1000 + JOURNAL_REPEAT_MS, false);
	expect("warning: vault is away count=7\n");
	journal_core_tick(&core, 1020 + JOURNAL_REPEAT_MS, false);
	expect("");
	assert_int_equal(journal_core_wait_ms(&core, 50000), -1);
	say(LOG_LEVEL_WARNING, LOG_KIND_SYSTEM, "vault is away", 50000);
	expect("warning: vault is away\n");
}

static void test_repeats_json(void **state)
{
	core.json = true;
	for (int i = 0; i < 5; i++)
		say(LOG_LEVEL_ERROR, LOG_KIND_SYSTEM, "x", 1000);
	base_buf_clear(&core.out);
	journal_core_tick(&core, 0, true);
	assert_non_null(strstr(base_buf_text(&core.out), "\"text\": \"x\", \"count\": 2}\n"));
}

static void test_no_repeats_of_events(void **state)
{
	for (int i = 0; i < 5; i++)
		say(LOG_LEVEL_INFO, LOG_KIND_SESSION, "s", 1000);
	expect("info: s\ninfo: s\ninfo: s\ninfo: s\ninfo: s\n");
	for (int i = 0; i < 5; i++)
		say(LOG_LEVEL_WARNING, LOG_KIND_LOGIN, "l", 1000);
	expect("warning: l\nwarning: l\nwarning: l\nwarning: l\nwarning: l\n");
}

static void test_more_kinds_than_slots(void **state)
{
	char text[32];

	for (int i = 0; i < 10 * JOURNAL_REPEAT_SLOTS; i++) {
		snprintf(text, sizeof(text), "w%d", i);
		say(LOG_LEVEL_WARNING, LOG_KIND_SYSTEM, text, 1000 + i);
	}
	assert_int_equal(core.lines, 10 * JOURNAL_REPEAT_SLOTS);
}

static void test_full(void **state)
{
	static char text[LOG_VALUE_MAX_BYTES];
	uint64_t shown;

	memset(text, 'a', sizeof(text) - 1);
	for (int i = 0; i < 1000; i++)
		say(LOG_LEVEL_INFO, LOG_KIND_SYSTEM, text, 1000);
	assert_true(core.lost > 0);
	shown = core.lines;
	assert_int_equal(shown + core.lost, 1000);
	assert_true(core.out.ptr[core.out.len - 1] == '\n');
	base_buf_clear(&core.out);
	assert_int_equal(journal_core_wait_ms(&core, 1000), 1000);
	journal_core_tick(&core, 2000, false);
	assert_non_null(strstr(base_buf_text(&core.out), "warning: log lines lost count="));
	assert_int_equal(journal_core_wait_ms(&core, 2000), -1);
}

static void test_broken(void **state)
{
	journal_core_record(&core, BASE_SLICE("no record"), 0);
	journal_core_record(&core, BASE_SLICE_EMPTY, 0);
	assert_int_equal(core.broken, 2);
	expect("");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_repeats),
		T(test_repeats_json),
		T(test_no_repeats_of_events),
		T(test_more_kinds_than_slots),
		T(test_full),
		T(test_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
