/* Three readings of three strings. */
#include "base/test_support.h"
#include "checkpassword/core.h"

#define CRAM "b913a602c7eda7a495b4e6e7334d3890"
#define CHALLENGE "<1896.697170952@postoffice.reston.mci.net>"
#define SECRET "tanstaaftanstaaf"
#define APOP "c4c9334bac560ecc979e58001b3e22fb"
#define BANNER "<1896.697170952@dbc.mtview.ca.us>"

struct row {
	const char *name;
	struct base_slice in;
	enum wire_checkpassword_order order;
	const char *stored, *clear;
	enum checkpassword_verdict verdict;
};

static void readings(void **state)
{
	const enum wire_checkpassword_order standard = WIRE_CHECKPASSWORD_STANDARD,
					    legacy = WIRE_CHECKPASSWORD_LEGACY;
	const struct row rows[] = {
		{"password", BASE_SLICE("tim\0" SECRET "\0"), standard, "{PLAIN}" SECRET, SECRET,
			CHECKPASSWORD_RIGHT},
		{"password, empty third", BASE_SLICE("tim\0" SECRET "\0\0"), legacy,
			"{PLAIN}" SECRET, SECRET, CHECKPASSWORD_RIGHT},
		{"wrong password", BASE_SLICE("tim\0x\0\0"), standard, "{PLAIN}" SECRET, SECRET,
			CHECKPASSWORD_WRONG},
		{"password and timestamp", BASE_SLICE("tim\0" SECRET "\0" BANNER "\0"), standard,
			"{PLAIN}" SECRET, SECRET, CHECKPASSWORD_RIGHT},
		{"password and timestamp, legacy", BASE_SLICE("tim\0" SECRET "\0" BANNER "\0"),
			legacy, "{PLAIN}" SECRET, SECRET, CHECKPASSWORD_RIGHT},
		{"CRAM", BASE_SLICE("tim\0" CRAM "\0" CHALLENGE "\0"), standard, "{PLAIN}" SECRET,
			SECRET, CHECKPASSWORD_RIGHT},
		{"CRAM, legacy", BASE_SLICE("tim\0" CHALLENGE "\0" CRAM "\0"), legacy,
			"{PLAIN}" SECRET, SECRET, CHECKPASSWORD_RIGHT},
		{"CRAM in the other order", BASE_SLICE("tim\0" CHALLENGE "\0" CRAM "\0"), standard,
			"{PLAIN}" SECRET, SECRET, CHECKPASSWORD_WRONG},
		{"CRAM without clear text", BASE_SLICE("tim\0" CRAM "\0" CHALLENGE "\0"), standard,
			"{PLAIN}" SECRET, "", CHECKPASSWORD_WRONG},
		{"CRAM of another secret", BASE_SLICE("tim\0" CRAM "\0" CHALLENGE "\0"), standard,
			"{PLAIN}other", "other", CHECKPASSWORD_WRONG},
		{"APOP", BASE_SLICE("mrose\0" APOP "\0" BANNER "\0"), standard, "{PLAIN}tanstaaf",
			"tanstaaf", CHECKPASSWORD_RIGHT},
		{"APOP, legacy", BASE_SLICE("mrose\0" BANNER "\0" APOP "\0"), legacy,
			"{PLAIN}tanstaaf", "tanstaaf", CHECKPASSWORD_RIGHT},
		{"APOP with another banner", BASE_SLICE("mrose\0" APOP "\0<1@x>\0"), standard,
			"{PLAIN}tanstaaf", "tanstaaf", CHECKPASSWORD_WRONG},
		{"upper case", BASE_SLICE("mrose\0C4C9334BAC560ECC979E58001B3E22FB\0" BANNER "\0"),
			standard, "{PLAIN}tanstaaf", "tanstaaf", CHECKPASSWORD_WRONG},
		{"nobody", BASE_SLICE("nobody\0x\0\0"), standard, "", "", CHECKPASSWORD_WRONG},
		{"nobody, no password", BASE_SLICE("nobody\0\0\0"), standard, "", "",
			CHECKPASSWORD_WRONG},
		{"empty stored", BASE_SLICE("tim\0\0\0"), standard, "{PLAIN}", "",
			CHECKPASSWORD_WRONG},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		const struct row *r = &rows[i];
		struct base_slice in = exact_copy(r->in);
		struct checkpassword_login login;

		assert_int_equal(
			checkpassword_login_read(in, r->order, &login), WIRE_CHECKPASSWORD_OK);
		if (checkpassword_judge(&login, login.password, base_slice_text(r->stored),
			    base_slice_text(r->clear)) != r->verdict)
			fail_msg("%s", r->name);
		free_copy(in);
	}
}

static void broken_ones(void **state)
{
	struct checkpassword_login login;
	static uint8_t many[513];

	assert_int_equal(
		checkpassword_login_read(BASE_SLICE("tim\0x"), WIRE_CHECKPASSWORD_LEGACY, &login),
		WIRE_CHECKPASSWORD_BROKEN);
	assert_int_equal(checkpassword_login_read(base_slice_make(many, sizeof(many)),
				 WIRE_CHECKPASSWORD_STANDARD, &login),
		WIRE_CHECKPASSWORD_LONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readings),
		cmocka_unit_test(broken_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
