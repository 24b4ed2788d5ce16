/* route/sender.h: which account a sender relays through
 * Job      lines of the sender table, judged and put in one spelling; the line that wins for a sender
 * Not      keeping them (spool/sender.h), the commands (route/sender_admin.h), accounts themselves
 * Trust    senders are strangers' bytes; lines are the administrator's, and judged all the same
 * Memory   a table copies its lines; look-ups allocate nothing and cost a hash for each candidate
 * Case     ASCII letters are alike, a dot at the end of the domain does not count
 *
 *	anna@example.org      this address
 *	anna+*@example.org    what begins like this: a subaddress; "*" ends the local part
 *	@example.org          the domain; "*@example.org" is another spelling of it
 *	@.example.org         domains below it
 *	*                     everybody: the default account
 *	<>                    the null sender: notices
 *
 * The first that is there wins: the address, the longest "*", "@domain", "@.suffix" from the longest on,
 * "*". The null sender: "<>", else what would win for the notice's first recipient (whose mail it was
 * about) short of "*", else "*". Nothing wins: no account, and never somebody else's. */
#ifndef ROUTE_SENDER_H
#define ROUTE_SENDER_H

#include "base/macros.h"
#include "base/slice.h"

#define ROUTE_SENDER_LINE_MAX_BYTES 320
#define ROUTE_SENDER_ACCOUNT_MAX_BYTES 255

enum route_sender_kind {
	ROUTE_SENDER_ADDRESS,
	ROUTE_SENDER_BEGINNING,
	ROUTE_SENDER_DOMAIN,
	ROUTE_SENDER_SUBDOMAINS,
	ROUTE_SENDER_ANY,
	ROUTE_SENDER_NULL,
};

/* Judge @text as a line. @out: its one spelling, NUL-ended. False: it is none; *out_why says what would
 * be right (a literal; holds nothing of @text). */
BASE_MUST_USE bool route_sender_parse(struct base_slice text,
	char out[ROUTE_SENDER_LINE_MAX_BYTES + 1], enum route_sender_kind *out_kind,
	const char **out_why);
/* May an account be called so? Printable, no blanks, not too long. */
bool route_sender_account_valid(struct base_slice name);

struct route_sender {
	struct base_slice line, account;
};

struct route_sender_table;

/* What is no line is left out; of doubles the first counts. */
struct route_sender_table *route_sender_table_new(const struct route_sender *lines, size_t count);
void route_sender_table_free(struct route_sender_table **table);

/* The line that wins for @sender (empty: the null sender, by @first_recipient). An address without an @
 * has the domain @default_domain. False: none does. *out is valid as long as the table. */
BASE_MUST_USE bool route_sender_find(const struct route_sender_table *table,
	struct base_slice sender, struct base_slice first_recipient,
	struct base_slice default_domain, struct route_sender *out);

#endif
