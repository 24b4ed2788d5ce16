/* journal/output.h: lines to standard error without ever waiting for who reads it */
#ifndef JOURNAL_OUTPUT_H
#define JOURNAL_OUTPUT_H

#include "base/slice.h"

/* Write what goes now; returns the bytes taken. @out_full: the reader is slow, come back later. An error
 * takes everything: there is nowhere to complain. */
size_t output_write(struct base_slice lines, bool *out_full);

#endif
