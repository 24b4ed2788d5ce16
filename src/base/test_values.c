/* host addresses, time, digests, buffers, secrets */
#include "base/test_support.h"

#include "base/base64.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/host.h"
#include "base/time.h"

#include <errno.h>

static void addresses(void **state)
{
	static const struct {
		const char *text;
		const char *literal; /* null: no address */
	} rows[] = {
		{"192.0.2.1", "[192.0.2.1]"},
		{"2001:db8::1", "[IPv6:2001:db8::1]"},
		{"::1", "[IPv6:::1]"},
		{"", NULL},
		{"1.2.3", NULL},
		{"1.2.3.4.5", NULL},
		{"256.1.1.1", NULL},
		{"[1.2.3.4]", NULL},
		{"::1%lo", NULL},
		{"localhost", NULL},
		{"1.2.3.4 ", NULL},
		{"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001", NULL},
	};
	struct base_addr addr;
	struct base_buf out;

	base_buf_init(&out, 100);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct base_slice in = exact_copy(base_slice_text(rows[i].text));

		assert_int_equal(base_addr_parse(in, &addr), rows[i].literal != NULL);
		free_copy(in);
		if (!rows[i].literal)
			continue;
		base_buf_clear(&out);
		assert_true(base_addr_format_literal(&addr, &out));
		assert_true(base_slice_equal_text(base_buf_slice(&out), rows[i].literal));
		assert_true(base_addr_parse_literal(base_buf_slice(&out), &addr));
	}
	assert_true(base_addr_parse_port(BASE_SLICE("[::1]:587"), &addr));
	assert_int_equal(addr.port, 587);
	assert_false(base_addr_parse_port(BASE_SLICE("::1:587"), &addr));
	assert_false(base_addr_parse_port(BASE_SLICE("127.0.0.1"), &addr));
	assert_false(base_addr_parse_port(BASE_SLICE("127.0.0.1:0"), &addr));
	assert_false(base_addr_parse_port(BASE_SLICE("127.0.0.1:65536"), &addr));
	assert_false(base_addr_parse_port(BASE_SLICE("[127.0.0.1]:25"), &addr));
	assert_false(base_addr_parse_literal(BASE_SLICE("[IPv6:1.2.3.4]"), &addr));
	assert_false(base_addr_parse_literal(BASE_SLICE("[2001:db8::1]"), &addr));
	base_buf_release(&out);
}

static void networks(void **state)
{
	struct base_network net;
	struct base_addr addr, mapped;

	assert_true(base_network_parse(BASE_SLICE("10.0.0.0/9"), &net));
	assert_true(base_addr_parse(BASE_SLICE("10.127.255.255"), &addr) &&
		base_network_has(&net, &addr));
	assert_true(
		base_addr_parse(BASE_SLICE("10.128.0.0"), &addr) && !base_network_has(&net, &addr));
	assert_true(base_addr_parse(BASE_SLICE("::ffff:10.1.2.3"), &mapped));
	assert_true(base_network_has(&net, &mapped));
	assert_true(
		base_addr_parse(BASE_SLICE("10.1.2.3"), &addr) && base_addr_equal(&addr, &mapped));
	assert_false(base_network_parse(BASE_SLICE("10.0.0.1/9"), &net));
	assert_false(base_network_parse(BASE_SLICE("10.0.0.0/33"), &net));
	assert_false(base_network_parse(BASE_SLICE("10.0.0.0/"), &net));
	assert_true(
		base_network_parse(BASE_SLICE("0.0.0.0/0"), &net) && base_network_has(&net, &addr));
	assert_true(base_addr_is_special(&addr));
	assert_true(base_addr_parse(BASE_SLICE("8.8.8.8"), &addr) && !base_addr_is_special(&addr));
	assert_true(
		base_addr_parse(BASE_SLICE("127.9.9.9"), &addr) && base_addr_is_loopback(&addr));
	assert_true(base_addr_parse(BASE_SLICE("2001:db8:1:2:3::4"), &addr));
	addr = base_addr_client_key(&addr);
	assert_true(base_addr_parse(BASE_SLICE("2001:db8:1:2::"), &mapped));
	assert_true(base_addr_equal(&addr, &mapped));
}

static void host_names(void **state)
{
	assert_true(base_host_name_valid(BASE_SLICE("mail.example.org"), true, false));
	assert_true(base_host_name_valid(BASE_SLICE("localhost"), false, false));
	assert_false(base_host_name_valid(BASE_SLICE("localhost"), true, false));
	assert_false(base_host_name_valid(BASE_SLICE("example.org."), true, false));
	assert_false(base_host_name_valid(BASE_SLICE("-a.org"), true, false));
	assert_false(base_host_name_valid(BASE_SLICE("a..org"), true, false));
	assert_false(base_host_name_valid(BASE_SLICE("a_b.org"), true, false));
	assert_false(base_host_name_valid(BASE_SLICE("b\xc3\xbc.org"), true, false));
	assert_true(base_host_name_valid(BASE_SLICE("b\xc3\xbc.org"), true, true));
	assert_false(base_host_name_valid(BASE_SLICE("b\xc3.org"), true, true));
	assert_false(base_host_name_valid(BASE_SLICE(""), false, false));
}

static void times(void **state)
{
	struct base_buf out;
	int64_t ms = 0, seconds = 0;
	uint64_t bytes = 0;

	base_buf_init(&out, 100);
	base_time_rfc5322(1795531961000, &out);
	assert_slice_equal(base_buf_slice(&out), "Tue, 24 Nov 2026 14:52:41 +0000");
	base_buf_clear(&out);
	base_time_rfc3339(1795531961007, true, &out);
	assert_slice_equal(base_buf_slice(&out), "2026-11-24T14:52:41.007Z");
	assert_true(
		base_time_parse(BASE_SLICE("2026-11-24T14:52:41Z"), &ms) && ms == 1795531961000);
	assert_true(base_time_parse(BASE_SLICE("2026-11-24"), &ms) && ms == 1795478400000);
	assert_false(base_time_parse(BASE_SLICE("2026-06-31"), &ms));
	assert_false(base_time_parse(BASE_SLICE("2026-11-24T14:52:41"), &ms));
	assert_false(base_time_parse(BASE_SLICE("24.11.2026"), &ms));
	assert_true(base_duration_parse(BASE_SLICE("4h"), &seconds) && seconds == 14400);
	assert_true(base_duration_parse(BASE_SLICE("300"), &seconds) && seconds == 300);
	assert_false(base_duration_parse(BASE_SLICE("h"), &seconds));
	assert_false(base_duration_parse(BASE_SLICE("1w"), &seconds));
	assert_false(base_duration_parse(BASE_SLICE("99999999999999999d"), &seconds));
	base_buf_clear(&out);
	base_duration_format(432000, &out);
	assert_slice_equal(base_buf_slice(&out), "5d");
	assert_true(base_size_parse(BASE_SLICE("1G"), &bytes) && bytes == 1073741824);
	assert_false(base_size_parse(BASE_SLICE("99999999999T"), &bytes));
	base_buf_release(&out);
}

static void hmac_and_pbkdf2(void **state)
{
	uint8_t mac[BASE_HASH_MAX_BYTES];
	struct base_buf hex;

	base_buf_init(&hex, 200);
	base_hmac(BASE_HASH_MD5, BASE_SLICE("tanstaaftanstaaf"),
		BASE_SLICE("<1896.697170952@postoffice.reston.mci.net>"), mac);
	base_hex_encode(base_slice_make(mac, 16), &hex);
	assert_slice_equal(base_buf_slice(&hex), "b913a602c7eda7a495b4e6e7334d3890");
	/* RFC 6070 */
	base_pbkdf2(BASE_HASH_SHA1, BASE_SLICE("password"), BASE_SLICE("salt"), 2, mac, 20);
	base_buf_clear(&hex);
	base_hex_encode(base_slice_make(mac, 20), &hex);
	assert_slice_equal(base_buf_slice(&hex), "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957");
	base_buf_release(&hex);
}

static void seals_what_belongs_together(void **state)
{
	uint8_t key[BASE_SEAL_KEY_BYTES] = {1}, nonce[BASE_SEAL_NONCE_BYTES] = {2};
	struct base_slice k = base_slice_make(key, sizeof(key)),
			  n = base_slice_make(nonce, sizeof(nonce));
	struct base_buf sealed;
	struct base_secret plain;

	base_buf_init(&sealed, 200);
	base_secret_init(&plain, 64);
	assert_true(base_seal(k, n, BASE_SLICE("user anna"), BASE_SLICE("secret"), &sealed));
	assert_int_equal(sealed.len, 6 + BASE_SEAL_OVERHEAD_BYTES);
	assert_true(base_unseal(k, BASE_SLICE("user anna"), base_buf_slice(&sealed), &plain));
	assert_slice_equal(base_secret_slice(&plain), "secret");
	assert_false(base_unseal(k, BASE_SLICE("user bob"), base_buf_slice(&sealed), &plain));
	assert_int_equal(plain.len, 0);
	for (size_t i = 0; i < sealed.len; i++) {
		sealed.ptr[i] ^= 1;
		assert_false(
			base_unseal(k, BASE_SLICE("user anna"), base_buf_slice(&sealed), &plain));
		sealed.ptr[i] ^= 1;
	}
	assert_false(
		base_unseal(k, BASE_SLICE("user anna"), base_slice_make(sealed.ptr, 20), &plain));
	key[31] = 9;
	assert_false(base_unseal(k, BASE_SLICE("user anna"), base_buf_slice(&sealed), &plain));
	base_buf_release(&sealed);
	base_secret_release(&plain);
}

static void buffers_stop_at_their_maximum(void **state)
{
	struct base_buf b;

	base_buf_init(&b, 5);
	assert_true(base_buf_append_text(&b, "abc"));
	assert_false(base_buf_append_text(&b, "def"));
	assert_false(base_buf_ok(&b));
	assert_slice_equal(base_buf_slice(&b), "abc");
	assert_true(base_buf_append_text(&b, "de"));
	assert_false(base_buf_ok(&b));
	assert_null(base_buf_text(&b));
	base_buf_consume(&b, 2);
	assert_slice_equal(base_buf_slice(&b), "cde");
	assert_string_equal(base_buf_text(&b), "cde");
	base_buf_clear(&b);
	assert_true(base_buf_ok(&b));
	assert_true(base_buf_printf(&b, "%d", 12345));
	assert_false(base_buf_printf(&b, "%d", 6));
	base_buf_release(&b);
	base_buf_init_secret(&b, 100000);
	for (int i = 0; i < 1000; i++)
		assert_true(base_buf_append_text(&b, "0123456789"));
	assert_int_equal(b.len, 10000);
	base_buf_truncate(&b, 3);
	assert_int_equal(b.ptr[5], 0);
	base_buf_release(&b);
}

static void secrets_are_wiped(void **state)
{
	struct base_secret s;

	base_secret_init(&s, 8);
	assert_true(base_secret_set(&s, BASE_SLICE("hunter2")));
	assert_false(base_secret_append(&s, BASE_SLICE("xx")));
	assert_slice_equal(base_secret_slice(&s), "hunter2");
	assert_false(base_secret_set(&s, BASE_SLICE("far too long")));
	assert_slice_equal(base_secret_slice(&s), "hunter2");
	base_secret_clear(&s);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(s.ptr[i], 0);
	base_secret_release(&s);
	assert_true(base_equal_constant_time(BASE_SLICE("abc"), BASE_SLICE("abc")));
	assert_false(base_equal_constant_time(BASE_SLICE("abc"), BASE_SLICE("abd")));
	assert_false(base_equal_constant_time(BASE_SLICE("abc"), BASE_SLICE("ab")));
}

static void full_disks_have_their_own_class(void **state)
{
	struct base_error err;

	assert_int_equal(
		base_error_errno(&err, BASE_ERROR_TEMPORARY, ENOSPC, "cannot write \"%s\"", "x"),
		BASE_ERROR_NO_SPACE);
	assert_string_equal(err.text, "cannot write \"x\": No space left on device");
	assert_int_equal(base_error_errno(&err, BASE_ERROR_CONFIG, ENOENT, "a"), BASE_ERROR_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test(networks),
		cmocka_unit_test(host_names),
		cmocka_unit_test(times),
		cmocka_unit_test(hmac_and_pbkdf2),
		cmocka_unit_test(seals_what_belongs_together),
		cmocka_unit_test(buffers_stop_at_their_maximum),
		cmocka_unit_test(secrets_are_wiped),
		cmocka_unit_test(full_disks_have_their_own_class),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
