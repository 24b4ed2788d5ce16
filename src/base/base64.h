/* base/base64.h: strict base64 and hexadecimal
 * Job      RFC 4648 section 4 alphabet, padding demanded, trailing bits zero, nothing skipped
 * Trust    decoders take hostile input; the output is untouched unless all of it is good
 * Secrets  decoding into a base_secret or a secret base_buf leaves no copy elsewhere;
 *          the table look-ups are on the encoded text only */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/buf.h"
#include "base/secret.h"

enum base64_result {
	BASE64_OK,
	BASE64_BAD,      /* outside the alphabet, padding wrong, or trailing bits set */
	BASE64_TOO_LONG, /* good so far as known, but it does not fit the output */
};

/* Encoded length of @len bytes, without a NUL. */
size_t base64_encoded_len(size_t len);

/* Append; false when it does not fit (buffer rules). */
bool base64_encode(struct base_slice in, struct base_buf *out);
/* Append the decoded bytes of @in. @out_offset (may be null) is the first bad byte when BAD. */
BASE_MUST_USE enum base64_result base64_decode(
	struct base_slice in, struct base_buf *out, size_t *out_offset);
/* Replace @out by the decoded bytes of @in. */
BASE_MUST_USE enum base64_result base64_decode_secret(
	struct base_slice in, struct base_secret *out);

/* Value of one hexadecimal digit of either case, or -1. */
int base_hex_value(uint8_t digit);
/* Lower-case hexadecimal. */
bool base_hex_encode(struct base_slice in, struct base_buf *out);
/* Upper and lower case accepted; false on an odd length or any other byte. */
BASE_MUST_USE bool base_hex_decode(struct base_slice in, struct base_buf *out);

#endif
