/* The command line: options anywhere, `--` ends them, a value behind a blank or "=". */
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int cli_fail(const struct cli *cli, int status, const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "postern %s: ", cli->command->name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return status;
}

int cli_fail_error(const struct cli *cli, const struct base_error *err)
{
	/* The code may be another library's. */
	bool denied = err->code == EACCES && strstr(err->text, strerror(EACCES)) && geteuid() != 0;

	return cli_fail(cli, CLI_FAILED, "%s%s", err->text,
		denied ? "; run it as root, or as the account of the server" : "");
}

bool cli_has(const struct cli *cli, const char *name)
{
	for (size_t i = 0; i < cli->value_count; i++)
		if (strcmp(cli->values[i].option->name, name) == 0)
			return true;
	return false;
}

const char *cli_value(const struct cli *cli, const char *name)
{
	const char *value = NULL;

	for (size_t i = 0; i < cli->value_count; i++)
		if (strcmp(cli->values[i].option->name, name) == 0)
			value = cli->values[i].value;
	return value;
}

const char *cli_next_value(const struct cli *cli, const char *name, size_t *cursor)
{
	while (*cursor < cli->value_count) {
		size_t i = (*cursor)++;

		if (strcmp(cli->values[i].option->name, name) == 0)
			return cli->values[i].value;
	}
	return NULL;
}

/* Text behind a margin, line by line. */
static void print_indented(FILE *out, const char *text, int margin, bool first_too)
{
	while (*text) {
		size_t len = strcspn(text, "\n");

		fprintf(out, "%*s%.*s\n", first_too ? margin : 0, "", (int)len, text);
		first_too = true;
		text += len + (text[len] == '\n');
	}
}

static void print_option(FILE *out, const struct cli_option *o)
{
	char left[64];
	int len;

	if (strcmp(o->name, "conf") == 0)
		len = snprintf(left, sizeof(left), "-c %s", o->value);
	else if (strlen(o->name) == 1)
		len = snprintf(left, sizeof(left), "-%s", o->name);
	else
		len = snprintf(left, sizeof(left), "--%s%s%s", o->name, o->value ? " " : "",
			o->value ? o->value : "");
	fprintf(out, "  %-22s%s", left, len > 21 ? "\n" : "");
	print_indented(out, o->help, 24, len > 21);
}

void cli_help(const struct cli_command *c, FILE *out)
{
	const char *line = c->synopsis;
	const char *lead = "usage: ";

	fprintf(out, "postern %s: %s\n\n", c->name, c->summary);
	while (*line) {
		size_t len = strcspn(line, "\n");

		if (line[0] == ' ')
			fprintf(out, "%7s%.*s\n", "", (int)len, line);
		else
			fprintf(out, "%-7spostern %.*s\n", lead, (int)len, line);
		lead = "";
		line += len + (line[len] == '\n');
	}
	fputc('\n', out);
	for (const struct cli_option *o = c->options; o->name; o++)
		print_option(out, o);
	if (c->details[0]) {
		fputc('\n', out);
		fputs(c->details, out);
	}
}

static int complain(const struct cli *cli, const char *what, const char *value, const char *near)
{
	if (near)
		return cli_fail(cli, CLI_USAGE, "%s %s; did you mean %s?", what, value, near);
	return cli_fail(cli, CLI_USAGE, "%s %s; postern %s --help lists what may stand here", what,
		value, cli->command->name);
}

static int unknown_option(const struct cli *cli, const char *text)
{
	const char *names[64], *near;
	char dashed[64];
	size_t n = 0;

	for (const struct cli_option *o = cli->command->options; o->name && n < 63; o++)
		names[n++] = o->name;
	names[n] = NULL;
	near = text[0] == '-' && text[1] == '-' ? conf_nearest(text + 2, names) : NULL;
	if (near)
		snprintf(dashed, sizeof(dashed), "%s%s", near[1] ? "--" : "-", near);
	return complain(cli, "unknown option", text, near ? dashed : NULL);
}

/* Match "--name", "--name=value", "-x". @out_value: behind "=", or null. */
static const struct cli_option *find_option(
	const struct cli *cli, const char *text, const char **out_value)
{
	const char *name = text[1] == '-' ? text + 2 : text + 1;
	size_t len = strcspn(name, "=");

	*out_value = name[len] == '=' ? name + len + 1 : NULL;
	for (const struct cli_option *o = cli->command->options; o->name; o++) {
		if (text[1] != '-') {
			if (o->letter == text[1] && (text[2] == '\0' || o->kind != CLI_FLAG)) {
				*out_value = text[2] ? text + 2 : NULL;
				return o;
			}
		} else if (strlen(o->name) == len && strncmp(o->name, name, len) == 0 && len > 1) {
			return o;
		}
	}
	return NULL;
}

static int take_option(struct cli *cli, int argc, char **argv, int *at)
{
	const char *text = argv[*at], *value;
	const struct cli_option *o = find_option(cli, text, &value);

	if (!o)
		return unknown_option(cli, text);
	if (o->kind == CLI_FLAG && value)
		return cli_fail(cli, CLI_USAGE, "--%s takes no value", o->name);
	if (o->kind != CLI_FLAG && !value) {
		if (*at + 1 == argc)
			return cli_fail(
				cli, CLI_USAGE, "%s needs a value: %s %s", text, text, o->value);
		value = argv[++*at];
	}
	if (o->kind == CLI_VALUE && cli_has(cli, o->name))
		return cli_fail(cli, CLI_USAGE, "--%s stands twice; give it once", o->name);
	if (cli->value_count == CLI_VALUES_MAX)
		return cli_fail(cli, CLI_USAGE, "more than %d options", CLI_VALUES_MAX);
	cli->values[cli->value_count].option = o;
	cli->values[cli->value_count++].value = value;
	if (strcmp(o->name, "conf") == 0)
		cli->conf_path = value;
	return CLI_OK;
}

static int check_args(const struct cli *cli)
{
	const struct cli_command *c = cli->command;

	if (c->verbs && cli->arg_count) {
		size_t i = 0;

		while (c->verbs[i] && strcmp(c->verbs[i], cli->args[0]) != 0)
			i++;
		if (!c->verbs[i])
			return complain(cli, "unknown action", cli->args[0],
				conf_nearest(cli->args[0], c->verbs));
	}
	if (cli->arg_count >= c->args_min && cli->arg_count <= c->args_max)
		return CLI_OK;
	cli_fail(cli, CLI_USAGE,
		cli->arg_count < c->args_min ? "something is missing" : "too many arguments");
	cli_help(c, stderr);
	return CLI_USAGE;
}

int cli_parse(struct cli *cli, int argc, char **argv, bool *out_done)
{
	bool options = true;
	int status;

	for (int at = 0; at < argc; at++) {
		const char *text = argv[at];

		if (options && strcmp(text, "--") == 0) {
			options = false;
			continue;
		}
		if (options && (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0)) {
			cli_help(cli->command, stdout);
			*out_done = true;
			return CLI_OK;
		}
		if (options && text[0] == '-' && text[1] != '\0') {
			status = take_option(cli, argc, argv, &at);
			if (status != CLI_OK)
				return status;
			continue;
		}
		if (cli->arg_count == CLI_ARGS_MAX)
			return cli_fail(cli, CLI_USAGE, "more than %d arguments", CLI_ARGS_MAX);
		cli->args[cli->arg_count++] = text;
	}
	if (!cli->conf_path)
		cli->conf_path = getenv("POSTERN_CONF");
	if (!cli->conf_path || !cli->conf_path[0])
		cli->conf_path = "/etc/postern/postern.conf";
	return check_args(cli);
}
