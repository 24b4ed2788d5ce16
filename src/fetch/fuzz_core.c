/* Frames, answers of the DNS, ends and time in any order: the truths of core.h hold, every answer is a frame
 * that the table takes, and an address that passes is what it says when it is put together again. */
#include "fetch/core.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RUNNING_MAX = 16 };

struct bench {
	struct fetch_core *core;
	struct base_buf reply;
	struct fetch_request *running[RUNNING_MAX];
	uint32_t last;
	int64_t now;
};

static uint8_t take(struct base_slice *in)
{
	uint8_t byte = in->len ? in->ptr[0] : 0;

	*in = base_slice_from(*in, 1);
	return byte;
}

static void check_url(struct base_slice text)
{
	struct fetch_url url, again;
	struct base_buf b;

	if (fetch_url_read(text, &url) != FETCH_URL_OK)
		return;
	base_buf_init(&b, 512);
	(void)base_buf_printf(&b,
		url.addr.family == BASE_ADDR_IP6 ? "https://[%s]:%u/" : "https://%s:%u/", url.host,
		url.port);
	BASE_BUG_IF(fetch_url_read(base_buf_slice(&b), &again) != FETCH_URL_OK);
	BASE_BUG_IF(strcmp(url.host, again.host) != 0 || url.port != again.port);
	BASE_BUG_IF(strpbrk(url.host, "/@?#\\ %") != NULL);
	base_buf_release(&b);
}

static void do_all(struct bench *b)
{
	enum fetch_effect_kind kind;
	struct fetch_request *r;

	while (fetch_core_effect(b->core, &kind, &r)) {
		struct fetch_request **slot = &b->running[r->number % RUNNING_MAX];

		b->last = r->number;
		if (kind == FETCH_START && !*slot)
			*slot = r;
		if (kind == FETCH_STOP && *slot == r)
			*slot = NULL;
		if (kind == FETCH_ANSWER) {
			fetch_core_reply(r, &b->reply);
			BASE_BUG_IF(
				ipc_frame_check(IPC_FETCH, IPC_AUTH, base_buf_slice(&b->reply), 0));
		}
		if (kind == FETCH_ANSWER || kind == FETCH_DROP) {
			BASE_BUG_IF(*slot == r);
			fetch_core_forget(b->core, r);
		}
	}
	fetch_core_check(b->core);
}

static void on_want(struct bench *b, uint8_t how, struct base_slice *in)
{
	struct base_slice bytes = base_slice_first(*in, take(in));
	struct ipc_frame frame = {.type = IPC_FETCH_WANT, .id = how};
	struct base_buf body;

	check_url(bytes);
	base_buf_init(&body, 4096);
	if (how & 1) {
		frame.body = bytes;
	} else {
		ipc_put_bytes(&body, bytes);
		ipc_put_bytes(&body, bytes);
		ipc_put_bytes(&body, BASE_SLICE_EMPTY);
		ipc_put_u32(&body, how * 100u);
		frame.body = base_buf_slice(&body);
	}
	BASE_BUG_IF(!fetch_core_want(b->core, how % 3, &frame, b->now) && !(how & 1));
	base_buf_release(&body);
	*in = base_slice_from(*in, bytes.len);
}

static void on_end(struct bench *b, uint8_t how)
{
	struct base_error err = {.class = BASE_ERROR_PEER, .text = "x"};
	struct fetch_request **slot = &b->running[how % RUNNING_MAX], *r = *slot;

	if (!r)
		return;
	*slot = NULL;
	(void)base_buf_append_text(&r->body, "answer");
	fetch_core_done(b->core, r, how, how, how & 16 ? &err : NULL);
}

static void step(struct bench *b, uint8_t what, struct base_slice *in)
{
	static const struct base_addr addrs[2] = {{BASE_ADDR_IP4, 0, {127, 0, 0, 1}}};
	uint8_t how = take(in);

	if (what % 8 < 3)
		on_want(b, how, in);
	else if (what % 8 == 3)
		fetch_core_addresses(b->core, b->last - how % 4, (enum fetch_dns)(how / 4 % 3),
			addrs, how % 3, b->now);
	else if (what % 8 == 4)
		on_end(b, how);
	else if (what % 8 == 5)
		fetch_core_asker_gone(b->core, how % 3);
	else if (what % 8 == 6)
		fetch_core_tick(b->core, b->now += how * 50);
	else if (how == 255)
		fetch_core_drain(b->core);
	do_all(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base_slice in = base_slice_make(data, size);
	struct bench b = {.core = fetch_core_new(size & 1)};

	base_buf_init_secret(&b.reply, IPC_FRAME_MAX_BYTES);
	check_url(in);
	while (in.len)
		step(&b, take(&in), &in);
	fetch_core_free(&b.core);
	base_buf_release(&b.reply);
	return 0;
}
