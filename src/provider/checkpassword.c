/* Programs that read a login and a password on descriptor 3 and answer by their exit status.
 *
 *	0         RIGHT                        111, a signal, late, not started   CANNOT
 *	others    REFUSED, also 2 (misuse): some checkers say so of a name they cannot read
 *
 * A program that lets everybody in is none: "true" in the checker's place is refused. That is what
 * becomes of a command line written for a server that puts its host name first. */
#include "provider/source.h"

#include "base/escape.h"
#include "loop/log.h"
#include "provider/checker.h"
#include "wire/checkpassword.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS_LINES_MAX = 4, WORDS_LINE_MAX_BYTES = 200 };

struct checkpassword_source {
	struct provider_source base;
	char *title;
	char *command[PROVIDER_COMMAND_MAX + 1];
	enum wire_checkpassword_order order;
	int null_fd;
	const char *unusable; /* why it is never started */
};

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* What it said to people: a few lines to our log. */
static void tell_words(const struct checkpassword_source *c, const struct base_buf *words)
{
	struct base_slice rest = base_buf_slice(words), line;
	struct base_buf text;

	base_buf_init(&text, 4 * WORDS_LINE_MAX_BYTES + 8);
	for (unsigned i = 0; i < WORDS_LINES_MAX && base_slice_split(&rest, '\n', &line); i++) {
		base_buf_clear(&text);
		base_escape_log(base_slice_trim(line), WORDS_LINE_MAX_BYTES, &text);
		if (text.len)
			log_write(LOG_LEVEL_WARNING, "provider \"%s\": %s says: %s", c->title,
				c->command[0], base_buf_text(&text));
	}
	base_buf_release(&text);
}

static void judge(const struct checkpassword_source *c, const struct checker_result *r,
	struct provider_answer *a)
{
	const char *program = c->command[0];

	switch (r->end) {
	case CHECKER_EXITED:
		if (r->code == WIRE_CHECKPASSWORD_ACCEPTED)
			a->result = IPC_ASKED_RIGHT;
		else
			provider_answer_set(a,
				r->code == WIRE_CHECKPASSWORD_TEMPORARY ? IPC_ASKED_CANNOT
									: IPC_ASKED_REFUSED,
				"%s exited %d%s", program, r->code,
				r->code == WIRE_CHECKPASSWORD_TEMPORARY ? ", a temporary problem"
					: r->code == WIRE_CHECKPASSWORD_MISUSED
					? ", it was called wrongly"
					: "");
		return;
	case CHECKER_SIGNALLED:
		provider_answer_set(
			a, IPC_ASKED_CANNOT, "%s was ended by signal %d", program, r->code);
		return;
	case CHECKER_LATE:
		provider_answer_set(a, IPC_ASKED_CANNOT, "%s took longer than %d s", program,
			PROVIDER_WAIT_MS / 1000);
		return;
	case CHECKER_NOT_STARTED:
		provider_answer_set(
			a, IPC_ASKED_CANNOT, "cannot start %s: %s", program, strerror(r->code));
		return;
	}
}

static void checkpassword_ask(
	struct provider_source *s, const struct provider_question *q, struct provider_answer *a)
{
	struct checkpassword_source *c = (struct checkpassword_source *)s;
	struct wire_checkpassword m = {q->name, q->secret, q->challenge};
	struct checker_result result;
	struct checker_run run = {
		.command = c->command,
		.client = q->client,
		.null_fd = c->null_fd,
		.limit_ms = PROVIDER_WAIT_MS,
	};
	struct base_buf bytes;

	if (q->kind == IPC_ASK_LOOKUP || q->kind == IPC_ASK_SCRAM) {
		provider_answer_set(
			a, IPC_ASKED_UNKNOWN, "a checkpassword program keeps this to itself");
		return;
	}
	if (c->unusable) {
		provider_answer_set(a, IPC_ASKED_CANNOT, "%s", c->unusable);
		return;
	}
	if (q->kind == IPC_ASK_PASSWORD)
		m.challenge = BASE_SLICE_EMPTY;
	base_buf_init_secret(&bytes, WIRE_CHECKPASSWORD_MAX_BYTES);
	if (wire_checkpassword_put(&m, c->order, &bytes) != WIRE_CHECKPASSWORD_OK) {
		provider_answer_set(a, IPC_ASKED_REFUSED,
			"longer than the %d bytes a checkpassword program reads, or a NUL in it",
			WIRE_CHECKPASSWORD_MAX_BYTES);
	} else {
		base_buf_init(&result.words, CHECKER_WORDS_MAX_BYTES);
		run.bytes = base_buf_slice(&bytes);
		checker_run(&run, &result);
		judge(c, &result, a);
		tell_words(c, &result.words);
		base_buf_release(&result.words);
	}
	base_buf_release(&bytes);
}

static struct provider_source *checkpassword_open(const struct provider_options *o)
{
	struct checkpassword_source *c = base_alloc_zero(1, sizeof(*c));

	c->base.type = &provider_checkpassword;
	c->title = base_strdup(o->title);
	for (size_t i = 0; o->command[i]; i++)
		c->command[i] = base_strdup(o->command[i]);
	c->order = o->cram_legacy ? WIRE_CHECKPASSWORD_LEGACY : WIRE_CHECKPASSWORD_STANDARD;
	c->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (!c->command[0])
		c->unusable = "no command";
	else if (strcmp(last_part(c->command[0]), "true") == 0)
		c->unusable = "the checker is \"true\", which lets everybody in";
	if (c->unusable)
		log_write(LOG_LEVEL_ERROR,
			"provider \"%s\": %s; nothing is started, logins get 454; write "
			"command = {CHECKER, PROGRAM}",
			c->title, c->unusable);
	else if (!c->command[1])
		log_write(LOG_LEVEL_WARNING,
			"provider \"%s\": no program stands behind %s; most checkers then refuse "
			"everybody; write command = {CHECKER, \"/bin/true\"}",
			c->title, c->command[0]);
	return &c->base;
}

static void checkpassword_close(struct provider_source *s)
{
	struct checkpassword_source *c = (struct checkpassword_source *)s;

	if (c->null_fd >= 0)
		close(c->null_fd);
	for (size_t i = 0; c->command[i]; i++)
		free(c->command[i]);
	free(c->title);
	free(c);
}

const struct provider_source_type provider_checkpassword = {
	.name = "checkpassword",
	.open = checkpassword_open,
	.ask = checkpassword_ask,
	.close = checkpassword_close,
};
