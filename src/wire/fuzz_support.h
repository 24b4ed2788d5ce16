/* wire/fuzz_support.h: a running sum over events, to compare two ways of cutting the same bytes */
#ifndef WIRE_FUZZ_SUPPORT_H
#define WIRE_FUZZ_SUPPORT_H

#include "wire/dovecot_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_sum {
	uint64_t value;
};

static inline void fuzz_add_number(struct fuzz_sum *sum, uint64_t number)
{
	sum->value = (sum->value ^ number) * 0x100000001b3u;
}

static inline void fuzz_add(struct fuzz_sum *sum, struct base_slice bytes)
{
	fuzz_add_number(sum, bytes.len);
	for (size_t i = 0; i < bytes.len; i++)
		fuzz_add_number(sum, bytes.ptr[i]);
}

#endif
