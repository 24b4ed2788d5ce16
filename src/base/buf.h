/* base/buf.h: bytes that grow, up to a limit
 * Job      the only way in which bytes grow in Postern
 * Memory   heap, doubled up to the maximum given at init; base_buf_init() itself allocates nothing
 * Limits   an append that does not fit whole writes nothing and sets the overflow mark, which stays
 *          until base_buf_clear(); a writer of many pieces may ask base_buf_ok() once at the end
 * Order    init, append …, read .ptr/.len, clear or consume, release
 * Secrets  after base_buf_init_secret() every byte given up (growth, clear, consume, release) is wiped
 * A pointer into a buffer is valid until the next call that takes the buffer non-const. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/macros.h"
#include "base/slice.h"

#include <stdarg.h>

struct base_buf {
	uint8_t *ptr;
	size_t len;
	size_t cap;
	size_t max;
	bool overflow;
	bool secret;
};

void base_buf_init(struct base_buf *b, size_t max);
void base_buf_init_secret(struct base_buf *b, size_t max);
/* Empty it, keep the memory (wiped if secret), forget the overflow. */
void base_buf_clear(struct base_buf *b);
/* Give the memory up; the buffer is empty with the same maximum and can be used again. */
void base_buf_release(struct base_buf *b);

/* True: all was appended. False: nothing was, and base_buf_ok() is false from now on. */
bool base_buf_append(struct base_buf *b, const void *ptr, size_t len);
bool base_buf_append_slice(struct base_buf *b, struct base_slice s);
bool base_buf_append_text(struct base_buf *b, const char *text);
bool base_buf_append_byte(struct base_buf *b, uint8_t byte);
bool base_buf_printf(struct base_buf *b, const char *format, ...) BASE_PRINTF(2, 3);
bool base_buf_vprintf(struct base_buf *b, const char *format, va_list args) BASE_PRINTF(2, 0);

/* Make room for @len more bytes and return where they go; null when they would pass the maximum
 * (overflow is marked). base_buf_grew() then says how many were written there. */
uint8_t *base_buf_reserve(struct base_buf *b, size_t len);
void base_buf_grew(struct base_buf *b, size_t len);

/* Drop @len bytes from the front (moves the rest); more than there are is a bug. */
void base_buf_consume(struct base_buf *b, size_t len);
/* Cut back to @len bytes; growing this way is a bug. */
void base_buf_truncate(struct base_buf *b, size_t len);

bool base_buf_ok(const struct base_buf *b);
/* Bytes that still fit below the maximum. */
size_t base_buf_room(const struct base_buf *b);
struct base_slice base_buf_slice(const struct base_buf *b);
/* NUL-ended view; the NUL is not counted in len. Null only if the maximum is reached. */
const char *base_buf_text(struct base_buf *b);

#endif
