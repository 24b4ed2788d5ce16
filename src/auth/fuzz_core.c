/* A hostile client of auth, a store with one user, and workers that answer, die and come back: whatever
 * is said, nothing is left behind, and nobody logs in who does not know the password. */
#include "auth/core_internal.h"
#include "vault/verify.h"

#include <stdlib.h>
#include <string.h>

#define PASSWORD "a password that is not in any corpus 8c1f"

#define TEXT(literal) \
	{ \
		(const uint8_t *)(literal), sizeof(literal) - 1 \
	}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A process of a provider: dies, says nothing, or anything but that the password is right. */
static void answer_question(struct auth_core *core, const struct auth_effect *e, int64_t now)
{
	static const struct auth_said answers[] = {
		{.result = AUTH_SAID_UNKNOWN},
		{.result = AUTH_SAID_REFUSED},
		{.result = AUTH_SAID_CANNOT, .reason = TEXT("down")},
		{.result = AUTH_SAID_FOUND, .stored = TEXT("{PLAIN}" PASSWORD)},
		{.result = AUTH_SAID_FOUND, .stored = TEXT("$1$x")},
	};
	unsigned n = e->task % 7;

	if (n == 6)
		auth_core_provider_down(core, e->worker, now, 1);
	else if (n < 5)
		auth_core_said(core, e->worker, e->task, &answers[n], now, 1);
}

static void do_effects(struct auth_core *core, int64_t now)
{
	static struct vault_user user;
	struct auth_effect e;

	user.id = 1;
	user.has_secret = true;
	strcpy(user.name, "a");
	strcpy(user.hash, "{PLAIN}" PASSWORD);
	while (auth_core_effect(core, &e)) {
		switch (e.kind) {
		case AUTH_EFFECT_OUTPUT:
			base_buf_clear(auth_conn_output(e.conn));
			break;
		case AUTH_EFFECT_CLOSE:
			break;
		case AUTH_EFFECT_LOOKUP:
			auth_core_looked_up(core, e.token,
				e.key->text[0] == 'a'           ? SASL_CREDENTIALS_KNOWN
					: e.key->text[0] == 'd' ? SASL_CREDENTIALS_UNAVAILABLE
								: SASL_CREDENTIALS_UNKNOWN,
				&user, &user, e.want_apps, now, 1);
			break;
		case AUTH_EFFECT_SECRET:
			auth_core_secret(core, e.token, SASL_CREDENTIALS_KNOWN,
				BASE_SLICE(PASSWORD), now, 1);
			break;
		case AUTH_EFFECT_ASK:
			auth_core_asked(core, e.token, SASL_CREDENTIALS_UNAVAILABLE,
				BASE_SLICE_EMPTY, now, 1);
			break;
		case AUTH_EFFECT_QUESTION:
			answer_question(core, &e, now);
			break;
		case AUTH_EFFECT_VERIFY:
			if (e.task % 3 == 0)
				auth_core_worker_down(core, e.worker, now);
			else if (e.task % 3 == 1)
				auth_core_verified(
					core, e.worker, e.task, VAULT_VERIFY_WRONG, false, now, 1);
			break;
		case AUTH_EFFECT_HASH:
		case AUTH_EFFECT_UPGRADE:
		case AUTH_EFFECT_TESTED:
			break;
		case AUTH_EFFECT_LOGIN:
			BASE_BUG_IF(strcmp(e.login.result, "ok") == 0);
			break;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[32] = "k", random[AUTH_RANDOM_BYTES] = "r";
	static const struct auth_source sources[] = {
		{.name = "store", .kind = AUTH_SOURCE_STORE},
		{.name = "dove", .kind = AUTH_SOURCE_SERVER},
		{.name = "flat",
			.kind = AUTH_SOURCE_FILE,
			.cram = true,
			.scram = true,
			.first = 0,
			.processes = 1},
		{.name = "old",
			.kind = AUTH_SOURCE_CHECKER,
			.cram = true,
			.first = 1,
			.processes = 2},
	};
	struct auth_options options = {.mechanisms = ~(sasl_mechanism_mask)1,
		.upgrade = true,
		.host_name = BASE_SLICE("mail.example.org"),
		.sources = sources + size % 3,
		.source_count = size & 4 ? 1 : BASE_COUNT(sources) - size % 3};
	struct auth_core *core = auth_core_new(&options, key, random, 1);
	int64_t now = 1000;
	struct auth_conn *conn = auth_core_open(core, NULL, size & 2, now);

	auth_core_worker_up(core, 0, now);
	auth_core_provider_up(core, 0, now);
	auth_core_provider_up(core, 1, now);
	for (size_t at = 0; at < size; now += 333) {
		size_t step = 1 + data[at] % 97;
		struct base_slice part = base_slice_first(
			base_slice_make(data + at, size - at), step);

		auth_core_input(core, conn, part, now, 1);
		do_effects(core, now);
		auth_core_tick(core, now, 1);
		if (data[at] % 5 == 0)
			auth_core_worker_up(core, 0, now);
		if (data[at] % 7 == 0)
			auth_core_provider_up(core, data[at] % 3, now);
		if (data[at] % 31 == 0)
			auth_core_configure(core, &options, now);
		if (data[at] % 11 == 0)
			auth_core_user_changed(core, BASE_SLICE("a"));
		do_effects(core, now);
		at += part.len;
	}
	auth_core_tick(core, now + AUTH_IDLE_MS, 1);
	do_effects(core, now);
	BASE_BUG_IF(auth_core_status(core).open != 0);
	auth_core_closed(core, conn, now);
	auth_core_free(&core);
	return 0;
}
