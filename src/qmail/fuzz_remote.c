#include "qmail/remote.h"

#include <string.h>

/* Control files, arguments and a server's words, cut out of the input at its NULs: whatever they hold,
 * a report holds no NUL but the ones at its ends, and a plan has a name to say. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool take(struct base_slice *rest, struct base_slice *out)
{
	*out = BASE_SLICE_EMPTY;
	return base_slice_split(rest, 0, out);
}

static void check_report(struct base_slice said, struct base_buf *text)
{
	struct remote_report r;
	size_t nuls = 0;

	base_buf_clear(text);
	remote_report_said(said, text);
	BASE_BUG_IF(text->len && text->ptr[text->len - 1] != '\n');
	remote_report_word(said, text);
	remote_report_init(&r, 2);
	remote_report_rcpt(&r, 1, 'h', base_buf_text(text));
	remote_report_rcpt(&r, 0, 's', base_buf_text(text));
	remote_report_message(&r, "K\n");
	for (size_t i = 0; i < r.out.len; i++)
		nuls += r.out.ptr[i] == '\0';
	BASE_BUG_IF(nuls != 3);
	remote_report_release(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base_slice rest = base_slice_make(data, size), host, sender, mx;
	struct remote_control c = {.file = {{NULL, 0}}};
	char name[ROUTE_DNS_NAME_MAX_BYTES], mx_name[ROUTE_DNS_NAME_MAX_BYTES] = "";
	struct remote_plan plan;
	struct remote_tls tls;
	struct base_buf text;

	take(&rest, &host);
	take(&rest, &sender);
	take(&rest, &mx);
	for (size_t i = 0; i < REMOTE_FILE_CAFILE; i++)
		take(&rest, &c.file[i]);
	mx = base_slice_first(mx, sizeof(mx_name) - 1);
	if (mx.len)
		memcpy(mx_name, mx.ptr, mx.len);
	base_buf_init(&text, 1 << 20);
	if (remote_plan_make(&c, host, sender, &plan, &text)) {
		BASE_BUG_IF(plan.helo.len == 0);
		BASE_BUG_IF(plan.credentials != (plan.user.len && plan.password.len));
		remote_plan_tls_name(&plan, mx_name, name);
		if (remote_plan_tls(&c, &plan, mx_name, &tls, &text))
			BASE_BUG_IF(plan.credentials && !tls.verify && !tls.allow_plaintext);
	}
	base_buf_clear(&text);
	remote_address_quote(sender, &text);
	BASE_BUG_IF(text.len < sender.len);
	check_report(rest, &text);
	base_buf_release(&text);
	return 0;
}
