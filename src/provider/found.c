#include "provider/found.h"

#include "vault/stored.h"
#include "vault/verify.h"

static void reason(struct provider_answer *a, enum ipc_asked result,
	const struct vault_file_entry *entry, const char *where, const char *text)
{
	if (entry->line)
		provider_answer_set(a, result, "%s line %u: %s", where, entry->line, text);
	else
		provider_answer_set(a, result, "%s: %s", where, text);
}

static void on_password(bool known, const struct vault_file_entry *entry,
	const struct provider_question *q, const char *where, struct provider_answer *a)
{
	struct base_slice stored = known ? base_buf_slice(&entry->stored) : BASE_SLICE_EMPTY;

	switch (vault_verify(stored, q->secret, NULL)) {
	case VAULT_VERIFY_RIGHT:
		a->result = IPC_ASKED_RIGHT;
		break;
	case VAULT_VERIFY_WRONG:
		if (known)
			reason(a, IPC_ASKED_REFUSED, entry, where, "wrong password");
		break;
	case VAULT_VERIFY_CANNOT:
		reason(a, IPC_ASKED_CANNOT, entry, where, "a form that this build cannot check");
		break;
	}
}

/* A hash that SCRAM does not know is a frame that auth never sends. */
static void on_scram(bool known, const struct vault_file_entry *entry,
	const struct provider_question *q, struct provider_answer *a)
{
	struct base_slice password = BASE_SLICE("a password that nobody has");
	struct sasl_scram_keys derived = {0}, kept = {0};
	bool clear = known && vault_stored_clear(base_buf_slice(&entry->stored), &password);
	bool good;

	if (q->hash >= BASE_HASH_COUNT || !q->secret.len || q->secret.len > sizeof(derived.salt))
		return;
	good = sasl_scram_derive(q->hash, password, q->secret, SASL_SCRAM_ITERATIONS, &derived);
	if (known && vault_stored_scram(base_buf_slice(&entry->stored), q->hash, &kept)) {
		vault_stored_scram_put(q->hash, &kept, &a->stored);
		a->result = IPC_ASKED_FOUND;
	} else if (clear && good) {
		vault_stored_scram_put(q->hash, &derived, &a->stored);
		a->result = IPC_ASKED_FOUND;
	}
	base_wipe(&derived, sizeof(derived));
	base_wipe(&kept, sizeof(kept));
}

static void on_kind(bool known, const struct vault_file_entry *entry,
	const struct provider_question *q, const char *where, struct provider_answer *a)
{
	struct base_slice password;

	switch (q->kind) {
	case IPC_ASK_PASSWORD:
		on_password(known, entry, q, where, a);
		break;
	case IPC_ASK_LOOKUP:
		if (known) {
			base_buf_append_slice(&a->stored, base_buf_slice(&entry->stored));
			a->result = IPC_ASKED_FOUND;
		}
		break;
	case IPC_ASK_CRAM:
	case IPC_ASK_APOP:
		if (known && vault_stored_clear(base_buf_slice(&entry->stored), &password)) {
			base_buf_append_slice(&a->stored, base_buf_slice(&entry->stored));
			a->result = IPC_ASKED_FOUND;
		}
		break;
	case IPC_ASK_SCRAM:
		on_scram(known, entry, q, a);
		break;
	case IPC_ASK_COUNT:
		break;
	}
}

void provider_answer_found(enum vault_file_result result, const struct vault_file_entry *entry,
	const struct provider_question *q, const char *where, const char *why,
	struct provider_answer *a)
{
	bool known = result == VAULT_FILE_KNOWN;

	provider_answer_set(a, IPC_ASKED_UNKNOWN, "%s",
		known ? "nothing is stored that serves this mechanism" : "unknown user");
	on_kind(known, entry, q, where, a);
	switch (result) {
	case VAULT_FILE_KNOWN:
		break;
	case VAULT_FILE_UNKNOWN:
		return;
	case VAULT_FILE_REFUSED:
		reason(a, IPC_ASKED_REFUSED, entry, where,
			entry->reason ? entry->reason : "not to log in");
		break;
	case VAULT_FILE_BROKEN:
		reason(a, IPC_ASKED_CANNOT, entry, where,
			why                     ? why
				: entry->reason ? entry->reason
						: "it cannot be read");
		break;
	}
	if (a->result == IPC_ASKED_RIGHT || a->result == IPC_ASKED_FOUND)
		base_buf_clear(&a->reason);
	base_buf_append_slice(&a->name, base_buf_slice(&entry->name));
	/* An answer that is not whole is none. */
	if (!base_buf_ok(&a->stored) || !base_buf_ok(&a->name)) {
		base_buf_clear(&a->name);
		base_buf_clear(&a->stored);
		reason(a, IPC_ASKED_CANNOT, entry, where, "what is stored is too long");
	}
}
