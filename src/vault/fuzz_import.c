/* The secret of "user import" from anywhere: every entry gets one result, or the whole is refused. One
 * vault for the whole run; nothing is changed in it. */
#include "vault/admin.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vault_store *store(void)
{
	static struct vault_store *opened;
	static char dir[] = "/tmp/postern-fuzz-XXXXXX";
	struct vault_store_options options = {.data_dir = dir, .busy_ms = 1000};

	if (!opened) {
		BASE_BUG_IF(!mkdtemp(dir));
		BASE_BUG_IF(vault_store_open(&opened, &options, NULL) != 0);
	}
	return opened;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base_slice words[] = {
		BASE_SLICE("user"), BASE_SLICE("import"), BASE_SLICE("dry-run=1")};
	struct vault_admin_request req = {words, BASE_COUNT(words), base_slice_make(data, size)};
	struct vault_admin_env env = {.store = store(), .now_ms = 1700000000000};
	struct vault_admin_effects fx;
	struct base_error err = {0};
	struct base_buf out;
	json_t *json;
	int rc;

	base_buf_init(&out, 1 << 24);
	rc = vault_admin_execute(&env, &req, &fx, &out, &err);
	BASE_BUG_IF(rc != 0 && (rc != BASE_ERROR_PERMANENT || !err.text[0]));
	if (rc == 0) {
		json = json_loadb((const char *)out.ptr, out.len, 0, NULL);
		BASE_BUG_IF(!json);
		BASE_BUG_IF(json_array_size(json_object_get(json, "results")) > size / 4);
		json_decref(json);
	}
	base_buf_release(&out);
	return 0;
}
