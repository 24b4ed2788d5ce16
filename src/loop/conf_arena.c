#include "loop/conf_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 8192 };

struct block {
	struct block *next;
	size_t used, size;
	max_align_t bytes[];
};

struct conf_arena {
	struct block *blocks;
};

struct conf_arena *conf_arena_new(void)
{
	return base_alloc_zero(1, sizeof(struct conf_arena));
}

void conf_arena_free(struct conf_arena **arena)
{
	struct block *next;

	if (!*arena)
		return;
	for (struct block *b = (*arena)->blocks; b; b = next) {
		next = b->next;
		free(b);
	}
	free(*arena);
	*arena = NULL;
}

void *conf_arena_alloc(struct conf_arena *arena, size_t size)
{
	struct block *b = arena->blocks;
	void *place;

	size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
	if (!b || size > b->size - b->used) {
		size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;

		b = base_alloc_zero(1, sizeof(*b) + room);
		b->size = room;
		b->next = arena->blocks;
		arena->blocks = b;
	}
	place = (char *)b->bytes + b->used;
	b->used += size;
	return place;
}

char *conf_arena_text(struct conf_arena *arena, struct base_slice text)
{
	char *copy = conf_arena_alloc(arena, text.len + 1);

	if (text.len)
		memcpy(copy, text.ptr, text.len);
	return copy;
}

char *conf_arena_printf(struct conf_arena *arena, const char *format, ...)
{
	struct base_buf b;
	va_list args;
	char *copy;

	base_buf_init(&b, 4 * CONF_STRING_MAX_BYTES);
	va_start(args, format);
	base_buf_vprintf(&b, format, args);
	va_end(args);
	copy = conf_arena_text(arena, base_buf_slice(&b));
	base_buf_release(&b);
	return copy;
}
