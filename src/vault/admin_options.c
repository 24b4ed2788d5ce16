/* The options of requests: "name=value" words. */
#include "base/base64.h"
#include "base/host.h"
#include "base/time.h"
#include "base/utf8.h"
#include "vault/admin_internal.h"

#include <string.h>

const struct vault_admin_rate_unit vault_admin_rate_units[VAULT_ADMIN_RATE_UNITS] = {
	{"second", 1}, {"minute", 60}, {"hour", 3600}, {"day", 86400}};

static int refuse(
	struct base_error *err, const char *option, struct base_slice value, const char *reason)
{
	return vault_admin_refuse(err, BASE_ERROR_PERMANENT, option, value, reason);
}

static int take_mechanisms(
	struct base_slice value, struct vault_admin_options *o, struct base_error *err)
{
	struct base_slice name, rest = value;

	o->has_mechanisms = true;
	while (base_slice_split(&rest, ',', &name)) {
		enum sasl_mechanism m = sasl_mechanism_parse(base_slice_trim(name));

		if (m == SASL_MECHANISM_NONE)
			return refuse(err, "mechanism", base_slice_trim(name),
				"not known; write for example SCRAM-SHA-256,PLAIN,LOGIN");
		o->mechanisms |= SASL_MASK(m);
	}
	return 0;
}

static bool address_ok(struct base_slice address)
{
	size_t at = base_slice_find_last(address, '@');

	if (address.len > VAULT_ADDRESS_MAX_BYTES || at == address.len || !base_utf8_valid(address))
		return false;
	for (size_t i = 0; i < address.len; i++)
		if (address.ptr[i] <= ' ' || address.ptr[i] == 0x7f)
			return false;
	return base_host_name_valid(base_slice_from(address, at + 1), false, true);
}

static int take_send_as(
	struct base_slice value, struct vault_admin_options *o, struct base_error *err)
{
	o->has_send_as = true;
	if (!value.len)
		return 0;
	if (!address_ok(value))
		return refuse(err, "send-as", value,
			"not an address; write user@example.org or @example.org");
	if (o->send_as_count == VAULT_SEND_AS_MAX)
		return refuse(err, "send-as", value, "more than 64 addresses");
	o->send_as[o->send_as_count++] = value;
	return 0;
}

static int take_limit(
	struct base_slice value, struct vault_admin_options *o, struct base_error *err)
{
	static const char suffix[] = "/hour";
	struct base_slice number = value;
	uint64_t limit = 0;

	if (base_slice_ends_with_nocase(value, base_slice_text(suffix)))
		number = base_slice_first(value, value.len - (sizeof(suffix) - 1));
	if (value.len && (!base_slice_to_u64(number, &limit) || limit < 1 || limit > UINT32_MAX))
		return refuse(err, "limit", value, "not a number per hour; write 100/hour");
	o->has_limit = true;
	o->limit_per_hour = (uint32_t)limit;
	return 0;
}

static int take_expires(
	struct base_slice value, struct vault_admin_options *o, struct base_error *err)
{
	o->has_expires = true;
	if (value.len && !base_time_parse(value, &o->expires_ms))
		return refuse(err, "expires", value, "not a date; write 2027-01-31");
	return 0;
}

static int take_app(struct base_slice value, struct vault_admin_options *o, struct base_error *err)
{
	if (!vault_label_valid(value))
		return refuse(err, "app", value,
			"not a label; write 1 to 64 letters, digits, dots, dashes or underscores");
	o->app = value;
	return 0;
}

static int take_without(
	struct base_slice value, struct vault_admin_options *o, struct base_error *err)
{
	o->without = sasl_mechanism_parse(value);
	if (o->without == SASL_MECHANISM_NONE)
		return refuse(err, "without", value, "not a mechanism; write SCRAM-SHA-256");
	return 0;
}

static int take_kind(struct base_slice value, struct vault_admin_options *o, struct base_error *err)
{
	static const char *const kinds[] = {[VAULT_ACCOUNT_PASSWORD] = "password",
		[VAULT_ACCOUNT_OAUTH] = "oauth",
		[VAULT_ACCOUNT_CERTIFICATE] = "certificate"};

	for (unsigned i = 0; i < BASE_COUNT(kinds); i++)
		if (base_slice_equal_text(value, kinds[i])) {
			o->kind = i;
			return 0;
		}
	return refuse(err, "kind", value, "not known; write password, oauth or certificate");
}

/* Kept without the colons that openssl writes between the bytes. */
static int take_pin(struct base_slice value, struct vault_admin_options *o, struct base_error *err)
{
	static const char prefix[] = "sha256:";
	struct base_slice hex = base_slice_from(value, sizeof(prefix) - 1);
	size_t at = sizeof(prefix) - 1, digits = 0;

	memcpy(o->pin, prefix, sizeof(prefix));
	for (size_t i = 0; i < hex.len && digits <= 64; i++) {
		if (hex.ptr[i] == ':' && i % 3 == 2)
			continue;
		if (base_hex_value(hex.ptr[i]) < 0)
			break;
		if (++digits <= 64)
			o->pin[at++] = (char)base_ascii_lower(hex.ptr[i]);
	}
	o->pin[at] = '\0';
	if (!base_slice_starts_with_nocase(value, base_slice_text(prefix)) || digits != 64 ||
		(hex.len != 64 && hex.len != 95))
		return refuse(err, "pin", value,
			"not a pin; write sha256: and the 64 hexadecimal digits of the key's hash");
	return 0;
}

static int take_connections(
	struct base_slice value, struct vault_admin_options *o, struct base_error *err)
{
	uint64_t number = 0;

	if (!base_slice_to_u64(value, &number) || number < 1 || number > 64)
		return refuse(err, "connections", value, "not a number from 1 to 64");
	o->connections = (uint32_t)number;
	return 0;
}

static int take_rate(struct base_slice value, struct vault_admin_options *o, struct base_error *err)
{
	struct base_slice unit = value, number;
	uint64_t count = 0;

	if (base_slice_split(&unit, '/', &number) && base_slice_to_u64(number, &count) &&
		count >= 1 && count <= UINT32_MAX)
		for (size_t i = 0; i < VAULT_ADMIN_RATE_UNITS; i++)
			if (base_slice_equal_text(unit, vault_admin_rate_units[i].name)) {
				o->rate_count = (uint32_t)count;
				o->rate_s = vault_admin_rate_units[i].seconds;
				return 0;
			}
	return refuse(err, "rate", value,
		"not a rate; write 100/hour, or a number of messages per second, minute or day");
}

static int take(struct base_slice name, struct base_slice value, struct vault_admin_options *o,
	struct base_error *err)
{
	static const struct {
		const char *name;
		int (*take)(struct base_slice, struct vault_admin_options *, struct base_error *);
	} checked[] = {
		{"mechanisms", take_mechanisms},
		{"send-as", take_send_as},
		{"limit", take_limit},
		{"expires", take_expires},
		{"app", take_app},
		{"without", take_without},
		{"kind", take_kind},
		{"pin", take_pin},
		{"connections", take_connections},
		{"rate", take_rate},
	};
	struct {
		const char *name;
		bool *flag;
	} flags[] = {{"disable", &o->disable}, {"enable", &o->enable}, {"replace", &o->replace},
		{"dry-run", &o->dry_run}};
	struct {
		const char *name;
		struct base_slice *text;
	} texts[] = {{"verb", &o->verb}, {"url", &o->url}, {"user", &o->user}};

	for (size_t i = 0; i < BASE_COUNT(checked); i++)
		if (base_slice_equal_text(name, checked[i].name))
			return checked[i].take(value, o, err);
	for (size_t i = 0; i < BASE_COUNT(flags); i++)
		if (base_slice_equal_text(name, flags[i].name)) {
			*flags[i].flag = !base_slice_equal_text(value, "0");
			return 0;
		}
	for (size_t i = 0; i < BASE_COUNT(texts); i++)
		if (base_slice_equal_text(name, texts[i].name)) {
			*texts[i].text = value;
			return 0;
		}
	return refuse(err, "option", name, "not known to this command");
}

int vault_admin_options_parse(const struct vault_admin_request *req, size_t from,
	struct vault_admin_options *out, struct base_error *err)
{
	memset(out, 0, sizeof(*out));
	for (size_t i = from; i < req->word_count; i++) {
		struct base_slice word = req->words[i];
		size_t sign = base_slice_find(word, '=');
		int rc = take(
			base_slice_first(word, sign), base_slice_from(word, sign + 1), out, err);

		if (rc != 0)
			return rc;
	}
	if (out->disable && out->enable)
		return base_error_set(err, BASE_ERROR_PERMANENT, 0,
			"a user cannot be disabled and enabled at once");
	if (out->app.len && (out->disable || out->enable))
		return base_error_set(err, BASE_ERROR_PERMANENT, 0,
			"an app password cannot be disabled; remove it");
	return 0;
}

bool vault_admin_only_properties(const struct vault_admin_options *o)
{
	return !o->has_mechanisms &&
		(o->has_send_as || o->has_limit || o->has_expires || o->disable || o->enable);
}
