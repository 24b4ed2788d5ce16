/* vault/throttle.h: slowing down those who guess
 * Job      count distinct failed attempts per address and per address and user; say how long an answer
 *          waits
 * Not      waiting (auth/), closing sessions (front/)
 * Rules    an attempt that repeats the same wrong password counts once. Counts belong to an address (an
 *          IPv6 /64), so nobody can slow down or lock out a user from elsewhere. Never more than
 *          VAULT_THROTTLE_MAX_MS. A right answer waits only for an address that guessed much, and never
 *          where that user logged in from there lately. Loopback stands for many clients and is
 *          never more than one step slow.
 * Memory   a fixed number of slots; the oldest of a set is forgotten */
#ifndef VAULT_THROTTLE_H
#define VAULT_THROTTLE_H

#include "base/host.h"

#define VAULT_THROTTLE_KEY_BYTES 32
#define VAULT_THROTTLE_MAX_MS 2000
#define VAULT_THROTTLE_STEP_MS 500 /* failures are answered on this grid */

struct vault_throttle;

struct vault_throttle *vault_throttle_new(
	size_t slots, const uint8_t key[VAULT_THROTTLE_KEY_BYTES]);
void vault_throttle_free(struct vault_throttle **throttle);

/* An attempt failed. @attempt: what was tried (the password, or a SCRAM proof); empty: not known, counts
 * by itself. Returns how long after the client's last word the answer goes out: a multiple of
 * VAULT_THROTTLE_STEP_MS, at least one. @addr may be of family NONE (a client that told none): one
 * step, nothing is counted. @now_ms: monotonic. */
uint32_t vault_throttle_failed(struct vault_throttle *throttle, const struct base_addr *addr,
	struct base_slice user, struct base_slice attempt, int64_t now_ms);
/* An attempt succeeded. Returns how long its answer waits, mostly 0; remembers the success. */
uint32_t vault_throttle_succeeded(struct vault_throttle *throttle, const struct base_addr *addr,
	struct base_slice user, int64_t now_ms);
/* Forget an address. True: something was known about it. */
bool vault_throttle_forget(struct vault_throttle *throttle, const struct base_addr *addr);

#endif
