#include "loop/conf_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* By bit, as enum sasl_mechanism counts them. */
static const char *const mechanisms[] = {
	NULL,
	"LOGIN",
	"PLAIN",
	"CRAM-MD5",
	"SCRAM-SHA-1",
	"SCRAM-SHA-1-PLUS",
	"SCRAM-SHA-256",
	"SCRAM-SHA-256-PLUS",
	"SCRAM-SHA-512",
	"SCRAM-SHA-512-PLUS",
	/* from here on a client's only */
	"EXTERNAL",
	"OAUTHBEARER",
	"XOAUTH2",
	"DIGEST-MD5",
	"GSSAPI",
	NULL,
};
enum { SERVER_BITS = 10 };

const char *conf_mechanism_name(unsigned bit)
{
	return bit < BASE_COUNT(mechanisms) ? mechanisms[bit] : NULL;
}

bool conf_mechanism_is_served(unsigned bit)
{
	return bit < SERVER_BITS;
}

uint32_t conf_mechanism_parse(struct base_slice name)
{
	for (unsigned bit = 1; mechanisms[bit]; bit++)
		if (base_slice_equal_text_nocase(name, mechanisms[bit]))
			return 1u << bit;
	return 0;
}

const char *const *conf_mechanism_names(void)
{
	return mechanisms + 1;
}

enum { NEAR_WORD_MAX = 40 };

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Letters to change, add, leave out, or swap with their neighbour; case does not count. */
static unsigned distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned rows[3][NEAR_WORD_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *now = rows[2], *spare;

	for (size_t k = 0; k <= b_len; k++)
		last[k] = (unsigned)k;
	for (size_t i = 1; i <= a_len; i++) {
		uint8_t x = base_ascii_lower((uint8_t)a[i - 1]);

		now[0] = (unsigned)i;
		for (size_t k = 1; k <= b_len; k++) {
			uint8_t y = base_ascii_lower((uint8_t)b[k - 1]);

			now[k] = least(last[k] + 1, now[k - 1] + 1, last[k - 1] + (x != y));
			if (i > 1 && k > 1 && x == base_ascii_lower((uint8_t)b[k - 2]) &&
				y == base_ascii_lower((uint8_t)a[i - 2]) &&
				before[k - 2] + 1 < now[k])
				now[k] = before[k - 2] + 1;
		}
		spare = before;
		before = last;
		last = now;
		now = spare;
	}
	return last[b_len];
}

const char *conf_nearest(const char *word, const char *const *names)
{
	size_t len = strlen(word);
	unsigned best = len < 3 ? 2 : (unsigned)len / 3 + 2;
	const char *near = NULL;

	if (len == 0 || len > NEAR_WORD_MAX)
		return NULL;
	for (; *names; names++) {
		size_t name_len = strlen(*names);
		unsigned d;

		if (name_len > NEAR_WORD_MAX)
			continue;
		d = distance(word, len, *names, name_len);
		if (d < best) {
			best = d;
			near = *names;
		}
	}
	return near;
}

static void BASE_PRINTF(4, 0) add_finding(
	struct conf_work *w, bool warning, unsigned line, const char *format, va_list args)
{
	struct conf_findings *f = w->findings;
	struct base_buf text;

	if (!warning)
		w->failed = true;
	if (f->count == CONF_FINDINGS_MAX)
		return;
	base_buf_init(&text, 4 * CONF_STRING_MAX_BYTES);
	base_buf_vprintf(&text, format, args);
	f->items = base_realloc(f->items, (f->count + 1) * sizeof(*f->items));
	f->items[f->count++] = (struct conf_finding){
		warning, line, base_slice_dup(base_buf_slice(&text))};
	base_buf_release(&text);
}

void conf_fail(struct conf_work *w, unsigned line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_finding(w, false, line, format, args);
	va_end(args);
}

void conf_warn(struct conf_work *w, unsigned line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_finding(w, true, line, format, args);
	va_end(args);
}

static int by_line(const void *a, const void *b)
{
	const struct conf_finding *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return strcmp(x->text, y->text);
}

static struct conf *build(struct base_slice text, const char *file, const char *base_dir,
	bool look_at_files, struct conf_findings *out_findings)
{
	struct conf_arena *arena = conf_arena_new();
	struct conf_work w = {.arena = arena,
		.findings = out_findings,
		.base_dir = base_dir,
		.look_at_files = look_at_files};
	struct conf *c = conf_arena_alloc(arena, sizeof(*c));
	struct conf_tree tree;

	*out_findings = (struct conf_findings){0};
	c->arena = arena;
	c->file = conf_arena_text(arena, base_slice_text(file));
	conf_defaults(c, arena);
	conf_syntax_parse(&w, text, &tree);
	conf_fill(&w, &tree, c);
	conf_judge(&w, &tree, c);
	if (out_findings->count > 1)
		qsort(out_findings->items, out_findings->count, sizeof(*out_findings->items),
			by_line);
	if (w.failed)
		conf_free(&c);
	return c;
}

struct conf *conf_parse(struct base_slice text, const char *file, const char *base_dir,
	struct conf_findings *out_findings)
{
	return build(text, file, base_dir, false, out_findings);
}

/* The whole file into @out; 0, or errno. */
static int read_file(const char *path, struct base_buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;

	if (fd < 0)
		return errno;
	while (n > 0) {
		uint8_t *to = base_buf_reserve(out, 16384);

		if (!to) {
			close(fd);
			return EFBIG;
		}
		n = read(fd, to, 16384);
		if (n > 0)
			base_buf_grew(out, (size_t)n);
	}
	if (n < 0)
		n = errno;
	close(fd);
	return (int)n;
}

/* Directory of @path, absolute; the caller frees it. */
static char *directory_of(const char *path)
{
	char *real = realpath(path, NULL);
	char *slash = real ? strrchr(real, '/') : NULL;

	if (!slash)
		return real;
	slash[slash == real ? 1 : 0] = '\0';
	return real;
}

struct conf *conf_load(const char *path, struct conf_findings *out_findings)
{
	struct conf_work w = {.findings = out_findings};
	struct conf *c = NULL;
	struct base_buf text;
	char *dir;
	int rc;

	*out_findings = (struct conf_findings){0};
	base_buf_init(&text, CONF_FILE_MAX_BYTES + 16384);
	rc = read_file(path, &text);
	dir = directory_of(path);
	if (rc == EFBIG || text.len > CONF_FILE_MAX_BYTES)
		conf_fail(&w, 0, "the file is larger than %d bytes", CONF_FILE_MAX_BYTES);
	else if (rc != 0)
		conf_fail(&w, 0,
			"cannot read the configuration: %s; name another with -c FILE, or make "
			"one with postern init",
			strerror(rc));
	else
		c = build(base_buf_slice(&text), path, dir, true, out_findings);
	free(dir);
	base_buf_release(&text);
	return c;
}

void conf_free(struct conf **conf)
{
	struct conf_arena *arena;

	if (!*conf)
		return;
	arena = (*conf)->arena;
	*conf = NULL;
	conf_arena_free(&arena);
}

void conf_findings_print(
	const char *file, const struct conf_findings *findings, struct base_buf *out)
{
	for (size_t i = 0; i < findings->count; i++) {
		const struct conf_finding *f = &findings->items[i];

		base_buf_append_text(out, file);
		if (f->line)
			base_buf_printf(out, ":%u", f->line);
		base_buf_printf(out, ": %s%s\n", f->warning ? "warning: " : "", f->text);
	}
}

void conf_findings_release(struct conf_findings *findings)
{
	for (size_t i = 0; i < findings->count; i++)
		free(findings->items[i].text);
	free(findings->items);
	*findings = (struct conf_findings){0};
}

const struct conf_account *conf_account_find(const struct conf *conf, const char *title)
{
	for (size_t i = 0; i < conf->account_count; i++)
		if (strcmp(conf->accounts[i].title, title) == 0)
			return &conf->accounts[i];
	return NULL;
}

const struct conf_listener *conf_listener_find(const struct conf *conf, const char *title)
{
	for (size_t i = 0; i < conf->listener_count; i++)
		if (strcmp(conf->listeners[i].title, title) == 0)
			return &conf->listeners[i];
	return NULL;
}
