/* postern import qmail: what concerns the server itself: its name, certificate, doors and limits. */
#include "cli/import_qmail.h"

#include "base/cdb.h"
#include "loop/tls.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say_if_other(struct import *i, const char *name, struct base_slice me, const char *use)
{
	struct base_slice line;

	if (!import_take_line(i, name, &line))
		return;
	if (base_slice_equal_nocase(line, me))
		import_say(i, name, 0, "the same as hostname");
	else
		import_say(i, name, 0, "no counterpart: hostname is used %s", use);
}

static void host_name(struct import *i)
{
	struct base_slice me = BASE_SLICE_EMPTY;
	char own[BASE_HOST_NAME_MAX_BYTES + 1] = "";
	bool there = import_take_line(i, "me", &me);

	if (there && base_host_name_valid(me, false, true)) {
		import_say(i, "me", 0, "hostname");
	} else {
		if (there)
			import_say(
				i, "me", 0, "is no host name; this machine's name stands instead");
		else
			base_buf_append_text(&i->out,
				"# There is no usable control file me; this machine's name stands "
				"instead.\n");
		if (gethostname(own, sizeof(own) - 1) != 0 ||
			!base_host_name_valid(base_slice_text(own), false, false))
			snprintf(own, sizeof(own), "localhost");
		me = base_slice_text(own);
	}
	say_if_other(i, "helohost", me, "in EHLO too");
	say_if_other(i, "smtpgreeting", me, "in the greeting too");
	base_buf_append_text(&i->out, "hostname = ");
	import_put_string(i, me);
	base_buf_append_text(&i->out,
		"\ndata     = \"/var/lib/postern\"      # databases and the queue\n"
		"run      = \"/run/postern\"          # sockets\n\n");
}

/* The path of a control file as a value; false: it cannot be written. */
static bool put_path(struct import *i, const char *key, const char *name)
{
	char *dir = realpath(i->dir, NULL);
	struct base_buf path;
	bool good;

	base_buf_init(&path, 5000);
	base_buf_printf(&path, "%s/%s", dir ? dir : i->dir, name);
	free(dir);
	good = import_is_text(base_buf_slice(&path));
	if (good) {
		base_buf_printf(&i->out, "  %s = ", key);
		import_put_string(i, base_buf_slice(&path));
		base_buf_append_byte(&i->out, '\n');
	}
	base_buf_release(&path);
	return good;
}

static void certificate(struct import *i)
{
	struct base_slice pem, ca;
	struct tls_context *ctx = NULL;
	struct base_error err;
	int64_t end_ms;
	bool pair = import_take(i, "servercert.pem", &pem);
	bool more = import_take(i, "cafile", &ca);

	if (pair && tls_pair_check(pem, pem, &end_ms, &err) != 0) {
		import_say(i, "servercert.pem", 0,
			"not used: it does not hold a certificate and its own key; a self-signed "
			"one is made in data");
		pair = false;
	} else if (pair) {
		import_say(i, "servercert.pem", 0, "tls { certificate, key }");
	}
	if (more && tls_client_context_new(&ctx, ca, &err) != 0) {
		import_say(i, "cafile", 0, "not used: it holds no certificates in PEM form");
		more = false;
	} else if (more) {
		import_say(i, "cafile", 0, "tls { ca }");
	}
	tls_context_free(&ctx);
	if (!pair && !more)
		return;
	base_buf_append_text(&i->out, "tls {\n");
	if (pair && put_path(i, "certificate", "servercert.pem"))
		put_path(i, "key", "servercert.pem");
	if (more)
		put_path(i, "ca", "cafile");
	base_buf_append_text(&i->out, "}\n\n");
}

/* ---- listeners ---- */

/* Domains of an accept list, each once. */
struct domains {
	struct base_slice *items;
	size_t count, room;
};

static void add_domain(struct import *i, struct domains *d, const char *file, unsigned line,
	struct base_slice name)
{
	if (!import_is_domain(name)) {
		import_say(i, file, line, "left out: it is no domain");
		return;
	}
	if (d->count == d->room) {
		d->room = d->room ? 2 * d->room : 64;
		d->items = base_realloc(d->items, d->room * sizeof(*d->items));
	}
	d->items[d->count++] = name;
}

static int by_domain(const void *a, const void *b)
{
	const struct base_slice *x = a, *y = b;
	size_t least = x->len < y->len ? x->len : y->len;

	for (size_t k = 0; k < least; k++) {
		int order = base_ascii_lower(x->ptr[k]) - base_ascii_lower(y->ptr[k]);

		if (order)
			return order;
	}
	return x->len < y->len ? -1 : x->len > y->len;
}

static void put_domains(struct import *i, struct domains *d)
{
	size_t put = 0;

	qsort(d->items, d->count, sizeof(*d->items), by_domain);
	base_buf_append_text(&i->out, "  accept = {");
	for (size_t k = 0; k < d->count; k++) {
		if (k && base_slice_equal_nocase(d->items[k], d->items[k - 1]))
			continue;
		base_buf_append_text(&i->out, put++ ? ",\n    " : "\n    ");
		import_put_string(i, d->items[k]);
	}
	base_buf_append_text(&i->out, "\n  }\n");
}

static void add_list(struct import *i, struct domains *d, const char *name, struct base_slice file)
{
	struct base_slice line;
	unsigned number = 0;

	import_say(i, name, 0, "listener mx { accept }");
	while (route_control_next(&file, &number, &line))
		add_domain(i, d, name, number, line);
}

static void add_cdb(struct import *i, struct domains *d, struct base_slice file)
{
	const char *name = "morercpthosts.cdb";
	struct base_slice key, data;
	size_t cursor = 0;
	enum base_cdb_result rc;

	import_say(i, name, 0,
		"listener mx { accept }, as the configuration has no constant databases");
	while ((rc = base_cdb_next(file, &cursor, &key, &data)) == BASE_CDB_FOUND)
		add_domain(i, d, name, 0, key);
	if (rc == BASE_CDB_BROKEN)
		import_say(i, name, 0, "damaged; what comes behind the damage is missing");
}

static void listener_mx(struct import *i)
{
	struct domains d = {0};
	struct base_slice file;
	bool any = import_take(i, "rcpthosts", &file);

	if (!any)
		base_buf_append_text(&i->out,
			"# There is no control file rcpthosts, so qmail-smtpd took mail for "
			"everybody. Postern does not:\n# for mail from strangers write listener mx "
			"{ ... accept = {\"example.org\"} }.\n");
	else
		add_list(i, &d, "rcpthosts", file);
	if (import_take(i, "morercpthosts", &file))
		add_list(i, &d, "morercpthosts", file);
	if (import_take(i, "morercpthosts.cdb", &file))
		add_cdb(i, &d, file);
	if (d.count) {
		base_buf_append_text(&i->out,
			"listener mx {\n  address = \"0.0.0.0:25\"\n  tls = \"starttls\"\n"
			"  auth = \"optional\"\n");
		put_domains(i, &d);
		base_buf_append_text(&i->out, "}\n");
	} else if (any) {
		base_buf_append_text(&i->out,
			"# No domain takes mail from strangers, so nothing listens on port 25.\n");
	}
	free(d.items);
}

static void listeners(struct import *i)
{
	listener_mx(i);
	base_buf_append_text(&i->out,
		"\n# People and programs send here, after a login: what RELAYCLIENT in a tcprules "
		"file, "
		"or SMTPAUTH,\n# allowed. Users come by postern user import.\n"
		"listener submission  { address = \"0.0.0.0:587\"  tls = \"starttls\" }\n"
		"listener submissions { address = \"0.0.0.0:465\"  tls = \"implicit\" }\n\n");
}

/* ---- numbers ---- */

/* "  key = value" where the file holds a number from @min to @max. */
static void number(struct import *i, const char *name, const char *key, uint64_t min, uint64_t max)
{
	struct base_slice file;
	uint64_t value;

	if (!import_take(i, name, &file))
		return;
	value = route_control_number(file, UINT64_MAX);
	if (value == UINT64_MAX) {
		import_say(i, name, 0, "is no number, which qmail ignores; the default of %s stays",
			key);
	} else if (value == 0) {
		import_say(i, name, 0, "0 means no limit; Postern has one, the default of %s", key);
	} else if (value < min || value > max) {
		import_say(i, name, 0,
			"%" PRIu64 " is not possible (%" PRIu64 " to %" PRIu64
			" is); the default of %s stays",
			value, min, max, key);
	} else {
		import_say(i, name, 0, "%s", key);
		base_buf_printf(&i->out, "  %s = %" PRIu64 "\n", key, value);
	}
}

static void limits(struct import *i)
{
	base_buf_append_text(&i->out, "limits {\n");
	number(i, "databytes", "message_size", 1024, (uint64_t)1 << 40);
	number(i, "timeoutsmtpd", "command_timeout", 1, 86400);
	number(i, "concurrencyincoming", "connections", 1, 1000000);
	base_buf_append_text(&i->out, "}\n\nqueue {\n");
	number(i, "queuelifetime", "lifetime", 1, 365 * 86400);
	base_buf_append_text(&i->out, "}\n\n");
}

void import_server(struct import *i)
{
	host_name(i);
	certificate(i);
	listeners(i);
	limits(i);
}
