/* What most commands begin with: the configuration, whose files they are, the program beside us. */
#include "cli/cli.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct conf *cli_conf(const struct cli *cli)
{
	struct conf_findings findings;
	struct conf *c = conf_load(cli->conf_path, &findings);
	struct base_buf text;

	if (!c) {
		base_buf_init(&text, 1 << 20);
		conf_findings_print(cli->conf_path, &findings, &text);
		fwrite(text.ptr, 1, text.len, stderr);
		base_buf_release(&text);
	}
	conf_findings_release(&findings);
	return c;
}

struct cli_account cli_account(const struct conf *conf)
{
	struct cli_account a = {.root = geteuid() == 0, .uid = geteuid(), .gid = getegid()};
	const struct passwd *pw = NULL;

	if (!a.root)
		return a;
	if (conf && conf->user)
		pw = getpwnam(conf->user);
	if (!pw && !(conf && conf->user))
		pw = getpwnam("postern");
	if (!pw && !(conf && conf->user))
		pw = getpwnam("nobody");
	if (!pw)
		return a;
	a.uid = pw->pw_uid;
	a.gid = pw->pw_gid;
	snprintf(a.name, sizeof(a.name), "%s", pw->pw_name);
	return a;
}

int cli_make_dir(
	const char *path, unsigned mode, const struct cli_account *account, struct base_error *err)
{
	char *copy = base_strdup(path);
	int rc = 0;

	for (char *p = copy + 1; rc == 0 && *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, 0755) != 0 && errno != EEXIST)
			rc = base_error_errno(err, BASE_ERROR_CONFIG, errno,
				"cannot make directory \"%s\"", copy);
		*p = '/';
	}
	free(copy);
	if (rc != 0)
		return rc;
	if (mkdir(path, mode) == 0) {
		if (account && account->root && chown(path, account->uid, account->gid) != 0)
			return base_error_errno(err, BASE_ERROR_CONFIG, errno,
				"cannot give \"%s\" to %s", path, account->name);
		return 0;
	}
	if (errno == EEXIST)
		return 0;
	return base_error_errno(
		err, BASE_ERROR_CONFIG, errno, "cannot make directory \"%s\"", path);
}

/* A database there tells best whose all of them are; then the directory; then the service account.
 */
static void owner_of(const struct conf *conf, struct cli_account *a)
{
	static const char *const names[] = {"/vault.db", "/spool.db", ""};
	struct stat st;

	for (size_t i = 0; i < BASE_COUNT(names); i++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s%s", conf->data, names[i]);
		if (stat(path, &st) != 0)
			continue;
		/* A directory of root's becomes the service account's, as the server would do. */
		if (names[i][0] == '\0' && st.st_uid == 0 && chown(path, a->uid, a->gid) == 0)
			return;
		a->uid = st.st_uid;
		a->gid = st.st_gid;
		return;
	}
}

/* Can user @a reach the files at all? A directory above them may be closed to all but root. */
static bool can_reach(const char *path, const struct cli_account *a)
{
	bool reached;

	if (setegid(a->gid) != 0 || seteuid(a->uid) != 0)
		return false;
	reached = eaccess(path, R_OK | W_OK | X_OK) == 0;
	if (seteuid(0) != 0 || setegid(0) != 0)
		abort();
	return reached;
}

int cli_become_owner(const struct conf *conf, struct cli_account *out, struct base_error *err)
{
	struct cli_account a = cli_account(conf);
	int rc = cli_make_dir(conf->data, 0700, a.root ? &a : NULL, err);

	if (rc != 0 || !a.root) {
		*out = a;
		return rc;
	}
	owner_of(conf, &a);
	a.root = a.uid != 0;
	*out = a;
	if (!a.root || !can_reach(conf->data, &a))
		return 0;
	out->root = false;
	if (setgroups(0, NULL) != 0 || setgid(a.gid) != 0 || setuid(a.uid) != 0)
		return base_error_errno(err, BASE_ERROR_CONFIG, errno,
			"cannot become user %u, who owns "
			"\"%s\"",
			a.uid, conf->data);
	return 0;
}

bool cli_program_path(const char *program, char *out, size_t size)
{
	static const char *const places[] = {"/libexec/postern", "/../libexec/postern",
		"/../lib/postern", "/../lib/x86_64-linux-gnu/postern"};
	char self[4096];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (len <= 0)
		return false;
	self[len] = '\0';
	slash = strrchr(self, '/');
	*slash = '\0';
	for (size_t i = 0; i < BASE_COUNT(places); i++) {
		int n = snprintf(out, size, "%s%s/%s", self, places[i], program);

		if (n > 0 && (size_t)n < size && access(out, X_OK) == 0)
			return true;
	}
	return false;
}
