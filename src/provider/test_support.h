/* provider/test_support.h: a directory for a test's files, and questions in one line */
#ifndef PROVIDER_TEST_SUPPORT_H
#define PROVIDER_TEST_SUPPORT_H

#include "base/test_support.h"
#include "provider/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char support_dir[64];

static inline int support_setup(void **state)
{
	strcpy(support_dir, "/tmp/postern-provider-XXXXXX");
	return mkdtemp(support_dir) ? 0 : -1;
}

static inline int support_teardown(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", support_dir);
	return system(command) == 0 ? 0 : -1;
}

static inline const char *support_path(const char *name)
{
	static char paths[4][160];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", support_dir, name);
	return path;
}

static inline const char *support_write(const char *name, const char *text, unsigned mode)
{
	const char *path = support_path(name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(close(fd), 0);
	return path;
}

/* The whole file as bytes, NUL-ended. */
static inline struct base_slice support_read(const char *name, char *out, size_t size)
{
	int fd = open(support_path(name), O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, out, size - 1);

	if (fd >= 0)
		close(fd);
	out[n > 0 ? n : 0] = '\0';
	return base_slice_make(out, n > 0 ? (size_t)n : 0);
}

static inline enum ipc_asked support_ask(struct provider_source *s, enum ipc_ask kind,
	const char *name, const char *secret, const char *challenge, struct provider_answer *a)
{
	struct provider_question q = {
		.kind = kind,
		.hash = BASE_HASH_SHA256,
		.name = base_slice_text(name),
		.secret = base_slice_text(secret),
		.challenge = base_slice_text(challenge),
		.client = BASE_SLICE("192.0.2.7"),
	};

	provider_answer_clear(a);
	s->type->ask(s, &q, a);
	return a->result;
}

#endif
