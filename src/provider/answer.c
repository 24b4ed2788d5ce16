#include "provider/source.h"

#include "vault/file.h"

enum { STORED_MAX_BYTES = 8192, REASON_MAX_BYTES = 512 };

void provider_answer_init(struct provider_answer *a)
{
	a->result = IPC_ASKED_CANNOT;
	base_buf_init(&a->name, VAULT_NAME_MAX_BYTES + 1);
	base_buf_init_secret(&a->stored, STORED_MAX_BYTES);
	base_buf_init(&a->reason, REASON_MAX_BYTES);
}

void provider_answer_clear(struct provider_answer *a)
{
	a->result = IPC_ASKED_CANNOT;
	base_buf_clear(&a->name);
	base_buf_clear(&a->stored);
	base_buf_clear(&a->reason);
}

void provider_answer_release(struct provider_answer *a)
{
	base_buf_release(&a->name);
	base_buf_release(&a->stored);
	base_buf_release(&a->reason);
}

void provider_answer_set(struct provider_answer *a, enum ipc_asked result, const char *format, ...)
{
	va_list args;

	a->result = result;
	base_buf_clear(&a->reason);
	va_start(args, format);
	base_buf_vprintf(&a->reason, format, args);
	va_end(args);
}
