/* smtp/server_machine.h: what the files of the server session share
 * server.c owns phase, table and events; server_commands.c, server_auth.c and server_body.c hold the
 * handlers; server_reply.c writes replies and counts errors. */
#ifndef SMTP_SERVER_MACHINE_H
#define SMTP_SERVER_MACHINE_H

#include "smtp/dialect.h"
#include "smtp/server.h"

/* One command on its way through a handler. */
struct smtp_step {
	struct base_slice argument; /* points into @line */
	bool more;                  /* bytes came with this line, behind it */
	struct base_buf *line;
	struct base_buf *out;
};

/* A handler returns MORE when there is nothing to ask or tell beyond what @due says. */
typedef enum smtp_server_event (*smtp_handler_fn)(struct smtp_server *s, struct smtp_step *step);

/* The only writer of the phase; aborts on a pair that the table does not know. */
void smtp_server_set_phase(struct smtp_server *s, enum smtp_phase to);
/* The only function that forgets sender, recipients and body. Goes to READY (START without EHLO);
 * RESET is due if MAIL had been accepted. */
void smtp_server_end_transaction(struct smtp_server *s);
/* No more bytes are looked at; CLOSE is due. */
void smtp_server_close(struct smtp_server *s);
bool smtp_server_is_asking(const struct smtp_server *s);

/* The session's own words, in its dialect. */
struct smtp_reply smtp_server_say(const struct smtp_server *s, enum smtp_saying what);
bool smtp_server_is_lenient(const struct smtp_server *s);
void smtp_server_reply(struct smtp_reply reply, struct base_buf *out);
/* The reply to a faulty command: counted, and at the limit followed by 421 and CLOSE. */
void smtp_server_refuse(struct smtp_server *s, struct smtp_reply reply, struct base_buf *out);
/* A caller's answer: written as it is; 421 closes. True if it accepts. */
bool smtp_server_take_answer(struct smtp_server *s, struct smtp_reply reply, struct base_buf *out);
void smtp_server_write_hello(const struct smtp_server *s, struct base_buf *out);

enum smtp_server_event smtp_server_on_helo(struct smtp_server *s, struct smtp_step *step);
enum smtp_server_event smtp_server_on_ehlo(struct smtp_server *s, struct smtp_step *step);
enum smtp_server_event smtp_server_on_starttls(struct smtp_server *s, struct smtp_step *step);
enum smtp_server_event smtp_server_on_auth(struct smtp_server *s, struct smtp_step *step);
enum smtp_server_event smtp_server_on_mail(struct smtp_server *s, struct smtp_step *step);
enum smtp_server_event smtp_server_on_rcpt(struct smtp_server *s, struct smtp_step *step);
enum smtp_server_event smtp_server_on_data(struct smtp_server *s, struct smtp_step *step);
enum smtp_server_event smtp_server_on_bdat(struct smtp_server *s, struct smtp_step *step);
enum smtp_server_event smtp_server_on_rset(struct smtp_server *s, struct smtp_step *step);
enum smtp_server_event smtp_server_on_noop(struct smtp_server *s, struct smtp_step *step);
enum smtp_server_event smtp_server_on_vrfy(struct smtp_server *s, struct smtp_step *step);
enum smtp_server_event smtp_server_on_help(struct smtp_server *s, struct smtp_step *step);
enum smtp_server_event smtp_server_on_quit(struct smtp_server *s, struct smtp_step *step);

/* BDAT that may not run: its octets are taken, then @reply is given and the transaction is void. */
enum smtp_server_event smtp_server_refuse_bdat(
	struct smtp_server *s, struct smtp_step *step, struct smtp_reply reply);

/* Steps of the phases that take no commands. */
enum smtp_server_event smtp_server_step_auth(struct smtp_server *s, struct base_slice in,
	size_t *out_used, struct base_buf *line, struct base_buf *out);
enum smtp_server_event smtp_server_step_text(
	struct smtp_server *s, struct base_slice in, size_t *out_used, struct base_buf *out);
enum smtp_server_event smtp_server_step_chunk(
	struct smtp_server *s, struct base_slice in, size_t *out_used, struct base_buf *out);

#endif
