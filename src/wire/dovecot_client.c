/* The client end: how an SMTP server asks who may log in.
 *
 *   hello                          we: VERSION, CPID
 *   VERSION, MECH…, SPID, CUID, COOKIE in any order, then DONE
 *   after DONE, in any order:      we: AUTH, CONT, CANCEL      server: OK, FAIL, CONT
 *
 * Words that are not known are skipped, before and after DONE. A reply that can be laid at the door
 * of one request (OK without a user, a challenge that is not base64) fails that request as temporary;
 * only what leaves the stream's meaning open is BROKEN. */
#include "base/base64.h"
#include "wire/dovecot_internal.h"

enum { CLIENT_MAJOR = 1, CLIENT_MINOR = 3 };

void wire_dovecot_client_init(struct wire_dovecot_client *c)
{
	*c = (struct wire_dovecot_client){0};
}

void wire_dovecot_client_hello(struct base_buf *out, uint32_t pid)
{
	base_buf_printf(
		out, "VERSION\t%d\t%d\nCPID\t%u\n", CLIENT_MAJOR, CLIENT_MINOR, pid ? pid : 1u);
}

static enum wire_dovecot_client_event broken(struct wire_dovecot_client *c, const char *why)
{
	c->broken = why;
	return WIRE_CLIENT_BROKEN;
}

static enum wire_dovecot_client_event on_version(
	struct wire_dovecot_client *c, struct base_slice rest)
{
	struct base_slice field;
	uint64_t major, minor;

	if (c->version_seen)
		return broken(c, "second VERSION");
	if (!base_slice_split(&rest, '\t', &field) || !base_slice_to_u64(field, &major))
		return broken(c, "VERSION without a number");
	if (major != CLIENT_MAJOR)
		return broken(c, "VERSION of another major number");
	if (!base_slice_split(&rest, '\t', &field) || !base_slice_to_u64(field, &minor))
		return broken(c, "VERSION without a minor number");
	c->version_seen = true;
	c->minor = minor > 255 ? 255 : (unsigned)minor;
	return WIRE_CLIENT_MORE;
}

static unsigned mech_flag(struct base_slice field)
{
	static const struct {
		const char *name;
		unsigned flag;
	} flags[] = {
		{"anonymous", WIRE_MECH_ANONYMOUS},
		{"plaintext", WIRE_MECH_PLAINTEXT},
		{"dictionary", WIRE_MECH_DICTIONARY},
		{"active", WIRE_MECH_ACTIVE},
		{"forward-secrecy", WIRE_MECH_FORWARD_SECRECY},
		{"mutual-auth", WIRE_MECH_MUTUAL_AUTH},
		{"private", WIRE_MECH_PRIVATE},
		{"channel-binding", WIRE_MECH_CHANNEL_BINDING},
	};

	for (size_t i = 0; i < BASE_COUNT(flags); i++)
		if (base_slice_equal_text(field, flags[i].name))
			return flags[i].flag;
	return 0;
}

static enum wire_dovecot_client_event on_mech(struct wire_dovecot_client *c, struct base_slice rest)
{
	struct base_slice field;

	if (c->done || !base_slice_split(&rest, '\t', &c->mech_name) || !c->mech_name.len)
		return WIRE_CLIENT_MORE;
	c->mech_flags = 0;
	while (base_slice_split(&rest, '\t', &field))
		c->mech_flags |= mech_flag(field);
	c->mech_seen = true;
	return WIRE_CLIENT_MECH;
}

static enum wire_dovecot_client_event on_done(struct wire_dovecot_client *c)
{
	if (c->done)
		return WIRE_CLIENT_MORE;
	if (!c->version_seen)
		return broken(c, "DONE without VERSION");
	if (!c->mech_seen)
		return broken(c, "DONE without a mechanism");
	c->done = true;
	return WIRE_CLIENT_DONE;
}

static enum wire_dovecot_client_event fail_temporary(struct wire_dovecot_client *c)
{
	c->fail = WIRE_FAIL_TEMPORARY;
	c->user = c->resp = c->binding = BASE_SLICE_EMPTY;
	c->has_resp = c->out_of_band = false;
	return WIRE_CLIENT_FAIL;
}

static enum wire_dovecot_client_event on_ok(
	struct wire_dovecot_client *c, struct base_slice rest, struct base_buf *scratch)
{
	struct base_slice field, value;
	bool user_seen = false;

	while (base_slice_split(&rest, '\t', &field)) {
		if (wire_field_is(field, "user", &value)) {
			if (user_seen || !wire_value_unescape(value, scratch, &c->user))
				return fail_temporary(c);
			user_seen = true;
		} else if (wire_field_is(field, "resp", &value)) {
			if (c->has_resp || !wire_value_base64(value, scratch, &c->resp))
				return fail_temporary(c);
			c->has_resp = true;
		}
	}
	return c->user.len ? WIRE_CLIENT_OK : fail_temporary(c);
}

/* Protocol 1.2 and later say code=NAME, older ones a bare word. */
static bool fail_code(struct base_slice field, enum wire_dovecot_fail *out)
{
	static const struct {
		const char *code, *flag;
		enum wire_dovecot_fail fail;
	} codes[] = {
		{"temp_fail", "temp", WIRE_FAIL_TEMPORARY},
		{"authz_fail", "authz", WIRE_FAIL_AUTHZ},
		{"user_disabled", "user_disabled", WIRE_FAIL_DISABLED},
		{"pass_expired", "pass_expired", WIRE_FAIL_EXPIRED},
		{"invalid_base64", NULL, WIRE_FAIL_BASE64},
	};
	struct base_slice value;
	bool code = wire_field_is(field, "code", &value);

	for (size_t i = 0; i < BASE_COUNT(codes); i++) {
		const char *name = code ? codes[i].code : codes[i].flag;

		if (name && base_slice_equal_text(code ? value : field, name)) {
			*out = codes[i].fail;
			return true;
		}
	}
	return false;
}

static enum wire_dovecot_client_event on_fail(
	struct wire_dovecot_client *c, struct base_slice rest, struct base_buf *scratch)
{
	struct base_slice field, value;

	c->fail = WIRE_FAIL_REJECTED;
	while (base_slice_split(&rest, '\t', &field)) {
		if (wire_field_is(field, "user", &value)) {
			if (!wire_value_unescape(value, scratch, &c->user))
				return fail_temporary(c);
		} else if (!fail_code(field, &c->fail) && wire_field_is(field, "resp", &value)) {
			if (!wire_value_base64(value, scratch, &c->resp))
				return fail_temporary(c);
			c->has_resp = true;
		}
	}
	return WIRE_CLIENT_FAIL;
}

static enum wire_dovecot_client_event on_cont(
	struct wire_dovecot_client *c, struct base_slice rest, struct base_buf *scratch)
{
	struct base_slice field, value;

	c->has_resp = true;
	if (base_slice_split(&rest, '\t', &field)) {
		if (base_slice_equal_text(field, "#"))
			c->out_of_band = true;
		else if (!wire_value_base64(field, scratch, &c->resp))
			return fail_temporary(c);
	}
	while (base_slice_split(&rest, '\t', &field))
		if (wire_field_is(field, "channel_binding", &value) &&
			!wire_value_unescape(value, scratch, &c->binding))
			return fail_temporary(c);
	if (c->out_of_band && !c->binding.len)
		return fail_temporary(c);
	return WIRE_CLIENT_CONT;
}

static enum wire_dovecot_client_event on_reply(struct wire_dovecot_client *c,
	struct base_slice word, struct base_slice rest, struct base_buf *scratch)
{
	if (!c->done)
		return broken(c, "a reply before DONE");
	if (!wire_field_id(&rest, &c->id))
		return broken(c, "a reply without a request number");
	/* What is decoded is never longer than its line, so the slices into it stay where they are. */
	if (rest.len && !base_buf_reserve(scratch, rest.len))
		return broken(c, "a reply does not fit");
	if (base_slice_equal_text(word, "OK"))
		return on_ok(c, rest, scratch);
	if (base_slice_equal_text(word, "FAIL"))
		return on_fail(c, rest, scratch);
	return on_cont(c, rest, scratch);
}

static enum wire_dovecot_client_event on_line(
	struct wire_dovecot_client *c, struct base_slice line, struct base_buf *scratch)
{
	struct base_slice word, number;
	uint64_t value;

	if (!base_slice_split(&line, '\t', &word))
		return WIRE_CLIENT_MORE;
	if (base_slice_equal_text(word, "OK") || base_slice_equal_text(word, "FAIL") ||
		base_slice_equal_text(word, "CONT"))
		return on_reply(c, word, line, scratch);
	if (base_slice_equal_text(word, "VERSION"))
		return on_version(c, line);
	if (base_slice_equal_text(word, "MECH"))
		return on_mech(c, line);
	if (base_slice_equal_text(word, "DONE"))
		return on_done(c);
	if (base_slice_equal_text(word, "COOKIE"))
		c->cookie_seen = true;
	if (base_slice_split(&line, '\t', &number) && base_slice_to_u64(number, &value) &&
		value <= UINT32_MAX) {
		if (base_slice_equal_text(word, "SPID"))
			c->spid = (uint32_t)value;
		else if (base_slice_equal_text(word, "CUID"))
			c->cuid = (uint32_t)value;
	}
	return WIRE_CLIENT_MORE;
}

enum wire_dovecot_client_event wire_dovecot_client_next(struct wire_dovecot_client *c,
	struct base_slice in, size_t *out_used, struct base_buf *scratch)
{
	*out_used = 0;
	base_buf_clear(scratch);
	for (;;) {
		struct base_slice line;
		size_t used;
		enum wire_dovecot_client_event event;

		c->id = 0;
		c->user = c->resp = c->binding = c->mech_name = BASE_SLICE_EMPTY;
		c->has_resp = c->out_of_band = false;
		c->fail = WIRE_FAIL_REJECTED;
		if (c->broken)
			return WIRE_CLIENT_BROKEN;
		switch (wire_line_take(base_slice_from(in, *out_used), &line, &used)) {
		case WIRE_LINE_MORE:
			return WIRE_CLIENT_MORE;
		case WIRE_LINE_LONG:
			return broken(c, "a line is too long");
		case WIRE_LINE_GOT:
			break;
		}
		*out_used += used;
		event = on_line(c, line, scratch);
		if (event != WIRE_CLIENT_MORE)
			return event;
	}
}

static void put_address(struct base_buf *out, const char *ip_name, struct base_slice ip,
	const char *port_name, uint16_t port)
{
	wire_field_put(out, ip_name, ip);
	if (port)
		base_buf_printf(out, "\t%s=%u", port_name, (unsigned)port);
}

/* An empty initial response is written "=": before protocol 1.2 an empty field meant that there is
 * none, and every version reads "=" as empty. */
static void put_initial(struct base_buf *out, const struct base_slice *initial)
{
	base_buf_append_text(out, "\tresp=");
	if (initial->len)
		base64_encode(*initial, out);
	else
		base_buf_append_byte(out, '=');
}

bool wire_dovecot_client_auth(
	struct base_buf *out, uint32_t id, const struct wire_dovecot_auth *auth)
{
	struct wire_mark mark = wire_mark_set(out);

	if (auth->initial && auth->initial->len > WIRE_DOVECOT_LINE_MAX_BYTES)
		return false;
	base_buf_printf(out, "AUTH\t%u\t", id);
	wire_dovecot_escape(auth->mechanism, out);
	/* Later servers also know "protocol=smtp", all of them know this. */
	base_buf_append_text(out, "\tservice=smtp");
	if (auth->nologin)
		base_buf_append_text(out, "\tnologin");
	if (auth->no_penalty)
		base_buf_append_text(out, "\tno-penalty");
	if (auth->final_resp_ok)
		base_buf_append_text(out, "\tfinal-resp-ok");
	if (auth->secured)
		base_buf_append_text(out, "\tsecured=tls");
	put_address(out, "lip", auth->local_ip, "lport", auth->local_port);
	put_address(out, "rip", auth->remote_ip, "rport", auth->remote_port);
	wire_field_put(out, "local_name", auth->local_name);
	wire_field_put(out, "session", auth->session);
	if (auth->plus_offered)
		base_buf_append_text(out, "\tpostern_plus=1");
	if (auth->initial)
		put_initial(out, auth->initial);
	return wire_mark_end(out, mark);
}

bool wire_dovecot_client_cont(struct base_buf *out, uint32_t id, struct base_slice response,
	const struct base_slice *binding_data, bool out_of_band)
{
	struct wire_mark mark = wire_mark_set(out);

	if (response.len > WIRE_DOVECOT_LINE_MAX_BYTES ||
		(binding_data && binding_data->len > WIRE_DOVECOT_LINE_MAX_BYTES))
		return false;
	base_buf_printf(out, "CONT\t%u\t", id);
	if (out_of_band)
		base_buf_append_byte(out, '#');
	else
		base64_encode(response, out);
	if (binding_data) {
		base_buf_append_text(out, "\tchannel_binding=");
		base64_encode(*binding_data, out);
	}
	return wire_mark_end(out, mark);
}

bool wire_dovecot_client_cancel(struct base_buf *out, uint32_t id)
{
	struct wire_mark mark = wire_mark_set(out);

	base_buf_printf(out, "CANCEL\t%u", id);
	return wire_mark_end(out, mark);
}
