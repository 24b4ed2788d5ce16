/* JSON of profiles and answers. jansson frees strings, and the buffer it reads them through, as they are;
 * here a freed block is wiped first, because most of them held a secret. */
#include "vault/oauth_internal.h"

#include <malloc.h>
#include <stdlib.h>

static void *take(size_t size)
{
	return base_alloc(size);
}

static void give_up(void *ptr)
{
	if (!ptr)
		return;
	base_wipe(ptr, malloc_usable_size(ptr));
	free(ptr);
}

void vault_oauth_json_wiped(void)
{
	json_set_alloc_funcs(take, give_up);
}

json_t *vault_oauth_json(struct base_slice text, struct base_error *why)
{
	json_error_t error;
	json_t *json;

	vault_oauth_json_wiped();
	/* Numbers of any size are taken as reals, so that a huge one is no reason to refuse the rest. */
	json = json_loadb(text.len ? (const char *)text.ptr : "", text.len,
		JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &error);
	if (json_is_object(json))
		return json;
	/* error.text quotes the text, which may be a secret: the place has to do. */
	if (json)
		base_error_set(why, BASE_ERROR_PERMANENT, 0, "not a JSON object");
	else
		base_error_set(why, BASE_ERROR_PERMANENT, 0,
			"not JSON, or a key twice (line %d, column %d)", error.line, error.column);
	json_decref(json);
	return NULL;
}

struct base_slice vault_oauth_json_text(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_string(value)
		? base_slice_make(json_string_value(value), json_string_length(value))
		: BASE_SLICE_EMPTY;
}

bool vault_oauth_is_visible(struct base_slice s, size_t max)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < 0x21 || s.ptr[i] > 0x7e)
			return false;
	return s.len > 0 && s.len <= max;
}
