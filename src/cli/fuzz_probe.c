/* A server's greeting and its two answers to EHLO, parted by 0x01: whatever it says, what is shown is one safe
 * text and one JSON object. */
#include "cli/probe.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Nothing that moves a terminal's cursor but line ends. */
static void check(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char b = (unsigned char)text[i];

		BASE_BUG_IF((b < 0x20 && b != '\n') || b == 0x7f);
	}
}

static void take(struct base_slice *rest, struct base_buf *out)
{
	struct base_slice head = base_slice_first(*rest, base_slice_find(*rest, 1));

	*rest = base_slice_from(*rest, head.len + 1);
	base_buf_append_slice(out, base_slice_first(head, out->max));
}

static void check_print(const struct probe *p)
{
	FILE *before = stdout;
	char *text = NULL;
	size_t len = 0;

	stdout = open_memstream(&text, &len);
	BASE_BUG_IF(!stdout);
	probe_print(p);
	fclose(stdout);
	stdout = before;
	check(text, len);
	free(text);
}

static void check_json(const struct probe *p)
{
	json_t *json = probe_json(p, NULL);
	char *text = json_dumps(json, JSON_COMPACT);

	BASE_BUG_IF(!text || strchr(text, '\n'));
	BASE_BUG_IF(!json_is_object(json_object_get(json, "before")));
	check(text, strlen(text));
	free(text);
	json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct probe p;
	struct base_slice rest = base_slice_make(data, size);

	p = (struct probe){.host = "srv.example", .port = 587, .mode = PROBE_STARTTLS};
	probe_init(&p);
	p.greeting_code = 220;
	p.before.asked = p.after.asked = p.tls = true;
	p.before.code = p.after.code = 250;
	p.starttls = PROBE_STARTTLS_DONE;
	take(&rest, &p.greeting);
	take(&rest, &p.before.hello);
	take(&rest, &p.after.hello);
	probe_offer_read(&p.before);
	probe_offer_read(&p.after);
	probe_judge(&p);
	check_print(&p);
	check_json(&p);
	probe_release(&p);
	return 0;
}
