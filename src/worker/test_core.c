/* Frames in, frames out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/core.h"

#include <string.h>

static struct ipc_frame make_frame(struct base_buf *b, enum ipc_frame_type type)
{
	struct base_slice all = base_buf_slice(b);

	return (struct ipc_frame){
		.type = type, .id = 7, .body = base_slice_from(all, sizeof(struct ipc_header))};
}

static uint8_t verify(const char *stored, const char *password, uint8_t *out_upgrade)
{
	uint8_t random[VAULT_CREDENTIALS_RANDOM_BYTES] = {1};
	struct base_buf in, out;
	struct ipc_frame frame;
	struct ipc_reader reader;
	struct ipc_header header;
	uint8_t result;

	base_buf_init_secret(&in, IPC_FRAME_MAX_BYTES);
	base_buf_init_secret(&out, IPC_FRAME_MAX_BYTES);
	ipc_begin(&in, IPC_VERIFY, 7);
	ipc_put_text(&in, stored);
	ipc_put_text(&in, password);
	frame = make_frame(&in, IPC_VERIFY);
	assert_true(worker_core_answer(&frame, random, &out));
	memcpy(&header, out.ptr, sizeof(header));
	assert_int_equal(header.type, IPC_VERIFIED);
	assert_int_equal(header.id, 7);
	reader = ipc_reader_make(base_slice_from(base_buf_slice(&out), sizeof(header)));
	result = ipc_get_u8(&reader);
	*out_upgrade = ipc_get_u8(&reader);
	assert_true(ipc_reader_done(&reader));
	base_buf_release(&in);
	base_buf_release(&out);
	return result;
}

static void verifies(void **state)
{
	uint8_t upgrade;

	assert_int_equal(verify("{PLAIN}geheim", "geheim", &upgrade), 1);
	assert_int_equal(upgrade, 1);
	assert_int_equal(verify("{PLAIN}geheim", "geheiM", &upgrade), 0);
	assert_int_equal(verify("", "geheim", &upgrade), 0);
	assert_int_equal(upgrade, 0);
}

static void hashes(void **state)
{
	uint8_t random[VAULT_CREDENTIALS_RANDOM_BYTES] = {1};
	struct vault_credentials c;
	struct base_buf in, out;
	struct ipc_frame frame;
	struct ipc_reader reader;
	uint8_t upgrade;

	base_buf_init_secret(&in, IPC_FRAME_MAX_BYTES);
	base_buf_init_secret(&out, IPC_FRAME_MAX_BYTES);
	ipc_begin(&in, IPC_HASH, 7);
	ipc_put_u32(&in, SASL_MASK(SASL_MECHANISM_SCRAM_SHA_256));
	ipc_put_text(&in, "geheim");
	frame = make_frame(&in, IPC_HASH);
	assert_true(worker_core_answer(&frame, random, &out));
	reader = ipc_reader_make(base_slice_from(base_buf_slice(&out), sizeof(struct ipc_header)));
	vault_credentials_init(&c);
	assert_true(vault_credentials_decode(ipc_get_bytes(&reader), &c));
	assert_int_equal(c.scram[BASE_HASH_SHA256].iterations, SASL_SCRAM_ITERATIONS);
	assert_int_equal(c.scram[BASE_HASH_SHA1].iterations, 0);
	assert_int_equal(verify(c.hash, "geheim", &upgrade), 1);
	vault_credentials_release(&c);
	base_buf_release(&in);
	base_buf_release(&out);
}

static void broken_frames_are_not_answered(void **state)
{
	uint8_t random[VAULT_CREDENTIALS_RANDOM_BYTES] = {1};
	struct ipc_frame frame = {.type = IPC_VERIFY, .body = BASE_SLICE("\1\0\0\0")};
	struct base_buf out;

	base_buf_init_secret(&out, IPC_FRAME_MAX_BYTES);
	assert_false(worker_core_answer(&frame, random, &out));
	frame.type = IPC_HASH;
	assert_false(worker_core_answer(&frame, random, &out));
	frame.type = IPC_SECRET;
	assert_false(worker_core_answer(&frame, random, &out));
	base_buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verifies),
		cmocka_unit_test(hashes),
		cmocka_unit_test(broken_frames_are_not_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
