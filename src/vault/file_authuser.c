/* Lines of name:password in clear text, of cmd5checkpw and of s/qmail's qmail-authuser.
 *
 * The password is all behind the first ':', other ':' and blanks with it (the originals cut it at the
 * second ':' or differ among themselves). Some passwords have a meaning:
 *
 *   %HEX        MD5 (32 digits), SHA-1 (40) or SHA-256 (64) of the password
 *   ? ! + & =   alone: the system's passwd, checkvpw, vchkpw or Dovecot decides; nothing for a file
 *
 * and so have some names: "@domain" is everybody of a domain, "@" and "*" everybody; "!name" and
 * "!@domain", with or without a ':' behind, let nobody in and come first wherever they stand. */
#include "vault/file_internal.h"

#include "base/base64.h"

#include <string.h>

static bool is_comment(struct base_slice line)
{
	return !line.len || line.ptr[0] == '#';
}

static struct base_slice name_of(struct base_slice line)
{
	return base_slice_first(line, base_slice_find(line, ':'));
}

static bool is_disabling(struct base_slice line)
{
	return line.len && line.ptr[0] == '!';
}

/* Places in the order in which they count; the least one that matches wins. */
enum place { PLACE_DISABLED, PLACE_NAME, PLACE_DOMAIN, PLACE_AT, PLACE_STAR, PLACE_NONE };

static enum place place_enabled(
	const struct vault_file *f, struct base_slice name, struct base_slice of_line, bool fold)
{
	size_t at = base_slice_find_last(name, '@');
	struct base_slice domain = at < name.len ? base_slice_from(name, at + 1)
						 : f->default_domain;

	if (base_slice_equal_text(of_line, "*"))
		return PLACE_STAR;
	if (base_slice_equal_text(of_line, "@"))
		return PLACE_AT;
	if (of_line.len && of_line.ptr[0] == '@')
		return domain.len && base_slice_equal_nocase(base_slice_from(of_line, 1), domain)
			? PLACE_DOMAIN
			: PLACE_NONE;
	return vault_file_same_name(of_line, name, f->default_domain, fold) ? PLACE_NAME
									    : PLACE_NONE;
}

static enum place place_of(
	const struct vault_file *f, struct base_slice name, struct base_slice of_line)
{
	enum place place;

	if (!is_disabling(of_line))
		return place_enabled(f, name, of_line, false);
	/* In any spelling: who is let in by a line for all is the same user in all of them. */
	place = place_enabled(f, name, base_slice_from(of_line, 1), true);
	return place == PLACE_NAME || place == PLACE_DOMAIN ? PLACE_DISABLED : PLACE_NONE;
}

static enum vault_file_result read_hash(struct base_slice hex, struct vault_file_entry *out)
{
	static const struct {
		size_t digits;
		const char *scheme;
	} hashes[] = {{32, "{PLAIN-MD5}"}, {40, "{SHA1}"}, {64, "{SHA256}"}};

	for (size_t i = 0; i < hex.len; i++)
		if (base_hex_value(hex.ptr[i]) < 0)
			return VAULT_FILE_UNKNOWN;
	for (size_t i = 0; i < BASE_COUNT(hashes); i++)
		if (hex.len == hashes[i].digits)
			return vault_file_take_scheme(out, hashes[i].scheme, hex);
	return VAULT_FILE_UNKNOWN;
}

static enum vault_file_result read_entry(struct base_slice line, struct vault_file_entry *out)
{
	size_t colon = base_slice_find(line, ':');
	struct base_slice password = base_slice_from(line, colon + 1);

	if (line.len > VAULT_FILE_LINE_MAX_BYTES)
		return vault_file_break(out, "the line is longer than 4096 bytes");
	if (colon == line.len)
		return vault_file_break(out, "there is no ':' in the line");
	if (password.len == 1 && memchr("?!+&=", password.ptr[0], 5))
		return vault_file_refuse(out,
			"another program or the system's passwd would decide, "
			"which is not supported here");
	if (password.len && password.ptr[0] == '%') {
		enum vault_file_result result = read_hash(base_slice_from(password, 1), out);

		if (result != VAULT_FILE_UNKNOWN)
			return result;
	}
	return vault_file_take_scheme(out, "{PLAIN}", password);
}

enum vault_file_result vault_file_authuser_find(
	const struct vault_file *f, struct base_slice name, struct vault_file_entry *out)
{
	struct vault_file_cursor cursor = {0};
	enum place best = PLACE_NONE;
	struct base_slice line, found = BASE_SLICE_EMPTY;

	/* These are no names of users, whatever line there is of them. */
	if (memchr("@*!", name.ptr[0], 3))
		return VAULT_FILE_UNKNOWN;
	while (best != PLACE_DISABLED && vault_file_line(f->bytes, &cursor, &line)) {
		enum place place = is_comment(line) ? PLACE_NONE : place_of(f, name, name_of(line));

		if (place < best) {
			best = place;
			found = line;
			out->line = cursor.line;
		}
	}
	if (best == PLACE_NONE)
		return VAULT_FILE_UNKNOWN;
	if (best == PLACE_DISABLED)
		return vault_file_refuse(out, "a line that begins with '!' disables it");
	return read_entry(found, out);
}

static bool has_disabling(struct base_slice bytes)
{
	struct vault_file_cursor cursor = {0};
	struct base_slice line;

	while (vault_file_line(bytes, &cursor, &line))
		if (is_disabling(line))
			return true;
	return false;
}

static bool is_disabled(const struct vault_file *f, struct base_slice name)
{
	struct vault_file_cursor cursor = {0};
	struct base_slice line;

	while (vault_file_line(f->bytes, &cursor, &line))
		if (is_disabling(line) && place_of(f, name, name_of(line)) == PLACE_DISABLED)
			return true;
	return false;
}

enum vault_file_result vault_file_authuser_next(
	const struct vault_file *f, struct vault_file_cursor *cursor, struct vault_file_entry *out)
{
	struct base_slice line, name;

	if (cursor->at == 0)
		cursor->disabling = has_disabling(f->bytes);
	while (vault_file_line(f->bytes, cursor, &line)) {
		if (is_comment(line) || is_disabling(line))
			continue;
		name = name_of(line);
		out->line = cursor->line;
		if (!vault_file_name(out, name))
			return VAULT_FILE_BROKEN;
		if (name.ptr[0] == '@' || name.ptr[0] == '*')
			return vault_file_refuse(out,
				"the line stands for everybody or for a whole "
				"domain, and is no user");
		if (cursor->disabling && is_disabled(f, name))
			return vault_file_refuse(out, "a line that begins with '!' disables it");
		return read_entry(line, out);
	}
	return VAULT_FILE_UNKNOWN;
}
