/* postern import qmail: the control directory, read whole. */
#include "cli/import_qmail.h"

#include "loop/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILES_MAX = 1000, PATH_TEXT_MAX_BYTES = 4000 };

static char *join(const char *dir, const char *name)
{
	size_t len = strlen(dir) + strlen(name) + 2;
	char *out = base_alloc(len);

	snprintf(out, len, "%s/%s", dir, name);
	return out;
}

static void read_one(struct import *i, struct import_file *f)
{
	char *path = join(i->dir, f->name);
	struct base_error err;
	struct stat st;

	base_buf_init_secret(&f->bytes, IMPORT_FILE_MAX_BYTES);
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		f->read = true; /* nothing to read, and nothing wrong */
	} else if (file_read(path, &f->bytes, NULL, &err) == 0) {
		f->read = true;
	} else {
		snprintf(f->why, sizeof(f->why), "%s",
			err.code ? strerror(err.code) : "it cannot be read");
		i->incomplete = true;
	}
	free(path);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct import_file *)a)->name, ((const struct import_file *)b)->name);
}

static int list(struct import *i)
{
	DIR *dir = opendir(i->dir);
	const struct dirent *entry;

	if (!dir)
		return cli_fail(i->cli, CLI_FAILED,
			"\"%s\": %s; name a qmail directory, or its "
			"control directory",
			i->dir, strerror(errno));
	i->files = base_alloc_zero(FILES_MAX, sizeof(*i->files));
	while ((entry = readdir(dir)) && i->file_count < FILES_MAX)
		if (entry->d_name[0] != '.')
			i->files[i->file_count++].name = base_strdup(entry->d_name);
	closedir(dir);
	if (entry)
		return cli_fail(i->cli, CLI_FAILED,
			"\"%s\" holds more than %d files; is it a "
			"control directory?",
			i->dir, FILES_MAX);
	qsort(i->files, i->file_count, sizeof(*i->files), by_name);
	return CLI_OK;
}

int import_open(struct import *i, const char *dir)
{
	char *control;
	struct stat st;
	int status;

	if (strlen(dir) > PATH_TEXT_MAX_BYTES)
		return cli_fail(i->cli, CLI_USAGE, "the directory's name is too long");
	control = join(dir, "control");
	if (stat(control, &st) == 0 && S_ISDIR(st.st_mode)) {
		i->dir = control;
	} else {
		free(control);
		i->dir = base_strdup(dir);
	}
	status = list(i);
	for (size_t k = 0; status == CLI_OK && k < i->file_count; k++)
		read_one(i, &i->files[k]);
	return status;
}

void import_release(struct import *i)
{
	for (size_t k = 0; k < i->account_count; k++) {
		free(i->accounts[k].name);
		free(i->accounts[k].url);
		free(i->accounts[k].user);
	}
	free(i->accounts);
	for (size_t k = 0; k < i->sender_count; k++)
		free(i->senders[k].line);
	free(i->senders);
	for (size_t k = 0; k < i->file_count; k++) {
		free(i->files[k].name);
		base_buf_release(&i->files[k].bytes);
	}
	free(i->files);
	free(i->dir);
	base_buf_release(&i->out);
}

bool import_take(struct import *i, const char *name, struct base_slice *out)
{
	for (size_t k = 0; k < i->file_count; k++) {
		struct import_file *f = &i->files[k];

		if (strcmp(f->name, name) != 0 || !f->read)
			continue;
		f->told = true;
		*out = base_buf_slice(&f->bytes);
		return true;
	}
	return false;
}

bool import_take_line(struct import *i, const char *name, struct base_slice *out)
{
	struct base_slice file;

	if (!import_take(i, name, &file))
		return false;
	*out = route_control_line(file);
	if (out->len == 0)
		import_say(i, name, 0, "empty; left out");
	return out->len > 0;
}
