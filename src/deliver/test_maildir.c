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

	strcpy(p->dir, "/tmp/postern-maildir-XXXXXX");
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
	snprintf(path, sizeof(path), "%.500s/tmp/%.60s", p->path, name);
	assert_int_equal(access(path, F_OK), -1);
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
	        maildir_write(p->path, p->prefix, "n1", BASE_SLICE("R: x\n"), &source, &err), 0);
	expect_file(p, "n1", "R: x\nA: b\n\nhi\n");
	/* The same again replaces it; another name stands beside it. */
	assert_int_equal(
	        maildir_write(p->path, p->prefix, "n1", BASE_SLICE("R: y\n"), &source, &err), 0);
	expect_file(p, "n1", "R: y\nA: b\n\nhi\n");
	assert_int_equal(
	        maildir_write(p->path, p->prefix, "n2", BASE_SLICE_EMPTY, &source, &err), 0);
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
	        maildir_write(p->path, p->prefix, "big", BASE_SLICE("R: x\n"), &source, &err), 0);
	snprintf(big_path, sizeof(big_path), "%.500s/new/big", p->path);
	assert_int_equal(stat(big_path, &st), 0);
	assert_int_equal(st.st_size, 5 + (off_t)(size / 10 * 9));
	/* A file shorter than announced is no message. */
	source.size = size + 1;
	assert_true(
	        maildir_write(p->path, p->prefix, "short", BASE_SLICE_EMPTY, &source, &err) < 0);
	snprintf(big_path, sizeof(big_path), "%.500s/tmp/short", p->path);
	assert_int_equal(access(big_path, F_OK), -1);
	close(source.fd);
}

static void leftover_and_links(void **state)
{
	struct place *p = *state;
	struct maildir_source source = {.bytes = BASE_SLICE("x"), .fd = -1};
	char temp[1024], target[128];
	struct base_error err;
	struct stat st;

	assert_int_equal(
	        maildir_write(p->path, p->prefix, "n0", BASE_SLICE_EMPTY, &source, &err), 0);
	snprintf(temp, sizeof(temp), "%.500s/tmp/n1", p->path);
	snprintf(target, sizeof(target), "%.60s/target", p->dir);
	close(open(target, O_CREAT | O_RDWR, 0600));
	assert_int_equal(symlink(target, temp), 0);
	assert_int_equal(
	        maildir_write(p->path, p->prefix, "n1", BASE_SLICE_EMPTY, &source, &err), 0);
	expect_file(p, "n1", "x");
	assert_int_equal(stat(target, &st), 0);
	assert_int_equal(st.st_size, 0);
}

static void errors_name_the_path(void **state)
{
	struct maildir_source source = {.bytes = BASE_SLICE("x"), .fd = -1};
	struct base_error err;

	assert_int_equal(
	        maildir_write("/proc/nowhere/anna", 5, "n", BASE_SLICE_EMPTY, &source, &err),
	        BASE_ERROR_TEMPORARY);
	assert_non_null(strstr(err.text, "/proc/nowhere"));
	assert_true(maildir_write("/dev/null", 4, "n", BASE_SLICE_EMPTY, &source, &err) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(inline_message, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(file_message, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(leftover_and_links, set_up, tear_down),
	        cmocka_unit_test(errors_name_the_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
