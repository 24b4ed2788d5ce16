/* Connection counts over several fronts that share one memory. */
#include "base/test_support.h"

#include "base/clock.h"
#include "loop/counters.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct base_addr address(const char *text)
{
	struct base_addr addr;

	assert_true(base_addr_parse(base_slice_text(text), &addr));
	return addr;
}

static struct counters *made(uint32_t max, int *out_fd)
{
	struct base_error err;
	struct counters *c;

	assert_int_equal(counters_create(max, out_fd, &err), 0);
	assert_int_equal(counters_open(*out_fd, &c, &err), 0);
	return c;
}

static void limits_hold_over_fronts(void **state)
{
	struct base_addr a = address("192.0.2.1"), b = address("192.0.2.2");
	int fd;
	struct counters *c = made(100, &fd);

	assert_int_equal(counters_enter(c, 0, &a, 3, 100), COUNTERS_OK);
	assert_int_equal(counters_enter(c, 1, &a, 3, 100), COUNTERS_OK);
	assert_int_equal(counters_enter(c, 2, &a, 3, 100), COUNTERS_OK);
	assert_int_equal(counters_enter(c, 0, &a, 3, 100), COUNTERS_PER_IP);
	assert_int_equal(counters_enter(c, 0, &b, 3, 100), COUNTERS_OK);
	assert_int_equal(counters_total(c), 4);
	assert_int_equal(counters_enter(c, 1, &b, 3, 4), COUNTERS_TOTAL);
	counters_leave(c, 1, &a);
	assert_int_equal(counters_enter(c, 0, &a, 3, 100), COUNTERS_OK);
	/* leaving what was never entered changes nothing */
	counters_leave(c, 5, &a);
	assert_int_equal(counters_total(c), 4);
	counters_close(&c);
	close(fd);
}

static void a_dead_front_is_forgotten(void **state)
{
	struct base_addr a = address("2001:db8::1"), same = address("2001:db8::2"),
			 b = address("192.0.2.2");
	int fd;
	struct counters *c = made(100, &fd);

	assert_int_equal(counters_enter(c, 0, &a, 2, 100), COUNTERS_OK);
	assert_int_equal(
		counters_enter(c, 1, &same, 2, 100), COUNTERS_OK); /* one /64, one client */
	assert_int_equal(counters_enter(c, 1, &a, 2, 100), COUNTERS_PER_IP);
	assert_int_equal(counters_enter(c, 1, &b, 2, 100), COUNTERS_OK);
	counters_forget(c, 1);
	assert_int_equal(counters_total(c), 1);
	assert_int_equal(counters_enter(c, 0, &a, 2, 100), COUNTERS_OK);
	assert_int_equal(counters_enter(c, 0, &a, 2, 100), COUNTERS_PER_IP);
	counters_close(&c);
	close(fd);
}

static void slots_are_given_back(void **state)
{
	int fd;
	struct counters *c = made(100, &fd);
	char text[32];

	/* many more clients than slots, one after the other and in overlapping waves */
	for (unsigned round = 0; round < 40; round++) {
		for (unsigned i = 0; i < 400; i++) {
			snprintf(text, sizeof(text), "10.%u.%u.%u", round, i / 250, i % 250);
			struct base_addr addr = address(text);

			assert_int_equal(counters_enter(c, i % 3, &addr, 1, 100000), COUNTERS_OK);
			assert_int_equal(
				counters_enter(c, i % 3, &addr, 1, 100000), COUNTERS_PER_IP);
		}
		for (unsigned i = 0; i < 400; i++) {
			snprintf(text, sizeof(text), "10.%u.%u.%u", round, (399 - i) / 250,
				(399 - i) % 250);
			struct base_addr addr = address(text);

			counters_leave(c, (399 - i) % 3, &addr);
		}
		assert_int_equal(counters_total(c), 0);
	}
	counters_close(&c);
	close(fd);
}

static void processes_share_it_exactly(void **state)
{
	struct base_addr a = address("192.0.2.1");
	int fd, status, entered = 0, pipes[2];
	struct counters *c = made(1000, &fd);

	assert_int_equal(pipe(pipes), 0);
	for (unsigned front = 0; front < 8; front++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			for (int i = 0; i < 1000; i++)
				if (counters_enter(c, front, &a, 500, 100000) == COUNTERS_OK &&
					write(pipes[1], "x", 1) != 1)
					_exit(1);
			_exit(0);
		}
	}
	for (unsigned front = 0; front < 8; front++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	close(pipes[1]);
	for (char byte; read(pipes[0], &byte, 1) == 1;)
		entered++;
	assert_int_equal(entered, 500);
	assert_int_equal(counters_total(c), 500);
	close(pipes[0]);
	counters_close(&c);
	close(fd);
}

/* A front that was taken over writes what it likes, and holds the lock. */
static void a_spoilt_memory_harms_nobody(void **state)
{
	struct base_addr a = address("192.0.2.1"), b = address("2001:db8::1");
	int fd;
	struct counters *c = made(100, &fd);
	off_t size = lseek(fd, 0, SEEK_END);
	uint8_t junk[4096];

	assert_int_equal(ftruncate(fd, size / 2), -1);
	assert_int_equal(ftruncate(fd, size * 2), -1);
	for (unsigned round = 0; round < 200; round++) {
		base_random_fill(junk, sizeof(junk));
		for (off_t at = 0; at < size; at += (off_t)sizeof(junk))
			assert_true(pwrite(fd, junk,
					    (size_t)(size - at) < sizeof(junk) ? (size_t)(size - at)
									       : sizeof(junk),
					    at) > 0);
		memset(junk, 0, 4);
		assert_int_equal(pwrite(fd, junk, 4, 0), 4); /* the lock is free again */
		(void)counters_enter(c, round % COUNTERS_FRONTS_MAX, &a, UINT32_MAX, UINT32_MAX);
		(void)counters_enter(c, round % COUNTERS_FRONTS_MAX, &b, UINT32_MAX, UINT32_MAX);
		counters_leave(c, round % COUNTERS_FRONTS_MAX, &a);
		if (round % 10 == 0)
			counters_forget(c, round % COUNTERS_FRONTS_MAX);
	}
	counters_close(&c);
	close(fd);
}

static void a_lock_that_was_left_behind_is_taken(void **state)
{
	struct base_addr a = address("192.0.2.1");
	const uint32_t held = 3; /* by front 2 */
	int fd;
	struct counters *c = made(100, &fd), *other;
	struct base_error err;

	assert_int_equal(counters_open(fd, &other, &err), 0);
	assert_int_equal(counters_enter(c, 0, &a, 2, 100), COUNTERS_OK);
	assert_int_equal(pwrite(fd, &held, sizeof(held), 0), sizeof(held));
	counters_forget(other, 2); /* its next life, at once */
	assert_int_equal(pwrite(fd, &held, sizeof(held), 0), sizeof(held));
	assert_int_equal(counters_enter(c, 0, &a, 2, 100), COUNTERS_OK);
	assert_int_equal(counters_enter(c, 0, &a, 2, 100), COUNTERS_PER_IP);
	assert_int_equal(counters_total(c), 2);
	/* Again and again: limits are given up, not service. */
	assert_int_equal(pwrite(fd, &held, sizeof(held), 0), sizeof(held));
	assert_int_equal(counters_enter(c, 0, &a, 2, 100), COUNTERS_OK);
	counters_leave(c, 0, &a);
	counters_close(&other);
	counters_close(&c);
	close(fd);
}

static void a_foreign_memory_is_refused(void **state)
{
	struct base_error err;
	struct counters *c;
	FILE *file = tmpfile();

	assert_non_null(file);
	assert_int_equal(counters_open(fileno(file), &c, &err), BASE_ERROR_PEER);
	assert_int_equal(ftruncate(fileno(file), 100000), 0);
	assert_int_equal(counters_open(fileno(file), &c, &err), BASE_ERROR_PEER);
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_hold_over_fronts),
		cmocka_unit_test(a_dead_front_is_forgotten),
		cmocka_unit_test(slots_are_given_back),
		cmocka_unit_test(processes_share_it_exactly),
		cmocka_unit_test(a_spoilt_memory_harms_nobody),
		cmocka_unit_test(a_lock_that_was_left_behind_is_taken),
		cmocka_unit_test(a_foreign_memory_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
