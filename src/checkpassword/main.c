/* postern-checkpassword: descriptor 3 in, PROG out.
 *
 *	exit   when
 *	-      right: this process has become PROG, with USER set
 *	1      wrong login, or more than 512 bytes
 *	2      misuse: no PROG, fewer than two ended strings, an unknown option
 *	111    temporary: descriptor 3, the configuration, a source or PROG cannot be used
 *
 * Three names, told apart by the last part of argv[0]:
 *
 *	postern-checkpassword  options, then PROG and its arguments
 *	checkpassword          no options: all arguments are PROG's
 *	cmd5checkpw            the same, against one file of name:password and no configuration
 *
 * A missing file of cmd5checkpw's is 111 where the original says 2: it comes back, and the password
 * was not wrong.
 *
 * The order is that of the original: PROG, then descriptor 3, then all else. Descriptors 0 to 2 are
 * left as they are, and one line goes to 2 for each 111. Set-id this program does not work: who may
 * choose the configuration by the environment would choose who gets in, and PROG would inherit the
 * identity. */
#include "checkpassword/sources.h"

#include "loop/file.h"
#include "vault/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <unistd.h>

#define DEFAULT_CONF "/etc/postern/postern.conf"
#define DEFAULT_HOME "/var/qmail"

enum { LOGIN_FD = 3, CMD5_PATH_MAX_BYTES = 4096, CONF_MAX_BYTES = 1024 * 1024 };

struct run {
	bool cmd5;
	const char *conf_path;
	enum wire_checkpassword_order order;
	char **program;
};

static int temporary(const char *what)
{
	dprintf(STDERR_FILENO, "checkpassword: %s\n", what);
	return WIRE_CHECKPASSWORD_TEMPORARY;
}

static int misused(const char *what)
{
	dprintf(STDERR_FILENO,
		"checkpassword: %s\nusage: postern checkpassword [-c FILE] "
		"[--cram-order standard|legacy] PROG ARGS...\n",
		what);
	return WIRE_CHECKPASSWORD_MISUSED;
}

/* Files that are opened here must not become somebody's standard error. */
static void fill_standard_descriptors(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR | O_CLOEXEC) != fd)
			return;
}

/* Command line */

static bool parse_order(const char *word, enum wire_checkpassword_order *out)
{
	if (strcmp(word, "legacy") == 0)
		*out = WIRE_CHECKPASSWORD_LEGACY;
	else if (strcmp(word, "standard") == 0)
		*out = WIRE_CHECKPASSWORD_STANDARD;
	else
		return false;
	return true;
}

/* The value of @name at argv[*at]: "--name VALUE" or "--name=VALUE". Null: it is not this option,
 * or (*out_missing) it has no value. */
static const char *value_of(char **argv, int *at, const char *name, bool *out_missing)
{
	size_t len = strlen(name);

	if (strncmp(argv[*at], name, len) == 0 && argv[*at][len] == '=')
		return argv[*at] + len + 1;
	if (strcmp(argv[*at], name) != 0)
		return NULL;
	if (argv[*at + 1])
		return argv[++*at];
	*out_missing = true;
	return NULL;
}

/* Null: fine, and run->program is set (perhaps to nothing). Else what is wrong. */
static const char *parse_options(struct run *run, char **argv)
{
	bool missing = false;
	const char *value;
	int at = 1;

	for (; argv[at] && argv[at][0] == '-' && argv[at][1]; at++) {
		if (strcmp(argv[at], "--") == 0) {
			at++;
			break;
		}
		if ((value = value_of(argv, &at, "-c", &missing)) ||
			(value = value_of(argv, &at, "--conf", &missing)))
			run->conf_path = value;
		else if ((value = value_of(argv, &at, "--cram-order", &missing))) {
			if (!parse_order(value, &run->order))
				return "--cram-order is standard or legacy";
		} else {
			return missing ? "an option has no value" : "unknown option";
		}
	}
	run->program = argv + at;
	return NULL;
}

static const char *last_part(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path ? path : "";
}

/* 0, or the exit status. */
static int set_up(struct run *run, char **argv)
{
	const char *name = last_part(argv[0]), *env = getenv("POSTERN_CRAM_ORDER"), *wrong = NULL;
	bool env_good = !env || !env[0] || parse_order(env, &run->order);

	run->cmd5 = strcmp(name, "cmd5checkpw") == 0;
	run->conf_path = getenv("POSTERN_CONF");
	if (!run->conf_path || !run->conf_path[0])
		run->conf_path = DEFAULT_CONF;
	if (run->cmd5 || strcmp(name, "checkpassword") == 0)
		run->program = argv[0] ? argv + 1 : argv;
	else
		wrong = parse_options(run, argv);
	if (!wrong && !run->program[0])
		wrong = "no PROG to become";
	if (wrong)
		return misused(wrong);
	if (!env_good)
		return temporary("POSTERN_CRAM_ORDER is neither standard nor legacy");
	return 0;
}

/* Descriptor 3 */

/* Everything, and one byte more than is allowed at most. */
static int read_login(struct base_buf *in)
{
	int rc = 0;
	ssize_t n;

	do {
		size_t room = base_buf_room(in);

		n = read(LOGIN_FD, base_buf_reserve(in, room), room);
		if (n > 0)
			base_buf_grew(in, (size_t)n);
		else if (n < 0 && errno != EINTR)
			rc = temporary("descriptor 3 cannot be read");
	} while (rc == 0 && n != 0 && base_buf_room(in));
	close(LOGIN_FD);
	return rc;
}

/* Judging */

static int status_of(enum checkpassword_verdict verdict, const struct base_error *why)
{
	switch (verdict) {
	case CHECKPASSWORD_RIGHT:
		return WIRE_CHECKPASSWORD_ACCEPTED;
	case CHECKPASSWORD_WRONG:
	case CHECKPASSWORD_UNKNOWN:
		return WIRE_CHECKPASSWORD_REJECTED;
	case CHECKPASSWORD_CANNOT:
		break;
	}
	return temporary(why->text);
}

/* The first that is no mere warning. */
static const struct conf_finding *first_error(const struct conf_findings *findings)
{
	static const struct conf_finding unknown = {.text = (char *)(uintptr_t) "cannot be read"};

	for (size_t i = 0; i < findings->count; i++)
		if (!findings->items[i].warning)
			return &findings->items[i];
	return &unknown;
}

/* What the configuration says; not whether all the files are there that a server needs and we do
 * not. */
static struct conf *load(const char *path, struct conf_findings *findings, struct base_error *err)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	struct conf *conf = NULL;
	struct base_buf text;

	base_buf_init(&text, CONF_MAX_BYTES);
	if (!dir)
		base_out_of_memory();
	if (file_read(path, &text, NULL, err) == 0) {
		conf = conf_parse(base_buf_slice(&text), path, dir, findings);
		if (!conf)
			base_error_set(err, BASE_ERROR_CONFIG, 0, "configuration %s:%u: %s", path,
				first_error(findings)->line, first_error(findings)->text);
	}
	base_buf_release(&text);
	free(dir);
	return conf;
}

static int ask_providers(struct checkpassword_asker *a, const char *path)
{
	struct conf_findings findings = {0};
	struct conf *conf = load(path, &findings, &a->why);
	int status;

	a->conf = conf;
	status = status_of(conf ? checkpassword_ask(a) : CHECKPASSWORD_CANNOT, &a->why);
	conf_findings_release(&findings);
	conf_free(&conf);
	return status;
}

static int ask_authuser(struct checkpassword_asker *a)
{
	const char *file = getenv("AUTHUSER_FILE"), *home = getenv("QMAILHOME");
	char path[CMD5_PATH_MAX_BYTES];
	enum checkpassword_verdict verdict;

	if (!home || !home[0])
		home = DEFAULT_HOME;
	if (!file || !file[0]) {
		snprintf(path, sizeof(path), "%s/users/authuser", home);
		file = path;
	}
	verdict = checkpassword_ask_path(a, file, VAULT_FILE_AUTHUSER, "");
	if (verdict == CHECKPASSWORD_UNKNOWN)
		checkpassword_judge(
			a->login, a->login->password, BASE_SLICE_EMPTY, BASE_SLICE_EMPTY);
	return status_of(verdict, &a->why);
}

/* 0: right, and USER is set. */
static int judge(const struct run *run, struct base_slice in)
{
	struct checkpassword_login login;
	struct checkpassword_asker asker = {.login = &login, .client = getenv("TCPREMOTEIP")};
	char *name;
	int status;

	switch (checkpassword_login_read(in, run->order, &login)) {
	case WIRE_CHECKPASSWORD_OK:
		break;
	case WIRE_CHECKPASSWORD_LONG:
		return WIRE_CHECKPASSWORD_REJECTED;
	case WIRE_CHECKPASSWORD_NUL:
	case WIRE_CHECKPASSWORD_BROKEN:
		return WIRE_CHECKPASSWORD_MISUSED;
	}
	status = run->cmd5 ? ask_authuser(&asker) : ask_providers(&asker, run->conf_path);
	if (status == WIRE_CHECKPASSWORD_ACCEPTED) {
		name = base_slice_dup(login.name);
		if (setenv("USER", name, 1) != 0)
			status = temporary("out of memory");
		free(name);
	}
	return status;
}

int main(int argc, char **argv)
{
	struct run run = {.order = WIRE_CHECKPASSWORD_STANDARD};
	struct base_buf in;
	int status;

	fill_standard_descriptors();
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (getauxval(AT_SECURE))
		return temporary(
			"this program does not work set-id; let its caller read the vault");
	status = set_up(&run, argv);
	if (status != 0)
		return status;
	base_buf_init_secret(&in, WIRE_CHECKPASSWORD_MAX_BYTES + 1);
	status = read_login(&in);
	if (status == 0)
		status = judge(&run, base_buf_slice(&in));
	base_buf_release(&in);
	if (status != WIRE_CHECKPASSWORD_ACCEPTED)
		return status;
	execvp(run.program[0], run.program);
	dprintf(STDERR_FILENO, "checkpassword: cannot become %s: %s\n", run.program[0],
		strerror(errno));
	return WIRE_CHECKPASSWORD_TEMPORARY;
}
