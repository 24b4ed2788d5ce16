/* Files of users from anywhere: the first byte chooses the format and the default domain, then up to the
 * first LF stands a name to look for; the rest is the file. A walk ends, and every user that it gives
 * can be found. */
#include "vault/file.h"
#include "vault/stored.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(enum vault_file_result result, const struct vault_file_entry *e)
{
	struct base_slice password;
	enum vault_stored_kind kind;

	BASE_BUG_IF(!base_buf_ok(&e->name) || !base_buf_ok(&e->stored));
	if (result != VAULT_FILE_KNOWN) {
		BASE_BUG_IF(e->stored.len);
		BASE_BUG_IF((result == VAULT_FILE_UNKNOWN) != (e->reason == NULL));
		return;
	}
	BASE_BUG_IF(e->reason);
	kind = vault_stored_kind(base_buf_slice(&e->stored));
	BASE_BUG_IF(kind != VAULT_STORED_CLEAR && kind != VAULT_STORED_HASH);
	BASE_BUG_IF(vault_stored_clear(base_buf_slice(&e->stored), &password) !=
		(kind == VAULT_STORED_CLEAR));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vault_file f = {.now_ms = 1700000000000};
	struct vault_file_cursor cursor = {0};
	struct vault_file_entry found, step;
	enum vault_file_result result;
	struct base_slice name, rest;
	unsigned steps = 0;

	if (size < 2)
		return 0;
	f.format = (enum vault_file_format)(data[0] % VAULT_FILE_FORMAT_COUNT);
	f.cdb = data[0] & 0x40;
	if (data[0] & 0x80)
		f.default_domain = BASE_SLICE("e.org");
	rest = base_slice_make(data + 1, size - 1);
	if (!base_slice_split(&rest, '\n', &name))
		return 0;
	f.bytes = rest;
	vault_file_entry_init(&found);
	vault_file_entry_init(&step);
	check(vault_file_find(&f, name, &found), &found);
	while ((result = vault_file_next(&f, &cursor, &step)) != VAULT_FILE_UNKNOWN) {
		BASE_BUG_IF(steps++ > size);
		check(result, &step);
		/* Quadratic: only where it stays cheap. */
		if (steps < 64 && step.name.len && !f.cdb && f.format != VAULT_FILE_VPASSWD &&
			f.format != VAULT_FILE_VMAILMGR && result == VAULT_FILE_KNOWN) {
			result = vault_file_find(&f, base_buf_slice(&step.name), &found);
			check(result, &found);
			BASE_BUG_IF(result == VAULT_FILE_UNKNOWN);
		}
	}
	vault_file_entry_release(&found);
	vault_file_entry_release(&step);
	return 0;
}
