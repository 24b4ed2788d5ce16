/* One batch at a time: read entries; ask which of their users exist (so that nothing is hashed in vain);
 * derive or take what is stored; import; say what was refused. A batch is cut into requests that fit a
 * frame. The first entry of a name counts, also with --replace. */
#include "cli/user_import.h"

#include "base/clock.h"
#include "cli/input.h"
#include "cli/vault.h"
#include "vault/file.h"
#include "vault/sasldb.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 200, REQUEST_MAX_BYTES = 48 * 1024, PROGRESS_MS = 200 };

enum state {
	PENDING,
	REFUSED,
	EXISTS,
	IMPORTED, /* will be, until the second request */
};

struct item {
	enum state state;
	unsigned line;
	char why[BASE_ERROR_TEXT_MAX_BYTES];
	struct base_buf name, stored;
	struct vault_credentials credentials;
};

struct import {
	struct cli *cli;
	const struct conf *conf;
	const char *label; /* of the file, in what is printed */
	const char *domain;
	bool replace, dry_run, json, quiet;
	struct item *items;
	size_t count;
	sasl_mechanism_mask mask;
	unsigned imported, existing, refused;
	int64_t shown_ms;
	json_t *seen; /* keys of all entries so far, with their lines */
	json_t *refusals;
	struct base_buf answer, entries;
	struct base_error err;
	int rc;
};

static void refuse(struct item *it, const char *why)
{
	it->state = REFUSED;
	snprintf(it->why, sizeof(it->why), "%s", why);
}

/* Talking to the vault */

/* Send the entries of items [@from, @to) that are in @state, and read their results. */
static int send_entries(struct import *im, size_t from, size_t to, enum state state, bool dry_run)
{
	struct cli_request r = {0};
	const json_t *results;
	json_t *json;
	size_t at = 0;
	int rc;

	cli_request_add(&r, "user");
	cli_request_add(&r, "import");
	if (dry_run)
		cli_request_add(&r, "dry-run=1");
	if (im->replace)
		cli_request_add(&r, "replace=1");
	r.request.secret = base_buf_slice(&im->entries);
	rc = cli_vault_ask(im->conf, &r, &im->answer, &im->err);
	r.request.secret = BASE_SLICE_EMPTY;
	cli_request_release(&r);
	if (rc != 0)
		return rc;
	json = cli_json(&im->answer, &im->err);
	if (!json)
		return im->err.class;
	im->mask = (sasl_mechanism_mask)json_integer_value(json_object_get(json, "mask"));
	results = json_object_get(json, "results");
	for (size_t i = from; i < to; i++) {
		const char *result;

		if (im->items[i].state != state)
			continue;
		result = json_string_value(json_array_get(results, at++));
		if (!result)
			rc = base_error_set(&im->err, BASE_ERROR_PEER, 0,
				"the server's answer to an import is not understood");
		else if (strcmp(result, "added") == 0 || strcmp(result, "changed") == 0)
			im->items[i].state = IMPORTED;
		else if (strcmp(result, "exists") == 0)
			im->items[i].state = EXISTS;
		else
			refuse(&im->items[i], result);
	}
	json_decref(json);
	return rc;
}

/* All items in @state, in as many requests as they need. */
static int ask(struct import *im, enum state state, bool dry_run)
{
	size_t from = 0, i;
	int rc = 0;

	base_buf_clear(&im->entries);
	for (i = 0; i < im->count && rc == 0; i++) {
		struct item *it = &im->items[i];

		if (it->state == state &&
			!vault_admin_import_put(&im->entries, base_buf_slice(&it->name),
				dry_run ? NULL : &it->credentials))
			refuse(it, "what is to be stored is too long");
		if (im->entries.len < REQUEST_MAX_BYTES)
			continue;
		rc = send_entries(im, from, i + 1, state, dry_run);
		from = i + 1;
		base_buf_clear(&im->entries);
	}
	if (rc == 0 && im->entries.len)
		rc = send_entries(im, from, i, state, dry_run);
	base_buf_clear(&im->entries);
	return rc;
}

/* What to say */

static void show_progress(struct import *im, size_t done)
{
	int64_t now_ms = base_clock_monotonic_ms();

	if (im->quiet || now_ms - im->shown_ms < PROGRESS_MS)
		return;
	im->shown_ms = now_ms;
	fprintf(stderr, "\r%zu users \033[K", im->imported + im->existing + im->refused + done);
	fflush(stderr);
}

static void say_refused(struct import *im, const struct item *it)
{
	struct base_buf name;
	json_t *json;

	im->refused++;
	if (im->json) {
		json = json_object();
		json_object_set_new(json, "line", it->line ? json_integer(it->line) : json_null());
		json_object_set_new(json, "name",
			json_stringn_nocheck((const char *)it->name.ptr, it->name.len));
		json_object_set_new(json, "reason", json_string(it->why));
		json_array_append_new(im->refusals, json);
		return;
	}
	base_buf_init(&name, 4096);
	cli_text_safe(base_buf_slice(&it->name), &name);
	fprintf(stderr, "%s%s:", im->quiet ? "" : "\r\033[K", im->label);
	if (it->line)
		fprintf(stderr, "%u:", it->line);
	if (name.len)
		fprintf(stderr, " \"%s\":", base_buf_text(&name));
	fprintf(stderr, " %s\n", it->why);
	base_buf_release(&name);
}

static void settle(struct import *im)
{
	for (size_t i = 0; i < im->count; i++) {
		struct item *it = &im->items[i];

		switch (it->state) {
		case PENDING:
		case REFUSED:
			say_refused(im, it);
			break;
		case EXISTS:
			im->existing++;
			break;
		case IMPORTED:
			im->imported++;
			break;
		}
		base_buf_clear(&it->stored);
		vault_credentials_release(&it->credentials);
	}
	im->count = 0;
	show_progress(im, 0);
}

/* Batches */

static void prepare(struct import *im)
{
	uint8_t random[VAULT_CREDENTIALS_RANDOM_BYTES];
	struct base_error err;

	for (size_t i = 0; i < im->count; i++) {
		struct item *it = &im->items[i];

		if (it->state != IMPORTED)
			continue;
		base_random_fill(random, sizeof(random));
		if (vault_admin_import_credentials(base_buf_slice(&it->stored), im->mask, random,
			    &it->credentials, &err) != 0)
			refuse(it, err.text);
		show_progress(im, i);
	}
	base_wipe(random, sizeof(random));
}

static int flush(struct import *im)
{
	int rc = ask(im, PENDING, true);

	if (rc == 0 && !im->dry_run) {
		prepare(im);
		rc = ask(im, IMPORTED, false);
	}
	if (rc == 0)
		settle(im);
	return rc;
}

/* The key is noted, so that a further entry of the name is known. */
static void note_name(struct import *im, struct item *it)
{
	struct base_slice domain = base_slice_text(
		im->domain ? im->domain : im->conf->auth.default_domain);
	struct vault_key key;
	json_int_t first;
	char why[100];

	if (!vault_key_make(base_buf_slice(&it->name), domain, &key)) {
		refuse(it, "not a name; 1 to 255 bytes of UTF-8 without controls are");
		return;
	}
	first = json_integer_value(json_object_get(im->seen, key.text));
	if (!json_object_get(im->seen, key.text)) {
		json_object_set_new_nocheck(im->seen, key.text, json_integer(it->line));
		return;
	}
	snprintf(why, sizeof(why), "the name stands in line %lld already, and the first counts",
		(long long)first);
	refuse(it, first ? why : "the name stands there already, and the first counts");
}

static void add_domain(const struct import *im, struct item *it)
{
	if (!im->domain || base_slice_has(base_buf_slice(&it->name), '@'))
		return;
	base_buf_append_byte(&it->name, '@');
	base_buf_append_text(&it->name, im->domain);
}

/* One entry of the file, or of the database. False: the import ends (im->rc). */
static bool take(const struct vault_file_entry *e, void *arg)
{
	struct import *im = arg;
	struct item *it = &im->items[im->count++];

	it->state = PENDING;
	it->line = e->line;
	vault_credentials_init(&it->credentials);
	base_buf_clear(&it->name);
	base_buf_append_slice(&it->name, base_buf_slice(&e->name));
	base_buf_clear(&it->stored);
	base_buf_append_slice(&it->stored, base_buf_slice(&e->stored));
	if (it->name.len)
		note_name(im, it);
	if (e->reason)
		refuse(it, e->reason);
	if (it->state == PENDING)
		add_domain(im, it);
	if (im->count == BATCH)
		im->rc = flush(im);
	return im->rc == 0;
}

/* Sources */

static int read_file(struct import *im, const char *path, struct base_buf *bytes)
{
	bool is_stdin = strcmp(path, "-") == 0;
	int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC), status;

	if (fd < 0)
		return cli_fail(
			im->cli, CLI_FAILED, "cannot open \"%s\": %s", path, strerror(errno));
	status = cli_read_all(im->cli, fd, bytes);
	if (!is_stdin)
		close(fd);
	return status;
}

static bool is_cdb(const char *path)
{
	return base_slice_ends_with_nocase(base_slice_text(path), BASE_SLICE(".cdb"));
}

static int walk_file(struct import *im, enum vault_file_format format, const char *path)
{
	struct vault_file_cursor cursor = {0};
	struct vault_file_entry e;
	struct base_buf bytes;
	struct vault_file f = {.format = format,
		.cdb = format == VAULT_FILE_VPASSWD && is_cdb(path),
		.default_domain = base_slice_text(im->domain),
		.now_ms = base_clock_wall_ms()};
	int status;

	base_buf_init_secret(&bytes, CLI_INPUT_MAX_BYTES);
	status = read_file(im, path, &bytes);
	f.bytes = base_buf_slice(&bytes);
	vault_file_entry_init(&e);
	while (status == CLI_OK && im->rc == 0 &&
		vault_file_next(&f, &cursor, &e) != VAULT_FILE_UNKNOWN)
		(void)take(&e, im);
	vault_file_entry_release(&e);
	base_buf_release(&bytes);
	return status;
}

static int walk_sasldb(struct import *im, const char *path)
{
	struct base_error err = {0};

	return vault_sasldb_each(path, take, im, &err) == 0 ? CLI_OK
							    : cli_fail_error(im->cli, &err);
}

static int say_end(struct import *im)
{
	json_t *json;

	if (!im->quiet)
		fputs("\r\033[K", stderr);
	if (im->json) {
		json = json_object();
		json_object_set_new(json, "imported", json_integer(im->imported));
		json_object_set_new(json, "already_there", json_integer(im->existing));
		json_object_set_new(json, "refused", json_integer(im->refused));
		json_object_set_new(json, "dry_run", json_boolean(im->dry_run));
		json_object_set(json, "refusals", im->refusals);
		json_dumpf(json, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(json);
	} else {
		printf("%u imported, %u already there, %u refused%s\n", im->imported, im->existing,
			im->refused, im->dry_run ? " (nothing was changed)" : "");
	}
	return im->refused ? CLI_FAILED : CLI_OK;
}

static void begin(struct import *im)
{
	im->items = base_alloc_zero(BATCH, sizeof(*im->items));
	for (size_t i = 0; i < BATCH; i++) {
		base_buf_init(&im->items[i].name, 1024);
		base_buf_init_secret(&im->items[i].stored, 1024);
	}
	im->seen = json_object();
	im->refusals = json_array();
	base_buf_init_secret(&im->answer, CLI_ANSWER_MAX_BYTES);
	base_buf_init_secret(&im->entries, REQUEST_MAX_BYTES + VAULT_ADMIN_IMPORT_ENTRY_MAX_BYTES);
	im->quiet = !isatty(STDERR_FILENO) || im->json;
}

static void end(struct import *im)
{
	for (size_t i = 0; i < BATCH; i++) {
		base_buf_release(&im->items[i].name);
		base_buf_release(&im->items[i].stored);
		if (i < im->count)
			vault_credentials_release(&im->items[i].credentials);
	}
	free(im->items);
	json_decref(im->seen);
	json_decref(im->refusals);
	base_buf_release(&im->answer);
	base_buf_release(&im->entries);
}

static enum vault_file_format format_of(const struct cli *cli)
{
	return vault_file_format_parse(base_slice_text(cli_value(cli, "format")));
}

static bool is_sasldb(const struct cli *cli)
{
	const char *format = cli_value(cli, "format");

	return format && strcmp(format, "sasldb") == 0;
}

int cli_user_import_check(const struct cli *cli)
{
	const char *domain = cli_value(cli, "domain");

	if (!cli_has(cli, "format") || cli->arg_count != 2)
		return cli_fail(cli, CLI_USAGE,
			"import needs a format and a file: postern user import --format FORMAT "
			"FILE");
	if (!is_sasldb(cli) && format_of(cli) == VAULT_FILE_FORMAT_COUNT)
		return cli_fail(cli, CLI_USAGE,
			"--format %s is not known; passwd, htpasswd, authuser, vpasswd, vmailmgr "
			"and sasldb are",
			cli_value(cli, "format"));
	if (strcmp(cli->args[1], "-") == 0 &&
		(is_sasldb(cli) || format_of(cli) == VAULT_FILE_VMAILMGR))
		return cli_fail(cli, CLI_USAGE, "--format %s needs the name of a file",
			cli_value(cli, "format"));
	if (domain && (!domain[0] || strchr(domain, '@')))
		return cli_fail(cli, CLI_USAGE, "--domain takes a domain, as in example.org");
	return CLI_OK;
}

int cli_user_import(struct cli *cli, const struct conf *conf)
{
	struct import im = {
		.cli = cli,
		.conf = conf,
		.label = strcmp(cli->args[1], "-") == 0 ? "standard input" : cli->args[1],
		.domain = cli_value(cli, "domain"),
		.replace = cli_has(cli, "replace"),
		.dry_run = cli_has(cli, "dry-run"),
		.json = cli_has(cli, "json"),
	};
	int status;

	begin(&im);
	status = is_sasldb(cli) ? walk_sasldb(&im, cli->args[1])
				: walk_file(&im, format_of(cli), cli->args[1]);
	if (status == CLI_OK && im.rc == 0)
		im.rc = flush(&im);
	if (im.rc != 0)
		status = cli_fail(
			cli, CLI_FAILED, "%s; %u were imported before", im.err.text, im.imported);
	if (status == CLI_OK)
		status = say_end(&im);
	end(&im);
	return status;
}
