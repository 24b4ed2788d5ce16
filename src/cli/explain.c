#include "cli/explain.h"

#include "base/base64.h"
#include "base/escape.h"

#include <string.h>

static bool take_prefix(struct base_slice *s, const char *prefix)
{
	if (!base_slice_starts_with_nocase(*s, base_slice_text(prefix)))
		return false;
	*s = base_slice_from(*s, strlen(prefix));
	return true;
}

static bool is_scram(const struct explain *e)
{
	return sasl_mechanism_info(e->mechanism)->flags & SASL_SCRAM;
}

static const char *at_start(const struct explain *e)
{
	unsigned flags = sasl_mechanism_info(e->mechanism)->flags;

	if (e->mechanism == SASL_MECHANISM_PLAIN)
		return "PLAIN: user and password themselves, between NUL bytes, in base64; fit for "
		       "TLS only";
	if (e->mechanism == SASL_MECHANISM_LOGIN)
		return "LOGIN: user and password themselves, one after the other; fit for TLS only";
	if (e->mechanism == SASL_MECHANISM_CRAM_MD5)
		return "CRAM-MD5: the password is not sent, but the server must keep it readable";
	if (flags & SASL_CHANNEL_BINDING)
		return "client-first: user, a nonce, and p=: the login will be bound to this TLS "
		       "channel";
	if (flags & SASL_SCRAM)
		return "client-first: user and a nonce; the password is never sent";
	return "a mechanism that this server does not have";
}

/* "r=…,s=…,i=4096" */
static void server_first(struct base_slice challenge, struct base_buf *out)
{
	struct base_slice rest = challenge, part;

	base_buf_append_text(out, "server-first: both nonces (r=), the user's salt (s=)");
	while (base_slice_split(&rest, ',', &part)) {
		uint64_t rounds;

		if (take_prefix(&part, "i=") && base_slice_to_u64(part, &rounds))
			base_buf_printf(
				out, ", %llu rounds of PBKDF2 (i=)", (unsigned long long)rounds);
	}
}

static void on_challenge(struct explain *e, struct base_slice text, struct base_buf *out)
{
	struct base_buf challenge;

	e->challenges++;
	base_buf_init(&challenge, 16384);
	if (base64_decode(base_slice_trim(text), &challenge, NULL) != BASE64_OK)
		base_buf_append_text(out, "no base64: a client would give up here");
	else if (e->mechanism == SASL_MECHANISM_PLAIN)
		base_buf_append_text(out, "go on: the server waits for the message");
	else if (!is_scram(e)) {
		base_buf_append_text(out,
			e->mechanism == SASL_MECHANISM_LOGIN ? "the server asks: "
							     : "the challenge, used once: ");
		base_escape_log(base_buf_slice(&challenge), 200, out);
	} else if (e->challenges == 1 && challenge.len == 0)
		base_buf_append_text(out, "go on: the server waits for client-first");
	else if (base_slice_starts_with(base_buf_slice(&challenge), BASE_SLICE("v=")))
		base_buf_append_text(out,
			"server-final: v= proves that the server knows the password's "
			"keys, and is no impostor");
	else
		server_first(base_buf_slice(&challenge), out);
	base_buf_release(&challenge);
}

static void on_response(struct explain *e, struct base_buf *out)
{
	e->responses++;
	if (e->mechanism == SASL_MECHANISM_PLAIN)
		base_buf_append_text(out, "user and password between NUL bytes, in base64");
	else if (e->mechanism == SASL_MECHANISM_LOGIN)
		base_buf_append_text(out,
			e->responses == 1 && e->challenges == 1
				? "the user, in base64 (or the password, if the "
				  "user came with AUTH)"
				: "the password, in base64");
	else if (e->mechanism == SASL_MECHANISM_CRAM_MD5)
		base_buf_append_text(
			out, "user, a blank, and HMAC-MD5 of the challenge under the password");
	else if (e->responses == 1)
		base_buf_append_text(out,
			"client-final: channel binding (c=), both nonces (r=), and the "
			"proof (p=) made from salted password and all of the above");
	else
		base_buf_append_text(out, "empty: the client has checked the server's proof");
}

static void on_end(struct explain *e, struct base_slice reply, struct base_buf *out)
{
	e->running = false;
	if (take_prefix(&reply, "235"))
		base_buf_printf(out, "logged in by %s", sasl_mechanism_info(e->mechanism)->name);
	else if (take_prefix(&reply, "535"))
		base_buf_append_text(out,
			"user or password is wrong; the reply never says which "
			"(postern why tells the administrator)");
	else if (take_prefix(&reply, "538"))
		base_buf_append_text(
			out, "this mechanism would show the password: STARTTLS comes first");
	else if (take_prefix(&reply, "504"))
		base_buf_append_text(out, "the server does not offer this mechanism here");
	else if (take_prefix(&reply, "501"))
		base_buf_append_text(out, "cancelled, or not as base64 and the mechanism demand");
	else if (take_prefix(&reply, "503"))
		base_buf_append_text(
			out, "AUTH comes after EHLO, once, and not inside a transaction");
	else if (take_prefix(&reply, "4"))
		base_buf_append_text(
			out, "the server cannot tell now; the client may come again later");
}

void explain_line(struct explain *e, struct base_slice line, struct base_buf *out)
{
	bool client = take_prefix(&line, "C: ");

	if (!client && !take_prefix(&line, "S: "))
		return;
	if (client && !e->running && take_prefix(&line, "AUTH ")) {
		size_t end = base_slice_find(line, ' ');

		*e = (struct explain){.running = true,
			.mechanism = sasl_mechanism_parse(base_slice_first(line, end))};
		base_buf_append_text(out, at_start(e));
	} else if (client && e->running) {
		if (base_slice_equal_text(base_slice_trim(line), "*"))
			base_buf_append_text(out, "the client gives up");
		else
			on_response(e, out);
	} else if (e->running) {
		if (take_prefix(&line, "334"))
			on_challenge(e, line, out);
		else
			on_end(e, line, out);
	}
}
