/* The secret of account add from anywhere. First byte: the kind. What is taken can be put together again. */
#include "vault/admin_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vault_admin_parts parts, again;
	struct base_error err = {0};
	struct base_buf out;
	int rc;

	if (!size)
		return 0;
	rc = vault_admin_parts_take(base_slice_make(data + 1, size - 1),
		(enum vault_account_kind)(data[0] % 3), data[0] & 4, &parts, &err);
	BASE_BUG_IF(rc != 0 && (rc != BASE_ERROR_PERMANENT || !err.text[0]));
	if (rc != 0)
		return 0;
	base_buf_init_secret(&out, 1 << 20);
	for (unsigned i = 0; i < VAULT_ACCOUNT_PART_COUNT; i++)
		if (parts.of[i].len)
			BASE_BUG_IF(!vault_admin_account_secret_put(&out, i, parts.of[i]));
	BASE_BUG_IF(out.len != size - 1);
	BASE_BUG_IF(
		vault_admin_parts_take(base_buf_slice(&out), (enum vault_account_kind)(data[0] % 3),
			data[0] & 4, &again, &err) != 0);
	for (unsigned i = 0; i < VAULT_ACCOUNT_PART_COUNT; i++)
		BASE_BUG_IF(!base_slice_equal(parts.of[i], again.of[i]));
	base_buf_release(&out);
	return 0;
}
