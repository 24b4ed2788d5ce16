/* The server end: how other programs ask Postern who may log in.
 *
 *   we: VERSION at once        client: VERSION and CPID, in any order, or neither
 *   we: MECH…, SPID, CUID, COOKIE, DONE (some clients give up when SPID comes before MECH)
 *   client: AUTH, CONT, CANCEL, even before DONE
 *
 * Who sends no VERSION is taken as minor 0. Clients below minor 3 hand the rest of a CONT line on to
 * a stranger, and put a stranger's line behind CONT, so for them it has no fields at all: it is one
 * piece of base64, and a TAB in it is bad base64. */
#include "base/base64.h"
#include "wire/dovecot_internal.h"
#include "wire/dovecot_server.h"

enum { SERVER_MAJOR = 1 };

void wire_dovecot_server_init(struct wire_dovecot_server *s)
{
	*s = (struct wire_dovecot_server){0};
}

static enum wire_dovecot_server_event broken(struct wire_dovecot_server *s, const char *why)
{
	s->broken = why;
	return WIRE_SERVER_BROKEN;
}

static enum wire_dovecot_server_event on_version(
	struct wire_dovecot_server *s, struct base_slice rest)
{
	struct base_slice field;
	uint64_t major, minor;

	if (s->version_seen)
		return broken(s, "second VERSION");
	if (!base_slice_split(&rest, '\t', &field) || !base_slice_to_u64(field, &major) ||
		!base_slice_split(&rest, '\t', &field) || !base_slice_to_u64(field, &minor))
		return broken(s, "VERSION without its numbers");
	if (major != SERVER_MAJOR)
		return broken(s, "VERSION of another major number");
	s->version_seen = true;
	s->minor = minor > 255 ? 255 : (unsigned)minor;
	return WIRE_SERVER_VERSION;
}

static void take_port(struct base_slice value, uint16_t *out_port)
{
	uint64_t port;

	if (base_slice_to_u64(value, &port) && port <= UINT16_MAX)
		*out_port = (uint16_t)port;
}

/* Fields that are not known, or known and of no use here, are skipped. */
static bool take_field(
	struct wire_dovecot_request *r, struct base_slice field, struct base_buf *scratch)
{
	struct {
		const char *name;
		struct base_slice *out;
	} texts[] = {
		{"service", &r->service},
		{"protocol", &r->service},
		{"lip", &r->local_ip},
		{"rip", &r->remote_ip},
		{"local_name", &r->local_name},
		{"session", &r->session},
	};
	struct base_slice value;

	for (size_t i = 0; i < BASE_COUNT(texts); i++)
		if (wire_field_is(field, texts[i].name, &value))
			return wire_value_unescape(value, scratch, texts[i].out);
	if (wire_field_is(field, "lport", &value)) {
		take_port(value, &r->local_port);
	} else if (wire_field_is(field, "rport", &value)) {
		take_port(value, &r->remote_port);
	} else if (wire_field_is(field, "secured", &value)) {
		r->secured = true;
		r->secured_tls = base_slice_equal_text(value, "tls");
	} else if (wire_field_is(field, "postern_plus", &value)) {
		r->plus_offered = base_slice_equal_text(value, "1");
	} else if (wire_field_is(field, "final-resp-ok", &value)) {
		r->final_resp_ok = true;
	} else if (wire_field_is(field, "no-penalty", &value)) {
		r->no_penalty = true;
	}
	return true;
}

static bool take_initial(
	struct wire_dovecot_server *s, struct base_slice value, struct base_buf *scratch)
{
	struct wire_dovecot_request *r = &s->request;

	r->initial = BASE_SLICE_EMPTY;
	if (!value.len) {
		r->has_initial = s->minor >= 2;
		return true;
	}
	r->has_initial = true;
	return base_slice_equal_text(value, "=") || wire_value_base64(value, scratch, &r->initial);
}

static enum wire_dovecot_server_event on_auth(
	struct wire_dovecot_server *s, struct base_slice rest, struct base_buf *scratch)
{
	struct base_slice field, value;
	bool ended = false;

	if (!base_slice_split(&rest, '\t', &field) ||
		!wire_value_unescape(field, scratch, &s->request.mechanism))
		return WIRE_SERVER_BAD;
	while (base_slice_split(&rest, '\t', &field)) {
		if (ended)
			return WIRE_SERVER_BAD; /* resp= is the last field: this came out of it */
		ended = wire_field_is(field, "resp", &value);
		if (ended ? !take_initial(s, value, scratch)
			  : !take_field(&s->request, field, scratch))
			return WIRE_SERVER_BAD;
	}
	return WIRE_SERVER_AUTH;
}

static enum wire_dovecot_server_event on_cont(
	struct wire_dovecot_server *s, struct base_slice rest, struct base_buf *scratch)
{
	struct base_slice field, value;

	if (s->minor < WIRE_DOVECOT_MINOR_BINDING)
		return wire_value_base64(rest, scratch, &s->response) ? WIRE_SERVER_CONT
								      : WIRE_SERVER_BAD;
	if (base_slice_split(&rest, '\t', &field)) {
		s->out_of_band = base_slice_equal_text(field, "#");
		if (!s->out_of_band && !wire_value_base64(field, scratch, &s->response))
			return WIRE_SERVER_BAD;
	}
	while (base_slice_split(&rest, '\t', &field)) {
		if (!wire_field_is(field, "channel_binding", &value))
			continue;
		if (s->has_binding || !wire_value_base64(value, scratch, &s->binding))
			return WIRE_SERVER_BAD;
		s->has_binding = true;
	}
	return s->out_of_band && !s->has_binding ? WIRE_SERVER_BAD : WIRE_SERVER_CONT;
}

static enum wire_dovecot_server_event on_request(struct wire_dovecot_server *s,
	struct base_slice word, struct base_slice rest, struct base_buf *scratch)
{
	if (!wire_field_id(&rest, &s->id))
		return broken(s, "a request without a number");
	/* What is decoded is never longer than its line, so the slices into it stay where they are. */
	if (rest.len && !base_buf_reserve(scratch, rest.len))
		return broken(s, "a request does not fit");
	if (base_slice_equal_text(word, "AUTH"))
		return on_auth(s, rest, scratch);
	if (base_slice_equal_text(word, "CONT"))
		return on_cont(s, rest, scratch);
	return WIRE_SERVER_CANCEL;
}

static enum wire_dovecot_server_event on_line(
	struct wire_dovecot_server *s, struct base_slice line, struct base_buf *scratch)
{
	struct base_slice word;

	if (!base_slice_split(&line, '\t', &word))
		return WIRE_SERVER_MORE;
	if (base_slice_equal_text(word, "AUTH") || base_slice_equal_text(word, "CONT") ||
		base_slice_equal_text(word, "CANCEL"))
		return on_request(s, word, line, scratch);
	if (base_slice_equal_text(word, "VERSION"))
		return on_version(s, line);
	if (base_slice_equal_text(word, "CPID")) {
		s->cpid_seen = true;
		return WIRE_SERVER_MORE;
	}
	/* Of a socket for masters, which this is not; who waits for an answer would hang. */
	if (base_slice_equal_text(word, "REQUEST") || base_slice_equal_text(word, "USER") ||
		base_slice_equal_text(word, "PASS") || base_slice_equal_text(word, "LIST"))
		return broken(s, "a request that only masters make");
	return WIRE_SERVER_MORE;
}

enum wire_dovecot_server_event wire_dovecot_server_next(struct wire_dovecot_server *s,
	struct base_slice in, size_t *out_used, struct base_buf *scratch)
{
	*out_used = 0;
	base_buf_clear(scratch);
	for (;;) {
		struct base_slice line;
		size_t used;
		enum wire_dovecot_server_event event;

		s->id = 0;
		s->request = (struct wire_dovecot_request){0};
		s->response = s->binding = BASE_SLICE_EMPTY;
		s->out_of_band = s->has_binding = false;
		if (s->broken)
			return WIRE_SERVER_BROKEN;
		switch (wire_line_take(base_slice_from(in, *out_used), &line, &used)) {
		case WIRE_LINE_MORE:
			return WIRE_SERVER_MORE;
		case WIRE_LINE_LONG:
			return broken(s, "a line is too long");
		case WIRE_LINE_GOT:
			break;
		}
		*out_used += used;
		event = on_line(s, line, scratch);
		if (event != WIRE_SERVER_MORE)
			return event;
	}
}

void wire_dovecot_server_version(struct base_buf *out)
{
	base_buf_printf(out, "VERSION\t%d\t%d\n", SERVER_MAJOR, WIRE_DOVECOT_SERVER_MINOR);
}

void wire_dovecot_server_mech(struct base_buf *out, struct base_slice name, unsigned flags)
{
	static const char *const names[] = {"anonymous", "plaintext", "dictionary", "active",
		"forward-secrecy", "mutual-auth", "private", "channel-binding"};

	base_buf_append_text(out, "MECH\t");
	base_buf_append_slice(out, name);
	for (unsigned i = 0; i < BASE_COUNT(names); i++)
		if (flags & 1u << i) {
			base_buf_append_byte(out, '\t');
			base_buf_append_text(out, names[i]);
		}
	base_buf_append_byte(out, '\n');
}

void wire_dovecot_server_end(struct base_buf *out, uint32_t spid, uint32_t cuid,
	const uint8_t cookie[WIRE_DOVECOT_COOKIE_BYTES])
{
	base_buf_printf(out, "SPID\t%u\nCUID\t%u\nCOOKIE\t", spid, cuid);
	base_hex_encode(base_slice_make(cookie, WIRE_DOVECOT_COOKIE_BYTES), out);
	base_buf_append_text(out, "\nDONE\n");
}

bool wire_dovecot_server_ok(struct base_buf *out, uint32_t id, struct base_slice user,
	const struct base_slice *final_response)
{
	struct wire_mark mark = wire_mark_set(out);

	base_buf_printf(out, "OK\t%u", id);
	wire_field_put(out, "user", user);
	if (final_response) {
		base_buf_append_text(out, "\tresp=");
		base64_encode(*final_response, out);
	}
	return wire_mark_end(out, mark);
}

bool wire_dovecot_server_fail(struct base_buf *out, uint32_t id, struct base_slice user,
	enum wire_dovecot_fail fail, unsigned client_minor)
{
	static const struct {
		const char *code, *flag;
	} words[] = {
		[WIRE_FAIL_REJECTED] = {NULL, NULL},
		[WIRE_FAIL_TEMPORARY] = {"temp_fail", "temp"},
		[WIRE_FAIL_AUTHZ] = {"authz_fail", "authz"},
		[WIRE_FAIL_DISABLED] = {"user_disabled", "user_disabled"},
		[WIRE_FAIL_EXPIRED] = {"pass_expired", "pass_expired"},
		[WIRE_FAIL_BASE64] = {"invalid_base64", NULL},
	};
	struct wire_mark mark = wire_mark_set(out);

	base_buf_printf(out, "FAIL\t%u", id);
	wire_field_put(out, "user", user);
	if (words[fail].code)
		base_buf_printf(out, "\tcode=%s", words[fail].code);
	if (words[fail].flag && client_minor < 2)
		base_buf_printf(out, "\t%s", words[fail].flag);
	return wire_mark_end(out, mark);
}

bool wire_dovecot_server_cont(struct base_buf *out, uint32_t id, struct base_slice challenge,
	struct base_slice binding, bool out_of_band, unsigned client_minor)
{
	struct wire_mark mark = wire_mark_set(out);

	BASE_BUG_IF((binding.len || out_of_band) && client_minor < WIRE_DOVECOT_MINOR_BINDING);
	base_buf_printf(out, "CONT\t%u\t", id);
	if (out_of_band)
		base_buf_append_byte(out, '#');
	else
		base64_encode(challenge, out);
	wire_field_put(out, "channel_binding", binding);
	return wire_mark_end(out, mark);
}

bool wire_dovecot_server_cancelled(struct base_buf *out, uint32_t id)
{
	struct wire_mark mark = wire_mark_set(out);

	base_buf_printf(out, "CANCELLED\t%u", id);
	return wire_mark_end(out, mark);
}
