/* OAUTHBEARER (RFC 7628) and XOAUTH2: key=value pairs between bytes 1; and the AUTH= parameter. */
#include "base/xtext.h"
#include "cli/explain_internal.h"
#include "smtp/mailbox.h"
#include "wire/oauth_error.h"

#include <string.h>

/* The answer to an error: one byte 1, or nothing. */
static void on_dummy(struct base_slice m, struct explain_line *l)
{
	bool right = m.len == 0 || base_slice_equal_text(m, "\1");

	explain_say(l, right ? "understood: the refusal may come" : "not an answer to the error");
	if (!right)
		explain_mistake(l, EXPLAIN_OAUTH_ERROR, "%s", "");
}

static void say_token(struct explain *e, struct base_slice value, struct explain_line *l)
{
	size_t blank = base_slice_find(value, ' ');

	explain_say(l, ", ");
	if (blank < value.len) {
		explain_quote(l, base_slice_first(value, blank), 20);
		explain_say(l, " token ");
		value = base_slice_from(value, blank + 1);
	} else {
		explain_say(l, "token ");
	}
	explain_secret(e, l, value);
}

/* What stands behind the header, byte 1 between pairs. */
static void on_pairs(struct explain *e, struct base_slice rest, struct explain_line *l)
{
	bool ended = rest.len > 1 && rest.ptr[rest.len - 1] == 1 && rest.ptr[rest.len - 2] == 1;
	bool token = false;
	struct base_slice pair;

	while (base_slice_split(&rest, 1, &pair) && pair.len) {
		size_t eq = base_slice_find(pair, '=');
		struct base_slice key = base_slice_first(pair, eq);
		struct base_slice value = base_slice_from(pair, eq + 1);

		if (eq == pair.len) {
			explain_mistake(l, EXPLAIN_OAUTH_FORM, "a pair without =");
		} else if (base_slice_equal_text(key, "auth")) {
			token = true;
			say_token(e, value, l);
		} else if (base_slice_equal_text(key, "user")) {
			explain_say(l, "user ");
			explain_quote(l, value, 256);
		} else if (base_slice_equal_text(key, "host") ||
			base_slice_equal_text(key, "port")) {
			explain_say(l, key.ptr[0] == 'h' ? ", host " : ", port ");
			explain_quote(l, value, 256);
		}
	}
	if (!ended)
		explain_mistake(l, EXPLAIN_OAUTH_FORM, "the two bytes 1 at the end are missing");
	else if (rest.len)
		explain_mistake(l, EXPLAIN_OAUTH_FORM, "there is more behind the end");
	else if (!token)
		explain_mistake(l, EXPLAIN_OAUTH_FORM, "auth= is missing");
}

/* "n,a=user@example.org," */
static void on_header(struct base_slice header, struct explain_line *l)
{
	struct base_slice flag, name;
	struct base_slice rest = header;

	if (!base_slice_split(&rest, ',', &flag) ||
		(!base_slice_equal_text(flag, "n") && !base_slice_equal_text(flag, "y"))) {
		explain_mistake(l, EXPLAIN_OAUTH_HEADER, "%s", "");
		return;
	}
	name = base_slice_first(rest, base_slice_find(rest, ','));
	if (base_slice_from(rest, name.len).len != 1)
		explain_mistake(l, EXPLAIN_OAUTH_HEADER, "it does not end in a comma");
	if (name.len == 0) {
		explain_say(l, "no user named");
	} else if (base_slice_starts_with(name, BASE_SLICE("a="))) {
		explain_say(l, "user ");
		explain_quote(l, base_slice_from(name, 2), 256);
	} else {
		explain_say(l, "no a=");
		explain_mistake(l, EXPLAIN_OAUTH_HEADER, "between the commas stands no a=");
	}
}

void explain_oauth_client(struct explain *e, struct base_slice m, struct explain_line *l)
{
	size_t header = base_slice_find(m, 1);

	if (e->x.refused) {
		on_dummy(m, l);
		return;
	}
	if (e->x.kind == EXPLAIN_KIND_OAUTHBEARER) {
		on_header(base_slice_first(m, header), l);
		m = base_slice_from(m, header + 1);
	}
	on_pairs(e, m, l);
}

void explain_oauth_server(struct explain *e, struct base_slice m, struct explain_line *l)
{
	struct base_buf words;

	e->x.refused = true;
	base_buf_init(&words, WIRE_OAUTH_ERROR_MAX_BYTES);
	wire_oauth_error_words(m, &words);
	explain_say(l, "%s", base_buf_text(&words));
	base_buf_release(&words);
}

void explain_auth_parameter(struct base_slice argument, struct explain_line *l)
{
	static const struct base_slice key = {(const uint8_t *)"AUTH=", 5};
	struct smtp_mailbox mailbox;
	struct base_slice word;
	struct base_buf name;
	size_t offset = 0;

	/* Behind the path, which may hold blanks between quotes. */
	argument = base_slice_from(argument,
		base_slice_find_last(argument, '>') == argument.len
			? 0
			: base_slice_find(argument, '>') + 1);
	while (word = base_slice_word(&argument),
		word.len && !base_slice_starts_with_nocase(word, key))
		continue;
	if (word.len == 0)
		return;
	word = base_slice_from(word, key.len);
	if (base_slice_equal_text(word, "<>")) {
		explain_say(l, "; AUTH=<>: who submitted it is not known");
		return;
	}
	base_buf_init(&name, EXPLAIN_MESSAGE_MAX);
	explain_say(l, "; submitted by ");
	if (!base_xtext_decode(word, &name, &offset)) {
		explain_quote(l, word, 256);
		explain_mistake(l, EXPLAIN_AUTH_PARAMETER, "position %zu is no xtext", offset + 1);
	} else {
		explain_quote(l, base_buf_slice(&name), 256);
		if (smtp_mailbox_parse(base_buf_slice(&name), &mailbox) != SMTP_MAILBOX_OK)
			explain_mistake(l, EXPLAIN_AUTH_PARAMETER, "this is no mailbox");
	}
	base_buf_release(&name);
}
