/* One AUTH exchange: the line that begins it, challenges, responses, the end. What stands inside the
 * decoded messages is explain_scram.c's, explain_digest.c's and explain_oauth.c's. */
#include "base/utf8.h"
#include "cli/cli.h"
#include "cli/explain_internal.h"

#include <string.h>

static const struct kind {
	const char *name;
	enum explain_kind kind;
	bool secret;       /* its responses hold a password or a token, readable */
	bool server_first; /* no initial response */
	const char *words;
} kinds[] = {
	{"PLAIN", EXPLAIN_KIND_PLAIN, true, false,
		"PLAIN: user and password themselves, between NUL bytes; fit for TLS only"},
	{"LOGIN", EXPLAIN_KIND_LOGIN, true, false,
		"LOGIN: user and password themselves, one after the other; fit for TLS only"},
	{"CRAM-MD5", EXPLAIN_KIND_CRAM, false, true,
		"CRAM-MD5: the password is not sent, but the server must keep it readable"},
	{"DIGEST-MD5", EXPLAIN_KIND_DIGEST, false, true,
		"DIGEST-MD5: challenge and digest; given up by RFC 6331"},
	{"XOAUTH2", EXPLAIN_KIND_XOAUTH2, true, false,
		"XOAUTH2: user and an access token; fit for TLS only"},
	{"OAUTHBEARER", EXPLAIN_KIND_OAUTHBEARER, true, false,
		"OAUTHBEARER: an access token (RFC 7628); fit for TLS only"},
	{"EXTERNAL", EXPLAIN_KIND_EXTERNAL, false, false,
		"EXTERNAL: who I am, my TLS certificate has shown"},
	{"ANONYMOUS", EXPLAIN_KIND_ANONYMOUS, false, false,
		"ANONYMOUS: no login, a word about oneself"},
};

static const struct kind other = {
	"", EXPLAIN_KIND_OTHER, true, false, "a mechanism that is only named here"};

static const struct kind *kind_of(const struct explain_exchange *x)
{
	for (size_t i = 0; i < BASE_COUNT(kinds); i++)
		if (kinds[i].kind == x->kind)
			return &kinds[i];
	return &other;
}

bool explain_server_first(const struct explain_exchange *x)
{
	return x->running && kind_of(x)->server_first;
}

void explain_exchange_release(struct explain_exchange *x)
{
	base_buf_release(&x->challenge);
	base_buf_release(&x->scram.header);
	base_buf_release(&x->scram.first_bare);
	base_buf_release(&x->scram.server_first);
	base_buf_release(&x->scram.nonce);
	base_buf_release(&x->scram.salt);
	*x = (struct explain_exchange){0};
}

static void begin(struct explain *e, struct base_slice name)
{
	struct explain_exchange *x = &e->x;

	explain_exchange_release(x);
	x->running = true;
	x->announced = e->knows_offer && explain_offers(e, name);
	if (sasl_mechanism_name_valid(name))
		for (size_t i = 0; i < name.len; i++)
			x->name[i] = name.ptr[i] >= 'a' && name.ptr[i] <= 'z'
				? (char)(name.ptr[i] - 32)
				: (char)name.ptr[i];
	else
		x->name[0] = '?';
	x->mechanism = sasl_mechanism_parse(name);
	if (sasl_mechanism_info(x->mechanism)->flags & SASL_SCRAM)
		x->kind = EXPLAIN_KIND_SCRAM;
	for (size_t i = 0; i < BASE_COUNT(kinds); i++)
		if (base_slice_equal_text_nocase(name, kinds[i].name))
			x->kind = kinds[i].kind;
	base_buf_init(&x->challenge, EXPLAIN_MESSAGE_MAX);
	base_buf_init(&x->scram.header, EXPLAIN_MESSAGE_MAX);
	base_buf_init(&x->scram.first_bare, EXPLAIN_MESSAGE_MAX);
	base_buf_init(&x->scram.server_first, EXPLAIN_MESSAGE_MAX);
	base_buf_init(&x->scram.nonce, EXPLAIN_MESSAGE_MAX);
	base_buf_init(&x->scram.salt, EXPLAIN_MESSAGE_MAX);
}

static const char *scram_words(const struct explain_exchange *x)
{
	return sasl_mechanism_info(x->mechanism)->flags & SASL_CHANNEL_BINDING
		? "the password is never sent, and the login is bound to this TLS channel"
		: "the password is never sent";
}

/* "(response, 4 characters, not shown)" of postern try, "<4 bytes>" of postern record, "[response]" of
 * postern send; a real response holds no such sign. */
static bool is_mark(struct base_slice text)
{
	static const uint8_t open[] = {'(', '<', '['}, close[] = {')', '>', ']'};

	for (size_t i = 0; i < BASE_COUNT(open); i++)
		if (text.len > 1 && text.ptr[0] == open[i] && text.ptr[text.len - 1] == close[i])
			return true;
	return false;
}

static bool holds_secret(const struct explain_exchange *x)
{
	if (x->kind == EXPLAIN_KIND_LOGIN)
		return x->asks_password || x->responses > 1 || x->bad_base64;
	return kind_of(x)->secret && x->kind != EXPLAIN_KIND_SCRAM;
}

/* Passwords themselves, not made into something else. */
static void check_clear(struct explain *e, struct explain_line *l)
{
	struct explain_exchange *x = &e->x;

	if (e->tls || x->in_clear_said || x->refused || x->kind == EXPLAIN_KIND_OTHER ||
		!kind_of(x)->secret || !holds_secret(x))
		return;
	x->in_clear_said = true;
	explain_mistake(l, EXPLAIN_IN_CLEAR, "%s", "");
}

static void check_text(struct base_slice s, const char *what, struct explain_line *l)
{
	if (s.len == 0)
		explain_mistake(l, EXPLAIN_EMPTY, "the %s is empty", what);
	if (!base_utf8_valid(s))
		explain_mistake(l, EXPLAIN_NOT_UTF8, "the %s is not", what);
	if (s.len && s.ptr[0] == '\t')
		explain_mistake(l, EXPLAIN_PLAIN_TAB, "at the beginning of the %s", what);
	if (s.len && (s.ptr[s.len - 1] == '\n' || s.ptr[s.len - 1] == '\r'))
		explain_mistake(l, EXPLAIN_LINE_END, "at the end of the %s", what);
}

static void compare(const struct explain *e, struct base_slice user, struct base_slice password,
	struct explain_line *l)
{
	if (!explain_knows_password(e))
		return;
	if (user.ptr && !base_slice_equal(user, base_buf_slice(&e->user)))
		explain_say(l, "; not the user that was given");
	explain_say(l,
		base_slice_equal(password, base_buf_slice(&e->password))
			? "; the password matches"
			: "; the password does not match");
}

static void on_plain(struct explain *e, struct base_slice m, struct explain_line *l)
{
	struct base_slice part[3] = {{0}}, rest = m;
	size_t nuls = 0;

	for (size_t i = 0; i < m.len; i++)
		nuls += m.ptr[i] == '\0';
	if (nuls != 2) {
		explain_say(
			l, "PLAIN's message, but with %zu NUL byte%s", nuls, nuls == 1 ? "" : "s");
		explain_mistake(l, EXPLAIN_PLAIN_FORM,
			memmem(m.ptr, m.len, "\\0", 2) ? "here are %zu; a backslash and a 0 are "
							 "not a NUL byte, printf makes one"
						       : "here are %zu",
			nuls);
		return;
	}
	for (size_t i = 0; i < 3; i++) {
		size_t end = base_slice_find(rest, '\0');

		part[i] = base_slice_first(rest, end);
		rest = base_slice_from(rest, end + 1);
	}
	explain_say(l, "user ");
	explain_quote(l, part[1], 256);
	explain_say(l, ", password ");
	explain_secret(e, l, part[2]);
	if (part[0].len) {
		explain_say(l, ", to act as ");
		explain_quote(l, part[0], 256);
	}
	check_text(part[1], "user", l);
	check_text(part[2], "password", l);
	compare(e, part[1], part[2], l);
}

static void on_login(struct explain *e, struct base_slice m, struct explain_line *l)
{
	bool password = holds_secret(&e->x);

	explain_say(l, password ? "the password: " : "the user: ");
	if (password)
		explain_secret(e, l, m);
	else
		explain_quote(l, m, 256);
	check_text(m, password ? "password" : "user", l);
	if (password)
		compare(e, BASE_SLICE_EMPTY, m, l);
	else if (explain_knows_password(e) && !base_slice_equal(m, base_buf_slice(&e->user)))
		explain_say(l, "; not the user that was given");
}

static void on_external(struct base_slice m, struct explain_line *l)
{
	if (m.len == 0) {
		explain_say(l, "empty: as whom the certificate says");
		return;
	}
	explain_say(l, "to act as ");
	explain_quote(l, m, 256);
	if (!base_utf8_valid(m))
		explain_mistake(l, EXPLAIN_NOT_UTF8, "%s", "");
}

static void on_message(struct explain *e, struct base_slice m, struct explain_line *l)
{
	switch (e->x.kind) {
	case EXPLAIN_KIND_PLAIN:
		on_plain(e, m, l);
		break;
	case EXPLAIN_KIND_LOGIN:
		on_login(e, m, l);
		break;
	case EXPLAIN_KIND_CRAM:
		explain_cram_client(e, m, l);
		break;
	case EXPLAIN_KIND_DIGEST:
		explain_digest_client(e, m, l);
		break;
	case EXPLAIN_KIND_SCRAM:
		explain_scram_client(e, m, l);
		break;
	case EXPLAIN_KIND_XOAUTH2:
	case EXPLAIN_KIND_OAUTHBEARER:
		explain_oauth_client(e, m, l);
		break;
	case EXPLAIN_KIND_EXTERNAL:
		on_external(m, l);
		break;
	case EXPLAIN_KIND_ANONYMOUS:
		explain_say(l, "about oneself: ");
		explain_quote(l, m, 256);
		break;
	case EXPLAIN_KIND_OTHER:
		explain_say(l, "a message of %zu bytes", m.len);
		break;
	}
}

/* A response whose bytes the transcript does not have. */
static void on_unseen(struct explain_exchange *x, struct explain_line *l)
{
	x->unseen = true;
	if (x->kind == EXPLAIN_KIND_PLAIN)
		explain_say(l, "user and password between NUL bytes, in base64");
	else if (x->kind == EXPLAIN_KIND_LOGIN)
		explain_say(l, holds_secret(x) ? "the password, in base64" : "the user, in base64");
	else if (x->kind == EXPLAIN_KIND_CRAM)
		explain_say(l, "user, a blank, and HMAC-MD5 of the challenge under the password");
	else if (x->kind == EXPLAIN_KIND_SCRAM)
		explain_say(l,
			x->responses == 1 ? "client-first: user and a nonce"
				: x->server_final
				? "empty: the client has checked the server's proof"
				: "client-final: channel binding (c=), both nonces (r=), and the "
				  "proof (p=) made from salted password and all of the above");
	else
		explain_say(l, "a response that is not shown");
}

/* @text: without blanks around it; not "*". */
static void take(struct explain *e, struct base_slice text, bool initial, struct explain_line *l)
{
	struct explain_exchange *x = &e->x;
	struct base_buf m;

	x->responses++;
	x->bad_base64 = x->odd = false;
	if (is_mark(text)) {
		check_clear(e, l);
		on_unseen(x, l);
		return;
	}
	base_buf_init_secret(&m, EXPLAIN_MESSAGE_MAX);
	if (initial && base_slice_equal_text(text, "=")) {
		explain_say(l, "an empty initial response: ");
		on_message(e, BASE_SLICE_EMPTY, l);
	} else if (base_slice_equal_text(text, "=")) {
		explain_mistake(l, EXPLAIN_BASE64_EQUALS, "%s", "");
		x->bad_base64 = true;
	} else if (explain_base64(l, text, &m)) {
		on_message(e, base_buf_slice(&m), l);
	} else {
		x->bad_base64 = true;
		explain_say(l, "a response that cannot be decoded");
	}
	check_clear(e, l);
	base_buf_release(&m);
}

/* Show a count in place of what holds a secret, or may: who mixes mechanisms up sends passwords. */
static void hide(
	struct explain *e, const char *before, struct base_slice text, struct explain_line *l)
{
	if (e->show_secrets || text.len == 0 || is_mark(text) || base_slice_equal_text(text, "=") ||
		!(holds_secret(&e->x) || e->x.bad_base64 || e->x.odd))
		return;
	base_buf_clear(&l->text);
	base_buf_printf(&l->text, "%s<%zu characters>", before, text.len);
}

void explain_auth(struct explain *e, struct base_slice argument, struct explain_line *l)
{
	struct base_slice name = base_slice_word(&argument), initial = base_slice_trim(argument);
	const struct kind *kind;
	char before[40];
	bool more;

	l->auth = true;
	begin(e, name);
	kind = kind_of(&e->x);
	if (!sasl_mechanism_name_valid(name)) {
		explain_mistake(l, EXPLAIN_AUTH_WORDS,
			name.len ? "this is no name of a mechanism" : "the mechanism is missing");
		if (name.len && !e->show_secrets) {
			base_buf_clear(&l->text);
			base_buf_printf(&l->text, "AUTH <%zu characters>", name.len);
		}
		return;
	}
	if (e->knows_offer && !e->x.announced)
		explain_mistake(l, EXPLAIN_NOT_ANNOUNCED, "%s was not", e->x.name);
	if (e->x.kind == EXPLAIN_KIND_SCRAM)
		explain_say(
			l, "%s: %s", sasl_mechanism_info(e->x.mechanism)->name, scram_words(&e->x));
	else
		explain_say(l, "%s", kind->words);
	if (initial.len == 0)
		return;
	more = base_slice_has(initial, ' ') && !is_mark(initial);
	if (more) {
		explain_mistake(l, EXPLAIN_AUTH_WORDS, "there is more");
		initial = base_slice_first(initial, base_slice_find(initial, ' '));
	}
	explain_say(l, "; ");
	if (kind->server_first) {
		explain_mistake(l, EXPLAIN_SERVER_FIRST, "%s", "");
		explain_say(l, "an initial response that has no place here");
		e->x.odd = true;
	} else {
		take(e, initial, true, l);
		e->x.odd |= more;
	}
	snprintf(before, sizeof(before), "AUTH %s ", e->x.name);
	hide(e, before, initial, l);
}

void explain_response(struct explain *e, struct base_slice text, struct explain_line *l)
{
	struct explain_exchange *x = &e->x;

	if (base_slice_equal_text(base_slice_trim(text), "*")) {
		x->cancelled = true;
		explain_say(l, "the client gives up");
		return;
	}
	take(e, text, false, l);
	hide(e, "", text, l);
}

static void on_prompt(struct explain_exchange *x, struct base_slice m, struct explain_line *l)
{
	x->asks_password = x->responses > 0;
	for (size_t i = 0; i + 4 <= m.len; i++)
		if (base_slice_equal_text_nocase(base_slice_make(m.ptr + i, 4), "pass"))
			x->asks_password = true;
	explain_say(l, "the server asks: ");
	explain_quote(l, m, 200);
}

static void on_challenge(struct explain *e, struct base_slice m, struct explain_line *l)
{
	struct explain_exchange *x = &e->x;
	bool first = x->challenges == 1;

	if (x->kind == EXPLAIN_KIND_LOGIN)
		on_prompt(x, m, l);
	else if (m.len == 0 && explain_server_first(x))
		explain_say(l, "no challenge");
	else if (m.len == 0 && first && x->responses == 0)
		explain_say(l, "go on: the server waits for the client's message");
	else if (x->kind == EXPLAIN_KIND_CRAM)
		explain_cram_server(e, m, l);
	else if (x->kind == EXPLAIN_KIND_DIGEST)
		explain_digest_server(e, m, l);
	else if (x->kind == EXPLAIN_KIND_SCRAM)
		explain_scram_server(e, m, l);
	else if (x->kind == EXPLAIN_KIND_XOAUTH2 || x->kind == EXPLAIN_KIND_OAUTHBEARER)
		explain_oauth_server(e, m, l);
	else {
		explain_say(l, "a challenge: ");
		explain_quote(l, m, 200);
	}
}

void explain_challenge(struct explain *e, struct base_slice text, struct explain_line *l)
{
	struct explain_exchange *x = &e->x;
	struct base_buf m;

	if (x->bad_base64)
		explain_mistake(l, EXPLAIN_BASE64_CODE, "the server goes on");
	if (x->cancelled)
		explain_mistake(l, EXPLAIN_CANCEL_CODE, "the server goes on");
	x->bad_base64 = x->cancelled = false;
	x->may_fold = text.len == 0;
	x->challenges++;
	base_buf_init(&m, EXPLAIN_MESSAGE_MAX);
	if (explain_base64(l, text, &m))
		on_challenge(e, base_buf_slice(&m), l);
	else
		explain_say(l, "no base64: a client gives up here");
	base_buf_release(&m);
}

static void on_success(struct explain *e, struct explain_line *l)
{
	struct explain_exchange *x = &e->x;

	explain_say(l, "logged in by %s", x->name);
	if (x->bad_base64)
		explain_mistake(l, EXPLAIN_BASE64_CODE, "the server took it");
	if (x->refused)
		explain_mistake(l, EXPLAIN_OAUTH_REFUSED, "%s", "");
	if (x->kind == EXPLAIN_KIND_SCRAM && !x->server_final)
		explain_mistake(l, EXPLAIN_NO_PROOF, "%s", "");
	if (x->kind == EXPLAIN_KIND_DIGEST && !x->server_final)
		explain_mistake(l, EXPLAIN_DIGEST_PROOF, "%s", "");
	e->authenticated = true;
}

static const char *end_words(const struct explain_exchange *x, unsigned code)
{
	switch (code) {
	case 432:
		return "the user must change to this mechanism by PLAIN first";
	case 454:
		return "the server cannot tell now; the client may come again later";
	case 500:
		return "the server knows no AUTH, or the line was too long";
	case 501:
		return x->cancelled ? "given up, as the client wished"
				    : "not as base64 and the mechanism demand";
	case 502:
		return "the server has no AUTH";
	case 503:
		return "AUTH comes after EHLO, once, and not inside a transaction";
	case 504:
		return "the server does not take this mechanism here";
	case 534:
		return "this mechanism is too weak for this user";
	case 535:
		return "user or password is wrong; the reply never says which";
	case 538:
		return "this mechanism would show the password: STARTTLS comes first";
	default:
		return code < 500 ? "the server cannot tell now; the client may come again later"
				  : "refused";
	}
}

void explain_end(struct explain *e, unsigned code, struct explain_line *l)
{
	struct explain_exchange *x = &e->x;

	x->running = false;
	if (x->cancelled && code != 501 && code != 421)
		explain_mistake(l, EXPLAIN_CANCEL_CODE, "here by %u", code);
	if (x->out_of_place && code != 503)
		explain_mistake(l, EXPLAIN_AUTH_NOT_503, "here by %u", code);
	if (code / 100 == 2) {
		on_success(e, l);
		return;
	}
	explain_say(l, "%s", end_words(x, code));
	if (x->bad_base64 && code == 535)
		explain_mistake(l, EXPLAIN_BASE64_CODE, "here by 535");
	if (code == 504 && x->announced)
		explain_mistake(l, EXPLAIN_ANNOUNCED, "%s was announced", x->name);
	e->ended_badly = true;
}
