/* vpopmail's vpasswd, as lines or as a constant database whose key is the user and whose data the rest
 * of the line:
 *
 *   user:crypt:popflag:flags:gecos:dir:quota[:clear]
 *
 * The last may hold ':'. crypt may begin with a {SCHEME}, which is cut off where a hash of crypt(3)
 * follows. Where the clear password is kept it is what we take, because it serves every mechanism. */
#include "vault/file_internal.h"

#include "base/cdb.h"
#include "vault/stored.h"
#include "vault/verify_internal.h"

#include <string.h>

enum { FLAG_NO_RELAY = 0x20, FLAG_NO_SMTP = 0x800 };

enum { FIELD_CRYPT, FIELD_POPFLAG, FIELD_FLAGS, FIELD_GECOS, FIELD_DIR, FIELD_QUOTA, FIELD_COUNT };

static bool is_user(struct base_slice user)
{
	static const char others[] = "!#$&'*+-./=?^_{|}~`";

	for (size_t i = 0; i < user.len; i++)
		if (!base_ascii_is_alnum(user.ptr[i]) &&
			!memchr(others, user.ptr[i], sizeof(others) - 1))
			return false;
	return user.len > 0;
}

static size_t divided_at(struct base_slice name)
{
	static const uint8_t separators[] = {'@', '%', '/'};

	for (size_t i = 0; i < BASE_COUNT(separators); i++) {
		size_t at = base_slice_find(name, separators[i]);

		if (at < name.len)
			return at;
	}
	return name.len;
}

static struct base_slice without_scheme(struct base_slice stored)
{
	struct base_slice text = stored, scheme;

	return vault_stored_scheme(&text, &scheme) && vault_stored_kind(text) == VAULT_STORED_HASH
		? text
		: stored;
}

/* @rest: the line behind the user's ':'. */
static enum vault_file_result read_entry(struct base_slice rest, struct vault_file_entry *out)
{
	struct base_slice part[FIELD_COUNT] = {{0}}, clear = rest;
	uint64_t flags = 0;

	if (rest.len > VAULT_FILE_LINE_MAX_BYTES)
		return vault_file_break(out, "the line is longer than 4096 bytes");
	for (size_t i = 0; i < FIELD_COUNT; i++) {
		if (i + 1 < FIELD_COUNT && !base_slice_has(clear, ':'))
			return vault_file_break(out, "there are less than seven fields");
		part[i] = base_slice_first(clear, base_slice_find(clear, ':'));
		clear = base_slice_from(clear, part[i].len + 1);
	}
	if (part[FIELD_FLAGS].len && !base_slice_to_u64(part[FIELD_FLAGS], &flags))
		return vault_file_break(out, "the flags in the fourth field are no number");
	if (flags & FLAG_NO_SMTP)
		return vault_file_refuse(out, "NO_SMTP is set in its flags");
	if (flags & FLAG_NO_RELAY)
		return vault_file_refuse(out, "NO_RELAY is set in its flags");
	switch (vault_stored_kind(part[FIELD_CRYPT])) {
	case VAULT_STORED_EMPTY:
	case VAULT_STORED_LOCKED:
		return vault_file_take(out, part[FIELD_CRYPT]);
	case VAULT_STORED_CLEAR:
	case VAULT_STORED_HASH:
	case VAULT_STORED_BARE:
	case VAULT_STORED_SCHEME:
	case VAULT_STORED_BROKEN:
		break;
	}
	return clear.len ? vault_file_take_scheme(out, "{PLAIN}", clear)
			 : vault_file_take(out, without_scheme(part[FIELD_CRYPT]));
}

static enum vault_file_result find_in_cdb(
	const struct vault_file *f, struct base_slice user, struct vault_file_entry *out)
{
	struct base_slice data;

	switch (base_cdb_find(f->bytes, user, &data)) {
	case BASE_CDB_FOUND:
		return read_entry(data, out);
	case BASE_CDB_MISSING:
		return VAULT_FILE_UNKNOWN;
	case BASE_CDB_BROKEN:
		break;
	}
	return vault_file_break(out, "the file is no constant database, or damaged");
}

enum vault_file_result vault_file_vpasswd_find(
	const struct vault_file *f, struct base_slice name, struct vault_file_entry *out)
{
	struct vault_file_cursor cursor = {0};
	struct base_slice user, line;

	if (!vault_file_divide(f, name, divided_at(name), out, &user) || !is_user(user))
		return VAULT_FILE_UNKNOWN;
	if (f->cdb)
		return find_in_cdb(f, user, out);
	while (vault_file_line(f->bytes, &cursor, &line)) {
		size_t colon = base_slice_find(line, ':');

		if (!base_slice_equal_nocase(base_slice_first(line, colon), user))
			continue;
		out->line = cursor.line;
		return read_entry(base_slice_from(line, colon + 1), out);
	}
	return VAULT_FILE_UNKNOWN;
}

static enum vault_file_result read_named(
	struct base_slice user, struct base_slice rest, struct vault_file_entry *out)
{
	if (!vault_file_name(out, user))
		return VAULT_FILE_BROKEN;
	if (!is_user(user))
		return vault_file_break(out, "there are bytes in the name that vpopmail forbids");
	return read_entry(rest, out);
}

enum vault_file_result vault_file_vpasswd_next(
	const struct vault_file *f, struct vault_file_cursor *cursor, struct vault_file_entry *out)
{
	struct base_slice line, user, data;

	if (f->cdb) {
		switch (base_cdb_next(f->bytes, &cursor->at, &user, &data)) {
		case BASE_CDB_FOUND:
			return read_named(user, data, out);
		case BASE_CDB_MISSING:
			return VAULT_FILE_UNKNOWN;
		case BASE_CDB_BROKEN:
			break;
		}
		if (cursor->line++)
			return VAULT_FILE_UNKNOWN;
		return vault_file_break(out, "the file is no constant database, or damaged");
	}
	while (vault_file_line(f->bytes, cursor, &line)) {
		size_t colon = base_slice_find(line, ':');

		if (!line.len)
			continue;
		out->line = cursor->line;
		return read_named(
			base_slice_first(line, colon), base_slice_from(line, colon + 1), out);
	}
	return VAULT_FILE_UNKNOWN;
}
