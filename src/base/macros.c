#include "base/macros.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void base_bug(const char *file, int line, const char *condition)
{
	fprintf(stderr, "postern: bug: %s:%d: %s\n", file, line, condition);
	abort();
}

void base_out_of_memory(void)
{
	fputs("postern: out of memory\n", stderr);
	_Exit(111);
}

void *base_alloc(size_t size)
{
	void *ptr = malloc(size ? size : 1);

	if (!ptr)
		base_out_of_memory();
	return ptr;
}

void *base_alloc_zero(size_t count, size_t size)
{
	void *ptr = calloc(count ? count : 1, size ? size : 1);

	if (!ptr)
		base_out_of_memory();
	return ptr;
}

void *base_realloc(void *ptr, size_t size)
{
	void *moved = realloc(ptr, size ? size : 1);

	if (!moved)
		base_out_of_memory();
	return moved;
}

char *base_strdup(const char *text)
{
	size_t size = strlen(text) + 1;

	return memcpy(base_alloc(size), text, size);
}

void base_wipe(void *ptr, size_t len)
{
	if (ptr && len)
		explicit_bzero(ptr, len);
}
