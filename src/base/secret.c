#include "base/secret.h"

#include <stdlib.h>
#include <string.h>

void base_secret_init(struct base_secret *s, size_t capacity)
{
	s->ptr = base_alloc_zero(1, capacity);
	s->len = 0;
	s->cap = capacity;
}

void base_secret_clear(struct base_secret *s)
{
	base_wipe(s->ptr, s->cap);
	s->len = 0;
}

void base_secret_release(struct base_secret *s)
{
	base_wipe(s->ptr, s->cap);
	free(s->ptr);
	*s = (struct base_secret){0};
}

bool base_secret_append(struct base_secret *s, struct base_slice bytes)
{
	if (bytes.len > s->cap - s->len)
		return false;
	if (bytes.len)
		memcpy(s->ptr + s->len, bytes.ptr, bytes.len);
	s->len += bytes.len;
	return true;
}

bool base_secret_set(struct base_secret *s, struct base_slice bytes)
{
	if (bytes.len > s->cap)
		return false;
	base_secret_clear(s);
	return base_secret_append(s, bytes);
}

struct base_slice base_secret_slice(const struct base_secret *s)
{
	return base_slice_make(s->ptr, s->len);
}

bool base_equal_constant_time(struct base_slice a, struct base_slice b)
{
	volatile uint8_t difference = 0;

	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		difference = (uint8_t)(difference | (a.ptr[i] ^ b.ptr[i]));
	return difference == 0;
}
