/* One session, answers chosen by the content (see smtp/test_session.h): replies and events are the
 * same for any cut that leaves lines of AUTH exchanges and STARTTLS on segments of their own, every
 * reply is a clean line, and the truths of smtp_server_check() hold after each push. A second run
 * cuts everywhere, also behind AUTH and STARTTLS, and only has to stay sound. */
#include "smtp/test_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct test_setup setups[] = {
	{.announced = "PLAIN LOGIN CRAM-MD5", .size_max_bytes = 200, .recipients_max = 3},
	{.flags = SMTP_SERVER_TLS_OFFER | SMTP_SERVER_AUTH_REQUIRED | SMTP_SERVER_REQUIRE_FQDN,
		.announced = "CRAM-MD5",
		.needs_tls = "PLAIN LOGIN",
		.announced_tls = "PLAIN LOGIN"},
	{.flags = SMTP_SERVER_TLS_OFFER | SMTP_SERVER_TLS_REQUIRED | SMTP_SERVER_TRUST_AUTH_PARAM,
		.announced = "PLAIN",
		.tls_fails = true},
	{.announced = "PLAIN", .size_max_bytes = 1u << 20, .recipients_max = 100},
};

static void check_replies(struct base_slice sent)
{
	struct base_slice line;

	if (sent.len == 0)
		return;
	BASE_BUG_IF(!base_slice_ends_with_nocase(sent, BASE_SLICE("\r\n")));
	while (base_slice_split(&sent, '\n', &line)) {
		BASE_BUG_IF(line.len < 5 || line.ptr[line.len - 1] != '\r');
		BASE_BUG_IF(line.ptr[0] < '2' || line.ptr[0] > '5');
		BASE_BUG_IF(line.ptr[3] != ' ' && line.ptr[3] != '-');
		for (size_t i = 0; i + 1 < line.len; i++)
			BASE_BUG_IF(line.ptr[i] < ' ' || line.ptr[i] > '~');
	}
}

static bool has_nocase(struct base_slice s, struct base_slice word)
{
	while (s.len >= word.len) {
		if (base_slice_starts_with_nocase(s, word))
			return true;
		s = base_slice_from(s, 1);
	}
	return false;
}

/* Put a pause behind each line that may be STARTTLS, and behind all lines once an AUTH was seen: then
 * no client guesses, and the cut cannot matter. Pauses of the input's own are taken out. */
static void add_pauses(struct base_slice in, struct base_buf *out)
{
	struct base_buf plain;
	bool auth = false;

	base_buf_init(&plain, 1u << 18);
	for (size_t i = 0; i < in.len; i++)
		base_buf_append_byte(&plain, in.ptr[i] == 0x1f ? 0x1e : in.ptr[i]);
	in = base_buf_slice(&plain);
	while (in.len) {
		struct base_slice line = base_slice_first(in, base_slice_find(in, '\n') + 1);

		auth = auth || has_nocase(line, BASE_SLICE("AUTH"));
		base_buf_append_slice(out, line);
		if (auth || has_nocase(line, BASE_SLICE("STARTTLS")))
			base_buf_append_byte(out, 0x1f);
		in = base_slice_from(in, line.len);
	}
	base_buf_release(&plain);
}

static void run(
	struct base_slice in, const struct test_setup *setup, size_t step, struct test_session *t)
{
	test_session_init(t, setup);
	test_feed(t, in, step, 0);
	check_replies(base_buf_slice(&t->sent));
}

static void compare(struct test_session *a, struct test_session *b)
{
	BASE_BUG_IF(!base_slice_equal(base_buf_slice(&a->sent), base_buf_slice(&b->sent)));
	BASE_BUG_IF(!base_slice_equal(base_buf_slice(&a->log), base_buf_slice(&b->log)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct test_setup *setup;
	struct test_session whole, cut, bytes, wild;
	struct base_buf paused;
	struct base_slice in;

	if (size < 2 || size > 1u << 16)
		return 0;
	setup = &setups[data[0] % BASE_COUNT(setups)];
	in = base_slice_make(data + 2, size - 2);
	base_buf_init(&paused, 1u << 18);
	add_pauses(in, &paused);
	run(base_buf_slice(&paused), setup, 0, &whole);
	run(base_buf_slice(&paused), setup, 1 + (size_t)data[1] % 61, &cut);
	run(base_buf_slice(&paused), setup, 1, &bytes);
	compare(&whole, &cut);
	compare(&whole, &bytes);
	run(in, setup, 1 + (size_t)data[1], &wild);
	test_session_release(&whole);
	test_session_release(&cut);
	test_session_release(&bytes);
	test_session_release(&wild);
	base_buf_release(&paused);
	return 0;
}
