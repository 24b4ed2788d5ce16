/* Our client against our server, in every mechanism. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sasl/test_support.h"

#define S(literal) \
	{ \
		(const uint8_t *)(literal), sizeof(literal) - 1 \
	}

static const struct base_slice binding_data = S("0123456789abcdef0123456789abcdef");

static bool is_scram(enum sasl_mechanism mechanism)
{
	return sasl_mechanism_info(mechanism)->flags & SASL_SCRAM;
}

static bool is_plus(enum sasl_mechanism mechanism)
{
	return sasl_mechanism_info(mechanism)->flags & SASL_CHANNEL_BINDING;
}

/* A store with @user and @password as `user add` would have kept them. */
struct fixture {
	struct base_secret user, password;
	struct support_store store;
};

static void fixture_init(struct fixture *f, enum sasl_mechanism mechanism, struct base_slice user,
	struct base_slice password)
{
	base_secret_init(&f->user, SASL_NAME_MAX_BYTES);
	base_secret_init(&f->password, BASE_SECRET_PASSWORD_MAX_BYTES);
	assert_true(sasl_prep(user, true, &f->user));
	assert_true(sasl_prep(password, true, &f->password));
	f->store = (struct support_store){
		.user = base_secret_slice(&f->user),
		.password = base_secret_slice(&f->password),
		.binding_available = true,
		.binding_data = binding_data,
	};
	if (is_scram(mechanism))
		assert_true(sasl_scram_derive(sasl_mechanism_info(mechanism)->hash, password,
			BASE_SLICE("0123456789abcdef"), SASL_SCRAM_ITERATIONS, &f->store.keys));
}

static void fixture_release(struct fixture *f)
{
	base_secret_release(&f->user);
	base_secret_release(&f->password);
}

static struct support_pair pair_of(const struct fixture *f, enum sasl_mechanism mechanism,
	struct base_slice user, struct base_slice password)
{
	return (struct support_pair){
		.client =
			{
				.mechanism = mechanism,
				.user = user,
				.password = password,
				.random = support_random_slice(SASL_CLIENT_RANDOM_BYTES),
				.binding = is_plus(mechanism) ? SASL_BINDING_TLS_EXPORTER
							      : SASL_BINDING_NONE,
				.binding_data = binding_data,
				.tls = true,
				.plus_offered = is_plus(mechanism),
			},
		.server = support_server_options(mechanism),
		.store = &f->store,
		.initial = true,
	};
}

/* What is stored, and what the client is given. */
static const struct {
	const char *name;
	struct base_slice user, password, client_user, client_password;
} people[] = {
	{"ASCII", S("tim"), S("tanstaaftanstaaf"), S("tim"), S("tanstaaftanstaaf")},
	{"one character", S("t"), S("x"), S("t"), S("x")},
	{"address", S("tim@example.org"), S("pass word"), S("tim@example.org"), S("pass word")},
	{"comma and equals sign", S("a=b,c"), S("d,e=f"), S("a=b,c"), S("d,e=f")},
	{"encoded signs", S("=2C,=3D"), S("=2C"), S("=2C,=3D"), S("=2C")},
	{"spaces in the name", S("tim smith jr"), S("x y"), S("tim smith jr"), S("x y")},
	{"backslash and percent", S("ti\\m%s"), S("\\%n"), S("ti\\m%s"), S("\\%n")},
	{"accents", S("\xc3\xa9l\xc3\xa8ve"),
		S("\xc3\xbc"
		  "ber"),
		S("\xc3\xa9l\xc3\xa8ve"),
		S("\xc3\xbc"
		  "ber")},
	{"accents, composed by the client", S("e\xcc\x81"), S("u\xcc\x88"), S("\xc3\xa9"),
		S("\xc3\xbc")},
	{"accents, taken apart by the client", S("\xc3\xa9"), S("\xc3\xbc"), S("e\xcc\x81"),
		S("u\xcc\x88")},
	{"ligature and no-break space", S("fix"), S("a b"), S("\xef\xac\x81x"),
		S("a\xc2\xa0"
		  "b")},
	{"soft hyphen", S("IX"), S("IX"), S("I\xc2\xadX"), S("\xe2\x85\xa8")},
	{"right to left", S("\xd8\xa7\xd8\xa8"), S("\xd7\x90"), S("\xd8\xa7\xd8\xa8"),
		S("\xd7\x90")},
	{"four bytes", S("\xf0\x90\x8c\x80"), S("\xf0\x90\x8c\x80"), S("\xf0\x90\x8c\x80"),
		S("\xf0\x90\x8c\x80")},
};

static void check(const char *name, enum sasl_mechanism mechanism, const struct support_outcome *o,
	enum sasl_server_result server, enum sasl_client_result client)
{
	if (o->server != server || o->client != client)
		fail_msg("%s, %s: server %s, client %d", sasl_mechanism_info(mechanism)->name, name,
			sasl_server_result_name(o->server), o->client);
}

static void everybody_logs_in(void **state)
{
	(void)state;
	for (int m = SASL_MECHANISM_NONE + 1; m < SASL_MECHANISM_SERVER_COUNT; m++) {
		enum sasl_mechanism mechanism = (enum sasl_mechanism)m;

		for (size_t i = 0; i < BASE_COUNT(people); i++) {
			struct support_outcome o;
			struct support_pair pair;
			struct fixture f;

			fixture_init(&f, mechanism, people[i].user, people[i].password);
			pair = pair_of(
				&f, mechanism, people[i].client_user, people[i].client_password);
			for (int initial = 0; initial < 2; initial++) {
				pair.initial = initial;
				o = support_run(&pair);
				check(people[i].name, mechanism, &o, SASL_SERVER_SUCCESS,
					SASL_CLIENT_DONE);
				assert_true(base_slice_equal_text(f.store.user, o.user));
				assert_string_equal(o.authzid, "");
			}
			fixture_release(&f);
		}
	}
}

static void wrong_and_unknown_look_the_same(void **state)
{
	(void)state;
	for (int m = SASL_MECHANISM_NONE + 1; m < SASL_MECHANISM_SERVER_COUNT; m++) {
		enum sasl_mechanism mechanism = (enum sasl_mechanism)m;
		struct support_outcome wrong, unknown, other;
		struct support_pair pair;
		struct fixture f;

		fixture_init(&f, mechanism, BASE_SLICE("tim"), BASE_SLICE("secret"));
		pair = pair_of(&f, mechanism, BASE_SLICE("tim"), BASE_SLICE("Secret"));
		wrong = support_run(&pair);
		check("wrong", mechanism, &wrong, SASL_SERVER_REJECTED,
			is_scram(mechanism) ? SASL_CLIENT_NOT_PROVEN : SASL_CLIENT_DONE);
		pair.client.user = BASE_SLICE("tom");
		unknown = support_run(&pair);
		check("unknown", mechanism, &unknown, SASL_SERVER_REJECTED, wrong.client);
		pair.client.password = BASE_SLICE("secret");
		other = support_run(&pair);
		check("password of another", mechanism, &other, SASL_SERVER_REJECTED, wrong.client);
		assert_int_equal(wrong.messages, unknown.messages);
		assert_int_equal(wrong.messages, other.messages);
		fixture_release(&f);
	}
}

static void authzids_arrive(void **state)
{
	static const char *const authzids[] = {"boss", "a=b,c", "\xc3\xa9", "=2C"};

	(void)state;
	for (int m = SASL_MECHANISM_NONE + 1; m < SASL_MECHANISM_SERVER_COUNT; m++) {
		enum sasl_mechanism mechanism = (enum sasl_mechanism)m;
		bool carries = is_scram(mechanism) || mechanism == SASL_MECHANISM_PLAIN;

		for (size_t i = 0; i < BASE_COUNT(authzids) && carries; i++) {
			struct support_outcome o;
			struct support_pair pair;
			struct fixture f;

			fixture_init(&f, mechanism, BASE_SLICE("tim"), BASE_SLICE("secret"));
			pair = pair_of(&f, mechanism, f.store.user, f.store.password);
			pair.client.authzid = base_slice_text(authzids[i]);
			o = support_run(&pair);
			check(authzids[i], mechanism, &o, SASL_SERVER_SUCCESS, SASL_CLIENT_DONE);
			assert_string_equal(o.authzid, authzids[i]);
			pair.client.authzid = f.store.user;
			o = support_run(&pair);
			check("own", mechanism, &o, SASL_SERVER_SUCCESS, SASL_CLIENT_DONE);
			assert_string_equal(o.authzid, "");
			fixture_release(&f);
		}
	}
}

static void bindings(void **state)
{
	static const struct {
		const char *name;
		bool available;
		struct base_slice client, server;
		enum sasl_server_result expected;
	} rows[] = {
		{"same", true, S("same"), S("same"), SASL_SERVER_SUCCESS},
		{"one byte", true, S("x"), S("x"), SASL_SERVER_SUCCESS},
		{"other", true, S("same"), S("sane"), SASL_SERVER_REJECTED},
		{"server's longer", true, S("same"), S("same\0"), SASL_SERVER_REJECTED},
		{"client's longer", true, S("same\0"), S("same"), SASL_SERVER_REJECTED},
		{"server has none", false, S("same"), S(""), SASL_SERVER_REJECTED},
		{"server has none but data", false, S("same"), S("same"), SASL_SERVER_REJECTED},
		{"server's is empty", true, S("same"), S(""), SASL_SERVER_REJECTED},
		{"server's is too long", true, S("same"),
			S("0123456789012345678901234567890123456789012345678901234567890123456789"),
			SASL_SERVER_REJECTED},
	};

	(void)state;
	for (int m = SASL_MECHANISM_NONE + 1; m < SASL_MECHANISM_SERVER_COUNT; m++) {
		enum sasl_mechanism mechanism = (enum sasl_mechanism)m;
		struct fixture f;

		if (!is_plus(mechanism))
			continue;
		fixture_init(&f, mechanism, BASE_SLICE("tim"), BASE_SLICE("secret"));
		for (size_t i = 0; i < BASE_COUNT(rows); i++) {
			for (int b = SASL_BINDING_NONE + 1; b < SASL_BINDING_COUNT; b++) {
				struct support_pair pair = pair_of(
					&f, mechanism, f.store.user, f.store.password);
				struct support_outcome o;

				pair.client.binding = (enum sasl_binding)b;
				pair.client.binding_data = rows[i].client;
				f.store.binding_available = rows[i].available;
				f.store.binding_data = rows[i].server;
				o = support_run(&pair);
				check(rows[i].name, mechanism, &o, rows[i].expected,
					rows[i].expected == SASL_SERVER_SUCCESS
						? SASL_CLIENT_DONE
						: SASL_CLIENT_NOT_PROVEN);
			}
		}
		fixture_release(&f);
	}
}

/* Some clients bind under the bare name. */
static void binding_under_the_bare_name(void **state)
{
	struct support_pair pair;
	struct support_outcome o;
	struct fixture f;

	(void)state;
	fixture_init(&f, SASL_MECHANISM_SCRAM_SHA_256, BASE_SLICE("tim"), BASE_SLICE("secret"));
	pair = pair_of(&f, SASL_MECHANISM_SCRAM_SHA_256_PLUS, f.store.user, f.store.password);
	pair.server.mechanism = SASL_MECHANISM_SCRAM_SHA_256;
	pair.server.plus_offered = true;
	o = support_run(&pair);
	check("bound", SASL_MECHANISM_SCRAM_SHA_256, &o, SASL_SERVER_SUCCESS, SASL_CLIENT_DONE);
	f.store.binding_data = BASE_SLICE("somebody else's");
	o = support_run(&pair);
	check("not bound", SASL_MECHANISM_SCRAM_SHA_256, &o, SASL_SERVER_REJECTED,
		SASL_CLIENT_NOT_PROVEN);
	fixture_release(&f);
}

static void two_users_of_one_password(void **state)
{
	struct sasl_scram_keys keys;
	struct support_pair pair;
	struct support_outcome o;
	struct fixture f;

	(void)state;
	/* The server has the keys of another salt than the one it shows: nothing fits. */
	fixture_init(&f, SASL_MECHANISM_SCRAM_SHA_256, BASE_SLICE("tim"), BASE_SLICE("secret"));
	assert_true(sasl_scram_derive(BASE_HASH_SHA256, f.store.password,
		BASE_SLICE("another salt"), SASL_SCRAM_ITERATIONS, &keys));
	memcpy(keys.salt, f.store.keys.salt, sizeof(keys.salt));
	keys.salt_len = f.store.keys.salt_len;
	f.store.keys = keys;
	pair = pair_of(&f, SASL_MECHANISM_SCRAM_SHA_256, f.store.user, f.store.password);
	o = support_run(&pair);
	check("other keys", SASL_MECHANISM_SCRAM_SHA_256, &o, SASL_SERVER_REJECTED,
		SASL_CLIENT_NOT_PROVEN);
	fixture_release(&f);
}

struct flip {
	unsigned number;
	size_t at;
	uint8_t mask;
	bool hit;
};

static void flip(void *arg, unsigned number, struct base_buf *message)
{
	struct flip *f = arg;

	if (number == f->number && f->at < message->len) {
		message->ptr[f->at] ^= f->mask;
		f->hit = true;
	}
}

/* Whatever byte changes on the way, a SCRAM login does not come to a good end on both sides. */
static void every_changed_byte_breaks_scram(void **state)
{
	struct support_pair pair;
	struct fixture f;

	(void)state;
	fixture_init(&f, SASL_MECHANISM_SCRAM_SHA_1_PLUS, BASE_SLICE("tim"), BASE_SLICE("secret"));
	pair = pair_of(&f, SASL_MECHANISM_SCRAM_SHA_1_PLUS, f.store.user, f.store.password);
	for (unsigned number = 0; number < 4; number++) {
		struct flip flipped = {.number = number, .mask = 1, .hit = true};

		for (; flipped.hit; flipped.at++) {
			struct support_outcome o;

			flipped.hit = false;
			pair.tamper = flip;
			pair.tamper_arg = &flipped;
			o = support_run(&pair);
			if (flipped.hit && o.server == SASL_SERVER_SUCCESS &&
				o.client == SASL_CLIENT_DONE)
				fail_msg("message %u, byte %zu", number, flipped.at);
		}
		assert_true(flipped.at > 10);
	}
	fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everybody_logs_in),
		cmocka_unit_test(wrong_and_unknown_look_the_same),
		cmocka_unit_test(authzids_arrive),
		cmocka_unit_test(bindings),
		cmocka_unit_test(binding_under_the_bare_name),
		cmocka_unit_test(two_users_of_one_password),
		cmocka_unit_test(every_changed_byte_breaks_scram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
