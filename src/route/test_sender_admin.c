#include "route/sender_admin.h"
#include "spool/detail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[128];
static struct spool *spool;
static struct base_error err;
static struct base_buf out;

static void open_spool(void)
{
	struct spool_options o = {.data_dir = dir, .owner = "test", .wait_ms = 5000};

	if (spool_open(&spool, &o, &err) != 0)
		fail_msg("%s", err.text);
}

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/postern-sender-XXXXXX");
	assert_non_null(mkdtemp(dir));
	base_buf_init(&out, 1 << 20);
	open_spool();
	return 0;
}

static int teardown(void **state)
{
	char command[256];

	spool_close(&spool);
	base_buf_release(&out);
	snprintf(command, sizeof(command), "rm -r '%s'", dir);
	return system(command);
}

/* "sender VERB …", blanks between the words; committed or rolled back. */
static int run(const char *text)
{
	struct base_slice words[8], rest = base_slice_text(text);
	struct route_sender_request req = {
		.words = words, .host_name = BASE_SLICE("own.example"), .now_ms = 5000};
	int rc;

	while (base_slice_split(&rest, ' ', &words[req.word_count]))
		req.word_count++;
	base_buf_clear(&out);
	rc = route_sender_admin_run(spool, &req, &out, &err);
	if (rc != 0) {
		spool_rollback(spool);
		return rc;
	}
	return spool_commit(spool, &err);
}

static void answers(const char *text, const char *want)
{
	if (run(text) != 0)
		fail_msg("%s: %s", text, err.text);
	assert_string_equal(base_buf_text(&out), want);
}

static void refuses(const char *text, enum base_error_class class, const char *want)
{
	assert_int_equal(run(text), class);
	if (!strstr(err.text, want))
		fail_msg("%s: \"%s\" lacks \"%s\"", text, err.text, want);
}

static void lines_come_and_go(void **state)
{
	answers("sender list", "{\"senders\":[]}");
	answers("sender add Anna@Example.org account=one",
		"{\"address\":\"anna@example.org\",\"account\":\"one\",\"done\":\"added\"}");
	refuses("sender add anna@example.org. account=two", BASE_ERROR_EXISTS,
		"for account one; --replace");
	answers("sender add anna@example.org account=two replace=1",
		"{\"address\":\"anna@example.org\",\"account\":\"two\",\"done\":\"changed\"}");
	answers("sender add *@example.org account=three",
		"{\"address\":\"@example.org\",\"account\":\"three\",\"done\":\"added\"}");
	spool_close(&spool);
	open_spool();
	answers("sender list",
		"{\"senders\":[{\"address\":\"@example.org\",\"account\":\"three\",\"created\":"
		"\"1970-01-01T00:00:05Z\"},{\"address\":\"anna@example.org\",\"account\":\"two\","
		"\"created\":\"1970-01-01T00:00:05Z\"}]}");
	answers("sender remove ANNA@example.org",
		"{\"address\":\"anna@example.org\",\"account\":\"two\",\"done\":\"removed\"}");
	refuses("sender remove anna@example.org", BASE_ERROR_NOT_FOUND, "postern sender list");
}

static void a_change_that_is_rolled_back_is_none(void **state)
{
	struct base_slice words[] = {BASE_SLICE("add"), BASE_SLICE("*"), BASE_SLICE("account=x")};
	struct route_sender_request req = {.words = words, .word_count = 3};

	base_buf_clear(&out);
	assert_int_equal(route_sender_admin_run(spool, &req, &out, &err), 0);
	spool_rollback(spool);
	answers("list", "{\"senders\":[]}");
}

static void the_winner_is_told(void **state)
{
	assert_int_equal(run("sender add @example.org account=domain"), 0);
	assert_int_equal(run("sender add anna+*@example.org account=anna"), 0);
	assert_int_equal(run("sender add @own.example account=own"), 0);
	answers("sender test Anna+x@example.org",
		"{\"sender\":\"Anna+x@example.org\",\"address\":\"anna+*@example.org\","
		"\"account\":\"anna\"}");
	answers("sender test x@example.net",
		"{\"sender\":\"x@example.net\",\"address\":null,\"account\":null}");
	answers("sender test root",
		"{\"sender\":\"root\",\"address\":\"@own.example\",\"account\":\"own\"}");
	answers("sender test <> recipient=bert@example.org",
		"{\"sender\":\"<>\",\"address\":\"@example.org\",\"account\":\"domain\"}");
	answers("sender test <>", "{\"sender\":\"<>\",\"address\":null,\"account\":null}");
}

static void wrong_words_are_explained(void **state)
{
	refuses("sender", BASE_ERROR_PERMANENT, "add, list, remove or test");
	refuses("sender ad", BASE_ERROR_PERMANENT, "add, list, remove or test");
	refuses("sender add", BASE_ERROR_PERMANENT, "needs an address");
	refuses("sender add anna account=x", BASE_ERROR_PERMANENT, "\"anna\" has no @");
	refuses("sender add anna@example.org", BASE_ERROR_PERMANENT, "--account NAME");
	refuses("sender add anna@example.org account=a\x01", BASE_ERROR_PERMANENT, "no name");
	refuses("sender remove a*b@example.org", BASE_ERROR_PERMANENT, "anna+*@example.org");
	refuses("sender test", BASE_ERROR_PERMANENT, "needs a sender");
	answers("sender list", "{\"senders\":[]}");
}

/* Work that waits for a line is due with a change, other work is not. */
static void a_change_wakes_who_waits(void **state)
{
	struct spool_message m = {
		.id = BASE_SLICE("000000000000000a"), .arrived_ms = 1, .envelope = BASE_SLICE("e")};
	struct spool_work w = {.next_ms = 900000, .detail = BASE_SLICE("d")};
	struct spool_work got;

	assert_int_equal(spool_add(spool, &m, &w.seq, &err), 0);
	w.flags = SPOOL_WORK_WARNED;
	assert_int_equal(spool_work_put(spool, &w, &err), 0);
	w.unit = 1;
	w.flags = SPOOL_WORK_WARNED | SPOOL_WORK_NO_LINE;
	assert_int_equal(spool_work_put(spool, &w, &err), 0);
	w.unit = 2;
	w.ready = SPOOL_HELD;
	assert_int_equal(spool_work_put(spool, &w, &err), 0);
	assert_int_equal(spool_commit(spool, &err), 0);
	assert_int_equal(run("sender add @example.org account=x"), 0);
	assert_int_equal(spool_work_load(spool, w.seq, 0, &got, &err), 0);
	assert_int_equal(got.next_ms, 900000);
	assert_int_equal(spool_work_load(spool, w.seq, 1, &got, &err), 0);
	assert_int_equal(got.next_ms, 5000);
	assert_int_equal(spool_work_load(spool, w.seq, 2, &got, &err), 0);
	assert_int_equal(got.next_ms, 900000);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(lines_come_and_go),
		CASE(a_change_that_is_rolled_back_is_none),
		CASE(the_winner_is_told),
		CASE(wrong_words_are_explained),
		CASE(a_change_wakes_who_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
