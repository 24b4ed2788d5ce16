#include "route/mx.h"

#include <string.h>

/* A packet as the answer to MX, and the same bytes as the answer to every address question: the
 * machine must come to an end, within its limits, without a special address. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct route_dns_answer answer;
	static struct route_mx m;
	struct route_mx_options options = {.destination = BASE_SLICE("x.example"),
		.mx = true,
		.own_name = BASE_SLICE("me.example"),
		.ip6 = true,
		.port = 25};
	struct route_mx_question q;
	size_t i, half = size / 2;

	route_mx_begin(&m, &options);
	while (route_mx_next(&m, &q)) {
		if (q.type == ROUTE_DNS_MX)
			route_dns_parse(base_slice_make(data, half), q.type, &answer);
		else
			route_dns_parse(base_slice_make(data + half, size - half), q.type, &answer);
		BASE_BUG_IF(answer.count > ROUTE_DNS_RECORDS_MAX);
		BASE_BUG_IF((answer.status == ROUTE_DNS_FOUND) != (answer.count > 0));
		route_mx_answer(&m, q.id, &answer);
	}
	BASE_BUG_IF(m.state == ROUTE_MX_ASKING || m.target_count > ROUTE_MX_TARGETS_MAX);
	route_dns_parse(base_slice_make(data, size), ROUTE_DNS_TXT, &answer);
	for (i = 0; i < answer.count; i++)
		BASE_BUG_IF(strlen(answer.records[i].name) >= ROUTE_DNS_NAME_MAX_BYTES);
	for (i = 0; i < m.target_count; i++)
		BASE_BUG_IF(base_addr_is_special(&m.targets[i].addr));
	return 0;
}
