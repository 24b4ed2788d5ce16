#include "master/privilege.h"

#include "loop/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int account_find(const char *wanted, struct account *out, struct base_error *err)
{
	bool chosen = wanted && *wanted;
	struct passwd *pw;

	*out = (struct account){.uid = geteuid(), .gid = getegid()};
	if (geteuid() != 0) {
		pw = getpwuid(geteuid());
		snprintf(out->name, sizeof(out->name), "%s", pw ? pw->pw_name : "");
		return 0;
	}
	pw = getpwnam(chosen ? wanted : "postern");
	if (!pw && chosen)
		return base_error_set(err, BASE_ERROR_CONFIG, 0,
			"user \"%s\" does not exist; make the account or change the key user",
			wanted);
	if (!pw) {
		pw = getpwnam("nobody");
		if (!pw)
			return base_error_set(err, BASE_ERROR_CONFIG, 0,
				"neither user \"postern\" nor \"nobody\" exists; set the key user");
		log_write(LOG_LEVEL_WARNING,
			"user \"postern\" does not exist; the roles run as "
			"\"nobody\" (see user)");
	}
	snprintf(out->name, sizeof(out->name), "%s", pw->pw_name);
	out->change = pw->pw_uid != 0;
	out->uid = pw->pw_uid;
	out->gid = pw->pw_gid;
	out->group_count = (int)BASE_COUNT(out->groups);
	if (getgrouplist(pw->pw_name, pw->pw_gid, out->groups, &out->group_count) < 0)
		out->group_count = (int)BASE_COUNT(out->groups);
	return 0;
}

/* One entry of a directory that was root's: hand a plain file of root's over. */
static void give_file(const struct account *a, int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_uid == 0 &&
		((S_ISREG(st.st_mode) && st.st_nlink == 1) || S_ISDIR(st.st_mode)))
		(void)!fchownat(fd, "", a->uid, a->gid, AT_EMPTY_PATH);
	close(fd);
}

static int give_directory(const struct account *a, int dir_fd)
{
	DIR *dir = fdopendir(dup(dir_fd));
	struct dirent *entry;

	if (dir) {
		while ((entry = readdir(dir))) {
			if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
				give_file(a, dir_fd, entry->d_name);
		}
		closedir(dir);
	}
	return fchown(dir_fd, a->uid, a->gid);
}

/* mkdir -p; what is made is the caller's. */
static int make_directories(const char *path, mode_t mode)
{
	char part[4096];
	size_t len = strlen(path);

	if (len >= sizeof(part))
		return ENAMETOOLONG;
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != 0)
			continue;
		memcpy(part, path, i);
		part[i] = 0;
		if (mkdir(part, i == len ? mode : 0755) != 0 && errno != EEXIST)
			return errno;
	}
	return 0;
}

int account_directory(
	const struct account *a, const char *path, mode_t mode, struct base_error *err)
{
	mode_t mask = umask(022);
	int code = make_directories(path, mode), fd = -1;
	struct stat st = {0};

	umask(mask);
	if (code == 0) {
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st) != 0 ||
			(a->change && st.st_uid == 0 && give_directory(a, fd) != 0))
			code = errno;
		/* Wider rights than ours are the administrator's choice; narrower ones lock people out. */
		if (code == 0 && (st.st_mode & mode) != mode &&
			(st.st_uid == geteuid() || a->change))
			(void)!fchmod(fd, st.st_mode | mode);
		if (fd >= 0)
			close(fd);
	}
	if (code != 0)
		return base_error_errno(
			err, BASE_ERROR_CONFIG, code, "cannot use directory \"%s\"", path);
	return 0;
}

static int names_obstacle(
	const struct account *a, const char *part, const char *path, struct base_error *err)
{
	struct passwd *owner;
	struct stat st;

	if (stat(part, &st) != 0)
		return base_error_errno(err, BASE_ERROR_CONFIG, errno, "directory \"%s\"", part);
	owner = getpwuid(st.st_uid);
	return base_error_set(err, BASE_ERROR_CONFIG, 0,
		"user \"%s\" cannot enter \"%s\" on the way to "
		"\"%s\": its owner is \"%s\" and its mode %04o; give the roles another user (see "
		"user), "
		"another place, or the right to enter",
		a->name, part, path, owner ? owner->pw_name : "?", (unsigned)st.st_mode & 07777);
}

int account_reaches(const struct account *a, const char *path, struct base_error *err)
{
	size_t len = strlen(path);
	char part[4096];
	int fd;

	if (len + 3 >= sizeof(part))
		return base_error_set(err, BASE_ERROR_CONFIG, 0, "\"%s\" is too long", path);
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != 0)
			continue;
		memcpy(part, path, i);
		memcpy(part + i, "/.", 3);
		account_files_begin(a);
		fd = open(part, O_PATH | O_CLOEXEC);
		account_files_end(a);
		part[i] = 0;
		if (fd < 0)
			return names_obstacle(a, part, path, err);
		close(fd);
	}
	return 0;
}

void account_files_begin(const struct account *a)
{
	if (!a->change)
		return;
	setfsgid(a->gid);
	setfsuid(a->uid);
}

void account_files_end(const struct account *a)
{
	if (!a->change)
		return;
	setfsuid(0);
	setfsgid(getegid());
}

int account_drop(const struct account *a, bool other_sockets, struct base_error *err)
{
	static const cap_value_t wanted[] = {CAP_NET_BIND_SERVICE, CAP_DAC_READ_SEARCH, CAP_SETUID,
		CAP_SETGID, CAP_KILL, CAP_DAC_OVERRIDE};
	size_t count = other_sockets ? BASE_COUNT(wanted) : BASE_COUNT(wanted) - 1;
	cap_t have, keep;
	cap_flag_value_t value;
	int rc = 0;

	if (geteuid() != 0)
		return 0;
	have = cap_get_proc();
	keep = cap_init();
	for (size_t i = 0; i < count; i++) {
		if (cap_get_flag(have, wanted[i], CAP_PERMITTED, &value) != 0 || value != CAP_SET)
			continue;
		cap_set_flag(keep, CAP_PERMITTED, 1, &wanted[i], CAP_SET);
		cap_set_flag(keep, CAP_EFFECTIVE, 1, &wanted[i], CAP_SET);
	}
	/* A program that root starts gets what the bounding set leaves. */
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++) {
		if (cap_get_flag(keep, cap, CAP_PERMITTED, &value) == 0 && value != CAP_SET)
			(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	}
	if (cap_set_proc(keep) != 0)
		rc = base_error_errno(err, BASE_ERROR_PERMANENT, errno, "cannot drop capabilities");
	cap_free(have);
	cap_free(keep);
	return rc;
}

int account_become(const struct account *a)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {0};

	if (a->change &&
		(setgroups((size_t)a->group_count, a->groups) != 0 ||
			setresgid(a->gid, a->gid, a->gid) != 0 ||
			setresuid(a->uid, a->uid, a->uid) != 0))
		return errno;
	/* Also when the roles are root's: exec would give root all of the bounding set back, but not
	 * to a process that may gain nothing. */
	if (syscall(SYS_capset, &header, none) != 0)
		return errno;
	if (a->uid == 0 && !a->gain && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return errno;
	return 0;
}
