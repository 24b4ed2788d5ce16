#include "relay/internal.h"

#include "base/escape.h"

#include <string.h>

/* What auth says: the bodies of ACCOUNT and SECRET frames. auth is another process, and is not believed
 * further than that: whatever cannot be read or used makes the account unusable for a while, with a
 * reason, and nothing else. */

enum { RATE_SECONDS_MAX = 366 * 86400, RATE_COUNT_MAX = 1000000, REASON_MAX_BYTES = 511 };

/* accounts */

/* Null: it can be used. */
static const char *judge(const struct account_info *info, struct relay_account *out)
{
	struct base_slice host;

	if (info->class == BASE_ERROR_NOT_FOUND)
		return "the account does not exist (see postern account add)";
	if (info->class != 0)
		return "the account's data are not available now (see the log)";
	if (!relay_url_parse(info->url, &out->implicit_tls, &host, &out->port))
		return "the account's URL is not smtp:// or smtps://";
	memcpy(out->host, host.ptr, host.len);
	out->host[host.len] = '\0';
	if (info->credential >= SASL_CREDENTIAL_COUNT)
		return "the account's kind of credential is not known";
	if (info->credential == SASL_CREDENTIAL_TICKET)
		return "the account logs in by a Kerberos ticket, which relay has none of";
	out->credential = (enum sasl_credential)info->credential;
	out->mechanisms = info->mechanisms;
	out->pinned = info->pin.len > 0;
	if (out->pinned && !account_pin_parse(info->pin, out->pin))
		return "the account's pin is not sha256: and 64 hexadecimal digits";
	if (info->ca.len > ACCOUNT_CA_MAX_BYTES)
		return "the account's authorities are too long";
	out->certificate = info->certificate;
	return NULL;
}

static uint32_t at_most(uint32_t value, uint32_t limit)
{
	return value < limit ? value : limit;
}

static void take_limits(struct relay_account *a, const struct account_info *info)
{
	uint32_t count = at_most(info->rate_count, RATE_COUNT_MAX);
	uint32_t seconds = at_most(info->rate_s, RATE_SECONDS_MAX);

	a->conns_max = info->connections ? at_most(info->connections, RELAY_CONNS_MAX)
					 : ACCOUNT_CONNECTIONS_DEFAULT;
	if (!count || !seconds)
		count = seconds = 0;
	if (count != a->rate_count || seconds != a->rate_s) {
		a->rate_count = count;
		a->rate_s = seconds;
		a->level = (int64_t)count * seconds * 1000; /* full */
		a->slot_ms = 0;
	}
}

/* All that a connection depends on. */
static bool is_same(
	const struct relay_account *a, const struct relay_account *fresh, struct base_slice ca)
{
	return a->state == RELAY_ACCOUNT_KNOWN && a->implicit_tls == fresh->implicit_tls &&
		!strcmp(a->host, fresh->host) && a->port == fresh->port &&
		a->credential == fresh->credential && a->mechanisms == fresh->mechanisms &&
		a->pinned == fresh->pinned && !memcmp(a->pin, fresh->pin, sizeof(a->pin)) &&
		a->certificate == fresh->certificate &&
		base_slice_equal(ca, base_buf_slice(&a->ca));
}

static void take(struct relay_account *a, const struct relay_account *fresh, struct base_slice ca)
{
	a->generation++;
	a->implicit_tls = fresh->implicit_tls;
	memcpy(a->host, fresh->host, sizeof(a->host));
	a->port = fresh->port;
	a->credential = fresh->credential;
	a->mechanisms = fresh->mechanisms;
	a->pinned = fresh->pinned;
	memcpy(a->pin, fresh->pin, sizeof(a->pin));
	a->certificate = fresh->certificate;
	base_buf_clear(&a->ca);
	(void)base_buf_append_slice(&a->ca, ca);
}

void relay_core_account_told(
	struct relay_core *core, uint32_t id, struct base_slice body, const struct relay_now *now)
{
	struct relay_account *a = relay_core_account(core, (size_t)id - 1);
	struct relay_account fresh = {.port = 0};
	struct account_info info;
	const char *missing;
	struct relay_conn *conn;
	bool unsure;

	if (!id || !a || !a->asking)
		return;
	unsure = a->unsure;
	a->asking = a->unsure = false;
	if (!account_info_get(body, &info))
		info = (struct account_info){.class = BASE_ERROR_PEER};
	missing = judge(&info, &fresh);
	if (missing) {
		a->state = RELAY_ACCOUNT_MISSING;
		a->state_until_ms = now->mono_ms + RELAY_ACCOUNT_MISSING_MS;
		a->generation++;
		(void)snprintf(a->missing, sizeof(a->missing), "%s", missing);
	} else {
		if (!is_same(a, &fresh, info.ca))
			take(a, &fresh, info.ca);
		a->state = RELAY_ACCOUNT_KNOWN;
		a->state_until_ms = now->mono_ms + RELAY_ACCOUNT_KEEP_MS;
		take_limits(a, &info);
	}
	relay_account_retire(core, a, now);
	for (conn = core->conns; conn && unsure; conn = conn->next)
		if (conn->dest->account == a)
			relay_conn_want_secret(conn);
	relay_account_dispatch(core, a, now);
}

/* secrets */

static const char *default_reason(enum ipc_secret what, int class)
{
	if (what == IPC_SECRET_CERTIFICATE)
		return class == BASE_ERROR_NOT_FOUND
			? "no client certificate is kept for it"
			: "its client certificate is not available now";
	return class == BASE_ERROR_NOT_FOUND
		? "no password is kept for it (see postern account add)"
		: "its password is not available now";
}

void relay_core_secret(struct relay_core *core, uint32_t id, struct base_slice body,
	struct base_slice random, const struct relay_now *now)
{
	struct relay_conn *conn = relay_core_conn(core, id);
	struct ipc_reader in = ipc_reader_make(body);
	int class = -(int)ipc_get_u8(&in);
	struct base_slice user = ipc_get_bytes(&in), secret = ipc_get_bytes(&in);
	struct base_slice reason = ipc_get_bytes(&in);
	const char *why = NULL;
	struct base_buf words;

	if (!conn || !conn->asking)
		return;
	conn->asking = false;
	base_buf_init(&words, 1024);
	if (!ipc_reader_done(&in)) {
		why = "auth's answer cannot be read";
	} else if (class != 0) {
		/* auth has escaped what others wrote: twice would double every quote. */
		(void)base_escape_text(reason, REASON_MAX_BYTES, &words);
		why = words.len ? base_buf_text(&words) : default_reason(conn->asked, class);
	}
	if (conn->asked == IPC_SECRET_CERTIFICATE)
		relay_conn_certificate(conn, secret, why, now);
	else
		relay_conn_secret(conn, user, secret, random, why, now);
	base_buf_release(&words);
}
