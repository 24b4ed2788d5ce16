#include "vault/name.h"

#include "base/utf8.h"

#include <string.h>

static bool put(struct vault_key *key, struct base_slice s)
{
	if (s.len > VAULT_NAME_MAX_BYTES - key->len)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
			return false;
		key->text[key->len++] = (char)base_ascii_lower(s.ptr[i]);
	}
	key->text[key->len] = '\0';
	return true;
}

bool vault_key_make(struct base_slice name, struct base_slice default_domain, struct vault_key *out)
{
	struct vault_key key = {.len = 0};

	if (!name.len || !base_utf8_valid(name) || !put(&key, name))
		return false;
	if (default_domain.len && !base_slice_has(name, '@') &&
		(!put(&key, BASE_SLICE("@")) || !put(&key, default_domain)))
		return false;
	*out = key;
	return true;
}

struct base_slice vault_key_slice(const struct vault_key *key)
{
	return base_slice_make(key->text, key->len);
}

bool vault_name_split_app(
	struct base_slice name, struct base_slice *out_name, struct base_slice *out_label)
{
	size_t slash = base_slice_find_last(name, '/');

	if (slash == name.len || slash == 0 || !vault_label_valid(base_slice_from(name, slash + 1)))
		return false;
	*out_name = base_slice_first(name, slash);
	*out_label = base_slice_from(name, slash + 1);
	return true;
}

bool vault_label_valid(struct base_slice label)
{
	if (!label.len || label.len > 64)
		return false;
	for (size_t i = 0; i < label.len; i++)
		if (!base_ascii_is_alnum(label.ptr[i]) && !memchr("._-", label.ptr[i], 3))
			return false;
	return true;
}
