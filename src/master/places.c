#include "master/places.h"

#include "loop/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, TAKE_BACK_DEPTH = 3 };

/* The directory that must exist before {user} and its like are put in; false: there is none. */
static bool maildir_prefix(const struct conf_route *route, char *out)
{
	const char *brace, *slash = NULL;

	if (route->via != CONF_VIA_MAILDIR || !route->text || route->text[0] != '/')
		return false;
	brace = strchr(route->text, '{');
	for (const char *at = route->text; *at && at != brace; at++)
		slash = *at == '/' ? at : slash;
	if (!slash || slash == route->text || slash - route->text >= PATH_BYTES)
		return false;
	memcpy(out, route->text, (size_t)(slash - route->text));
	out[slash - route->text] = '\0';
	return true;
}

static void cut_last(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash && slash != path)
		*slash = '\0';
	else
		snprintf(path, 2, "/");
}

static bool writable_by(const struct account *a, const struct stat *st)
{
	if (st->st_uid == a->uid)
		return (st->st_mode & 0300) == 0300;
	for (int i = 0; i < a->group_count; i++)
		if (st->st_gid == a->groups[i])
			return (st->st_mode & 0030) == 0030;
	return (st->st_mode & 0003) == 0003;
}

/* Could the account work in @path? @given: it is made the account's own if it is root's or absent. */
static bool usable(const struct account *a, const char *path, bool given)
{
	char part[PATH_BYTES];
	struct stat st;
	struct base_error err;
	bool exists = stat(path, &st) == 0;

	snprintf(part, sizeof(part), "%s", path);
	if (exists && !(given && st.st_uid == 0))
		return writable_by(a, &st) && account_reaches(a, path, &err) == 0;
	do
		cut_last(part);
	while (stat(part, &st) != 0 && part[1]);
	return account_reaches(a, part, &err) == 0;
}

static const char *out_of_reach(const struct conf *conf, const struct account *a, char *prefix)
{
	if (!usable(a, conf->data, true))
		return conf->data;
	if (!usable(a, conf->run, true))
		return conf->run;
	for (size_t i = 0; i < conf->route_count; i++)
		if (maildir_prefix(&conf->routes[i], prefix) && !usable(a, prefix, false))
			return prefix;
	return NULL;
}

/* What an earlier start gave to the roles' account, in directories of ours: root without capabilities
 * could not open it. */
static void take_back(int dir_fd, unsigned depth)
{
	DIR *dir = fdopendir(dir_fd);
	struct dirent *entry;

	if (!dir) {
		close(dir_fd);
		return;
	}
	(void)!fchown(dir_fd, 0, 0);
	while ((entry = readdir(dir))) {
		struct stat st;
		int fd;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
			fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		if (S_ISDIR(st.st_mode) && depth > 0) {
			fd = openat(dir_fd, entry->d_name,
				O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (fd >= 0)
				take_back(fd, depth - 1);
		} else if (S_ISREG(st.st_mode) && st.st_nlink == 1) {
			(void)!fchownat(dir_fd, entry->d_name, 0, 0, AT_SYMLINK_NOFOLLOW);
		}
	}
	closedir(dir);
}

static void take_path_back(const char *path)
{
	int fd = path ? open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;

	if (fd >= 0)
		take_back(fd, TAKE_BACK_DEPTH);
}

static void stay_root(struct account *a, const char *place)
{
	log_write(LOG_LEVEL_WARNING,
		"user \"%s\" cannot work in \"%s\"; the roles stay root's, without any "
		"capability (make the account \"postern\", or set user)",
		a->name, place);
	*a = (struct account){.name = "root"};
}

static int make_maildir_prefixes(
	const struct conf *conf, const struct account *a, struct base_error *err)
{
	char prefix[PATH_BYTES];
	struct stat st;

	for (size_t i = 0; i < conf->route_count; i++) {
		int rc;

		if (!maildir_prefix(&conf->routes[i], prefix) || stat(prefix, &st) == 0)
			continue;
		rc = account_directory(a, prefix, 0755, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int places_prepare(const struct conf *conf, struct account *account, struct base_error *err)
{
	char prefix[PATH_BYTES];
	bool by_default = !conf->user || !conf->user[0];
	int rc;

	if (by_default && account->change && strcmp(account->name, "nobody") == 0) {
		const char *place = out_of_reach(conf, account, prefix);

		if (place)
			stay_root(account, place);
	}
	if (geteuid() == 0 && account->uid == 0) {
		take_path_back(conf->data);
		take_path_back(conf->run);
	}
	rc = account_directory(account, conf->data, 0700, err);
	if (rc == 0)
		rc = account_directory(account, conf->run, 0755, err);
	if (rc == 0)
		rc = account_reaches(account, conf->data, err);
	if (rc == 0)
		rc = account_reaches(account, conf->run, err);
	if (rc == 0)
		rc = make_maildir_prefixes(conf, account, err);
	return rc;
}
