/* What a checkpassword program sees, and what its end means. */
#include "provider/test_support.h"

#include "base/clock.h"
#include "provider/checker.h"

#include <signal.h>
#include <sys/wait.h>

static struct provider_source *open_script(const char *text, bool legacy)
{
	const char *path = support_write("checker", text, 0755);

	return provider_checkpassword.open(&(struct provider_options){
		.title = "old", .command = {path, "/bin/true"}, .cram_legacy = legacy});
}

static void script_sees(void **state)
{
	static const char script[] =
		"#!/bin/sh\n"
		"cd \"${0%/*}\"\n"
		"cat <&3 >bytes\n"
		"echo \"$@\" >argv\n"
		"env | grep -v -e ^_= -e ^PWD= -e ^OLDPWD= -e ^SHLVL= | sort >env\n"
		"readlink /proc/$$/fd/0 /proc/$$/fd/1 | cat >fds\n"
		"ls /proc/$$/fd | grep -v -e '^10$' | tr '\\n' ' ' >open\n"
		"read -r _ _ _ _ group _ </proc/$$/stat; [ $group = $$ ] && echo own >group\n"
		"exit 0\n";
	struct provider_source *s = open_script(script, false);
	struct provider_answer a;
	char text[1024];
	int leak = open("/dev/null", O_RDONLY);

	provider_answer_init(&a);
	assert_int_equal(
		support_ask(s, IPC_ASK_PASSWORD, "anna@example.org", "geheim", "ignored", &a),
		IPC_ASKED_RIGHT);
	assert_slice_equal(
		support_read("bytes", text, sizeof(text)), "anna@example.org\0geheim\0\0");
	assert_slice_equal(support_read("argv", text, sizeof(text)), "/bin/true\n");
	assert_slice_equal(support_read("env", text, sizeof(text)),
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
		"PROTO=TCP\nTCPREMOTEIP=192.0.2.7\n");
	assert_slice_equal(support_read("fds", text, sizeof(text)), "/dev/null\n/dev/null\n");
	assert_slice_equal(support_read("open", text, sizeof(text)), "0 1 2 3 ");
	assert_slice_equal(support_read("group", text, sizeof(text)), "own\n");
	close(leak);
	provider_answer_release(&a);
	s->type->close(s);
}

static void script_sees_challenges(void **state)
{
	static const char script[] = "#!/bin/sh\ncat <&3 >\"${0%/*}/bytes\"\nexit 0\n";
	const struct {
		enum ipc_ask kind;
		bool legacy;
		struct base_slice expected;
	} rows[] = {
		{IPC_ASK_CRAM, false, BASE_SLICE("tim\0b913\0<1@x>\0")},
		{IPC_ASK_CRAM, true, BASE_SLICE("tim\0<1@x>\0b913\0")},
		{IPC_ASK_APOP, false, BASE_SLICE("tim\0b913\0<1@x>\0")},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct provider_source *s = open_script(script, rows[i].legacy);
		struct provider_answer a;
		struct base_slice got;
		char text[256];

		provider_answer_init(&a);
		assert_int_equal(
			support_ask(s, rows[i].kind, "tim", "b913", "<1@x>", &a), IPC_ASKED_RIGHT);
		got = support_read("bytes", text, sizeof(text));
		assert_true(base_slice_equal(got, rows[i].expected));
		provider_answer_release(&a);
		s->type->close(s);
	}
}

static void ends_mean(void **state)
{
	const struct {
		const char *script;
		enum ipc_asked result;
		const char *reason; /* a part of it */
	} rows[] = {
		{"exit 0", IPC_ASKED_RIGHT, ""},
		{"cat <&3 >/dev/null; exit 1", IPC_ASKED_REFUSED, "exited 1"},
		{"exit 1", IPC_ASKED_REFUSED, "exited 1"},
		{"exec 3<&-; exit 1", IPC_ASKED_REFUSED, "exited 1"},
		{"exit 2", IPC_ASKED_REFUSED, "called wrongly"},
		{"exit 3", IPC_ASKED_REFUSED, "exited 3"},
		{"exit 111", IPC_ASKED_CANNOT, "temporary"},
		{"kill -9 $$", IPC_ASKED_CANNOT, "signal 9"},
		{"kill -15 $$", IPC_ASKED_CANNOT, "signal 15"},
		{"echo 'one\033[1m' >&2; yes 2>/dev/null | head -c 200000 >&2; exit 1",
			IPC_ASKED_REFUSED, "exited 1"},
		{"sleep 20 & exit 0", IPC_ASKED_RIGHT, ""},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct provider_source *s;
		struct provider_answer a;
		char script[256];

		snprintf(script, sizeof(script), "#!/bin/sh\n%s\n", rows[i].script);
		s = open_script(script, false);
		provider_answer_init(&a);
		if (support_ask(s, IPC_ASK_PASSWORD, "u", "p", "", &a) != rows[i].result ||
			!strstr(base_buf_text(&a.reason), rows[i].reason))
			fail_msg("%s: %d %s", rows[i].script, a.result, base_buf_text(&a.reason));
		provider_answer_release(&a);
		s->type->close(s);
	}
}

static enum ipc_asked ask_command(
	const char *program, const char *argument, const char **out_reason)
{
	static char reason[256];
	struct provider_source *s = provider_checkpassword.open(
		&(struct provider_options){.title = "old", .command = {program, argument}});
	struct provider_answer a;
	enum ipc_asked result;

	provider_answer_init(&a);
	result = support_ask(s, IPC_ASK_PASSWORD, "u", "p", "", &a);
	snprintf(reason, sizeof(reason), "%s", base_buf_text(&a.reason));
	*out_reason = reason;
	provider_answer_release(&a);
	s->type->close(s);
	return result;
}

static void what_cannot_be_started(void **state)
{
	const char *reason;

	assert_int_equal(
		ask_command("/nowhere/checkpassword", "/bin/true", &reason), IPC_ASKED_CANNOT);
	assert_non_null(strstr(reason, "No such file"));
	assert_int_equal(
		ask_command("mail.example.org", "/bin/checkpassword", &reason), IPC_ASKED_CANNOT);
	assert_int_equal(ask_command(support_write("data", "no program", 0644), "x", &reason),
		IPC_ASKED_CANNOT);
	assert_non_null(strstr(reason, "Permission denied"));
	assert_int_equal(ask_command("/bin/true", NULL, &reason), IPC_ASKED_CANNOT);
	assert_non_null(strstr(reason, "everybody"));
	assert_int_equal(ask_command("true", "/bin/true", &reason), IPC_ASKED_CANNOT);
	assert_non_null(strstr(reason, "everybody"));
}

static void refused_before_the_fork(void **state)
{
	struct provider_source *s = open_script("#!/bin/sh\n>\"${0%/*}/started\"\nexit 0\n", false);
	struct provider_question q = {
		.kind = IPC_ASK_PASSWORD, .name = BASE_SLICE("a\0b"), .secret = BASE_SLICE("p")};
	struct provider_answer a;
	char long_one[600];

	memset(long_one, 'x', sizeof(long_one) - 1);
	long_one[509] = '\0';
	provider_answer_init(&a);
	assert_int_equal(
		support_ask(s, IPC_ASK_PASSWORD, "u", long_one, "", &a), IPC_ASKED_REFUSED);
	provider_answer_clear(&a);
	s->type->ask(s, &q, &a);
	assert_int_equal(a.result, IPC_ASKED_REFUSED);
	assert_int_equal(support_ask(s, IPC_ASK_LOOKUP, "u", "", "", &a), IPC_ASKED_UNKNOWN);
	assert_int_equal(support_ask(s, IPC_ASK_SCRAM, "u", "salt", "", &a), IPC_ASKED_UNKNOWN);
	assert_int_equal(access(support_path("started"), F_OK), -1);
	/* One byte less fits. */
	long_one[508] = '\0';
	assert_int_equal(support_ask(s, IPC_ASK_PASSWORD, "u", long_one, "", &a), IPC_ASKED_RIGHT);
	assert_int_equal(access(support_path("started"), F_OK), 0);
	provider_answer_release(&a);
	s->type->close(s);
}

static void late_ones_are_killed_with_their_group(void **state)
{
	const char *script = support_write("slow",
		"#!/bin/sh\nsleep 30 & echo $! >\"${0%/*}/grandchild\"\necho words >&2\nwait\n",
		0755);
	char *command[] = {(char *)(uintptr_t)script, NULL};
	struct checker_run run = {.command = command,
		.bytes = BASE_SLICE("u\0p\0\0"),
		.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC),
		.limit_ms = 500};
	struct checker_result r;
	char text[32];
	int tries = 0;

	base_buf_init(&r.words, 4);
	checker_run(&run, &r);
	assert_int_equal(r.end, CHECKER_LATE);
	assert_slice_equal(base_buf_slice(&r.words), "word");
	support_read("grandchild", text, sizeof(text));
	while (kill(atoi(text), 0) == 0 && tries++ < 100)
		usleep(10000);
	/* A zombie without a reaper still counts as there; it does not run. */
	if (kill(atoi(text), 0) == 0) {
		char path[64], stat[256] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/stat", atoi(text));
		f = fopen(path, "r");
		assert_true(f && fgets(stat, sizeof(stat), f));
		fclose(f);
		assert_non_null(strstr(stat, ") Z"));
	}
	close(run.null_fd);
	base_buf_release(&r.words);
}

/* What a set-id checker does that has become the user whom it judged, and hangs. */
static void become_root_and_stay(void)
{
	if (setgid(0) == 0 && setuid(0) == 0)
		sleep(10);
	_exit(0);
}

/* As nobody, against a copy of this program that is set-id root: 0 if all went well. */
static int run_unkillable(char *copy)
{
	char *command[] = {copy, (char *)(uintptr_t) "--stay", NULL};
	struct checker_run run = {.command = command,
		.bytes = BASE_SLICE("u\0p\0\0"),
		.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC),
		.limit_ms = 1000};
	struct checker_result r;
	int64_t began = base_clock_monotonic_ms();

	base_buf_init(&r.words, 100);
	if (setgid(65534) != 0 || setuid(65534) != 0)
		return 2;
	checker_run(&run, &r);
	base_buf_release(&r.words);
	if (r.end == CHECKER_EXITED)
		return 77; /* set-id means nothing here */
	return r.end == CHECKER_LATE && base_clock_monotonic_ms() - began < 8000 ? 0 : 3;
}

static void one_that_cannot_be_killed_is_left(void **state)
{
	const char *copy = support_path("set-id");
	char text[256];
	int status;
	pid_t pid;

	if (geteuid() != 0)
		skip();
	snprintf(text, sizeof(text), "chmod 755 %s; cp /proc/%d/exe %s && chmod 4755 %s",
		support_dir, getpid(), copy, copy);
	assert_int_equal(system(text), 0);
	pid = fork();
	if (pid == 0)
		_exit(run_unkillable((char *)(uintptr_t)copy));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(script_sees),
		cmocka_unit_test(script_sees_challenges),
		cmocka_unit_test(ends_mean),
		cmocka_unit_test(what_cannot_be_started),
		cmocka_unit_test(refused_before_the_fork),
		cmocka_unit_test(late_ones_are_killed_with_their_group),
		cmocka_unit_test(one_that_cannot_be_killed_is_left),
	};

	if (argc > 1 && strcmp(argv[1], "--stay") == 0)
		become_root_and_stay();
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
