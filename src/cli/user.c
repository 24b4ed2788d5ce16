/* postern user: people, and the passwords of their applications. */
#include "cli/user_import.h"
#include "cli/vault.h"

#include <string.h>

struct user {
	struct cli *cli;
	struct conf *conf;
	const char *verb, *name;
	struct cli_request request;
	struct base_buf answer;
	struct base_error err;
};

/* "user needs NAME verb=… options": what mechanisms to derive for, and whether a password is meant.
 */
static int ask_needs(struct user *u, sasl_mechanism_mask *out_mask, bool *out_password)
{
	struct cli_request r = {0};
	json_t *json = NULL;
	int rc;

	cli_request_add(&r, "user");
	cli_request_add(&r, "needs");
	cli_request_add(&r, "%s", u->name);
	cli_request_add(&r, "verb=%s", u->verb);
	cli_vault_options(u->cli, &r);
	rc = cli_vault_ask(u->conf, &r, &u->answer, &u->err);
	cli_request_release(&r);
	if (rc == 0 && !(json = cli_json(&u->answer, &u->err)))
		rc = u->err.class;
	if (rc != 0)
		return cli_fail_error(u->cli, &u->err);
	*out_mask = (sasl_mechanism_mask)json_integer_value(json_object_get(json, "mask"));
	*out_password = json_is_true(json_object_get(json, "password"));
	json_decref(json);
	return CLI_OK;
}

static void print_app_password(const struct user *u, const struct base_secret *password)
{
	printf("password of %s for \"%s\", shown this once: %.*s\n", u->name,
		cli_value(u->cli, "app"), BASE_SLICE_ARGS(base_secret_slice(password)));
}

static int say_done(struct user *u, const struct base_secret *generated)
{
	bool json = cli_has(u->cli, "json");
	json_t *answer = cli_json(&u->answer, &u->err);

	if (!answer)
		return cli_fail_error(u->cli, &u->err);
	if (json) {
		if (generated->len)
			json_object_set_new(answer, "password",
				json_stringn((const char *)generated->ptr, generated->len));
		json_dumpf(answer, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		const char *done = json_string_value(json_object_get(answer, "done"));

		if (cli_has(u->cli, "app"))
			printf("%s: password for \"%s\" %s\n", u->name, cli_value(u->cli, "app"),
				done ? done : "changed");
		else
			printf("%s: %s\n", u->name, done ? done : "done");
		if (generated->len)
			print_app_password(u, generated);
	}
	json_decref(answer);
	return CLI_OK;
}

static int change(struct user *u)
{
	bool from_stdin = cli_has(u->cli, "password-stdin"), wanted = false;
	struct base_secret password = {0}, generated = {0};
	sasl_mechanism_mask mask = 0;
	char prompt[300];
	int status = ask_needs(u, &mask, &wanted), rc = 0;

	if (status != CLI_OK)
		return status;
	if (from_stdin && cli_has(u->cli, "app"))
		return cli_fail(u->cli, CLI_USAGE,
			"the password of --app is generated; leave out "
			"--password-stdin");
	if (wanted || from_stdin) {
		snprintf(prompt, sizeof(prompt), "Password for %s: ", u->name);
		status = cli_password(u->cli, from_stdin, true, prompt, &password);
	}
	if (status == CLI_OK) {
		base_secret_init(&generated, VAULT_APP_PASSWORD_CHARS);
		cli_vault_options(u->cli, &u->request);
		if (password.len || cli_has(u->cli, "app"))
			rc = cli_vault_change(u->conf, &u->request, mask,
				base_secret_slice(&password), &u->answer, &generated, &u->err);
		else
			rc = cli_vault_ask(u->conf, &u->request, &u->answer, &u->err);
		status = rc == 0 ? say_done(u, &generated) : cli_fail_error(u->cli, &u->err);
	}
	base_secret_release(&password);
	base_secret_release(&generated);
	return status;
}

static int test(struct user *u)
{
	struct base_secret password = {0};
	const char *result, *reason;
	char prompt[300];
	json_t *json;
	int status, rc;
	bool right;

	snprintf(prompt, sizeof(prompt), "Password of %s to test: ", u->name);
	status = cli_password(u->cli, cli_has(u->cli, "password-stdin"), false, prompt, &password);
	if (status != CLI_OK)
		return status;
	u->request.request.secret = base_secret_slice(&password);
	rc = cli_vault_ask(u->conf, &u->request, &u->answer, &u->err);
	u->request.request.secret = BASE_SLICE_EMPTY;
	base_secret_release(&password);
	if (rc != 0)
		return cli_fail_error(u->cli, &u->err);
	json = cli_json(&u->answer, &u->err);
	if (!json)
		return cli_fail_error(u->cli, &u->err);
	result = json_string_value(json_object_get(json, "result"));
	reason = json_string_value(json_object_get(json, "reason"));
	right = result && strcmp(result, "ok") == 0;
	if (cli_has(u->cli, "json"))
		cli_print_json(&u->answer);
	else if (right)
		printf("%s: ok, the password is right\n", u->name);
	else
		printf("%s: rejected%s%s\n", u->name, reason ? ": " : "", reason ? reason : "");
	json_decref(json);
	return right ? CLI_OK : CLI_FAILED;
}

static int show_list(struct user *u)
{
	static const struct cli_column columns[] = {
		{"NAME", "name", false},
		{"MECHANISMS", "mechanisms", false},
		{"DISABLED", "disabled", false},
		{"APPS", "apps", false},
		{"CREATED", "created", false},
	};
	json_t *json = cli_json(&u->answer, &u->err);
	const json_t *rows;

	if (!json)
		return cli_fail_error(u->cli, &u->err);
	rows = json_is_array(json) ? json : json_object_get(json, "users");
	cli_print_table(rows, columns, BASE_COUNT(columns),
		cli_has(u->cli, "without") ? "no such users"
					   : "no users yet; postern user add NAME");
	json_decref(json);
	return CLI_OK;
}

/* remove, list, show: one request, one answer. */
static int ask(struct user *u)
{
	json_t *json;
	int rc;

	if (cli_has(u->cli, "without"))
		cli_request_add(&u->request, "without=%s", cli_value(u->cli, "without"));
	if (cli_has(u->cli, "app"))
		cli_request_add(&u->request, "app=%s", cli_value(u->cli, "app"));
	rc = cli_vault_ask(u->conf, &u->request, &u->answer, &u->err);
	if (rc != 0)
		return cli_fail_error(u->cli, &u->err);
	if (cli_has(u->cli, "json")) {
		cli_print_json(&u->answer);
		return CLI_OK;
	}
	if (strcmp(u->verb, "list") == 0)
		return show_list(u);
	if (strcmp(u->verb, "remove") == 0)
		return say_done(u, &(struct base_secret){0});
	json = cli_json(&u->answer, &u->err);
	if (!json)
		return cli_fail_error(u->cli, &u->err);
	cli_print_object(json);
	json_decref(json);
	return CLI_OK;
}

/* Options that this verb cannot use are a mistake, not a wish to be ignored. */
static int check_options(const struct cli *cli, const char *verb)
{
	static const struct {
		const char *option, *verbs;
	} uses[] = {
		{"password-stdin", "add passwd test"},
		{"mechanisms", "add passwd"},
		{"send-as", "add passwd"},
		{"app", "add passwd remove"},
		{"expires", "add passwd"},
		{"limit", "add passwd"},
		{"disable", "add passwd"},
		{"enable", "add passwd"},
		{"without", "list"},
		{"format", "import"},
		{"domain", "import"},
		{"replace", "import"},
		{"dry-run", "import"},
	};

	for (size_t i = 0; i < BASE_COUNT(uses); i++)
		if (cli_has(cli, uses[i].option) && !strstr(uses[i].verbs, verb))
			return cli_fail(cli, CLI_USAGE, "--%s has no meaning for %s; it is for %s",
				uses[i].option, verb, uses[i].verbs);
	if (cli_has(cli, "disable") && cli_has(cli, "enable"))
		return cli_fail(cli, CLI_USAGE, "--disable and --enable stand together; keep one");
	return CLI_OK;
}

static int run_verb(struct user *u)
{
	cli_request_add(&u->request, "user");
	cli_request_add(&u->request, "%s", u->verb);
	if (u->name)
		cli_request_add(&u->request, "%s", u->name);
	if (strcmp(u->verb, "add") == 0 || strcmp(u->verb, "passwd") == 0)
		return change(u);
	if (strcmp(u->verb, "test") == 0)
		return test(u);
	return ask(u);
}

static int run(struct cli *cli)
{
	struct user u = {.cli = cli, .verb = cli->args[0], .name = cli->args[1]};
	bool list = strcmp(u.verb, "list") == 0, import = strcmp(u.verb, "import") == 0;
	int status;

	if (!import && list != (cli->arg_count == 1))
		return cli_fail(cli, CLI_USAGE,
			list ? "list takes no name"
			     : "%s needs a NAME: postern "
			       "user %s NAME",
			u.verb, u.verb);
	status = check_options(cli, u.verb);
	if (status == CLI_OK && import)
		status = cli_user_import_check(cli);
	if (status != CLI_OK)
		return status;
	u.conf = cli_conf(cli);
	if (!u.conf)
		return CLI_FAILED;
	base_buf_init_secret(&u.answer, CLI_ANSWER_MAX_BYTES);
	status = import ? cli_user_import(cli, u.conf) : run_verb(&u);
	base_buf_release(&u.answer);
	cli_request_release(&u.request);
	conf_free(&u.conf);
	return status;
}

static const char *const verbs[] = {
	"add", "passwd", "remove", "list", "show", "test", "import", NULL};

static const struct cli_option options[] = {
	{"password-stdin", 0, CLI_FLAG, NULL,
		"the password is the first line of standard input;\n"
		"else the terminal is asked, twice"},
	{"mechanisms", 0, CLI_VALUE, "LIST",
		"keep what these need, comma-separated; default:\n"
		"what auth { mechanisms } needs"},
	{"send-as", 0, CLI_REPEAT, "ADDR",
		"a sender address that is allowed, or @DOMAIN\n"
		"(kept; not checked in this version)"},
	{"app", 0, CLI_VALUE, "NAME",
		"a further password, generated, with its own label,\n"
		"send-as and limits; shown once"},
	{"expires", 0, CLI_VALUE, "DATE", "no login from that day on, as in 2027-12-31"},
	{"limit", 0, CLI_VALUE, "N/hour", "messages in an hour (kept; not counted yet)"},
	{"disable", 0, CLI_FLAG, NULL, "refuse all logins"},
	{"enable", 0, CLI_FLAG, NULL, "take logins again"},
	{"without", 0, CLI_VALUE, "MECH", "list: only who cannot use this mechanism"},
	{"format", 0, CLI_VALUE, "FORMAT",
		"import: passwd (Dovecot's {SCHEME} prefixes), htpasswd,\n"
		"authuser, vpasswd, vmailmgr or sasldb"},
	{"domain", 0, CLI_VALUE, "DOMAIN", "import: add @DOMAIN to names without one"},
	{"replace", 0, CLI_FLAG, NULL, "import: new passwords for users that exist, too"},
	{"dry-run", 0, CLI_FLAG, NULL, "import: say what would be done, and change nothing"},
	CLI_OPTION_JSON,
	CLI_OPTION_CONF,
	CLI_OPTION_END,
};

const struct cli_command cli_command_user = {
	.name = "user",
	.summary = "add, change, list, test and import users",
	.synopsis = "user add|passwd|remove|show|test NAME [OPTIONS]\nuser list [--without MECH]\n"
		    "user import --format FORMAT [OPTIONS] FILE",
	.details = "Takes effect at once on a running server; without one the files are changed.\n"
		   "test exits 0 if the password is right, 1 if it is not.\n"
		   "import exits 0 if no user of the file was refused, else 1; FILE may be - for\n"
		   "standard input.\n",
	.options = options,
	.verbs = verbs,
	.args_min = 1,
	.args_max = 2,
	.run = run,
};
