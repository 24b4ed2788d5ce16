#include "loop/resolver.h"

#include "base/buf.h"
#include "loop/hosts.h"
#include "loop/unbound_loop.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unbound.h>
#include <unistd.h>

enum {
	HOSTS_FILE_MAX_BYTES = 4 << 20,
	PACKET_MAX_BYTES = 65535,
	SECURITY_BOGUS = 1,
	SECURITY_SECURE = 2
};

struct resolver {
	struct ub_ctx *ctx;
	struct ub_event_base *base;
	struct hosts *hosts;
	resolver_fn fn;
	void *arg;
	bool private;
	struct question *open; /* asked and not answered */
};

struct question {
	struct question *next, **at;
	struct resolver *resolver;
	uint32_t id;
	unsigned number;
	enum route_dns_type type;
};

static void drop(struct question *q)
{
	*q->at = q->next;
	if (q->next)
		q->next->at = q->at;
	free(q);
}

static void on_answer(void *data, int rcode, void *packet, int packet_len, int security,
	char *why_bogus, int ratelimited)
{
	static struct route_dns_answer answer;
	struct question *q = data;
	struct resolver *r = q->resolver;
	uint32_t id = q->id;
	unsigned number = q->number;

	if (packet && packet_len > 0 && (rcode == 0 || rcode == 3))
		route_dns_parse(base_slice_make(packet, (size_t)packet_len), q->type, &answer);
	else
		route_dns_answer_set(&answer, ROUTE_DNS_FAILED);
	if (rcode == 3 && answer.status != ROUTE_DNS_NO_NAME)
		route_dns_answer_set(&answer, ROUTE_DNS_NO_NAME);
	if (security == SECURITY_BOGUS)
		route_dns_answer_set(&answer, ROUTE_DNS_BOGUS);
	answer.secure = security == SECURITY_SECURE;
	drop(q);
	r->fn(r->arg, id, number, &answer);
}

static void read_hosts(struct resolver *r)
{
	struct base_buf text;
	uint8_t piece[4096];
	int fd = open("/etc/hosts", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	base_buf_init(&text, HOSTS_FILE_MAX_BYTES);
	while (fd >= 0 && (n = read(fd, piece, sizeof(piece))) > 0)
		if (!base_buf_append(&text, piece, (size_t)n))
			break;
	if (fd >= 0)
		close(fd);
	r->hosts = hosts_new(base_buf_slice(&text));
	base_buf_release(&text);
}

static int set_servers(struct resolver *r, struct base_error *err)
{
	const char *named = getenv("POSTERN_RESOLVER");
	struct base_addr addr;
	struct base_buf text;
	int rc;

	if (!named || !*named) {
		rc = ub_ctx_resolvconf(r->ctx, NULL);
		if (rc != 0) /* the roots are asked then */
			(void)ub_ctx_set_option(r->ctx, "do-ip6:", "no");
		return 0;
	}
	if (!base_addr_parse_port(base_slice_text(named), &addr))
		return base_error_set(
			err, BASE_ERROR_CONFIG, 0, "POSTERN_RESOLVER is not ADDRESS:PORT");
	base_buf_init(&text, 128);
	(void)base_addr_format(&addr, &text);
	(void)base_buf_printf(&text, "@%u", addr.port);
	rc = ub_ctx_set_fwd(r->ctx, base_buf_text(&text));
	base_buf_release(&text);
	r->private = true;
	if (rc != 0)
		return base_error_set(err, BASE_ERROR_CONFIG, rc, "cannot ask POSTERN_RESOLVER: %s",
			ub_strerror(rc));
	return 0;
}

static void set_options(struct ub_ctx *ctx)
{
	static const char *const options[][2] = {
		{"do-not-query-localhost:", "no"}, /* a resolver of this machine may be named */
		{"module-config:", "iterator"},    /* no trust anchor yet: nothing to validate */
		{"msg-cache-size:", "1m"},
		{"rrset-cache-size:", "2m"},
		{"key-cache-size:", "64k"},
		{"neg-cache-size:", "64k"},
		{"outgoing-range:", "128"},
		{"num-queries-per-thread:", "128"},
		{"cache-max-negative-ttl:", "60"},
	};
	size_t i;

	for (i = 0; i < BASE_COUNT(options); i++)
		(void)ub_ctx_set_option(ctx, options[i][0], options[i][1]);
}

int resolver_open(
	struct resolver **out, uv_loop_t *loop, resolver_fn fn, void *arg, struct base_error *err)
{
	struct resolver *r = base_alloc_zero(1, sizeof(*r));
	int rc;

	*out = r;
	r->fn = fn;
	r->arg = arg;
	r->base = loop_unbound_base_new(loop);
	read_hosts(r);
	r->ctx = ub_ctx_create_ub_event(r->base);
	if (!r->ctx) {
		resolver_close(out);
		return base_error_set(err, BASE_ERROR_TEMPORARY, 0, "cannot start the resolver");
	}
	set_options(r->ctx);
	rc = set_servers(r, err);
	/* These would be answered "no such name" without asking; the call also makes the context
	 * final, so that what it opens is open before the sandbox. */
	if (rc == 0 &&
		(ub_ctx_zone_add(r->ctx, "test.", "transparent") != 0 ||
			ub_ctx_zone_add(r->ctx, "invalid.", "transparent") != 0))
		rc = base_error_set(err, BASE_ERROR_TEMPORARY, 0, "cannot set up the resolver");
	if (rc != 0)
		resolver_close(out);
	return rc;
}

void resolver_close(struct resolver **resolver)
{
	struct resolver *r = *resolver;

	if (!r)
		return;
	if (r->ctx)
		ub_ctx_delete(r->ctx);
	for (struct question *q = r->open, *next; q; q = next) {
		next = q->next;
		free(q);
	}
	hosts_free(&r->hosts);
	loop_unbound_base_free(&r->base);
	free(r);
	*resolver = NULL;
}

bool resolver_is_private(const struct resolver *r)
{
	return r->private;
}

void resolver_ask(struct resolver *r, uint32_t id, unsigned question, const char *name,
	enum route_dns_type type, bool hosts)
{
	static struct route_dns_answer answer;
	struct question *q;

	if (hosts && type != ROUTE_DNS_MX && type != ROUTE_DNS_TXT &&
		hosts_find(r->hosts, name, type, &answer)) {
		r->fn(r->arg, id, question, &answer);
		return;
	}
	q = base_alloc_zero(1, sizeof(*q));
	*q = (struct question){.next = r->open,
		.at = &r->open,
		.resolver = r,
		.id = id,
		.number = question,
		.type = type};
	if (q->next)
		q->next->at = &q->next;
	r->open = q;
	/* An answer that is known comes before this returns, and @q is gone then. */
	if (ub_resolve_event(r->ctx, name, (int)type, 1, q, on_answer, NULL) != 0) {
		drop(q);
		route_dns_answer_set(&answer, ROUTE_DNS_FAILED);
		r->fn(r->arg, id, question, &answer);
	}
}
