/* A probe for programs: one object, described in postern-probe(1). A stranger's bytes are escaped in it as
 * for people. */
#include "cli/probe.h"

#include "base/time.h"

#include <string.h>

static void set_text(json_t *object, const char *key, const char *text)
{
	json_object_set_new(object, key, text && text[0] ? json_string(text) : json_null());
}

static json_t *raw(struct base_slice bytes)
{
	struct base_buf text;
	json_t *json;

	base_buf_init(&text, 1 << 16);
	cli_text_safe(bytes, &text);
	json = json_string(base_buf_text(&text));
	base_buf_release(&text);
	return json ? json : json_null();
}

static json_t *extension(struct base_slice line)
{
	struct base_slice rest = base_slice_trim(line), word = base_slice_word(&rest);
	json_t *json = json_object();

	json_object_set_new(json, "keyword", raw(word));
	json_object_set_new(json, "parameters", raw(base_slice_trim(rest)));
	json_object_set_new(json, "known",
		json_boolean(probe_extension_find(word) ||
			base_slice_starts_with_nocase(word, BASE_SLICE("AUTH="))));
	return json;
}

static json_t *mechanism(const char *name)
{
	json_t *json = json_object();

	set_text(json, "name", name);
	json_object_set_new(json, "plaintext", json_boolean(probe_mechanism_is_plaintext(name)));
	set_text(json, "judgement", probe_mechanism_words(name));
	return json;
}

static json_t *offer_json(const struct probe_offer *offer)
{
	json_t *json, *extensions, *mechanisms;
	struct base_slice rest = base_buf_slice(&offer->hello), line;

	if (!offer->asked || !offer->code)
		return json_null();
	json = json_object();
	extensions = json_array();
	mechanisms = json_array();
	json_object_set_new(json, "command", json_string(offer->helo ? "HELO" : "EHLO"));
	json_object_set_new(json, "code", json_integer(offer->code));
	json_object_set_new(
		json, "hello", base_slice_split(&rest, '\n', &line) ? raw(line) : json_null());
	while (base_slice_split(&rest, '\n', &line))
		json_array_append_new(extensions, extension(line));
	for (size_t i = 0; i < offer->mechanism_count; i++)
		json_array_append_new(mechanisms, mechanism(offer->mechanisms[i]));
	json_object_set_new(json, "extensions", extensions);
	json_object_set_new(json, "mechanisms", mechanisms);
	return json;
}

static json_t *number_or_null(uint64_t number)
{
	return number ? json_integer((json_int_t)number) : json_null();
}

static json_t *limits(const struct probe_offer *offer)
{
	json_t *json = json_object();

	json_object_set_new(json, "size", number_or_null(offer->size));
	json_object_set_new(json, "mails", number_or_null(offer->limit_mails));
	json_object_set_new(json, "recipients", number_or_null(offer->limit_rcpts));
	json_object_set_new(json, "domains", number_or_null(offer->limit_domains));
	return json;
}

static void set_time(json_t *json, const char *key, int64_t ms)
{
	struct base_buf text;

	base_buf_init(&text, 64);
	base_time_rfc3339(ms, false, &text);
	json_object_set_new(json, key, json_string(base_buf_text(&text)));
	base_buf_release(&text);
}

static json_t *certificate(const struct probe *p, const struct tls_certificate *c)
{
	json_t *json = json_object(), *names = json_array();
	struct base_slice rest = base_slice_text(c->names), name;

	set_text(json, "subject", c->subject);
	set_text(json, "issuer", c->issuer);
	while (base_slice_split(&rest, '\n', &name))
		json_array_append_new(names, raw(name));
	json_object_set_new(json, "names", names);
	set_time(json, "not_before", c->not_before_ms);
	set_time(json, "not_after", c->not_after_ms);
	json_object_set_new(json, "days_left", json_integer(probe_days_left(p, c)));
	set_text(json, "key", c->key_type);
	json_object_set_new(json, "key_bits", json_integer(c->key_bits));
	set_text(json, "signature", c->signature);
	set_text(json, "pin", c->pin);
	json_object_set_new(json, "self_signed", json_boolean(c->self_signed));
	return json;
}

static json_t *tls(const struct probe *p)
{
	static const char *const numbers[PROBE_VERSIONS] = {"1.0", "1.1", "1.2", "1.3"};
	json_t *json, *versions, *chain;

	if (!p->tls)
		return json_null();
	json = json_object();
	versions = json_object();
	chain = json_array();
	set_text(json, "version", p->version);
	set_text(json, "cipher", p->cipher);
	json_object_set_new(json, "verified", json_boolean(p->verified));
	set_text(json, "reason", p->verify_failure);
	for (size_t i = 0; i < PROBE_VERSIONS; i++)
		set_text(versions, numbers[i], probe_version_name(p->versions[i]));
	json_object_set_new(json, "versions", versions);
	set_text(json, "injection",
		p->mode == PROBE_STARTTLS ? probe_injection_name(p->injection) : NULL);
	for (size_t i = 0; i < p->chain_count; i++)
		json_array_append_new(chain, certificate(p, &p->chain[i]));
	json_object_set_new(json, "chain", chain);
	return json;
}

static json_t *findings(const struct probe *p)
{
	json_t *list = json_array();

	for (int level = PROBE_BAD; level <= PROBE_NOTE; level++)
		for (size_t i = 0; i < p->finding_count; i++) {
			const struct probe_finding *f = &p->findings[i];
			json_t *json;

			if ((int)f->level != level)
				continue;
			json = json_object();
			set_text(json, "level", probe_level_name(f->level));
			set_text(json, "code", f->code);
			set_text(json, "text", f->text);
			set_text(json, "right", f->right);
			json_array_append_new(list, json);
		}
	return list;
}

json_t *probe_json(const struct probe *p, const char *error)
{
	json_t *json = json_object();
	struct base_buf address;

	base_buf_init(&address, 64);
	if (p->peer.family != BASE_ADDR_NONE)
		base_addr_format(&p->peer, &address);
	set_text(json, "host", p->host);
	json_object_set_new(json, "port", json_integer(p->port));
	set_text(json, "address", base_buf_text(&address));
	set_text(json, "mode", probe_mode_name(p->mode));
	set_text(json, "error", error);
	json_object_set_new(json, "greeting",
		p->greeting_code ? raw(base_buf_slice(&p->greeting)) : json_null());
	json_object_set_new(json, "before", offer_json(&p->before));
	json_object_set_new(json, "tls", tls(p));
	set_text(json, "tls_failure", p->tls_failure);
	json_object_set_new(json, "after", offer_json(&p->after));
	json_object_set_new(json, "limits", limits(p->after.asked ? &p->after : &p->before));
	json_object_set_new(json, "findings", findings(p));
	base_buf_release(&address);
	return json;
}
