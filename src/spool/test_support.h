/* spool/test_support.h: a spool in a folder of its own for each test */
#ifndef SPOOL_TEST_SUPPORT_H
#define SPOOL_TEST_SUPPORT_H

#include "spool/spool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char test_dir[256];
static struct base_error test_err;
static const char *test_vfs;

static inline struct spool *test_open(bool named)
{
	struct spool_options o = {.data_dir = test_dir,
		.owner = "test",
		.vfs = test_vfs,
		.named_files = named,
		.wait_ms = 5000};
	struct spool *s;

	if (spool_open(&s, &o, &test_err) != 0)
		fail_msg("%s", test_err.text);
	return s;
}

static inline struct spool *test_reopen(struct spool *s)
{
	spool_close(&s);
	return test_open(false);
}

static inline struct spool *test_reopen_named(struct spool *s)
{
	spool_close(&s);
	return test_open(true);
}

static inline void test_make_dir(void)
{
	const char *base = getenv("TMPDIR");

	snprintf(test_dir, sizeof(test_dir), "%s/postern-test-XXXXXX", base ? base : "/tmp");
	assert_non_null(mkdtemp(test_dir));
}

static inline void test_remove_dir(void)
{
	char command[320];

	snprintf(command, sizeof(command), "rm -r '%s'", test_dir);
	assert_int_equal(system(command), 0);
}

static inline int test_setup(void **state)
{
	test_make_dir();
	*state = test_open(false);
	return 0;
}

static inline int test_teardown(void **state)
{
	struct spool *s = *state;

	spool_close(&s);
	test_remove_dir();
	return 0;
}

static inline void test_begin(struct spool *s)
{
	assert_int_equal(spool_begin(s, SPOOL_SYNC, &test_err), 0);
}

static inline int test_add(struct spool *s, const char *id, const char *body, int64_t *out_seq)
{
	struct spool_message m = {
		.id = base_slice_text(id),
		.arrived_ms = 1000,
		.size = strlen(body),
		.envelope = BASE_SLICE("envelope"),
		.body = base_slice_text(body),
	};

	return spool_add(s, &m, out_seq, &test_err);
}

#define test_case(f) cmocka_unit_test_setup_teardown(f, test_setup, test_teardown)

#endif
