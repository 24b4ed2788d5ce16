/* front/listener.c: what one listener demands, and which mechanisms it announces */
#include "front/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct conf_strings copy_strings(const struct conf_strings *from)
{
	struct conf_strings to = {.count = from->count};

	to.items = base_alloc_zero(from->count, sizeof(*to.items));
	for (size_t i = 0; i < from->count; i++)
		to.items[i] = base_strdup(from->items[i]);
	return to;
}

static void free_strings(struct conf_strings *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
}

static struct conf_networks copy_networks(const struct conf_networks *from)
{
	struct conf_networks to = {.count = from->count};

	to.items = base_alloc_zero(from->count, sizeof(*to.items));
	if (from->count)
		memcpy(to.items, from->items, from->count * sizeof(*to.items));
	return to;
}

struct front_listener *front_listener_new(const struct conf *conf, const struct conf_listener *from,
	const struct front_mechanisms *mechanisms)
{
	struct front_listener *l = base_alloc_zero(1, sizeof(*l));
	unsigned flags = SMTP_SERVER_REQUIRE_FQDN;

	l->references = 1;
	l->title = base_strdup(from->title);
	l->host_name = base_strdup(conf->hostname);
	l->tls = from->tls;
	l->auth = from->auth;
	l->mechanisms = from->mechanisms ? from->mechanisms & conf->auth.mechanisms
					 : conf->auth.mechanisms;
	if (from->auth == CONF_AUTH_NONE)
		l->mechanisms = 0;
	l->plaintext_without_tls = from->plaintext_without_tls;
	l->trace_client = conf->trace_client_address;
	l->trace_user = conf->trace_user;
	l->dialogue = conf->dialogue;
	l->from_networks = copy_networks(&from->from_networks);
	l->accept = copy_strings(&from->accept);
	l->dnsbl = copy_strings(&from->dnsbl);
	l->relay_ctrl = from->relay_ctrl != NULL;
	l->relay_ctrl_expiry_s = from->relay_ctrl_expiry_s;
	l->command_timeout_s = conf->limits.command_timeout_s;
	if (from->tls == CONF_TLS_STARTTLS)
		flags |= SMTP_SERVER_TLS_OFFER;
	if (from->auth == CONF_AUTH_REQUIRED)
		flags |= SMTP_SERVER_AUTH_REQUIRED;
	if (conf->auth.legacy_announcement)
		flags |= SMTP_SERVER_AUTH_LEGACY;
	l->options = (struct smtp_server_options){
		.host_name = base_slice_text(l->host_name),
		.flags = flags,
		.size_max_bytes = conf->limits.message_size,
		.recipients_max = conf->limits.recipients,
		.auth_failures_max = (uint16_t)conf->limits.auth_failures,
	};
	front_listener_announce(l, mechanisms);
	return l;
}

void front_listener_free(struct front_listener **listener)
{
	struct front_listener *l = *listener;

	*listener = NULL;
	if (!l || --l->references > 0)
		return;
	free_strings(&l->accept);
	free_strings(&l->dnsbl);
	free(l->from_networks.items);
	free(l->title);
	free(l->host_name);
	free(l);
}

/* The names of @mask as words, the strongest first: the highest bit. */
static void words(uint32_t mask, char *out, size_t size)
{
	size_t len = 0;

	out[0] = '\0';
	for (int bit = 31; bit >= 0; bit--) {
		const char *name = mask & 1u << bit ? conf_mechanism_name((unsigned)bit) : NULL;

		if (!name)
			continue;
		len += (size_t)snprintf(out + len, size - len, "%s%s", len ? " " : "", name);
		BASE_BUG_IF(len >= size);
	}
}

void front_listener_announce(struct front_listener *l, const struct front_mechanisms *m)
{
	/* While the link is down the configured names are announced and AUTH gets 454: a client must
	 * not conclude that this server never asks for a login. */
	uint32_t all = m->known ? l->mechanisms & m->mask : l->mechanisms;
	uint32_t clear = all & ~m->binding;
	uint32_t withheld = 0;

	if (!l->plaintext_without_tls) {
		withheld = clear & m->plaintext;
		clear &= ~m->plaintext;
	}
	words(all, l->announce_tls, sizeof(l->announce_tls));
	words(all & ~m->binding, l->announce_tls_unbound, sizeof(l->announce_tls_unbound));
	words(clear, l->announce_clear, sizeof(l->announce_clear));
	words(withheld, l->withheld, sizeof(l->withheld));
}
