/* vmailmgr's passwd.cdb: the key is the virtual user in lower case, the data one of
 *
 *   2, pairs of (flag, 0 or 1), 0, strings       the first byte is the version
 *   1, strings
 *   ":password:destination"
 *
 * Strings end with a NUL: password, maildir, forwards (any number, then an empty one), personal, and six
 * numbers (decimal, or "-" for none): hard and soft quota, message size and count, time of creation,
 * expiry. Nothing follows. Flags: 8 enabled, 10 has a mailbox. */
#include "vault/file_internal.h"

#include "base/cdb.h"

enum { FLAG_ENABLED = 8, FLAG_HAS_MAILBOX = 10 };
enum { FORWARDS_MAX = 1000, NUMBER_EXPIRY = 5, NUMBER_COUNT = 6 };

static bool take_string(struct base_slice *data, struct base_slice *out)
{
	size_t len = base_slice_find(*data, '\0');

	if (len == data->len)
		return false;
	*out = base_slice_first(*data, len);
	*data = base_slice_from(*data, len + 1);
	return true;
}

/* Version 2: the pairs in front of the strings. */
static bool take_flags(struct base_slice *data, bool *out_enabled)
{
	while (data->len) {
		uint8_t flag = data->ptr[0], value;

		*data = base_slice_from(*data, 1);
		if (!flag)
			return true;
		if (!data->len || (flag != FLAG_ENABLED && flag != FLAG_HAS_MAILBOX))
			return false;
		value = data->ptr[0];
		*data = base_slice_from(*data, 1);
		if (flag == FLAG_ENABLED)
			*out_enabled = value != 0;
	}
	return false;
}

static bool take_strings(
	struct base_slice data, struct base_slice *out_password, uint64_t *out_expiry)
{
	struct base_slice text;
	unsigned forwards = 0;

	if (!take_string(&data, out_password) || !take_string(&data, &text))
		return false;
	do
		if (!take_string(&data, &text) || forwards++ > FORWARDS_MAX)
			return false;
	while (text.len);
	if (!take_string(&data, &text))
		return false;
	for (unsigned i = 0; i < NUMBER_COUNT; i++) {
		uint64_t value = UINT64_MAX;

		if (!take_string(&data, &text) ||
			(!base_slice_equal_text(text, "-") && !base_slice_to_u64(text, &value)))
			return false;
		if (i == NUMBER_EXPIRY)
			*out_expiry = value;
	}
	return data.len == 0;
}

static bool take_old(struct base_slice data, struct base_slice *out_password)
{
	size_t colon = base_slice_find(data, ':');

	*out_password = base_slice_first(data, colon);
	return colon < data.len;
}

static enum vault_file_result read_password(
	struct base_slice password, struct vault_file_entry *out)
{
	if (password.len == 33 && password.ptr[0] == '3')
		return vault_file_take_scheme(out, "{PLAIN-MD5}", base_slice_from(password, 1));
	if (base_slice_starts_with(password, BASE_SLICE("$0$")))
		return vault_file_take_scheme(out, "{PLAIN}", base_slice_from(password, 3));
	if (password.len && password.ptr[0] == '{')
		return vault_file_break(out, "the stored password is no form of vmailmgr's");
	return vault_file_take(out, password);
}

static enum vault_file_result read_entry(
	const struct vault_file *f, struct base_slice data, struct vault_file_entry *out)
{
	uint8_t version = data.len ? data.ptr[0] : 0;
	struct base_slice password = BASE_SLICE_EMPTY;
	uint64_t expiry = UINT64_MAX, now = f->now_ms > 0 ? (uint64_t)f->now_ms / 1000 : 0;
	bool enabled = true, good;

	data = base_slice_from(data, 1);
	if (version == ':')
		good = take_old(data, &password);
	else if (version == 2)
		good = take_flags(&data, &enabled) && take_strings(data, &password, &expiry);
	else
		good = version == 1 && take_strings(data, &password, &expiry);
	if (!good)
		return vault_file_break(out, "the record is damaged, or of a version not known");
	if (!enabled)
		return vault_file_refuse(out, "its mailbox is disabled");
	if (expiry < now)
		return vault_file_refuse(out, "it has expired");
	return read_password(password, out);
}

static size_t divided_at(struct base_slice name)
{
	size_t at = base_slice_find(name, '@'), colon = base_slice_find(name, ':');

	return at < colon ? at : colon;
}

enum vault_file_result vault_file_vmailmgr_find(
	const struct vault_file *f, struct base_slice name, struct vault_file_entry *out)
{
	struct base_slice user, data;

	if (!vault_file_divide(f, name, divided_at(name), out, &user))
		return VAULT_FILE_UNKNOWN;
	switch (base_cdb_find(f->bytes, user, &data)) {
	case BASE_CDB_FOUND:
		return read_entry(f, data, out);
	case BASE_CDB_MISSING:
		return VAULT_FILE_UNKNOWN;
	case BASE_CDB_BROKEN:
		break;
	}
	return vault_file_break(out, "the file is no constant database, or damaged");
}

enum vault_file_result vault_file_vmailmgr_next(
	const struct vault_file *f, struct vault_file_cursor *cursor, struct vault_file_entry *out)
{
	struct base_slice user, data;

	switch (base_cdb_next(f->bytes, &cursor->at, &user, &data)) {
	case BASE_CDB_FOUND:
		return vault_file_name(out, user) ? read_entry(f, data, out) : VAULT_FILE_BROKEN;
	case BASE_CDB_MISSING:
		return VAULT_FILE_UNKNOWN;
	case BASE_CDB_BROKEN:
		break;
	}
	if (cursor->line++)
		return VAULT_FILE_UNKNOWN;
	return vault_file_break(out, "the file is no constant database, or damaged");
}
