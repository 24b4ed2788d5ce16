/* No address leaves the folder that the template names, and line ends do not depend on the cut. */
#include "deliver/core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_path(struct base_slice address)
{
	struct base_buf out;
	size_t slashes = 0;

	base_buf_init(&out, DELIVER_PATH_MAX_BYTES + 1024);
	if (deliver_path(BASE_SLICE("/m/{domain}/{user}/x"), address, BASE_SLICE("h"), &out) ==
		DELIVER_PATH_OK) {
		for (size_t i = 0; i < out.len; i++) {
			slashes += out.ptr[i] == '/';
			BASE_BUG_IF(out.ptr[i] == '/' && i + 1 < out.len && out.ptr[i + 1] == '.');
			BASE_BUG_IF(out.ptr[i] == 0);
		}
		BASE_BUG_IF(slashes != 4);
	}
	base_buf_release(&out);
}

static void convert(struct base_slice in, size_t step, struct base_buf *out)
{
	struct deliver_lines lines = {0};

	base_buf_init(out, 1u << 20);
	while (in.len) {
		BASE_BUG_IF(!deliver_lines_push(&lines, base_slice_first(in, step), out));
		in = base_slice_from(in, step);
	}
	BASE_BUG_IF(!deliver_lines_end(&lines, out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base_slice in = base_slice_make(data, size);
	struct base_buf whole, cut, out;

	check_path(in);
	convert(in, size ? size : 1, &whole);
	convert(in, size && data[0] ? data[0] : 1, &cut);
	BASE_BUG_IF(!base_slice_equal(base_buf_slice(&whole), base_buf_slice(&cut)));
	base_buf_release(&whole);
	base_buf_release(&cut);
	base_buf_init(&out, 1u << 20);
	if (deliver_head(in, in, &out)) {
		size_t lines = 0;

		for (size_t i = 0; i < out.len; i++)
			lines += out.ptr[i] == '\n';
		BASE_BUG_IF(lines != 2);
	}
	base_buf_release(&out);
	return 0;
}
