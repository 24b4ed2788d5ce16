#include "master/certificate.h"

#include "base/clock.h"
#include "loop/file.h"
#include "loop/log.h"
#include "master/memory_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PEM_MAX_BYTES = 1 << 20 };
#define TICKET_KEYS_LIFE_MS (12 * 3600 * 1000LL)
#define WARN_BEFORE_END_MS (14 * 86400 * 1000LL)

static struct certificate_stamp look(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return (struct certificate_stamp){0};
	return (struct certificate_stamp){(int64_t)st.st_ino,
		st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec, st.st_size};
}

static bool same_stamp(struct certificate_stamp a, struct certificate_stamp b)
{
	return a.inode == b.inode && a.mtime_ns == b.mtime_ns && a.size == b.size;
}

static int check_pair(const struct certificate *c, const struct base_buf *chain,
	const struct base_buf *key, int64_t now_ms, int64_t *out_end_ms, struct base_error *err)
{
	int rc = tls_pair_check(base_buf_slice(chain), base_buf_slice(key), out_end_ms, err);
	char reason[BASE_ERROR_TEXT_MAX_BYTES];

	if (rc == 0)
		return 0;
	memcpy(reason, err->text, sizeof(reason));
	return base_error_set(err, BASE_ERROR_CONFIG, 0,
		"certificate \"%s\" and key \"%s\": %.300s", c->chain_path, c->key_path, reason);
}

/* Read, check and only then take over. */
static int load(struct certificate *c, int64_t now_ms, int64_t *out_end_ms, struct base_error *err)
{
	struct certificate_stamp stamps[2] = {look(c->chain_path), look(c->key_path)};
	struct base_buf chain, key;
	int rc;

	base_buf_init(&chain, PEM_MAX_BYTES);
	base_buf_init_secret(&key, PEM_MAX_BYTES);
	rc = file_read(c->chain_path, &chain, NULL, err);
	if (rc == 0)
		rc = file_read(c->key_path, &key, NULL, err);
	/* A refused pair is not complained about again until it changes again. */
	memcpy(c->used, stamps, sizeof(stamps));
	memcpy(c->seen, stamps, sizeof(stamps));
	if (rc == 0)
		rc = check_pair(c, &chain, &key, now_ms, out_end_ms, err);
	if (rc == 0) {
		base_buf_release(&c->chain);
		base_buf_release(&c->key);
		c->chain = chain;
		c->key = key;
		return 0;
	}
	base_buf_release(&chain);
	base_buf_release(&key);
	return rc;
}

static int write_file(
	const char *path, const struct base_buf *bytes, mode_t mode, struct base_error *err)
{
	char temporary[4096];
	int fd, rc = 0;

	snprintf(temporary, sizeof(temporary), "%s.new", path);
	(void)!unlink(temporary);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return base_error_errno(err, BASE_ERROR_CONFIG, errno, "cannot write \"%s\"", path);
	if (write(fd, bytes->ptr, bytes->len) != (ssize_t)bytes->len || fsync(fd) != 0 ||
		rename(temporary, path) != 0)
		rc = base_error_errno(err, BASE_ERROR_CONFIG, errno, "cannot write \"%s\"", path);
	close(fd);
	return rc;
}

static int make_self_signed(struct certificate *c, const char *host_name,
	const struct account *account, int64_t now_ms, struct base_error *err)
{
	struct base_buf chain, key;
	int rc;

	base_buf_init(&chain, PEM_MAX_BYTES);
	base_buf_init_secret(&key, PEM_MAX_BYTES);
	rc = tls_self_signed(host_name, now_ms, &chain, &key, err);
	account_files_begin(account);
	if (rc == 0)
		rc = write_file(c->key_path, &key, 0600, err);
	if (rc == 0)
		rc = write_file(c->chain_path, &chain, 0644, err);
	account_files_end(account);
	base_buf_release(&chain);
	base_buf_release(&key);
	return rc;
}

static char *join(const char *dir, const char *name)
{
	size_t len = strlen(dir) + strlen(name) + 2;
	char *out = base_alloc(len);

	snprintf(out, len, "%s/%s", dir, name);
	return out;
}

static void name_files(struct certificate *c, const struct conf *conf)
{
	bool given = conf->has_tls && conf->tls_certificate && conf->tls_key;

	free(c->chain_path);
	free(c->key_path);
	c->chain_path = given ? base_strdup(conf->tls_certificate)
			      : join(conf->data, "self-signed.pem");
	c->key_path = given ? base_strdup(conf->tls_key) : join(conf->data, "self-signed.key");
}

static bool is_needed(const struct conf *conf)
{
	for (size_t i = 0; i < conf->listener_count; i++) {
		if (conf->listeners[i].tls != CONF_TLS_NONE)
			return true;
	}
	return false;
}

int certificate_reload(struct certificate *c, const struct conf *conf,
	const struct account *account, int64_t now_ms, struct base_error *err)
{
	bool given = conf->has_tls && conf->tls_certificate && conf->tls_key;
	int64_t end_ms = 0;
	int rc;

	name_files(c, conf);
	if (!given && !is_needed(conf))
		return 0;
	rc = load(c, now_ms, &end_ms, err);
	if (!given && (rc == BASE_ERROR_NOT_FOUND || (rc == 0 && end_ms < now_ms))) {
		rc = make_self_signed(c, conf->hostname, account, now_ms, err);
		if (rc == 0)
			rc = load(c, now_ms, &end_ms, err);
	}
	if (rc != 0)
		return rc;
	if (given && end_ms < now_ms + WARN_BEFORE_END_MS)
		log_write(LOG_LEVEL_WARNING, "certificate \"%s\" %s; renew it", c->chain_path,
			end_ms < now_ms ? "has expired" : "expires within 14 days");
	return 0;
}

int certificate_open(struct certificate *c, const struct conf *conf, const struct account *account,
	int64_t now_ms, struct base_error *err)
{
	*c = (struct certificate){.ticket_keys_at_ms = now_ms};
	base_buf_init(&c->chain, PEM_MAX_BYTES);
	base_buf_init_secret(&c->key, PEM_MAX_BYTES);
	base_random_fill(c->ticket_keys, sizeof(c->ticket_keys));
	return certificate_reload(c, conf, account, now_ms, err);
}

bool certificate_changed(struct certificate *c)
{
	const char *paths[2] = {c->chain_path, c->key_path};
	bool changed = false, still = true;

	if (c->chain.len == 0)
		return false;
	for (int i = 0; i < 2; i++) {
		struct certificate_stamp now = look(paths[i]);

		/* Absent: somebody is replacing it. */
		if (now.inode == 0)
			return false;
		changed = changed || !same_stamp(now, c->used[i]);
		still = still && same_stamp(now, c->seen[i]);
		c->seen[i] = now;
	}
	return changed && still;
}

bool certificate_rotate(struct certificate *c, int64_t now_ms)
{
	if (now_ms - c->ticket_keys_at_ms < TICKET_KEYS_LIFE_MS)
		return false;
	c->ticket_keys_at_ms = now_ms;
	base_random_fill(c->ticket_keys, sizeof(c->ticket_keys));
	return true;
}

int certificate_export(const struct certificate *c, int *out_fd, struct base_error *err)
{
	struct base_buf bytes;
	int rc;

	base_buf_init_secret(&bytes, 3 * PEM_MAX_BYTES);
	ipc_put_bytes(&bytes, base_buf_slice(&c->chain));
	ipc_put_bytes(&bytes, base_buf_slice(&c->key));
	ipc_put_bytes(&bytes, base_slice_make(c->ticket_keys, sizeof(c->ticket_keys)));
	rc = memory_file_make("tls", base_buf_slice(&bytes), out_fd, err);
	base_buf_release(&bytes);
	return rc;
}

void certificate_release(struct certificate *c)
{
	base_buf_release(&c->chain);
	base_buf_release(&c->key);
	base_wipe(c->ticket_keys, sizeof(c->ticket_keys));
	free(c->chain_path);
	free(c->key_path);
	c->chain_path = c->key_path = NULL;
}
