/* postern account add: options checked, files read, the secret asked for, one request.
 *
 * What can be refused is refused before a person types a password or logs in with a browser:
 *   options -> files and profile -> is the name free? -> password or login -> request */
#include "cli/account.h"
#include "loop/account.h"
#include "loop/tls.h"

#include "base/clock.h"

#include <string.h>

/* A request is one frame: what is left of it for words is plenty. */
enum { SECRET_MAX_BYTES = 65536 - 8192 };

struct add {
	struct account *a;
	const char *url, *user; /* as the account will have them; user "" if unknown */
	enum vault_account_kind kind;
	struct vault_oauth_profile *profile;
	struct base_buf secret; /* parts (vault_admin_account_secret_put) */
};

static const char *const kind_names[] = {
	[VAULT_ACCOUNT_PASSWORD] = "password",
	[VAULT_ACCOUNT_OAUTH] = "oauth",
	[VAULT_ACCOUNT_CERTIFICATE] = "certificate",
};

/* --- options --- */

static int check_kind(struct add *w)
{
	const struct cli *cli = w->a->cli;
	bool cert = cli_has(cli, "cert"), key = cli_has(cli, "key");

	if (cli_has(cli, "oauth") && cli_has(cli, "password-stdin"))
		return cli_fail(cli, CLI_USAGE,
			"--oauth and --password-stdin stand together; an account has one kind of "
			"secret: keep one of them");
	if (cert != key)
		return cli_fail(cli, CLI_USAGE, "--%s needs --%s FILE beside it",
			cert ? "cert" : "key", cert ? "key" : "cert");
	w->kind = cli_has(cli, "oauth")                   ? VAULT_ACCOUNT_OAUTH
		: cert && !cli_has(cli, "password-stdin") ? VAULT_ACCOUNT_CERTIFICATE
							  : VAULT_ACCOUNT_PASSWORD;
	return account_oauth_options(w->a);
}

static int check_url(struct add *w)
{
	const struct cli *cli = w->a->cli;
	struct base_slice url;

	w->url = cli_value(cli, "url");
	if (!w->url && w->a->section)
		w->url = w->a->section->url;
	if (!w->url)
		return cli_fail(cli, CLI_USAGE,
			"add needs --url, as in --url smtps://smtp.example.org:465, for there is "
			"no "
			"section account \"%s\" that has one",
			w->a->name);
	url = base_slice_text(w->url);
	if (!base_slice_starts_with_nocase(url, BASE_SLICE("smtp://")) &&
		!base_slice_starts_with_nocase(url, BASE_SLICE("smtps://")))
		return cli_fail(cli, CLI_FAILED,
			"--url \"%s\" is no server's URL; write smtps://host:465, or "
			"smtp://host:587 "
			"for STARTTLS",
			w->url);
	if (base_slice_has(url, '@'))
		return cli_fail(cli, CLI_FAILED,
			"--url holds a user; write --user NAME, and leave the password out");
	return CLI_OK;
}

static int check_user(struct add *w)
{
	const struct cli *cli = w->a->cli;

	w->user = cli_value(cli, "user");
	if (!w->user && w->a->section)
		w->user = w->a->section->user;
	if (!w->user && w->kind != VAULT_ACCOUNT_CERTIFICATE)
		return cli_fail(cli, CLI_USAGE,
			"add needs --user, the login name there, as in --user robot@example.org");
	if (!w->user)
		w->user = "";
	return CLI_OK;
}

/* Can this kind of secret serve all that are listed? */
static int check_mechanisms(const struct add *w)
{
	static const struct {
		enum sasl_credential credential;
		const char *what, *right;
	} kinds[] = {
		[VAULT_ACCOUNT_PASSWORD] = {SASL_CREDENTIAL_PASSWORD, "a password",
			"SCRAM-SHA-256,PLAIN,LOGIN"},
		[VAULT_ACCOUNT_OAUTH] = {SASL_CREDENTIAL_TOKEN, "a token", "OAUTHBEARER,XOAUTH2"},
		[VAULT_ACCOUNT_CERTIFICATE] = {SASL_CREDENTIAL_CERTIFICATE, "a certificate",
			"EXTERNAL"},
	};
	struct base_slice name, rest = base_slice_text(cli_value(w->a->cli, "mechanisms"));
	sasl_mechanism_mask mask = 0;

	while (base_slice_split(&rest, ',', &name)) {
		enum sasl_mechanism m = sasl_mechanism_parse(base_slice_trim(name));

		if (m == SASL_MECHANISM_NONE)
			return cli_fail(w->a->cli, CLI_FAILED,
				"--mechanisms: \"%.*s\" is not known; write for example %s",
				BASE_SLICE_ARGS(name), kinds[w->kind].right);
		mask |= SASL_MASK(m);
	}
	if (mask && !(mask & ~sasl_mechanism_mask_of(kinds[w->kind].credential)))
		return CLI_OK;
	return cli_fail(w->a->cli, CLI_FAILED,
		"--mechanisms: not all of \"%s\" log in with %s; write for example %s",
		cli_value(w->a->cli, "mechanisms"), kinds[w->kind].what, kinds[w->kind].right);
}

static int check_limits(const struct add *w)
{
	const struct cli *cli = w->a->cli;
	const char *pin = cli_value(cli, "pin"), *rate = cli_value(cli, "rate"),
		   *connections = cli_value(cli, "connections");
	uint8_t digest[ACCOUNT_PIN_BYTES];
	uint32_t count, seconds;
	uint64_t n;

	if (pin && !account_pin_parse(base_slice_text(pin), digest))
		return cli_fail(cli, CLI_FAILED,
			"--pin \"%s\" is none; write sha256: and the 64 hexadecimal digits of the "
			"SHA-256 "
			"of the certificate's public key (postern probe shows it)",
			pin);
	if (rate && !account_rate_parse(base_slice_text(rate), &count, &seconds))
		return cli_fail(cli, CLI_FAILED,
			"--rate \"%s\" is none; write messages in a time as in 100/hour (second, "
			"minute, "
			"hour or day)",
			rate);
	if (connections &&
		(!base_slice_to_u64(base_slice_text(connections), &n) || n < 1 || n > 1000))
		return cli_fail(cli, CLI_FAILED,
			"--connections \"%s\" is no number from 1 to 1000; 4 is the default",
			connections);
	return CLI_OK;
}

/* A section's word wins: what is given beside it would be kept and never used. */
static void warn_of_section(const struct add *w)
{
	const struct conf_account *s = w->a->section;
	const struct {
		const char *option;
		bool said;
	} keys[] = {
		{"url", s && s->url},
		{"user", s && s->user},
		{"pin", s && s->pin},
		{"mechanisms", s && s->mechanisms},
		{"ca", s && s->ca},
		{"cert", s && s->certificate},
		{"connections", s && s->connections},
		{"rate", s && s->rate},
	};

	for (size_t i = 0; i < BASE_COUNT(keys); i++)
		if (keys[i].said && cli_has(w->a->cli, keys[i].option))
			account_warn(
				"--%s has no effect: the section account \"%s\" in %s, line %u, "
				"says it, and its word wins",
				keys[i].option, w->a->name, w->a->conf->file, s->line);
}

static int check_options(struct add *w)
{
	int status = check_kind(w);

	if (status == CLI_OK)
		status = check_url(w);
	if (status == CLI_OK)
		status = check_user(w);
	if (status == CLI_OK && cli_has(w->a->cli, "mechanisms"))
		status = check_mechanisms(w);
	if (status == CLI_OK)
		status = check_limits(w);
	if (status == CLI_OK)
		warn_of_section(w);
	return status;
}

/* --- files --- */

static bool holds(const struct base_buf *b, const char *text)
{
	return b->len && memmem(b->ptr, b->len, text, strlen(text));
}

static int put(struct add *w, enum vault_account_part part, struct base_slice value)
{
	if (vault_admin_account_secret_put(&w->secret, part, value))
		return CLI_OK;
	return cli_fail(w->a->cli, CLI_FAILED,
		"the files are too long together (%d bytes at most): leave certificates out that "
		"the "
		"server need not see",
		SECRET_MAX_BYTES);
}

static int read_pem(struct add *w, const char *option, struct base_buf *out)
{
	base_buf_init_secret(out, VAULT_PEM_MAX_BYTES);
	if (account_read_file(cli_value(w->a->cli, option), out, &w->a->err) == 0)
		return CLI_OK;
	return cli_fail(w->a->cli, CLI_FAILED, "--%s: %s", option, w->a->err.text);
}

/* Slips that OpenSSL's own words would not explain. */
static int check_pair(struct add *w, const struct base_buf *chain, const struct base_buf *key)
{
	const struct cli *cli = w->a->cli;
	const char *cert_file = cli_value(cli, "cert"), *key_file = cli_value(cli, "key");
	int64_t until_ms;

	if (!holds(chain, "-----BEGIN CERTIFICATE-----"))
		return cli_fail(cli, CLI_FAILED, "--cert: no certificate in \"%s\"%s", cert_file,
			holds(chain, "PRIVATE KEY-----")
				? ", but a private key; is it the file for --key?"
				: "; it must be PEM, with -----BEGIN CERTIFICATE-----");
	if (!holds(key, "PRIVATE KEY-----"))
		return cli_fail(cli, CLI_FAILED, "--key: no private key in \"%s\"%s", key_file,
			holds(key, "-----BEGIN CERTIFICATE-----")
				? ", but a certificate; is it the file for --cert?"
				: "; it must be PEM, with -----BEGIN PRIVATE KEY-----");
	if (holds(key, "ENCRYPTED"))
		return cli_fail(cli, CLI_FAILED,
			"--key: the key in \"%s\" has a passphrase, for which nobody is there to "
			"be asked; "
			"take it off: openssl pkey -in %s -out NEW",
			key_file, key_file);
	if (tls_pair_check(base_buf_slice(chain), base_buf_slice(key), &until_ms, &w->a->err) != 0)
		return cli_fail(cli, CLI_FAILED, "--cert \"%s\", --key \"%s\": %s", cert_file,
			key_file, w->a->err.text);
	if (until_ms && until_ms < base_clock_wall_ms())
		account_warn(
			"--cert: the certificate in \"%s\" has expired; the server will hardly "
			"take it",
			cert_file);
	return CLI_OK;
}

static int take_pair(struct add *w)
{
	struct base_buf chain, key;
	int status = read_pem(w, "cert", &chain);

	base_buf_init_secret(&key, VAULT_PEM_MAX_BYTES);
	if (status == CLI_OK)
		status = read_pem(w, "key", &key);
	if (status == CLI_OK)
		status = check_pair(w, &chain, &key);
	if (status == CLI_OK)
		status = put(w, VAULT_ACCOUNT_CHAIN, base_buf_slice(&chain));
	if (status == CLI_OK)
		status = put(w, VAULT_ACCOUNT_KEY, base_buf_slice(&key));
	base_buf_release(&chain);
	base_buf_release(&key);
	return status;
}

static int take_ca(struct add *w)
{
	const char *file = cli_value(w->a->cli, "ca");
	struct tls_context *ctx = NULL;
	struct base_buf pem;
	int status = read_pem(w, "ca", &pem);

	if (status == CLI_OK && holds(&pem, "PRIVATE KEY-----"))
		status = cli_fail(w->a->cli, CLI_FAILED,
			"--ca: \"%s\" holds a private key; give a file of certificates alone",
			file);
	if (status == CLI_OK &&
		tls_client_context_only_new(&ctx, base_buf_slice(&pem), &w->a->err) != 0)
		status = cli_fail(w->a->cli, CLI_FAILED,
			"--ca: no certificate in \"%s\"; it must be PEM, with -----BEGIN "
			"CERTIFICATE-----",
			file);
	tls_context_free(&ctx);
	if (status == CLI_OK)
		status = put(w, VAULT_ACCOUNT_CA, base_buf_slice(&pem));
	base_buf_release(&pem);
	return status;
}

static int take_profile(struct add *w)
{
	struct base_buf bytes;
	int status = account_oauth_profile(w->a, &w->profile);

	if (status != CLI_OK)
		return status;
	base_buf_init_secret(&bytes, VAULT_OAUTH_PROFILE_MAX_BYTES);
	vault_oauth_profile_write(w->profile, &bytes);
	status = put(w, VAULT_ACCOUNT_SECRET, base_buf_slice(&bytes));
	base_buf_release(&bytes);
	return status;
}

static int take_files(struct add *w)
{
	int status = CLI_OK;

	if (w->kind == VAULT_ACCOUNT_OAUTH)
		status = take_profile(w);
	if (status == CLI_OK && cli_has(w->a->cli, "cert"))
		status = take_pair(w);
	if (status == CLI_OK && cli_has(w->a->cli, "ca"))
		status = take_ca(w);
	return status;
}

/* --- the vault, and the person --- */

/* Does the vault have one of this name? A section alone does not count. */
static int check_free(struct add *w)
{
	struct cli_request r = {0};
	const char *source;
	json_t *json;
	int rc;

	cli_request_add(&r, "account");
	cli_request_add(&r, "show");
	cli_request_add(&r, "%s", w->a->name);
	rc = cli_vault_ask(w->a->conf, &r, &w->a->answer, &w->a->err);
	cli_request_release(&r);
	if (rc == BASE_ERROR_NOT_FOUND)
		return CLI_OK;
	if (rc != 0 || !(json = cli_json(&w->a->answer, &w->a->err)))
		return cli_fail_error(w->a->cli, &w->a->err);
	source = json_string_value(json_object_get(json, "source"));
	rc = source && strcmp(source, "configuration") == 0;
	json_decref(json);
	if (rc || cli_has(w->a->cli, "replace"))
		return CLI_OK;
	return cli_fail(w->a->cli, CLI_FAILED,
		"account \"%s\" exists already; --replace puts this one in its place, postern "
		"account "
		"show %s shows it",
		w->a->name, w->a->name);
}

static int take_password(struct add *w)
{
	struct base_secret password = {0};
	char prompt[300];
	int status;

	snprintf(prompt, sizeof(prompt), "Password of %s at %s: ", w->user, w->url);
	status = cli_password(
		w->a->cli, cli_has(w->a->cli, "password-stdin"), true, prompt, &password);
	if (status == CLI_OK)
		status = put(w, VAULT_ACCOUNT_SECRET, base_secret_slice(&password));
	base_secret_release(&password);
	return status;
}

static int take_login(struct add *w, struct account_login *login)
{
	struct base_buf tokens;
	int status;

	base_buf_init_secret(&tokens, VAULT_OAUTH_STATE_MAX_BYTES);
	status = account_oauth_login(login, &tokens);
	if (status == CLI_OK)
		status = put(w, VAULT_ACCOUNT_TOKEN, base_buf_slice(&tokens));
	base_buf_release(&tokens);
	return status;
}

static int request(struct add *w)
{
	static const char *const words[] = {
		"url", "user", "mechanisms", "pin", "connections", "rate"};
	struct account *a = w->a;
	const char *done;
	json_t *json;
	int rc;

	for (size_t i = 0; i < BASE_COUNT(words); i++)
		if (cli_has(a->cli, words[i]))
			cli_request_add(
				&a->request, "%s=%s", words[i], cli_value(a->cli, words[i]));
	cli_request_add(&a->request, "kind=%s", kind_names[w->kind]);
	if (cli_has(a->cli, "replace"))
		cli_request_add(&a->request, "replace=1");
	a->request.request.secret = base_buf_slice(&w->secret);
	rc = cli_vault_ask(a->conf, &a->request, &a->answer, &a->err);
	a->request.request.secret = BASE_SLICE_EMPTY;
	if (rc != 0 || !(json = cli_json(&a->answer, &a->err)))
		return cli_fail_error(a->cli, &a->err);
	done = json_string_value(json_object_get(json, "done"));
	if (cli_has(a->cli, "json"))
		cli_print_json(&a->answer);
	else
		printf("%s: %s; postern account test %s tries the login\n", a->name,
			done ? done : "done", a->name);
	json_decref(json);
	return CLI_OK;
}

/* @login: open where a person will be asked, for its program starts while files can still be read. */
static int add(struct add *w, struct account_login *login)
{
	int status = check_free(w);

	if (status == CLI_OK && w->kind == VAULT_ACCOUNT_PASSWORD)
		status = take_password(w);
	if (status == CLI_OK && login->fetch)
		status = take_login(w, login);
	return status == CLI_OK ? request(w) : status;
}

int account_add(struct account *a)
{
	struct add w = {.a = a};
	struct account_login login = {.account = a};
	int status = check_options(&w);

	if (status != CLI_OK)
		return status;
	base_buf_init_secret(&w.secret, SECRET_MAX_BYTES);
	status = take_files(&w);
	if (status == CLI_OK && w.profile && account_oauth_asks(a, w.profile)) {
		login.profile = w.profile;
		login.user = w.user;
		login.out = cli_has(a->cli, "json") ? stderr : stdout;
		if (cli_fetch_open(&login.fetch, a->conf, &a->err) != 0)
			status = cli_fail_error(a->cli, &a->err);
	}
	if (status == CLI_OK)
		status = add(&w, &login);
	if (login.fetch)
		cli_fetch_close(&login.fetch);
	vault_oauth_profile_free(&w.profile);
	base_buf_release(&w.secret);
	return status;
}
