/* relay-ctrl: who read mail by POP or IMAP a while ago may relay. Each such address has a file of its
 * name in $RELAY_CTRL_DIR, as old as that, which may hold USER and DOMAIN for children:
 *
 *   NAME=value NUL …
 *
 * Nobody is refused here; the file of one who came too late is removed, as relay-ctrl-check does. */
#include "qmail/smtpd_setup.h"

#include "base/clock.h"
#include "loop/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXPIRY_S = 900, FILE_MAX_BYTES = 4096, PATH_MAX_BYTES = 4096 };

/* Only digits and dots name a file; anything else might lead out of the directory. */
static const char *file_name(const char *ip)
{
	static const char mapped[] = "::ffff:";

	if (!ip)
		return NULL;
	if (strncasecmp(ip, mapped, sizeof(mapped) - 1) == 0)
		ip += sizeof(mapped) - 1;
	if (ip[0] < '0' || ip[0] > '9' || ip[strspn(ip, "0123456789.")] != '\0')
		return NULL;
	return ip;
}

static int64_t expiry_s(void)
{
	const char *text = getenv("RELAY_CTRL_EXPIRY");
	uint64_t value;

	if (text && base_slice_to_u64(base_slice_text(text), &value) && value <= INT32_MAX)
		return (int64_t)value;
	return EXPIRY_S;
}

/* The two that relay-ctrl-allow writes; a file that others may write into sets no more than these. */
static void set_variables(struct base_slice rest)
{
	static const char *const names[] = {"USER", "DOMAIN"};
	struct base_slice item;

	while (base_slice_split(&rest, '\0', &item)) {
		size_t equals = base_slice_find(item, '=');
		struct base_slice name = base_slice_first(item, equals);
		char *value = base_slice_dup(base_slice_from(item, equals + 1));

		for (size_t i = 0; i < BASE_COUNT(names); i++)
			if (equals < item.len && base_slice_equal_text(name, names[i]))
				setenv(names[i], value, 1);
		free(value);
	}
}

void smtpd_relay_ctrl_check(void)
{
	const char *dir = getenv("RELAY_CTRL_DIR"), *client = getenv("RELAY_CTRL_RELAYCLIENT");
	const char *name = file_name(getenv("TCPREMOTEIP"));
	struct base_buf bytes;
	char path[PATH_MAX_BYTES];
	struct stat st;

	if (!dir || !dir[0] || !name || getenv("RELAYCLIENT"))
		return;
	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return;
	base_buf_init(&bytes, FILE_MAX_BYTES);
	if (file_read(path, &bytes, &st, NULL) == 0) {
		if (st.st_mtim.tv_sec + expiry_s() >= base_clock_wall_ms() / 1000) {
			set_variables(base_buf_slice(&bytes));
			setenv("RELAYCLIENT", client ? client : "", 1);
		} else {
			(void)unlink(path);
		}
	}
	base_buf_release(&bytes);
}
