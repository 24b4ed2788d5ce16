#include "master/doors.h"

#include "base/clock.h"
#include "loop/local.h"
#include "loop/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	BACKLOG = 4096,
	START_PATIENCE_MS = 2500, /* for the last server's processes to let go */
	TRY_AGAIN_MS = 50,
};

static socklen_t to_sockaddr(const struct base_addr *addr, struct sockaddr_storage *out)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	struct sockaddr_in *in = (struct sockaddr_in *)out;

	memset(out, 0, sizeof(*out));
	if (addr->family == BASE_ADDR_IP6) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(addr->port);
		memcpy(&in6->sin6_addr, addr->bytes, 16);
		return sizeof(*in6);
	}
	in->sin_family = AF_INET;
	in->sin_port = htons(addr->port);
	memcpy(&in->sin_addr, addr->bytes, 4);
	return sizeof(*in);
}

static int bind_network(struct door *door, struct base_error *err)
{
	struct sockaddr_storage sa;
	socklen_t len = to_sockaddr(&door->address, &sa);
	struct base_buf text;
	int fd, one = 1, code;

	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		/* "[::]:587" stands beside "0.0.0.0:587", each for its own. */
		if (sa.ss_family == AF_INET6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
		if (bind(fd, (struct sockaddr *)&sa, len) == 0 && listen(fd, BACKLOG) == 0) {
			door->fd = fd;
			return 0;
		}
	}
	code = errno;
	if (fd >= 0)
		close(fd);
	base_buf_init(&text, 128);
	base_addr_format_port(&door->address, &text);
	if (code == EACCES && door->address.port < 1024)
		base_error_set(err, BASE_ERROR_CONFIG, code,
			"listener \"%s\": cannot listen on %s: %s; ports below 1024 are for root",
			door->name, base_buf_text(&text), strerror(code));
	else
		base_error_errno(err, code == EADDRINUSE ? BASE_ERROR_EXISTS : BASE_ERROR_CONFIG,
			code, "listener \"%s\": cannot listen on %s", door->name,
			base_buf_text(&text));
	base_buf_release(&text);
	return err->class;
}

static int bind_path(struct door *door, const struct account *account, struct base_error *err)
{
	int type = door->kind == IPC_LISTENER_CONTROL ? SOCK_SEQPACKET : SOCK_STREAM;
	int rc;

	account_files_begin(account);
	rc = local_listen(door->path, type, door->mode, &door->fd, err);
	account_files_end(account);
	/* A directory where only root may write, say another program's. */
	if (rc == BASE_ERROR_CONFIG && account->change) {
		rc = local_listen(door->path, type, door->mode, &door->fd, err);
		if (rc == 0)
			(void)!lchown(door->path, account->uid, account->gid);
	}
	return rc;
}

static int bind_door(struct door *door, const struct account *account, struct base_error *err)
{
	return door->kind == IPC_LISTENER_SMTP ? bind_network(door, err)
					       : bind_path(door, account, err);
}

static void door_release(struct door *door, const struct account *account, bool unlink_path)
{
	if (door->fd >= 0) {
		close(door->fd);
		if (door->path && unlink_path) {
			account_files_begin(account);
			(void)!unlink(door->path);
			account_files_end(account);
		}
	}
	free(door->name);
	free(door->path);
}

static char *join(const char *dir, const char *name)
{
	size_t len = strlen(dir) + strlen(name) + 2;
	char *out = base_alloc(len);

	snprintf(out, len, "%s/%s", dir, name);
	return out;
}

/* All doors that @conf asks for, not bound yet. */
static struct door *list_doors(const struct conf *conf, size_t *out_count)
{
	static const char *const parts[] = {"auth", "queue", "journal"};
	size_t max = BASE_COUNT(parts) + conf->listener_count + 2, n = 0;
	struct door *doors = base_alloc_zero(max, sizeof(*doors));
	char *own = join(conf->run, "auth");

	for (size_t i = 0; i < BASE_COUNT(parts); i++) {
		char name[32];

		snprintf(name, sizeof(name), "control-%s", parts[i]);
		doors[n++] = (struct door){.kind = IPC_LISTENER_CONTROL,
			.name = base_strdup(parts[i]),
			.path = join(conf->run, name),
			.mode = 0600,
			.fd = -1,
			.fresh = true};
	}
	/* For commands of the same owner, whether auth_service is there or not; unless it is here. */
	if (!conf->has_auth_service || strcmp(conf->auth_service_path, own) != 0)
		doors[n++] = (struct door){.kind = IPC_LISTENER_AUTH_SERVICE,
			.name = base_strdup("auth"),
			.path = base_strdup(own),
			.mode = 0600,
			.fd = -1,
			.fresh = true};
	free(own);
	if (conf->has_auth_service)
		doors[n++] = (struct door){.kind = IPC_LISTENER_AUTH_SERVICE,
			.name = base_strdup("auth_service"),
			.path = base_strdup(conf->auth_service_path),
			.mode = conf->auth_service_mode,
			.fd = -1,
			.fresh = true};
	for (size_t i = 0; i < conf->listener_count; i++)
		doors[n++] = (struct door){.kind = IPC_LISTENER_SMTP,
			.name = base_strdup(conf->listeners[i].title),
			.address = conf->listeners[i].address,
			.fd = -1,
			.fresh = true};
	*out_count = n;
	return doors;
}

static int bind_patiently(
	struct door *door, const struct account *account, int64_t until_ms, struct base_error *err)
{
	int rc;

	for (;;) {
		rc = bind_door(door, account, err);
		if (rc != BASE_ERROR_EXISTS || base_clock_monotonic_ms() >= until_ms)
			return rc;
		usleep(TRY_AGAIN_MS * 1000);
	}
}

int doors_open(struct doors *d, const struct conf *conf, const struct account *account,
	struct base_error *err)
{
	int64_t until_ms = base_clock_monotonic_ms() + START_PATIENCE_MS;
	int rc = 0;

	*d = (struct doors){0};
	d->items = list_doors(conf, &d->count);
	for (size_t i = 0; rc == 0 && i < d->count; i++)
		rc = bind_patiently(&d->items[i], account, until_ms, err);
	return rc;
}

static bool same_place(const struct door *a, const struct door *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->path)
		return strcmp(a->path, b->path) == 0;
	return a->address.family == b->address.family && a->address.port == b->address.port &&
		memcmp(a->address.bytes, b->address.bytes, sizeof(a->address.bytes)) == 0;
}

/* Take over the socket of an old door at the same place; one whose title stays is no news to roles. */
static void inherit(struct doors *old, struct door *door, const struct account *account)
{
	for (size_t i = 0; i < old->count; i++) {
		struct door *was = &old->items[i];

		if (was->fd < 0 || !same_place(was, door))
			continue;
		door->fd = was->fd;
		door->fresh = strcmp(was->name, door->name) != 0;
		was->fd = -1;
		was->kept = !door->fresh;
		if (door->path && door->mode != was->mode) {
			account_files_begin(account);
			(void)!chmod(door->path, door->mode);
			account_files_end(account);
		}
		return;
	}
}

void doors_change(struct doors *d, const struct conf *conf, const struct account *account)
{
	struct doors fresh = {0};
	struct base_error err;

	doors_gone_clear(d);
	fresh.items = list_doors(conf, &fresh.count);
	for (size_t i = 0; i < fresh.count; i++)
		inherit(d, &fresh.items[i], account);
	fresh.gone = base_alloc_zero(d->count + 1, sizeof(*fresh.gone));
	for (size_t i = 0; i < d->count; i++) {
		struct door *was = &d->items[i];

		if (!was->kept)
			fresh.gone[fresh.gone_count++] = (struct door){
				.kind = was->kind, .name = base_strdup(was->name), .fd = -1};
		door_release(was, account, true);
	}
	free(d->items);
	for (size_t i = 0; i < fresh.count; i++) {
		if (fresh.items[i].fd >= 0 || bind_door(&fresh.items[i], account, &err) == 0)
			continue;
		log_write(LOG_LEVEL_ERROR, "%s; the other listeners go on", err.text);
	}
	*d = fresh;
}

void doors_gone_clear(struct doors *d)
{
	for (size_t i = 0; i < d->gone_count; i++) {
		free(d->gone[i].name);
		free(d->gone[i].path);
	}
	free(d->gone);
	d->gone = NULL;
	d->gone_count = 0;
}

bool door_is_for(const struct door *door, enum ipc_role role)
{
	switch (door->kind) {
	case IPC_LISTENER_SMTP:
		return role == IPC_FRONT;
	case IPC_LISTENER_AUTH_SERVICE:
		return role == IPC_AUTH;
	case IPC_LISTENER_CONTROL:
		return strcmp(door->name, ipc_role_name(role)) == 0;
	}
	return false;
}

void doors_close(struct doors *d, const struct account *account, bool unlink_paths)
{
	for (size_t i = 0; i < d->count; i++)
		door_release(&d->items[i], account, unlink_paths);
	free(d->items);
	doors_gone_clear(d);
	*d = (struct doors){0};
}
