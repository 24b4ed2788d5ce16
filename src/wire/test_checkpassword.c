/* Descriptor 3's bytes, both ways. Parser rows run against exact-size copies; what is cut is a row
 * too. */
#include "base/test_support.h"
#include "wire/checkpassword.h"

#define TIM "tim"
#define DIGEST "b913a602c7eda7a495b4e6e7334d3890"
#define CHALLENGE "<1896.697170952@postoffice.reston.mci.net>"

struct put_row {
	const char *name;
	struct wire_checkpassword in;
	enum wire_checkpassword_order order;
	enum wire_checkpassword_result result;
	struct base_slice expected;
};

static struct wire_checkpassword of(
	struct base_slice login, struct base_slice secret, struct base_slice challenge)
{
	return (struct wire_checkpassword){login, secret, challenge};
}

static void puts_three_strings(void **state)
{
	struct base_slice none = BASE_SLICE_EMPTY;
	struct base_slice tim = BASE_SLICE(TIM), pass = BASE_SLICE("geheim");
	struct base_slice digest = BASE_SLICE(DIGEST), challenge = BASE_SLICE(CHALLENGE);
	static uint8_t many[600];
	struct base_slice a508 = base_slice_make(many, 508), a509 = base_slice_make(many, 509);
	const struct put_row rows[] = {
		{"password", of(tim, pass, none), WIRE_CHECKPASSWORD_STANDARD,
			WIRE_CHECKPASSWORD_OK, BASE_SLICE("tim\0geheim\0\0")},
		{"password, legacy", of(tim, pass, none), WIRE_CHECKPASSWORD_LEGACY,
			WIRE_CHECKPASSWORD_OK, BASE_SLICE("tim\0geheim\0\0")},
		{"digest", of(tim, digest, challenge), WIRE_CHECKPASSWORD_STANDARD,
			WIRE_CHECKPASSWORD_OK, BASE_SLICE(TIM "\0" DIGEST "\0" CHALLENGE "\0")},
		{"digest, legacy", of(tim, digest, challenge), WIRE_CHECKPASSWORD_LEGACY,
			WIRE_CHECKPASSWORD_OK, BASE_SLICE(TIM "\0" CHALLENGE "\0" DIGEST "\0")},
		{"all empty", of(none, none, none), WIRE_CHECKPASSWORD_STANDARD,
			WIRE_CHECKPASSWORD_OK, BASE_SLICE("\0\0\0")},
		{"NUL in the login", of(BASE_SLICE("t\0m"), pass, none),
			WIRE_CHECKPASSWORD_STANDARD, WIRE_CHECKPASSWORD_NUL, none},
		{"NUL in the secret", of(tim, BASE_SLICE("x\0"), none), WIRE_CHECKPASSWORD_STANDARD,
			WIRE_CHECKPASSWORD_NUL, none},
		{"NUL in the challenge", of(tim, pass, BASE_SLICE("\0")), WIRE_CHECKPASSWORD_LEGACY,
			WIRE_CHECKPASSWORD_NUL, none},
		{"512 bytes", of(BASE_SLICE("x"), a508, none), WIRE_CHECKPASSWORD_STANDARD,
			WIRE_CHECKPASSWORD_OK, base_slice_make(NULL, 512)},
		{"513 bytes", of(BASE_SLICE("x"), a509, none), WIRE_CHECKPASSWORD_STANDARD,
			WIRE_CHECKPASSWORD_LONG, none},
		{"one long field", of(base_slice_make(many, 600), none, none),
			WIRE_CHECKPASSWORD_STANDARD, WIRE_CHECKPASSWORD_LONG, none},
	};

	memset(many, 'a', sizeof(many));
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		const struct put_row *r = &rows[i];
		struct base_buf out;

		base_buf_init_secret(&out, 4096);
		base_buf_append_text(&out, "+");
		if (wire_checkpassword_put(&r->in, r->order, &out) != r->result)
			fail_msg("%s: other result", r->name);
		if (out.len != 1 + r->expected.len ||
			(r->expected.ptr &&
				memcmp(out.ptr + 1, r->expected.ptr, r->expected.len) != 0))
			fail_msg("%s: other bytes", r->name);
		base_buf_release(&out);
	}
}

struct get_row {
	const char *name;
	struct base_slice in;
	enum wire_checkpassword_order order;
	enum wire_checkpassword_result result;
	const char *login, *secret, *challenge;
};

static void gets_two_or_three(void **state)
{
	static uint8_t many[513];
	const struct get_row rows[] = {
		{"nothing", BASE_SLICE(""), WIRE_CHECKPASSWORD_STANDARD, WIRE_CHECKPASSWORD_BROKEN},
		{"one, not ended", BASE_SLICE("tim"), WIRE_CHECKPASSWORD_STANDARD,
			WIRE_CHECKPASSWORD_BROKEN},
		{"one", BASE_SLICE("tim\0"), WIRE_CHECKPASSWORD_STANDARD,
			WIRE_CHECKPASSWORD_BROKEN},
		{"second not ended", BASE_SLICE("tim\0geheim"), WIRE_CHECKPASSWORD_STANDARD,
			WIRE_CHECKPASSWORD_BROKEN},
		{"two", BASE_SLICE("tim\0geheim\0"), WIRE_CHECKPASSWORD_STANDARD,
			WIRE_CHECKPASSWORD_OK, "tim", "geheim", ""},
		{"two, legacy", BASE_SLICE("tim\0geheim\0"), WIRE_CHECKPASSWORD_LEGACY,
			WIRE_CHECKPASSWORD_OK, "tim", "geheim", ""},
		{"third not ended", BASE_SLICE("tim\0geheim\0Y123"), WIRE_CHECKPASSWORD_STANDARD,
			WIRE_CHECKPASSWORD_OK, "tim", "geheim", "Y123"},
		{"three", BASE_SLICE("tim\0" DIGEST "\0" CHALLENGE "\0"),
			WIRE_CHECKPASSWORD_STANDARD, WIRE_CHECKPASSWORD_OK, "tim", DIGEST,
			CHALLENGE},
		{"three, legacy", BASE_SLICE("tim\0" CHALLENGE "\0" DIGEST "\0"),
			WIRE_CHECKPASSWORD_LEGACY, WIRE_CHECKPASSWORD_OK, "tim", DIGEST, CHALLENGE},
		{"third empty, legacy", BASE_SLICE("tim\0geheim\0\0"), WIRE_CHECKPASSWORD_LEGACY,
			WIRE_CHECKPASSWORD_OK, "tim", "geheim", ""},
		{"four", BASE_SLICE("tim\0geheim\0Y1\0more\0"), WIRE_CHECKPASSWORD_STANDARD,
			WIRE_CHECKPASSWORD_OK, "tim", "geheim", "Y1"},
		{"all empty", BASE_SLICE("\0\0\0"), WIRE_CHECKPASSWORD_STANDARD,
			WIRE_CHECKPASSWORD_OK, "", "", ""},
		{"512 bytes", base_slice_make(many, 512), WIRE_CHECKPASSWORD_STANDARD,
			WIRE_CHECKPASSWORD_OK, "", "", ""},
		{"513 bytes", base_slice_make(many, 513), WIRE_CHECKPASSWORD_STANDARD,
			WIRE_CHECKPASSWORD_LONG},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		const struct get_row *r = &rows[i];
		struct base_slice in = exact_copy(r->in);
		struct wire_checkpassword m = {0};

		if (wire_checkpassword_get(in, r->order, &m) != r->result)
			fail_msg("%s: other result", r->name);
		if (r->result == WIRE_CHECKPASSWORD_OK &&
			!(base_slice_equal_text(m.login, r->login) &&
				base_slice_equal_text(m.secret, r->secret) &&
				base_slice_equal_text(m.challenge, r->challenge)))
			fail_msg("%s: other fields", r->name);
		if (r->result != WIRE_CHECKPASSWORD_OK)
			assert_null(m.login.ptr);
		free_copy(in);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(puts_three_strings),
		cmocka_unit_test(gets_two_or_three),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
