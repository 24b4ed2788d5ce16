/* loop/counters.h: connections per client address, exact over all fronts
 * Job      one shared memory that the master makes and hands to every front: a table of client keys,
 *          each with one count per front, and one total per front
 * Trust    a front can only spoil counts; what it counted is forgotten when it ends
 * Limits   a lock of one word guards the table for the few instructions of a look-up; a front that
 *          dies inside is noticed by the next one (the one lock of the house: docs/architecture.md) */
#ifndef LOOP_COUNTERS_H
#define LOOP_COUNTERS_H

#include "base/error.h"
#include "base/host.h"

#define COUNTERS_FRONTS_MAX 32

struct counters;

/* Master: a sealed memfd with room for @connections_max clients. Returns the descriptor in @out_fd. */
int counters_create(uint32_t connections_max, int *out_fd, struct base_error *err);
/* Map it. The descriptor can be closed afterwards. */
int counters_open(int fd, struct counters **out, struct base_error *err);
void counters_close(struct counters **c);

enum counters_result { COUNTERS_OK, COUNTERS_PER_IP, COUNTERS_TOTAL };
/* Count one more connection of @client for front @front unless a limit is reached. */
enum counters_result counters_enter(struct counters *c, unsigned front,
	const struct base_addr *client, uint32_t per_ip_max, uint32_t total_max);
void counters_leave(struct counters *c, unsigned front, const struct base_addr *client);
/* Forget all that @front counted: at its start. */
void counters_forget(struct counters *c, unsigned front);
uint32_t counters_total(struct counters *c);

#endif
