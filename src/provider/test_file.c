/* A file of users that is replaced, rewritten, broken and mended under us; and what each question
 * gets. */
#include "provider/test_support.h"

#include "vault/file.h"
#include "vault/stored.h"

#include <sys/time.h>

static struct provider_source *open_users(const char *text)
{
	const char *path = support_write("users", text, 0600);

	return provider_file.open(&(struct provider_options){
		.title = "flat", .path = path, .format = VAULT_FILE_PASSWD, .default_domain = ""});
}

/* Written long ago, so that nothing but a change makes it be read again. */
static void make_old(const char *name)
{
	struct timeval times[2] = {{1000000000, 0}, {1000000000, 0}};

	assert_int_equal(utimes(support_path(name), times), 0);
}

static void questions(void **state)
{
	static const char apop[] = "<1896.697170952@dbc.mtview.ca.us>";
	struct provider_source *s = open_users(
		"anna:{PLAIN}geheim\n"
		"bert:{SHA256}Kzx7UQbPBVzV8Q3MY2yVpVnUt6EoWgmMZPLT8Ns4WyA=\n"
		"cora:*\n");
	struct provider_answer a;

	provider_answer_init(&a);
	assert_int_equal(support_ask(s, IPC_ASK_LOOKUP, "anna", "", "", &a), IPC_ASKED_FOUND);
	assert_slice_equal(base_buf_slice(&a.stored), "{PLAIN}geheim");
	assert_int_equal(
		support_ask(s, IPC_ASK_PASSWORD, "anna", "geheim", "", &a), IPC_ASKED_RIGHT);
	assert_int_equal(a.stored.len, 0);
	assert_int_equal(
		support_ask(s, IPC_ASK_PASSWORD, "anna", "Geheim", "", &a), IPC_ASKED_REFUSED);
	assert_int_equal(
		support_ask(s, IPC_ASK_PASSWORD, "nobody", "geheim", "", &a), IPC_ASKED_UNKNOWN);
	assert_int_equal(support_ask(s, IPC_ASK_LOOKUP, "nobody", "", "", &a), IPC_ASKED_UNKNOWN);
	assert_int_equal(support_ask(s, IPC_ASK_CRAM, "anna", "", "<1@x>", &a), IPC_ASKED_FOUND);
	assert_slice_equal(base_buf_slice(&a.stored), "{PLAIN}geheim");
	assert_int_equal(support_ask(s, IPC_ASK_APOP, "anna", "", apop, &a), IPC_ASKED_FOUND);
	assert_int_equal(support_ask(s, IPC_ASK_CRAM, "bert", "", "<1@x>", &a), IPC_ASKED_UNKNOWN);
	assert_int_equal(
		support_ask(s, IPC_ASK_CRAM, "nobody", "", "<1@x>", &a), IPC_ASKED_UNKNOWN);
	assert_int_equal(support_ask(s, IPC_ASK_LOOKUP, "bert", "", "", &a), IPC_ASKED_FOUND);
	assert_int_equal(support_ask(s, IPC_ASK_LOOKUP, "cora", "", "", &a), IPC_ASKED_REFUSED);
	assert_int_equal(a.stored.len, 0);
	assert_non_null(strstr(base_buf_text(&a.reason), "line 3"));
	provider_answer_release(&a);
	s->type->close(s);
}

static void keys_for_scram(void **state)
{
	static const char salt[] = "0123456789abcdef";
	struct sasl_scram_keys expected, got;
	struct provider_source *s;
	struct provider_answer a;
	struct base_buf line;

	assert_true(sasl_scram_derive(BASE_HASH_SHA256, BASE_SLICE("geheim"), BASE_SLICE(salt),
		SASL_SCRAM_ITERATIONS, &expected));
	base_buf_init(&line, 1024);
	base_buf_append_text(&line, "anna:{PLAIN}geheim\nkeys:");
	vault_stored_scram_put(BASE_HASH_SHA256, &expected, &line);
	base_buf_append_text(&line, "\nhash:{SHA}x\n");
	s = open_users(base_buf_text(&line));
	provider_answer_init(&a);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(support_ask(s, IPC_ASK_SCRAM, i ? "anna" : "keys",
					 i ? salt : "another salt", "", &a),
			IPC_ASKED_FOUND);
		assert_true(vault_stored_scram(base_buf_slice(&a.stored), BASE_HASH_SHA256, &got));
		assert_int_equal(got.iterations, SASL_SCRAM_ITERATIONS);
		assert_memory_equal(got.stored_key, expected.stored_key, 32);
		assert_memory_equal(got.server_key, expected.server_key, 32);
		assert_memory_equal(got.salt, salt, 16);
	}
	assert_int_not_equal(support_ask(s, IPC_ASK_SCRAM, "hash", salt, "", &a), IPC_ASKED_FOUND);
	assert_int_equal(support_ask(s, IPC_ASK_SCRAM, "nobody", salt, "", &a), IPC_ASKED_UNKNOWN);
	assert_int_equal(support_ask(s, IPC_ASK_SCRAM, "anna", "", "", &a), IPC_ASKED_UNKNOWN);
	provider_answer_release(&a);
	base_buf_release(&line);
	s->type->close(s);
}

static void follows_the_file(void **state)
{
	struct provider_source *s = open_users("anna:{PLAIN}one\n");
	struct provider_answer a;

	provider_answer_init(&a);
	make_old("users");
	assert_false(s->type->changed(s));
	assert_int_equal(support_ask(s, IPC_ASK_PASSWORD, "anna", "one", "", &a), IPC_ASKED_RIGHT);
	/* By rename. */
	support_write("new", "anna:{PLAIN}two\n", 0600);
	assert_int_equal(rename(support_path("new"), support_path("users")), 0);
	assert_int_equal(support_ask(s, IPC_ASK_PASSWORD, "anna", "two", "", &a), IPC_ASKED_RIGHT);
	assert_true(s->type->changed(s));
	assert_false(s->type->changed(s));
	/* In place, same size, perhaps within one tick of the clock. */
	support_write("users", "anna:{PLAIN}tri\n", 0600);
	assert_int_equal(support_ask(s, IPC_ASK_PASSWORD, "anna", "tri", "", &a), IPC_ASKED_RIGHT);
	assert_int_equal(
		support_ask(s, IPC_ASK_PASSWORD, "anna", "two", "", &a), IPC_ASKED_REFUSED);
	assert_true(s->type->changed(s));
	/* Touched is not changed. */
	make_old("users");
	assert_false(s->type->changed(s));
	/* Gone, no file, and there again. */
	assert_int_equal(unlink(support_path("users")), 0);
	assert_true(s->type->changed(s));
	assert_int_equal(support_ask(s, IPC_ASK_PASSWORD, "anna", "tri", "", &a), IPC_ASKED_CANNOT);
	assert_non_null(strstr(base_buf_text(&a.reason), "No such file"));
	assert_int_equal(mkdir(support_path("users"), 0700), 0);
	assert_int_equal(support_ask(s, IPC_ASK_LOOKUP, "anna", "", "", &a), IPC_ASKED_CANNOT);
	assert_int_equal(rmdir(support_path("users")), 0);
	assert_false(s->type->changed(s));
	support_write("users", "anna:{PLAIN}tri\n", 0600);
	assert_true(s->type->changed(s));
	assert_int_equal(support_ask(s, IPC_ASK_PASSWORD, "anna", "tri", "", &a), IPC_ASKED_RIGHT);
	provider_answer_release(&a);
	s->type->close(s);
}

static void a_broken_database_cannot_answer(void **state)
{
	const char *path = support_write("vpasswd.cdb", "this is no cdb", 0600);
	struct provider_source *s = provider_file.open(&(struct provider_options){.title = "flat",
		.path = path,
		.format = VAULT_FILE_VPASSWD,
		.default_domain = "example.org"});
	struct provider_answer a;

	provider_answer_init(&a);
	assert_int_equal(support_ask(s, IPC_ASK_PASSWORD, "anna@example.org", "x", "", &a),
		IPC_ASKED_CANNOT);
	assert_int_equal(support_ask(s, IPC_ASK_SCRAM, "anna@example.org", "salt", "", &a),
		IPC_ASKED_CANNOT);
	provider_answer_release(&a);
	s->type->close(s);
}

/* A file of users without domains cannot make an address of what a client writes behind its '@'. */
static void no_domain_is_taken_on_trust(void **state)
{
	static const struct {
		const char *default_domain;
		bool has_domains;
		const char *name, *says; /* null: unknown */
	} rows[] = {
		{"", false, "anna", "anna"},
		{"", false, "anna@bank.example", "anna"},
		{"", false, "anna%bank.example", "anna"},
		{"", true, "anna@bank.example",
			"anna@bank.example"}, /* auth asks for its domains */
		{"example.org", false, "anna", "anna@example.org"},
		{"example.org", false, "anna%bank.example", NULL},
		{"", true, "anna@bank.example@example.org", NULL},
		{"", true, "anna%bank.example%example.org", NULL},
	};
	const char *path = support_write("vpasswd", "anna:{PLAIN}x:1:0:A:/d:NOQUOTA\n", 0600);
	struct provider_answer a;

	provider_answer_init(&a);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct provider_source *s = provider_file.open(
			&(struct provider_options){.title = "flat",
				.path = path,
				.format = VAULT_FILE_VPASSWD,
				.default_domain = rows[i].default_domain,
				.has_domains = rows[i].has_domains});

		if (support_ask(s, IPC_ASK_LOOKUP, rows[i].name, "", "", &a) !=
				(rows[i].says ? IPC_ASKED_FOUND : IPC_ASKED_UNKNOWN) ||
			(rows[i].says &&
				!base_slice_equal_text(base_buf_slice(&a.name), rows[i].says)))
			fail_msg("row %zu: %d %s", i, a.result, base_buf_text(&a.name));
		s->type->close(s);
	}
	provider_answer_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(questions),
		cmocka_unit_test(keys_for_scram),
		cmocka_unit_test(follows_the_file),
		cmocka_unit_test(a_broken_database_cannot_answer),
		cmocka_unit_test(no_domain_is_taken_on_trust),
	};

	return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
