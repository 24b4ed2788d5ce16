/* smtp/server_internal.h: the fields of struct smtp_server
 * Only smtp/server*.c and tests touch them; the struct is complete so that callers can embed it. */
#ifndef SMTP_SERVER_INTERNAL_H
#define SMTP_SERVER_INTERNAL_H

#include "smtp/command.h"
#include "smtp/text.h"

#include <assert.h>

#define SMTP_MECHANISM_MAX_BYTES 20 /* RFC 4422 section 3.1 */

/* See the drawing above the table in smtp/server.c. */
enum smtp_phase {
	SMTP_PHASE_NEW,
	SMTP_PHASE_START,
	SMTP_PHASE_READY,
	SMTP_PHASE_ASK_TLS,
	SMTP_PHASE_ASK_AUTH,
	SMTP_PHASE_AUTH_LINE,
	SMTP_PHASE_ASK_MAIL,
	SMTP_PHASE_MAIL,
	SMTP_PHASE_ASK_RCPT,
	SMTP_PHASE_RCPT,
	SMTP_PHASE_ASK_DATA,
	SMTP_PHASE_TEXT,
	SMTP_PHASE_CHUNK,
	SMTP_PHASE_CHUNKS,
	SMTP_PHASE_ASK_MESSAGE,
	SMTP_PHASE_CLOSED,
	SMTP_PHASE_COUNT,
};

/* Events that are due before any further byte is looked at, in this order. */
enum smtp_server_due_flags {
	SMTP_DUE_AUTH_CANCEL = 1u << 0,
	SMTP_DUE_RESET = 1u << 1,
	SMTP_DUE_HELLO = 1u << 2,
	SMTP_DUE_CLOSE = 1u << 3,
};

struct smtp_server {
	struct base_slice host_name;
	const struct smtp_dialect *dialect;
	struct base_slice announced;
	struct base_slice plaintext_needs_tls;
	uint64_t size_max_bytes;
	uint32_t recipients_max;
	uint32_t flags; /* enum smtp_server_flags */
	uint16_t auth_failures_max;

	uint8_t phase;  /* enum smtp_phase; written by set_phase() alone */
	uint8_t due;    /* enum smtp_server_due_flags */
	uint8_t verb;   /* enum smtp_verb of the last command */
	bool line_held; /* @line of the caller is in use */
	bool esmtp;
	bool helo_implied; /* a lenient session that got none: helo is a stand-in */
	bool authenticated;
	struct smtp_line line;

	bool auth_ahead;    /* bytes came with the AUTH line or response, behind it */
	bool auth_given_up; /* the last response was "*" */
	bool response_given;
	uint16_t response_at, response_len; /* base64, in @line */
	uint8_t mechanism_len;
	uint8_t mechanism[SMTP_MECHANISM_MAX_BYTES];

	/* The transaction: forgotten by end_transaction() alone. */
	bool mail_open; /* MAIL was accepted */
	bool smtputf8;
	bool chunked; /* the body comes by BDAT */
	bool chunk_last;
	bool refused;  /* by the caller: @refusal is due at the end of the body or chunk */
	bool dropping; /* this chunk may not run at all: its octets are not looked at */
	bool too_large;
	uint16_t small_chunks;
	uint32_t rcpt_ok; /* of this transaction */
	uint64_t chunk_left;
	uint64_t body_bytes;
	struct smtp_text text;
	struct smtp_reply refusal;
	struct smtp_mail mail;
	struct smtp_rcpt rcpt;
	struct base_slice body;

	uint16_t bad_commands;  /* since the last message that was taken */
	uint32_t lost_commands; /* RCPT, DATA and BDAT that had no transaction */
	struct smtp_server_counts counts;
	uint8_t helo_len;
	uint8_t helo[SMTP_HELO_MAX_BYTES];
};

static_assert(sizeof(struct smtp_server) <= SMTP_SERVER_SIZE_MAX_BYTES,
	"an idle session must stay small");

#endif
