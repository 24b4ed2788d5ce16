/* master/certificate.h: the certificate that the fronts show, and the keys of their session tickets
 * Job      read the pair (root's own files too), make a self-signed one where none is configured,
 *          notice that the files changed, refuse a bad pair, change the ticket keys
 * Secrets  the private key and the ticket keys live in secret buffers and in sealed memory files that
 *          only fronts get */
#ifndef MASTER_CERTIFICATE_H
#define MASTER_CERTIFICATE_H

#include "base/buf.h"
#include "loop/conf.h"
#include "loop/tls.h"
#include "master/privilege.h"

struct certificate_stamp {
	int64_t inode, mtime_ns, size;
};

struct certificate {
	char *chain_path, *key_path;
	struct base_buf chain, key;
	uint8_t ticket_keys[TLS_TICKET_KEY_BYTES];
	int64_t ticket_keys_at_ms;
	struct certificate_stamp used[2]; /* of the files when they were last read */
	struct certificate_stamp seen[2]; /* at the last look */
};

/* Read the pair that @conf names, or the self-signed one, which is made when absent or expired. */
BASE_MUST_USE int certificate_open(struct certificate *c, const struct conf *conf,
	const struct account *account, int64_t now_ms, struct base_error *err);
/* The same for a new configuration; on an error the old pair stays in use. */
BASE_MUST_USE int certificate_reload(struct certificate *c, const struct conf *conf,
	const struct account *account, int64_t now_ms, struct base_error *err);
/* Look at the files: true if they changed since they were read and stand still since the last look. */
bool certificate_changed(struct certificate *c);
/* New ticket keys when the old ones have served their time: true if so. */
bool certificate_rotate(struct certificate *c, int64_t now_ms);
/* A sealed memory file as the TLS frame describes it. */
BASE_MUST_USE int certificate_export(
	const struct certificate *c, int *out_fd, struct base_error *err);
void certificate_release(struct certificate *c);

#endif
