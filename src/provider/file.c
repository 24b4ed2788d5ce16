/* Files of users: read whole, kept, read again when they changed.
 *
 * A file counts as changed by its stat (device, inode, size, time). A file that was written within
 * the last SETTLED_MS may be written again without its time showing it, so until then every look
 * compares the bytes. A file that is missing or cannot be read answers CANNOT, is told once, and is
 * looked for at each question and every second; nothing of what it said before is used. */
#include "provider/found.h"

#include "base/clock.h"
#include "loop/file.h"
#include "loop/log.h"
#include "vault/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX_BYTES = 256 * 1024 * 1024, SETTLED_MS = 2000 };

struct file_source {
	struct provider_source base;
	struct vault_file file;
	struct base_buf bytes;
	char *title, *path, *domain;
	struct base_buf where;
	struct stat stat;
	bool good;             /* bytes are the file's */
	bool complained;       /* of the file as a whole */
	bool complained_entry; /* of what is in it */
	bool changed;
	bool of_no_domain;     /* nothing says whose users they are */
	struct base_error why; /* !good */
};

static bool is_settled(const struct stat *st)
{
	int64_t age_ms = base_clock_wall_ms() - (int64_t)st->st_mtim.tv_sec * 1000 -
		st->st_mtim.tv_nsec / 1000000;

	return age_ms > SETTLED_MS || age_ms < -SETTLED_MS;
}

static void lose(struct file_source *f, const struct base_error *err)
{
	f->why = *err;
	if (!f->complained)
		log_write(LOG_LEVEL_ERROR,
			"provider \"%s\": %s; logins that only it could decide get 454 until "
			"the file can be read",
			f->title, err->text);
	f->complained = true;
	f->changed |= f->good;
	f->good = false;
	base_buf_release(&f->bytes);
}

static void take(struct file_source *f, struct base_buf *bytes)
{
	if (f->complained)
		log_write(LOG_LEVEL_INFO, "provider \"%s\": \"%s\" can be read again", f->title,
			f->path);
	f->complained = f->complained_entry = false;
	f->changed = f->good = true;
	base_buf_release(&f->bytes);
	f->bytes = *bytes;
	f->file.bytes = base_buf_slice(&f->bytes);
}

static void look(struct file_source *f)
{
	struct base_error err;
	struct base_buf bytes;
	struct stat now;

	if (f->good && stat(f->path, &now) == 0 && !file_changed(&f->stat, &now) &&
		is_settled(&now))
		return;
	base_buf_init_secret(&bytes, FILE_MAX_BYTES);
	if (file_read(f->path, &bytes, &f->stat, &err) != 0) {
		base_buf_release(&bytes);
		lose(f, &err);
	} else if (f->good && base_slice_equal(base_buf_slice(&bytes), f->file.bytes)) {
		base_buf_release(&bytes);
	} else {
		take(f, &bytes);
	}
}

static bool file_source_changed(struct provider_source *s)
{
	struct file_source *f = (struct file_source *)s;
	bool changed;

	look(f);
	changed = f->changed;
	f->changed = false;
	return changed;
}

static void complain_of_entry(struct file_source *f, const struct provider_answer *a)
{
	if (!f->complained_entry)
		log_write(LOG_LEVEL_ERROR, "provider \"%s\": %.*s", f->title,
			BASE_SLICE_ARGS(base_buf_slice(&a->reason)));
	f->complained_entry = true;
}

static void file_source_ask(
	struct provider_source *s, const struct provider_question *q, struct provider_answer *a)
{
	struct file_source *f = (struct file_source *)s;
	struct vault_file_entry entry;
	enum vault_file_result result;

	look(f);
	if (!f->good) {
		provider_answer_set(a, IPC_ASKED_CANNOT, "%s", f->why.text);
		return;
	}
	f->file.now_ms = base_clock_wall_ms();
	vault_file_entry_init(&entry);
	result = vault_file_find(&f->file, q->name, &entry);
	/* What the client wrote behind the '@' was compared with nothing, so it proves no address. */
	if (f->of_no_domain)
		base_buf_truncate(&entry.name, base_slice_find(base_buf_slice(&entry.name), '@'));
	provider_answer_found(result, &entry, q, base_buf_text(&f->where), NULL, a);
	if (result == VAULT_FILE_BROKEN)
		complain_of_entry(f, a);
	vault_file_entry_release(&entry);
}

static struct provider_source *file_source_open(const struct provider_options *o)
{
	struct file_source *f = base_alloc_zero(1, sizeof(*f));
	struct base_slice path = base_slice_text(o->path);

	f->base.type = &provider_file;
	f->title = base_strdup(o->title);
	f->path = base_strdup(o->path);
	f->domain = base_strdup(o->default_domain);
	base_buf_init(&f->where, path.len + 3);
	base_buf_printf(&f->where, "\"%s\"", o->path);
	base_buf_init_secret(&f->bytes, FILE_MAX_BYTES);
	f->file = (struct vault_file){
		.format = (enum vault_file_format)o->format,
		.cdb = base_slice_ends_with_nocase(path, BASE_SLICE(".cdb")),
		.default_domain = base_slice_text(f->domain),
	};
	f->of_no_domain = !f->domain[0] && !o->has_domains;
	look(f);
	f->changed = false;
	return &f->base;
}

static void file_source_close(struct provider_source *s)
{
	struct file_source *f = (struct file_source *)s;

	base_buf_release(&f->bytes);
	base_buf_release(&f->where);
	free(f->title);
	free(f->path);
	free(f->domain);
	free(f);
}

const struct provider_source_type provider_file = {
	.name = "file",
	.watched = true,
	.open = file_source_open,
	.ask = file_source_ask,
	.changed = file_source_changed,
	.close = file_source_close,
};
