/* postern probe: the command line, and the order of what is looked at. */
#include "cli/probe.h"

#include "base/clock.h"
#include "cli/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int parse_mode(struct probe *p)
{
	static const char *const modes[] = {"none", "starttls", "implicit", NULL};
	const char *text = cli_value(p->cli, "tls"), *near;

	for (size_t i = 0; text && modes[i]; i++)
		if (strcmp(modes[i], text) == 0)
			p->asked = (enum probe_mode)(PROBE_NONE + i);
	if (text && p->asked == PROBE_AUTO) {
		near = conf_nearest(text, modes);
		return cli_fail(p->cli, CLI_USAGE, "--tls %s is not known; %s%s", text,
			near ? "did you mean " : "write none, starttls or implicit",
			near ? near : "");
	}
	p->mode = p->asked != PROBE_AUTO ? p->asked
		: p->port == 465         ? PROBE_IMPLICIT
					 : PROBE_STARTTLS;
	if (p->port == 0)
		p->port = p->mode == PROBE_IMPLICIT ? 465 : p->mode == PROBE_NONE ? 25 : 587;
	return CLI_OK;
}

static int read_ca(struct probe *p)
{
	const char *path = cli_value(p->cli, "ca");
	struct base_error err;
	int status = CLI_OK, fd;

	if (path) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return cli_fail(
				p->cli, CLI_USAGE, "cannot open \"%s\": %s", path, strerror(errno));
		status = cli_read_all(p->cli, fd, &p->ca);
		close(fd);
	}
	if (status == CLI_OK &&
		tls_client_context_new(&p->context, base_buf_slice(&p->ca), &err) != 0)
		status = cli_fail(p->cli, CLI_USAGE, "--ca %s: %s", path ? path : "", err.text);
	return status == CLI_OK ? CLI_OK : CLI_USAGE;
}

static void print_json(const struct probe *p, const char *error)
{
	json_t *json = probe_json(p, error);
	char *text = json_dumps(json, JSON_COMPACT);

	puts(text ? text : "{}");
	free(text);
	json_decref(json);
}

static int unreachable(struct probe *p, const struct base_error *err)
{
	if (cli_has(p->cli, "json"))
		print_json(p, err->text);
	return cli_fail(p->cli, CLI_TEMPORARY, "%s port %u: %s", p->host, p->port, err->text);
}

static int probe(struct probe *p)
{
	struct base_error err;

	p->now_ms = base_clock_wall_ms();
	if (probe_session(p, &err) != 0)
		return unreachable(p, &err);
	if (p->tls) {
		probe_versions(p);
		probe_injection(p);
	}
	probe_judge(p);
	if (cli_has(p->cli, "json"))
		print_json(p, NULL);
	else
		probe_print(p);
	for (size_t i = 0; i < p->finding_count; i++)
		if (p->findings[i].level == PROBE_BAD)
			return CLI_FAILED;
	return CLI_OK;
}

static int run(struct cli *cli)
{
	static struct probe p;
	int status = CLI_OK;

	p.cli = cli;
	probe_init(&p);
	if (!cli_host_port(cli->args[0], p.host, &p.port))
		status = cli_fail(cli, CLI_USAGE,
			"%s is no HOST:PORT; write it as in mail.example.org:587", cli->args[0]);
	if (status == CLI_OK)
		status = parse_mode(&p);
	if (status == CLI_OK)
		status = read_ca(&p);
	if (status == CLI_OK)
		status = probe(&p);
	probe_release(&p);
	return status;
}

static const struct cli_option options[] = {
	{"tls", 0, CLI_VALUE, "MODE",
		"none, starttls or implicit; default: implicit on\n"
		"port 465, else STARTTLS where it is offered"},
	{"ca", 0, CLI_VALUE, "FILE", "trust these authorities too"},
	CLI_OPTION_JSON,
	CLI_OPTION_END,
};

const struct cli_command cli_command_probe = {
	.name = "probe",
	.summary = "what a server offers, and what is wrong with it",
	.synopsis = "probe HOST:PORT [--tls MODE] [--ca FILE] [--json]",
	.details =
		"Extensions and mechanisms before and inside TLS, certificates, TLS versions, and "
		"what\nof it is bad. Needs no credentials, sends no mail; a few short "
		"connections.\n"
		"Exit 0 nothing bad, 1 something is, 75 nothing could be learnt.\n",
	.options = options,
	.args_min = 1,
	.args_max = 1,
	.run = run,
};
