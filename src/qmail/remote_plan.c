#include "qmail/remote.h"

#include <string.h>

/* authsenders is asked first, by the sender; then smtproutes, by the host. A line of authsenders
 * with nothing behind its ':' sends the question on to smtproutes. */

enum { CONNECT_S = 60, REPLY_S = 1200, SECONDS_MAX = 1000000 };

static struct base_slice domain_of(struct base_slice address)
{
	return base_slice_from(address, base_slice_find_last(address, '@') + 1);
}

static bool broken(struct base_buf *why, const char *file, const char *what)
{
	(void)base_buf_printf(why,
		"ZUnable to use control/%s: the line for this message is wrong: %s. (#4.3.0)\n",
		file, what);
	return false;
}

static void take(struct remote_plan *plan, const struct route_control_relay *relay)
{
	if (relay->host.len) {
		plan->host = relay->host;
		plan->routed = true;
	}
	plan->port = relay->port;
	plan->credentials = relay->credentials;
	plan->user = relay->user;
	plan->password = relay->password;
}

static bool find_relay(const struct remote_control *c, struct base_slice host,
	struct base_slice sender, struct remote_plan *plan, struct base_buf *why)
{
	struct route_control_relay relay;
	const char *what = "";

	switch (route_control_authsender(c->file[REMOTE_FILE_AUTHSENDERS], sender, &relay, &what)) {
	case ROUTE_CONTROL_FOUND:
		if (relay.host.len || relay.port || relay.credentials) {
			take(plan, &relay);
			return true;
		}
		break;
	case ROUTE_CONTROL_MISSING:
		break;
	case ROUTE_CONTROL_BROKEN:
		return broken(why, "authsenders", what);
	}
	switch (route_control_smtproute(c->file[REMOTE_FILE_SMTPROUTES], host, &relay, &what)) {
	case ROUTE_CONTROL_FOUND:
		take(plan, &relay);
		break;
	case ROUTE_CONTROL_MISSING:
		break;
	case ROUTE_CONTROL_BROKEN:
		return broken(why, "smtproutes", what);
	}
	return true;
}

/* The line of the sender's domain, else the one without a key. */
static bool find_domainip(
	struct base_slice file, struct base_slice domain, struct base_slice *out_value)
{
	struct base_slice line;
	bool found = false, exact = false;

	while (route_control_next(&file, NULL, &line)) {
		size_t colon = base_slice_find(line, ':');
		struct base_slice key = base_slice_first(line, colon);
		bool same = key.len && base_slice_equal_nocase(key, domain);

		if (colon == line.len || !(same || (!key.len && !exact)))
			continue;
		*out_value = base_slice_from(line, colon + 1);
		found = true;
		exact = same;
	}
	return found;
}

/* ip[%interface][|helo] */
static bool set_source(const struct remote_control *c, struct base_slice sender,
	struct remote_plan *plan, struct base_buf *why)
{
	struct base_slice ip = route_control_line(c->file[REMOTE_FILE_OUTGOINGIP]), value;
	const char *file = "outgoingip";
	size_t percent;

	if (find_domainip(c->file[REMOTE_FILE_DOMAINIPS], domain_of(sender), &value)) {
		size_t bar = base_slice_find(value, '|');

		file = "domainips";
		ip = base_slice_trim(base_slice_first(value, bar));
		value = base_slice_trim(base_slice_from(value, bar + 1));
		if (value.len)
			plan->helo = value;
	}
	percent = base_slice_find(ip, '%');
	plan->interface = base_slice_from(ip, percent + 1);
	ip = base_slice_first(ip, percent);
	if (!ip.len || base_slice_equal_text(ip, "0.0.0.0") || base_slice_equal_text(ip, "::"))
		return true;
	if (base_addr_parse(ip, &plan->source) && plan->interface.len < 16)
		return true;
	(void)base_buf_printf(why, "Zinvalid ipaddr in control/%s (#4.3.0)\n", file);
	return false;
}

static uint32_t seconds(struct base_slice file, uint32_t fallback)
{
	uint64_t s = route_control_number(file, fallback);

	return s > SECONDS_MAX ? SECONDS_MAX : (uint32_t)s;
}

bool remote_plan_make(const struct remote_control *c, struct base_slice host,
	struct base_slice sender, struct remote_plan *out, struct base_buf *out_why)
{
	struct remote_plan plan = {
		.host = host,
		.helo = route_control_line(c->file[REMOTE_FILE_HELOHOST]),
		.connect_s = seconds(c->file[REMOTE_FILE_TIMEOUTCONNECT], CONNECT_S),
		.reply_s = seconds(c->file[REMOTE_FILE_TIMEOUTREMOTE], REPLY_S),
	};

	if (!plan.helo.len)
		plan.helo = route_control_line(c->file[REMOTE_FILE_ME]);
	if (!plan.helo.len) {
		(void)base_buf_append_text(out_why, "ZUnable to read control files. (#4.3.0)\n");
		return false;
	}
	if (!set_source(c, sender, &plan, out_why) || !find_relay(c, host, sender, &plan, out_why))
		return false;
	*out = plan;
	return true;
}

/* Credentials go nowhere but over verified TLS, unless the policy for this very host says require
 * or none: may is said for hosts in general and means no more than without a policy. */
static struct remote_tls decide(enum route_control_tls policy, bool credentials)
{
	struct remote_tls verified = {.mode = SMTP_CLIENT_TLS_REQUIRE, .verify = true};

	switch (policy) {
	case ROUTE_CONTROL_TLS_UNSET:
	case ROUTE_CONTROL_TLS_MAY:
		return credentials ? verified : (struct remote_tls){.mode = SMTP_CLIENT_TLS_MAY};
	case ROUTE_CONTROL_TLS_NONE:
		return (struct remote_tls){
			.mode = SMTP_CLIENT_TLS_NONE, .allow_plaintext = credentials};
	case ROUTE_CONTROL_TLS_REQUIRE:
		return (struct remote_tls){
			.mode = SMTP_CLIENT_TLS_REQUIRE, .allow_plaintext = credentials};
	case ROUTE_CONTROL_TLS_VERIFY:
		break;
	}
	return verified;
}

/* Is the mail exchanger @host itself or a name below it? */
static bool is_of(struct base_slice mx, struct base_slice host)
{
	return base_slice_equal_nocase(mx, host) ||
		(base_slice_ends_with_nocase(mx, host) && mx.ptr[mx.len - host.len - 1] == '.');
}

static struct base_slice without_dot(struct base_slice host)
{
	if (host.len && host.ptr[host.len - 1] == '.')
		host.len--;
	return host;
}

bool remote_plan_tls(const struct remote_control *c, const struct remote_plan *plan,
	const char *mx_host, struct remote_tls *out, struct base_buf *out_why)
{
	struct base_slice file = c->file[REMOTE_FILE_TLSPOLICY], names[2] = {plan->host};
	enum route_control_tls policy = ROUTE_CONTROL_TLS_UNSET;
	const char *what = "";

	/* The DNS cannot choose a policy where the domain has one, nor a foreign host's for a password. */
	if (!plan->credentials || is_of(base_slice_text(mx_host), without_dot(plan->host)))
		names[1] = base_slice_text(mx_host);
	for (size_t i = 0; i < BASE_COUNT(names) && policy == ROUTE_CONTROL_TLS_UNSET; i++)
		if (route_control_tlspolicy(file, names[i], &policy, &what) == ROUTE_CONTROL_BROKEN)
			return broken(out_why, "tlspolicy", what);
	*out = decide(policy, plan->credentials);
	if (plan->port == 465)
		out->mode = SMTP_CLIENT_TLS_IMPLICIT;
	return true;
}

void remote_plan_tls_name(
	const struct remote_plan *plan, const char *mx_host, char out[ROUTE_DNS_NAME_MAX_BYTES])
{
	struct base_slice name = base_slice_text(mx_host), host = without_dot(plan->host);

	if (plan->routed || (plan->credentials && !is_of(name, host)))
		name = host;
	if (name.len > 1 && name.ptr[0] == '[') /* a literal: the address alone */
		name = base_slice_make(name.ptr + 1, name.len - 2);
	if (base_slice_starts_with_nocase(name, BASE_SLICE("IPv6:")))
		name = base_slice_from(name, 5);
	name = base_slice_first(name, ROUTE_DNS_NAME_MAX_BYTES - 1);
	if (name.len)
		memcpy(out, name.ptr, name.len);
	out[name.len] = '\0';
}

/* RFC 5321 section 4.1.2, Dot-string; UTF-8 as RFC 6531 has it. */
static bool is_dot_string(struct base_slice local)
{
	uint8_t before = '.';

	for (size_t i = 0; i < local.len; i++) {
		uint8_t b = local.ptr[i];

		if (b == '.' ? before == '.'
			     : !base_ascii_is_alnum(b) && b < 0x80 &&
					(b == 0 || !strchr("!#$%&'*+-/=?^_`{|}~", b)))
			return false;
		before = b;
	}
	return before != '.';
}

void remote_address_quote(struct base_slice address, struct base_buf *out)
{
	size_t at = base_slice_find_last(address, '@');
	struct base_slice local = base_slice_first(address, at);

	if (at == address.len || is_dot_string(local)) {
		(void)base_buf_append_slice(out, address);
		return;
	}
	(void)base_buf_append_byte(out, '"');
	for (size_t i = 0; i < local.len; i++) {
		if (local.ptr[i] == '"' || local.ptr[i] == '\\')
			(void)base_buf_append_byte(out, '\\');
		(void)base_buf_append_byte(out, local.ptr[i]);
	}
	(void)base_buf_append_byte(out, '"');
	(void)base_buf_append_slice(out, base_slice_from(address, at));
}
