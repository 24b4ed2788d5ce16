/* vault/test_oauth.h: forms and profiles looked at, for the tests of vault/oauth */
#ifndef VAULT_TEST_OAUTH_H
#define VAULT_TEST_OAUTH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base64.h"
#include "vault/oauth.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline struct vault_oauth_profile *profile_of(const char *json)
{
	struct vault_oauth_profile *p = NULL;
	struct base_error err = {0};

	if (vault_oauth_profile_parse(&p, base_slice_text(json), "FILE", NULL, NULL, NULL, &err) !=
		0)
		fail_msg("%s: %s", json, err.text);
	return p;
}

/* @key's value in the form @text, decoded, as a new string; null: not there. Twice: a failure. */
static inline char *form_value(struct base_slice text, const char *key)
{
	struct base_slice pair;
	char *found = NULL;

	while (base_slice_split(&text, '&', &pair)) {
		size_t sign = base_slice_find(pair, '='), len = 0;

		if (!base_slice_equal_text(base_slice_first(pair, sign), key))
			continue;
		assert_null(found);
		pair = base_slice_from(pair, sign + 1);
		found = base_alloc_zero(1, pair.len + 1);
		for (size_t i = 0; i < pair.len; i++)
			if (pair.ptr[i] == '%') {
				found[len++] = (char)(base_hex_value(pair.ptr[i + 1]) << 4 |
					base_hex_value(pair.ptr[i + 2]));
				i += 2;
			} else {
				found[len++] = pair.ptr[i] == '+' ? ' ' : (char)pair.ptr[i];
			}
	}
	return found;
}

/* Null @expected: not there. */
static inline void assert_form(struct base_slice text, const char *key, const char *expected)
{
	char *value = form_value(text, key);

	if (!value != !expected || (value && expected && strcmp(value, expected) != 0))
		fail_msg("%s is \"%s\", not \"%s\"", key, value ? value : "(none)",
			expected ? expected : "(none)");
	free(value);
}

/* Without padding. */
static inline size_t base64url_bytes(struct base_slice text, uint8_t *out, size_t size)
{
	struct base_buf plain, decoded;
	size_t len;

	base_buf_init(&plain, 65536);
	base_buf_init(&decoded, size);
	for (size_t i = 0; i < text.len; i++)
		base_buf_append_byte(&plain,
			text.ptr[i] == '-'           ? '+'
				: text.ptr[i] == '_' ? '/'
						     : text.ptr[i]);
	while (plain.len % 4)
		base_buf_append_byte(&plain, '=');
	assert_int_equal(base64_decode(base_buf_slice(&plain), &decoded, NULL), BASE64_OK);
	len = decoded.len;
	memcpy(out, decoded.ptr, len);
	base_buf_release(&plain);
	base_buf_release(&decoded);
	return len;
}

#endif
