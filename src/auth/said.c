/* What providers that block say, and how the exchange goes on with it.
 *
 *                PASSWORD (pam, saslauthd, checkpassword)   LOOKUP, CRAM, SCRAM (file, sasldb)
 *   RIGHT        accepted                                   -
 *   FOUND        -                                          what is stored decides, and nobody else
 *   REFUSED      the next source: it cannot tell unknown    rejected
 *                users from wrong passwords
 *   UNKNOWN      the next source                            the next source
 *   CANNOT       the next source; nobody knows: 454         the next source; nobody knows: 454 */
#include "auth/core_internal.h"
#include "vault/stored.h"

#include <string.h>

/* The name under which the user is logged in from here on. */
static void take_name(const struct auth_core *core, struct auth_request *r, struct base_slice said)
{
	struct base_slice name = said.len ? said : sasl_server_user(r->sasl);
	struct base_slice domain = core->options.default_domain;
	struct vault_key key;
	struct base_buf text;

	r->external = true;
	base_buf_init(&text, AUTH_TEXT_MAX_BYTES + 1);
	if (vault_key_make(name, domain, &key)) {
		base_buf_append_slice(&text, name);
		if (domain.len && !base_slice_has(name, '@')) {
			base_buf_append_byte(&text, '@');
			base_buf_append_slice(&text, domain);
		}
	} else {
		base_buf_append_slice(&text, vault_key_slice(&r->whole_key));
	}
	auth_text_copy(r->external_name, sizeof(r->external_name), base_buf_slice(&text));
	base_buf_release(&text);
}

void auth_remember_external(struct auth_core *core, const struct auth_request *r, int64_t now_ms)
{
	struct base_slice name = base_slice_text(r->external_name);
	struct vault_key key;

	/* Under another name it is asked again: the cache keeps no names. */
	if (vault_key_make(name, BASE_SLICE_EMPTY, &key) &&
		base_slice_equal(vault_key_slice(&key), vault_key_slice(&r->whole_key)))
		vault_cache_put(core->cache, vault_key_slice(&r->whole_key),
			sasl_server_password(r->sasl), r->scope, now_ms);
}

static enum sasl_server_result next_source(
	struct auth_core *core, struct auth_request *r, int64_t now_ms, struct base_buf *out)
{
	return auth_ask_from(core, r, r->source + 1, now_ms, out);
}

/* The hash workers decide; nothing stored is the default work, and wrong. */
static enum sasl_server_result verify(struct auth_core *core, struct auth_request *r,
	struct base_slice stored, int64_t now_ms, struct base_buf *out)
{
	if (!auth_task_login(core, r, stored, sasl_server_password(r->sasl), now_ms))
		return sasl_server_password_answer(
			r->sasl, SASL_CREDENTIALS_UNAVAILABLE, false, out);
	r->wait = AUTH_WAIT_WORKER;
	return SASL_SERVER_CHECK_PASSWORD;
}

static enum sasl_server_result on_password(struct auth_core *core, struct auth_request *r,
	const struct auth_said *said, int64_t now_ms, struct base_buf *out)
{
	bool file = core->sources[r->source].kind == AUTH_SOURCE_FILE;

	switch (said->result) {
	case AUTH_SAID_RIGHT:
		if (file)
			break;
		take_name(core, r, said->name);
		auth_remember_external(core, r, now_ms);
		return sasl_server_password_answer(r->sasl, SASL_CREDENTIALS_KNOWN, true, out);
	case AUTH_SAID_FOUND:
		if (!file || base_slice_has(said->stored, '\0') ||
			said->stored.len > VAULT_HASH_MAX_BYTES)
			break;
		take_name(core, r, said->name);
		return verify(core, r, said->stored, now_ms, out);
	case AUTH_SAID_REFUSED:
		if (file)
			return verify(core, r, BASE_SLICE_EMPTY, now_ms, out);
		r->source_refused = true;
		return next_source(core, r, now_ms, out);
	case AUTH_SAID_UNKNOWN:
		r->source_refused |= !file;
		return next_source(core, r, now_ms, out);
	case AUTH_SAID_CANNOT:
		break;
	}
	r->source_down = true;
	return next_source(core, r, now_ms, out);
}

static enum sasl_server_result on_secret(struct auth_core *core, struct auth_request *r,
	const struct auth_said *said, int64_t now_ms, struct base_buf *out)
{
	bool file = core->sources[r->source].kind == AUTH_SOURCE_FILE;
	struct base_slice clear;

	switch (said->result) {
	case AUTH_SAID_RIGHT:
		if (file)
			break;
		take_name(core, r, said->name);
		return sasl_server_digest_answer(r->sasl, SASL_CREDENTIALS_KNOWN, true);
	case AUTH_SAID_FOUND:
		if (!file)
			break;
		if (!vault_stored_clear(said->stored, &clear))
			return next_source(core, r, now_ms, out);
		take_name(core, r, said->name);
		return sasl_server_secret_answer(r->sasl, SASL_CREDENTIALS_KNOWN, clear, out);
	case AUTH_SAID_REFUSED:
		if (file)
			return sasl_server_secret_answer(
				r->sasl, SASL_CREDENTIALS_UNKNOWN, BASE_SLICE_EMPTY, out);
		return next_source(core, r, now_ms, out);
	case AUTH_SAID_UNKNOWN:
		return next_source(core, r, now_ms, out);
	case AUTH_SAID_CANNOT:
		break;
	}
	r->source_down = true;
	return next_source(core, r, now_ms, out);
}

static enum sasl_server_result on_scram(struct auth_core *core, struct auth_request *r,
	const struct auth_said *said, int64_t now_ms, struct base_buf *out)
{
	enum base_hash hash = sasl_mechanism_info(r->mechanism)->hash;
	enum sasl_server_result result;
	struct sasl_scram_keys keys;

	switch (said->result) {
	case AUTH_SAID_FOUND:
		if (!vault_stored_scram(said->stored, hash, &keys))
			return next_source(core, r, now_ms, out);
		take_name(core, r, said->name);
		result = sasl_server_scram_answer(r->sasl, SASL_CREDENTIALS_KNOWN, &keys, out);
		base_wipe(&keys, sizeof(keys));
		return result;
	case AUTH_SAID_REFUSED:
		return auth_scram_unknown(core, r, out);
	case AUTH_SAID_UNKNOWN:
		return next_source(core, r, now_ms, out);
	case AUTH_SAID_RIGHT:
	case AUTH_SAID_CANNOT:
		break;
	}
	r->source_down = true;
	return next_source(core, r, now_ms, out);
}

/* A source that is limited to domains may read a name otherwise than we did ("anna%other.org"); it speaks
 * for no user of another domain. */
static struct auth_said within_domains(
	const struct auth_core *core, const struct auth_request *r, const struct auth_said *said)
{
	struct vault_key key;

	if ((said->result != AUTH_SAID_RIGHT && said->result != AUTH_SAID_FOUND) ||
		!said->name.len || r->source >= core->source_count ||
		(vault_key_make(said->name, core->options.default_domain, &key) &&
			auth_source_serves(core, r->source, vault_key_slice(&key))))
		return *said;
	return (struct auth_said){.result = AUTH_SAID_UNKNOWN,
		.reason = BASE_SLICE("it says a name that is not of its domains")};
}

void auth_request_said(struct auth_core *core, struct auth_request *r, const struct auth_said *told,
	int64_t now_ms, int64_t wall_ms)
{
	struct auth_said checked = within_domains(core, r, told), *said = &checked;
	enum sasl_server_result result;
	struct base_buf out;

	auth_text_copy(r->said, sizeof(r->said), said->reason);
	base_buf_init_secret(&out, AUTH_CHALLENGE_MAX_BYTES);
	r->wait = AUTH_WAIT_CLIENT; /* nobody is asked */
	if (r->source >= core->source_count)
		result = SASL_SERVER_UNAVAILABLE; /* its section is gone */
	else if (r->question == SASL_SERVER_CHECK_PASSWORD)
		result = on_password(core, r, said, now_ms, &out);
	else if (r->question == SASL_SERVER_NEED_SECRET)
		result = on_secret(core, r, said, now_ms, &out);
	else
		result = on_scram(core, r, said, now_ms, &out);
	/* Still the same question: it was put to somebody. */
	if (result == r->question)
		base_buf_release(&out);
	else
		auth_request_go_on(core, r, result, &out, now_ms, wall_ms);
}
