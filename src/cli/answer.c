/* Ask a server, and show what it says: aligned for eyes, JSON for programs. */
#include "cli/cli.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

void cli_request_add(struct cli_request *r, const char *format, ...)
{
	struct control_request *q = &r->request;
	char *text = NULL;
	va_list args;
	int len;

	BASE_BUG_IF(q->word_count == CONTROL_WORDS_MAX);
	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	if (len < 0)
		base_out_of_memory();
	r->texts[q->word_count] = text;
	q->words[q->word_count++] = base_slice_make(text, (size_t)len);
}

void cli_request_release(struct cli_request *r)
{
	for (size_t i = 0; i < r->request.word_count; i++)
		free(r->texts[i]);
	*r = (struct cli_request){0};
}

int cli_ask(const struct conf *conf, const char *part, const struct cli_request *r,
	struct base_buf *out, bool *out_running, struct base_error *err)
{
	int rc;

	*err = (struct base_error){0};
	rc = control_call(conf->run, part, &r->request, out, err);
	/* A system error code with NOT_FOUND: nobody listens. Without one: the server's own answer.
	 */
	*out_running = !(rc == BASE_ERROR_NOT_FOUND && err->code != 0);
	return *out_running ? rc : 0;
}

json_t *cli_json(const struct base_buf *answer, struct base_error *err)
{
	json_error_t why;
	json_t *json = json_loadb((const char *)answer->ptr, answer->len, JSON_ALLOW_NUL, &why);

	if (!json)
		base_error_set(err, BASE_ERROR_PEER, 0, "the answer is no JSON: %s", why.text);
	return json;
}

void cli_print_json(const struct base_buf *answer)
{
	if (answer->len)
		fwrite(answer->ptr, 1, answer->len, stdout);
	if (answer->len == 0 || answer->ptr[answer->len - 1] != '\n')
		fputc('\n', stdout);
}

void cli_text_safe(struct base_slice s, struct base_buf *out)
{
	while (s.len) {
		uint32_t point;
		size_t len = base_utf8_next(s, &point);
		bool show = len && point >= 0x20 && point != 0x7f &&
			!(point >= 0x80 && point < 0xa0) && !(point >= 0x200b && point <= 0x200f) &&
			!(point >= 0x2028 && point <= 0x202e) &&
			!(point >= 0x2066 && point <= 0x2069) && point != 0xfeff;

		if (show)
			base_buf_append(out, s.ptr, len);
		else
			base_buf_printf(out, "\\x%02x", s.ptr[0]);
		s = base_slice_from(s, show ? len : 1);
	}
}

void cli_value_text(const json_t *v, struct base_buf *out)
{
	size_t before = out->len;

	if (json_is_string(v)) {
		cli_text_safe(base_slice_make(json_string_value(v), json_string_length(v)), out);
	} else if (json_is_integer(v)) {
		base_buf_printf(out, "%lld", (long long)json_integer_value(v));
	} else if (json_is_real(v)) {
		base_buf_printf(out, "%g", json_real_value(v));
	} else if (json_is_boolean(v)) {
		base_buf_append_text(out, json_is_true(v) ? "yes" : "no");
	} else if (json_is_array(v)) {
		for (size_t i = 0; i < json_array_size(v); i++) {
			const json_t *item = json_array_get(v, i);

			base_buf_append_text(out, i ? "," : "");
			/* Of an object its first value: what it is called. */
			if (json_is_object(item))
				item = json_object_iter_value(json_object_iter((json_t *)item));
			if (!json_is_array(item))
				cli_value_text(item, out);
		}
	}
	if (out->len == before)
		base_buf_append_text(out, "-");
}

/* Signs that a terminal shows, where each character is one wide. */
static size_t width(struct base_slice s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += (s.ptr[i] & 0xc0) != 0x80;
	return n;
}

enum { COLUMNS_MAX = 12 };

static void print_cell(struct base_slice text, size_t wide, bool right, bool last)
{
	int gap = (int)(wide - width(text));

	if (right)
		printf("%*s", gap, "");
	fwrite(text.ptr, 1, text.len, stdout);
	if (!right && !last)
		printf("%*s", gap, "");
	fputs(last ? "\n" : "  ", stdout);
}

void cli_print_table(
	const json_t *rows, const struct cli_column *columns, size_t count, const char *none)
{
	size_t wide[COLUMNS_MAX], n = json_array_size(rows);
	struct base_buf cell;

	BASE_BUG_IF(count > COLUMNS_MAX);
	if (n == 0) {
		puts(none);
		return;
	}
	base_buf_init(&cell, 1 << 20);
	for (size_t c = 0; c < count; c++) {
		wide[c] = width(base_slice_text(columns[c].title));
		for (size_t i = 0; i < n; i++) {
			size_t w;

			base_buf_clear(&cell);
			cli_value_text(
				json_object_get(json_array_get(rows, i), columns[c].key), &cell);
			w = width(base_buf_slice(&cell));
			wide[c] = w > wide[c] ? w : wide[c];
		}
	}
	for (size_t c = 0; c < count; c++)
		print_cell(base_slice_text(columns[c].title), wide[c], columns[c].right,
			c + 1 == count);
	for (size_t i = 0; i < n; i++)
		for (size_t c = 0; c < count; c++) {
			base_buf_clear(&cell);
			cli_value_text(
				json_object_get(json_array_get(rows, i), columns[c].key), &cell);
			print_cell(
				base_buf_slice(&cell), wide[c], columns[c].right, c + 1 == count);
		}
	base_buf_release(&cell);
}

static bool holds_objects(const json_t *v)
{
	return json_is_object(v) || (json_is_array(v) && json_is_object(json_array_get(v, 0)));
}

static size_t widest_key(const json_t *object)
{
	size_t wide = 0;

	for (void *i = json_object_iter((json_t *)object); i;
		i = json_object_iter_next((json_t *)object, i))
		if (strlen(json_object_iter_key(i)) > wide)
			wide = strlen(json_object_iter_key(i));
	return wide;
}

/* One line per value at this depth; objects inside are only named. */
static void print_flat(const json_t *object, int margin)
{
	size_t wide = widest_key(object);
	struct base_buf text;

	base_buf_init(&text, 1 << 20);
	for (void *i = json_object_iter((json_t *)object); i;
		i = json_object_iter_next((json_t *)object, i)) {
		const json_t *v = json_object_iter_value(i);

		if (holds_objects(v))
			continue;
		base_buf_clear(&text);
		cli_value_text(v, &text);
		printf("%*s%-*s  %.*s\n", margin, "", (int)wide, json_object_iter_key(i),
			BASE_SLICE_ARGS(base_buf_slice(&text)));
	}
	base_buf_release(&text);
}

void cli_print_object(const json_t *object)
{
	print_flat(object, 0);
	for (void *i = json_object_iter((json_t *)object); i;
		i = json_object_iter_next((json_t *)object, i)) {
		const json_t *v = json_object_iter_value(i);

		if (!holds_objects(v))
			continue;
		printf("%s\n", json_object_iter_key(i));
		if (json_is_object(v))
			print_flat(v, 2);
		for (size_t k = 0; k < json_array_size(v); k++) {
			if (k)
				putchar('\n');
			print_flat(json_array_get(v, k), 2);
		}
	}
}
