/* vault/test_support.h: a vault in a directory of its own, for tests */
#ifndef VAULT_TEST_SUPPORT_H
#define VAULT_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vault/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct support_vault {
	char dir[64];
	struct vault_store *store;
};

static inline void support_open(struct support_vault *v)
{
	struct vault_store_options options = {.data_dir = v->dir, .busy_ms = 1000};
	struct base_error err = {0};

	if (vault_store_open(&v->store, &options, &err) != 0)
		fail_msg("%s", err.text);
}

static inline int support_set_up(void **state)
{
	struct support_vault *v = base_alloc_zero(1, sizeof(*v));

	strcpy(v->dir, "/tmp/postern-vault-XXXXXX");
	assert_non_null(mkdtemp(v->dir));
	support_open(v);
	*state = v;
	return 0;
}

static inline int support_tear_down(void **state)
{
	static const char *const names[] = {
		"vault.db", "vault.db-wal", "vault.db-shm", "vault.key"};
	struct support_vault *v = *state;
	char path[128];

	vault_store_close(&v->store);
	for (size_t i = 0; i < BASE_COUNT(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", v->dir, names[i]);
		unlink(path);
	}
	rmdir(v->dir);
	free(v);
	return 0;
}

#endif
