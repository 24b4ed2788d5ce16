#include "loop/file.h"
#include "qmail/remote.h"

#include <stdio.h>

enum { FILE_MAX_BYTES = 64 << 20 };

static const char *const names[REMOTE_FILE_COUNT] = {
	[REMOTE_FILE_ME] = "me",
	[REMOTE_FILE_HELOHOST] = "helohost",
	[REMOTE_FILE_SMTPROUTES] = "smtproutes",
	[REMOTE_FILE_AUTHSENDERS] = "authsenders",
	[REMOTE_FILE_TIMEOUTCONNECT] = "timeoutconnect",
	[REMOTE_FILE_TIMEOUTREMOTE] = "timeoutremote",
	[REMOTE_FILE_OUTGOINGIP] = "outgoingip",
	[REMOTE_FILE_DOMAINIPS] = "domainips",
	[REMOTE_FILE_TLSPOLICY] = "tlspolicy",
	[REMOTE_FILE_CAFILE] = "cafile",
};

int remote_control_read(struct remote_control *c, struct base_error *err)
{
	for (size_t i = 0; i < REMOTE_FILE_COUNT; i++)
		base_buf_init_secret(&c->bytes[i], FILE_MAX_BYTES);
	for (size_t i = 0; i < REMOTE_FILE_COUNT; i++) {
		char path[64];
		int rc;

		(void)snprintf(path, sizeof(path), "control/%s", names[i]);
		rc = file_read(path, &c->bytes[i], NULL, err);
		if (rc != 0 && rc != BASE_ERROR_NOT_FOUND)
			return rc;
		c->file[i] = base_buf_slice(&c->bytes[i]);
	}
	return 0;
}

void remote_control_release(struct remote_control *c)
{
	for (size_t i = 0; i < REMOTE_FILE_COUNT; i++) {
		base_buf_release(&c->bytes[i]);
		c->file[i] = BASE_SLICE_EMPTY;
	}
}
