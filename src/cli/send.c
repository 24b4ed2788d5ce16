/* postern send: the command line and the message. */
#include "cli/send.h"

#include "base/utf8.h"
#include "cli/input.h"
#include "smtp/mailbox.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { RCPTS_MAX = 1000, PEM_MAX_BYTES = 1 << 20 };

struct send {
	struct cli *cli;
	struct send_job job;
	struct smtp_client_rcpt rcpts[RCPTS_MAX];
	char host[256], port[8];
	struct base_buf message, ca;
	struct base_secret password;
};

/* "host:port", "[2001:db8::1]:port"; the port may be left out. */
static int parse_server(struct send *s)
{
	static const char *const ports[] = {"25", "587", "465"};
	const char *text = cli_value(s->cli, "server");
	struct base_slice host = base_slice_text(text), port;
	bool bracket = base_slice_starts_with(host, BASE_SLICE("["));
	size_t end = bracket ? base_slice_find(host, ']') : base_slice_find_last(host, ':');
	uint64_t number = 1;

	if (bracket) {
		port = base_slice_from(host, end + 1);
		host = base_slice_from(base_slice_first(host, end), 1);
	} else {
		port = base_slice_from(host, end);
		host = base_slice_first(host, end);
	}
	if (port.len &&
		(port.ptr[0] != ':' || !base_slice_to_u64(base_slice_from(port, 1), &number)))
		number = 0;
	if (host.len == 0 || host.len >= sizeof(s->host) || number == 0 || number > 65535)
		return cli_fail(s->cli, CLI_USAGE,
			"--server %s is no HOST:PORT; write it as in "
			"mail.example.org:587",
			text);
	snprintf(s->host, sizeof(s->host), "%.*s", BASE_SLICE_ARGS(host));
	if (port.len)
		snprintf(s->port, sizeof(s->port), "%u", (unsigned)number);
	else
		snprintf(s->port, sizeof(s->port), "%s", ports[s->job.tls]);
	s->job.host = s->host;
	s->job.port = s->port;
	return CLI_OK;
}

static int parse_tls(struct send *s)
{
	static const char *const modes[] = {"none", "starttls", "implicit", NULL};
	const char *text = cli_value(s->cli, "tls"), *near;

	s->job.tls = SEND_TLS_STARTTLS;
	if (!text)
		return CLI_OK;
	for (size_t i = 0; modes[i]; i++)
		if (strcmp(modes[i], text) == 0) {
			s->job.tls = (enum send_tls)i;
			return CLI_OK;
		}
	near = conf_nearest(text, modes);
	return cli_fail(s->cli, CLI_USAGE, "--tls %s is not known; %s%s", text,
		near ? "did you mean " : "write none, starttls or implicit", near ? near : "");
}

static int parse_auth(struct send *s)
{
	const char *text = cli_value(s->cli, "auth"), *user = cli_value(s->cli, "user");
	enum sasl_mechanism m;

	s->job.auth = user != NULL;
	if (text && strcmp(text, "none") == 0) {
		s->job.auth = false;
		return CLI_OK;
	}
	if (text && strcmp(text, "auto") != 0) {
		m = sasl_mechanism_parse(base_slice_text(text));
		if (m == SASL_MECHANISM_NONE)
			return cli_fail(s->cli, CLI_USAGE,
				"--auth %s is no mechanism of this build; write "
				"auto, none, or one as in SCRAM-SHA-256-PLUS, PLAIN, CRAM-MD5",
				text);
		s->job.mechanisms = SASL_MASK(m);
		s->job.auth = true;
	}
	if (s->job.auth && !user)
		return cli_fail(s->cli, CLI_USAGE, "--auth needs --user USER and --password-stdin");
	s->job.user = base_slice_text(user);
	return CLI_OK;
}

static bool address_good(const char *text, bool sender, bool *out_eight_bit)
{
	struct smtp_mailbox m;

	if (sender && text[0] == '\0')
		return true;
	if (smtp_mailbox_parse(base_slice_text(text), &m) != SMTP_MAILBOX_OK)
		return false;
	*out_eight_bit = *out_eight_bit || m.eight_bit;
	return true;
}

static int parse_addresses(struct send *s)
{
	const char *from = cli_value(s->cli, "from"), *to;
	bool eight_bit = false;
	size_t cursor = 0;

	if (!from)
		return cli_fail(s->cli, CLI_USAGE, "--from ADDRESS is missing (\"\" for none)");
	if (strcmp(from, "<>") == 0)
		from = "";
	if (!address_good(from, true, &eight_bit))
		return cli_fail(s->cli, CLI_USAGE, "--from %s is no mail address", from);
	s->job.mail.sender = base_slice_text(from);
	while ((to = cli_next_value(s->cli, "to", &cursor)) != NULL) {
		if (!address_good(to, false, &eight_bit))
			return cli_fail(s->cli, CLI_USAGE, "--to %s is no mail address", to);
		if (s->job.rcpt_count == RCPTS_MAX)
			return cli_fail(s->cli, CLI_USAGE, "more than %d recipients", RCPTS_MAX);
		s->rcpts[s->job.rcpt_count++].address = base_slice_text(to);
	}
	if (s->job.rcpt_count == 0)
		return cli_fail(s->cli, CLI_USAGE, "--to ADDRESS is missing");
	s->job.rcpts = s->rcpts;
	s->job.mail.smtputf8 = eight_bit;
	return CLI_OK;
}

/* Lines end with CRLF there, whatever they end with in the file (RFC 1870 section 5). */
static uint64_t size_on_wire(struct base_slice message)
{
	uint64_t size = message.len;

	for (size_t i = 0; i < message.len; i++)
		size += message.ptr[i] == '\n' && (i == 0 || message.ptr[i - 1] != '\r');
	return size;
}

/* Bytes above 0x7F anywhere, and in the header: the latter needs SMTPUTF8. */
static void look_at_message(struct send *s)
{
	struct base_slice all = base_buf_slice(&s->message), rest = all, line;

	s->job.message = all;
	s->job.mail.size_bytes = size_on_wire(all);
	s->job.mail.body_8bit = !base_is_ascii(all);
	while (s->job.mail.body_8bit && base_slice_split(&rest, '\n', &line)) {
		if (base_slice_trim(line).len == 0)
			break;
		s->job.mail.smtputf8 = s->job.mail.smtputf8 || !base_is_ascii(line);
	}
}

static int read_file(struct send *s, const char *path, struct base_buf *out)
{
	int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	int status;

	if (fd < 0)
		return cli_fail(
			s->cli, CLI_FAILED, "cannot open \"%s\": %s", path, strerror(errno));
	status = cli_read_all(s->cli, fd, out);
	if (fd != STDIN_FILENO)
		close(fd);
	return status;
}

static int read_inputs(struct send *s)
{
	const char *file = s->cli->arg_count ? s->cli->args[0] : "-";
	bool from_stdin = cli_has(s->cli, "password-stdin");
	int status = CLI_OK;

	if (cli_has(s->cli, "ca"))
		status = read_file(s, cli_value(s->cli, "ca"), &s->ca);
	s->job.ca = base_buf_slice(&s->ca);
	/* The password first: it is the first line of standard input, the message may be the rest.
	 */
	if (status == CLI_OK && s->job.auth)
		status = cli_password(s->cli, from_stdin, false, "Password: ", &s->password);
	s->job.password = base_secret_slice(&s->password);
	if (status == CLI_OK)
		status = read_file(s, file, &s->message);
	look_at_message(s);
	return status;
}

static int prepare(struct send *s)
{
	static const char *const later[] = {"token-stdin", "cert", "key"};
	int status = CLI_OK;

	for (size_t i = 0; i < BASE_COUNT(later); i++)
		if (cli_has(s->cli, later[i]))
			return cli_fail(
				s->cli, CLI_USAGE, "--%s: not available in this build", later[i]);
	if (!cli_has(s->cli, "server"))
		return cli_fail(s->cli, CLI_USAGE, "--server HOST:PORT is missing");
	if (cli_has(s->cli, "ca") && cli_has(s->cli, "insecure"))
		return cli_fail(s->cli, CLI_USAGE, "--ca and --insecure stand together; keep one");
	s->job.insecure = cli_has(s->cli, "insecure");
	s->job.trace = cli_has(s->cli, "trace");
	if ((status = parse_tls(s)) != CLI_OK || (status = parse_server(s)) != CLI_OK ||
		(status = parse_auth(s)) != CLI_OK || (status = parse_addresses(s)) != CLI_OK)
		return status;
	return read_inputs(s);
}

static int run(struct cli *cli)
{
	static struct send s;
	int status;

	s.cli = cli;
	base_buf_init(&s.message, CLI_INPUT_MAX_BYTES);
	base_buf_init(&s.ca, PEM_MAX_BYTES);
	status = prepare(&s);
	if (status == CLI_OK)
		status = send_run(cli, &s.job);
	base_buf_release(&s.message);
	base_buf_release(&s.ca);
	base_secret_release(&s.password);
	return status;
}

static const struct cli_option options[] = {
	{"server", 0, CLI_VALUE, "HOST:PORT", "where to send it"},
	{"tls", 0, CLI_VALUE, "MODE", "none, starttls (default) or implicit"},
	{"auth", 0, CLI_VALUE, "MECH",
		"a mechanism, auto (the strongest offered) or none;\n"
		"default: auto with --user, else none"},
	{"user", 0, CLI_VALUE, "USER", "the login name"},
	{"password-stdin", 0, CLI_FLAG, NULL, "the password is the first line of standard input"},
	{"token-stdin", 0, CLI_FLAG, NULL, "not available in this build"},
	{"from", 0, CLI_VALUE, "ADDRESS", "sender of the envelope"},
	{"to", 0, CLI_REPEAT, "ADDRESS", "recipient; as often as needed"},
	{"ca", 0, CLI_VALUE, "FILE", "trust these authorities too"},
	{"insecure", 0, CLI_FLAG, NULL, "take any certificate, and send passwords all the same"},
	{"cert", 0, CLI_VALUE, "FILE", "not available in this build"},
	{"key", 0, CLI_VALUE, "FILE", "not available in this build"},
	{"trace", 0, CLI_FLAG, NULL, "show the dialogue on standard error, secrets masked"},
	CLI_OPTION_END,
};

const struct cli_command cli_command_send = {
	.name = "send",
	.summary = "send one message to a server, and see the dialogue",
	.synopsis = "send --server HOST:PORT [--tls MODE] [--auth MECH] [--user USER\n"
		    "        --password-stdin] --from ADDRESS --to ADDRESS … [FILE]",
	.details = "The message comes from FILE or standard input (behind the line of "
		   "--password-stdin).\n"
		   "Exit 0 if all recipients were accepted, 1 if one was refused, 75 if it may "
		   "work later.\n",
	.options = options,
	.args_max = 1,
	.run = run,
};
