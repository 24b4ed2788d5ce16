#include "vault/file.h"

#include "vault/file_internal.h"
#include "vault/stored.h"

#include <assert.h>

enum { STORED_MAX_BYTES = 1024 };

static const struct format {
	const char *name;
	enum vault_file_result (*find)(
		const struct vault_file *, struct base_slice, struct vault_file_entry *);
	enum vault_file_result (*next)(
		const struct vault_file *, struct vault_file_cursor *, struct vault_file_entry *);
} formats[] = {
	[VAULT_FILE_PASSWD] = {"passwd", vault_file_passwd_find, vault_file_passwd_next},
	[VAULT_FILE_HTPASSWD] = {"htpasswd", vault_file_passwd_find, vault_file_passwd_next},
	[VAULT_FILE_AUTHUSER] = {"authuser", vault_file_authuser_find, vault_file_authuser_next},
	[VAULT_FILE_VPASSWD] = {"vpasswd", vault_file_vpasswd_find, vault_file_vpasswd_next},
	[VAULT_FILE_VMAILMGR] = {"vmailmgr", vault_file_vmailmgr_find, vault_file_vmailmgr_next},
};
static_assert(BASE_COUNT(formats) == VAULT_FILE_FORMAT_COUNT, "one row for each format");

enum vault_file_format vault_file_format_parse(struct base_slice name)
{
	size_t i = 0;

	while (i < BASE_COUNT(formats) && !base_slice_equal_text(name, formats[i].name))
		i++;
	return (enum vault_file_format)i;
}

const char *vault_file_format_name(enum vault_file_format format)
{
	BASE_BUG_IF(format >= VAULT_FILE_FORMAT_COUNT);
	return formats[format].name;
}

void vault_file_entry_init(struct vault_file_entry *e)
{
	base_buf_init(&e->name, 2 * VAULT_NAME_MAX_BYTES + 2);
	base_buf_init_secret(&e->stored, STORED_MAX_BYTES);
	e->reason = NULL;
	e->line = 0;
}

void vault_file_entry_release(struct vault_file_entry *e)
{
	base_buf_release(&e->name);
	base_buf_release(&e->stored);
}

static void clear(struct vault_file_entry *e)
{
	base_buf_clear(&e->name);
	base_buf_clear(&e->stored);
	e->reason = NULL;
	e->line = 0;
}

enum vault_file_result vault_file_find(
	const struct vault_file *f, struct base_slice name, struct vault_file_entry *out)
{
	BASE_BUG_IF(f->format >= VAULT_FILE_FORMAT_COUNT);
	clear(out);
	if (!name.len || name.len > VAULT_NAME_MAX_BYTES)
		return VAULT_FILE_UNKNOWN;
	return formats[f->format].find(f, name, out);
}

enum vault_file_result vault_file_next(
	const struct vault_file *f, struct vault_file_cursor *cursor, struct vault_file_entry *out)
{
	BASE_BUG_IF(f->format >= VAULT_FILE_FORMAT_COUNT);
	clear(out);
	return formats[f->format].next(f, cursor, out);
}

bool vault_file_line(
	struct base_slice bytes, struct vault_file_cursor *cursor, struct base_slice *out_line)
{
	struct base_slice rest = base_slice_from(bytes, cursor->at);
	size_t len;

	if (!rest.len)
		return false;
	len = base_slice_find(rest, '\n');
	cursor->at += len + (len < rest.len);
	cursor->line++;
	if (len && len < rest.len && rest.ptr[len - 1] == '\r')
		len--;
	*out_line = base_slice_first(rest, len);
	return true;
}

bool vault_file_same_name(
	struct base_slice a, struct base_slice b, struct base_slice default_domain, bool fold)
{
	size_t a_at = base_slice_find_last(a, '@'), b_at = base_slice_find_last(b, '@');
	struct base_slice a_user = base_slice_first(a, a_at), b_user = base_slice_first(b, b_at);
	struct base_slice a_domain = base_slice_from(a, a_at + 1),
			  b_domain = base_slice_from(b, b_at + 1);

	if (a_user.len != b_user.len)
		return false;
	if (a_at == a.len)
		a_domain = b_at == b.len ? b_domain : default_domain;
	if (b_at == b.len)
		b_domain = a_at == a.len ? a_domain : default_domain;
	/* "anna@" is not the same as "anna" where there is no default. */
	if (!default_domain.len && (a_at == a.len) != (b_at == b.len))
		return false;
	return (fold ? base_slice_equal_nocase(a_user, b_user)
		     : base_slice_equal(a_user, b_user)) &&
		base_slice_equal_nocase(a_domain, b_domain);
}

static void append_lower(struct base_buf *out, struct base_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		base_buf_append_byte(out, base_ascii_lower(s.ptr[i]));
}

/* No second separator: where any domain is taken it must be read by others as it was by us. */
static bool is_one_part(struct base_slice domain)
{
	return !base_slice_has(domain, '@') && !base_slice_has(domain, '%') &&
		!base_slice_has(domain, '/') && !base_slice_has(domain, ':');
}

bool vault_file_divide(const struct vault_file *f, struct base_slice name, size_t at,
	struct vault_file_entry *out, struct base_slice *out_user)
{
	struct base_slice domain = base_slice_from(name, at + 1);

	if (!is_one_part(domain))
		return false;
	if (!domain.len)
		domain = f->default_domain;
	else if (f->default_domain.len && !base_slice_equal_nocase(domain, f->default_domain))
		return false;
	append_lower(&out->name, base_slice_first(name, at));
	if (domain.len) {
		base_buf_append_byte(&out->name, '@');
		append_lower(&out->name, domain);
	}
	*out_user = base_slice_first(base_buf_slice(&out->name), at);
	return at > 0 && base_buf_ok(&out->name);
}

enum vault_file_result vault_file_refuse(struct vault_file_entry *out, const char *reason)
{
	base_buf_clear(&out->stored);
	out->reason = reason;
	return VAULT_FILE_REFUSED;
}

enum vault_file_result vault_file_break(struct vault_file_entry *out, const char *reason)
{
	base_buf_clear(&out->stored);
	out->reason = reason;
	return VAULT_FILE_BROKEN;
}

/* What was appended to out->stored. */
static enum vault_file_result judge(struct vault_file_entry *out)
{
	enum vault_stored_kind kind = base_buf_ok(&out->stored)
		? vault_stored_kind(base_buf_slice(&out->stored))
		: VAULT_STORED_BROKEN;
	const char *reason = vault_stored_reason(kind);

	switch (kind) {
	case VAULT_STORED_CLEAR:
	case VAULT_STORED_HASH:
		break;
	case VAULT_STORED_EMPTY:
	case VAULT_STORED_LOCKED:
	case VAULT_STORED_BARE:
		return vault_file_refuse(out, reason);
	case VAULT_STORED_SCHEME:
	case VAULT_STORED_BROKEN:
		return vault_file_break(out, reason);
	}
	return VAULT_FILE_KNOWN;
}

enum vault_file_result vault_file_take(struct vault_file_entry *out, struct base_slice stored)
{
	base_buf_append_slice(&out->stored, stored);
	return judge(out);
}

enum vault_file_result vault_file_take_scheme(
	struct vault_file_entry *out, const char *scheme, struct base_slice text)
{
	base_buf_append_text(&out->stored, scheme);
	base_buf_append_slice(&out->stored, text);
	return judge(out);
}

bool vault_file_name(struct vault_file_entry *out, struct base_slice name)
{
	struct vault_key key;

	if (!vault_key_make(name, BASE_SLICE_EMPTY, &key)) {
		out->reason = "the name is empty, too long, not UTF-8 or has a control in it";
		return false;
	}
	base_buf_append_slice(&out->name, name);
	return true;
}
