/* What stands beside a listener: who may relay by address (relay_ctrl), and who is asked about strangers
 * (dnsbl). */
#include "loop/conf_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* An address of IPv6 as a name of nibbles has 64 characters, and a name at most 253. */
enum { ZONE_MAX_BYTES = 253 - 64 };

static void judge_relay_ctrl(
	struct conf_work *w, const struct conf_listener *l, const struct conf_section *s)
{
	unsigned line = conf_key_line(s, "relay_ctrl");
	struct stat st;

	if (stat(l->relay_ctrl, &st) != 0 && errno == ENOENT)
		conf_warn(w, line,
			"relay_ctrl = \"%s\" does not exist yet; nobody may relay by it until it "
			"does and the server reloads",
			l->relay_ctrl);
	else if (stat(l->relay_ctrl, &st) != 0)
		conf_fail(w, line, "relay_ctrl = \"%s\": %s; name a directory that can be searched",
			l->relay_ctrl, strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		conf_fail(w, line,
			"relay_ctrl = \"%s\" is not a directory; name the one that "
			"relay-ctrl-allow writes to",
			l->relay_ctrl);
	else if (access(l->relay_ctrl, X_OK) != 0)
		conf_fail(w, line,
			"relay_ctrl = \"%s\" cannot be searched by this user: %s; give it the "
			"right to (chmod, chgrp)",
			l->relay_ctrl, strerror(errno));
}

static void judge_dnsbl(
	struct conf_work *w, const struct conf_listener *l, const struct conf_section *s)
{
	unsigned line = conf_key_line(s, "dnsbl");

	if (l->auth == CONF_AUTH_REQUIRED)
		conf_fail(w, line,
			"listener \"%s\" demands AUTH, and whoever logs in is not judged by his "
			"address; remove dnsbl, it is for listeners with accept",
			l->title);
	else if (!l->accept.count)
		conf_fail(w, line,
			"listener \"%s\" takes no mail from strangers, so dnsbl judges nobody; "
			"remove it, or write accept = {\"example.org\"}",
			l->title);
	if (l->dnsbl.count > CONF_DNSBL_MAX)
		conf_fail(w, line, "dnsbl lists %zu zones; write at most %d", l->dnsbl.count,
			CONF_DNSBL_MAX);
	for (size_t i = 0; i < l->dnsbl.count; i++) {
		struct base_slice zone = base_slice_text(l->dnsbl.items[i]);

		if (!base_host_name_valid(zone, false, false) || zone.len > ZONE_MAX_BYTES)
			conf_fail(w, line,
				"dnsbl: \"%s\" is no zone; write {\"dnsbl.example.org\"}",
				l->dnsbl.items[i]);
	}
}

void conf_listener_judge(
	struct conf_work *w, const struct conf_listener *l, const struct conf_section *s)
{
	if (l->relay_ctrl && w->look_at_files)
		judge_relay_ctrl(w, l, s);
	if (l->dnsbl.count)
		judge_dnsbl(w, l, s);
}
