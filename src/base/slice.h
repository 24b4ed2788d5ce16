/* base/slice.h: bytes by reference
 * Job      a pointer and a length, passed by value
 * Not      ownership: a slice borrows, for the call unless a comment says longer
 * Trust    the bytes may be anything; nothing here needs a NUL at the end */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct base_slice {
	const uint8_t *ptr;
	size_t len;
};

#define BASE_SLICE(literal) ((struct base_slice){(const uint8_t *)(literal), sizeof(literal) - 1})
#define BASE_SLICE_EMPTY ((struct base_slice){NULL, 0})
/* printf("%.*s", BASE_SLICE_ARGS(s)): only for bytes that were checked or escaped before. */
#define BASE_SLICE_ARGS(s) (int)(s).len, (const char *)(s).ptr

struct base_slice base_slice_make(const void *ptr, size_t len);
/* Null gives the empty slice. */
struct base_slice base_slice_text(const char *text);

bool base_slice_equal(struct base_slice a, struct base_slice b);
bool base_slice_equal_text(struct base_slice a, const char *text);
/* ASCII case is ignored; all other bytes must be the same. */
bool base_slice_equal_nocase(struct base_slice a, struct base_slice b);
bool base_slice_equal_text_nocase(struct base_slice a, const char *text);
bool base_slice_starts_with(struct base_slice s, struct base_slice prefix);
bool base_slice_starts_with_nocase(struct base_slice s, struct base_slice prefix);
bool base_slice_ends_with_nocase(struct base_slice s, struct base_slice suffix);

/* Index of the first or last @byte, or s.len where there is none. */
size_t base_slice_find(struct base_slice s, uint8_t byte);
size_t base_slice_find_last(struct base_slice s, uint8_t byte);
bool base_slice_has(struct base_slice s, uint8_t byte);

/* Clamped: positions past the end give the empty slice. */
struct base_slice base_slice_from(struct base_slice s, size_t start);
struct base_slice base_slice_first(struct base_slice s, size_t len);
/* Without SP, HTAB, CR and LF at both ends. */
struct base_slice base_slice_trim(struct base_slice s);

/* Take the bytes before the first @separator off the front of @s, and the separator with them.
 * False when @s was empty on entry (then nothing is written). Loop with this to split lists. */
bool base_slice_split(struct base_slice *s, uint8_t separator, struct base_slice *out_head);

/* Take the next word off the front of @s, blanks around it dropped; empty at the end. */
struct base_slice base_slice_word(struct base_slice *s);

/* Decimal digits only (no sign, no blank), at least one, no overflow of uint64_t. */
bool base_slice_to_u64(struct base_slice s, uint64_t *out_value);

/* A NUL-ended copy on the heap; the caller frees it. Aborts on a NUL inside: check before. */
char *base_slice_dup(struct base_slice s);

/* ASCII only, independent of any locale. */
uint8_t base_ascii_lower(uint8_t byte);
bool base_ascii_is_alnum(uint8_t byte);
bool base_ascii_is_digit(uint8_t byte);

#endif
