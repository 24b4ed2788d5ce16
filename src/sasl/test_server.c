/* The server against what clients get wrong, and against what attackers try. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sasl/test_support.h"

#include "base/base64.h"

#define S(literal) \
	{ \
		(const uint8_t *)(literal), sizeof(literal) - 1 \
	}
#define NONCE "abcdefgh"
/* What support_random becomes as the server's part of the nonce. */
#define SERVER_NONCE "MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1u"
#define FULL_NONCE NONCE SERVER_NONCE

static struct support_store store = {.user = S("tim"), .password = S("secret")};

static int setup(void **state)
{
	(void)state;
	return sasl_scram_derive(BASE_HASH_SHA256, store.password, BASE_SLICE("0123456789abcdef"),
		       4096, &store.keys)
		? 0
		: -1;
}

struct row {
	const char *name;
	enum sasl_mechanism mechanism;
	struct base_slice message;
	enum sasl_server_result expected;
};

static void check_row(const struct row *row, bool initial)
{
	struct sasl_server_options o = support_server_options(row->mechanism);
	enum sasl_server_result result;
	struct sasl_server *s;
	struct base_buf out;

	base_buf_init(&out, 2048);
	if (initial) {
		result = support_begin(&s, &o, &row->message, &store, &out);
	} else {
		assert_int_equal(support_begin(&s, &o, NULL, &store, &out), SASL_SERVER_CHALLENGE);
		result = support_push(s, row->message, &store, &out);
	}
	if (result != row->expected)
		fail_msg("%s: %s (%s)", row->name, sasl_server_result_name(result),
			sasl_server_reason(s));
	if (result == SASL_SERVER_REJECTED || result == SASL_SERVER_MALFORMED)
		assert_true(sasl_server_reason(s)[0] != '\0');
	sasl_server_free(&s);
	base_buf_release(&out);
}

#define P(name, message, result) \
	{ \
		name, SASL_MECHANISM_PLAIN, S(message), SASL_SERVER_##result \
	}
#define L(name, message, result) \
	{ \
		name, SASL_MECHANISM_LOGIN, S(message), SASL_SERVER_##result \
	}
#define X(message, result) \
	{ \
		message, SASL_MECHANISM_SCRAM_SHA_256, S(message), SASL_SERVER_##result \
	}
#define XP(message, result) \
	{ \
		message, SASL_MECHANISM_SCRAM_SHA_256_PLUS, S(message), SASL_SERVER_##result \
	}

static const struct row client_first_rows[] = {
	P("right", "\0tim\0secret", SUCCESS),
	P("right, own authzid", "tim\0tim\0secret", SUCCESS),
	P("right, other authzid is for the caller to judge", "boss\0tim\0secret", SUCCESS),
	P("wrong password", "\0tim\0secreT", REJECTED),
	P("unknown user", "\0tom\0secret", REJECTED),
	P("empty", "", MALFORMED),
	P("one NUL", "\0", MALFORMED),
	P("two NULs", "\0\0", MALFORMED),
	P("three NULs", "\0\0\0", MALFORMED),
	P("no NUL", "tim", MALFORMED),
	P("one NUL between", "tim\0secret", MALFORMED),
	P("NUL at the end", "\0tim\0secret\0", MALFORMED),
	P("NUL in the password", "\0tim\0sec\0ret", MALFORMED),
	P("NUL behind the name", "\0tim\0\0secret", MALFORMED),
	P("empty name, authzid in its place", "tim\0\0secret", MALFORMED),
	P("empty password", "\0tim\0", MALFORMED),
	P("only a password", "\0\0secret", MALFORMED),
	P("name not UTF-8", "\0t\xefm\0secret", REJECTED),
	P("password not UTF-8", "\0tim\0secr\xe9t", REJECTED),
	P("password cut within a character", "\0tim\0secret\xc3", REJECTED),
	P("authzid not UTF-8", "\xff\0tim\0secret", REJECTED),
	P("name of nothing but a soft hyphen", "\0\xc2\xad\0secret", REJECTED),
	P("password of nothing but a soft hyphen", "\0tim\0\xc2\xad", REJECTED),
	P("soft hyphens that vanish",
		"\0ti\xc2\xadm\0se\xc2\xad"
		"cret",
		SUCCESS),
	P("tab in the name", "\0ti\tm\0secret", REJECTED),
	P("line feed in the password", "\0tim\0secret\n", REJECTED),
	P("backslashes", "\0tim\\\0secret\\\\", REJECTED),
	P("percent", "\0%s%n\0%{x}", REJECTED),

	L("name", "tim", CHALLENGE),
	L("unknown name is asked on", "nobody", CHALLENGE),
	L("empty name", "", MALFORMED),
	L("NUL behind the name", "tim\0evil", REJECTED),
	L("NUL alone", "\0", REJECTED),
	L("name not UTF-8", "\xff", REJECTED),

	X("n,,n=tim,r=" NONCE, CHALLENGE),
	X("n,,n=nobody,r=" NONCE, CHALLENGE),
	X("y,,n=tim,r=" NONCE, CHALLENGE),
	X("p=tls-exporter,,n=tim,r=" NONCE, CHALLENGE),
	X("n,a=boss,n=tim,r=" NONCE, CHALLENGE),
	X("n,,n=tim,r=" NONCE ",x=y", CHALLENGE),
	X("n,,n=tim,r=" NONCE ",x=y,Z=a=b,q=", CHALLENGE),
	X("n,,n=t=2Cim=3D,r=" NONCE, CHALLENGE),
	X("n,,n=ti m,r=!\"#$%&'()*+-./09:;<=>?@AZ[\\]^_`az{|}~", CHALLENGE),
	X("", MALFORMED),
	X("n", MALFORMED),
	X("n,", MALFORMED),
	X("n,,", MALFORMED),
	X("p", MALFORMED),
	X("p=", MALFORMED),
	X("p=,", MALFORMED),
	X("p=,,n=tim,r=" NONCE, MALFORMED),
	X("p,,n=tim,r=" NONCE, MALFORMED),
	X("ptls-exporter,,n=tim,r=" NONCE, MALFORMED),
	X("p=tls_exporter,,n=tim,r=" NONCE, MALFORMED),
	X("p=TLS-EXPORTER,,n=tim,r=" NONCE, REJECTED),
	X("p=tls-magic,,n=tim,r=" NONCE, REJECTED),
	X("y,a", MALFORMED),
	X("n,a=,", MALFORMED),
	X("n,a=,n=tim,r=" NONCE, MALFORMED),
	X("n,b=boss,n=tim,r=" NONCE, MALFORMED),
	X("n,aboss,n=tim,r=" NONCE, MALFORMED),
	X("n,a=bo=ss,n=tim,r=" NONCE, MALFORMED),
	X("n,a=bo=2css,n=tim,r=" NONCE, MALFORMED),
	X("n,a=\xff,n=tim,r=" NONCE, REJECTED),
	X("n,n=tim,r=" NONCE, MALFORMED),
	X("F,n,,n=tim,r=" NONCE, MALFORMED),
	X("N,,n=tim,r=" NONCE, MALFORMED),
	X("x,,n=tim,r=" NONCE, MALFORMED),
	X("nn,,n=tim,r=" NONCE, MALFORMED),
	X(",,n=tim,r=" NONCE, MALFORMED),
	X("n,,m=x", MALFORMED),
	X("n,,m=x,n=tim,r=" NONCE, MALFORMED),
	X("n,,n=tim,m=x,r=" NONCE, MALFORMED),
	X("n,,n=tim,r=" NONCE ",m=x", MALFORMED),
	X("n,,n=", MALFORMED),
	X("n,,n=,r=" NONCE, MALFORMED),
	X("n,,n=a", MALFORMED),
	X("n,,n=a,", MALFORMED),
	X("n,,n=a,r=", MALFORMED),
	X("n,,n=a,r", MALFORMED),
	X("n,,n=a,r=abcdefg", MALFORMED),
	X("n,,n=a,r=abcdefgh ", MALFORMED),
	X("n,,n=a,r=abcdefg\x7f", MALFORMED),
	X("n,,n=a,r=abcdefg\xc3\xa9", MALFORMED),
	X("n,,n=a,r=abcdefg\0h", MALFORMED),
	X("n,,n=ti\0m,r=" NONCE, MALFORMED),
	X("n,,n=tim\0,r=" NONCE, MALFORMED),
	X("n,a=bo\0ss,n=tim,r=" NONCE, MALFORMED),
	X("n,,n=tim,r=" NONCE ",x=\0", MALFORMED),
	X("n\0,,n=tim,r=" NONCE, MALFORMED),
	X("n,,n==2c,r=" NONCE, MALFORMED),
	X("n,,n==3d,r=" NONCE, MALFORMED),
	X("n,,n==,r=" NONCE, MALFORMED),
	X("n,,n==2,r=" NONCE, MALFORMED),
	X("n,,n=a=4Eb,r=" NONCE, MALFORMED),
	X("n,,n=a=00b,r=" NONCE, MALFORMED),
	X("n,,n=a=b,r=" NONCE, MALFORMED),
	X("n,,r=" NONCE ",n=tim", MALFORMED),
	X("n,,r=" NONCE, MALFORMED),
	X("n,,x=y,n=tim,r=" NONCE, MALFORMED),
	X("n,,n=tim,x=y,r=" NONCE, MALFORMED),
	X("n,,n=tim,n=tom,r=" NONCE, MALFORMED),
	X("n,,n=tim,r=" NONCE ",n=tom", MALFORMED),
	X("n,,n=tim,r=" NONCE ",r=" NONCE, MALFORMED),
	X("n,,n=tim,r=" NONCE ",", MALFORMED),
	X("n,,n=tim,r=" NONCE ",,x=y", MALFORMED),
	X("n,,n=tim,r=" NONCE ",x", MALFORMED),
	X("n,,n=tim,r=" NONCE ",=y", MALFORMED),
	X("n,,n=tim,r=" NONCE ",1=y", MALFORMED),
	X("n,,n=tim,r=" NONCE ",xy=z", MALFORMED),
	X("n,,n=\xc3,r=" NONCE, REJECTED),
	X("n,,n=\xc2\xad,r=" NONCE, REJECTED),
	X("n,,n=a\tb,r=" NONCE, REJECTED),
	X("c=biws,r=" FULL_NONCE ",p=AAAA", MALFORMED),
	XP("p=tls-unique,,n=tim,r=" NONCE, CHALLENGE),
	XP("p=tls-server-end-point,a=x,n=tim,r=" NONCE, CHALLENGE),
	XP("n,,n=tim,r=" NONCE, REJECTED),
	XP("y,,n=tim,r=" NONCE, REJECTED),
	XP("p=tls-magic,,n=tim,r=" NONCE, REJECTED),
};

static void first_messages(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_COUNT(client_first_rows); i++) {
		check_row(&client_first_rows[i], true);
		check_row(&client_first_rows[i], false);
	}
}

#define C(name, message, result) \
	{ \
		name, SASL_MECHANISM_CRAM_MD5, S(message), SASL_SERVER_##result \
	}
#define DIGEST "0123456789abcdef0123456789abcdef"

static const struct row cram_rows[] = {
	C("wrong digest", "tim " DIGEST, REJECTED),
	C("unknown user", "tom " DIGEST, REJECTED),
	C("empty", "", MALFORMED),
	C("only a name", "tim", MALFORMED),
	C("name and space", "tim ", MALFORMED),
	C("only a digest", DIGEST, MALFORMED),
	C("no name", " " DIGEST, MALFORMED),
	C("name of a space", "  " DIGEST, REJECTED),
	C("name with a space", "tim smith " DIGEST, REJECTED),
	C("upper case", "tim 0123456789ABCDEF0123456789ABCDEF", MALFORMED),
	C("no hexadecimal", "tim 0123456789abcdeg0123456789abcdef", MALFORMED),
	C("too short", "tim 0123456789abcdef0123456789abcde", MALFORMED),
	C("too long", "tim " DIGEST "0", MALFORMED),
	C("space at the end", "tim " DIGEST " ", MALFORMED),
	C("NUL at the end", "tim " DIGEST "\0", MALFORMED),
	C("NUL behind the name", "tim\0 " DIGEST, REJECTED),
	C("name not UTF-8", "t\xefm " DIGEST, REJECTED),
	C("tab for the space", "tim\t" DIGEST, MALFORMED),
};

static void cram_md5_messages(void **state)
{
	struct sasl_server_options o = support_server_options(SASL_MECHANISM_CRAM_MD5);
	struct base_slice initial = BASE_SLICE("tim " DIGEST), empty = BASE_SLICE_EMPTY;
	struct sasl_server *s;
	struct base_buf out;

	(void)state;
	for (size_t i = 0; i < BASE_COUNT(cram_rows); i++)
		check_row(&cram_rows[i], false);
	/* The server speaks first: no initial response, not even an empty one. */
	base_buf_init(&out, 256);
	assert_int_equal(sasl_server_begin(&s, &o, &initial, &out), SASL_SERVER_MALFORMED);
	sasl_server_free(&s);
	assert_int_equal(sasl_server_begin(&s, &o, &empty, &out), SASL_SERVER_MALFORMED);
	sasl_server_free(&s);
	base_buf_release(&out);
}

static void login_passwords(void **state)
{
	static const struct row rows[] = {
		L("right", "secret", SUCCESS),
		L("wrong", "Secret", REJECTED),
		L("empty", "", MALFORMED),
		L("NUL behind", "secret\0", REJECTED),
		L("not UTF-8", "secr\xe9t", REJECTED),
		L("soft hyphen alone", "\xc2\xad", REJECTED),
	};
	struct sasl_server_options o = support_server_options(SASL_MECHANISM_LOGIN);
	struct base_slice user = BASE_SLICE("tim");
	struct base_buf out;

	(void)state;
	base_buf_init(&out, 256);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		enum sasl_server_result result;
		struct sasl_server *s;

		assert_int_equal(support_begin(&s, &o, &user, &store, &out), SASL_SERVER_CHALLENGE);
		assert_true(base_slice_equal_text(base_buf_slice(&out), "Password:"));
		result = support_push(s, rows[i].message, &store, &out);
		if (result != rows[i].expected)
			fail_msg("%s: %s", rows[i].name, sasl_server_result_name(result));
		sasl_server_free(&s);
	}
	base_buf_release(&out);
}

static void bare_y_is_an_attack_only_if_plus_was_offered(void **state)
{
	struct sasl_server_options o = support_server_options(SASL_MECHANISM_SCRAM_SHA_256);
	struct base_slice y = BASE_SLICE("y,,n=tim,r=" NONCE);
	struct base_slice n = BASE_SLICE("n,,n=tim,r=" NONCE);
	struct base_slice p = BASE_SLICE("p=tls-exporter,,n=tim,r=" NONCE);
	static const struct {
		bool tls, plus;
		enum sasl_server_result y, n, p;
	} rows[] = {
		{false, false, SASL_SERVER_CHALLENGE, SASL_SERVER_CHALLENGE, SASL_SERVER_REJECTED},
		{true, false, SASL_SERVER_CHALLENGE, SASL_SERVER_CHALLENGE, SASL_SERVER_CHALLENGE},
		{true, true, SASL_SERVER_REJECTED, SASL_SERVER_CHALLENGE, SASL_SERVER_CHALLENGE},
	};
	struct sasl_server *s;
	struct base_buf out;

	(void)state;
	base_buf_init(&out, 256);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		o.tls = rows[i].tls;
		o.plus_offered = rows[i].plus;
		assert_int_equal(support_begin(&s, &o, &y, &store, &out), rows[i].y);
		sasl_server_free(&s);
		assert_int_equal(support_begin(&s, &o, &n, &store, &out), rows[i].n);
		sasl_server_free(&s);
		assert_int_equal(support_begin(&s, &o, &p, &store, &out), rows[i].p);
		sasl_server_free(&s);
	}
	base_buf_release(&out);
}

/* Sign what a client would sign, so that only the form of its last message is on trial. */
static void sign(const char *bare, const char *without_proof, struct base_buf *out)
{
	struct base_buf auth;
	uint8_t salted[32], client_key[32], stored_key[32], signature[32];
	struct base_slice key;

	base_buf_init(&auth, 2048);
	base_buf_printf(&auth, "%s,r=" FULL_NONCE ",s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4096,%s", bare,
		without_proof);
	base_pbkdf2(BASE_HASH_SHA256, store.password, BASE_SLICE("0123456789abcdef"), 4096, salted,
		sizeof(salted));
	key = base_slice_make(salted, sizeof(salted));
	base_hmac(BASE_HASH_SHA256, key, BASE_SLICE("Client Key"), client_key);
	base_hash(BASE_HASH_SHA256, base_slice_make(client_key, 32), stored_key);
	base_hmac(BASE_HASH_SHA256, base_slice_make(stored_key, 32), base_buf_slice(&auth),
		signature);
	for (size_t i = 0; i < sizeof(signature); i++)
		signature[i] ^= client_key[i];
	base_buf_printf(out, "%s,p=", without_proof);
	base64_encode(base_slice_make(signature, sizeof(signature)), out);
	base_buf_release(&auth);
}

struct final_row {
	const char *name, *header, *bare, *without_proof, *after;
	enum sasl_server_result expected;
};

#define BARE "n=tim,r=" NONCE
#define RIGHT "c=biws,r=" FULL_NONCE

static const struct final_row final_rows[] = {
	{"right", "n,,", BARE, RIGHT, "", SASL_SERVER_CHALLENGE},
	{"right with y", "y,,", BARE, "c=eSws,r=" FULL_NONCE, "", SASL_SERVER_CHALLENGE},
	{"unknown attribute in the first", "n,,", BARE ",x=y", RIGHT, "", SASL_SERVER_CHALLENGE},
	{"unknown attribute before p=", "n,,", BARE, RIGHT ",x=y", "", SASL_SERVER_CHALLENGE},
	{"several", "n,,", BARE, RIGHT ",x=y,Y=,z=p=q", "", SASL_SERVER_CHALLENGE},
	{"other user of the same password", "n,,", "n=tom,r=" NONCE, RIGHT, "",
		SASL_SERVER_REJECTED},
	{"attribute behind p=", "n,,", BARE, RIGHT, ",x=y", SASL_SERVER_MALFORMED},
	{"comma behind p=", "n,,", BARE, RIGHT, ",", SASL_SERVER_MALFORMED},
	{"two proofs", "n,,", BARE, RIGHT ",p=AAAA", "", SASL_SERVER_MALFORMED},
	{"longer proof", "n,,", BARE, RIGHT, "AAAA", SASL_SERVER_MALFORMED},
	{"m=", "n,,", BARE, RIGHT ",m=x", "", SASL_SERVER_MALFORMED},
	{"second c=", "n,,", BARE, RIGHT ",c=biws", "", SASL_SERVER_MALFORMED},
	{"second r=", "n,,", BARE, RIGHT ",r=" FULL_NONCE, "", SASL_SERVER_MALFORMED},
	{"attribute before c=", "n,,", BARE, "x=y," RIGHT, "", SASL_SERVER_MALFORMED},
	{"attribute before r=", "n,,", BARE, "c=biws,x=y,r=" FULL_NONCE, "", SASL_SERVER_MALFORMED},
	{"other order", "n,,", BARE, "r=" FULL_NONCE ",c=biws", "", SASL_SERVER_MALFORMED},
	{"no c=", "n,,", BARE, "r=" FULL_NONCE, "", SASL_SERVER_MALFORMED},
	{"empty c=", "n,,", BARE, "c=,r=" FULL_NONCE, "", SASL_SERVER_MALFORMED},
	{"empty r=", "n,,", BARE, "c=biws,r=", "", SASL_SERVER_MALFORMED},
	{"empty attribute", "n,,", BARE, RIGHT ",", "", SASL_SERVER_MALFORMED},
	{"header of y for n", "n,,", BARE, "c=eSws,r=" FULL_NONCE, "", SASL_SERVER_REJECTED},
	{"header of n for y", "y,,", BARE, RIGHT, "", SASL_SERVER_REJECTED},
	{"header without the authzid", "n,a=boss,", BARE, RIGHT, "", SASL_SERVER_REJECTED},
	{"header with the authzid", "n,a=boss,", BARE, "c=bixhPWJvc3Ms,r=" FULL_NONCE, "",
		SASL_SERVER_CHALLENGE},
	{"header with another authzid", "n,a=boss,", BARE, "c=bixhPWJ1c3Ms,r=" FULL_NONCE, "",
		SASL_SERVER_REJECTED},
	{"c= without padding", "n,a=bos,", BARE, "c=bixhPWJvcyw,r=" FULL_NONCE, "",
		SASL_SERVER_REJECTED},
	{"c= with padding", "n,a=bos,", BARE, "c=bixhPWJvcyw=,r=" FULL_NONCE, "",
		SASL_SERVER_CHALLENGE},
	{"c= with trailing bits", "n,a=bos,", BARE, "c=bixhPWJvcyx=,r=" FULL_NONCE, "",
		SASL_SERVER_REJECTED},
	{"c= is no base64", "n,,", BARE, "c=!!!!,r=" FULL_NONCE, "", SASL_SERVER_REJECTED},
	{"binding data where none was promised", "n,,", BARE, "c=biwseHh4,r=" FULL_NONCE, "",
		SASL_SERVER_REJECTED},
	{"only our own nonce", "n,,", BARE, "c=biws,r=" NONCE, "", SASL_SERVER_REJECTED},
	{"longer nonce", "n,,", BARE, RIGHT "x", "", SASL_SERVER_REJECTED},
	{"other nonce", "n,,", BARE, "c=biws,r=Xbcdefgh" SERVER_NONCE, "", SASL_SERVER_REJECTED},
};

static enum sasl_server_result play(const char *first, struct base_slice last,
	const struct support_store *with, struct sasl_server **out_server)
{
	struct sasl_server_options o = support_server_options(SASL_MECHANISM_SCRAM_SHA_256);
	struct base_slice initial = base_slice_text(first);
	enum sasl_server_result result;
	struct base_buf out;

	base_buf_init(&out, 2048);
	result = support_begin(out_server, &o, &initial, with, &out);
	assert_int_equal(result, SASL_SERVER_CHALLENGE);
	result = support_push(*out_server, last, with, &out);
	base_buf_release(&out);
	return result;
}

static void last_messages(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_COUNT(final_rows); i++) {
		const struct final_row *row = &final_rows[i];
		struct base_buf first, last;
		enum sasl_server_result result;
		struct sasl_server *s;

		base_buf_init(&first, 1024);
		base_buf_init(&last, 1024);
		base_buf_printf(&first, "%s%s", row->header, row->bare);
		sign(row->bare, row->without_proof, &last);
		base_buf_append_text(&last, row->after);
		result = play(base_buf_text(&first), base_buf_slice(&last), &store, &s);
		if (result != row->expected)
			fail_msg("%s: %s (%s)", row->name, sasl_server_result_name(result),
				sasl_server_reason(s));
		assert_int_equal(
			sasl_server_challenge_is_final(s), result == SASL_SERVER_CHALLENGE);
		sasl_server_free(&s);
		base_buf_release(&first);
		base_buf_release(&last);
	}
}

/* A client that binds to nothing, and a server that would find nothing to compare with. */
static void binding_data_has_a_length(void **state)
{
	static const uint8_t zeros[SASL_BINDING_MAX_BYTES + 1];
	static const char header[] = "p=tls-exporter,,";
	struct support_store bound = store;

	(void)state;
	bound.binding_available = true;
	for (size_t len = 0; len <= sizeof(zeros); len++) {
		struct base_buf plain, without_proof, last;
		enum sasl_server_result result;
		struct sasl_server *s;

		base_buf_init(&plain, 256);
		base_buf_init(&without_proof, 512);
		base_buf_init(&last, 1024);
		base_buf_append_text(&plain, header);
		base_buf_append(&plain, zeros, len);
		base_buf_append_text(&without_proof, "c=");
		base64_encode(base_buf_slice(&plain), &without_proof);
		base_buf_append_text(&without_proof, ",r=" FULL_NONCE);
		sign(BARE, base_buf_text(&without_proof), &last);
		bound.binding_data = base_slice_make(zeros, len);
		result = play("p=tls-exporter,," BARE, base_buf_slice(&last), &bound, &s);
		assert_int_equal(result,
			len == 0 || len > SASL_BINDING_MAX_BYTES ? SASL_SERVER_REJECTED
								 : SASL_SERVER_CHALLENGE);
		sasl_server_free(&s);
		base_buf_release(&plain);
		base_buf_release(&without_proof);
		base_buf_release(&last);
	}
}

/* Not even who knows the key of the stand-ins gets in as a user who does not exist. */
static void stand_in_key_opens_nothing(void **state)
{
	struct sasl_server_options o = support_server_options(SASL_MECHANISM_CRAM_MD5);
	struct base_buf out, response;
	uint8_t digest[16];
	struct sasl_server *s;

	(void)state;
	base_buf_init(&out, 256);
	base_buf_init(&response, 256);
	assert_int_equal(support_begin(&s, &o, NULL, &store, &out), SASL_SERVER_CHALLENGE);
	base_hmac(BASE_HASH_MD5, o.mock_key, base_buf_slice(&out), digest);
	base_buf_append_text(&response, "nobody ");
	base_hex_encode(base_slice_make(digest, sizeof(digest)), &response);
	assert_int_equal(
		support_push(s, base_buf_slice(&response), &store, &out), SASL_SERVER_REJECTED);
	sasl_server_free(&s);
	base_buf_release(&out);
	base_buf_release(&response);
}

static void broken_last_messages(void **state)
{
	static const struct base_slice rows[] = {
		S(""),
		S("c"),
		S("c="),
		S("c=biws"),
		S("c=biws,"),
		S("c=biws,r=" FULL_NONCE),
		S(RIGHT ","),
		S(RIGHT ",p"),
		S(RIGHT ",p="),
		S(RIGHT ",p=A"),
		S(RIGHT ",p=AAAA"),
		S(RIGHT ",p=!!!!"),
		S(RIGHT ",x=y"),
		S(RIGHT ",P=AAAA"),
		S("*"),
		S("v=AAAA"),
		S(RIGHT ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
		S(RIGHT ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB="),
		S(RIGHT ",x=\0,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
		S(RIGHT ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\0"),
	};

	(void)state;
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct sasl_server *s;
		enum sasl_server_result result = play("n,," BARE, rows[i], &store, &s);

		if (result != SASL_SERVER_MALFORMED)
			fail_msg("row %zu: %s", i, sasl_server_result_name(result));
		sasl_server_free(&s);
	}
}

static void success_comes_after_an_empty_response_only(void **state)
{
	static const struct base_slice rows[] = {
		S(""),
		S("\0"),
		S("="),
		S("QUIT"),
		S("v=AAAA"),
		S("n,," BARE),
	};

	(void)state;
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct base_buf last, out;
		struct sasl_server *s;
		enum sasl_server_result result;

		base_buf_init(&last, 1024);
		base_buf_init(&out, 1024);
		sign(BARE, RIGHT, &last);
		assert_int_equal(
			play("n,," BARE, base_buf_slice(&last), &store, &s), SASL_SERVER_CHALLENGE);
		result = support_push(s, rows[i], &store, &out);
		assert_int_equal(
			result, rows[i].len == 0 ? SASL_SERVER_SUCCESS : SASL_SERVER_MALFORMED);
		sasl_server_free(&s);
		base_buf_release(&last);
		base_buf_release(&out);
	}
}

static void replayed_exchange_fails(void **state)
{
	struct sasl_server_options o = support_server_options(SASL_MECHANISM_SCRAM_SHA_256);
	struct base_slice initial = BASE_SLICE("n,," BARE);
	struct base_buf last, out;
	struct sasl_server *s;

	(void)state;
	base_buf_init(&last, 1024);
	base_buf_init(&out, 1024);
	sign(BARE, RIGHT, &last);
	o.random = base_slice_make(support_random + 1, SASL_SERVER_RANDOM_BYTES);
	assert_int_equal(support_begin(&s, &o, &initial, &store, &out), SASL_SERVER_CHALLENGE);
	assert_int_equal(
		support_push(s, base_buf_slice(&last), &store, &out), SASL_SERVER_REJECTED);
	sasl_server_free(&s);
	base_buf_release(&last);
	base_buf_release(&out);
}

/* The challenge that a user gets, without the nonce. */
static void challenge_of(const char *user, const char *canonical, enum sasl_mechanism mechanism,
	struct base_buf *out)
{
	struct sasl_server_options o = support_server_options(mechanism);
	struct base_slice initial;
	enum sasl_server_result result;
	struct base_buf first;
	struct sasl_server *s;

	base_buf_init(&first, 1024);
	base_buf_printf(&first, "p=tls-unique,,n=%s,r=" NONCE, user);
	initial = base_buf_slice(&first);
	base_buf_clear(out);
	result = sasl_server_begin(&s, &o, &initial, out);
	assert_int_equal(result, SASL_SERVER_NEED_SCRAM);
	if (canonical) {
		assert_true(sasl_server_user_replace(s, base_slice_text(canonical)));
		assert_true(base_slice_equal_text(sasl_server_user(s), canonical));
	}
	result = support_answer(s, result, &store, out);
	assert_int_equal(result, SASL_SERVER_CHALLENGE);
	sasl_server_free(&s);
	base_buf_release(&first);
}

static void unknown_users_have_a_stable_salt_of_their_own(void **state)
{
	struct base_buf a, b, known;

	(void)state;
	base_buf_init(&a, 1024);
	base_buf_init(&b, 1024);
	base_buf_init(&known, 1024);
	challenge_of("nobody", NULL, SASL_MECHANISM_SCRAM_SHA_256, &a);
	challenge_of("nobody", NULL, SASL_MECHANISM_SCRAM_SHA_256, &b);
	assert_true(base_slice_equal(base_buf_slice(&a), base_buf_slice(&b)));
	/* The -PLUS name and another spelling of the same name change nothing. */
	challenge_of("nobody", NULL, SASL_MECHANISM_SCRAM_SHA_256_PLUS, &b);
	assert_true(base_slice_equal(base_buf_slice(&a), base_buf_slice(&b)));
	challenge_of("no\xc2\xad"
		     "body",
		NULL, SASL_MECHANISM_SCRAM_SHA_256, &b);
	assert_true(base_slice_equal(base_buf_slice(&a), base_buf_slice(&b)));
	challenge_of("NoBody", "nobody", SASL_MECHANISM_SCRAM_SHA_256, &b);
	assert_true(base_slice_equal(base_buf_slice(&a), base_buf_slice(&b)));
	/* Another name or hash does. */
	challenge_of("nobodi", NULL, SASL_MECHANISM_SCRAM_SHA_256, &b);
	assert_false(base_slice_equal(base_buf_slice(&a), base_buf_slice(&b)));
	assert_int_equal(a.len, b.len);
	challenge_of("nobody", NULL, SASL_MECHANISM_SCRAM_SHA_1, &b);
	assert_false(base_slice_equal(base_buf_slice(&a), base_buf_slice(&b)));
	assert_int_equal(a.len, b.len);
	/* And a known one looks the same. */
	challenge_of("tim", NULL, SASL_MECHANISM_SCRAM_SHA_256, &known);
	assert_int_equal(a.len, known.len);
	base_buf_release(&a);
	base_buf_release(&b);
	base_buf_release(&known);
}

static void sizes_are_bounded(void **state)
{
	static const enum sasl_mechanism all[] = {SASL_MECHANISM_PLAIN, SASL_MECHANISM_LOGIN,
		SASL_MECHANISM_CRAM_MD5, SASL_MECHANISM_SCRAM_SHA_256};
	static const size_t lens[] = {1, 255, 256, 512, 513, 1024, 9000, SASL_RESPONSE_MAX_BYTES,
		SASL_RESPONSE_MAX_BYTES + 1, 65536, 1000000};
	struct base_buf message, out;

	(void)state;
	base_buf_init(&message, 2000000);
	base_buf_init(&out, 2048);
	for (size_t m = 0; m < BASE_COUNT(all); m++) {
		for (size_t i = 0; i < BASE_COUNT(lens); i++) {
			struct sasl_server_options o = support_server_options(all[m]);
			bool scram = all[m] == SASL_MECHANISM_SCRAM_SHA_256;
			bool plain = all[m] == SASL_MECHANISM_PLAIN;
			enum sasl_server_result result;
			struct sasl_server *s;

			base_buf_clear(&message);
			if (scram)
				base_buf_append_text(&message, "n,,n=");
			if (plain)
				base_buf_append_byte(&message, '\0');
			for (size_t k = 0; k < lens[i]; k++)
				base_buf_append_byte(&message, 'u');
			if (plain)
				base_buf_append(&message, "\0pw", 3);
			if (scram)
				base_buf_append_text(&message, ",r=" NONCE);
			if (all[m] == SASL_MECHANISM_CRAM_MD5)
				base_buf_append_text(&message, " " DIGEST);
			assert_int_equal(
				support_begin(&s, &o, NULL, &store, &out), SASL_SERVER_CHALLENGE);
			result = support_push(s, base_buf_slice(&message), &store, &out);
			if (lens[i] <= SASL_NAME_MAX_BYTES &&
				(scram || all[m] == SASL_MECHANISM_LOGIN))
				assert_int_equal(result, SASL_SERVER_CHALLENGE);
			else if (lens[i] >= SASL_RESPONSE_MAX_BYTES + 1 || scram)
				assert_int_equal(result, SASL_SERVER_MALFORMED);
			else if (message.len <= SASL_RESPONSE_MAX_BYTES)
				assert_int_equal(result, SASL_SERVER_REJECTED);
			sasl_server_free(&s);
		}
	}
	base_buf_release(&message);
	base_buf_release(&out);
}

static void long_passwords_and_nonces(void **state)
{
	struct sasl_server_options o = support_server_options(SASL_MECHANISM_PLAIN);
	struct base_buf message, out;
	struct base_slice initial;
	struct sasl_server *s;

	(void)state;
	base_buf_init(&message, 8192);
	base_buf_init(&out, 2048);
	for (int over = 0; over < 2; over++) {
		base_buf_clear(&message);
		base_buf_append(&message, "\0tim\0", 5);
		for (int i = 0; i < BASE_SECRET_PASSWORD_MAX_BYTES + over; i++)
			base_buf_append_byte(&message, 'p');
		initial = base_buf_slice(&message);
		assert_int_equal(sasl_server_begin(&s, &o, &initial, &out),
			over ? SASL_SERVER_REJECTED : SASL_SERVER_CHECK_PASSWORD);
		sasl_server_free(&s);
	}
	o.mechanism = SASL_MECHANISM_SCRAM_SHA_256;
	for (int over = 0; over < 2; over++) {
		base_buf_clear(&message);
		base_buf_append_text(&message, "n,,n=tim,r=");
		for (int i = 0; i < 512 + over; i++)
			base_buf_append_byte(&message, 'r');
		initial = base_buf_slice(&message);
		assert_int_equal(support_begin(&s, &o, &initial, &store, &out),
			over ? SASL_SERVER_MALFORMED : SASL_SERVER_CHALLENGE);
		sasl_server_free(&s);
	}
	/* A caller's buffer that is too small ends the exchange, it does not cut the challenge. */
	base_buf_release(&out);
	base_buf_init(&out, 100);
	base_buf_truncate(&message, strlen("n,,n=tim,r=") + 100);
	initial = base_buf_slice(&message);
	assert_int_equal(support_begin(&s, &o, &initial, &store, &out), SASL_SERVER_MALFORMED);
	sasl_server_free(&s);
	base_buf_release(&message);
	base_buf_release(&out);
}

static void many_nuls(void **state)
{
	struct sasl_server_options o = support_server_options(SASL_MECHANISM_PLAIN);
	static const uint8_t nuls[10000];
	struct base_buf out;

	(void)state;
	base_buf_init(&out, 2048);
	for (size_t len = 0; len <= sizeof(nuls); len += len < 64 ? 1 : 497) {
		struct base_slice initial = base_slice_make(nuls, len);
		struct sasl_server *s;

		assert_int_equal(
			support_begin(&s, &o, &initial, &store, &out), SASL_SERVER_MALFORMED);
		sasl_server_free(&s);
	}
	base_buf_release(&out);
}

static void sources_that_are_down(void **state)
{
	static const struct row rows[] = {
		{"PLAIN", SASL_MECHANISM_PLAIN, S("\0tim\0secret"), SASL_SERVER_UNAVAILABLE},
		{"CRAM-MD5", SASL_MECHANISM_CRAM_MD5, S("tim " DIGEST), SASL_SERVER_UNAVAILABLE},
		{"SCRAM", SASL_MECHANISM_SCRAM_SHA_256, S("n,," BARE), SASL_SERVER_UNAVAILABLE},
	};

	(void)state;
	store.down = true;
	for (size_t i = 0; i < BASE_COUNT(rows); i++)
		check_row(&rows[i], false);
	store.down = false;
}

static void authzid_that_means_the_user_is_none(void **state)
{
	static const struct {
		const char *authzid, *canonical, *expected;
	} rows[] = {
		{"", NULL, ""},
		{"tim", NULL, ""},
		{"ti\xc2\xadm", NULL, ""},
		{"boss", NULL, "boss"},
		{"b\xc2\xadoss", NULL, "b\xc2\xadoss"},
		{"tim@example.org", "tim@example.org", ""},
		{"tim", "tim@example.org", ""},
		{"tom@example.org", "tim@example.org", "tom@example.org"},
	};

	(void)state;
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct sasl_server_options o = support_server_options(SASL_MECHANISM_PLAIN);
		struct base_buf message, out;
		struct base_slice initial;
		struct sasl_server *s;

		base_buf_init(&message, 256);
		base_buf_init(&out, 256);
		base_buf_append_text(&message, rows[i].authzid);
		base_buf_append(&message, "\0tim\0secret", 11);
		initial = base_buf_slice(&message);
		assert_int_equal(
			sasl_server_begin(&s, &o, &initial, &out), SASL_SERVER_CHECK_PASSWORD);
		if (rows[i].canonical)
			assert_true(
				sasl_server_user_replace(s, base_slice_text(rows[i].canonical)));
		assert_false(sasl_server_user_replace(s, BASE_SLICE_EMPTY));
		assert_int_equal(sasl_server_password_answer(s, SASL_CREDENTIALS_KNOWN, true, &out),
			SASL_SERVER_SUCCESS);
		if (!base_slice_equal_text(sasl_server_authzid(s), rows[i].expected))
			fail_msg("row %zu", i);
		sasl_server_free(&s);
		base_buf_release(&message);
		base_buf_release(&out);
	}
}

static void answers_that_contradict_themselves_fail(void **state)
{
	struct sasl_server_options o = support_server_options(SASL_MECHANISM_PLAIN);
	struct base_slice initial = BASE_SLICE("\0tim\0secret");
	struct sasl_server *s;
	struct base_buf out;

	(void)state;
	base_buf_init(&out, 256);
	assert_int_equal(sasl_server_begin(&s, &o, &initial, &out), SASL_SERVER_CHECK_PASSWORD);
	assert_int_equal(sasl_server_password_answer(s, SASL_CREDENTIALS_UNKNOWN, true, &out),
		SASL_SERVER_REJECTED);
	sasl_server_free(&s);
	base_buf_release(&out);
}

/* Another mechanism after each failure, always with a new object. */
static void mechanism_after_mechanism(void **state)
{
	(void)state;
	for (int round = 0; round < 200; round++) {
		check_row(&cram_rows[(size_t)round % BASE_COUNT(cram_rows)], false);
		check_row(&client_first_rows[(size_t)round % BASE_COUNT(client_first_rows)], true);
	}
}

static void object_is_small(void **state)
{
	(void)state;
	assert_true(sizeof(struct sasl_server) < 2048);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_messages),
		cmocka_unit_test(cram_md5_messages),
		cmocka_unit_test(login_passwords),
		cmocka_unit_test(bare_y_is_an_attack_only_if_plus_was_offered),
		cmocka_unit_test(last_messages),
		cmocka_unit_test(binding_data_has_a_length),
		cmocka_unit_test(stand_in_key_opens_nothing),
		cmocka_unit_test(broken_last_messages),
		cmocka_unit_test(success_comes_after_an_empty_response_only),
		cmocka_unit_test(replayed_exchange_fails),
		cmocka_unit_test(unknown_users_have_a_stable_salt_of_their_own),
		cmocka_unit_test(sizes_are_bounded),
		cmocka_unit_test(long_passwords_and_nonces),
		cmocka_unit_test(many_nuls),
		cmocka_unit_test(sources_that_are_down),
		cmocka_unit_test(authzid_that_means_the_user_is_none),
		cmocka_unit_test(answers_that_contradict_themselves_fail),
		cmocka_unit_test(mechanism_after_mechanism),
		cmocka_unit_test(object_is_small),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
