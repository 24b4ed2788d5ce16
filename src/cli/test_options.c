#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/cli.h"
#include "sasl/mechanism.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const verbs[] = {"add", "list", NULL};

static const struct cli_option options[] = {
	{"flag", 0, CLI_FLAG, NULL, "a flag"},
	{"name", 0, CLI_VALUE, "NAME", "a value"},
	{"to", 0, CLI_REPEAT, "ADDR", "values"},
	{"e", 'e', CLI_FLAG, NULL, "a letter"},
	CLI_OPTION_CONF,
	CLI_OPTION_END,
};

static const struct cli_command command = {
	.name = "test",
	.summary = "s",
	.synopsis = "test",
	.details = "",
	.options = options,
	.verbs = verbs,
	.args_min = 1,
	.args_max = 3,
};

/* What the line gives, as "status|conf|options|arguments". */
static const struct row {
	const char *line, *expected;
} rows[] = {
	{"add", "0|/etc/postern/postern.conf||add"},
	{"add --flag x", "0|/etc/postern/postern.conf|flag|add,x"},
	{"--flag add x", "0|/etc/postern/postern.conf|flag|add,x"},
	{"add --name N --to a --to=b", "0|/etc/postern/postern.conf|name=N,to=a,to=b|add"},
	{"add --name=", "0|/etc/postern/postern.conf|name=|add"},
	{"add --name --flag", "0|/etc/postern/postern.conf|name=--flag|add"},
	{"add -e -c F", "0|F|e,conf=F|add"},
	{"add -cF", "0|F|conf=F|add"},
	{"add --conf F", "0|F|conf=F|add"},
	{"add -- --flag -x", "0|/etc/postern/postern.conf||add,--flag,-x"},
	{"-- add", "0|/etc/postern/postern.conf||add"},
	{"add -", "0|/etc/postern/postern.conf||add,-"},
	{"add -ex", "2"},
	{"add --e", "2"},
	{"add --flag=1", "2"},
	{"add --name", "2"},
	{"add --name a --name b", "2"},
	{"add --nam a", "2"},
	{"add -x", "2"},
	{"ad", "2"},
	{"", "2"},
	{"add 1 2 3", "2"},
};

static void describe(const struct cli *cli, int status, struct base_buf *out)
{
	base_buf_printf(out, "%d", status);
	if (status != CLI_OK)
		return;
	base_buf_printf(out, "|%s|", cli->conf_path);
	for (size_t i = 0; i < cli->value_count; i++)
		base_buf_printf(out, "%s%s%s%s", i ? "," : "", cli->values[i].option->name,
			cli->values[i].value ? "=" : "",
			cli->values[i].value ? cli->values[i].value : "");
	base_buf_append_text(out, "|");
	for (size_t i = 0; i < cli->arg_count; i++)
		base_buf_printf(out, "%s%s", i ? "," : "", cli->args[i]);
}

static void lines_are_cut_into_options_and_arguments(void **state)
{
	unsetenv("POSTERN_CONF");
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct cli cli = {.command = &command};
		char *copy = strdup(rows[i].line), *rest = copy, *word, *argv[16];
		struct base_buf out;
		bool done = false;
		int argc = 0;

		while ((word = strsep(&rest, " ")) != NULL)
			if (*word)
				argv[argc++] = word;
		base_buf_init(&out, 4096);
		describe(&cli, cli_parse(&cli, argc, argv, &done), &out);
		assert_string_equal(base_buf_text(&out), rows[i].expected);
		base_buf_release(&out);
		free(copy);
	}
}

static void the_environment_names_the_configuration(void **state)
{
	struct cli cli = {.command = &command};
	char add[] = "add", *argv[] = {add};
	bool done = false;

	setenv("POSTERN_CONF", "/x", 1);
	assert_int_equal(cli_parse(&cli, 1, argv, &done), CLI_OK);
	assert_string_equal(cli.conf_path, "/x");
	unsetenv("POSTERN_CONF");
}

/* loop/ has its own copy of the names, because front may not know sasl/. */
static void both_tables_of_mechanisms_agree(void **state)
{
	for (unsigned m = SASL_MECHANISM_NONE + 1; m < SASL_MECHANISM_COUNT; m++) {
		const char *name = sasl_mechanism_info((enum sasl_mechanism)m)->name;

		assert_string_equal(conf_mechanism_name(m), name);
		assert_int_equal(conf_mechanism_parse(base_slice_text(name)), SASL_MASK(m));
		assert_int_equal(conf_mechanism_is_served(m), m < SASL_MECHANISM_SERVER_COUNT);
	}
	assert_null(conf_mechanism_name(SASL_MECHANISM_COUNT));
	assert_null(conf_mechanism_name(SASL_MECHANISM_NONE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_cut_into_options_and_arguments),
		cmocka_unit_test(the_environment_names_the_configuration),
		cmocka_unit_test(both_tables_of_mechanisms_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
