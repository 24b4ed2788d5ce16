#include "route/sender.h"

#include "base/macros.h"

#include <string.h>

/* The first byte cuts the rest into a sender and lines. A line's one spelling is a line again, the same;
 * a table of them finds an address by its own line; any sender gets a line of the table or none. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(struct base_slice text)
{
	char out[ROUTE_SENDER_LINE_MAX_BYTES + 1], again[ROUTE_SENDER_LINE_MAX_BYTES + 1];
	enum route_sender_kind kind, kind_again;
	struct route_sender line, found;
	struct route_sender_table *t;
	const char *why = NULL;

	if (!route_sender_parse(text, out, &kind, &why)) {
		BASE_BUG_IF(!why);
		return;
	}
	BASE_BUG_IF(strlen(out) > ROUTE_SENDER_LINE_MAX_BYTES);
	BASE_BUG_IF(!route_sender_parse(base_slice_text(out), again, &kind_again, &why));
	BASE_BUG_IF(kind != kind_again || strcmp(out, again) != 0);
	line = (struct route_sender){text, BASE_SLICE("account")};
	t = route_sender_table_new(&line, 1);
	if (kind == ROUTE_SENDER_ADDRESS)
		BASE_BUG_IF(!route_sender_find(
			t, text, BASE_SLICE_EMPTY, BASE_SLICE("own.example"), &found));
	route_sender_table_free(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base_slice all = base_slice_make(data, size), sender, rest, text;
	struct route_sender lines[64], found;
	struct route_sender_table *t;
	size_t count = 0, cut = size ? data[0] : 0;

	sender = base_slice_first(base_slice_from(all, 1), cut);
	rest = base_slice_from(all, 1 + cut);
	check_line(sender);
	while (count < BASE_COUNT(lines) && base_slice_split(&rest, '\n', &text)) {
		check_line(text);
		lines[count++] = (struct route_sender){text, BASE_SLICE("account")};
	}
	t = route_sender_table_new(lines, count);
	if (route_sender_find(
		    t, sender, count ? lines[0].line : sender, BASE_SLICE("own.example"), &found))
		BASE_BUG_IF(!base_slice_equal_text(found.account, "account"));
	route_sender_table_free(&t);
	return 0;
}
