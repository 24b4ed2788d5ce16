/* cli/explain.h: words for the AUTH lines of a dialogue, as postern try shows it
 * Job      one line of "C: …" or "S: …" in, one line of explanation out, where there is something
 * to say Not      transcripts of others (secrets are masked here already) Memory   the caller owns
 * struct explain; sessions that overlap share it and may confuse it Spec     RFC 4954, RFC 4616,
 * RFC 2195, RFC 5802 */
#ifndef CLI_EXPLAIN_H
#define CLI_EXPLAIN_H

#include "base/buf.h"
#include "sasl/mechanism.h"

struct explain {
	enum sasl_mechanism mechanism; /* of the exchange that runs; NONE: none does */
	bool running;
	unsigned challenges, responses;
};

/* @line without its end. Appends to @out, without a line end; nothing when there is nothing to say.
 */
void explain_line(struct explain *e, struct base_slice line, struct base_buf *out);

#endif
