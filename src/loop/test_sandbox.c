/* Each row is a child that shuts the doors and then tries something; its exit status says how it went. */
#include "loop/sandbox.h"

#include "base/test_support.h"
#include "loop/sandbox_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

static char inside[] = "/tmp/postern-sandbox-in-XXXXXX";
static char outside[] = "/tmp/postern-sandbox-out-XXXXXX";
static int listening = -1;
static struct sockaddr_in listening_at;

/* Each returns 0 or errno. */

static int try_open_outside(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/file", outside);
	return open(path, O_RDONLY) < 0 ? errno : 0;
}

/* What front may: ask what a name in a directory is, and no more. */
static int try_look(void)
{
	struct stat st;

	return fstatat(AT_FDCWD, outside, &st, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : errno;
}

static int try_look_behind_links(void)
{
	struct stat st;

	return fstatat(AT_FDCWD, outside, &st, 0) == 0 ? 0 : errno;
}

static int try_create_outside(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/made", outside);
	return open(path, O_WRONLY | O_CREAT, 0600) < 0 ? errno : 0;
}

static int try_files_inside(void)
{
	char path[128], other[128];
	int fd;

	snprintf(path, sizeof(path), "%s/made", inside);
	snprintf(other, sizeof(other), "%s/renamed", inside);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || write(fd, "x", 1) != 1 || fdatasync(fd) != 0 || ftruncate(fd, 0) != 0 ||
		rename(path, other) != 0 || unlink(other) != 0 || mkdir(path, 0700) != 0 ||
		rmdir(path) != 0)
		return errno;
	return 0;
}

static int try_sqlite_inside(void)
{
	char path[128];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/x.db", inside);
	if (sqlite3_open(path, &db) != SQLITE_OK ||
		sqlite3_exec(db,
			"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
			"CREATE TABLE IF NOT EXISTS t(x); INSERT INTO t VALUES (1); SELECT * FROM "
			"t;"
			"PRAGMA wal_checkpoint(TRUNCATE); VACUUM;",
			NULL, NULL, NULL) != SQLITE_OK)
		return 1000 + sqlite3_extended_errcode(db);
	return sqlite3_close(db) == SQLITE_OK ? 0 : EIO;
}

static int try_connect(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		return errno;
	return connect(fd, (struct sockaddr *)&listening_at, sizeof(listening_at)) < 0 ? errno : 0;
}

/* With a socket made before the doors shut. */
static int prepared = -1;

static int try_connect_prepared(void)
{
	return connect(prepared, (struct sockaddr *)&listening_at, sizeof(listening_at)) < 0 ? errno
											     : 0;
}

static int try_listen(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in sa = {.sin_family = AF_INET};

	if (fd < 0)
		return errno;
	return bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 1) < 0 ? errno : 0;
}

static int try_exec(void)
{
	char *argv[] = {(char *)(uintptr_t) "/bin/true", NULL};

	execv(argv[0], argv);
	return errno;
}

static int try_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid < 0 ? errno : 0;
}

static int try_kill(void)
{
	return kill(getppid(), 0) < 0 ? errno : 0;
}

static int try_executable_memory(void)
{
	void *p = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? errno : 0;
}

static int try_setuid(void)
{
	return setresuid(1, 1, 1) < 0 ? errno : 0;
}

static void on_timer(uv_timer_t *timer)
{
	uv_close((uv_handle_t *)timer, NULL);
}

static int try_ordinary_life(void)
{
	unsigned char digest[64], *memory = malloc(3 << 20);
	unsigned len = 0;
	uv_loop_t loop;
	uv_timer_t timer;
	uv_async_t async;
	int pair[2];

	memset(memory, 1, 3 << 20);
	free(memory);
	if (uv_loop_init(&loop) != 0 || uv_timer_init(&loop, &timer) != 0 ||
		uv_async_init(&loop, &async, NULL) != 0)
		return EIO;
	uv_timer_start(&timer, on_timer, 2, 0);
	uv_close((uv_handle_t *)&async, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	if (EVP_Digest("x", 1, digest, &len, EVP_sha256(), NULL) != 1)
		return EIO;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0 || send(pair[0], "x", 1, 0) != 1)
		return errno;
	return 0;
}

static int try_small_doors(void)
{
	struct rlimit core;

	if (getrlimit(RLIMIT_CORE, &core) != 0)
		return errno;
	return core.rlim_max == 0 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : EIO;
}

static int try_abort(void)
{
	signal(SIGABRT, SIG_DFL);
	abort();
}

static int try_no_new_privs(void)
{
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : EPERM;
}

static int try_trace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 ? errno : 0;
}

/* Nobody listens there: that it was looked up is enough. */
static int try_connect_local(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (fd < 0)
		return errno;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/socket", outside);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 || errno == ENOENT)
		return 0;
	return errno;
}

enum expectation { GOES, FORBIDDEN, ABORTS };
enum needs {
	ANY,
	SECCOMP,
	FILE_WALL
}; /* FILE_WALL: seccomp for roles without files, else Landlock */

struct row {
	const char *name;
	unsigned flags;
	int (*attempt)(void);
	enum expectation expectation;
	enum needs needs;
};

static const struct row rows[] = {
	{"nothing: life", 0, try_ordinary_life, GOES, ANY},
	{"nothing: core and dumpable", 0, try_small_doors, GOES, ANY},
	{"nothing: abort", 0, try_abort, ABORTS, ANY},
	{"nothing: open", 0, try_open_outside, FORBIDDEN, SECCOMP},
	{"nothing: create", 0, try_create_outside, FORBIDDEN, SECCOMP},
	{"nothing: connect", 0, try_connect, FORBIDDEN, SECCOMP},
	{"nothing: connect a prepared socket", 0, try_connect_prepared, FORBIDDEN, SECCOMP},
	{"nothing: listen", 0, try_listen, FORBIDDEN, SECCOMP},
	{"nothing: exec", 0, try_exec, FORBIDDEN, SECCOMP},
	{"nothing: fork", 0, try_fork, FORBIDDEN, SECCOMP},
	{"nothing: kill", 0, try_kill, FORBIDDEN, SECCOMP},
	{"nothing: executable memory", 0, try_executable_memory, FORBIDDEN, SECCOMP},
	{"nothing: setuid", 0, try_setuid, FORBIDDEN, SECCOMP},
	{"nothing: look", 0, try_look, FORBIDDEN, SECCOMP},
	{"look: look", SANDBOX_LOOK, try_look, GOES, ANY},
	{"look: look behind links", SANDBOX_LOOK, try_look_behind_links, FORBIDDEN, SECCOMP},
	{"look: open", SANDBOX_LOOK, try_open_outside, FORBIDDEN, SECCOMP},
	{"files: life", SANDBOX_FILES, try_ordinary_life, GOES, ANY},
	{"files: inside", SANDBOX_FILES, try_files_inside, GOES, ANY},
	{"files: sqlite", SANDBOX_FILES, try_sqlite_inside, GOES, ANY},
	{"files: open outside", SANDBOX_FILES, try_open_outside, FORBIDDEN, FILE_WALL},
	{"files: create outside", SANDBOX_FILES, try_create_outside, FORBIDDEN, FILE_WALL},
	{"files: connect", SANDBOX_FILES, try_connect, FORBIDDEN, SECCOMP},
	{"files: exec", SANDBOX_FILES, try_exec, FORBIDDEN, SECCOMP},
	{"connect: connect", SANDBOX_CONNECT, try_connect, GOES, ANY},
	{"connect: open", SANDBOX_CONNECT, try_open_outside, FORBIDDEN, SECCOMP},
	{"connect: listen", SANDBOX_CONNECT, try_listen, FORBIDDEN, SECCOMP},
	{"connect and files: sqlite", SANDBOX_CONNECT | SANDBOX_FILES, try_sqlite_inside, GOES,
		ANY},
	{"exec: exec", SANDBOX_EXEC, try_exec, GOES, ANY},
	{"exec: fork", SANDBOX_EXEC, try_fork, GOES, ANY},
	{"exec: connect", SANDBOX_EXEC, try_connect, GOES, ANY},
	{"exec: create outside", SANDBOX_EXEC, try_create_outside, GOES, ANY},
	{"exec: nothing is gained", SANDBOX_EXEC, try_no_new_privs, GOES, ANY},
	{"exec: ptrace", SANDBOX_EXEC, try_trace, FORBIDDEN, SECCOMP},
	{"local: network", SANDBOX_CONNECT_LOCAL, try_connect, FORBIDDEN, SECCOMP},
	{"local: local", SANDBOX_CONNECT_LOCAL, try_connect_local, GOES, ANY},
	{"local: open", SANDBOX_CONNECT_LOCAL, try_open_outside, FORBIDDEN, SECCOMP},
	{"nothing: local", 0, try_connect_local, FORBIDDEN, SECCOMP},
	{"net: network", SANDBOX_CONNECT_NET, try_connect, GOES, ANY},
	{"net: local", SANDBOX_CONNECT_NET, try_connect_local, FORBIDDEN, SECCOMP},
	{"net: listen", SANDBOX_CONNECT_NET, try_listen, FORBIDDEN, SECCOMP},
	{"net: open", SANDBOX_CONNECT_NET, try_open_outside, FORBIDDEN, SECCOMP},
	{"gain: core and dumpable", SANDBOX_GAIN, try_small_doors, GOES, ANY},
	{"gain: something may be gained", SANDBOX_GAIN, try_no_new_privs, FORBIDDEN, ANY},
	{"gain: create outside", SANDBOX_GAIN, try_create_outside, GOES, ANY},
};

enum { CHILD_WENT = 0, CHILD_FORBIDDEN = 10, CHILD_OTHER = 11, CHILD_NO_SANDBOX = 12 };

static void child(const struct row *row)
{
	struct sandbox_path path = {inside, true};
	struct base_error err;
	int code;

	prepared = socket(AF_INET, SOCK_STREAM, 0);
	if (sandbox_enter(row->flags, &path, 1, &err) != 0) {
		fprintf(stderr, "%s\n", err.text);
		_exit(CHILD_NO_SANDBOX);
	}
	code = row->attempt();
	if (code == 0)
		_exit(CHILD_WENT);
	if (code == EPERM || code == EACCES || code == ENOSYS)
		_exit(CHILD_FORBIDDEN);
	fprintf(stderr, "%s: %d\n", row->name, code);
	_exit(CHILD_OTHER);
}

static bool applies(const struct row *row, struct sandbox_kernel k)
{
	switch (row->needs) {
	case ANY:
		return true;
	case SECCOMP:
		return k.seccomp;
	case FILE_WALL:
		return k.landlock_abi > 0;
	}
	return false;
}

static void test_rows(void **state)
{
	struct sandbox_kernel k = sandbox_kernel();
	unsigned skipped = 0;
	int status;
	pid_t pid;

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		const struct row *row = &rows[i];
		bool fits;

		if (!applies(row, k)) {
			skipped++;
			continue;
		}
		pid = fork();
		if (pid == 0)
			child(row);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (row->expectation == ABORTS)
			fits = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
		else
			fits = WIFEXITED(status) &&
				WEXITSTATUS(status) ==
					(row->expectation == GOES ? CHILD_WENT : CHILD_FORBIDDEN);
		if (!fits)
			fail_msg("%s: status 0x%x", row->name, status);
	}
	if (skipped)
		print_message("%u rows need layers that this kernel or build lacks\n", skipped);
}

static int prepare(void **state)
{
	socklen_t len = sizeof(listening_at);
	char path[128];
	int fd;

	/* OpenSSL reads its configuration at the first call, as the roles do in open(). */
	OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG | OPENSSL_INIT_ADD_ALL_DIGESTS, NULL);
	if (!mkdtemp(inside) || !mkdtemp(outside))
		return -1;
	snprintf(path, sizeof(path), "%s/file", outside);
	fd = open(path, O_WRONLY | O_CREAT, 0644);
	close(fd);
	listening_at = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return bind(listening, (struct sockaddr *)&listening_at, len) != 0 ||
		listen(listening, 16) != 0 ||
		getsockname(listening, (struct sockaddr *)&listening_at, &len) != 0;
}

static void remove_file(const char *dir, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	unlink(path);
}

static int clean(void **state)
{
	remove_file(outside, "file");
	remove_file(outside, "made");
	remove_file(inside, "x.db");
	remove_file(inside, "x.db-wal");
	remove_file(inside, "x.db-shm");
	rmdir(inside);
	rmdir(outside);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};

	return cmocka_run_group_tests(tests, prepare, clean);
}
