/* A saslauthd that answers as a row says, slowly, in parts, too much, or not at all. */
#include "provider/test_support.h"

#include "loop/local.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

struct daemon_row {
	const char *name;
	struct base_slice reply;
	unsigned part_bytes; /* 0: at once */
	size_t read_bytes;   /* of the request, before it answers */
	enum ipc_asked result;
	const char *reason;
};

/* One connection: what came goes into the file "request". */
static _Noreturn void serve(int listener, const struct daemon_row *row)
{
	uint8_t in[2048];
	size_t have = 0;
	int fd, file;

	fcntl(listener, F_SETFL, 0);
	fd = accept(listener, NULL, NULL);
	while (have < row->read_bytes) {
		ssize_t n = read(fd, in + have, row->read_bytes - have);

		if (n <= 0)
			break;
		have += (size_t)n;
	}
	file = open(support_path("request"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (write(file, in, have) < 0)
		_exit(1);
	for (size_t at = 0; at < row->reply.len;) {
		size_t n = row->part_bytes ? row->part_bytes : row->reply.len;

		if (send(fd, row->reply.ptr + at, n, MSG_NOSIGNAL) < 0)
			break;
		at += n;
		usleep(1000);
	}
	_exit(0);
}

static void replies(void **state)
{
	static uint8_t endless[5000] = {0x04, 0x00};
	const size_t all = 5 + 8 + 6 + 13 + 13;
	const struct daemon_row rows[] = {
		{"yes", BASE_SLICE("\0\2OK"), 0, all, IPC_ASKED_RIGHT, ""},
		{"yes, byte by byte", BASE_SLICE("\0\2OK"), 1, all, IPC_ASKED_RIGHT, ""},
		{"no", BASE_SLICE("\0\2NO"), 0, all, IPC_ASKED_REFUSED, "says no"},
		{"no with words", BASE_SLICE("\0\014NO bad\033 auth"), 0, all, IPC_ASKED_REFUSED,
			"says no: bad\\x1b auth"},
		{"closes at once", BASE_SLICE(""), 0, 0, IPC_ASKED_CANNOT, "without an answer"},
		{"closes", BASE_SLICE(""), 0, all, IPC_ASKED_CANNOT, "without an answer"},
		{"half an answer", BASE_SLICE("\0\2O"), 0, all, IPC_ASKED_CANNOT,
			"without an answer"},
		{"something else", BASE_SLICE("\0\5HELLO"), 0, all, IPC_ASKED_CANNOT,
			"something else"},
		{"too much", base_slice_make(endless, sizeof(endless)), 0, all, IPC_ASKED_CANNOT,
			"something else"},
		/* The fourth string ends before the client's address. */
		{"reads four strings", BASE_SLICE("\0\2OK"), 0, all - 13, IPC_ASKED_RIGHT, ""},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct provider_source *s;
		struct provider_answer a;
		struct base_error err;
		int listener, status;
		char text[256];
		pid_t pid;

		unlink(support_path("mux"));
		assert_int_equal(
			local_listen(support_path("mux"), SOCK_STREAM, 0600, &listener, &err), 0);
		pid = fork();
		if (pid == 0)
			serve(listener, &rows[i]);
		close(listener);
		/* The directory stands for the socket in it. */
		s = provider_saslauthd.open(&(struct provider_options){.title = "sasld",
			.path = i % 2 ? support_dir : support_path("mux"),
			.service = "smtp"});
		provider_answer_init(&a);
		support_ask(s, IPC_ASK_PASSWORD, "a@b@example.org", "geheim", "", &a);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (a.result != rows[i].result || !strstr(base_buf_text(&a.reason), rows[i].reason))
			fail_msg("%s: %d %s", rows[i].name, a.result, base_buf_text(&a.reason));
		if (rows[i].read_bytes == all)
			assert_slice_equal(support_read("request", text, sizeof(text)),
				"\0\3a@b\0\6geheim\0\4smtp\0\13example.org\0\013192.0.2.7;0");
		provider_answer_release(&a);
		s->type->close(s);
	}
}

static void nobody_there(void **state)
{
	struct provider_source *s = provider_saslauthd.open(&(struct provider_options){
		.title = "sasld", .path = support_path("nowhere"), .service = "smtp"});
	struct provider_question q = {
		.kind = IPC_ASK_PASSWORD, .name = BASE_SLICE("a\0b"), .secret = BASE_SLICE("p")};
	struct provider_answer a;
	char long_one[300];

	memset(long_one, 'x', sizeof(long_one));
	long_one[257] = '\0';
	provider_answer_init(&a);
	assert_int_equal(support_ask(s, IPC_ASK_PASSWORD, "u", "p", "", &a), IPC_ASKED_CANNOT);
	assert_non_null(strstr(base_buf_text(&a.reason), "nowhere"));
	assert_int_equal(
		support_ask(s, IPC_ASK_PASSWORD, "u", long_one, "", &a), IPC_ASKED_REFUSED);
	provider_answer_clear(&a);
	s->type->ask(s, &q, &a);
	assert_int_equal(a.result, IPC_ASKED_REFUSED);
	assert_int_equal(support_ask(s, IPC_ASK_CRAM, "u", "d", "c", &a), IPC_ASKED_UNKNOWN);
	assert_int_equal(support_ask(s, IPC_ASK_LOOKUP, "u", "", "", &a), IPC_ASKED_UNKNOWN);
	provider_answer_release(&a);
	s->type->close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies),
		cmocka_unit_test(nobody_there),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
