/* Certificate, key and authorities of sections account NAME { }: they may be readable by root alone, and
 * auth opens no file. They are read at the start of every auth and at each reload; what cannot be read or
 * does not fit together is named in the log, and auth goes on with what it has. */
#include "master/server.h"

#include "base/clock.h"
#include "loop/account.h"
#include "loop/file.h"
#include "loop/log.h"
#include "loop/tls.h"
#include "master/memory_file.h"

#include <string.h>
#include <unistd.h>

/* Chain and key travel on in one frame of auth's. */
enum { PAIR_MAX_BYTES = 60 * 1024, FILES_MAX_BYTES = 256 * 1024 };
#define WARN_BEFORE_END_MS (14 * 86400 * 1000LL)

struct files {
	struct base_buf chain, key, ca;
};

static int read_optional(const char *path, struct base_buf *out, struct base_error *err)
{
	return path ? file_read(path, out, NULL, err) : 0;
}

static int check_pair(const struct server *s, const struct conf_account *a, const struct files *f,
	struct base_error *err)
{
	int64_t end_ms, now_ms = base_clock_wall_ms();
	int rc = tls_pair_check(base_buf_slice(&f->chain), base_buf_slice(&f->key), &end_ms, err);
	char reason[BASE_ERROR_TEXT_MAX_BYTES];

	if (rc != 0) {
		memcpy(reason, err->text, sizeof(reason));
		return base_error_set(err, BASE_ERROR_CONFIG, 0,
			"certificate \"%s\" and key \"%s\": %.300s", a->certificate, a->key,
			reason);
	}
	if (f->chain.len + f->key.len > PAIR_MAX_BYTES)
		return base_error_set(err, BASE_ERROR_CONFIG, 0,
			"certificate \"%s\" and key \"%s\" are longer than %d bytes together",
			a->certificate, a->key, (int)PAIR_MAX_BYTES);
	if (end_ms < now_ms + WARN_BEFORE_END_MS)
		log_write(LOG_LEVEL_WARNING, "%s:%u: certificate \"%s\" %s; renew it", s->conf_path,
			a->line, a->certificate,
			end_ms < now_ms ? "has expired" : "expires within 14 days");
	return 0;
}

static int read_files(const struct server *s, const struct conf_account *a, struct files *f,
	struct base_error *err)
{
	int rc = read_optional(a->certificate, &f->chain, err);

	if (rc == 0)
		rc = read_optional(a->key, &f->key, err);
	if (rc == 0 && a->certificate)
		rc = check_pair(s, a, f, err);
	if (rc == 0)
		rc = read_optional(a->ca, &f->ca, err);
	return rc;
}

static int export(const struct files *f, int *out_fd, struct base_error *err)
{
	struct base_buf bytes;
	int rc;

	base_buf_init_secret(&bytes, FILES_MAX_BYTES);
	ipc_put_bytes(&bytes, base_buf_slice(&f->chain));
	ipc_put_bytes(&bytes, base_buf_slice(&f->key));
	ipc_put_bytes(&bytes, base_buf_slice(&f->ca));
	rc = memory_file_make("account", base_buf_slice(&bytes), out_fd, err);
	base_buf_release(&bytes);
	return rc;
}

static void send_one(struct child *c, const struct conf_account *a)
{
	struct base_error err = {0};
	struct base_buf frame;
	struct files f;
	int fd = -1, rc;

	base_buf_init(&f.chain, PAIR_MAX_BYTES);
	base_buf_init_secret(&f.key, PAIR_MAX_BYTES);
	base_buf_init(&f.ca, ACCOUNT_CA_MAX_BYTES);
	rc = read_files(c->server, a, &f, &err);
	if (rc == 0)
		rc = export(&f, &fd, &err);
	if (rc != 0)
		log_write(LOG_LEVEL_ERROR,
			"%s:%u: account \"%s\": %s; what was read before stays in use",
			c->server->conf_path, a->line, a->title, err.text);
	base_buf_init(&frame, IPC_FRAME_MAX_BYTES);
	ipc_begin(&frame, IPC_ACCOUNT_CERTIFICATE, 0);
	ipc_put_text(&frame, a->title);
	ipc_put_text(&frame, rc == 0 ? "" : err.text);
	if (c->ch)
		(void)ipc_send(c->ch, &frame, &fd, rc == 0);
	base_buf_release(&frame);
	base_buf_release(&f.chain);
	base_buf_release(&f.key);
	base_buf_release(&f.ca);
	if (fd >= 0)
		close(fd);
}

void child_send_account_files(struct child *c)
{
	const struct conf *conf = c->server->conf;

	for (size_t i = 0; i < conf->account_count; i++)
		if (conf->accounts[i].certificate || conf->accounts[i].ca)
			send_one(c, &conf->accounts[i]);
}
