#include "route/control.h"

/* The first byte cuts the rest into a host or sender and a file: whatever stands in the file,
 * results point into it, and what is found is whole. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(enum route_control_result result, const struct route_control_relay *r,
	const char *why, struct base_slice subject)
{
	BASE_BUG_IF((result == ROUTE_CONTROL_BROKEN) != (why != NULL));
	if (result != ROUTE_CONTROL_FOUND)
		return;
	BASE_BUG_IF(r->key.len > subject.len);
	BASE_BUG_IF(r->key.len && !base_slice_ends_with_nocase(subject, r->key));
	BASE_BUG_IF(base_slice_has(r->host, ' ') || base_slice_has(r->host, '\n'));
	BASE_BUG_IF(r->credentials != (r->user.len > 0) || r->credentials != (r->password.len > 0));
	BASE_BUG_IF(base_slice_has(r->user, '|') && base_slice_has(r->user, ' '));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base_slice all = base_slice_make(data, size), subject, file, line, rest;
	size_t cut = size ? data[0] : 0;
	struct route_control_relay r;
	enum route_control_tls tls = ROUTE_CONTROL_TLS_UNSET;
	enum route_control_result result;
	const char *why = NULL;
	unsigned number = 0, lines = 0;

	subject = base_slice_first(base_slice_from(all, 1), cut);
	file = base_slice_from(all, 1 + cut);
	result = route_control_smtproute(file, subject, &r, &why);
	check(result, &r, why, subject);
	why = NULL;
	result = route_control_authsender(file, subject, &r, &why);
	check(result, &r, why, subject);
	why = NULL;
	result = route_control_tlspolicy(file, subject, &tls, &why);
	BASE_BUG_IF((result == ROUTE_CONTROL_BROKEN) != (why != NULL));
	BASE_BUG_IF((result == ROUTE_CONTROL_FOUND) != (tls != ROUTE_CONTROL_TLS_UNSET));
	for (rest = file; route_control_next(&rest, &number, &line); lines++)
		BASE_BUG_IF(line.len == 0 || line.ptr[0] == '#');
	BASE_BUG_IF(lines > number);
	BASE_BUG_IF(base_slice_has(route_control_line(file), '\n'));
	(void)route_control_number(file, 0);
	return 0;
}
