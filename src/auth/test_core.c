/* The core driven by scripted clients: what goes over the wire, when, and what is asked of whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/core_internal.h"
#include "base/base64.h"
#include "sasl/client.h"
#include "vault/stored.h"
#include "vault/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALL \
	(SASL_MASK(SASL_MECHANISM_PLAIN) | SASL_MASK(SASL_MECHANISM_LOGIN) | \
		SASL_MASK(SASL_MECHANISM_CRAM_MD5) | SASL_MASK(SASL_MECHANISM_SCRAM_SHA_256) | \
		SASL_MASK(SASL_MECHANISM_SCRAM_SHA_256_PLUS))
#define WALL_MS 1795532400000
#define PASSWORD "geheim"
#define APP_PASSWORD "abcde-fghij"

/* A stand-in for shell, store and workers. */
struct fixture {
	struct auth_core *core;
	struct auth_conn *conn;
	int64_t now_ms;
	struct base_buf seen; /* what the client got and did not take yet */
	struct vault_user user, app;
	bool store_down, source_down, auto_verify;
	unsigned asks;
	/* Processes of providers: nobody answers while hold; else as say_of_process() knows. */
	bool hold;
	unsigned questions, last_process;
	uint32_t last_question;
	enum auth_ask last_ask;
	char last_source[16], last_name[64];
	struct auth_said says;
	uint8_t salt[SASL_SCRAM_SALT_BYTES];
	unsigned lookups, verifies, upgrades, closes, logins, tested;
	uint32_t last_task;
	unsigned last_worker, last_tested;
	bool upgrade_keeps_hash;
	char reason[128], result[16], login_user[64], last_password[32];
};

static void on_lookup(struct fixture *f, const struct auth_effect *e)
{
	bool known = base_slice_equal_text(vault_key_slice(e->key), "anna@example.org");
	bool app = e->label.len != 0;

	f->lookups++;
	if (f->store_down) {
		auth_core_looked_up(f->core, e->token, SASL_CREDENTIALS_UNAVAILABLE, NULL, NULL, 0,
			f->now_ms, WALL_MS);
		return;
	}
	if (app && !base_slice_equal_text(e->label, f->app.label))
		known = false;
	auth_core_looked_up(f->core, e->token,
		known ? SASL_CREDENTIALS_KNOWN : SASL_CREDENTIALS_UNKNOWN, &f->user, &f->app,
		known && (app || e->want_apps) && f->app.label[0] ? 1 : 0, f->now_ms, WALL_MS);
}

static void on_verify(struct fixture *f, const struct auth_effect *e)
{
	bool upgrade = false;
	enum vault_verify_result result;

	f->verifies++;
	f->last_task = e->task;
	f->last_worker = e->worker;
	snprintf(f->last_password, sizeof(f->last_password), "%.*s", BASE_SLICE_ARGS(e->password));
	if (!f->auto_verify)
		return;
	/* The default work is left out: tests would take long. */
	result = e->stored.len ? vault_verify(e->stored, e->password, &upgrade)
			       : VAULT_VERIFY_WRONG;
	auth_core_verified(f->core, e->worker, e->task, result, upgrade, f->now_ms, WALL_MS);
}

/* Another server, which knows bert and no one else. */
static void on_ask(struct fixture *f, const struct auth_effect *e)
{
	bool right = base_slice_equal_text(e->name, "bert@example.org") &&
		base_slice_equal_text(e->password, "bertig");

	f->asks++;
	assert_true(base_slice_equal_text(e->source, "dove"));
	auth_core_asked(f->core, e->token,
		f->source_down  ? SASL_CREDENTIALS_UNAVAILABLE
			: right ? SASL_CREDENTIALS_KNOWN
				: SASL_CREDENTIALS_UNKNOWN,
		BASE_SLICE("bert@example.org"), f->now_ms, WALL_MS);
}

/* What a process of a provider is asked, and what it says. */
static void on_question(struct fixture *f, const struct auth_effect *e)
{
	f->questions++;
	f->last_process = e->worker;
	f->last_question = e->task;
	f->last_ask = e->ask;
	snprintf(f->last_source, sizeof(f->last_source), "%.*s", BASE_SLICE_ARGS(e->source));
	snprintf(f->last_name, sizeof(f->last_name), "%.*s", BASE_SLICE_ARGS(e->name));
	if (e->ask == AUTH_ASK_SCRAM && e->password.len == sizeof(f->salt))
		memcpy(f->salt, e->password.ptr, sizeof(f->salt));
	if (!f->hold)
		auth_core_said(f->core, e->worker, e->task, &f->says, f->now_ms, WALL_MS);
}

static void on_login(struct fixture *f, const struct auth_login *login)
{
	f->logins++;
	snprintf(f->result, sizeof(f->result), "%s", login->result);
	snprintf(f->reason, sizeof(f->reason), "%s", login->reason ? login->reason : "");
	snprintf(f->login_user, sizeof(f->login_user), "%.*s", BASE_SLICE_ARGS(login->user));
}

static void pump(struct fixture *f)
{
	struct auth_effect e;

	while (auth_core_effect(f->core, &e)) {
		switch (e.kind) {
		case AUTH_EFFECT_OUTPUT:
			base_buf_append_slice(&f->seen, base_buf_slice(auth_conn_output(e.conn)));
			base_buf_clear(auth_conn_output(e.conn));
			break;
		case AUTH_EFFECT_CLOSE:
			f->closes++;
			break;
		case AUTH_EFFECT_LOOKUP:
			on_lookup(f, &e);
			break;
		case AUTH_EFFECT_SECRET:
			auth_core_secret(f->core, e.token, SASL_CREDENTIALS_KNOWN,
				BASE_SLICE(PASSWORD), f->now_ms, WALL_MS);
			break;
		case AUTH_EFFECT_ASK:
			on_ask(f, &e);
			break;
		case AUTH_EFFECT_QUESTION:
			on_question(f, &e);
			break;
		case AUTH_EFFECT_VERIFY:
			on_verify(f, &e);
			break;
		case AUTH_EFFECT_HASH:
			auth_core_hashed(
				f->core, e.worker, e.task, BASE_SLICE("credentials"), f->now_ms);
			break;
		case AUTH_EFFECT_UPGRADE:
			f->upgrades++;
			f->upgrade_keeps_hash = e.keep_hash;
			assert_true(base_slice_equal_text(e.credentials, "credentials"));
			break;
		case AUTH_EFFECT_TESTED:
			f->tested++;
			f->last_tested = e.result;
			break;
		case AUTH_EFFECT_LOGIN:
			on_login(f, &e.login);
			break;
		}
	}
}

static void say(struct fixture *f, const char *text)
{
	auth_core_input(f->core, f->conn, base_slice_text(text), f->now_ms, WALL_MS);
	pump(f);
}

static void pass(struct fixture *f, int64_t ms)
{
	f->now_ms += ms;
	auth_core_tick(f->core, f->now_ms, WALL_MS);
	pump(f);
}

/* What the client got since, exactly. */
static void expect(struct fixture *f, const char *text)
{
	assert_string_equal(base_buf_text(&f->seen), text);
	base_buf_clear(&f->seen);
}

/* "AUTH id MECH … resp=base64(message)". */
static void auth_with(
	struct fixture *f, const char *mech, const char *fields, struct base_slice message)
{
	struct base_buf line;

	base_buf_init(&line, 65536);
	base_buf_printf(&line, "AUTH\t1\t%s\tservice=smtp%s\tresp=", mech, fields);
	base64_encode(message, &line);
	base_buf_append_byte(&line, '\n');
	say(f, base_buf_text(&line));
	base_buf_release(&line);
}

static void plain(struct fixture *f, struct base_slice message)
{
	auth_with(f, "PLAIN", "\trip=192.0.2.7\tsession=s1", message);
}

static void connect_as(struct fixture *f, bool front, const char *version)
{
	f->conn = auth_core_open(f->core, f, front, f->now_ms);
	pump(f);
	expect(f, "VERSION\t1\t4\n");
	if (version) {
		say(f, version);
		assert_non_null(strstr(base_buf_text(&f->seen), "\nDONE\n"));
		base_buf_clear(&f->seen);
	}
}

static void set_up_mask(void **state, sasl_mechanism_mask mask, bool connected)
{
	static const uint8_t key[32] = "mock", random[AUTH_RANDOM_BYTES] = "random";
	static const uint8_t salt[16] = "0123456789abcde";
	struct auth_options options = {.mechanisms = mask,
		.host_name = BASE_SLICE("mail.example.org"),
		.default_domain = BASE_SLICE("example.org"),
		.upgrade = true,
		.cache_ttl_ms = 300000};
	struct fixture *f = base_alloc_zero(1, sizeof(*f));

	f->core = auth_core_new(&options, key, random, 4711);
	f->now_ms = 1000000;
	f->auto_verify = true;
	base_buf_init(&f->seen, 1 << 20);
	f->user.id = 1;
	strcpy(f->user.name, "anna@example.org");
	strcpy(f->user.hash, "{PLAIN}" PASSWORD);
	f->user.has_secret = true;
	assert_true(sasl_scram_derive(BASE_HASH_SHA256, BASE_SLICE(PASSWORD),
		base_slice_make(salt, sizeof(salt)), 4096, &f->user.scram[BASE_HASH_SHA256]));
	if (connected) {
		connect_as(f, false, "VERSION\t1\t1\nCPID\t7\n");
		auth_core_worker_up(f->core, 0, f->now_ms);
	}
	*state = f;
}

static int set_up(void **state)
{
	set_up_mask(state, ALL, true);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	auth_core_free(&f->core);
	base_buf_release(&f->seen);
	free(f);
	return 0;
}

/* Handshake */

static void list_for_old_clients_has_no_plus(void **state)
{
	struct fixture *f;

	set_up_mask(state, ALL, false);
	f = *state;
	connect_as(f, false, NULL);
	say(f, "VERSION\t1\t0\nCPID\t99\n");
	assert_non_null(strstr(base_buf_text(&f->seen),
		"MECH\tSCRAM-SHA-256\tmutual-auth\n"
		"MECH\tCRAM-MD5\tdictionary\tactive\n"
		"MECH\tPLAIN\tplaintext\n"
		"MECH\tLOGIN\tplaintext\n"
		"SPID\t4711\nCUID\t1\nCOOKIE\t"));
	assert_null(strstr(base_buf_text(&f->seen), "PLUS"));
}

static void list_for_new_clients_has_plus(void **state)
{
	struct fixture *f;

	set_up_mask(state, ALL, false);
	f = *state;
	connect_as(f, false, NULL);
	say(f, "VERSION\t1\t3\n");
	assert_non_null(strstr(base_buf_text(&f->seen),
		"MECH\tSCRAM-SHA-256-PLUS\tmutual-auth\tchannel-binding\n"));
}

static void list_comes_without_version_after_200_ms(void **state)
{
	struct fixture *f;

	set_up_mask(state, ALL, false);
	f = *state;
	connect_as(f, false, NULL);
	assert_int_equal(auth_core_wake(f->core), f->now_ms + 200);
	pass(f, 199);
	expect(f, "");
	pass(f, 1);
	assert_non_null(strstr(base_buf_text(&f->seen), "\nDONE\n"));
	base_buf_clear(&f->seen);
	/* A late VERSION is taken and gives no second list. */
	say(f, "VERSION\t1\t3\n");
	expect(f, "");
}

/* Passwords */

static void right_password(void **state)
{
	struct fixture *f = *state;

	plain(f, BASE_SLICE("\0anna\0geheim"));
	expect(f, "OK\t1\tuser=anna@example.org\n");
	assert_string_equal(f->result, "ok");
	assert_int_equal(f->verifies, 1);
}

static void cache_spares_the_worker_until_the_user_changes(void **state)
{
	struct fixture *f = *state;

	plain(f, BASE_SLICE("\0anna\0geheim"));
	plain(f, BASE_SLICE("\0ANNA@example.org\0geheim"));
	assert_int_equal(f->verifies, 1);
	auth_core_user_changed(f->core, BASE_SLICE("anna@example.org"));
	plain(f, BASE_SLICE("\0anna\0geheim"));
	assert_int_equal(f->verifies, 2);
}

static void wrong_and_unknown_are_alike(void **state)
{
	const struct base_slice messages[] = {
		BASE_SLICE("\0anna\0falsch"), BASE_SLICE("\0nobody\0falsch")};
	struct fixture *f = *state;

	for (size_t i = 0; i < 2; i++) {
		plain(f, messages[i]);
		assert_int_equal(f->verifies, i + 1);
		expect(f, "");
		pass(f, 499);
		expect(f, "");
		pass(f, 1);
		assert_int_equal(strncmp(base_buf_text(&f->seen), "FAIL\t1\tuser=", 12), 0);
		assert_null(strstr(base_buf_text(&f->seen), "code"));
		base_buf_clear(&f->seen);
		assert_string_equal(f->result, "rejected");
	}
}

/* The salt that @name is given, as base64. */
static void salt_of(struct fixture *f, const char *name, char out[64])
{
	struct base_buf text, line;
	const char *salt;

	base_buf_init(&text, 1024);
	base_buf_init_secret(&line, 1024);
	base_buf_printf(&text, "n,,n=%s,r=0123456789", name);
	base_buf_append_text(&line, "AUTH\t1\tSCRAM-SHA-256\tsecured\tresp=");
	base64_encode(base_buf_slice(&text), &line);
	base_buf_append_byte(&line, '\n');
	say(f, base_buf_text(&line));
	base_buf_clear(&text);
	assert_int_equal(strncmp(base_buf_text(&f->seen), "CONT\t1\t", 7), 0);
	assert_int_equal(
		base64_decode(
			base_slice_trim(base_slice_from(base_buf_slice(&f->seen), 7)), &text, NULL),
		BASE64_OK);
	salt = strstr(base_buf_text(&text), ",s=");
	assert_non_null(salt);
	snprintf(out, 64, "%.*s", (int)strcspn(salt + 3, ","), salt + 3);
	base_buf_clear(&f->seen);
	base_buf_release(&text);
	base_buf_release(&line);
}

static void salts_do_not_tell_who_exists(void **state)
{
	static const struct {
		const char *names[2];
		bool same;
	} rows[] = {
		{{"anna", "ANNA@Example.org"}, true},
		{{"nobody", "NoBody@EXAMPLE.org"}, true},
		{{"nobody", "nobody"}, true},
		{{"anna", "nobody"}, false},
		{{"nobody", "nobody@example.net"}, false},
		{{"anna/phone", "ANNA@example.org/phone"}, true},
		{{"nobody/phone", "NOBODY@example.org/phone"}, true},
		{{"anna", "anna/phone"}, false},
		{{"nobody", "nobody/phone"}, false},
		{{"anna/phone", "anna/tablet"}, false},
		{{"nobody/phone", "nobody/tablet"}, false},
	};
	struct fixture *f = *state;
	char salts[2][64];

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		salt_of(f, rows[i].names[0], salts[0]);
		salt_of(f, rows[i].names[1], salts[1]);
		if ((strcmp(salts[0], salts[1]) == 0) != rows[i].same)
			fail_msg("%s and %s", rows[i].names[0], rows[i].names[1]);
	}
}

static void slow_verification_stays_on_the_grid(void **state)
{
	struct fixture *f = *state;

	f->auto_verify = false;
	plain(f, BASE_SLICE("\0anna\0falsch"));
	f->now_ms += 730;
	auth_core_verified(f->core, f->last_worker, f->last_task, VAULT_VERIFY_WRONG, false,
		f->now_ms, WALL_MS);
	pump(f);
	pass(f, 269);
	expect(f, "");
	pass(f, 1);
	expect(f, "FAIL\t1\tuser=anna@example.org\n");
}

static void disabled_expired_and_foreign_identities_fail_after_proof(void **state)
{
	struct fixture *f = *state;

	f->user.disabled = true;
	plain(f, BASE_SLICE("\0anna\0geheim"));
	pass(f, 2000);
	expect(f, "FAIL\t1\tuser=anna@example.org\tcode=user_disabled\tuser_disabled\n");
	plain(f, BASE_SLICE("\0anna\0falsch"));
	pass(f, 2000);
	expect(f, "FAIL\t1\tuser=anna@example.org\n");
	f->user.disabled = false;
	f->user.expires_ms = WALL_MS;
	plain(f, BASE_SLICE("\0anna\0geheim"));
	pass(f, 2000);
	expect(f, "FAIL\t1\tuser=anna@example.org\tcode=pass_expired\tpass_expired\n");
	f->user.expires_ms = WALL_MS + 1;
	plain(f, BASE_SLICE("boss\0anna\0geheim"));
	pass(f, 2000);
	expect(f, "FAIL\t1\tuser=anna@example.org\tcode=authz_fail\tauthz\n");
	plain(f, BASE_SLICE("Anna@example.org\0anna\0geheim"));
	expect(f, "OK\t1\tuser=anna@example.org\n");
}

static void mechanisms_of_a_user_are_enforced(void **state)
{
	struct fixture *f = *state;

	f->user.mechanisms = SASL_MASK(SASL_MECHANISM_SCRAM_SHA_256);
	plain(f, BASE_SLICE("\0anna\0geheim"));
	pass(f, 2000);
	expect(f, "FAIL\t1\tuser=anna@example.org\n");
	assert_string_equal(f->reason, "the mechanism is not allowed for this user");
}

static void upgrade_keeps_what_is_missing(void **state)
{
	struct fixture *f = *state;

	plain(f, BASE_SLICE("\0anna\0geheim")); /* {PLAIN} wants a better hash */
	assert_int_equal(f->upgrades, 1);
	assert_false(f->upgrade_keeps_hash);
}

static void app_password(void **state)
{
	struct fixture *f = *state;

	f->app = f->user;
	f->app.app_id = 9;
	strcpy(f->app.label, "printer");
	/* sha256("abcde-fghij" "salt") and the salt */
	{
		struct base_buf text;
		uint8_t sum[64];

		base_hash(BASE_HASH_SHA256, BASE_SLICE(APP_PASSWORD "salt"), sum);
		memcpy(sum + 32, "salt", 4);
		base_buf_init(&text, 256);
		base64_encode(base_slice_make(sum, 36), &text);
		snprintf(f->app.hash, sizeof(f->app.hash), "{SSHA256}%s", base_buf_text(&text));
		base_buf_release(&text);
	}
	plain(f, BASE_SLICE("\0anna\0" APP_PASSWORD));
	expect(f, "OK\t1\tuser=anna@example.org\n");
	assert_int_equal(f->verifies, 0);
	plain(f, BASE_SLICE("\0anna/printer\0" APP_PASSWORD));
	expect(f, "OK\t1\tuser=anna@example.org\n");
	plain(f, BASE_SLICE("\0anna/printer\0" PASSWORD)); /* not the app's */
	pass(f, 2000);
	assert_int_equal(strncmp(base_buf_text(&f->seen), "FAIL\t1", 6), 0);
	base_buf_clear(&f->seen);
	f->app.expires_ms = WALL_MS - 1;
	plain(f, BASE_SLICE("\0anna\0" APP_PASSWORD));
	pass(f, 2000);
	expect(f, "FAIL\t1\tuser=anna@example.org\tcode=pass_expired\tpass_expired\n");
}

/* Workers */

static void store_down_is_temporary(void **state)
{
	struct fixture *f = *state;

	f->store_down = true;
	plain(f, BASE_SLICE("\0anna\0geheim"));
	expect(f, "FAIL\t1\tuser=anna@example.org\tcode=temp_fail\ttemp\n");
	assert_string_equal(f->result, "deferred");
	f->store_down = false;
	plain(f, BASE_SLICE("\0anna\0geheim"));
	expect(f, "OK\t1\tuser=anna@example.org\n");
}

static void no_worker_is_temporary_after_a_while(void **state)
{
	struct fixture *f = *state;

	auth_core_worker_down(f->core, 0, f->now_ms);
	plain(f, BASE_SLICE("\0anna\0geheim"));
	expect(f, "");
	assert_int_equal(auth_core_wake(f->core), f->now_ms + AUTH_WORKER_WAIT_MS);
	pass(f, AUTH_WORKER_WAIT_MS);
	expect(f, "FAIL\t1\tuser=anna@example.org\tcode=temp_fail\ttemp\n");
	auth_core_worker_up(f->core, 0, f->now_ms);
	plain(f, BASE_SLICE("\0anna\0geheim"));
	expect(f, "OK\t1\tuser=anna@example.org\n");
}

static void waiting_request_is_taken_up_by_a_new_worker(void **state)
{
	struct fixture *f = *state;

	auth_core_worker_down(f->core, 0, f->now_ms);
	plain(f, BASE_SLICE("\0anna\0geheim"));
	pass(f, 3000);
	expect(f, "");
	auth_core_worker_up(f->core, 3, f->now_ms);
	pump(f);
	expect(f, "OK\t1\tuser=anna@example.org\n");
}

static void dead_workers_task_is_given_out_once_more(void **state)
{
	struct fixture *f = *state;

	f->auto_verify = false;
	auth_core_worker_up(f->core, 1, f->now_ms);
	plain(f, BASE_SLICE("\0anna\0geheim"));
	assert_int_equal(f->last_worker, 0);
	auth_core_worker_down(f->core, 0, f->now_ms);
	pump(f);
	assert_int_equal(f->last_worker, 1);
	expect(f, "");
	auth_core_worker_down(f->core, 1, f->now_ms); /* the task kills workers */
	pump(f);
	expect(f, "FAIL\t1\tuser=anna@example.org\tcode=temp_fail\ttemp\n");
}

static void changed_password_is_checked_anew(void **state)
{
	struct fixture *f = *state;
	uint32_t task;

	f->auto_verify = false;
	plain(f, BASE_SLICE("\0anna\0geheim"));
	task = f->last_task;
	auth_core_user_changed(f->core, BASE_SLICE("anna@example.org"));
	strcpy(f->user.hash, "{PLAIN}neu");
	f->auto_verify = true;
	auth_core_verified(
		f->core, f->last_worker, task, VAULT_VERIFY_RIGHT, false, f->now_ms, WALL_MS);
	pump(f);
	assert_int_equal(f->lookups, 2);
	pass(f, 500);
	expect(f, "FAIL\t1\tuser=anna@example.org\n");
	/* and the old one is not in the cache */
	plain(f, BASE_SLICE("\0anna\0geheim"));
	assert_int_equal(f->verifies, 3);
}

static void test_for_a_command(void **state)
{
	struct fixture *f = *state;

	auth_core_test(f->core, 5, BASE_SLICE("{PLAIN}x"), BASE_SLICE("x"), f->now_ms);
	pump(f);
	assert_int_equal(f->tested, 1);
	assert_int_equal(f->last_tested, VAULT_VERIFY_RIGHT);
}

/* The connection */

static void what_is_bad_fails_one_request(void **state)
{
	struct fixture *f = *state;

	say(f, "AUTH\t1\tLOGIN\tservice=smtp\n");
	expect(f, "CONT\t1\tVXNlcm5hbWU6\n");
	say(f, "AUTH\t2\tPLAIN\tservice=smtp\tresp=====\n");
	expect(f, "FAIL\t2\tcode=invalid_base64\n");
	say(f, "AUTH\t3\tNONSENSE\tservice=smtp\n");
	expect(f, "FAIL\t3\n");
	say(f, "CONT\t1\tYW5uYQ==\n");
	expect(f, "CONT\t1\tUGFzc3dvcmQ6\n");
	say(f, "CONT\t1\tZ2VoZWlt\n");
	expect(f, "OK\t1\tuser=anna@example.org\n");
	assert_int_equal(f->closes, 0);
}

static void too_many_open_requests_drop_the_oldest(void **state)
{
	struct fixture *f = *state;
	char line[64];

	for (unsigned i = 1; i <= AUTH_OPEN_MAX + 10; i++) {
		snprintf(line, sizeof(line), "AUTH\t%u\tLOGIN\tservice=smtp\n", i);
		say(f, line);
		base_buf_clear(&f->seen);
	}
	assert_int_equal(auth_core_status(f->core).open, AUTH_OPEN_MAX);
	say(f, "CONT\t10\tYW5uYQ==\n");
	expect(f, "FAIL\t10\tcode=temp_fail\ttemp\n");
	say(f, "CONT\t11\tYW5uYQ==\n");
	expect(f, "CONT\t11\tUGFzc3dvcmQ6\n");
	assert_int_equal(f->closes, 0);
	pass(f, AUTH_IDLE_MS);
	assert_int_equal(auth_core_status(f->core).open, 0);
}

static void a_master_or_garbage_is_closed(void **state)
{
	struct fixture *f = *state;

	say(f, "REQUEST\t1\t2\t3\n");
	assert_int_equal(f->closes, 1);
}

static void cancel_and_closing_forget(void **state)
{
	struct fixture *f = *state;

	f->auto_verify = false;
	plain(f, BASE_SLICE("\0anna\0geheim"));
	say(f, "CANCEL\t1\n");
	assert_int_equal(auth_core_status(f->core).open, 0);
	auth_core_verified(f->core, f->last_worker, f->last_task, VAULT_VERIFY_RIGHT, false,
		f->now_ms, WALL_MS);
	pump(f);
	expect(f, "");
	plain(f, BASE_SLICE("\0anna\0geheim"));
	auth_core_closed(f->core, f->conn, f->now_ms);
	pump(f);
	assert_int_equal(auth_core_status(f->core).connections, 0);
}

/* SCRAM through the wire. @front: as our own front does it, else as an old client does. */
struct scram_run {
	const char *password;
	enum sasl_mechanism mechanism;
	bool front, plus_offered;
	const char *binding_data; /* what the server's side of TLS says */
};

static struct base_slice challenge_of(struct fixture *f, struct base_buf *decoded)
{
	struct base_slice line = base_buf_slice(&f->seen), field;

	base_buf_clear(decoded);
	assert_true(base_slice_split(&line, '\t', &field));
	assert_true(base_slice_equal_text(field, "CONT"));
	assert_true(base_slice_split(&line, '\t', &field));
	assert_true(base_slice_split(&line, '\n', &field));
	assert_int_equal(base64_decode(field, decoded, NULL), BASE64_OK);
	base_buf_clear(&f->seen);
	return base_buf_slice(decoded);
}

static void say_cont(struct fixture *f, struct base_slice response)
{
	struct base_buf line;

	base_buf_init(&line, 65536);
	base_buf_append_text(&line, "CONT\t1\t");
	base64_encode(response, &line);
	base_buf_append_byte(&line, '\n');
	say(f, base_buf_text(&line));
	base_buf_release(&line);
}

static void run_scram(struct fixture *f, const struct scram_run *run)
{
	static const uint8_t random[SASL_CLIENT_RANDOM_BYTES] = "0123456789abcdefg";
	struct sasl_client_options options = {
		.mechanism = run->mechanism,
		.user = BASE_SLICE("anna"),
		.password = base_slice_text(run->password),
		.random = base_slice_make(random, sizeof(random)),
		.binding = run->binding_data ? SASL_BINDING_TLS_EXPORTER : SASL_BINDING_NONE,
		.binding_data = BASE_SLICE("the same"),
		.tls = true,
		.plus_offered = run->plus_offered,
	};
	struct sasl_client *client;
	struct base_buf out, decoded;
	char fields[128];

	base_buf_init_secret(&out, 16384);
	base_buf_init_secret(&decoded, 16384);
	assert_int_equal(sasl_client_begin(&client, &options, &out), SASL_CLIENT_RESPONSE);
	snprintf(fields, sizeof(fields), "%s%s", run->front ? "\tsecured=tls\tfinal-resp-ok" : "",
		run->plus_offered ? "\tpostern_plus=1" : "");
	auth_with(f, sasl_mechanism_info(run->mechanism)->name, fields, base_buf_slice(&out));
	base_buf_clear(&out);
	assert_int_equal(
		sasl_client_push(client, challenge_of(f, &decoded), &out), SASL_CLIENT_RESPONSE);
	say_cont(f, base_buf_slice(&out));
	if (run->binding_data) {
		struct base_buf line;

		expect(f, "CONT\t1\t#\tchannel_binding=tls-exporter\n");
		base_buf_init(&line, 1024);
		base_buf_append_text(&line, "CONT\t1\t#\tchannel_binding=");
		base64_encode(base_slice_text(run->binding_data), &line);
		base_buf_append_byte(&line, '\n');
		say(f, base_buf_text(&line));
		base_buf_release(&line);
	}
	sasl_client_free(&client);
	base_buf_release(&out);
	base_buf_release(&decoded);
}

static void scram_with_the_final_message_in_ok(void **state)
{
	struct fixture *f = *state;

	auth_core_closed(f->core, f->conn, f->now_ms);
	connect_as(f, true, "VERSION\t1\t3\n");
	run_scram(
		f, &(struct scram_run){PASSWORD, SASL_MECHANISM_SCRAM_SHA_256, true, false, NULL});
	assert_int_equal(
		strncmp(base_buf_text(&f->seen), "OK\t1\tuser=anna@example.org\tresp=dj", 34),
		0); /* v= */
	assert_string_equal(f->result, "ok");
}

static void scram_with_the_final_message_as_a_challenge(void **state)
{
	struct fixture *f = *state;

	run_scram(
		f, &(struct scram_run){PASSWORD, SASL_MECHANISM_SCRAM_SHA_256, false, false, NULL});
	assert_int_equal(strncmp(base_buf_text(&f->seen), "CONT\t1\tdj", 9), 0);
	base_buf_clear(&f->seen);
	assert_int_equal(f->logins, 0);
	say(f, "CONT\t1\t\n");
	expect(f, "OK\t1\tuser=anna@example.org\n");
}

static void scram_plus_asks_for_the_binding(void **state)
{
	struct fixture *f = *state;

	auth_core_closed(f->core, f->conn, f->now_ms);
	connect_as(f, true, "VERSION\t1\t3\n");
	run_scram(f,
		&(struct scram_run){
			PASSWORD, SASL_MECHANISM_SCRAM_SHA_256_PLUS, true, true, "the same"});
	assert_int_equal(strncmp(base_buf_text(&f->seen), "OK\t1", 4), 0);
	base_buf_clear(&f->seen);
	run_scram(f,
		&(struct scram_run){
			PASSWORD, SASL_MECHANISM_SCRAM_SHA_256_PLUS, true, true, "another"});
	expect(f, "");
	pass(f, 2000);
	assert_int_equal(strncmp(base_buf_text(&f->seen), "FAIL\t1", 6), 0);
}

static void scram_wrong_password_waits_for_the_grid(void **state)
{
	struct fixture *f = *state;

	run_scram(
		f, &(struct scram_run){"falsch", SASL_MECHANISM_SCRAM_SHA_256, false, false, NULL});
	expect(f, "");
	pass(f, 500);
	expect(f, "FAIL\t1\tuser=anna@example.org\n");
}

/* EXTERNAL, tokens, DIGEST-MD5, GSSAPI: whatever the options say, they are not listed and not begun. */
static void a_clients_mechanisms_are_refused(void **state)
{
	struct fixture *f;

	set_up_mask(state, ~(sasl_mechanism_mask)0, false);
	f = *state;
	f->conn = auth_core_open(f->core, f, true, f->now_ms);
	pump(f);
	say(f, "VERSION\t1\t4\nCPID\t7\n");
	assert_non_null(strstr(base_buf_text(&f->seen), "MECH\tPLAIN\t"));
	for (unsigned m = SASL_MECHANISM_SERVER_COUNT; m < SASL_MECHANISM_COUNT; m++)
		assert_null(strstr(base_buf_text(&f->seen),
			sasl_mechanism_info((enum sasl_mechanism)m)->name));
	for (unsigned m = SASL_MECHANISM_SERVER_COUNT; m < SASL_MECHANISM_COUNT; m++) {
		base_buf_clear(&f->seen);
		auth_with(f, sasl_mechanism_info((enum sasl_mechanism)m)->name,
			"\trip=127.0.0.1\tsecured=tls", BASE_SLICE("anna"));
		pass(f, 5000);
		assert_int_equal(strncmp(base_buf_text(&f->seen), "FAIL\t1", 6), 0);
	}
}

static void cram_md5_uses_the_secret(void **state)
{
	struct fixture *f = *state;
	struct base_buf decoded, response;
	uint8_t sum[64];
	struct base_slice challenge;

	base_buf_init(&decoded, 4096);
	base_buf_init(&response, 4096);
	say(f, "AUTH\t1\tcram-md5\tservice=smtp\n");
	challenge = challenge_of(f, &decoded);
	base_hmac(BASE_HASH_MD5, BASE_SLICE(PASSWORD), challenge, sum);
	base_buf_append_text(&response, "anna ");
	base_hex_encode(base_slice_make(sum, 16), &response);
	say_cont(f, base_buf_slice(&response));
	expect(f, "OK\t1\tuser=anna@example.org\n");
	base_buf_release(&decoded);
	base_buf_release(&response);
}

static void loopback_is_never_slow_and_others_get_slower(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 15; i++) {
		auth_with(f, "LOGIN", "\trip=127.0.0.1", BASE_SLICE("anna"));
		base_buf_clear(&f->seen);
		say(f, "CONT\t1\tZmFsc2No\n");
		pass(f, 500);
		assert_int_equal(strncmp(base_buf_text(&f->seen), "FAIL\t1", 6), 0);
		base_buf_clear(&f->seen);
	}
	auth_with(f, "PLAIN", "\trip=127.0.0.1", BASE_SLICE("\0anna\0geheim"));
	expect(f, "OK\t1\tuser=anna@example.org\n");
	for (unsigned i = 0; i < 12; i++) {
		char message[] = "\0anna\0falsch0";

		message[12] = (char)('a' + i);
		plain(f, base_slice_make(message, 13));
		if (i == 11) {
			pass(f, 1999);
			expect(f, "");
		}
		pass(f, 2000);
		base_buf_clear(&f->seen);
	}
	/* A right password is never kept out. */
	plain(f, BASE_SLICE("\0anna\0geheim"));
	pass(f, 2000);
	expect(f, "OK\t1\tuser=anna@example.org\n");
}

static void use_sources(struct fixture *f, bool store, const char *const *domains, size_t count)
{
	const struct auth_source sources[] = {{.name = "store", .kind = AUTH_SOURCE_STORE},
		{.name = "dove",
			.kind = AUTH_SOURCE_SERVER,
			.domains = domains,
			.domain_count = count}};
	struct auth_options options = {.mechanisms = ALL,
		.host_name = BASE_SLICE("mail.example.org"),
		.default_domain = BASE_SLICE("example.org"),
		.cache_ttl_ms = 300000,
		.sources = store ? sources : sources + 1,
		.source_count = store ? 2 : 1};

	auth_core_configure(f->core, &options, f->now_ms);
}

static void another_source_is_asked_for_those_the_store_does_not_know(void **state)
{
	struct fixture *f = *state;

	use_sources(f, true, NULL, 0);
	plain(f, BASE_SLICE("\0bert\0bertig"));
	expect(f, "OK\t1\tuser=bert@example.org\n");
	plain(f, BASE_SLICE("\0bert\0bertig"));
	expect(f, "OK\t1\tuser=bert@example.org\n");
	assert_int_equal(f->asks, 1);
	plain(f, BASE_SLICE("boss\0bert\0bertig"));
	pass(f, 2000);
	expect(f, "FAIL\t1\tuser=bert@example.org\tcode=authz_fail\tauthz\n");
	plain(f, BASE_SLICE("\0bert\0falsch"));
	pass(f, 2000);
	expect(f, "FAIL\t1\tuser=bert@example.org\n");
	assert_int_equal(f->asks, 2);
	assert_int_equal(f->verifies, 0);
	plain(f, BASE_SLICE("\0anna\0falsch")); /* the store decides */
	pass(f, 2000);
	expect(f, "FAIL\t1\tuser=anna@example.org\n");
	assert_int_equal(f->asks, 2);
}

static void unknown_while_a_source_is_down_is_temporary(void **state)
{
	struct fixture *f = *state;

	use_sources(f, true, NULL, 0);
	f->source_down = true;
	plain(f, BASE_SLICE("\0bert\0bertig"));
	expect(f, "FAIL\t1\tuser=bert@example.org\tcode=temp_fail\ttemp\n");
	plain(f, BASE_SLICE("\0anna\0geheim"));
	expect(f, "OK\t1\tuser=anna@example.org\n");
	f->source_down = false;
	plain(f, BASE_SLICE("\0bert\0bertig"));
	expect(f, "OK\t1\tuser=bert@example.org\n");
}

static void a_source_answers_for_its_domains(void **state)
{
	static const char *const domains[] = {"other.example", "more.example"};
	struct fixture *f = *state;

	use_sources(f, true, domains, 2);
	plain(f, BASE_SLICE("\0bert\0bertig"));
	pass(f, 2000);
	expect(f, "FAIL\t1\tuser=bert@example.org\n");
	assert_int_equal(f->asks, 0);
	plain(f, BASE_SLICE("\0bert@More.example\0bertig"));
	assert_int_equal(f->asks, 1);
}

static void without_the_store_only_passwords_are_offered(void **state)
{
	struct fixture *f = *state;

	use_sources(f, false, NULL, 0);
	auth_core_closed(f->core, f->conn, f->now_ms);
	f->conn = auth_core_open(f->core, f, false, f->now_ms);
	say(f, "VERSION\t1\t3\n");
	assert_null(strstr(base_buf_text(&f->seen), "SCRAM"));
	assert_non_null(strstr(base_buf_text(&f->seen), "MECH\tPLAIN"));
	base_buf_clear(&f->seen);
	plain(f, BASE_SLICE("\0bert\0bertig"));
	expect(f, "OK\t1\tuser=bert@example.org\n");
	assert_int_equal(f->lookups, 0);
}

/* Providers with processes */

static const struct auth_source flat = {.name = "flat",
	.kind = AUTH_SOURCE_FILE,
	.cram = true,
	.scram = true,
	.first = 0,
	.processes = 1};
static const struct auth_source checker = {
	.name = "old", .kind = AUTH_SOURCE_CHECKER, .cram = true, .first = 1, .processes = 2};
static const struct auth_source pam = {
	.name = "pam", .kind = AUTH_SOURCE_CHECKER, .first = 3, .processes = 1};
static const struct auth_source store = {.name = "store", .kind = AUTH_SOURCE_STORE};

static void use(struct fixture *f, const struct auth_source *sources, size_t count)
{
	struct auth_options options = {.mechanisms = ALL,
		.host_name = BASE_SLICE("mail.example.org"),
		.default_domain = BASE_SLICE("example.org"),
		.cache_ttl_ms = 300000,
		.sources = sources,
		.source_count = count};

	auth_core_configure(f->core, &options, f->now_ms);
	for (unsigned i = 0; i < 4; i++)
		auth_core_provider_up(f->core, i, f->now_ms);
}

/* Logs bert in by CRAM-MD5 with @password. */
static void cram(struct fixture *f, const char *password)
{
	struct base_buf decoded, response;
	struct base_slice challenge;
	uint8_t sum[64];

	base_buf_init(&decoded, 4096);
	base_buf_init(&response, 4096);
	say(f, "AUTH\t1\tCRAM-MD5\tservice=smtp\n");
	challenge = challenge_of(f, &decoded);
	base_hmac(BASE_HASH_MD5, base_slice_text(password), challenge, sum);
	base_buf_append_text(&response, "bert ");
	base_hex_encode(base_slice_make(sum, 16), &response);
	say_cont(f, base_buf_slice(&response));
	base_buf_release(&decoded);
	base_buf_release(&response);
}

enum way { WAY_PLAIN, WAY_CRAM };
enum end { END_OK, END_FAIL, END_LATER };

static const struct {
	const char *name;
	const struct auth_source *source;
	enum way way;
	struct auth_said said;
	enum auth_ask ask;
	bool asked;
	enum end end;
	unsigned verifies;
	const char *user;
} sayings[] = {
#define S(x) \
	{ \
		(const uint8_t *)(x), sizeof(x) - 1 \
	}
	{"checker right", &checker, WAY_PLAIN, {.result = AUTH_SAID_RIGHT}, AUTH_ASK_PASSWORD, true,
		END_OK, 0, "bert@example.org"},
	{"checker right, other name", &checker, WAY_PLAIN,
		{.result = AUTH_SAID_RIGHT, .name = S("Bert@x")}, AUTH_ASK_PASSWORD, true, END_OK,
		0, "Bert@x"},
	{"checker wrong", &checker, WAY_PLAIN, {.result = AUTH_SAID_REFUSED}, AUTH_ASK_PASSWORD,
		true, END_FAIL, 0, "bert@example.org"},
	{"checker unknown", &checker, WAY_PLAIN, {.result = AUTH_SAID_UNKNOWN}, AUTH_ASK_PASSWORD,
		true, END_FAIL, 0, "bert@example.org"},
	{"checker away", &checker, WAY_PLAIN, {.result = AUTH_SAID_CANNOT}, AUTH_ASK_PASSWORD, true,
		END_LATER, 0, "bert@example.org"},
	{"checker says what is stored", &checker, WAY_PLAIN,
		{.result = AUTH_SAID_FOUND, .stored = S("{PLAIN}bertig")}, AUTH_ASK_PASSWORD, true,
		END_LATER, 0, "bert@example.org"},
	{"checker cram right", &checker, WAY_CRAM, {.result = AUTH_SAID_RIGHT}, AUTH_ASK_CRAM, true,
		END_OK, 0, "bert@example.org"},
	{"checker cram wrong", &checker, WAY_CRAM, {.result = AUTH_SAID_REFUSED}, AUTH_ASK_CRAM,
		true, END_FAIL, 0, "bert@example.org"},
	{"checker cram away", &checker, WAY_CRAM, {.result = AUTH_SAID_CANNOT}, AUTH_ASK_CRAM, true,
		END_LATER, 0, "bert@example.org"},
	{"pam right", &pam, WAY_PLAIN, {.result = AUTH_SAID_RIGHT}, AUTH_ASK_PASSWORD, true, END_OK,
		0, "bert@example.org"},
	{"pam cannot cram", &pam, WAY_CRAM, {.result = AUTH_SAID_RIGHT}, AUTH_ASK_CRAM, false,
		END_FAIL, 0, "bert@example.org"},
	{"file right", &flat, WAY_PLAIN,
		{.result = AUTH_SAID_FOUND, .stored = S("{PLAIN}bertig"), .name = S("Bert")},
		AUTH_ASK_LOOKUP, true, END_OK, 1, "Bert@example.org"},
	{"file wrong", &flat, WAY_PLAIN, {.result = AUTH_SAID_FOUND, .stored = S("{PLAIN}other")},
		AUTH_ASK_LOOKUP, true, END_FAIL, 1, "bert@example.org"},
	{"file wrong, other spelling", &flat, WAY_PLAIN,
		{.result = AUTH_SAID_FOUND,
			.stored = S("{PLAIN}other"),
			.name = S("BERT@Example.org")},
		AUTH_ASK_LOOKUP, true, END_FAIL, 1, "bert@example.org"},
	{"file refuses", &flat, WAY_PLAIN, {.result = AUTH_SAID_REFUSED}, AUTH_ASK_LOOKUP, true,
		END_FAIL, 1, "bert@example.org"},
	{"file unknown", &flat, WAY_PLAIN, {.result = AUTH_SAID_UNKNOWN}, AUTH_ASK_LOOKUP, true,
		END_FAIL, 1, "bert@example.org"},
	{"file away", &flat, WAY_PLAIN, {.result = AUTH_SAID_CANNOT}, AUTH_ASK_LOOKUP, true,
		END_LATER, 0, "bert@example.org"},
	{"file judges", &flat, WAY_PLAIN, {.result = AUTH_SAID_RIGHT}, AUTH_ASK_LOOKUP, true,
		END_LATER, 0, "bert@example.org"},
	{"file with a NUL", &flat, WAY_PLAIN,
		{.result = AUTH_SAID_FOUND, .stored = S("{PLAIN}bertig\0x")}, AUTH_ASK_LOOKUP, true,
		END_LATER, 0, "bert@example.org"},
	{"file cram", &flat, WAY_CRAM, {.result = AUTH_SAID_FOUND, .stored = S("{PLAIN}bertig")},
		AUTH_ASK_CRAM, true, END_OK, 0, "bert@example.org"},
	{"file cram wrong", &flat, WAY_CRAM,
		{.result = AUTH_SAID_FOUND, .stored = S("{PLAIN}other")}, AUTH_ASK_CRAM, true,
		END_FAIL, 0, "bert@example.org"},
	{"file cram, hashed", &flat, WAY_CRAM, {.result = AUTH_SAID_FOUND, .stored = S("$1$a$b")},
		AUTH_ASK_CRAM, true, END_FAIL, 0, "bert@example.org"},
	{"file cram refuses", &flat, WAY_CRAM, {.result = AUTH_SAID_REFUSED}, AUTH_ASK_CRAM, true,
		END_FAIL, 0, "bert@example.org"},
	{"file cram unknown", &flat, WAY_CRAM, {.result = AUTH_SAID_UNKNOWN}, AUTH_ASK_CRAM, true,
		END_FAIL, 0, "bert@example.org"},
	{"file cram away", &flat, WAY_CRAM, {.result = AUTH_SAID_CANNOT}, AUTH_ASK_CRAM, true,
		END_LATER, 0, "bert@example.org"},
#undef S
};

/* Each alone and each behind the store, which does not know bert. */
static void what_a_provider_says_decides(void **state)
{
	struct fixture *f = *state;
	char expected[128];

	for (size_t k = 0; k < 2 * BASE_COUNT(sayings); k++) {
		size_t i = k / 2;
		const struct auth_source *source = sayings[i].source;
		struct auth_source both[2] = {store, *source};
		/* CRAM-MD5 of nobody's is not offered where only pam is. */
		bool alone = k % 2 == 0 && source != &pam;

		use(f, alone ? source : both, alone ? 1 : 2);
		f->says = sayings[i].said;
		f->questions = f->verifies = 0;
		if (sayings[i].way == WAY_CRAM)
			cram(f, "bertig");
		else
			plain(f, BASE_SLICE("\0bert\0bertig"));
		pass(f, 2000);
		snprintf(expected, sizeof(expected), "%s\t1\tuser=%s%s\n",
			sayings[i].end == END_OK ? "OK" : "FAIL", sayings[i].user,
			sayings[i].end == END_LATER ? "\tcode=temp_fail\ttemp" : "");
		if (strcmp(base_buf_text(&f->seen), expected) != 0)
			fail_msg("%s: %s, not %s", sayings[i].name, base_buf_text(&f->seen),
				expected);
		base_buf_clear(&f->seen);
		if (f->questions != sayings[i].asked || f->verifies != sayings[i].verifies ||
			(sayings[i].asked &&
				(f->last_ask != sayings[i].ask ||
					strcmp(f->last_name, "bert") != 0 ||
					strcmp(f->last_source, source->name) != 0)))
			fail_msg("%s: %u questions, the last %d about %s of %s, %u verified",
				sayings[i].name, f->questions, (int)f->last_ask, f->last_name,
				f->last_source, f->verifies);
	}
}

/* "anna%other.org" may be read as an address by what stands behind a source; auth let it through as a name
 * of the default domain. */
static void a_source_speaks_for_its_domains_only(void **state)
{
	static const char *const domains[] = {"example.org", "more.example"};
	static const struct {
		const char *says;
		bool good;
	} rows[] = {{"bert@other.org", false}, {"bert@More.example", true}, {"bert", true},
		{"bert@example.org@other.org", false}, {"bert@", false}};
	struct auth_source limited = flat;
	struct fixture *f = *state;
	char expected[128];

	limited.domains = domains;
	limited.domain_count = 2;
	for (size_t i = 0; i < 2 * BASE_COUNT(rows); i++) {
		const char *says = rows[i / 2].says;

		use(f, &limited, 1);
		f->says = (struct auth_said){.result = AUTH_SAID_FOUND,
			.stored = BASE_SLICE("{PLAIN}bertig"),
			.name = base_slice_text(says)};
		if (i % 2)
			cram(f, "bertig");
		else
			plain(f, BASE_SLICE("\0bert\0bertig"));
		pass(f, 2000);
		if (rows[i / 2].good)
			snprintf(expected, sizeof(expected), "OK\t1\tuser=%s%s\n", says,
				strchr(says, '@') ? "" : "@example.org");
		else
			snprintf(expected, sizeof(expected), "FAIL\t1\tuser=bert@example.org\n");
		expect(f, expected);
	}
}

/* A file may change while the process that watches it is away. */
static void a_new_process_of_a_file_empties_the_cache(void **state)
{
	struct fixture *f = *state;

	use(f, &flat, 1);
	f->says = (struct auth_said){
		.result = AUTH_SAID_FOUND, .stored = BASE_SLICE("{PLAIN}bertig")};
	for (int i = 0; i < 2; i++) {
		plain(f, BASE_SLICE("\0bert\0bertig"));
		expect(f, "OK\t1\tuser=bert@example.org\n");
	}
	assert_int_equal(f->questions, 1);
	auth_core_provider_down(f->core, 0, f->now_ms, WALL_MS);
	auth_core_provider_up(f->core, 0, f->now_ms);
	f->says = (struct auth_said){.result = AUTH_SAID_UNKNOWN};
	plain(f, BASE_SLICE("\0bert\0bertig"));
	pass(f, 2000);
	expect(f, "FAIL\t1\tuser=bert@example.org\n");
	assert_int_equal(f->questions, 2);
}

static void a_file_that_knows_the_user_ends_the_search(void **state)
{
	static const struct {
		enum auth_said_result result;
		unsigned questions;
	} rows[] = {{AUTH_SAID_FOUND, 1}, {AUTH_SAID_REFUSED, 1}, {AUTH_SAID_UNKNOWN, 2},
		{AUTH_SAID_CANNOT, 2}};
	const struct auth_source sources[] = {flat, checker};
	struct fixture *f = *state;

	use(f, sources, 2);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		f->questions = 0;
		f->says = (struct auth_said){
			.result = rows[i].result, .stored = BASE_SLICE("{PLAIN}other")};
		plain(f, BASE_SLICE("\0bert\0bertig"));
		pass(f, 2000);
		assert_int_equal(f->questions, rows[i].questions);
		base_buf_clear(&f->seen);
	}
	/* The other way around, a checker's no is no end: it cannot tell. */
	f->questions = 0;
	f->says = (struct auth_said){.result = AUTH_SAID_REFUSED};
	use(f, (const struct auth_source[]){checker, flat}, 2);
	plain(f, BASE_SLICE("\0bert\0bertig"));
	assert_int_equal(f->questions, 2);
}

static void successes_are_remembered_until_the_source_changes(void **state)
{
	const struct auth_source sources[] = {checker, flat};
	struct fixture *f = *state;

	use(f, sources, 2);
	for (unsigned round = 0; round < 2; round++) {
		f->says = (struct auth_said){
			.result = AUTH_SAID_FOUND, .stored = BASE_SLICE("{PLAIN}bertig")};
		if (round)
			use(f, sources + 1, 1);
		else
			f->says = (struct auth_said){.result = AUTH_SAID_RIGHT};
		f->questions = 0;
		plain(f, BASE_SLICE("\0bert\0bertig"));
		plain(f, BASE_SLICE("\0bert@example.org\0bertig"));
		assert_int_equal(f->questions, 1);
		auth_core_source_changed(f->core, BASE_SLICE("another"));
		plain(f, BASE_SLICE("\0bert\0bertig"));
		assert_int_equal(f->questions, 1);
		auth_core_source_changed(f->core, round ? BASE_SLICE("flat") : BASE_SLICE("old"));
		plain(f, BASE_SLICE("\0bert\0bertig"));
		assert_int_equal(f->questions, 2);
		plain(f, BASE_SLICE("\0bert\0falsch"));
		assert_int_equal(f->questions, 3);
		pass(f, 2000);
		base_buf_clear(&f->seen);
	}
}

/* What was asked before the change is not remembered after it. */
static void an_answer_from_before_a_change_is_not_remembered(void **state)
{
	struct auth_said right = {.result = AUTH_SAID_RIGHT};
	struct fixture *f = *state;

	use(f, &checker, 1);
	f->hold = true;
	plain(f, BASE_SLICE("\0bert\0bertig"));
	auth_core_source_changed(f->core, BASE_SLICE("old"));
	auth_core_said(f->core, f->last_process, f->last_question, &right, f->now_ms, WALL_MS);
	pump(f);
	expect(f, "OK\t1\tuser=bert@example.org\n");
	plain(f, BASE_SLICE("\0bert\0bertig"));
	assert_int_equal(f->questions, 2);
}

static void name_with_a_label_is_not_remembered_for_the_name(void **state)
{
	const struct auth_source sources[] = {store, checker};
	struct fixture *f = *state;

	use(f, sources, 2);
	f->says = (struct auth_said){.result = AUTH_SAID_RIGHT};
	plain(f, BASE_SLICE("\0bert/phone\0bertig"));
	expect(f, "OK\t1\tuser=bert/phone@example.org\n");
	f->says = (struct auth_said){.result = AUTH_SAID_REFUSED};
	plain(f, BASE_SLICE("\0bert\0bertig"));
	pass(f, 2000);
	expect(f, "FAIL\t1\tuser=bert@example.org\n");
}

static void a_process_has_one_question_and_a_dead_one_loses_none(void **state)
{
	struct auth_said right = {.result = AUTH_SAID_RIGHT};
	struct fixture *f = *state;
	unsigned first;

	use(f, &checker, 1);
	f->hold = true;
	plain(f, BASE_SLICE("\0bert\0one"));
	first = f->last_process;
	say(f, "AUTH\t2\tPLAIN\tservice=smtp\tresp=AGJlcnQAdHdv\n");
	say(f, "AUTH\t3\tPLAIN\tservice=smtp\tresp=AGJlcnQAdGhyZWU=\n");
	assert_int_equal(f->questions, 2);
	auth_core_said(f->core, f->last_process, f->last_question, &right, f->now_ms, WALL_MS);
	pump(f);
	expect(f, "OK\t2\tuser=bert@example.org\n");
	assert_int_equal(f->questions, 3); /* the third */
	auth_core_provider_down(f->core, first, f->now_ms, WALL_MS);
	pump(f);
	assert_int_equal(f->questions, 3); /* the other process is busy */
	auth_core_provider_up(f->core, first, f->now_ms);
	pump(f);
	assert_int_equal(f->questions, 4);
	assert_int_equal(f->last_process, first);
	/* A second death is the end: nobody knows. */
	auth_core_provider_down(f->core, first, f->now_ms, WALL_MS);
	pump(f);
	expect(f, "FAIL\t1\tuser=bert@example.org\tcode=temp_fail\ttemp\n");
	assert_string_equal(f->reason, "its process died");
}

static void questions_have_their_time(void **state)
{
	struct auth_said right = {.result = AUTH_SAID_RIGHT};
	struct fixture *f = *state;

	use(f, &pam, 1);
	f->hold = true;
	plain(f, BASE_SLICE("\0bert\0one"));
	say(f, "AUTH\t2\tPLAIN\tservice=smtp\tresp=AGJlcnQAdHdv\n");
	assert_int_equal(auth_core_wake(f->core), f->now_ms + AUTH_WORKER_WAIT_MS);
	pass(f, AUTH_WORKER_WAIT_MS);
	expect(f,
		"FAIL\t1\tuser=bert@example.org\tcode=temp_fail\ttemp\n"
		"FAIL\t2\tuser=bert@example.org\tcode=temp_fail\ttemp\n");
	/* It still is busy with the first, and then free. */
	say(f, "AUTH\t3\tPLAIN\tservice=smtp\tresp=AGJlcnQAdGhyZWU=\n");
	assert_int_equal(f->questions, 1);
	auth_core_said(f->core, f->last_process, f->last_question, &right, f->now_ms, WALL_MS);
	pump(f);
	assert_int_equal(f->questions, 2);
	/* Without any process, patience is short. */
	auth_core_provider_down(f->core, 3, f->now_ms, WALL_MS);
	pump(f);
	assert_int_equal(auth_core_wake(f->core), f->now_ms + AUTH_DOWN_WAIT_MS);
	pass(f, AUTH_DOWN_WAIT_MS);
	expect(f, "FAIL\t3\tuser=bert@example.org\tcode=temp_fail\ttemp\n");
	say(f, "AUTH\t4\tPLAIN\tservice=smtp\tresp=AGJlcnQAdGhyZWU=\n");
	assert_int_equal(auth_core_wake(f->core), f->now_ms + AUTH_DOWN_WAIT_MS);
	/* One that is asked at last has its whole time. */
	pass(f, AUTH_DOWN_WAIT_MS - 1);
	auth_core_provider_up(f->core, 3, f->now_ms);
	pump(f);
	assert_int_equal(f->questions, 3);
	assert_int_equal(
		auth_core_wake(f->core), f->now_ms + AUTH_WORKER_WAIT_MS - (AUTH_DOWN_WAIT_MS - 1));
}

static void a_new_configuration_keeps_questions(void **state)
{
	struct auth_said right = {.result = AUTH_SAID_RIGHT};
	const struct auth_source sources[] = {flat, checker};
	struct auth_source moved = checker;
	struct fixture *f = *state;
	uint32_t question;
	unsigned process;

	use(f, sources, 2);
	f->says = (struct auth_said){.result = AUTH_SAID_UNKNOWN};
	plain(f, BASE_SLICE("\0bert\0bertig"));
	pass(f, 2000);
	base_buf_clear(&f->seen);
	use(f, &checker, 1);
	f->hold = true;
	plain(f, BASE_SLICE("\0bert\0bertig"));
	process = f->last_process;
	question = f->last_question;
	moved.first = 0;
	use(f, (const struct auth_source[]){store, moved}, 2);
	pump(f);
	auth_core_said(f->core, process, question, &right, f->now_ms, WALL_MS);
	pump(f);
	expect(f, "OK\t1\tuser=bert@example.org\n");
	/* One that waits goes on waiting, in its source's new place. */
	f->questions = 0;
	plain(f, BASE_SLICE("\0bert\0one"));
	say(f, "AUTH\t2\tPLAIN\tservice=smtp\tresp=AGJlcnQAdHdv\n");
	say(f, "AUTH\t3\tPLAIN\tservice=smtp\tresp=AGJlcnQAdGhyZWU=\n");
	assert_int_equal(f->questions, 2);
	use(f, (const struct auth_source[]){flat, checker, store}, 3);
	pump(f);
	assert_int_equal(f->questions, 3); /* of its processes, one is another than before */
	f->hold = false;
	f->says = right;
	auth_core_provider_down(f->core, 0, f->now_ms, WALL_MS);
	auth_core_provider_down(f->core, 1, f->now_ms, WALL_MS);
	auth_core_provider_up(f->core, 0, f->now_ms);
	auth_core_provider_up(f->core, 1, f->now_ms);
	auth_core_provider_down(f->core, 2, f->now_ms, WALL_MS);
	auth_core_provider_up(f->core, 2, f->now_ms);
	pump(f);
	assert_int_equal(auth_core_status(f->core).ok, 4);
	base_buf_clear(&f->seen);
	f->hold = true;
	/* Its section is gone: nobody can tell. */
	plain(f, BASE_SLICE("\0bert\0falsch"));
	use(f, &flat, 1);
	auth_core_said(f->core, f->last_process, f->last_question, &right, f->now_ms, WALL_MS);
	pump(f);
	expect(f, "FAIL\t1\tuser=bert@example.org\tcode=temp_fail\ttemp\n");
}

static void the_next_source_is_that_of_the_new_configuration(void **state)
{
	struct auth_said refused = {.result = AUTH_SAID_REFUSED};
	struct fixture *f = *state;

	use(f, (const struct auth_source[]){pam, flat}, 2);
	f->hold = true;
	plain(f, BASE_SLICE("\0bert\0bertig"));
	assert_string_equal(f->last_source, "pam");
	use(f, (const struct auth_source[]){store, pam, checker}, 3);
	auth_core_said(f->core, f->last_process, f->last_question, &refused, f->now_ms, WALL_MS);
	pump(f);
	assert_string_equal(f->last_source, "old");
}

/* Unknown or known by its clear password: one name, one salt. */
static void salts_of_files_do_not_tell_who_exists(void **state)
{
	static const char *const names[] = {
		"bert", "BERT@Example.org", "bert/x", "bert@example.org/x"};
	const struct auth_source chains[][2] = {{flat}, {store, flat}, {flat, store}};
	struct fixture *f = *state;
	struct sasl_scram_keys keys;
	struct base_buf stored;
	char known[64], unknown[64];

	base_buf_init_secret(&stored, 1024);
	for (size_t i = 0; i < BASE_COUNT(names) * BASE_COUNT(chains); i++) {
		const char *name = names[i % BASE_COUNT(names)];

		use(f, chains[i / BASE_COUNT(names)], i < BASE_COUNT(names) ? 1 : 2);
		f->says = (struct auth_said){.result = AUTH_SAID_UNKNOWN};
		salt_of(f, name, unknown);
		assert_int_equal(f->last_ask, AUTH_ASK_SCRAM);
		assert_true(sasl_scram_derive(BASE_HASH_SHA256, BASE_SLICE("bertig"),
			base_slice_make(f->salt, sizeof(f->salt)), SASL_SCRAM_ITERATIONS, &keys));
		base_buf_clear(&stored);
		vault_stored_scram_put(BASE_HASH_SHA256, &keys, &stored);
		f->says = (struct auth_said){
			.result = AUTH_SAID_FOUND, .stored = base_buf_slice(&stored)};
		salt_of(f, name, known);
		if (strcmp(known, unknown) != 0)
			fail_msg("%s in chain %zu", name, i / BASE_COUNT(names));
	}
	base_buf_release(&stored);
}

static void scram_by_a_file(void **state)
{
	static const uint8_t salt[SASL_SCRAM_SALT_BYTES] = "0123456789abcde";
	const struct auth_source sources[] = {store, pam, flat};
	struct fixture *f = *state;
	struct sasl_scram_keys keys;
	struct base_buf stored;

	base_buf_init_secret(&stored, 1024);
	assert_true(sasl_scram_derive(BASE_HASH_SHA256, BASE_SLICE("bertig"),
		base_slice_make(salt, sizeof(salt)), SASL_SCRAM_ITERATIONS, &keys));
	vault_stored_scram_put(BASE_HASH_SHA256, &keys, &stored);
	use(f, sources + 1, 2);
	f->says = (struct auth_said){.result = AUTH_SAID_FOUND, .stored = base_buf_slice(&stored)};
	run_scram(
		f, &(struct scram_run){"bertig", SASL_MECHANISM_SCRAM_SHA_256, false, false, NULL});
	assert_int_equal(strncmp(base_buf_text(&f->seen), "CONT\t1\tdj", 9), 0);
	base_buf_clear(&f->seen);
	say(f, "CONT\t1\t\n");
	expect(f, "OK\t1\tuser=anna@example.org\n");
	assert_string_equal(f->last_source, "flat");
	run_scram(
		f, &(struct scram_run){"falsch", SASL_MECHANISM_SCRAM_SHA_256, false, false, NULL});
	pass(f, 500);
	expect(f, "FAIL\t1\tuser=anna@example.org\n");
	base_buf_release(&stored);
}

/* A flood of one client leaves every second turn to another. */
static void clients_take_turns(void **state)
{
	static const char other[] = "AUTH\t900\tPLAIN\tservice=smtp\trip=198.51.100.1\tresp="
				    "AGFubmEAb3RoZXI=\n";
	struct fixture *f = *state;
	char line[128];
	unsigned turns = 0;

	f->auto_verify = false;
	for (unsigned i = 0; i < 100; i++) {
		snprintf(line, sizeof(line),
			"AUTH\t%u\tPLAIN\tservice=smtp\trip=192.0.2.7\tresp=AGFubmEAZmFsc2No\n",
			i + 1);
		say(f, line);
	}
	assert_int_equal(f->verifies, AUTH_WORKER_DEPTH);
	say(f, other);
	while (strcmp(f->last_password, "other") != 0 && turns < 100) {
		auth_core_verified(
			f->core, 0, f->last_task, VAULT_VERIFY_WRONG, false, f->now_ms, WALL_MS);
		pump(f);
		turns++;
	}
	assert_in_range(turns, 1, 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define BARE(f) cmocka_unit_test_teardown(f, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BARE(list_for_old_clients_has_no_plus),
		BARE(list_for_new_clients_has_plus),
		BARE(list_comes_without_version_after_200_ms),
		TEST(right_password),
		TEST(cache_spares_the_worker_until_the_user_changes),
		TEST(wrong_and_unknown_are_alike),
		TEST(salts_do_not_tell_who_exists),
		TEST(slow_verification_stays_on_the_grid),
		TEST(disabled_expired_and_foreign_identities_fail_after_proof),
		TEST(mechanisms_of_a_user_are_enforced),
		TEST(upgrade_keeps_what_is_missing),
		TEST(app_password),
		TEST(store_down_is_temporary),
		TEST(no_worker_is_temporary_after_a_while),
		TEST(waiting_request_is_taken_up_by_a_new_worker),
		TEST(dead_workers_task_is_given_out_once_more),
		TEST(changed_password_is_checked_anew),
		TEST(test_for_a_command),
		TEST(what_is_bad_fails_one_request),
		TEST(too_many_open_requests_drop_the_oldest),
		TEST(a_master_or_garbage_is_closed),
		TEST(cancel_and_closing_forget),
		TEST(scram_with_the_final_message_in_ok),
		TEST(scram_with_the_final_message_as_a_challenge),
		TEST(scram_plus_asks_for_the_binding),
		TEST(scram_wrong_password_waits_for_the_grid),
		BARE(a_clients_mechanisms_are_refused),
		TEST(cram_md5_uses_the_secret),
		TEST(loopback_is_never_slow_and_others_get_slower),
		TEST(another_source_is_asked_for_those_the_store_does_not_know),
		TEST(unknown_while_a_source_is_down_is_temporary),
		TEST(a_source_answers_for_its_domains),
		TEST(without_the_store_only_passwords_are_offered),
		TEST(what_a_provider_says_decides),
		TEST(a_source_speaks_for_its_domains_only),
		TEST(a_new_process_of_a_file_empties_the_cache),
		TEST(a_file_that_knows_the_user_ends_the_search),
		TEST(successes_are_remembered_until_the_source_changes),
		TEST(an_answer_from_before_a_change_is_not_remembered),
		TEST(name_with_a_label_is_not_remembered_for_the_name),
		TEST(a_process_has_one_question_and_a_dead_one_loses_none),
		TEST(questions_have_their_time),
		TEST(a_new_configuration_keeps_questions),
		TEST(the_next_source_is_that_of_the_new_configuration),
		TEST(salts_of_files_do_not_tell_who_exists),
		TEST(scram_by_a_file),
		TEST(clients_take_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
