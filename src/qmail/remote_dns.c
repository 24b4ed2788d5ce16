#include "base/clock.h"
#include "base/utf8.h"
#include "loop/reach.h"
#include "qmail/remote.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unbound.h>
#include <unistd.h>

enum { CLASS_IN = 1, RCODE_NO_NAME = 3, MX_PORT = 25 };

/* The servers of resolv.conf, or the one that a test names; of nothing else is anything kept. */
static struct ub_ctx *resolver_new(bool hosts, struct base_error *err)
{
	const char *named = getenv("POSTERN_RESOLVER");
	struct ub_ctx *ctx = ub_ctx_create();
	struct base_addr addr;
	struct base_buf text;
	int rc = 0;

	if (!ctx) {
		base_error_set(err, BASE_ERROR_CONFIG, 0, "no memory for the resolver");
		return NULL;
	}
	(void)ub_ctx_debugout(ctx, NULL); /* descriptor 2 is not ours to write to */
	(void)ub_ctx_set_option(ctx, "do-not-query-localhost:", "no");
	(void)ub_ctx_set_option(ctx, "module-config:", "iterator");
	(void)ub_ctx_set_option(ctx, "outgoing-range:", "16");
	base_buf_init(&text, 128);
	if (!named || !*named) {
		(void)ub_ctx_resolvconf(ctx, NULL);
	} else if (base_addr_parse_port(base_slice_text(named), &addr)) {
		(void)base_addr_format(&addr, &text);
		(void)base_buf_printf(&text, "@%u", addr.port);
		rc = ub_ctx_set_fwd(ctx, base_buf_text(&text));
	} else {
		rc = -1;
	}
	base_buf_release(&text);
	if (rc != 0) {
		base_error_set(err, BASE_ERROR_CONFIG, rc, "cannot ask POSTERN_RESOLVER");
		ub_ctx_delete(ctx);
		return NULL;
	}
	/* A mail domain may stand in /etc/hosts as this machine's name; that is not where its mail
	 * goes. A host that the administrator named may well be meant that way. */
	if (hosts)
		(void)ub_ctx_hosts(ctx, NULL);
	(void)ub_ctx_zone_add(ctx, "test.", "transparent");
	(void)ub_ctx_zone_add(ctx, "invalid.", "transparent");
	return ctx;
}

static bool is_private(void)
{
	const char *named = getenv("POSTERN_RESOLVER");

	return named && *named;
}

static void ask(
	struct ub_ctx *ctx, const struct route_mx_question *q, struct route_dns_answer *answer)
{
	struct ub_result *result = NULL;

	route_dns_answer_set(answer, ROUTE_DNS_FAILED);
	if (ub_resolve(ctx, q->name, (int)q->type, CLASS_IN, &result) != 0)
		return;
	if (result->rcode == RCODE_NO_NAME)
		route_dns_answer_set(answer, ROUTE_DNS_NO_NAME);
	else if (result->rcode == 0 && result->answer_packet && result->answer_len > 0)
		route_dns_parse(base_slice_make(result->answer_packet, (size_t)result->answer_len),
			q->type, answer);
	ub_resolve_free(result);
}

static uint16_t port_of(const struct remote_plan *plan)
{
	const char *text = getenv("POSTERN_MX_PORT");
	uint64_t number;

	if (plan->port)
		return plan->port;
	/* A private resolver is a test: its targets are at a port of their own. */
	if (!plan->routed && is_private() && text &&
		base_slice_to_u64(base_slice_text(text), &number) && number < 65536)
		return (uint16_t)number;
	return MX_PORT;
}

/* A name in UTF-8 as the DNS has it; anything else, and what is no name, as it is. */
static struct base_slice to_ascii(struct base_slice host, char out[ROUTE_DNS_NAME_MAX_BYTES])
{
	char *text, *ascii = NULL;
	size_t len;

	if (base_is_ascii(host) || base_slice_has(host, 0) || !base_utf8_valid(host) ||
		host.len > 4 * ROUTE_DNS_NAME_MAX_BYTES)
		return host;
	text = base_slice_dup(host);
	if (idn2_to_ascii_8z(text, &ascii, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT) == IDN2_OK &&
		(len = strlen(ascii)) < ROUTE_DNS_NAME_MAX_BYTES) {
		memcpy(out, ascii, len + 1);
		host = base_slice_make(out, len);
	}
	idn2_free(ascii);
	free(text);
	return host;
}

int remote_dns_find(struct route_mx *m, const struct remote_plan *plan, struct base_slice own_name,
	struct base_error *err)
{
	char ascii[ROUTE_DNS_NAME_MAX_BYTES];
	struct route_mx_options options = {
		.destination = to_ascii(plan->host, ascii),
		.own_name = own_name,
		.mx = !plan->routed,
		.allow_special = true, /* as qmail: an MX in a private network is wanted there */
		.ip6 = plan->source.family == BASE_ADDR_IP6 ||
			(plan->source.family == BASE_ADDR_NONE && reach_ip6()),
		.port = port_of(plan),
	};
	struct route_mx_question question;
	struct route_dns_answer *answer;
	struct ub_ctx *ctx;

	base_random_fill(&options.random, sizeof(options.random));
	route_mx_begin(m, &options);
	if (m->state != ROUTE_MX_ASKING)
		return 0;
	ctx = resolver_new(plan->routed, err);
	if (!ctx)
		return BASE_ERROR_CONFIG;
	answer = base_alloc_zero(1, sizeof(*answer));
	while (route_mx_next(m, &question)) {
		ask(ctx, &question, answer);
		route_mx_answer(m, question.id, answer);
	}
	free(answer);
	ub_ctx_delete(ctx);
	return 0;
}

static bool same_socket_addr(const struct sockaddr *sa, const struct base_addr *addr)
{
	struct base_addr own = {.family = BASE_ADDR_NONE};

	if (sa && sa->sa_family == AF_INET) {
		own.family = BASE_ADDR_IP4;
		memcpy(own.bytes, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
	} else if (sa && sa->sa_family == AF_INET6) {
		own.family = BASE_ADDR_IP6;
		memcpy(own.bytes, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
	}
	return own.family != BASE_ADDR_NONE && base_addr_equal(&own, addr);
}

static bool is_unspecified(const struct base_addr *addr)
{
	static const uint8_t zeros[16];

	return memcmp(addr->bytes, zeros, addr->family == BASE_ADDR_IP4 ? 4 : 16) == 0;
}

/* On loopback live the servers of a test with a private resolver; they are not us. */
static bool is_self(const struct ifaddrs *list, const struct base_addr *addr)
{
	if (base_addr_is_loopback(addr) || is_unspecified(addr))
		return !is_private();
	for (const struct ifaddrs *i = list; i; i = i->ifa_next)
		if (same_socket_addr(i->ifa_addr, addr))
			return true;
	return false;
}

/* A literal is no host of the list, and as good as any. */
static uint32_t preference_of(const struct route_mx *m, const struct route_mx_target *target)
{
	for (size_t i = 0; i < m->host_count; i++)
		if (target->host == m->hosts[i].name)
			return m->hosts[i].preference;
	return 0;
}

bool remote_dns_leave_self(struct route_mx *m)
{
	struct ifaddrs *list = NULL;
	uint32_t below = UINT32_MAX;
	size_t kept = 0;

	if (getifaddrs(&list) != 0)
		list = NULL;
	for (size_t i = 0; i < m->target_count; i++)
		if (is_self(list, &m->targets[i].addr) && preference_of(m, &m->targets[i]) < below)
			below = preference_of(m, &m->targets[i]);
	if (list)
		freeifaddrs(list);
	for (size_t i = 0; i < m->target_count; i++)
		if (preference_of(m, &m->targets[i]) < below)
			m->targets[kept++] = m->targets[i];
	m->target_count = kept;
	return kept > 0;
}
