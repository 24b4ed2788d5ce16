#include "deliver/maildir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
	char dir[64];
	char path[512];
	size_t prefix;
};

static int set_up(void **state)
{
	static struct place only;
	struct place *p = &only;

	snprintf(p->dir, sizeof(p->dir), "/tmp/postern-maildir-XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	snprintf(p->path, sizeof(p->path), "%.60s/example.org/anna", p->dir);
	p->prefix = strlen(p->dir);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %.60s", p->dir);
	(void)!system(command);
	return 0;
}

/* One message, begun and settled. */
static int write_one(const char *path, size_t prefix, const char *name, struct base_slice head,
	const struct maildir_source *source, struct base_error *err)
{
	struct maildir_file file;
	int rc = maildir_begin(path, prefix, name, head, source, &file, err);

	if (rc != 0)
		return rc;
	maildir_settle(&file, 1);
	*err = file.err;
	return file.err.class;
}

static void expect_file(const struct place *p, const char *name, const char *content)
{
	char path[1024], bytes[4096];
	struct stat st;
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "%.500s/new/%.60s", p->path, name);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	len = read(fd, bytes, sizeof(bytes));
	assert_int_equal(len, (ssize_t)strlen(content));
	assert_memory_equal(bytes, content, (size_t)len);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	close(fd);
	snprintf(path, sizeof(path), "%.500s/cur", p->path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void inline_message(void **state)
{
	struct place *p = *state;
	struct maildir_source source = {.bytes = BASE_SLICE("A: b\r\n\r\nhi\r\n"), .fd = -1};
	struct base_error err;

	assert_int_equal(
		write_one(p->path, p->prefix, "n1", BASE_SLICE("R: x\n"), &source, &err), 0);
	expect_file(p, "n1", "R: x\nA: b\n\nhi\n");
	/* The same again replaces it; another name stands beside it. */
	assert_int_equal(
		write_one(p->path, p->prefix, "n1", BASE_SLICE("R: y\n"), &source, &err), 0);
	expect_file(p, "n1", "R: y\nA: b\n\nhi\n");
	assert_int_equal(write_one(p->path, p->prefix, "n2", BASE_SLICE_EMPTY, &source, &err), 0);
	expect_file(p, "n2", "A: b\n\nhi\n");
}

static void file_message(void **state)
{
	struct place *p = *state;
	struct maildir_source source = {0};
	char path[128], big_path[1024];
	struct base_error err;
	const size_t size = 200000;
	struct stat st;

	snprintf(path, sizeof(path), "%.60s/message", p->dir);
	source.fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_true(source.fd >= 0);
	for (size_t i = 0; i < size; i += 10)
		assert_int_equal(write(source.fd, "01234567\r\n", 10), 10);
	source.size = size;
	assert_int_equal(
		write_one(p->path, p->prefix, "big", BASE_SLICE("R: x\n"), &source, &err), 0);
	snprintf(big_path, sizeof(big_path), "%.500s/new/big", p->path);
	assert_int_equal(stat(big_path, &st), 0);
	assert_int_equal(st.st_size, 5 + (off_t)(size / 10 * 9));
	/* A file shorter than announced is no message. */
	source.size = size + 1;
	assert_true(write_one(p->path, p->prefix, "short", BASE_SLICE_EMPTY, &source, &err) < 0);
	snprintf(big_path, sizeof(big_path), "rmdir %.500s/tmp", p->path);
	assert_int_equal(system(big_path), 0);
	close(source.fd);
}

/* The same recipient twice, others between, all settled at once. */
static void batch(void **state)
{
	struct place *p = *state;
	struct maildir_source one = {.bytes = BASE_SLICE("1"), .fd = -1};
	struct maildir_source two = {.bytes = BASE_SLICE("2"), .fd = -1};
	struct maildir_file files[4];
	struct base_error err;
	char other[512], left[1024];

	snprintf(other, sizeof(other), "%.60s/example.org/bob", p->dir);
	assert_int_equal(
		maildir_begin(p->path, p->prefix, "a", BASE_SLICE_EMPTY, &one, &files[0], &err), 0);
	assert_int_equal(
		maildir_begin(p->path, p->prefix, "a", BASE_SLICE_EMPTY, &two, &files[1], &err), 0);
	assert_int_equal(
		maildir_begin(p->path, p->prefix, "b", BASE_SLICE_EMPTY, &one, &files[2], &err), 0);
	assert_int_equal(
		maildir_begin(other, p->prefix, "a", BASE_SLICE_EMPTY, &one, &files[3], &err), 0);
	snprintf(left, sizeof(left), "%.500s/new/a", p->path);
	assert_int_equal(access(left, F_OK), -1);
	maildir_settle(files, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(files[i].err.class, BASE_ERROR_NONE);
	expect_file(p, "a", "2");
	expect_file(p, "b", "1");
	assert_int_equal(
		maildir_begin(other, p->prefix, "z", BASE_SLICE_EMPTY, &one, &files[0], &err), 0);
	maildir_abandon(files, 1);
	snprintf(left, sizeof(left), "rmdir %.500s/tmp", other);
	assert_int_equal(system(left), 0);
}

static void errors_name_the_path(void **state)
{
	struct maildir_source source = {.bytes = BASE_SLICE("x"), .fd = -1};
	struct base_error err;

	assert_int_equal(write_one("/proc/nowhere/anna", 5, "n", BASE_SLICE_EMPTY, &source, &err),
		BASE_ERROR_TEMPORARY);
	assert_non_null(strstr(err.text, "/proc/nowhere"));
	assert_true(write_one("/dev/null", 4, "n", BASE_SLICE_EMPTY, &source, &err) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(inline_message, set_up, tear_down),
		cmocka_unit_test_setup_teardown(file_message, set_up, tear_down),
		cmocka_unit_test_setup_teardown(batch, set_up, tear_down),
		cmocka_unit_test(errors_name_the_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
