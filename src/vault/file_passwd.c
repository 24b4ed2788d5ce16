/* Lines of name:hash, and of Dovecot's passwd-file what stands behind: uid, gid, gecos, home, shell and
 * extra fields in the eighth. Apache's files end with the hash. Blank lines and those that begin with
 * "#" are skipped. */
#include "vault/file_internal.h"
#include "vault/stored.h"

enum { EXTRA_FIELD = 7 };

static bool is_comment(struct base_slice line)
{
	return !line.len || line.ptr[0] == '#';
}

static struct base_slice field(struct base_slice line, unsigned number)
{
	for (; number; number--)
		line = base_slice_from(line, base_slice_find(line, ':') + 1);
	return base_slice_first(line, base_slice_find(line, ':'));
}

/* A field that limits who may log in, and which this reader cannot honour otherwise. */
static const char *extra_reason(struct base_slice line)
{
	struct base_slice fields = field(line, EXTRA_FIELD), word;

	while (base_slice_split(&fields, ' ', &word)) {
		struct base_slice name = base_slice_first(word, base_slice_find(word, '='));

		if (base_slice_equal_text_nocase(name, "nologin"))
			return "nologin is set";
		if (base_slice_equal_text_nocase(name, "allow_nets"))
			return "allow_nets is set, which is not supported here";
	}
	return NULL;
}

static enum vault_file_result read_entry(
	const struct vault_file *f, struct base_slice line, struct vault_file_entry *out)
{
	struct base_slice stored = field(line, 1), password;
	const char *reason;

	if (line.len > VAULT_FILE_LINE_MAX_BYTES)
		return vault_file_break(out, "the line is longer than 4096 bytes");
	if (!base_slice_has(line, ':'))
		return vault_file_break(out, "there is no ':' in the line");
	reason = f->format == VAULT_FILE_PASSWD ? extra_reason(line) : NULL;
	if (reason)
		return vault_file_refuse(out, reason);
	if (f->format == VAULT_FILE_HTPASSWD &&
		(vault_stored_clear(stored, &password) ||
			vault_stored_kind(stored) == VAULT_STORED_BARE))
		return vault_file_refuse(
			out, "the password is clear text, or no hash that is known");
	return vault_file_take(out, stored);
}

enum vault_file_result vault_file_passwd_find(
	const struct vault_file *f, struct base_slice name, struct vault_file_entry *out)
{
	struct vault_file_cursor cursor = {0};
	struct base_slice line;

	while (vault_file_line(f->bytes, &cursor, &line))
		if (!is_comment(line) &&
			vault_file_same_name(field(line, 0), name, f->default_domain, true)) {
			out->line = cursor.line;
			return read_entry(f, line, out);
		}
	return VAULT_FILE_UNKNOWN;
}

enum vault_file_result vault_file_passwd_next(
	const struct vault_file *f, struct vault_file_cursor *cursor, struct vault_file_entry *out)
{
	struct base_slice line;

	while (vault_file_line(f->bytes, cursor, &line)) {
		if (is_comment(line))
			continue;
		out->line = cursor->line;
		return vault_file_name(out, field(line, 0)) ? read_entry(f, line, out)
							    : VAULT_FILE_BROKEN;
	}
	return VAULT_FILE_UNKNOWN;
}
