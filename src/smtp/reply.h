/* smtp/reply.h: cut a server's bytes into reply lines and replies
 * Job      lines in, whole replies out: code, enhanced code, joined text
 * Not      what a reply means (smtp/client.c)
 * Trust    input is hostile: any byte, any length, cut anywhere, endless lines, endless replies
 * Memory   a line that comes whole is used where it lies; half lines wait in a bounded buffer
 * Order    init, push until MORE, release
 * Spec     RFC 5321 sections 4.2 and 4.5.3.1.5; RFC 2034 section 4 */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include "smtp/client.h"

/* Room for a challenge of SASL_CHALLENGE_MAX_BYTES in base64; what a line has beyond it is dropped. */
#define SMTP_REPLY_LINE_MAX_BYTES (4 + (SASL_CHALLENGE_MAX_BYTES + 2) / 3 * 4)
/* A reply of more than this is no reply. */
#define SMTP_REPLY_MAX_BYTES (128u * 1024)
#define SMTP_REPLY_MAX_LINES 512u

enum smtp_reply_result {
	SMTP_REPLY_MORE,    /* all of the input was taken and no line has ended */
	SMTP_REPLY_LINE,    /* a line that another one of the same reply follows */
	SMTP_REPLY_END,     /* the last line: the reply is whole */
	SMTP_REPLY_BROKEN,  /* no reply by the grammar; only release is allowed now */
	SMTP_REPLY_ENDLESS, /* a limit above was passed; only release is allowed now */
};

struct smtp_reply_reader {
	struct base_buf line; /* a half line; private, as all that follows */
	bool in_reply;        /* a line with '-' was read */
	bool line_done;       /* the line was shown: drop it at the next push */
	bool several;         /* the line shown is not the only one of its reply */
	bool cut;             /* the line shown was longer than the limit */
	uint32_t line_count;
	uint32_t byte_count;
};

void smtp_reply_reader_init(struct smtp_reply_reader *r);
void smtp_reply_reader_release(struct smtp_reply_reader *r);
/* No byte of a reply was read yet. */
bool smtp_reply_reader_is_idle(const struct smtp_reply_reader *r);

/* Give the reader more of the server's stream. Lines end with LF, a CR before it is dropped.
 * @out_used  always set; offer the rest again after LINE and END
 * @reply     filled line by line; whole after END
 * @out_line  LINE and END: the line without its end, code included; borrows @in or the reader until
 *            the next push. smtp_reply_reader.cut tells whether it is whole */
BASE_MUST_USE enum smtp_reply_result smtp_reply_push(struct smtp_reply_reader *r,
	struct base_slice in, size_t *out_used, struct smtp_client_reply *reply,
	struct base_slice *out_line);

/* The enhanced status code at the front of @text, if its class fits @code; else the empty slice. */
struct base_slice smtp_reply_enhanced(uint16_t code, struct base_slice text);

#endif
