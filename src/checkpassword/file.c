#include "checkpassword/sources.h"

#include "base/clock.h"
#include "loop/file.h"
#include "vault/file.h"
#include "vault/sasldb.h"
#include "vault/stored.h"

enum { FILE_MAX_BYTES = 256 * 1024 * 1024 };

static enum checkpassword_verdict on_found(struct checkpassword_asker *a,
	enum vault_file_result result, const struct vault_file_entry *entry, const char *path)
{
	struct base_slice stored = base_buf_slice(&entry->stored), clear = BASE_SLICE_EMPTY;
	enum checkpassword_verdict verdict;

	switch (result) {
	case VAULT_FILE_KNOWN:
		(void)vault_stored_clear(stored, &clear);
		a->worked = true;
		verdict = checkpassword_judge(a->login, a->login->password, stored, clear);
		if (verdict == CHECKPASSWORD_CANNOT)
			base_error_set(&a->why, BASE_ERROR_CONFIG, 0,
				"\"%s\" line %u: a form that this build cannot check", path,
				entry->line);
		return verdict;
	case VAULT_FILE_UNKNOWN:
		return CHECKPASSWORD_UNKNOWN;
	case VAULT_FILE_REFUSED:
		a->worked = true;
		checkpassword_judge(
			a->login, a->login->password, BASE_SLICE_EMPTY, BASE_SLICE_EMPTY);
		return CHECKPASSWORD_WRONG;
	case VAULT_FILE_BROKEN:
		if (!a->why.text[0])
			base_error_set(&a->why, BASE_ERROR_CONFIG, 0, "\"%s\" line %u: %s", path,
				entry->line, entry->reason ? entry->reason : "cannot be read");
		return CHECKPASSWORD_CANNOT;
	}
	return CHECKPASSWORD_CANNOT;
}

enum checkpassword_verdict checkpassword_ask_path(
	struct checkpassword_asker *a, const char *path, int format, const char *default_domain)
{
	struct vault_file file = {
		.format = (enum vault_file_format)format,
		.cdb = base_slice_ends_with_nocase(base_slice_text(path), BASE_SLICE(".cdb")),
		.default_domain = base_slice_text(default_domain),
		.now_ms = base_clock_wall_ms(),
	};
	enum checkpassword_verdict verdict = CHECKPASSWORD_CANNOT;
	struct vault_file_entry entry;
	struct base_buf bytes;

	base_buf_init_secret(&bytes, FILE_MAX_BYTES);
	if (file_read(path, &bytes, NULL, &a->why) == 0) {
		file.bytes = base_buf_slice(&bytes);
		a->why.text[0] = '\0';
		vault_file_entry_init(&entry);
		verdict = on_found(a, vault_file_find(&file, a->login->name, &entry), &entry, path);
		vault_file_entry_release(&entry);
	}
	base_buf_release(&bytes);
	return verdict;
}

enum checkpassword_verdict checkpassword_ask_file(
	struct checkpassword_asker *a, const struct conf_provider *p)
{
	return checkpassword_ask_path(
		a, p->path, p->format, conf_provider_default_domain(a->conf, p));
}

enum checkpassword_verdict checkpassword_ask_sasldb(
	struct checkpassword_asker *a, const struct conf_provider *p)
{
	struct base_slice realm = base_slice_text(conf_provider_default_domain(a->conf, p));
	enum checkpassword_verdict verdict;
	struct vault_file_entry entry;

	vault_file_entry_init(&entry);
	a->why.text[0] = '\0';
	verdict = on_found(a, vault_sasldb_find(p->path, a->login->name, realm, &entry, &a->why),
		&entry, p->path);
	vault_file_entry_release(&entry);
	return verdict;
}
