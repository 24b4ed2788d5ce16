#include "loop/ipc.h"

#include "base/test_support.h"
#include "loop/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The table. */

struct row {
	const char *name;
	enum ipc_role from, to;
	unsigned type, reserved;
	size_t body;
	unsigned fds;
	const char *wrong;
};

static const struct row rows[] = {
	{"drain", IPC_MASTER, IPC_FRONT, IPC_DRAIN, 0, 4, 0, NULL},
	{"drain short", IPC_MASTER, IPC_FRONT, IPC_DRAIN, 0, 3, 0, "frame is too short"},
	{"drain long", IPC_MASTER, IPC_FRONT, IPC_DRAIN, 0, 5, 0, "frame is too long"},
	{"drain with a descriptor", IPC_MASTER, IPC_FRONT, IPC_DRAIN, 0, 4, 1,
		"frame has the wrong number of descriptors"},
	{"drain by front", IPC_FRONT, IPC_QUEUE, IPC_DRAIN, 0, 4, 0,
		"frame is not the sender's to send"},
	{"submit to auth", IPC_FRONT, IPC_AUTH, IPC_SUBMIT, 0, 64, 0,
		"frame is not for the receiver"},
	{"submit", IPC_FRONT, IPC_QUEUE, IPC_SUBMIT, 0, 21, 0, NULL},
	{"submit as long as a frame", IPC_FRONT, IPC_QUEUE, IPC_SUBMIT, 0, IPC_FRAME_MAX_BYTES - 8,
		0, NULL},
	{"file", IPC_QUEUE, IPC_FRONT, IPC_SUBMIT_FILE, 0, 1, 1, NULL},
	{"file refused", IPC_QUEUE, IPC_FRONT, IPC_SUBMIT_FILE, 0, 1, 0, NULL},
	{"file twice", IPC_QUEUE, IPC_FRONT, IPC_SUBMIT_FILE, 0, 1, 2,
		"frame has the wrong number of descriptors"},
	{"peer without one", IPC_MASTER, IPC_FRONT, IPC_PEER, 0, 6, 0,
		"frame has the wrong number of descriptors"},
	{"unknown", IPC_MASTER, IPC_FRONT, IPC_FRAME_COUNT, 0, 4, 0, "unknown frame type"},
	{"unknown high", IPC_MASTER, IPC_FRONT, 0xffff, 0, 4, 0, "unknown frame type"},
	{"reserved", IPC_MASTER, IPC_FRONT, IPC_DRAIN, 1, 4, 0, "reserved bits are set"},
	{"secret to front", IPC_AUTH, IPC_FRONT, IPC_SECRET, 0, 20, 0,
		"frame is not for the receiver"},
	{"event by the master", IPC_MASTER, IPC_JOURNAL, IPC_EVENT, 0, 20, 0, NULL},
	{"request to front", IPC_CLI, IPC_FRONT, IPC_CTL_REQUEST, 0, 8, 0,
		"frame is not for the receiver"},
};

static void test_table(void **state)
{
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		const struct row *row = &rows[i];
		struct ipc_header header = {(uint16_t)row->type, (uint16_t)row->reserved, 7};
		size_t len = sizeof(header) + row->body;
		uint8_t *raw = calloc(1, len);
		const char *wrong;

		memcpy(raw, &header, sizeof(header));
		wrong = ipc_frame_check(row->from, row->to, base_slice_make(raw, len), row->fds);
		if ((wrong == NULL) != (row->wrong == NULL) ||
			(wrong && strcmp(wrong, row->wrong) != 0))
			fail_msg("%s: got %s, expected %s", row->name, wrong ? wrong : "fine",
				row->wrong ? row->wrong : "fine");
		for (size_t cut = 0; cut < sizeof(header); cut++) {
			struct base_slice part = exact_copy(base_slice_make(raw, cut));

			assert_non_null(ipc_frame_check(row->from, row->to, part, row->fds));
			free_copy(part);
		}
		free(raw);
	}
}

static void test_fields(void **state)
{
	struct base_buf b;
	struct base_slice body;

	base_buf_init(&b, IPC_FRAME_MAX_BYTES);
	ipc_begin(&b, IPC_SUBMIT, 9);
	ipc_put_u8(&b, 0xfe);
	ipc_put_u16(&b, 0xfedc);
	ipc_put_u32(&b, 0xfedcba98);
	ipc_put_u64(&b, 0xfedcba9876543210);
	ipc_put_i64(&b, -5);
	ipc_put_text(&b, "words");
	ipc_put_bytes(&b, BASE_SLICE_EMPTY);
	body = base_slice_from(base_buf_slice(&b), sizeof(struct ipc_header));
	for (size_t len = 0; len <= body.len; len++) {
		struct base_slice part = exact_copy(base_slice_first(body, len));
		struct ipc_reader r = ipc_reader_make(part);

		(void)ipc_get_u8(&r);
		(void)ipc_get_u16(&r);
		(void)ipc_get_u32(&r);
		if (len >= 15)
			assert_true(ipc_get_u64(&r) == 0xfedcba9876543210);
		else
			(void)ipc_get_u64(&r);
		(void)ipc_get_i64(&r);
		if (len == body.len)
			assert_slice_equal(ipc_get_bytes(&r), "words");
		else
			(void)ipc_get_bytes(&r);
		assert_int_equal(ipc_get_bytes(&r).len, 0);
		assert_int_equal(ipc_reader_done(&r), len == body.len);
		if (len < body.len) {
			assert_true(r.bad);
			assert_int_equal(ipc_get_u32(&r), 0);
		}
		free_copy(part);
	}
	base_buf_release(&b);
}

static void test_length_beyond_frame(void **state)
{
	static const uint8_t raw[] = {0xff, 0xff, 0xff, 0xff, 1};
	struct base_slice body = exact_copy(base_slice_make(raw, sizeof(raw)));
	struct ipc_reader r = ipc_reader_make(body);

	assert_int_equal(ipc_get_bytes(&r).len, 0);
	assert_true(r.bad);
	free_copy(body);
}

/* Channels. */

struct side {
	struct ipc_channel *ch;
	unsigned frames, closed, drained;
	uint32_t last_id;
	size_t last_len;
	int fd;
	char why[64];
	bool free_in_handler;
};

static void on_frame(struct ipc_channel *ch, struct ipc_frame *frame, void *arg)
{
	struct side *side = arg;

	side->frames++;
	side->last_id = frame->id;
	side->last_len = frame->body.len;
	if (frame->fd_count) {
		side->fd = frame->fds[0];
		frame->fds[0] = -1;
	}
	if (side->free_in_handler)
		ipc_channel_free(&side->ch);
}

static void on_closed(struct ipc_channel *ch, const char *why, void *arg)
{
	struct side *side = arg;

	side->closed++;
	side->ch = NULL;
	snprintf(side->why, sizeof(side->why), "%s", why);
}

static void on_drained(struct ipc_channel *ch, void *arg)
{
	((struct side *)arg)->drained++;
}

static const struct ipc_handlers handlers = {on_frame, on_closed, on_drained};

static void make_pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
}

static void turn(uv_loop_t *loop, int times)
{
	for (int i = 0; i < times; i++)
		uv_run(loop, UV_RUN_NOWAIT);
}

static void end_loop(uv_loop_t *loop, struct side *a, struct side *b)
{
	if (a->ch)
		ipc_channel_free(&a->ch);
	if (b && b->ch)
		ipc_channel_free(&b->ch);
	uv_run(loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(loop), 0);
}

static void test_descriptor_travels(void **state)
{
	struct side queue = {.fd = -1}, front = {.fd = -1};
	struct base_buf b;
	uv_loop_t loop;
	int fds[2], file[2];
	char byte;

	uv_loop_init(&loop);
	make_pair(fds);
	assert_int_equal(pipe(file), 0);
	queue.ch = ipc_channel_new(&loop, fds[0], IPC_QUEUE, IPC_FRONT, &handlers, &queue);
	front.ch = ipc_channel_new(&loop, fds[1], IPC_FRONT, IPC_QUEUE, &handlers, &front);
	base_buf_init(&b, IPC_FRAME_MAX_BYTES);
	ipc_begin(&b, IPC_SUBMIT_FILE, 41);
	ipc_put_u8(&b, 0);
	assert_true(ipc_send(queue.ch, &b, &file[1], 1));
	turn(&loop, 2);
	assert_int_equal(front.frames, 1);
	assert_int_equal(front.last_id, 41);
	assert_true(front.fd >= 0);
	assert_true(fcntl(front.fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(front.fd, "x", 1), 1);
	assert_int_equal(read(file[0], &byte, 1), 1);
	/* Not allowed by the table: refused at home. */
	assert_false(ipc_send(front.ch, &b, &file[1], 1));
	close(front.fd);
	close(file[0]);
	close(file[1]);
	base_buf_release(&b);
	end_loop(&loop, &queue, &front);
}

static void put_submit(struct base_buf *b, uint32_t id, size_t size)
{
	static uint8_t message[IPC_INLINE_MESSAGE_MAX_BYTES];

	ipc_begin(b, IPC_SUBMIT, id);
	ipc_put_text(b, "0123456789abcdef");
	ipc_put_text(b, "envelope");
	ipc_put_u8(b, 0);
	ipc_put_u64(b, size);
	ipc_put_bytes(b, base_slice_make(message, size));
}

static void test_full_socket_waits(void **state)
{
	enum { FRAMES = 200 };
	struct side queue = {.fd = -1}, front = {.fd = -1};
	struct base_buf b;
	uv_loop_t loop;
	int fds[2];

	uv_loop_init(&loop);
	make_pair(fds);
	queue.ch = ipc_channel_new(&loop, fds[0], IPC_QUEUE, IPC_FRONT, &handlers, &queue);
	front.ch = ipc_channel_new(&loop, fds[1], IPC_FRONT, IPC_QUEUE, &handlers, &front);
	ipc_channel_pause(queue.ch, true);
	base_buf_init(&b, IPC_FRAME_MAX_BYTES);
	for (uint32_t i = 0; i < FRAMES; i++) {
		put_submit(&b, i, IPC_INLINE_MESSAGE_MAX_BYTES);
		assert_true(ipc_send(front.ch, &b, NULL, 0));
	}
	assert_true(ipc_channel_pending(front.ch) > 0);
	turn(&loop, 3);
	assert_int_equal(queue.frames, 0);
	ipc_channel_pause(queue.ch, false);
	for (int i = 0; i < 10 * FRAMES && queue.frames < FRAMES; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(queue.frames, FRAMES);
	assert_int_equal(queue.last_id, FRAMES - 1);
	turn(&loop, 2);
	assert_int_equal(ipc_channel_pending(front.ch), 0);
	assert_true(front.drained > 0);
	base_buf_release(&b);
	end_loop(&loop, &queue, &front);
}

static void test_last_words_of_the_dead(void **state)
{
	struct side front = {.fd = -1};
	struct base_buf b;
	uv_loop_t loop;
	int fds[2];

	/* The peer answers, has an unread frame of ours, and dies: its answers must still arrive. */
	uv_loop_init(&loop);
	make_pair(fds);
	front.ch = ipc_channel_new(&loop, fds[1], IPC_FRONT, IPC_QUEUE, &handlers, &front);
	base_buf_init(&b, IPC_FRAME_MAX_BYTES);
	put_submit(&b, 1, 10);
	assert_true(ipc_send(front.ch, &b, NULL, 0));
	for (uint32_t id = 5; id < 8; id++) {
		ipc_begin(&b, IPC_SUBMITTED, id);
		ipc_put_u8(&b, 0);
		ipc_put_text(&b, "0123456789abcdef");
		assert_int_equal(ipc_write_blocking(fds[0], &b, NULL), 0);
	}
	close(fds[0]);
	turn(&loop, 4);
	assert_int_equal(front.frames, 3);
	assert_int_equal(front.last_id, 7);
	assert_int_equal(front.closed, 1);
	assert_string_equal(front.why, "the other side closed");
	base_buf_release(&b);
	end_loop(&loop, &front, NULL);
}

static void test_breaker_is_cut_off(void **state)
{
	struct side queue = {.fd = -1};
	struct base_buf b;
	uv_loop_t loop;
	int fds[2];

	uv_loop_init(&loop);
	make_pair(fds);
	queue.ch = ipc_channel_new(&loop, fds[0], IPC_QUEUE, IPC_FRONT, &handlers, &queue);
	base_buf_init(&b, IPC_FRAME_MAX_BYTES);
	ipc_begin(&b, IPC_READY, 0);
	assert_int_equal(ipc_write_blocking(fds[1], &b, NULL), 0);
	turn(&loop, 3);
	assert_int_equal(queue.closed, 1);
	assert_string_equal(queue.why, "frame is not for the receiver");
	close(fds[1]);
	base_buf_release(&b);
	end_loop(&loop, &queue, NULL);
}

static void test_free_in_handler(void **state)
{
	struct side queue = {.fd = -1, .free_in_handler = true};
	struct base_buf b;
	uv_loop_t loop;
	int fds[2];

	uv_loop_init(&loop);
	make_pair(fds);
	queue.ch = ipc_channel_new(&loop, fds[0], IPC_QUEUE, IPC_FRONT, &handlers, &queue);
	base_buf_init(&b, IPC_FRAME_MAX_BYTES);
	ipc_begin(&b, IPC_SUBMIT_ABORT, 3);
	assert_int_equal(ipc_write_blocking(fds[1], &b, NULL), 0);
	assert_int_equal(ipc_write_blocking(fds[1], &b, NULL), 0);
	turn(&loop, 3);
	assert_int_equal(queue.frames, 1);
	assert_int_equal(queue.closed, 0);
	close(fds[1]);
	base_buf_release(&b);
	end_loop(&loop, &queue, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_length_beyond_frame),
		cmocka_unit_test(test_descriptor_travels),
		cmocka_unit_test(test_full_socket_waits),
		cmocka_unit_test(test_last_words_of_the_dead),
		cmocka_unit_test(test_breaker_is_cut_off),
		cmocka_unit_test(test_free_in_handler),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
