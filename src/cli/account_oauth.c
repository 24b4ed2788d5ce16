/* --oauth: a profile from options and FILE, and the login of a person with it. */
#include "cli/account.h"

#include "base/clock.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* What jansson gives back was a client's secret, maybe. */
static void free_wiped(void *ptr)
{
	if (ptr)
		base_wipe(ptr, malloc_usable_size(ptr));
	free(ptr);
}

static bool is_grant(const char *text)
{
	for (int i = 0; i < VAULT_OAUTH_GRANT_COUNT; i++)
		if (strcmp(text, vault_oauth_grant_name((enum vault_oauth_grant)i)) == 0)
			return true;
	return false;
}

int account_oauth_options(const struct account *a)
{
	static const char *const of_oauth[] = {
		"client-id", "client-secret-stdin", "tenant", "scope", "grant", "no-browser"};
	const char *oauth = cli_value(a->cli, "oauth"), *grant = cli_value(a->cli, "grant");

	for (size_t i = 0; !oauth && i < BASE_COUNT(of_oauth); i++)
		if (cli_has(a->cli, of_oauth[i]))
			return cli_fail(a->cli, CLI_USAGE,
				"--%s belongs to --oauth; give --oauth google, microsoft or FILE "
				"beside it",
				of_oauth[i]);
	if (!oauth)
		return CLI_OK;
	if (vault_oauth_builtin(oauth) && !cli_has(a->cli, "client-id"))
		return cli_fail(a->cli, CLI_USAGE,
			"--oauth %s needs --client-id ID: every site registers a client of its "
			"own; "
			"postern-account(1), OAUTH, says how",
			oauth);
	if (strcmp(oauth, "google") == 0 && cli_has(a->cli, "tenant"))
		return cli_fail(a->cli, CLI_USAGE,
			"--tenant belongs to --oauth microsoft; Google has none: leave it out");
	if (grant && !is_grant(grant))
		return cli_fail(a->cli, CLI_USAGE,
			"--grant \"%s\" is not known; write device_code, authorization_code, "
			"refresh_token, client_credentials or jwt_bearer, or leave it out",
			grant);
	return CLI_OK;
}

/* --- the profile --- */

static bool from_file(const struct account *a)
{
	return !vault_oauth_builtin(cli_value(a->cli, "oauth"));
}

/* The text of the profile before options change it. */
static int read_text(struct account *a, struct base_buf *out)
{
	const char *oauth = cli_value(a->cli, "oauth");
	static const char *const names[] = {"google", "microsoft", NULL};
	const char *near;

	if (!from_file(a)) {
		base_buf_append_text(out, vault_oauth_builtin(oauth));
		return CLI_OK;
	}
	if (account_read_file(oauth, out, &a->err) == 0)
		return CLI_OK;
	near = strchr(oauth, '/') ? NULL : conf_nearest(oauth, names);
	if (near)
		return cli_fail(
			a->cli, CLI_FAILED, "--oauth: %s; did you mean %s?", a->err.text, near);
	return cli_fail(a->cli, CLI_FAILED,
		"--oauth: %s; it is google, microsoft, or a FILE in JSON", a->err.text);
}

static int dump(const char *bytes, size_t len, void *arg)
{
	return base_buf_append(arg, bytes, len) ? 0 : -1;
}

static int set_secret(struct account *a, json_t *json)
{
	struct base_secret secret = {0};
	int status = cli_secret_line(
		a->cli, "client's secret", BASE_SECRET_PASSWORD_MAX_BYTES, &secret);

	if (status == CLI_OK &&
		json_object_set_new(json, "client_secret",
			json_stringn((const char *)secret.ptr, secret.len)) != 0)
		status = cli_fail(a->cli, CLI_FAILED,
			"the client's secret is not UTF-8; is it the right line?");
	base_secret_release(&secret);
	return status;
}

/* Options win over what FILE says. */
static int set_options(struct account *a, json_t *json)
{
	static const struct {
		const char *option, *key;
	} keys[] = {
		{"client-id", "client_id"},
		{"tenant", "tenant"},
		{"scope", "scope"},
		{"grant", "grant"},
	};

	for (size_t i = 0; i < BASE_COUNT(keys); i++) {
		const char *value = cli_value(a->cli, keys[i].option);

		if (value && json_object_set_new(json, keys[i].key, json_string(value)) != 0)
			return cli_fail(a->cli, CLI_FAILED, "--%s is not UTF-8", keys[i].option);
	}
	return cli_has(a->cli, "client-secret-stdin") ? set_secret(a, json) : CLI_OK;
}

static int merge(struct account *a, struct base_buf *text)
{
	json_error_t why;
	json_t *json = json_loadb((const char *)text->ptr, text->len, JSON_REJECT_DUPLICATES, &why);
	int status;

	/* jansson's words may hold a piece of the file. */
	if (!json_is_object(json)) {
		status = cli_fail(a->cli, CLI_FAILED,
			"--oauth \"%s\": line %d, column %d: %s; write {\"token_endpoint\": "
			"\"https://…\", "
			"\"client_id\": \"…\"}",
			cli_value(a->cli, "oauth"), why.line > 0 ? why.line : 1,
			why.column > 0 ? why.column : 1,
			json ? "no object" : "no JSON, or a key that stands twice");
		json_decref(json);
		return status;
	}
	status = set_options(a, json);
	base_buf_clear(text);
	if (status == CLI_OK && json_dump_callback(json, dump, text, JSON_COMPACT) != 0)
		status = cli_fail(
			a->cli, CLI_FAILED, "the profile is longer than %zu bytes", text->max);
	json_decref(json);
	return status;
}

/* Paths in FILE are relative to it. */
static int read_named(void *arg, const char *path, struct base_buf *out, struct base_error *err)
{
	const char *file = arg, *slash = strrchr(file, '/');
	char *whole = NULL;
	int rc;

	if (path[0] == '/' || !slash)
		return account_read_file(path, out, err);
	if (asprintf(&whole, "%.*s/%s", (int)(slash - file), file, path) < 0)
		base_out_of_memory();
	rc = account_read_file(whole, out, err);
	free(whole);
	return rc;
}

static void show_warnings(const struct base_buf *warnings)
{
	struct base_slice line, rest = base_buf_slice(warnings);

	while (base_slice_split(&rest, '\n', &line))
		if (line.len)
			account_warn("%.*s", BASE_SLICE_ARGS(line));
}

static int parse(struct account *a, struct base_buf *text, struct vault_oauth_profile **out)
{
	const char *oauth = cli_value(a->cli, "oauth");
	struct base_buf warnings;
	int rc;

	base_buf_init(&warnings, 65536);
	rc = vault_oauth_profile_parse(
		out, base_buf_slice(text), oauth, read_named, (void *)oauth, &warnings, &a->err);
	show_warnings(&warnings);
	base_buf_release(&warnings);
	if (rc != 0)
		return cli_fail(a->cli, CLI_FAILED, "--oauth: %s", a->err.text);
	if (vault_oauth_profile_grant(*out) == VAULT_OAUTH_REFRESH_TOKEN &&
		!vault_oauth_has_refresh_token(*out)) {
		vault_oauth_profile_free(out);
		return cli_fail(a->cli, CLI_FAILED,
			"--oauth \"%s\": the grant refresh_token needs a refresh_token in FILE; "
			"leave the "
			"grant out to log in with a browser",
			oauth);
	}
	return CLI_OK;
}

int account_oauth_profile(struct account *a, struct vault_oauth_profile **out)
{
	struct base_buf text;
	int status;

	json_set_alloc_funcs(malloc, free_wiped);
	base_buf_init_secret(&text, VAULT_OAUTH_PROFILE_MAX_BYTES);
	status = read_text(a, &text);
	if (status == CLI_OK)
		status = merge(a, &text);
	if (status == CLI_OK)
		status = parse(a, &text, out);
	base_buf_release(&text);
	return status;
}

/* --- the login --- */

bool account_oauth_asks(const struct account *a, const struct vault_oauth_profile *profile)
{
	if (!vault_oauth_grant_is_interactive(vault_oauth_profile_grant(profile)))
		return false;
	return !vault_oauth_has_refresh_token(profile) || cli_has(a->cli, "grant");
}

enum { ANSWER_MS = 30000 };

int account_login_post(struct account_login *l, const char *url, const struct base_buf *form,
	unsigned *out_status, struct base_buf *out_body)
{
	return cli_fetch(l->fetch, url, base_buf_slice(form), vault_oauth_ca(l->profile), ANSWER_MS,
		out_status, out_body, &l->account->err);
}

int account_login_ask(struct account_login *l, const struct base_buf *form,
	enum vault_oauth_result *out_result, struct vault_oauth_tokens *t,
	char reason[VAULT_OAUTH_REASON_MAX_BYTES])
{
	struct base_buf body;
	unsigned http;
	int rc;

	base_buf_init_secret(&body, IPC_FETCH_BODY_MAX_BYTES);
	rc = account_login_post(l, vault_oauth_token_endpoint(l->profile), form, &http, &body);
	if (rc == 0)
		*out_result = vault_oauth_answer(
			http, base_buf_slice(&body), base_clock_wall_ms(), t, reason);
	if (rc == 0 && *out_result != VAULT_OAUTH_OBTAINED)
		vault_oauth_hide(l->profile, t, base_buf_slice(&body), reason);
	base_buf_release(&body);
	return rc;
}

int account_login_refused(const struct account_login *l, const char *reason)
{
	return cli_fail(l->account->cli, CLI_FAILED,
		"%s: the provider refuses: %s; nothing was changed", l->account->name, reason);
}

int account_oauth_login(struct account_login *l, struct base_buf *out)
{
	struct vault_oauth_tokens tokens;
	int status;

	vault_oauth_tokens_init(&tokens);
	status = vault_oauth_profile_grant(l->profile) == VAULT_OAUTH_DEVICE_CODE
		? account_login_device(l, &tokens)
		: account_login_browser(l, &tokens);
	if (status == CLI_OK && tokens.refresh.len == 0)
		account_warn(
			"the provider gave no refresh token: the login ends with its first token; "
			"ask for one by --scope (Microsoft: offline_access)");
	if (status == CLI_OK)
		vault_oauth_tokens_write(&tokens, out);
	vault_oauth_tokens_release(&tokens);
	return status;
}
