/* Any bytes: the parser ends; a configuration without errors is rendered for every role, parses
 * again and says the same. */
#include "loop/conf_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_role(const struct conf *c, enum ipc_role role)
{
	struct base_buf first, second;
	struct conf_findings f;
	struct conf *again;

	base_buf_init(&first, 1 << 24);
	base_buf_init(&second, 1 << 24);
	conf_render(c, role, &first);
	again = conf_parse(base_buf_slice(&first), "f", "/", &f);
	BASE_BUG_IF(!again);
	conf_render(again, role, &second);
	BASE_BUG_IF(!base_slice_equal(base_buf_slice(&first), base_buf_slice(&second)));
	conf_free(&again);
	conf_findings_release(&f);
	base_buf_release(&first);
	base_buf_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_findings f;
	struct conf *c = conf_parse(base_slice_make(data, size), "f", "/", &f);
	struct base_buf out;
	bool errors = false;

	for (size_t i = 0; i < f.count; i++)
		errors = errors || !f.items[i].warning;
	BASE_BUG_IF(!c != errors);
	base_buf_init(&out, 1 << 24);
	conf_findings_print("f", &f, &out);
	base_buf_release(&out);
	for (unsigned role = IPC_FRONT; c && role < IPC_CLI; role++)
		check_role(c, (enum ipc_role)role);
	conf_free(&c);
	conf_findings_release(&f);
	return 0;
}
