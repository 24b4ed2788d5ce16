#include "route/sender.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void lines_are_judged(void **state)
{
	static const struct {
		const char *text, *spelling; /* null: refused */
		enum route_sender_kind kind;
	} rows[] = {
		{"Anna@Example.ORG", "anna@example.org", ROUTE_SENDER_ADDRESS},
		{"anna@example.org.", "anna@example.org", ROUTE_SENDER_ADDRESS},
		{"anna+news@example.org", "anna+news@example.org", ROUTE_SENDER_ADDRESS},
		{"\"a b*\"@example.org", "\"a b*\"@example.org", ROUTE_SENDER_ADDRESS},
		{"\"a@b\"@example.org", "\"a@b\"@example.org", ROUTE_SENDER_ADDRESS},
		{"anna@[192.0.2.1]", "anna@[192.0.2.1]", ROUTE_SENDER_ADDRESS},
		{"anna@localhost", "anna@localhost", ROUTE_SENDER_ADDRESS},
		{"j\xc3\xbcrg@b\xc3\xbc.example", "j\xc3\xbcrg@b\xc3\xbc.example",
			ROUTE_SENDER_ADDRESS},
		{"Anna+*@example.org", "anna+*@example.org", ROUTE_SENDER_BEGINNING},
		{"a*@example.org", "a*@example.org", ROUTE_SENDER_BEGINNING},
		{"@Example.org", "@example.org", ROUTE_SENDER_DOMAIN},
		{"*@example.org.", "@example.org", ROUTE_SENDER_DOMAIN},
		{"@.Example.org", "@.example.org", ROUTE_SENDER_SUBDOMAINS},
		{"*@.example.org", "@.example.org", ROUTE_SENDER_SUBDOMAINS},
		{"*", "*", ROUTE_SENDER_ANY},
		{"<>", "<>", ROUTE_SENDER_NULL},
		{"", NULL, 0},
		{"anna", NULL, 0},
		{"example.org", NULL, 0},
		{"<anna@example.org>", NULL, 0},
		{"@", NULL, 0},
		{"@.", NULL, 0},
		{"@..org", NULL, 0},
		{"anna@", NULL, 0},
		{"*anna@example.org", NULL, 0},
		{"an*na@example.org", NULL, 0},
		{"anna**@example.org", NULL, 0},
		{"**@example.org", NULL, 0},
		{"anna@*.example.org", NULL, 0},
		{"@*.example.org", NULL, 0},
		{"anna@.example.org", NULL, 0},
		{"anna@exa mple.org", NULL, 0},
		{"anna bell@example.org", NULL, 0},
		{"anna@bell@example.org", NULL, 0},
		{"anna\n@example.org", NULL, 0},
		{"ann\xff@example.org", NULL, 0},
		{"\"a\\\"b\"@example.org", "\"a\\\"b\"@example.org", ROUTE_SENDER_ADDRESS},
		{"\"a\\\n\"@example.org", NULL, 0},
		{"\"a\\\"@example.org", NULL, 0},
		{"\"a\"b\"@example.org", NULL, 0},
		{"anna@example.org,bert@example.org", NULL, 0},
	};
	char out[ROUTE_SENDER_LINE_MAX_BYTES + 1];
	enum route_sender_kind kind;
	const char *why;

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		bool good;

		why = NULL;
		good = route_sender_parse(base_slice_text(rows[i].text), out, &kind, &why);
		if (good != (rows[i].spelling != NULL))
			fail_msg("\"%s\": %s", rows[i].text, good ? "taken" : why);
		if (good) {
			assert_string_equal(out, rows[i].spelling);
			assert_int_equal(kind, rows[i].kind);
		} else {
			assert_non_null(why);
		}
	}
}

static void long_lines_are_refused(void **state)
{
	char text[400], out[ROUTE_SENDER_LINE_MAX_BYTES + 1];
	enum route_sender_kind kind;
	const char *why;

	memset(text, 'a', sizeof(text));
	memcpy(text + ROUTE_SENDER_LINE_MAX_BYTES - 12, "@example.org", 12);
	assert_true(route_sender_parse(
		base_slice_make(text, ROUTE_SENDER_LINE_MAX_BYTES), out, &kind, &why));
	assert_int_equal(strlen(out), ROUTE_SENDER_LINE_MAX_BYTES);
	memcpy(text + ROUTE_SENDER_LINE_MAX_BYTES - 12, "aexample.org", 12);
	memcpy(text + ROUTE_SENDER_LINE_MAX_BYTES - 11, "@example.org", 12);
	assert_false(route_sender_parse(
		base_slice_make(text, ROUTE_SENDER_LINE_MAX_BYTES + 1), out, &kind, &why));
}

static void accounts_are_named(void **state)
{
	char name[300];

	memset(name, 'a', sizeof(name));
	assert_true(route_sender_account_valid(BASE_SLICE("gmail")));
	assert_true(route_sender_account_valid(BASE_SLICE("anna@example.org")));
	assert_false(route_sender_account_valid(BASE_SLICE_EMPTY));
	assert_false(route_sender_account_valid(BASE_SLICE("a b")));
	assert_false(route_sender_account_valid(BASE_SLICE("a\n")));
	assert_true(route_sender_account_valid(base_slice_make(name, 255)));
	assert_false(route_sender_account_valid(base_slice_make(name, 256)));
}

static struct route_sender_table *make(const char *const *pairs, size_t count)
{
	struct route_sender lines[32];

	for (size_t i = 0; i < count; i++)
		lines[i] = (struct route_sender){
			base_slice_text(pairs[2 * i]), base_slice_text(pairs[2 * i + 1])};
	return route_sender_table_new(lines, count);
}

/* The winning line's account; "-": none. */
static void expect(
	const struct route_sender_table *t, const char *sender, const char *first, const char *want)
{
	struct route_sender found;
	char got[300] = "-";

	if (route_sender_find(t, base_slice_text(sender), base_slice_text(first),
		    BASE_SLICE("own.example"), &found))
		snprintf(got, sizeof(got), "%.*s", BASE_SLICE_ARGS(found.account));
	if (strcmp(got, want) != 0)
		fail_msg("%s (%s): %s instead of %s", sender, first, got, want);
}

static void the_nearest_line_wins(void **state)
{
	static const char *const pairs[] = {"anna@example.org", "exact", "anna+*@example.org",
		"plus", "an*@example.org", "an", "anna+news-*@example.org", "news", "@example.org",
		"domain", "@.example.org", "below", "@.a.example.org", "below-a", "@own.example",
		"own", "Anna@Example.Org", "a double", "not a line", "broken"};
	struct route_sender_table *t = make(pairs, BASE_COUNT(pairs) / 2);

	expect(t, "anna@example.org", "", "exact");
	expect(t, "ANNA@EXAMPLE.ORG.", "", "exact");
	expect(t, "anna+x@example.org", "", "plus");
	expect(t, "anna+@example.org", "", "plus");
	expect(t, "anna+news-7@example.org", "", "news");
	expect(t, "anna+news@example.org", "", "plus");
	expect(t, "annabell@example.org", "", "an");
	expect(t, "an@example.org", "", "an");
	expect(t, "a@example.org", "", "domain");
	expect(t, "anna@sub.example.org", "", "below");
	expect(t, "anna@x.a.example.org", "", "below-a");
	expect(t, "anna@a.example.org", "", "below");
	expect(t, "anna@example.net", "", "-");
	expect(t, "anna@org", "", "-");
	expect(t, "anna@xexample.org", "", "-");
	expect(t, "anna", "", "own");
	/* What looks like a line is not taken for one. */
	expect(t, "anna+*@example.org", "", "plus");
	expect(t, "@example.org", "", "domain");
	expect(t, "*", "", "own");
	expect(t, "<>", "", "own");
	expect(t, "x@.example.org", "", "below");
	route_sender_table_free(&t);
	assert_null(t);
	route_sender_table_free(&t);
}

static void notices_have_their_own_rule(void **state)
{
	static const char *const with[] = {"<>", "notices", "*", "any", "anna@example.org", "anna"};
	static const char *const without[] = {"*", "any", "anna@example.org", "anna"};
	static const char *const few[] = {"@example.org", "domain"};
	struct route_sender_table *t = make(with, 3);

	expect(t, "", "anna@example.org", "notices");
	expect(t, "bert@example.net", "", "any");
	route_sender_table_free(&t);
	t = make(without, 2);
	expect(t, "", "anna@example.org", "anna");
	expect(t, "", "bert@example.org", "any");
	expect(t, "", "", "any");
	route_sender_table_free(&t);
	t = make(few, 1);
	expect(t, "", "bert@example.org", "domain");
	expect(t, "", "bert@example.net", "-");
	expect(t, "", "", "-");
	route_sender_table_free(&t);
	t = make(NULL, 0);
	expect(t, "anna@example.org", "", "-");
	route_sender_table_free(&t);
}

static void long_senders_are_looked_up(void **state)
{
	static const char *const pairs[] = {"a*@example.org", "a", "@example.org", "domain"};
	struct route_sender_table *t = make(pairs, 2);
	char sender[2000];

	memset(sender, 'a', sizeof(sender));
	for (size_t local = 300; local < 330; local++) {
		snprintf(sender + local, sizeof(sender) - local, "@example.org");
		expect(t, sender, "", "a");
		sender[local] = 'a';
	}
	snprintf(sender, sizeof(sender), "b@%01000d", 0);
	expect(t, sender, "", "-");
	for (size_t k = 2; k < 1000; k++)
		sender[k] = '.';
	expect(t, sender, "", "-");
	sender[319] = '\0';
	expect(t, sender, "", "-");
	route_sender_table_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_judged),
		cmocka_unit_test(long_lines_are_refused),
		cmocka_unit_test(accounts_are_named),
		cmocka_unit_test(the_nearest_line_wins),
		cmocka_unit_test(notices_have_their_own_rule),
		cmocka_unit_test(long_senders_are_looked_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
