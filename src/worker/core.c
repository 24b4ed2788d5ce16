#include "worker/core.h"

#include "vault/verify.h"

static bool on_verify(const struct ipc_frame *frame, struct base_buf *reply)
{
	struct ipc_reader in = ipc_reader_make(frame->body);
	struct base_slice stored = ipc_get_bytes(&in), password = ipc_get_bytes(&in);
	bool upgrade = false;
	enum vault_verify_result result;

	if (!ipc_reader_done(&in))
		return false;
	result = vault_verify(stored, password, &upgrade);
	ipc_begin(reply, IPC_VERIFIED, frame->id);
	ipc_put_u8(reply, (uint8_t)result);
	ipc_put_u8(reply, upgrade);
	return true;
}

/* Credentials that cannot be derived are answered by empty bytes. */
static bool on_hash(const struct ipc_frame *frame, const uint8_t *random, struct base_buf *reply)
{
	struct ipc_reader in = ipc_reader_make(frame->body);
	sasl_mechanism_mask mechanisms = ipc_get_u32(&in);
	struct base_slice password = ipc_get_bytes(&in);
	struct vault_credentials credentials;
	struct base_buf encoded;

	if (!ipc_reader_done(&in))
		return false;
	base_buf_init_secret(&encoded, VAULT_CREDENTIALS_ENCODED_MAX_BYTES);
	vault_credentials_init(&credentials);
	if (vault_credentials_derive(password, mechanisms, random, &credentials, NULL) == 0)
		(void)vault_credentials_encode(&credentials, &encoded);
	vault_credentials_release(&credentials);
	ipc_begin(reply, IPC_HASHED, frame->id);
	ipc_put_bytes(reply, base_buf_slice(&encoded));
	base_buf_release(&encoded);
	return true;
}

bool worker_core_answer(
	const struct ipc_frame *frame, const uint8_t *random, struct base_buf *reply)
{
	if (frame->type == IPC_VERIFY)
		return on_verify(frame, reply);
	if (frame->type == IPC_HASH)
		return on_hash(frame, random, reply);
	return false;
}
