#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BYTES = 64 };

static void init(struct base_buf *b, size_t max, bool secret)
{
	*b = (struct base_buf){.max = max, .secret = secret};
}

void base_buf_init(struct base_buf *b, size_t max)
{
	init(b, max, false);
}

void base_buf_init_secret(struct base_buf *b, size_t max)
{
	init(b, max, true);
}

void base_buf_clear(struct base_buf *b)
{
	if (b->secret)
		base_wipe(b->ptr, b->len);
	b->len = 0;
	b->overflow = false;
}

void base_buf_release(struct base_buf *b)
{
	if (b->secret)
		base_wipe(b->ptr, b->cap);
	free(b->ptr);
	init(b, b->max, b->secret);
}

/* realloc() would leave a copy of a secret behind, so a secret buffer moves by hand. */
static void grow(struct base_buf *b, size_t cap)
{
	uint8_t *moved;

	if (!b->secret) {
		b->ptr = base_realloc(b->ptr, cap);
		b->cap = cap;
		return;
	}
	moved = base_alloc(cap);
	if (b->ptr)
		memcpy(moved, b->ptr, b->len);
	base_wipe(b->ptr, b->cap);
	free(b->ptr);
	b->ptr = moved;
	b->cap = cap;
}

uint8_t *base_buf_reserve(struct base_buf *b, size_t len)
{
	size_t need, cap;

	if (len > b->max - b->len) {
		b->overflow = true;
		return NULL;
	}
	need = b->len + len;
	if (need > b->cap || !b->ptr) {
		cap = b->cap ? b->cap : FIRST_BYTES;
		while (cap < need)
			cap = cap > b->max / 2 ? b->max : cap * 2;
		if (cap > b->max)
			cap = b->max > need ? b->max : need;
		grow(b, cap);
	}
	return b->ptr + b->len;
}

void base_buf_grew(struct base_buf *b, size_t len)
{
	BASE_BUG_IF(len > b->cap - b->len);
	b->len += len;
}

bool base_buf_append(struct base_buf *b, const void *ptr, size_t len)
{
	uint8_t *to = base_buf_reserve(b, len);

	if (!to)
		return false;
	if (len)
		memcpy(to, ptr, len);
	b->len += len;
	return true;
}

bool base_buf_append_slice(struct base_buf *b, struct base_slice s)
{
	return base_buf_append(b, s.ptr, s.len);
}

bool base_buf_append_text(struct base_buf *b, const char *text)
{
	return base_buf_append(b, text, strlen(text));
}

bool base_buf_append_byte(struct base_buf *b, uint8_t byte)
{
	return base_buf_append(b, &byte, 1);
}

bool base_buf_vprintf(struct base_buf *b, const char *format, va_list args)
{
	char small[256];
	char *text = small;
	va_list again;
	bool fits;
	int len;

	va_copy(again, args);
	len = vsnprintf(small, sizeof(small), format, args);
	BASE_BUG_IF(len < 0);
	if ((size_t)len >= sizeof(small)) {
		text = base_alloc((size_t)len + 1);
		vsnprintf(text, (size_t)len + 1, format, again);
	}
	va_end(again);
	fits = base_buf_append(b, text, (size_t)len);
	if (b->secret)
		base_wipe(text, (size_t)len);
	if (text != small)
		free(text);
	return fits;
}

bool base_buf_printf(struct base_buf *b, const char *format, ...)
{
	va_list args;
	bool fits;

	va_start(args, format);
	fits = base_buf_vprintf(b, format, args);
	va_end(args);
	return fits;
}

void base_buf_consume(struct base_buf *b, size_t len)
{
	BASE_BUG_IF(len > b->len);
	if (len == 0)
		return;
	memmove(b->ptr, b->ptr + len, b->len - len);
	if (b->secret)
		base_wipe(b->ptr + b->len - len, len);
	b->len -= len;
}

void base_buf_truncate(struct base_buf *b, size_t len)
{
	BASE_BUG_IF(len > b->len);
	if (b->secret && len < b->len)
		base_wipe(b->ptr + len, b->len - len);
	b->len = len;
}

bool base_buf_ok(const struct base_buf *b)
{
	return !b->overflow;
}

size_t base_buf_room(const struct base_buf *b)
{
	return b->max - b->len;
}

struct base_slice base_buf_slice(const struct base_buf *b)
{
	return base_slice_make(b->ptr, b->len);
}

const char *base_buf_text(struct base_buf *b)
{
	bool before = b->overflow;
	uint8_t *end = base_buf_reserve(b, 1);

	b->overflow = before;
	if (!end)
		return NULL;
	*end = 0;
	return (const char *)b->ptr;
}
