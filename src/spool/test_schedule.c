#include "spool/schedule.h"

#include "base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define MIN 60000ll
#define HOUR (60 * MIN)

static const struct spool_schedule usual = {
	.retry_ms = {5 * MIN, 15 * MIN, HOUR, 4 * HOUR},
	.retry_count = 4,
	.lifetime_ms = 120 * HOUR,
	.warning_ms = 4 * HOUR,
};

static void steps(void **state)
{
	static const struct {
		const char *name;
		int64_t now;
		uint32_t attempts;
		int64_t not_before;
		bool warned;
		int64_t want;
	} rows[] = {
		{"first", 0, 1, 0, false, 5 * MIN},
		{"second", 5 * MIN, 2, 0, false, 20 * MIN},
		{"third", 20 * MIN, 3, 0, false, 80 * MIN},
		{"pulled to the warning", 80 * MIN, 4, 0, false, 4 * HOUR},
		{"warned already", 80 * MIN, 4, 0, true, 80 * MIN + 4 * HOUR},
		{"last repeats", 10 * HOUR, 9, 0, true, 14 * HOUR},
		{"as asked", 0, 1, HOUR, false, HOUR},
		{"asked for less", 0, 1, 1, false, 5 * MIN},
		{"end of life", 119 * HOUR, 20, 0, true, 120 * HOUR},
		{"asked for too much", 10 * HOUR, 4, 500 * HOUR, true, 120 * HOUR},
		{"never at once", 120 * HOUR, 20, 0, true, 120 * HOUR + 1},
	};
	int64_t got;
	size_t i;

	(void)state;
	for (i = 0; i < BASE_COUNT(rows); i++) {
		got = spool_schedule_next(&usual, 0, rows[i].now, rows[i].attempts,
			rows[i].not_before, rows[i].warned, 0);
		if (got != rows[i].want)
			fail_msg("%s: %lld, not %lld", rows[i].name, (long long)got,
				(long long)rows[i].want);
	}
}

static void spread_stays_within_a_tenth(void **state)
{
	int64_t least = INT64_MAX, most = 0, got;
	uint32_t i;

	(void)state;
	for (i = 0; i < 4096; i++) {
		got = spool_schedule_next(&usual, 0, 0, 3, 0, false, i * 2654435761u);
		least = got < least ? got : least;
		most = got > most ? got : most;
	}
	assert_true(least >= HOUR && most <= HOUR + HOUR / 10 && most - least > HOUR / 20);
}

static void ends(void **state)
{
	struct spool_schedule none = usual;

	(void)state;
	assert_false(spool_schedule_is_over(&usual, 0, 120 * HOUR - 1));
	assert_true(spool_schedule_is_over(&usual, 0, 120 * HOUR));
	assert_false(spool_schedule_is_late(&usual, 0, 4 * HOUR - 1));
	assert_true(spool_schedule_is_late(&usual, 0, 4 * HOUR));
	none.warning_ms = 0;
	assert_false(spool_schedule_is_late(&none, 0, 100 * HOUR));
	none.warning_ms = none.lifetime_ms;
	assert_false(spool_schedule_is_late(&none, 0, 200 * HOUR));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps),
		cmocka_unit_test(spread_stays_within_a_tenth),
		cmocka_unit_test(ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
