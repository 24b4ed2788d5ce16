/* cli/cli.h: what the subcommands of postern share
 * Job      one command line parser, the configuration, passwords from people, answers as table or
 * JSON Not      what a command does (one file each) Exit     0 done, 1 refused or failed, 2 the
 * command line is wrong; send adds 75 (try later) */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/secret.h"
#include "loop/conf.h"
#include "loop/control.h"

#include <jansson.h>
#include <stdio.h>

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_TEMPORARY = 75 };

enum cli_option_kind {
	CLI_FLAG,   /* --name */
	CLI_VALUE,  /* --name VALUE, once */
	CLI_REPEAT, /* --name VALUE, any number of times */
};

struct cli_option {
	const char *name; /* without the dashes; null ends a table */
	char letter;      /* 0: none */
	enum cli_option_kind kind;
	const char *value; /* what the value is called: "FILE"; null for flags */
	const char *help;
};

struct cli;

struct cli_command {
	const char *name;
	const char *summary;  /* one line of postern --help */
	const char *synopsis; /* lines, each without "postern " */
	const char *details;  /* below the options; may be "" */
	const struct cli_option *options;
	const char *const *verbs;    /* null-ended, or null: the first argument is free */
	unsigned args_min, args_max; /* the verb is counted */
	int (*run)(struct cli *cli);
};

#define CLI_VALUES_MAX 1100
#define CLI_ARGS_MAX 1024

struct cli {
	const struct cli_command *command;
	struct {
		const struct cli_option *option;
		const char *value;
	} values[CLI_VALUES_MAX];
	size_t value_count;
	const char *args[CLI_ARGS_MAX];
	size_t arg_count;
	const char *conf_path; /* -c, $POSTERN_CONF or the default */
	const char *program;   /* argv[0] */
};

/* The options that stand before the command, and those of any command that reads a configuration.
 */
#define CLI_OPTION_CONF \
	{ \
		"conf", 'c', CLI_VALUE, "FILE", \
			"the configuration; default $POSTERN_CONF, " \
			"then\n/etc/postern/postern.conf" \
	}
#define CLI_OPTION_JSON \
	{ \
		"json", 0, CLI_FLAG, NULL, "the answer as JSON" \
	}
#define CLI_OPTION_END \
	{ \
		NULL, 0, CLI_FLAG, NULL, NULL \
	}

extern const struct cli_command *const cli_commands[]; /* null-ended */

/* Parse what follows the command's name. CLI_OK: go on; else the exit status (help was printed:
 * *out_done is set, or a complaint). */
int cli_parse(struct cli *cli, int argc, char **argv, bool *out_done);
void cli_help(const struct cli_command *command, FILE *out);

bool cli_has(const struct cli *cli, const char *name);
/* The last value given; null if none. */
const char *cli_value(const struct cli *cli, const char *name);
/* Step through the values of a repeatable option: start with 0; null at the end. */
const char *cli_next_value(const struct cli *cli, const char *name, size_t *cursor);

/* "postern user: …" on standard error. Returns @status. */
int cli_fail(const struct cli *cli, int status, const char *format, ...) BASE_PRINTF(3, 4);
int cli_fail_error(const struct cli *cli, const struct base_error *err);

/* The configuration, or null after its findings were printed. Warnings are not shown. */
struct conf *cli_conf(const struct cli *cli);

/* Whose the files are: the service account when started as root. */
struct cli_account {
	bool root; /* started as root: uid and gid differ from ours */
	unsigned uid, gid;
	char name[64];
};
struct cli_account cli_account(const struct conf *conf);
/* Make @path (0700 or as @mode says) and its parents, owned by @account. */
int cli_make_dir(
	const char *path, unsigned mode, const struct cli_account *account, struct base_error *err);
/* Make data/ and become its owner for the rest of this process's life (as root only). Where that
 * user cannot reach data/, stay root: out_account->root says that what is made must be given to it.
 */
int cli_become_owner(
	const struct conf *conf, struct cli_account *out_account, struct base_error *err);

/* Ask on the terminal without echo, @twice to be sure; or the first line of standard input. */
int cli_password(const struct cli *cli, bool from_stdin, bool twice, const char *prompt,
	struct base_secret *out);
/* The first line of standard input, at most @max bytes; @what it is, for messages. */
int cli_secret_line(const struct cli *cli, const char *what, size_t max, struct base_secret *out);
/* Five groups of four signs, 100 random bits. */
void cli_password_generate(char out[25]);

/* A request of words; the texts live as long as the object. */
struct cli_request {
	struct control_request request;
	char *texts[CONTROL_WORDS_MAX];
};
void cli_request_add(struct cli_request *r, const char *format, ...) BASE_PRINTF(2, 3);
void cli_request_release(struct cli_request *r);

/* Ask a running server's @part. *out_running false (and 0): there is no server. */
int cli_ask(const struct conf *conf, const char *part, const struct cli_request *r,
	struct base_buf *out, bool *out_running, struct base_error *err);

#define CLI_ANSWER_MAX_BYTES ((size_t)1 << 31)
json_t *cli_json(const struct base_buf *answer, struct base_error *err);
/* @answer as it is, and a line end. */
void cli_print_json(const struct base_buf *answer);

struct cli_column {
	const char *title;
	const char *key; /* of the row's object */
	bool right;      /* numbers */
};
/* Rows of objects, aligned; arrays are joined by commas, null is "-". */
void cli_print_table(
	const json_t *rows, const struct cli_column *columns, size_t count, const char *none);
/* "key  value" lines of one object, nested objects and lists of objects indented. */
void cli_print_object(const json_t *object);
/* One value as text, safe for a terminal. */
void cli_value_text(const json_t *value, struct base_buf *out);
/* Bytes of strangers, safe for a terminal: controls as \xHH, UTF-8 as it is. */
void cli_text_safe(struct base_slice text, struct base_buf *out);

extern const struct cli_command cli_command_init, cli_command_try, cli_command_serve,
	cli_command_check, cli_command_user, cli_command_account, cli_command_queue,
	cli_command_why, cli_command_send, cli_command_base64, cli_command_xtext,
	cli_command_status, cli_command_sender, cli_command_import, cli_command_explain,
	cli_command_probe;

/* Path of a role or session program ("postern-master"), found beside the running one; false: not
 * there. */
bool cli_program_path(const char *program, char *out, size_t size);

/* Commands that are programs of their own: "smtpd" is postern-smtpd. They parse their own line, in
 * which options end at the first argument that is none. */
struct cli_session {
	const char *name, *program, *synopsis, *details; /* texts of --help */
};
extern const struct cli_session cli_sessions[]; /* ended by a null name */
const struct cli_session *cli_session_find(const char *name);
/* Become it; argv[at] is the command's name, what stands before it was `-c FILE` at most. Returns
 * only if that fails: the exit status. */
int cli_session_run(const struct cli_session *session, int argc, char **argv, int at);

#endif
