/* postern import qmail: a qmail control directory as a configuration on standard output. */
#include "cli/import_qmail.h"

#include "base/escape.h"

static void begin(struct import *i)
{
	base_buf_append_text(
		&i->out, "# The configuration of Postern, made by postern import qmail from\n# ");
	import_put_escaped(i, base_slice_text(i->dir));
	base_buf_append_text(&i->out,
		"\n# Each line that begins with \"# FILE:\" says what became of a control file. "
		"Passwords are not\n# in here. Manual: postern.conf(5); then: postern check.\n\n");
}

/* The result is whole or it is not printed. */
static int print(struct import *i)
{
	if (!base_buf_ok(&i->out))
		return cli_fail(i->cli, CLI_FAILED,
			"the control files hold more than one configuration can (%u bytes)",
			IMPORT_RESULT_MAX_BYTES);
	fwrite(i->out.ptr, 1, i->out.len, stdout);
	return CLI_OK;
}

static void complain_of_unread(const struct import *i)
{
	for (size_t k = 0; k < i->file_count; k++) {
		struct base_buf name;

		if (i->files[k].read || !i->files[k].why[0])
			continue;
		base_buf_init(&name, 1024);
		base_escape_log(base_slice_text(i->files[k].name), 256, &name);
		cli_fail(i->cli, CLI_FAILED, "control file \"%s\": %s; the result lacks it",
			base_buf_text(&name), i->files[k].why);
		base_buf_release(&name);
	}
}

static const char *plural(size_t count)
{
	return count == 1 ? "" : "s";
}

/* What goes out by another login than it did, or by none, must not be left to a comment in the result. */
static void complain_of_senders(const struct import *i)
{
	if (i->unsent)
		fprintf(stderr,
			"postern import: %u line%s of authsenders name%s no login, or a sender as "
			"no line of the sender table can; mail of these senders goes as everybody "
			"else's\n",
			i->unsent, plural(i->unsent), i->unsent == 1 ? "s" : "");
	if (i->sender_count && !i->by_sender)
		fprintf(stderr,
			"postern import: %zu line%s of authsenders make%s lines of the sender "
			"table, but no route goes by sender: with qmail, senders without a line "
			"took smtproutes. Where every sender has a line, write route \"*\" { via = "
			"\"sender\" }\n",
			i->sender_count, plural(i->sender_count), i->sender_count == 1 ? "s" : "");
	if (i->sender_count && i->by_sender && !cli_has(i->cli, "vault"))
		fprintf(stderr,
			"postern import: mail waits until the sender table has %zu line%s: --vault "
			"puts them there, or the postern sender add commands in the result\n",
			i->sender_count, plural(i->sender_count));
}

static int run(struct cli *cli)
{
	struct import i = {.cli = cli};
	int status;

	base_buf_init(&i.out, IMPORT_RESULT_MAX_BYTES);
	status = import_open(&i, cli->args[1]);
	if (status == CLI_OK) {
		begin(&i);
		import_server(&i);
		import_routes(&i);
		import_say_rest(&i);
		status = print(&i);
		if (status == CLI_OK && cli_has(cli, "vault"))
			status = import_to_vault(&i);
		complain_of_unread(&i);
		complain_of_senders(&i);
		if (status == CLI_OK && i.incomplete)
			status = CLI_FAILED;
	}
	import_release(&i);
	return status;
}

static const char *const verbs[] = {"qmail", NULL};

static const struct cli_option options[] = {
	{"vault", 0, CLI_FLAG, NULL,
		"put the passwords of smtproutes and authsenders into\n"
		"the vault of the configuration that -c names, and\n"
		"senders into its sender table"},
	CLI_OPTION_CONF,
	CLI_OPTION_END,
};

const struct cli_command cli_command_import = {
	.name = "import",
	.summary = "a qmail control directory as a configuration",
	.synopsis = "import qmail DIR [--vault -c FILE]",
	.details = "Prints a configuration made from DIR/control, or DIR: look through it, then "
		   "write it\n"
		   "where it belongs. It names every control file, and holds no password.\n"
		   "Exit 1 if a file could not be read, or an account or sender not kept.\n",
	.options = options,
	.verbs = verbs,
	.args_min = 2,
	.args_max = 2,
	.run = run,
};
