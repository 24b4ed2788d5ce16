/* The object of a probe, and how its values are called. */
#include "cli/probe.h"

enum { PEM_MAX_BYTES = 1 << 20, GREETING_MAX_BYTES = 1024 };

const char *probe_mode_name(enum probe_mode mode)
{
	static const char *const names[] = {
		[PROBE_AUTO] = "auto",
		[PROBE_NONE] = "none",
		[PROBE_STARTTLS] = "starttls",
		[PROBE_IMPLICIT] = "implicit",
	};

	return names[mode];
}

const char *probe_version_name(enum probe_version version)
{
	static const char *const names[] = {
		[PROBE_VERSION_UNKNOWN] = "unknown",
		[PROBE_VERSION_ACCEPTED] = "accepted",
		[PROBE_VERSION_REFUSED] = "refused",
		[PROBE_VERSION_UNTRIED] = "not tried (our OpenSSL cannot)",
	};

	return names[version];
}

const char *probe_injection_name(enum probe_injection injection)
{
	static const char *const names[] = {
		[PROBE_INJECTION_UNKNOWN] = "unknown",
		[PROBE_INJECTION_IGNORED] = "ignored",
		[PROBE_INJECTION_REFUSED] = "refused",
		[PROBE_INJECTION_IN_CLEAR] = "answered in clear",
		[PROBE_INJECTION_ANSWERED] = "answered inside TLS",
	};

	return names[injection];
}

void probe_init(struct probe *p)
{
	base_buf_init(&p->ca, PEM_MAX_BYTES);
	base_buf_init(&p->greeting, GREETING_MAX_BYTES);
	base_buf_init(&p->starttls_reply, GREETING_MAX_BYTES);
	base_buf_init(&p->before.hello, PROBE_HELLO_MAX_BYTES);
	base_buf_init(&p->after.hello, PROBE_HELLO_MAX_BYTES);
}

void probe_release(struct probe *p)
{
	base_buf_release(&p->ca);
	base_buf_release(&p->greeting);
	base_buf_release(&p->starttls_reply);
	base_buf_release(&p->before.hello);
	base_buf_release(&p->after.hello);
	tls_context_free(&p->context);
}

const char *probe_level_name(enum probe_level level)
{
	static const char *const names[] = {"bad", "warning", "note"};

	return names[level];
}

int64_t probe_days_left(const struct probe *p, const struct tls_certificate *certificate)
{
	const int64_t day_ms = 86400000;
	int64_t left_ms = certificate->not_after_ms - p->now_ms;

	/* Rounded down: a day that has begun to be over is none. */
	return left_ms >= 0 ? left_ms / day_ms : -((-left_ms + day_ms - 1) / day_ms);
}
