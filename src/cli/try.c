/* postern try: a server on loopback that needs no set-up and shows what it does. Everything it
 * makes is in ./postern-try. The master's standard error passes through here, so that the ports can
 * be named at the moment when they listen. */
#include "cli/explain_read.h"
#include "cli/make.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEFAULT_PORT = 2587 };

struct
try {
	struct cli *cli;
	unsigned port;
	const char *user, *password;
	char dir[3000];
	char conf_path[3100], chain_path[3100], key_path[3100], maildir[3100];
	const char *account; /* key `user`, or null */
	struct cli_account owner;
	struct base_error err;
};

static const char conf_text[] =
	"# Written anew by each postern try.\n"
	"hostname = \"localhost\"\n"
	"data = \"%s/data\"\n"
	"run  = \"%s/run\"\n"
	"%s"
	"tls { certificate = \"%s/cert.pem\"  key = \"%s/key.pem\" }\n"
	"listener starttls { address = \"127.0.0.1:%u\"  tls = \"starttls\" }\n"
	"listener implicit { address = \"127.0.0.1:%u\"  tls = \"implicit\" }\n"
	"auth { mechanisms = {%s} }\n"
	"route \"*\" { via = \"maildir:%s/maildir\" }\n"
	"log { format = \"text\"  dialogue = true }\n";

/* May @owner walk to @path from the root? Only then can roles run under that account. */
static bool reachable(const char *path, const struct cli_account *owner)
{
	pid_t pid = fork();
	int status = 1;

	if (pid == 0) {
		if (setgid(owner->gid) != 0 || setuid(owner->uid) != 0)
			_exit(1);
		_exit(access(path, X_OK) == 0 ? 0 : 1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return false;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int choose_paths(struct try *t)
{
	char cwd[2900];

	if (!getcwd(cwd, sizeof(cwd)) || strpbrk(cwd, "\"\\\n\r{}"))
		return cli_fail(t->cli, CLI_FAILED,
			"the current directory's name cannot be written into a "
			"configuration; start from another one");
	snprintf(t->dir, sizeof(t->dir), "%s/postern-try", cwd);
	snprintf(t->conf_path, sizeof(t->conf_path), "%s/postern.conf", t->dir);
	snprintf(t->chain_path, sizeof(t->chain_path), "%s/cert.pem", t->dir);
	snprintf(t->key_path, sizeof(t->key_path), "%s/key.pem", t->dir);
	snprintf(t->maildir, sizeof(t->maildir), "%s/maildir", t->dir);
	t->owner = cli_account(NULL);
	if (t->owner.root && !reachable(cwd, &t->owner)) {
		t->account = "root";
		t->owner.uid = t->owner.gid = 0;
	}
	return CLI_OK;
}

static int make_dirs(struct try *t)
{
	static const char *const parts[] = {
		"", "/data", "/run", "/maildir", "/maildir/cur", "/maildir/new", "/maildir/tmp"};
	char path[3200];
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < BASE_COUNT(parts); i++) {
		snprintf(path, sizeof(path), "%s%s", t->dir, parts[i]);
		rc = cli_make_dir(path, i == 0 || i == 2 ? 0755 : 0700, &t->owner, &t->err);
	}
	return rc;
}

static void list_mechanisms(struct base_buf *out)
{
	for (unsigned bit = 0; bit < 32; bit++)
		if (conf_mechanism_name(bit) && conf_mechanism_is_served(bit))
			base_buf_printf(
				out, "%s\"%s\"", out->len ? ", " : "", conf_mechanism_name(bit));
}

static int write_conf(struct try *t)
{
	struct base_buf b, mechanisms;
	char account[100] = "";
	int rc;

	base_buf_init(&b, 65536);
	base_buf_init(&mechanisms, 4096);
	list_mechanisms(&mechanisms);
	if (t->account)
		snprintf(account, sizeof(account), "user = \"%s\"\n", t->account);
	base_buf_printf(&b, conf_text, t->dir, t->dir, account, t->dir, t->dir, t->port,
		t->port + 1, base_buf_text(&mechanisms), t->dir);
	rc = make_file(t->conf_path, 0644, true, base_buf_slice(&b), NULL, &t->err);
	base_buf_release(&b);
	base_buf_release(&mechanisms);
	return rc;
}

static int make_all(struct try *t)
{
	struct conf_findings findings;
	struct conf *conf;
	int rc = make_dirs(t);

	if (rc == 0 && access(t->key_path, F_OK) != 0)
		rc = make_certificate("localhost", t->chain_path, t->key_path, true, NULL, &t->err);
	if (rc == 0)
		rc = write_conf(t);
	if (rc != 0)
		return rc;
	conf = conf_load(t->conf_path, &findings);
	if (!conf)
		rc = base_error_set(&t->err, BASE_ERROR_CONFIG, 0, "%s:%u: %s", t->conf_path,
			findings.items[0].line, findings.items[0].text);
	else
		rc = make_user(conf, t->user, base_slice_text(t->password), true, &t->err);
	conf_findings_release(&findings);
	conf_free(&conf);
	return rc;
}

static void say_ready(const struct try *t)
{
	printf("\nPostern listens on loopback:\n"
	       "  127.0.0.1:%u   STARTTLS\n"
	       "  127.0.0.1:%u   implicit TLS\n"
	       "  user %s, password %s; certificate %s\n"
	       "  mail is kept in %s\n\n"
	       "Send a message from another terminal:\n"
	       "  printf 'Subject: hello\\n\\nIt works.\\n' | postern send --server localhost:%u "
	       "\\\n"
	       "    --ca %s --user %s --from %s@example.org --to you@example.org --trace\n"
	       "Its dialogue is shown here. Ctrl-C ends the server.\n\n",
		t->port, t->port + 1, t->user, t->password, t->chain_path, t->maildir, t->port,
		t->chain_path, t->user, t->user);
	fflush(stdout);
}

static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
	stop_signal = number;
}

/* What an AUTH line means. Sessions that overlap share the dialogue, and may confuse it. */
static void explain_to_people(struct base_slice line)
{
	static const struct explain_options none = {0};
	static struct explain *dialogue;
	struct explain_read r = explain_read(EXPLAIN_FORMAT_MARKS, line);
	struct explain_line words;

	if (r.who == EXPLAIN_NOBODY)
		return;
	if (!dialogue)
		dialogue = explain_new(&none);
	explain_line_init(&words);
	explain_push(dialogue, r.who, r.text, &words);
	if (words.auth && words.meaning.len)
		fprintf(stderr, "   (%.*s)\n", BASE_SLICE_ARGS(base_buf_slice(&words.meaning)));
	explain_line_release(&words);
}

/* Copy the server's bytes to our standard error, line by line: each AUTH line is explained, and the
 * banner stands behind the line that says ready. */
static void copy_lines(const struct try *t, struct base_buf *held, bool *io_ready)
{
	static const char mark[] = "postern: ready";
	size_t end;

	while ((end = base_slice_find(base_buf_slice(held), '\n')) < held->len) {
		fwrite(held->ptr, 1, end + 1, stderr);
		explain_to_people(base_slice_make(held->ptr, end));
		if (!*io_ready && memmem(held->ptr, end, mark, sizeof(mark) - 1)) {
			*io_ready = true;
			say_ready(t);
		}
		base_buf_consume(held, end + 1);
	}
}

static int wait_for_master(const struct try *t, pid_t master)
{
	int status = 0;

	while (waitpid(master, &status, 0) < 0 && errno == EINTR)
		continue;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return CLI_OK;
	return cli_fail(
		t->cli, CLI_FAILED, "the server ended with an error; its last lines say why");
}

static int watch(const struct try *t, int fd, pid_t master)
{
	bool ready = false, told = false;
	struct base_buf held;
	ssize_t n = 1;

	base_buf_init(&held, 1 << 20);
	while (n > 0) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		uint8_t *to;

		if (stop_signal && !told) {
			kill(master, SIGTERM);
			told = true;
		}
		if (poll(&p, 1, 200) <= 0)
			continue;
		to = base_buf_reserve(&held, 4096);
		n = to ? read(fd, to, 4096) : 0;
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			base_buf_grew(&held, (size_t)n);
		copy_lines(t, &held, &ready);
	}
	if (held.len)
		fwrite(held.ptr, 1, held.len, stderr);
	base_buf_release(&held);
	close(fd);
	return wait_for_master(t, master);
}

static int run_master(struct try *t)
{
	struct sigaction action = {.sa_handler = on_signal};
	char master[4096];
	char *argv[] = {master, t->conf_path, NULL};
	int pipes[2];
	pid_t pid;

	if (!cli_program_path("postern-master", master, sizeof(master)))
		return cli_fail(t->cli, CLI_FAILED,
			"cannot find postern-master in libexec/postern beside "
			"this program; install or build it");
	if (pipe(pipes) != 0)
		return cli_fail(t->cli, CLI_FAILED, "cannot make a pipe: %s", strerror(errno));
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		/* Ctrl-C is for us alone, who then tell the server once. */
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		dup2(pipes[1], STDERR_FILENO);
		close(pipes[0]);
		close(pipes[1]);
		execv(master, argv);
		_exit(127);
	}
	close(pipes[1]);
	if (pid < 0)
		return cli_fail(t->cli, CLI_FAILED, "cannot start the server: %s", strerror(errno));
	return watch(t, pipes[0], pid);
}

static int run(struct cli *cli)
{
	struct try t = {.cli = cli,
		.port = DEFAULT_PORT,
		.user = cli_value(cli, "user"),
		.password = cli_value(cli, "password")};
	const char *port = cli_value(cli, "port");
	uint64_t number = DEFAULT_PORT;
	int status;

	if (port &&
		(!base_slice_to_u64(base_slice_text(port), &number) || number == 0 ||
			number > 65534))
		return cli_fail(cli, CLI_USAGE,
			"--port %s is no port; write 1 to 65534 (the next one is used "
			"too)",
			port);
	t.port = (unsigned)number;
	if (!t.user)
		t.user = "try";
	if (!t.password)
		t.password = "try";
	status = choose_paths(&t);
	if (status != CLI_OK)
		return status;
	if (make_all(&t) != 0)
		return cli_fail_error(cli, &t.err);
	return run_master(&t);
}

static const struct cli_option options[] = {
	{"port", 0, CLI_VALUE, "N", "STARTTLS on N, implicit TLS on N+1; default 2587"},
	{"user", 0, CLI_VALUE, "USER", "who may log in; default try"},
	{"password", 0, CLI_VALUE, "PASSWORD", "with this password; default try"},
	CLI_OPTION_END,
};

const struct cli_command cli_command_try = {
	.name = "try",
	.summary = "a server on loopback, at once, that shows every dialogue",
	.synopsis = "try [--port N] [--user USER] [--password PASSWORD]",
	.details = "Everything is kept in ./postern-try; mail in ./postern-try/maildir. All "
		   "mechanisms are on,\n"
		   "CRAM-MD5 too. Only programs of this machine can connect.\n",
	.options = options,
	.run = run,
};
