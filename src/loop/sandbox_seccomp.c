/* The system calls of a role: a list of what is allowed.
 *
 * What is forbidden outright answers EPERM; what is not on any list answers ENOSYS, so that a newer libc
 * falls back to the older call. Calls of the hot path carry no argument checks: the kernel then keeps
 * them in its table of always-allowed calls and does not run the filter. */
#include "loop/sandbox_internal.h"

#if SANDBOX_SECCOMP

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define CALL(name) SCMP_SYS(name)

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

/* Bytes, time, memory, waiting: on what is open already. */
static const int always[] = {
	CALL(read),
	CALL(readv),
	CALL(pread64),
	CALL(preadv),
	CALL(preadv2),
	CALL(write),
	CALL(writev),
	CALL(pwrite64),
	CALL(pwritev),
	CALL(pwritev2),
	CALL(recvmsg),
	CALL(recvfrom),
	CALL(recv),
	CALL(recvmmsg),
	CALL(sendmsg),
	CALL(sendto),
	CALL(send),
	CALL(sendmmsg),
	CALL(sendfile),
	CALL(splice),
	CALL(copy_file_range),
	CALL(close),
	CALL(close_range),
	CALL(dup),
	CALL(dup2),
	CALL(dup3),
	CALL(fcntl),
	CALL(fcntl64),
	CALL(lseek),
	CALL(_llseek),
	CALL(fstat),
	CALL(fstat64),
	CALL(fstatfs),
	CALL(fstatfs64),
	CALL(ftruncate),
	CALL(ftruncate64),
	CALL(fallocate),
	CALL(fadvise64),
	CALL(fsync),
	CALL(fdatasync),
	CALL(sync_file_range),
	CALL(flock),
	CALL(accept4),
	CALL(accept),
	CALL(shutdown),
	CALL(getsockopt),
	CALL(setsockopt),
	CALL(getsockname),
	CALL(getpeername),
	CALL(socketpair),
	CALL(pipe2),
	CALL(pipe),
	CALL(eventfd2),
	CALL(memfd_create),
	CALL(timerfd_create),
	CALL(timerfd_settime),
	CALL(timerfd_gettime),
	CALL(epoll_create1),
	CALL(epoll_ctl),
	CALL(epoll_wait),
	CALL(epoll_pwait),
	CALL(epoll_pwait2),
	CALL(poll),
	CALL(ppoll),
	CALL(select),
	CALL(pselect6),
	CALL(brk),
	CALL(munmap),
	CALL(mremap),
	CALL(madvise),
	CALL(msync),
	CALL(mincore),
	CALL(mlock),
	CALL(mlock2),
	CALL(munlock),
	CALL(membarrier),
	CALL(futex),
	CALL(set_robust_list),
	CALL(get_robust_list),
	CALL(rseq),
	CALL(set_tid_address),
	CALL(sched_yield),
	CALL(sched_getaffinity),
	CALL(getcpu),
	CALL(clock_gettime),
	CALL(clock_getres),
	CALL(clock_nanosleep),
	CALL(nanosleep),
	CALL(gettimeofday),
	CALL(time),
	CALL(times),
	CALL(getrusage),
	CALL(sysinfo),
	CALL(uname),
	CALL(getrandom),
	CALL(getpid),
	CALL(gettid),
	CALL(getppid),
	CALL(getuid),
	CALL(geteuid),
	CALL(getgid),
	CALL(getegid),
	CALL(getgroups),
	CALL(getrlimit),
	CALL(rt_sigaction),
	CALL(rt_sigprocmask),
	CALL(rt_sigreturn),
	CALL(rt_sigpending),
	CALL(sigaltstack),
	CALL(sigreturn),
	CALL(alarm),
	CALL(setitimer),
	CALL(restart_syscall),
	CALL(exit),
	CALL(exit_group),
	CALL(arch_prctl),
};

static const int file_calls[] = {
	CALL(open),
	CALL(openat),
	CALL(creat),
	CALL(stat),
	CALL(lstat),
	CALL(stat64),
	CALL(lstat64),
	CALL(statx),
	CALL(newfstatat),
	CALL(fstatat64),
	CALL(access),
	CALL(faccessat),
	CALL(faccessat2),
	CALL(readlink),
	CALL(readlinkat),
	CALL(getdents64),
	CALL(getcwd),
	CALL(statfs),
	CALL(statfs64),
	CALL(mkdir),
	CALL(mkdirat),
	CALL(rmdir),
	CALL(unlink),
	CALL(unlinkat),
	CALL(rename),
	CALL(renameat),
	CALL(renameat2),
	CALL(link),
	CALL(linkat),
	CALL(symlink),
	CALL(symlinkat),
	CALL(truncate),
	CALL(chmod),
	CALL(fchmod),
	CALL(fchmodat),
	CALL(chown),
	CALL(fchown),
	CALL(fchownat),
	CALL(lchown),
	CALL(utimensat),
	CALL(umask),
};

static const int network_calls[] = {
	CALL(connect),
	CALL(bind),
};

/* Answered EPERM unless a list above that the role has allows them. */
static const int forbidden[] = {
	CALL(open),
	CALL(openat),
	CALL(openat2),
	CALL(creat),
	CALL(stat),
	CALL(lstat),
	CALL(statx),
	CALL(access),
	CALL(faccessat),
	CALL(faccessat2),
	CALL(readlink),
	CALL(readlinkat),
	CALL(getdents64),
	CALL(mkdir),
	CALL(mkdirat),
	CALL(rmdir),
	CALL(unlink),
	CALL(unlinkat),
	CALL(rename),
	CALL(renameat),
	CALL(renameat2),
	CALL(link),
	CALL(linkat),
	CALL(symlink),
	CALL(symlinkat),
	CALL(truncate),
	CALL(chmod),
	CALL(fchmod),
	CALL(fchmodat),
	CALL(chown),
	CALL(fchown),
	CALL(fchownat),
	CALL(lchown),
	CALL(connect),
	CALL(bind),
	CALL(listen),
	CALL(execve),
	CALL(execveat),
	CALL(fork),
	CALL(vfork),
	CALL(clone),
	CALL(kill),
	CALL(tkill),
	CALL(ptrace),
	CALL(process_vm_readv),
	CALL(process_vm_writev),
	CALL(setuid),
	CALL(setgid),
	CALL(setreuid),
	CALL(setregid),
	CALL(setresuid),
	CALL(setresgid),
	CALL(setgroups),
	CALL(setfsuid),
	CALL(setfsgid),
	CALL(capset),
	CALL(chroot),
	CALL(mount),
	CALL(umount2),
	CALL(pivot_root),
	CALL(unshare),
	CALL(setns),
	CALL(bpf),
	CALL(perf_event_open),
	CALL(init_module),
	CALL(finit_module),
	CALL(delete_module),
	CALL(kexec_load),
	CALL(reboot),
	CALL(keyctl),
	CALL(add_key),
	CALL(request_key),
	CALL(mknod),
	CALL(mknodat),
	CALL(swapon),
	CALL(personality),
	CALL(setrlimit),
	CALL(socket),
};

static bool is_in(int call, const int *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i] == call)
			return true;
	}
	return false;
}

static int add_list(scmp_filter_ctx ctx, const int *list, size_t count)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < count; i++) {
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, list[i], 0);
		/* A call that this architecture does not have. */
		if (rc == -EDOM || rc == -EINVAL)
			rc = 0;
	}
	return rc;
}

static int add_forbidden(scmp_filter_ctx ctx, unsigned flags)
{
	int rc = 0, call;

	for (size_t i = 0; rc == 0 && i < BASE_COUNT(forbidden); i++) {
		call = forbidden[i];
		if ((flags & SANDBOX_FILES) && is_in(call, file_calls, BASE_COUNT(file_calls)))
			continue;
		if ((flags & (SANDBOX_CONNECT | SANDBOX_CONNECT_NET)) &&
			(is_in(call, network_calls, BASE_COUNT(network_calls)) ||
				call == CALL(socket)))
			continue;
		if ((flags & SANDBOX_CONNECT_LOCAL) &&
			(call == CALL(connect) || call == CALL(socket)))
			continue;
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), call, 0);
		if (rc == -EDOM || rc == -EINVAL)
			rc = 0;
	}
	return rc;
}

/* Calls that are allowed with some arguments only. */
static int add_with_arguments(scmp_filter_ctx ctx, unsigned flags)
{
	static const unsigned ioctls[] = {FIONBIO, FIONREAD, FIOCLEX, FIONCLEX, TCGETS};
	static const unsigned prctls[] = {
		PR_SET_NAME, PR_GET_NAME, PR_SET_VMA, PR_GET_DUMPABLE, PR_CAPBSET_READ};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < BASE_COUNT(ioctls); i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, CALL(ioctl), 1,
			SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, ioctls[i]));
	for (size_t i = 0; rc == 0 && i < BASE_COUNT(prctls); i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, CALL(prctl), 1,
			SCMP_A0(SCMP_CMP_MASKED_EQ, 0xffffffffu, prctls[i]));
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, CALL(mmap), 1,
			SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, CALL(mprotect), 1,
			SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* Ask for limits, set none. */
	if (rc == 0)
		rc = seccomp_rule_add(
			ctx, SCMP_ACT_ALLOW, CALL(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0));
	/* abort(). */
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, CALL(tgkill), 1,
			SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	/* fstat() of today's libc. */
	if (rc == 0 && !(flags & SANDBOX_FILES))
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, CALL(newfstatat), 1,
			SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
	if (rc == 0 && (flags & SANDBOX_LOOK) && !(flags & SANDBOX_FILES))
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, CALL(newfstatat), 1,
			SCMP_A3(SCMP_CMP_EQ, AT_SYMLINK_NOFOLLOW));
	return rc;
}

static int add_network(scmp_filter_ctx ctx, bool local)
{
	static const int families[] = {AF_INET, AF_INET6, AF_UNIX};
	size_t count = BASE_COUNT(families) - !local;
	int rc = add_list(ctx, network_calls, BASE_COUNT(network_calls));

	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, CALL(socket), 1,
			SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
	return rc;
}

static int add_local(scmp_filter_ctx ctx)
{
	int rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, CALL(connect), 0);

	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, CALL(socket), 1,
			SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)AF_UNIX));
	return rc;
}

/* What only attacks use, refused to programs and modules that may do all else. */
static const int attacks[] = {
	CALL(ptrace),
	CALL(process_vm_readv),
	CALL(process_vm_writev),
	CALL(chroot),
	CALL(mount),
	CALL(umount2),
	CALL(pivot_root),
	CALL(unshare),
	CALL(setns),
	CALL(bpf),
	CALL(perf_event_open),
	CALL(userfaultfd),
	CALL(init_module),
	CALL(finit_module),
	CALL(delete_module),
	CALL(kexec_load),
	CALL(kexec_file_load),
	CALL(reboot),
	CALL(keyctl),
	CALL(add_key),
	CALL(request_key),
	CALL(mknod),
	CALL(mknodat),
	CALL(swapon),
	CALL(swapoff),
	CALL(open_by_handle_at),
};

static int enter_foreign(struct base_error *err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int rc = 0;

	if (!ctx)
		return base_error_set(err, BASE_ERROR_PERMANENT, 0, "sandbox: seccomp_init failed");
	for (size_t i = 0; rc == 0 && i < BASE_COUNT(attacks); i++) {
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), attacks[i], 0);
		if (rc == -EDOM || rc == -EINVAL)
			rc = 0;
	}
	if (rc == 0)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	if (rc != 0)
		return base_error_errno(err, BASE_ERROR_PERMANENT, -rc, "sandbox: seccomp");
	return 0;
}

bool sandbox_seccomp_built(void)
{
	return true;
}

int sandbox_seccomp_enter(unsigned flags, struct base_error *err)
{
	scmp_filter_ctx ctx;
	int rc;

	if (flags & SANDBOX_EXEC)
		return enter_foreign(err);
	ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	if (!ctx)
		return base_error_set(err, BASE_ERROR_PERMANENT, 0, "sandbox: seccomp_init failed");
	/* A tree instead of a chain, where libseccomp knows how. */
	(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	rc = add_list(ctx, always, BASE_COUNT(always));
	if (rc == 0 && (flags & SANDBOX_FILES))
		rc = add_list(ctx, file_calls, BASE_COUNT(file_calls));
	if (rc == 0 && (flags & (SANDBOX_CONNECT | SANDBOX_CONNECT_NET)))
		rc = add_network(ctx, flags & SANDBOX_CONNECT);
	else if (rc == 0 && (flags & SANDBOX_CONNECT_LOCAL))
		rc = add_local(ctx);
	if (rc == 0)
		rc = add_with_arguments(ctx, flags);
	if (rc == 0)
		rc = add_forbidden(ctx, flags);
	if (rc == 0)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	if (rc != 0)
		return base_error_errno(err, BASE_ERROR_PERMANENT, -rc, "sandbox: seccomp");
	return 0;
}

#else

bool sandbox_seccomp_built(void)
{
	return false;
}

int sandbox_seccomp_enter(unsigned flags, struct base_error *err)
{
	return 0;
}

#endif
