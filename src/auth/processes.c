/* Providers with processes of their own: ASK goes there, ASKED and SOURCE_CHANGED come back. */
#include "auth/shell.h"
#include "base/clock.h"
#include "loop/log.h"
#include "vault/file.h"

#include <assert.h>
#include <string.h>

#define SAME(name) static_assert((int)AUTH_ASK_##name == (int)IPC_ASK_##name, "of frames")
SAME(PASSWORD);
SAME(CRAM);
SAME(APOP);
SAME(LOOKUP);
SAME(SCRAM);
#undef SAME
#define SAME(name) static_assert((int)AUTH_SAID_##name == (int)IPC_ASKED_##name, "of frames")
SAME(REFUSED);
SAME(RIGHT);
SAME(FOUND);
SAME(UNKNOWN);
SAME(CANNOT);
SAME(COUNT);
#undef SAME
static_assert(CONF_PROVIDERS_MAX == AUTH_SOURCES_MAX, "all are asked");
static_assert(CONF_PROVIDERS_MAX * CONF_PROVIDER_PROCESSES <= AUTH_PROCESSES_MAX, "all are known");

/* Of these formats nothing is ever stored that serves another mechanism than PLAIN and LOGIN. */
static bool only_hashes(int format)
{
	return format == VAULT_FILE_HTPASSWD || format == VAULT_FILE_VMAILMGR;
}

struct auth_source auth_process_source(const struct conf *conf, const struct conf_provider *p)
{
	struct auth_source source = {
		.name = p->title,
		.domains = (const char *const *)p->domains.items,
		.domain_count = p->domains.count,
	};

	switch (p->type) {
	case CONF_PROVIDER_STORE:
		source.kind = AUTH_SOURCE_STORE;
		break;
	case CONF_PROVIDER_DOVECOT:
		source.kind = AUTH_SOURCE_SERVER;
		break;
	case CONF_PROVIDER_CHECKPASSWORD:
		source.kind = AUTH_SOURCE_CHECKER;
		source.cram = true;
		break;
	case CONF_PROVIDER_PAM:
	case CONF_PROVIDER_SASLAUTHD:
		source.kind = AUTH_SOURCE_CHECKER;
		break;
	case CONF_PROVIDER_FILE:
		source.kind = AUTH_SOURCE_FILE;
		source.cram = source.scram = !only_hashes(p->format);
		break;
	case CONF_PROVIDER_SASLDB:
		source.kind = AUTH_SOURCE_FILE;
		source.cram = source.scram = true;
		break;
	}
	source.processes = conf_provider_processes_of(conf, p, &source.first);
	return source;
}

/* A channel that breaks here is reported by peer_gone(), and the question goes to another process. */
void auth_process_ask(struct auth_shell *s, const struct auth_effect *e)
{
	struct ipc_channel *ch = role_peer(s->role, IPC_PROVIDER, e->worker);
	struct base_buf client;

	base_buf_init(&client, 64);
	if (e->login.client.family != BASE_ADDR_NONE)
		base_addr_format(&e->login.client, &client);
	ipc_begin(&s->frame, IPC_ASK, e->task);
	ipc_put_u8(&s->frame, (uint8_t)e->ask);
	ipc_put_u8(&s->frame, (uint8_t)e->hash);
	ipc_put_bytes(&s->frame, e->source);
	ipc_put_bytes(&s->frame, e->name);
	ipc_put_bytes(&s->frame, e->password);
	ipc_put_bytes(&s->frame, e->challenge);
	ipc_put_bytes(&s->frame, base_buf_slice(&client));
	if (ch)
		(void)ipc_send(ch, &s->frame, NULL, 0);
	base_buf_clear(&s->frame);
	base_buf_release(&client);
}

static void on_asked(struct auth_shell *s, unsigned index, struct ipc_frame *frame)
{
	struct ipc_reader in = ipc_reader_make(frame->body);
	unsigned result = ipc_get_u8(&in);
	struct auth_said said = {.name = ipc_get_bytes(&in)};

	said.stored = ipc_get_bytes(&in);
	said.reason = ipc_get_bytes(&in);
	said.result = result < AUTH_SAID_COUNT ? (enum auth_said_result)result : AUTH_SAID_CANNOT;
	if (!ipc_reader_done(&in))
		said = (struct auth_said){.result = AUTH_SAID_CANNOT,
			.reason = BASE_SLICE("its answer cannot be read")};
	auth_core_said(
		s->core, index, frame->id, &said, base_clock_monotonic_ms(), base_clock_wall_ms());
}

void auth_process_frame(struct auth_shell *s, unsigned index, struct ipc_frame *frame)
{
	const struct conf_provider *p = conf_provider_of_process(role_conf(s->role), index);
	struct ipc_reader in = ipc_reader_make(frame->body);
	struct base_slice title;

	if (frame->type == IPC_ASKED) {
		on_asked(s, index, frame);
	} else if (frame->type == IPC_SOURCE_CHANGED) {
		title = ipc_get_bytes(&in);
		/* Of its own only. */
		if (p && base_slice_equal_text(title, p->title))
			auth_core_source_changed(s->core, title);
	}
	auth_shell_pump(s);
}
