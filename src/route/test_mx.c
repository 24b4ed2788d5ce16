#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "route/mx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A row is a zone and what follows from it. Zone lines: "NAME mx PREFERENCE HOST", "NAME a ADDRESS",
 * "NAME fail TYPE", "NAME bogus TYPE", "NAME exists". A name without a line does not exist.
 * Expected: "host/address …" in order, or "4.4.3" or "5.1.2" with a '+' when permanent. */
/* A constant, which a compound literal is not. */
#define ME(text) \
	{ \
		(const uint8_t *)(text), sizeof(text) - 1 \
	}

static const struct row {
	const char *name;
	const char *destination;
	struct route_mx_options options;
	const char *zone[12];
	const char *expected;
} rows[] = {
	{"one", "x.example", {.mx = true}, {"x.example mx 10 a.x", "a.x a 192.0.2.1"},
		"a.x/192.0.2.1:25"},
	{"sorted", "x.example", {.mx = true},
		{"x.example mx 20 b.x", "x.example mx 10 a.x", "a.x a 192.0.2.1",
			"b.x a 192.0.2.2"},
		"a.x/192.0.2.1:25 b.x/192.0.2.2:25"},
	{"same name twice", "x.example", {.mx = true},
		{"x.example mx 20 a.x", "x.example mx 30 b.x", "x.example mx 10 A.X",
			"a.x a 192.0.2.1", "A.X a 192.0.2.1", "b.x a 192.0.2.2"},
		"A.X/192.0.2.1:25 b.x/192.0.2.2:25"},
	{"implicit", "x.example.", {.mx = true}, {"x.example a 192.0.2.1"},
		"x.example/192.0.2.1:25"},
	{"no such domain", "x.example", {.mx = true}, {"y.example exists"}, "+5.1.2"},
	{"no address", "x.example", {.mx = true}, {"x.example exists"}, "+5.4.4"},
	{"lookup fails", "x.example", {.mx = true}, {"x.example fail mx"}, "4.4.3"},
	{"forged", "x.example", {.mx = true}, {"x.example bogus mx"}, "4.4.3"},
	{"address lookup fails", "x.example", {.mx = true}, {"x.example mx 1 a.x", "a.x fail a"},
		"4.4.3"},
	{"one address lookup fails", "x.example", {.mx = true},
		{"x.example mx 1 a.x", "x.example mx 2 b.x", "a.x fail a", "b.x a 192.0.2.2"},
		"b.x/192.0.2.2:25"},
	{"MX without address: no fall-back", "x.example", {.mx = true},
		{"x.example mx 1 a.x", "x.example a 192.0.2.1"}, "+5.4.4"},
	{"null MX", "x.example", {.mx = true}, {"x.example mx 0 .", "x.example a 192.0.2.1"},
		"+5.1.10"},
	{"null MX beside another", "x.example", {.mx = true},
		{"x.example mx 0 .", "x.example mx 5 a.x", "a.x a 192.0.2.1"}, "a.x/192.0.2.1:25"},
	{"we are a backup", "x.example", {.mx = true, .own_name = ME("Me.example")},
		{"x.example mx 10 a.x", "x.example mx 20 me.example", "x.example mx 20 c.x",
			"x.example mx 30 b.x", "a.x a 192.0.2.1", "b.x a 192.0.2.2",
			"c.x a 192.0.2.3"},
		"a.x/192.0.2.1:25"},
	{"we are the best", "x.example", {.mx = true, .own_name = ME("me.example")},
		{"x.example mx 10 me.example", "x.example mx 20 b.x", "b.x a 192.0.2.2"}, "+5.4.6"},
	{"loopback", "x.example", {.mx = true},
		{"x.example mx 1 localhost", "localhost a 127.0.0.1"}, "+5.4.4"},
	{"link-local and private beside a good one", "x.example", {.mx = true},
		{"x.example mx 1 a.x", "a.x a 169.254.169.254", "a.x a 10.0.0.1",
			"a.x a 192.0.2.1"},
		"a.x/192.0.2.1:25"},
	{"the same address twice", "x.example", {.mx = true},
		{"x.example mx 1 a.x", "a.x a 192.0.2.1", "a.x a 192.0.2.1"}, "a.x/192.0.2.1:25"},
	{"loopback allowed", "x.example", {.mx = true, .allow_special = true},
		{"x.example mx 1 localhost", "localhost a 127.0.0.1"}, "localhost/127.0.0.1:25"},
	{"mapped loopback", "x.example", {.mx = true, .ip6 = true},
		{"x.example mx 1 a.x", "a.x a ::ffff:127.0.0.1"}, "+5.4.4"},
	{"families alternate", "x.example", {.mx = true, .ip6 = true},
		{"x.example mx 1 a.x", "a.x a 192.0.2.1", "a.x a 2606:4700::1"},
		"a.x/[2606:4700::1]:25 a.x/192.0.2.1:25"},
	{"no IPv6 here", "x.example", {.mx = true},
		{"x.example mx 1 a.x", "a.x a 192.0.2.1", "a.x a 2606:4700::1"},
		"a.x/192.0.2.1:25"},
	{"literal", "[192.0.2.7]", {.mx = true}, {NULL}, "[192.0.2.7]/192.0.2.7:25"},
	{"IPv6 literal", "[IPv6:2606:4700::1]", {.mx = true}, {NULL},
		"[IPv6:2606:4700::1]/[2606:4700::1]:25"},
	{"literal of loopback", "[127.0.0.1]", {.mx = true}, {NULL}, "+5.1.2"},
	{"literal of mapped loopback", "[IPv6:::ffff:127.0.0.1]", {.mx = true}, {NULL}, "+5.1.2"},
	{"a named host", "mail_1.lan", {.allow_special = true, .port = 2525},
		{"mail_1.lan a 10.0.0.1"}, "mail_1.lan/10.0.0.1:2525"},
	{"a named address", "127.0.0.1", {.allow_special = true}, {NULL}, "127.0.0.1/127.0.0.1:25"},
	{"a named host that does not exist", "mail.lan", {.allow_special = true}, {NULL}, "+5.4.4"},
	{"no name", "", {.mx = true}, {NULL}, "+5.1.2"},
	{"no name: blank", "x y", {.mx = true}, {NULL}, "+5.1.2"},
	{"no name: empty label", "x..y", {.mx = true}, {NULL}, "+5.1.2"},
	{"bad MX name", "x.example", {.mx = true},
		{"x.example mx 1 ?", "x.example mx 2 b.x", "b.x a 192.0.2.2"}, "b.x/192.0.2.2:25"},
	{"only bad MX names", "x.example", {.mx = true}, {"x.example mx 1 ?"}, "+5.4.4"},
};

static void add_record(struct route_dns_answer *out, enum route_dns_type type, const char *value)
{
	struct route_dns_record record = {.preference = 0};
	unsigned preference;
	char host[64];

	if (type == ROUTE_DNS_MX) {
		assert_int_equal(sscanf(value, "%u %63s", &preference, host), 2);
		record.preference = (uint16_t)preference;
		record.bad_name = !strcmp(host, "?");
		if (strcmp(host, ".") && !record.bad_name)
			strcpy(record.name, host);
	} else {
		assert_true(base_addr_parse(base_slice_text(value), &record.addr));
		if (record.addr.family != (type == ROUTE_DNS_A ? BASE_ADDR_IP4 : BASE_ADDR_IP6))
			return;
	}
	out->records[out->count++] = record;
	out->status = ROUTE_DNS_FOUND;
}

static void look_up(
	const char *const *zone, const struct route_mx_question *q, struct route_dns_answer *out)
{
	const char *type = q->type == ROUTE_DNS_MX ? "mx" : "a";
	char name[64], word[64];
	int at;

	route_dns_answer_set(out, ROUTE_DNS_NO_NAME);
	out->ttl_s = 300;
	for (; *zone; zone++) {
		at = 0;
		if (sscanf(*zone, "%63s %63s %n", name, word, &at) < 2 || strcmp(name, q->name))
			continue;
		if (out->status == ROUTE_DNS_NO_NAME)
			out->status = ROUTE_DNS_EMPTY;
		if (!strcmp(word, "fail") && !strcmp(*zone + at, type))
			out->status = ROUTE_DNS_FAILED;
		else if (!strcmp(word, "bogus") && !strcmp(*zone + at, type))
			out->status = ROUTE_DNS_BOGUS;
		else if (!strcmp(word, type))
			add_record(out, q->type, *zone + at);
	}
}

static void resolve(struct route_mx *m, const char *const *zone)
{
	static struct route_dns_answer answer;
	struct route_mx_question q;

	while (route_mx_next(m, &q)) {
		look_up(zone, &q, &answer);
		route_mx_answer(m, q.id, &answer);
	}
}

static void describe(const struct route_mx *m, struct base_buf *out)
{
	size_t i;

	if (m->state == ROUTE_MX_FAILED)
		base_buf_printf(out, "%s%s", m->failure.permanent ? "+" : "", m->failure.enhanced);
	else if (m->state == ROUTE_MX_ASKING)
		base_buf_append_text(out, "asking");
	else
		for (i = 0; i < m->target_count; i++) {
			base_buf_printf(out, "%s%s/", i ? " " : "", m->targets[i].host);
			base_addr_format_port(&m->targets[i].addr, out);
		}
}

static void test_rows(void **state)
{
	static struct route_mx m;
	struct base_buf got;
	size_t i;

	base_buf_init(&got, 4096);
	for (i = 0; i < BASE_COUNT(rows); i++) {
		struct route_mx_options options = rows[i].options;

		options.destination = base_slice_text(rows[i].destination);
		if (!options.port)
			options.port = 25;
		route_mx_begin(&m, &options);
		resolve(&m, rows[i].zone);
		base_buf_clear(&got);
		describe(&m, &got);
		if (strcmp(base_buf_text(&got), rows[i].expected))
			fail_msg("%s: got \"%s\"", rows[i].name, base_buf_text(&got));
	}
	base_buf_release(&got);
}

static void test_many_hosts(void **state)
{
	static struct route_dns_answer answer;
	static struct route_mx m;
	struct route_mx_options options = {.destination = BASE_SLICE("x.example"), .mx = true};
	struct route_mx_question q;
	size_t i;

	route_mx_begin(&m, &options);
	assert_true(route_mx_next(&m, &q));
	route_dns_answer_set(&answer, ROUTE_DNS_FOUND);
	for (i = 0; i < ROUTE_DNS_RECORDS_MAX; i++) {
		answer.records[i].preference = (uint16_t)(1000 - i);
		snprintf(answer.records[i].name, sizeof(answer.records[i].name), "h%zu.x", i);
	}
	answer.count = ROUTE_DNS_RECORDS_MAX;
	route_mx_answer(&m, q.id, &answer);
	for (i = 0; i < ROUTE_MX_HOSTS_MAX; i++) {
		char name[16];

		assert_true(route_mx_next(&m, &q));
		snprintf(name, sizeof(name), "h%zu.x", ROUTE_DNS_RECORDS_MAX - 1 - i);
		assert_string_equal(q.name, name);
	}
	assert_false(route_mx_next(&m, &q));
}

/* Equals take turns: over many random numbers each of two comes first about as often. */
static void test_shuffle(void **state)
{
	static const char *const zone[] = {"x.example mx 5 a.x", "x.example mx 5 b.x",
		"a.x a 192.0.2.1", "b.x a 192.0.2.2", NULL};
	static struct route_mx m;
	struct route_mx_options options = {.destination = BASE_SLICE("x.example"), .mx = true};
	unsigned first = 0;

	for (options.random = 0; options.random < 1000; options.random++) {
		route_mx_begin(&m, &options);
		resolve(&m, zone);
		first += m.targets[0].host[0] == 'a';
	}
	assert_in_range(first, 400, 600);
}

/* packets */

#define HEADER(rcode, answers) "\0\0\x81" rcode "\0\1\0" answers "\0\0\0\0"
#define QUESTION_MX "\1x\7example\0\0\x0f\0\1"
#define QUESTION_A "\1x\7example\0\0\1\0\1"
#define RECORD(type, len) "\xc0\x0c\0" type "\0\1\0\0\1\x2c\0" len

static const struct packet_row {
	const char *name;
	enum route_dns_type type;
	const char *packet;
	size_t len;
	const char *expected;
} packets[] = {
#define ROW(n, t, p, e) \
	{ \
		n, t, p, sizeof(p) - 1, e \
	}
	ROW("MX, compressed", ROUTE_DNS_MX,
		HEADER("\x80", "\1") QUESTION_MX RECORD("\x0f", "\7") "\0\x0a\2mx\xc0\x0c",
		"found 10=mx.x.example"),
	ROW("null MX", ROUTE_DNS_MX, HEADER("\x80", "\1") QUESTION_MX RECORD("\x0f", "\3") "\0\0\0",
		"found 0="),
	ROW("MX cut in its name", ROUTE_DNS_MX,
		HEADER("\x80", "\1") QUESTION_MX RECORD("\x0f", "\4") "\0\x0a\2m", "empty"),
	ROW("MX of two bytes", ROUTE_DNS_MX,
		HEADER("\x80", "\1") QUESTION_MX RECORD("\x0f", "\2") "\0\x0a", "empty"),
	ROW("MX longer than its name", ROUTE_DNS_MX,
		HEADER("\x80", "\1") QUESTION_MX RECORD("\x0f", "\4") "\0\x0a\0\0", "empty"),
	ROW("pointer to itself", ROUTE_DNS_MX,
		HEADER("\x80", "\1") QUESTION_MX RECORD("\x0f", "\4") "\0\x0a\xc0\x29", "empty"),
	ROW("MX name with a space", ROUTE_DNS_MX,
		HEADER("\x80", "\1") QUESTION_MX RECORD("\x0f", "\6") "\0\x0a\2a \0", "found 10=?"),
	ROW("A", ROUTE_DNS_A, HEADER("\x80", "\1") QUESTION_A RECORD("\1", "\4") "\xc0\0\2\1",
		"found 192.0.2.1"),
	ROW("A of five bytes", ROUTE_DNS_A,
		HEADER("\x80", "\1") QUESTION_A RECORD("\1", "\5") "\xc0\0\2\1\0", "empty"),
	ROW("TXT of two strings", ROUTE_DNS_TXT,
		HEADER("\x80", "\1") QUESTION_A RECORD("\x10", "\6") "\1a\3b\xff\x7", "found ab??"),
	ROW("TXT of nothing", ROUTE_DNS_TXT,
		HEADER("\x80", "\1") QUESTION_A RECORD("\x10", "\1") "\0", "found "),
	ROW("TXT cut", ROUTE_DNS_TXT, HEADER("\x80", "\1") QUESTION_A RECORD("\x10", "\2") "\2a",
		"empty"),
	ROW("record cut", ROUTE_DNS_A,
		HEADER("\x80", "\1") QUESTION_A RECORD("\1", "\4") "\xc0\0\2", "failed"),
	ROW("another type", ROUTE_DNS_MX,
		HEADER("\x80", "\1") QUESTION_MX RECORD("\1", "\4") "\xc0\0\2\1", "empty"),
	ROW("no records", ROUTE_DNS_MX, HEADER("\x80", "\0") QUESTION_MX, "empty"),
	ROW("NXDOMAIN", ROUTE_DNS_MX, HEADER("\x83", "\0") QUESTION_MX, "no name"),
	ROW("SERVFAIL", ROUTE_DNS_MX, HEADER("\x82", "\0") QUESTION_MX, "failed"),
	ROW("short", ROUTE_DNS_MX, "\0\0\x81\x80", "failed"),
	ROW("empty", ROUTE_DNS_MX, "", "failed"),
#undef ROW
};

static void describe_answer(
	const struct route_dns_answer *answer, enum route_dns_type type, struct base_buf *out)
{
	static const char *const words[] = {"found", "empty", "no name", "failed", "bogus"};
	size_t i;

	base_buf_append_text(out, words[answer->status]);
	for (i = 0; i < answer->count; i++) {
		base_buf_append_byte(out, ' ');
		if (type == ROUTE_DNS_MX)
			base_buf_printf(out, "%u=%s", answer->records[i].preference,
				answer->records[i].bad_name ? "?" : answer->records[i].name);
		else if (type == ROUTE_DNS_TXT)
			base_buf_append_text(out, answer->records[i].name);
		else
			base_addr_format(&answer->records[i].addr, out);
	}
}

static void test_packets(void **state)
{
	static struct route_dns_answer answer;
	struct base_buf got;
	uint8_t *copy;
	size_t i, len;

	base_buf_init(&got, 4096);
	for (i = 0; i < BASE_COUNT(packets); i++) {
		for (len = 0; len <= packets[i].len; len++) {
			copy = malloc(len ? len : 1);
			memcpy(copy, packets[i].packet, len);
			route_dns_parse(base_slice_make(copy, len), packets[i].type, &answer);
			free(copy);
		}
		base_buf_clear(&got);
		describe_answer(&answer, packets[i].type, &got);
		if (strcmp(base_buf_text(&got), packets[i].expected))
			fail_msg("%s: got \"%s\"", packets[i].name, base_buf_text(&got));
	}
	base_buf_release(&got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_many_hosts),
		cmocka_unit_test(test_shuffle),
		cmocka_unit_test(test_packets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
