#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "qmail/mask.h"
#include "qmail/record_lines.h"

#include <stdlib.h>
#include <string.h>

/* A dialogue: pieces that begin with "C" or "S" say whose bytes follow. What is shown is joined in
 * the same way. */
static const struct row {
	const char *name;
	const char *pieces[14];
	const char *shown[14];
} rows[] = {
	{"initial response",
		{"S220 hi\r\n", "CEHLO x\r\n", "S250-x\r\n250 AUTH PLAIN\r\n",
			"CAUTH PLAIN AHRlc3QAMTIzNA==\r\n", "S235 ok\r\n", "CQUIT\r\n"},
		{"S220 hi\r\n", "CEHLO x\r\n", "S250-x\r\n250 AUTH PLAIN\r\n",
			"CAUTH PLAIN <16 bytes>\r\n", "S235 ok\r\n", "CQUIT\r\n"}},
	{"LOGIN, and its end",
		{"S220 hi\r\n", "Cauth login\r\n", "S334 VXNlcm5hbWU6\r\n", "CdGVzdA==\r\n",
			"S334 UGFzc3dvcmQ6\r\n", "CMTIzNA==\r\n", "S535 no\r\n",
			"CMAIL FROM:<a@b>\r\n"},
		{"S220 hi\r\n", "Cauth login\r\n", "S334 VXNlcm5hbWU6\r\n", "C<8 bytes>\r\n",
			"S334 UGFzc3dvcmQ6\r\n", "C<8 bytes>\r\n", "S535 no\r\n",
			"CMAIL FROM:<a@b>\r\n"}},
	{"all at once",
		{"S220 hi\r\n",
			"CEHLO x\r\nNOOP\r\nAUTH LOGIN\r\ndGVzdA==\r\nMTIzNA==\r\nMAIL "
			"FROM:<>\r\n",
			"S250 x\r\n502 what\r\n", "CNOOP\r\n", "S334 VXNlcm5hbWU6\r\n",
			"Cd29yZA==\r\n", "S334 UGFzc3dvcmQ6\r\n235 ok\r\n", "CQUIT\r\n"},
		{"S220 hi\r\n",
			"CEHLO x\r\nNOOP\r\nAUTH LOGIN\r\n<8 bytes>\r\n<8 bytes>\r\n<12 "
			"bytes>\r\n",
			"S250 x\r\n502 what\r\n", "C<4 bytes>\r\n", "S334 VXNlcm5hbWU6\r\n",
			"C<8 bytes>\r\n", "S334 UGFzc3dvcmQ6\r\n235 ok\r\n", "CQUIT\r\n"}},
	{"cancelled, empty",
		{"S220 hi\r\n", "CAUTH PLAIN =\r\n", "S334 \r\n", "C*\r\n", "S501 ok\r\n",
			"CAUTH PLAIN\r\n", "S334 \r\n", "C\r\n", "S501 no\r\n"},
		{"S220 hi\r\n", "CAUTH PLAIN =\r\n", "S334 \r\n", "C*\r\n", "S501 ok\r\n",
			"CAUTH PLAIN\r\n", "S334 \r\n", "C\r\n", "S501 no\r\n"}},
	{"a client that does not hear the refusal",
		{"S220 hi\r\n", "CAUTH LOGIN\r\n", "S504 no\r\n", "CdGVzdA==\r\n", "S502 ?\r\n",
			"CMTIz\r\n", "S502 ?\r\n", "Cnoop\r\nhello\r\n"},
		{"S220 hi\r\n", "CAUTH LOGIN\r\n", "S504 no\r\n", "C<8 bytes>\r\n", "S502 ?\r\n",
			"C<4 bytes>\r\n", "S502 ?\r\n", "Cnoop\r\nhello\r\n"}},
	{"an answer that ends nothing for the client",
		{"S220 hi\r\n", "CAUTH LOGIN\r\n", "S250 ?\r\n", "CdGVzdA==\r\n", "S250 ?\r\n"},
		{"S220 hi\r\n", "CAUTH LOGIN\r\n", "S250 ?\r\n", "C<8 bytes>\r\n", "S250 ?\r\n"}},
	{"the mechanism left out",
		{"S220 hi\r\n", "CAUTH dGVzdA\r\n", "S504 no\r\n", "CAUTHdGVzdA\r\n", "S500 no\r\n",
			"CAUTH FOOBAR x\r\n", "S504 no\r\n"},
		{"S220 hi\r\n", "CAUTH <6 bytes>\r\n", "S504 no\r\n", "CAUTH<6 bytes>\r\n",
			"S500 no\r\n", "CAUTH FOOBAR <1 bytes>\r\n", "S504 no\r\n"}},
	{"a body is shown",
		{"S220 hi\r\n", "CDATA\r\n", "S354 go\r\n",
			"CAUTH PLAIN x\r\n ..\r\nPASS y\r\n.x\r\n.\r\n", "S250 ok\r\n",
			"CAUTH PLAIN x\r\n", "S235 ok\r\n"},
		{"S220 hi\r\n", "CDATA\r\n", "S354 go\r\n",
			"CAUTH PLAIN x\r\n ..\r\nPASS y\r\n.x\r\n.\r\n", "S250 ok\r\n",
			"CAUTH PLAIN <1 bytes>\r\n", "S235 ok\r\n"}},
	{"a chunk does not begin an exchange",
		{"S220 hi\r\n", "CBDAT 13 LAST\r\nAUTH PLAIN xyNOOP\r\n", "S250 ok\r\n",
			"CNOOP\r\n"},
		{"S220 hi\r\n", "CBDAT 13 LAST\r\nAUTH PLAIN <2 bytes>NOOP\r\n", "S250 ok\r\n",
			"CNOOP\r\n"}},
	{"STARTTLS",
		{"S220 hi\r\n", "CSTARTTLS\r\n", "S220 go\r\n", "C\026\003\001xx", "S\026\003",
			"Cauth"},
		{"S220 hi\r\n", "CSTARTTLS\r\n", "S220 go\r\n", "C<5 bytes of TLS>\n",
			"S<2 bytes of TLS>\n", "C<4 bytes of TLS>\n"}},
	{"TLS from the start", {"C\026\003\001", "S\026"},
		{"C<3 bytes of TLS>\n", "S<1 bytes of TLS>\n"}},
	{"POP3",
		{"S+OK <1@x>\r\n", "CUSER anna\r\n", "S+OK\r\n", "Cpass my secret\r\n", "S-ERR\r\n",
			"CAPOP anna c4c9334bac560ecc\r\n", "S+OK\r\n", "CAUTH PLAIN\r\n", "S+ \r\n",
			"CAHgAeQ==\r\n", "S+OK\r\n", "CSTLS\r\n", "S+OK\r\n", "Cx"},
		{"S+OK <1@x>\r\n", "CUSER anna\r\n", "S+OK\r\n", "Cpass <9 bytes>\r\n", "S-ERR\r\n",
			"CAPOP <21 bytes>\r\n", "S+OK\r\n", "CAUTH PLAIN\r\n", "S+ \r\n",
			"C<8 bytes>\r\n", "S+OK\r\n", "CSTLS\r\n", "S+OK\r\n",
			"C<1 bytes of TLS>\n"}},
	{"a challenge whose AUTH was missed",
		{"S334 UGFzc3dvcmQ6\r\n", "Cc2VjcmV0\r\n", "S235 ok\r\n", "CQUIT\r\n"},
		{"S334 UGFzc3dvcmQ6\r\n", "C<8 bytes>\r\n", "S235 ok\r\n", "CQUIT\r\n"}},
	{"line ends of all kinds",
		{"S220 hi\n", "C  auth\tplain  a\rb\n", "S535 no\n", "C\r\n\nNOOP\n"},
		{"S220 hi\n", "C  auth\tplain  <3 bytes>\n", "S535 no\n", "C\r\n\nNOOP\n"}},
};

static void push_cut(
	struct mask *m, enum mask_side side, const char *text, size_t cut, struct base_buf *out)
{
	size_t len = strlen(text);

	for (size_t at = 0; at < len; at += cut) {
		size_t part = len - at < cut ? len - at : cut;
		uint8_t *copy = malloc(part);

		memcpy(copy, text + at, part);
		mask_push(m, side, base_slice_make(copy, part), out);
		free(copy);
	}
}

static void play(const struct row *row, size_t cut)
{
	struct mask m;
	struct base_buf out;

	mask_init(&m, false);
	base_buf_init(&out, 1 << 16);
	for (size_t i = 0; i < BASE_COUNT(row->pieces) && row->pieces[i]; i++) {
		enum mask_side side = row->pieces[i][0] == 'C' ? MASK_CLIENT : MASK_SERVER;

		base_buf_clear(&out);
		push_cut(&m, side, row->pieces[i] + 1, m.tls ? 1000 : cut, &out);
		if (strcmp(base_buf_text(&out), row->shown[i] + 1) != 0 &&
			!strstr(row->shown[i], "TLS"))
			fail_msg("%s, cut %zu, piece %zu: \"%s\"", row->name, cut, i,
				base_buf_text(&out));
		if (cut == 1000 && strcmp(base_buf_text(&out), row->shown[i] + 1) != 0)
			fail_msg("%s: \"%s\"", row->name, base_buf_text(&out));
	}
	base_buf_release(&out);
}

static void each_dialogue_at_each_cut(void **state)
{
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		play(&rows[i], 1000);
		for (size_t cut = 1; cut < 9; cut++)
			play(&rows[i], cut);
	}
}

static void all_is_shown_when_asked(void **state)
{
	struct mask m;
	struct base_buf out;

	mask_init(&m, true);
	base_buf_init(&out, 4096);
	mask_push(&m, MASK_CLIENT, BASE_SLICE("AUTH PLAIN AHgAeQ==\r\n\026"), &out);
	assert_string_equal(base_buf_text(&out), "AUTH PLAIN AHgAeQ==\r\n\026");
	assert_false(mask_is_holding(&m, MASK_CLIENT));
	base_buf_release(&out);
}

static void a_long_response_is_one_mark(void **state)
{
	struct mask m;
	struct base_buf out;
	uint8_t line[12290];

	memset(line, 'A', sizeof(line));
	mask_init(&m, false);
	base_buf_init(&out, 4096);
	mask_push(&m, MASK_SERVER, BASE_SLICE("334 \r\n"), &out);
	base_buf_clear(&out);
	mask_push(&m, MASK_CLIENT, base_slice_make(line, sizeof(line)), &out);
	assert_int_equal(out.len, 0);
	assert_true(mask_is_holding(&m, MASK_CLIENT));
	mask_end(&m, MASK_CLIENT, &out);
	assert_string_equal(base_buf_text(&out), "<12290 bytes>");
	base_buf_release(&out);
}

static void lines_look_like_recordio(void **state)
{
	struct record_lines l;
	struct base_buf out;
	char text[600];

	base_buf_init(&out, 4096);
	record_lines_init(&l, 7, '<');
	record_lines_push(&l, BASE_SLICE("a\r\n\nb"), false, &out);
	record_lines_push(&l, BASE_SLICE("c"), true, &out);
	record_lines_push(&l, BASE_SLICE("d\n"), false, &out);
	record_lines_end(&l, &out);
	assert_string_equal(base_buf_text(&out), "7 < a\r \n7 <  \n7 < b+\n7 < cd \n7 < [EOF]\n");
	base_buf_clear(&out);
	memset(text, 'x', sizeof(text));
	record_lines_push(&l, base_slice_make(text, 256), true, &out);
	assert_int_equal(out.len, 0);
	record_lines_push(&l, BASE_SLICE("y\n"), false, &out);
	assert_int_equal(out.len, 4 + 256 + 2 + 4 + 1 + 2);
	base_buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_dialogue_at_each_cut),
		cmocka_unit_test(all_is_shown_when_asked),
		cmocka_unit_test(a_long_response_is_one_mark),
		cmocka_unit_test(lines_look_like_recordio),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
