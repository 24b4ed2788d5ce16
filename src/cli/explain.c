/* postern explain: a transcript, each line with what it means and what is wrong with it. */
#include "cli/explain.h"

#include "cli/explain_read.h"
#include "cli/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SESSIONS_MAX = 64, TEXT_WIDTH_MAX = 44, TRANSCRIPT_MAX_BYTES = 16 << 20 };
/* Of PBKDF2, over all proofs of a transcript: some ten seconds. */
enum { ROUNDS_MAX = 20000000 };

struct session {
	uint64_t pid;
	struct explain *engine;
	struct base_buf pieces[2]; /* of the client's line, of the server's */
};

struct job {
	struct cli *cli;
	struct explain_options options;
	uint64_t rounds_left;
	enum explain_format format;
	struct session sessions[SESSIONS_MAX];
	size_t session_count, next_to_go;
	struct explain_line line;
	int column; /* how wide the texts are that have their meaning beside them */
	size_t mistakes;
	bool any; /* JSON: an object was written */
	void (*emit)(struct job *j, unsigned number, struct explain_line *l);
};

static void session_release(struct session *s)
{
	explain_free(&s->engine);
	base_buf_release(&s->pieces[0]);
	base_buf_release(&s->pieces[1]);
}

/* The session of @pid; with too many of them the oldest is forgotten. */
static struct session *session_of(struct job *j, uint64_t pid)
{
	struct session *s;

	for (size_t i = 0; i < j->session_count; i++)
		if (j->sessions[i].pid == pid)
			return &j->sessions[i];
	if (j->session_count < SESSIONS_MAX) {
		s = &j->sessions[j->session_count++];
	} else {
		s = &j->sessions[j->next_to_go];
		j->next_to_go = (j->next_to_go + 1) % SESSIONS_MAX;
		session_release(s);
	}
	*s = (struct session){.pid = pid, .engine = explain_new(&j->options)};
	base_buf_init_secret(&s->pieces[0], TRANSCRIPT_MAX_BYTES);
	base_buf_init_secret(&s->pieces[1], TRANSCRIPT_MAX_BYTES);
	return s;
}

static void take_line(struct job *j, unsigned number, struct base_slice line)
{
	struct explain_read r = explain_read(j->format, line);
	struct session *s = session_of(j, r.pid);
	struct base_buf *pieces = &s->pieces[r.who == EXPLAIN_SERVER];

	if (r.piece) {
		base_buf_append_slice(pieces, r.text);
		return;
	}
	if (pieces->len && !r.noise) {
		base_buf_append_slice(pieces, r.text);
		r.text = base_buf_slice(pieces);
		if (r.text.ptr[r.text.len - 1] == '\r')
			r.text.len--;
	}
	if (r.tls)
		explain_tls(s->engine);
	if (r.who == EXPLAIN_NOBODY && j->format == EXPLAIN_FORMAT_BARE && !r.noise)
		r.who = explain_guess(s->engine, r.text);
	explain_push(s->engine, r.who, r.text, &j->line);
	j->emit(j, number, &j->line);
	if (!r.noise)
		base_buf_clear(pieces);
}

/* Every line once, from the beginning. */
static void pass(struct job *j, struct base_slice transcript,
	void (*emit)(struct job *, unsigned, struct explain_line *))
{
	struct base_slice line;
	unsigned number = 0;

	j->emit = emit;
	while (base_slice_split(&transcript, '\n', &line))
		take_line(j, ++number, line);
	for (size_t i = 0; i < j->session_count; i++)
		session_release(&j->sessions[i]);
	j->session_count = 0;
}

/* ---- for eyes ---- */

/* Characters, not bytes. */
static int width(struct base_slice s)
{
	int n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += (s.ptr[i] & 0xc0) != 0x80;
	return n;
}

static void measure(struct job *j, unsigned number, struct explain_line *l)
{
	int w = width(base_buf_slice(&l->text));

	(void)number;
	if (l->meaning.len && w > j->column && w <= TEXT_WIDTH_MAX)
		j->column = w;
}

static void print_line(struct job *j, unsigned number, struct explain_line *l)
{
	static const char marks[] = {
		[EXPLAIN_NOBODY] = ' ', [EXPLAIN_CLIENT] = 'C', [EXPLAIN_SERVER] = 'S'};
	int used = width(base_buf_slice(&l->text));

	printf("%4u %c  %s", number, marks[l->who], base_buf_text(&l->text));
	if (l->meaning.len && used <= j->column)
		printf("%*s  %s", j->column - used, "", base_buf_text(&l->meaning));
	else if (l->meaning.len)
		printf("\n%*s  %s", 8 + j->column, "", base_buf_text(&l->meaning));
	putchar('\n');
	j->mistakes += l->mistake_count;
	for (size_t i = 0; i < l->mistake_count; i++) {
		const char *detail = l->mistakes[i].detail;

		printf("        ! %s%s%s [%s]\n", explain_rule_words(l->mistakes[i].rule),
			detail[0] ? ": " : "", detail, explain_rule_document(l->mistakes[i].rule));
	}
}

/* Widths first, without a password: proofs cost time. */
static void print_all(struct job *j, struct base_slice transcript)
{
	struct base_slice password = j->options.password;

	j->options.password = BASE_SLICE_EMPTY;
	pass(j, transcript, measure);
	j->options.password = password;
	pass(j, transcript, print_line);
	if (j->mistakes == 0)
		puts("\nNo mistake.");
	else
		printf("\n%zu mistake%s.\n", j->mistakes, j->mistakes == 1 ? "" : "s");
}

/* ---- for programs ---- */

static json_t *mistakes_json(const struct explain_line *l)
{
	json_t *list = json_array();

	for (size_t i = 0; i < l->mistake_count; i++) {
		const char *detail = l->mistakes[i].detail;
		json_t *rule = json_sprintf("%s%s%s", explain_rule_words(l->mistakes[i].rule),
			detail[0] ? ": " : "", detail);

		json_array_append_new(list,
			json_pack("{s:o, s:s}", "rule", rule, "rfc",
				explain_rule_document(l->mistakes[i].rule)));
	}
	return list;
}

static void print_object(struct job *j, unsigned number, struct explain_line *l)
{
	static const char *const names[] = {
		[EXPLAIN_NOBODY] = NULL, [EXPLAIN_CLIENT] = "client", [EXPLAIN_SERVER] = "server"};
	json_t *object = json_pack("{s:i, s:s?, s:s%, s:s%, s:o}", "line", (int)number, "who",
		names[l->who], "text", base_buf_text(&l->text), l->text.len, "meaning",
		base_buf_text(&l->meaning), l->meaning.len, "mistakes", mistakes_json(l));

	j->mistakes += l->mistake_count;
	fputs(j->any ? ",\n" : "\n", stdout);
	j->any = true;
	json_dumpf(object, stdout, 0);
	json_decref(object);
}

static void print_json(struct job *j, struct base_slice transcript)
{
	putchar('[');
	pass(j, transcript, print_object);
	puts(j->any ? "\n]" : "]");
}

static int read_transcript(struct cli *cli, struct base_buf *out)
{
	const char *path = cli->arg_count ? cli->args[0] : "-";
	int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	int status;

	if (fd < 0)
		return cli_fail(cli, CLI_USAGE, "cannot read \"%s\": %s", path, strerror(errno));
	status = cli_read_all(cli, fd, out);
	if (fd != STDIN_FILENO)
		close(fd);
	return status == CLI_OK ? CLI_OK : CLI_USAGE;
}

static int run_with(struct cli *cli, struct base_slice password)
{
	struct job j = {.cli = cli,
		.rounds_left = ROUNDS_MAX,
		.options = {.show_secrets = cli_has(cli, "show-secrets"),
			.tls = cli_has(cli, "tls"),
			.user = base_slice_text(cli_value(cli, "user")),
			.password = password}};
	struct base_buf transcript;
	int status;

	base_buf_init_secret(&transcript, TRANSCRIPT_MAX_BYTES);
	status = read_transcript(cli, &transcript);
	if (status == CLI_OK) {
		j.options.rounds_left = &j.rounds_left;
		j.format = explain_format_guess(base_buf_slice(&transcript));
		explain_line_init(&j.line);
		if (cli_has(cli, "json"))
			print_json(&j, base_buf_slice(&transcript));
		else
			print_all(&j, base_buf_slice(&transcript));
		explain_line_release(&j.line);
		status = j.mistakes ? CLI_FAILED : CLI_OK;
	}
	base_buf_release(&transcript);
	return status;
}

static int run(struct cli *cli)
{
	struct base_secret password = {0};
	int status = CLI_OK;

	if (cli_has(cli, "user") != cli_has(cli, "password-stdin"))
		return cli_fail(cli, CLI_USAGE,
			"--user and --password-stdin belong together: proofs are checked for both");
	if (cli_has(cli, "password-stdin"))
		status = cli_password(cli, true, false, "", &password);
	if (status == CLI_OK)
		status = run_with(cli, base_secret_slice(&password));
	else
		status = CLI_USAGE;
	base_secret_release(&password);
	return status;
}

static const struct cli_option options[] = {
	{"user", 0, CLI_VALUE, "USER", "check proofs for this user …"},
	{"password-stdin", 0, CLI_FLAG, NULL,
		"… and this password: the first line of standard input;\n"
		"without FILE the transcript follows it"},
	{"tls", 0, CLI_FLAG, NULL, "all of it ran over TLS, though the transcript does not say so"},
	{"show-secrets", 0, CLI_FLAG, NULL, "show passwords and tokens, decoded too"},
	{"json", 0, CLI_FLAG, NULL, "an array of {line, who, text, meaning, mistakes}"},
	CLI_OPTION_END,
};

const struct cli_command cli_command_explain = {
	.name = "explain",
	.summary = "what each line of an SMTP dialogue means, and what is wrong with it",
	.synopsis =
		"explain [--user USER --password-stdin] [--tls] [--show-secrets] [--json] [FILE]",
	.details = "FILE (or standard input) is a transcript: bare lines, C: and S: marks, the "
		   "output of\n"
		   "postern record, recordio, swaks or openssl s_client. Exit 0 without a mistake, "
		   "1 with\n"
		   "some, 2 when the transcript cannot be read.\n",
	.options = options,
	.args_max = 1,
	.run = run,
};
