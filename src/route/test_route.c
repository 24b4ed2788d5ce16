#include "route/route.h"

#include "base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const char *const titles[] = {
	"*",
	".example.org",
	"example.org",
	"anna@example.org",
	".sub.example.org",
	"mx.example",
	"example.org",
	"Upper.Example",
	"localhost",
};

static struct route_table *make(size_t count)
{
	struct base_slice s[BASE_COUNT(titles)];

	for (size_t i = 0; i < count; i++)
		s[i] = base_slice_text(titles[i]);
	return route_table_new(s, count);
}

static void best_match_wins(void **state)
{
	static const struct {
		const char *address;
		size_t want;
	} rows[] = {
		{"anna@example.org", 3},
		{"ANNA@Example.ORG", 3},
		{"anna@example.org.", 3},
		{"bert@example.org", 2},
		{"bert@example.org.", 2},
		{"bert@a.example.org", 1},
		{"bert@a.b.example.org", 1},
		{"bert@a.sub.example.org", 4},
		{"bert@sub.example.org", 1},
		{"bert@xexample.org", 0},
		{"bert@mx.example", 5},
		{"bert@upper.example", 7},
		{"\"a@b\"@mx.example", 5},
		{"postmaster", 8},
		{"mx.example", 8},
		{"a@", 0},
		{"a@.", 0},
		{"", 8},
		{"a@[192.0.2.1]", 0},
	};
	struct route_table *t = make(BASE_COUNT(titles));
	size_t i, got;

	(void)state;
	for (i = 0; i < BASE_COUNT(rows); i++) {
		got = route_find(t, base_slice_text(rows[i].address), BASE_SLICE("localhost"));
		if (got != rows[i].want)
			fail_msg("%s: route %zu, not %zu", rows[i].address, got, rows[i].want);
	}
	route_table_free(&t);
	assert_null(t);
	route_table_free(&t);
}

static void no_section_no_route(void **state)
{
	struct base_slice only = BASE_SLICE("example.org");
	struct route_table *t = route_table_new(&only, 1);

	(void)state;
	assert_true(route_find(t, BASE_SLICE("a@example.net"), BASE_SLICE("h")) == ROUTE_NONE);
	assert_true(route_find(t, BASE_SLICE("a@example.org"), BASE_SLICE("h")) == 0);
	route_table_free(&t);
	t = route_table_new(NULL, 0);
	assert_true(route_find(t, BASE_SLICE("a@example.net"), BASE_SLICE("h")) == ROUTE_NONE);
	route_table_free(&t);
}

static void thousands_of_titles(void **state)
{
	enum { COUNT = 5000 };
	struct base_slice *s = malloc(COUNT * sizeof(*s));
	char(*text)[32] = malloc(COUNT * sizeof(*text)), address[64];
	struct route_table *t;

	(void)state;
	for (int i = 0; i < COUNT; i++) {
		snprintf(text[i], sizeof(text[i]), "d%d.example", i);
		s[i] = base_slice_text(text[i]);
	}
	t = route_table_new(s, COUNT);
	for (int i = 0; i < COUNT; i++) {
		snprintf(address, sizeof(address), "x@d%d.example", i);
		assert_true(route_find(t, base_slice_text(address), BASE_SLICE("h")) == (size_t)i);
	}
	route_table_free(&t);
	free(s);
	free(text);
}

static void hashes_part_parts(void **state)
{
	(void)state;
	assert_true(route_hash(route_hash(0, BASE_SLICE("a")), BASE_SLICE("bc")) !=
		route_hash(route_hash(0, BASE_SLICE("ab")), BASE_SLICE("c")));
	assert_true(route_hash(0, BASE_SLICE("Example")) == route_hash(0, BASE_SLICE("eXAMPLE")));
	assert_true(route_hash(0, BASE_SLICE("")) != 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(best_match_wins),
		cmocka_unit_test(no_section_no_route),
		cmocka_unit_test(thousands_of_titles),
		cmocka_unit_test(hashes_part_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
