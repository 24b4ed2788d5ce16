#include "auth/frames.h"

bool auth_account_want_parse(struct base_slice body, struct base_slice *out_account)
{
	struct ipc_reader in = ipc_reader_make(body);
	struct base_slice account = ipc_get_bytes(&in);

	if (!ipc_reader_done(&in))
		return false;
	*out_account = account;
	return true;
}

bool auth_secret_want_parse(struct base_slice body, struct auth_secret_want *out)
{
	struct ipc_reader in = ipc_reader_make(body);
	struct base_slice account = ipc_get_bytes(&in);
	unsigned what = ipc_get_u8(&in), refused = ipc_get_u8(&in);

	if (!ipc_reader_done(&in) || what >= IPC_SECRET_COUNT)
		return false;
	*out = (struct auth_secret_want){account, (enum ipc_secret)what, refused != 0};
	return true;
}

bool auth_fetched_parse(struct base_slice body, struct auth_fetch_answer *out)
{
	struct ipc_reader in = ipc_reader_make(body);
	struct auth_fetch_answer f = {.class = -(int)ipc_get_u8(&in), .status = ipc_get_u16(&in)};

	f.body = ipc_get_bytes(&in);
	f.error = ipc_get_bytes(&in);
	f.retry_after_s = ipc_get_u32(&in);
	if (!ipc_reader_done(&in) || f.body.len > IPC_FETCH_BODY_MAX_BYTES)
		return false;
	*out = f;
	return true;
}
