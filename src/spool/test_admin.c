#include "spool/admin.h"
#include "spool/detail.h"
#include "spool/test_support.h"

#include <jansson.h>

/* Envelopes of these tests are "sender,rcpt,rcpt". */
static bool visit(struct base_slice envelope, struct base_slice *out_sender,
	void (*rcpt)(void *arg, uint32_t index, struct base_slice address), void *arg)
{
	struct base_slice part;
	uint32_t index = 0;

	if (!base_slice_split(&envelope, ',', out_sender))
		return false;
	while (base_slice_split(&envelope, ',', &part))
		rcpt(arg, index++, part);
	return true;
}

static void on_part(void *arg, struct base_slice part)
{
	base_buf_append_slice(arg, part);
}

static char answer[1 << 20];

static int ask(struct spool *s, const char *a, const char *b)
{
	struct base_slice words[3] = {BASE_SLICE("queue"), base_slice_text(a), base_slice_text(b)};
	struct base_buf out;
	int rc;

	base_buf_init(&out, sizeof(answer) - 1);
	rc = spool_admin_run(s, visit, words,
		b           ? 3
			: a ? 2
			    : 1,
		1795528361000, on_part, &out, &test_err);
	memcpy(answer, out.ptr ? (const char *)out.ptr : "", out.len);
	answer[out.len] = '\0';
	base_buf_release(&out);
	return rc;
}

static int64_t add(struct spool *s, const char *id, const char *envelope, const char *body)
{
	struct spool_message m = {.id = base_slice_text(id),
		.arrived_ms = 1795528361000,
		.size = strlen(body),
		.envelope = base_slice_text(envelope),
		.body = base_slice_text(body)};
	int64_t seq;

	assert_int_equal(spool_add(s, &m, &seq, &test_err), 0);
	return seq;
}

static void defer(struct spool *s, int64_t seq, uint32_t index, const char *reason)
{
	struct spool_rcpt r = {
		.index = index, .state = SPOOL_RCPT_DEFERRED, .reason = base_slice_text(reason)};
	struct spool_work w = {
		.seq = seq, .unit = index, .attempts = 3, .next_ms = 1795528361000 + 60000};
	struct base_buf b;

	base_buf_init(&b, 4096);
	spool_detail_put(&b, BASE_SLICE("google"), 1);
	spool_detail_put_rcpt(&b, &r);
	w.detail = base_buf_slice(&b);
	assert_int_equal(spool_work_put(s, &w, &test_err), 0);
	base_buf_release(&b);
}

static void fill(struct spool *s)
{
	int64_t seq;

	(void)add(s, "000000000000000a", "a@example.org,b@example.org,c@example.org", "hello\r\n");
	seq = add(s, "000000000000000b", ",\"x\xff\"@example.org,d@example.org", "");
	defer(s, seq, 1, "451 4.2.0 later");
	assert_int_equal(spool_commit(s, &test_err), 0);
}

static void json_is_exact(void **state)
{
	struct spool *s = *state;

	assert_int_equal(ask(s, "list", NULL), 0);
	assert_string_equal(answer, "[]");
	fill(s);
	assert_int_equal(ask(s, "list", NULL), 0);
	assert_string_equal(answer,
		"[{\"id\":\"000000000000000a\",\"sender\":\"a@example.org\","
		"\"recipients\":[{\"address\":\"b@example.org\",\"state\":\"waiting\","
		"\"reason\":null,\"attempts\":0},{\"address\":\"c@example.org\","
		"\"state\":\"waiting\",\"reason\":null,\"attempts\":0}],\"size\":7,"
		"\"arrived\":\"2026-11-24T13:52:41Z\",\"next\":\"2026-11-24T13:52:41Z\","
		"\"account\":null,\"reason\":null},"
		"{\"id\":\"000000000000000b\",\"sender\":\"\",\"recipients\":[{\"address\":"
		"\"d@example.org\",\"state\":\"deferred\",\"reason\":\"451 4.2.0 later\","
		"\"attempts\":3}],\"size\":0,\"arrived\":\"2026-11-24T13:52:41Z\","
		"\"next\":\"2026-11-24T13:53:41Z\",\"account\":\"google\","
		"\"reason\":\"451 4.2.0 later\"}]");
	assert_int_equal(ask(s, "show", "000000000000000b"), 0);
	assert_non_null(
		strstr(answer, "{\"address\":\"\\\"x?\\\"@example.org\",\"state\":\"done\""));
	assert_int_equal(ask(s, "stats", NULL), 0);
	assert_string_equal(answer,
		"{\"messages\":2,\"bytes\":7,\"fresh\":1,\"deferred\":1,"
		"\"parked\":0,\"held\":0,\"oldest\":\"2026-11-24T13:52:41Z\","
		"\"next\":\"2026-11-24T13:53:41Z\"}");
}

static void a_long_list_comes_in_parts(void **state)
{
	struct spool *s = *state;
	char id[32];
	json_t *list;

	for (int i = 0; i < 1000; i++) {
		snprintf(id, sizeof(id), "00000000000%05d", i);
		(void)add(s, id, "a@example.org,b@example.org", "x");
	}
	assert_int_equal(spool_commit(s, &test_err), 0);
	assert_int_equal(ask(s, "list", NULL), 0);
	list = json_loads(answer, 0, NULL);
	assert_non_null(list);
	assert_int_equal(json_array_size(list), 1000);
	json_decref(list);
}

static void hold_and_release(void **state)
{
	struct spool *s = *state;
	struct spool_key cursor = {.next_ms = INT64_MIN};
	int64_t next;

	fill(s);
	assert_int_equal(ask(s, "release", "000000000000000a"), BASE_ERROR_PERMANENT);
	assert_int_equal(ask(s, "hold", "000000000000000a"), 0);
	assert_string_equal(answer, "{\"action\":\"hold\",\"count\":1}");
	assert_int_equal(ask(s, "hold", "000000000000000b"), 0);
	assert_int_equal(ask(s, "show", "000000000000000a"), 0);
	assert_non_null(strstr(answer, "\"state\":\"held\""));
	assert_non_null(strstr(answer, "\"next\":null"));
	assert_int_equal(spool_due_time(s, &cursor, &next, &test_err), 0);
	assert_true(next == INT64_MAX);
	assert_int_equal(ask(s, "retry", "000000000000000a"), 0);
	assert_int_equal(spool_due_time(s, &cursor, &next, &test_err), 0);
	assert_true(next == INT64_MAX);
	assert_int_equal(ask(s, "release", "000000000000000a"), 0);
	assert_int_equal(spool_due_time(s, &cursor, &next, &test_err), 0);
	assert_true(next == 1795528361000);
}

static void retry_and_remove(void **state)
{
	struct spool *s = *state;
	struct spool_key cursor = {.next_ms = INT64_MIN};
	int64_t next;

	fill(s);
	assert_int_equal(ask(s, "retry", "000000000000000b"), 0);
	assert_int_equal(spool_due_time(s, &cursor, &next, &test_err), 0);
	assert_true(next == 1795528361000);
	assert_int_equal(ask(s, "retry", "--all"), 0);
	assert_string_equal(answer, "{\"action\":\"retry\",\"count\":0}");
	assert_int_equal(ask(s, "remove", "000000000000000b"), 0);
	assert_int_equal(ask(s, "remove", "000000000000000b"), BASE_ERROR_NOT_FOUND);
	assert_int_equal(ask(s, "show", "000000000000000b"), BASE_ERROR_NOT_FOUND);
	*state = s = test_reopen(s);
	assert_int_equal(ask(s, "show", "000000000000000a"), 0);
	assert_int_equal(ask(s, "show", "000000000000000b"), BASE_ERROR_NOT_FOUND);
}

static void cat_gives_the_message(void **state)
{
	struct spool *s = *state;
	struct spool_message m = {.id = BASE_SLICE("000000000000000c"),
		.size = 200000,
		.file = true,
		.envelope = BASE_SLICE("a,b")};
	struct spool_file f;
	int64_t seq;

	fill(s);
	assert_int_equal(ask(s, "cat", "000000000000000a"), 0);
	assert_string_equal(answer, "hello\r\n");
	assert_int_equal(spool_file_make(s, &f, &test_err), 0);
	memset(answer, 'x', 200000);
	assert_int_equal(write(f.fd, answer, 200000), 200000);
	assert_int_equal(spool_file_keep(s, &f, m.id, 200000, &test_err), 0);
	assert_int_equal(spool_add(s, &m, &seq, &test_err), 0);
	assert_int_equal(spool_commit(s, &test_err), 0);
	memset(answer, 0, 200001);
	assert_int_equal(ask(s, "cat", "000000000000000c"), 0);
	assert_int_equal(strlen(answer), 200000);
}

static void bad_words_say_what_would_be_right(void **state)
{
	static const struct {
		const char *a, *b, *text;
	} rows[] = {
		{NULL, NULL, "queue takes list, show"},
		{"dance", NULL, "queue takes list, show"},
		{"list", "x", "queue list takes no more words"},
		{"show", NULL, "queue show takes one ID"},
		{"retry", NULL, "queue retry takes one ID or --all"},
		{"hold", "", "no message ID"},
		{"hold", "0123456789012345678901234567890123", "no message ID"},
	};
	struct spool *s = *state;

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		assert_int_equal(ask(s, rows[i].a, rows[i].b), BASE_ERROR_PERMANENT);
		if (!strstr(test_err.text, rows[i].text))
			fail_msg("row %zu: %s", i, test_err.text);
	}
	assert_int_equal(ask(s, "hold", "--all"), BASE_ERROR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_case(json_is_exact),
		test_case(a_long_list_comes_in_parts),
		test_case(hold_and_release),
		test_case(retry_and_remove),
		test_case(cat_gives_the_message),
		test_case(bad_words_say_what_would_be_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
