#include "loop/job.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_job(struct base_slice in)
{
	struct job job;
	struct base_buf b;

	if (!job_get(in, &job))
		return;
	base_buf_init(&b, in.len + 64);
	job_put(&b, &job);
	if (!job.file)
		base_buf_append_slice(&b, job.message);
	BASE_BUG_IF(!base_slice_equal(base_buf_slice(&b), in));
	base_buf_release(&b);
}

static void fuzz_result(struct base_slice in)
{
	struct job_result r;
	struct job_rcpt_result rcpt;
	struct ipc_reader rest;
	struct base_buf b;
	uint32_t i;

	if (!job_result_get(in, &r, &rest))
		return;
	base_buf_init(&b, in.len + 64);
	job_result_put(&b, &r);
	for (i = 0; i < r.rcpt_count; i++) {
		if (!job_result_get_rcpt(&rest, &rcpt))
			goto out;
		job_result_put_rcpt(&b, &rcpt);
	}
	BASE_BUG_IF(b.len != in.len - rest.rest.len || memcmp(b.ptr, in.ptr, b.len) != 0);
out:
	base_buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] & 1)
		fuzz_job(base_slice_make(data + 1, size - 1));
	else
		fuzz_result(base_slice_make(data + 1, size - 1));
	return 0;
}
