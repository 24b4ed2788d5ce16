#include "mail/authres.h"
#include "mail/header.h"

#include "base/utf8.h"

#include <string.h>

enum {
	ID_MAX_BYTES = 512, /* more is nobody's name, and certainly not ours */
	VALUE_MAX_BYTES = 320,
};

struct id {
	uint8_t text[ID_MAX_BYTES];
	size_t len;
};

static bool add(struct id *id, uint8_t byte)
{
	if (id->len == sizeof(id->text))
		return false;
	id->text[id->len++] = byte;
	return true;
}

/* A quoted string at the front of @s goes into @id without its quotes. */
static bool take_quoted(struct base_slice *s, struct id *id)
{
	for (size_t i = 1; i < s->len; i++) {
		uint8_t c = s->ptr[i];

		if (c == '"') {
			*s = base_slice_from(*s, i + 1);
			return true;
		}
		if (c == '\\' && i + 1 < s->len)
			c = s->ptr[++i];
		if (c != '\r' && c != '\n' && !add(id, c))
			return false;
	}
	return false;
}

static bool ends_id(uint8_t c)
{
	return c <= ' ' || memchr("();:/=,<>\"", c, 10) != NULL;
}

static bool is_international(struct base_slice label)
{
	return base_slice_starts_with_nocase(label, BASE_SLICE("xn--")) || mail_has_8bit(label);
}

/* Two labels name the same host part, as far as can be said without the tables of IDNA: a label in
 * Unicode and one in its ASCII form are taken for the same. */
static bool same_label(struct base_slice a, struct base_slice b)
{
	if (base_slice_equal_nocase(a, b))
		return true;
	return is_international(a) && is_international(b) && (mail_has_8bit(a) || mail_has_8bit(b));
}

static bool same_name(struct base_slice a, struct base_slice b)
{
	struct base_slice head_a, head_b;

	while (a.len && a.ptr[a.len - 1] == '.')
		a.len--;
	while (b.len && b.ptr[b.len - 1] == '.')
		b.len--;
	for (;;) {
		bool more_a = base_slice_split(&a, '.', &head_a);
		bool more_b = base_slice_split(&b, '.', &head_b);

		if (!more_a || !more_b)
			return more_a == more_b;
		if (!same_label(head_a, head_b))
			return false;
	}
}

static bool occurs_in(struct base_slice s, struct base_slice name)
{
	for (; s.len >= name.len && name.len; s = base_slice_from(s, 1))
		if (base_slice_starts_with_nocase(s, name))
			return true;
	return false;
}

enum id_result {
	ID_OURS,
	ID_OTHER,
	ID_UNREADABLE, /* empty, longer than any name, a quote or comment never closed */
};

/* The authserv-id at the front of a field. A name that comments or blanks cut at its dots counts as
 * one name, and what stands before each cut as one too: stricter readers see no valid field there,
 * laxer ones see one of the names. */
static enum id_result read_id(struct base_slice s, struct base_slice own_name, struct id *id)
{
	bool closed;

	for (id->len = 0;;) {
		size_t before = id->len;

		s = mail_cfws_skip(s, &closed);
		if (!closed)
			return ID_UNREADABLE;
		if (s.len && s.ptr[0] == '"') {
			if (!take_quoted(&s, id))
				return ID_UNREADABLE;
		}
		while (s.len && !ends_id(s.ptr[0])) {
			if (!add(id, s.ptr[0]))
				return ID_UNREADABLE;
			s = base_slice_from(s, 1);
		}
		if (id->len == before)
			return before ? ID_OTHER : ID_UNREADABLE;
		if (same_name(base_slice_trim(base_slice_make(id->text, id->len)), own_name))
			return ID_OURS;
		s = mail_cfws_skip(s, &closed);
		if (closed && (s.len == 0 || (s.ptr[0] != '.' && id->text[id->len - 1] != '.')))
			return ID_OTHER;
	}
}

bool mail_authres_claims(struct base_slice body, struct base_slice own_name)
{
	struct id id;

	if (own_name.len == 0)
		return false;
	switch (read_id(body, own_name, &id)) {
	case ID_OURS:
		return true;
	case ID_OTHER:
		return false;
	case ID_UNREADABLE:
		break;
	}
	return occurs_in(body, own_name);
}

/* "token", or "local@domain" of such bytes, as RFC 8601's pvalue takes them without quotes. */
static bool is_plain_value(struct base_slice s)
{
	size_t at = base_slice_find(s, '@');

	if (s.len == 0 || at == 0 || at + 1 == s.len)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];

		if (!base_ascii_is_alnum(c) && i != at && !(c && strchr("._-+", c)))
			return false;
	}
	return true;
}

static void write_value(struct base_slice value, bool utf8, struct base_buf *out)
{
	struct base_slice shown = base_slice_first(value, VALUE_MAX_BYTES);
	bool keep_8bit = utf8 && base_utf8_valid(shown);

	if (is_plain_value(shown)) {
		base_buf_append_slice(out, shown);
		return;
	}
	base_buf_append_byte(out, '"');
	for (size_t i = 0; i < shown.len; i++) {
		uint8_t c = shown.ptr[i];

		if (c < 0x20 || c == 0x7f || (c >= 0x80 && !keep_8bit))
			c = '?';
		if (c == '"' || c == '\\')
			base_buf_append_byte(out, '\\');
		base_buf_append_byte(out, c);
	}
	base_buf_append_byte(out, '"');
}

bool mail_authres_write(struct base_slice own_name, struct base_slice user,
	struct base_slice mail_from, bool utf8, struct base_buf *out)
{
	base_buf_append_text(out, "Authentication-Results: ");
	base_buf_append_slice(out, own_name);
	base_buf_append_text(out, ";\r\n\tauth=pass smtp.auth=");
	write_value(user, utf8, out);
	if (mail_from.len) {
		base_buf_append_text(out, "\r\n\tsmtp.mailfrom=");
		write_value(mail_from, utf8, out);
	}
	return base_buf_append_text(out, "\r\n") && base_buf_ok(out);
}
