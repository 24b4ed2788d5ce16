/* postern send: to which server, over what TLS, as whom. */
#include "cli/input.h"
#include "cli/send.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { CONNECT_MS = 30000, REPLY_MS = 300000 };

void send_login_init(struct send_login *login)
{
	*login = (struct send_login){.host = ""};
	base_buf_init(&login->ca, SEND_PEM_MAX_BYTES);
	base_buf_init(&login->chain, SEND_PEM_MAX_BYTES);
	base_buf_init_secret(&login->key, SEND_PEM_MAX_BYTES);
}

void send_login_release(struct send_login *login)
{
	base_buf_release(&login->ca);
	base_buf_release(&login->chain);
	base_buf_release(&login->key);
	base_secret_release(&login->secret);
}

static int parse_tls(const struct cli *cli, struct cli_client_options *out)
{
	static const char *const modes[] = {"none", "starttls", "implicit", NULL};
	const char *text = cli_value(cli, "tls"), *near;

	out->tls = CLI_TLS_STARTTLS;
	if (!text)
		return CLI_OK;
	for (size_t i = 0; modes[i]; i++)
		if (strcmp(modes[i], text) == 0) {
			out->tls = (enum cli_tls)i;
			return CLI_OK;
		}
	near = conf_nearest(text, modes);
	return cli_fail(cli, CLI_USAGE, "--tls %s is not known; %s%s", text,
		near ? "did you mean " : "write none, starttls or implicit", near ? near : "");
}

static int parse_server(
	const struct cli *cli, struct send_login *login, struct cli_client_options *out)
{
	static const uint16_t ports[] = {
		[CLI_TLS_NONE] = 25, [CLI_TLS_STARTTLS] = 587, [CLI_TLS_IMPLICIT] = 465};
	const char *text = cli_value(cli, "server");

	if (!cli_host_port(text, login->host, &out->port))
		return cli_fail(cli, CLI_USAGE,
			"--server %s is no HOST:PORT; write it as in mail.example.org:587", text);
	out->host = login->host;
	if (out->port == 0)
		out->port = ports[out->tls];
	return CLI_OK;
}

/* What stands in each other's way, or not alone. */
static int check_pairs(const struct cli *cli, const struct cli_client_options *out)
{
	static const char *const tls_only[] = {"ca", "cert", "pin"};

	if (cli_has(cli, "ca") && cli_has(cli, "insecure"))
		return cli_fail(cli, CLI_USAGE, "--ca and --insecure stand together; keep one");
	if (cli_has(cli, "password-stdin") && cli_has(cli, "token-stdin"))
		return cli_fail(cli, CLI_USAGE,
			"--password-stdin and --token-stdin stand together; keep the one that "
			"standard input has");
	if (cli_has(cli, "cert") != cli_has(cli, "key"))
		return cli_fail(cli, CLI_USAGE,
			"--%s FILE is missing: --cert and --key go together",
			cli_has(cli, "cert") ? "key" : "cert");
	for (size_t i = 0; i < BASE_COUNT(tls_only); i++)
		if (out->tls == CLI_TLS_NONE && cli_has(cli, tls_only[i]))
			return cli_fail(cli, CLI_USAGE,
				"--%s needs TLS; write --tls starttls or implicit", tls_only[i]);
	return CLI_OK;
}

static int parse_pin(
	const struct cli *cli, struct send_login *login, struct cli_client_options *out)
{
	const char *text = cli_value(cli, "pin");

	if (!text)
		return CLI_OK;
	if (!account_pin_parse(base_slice_text(text), login->pin))
		return cli_fail(cli, CLI_USAGE,
			"--pin %s is no pin; write sha256: and 64 hexadecimal digits, as postern "
			"probe shows it",
			text);
	out->pin = login->pin;
	return CLI_OK;
}

/* Of one mechanism asked for by name: which credential serves it, and is that given? */
static int check_mechanism(
	const struct cli *cli, enum sasl_mechanism m, struct cli_client_options *out)
{
	static const char *const needs[] = {
		[SASL_CREDENTIAL_PASSWORD] = "a password: --user USER and --password-stdin",
		[SASL_CREDENTIAL_TOKEN] = "a token: --user USER and --token-stdin",
		[SASL_CREDENTIAL_CERTIFICATE] = "a client certificate: --cert FILE and --key FILE",
		[SASL_CREDENTIAL_TICKET] = "no --token-stdin",
	};
	const char *name = sasl_mechanism_info(m)->name;
	bool user = cli_has(cli, "user"), token = cli_has(cli, "token-stdin"), fits = false;

	while (out->credential < SASL_CREDENTIAL_COUNT &&
		!(sasl_mechanism_mask_of(out->credential) & SASL_MASK(m)))
		out->credential++;
	BASE_BUG_IF(out->credential == SASL_CREDENTIAL_COUNT);
	switch (out->credential) {
	case SASL_CREDENTIAL_PASSWORD:
		fits = user && !token;
		break;
	case SASL_CREDENTIAL_TOKEN:
		fits = user && token;
		break;
	case SASL_CREDENTIAL_CERTIFICATE:
		fits = cli_has(cli, "cert");
		break;
	case SASL_CREDENTIAL_TICKET:
		fits = !token;
		break;
	case SASL_CREDENTIAL_COUNT:
		break;
	}
	if (!fits)
		return cli_fail(cli, CLI_USAGE, "--auth %s needs %s", name, needs[out->credential]);
	if ((sasl_mechanism_info(m)->flags & SASL_FOREIGN) &&
		!(cli_client_foreign() & SASL_MASK(m)))
		return cli_fail(cli, CLI_USAGE, "--auth %s: not available in this build", name);
	out->mechanisms = SASL_MASK(m);
	out->auth = true;
	return CLI_OK;
}

static int parse_auth(const struct cli *cli, struct cli_client_options *out)
{
	const char *text = cli_value(cli, "auth");
	bool user = cli_has(cli, "user"), token = cli_has(cli, "token-stdin");
	enum sasl_mechanism m;

	out->user = base_slice_text(cli_value(cli, "user"));
	if (text && strcmp(text, "none") == 0)
		return CLI_OK;
	if (text && strcmp(text, "auto") != 0) {
		m = sasl_mechanism_parse(base_slice_text(text));
		if (m != SASL_MECHANISM_NONE)
			return check_mechanism(cli, m, out);
		return cli_fail(cli, CLI_USAGE,
			"--auth %s is no mechanism of this build; write auto, none, or one as in "
			"SCRAM-SHA-256-PLUS, PLAIN, CRAM-MD5, XOAUTH2, EXTERNAL",
			text);
	}
	if (token && !user)
		return cli_fail(cli, CLI_USAGE, "--token-stdin needs --user USER");
	if (cli_has(cli, "password-stdin") && !user)
		return cli_fail(cli, CLI_USAGE, "--password-stdin needs --user USER");
	if (text && !user && !cli_has(cli, "cert"))
		return cli_fail(cli, CLI_USAGE,
			"--auth needs --user USER and --password-stdin (or --token-stdin), or "
			"--cert and --key");
	out->credential = token ? SASL_CREDENTIAL_TOKEN
		: user          ? SASL_CREDENTIAL_PASSWORD
				: SASL_CREDENTIAL_CERTIFICATE;
	out->auth = user || cli_has(cli, "cert");
	/* A certificate alone: many servers take it without AUTH. */
	out->auth_if_offered = !user;
	return CLI_OK;
}

int send_login_parse(
	const struct cli *cli, struct send_login *login, struct cli_client_options *out)
{
	int status;

	out->connect_ms = CONNECT_MS;
	out->reply_ms = REPLY_MS;
	out->insecure = cli_has(cli, "insecure");
	if (!cli_has(cli, "server"))
		return cli_fail(cli, CLI_USAGE, "--server HOST:PORT is missing");
	if ((status = parse_tls(cli, out)) != CLI_OK ||
		(status = parse_server(cli, login, out)) != CLI_OK ||
		(status = check_pairs(cli, out)) != CLI_OK ||
		(status = parse_pin(cli, login, out)) != CLI_OK)
		return status;
	return parse_auth(cli, out);
}

int send_read_file(const struct cli *cli, const char *path, struct base_buf *out)
{
	int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	int status;

	if (fd < 0)
		return cli_fail(cli, CLI_FAILED, "cannot open \"%s\": %s", path, strerror(errno));
	status = cli_read_all(cli, fd, out);
	if (fd != STDIN_FILENO)
		close(fd);
	return status;
}

/* An option that says that standard input begins with a secret is right also where nobody asks for it: that
 * line must not become the message's first. */
static int read_secret(
	const struct cli *cli, struct send_login *login, const struct cli_client_options *out)
{
	if (cli_has(cli, "token-stdin"))
		return cli_secret_line(cli, "token", SASL_CLIENT_TOKEN_MAX_BYTES, &login->secret);
	if (cli_has(cli, "password-stdin") ||
		(out->auth && out->credential == SASL_CREDENTIAL_PASSWORD))
		return cli_password(
			cli, cli_has(cli, "password-stdin"), false, "Password: ", &login->secret);
	return CLI_OK;
}

int send_login_read(const struct cli *cli, struct send_login *login, struct cli_client_options *out)
{
	struct {
		const char *option;
		struct base_buf *to;
		struct base_slice *slice;
	} files[] = {
		{"ca", &login->ca, &out->ca},
		{"cert", &login->chain, &out->chain},
		{"key", &login->key, &out->key},
	};
	int status = CLI_OK;

	for (size_t i = 0; i < BASE_COUNT(files) && status == CLI_OK; i++) {
		if (cli_has(cli, files[i].option))
			status = send_read_file(cli, cli_value(cli, files[i].option), files[i].to);
		*files[i].slice = base_buf_slice(files[i].to);
	}
	if (status == CLI_OK)
		status = read_secret(cli, login, out);
	if (out->auth)
		out->secret = base_secret_slice(&login->secret);
	return status;
}
