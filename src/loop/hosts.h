/* loop/hosts.h: the names of /etc/hosts
 * Job      parse the file's text, look names up
 * Spec     hosts(5); "localhost" is always known */
#ifndef LOOP_HOSTS_H
#define LOOP_HOSTS_H

#include "route/dns.h"

struct hosts;

struct hosts *hosts_new(struct base_slice text);
void hosts_free(struct hosts **h);
/* False: the name is not there. */
bool hosts_find(const struct hosts *h, const char *name, enum route_dns_type type,
	struct route_dns_answer *out);

#endif
