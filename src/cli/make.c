#include "cli/make.h"

#include "base/clock.h"
#include "loop/tls.h"
#include "spool/spool.h"
#include "vault/admin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int make_file(const char *path, unsigned mode, bool replace, struct base_slice bytes,
	const struct cli_account *account, struct base_error *err)
{
	int fd;

	if (replace)
		unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return base_error_errno(err,
			errno == EEXIST ? BASE_ERROR_EXISTS : BASE_ERROR_CONFIG, errno,
			"cannot make \"%s\"", path);
	while (bytes.len) {
		ssize_t n = write(fd, bytes.ptr, bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		bytes = base_slice_from(bytes, (size_t)n);
	}
	if (bytes.len || fchmod(fd, mode) != 0 ||
		(account && account->root && fchown(fd, account->uid, account->gid) != 0)) {
		int code = errno;

		close(fd);
		unlink(path);
		return base_error_errno(
			err, BASE_ERROR_TEMPORARY, code, "cannot write \"%s\"", path);
	}
	close(fd);
	return 0;
}

int make_certificate(const char *host_name, const char *chain_path, const char *key_path,
	bool replace, const struct cli_account *account, struct base_error *err)
{
	struct base_buf chain, key;
	int rc;

	base_buf_init(&chain, 65536);
	base_buf_init_secret(&key, 65536);
	rc = tls_self_signed(host_name, base_clock_wall_ms(), &chain, &key, err);
	if (rc == 0)
		rc = make_file(chain_path, 0644, replace, base_buf_slice(&chain), account, err);
	if (rc == 0)
		rc = make_file(key_path, 0600, replace, base_buf_slice(&key), account, err);
	base_buf_release(&chain);
	base_buf_release(&key);
	return rc;
}

/* "user add NAME" on an open vault. */
static int add_user(const struct vault_admin_env *env, const char *name, struct base_slice password,
	struct base_error *err)
{
	struct base_slice words[] = {BASE_SLICE("user"), BASE_SLICE("add"), base_slice_text(name)};
	struct vault_admin_request request = {words, BASE_COUNT(words), BASE_SLICE_EMPTY};
	uint8_t random[VAULT_CREDENTIALS_RANDOM_BYTES];
	struct base_secret generated = {0};
	struct base_buf secret, answer;
	int rc;

	base_buf_init_secret(&secret, 65536);
	base_buf_init(&answer, 65536);
	base_random_fill(random, sizeof(random));
	rc = vault_admin_prepare(
		&request, env->mechanisms, password, random, &secret, &generated, err);
	base_wipe(random, sizeof(random));
	request.secret = base_buf_slice(&secret);
	if (rc == 0)
		rc = vault_admin_run(env, &request, &answer, err);
	base_secret_release(&generated);
	base_buf_release(&secret);
	base_buf_release(&answer);
	return rc;
}

static void remove_user(const struct vault_admin_env *env, const char *name)
{
	struct base_slice words[] = {
		BASE_SLICE("user"), BASE_SLICE("remove"), base_slice_text(name)};
	struct vault_admin_request request = {words, BASE_COUNT(words), BASE_SLICE_EMPTY};
	struct base_buf answer;

	base_buf_init(&answer, 65536);
	/* Not there is fine: it is about to be added. */
	if (vault_admin_run(env, &request, &answer, NULL) != 0)
		base_buf_clear(&answer);
	base_buf_release(&answer);
}

int make_user(const struct conf *conf, const char *name, struct base_slice password, bool replace,
	struct base_error *err)
{
	struct cli_account account = cli_account(conf);
	struct vault_store_options options = {.data_dir = conf->data,
		.busy_ms = 20000,
		.chown = account.root,
		.uid = account.uid,
		.gid = account.gid};
	struct vault_admin_env env = {.now_ms = base_clock_wall_ms(),
		.default_domain = base_slice_text(conf->auth.default_domain),
		.mechanisms = conf->auth.mechanisms};
	int rc = vault_store_open(&env.store, &options, err);

	if (rc != 0)
		return rc;
	if (replace)
		remove_user(&env, name);
	rc = add_user(&env, name, password, err);
	vault_store_close(&env.store);
	return rc;
}

int make_spool(const struct conf *conf, struct base_error *err)
{
	static const char *const names[] = {"spool.db", "spool.db-wal", "spool", "spool/tmp"};
	struct spool_options options = {.data_dir = conf->data, .owner = "postern init"};
	struct cli_account account = cli_account(conf);
	struct spool *s = NULL;
	int rc = spool_open(&s, &options, err);

	if (rc != 0)
		return rc;
	spool_close(&s);
	for (size_t i = 0; account.root && i < BASE_COUNT(names); i++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s", conf->data, names[i]);
		if (lchown(path, account.uid, account.gid) != 0 && errno != ENOENT)
			return base_error_errno(err, BASE_ERROR_CONFIG, errno,
				"cannot give \"%s\" to %s", path, account.name);
	}
	return 0;
}
