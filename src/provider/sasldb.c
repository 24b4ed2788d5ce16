/* Cyrus SASL's sasldb2, opened anew for every question: saslpasswd2 may write it at any time, and
 * libdb has no way to see that from outside. */
#include "provider/found.h"

#include "loop/file.h"
#include "loop/log.h"
#include "vault/sasldb.h"

#include <stdlib.h>

struct sasldb_source {
	struct provider_source base;
	char *title, *path, *realm;
	struct base_buf where;
	struct stat stat;
	bool there;
	bool complained;
};

static void sasldb_ask(
	struct provider_source *s, const struct provider_question *q, struct provider_answer *a)
{
	struct sasldb_source *d = (struct sasldb_source *)s;
	struct base_error err = {0};
	struct vault_file_entry entry;
	enum vault_file_result result;

	vault_file_entry_init(&entry);
	result = vault_sasldb_find(d->path, q->name, base_slice_text(d->realm), &entry, &err);
	provider_answer_found(
		result, &entry, q, base_buf_text(&d->where), err.text[0] ? err.text : NULL, a);
	vault_file_entry_release(&entry);
	if (result == VAULT_FILE_BROKEN && !d->complained)
		log_write(LOG_LEVEL_ERROR,
			"provider \"%s\": %.*s; logins that only it could decide get 454 until "
			"it can be read",
			d->title, BASE_SLICE_ARGS(base_buf_slice(&a->reason)));
	if (result != VAULT_FILE_BROKEN && d->complained)
		log_write(LOG_LEVEL_INFO, "provider \"%s\": \"%s\" can be read again", d->title,
			d->path);
	d->complained = result == VAULT_FILE_BROKEN;
}

static bool sasldb_changed(struct provider_source *s)
{
	struct sasldb_source *d = (struct sasldb_source *)s;
	struct stat now;
	bool there = stat(d->path, &now) == 0;
	bool changed = there != d->there || (there && file_changed(&d->stat, &now));

	d->there = there;
	if (there)
		d->stat = now;
	return changed;
}

static struct provider_source *sasldb_open(const struct provider_options *o)
{
	struct sasldb_source *d = base_alloc_zero(1, sizeof(*d));

	d->base.type = &provider_sasldb;
	d->title = base_strdup(o->title);
	d->path = base_strdup(o->path);
	d->realm = base_strdup(o->default_domain);
	base_buf_init(&d->where, base_slice_text(o->path).len + 3);
	base_buf_printf(&d->where, "\"%s\"", o->path);
	(void)sasldb_changed(&d->base);
	return &d->base;
}

static void sasldb_close(struct provider_source *s)
{
	struct sasldb_source *d = (struct sasldb_source *)s;

	base_buf_release(&d->where);
	free(d->title);
	free(d->path);
	free(d->realm);
	free(d);
}

const struct provider_source_type provider_sasldb = {
	.name = "sasldb",
	.watched = true,
	.open = sasldb_open,
	.ask = sasldb_ask,
	.changed = sasldb_changed,
	.close = sasldb_close,
};
