/* The files of sections account NAME { }: certificate, key and authorities, which the master read (they
 * may be readable by root alone) and sends as memory files. */
#include "auth/shell.h"
#include "base/error.h"
#include "loop/log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX_BYTES = 256 * 1024 };

struct auth_files {
	struct auth_files *next;
	char *name;
	struct base_buf bytes; /* secret: what the slices lie in */
	struct auth_section_files parts;
};

static struct auth_files **slot(struct auth_shell *s, struct base_slice name)
{
	struct auth_files **at = &s->files;

	while (*at && !base_slice_equal_text(name, (*at)->name))
		at = &(*at)->next;
	return at;
}

static void files_free(struct auth_files **at)
{
	struct auth_files *f = *at;

	*at = f->next;
	base_buf_release(&f->bytes);
	free(f->name);
	free(f);
}

const struct auth_section_files *auth_section_files_of(struct auth_shell *s, const char *name)
{
	struct auth_files *f = *slot(s, base_slice_text(name));

	return f ? &f->parts : NULL;
}

static bool read_all(int fd, struct base_buf *out)
{
	struct stat st;
	uint8_t *at;
	ssize_t got;

	if (fstat(fd, &st) != 0 || st.st_size < 12 || st.st_size > FILES_MAX_BYTES)
		return false;
	at = base_buf_reserve(out, (size_t)st.st_size);
	got = at ? pread(fd, at, (size_t)st.st_size, 0) : -1;
	if (got != st.st_size)
		return false;
	base_buf_grew(out, (size_t)got);
	return true;
}

static bool parse(const struct base_buf *bytes, struct auth_section_files *out)
{
	struct ipc_reader in = ipc_reader_make(base_buf_slice(bytes));

	out->chain = ipc_get_bytes(&in);
	out->key = ipc_get_bytes(&in);
	out->ca = ipc_get_bytes(&in);
	return ipc_reader_done(&in);
}

/* What could not be read now stays what it was; the master said so in the log. */
bool auth_section_files_take(
	struct auth_shell *s, struct ipc_frame *frame, struct base_slice *out_name)
{
	struct ipc_reader in = ipc_reader_make(frame->body);
	struct base_slice name = ipc_get_bytes(&in), error = ipc_get_bytes(&in);
	struct auth_files *fresh, **at;

	if (!ipc_reader_done(&in) || error.len || !name.len || base_slice_has(name, 0))
		return false;
	if (frame->fd_count == 0) {
		log_write(LOG_LEVEL_WARNING,
			"certificates of an account did not arrive: no "
			"descriptor is left; reload again");
		return false;
	}
	fresh = base_alloc_zero(1, sizeof(*fresh));
	base_buf_init_secret(&fresh->bytes, FILES_MAX_BYTES);
	at = slot(s, name);
	if (!read_all(frame->fds[0], &fresh->bytes) || !parse(&fresh->bytes, &fresh->parts) ||
		(*at &&
			base_equal_constant_time(
				base_buf_slice(&fresh->bytes), base_buf_slice(&(*at)->bytes)))) {
		files_free(&fresh);
		return false;
	}
	if (*at)
		files_free(at);
	fresh->name = base_slice_dup(name);
	fresh->next = s->files;
	s->files = fresh;
	*out_name = name;
	return true;
}

void auth_section_files_forget(struct auth_shell *s, const char *name)
{
	struct auth_files **at = slot(s, base_slice_text(name));

	if (*at)
		files_free(at);
}

void auth_section_files_release(struct auth_shell *s)
{
	while (s->files)
		files_free(&s->files);
}
