/* postern send: the command, the envelope and the message. */
#include "cli/send.h"

#include "base/utf8.h"
#include "cli/input.h"
#include "smtp/mailbox.h"

#include <string.h>

enum { RCPTS_MAX = 1000, LINE_MAX_BYTES = 998 }; /* RFC 5321 section 4.5.3.1.6, without CRLF */

struct send {
	struct cli *cli;
	struct send_job job;
	struct send_login login;
	struct smtp_client_rcpt rcpts[RCPTS_MAX];
	struct base_buf message;
};

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
	size_t i;

	for (i = 0; i < message.len; i++) {
		bool after_cr = i > 0 && message.ptr[i - 1] == '\r';
		bool before_lf = i + 1 < message.len && message.ptr[i + 1] == '\n';

		size += (message.ptr[i] == '\n' && !after_cr) ||
			(message.ptr[i] == '\r' && !before_lf);
	}
	if (i > 0 && message.ptr[i - 1] != '\n' && message.ptr[i - 1] != '\r')
		size += 2;
	return size;
}

/* It goes as it is, but not every server takes it. */
static void warn_of_long_lines(const struct send *s)
{
	struct base_slice rest = base_buf_slice(&s->message), line;
	size_t number = 0, first = 0, count = 0;

	while (base_slice_split(&rest, '\n', &line)) {
		number++;
		if (line.len && line.ptr[line.len - 1] == '\r')
			line.len--;
		if (line.len <= LINE_MAX_BYTES)
			continue;
		first = first ? first : number;
		count++;
	}
	if (count)
		cli_fail(s->cli, 0,
			"line %zu%s of the message is longer than %d bytes, which servers may cut "
			"or refuse (RFC 5321); sent as it is",
			first, count > 1 ? " and others" : "", LINE_MAX_BYTES);
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
	warn_of_long_lines(s);
}

static int prepare(struct send *s)
{
	const char *file = s->cli->arg_count ? s->cli->args[0] : "-";
	int status;

	s->job.trace = cli_has(s->cli, "trace");
	if ((status = send_login_parse(s->cli, &s->login, &s->job.server)) != CLI_OK ||
		(status = parse_addresses(s)) != CLI_OK ||
		(status = send_login_read(s->cli, &s->login, &s->job.server)) != CLI_OK ||
		(status = send_read_file(s->cli, file, &s->message)) != CLI_OK)
		return status;
	look_at_message(s);
	return CLI_OK;
}

static int run(struct cli *cli)
{
	static struct send s;
	int status;

	s.cli = cli;
	send_login_init(&s.login);
	base_buf_init(&s.message, CLI_INPUT_MAX_BYTES);
	status = prepare(&s);
	if (status == CLI_OK)
		status = send_run(cli, &s.job);
	base_buf_release(&s.message);
	send_login_release(&s.login);
	return status;
}

static const struct cli_option options[] = {
	{"server", 0, CLI_VALUE, "HOST:PORT", "where to send it"},
	{"tls", 0, CLI_VALUE, "MODE", "none, starttls (default) or implicit"},
	{"auth", 0, CLI_VALUE, "MECH",
		"a mechanism, auto (the strongest offered) or none;\n"
		"default: auto with --user or --cert, else none"},
	{"user", 0, CLI_VALUE, "USER", "the login name"},
	{"password-stdin", 0, CLI_FLAG, NULL, "the password is the first line of standard input"},
	{"token-stdin", 0, CLI_FLAG, NULL, "it is an OAuth 2 access token: XOAUTH2, OAUTHBEARER"},
	{"from", 0, CLI_VALUE, "ADDRESS", "sender of the envelope"},
	{"to", 0, CLI_REPEAT, "ADDRESS", "recipient; as often as needed"},
	{"ca", 0, CLI_VALUE, "FILE", "trust these authorities too"},
	{"pin", 0, CLI_VALUE, "PIN", "sha256:HEX: take this public key and no other"},
	{"insecure", 0, CLI_FLAG, NULL, "take any certificate, and send passwords all the same"},
	{"cert", 0, CLI_VALUE, "FILE",
		"client certificate for TLS, and for EXTERNAL where\nthat is offered"},
	{"key", 0, CLI_VALUE, "FILE", "its private key"},
	{"trace", 0, CLI_FLAG, NULL, "show the dialogue on standard error, secrets masked"},
	CLI_OPTION_END,
};

const struct cli_command cli_command_send = {
	.name = "send",
	.summary = "send one message to a server, and see the dialogue",
	.synopsis = "send --server HOST:PORT [--tls MODE] [--auth MECH] [--user USER\n"
		    "        --password-stdin|--token-stdin] [--cert FILE --key FILE]\n"
		    "        --from ADDRESS --to ADDRESS … [FILE]",
	.details = "The message comes from FILE or standard input (behind the line of "
		   "--password-stdin).\n"
		   "Exit 0 if all recipients were accepted, 1 if one was refused, 75 if it may "
		   "work later.\n",
	.options = options,
	.args_max = 1,
	.run = run,
};
