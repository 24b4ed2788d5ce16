/* kill -9 at any time: what was answered is there, what was removed and answered is not. */
#include "spool/test_support.h"

#include <signal.h>
#include <time.h>

enum { ROUNDS = 12, KILL_US_MAX = 30000, NUMBERS = 200000 };

struct answer {
	int number;
	bool added; /* else removed */
};

static void id_of(int number, char id[32])
{
	snprintf(id, 32, "000000000k%06d", number);
}

static int keep_file(struct spool *s, const char *id, int64_t *out_seq)
{
	struct spool_file f;
	struct spool_message m = {
		.id = base_slice_text(id), .size = 4, .file = true, .envelope = BASE_SLICE("e")};

	if (spool_file_make(s, &f, &test_err) != 0 || write(f.fd, "file", 4) != 4)
		return -1;
	if (spool_file_keep(s, &f, m.id, 4, &test_err) != 0)
		return -1;
	return spool_add(s, &m, out_seq, &test_err);
}

/* Turns of three additions (one with a file) and the removal of the three before; tell what is done
 * after the commit, in one write. */
_Noreturn static void work_until_killed(int first, int out)
{
	struct spool *s = test_open(false);
	int64_t seqs[3] = {0}, seq;
	struct answer told[6];
	char id[32];
	int number = first, rc, n;

	for (;; number += 3) {
		n = 0;
		for (int i = 0; i < 3; i++) {
			if (number > first) {
				id_of(number - 3 + i, id);
				rc = spool_remove(
					s, seqs[i], base_slice_text(id), i == 2, false, &test_err);
				if (rc != 0)
					_exit(1);
				told[n++] = (struct answer){number - 3 + i, false};
			}
			id_of(number + i, id);
			rc = i == 2 ? keep_file(s, id, &seq) : test_add(s, id, "body", &seq);
			if (rc != 0)
				_exit(1);
			seqs[i] = seq;
			told[n++] = (struct answer){number + i, true};
		}
		if (spool_commit(s, &test_err) != 0 || spool_maintain(s, &test_err) != 0)
			_exit(1);
		n *= (int)sizeof(told[0]);
		if (write(out, told, (size_t)n) != n)
			_exit(1);
	}
}

static signed char want[NUMBERS]; /* 1 there, -1 gone, 0 unknown */

static int read_answers(int in, int first)
{
	struct answer a;
	int last = first;

	while (read(in, &a, sizeof(a)) == (ssize_t)sizeof(a)) {
		if (a.number >= NUMBERS)
			break;
		want[a.number] = a.added ? 1 : -1;
		last = a.number > last ? a.number : last;
	}
	/* What the killed turn did is not known: the three added last may be gone, three more there. */
	return last;
}

static void check(int upto, int unknown_from)
{
	struct spool *s = test_open(false);
	struct spool_message m;
	int64_t seq;
	char id[32];
	int rc, fd;

	for (int i = 0; i <= upto; i++) {
		if (want[i] == 0 || (i >= unknown_from && want[i] > 0))
			continue;
		id_of(i, id);
		rc = spool_find(s, base_slice_text(id), &seq, &test_err);
		if (rc != (want[i] > 0 ? 0 : BASE_ERROR_NOT_FOUND))
			fail_msg("message %s: %d, wanted %d", id, rc, want[i]);
		if (rc != 0)
			continue;
		assert_int_equal(spool_load(s, seq, true, &m, &test_err), 0);
		if (m.file) {
			assert_int_equal(spool_file_open(s, m.id, &fd, &test_err), 0);
			close(fd);
		}
	}
	/* Every row has its file, whatever happened to the last turn. */
	for (seq = 0; spool_next(s, seq, &seq, &test_err) == 0;) {
		assert_int_equal(spool_load(s, seq, false, &m, &test_err), 0);
		if (m.file) {
			assert_int_equal(spool_file_open(s, m.id, &fd, &test_err), 0);
			close(fd);
		}
	}
	spool_close(&s);
}

static void killed_at_any_time(void **state)
{
	int number = 0, fds[2], status, last;
	struct timespec wait;
	pid_t pid;

	(void)state;
	test_make_dir();
	srand(7);
	for (int round = 0; round < ROUNDS; round++) {
		assert_int_equal(pipe(fds), 0);
		pid = fork();
		if (pid == 0) {
			close(fds[0]);
			work_until_killed(number, fds[1]);
		}
		close(fds[1]);
		wait = (struct timespec){.tv_nsec = (20000 + rand() % KILL_US_MAX) * 1000l};
		nanosleep(&wait, NULL);
		kill(pid, SIGKILL);
		assert_true(waitpid(pid, &status, 0) == pid);
		assert_true(WIFSIGNALED(status));
		last = read_answers(fds[0], number);
		close(fds[0]);
		/* The turn after the last answer may have removed what that one added. */
		check(last, last - 2);
		for (int i = last > 2 ? last - 2 : 0; i <= last; i++)
			want[i] = 0;
		number = last + 10;
	}
	assert_true(number > ROUNDS * 10);
	test_remove_dir();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
