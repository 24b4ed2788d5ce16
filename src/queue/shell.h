/* queue/shell.h: what the files of the queue's shell share
 * main.c the role; front.c messages from fronts; ports.c jobs, answers and the journal; control.c the
 * queue commands; accounts.c accounts that relays have paused */
#ifndef QUEUE_SHELL_H
#define QUEUE_SHELL_H

#include "loop/control.h"
#include "loop/role.h"
#include "queue/core.h"

#define QUEUE_SUBMITTERS_FROM 65536u
#define QUEUE_SUBMITTERS_MAX 1024

struct queue_transaction;
struct queue_command;
struct queue_account;

/* Who submits: a front, or a command on the control socket. */
struct queue_front {
	struct ipc_channel *command; /* null: a front, or a free place */
	uint32_t generation;
	struct queue_transaction *transactions;
	uint32_t transaction_count;
	uint64_t envelope_bytes;
};

struct queue_shell {
	struct role *role;
	struct spool *spool;
	struct queue_core *core;
	struct queue_front *fronts;
	unsigned front_count;
	struct queue_front *submitters; /* commands; their index is QUEUE_SUBMITTERS_FROM and up */
	unsigned submitter_count;
	struct queue_command *commands; /* being answered */
	struct queue_account *accounts; /* paused */
	unsigned account_count;
	uv_timer_t timer;
	uv_check_t check;
	struct base_buf frame, job;
	bool events; /* a turn is due before the loop sleeps */
};

void queue_shell_turn(struct queue_shell *q);
void queue_shell_on_timer(uv_timer_t *timer);

extern const struct queue_ports queue_shell_ports;

void queue_front_up(struct queue_shell *q, unsigned index);
void queue_front_down(struct queue_shell *q, unsigned index);
void queue_front_frame(struct queue_shell *q, unsigned index, struct ipc_frame *frame);
void queue_front_close(struct queue_shell *q);
/* A command's frames, and its end. */
void queue_submitter_frame(struct role *r, struct ipc_channel *ch, struct ipc_frame *frame);
void queue_submitter_gone(struct role *r, struct ipc_channel *ch);
/* The channel that @client came by; null: it is gone, another one stands in its place, or it does not
 * read what it is answered. */
struct ipc_channel *queue_front_channel(struct queue_shell *q, const struct queue_client *client);

/* An ACCOUNT_STATE body of a relay: kept for who asks; what works again gets its mail. */
void queue_accounts_state(struct queue_shell *q, unsigned relay, struct base_slice body);
/* Its pauses went with it. */
void queue_accounts_relay_gone(struct queue_shell *q, unsigned relay);
void queue_accounts_answer(const struct queue_shell *q, struct control_reply *reply);
void queue_accounts_close(struct queue_shell *q);

void queue_control(struct role *r, const struct control_request *req, struct control_reply *reply);
void queue_control_close(struct queue_shell *q);

#endif
