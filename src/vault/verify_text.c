/* What the stored forms have in common. */
#include "base/base64.h"
#include "vault/verify_internal.h"

#include <string.h>

bool vault_stored_base64(struct base_slice in, uint8_t *out, size_t max, size_t *out_len)
{
	uint8_t text[512];
	struct base_buf decoded;
	size_t len = in.len;
	bool good;

	if (len + 3 > sizeof(text))
		return false;
	for (size_t i = 0; i < len; i++)
		text[i] = in.ptr[i] == '.' ? '+' : in.ptr[i];
	while (len % 4)
		text[len++] = '=';
	base_buf_init_secret(&decoded, sizeof(text));
	good = base64_decode(base_slice_make(text, len), &decoded, NULL) == BASE64_OK &&
		decoded.len <= max;
	if (good) {
		if (decoded.len)
			memcpy(out, decoded.ptr, decoded.len);
		*out_len = decoded.len;
	}
	base_buf_release(&decoded);
	base_wipe(text, sizeof(text));
	return good;
}

bool vault_stored_scheme(struct base_slice *text, struct base_slice *out_scheme)
{
	size_t end;

	if (!text->len || text->ptr[0] != '{')
		return false;
	end = base_slice_find(*text, '}');
	if (end == text->len || end > 32)
		return false;
	*out_scheme = base_slice_make(text->ptr + 1, end - 1);
	*text = base_slice_from(*text, end + 1);
	return true;
}
