/* The forms in the field:
 *	{"status":"401","schemes":"bearer","scope":"https://mail.google.com/"}          Google, XOAUTH2
 *	{"status":"invalid_token","scope":"mail","openid-configuration":"https://…"}    RFC 7628
 * The status is an HTTP code or one of RFC 6750's words; some write it as a number. */
#include "wire/oauth_error.h"

#include "base/escape.h"

#include <jansson.h>
#include <stdio.h>

enum { JSON_MAX_BYTES = 4096, VALUE_MAX_BYTES = 200 };

static const struct {
	const char *status, *words;
} meanings[] = {
	{"400", "not understood"},
	{"401", "invalid or expired"},
	{"403", "not good for sending mail"},
	{"invalid_request", "not understood"},
	{"invalid_token", "invalid or expired"},
	{"insufficient_scope", "not good for sending mail"},
};

/* What is told beside the status, if it is there. */
static const char *const details[] = {
	"error", "error_description", "scope", "schemes", "openid-configuration"};

static void quote(struct base_slice value, struct base_buf *out)
{
	base_buf_append_byte(out, '"');
	base_escape_log(value, VALUE_MAX_BYTES, out);
	base_buf_append_byte(out, '"');
}

static struct base_slice string_of(const json_t *value)
{
	return base_slice_make(json_string_value(value), json_string_length(value));
}

static void put_status(struct base_slice status, struct base_buf *out)
{
	for (size_t i = 0; i < BASE_COUNT(meanings); i++) {
		if (!base_slice_equal_text(status, meanings[i].status))
			continue;
		base_buf_printf(out, "%s %s", meanings[i].status, meanings[i].words);
		return;
	}
	base_buf_append_text(out, "status ");
	quote(status, out);
}

static void put_object(const json_t *object, struct base_buf *out)
{
	const json_t *status = json_object_get(object, "status");
	const char *before = " (";
	char number[24];

	if (json_is_string(status)) {
		put_status(string_of(status), out);
	} else if (json_is_integer(status)) {
		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(status));
		put_status(base_slice_text(number), out);
	} else {
		base_buf_append_text(out, "no status given");
	}
	for (size_t i = 0; i < BASE_COUNT(details); i++) {
		const json_t *value = json_object_get(object, details[i]);

		if (!json_is_string(value) || json_string_length(value) == 0)
			continue;
		base_buf_printf(out, "%s%s ", before, details[i]);
		quote(string_of(value), out);
		before = ", ";
	}
	if (before[0] == ',')
		base_buf_append_byte(out, ')');
}

void wire_oauth_error_words(struct base_slice json, struct base_buf *out)
{
	json_t *object = json.len <= JSON_MAX_BYTES
		? json_loadb((const char *)json.ptr, json.len, JSON_REJECT_DUPLICATES, NULL)
		: NULL;

	base_buf_append_text(out, "the server refuses the token: ");
	if (json_is_object(object))
		put_object(object, out);
	else if (json.len == 0)
		base_buf_append_text(out, "no reason given");
	else
		quote(json, out);
	json_decref(object);
}
