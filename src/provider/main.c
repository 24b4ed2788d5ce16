/* postern-provider: asks one source of users that may block. Which one follows from this process's
 * index and the configuration (loop/conf.h). One question at a time; more processes, more at a
 * time.
 *
 * A configuration that says something else of the source ends this process: the master starts it
 * again, and the sandbox of the new one fits. So does a file that moved to another directory, which
 * the sandbox keeps closed. */
#include "loop/log.h"
#include "loop/role.h"
#include "provider/core.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WATCH_MS = 1000 };

struct provider {
	struct role *role;
	struct provider_source *source;
	struct provider_answer scratch;
	struct base_buf reply;    /* secret */
	struct base_buf identity; /* of the section, as it was at the start */
	char *title;
	char *path;      /* of a watched source; null: none */
	char *directory; /* where path's file really was at the start; null: nowhere */
	uv_timer_t timer;
};

static const struct provider_source_type *type_of(enum conf_provider_type type)
{
	switch (type) {
	case CONF_PROVIDER_FILE:
		return &provider_file;
	case CONF_PROVIDER_SASLDB:
		return &provider_sasldb;
	case CONF_PROVIDER_CHECKPASSWORD:
		return &provider_checkpassword;
	case CONF_PROVIDER_SASLAUTHD:
		return &provider_saslauthd;
	case CONF_PROVIDER_PAM:
		return provider_pam;
	case CONF_PROVIDER_STORE:
	case CONF_PROVIDER_DOVECOT:
		return NULL;
	}
	return NULL;
}

static struct provider_options options_of(const struct conf *conf, const struct conf_provider *p)
{
	struct provider_options o = {
		.title = p->title,
		.path = p->path ? p->path : "",
		.format = p->format,
		.default_domain = conf_provider_default_domain(conf, p),
		.has_domains = p->domains.count > 0,
		.service = p->service ? p->service : "",
		.cram_legacy = p->cram_order == CONF_CRAM_LEGACY,
	};

	for (size_t i = 0; i < p->command.count && i < PROVIDER_COMMAND_MAX; i++)
		o.command[i] = p->command.items[i];
	return o;
}

/* All that makes this source what it is, as one string of bytes. */
static void put_identity(
	const struct conf *conf, const struct conf_provider *p, struct base_buf *out)
{
	struct provider_options o = options_of(conf, p);
	const char *texts[] = {o.title, o.path, o.default_domain, o.service, p->run_as};

	base_buf_printf(out, "%d %d %d %d %zu", p->type, o.format, o.cram_legacy, o.has_domains,
		p->command.count);
	for (size_t i = 0; i < BASE_COUNT(texts); i++)
		base_buf_printf(out, "%c%s", 0, texts[i] ? texts[i] : "\1");
	for (size_t i = 0; i < p->command.count; i++)
		base_buf_printf(out, "%c%s", 0, p->command.items[i]);
}

/* Of the file's real place; null: there is no such place. */
static char *real_directory(const char *path)
{
	char *real = realpath(path, NULL), *slash;
	char *copy = real ? real : base_strdup(path);

	slash = strrchr(copy, '/');
	if (slash)
		slash[slash == copy] = '\0';
	if (slash && !real && access(copy, F_OK) != 0)
		slash = NULL;
	if (slash)
		return copy;
	free(copy);
	return NULL;
}

/* Who runs others' code as an account of their own choice may need what that account may. */
static unsigned sandbox_of(const struct conf_provider *p)
{
	switch (p->type) {
	case CONF_PROVIDER_FILE:
	case CONF_PROVIDER_SASLDB:
		return ROLE_MAY_FILES;
	case CONF_PROVIDER_SASLAUTHD:
		return ROLE_MAY_CONNECT_LOCAL;
	case CONF_PROVIDER_CHECKPASSWORD:
	case CONF_PROVIDER_PAM:
		return p->run_as ? ROLE_MAY_GAIN : ROLE_MAY_EXEC;
	case CONF_PROVIDER_STORE:
	case CONF_PROVIDER_DOVECOT:
		return 0;
	}
	return 0;
}

/* The directories, not the file: it may be replaced by another one of its name. */
static size_t on_paths(struct role *r, struct role_path *out, size_t max)
{
	struct provider *p = role_state(r);
	size_t n = 0;
	char *slash;

	if (!p->path)
		return 0;
	out[n] = (struct role_path){base_strdup(p->path), false};
	slash = strrchr(out[n].path, '/');
	if (slash)
		slash[slash == out[n].path] = '\0';
	n++;
	if (p->directory)
		out[n++] = (struct role_path){base_strdup(p->directory), false};
	return n;
}

static int on_open(struct role *r, struct base_error *err)
{
	struct provider *p = role_state(r);
	const struct conf_provider *section = conf_provider_of_process(role_conf(r), role_index(r));
	const struct provider_source_type *type = section ? type_of(section->type) : NULL;
	struct provider_options o;

	p->role = r;
	provider_answer_init(&p->scratch);
	base_buf_init_secret(&p->reply, IPC_FRAME_MAX_BYTES);
	base_buf_init(&p->identity, IPC_FRAME_MAX_BYTES);
	uv_timer_init(role_loop(r), &p->timer);
	p->timer.data = p;
	if (!type)
		return base_error_set(err, BASE_ERROR_CONFIG, 0,
			"no provider for process %u, or none that this build has", role_index(r));
	o = options_of(role_conf(r), section);
	put_identity(role_conf(r), section, &p->identity);
	p->title = base_strdup(section->title);
	if (type->watched) {
		p->path = base_strdup(o.path);
		p->directory = real_directory(o.path);
	}
	role_set_sandbox(r, sandbox_of(section));
	p->source = type->open(&o);
	return 0;
}

static void tell_changed(struct provider *p)
{
	ipc_begin(&p->reply, IPC_SOURCE_CHANGED, 0);
	ipc_put_text(&p->reply, p->title);
	for (unsigned i = 0; i < role_peer_count(p->role, IPC_AUTH); i++) {
		struct ipc_channel *auth = role_peer(p->role, IPC_AUTH, i);

		if (auth)
			(void)ipc_send(auth, &p->reply, NULL, 0);
	}
	base_buf_clear(&p->reply);
}

static void look(struct provider *p)
{
	if (p->source->type->watched && p->source->type->changed(p->source))
		tell_changed(p);
}

static void on_timer(uv_timer_t *timer)
{
	struct provider *p = timer->data;
	char *now = real_directory(p->path);

	if (now && (!p->directory || strcmp(now, p->directory) != 0)) {
		tell_changed(p);
		role_stop(p->role, 0);
	}
	free(now);
	look(p);
}

static void on_start(struct role *r)
{
	struct provider *p = role_state(r);

	if (p->path)
		uv_timer_start(&p->timer, on_timer, WATCH_MS, WATCH_MS);
}

/* The change goes ahead of the answer, on the same channel. */
static void on_peer_frame(struct role *r, enum ipc_role peer, unsigned index,
	struct ipc_channel *ch, struct ipc_frame *frame)
{
	struct provider *p = role_state(r);

	look(p);
	if (provider_core_answer(frame, p->title, p->source, &p->scratch, &p->reply))
		(void)ipc_send(ch, &p->reply, NULL, 0);
	base_buf_clear(&p->reply);
}

static int on_reload(struct role *r, const struct conf *conf, struct base_error *err)
{
	struct provider *p = role_state(r);
	const struct conf_provider *section = conf_provider_of_process(conf, role_index(r));
	struct base_buf identity;

	base_buf_init(&identity, IPC_FRAME_MAX_BYTES);
	if (section)
		put_identity(conf, section, &identity);
	if (!base_slice_equal(base_buf_slice(&identity), base_buf_slice(&p->identity)))
		role_stop(r, 0);
	base_buf_release(&identity);
	return 0;
}

static void on_close(struct role *r)
{
	struct provider *p = role_state(r);

	if (p->source)
		p->source->type->close(p->source);
	provider_answer_release(&p->scratch);
	base_buf_release(&p->reply);
	base_buf_release(&p->identity);
	free(p->title);
	free(p->path);
	free(p->directory);
}

int main(int argc, char **argv)
{
	static const struct role_handlers handlers = {
		.role = IPC_PROVIDER,
		.paths = on_paths,
		.open = on_open,
		.start = on_start,
		.reload = on_reload,
		.peer_frame = on_peer_frame,
		.close = on_close,
	};
	struct provider provider = {0};

	return role_main(argc, argv, &handlers, &provider);
}
