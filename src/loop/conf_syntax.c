/* The grammar of postern.conf, by one look-ahead byte and no recursion:
 *
 *   file    = { key | section }
 *   section = WORD [ WORD | STRING ] "{" { key } "}"
 *   key     = WORD "=" value
 *   value   = STRING | NUMBER | "true" | "false" | "{" [ item { "," item } [ "," ] ] "}"
 *   item    = STRING
 *
 * WORD is letters, digits and "._-@*+/:", STRING stands between double quotes on one line, '#'
 * begins a comment. A bare word where a value should be is kept, so that the judge of that key can
 * say what would be right; every other fault ends the parsing, because what follows could mean
 * anything. */
#include "loop/conf_internal.h"

#include "base/utf8.h"

#include <string.h>

struct reader {
	struct conf_work *w;
	struct base_slice text;
	size_t at;
	unsigned line;
};

static int peek(const struct reader *r)
{
	return r->at < r->text.len ? r->text.ptr[r->at] : -1;
}

static void skip_blank(struct reader *r)
{
	for (int c = peek(r); c >= 0; c = peek(r)) {
		if (c == '#') {
			while (peek(r) >= 0 && peek(r) != '\n')
				r->at++;
			continue;
		}
		if (c != ' ' && c != '\t' && c != '\r' && c != '\n')
			return;
		if (c == '\n')
			r->line++;
		r->at++;
	}
}

static bool is_word_byte(int c)
{
	return c >= 0 && (base_ascii_is_alnum((uint8_t)c) || strchr("._-@*+/:", c)) && c != 0;
}

static struct base_slice take_word(struct reader *r)
{
	size_t start = r->at;

	while (is_word_byte(peek(r)))
		r->at++;
	return base_slice_make(r->text.ptr + start, r->at - start);
}

static bool broken(struct reader *r)
{
	r->w->broken = true;
	return false;
}

/* Say what stands at the reader's place instead of @wanted. */
static bool expected(struct reader *r, const char *wanted)
{
	int c = peek(r);

	if (c < 0)
		conf_fail(r->w, r->line, "the file ends here; %s is missing", wanted);
	else if (c > ' ' && c < 0x7f)
		conf_fail(r->w, r->line, "\"%c\" cannot stand here; %s is missing", c, wanted);
	else
		conf_fail(r->w, r->line, "byte 0x%02x cannot stand here; %s is missing",
			(unsigned)c, wanted);
	return broken(r);
}

/* Behind the opening quote. */
static bool take_string(struct reader *r, char **out)
{
	struct base_buf b;
	int c;

	base_buf_init(&b, CONF_STRING_MAX_BYTES);
	for (c = peek(r); c >= 0 && c != '"' && c != '\n'; c = peek(r)) {
		r->at++;
		if (c == '\\' && (peek(r) == '"' || peek(r) == '\\'))
			c = r->text.ptr[r->at++];
		if ((c < ' ' && c != '\t') || c == 0x7f) {
			conf_fail(r->w, r->line,
				"a text holds the control byte 0x%02x; "
				"write it without",
				(unsigned)c);
			base_buf_release(&b);
			return broken(r);
		}
		base_buf_append_byte(&b, (uint8_t)c);
	}
	if (c != '"')
		conf_fail(r->w, r->line, "a text is not closed; add \" before the line ends");
	else if (!base_buf_ok(&b))
		conf_fail(r->w, r->line, "a text is longer than %d bytes", CONF_STRING_MAX_BYTES);
	if (c != '"' || !base_buf_ok(&b)) {
		base_buf_release(&b);
		return broken(r);
	}
	r->at++;
	*out = conf_arena_text(r->w->arena, base_buf_slice(&b));
	base_buf_release(&b);
	return true;
}

/* A string or a bare word. */
static bool take_plain(struct reader *r, struct conf_value *v)
{
	struct base_slice word;
	uint64_t number;

	v->line = r->line;
	if (peek(r) == '"') {
		r->at++;
		v->kind = CONF_VALUE_STRING;
		return take_string(r, &v->text);
	}
	word = take_word(r);
	if (word.len == 0)
		return expected(r, "a value");
	v->text = conf_arena_text(r->w->arena, word);
	if (base_slice_to_u64(word, &number))
		v->kind = CONF_VALUE_NUMBER;
	else if (base_slice_equal_text(word, "true") || base_slice_equal_text(word, "false"))
		v->kind = CONF_VALUE_BOOL;
	else
		v->kind = CONF_VALUE_WORD;
	return true;
}

/* Behind the opening brace. */
static bool take_list(struct reader *r, struct conf_value *v)
{
	struct conf_value **end = &v->items;

	v->kind = CONF_VALUE_LIST;
	for (;;) {
		skip_blank(r);
		if (peek(r) == '}')
			break;
		*end = conf_arena_alloc(r->w->arena, sizeof(**end));
		if (!take_plain(r, *end))
			return false;
		end = &(*end)->next;
		v->count++;
		skip_blank(r);
		if (peek(r) == ',')
			r->at++;
		else if (peek(r) != '}')
			return expected(r, "a comma or } in the list");
	}
	r->at++;
	return true;
}

/* Behind the equals sign. */
static bool take_value(struct reader *r, struct conf_value *v)
{
	skip_blank(r);
	v->line = r->line;
	if (peek(r) != '{')
		return take_plain(r, v);
	r->at++;
	return take_list(r, v);
}

static bool add_key(struct reader *r, struct conf_section *s, struct base_slice name, unsigned line)
{
	struct conf_key **end = &s->keys;
	struct conf_key *key = conf_arena_alloc(r->w->arena, sizeof(*key));
	unsigned count = 0;

	key->name = conf_arena_text(r->w->arena, name);
	key->line = line;
	if (!take_value(r, &key->value))
		return false;
	for (; *end; end = &(*end)->next)
		count++;
	*end = key;
	if (count < CONF_KEYS_MAX)
		return true;
	conf_fail(r->w, line, "more than %d keys in one section", CONF_KEYS_MAX);
	return broken(r);
}

static bool unclosed(struct reader *r, const struct conf_section *s, bool at_end)
{
	const char *sp = s->title ? " " : "", *title = s->title ? s->title : "";

	if (at_end)
		conf_fail(r->w, s->line, "section %s%s%s is not closed; add }", s->name, sp, title);
	else
		conf_fail(r->w, s->line,
			"section %s%s%s is not closed before the section of line %u; "
			"add }",
			s->name, sp, title, r->line);
	return broken(r);
}

static bool no_equals(struct reader *r, struct base_slice name, unsigned line)
{
	conf_fail(r->w, line, "%.*s has no value; write %.*s = …", BASE_SLICE_ARGS(name),
		BASE_SLICE_ARGS(name));
	return broken(r);
}

/* At a title: does a section begin here? Nothing is taken. */
static bool section_begins(const struct reader *r)
{
	struct reader ahead = *r;

	if (peek(&ahead) == '"') {
		for (ahead.at++; peek(&ahead) != '"'; ahead.at++)
			if (peek(&ahead) < 0 || peek(&ahead) == '\n')
				return false;
		ahead.at++;
	} else {
		take_word(&ahead);
	}
	skip_blank(&ahead);
	return peek(&ahead) == '{';
}

/* Behind the opening brace of a section. */
static bool take_keys(struct reader *r, struct conf_section *s)
{
	for (;;) {
		struct base_slice name;
		unsigned line;

		skip_blank(r);
		line = r->line;
		if (peek(r) < 0)
			return unclosed(r, s, true);
		if (peek(r) == '}') {
			r->at++;
			return true;
		}
		name = take_word(r);
		if (name.len == 0)
			return expected(r, "a key or }");
		skip_blank(r);
		if (section_begins(r))
			return r->line = line, unclosed(r, s, false);
		if (peek(r) != '=')
			return no_equals(r, name, line);
		r->at++;
		if (!add_key(r, s, name, line))
			return false;
	}
}

/* Behind the name: a title or the brace stands here. */
static bool take_section(struct reader *r, struct conf_section *s)
{
	if (peek(r) == '"') {
		r->at++;
		if (!take_string(r, &s->title))
			return false;
	} else if (is_word_byte(peek(r))) {
		s->title = conf_arena_text(r->w->arena, take_word(r));
	}
	skip_blank(r);
	r->at++;
	return take_keys(r, s);
}

static bool take_top(struct reader *r, struct conf_tree *tree, struct conf_section ***end)
{
	unsigned line = r->line;
	struct base_slice name = take_word(r);
	struct conf_section *s;

	if (name.len == 0)
		return expected(r, "a key or a section");
	skip_blank(r);
	if (peek(r) == '=') {
		r->at++;
		return add_key(r, tree->first, name, line);
	}
	if (tree->section_count == CONF_SECTIONS_MAX) {
		conf_fail(r->w, line, "more than %d sections", CONF_SECTIONS_MAX);
		return broken(r);
	}
	if (!section_begins(r))
		return no_equals(r, name, line);
	s = conf_arena_alloc(r->w->arena, sizeof(*s));
	s->name = conf_arena_text(r->w->arena, name);
	s->line = line;
	**end = s;
	*end = &s->next;
	tree->section_count++;
	return take_section(r, s);
}

/* Not UTF-8, or a NUL: nothing in the file can be trusted to mean what it looks like. */
static bool bytes_good(struct conf_work *w, struct base_slice text)
{
	struct base_slice rest = text, line;
	unsigned number = 0;

	while (base_slice_split(&rest, '\n', &line)) {
		number++;
		if (base_slice_has(line, 0) || !base_utf8_valid(line)) {
			conf_fail(w, number,
				base_slice_has(line, 0)
					? "the line holds a NUL byte; remove it"
					: "the line is not UTF-8; save the file as UTF-8");
			w->broken = true;
			return false;
		}
	}
	return true;
}

void conf_syntax_parse(struct conf_work *w, struct base_slice text, struct conf_tree *out)
{
	struct reader r = {.w = w, .text = text, .line = 1};
	struct conf_section **end;

	*out = (struct conf_tree){.first = conf_arena_alloc(w->arena, sizeof(*out->first))};
	out->first->name = conf_arena_text(w->arena, BASE_SLICE_EMPTY);
	out->first->line = 1;
	end = &out->first->next;
	if (!bytes_good(w, text))
		return;
	if (base_slice_starts_with(text, BASE_SLICE("\xef\xbb\xbf")))
		r.at = 3;
	for (;;) {
		skip_blank(&r);
		if (peek(&r) < 0 || !take_top(&r, out, &end))
			return;
	}
}
