/* Files of users, row by row: what is asked, and what comes out. Each file is read from a copy that ends
 * where the file ends. */
#include "base/test_support.h"

#include "base/test_cdb.h"
#include "vault/file.h"
#include "vault/stored.h"
#include "vault/verify.h"

#include <stdio.h>

#define K VAULT_FILE_KNOWN
#define U VAULT_FILE_UNKNOWN
#define R VAULT_FILE_REFUSED
#define B VAULT_FILE_BROKEN

struct row {
	enum vault_file_format format;
	const char *file, *default_domain, *name;
	enum vault_file_result expected;
	const char *stored; /* KNOWN: the form; else words of the reason */
	const char *out_name;
	unsigned line;
};

#define APR1 "$apr1$nW3ASWnr$EwgIRt7HyqXfZrFl0s54f0"
#define MD5 "$1$saltsalt$roN2lUfEbZqZad1NpG.Zy1"

static const struct row rows[] = {
	/* passwd */
	{VAULT_FILE_PASSWD, "anna:" MD5 ":x\n", "", "anna", K, MD5, "", 1},
	{VAULT_FILE_PASSWD, "# c\n\nanna:{PLAIN}s:x\r\n", "", "ANNA", K, "{PLAIN}s", "", 3},
	{VAULT_FILE_PASSWD, "anna:{PLAIN}s\r\n", "", "anna", K, "{PLAIN}s", "", 1},
	{VAULT_FILE_PASSWD, "anna:{PLAIN}s", "", "anna", K, "{PLAIN}s", "", 1},
	{VAULT_FILE_PASSWD, "anna:{PLAIN}1\nanna:{PLAIN}2\n", "", "anna", K, "{PLAIN}1", "", 1},
	{VAULT_FILE_PASSWD, "anna:{PLAIN}1\n", "", "anne", U, "", "", 0},
	{VAULT_FILE_PASSWD, "anna:{PLAIN}1\n", "", "ann", U, "", "", 0},
	{VAULT_FILE_PASSWD, "anna:{PLAIN}1\n", "", "#", U, "", "", 0},
	{VAULT_FILE_PASSWD, "anna:secret\n", "", "anna", R, "clear text needs {PLAIN}", "", 1},
	{VAULT_FILE_PASSWD, "anna:$ecret\n", "", "anna", R, "clear text needs", "", 1},
	{VAULT_FILE_PASSWD, "anna:$1$short\n", "", "anna", B, "damaged", "", 1},
	{VAULT_FILE_PASSWD, "anna:\n", "", "anna", R, "no password", "", 1},
	{VAULT_FILE_PASSWD, "anna\n", "", "anna", B, "no ':'", "", 1},
	{VAULT_FILE_PASSWD, "anna:*:1\n", "", "anna", R, "locked", "", 1},
	{VAULT_FILE_PASSWD, "anna:!" MD5 ":1\n", "", "anna", R, "locked", "", 1},
	{VAULT_FILE_PASSWD, "anna:x:1\n", "", "anna", R, "locked", "", 1},
	{VAULT_FILE_PASSWD, "anna:{CRYPT}*\n", "", "anna", R, "locked", "", 1},
	{VAULT_FILE_PASSWD, "anna:{CRYPT}secret\n", "", "anna", B, "damaged", "", 1},
	{VAULT_FILE_PASSWD, "anna:{NTLM}1234\n", "", "anna", B, "not known", "", 1},
	{VAULT_FILE_PASSWD, "anna:{PLAIN}\n", "", "anna", R, "no password", "", 1},
	{VAULT_FILE_PASSWD, "anna:{SHA}AAAA\n", "", "anna", B, "damaged", "", 1},
	{VAULT_FILE_PASSWD, "anna:{SCRAM-SHA-1}1,2\n", "", "anna", B, "damaged", "", 1},
	{VAULT_FILE_PASSWD, "anna:{PLAIN}1::::::nologin\n", "", "anna", R, "nologin", "", 1},
	{VAULT_FILE_PASSWD, "anna:{PLAIN}1::::::a=b nologin=y\n", "", "anna", R, "nologin", "", 1},
	{VAULT_FILE_PASSWD, "anna:{PLAIN}1::::::allow_nets=::1\n", "", "anna", R, "allow_nets", "",
		1},
	{VAULT_FILE_PASSWD, "anna:{PLAIN}1:0:0:nologin:/h:/bin/nologin:userdb_a=b\n", "", "anna", K,
		"{PLAIN}1", "", 1},
	/* default domain, both ways */
	{VAULT_FILE_PASSWD, "anna:{PLAIN}1\n", "example.org", "anna@Example.ORG", K, "{PLAIN}1", "",
		1},
	{VAULT_FILE_PASSWD, "anna@example.org:{PLAIN}1\n", "example.org", "anna", K, "{PLAIN}1", "",
		1},
	{VAULT_FILE_PASSWD, "anna@example.org:{PLAIN}1\n", "", "anna", U, "", "", 0},
	{VAULT_FILE_PASSWD, "anna:{PLAIN}1\n", "", "anna@example.org", U, "", "", 0},
	{VAULT_FILE_PASSWD, "anna:{PLAIN}1\n", "example.org", "anna@other.org", U, "", "", 0},
	{VAULT_FILE_PASSWD, "anna@other.org:{PLAIN}1\n", "example.org", "anna", U, "", "", 0},
	{VAULT_FILE_PASSWD, "anna@:{PLAIN}1\n", "", "anna", U, "", "", 0},
	/* htpasswd */
	{VAULT_FILE_HTPASSWD, "anna:" APR1 "\n", "", "anna", K, APR1, "", 1},
	{VAULT_FILE_HTPASSWD, "anna:x2X9BKMMohHH\n", "", "anna", R, "no hash", "", 1},
	{VAULT_FILE_HTPASSWD, "anna:x2X9BKMMohHHA\nx:ab/TdqTfG5VbQ\n", "", "x", K, "ab/TdqTfG5VbQ",
		"", 2},
	{VAULT_FILE_HTPASSWD, "anna:{SHA}0vxRJJChUDZGC1SJQBQ51tpUB/o=\n", "", "anna", K,
		"{SHA}0vxRJJChUDZGC1SJQBQ51tpUB/o=", "", 1},
	{VAULT_FILE_HTPASSWD, "anna:secret\n", "", "anna", R, "clear text", "", 1},
	{VAULT_FILE_HTPASSWD, "anna:{PLAIN}secret\n", "", "anna", R, "clear text", "", 1},
	/* authuser */
	{VAULT_FILE_AUTHUSER, "# x\nanna:s e:c\n", "", "anna", K, "{PLAIN}s e:c", "", 2},
	{VAULT_FILE_AUTHUSER, "anna:{SHA}x\n", "", "anna", K, "{PLAIN}{SHA}x", "", 1},
	{VAULT_FILE_AUTHUSER, "anna:1\nAnna:2\n", "", "Anna", K, "{PLAIN}2", "", 2},
	{VAULT_FILE_AUTHUSER, "anna:1\n", "", "ANNA", U, "", "", 0},
	{VAULT_FILE_AUTHUSER, "anna@Example.org:1\n", "", "anna@eXample.org", K, "{PLAIN}1", "", 1},
	{VAULT_FILE_AUTHUSER, "anna:\n", "", "anna", R, "no password", "", 1},
	{VAULT_FILE_AUTHUSER, "anna\n", "", "anna", B, "no ':'", "", 1},
	{VAULT_FILE_AUTHUSER, "\n\nanna:1\n", "", "anna", K, "{PLAIN}1", "", 3},
	{VAULT_FILE_AUTHUSER, "anna:%a8f6830bce790a8a67fc2e84e12093ba\n", "", "anna", K,
		"{PLAIN-MD5}a8f6830bce790a8a67fc2e84e12093ba", "", 1},
	{VAULT_FILE_AUTHUSER, "anna:%d2fc512490a15036460b5489401439d6da5407fa\n", "", "anna", K,
		"{SHA1}d2fc512490a15036460b5489401439d6da5407fa", "", 1},
	{VAULT_FILE_AUTHUSER,
		"anna:%13809668fb436386706f67dcb052ed584a04ba16a8c02a17d66d34c30fceda21\n", "",
		"anna", K,
		"{SHA256}13809668fb436386706f67dcb052ed584a04ba16a8c02a17d66d34c30fceda21", "", 1},
	{VAULT_FILE_AUTHUSER, "anna:%a8\n", "", "anna", K, "{PLAIN}%a8", "", 1},
	{VAULT_FILE_AUTHUSER, "anna:?\n", "", "anna", R, "not supported", "", 1},
	{VAULT_FILE_AUTHUSER, "anna:!\n", "", "anna", R, "not supported", "", 1},
	{VAULT_FILE_AUTHUSER, "anna:+\n", "", "anna", R, "not supported", "", 1},
	{VAULT_FILE_AUTHUSER, "anna:&\n", "", "anna", R, "not supported", "", 1},
	{VAULT_FILE_AUTHUSER, "@e.org:+\n", "", "anna@e.org", R, "not supported", "", 1},
	{VAULT_FILE_AUTHUSER, "anna:+plus\n", "", "anna", K, "{PLAIN}+plus", "", 1},
	{VAULT_FILE_AUTHUSER, "*:3\n@:2\n@e.org:1\nanna@e.org:0\n", "", "anna@e.org", K, "{PLAIN}0",
		"", 4},
	{VAULT_FILE_AUTHUSER, "*:3\n@:2\n@e.org:1\nanna@e.org:0\n", "", "bob@E.ORG", K, "{PLAIN}1",
		"", 3},
	{VAULT_FILE_AUTHUSER, "*:3\n@:2\n@e.org:1\n", "", "bob@f.org", K, "{PLAIN}2", "", 2},
	{VAULT_FILE_AUTHUSER, "*:3\n@e.org:1\n", "", "bob", K, "{PLAIN}3", "", 1},
	{VAULT_FILE_AUTHUSER, "*:3\n@e.org:1\n", "e.org", "bob", K, "{PLAIN}1", "", 2},
	{VAULT_FILE_AUTHUSER, "anna:1\n!anna\n", "", "anna", R, "disables", "", 2},
	{VAULT_FILE_AUTHUSER, "anna:1\n!anna:x\n", "", "anna", R, "disables", "", 2},
	{VAULT_FILE_AUTHUSER, "*:1\n!anna\n", "", "ANNA", R, "disables", "", 2},
	{VAULT_FILE_AUTHUSER, "@e.org:1\n!Anna@e.org\n", "", "anna@E.org", R, "disables", "", 2},
	{VAULT_FILE_AUTHUSER, "*:1\n!anna\n", "", "bob", K, "{PLAIN}1", "", 1},
	{VAULT_FILE_AUTHUSER, "a@e.org:1\n!@e.org\n", "", "a@E.org", R, "disables", "", 2},
	{VAULT_FILE_AUTHUSER, "a@e.org:1\n!@e.org\n", "", "a@f.org", U, "", "", 0},
	{VAULT_FILE_AUTHUSER, "!!!!!anna\nanna:1\n", "", "anna", K, "{PLAIN}1", "", 2},
	{VAULT_FILE_AUTHUSER, "@e.org:1\n!x:1\n*:1\n", "", "@e.org", U, "", "", 0},
	{VAULT_FILE_AUTHUSER, "@e.org:1\n!x:1\n*:1\n", "", "!x", U, "", "", 0},
	{VAULT_FILE_AUTHUSER, "@e.org:1\n!x:1\n*:1\n", "", "*", U, "", "", 0},
	/* vpasswd */
	{VAULT_FILE_VPASSWD, "anna:" MD5 ":1:0:A:/d:NOQUOTA\n", "", "Anna", K, MD5, "anna", 1},
	{VAULT_FILE_VPASSWD, "anna:" MD5 ":1:0:A:/d:NOQUOTA\n", "", "Anna@E.org", K, MD5,
		"anna@e.org", 1},
	{VAULT_FILE_VPASSWD, "anna:" MD5 ":1:0:A:/d:NOQUOTA\n", "", "anna%e.org", K, MD5,
		"anna@e.org", 1},
	{VAULT_FILE_VPASSWD, "anna:" MD5 ":1:0:A:/d:NOQUOTA\n", "", "anna/e.org", K, MD5,
		"anna@e.org", 1},
	{VAULT_FILE_VPASSWD, "anna:" MD5 ":1:0:A:/d:NOQUOTA\n", "e.org", "anna", K, MD5,
		"anna@e.org", 1},
	{VAULT_FILE_VPASSWD, "anna:" MD5 ":1:0:A:/d:NOQUOTA\n", "e.org", "anna@", K, MD5,
		"anna@e.org", 1},
	{VAULT_FILE_VPASSWD, "anna:" MD5 ":1:0:A:/d:NOQUOTA\n", "e.org", "anna@f.org", U, "", "*",
		0},
	{VAULT_FILE_VPASSWD, "a/b:" MD5 ":1:0:A:/d:NOQUOTA\n", "", "a/b@e.org", K, MD5, "a/b@e.org",
		1},
	{VAULT_FILE_VPASSWD, "#a:" MD5 ":1:0:A:/d:NOQUOTA\n", "", "#a", K, MD5, "#a", 1},
	{VAULT_FILE_VPASSWD, "a b:" MD5 ":1:0:A:/d:NOQUOTA\n", "", "a b", U, "", "*", 0},
	{VAULT_FILE_VPASSWD, "anna:" MD5 ":1:0:A:/d:NOQUOTA:cl:e ar\n", "", "anna", K,
		"{PLAIN}cl:e ar", "anna", 1},
	{VAULT_FILE_VPASSWD, "anna:" MD5 ":1:0:A:/d:NOQUOTA:\n", "", "anna", K, MD5, "anna", 1},
	{VAULT_FILE_VPASSWD, "anna:{MD5-CRYPT}" MD5 ":1:0:A:/d:N\n", "", "anna", K, MD5, "anna", 1},
	{VAULT_FILE_VPASSWD, "anna:{SHA}0vxRJJChUDZGC1SJQBQ51tpUB/o=:1:0:A:/d:N\n", "", "anna", K,
		"{SHA}0vxRJJChUDZGC1SJQBQ51tpUB/o=", "anna", 1},
	{VAULT_FILE_VPASSWD, "anna:clear:1:0:A:/d:N\n", "", "anna", R, "no hash", "anna", 1},
	{VAULT_FILE_VPASSWD, "anna::1:0:A:/d:N:clear\n", "", "anna", R, "no password", "anna", 1},
	{VAULT_FILE_VPASSWD, "anna:*:1:0:A:/d:N:clear\n", "", "anna", R, "locked", "anna", 1},
	{VAULT_FILE_VPASSWD, "anna:" MD5 ":1:2048:A:/d:N:c\n", "", "anna", R, "NO_SMTP", "anna", 1},
	{VAULT_FILE_VPASSWD, "anna:" MD5 ":1:32:A:/d:N:c\n", "", "anna", R, "NO_RELAY", "anna", 1},
	{VAULT_FILE_VPASSWD, "anna:" MD5 ":1:14:A:/d:N\n", "", "anna", K, MD5, "anna", 1},
	{VAULT_FILE_VPASSWD, "anna:" MD5 ":1:x:A:/d:N:c\n", "", "anna", B, "no number", "anna", 1},
	{VAULT_FILE_VPASSWD, "anna:" MD5 ":1:0:A:/d\n", "", "anna", B, "seven fields", "anna", 1},
	{VAULT_FILE_VPASSWD, "anna\n", "", "anna", B, "seven fields", "anna", 1},
	{VAULT_FILE_VPASSWD, "anna:1\n", "", "@e.org", U, "", "*", 0},
};

static void check(const struct row *r, const struct vault_file *f)
{
	struct vault_file_entry e;
	struct base_slice name = exact_copy(base_slice_text(r->name));
	enum vault_file_result result;

	vault_file_entry_init(&e);
	result = vault_file_find(f, name, &e);
	if (result != r->expected)
		fail_msg("%s %s: %d (%s)", r->file, r->name, result, e.reason ? e.reason : "");
	if (result == K) {
		assert_null(e.reason);
		if (!base_slice_equal_text(base_buf_slice(&e.stored), r->stored))
			fail_msg("%s %s: %s", r->file, r->name, base_buf_text(&e.stored));
	} else {
		assert_int_equal(e.stored.len, 0);
		if (result != U && !strstr(e.reason, r->stored))
			fail_msg("%s %s: %s", r->file, r->name, e.reason);
	}
	if (r->out_name[0] != '*' && !base_slice_equal_text(base_buf_slice(&e.name), r->out_name))
		fail_msg("%s %s: name %s", r->file, r->name, base_buf_text(&e.name));
	assert_int_equal(e.line, r->line);
	vault_file_entry_release(&e);
	free_copy(name);
}

static void finds(void **state)
{
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct base_slice file = exact_copy(base_slice_text(rows[i].file));
		struct vault_file f = {.format = rows[i].format,
			.bytes = file,
			.default_domain = base_slice_text(rows[i].default_domain)};

		check(&rows[i], &f);
		free_copy(file);
	}
}

static void names_of_formats(void **state)
{
	for (unsigned i = 0; i < VAULT_FILE_FORMAT_COUNT; i++)
		assert_int_equal(vault_file_format_parse(base_slice_text(
					 vault_file_format_name((enum vault_file_format)i))),
			i);
	assert_int_equal(vault_file_format_parse(BASE_SLICE("Passwd")), VAULT_FILE_FORMAT_COUNT);
	assert_int_equal(vault_file_format_parse(BASE_SLICE_EMPTY), VAULT_FILE_FORMAT_COUNT);
}

/* What a walk gives: one line "result line name stored-or-reason" each. */
static void walk(const struct vault_file *f, struct base_buf *out)
{
	struct vault_file_cursor cursor = {0};
	struct vault_file_entry e;
	enum vault_file_result result;

	vault_file_entry_init(&e);
	while ((result = vault_file_next(f, &cursor, &e)) != U)
		base_buf_printf(out, "%c %u %s %s\n", "KURB"[result], e.line,
			base_buf_text(&e.name), e.reason ? e.reason : base_buf_text(&e.stored));
	assert_int_equal(vault_file_next(f, &cursor, &e), U);
	vault_file_entry_release(&e);
}

static const struct {
	enum vault_file_format format;
	const char *file, *expected;
} walks[] = {
	{VAULT_FILE_PASSWD, "#\nanna:{PLAIN}1\n\nBob:" MD5 ":1:2\nx\n:\na\1:y\n",
		"K 2 anna {PLAIN}1\nK 4 Bob " MD5 "\nB 5 x there is no ':' in the line\n"
		"B 6  the name is empty, too long, not UTF-8 or has a control in it\n"
		"B 7  the name is empty, too long, not UTF-8 or has a control in it\n"},
	{VAULT_FILE_PASSWD, "", ""},
	{VAULT_FILE_PASSWD, "\n\n#", ""},
	{VAULT_FILE_AUTHUSER, "anna:1\n!bob\nbob:2\n@e.org:3\n*:4\ncarl:?\nd@E.org:5\n!@e.org\n",
		"K 1 anna {PLAIN}1\nR 3 bob a line that begins with '!' disables it\n"
		"R 4 @e.org the line stands for everybody or for a whole domain, and is no user\n"
		"R 5 * the line stands for everybody or for a whole domain, and is no user\n"
		"R 6 carl another program or the system's passwd would decide, which is not "
		"supported here\n"
		"R 7 d@E.org a line that begins with '!' disables it\n"},
	{VAULT_FILE_VPASSWD, "anna:" MD5 ":1:0:A:/d:N:cl\nb b:x\n\nbob:" MD5 ":1:32:B:/d:N\n",
		"K 1 anna {PLAIN}cl\nB 2 b b there are bytes in the name that vpopmail forbids\n"
		"R 4 bob NO_RELAY is set in its flags\n"},
	{VAULT_FILE_HTPASSWD, "a:{PLAIN}x\nb:" APR1 "\n",
		"R 1 a the password is clear text, or no hash that is known\nK 2 b " APR1 "\n"},
};

static void steps(void **state)
{
	for (size_t i = 0; i < BASE_COUNT(walks); i++) {
		struct base_slice file = exact_copy(base_slice_text(walks[i].file));
		struct vault_file f = {.format = walks[i].format, .bytes = file};
		struct base_buf out;

		base_buf_init(&out, 65536);
		walk(&f, &out);
		assert_string_equal(base_buf_text(&out), walks[i].expected);
		base_buf_release(&out);
		free_copy(file);
	}
}

/* Databases */

#define V2 "\2\x0a\1\x08\1\0"
#define TAIL \
	"./users/x\0a@b\0c@d\0\0Per Sonal\0-\0-\0-\0-\0" \
	"100\0"

static const struct {
	const char *user;
	struct base_slice data;
	enum vault_file_result expected;
	const char *stored;
} mail_rows[] = {
	{"md5crypt", BASE_SLICE_INIT(V2 MD5 "\0" TAIL "-\0"), K, MD5},
	{"clear", BASE_SLICE_INIT(V2 "$0$se cret\0" TAIL "-\0"), K, "{PLAIN}se cret"},
	{"hex", BASE_SLICE_INIT(V2 "3a8f6830bce790a8a67fc2e84e12093ba\0" TAIL "-\0"), K,
		"{PLAIN-MD5}a8f6830bce790a8a67fc2e84e12093ba"},
	{"des", BASE_SLICE_INIT(V2 "ab/TdqTfG5VbQ\0" TAIL "-\0"), K, "ab/TdqTfG5VbQ"},
	{"disabled", BASE_SLICE_INIT("\2\x08\0\0" MD5 "\0" TAIL "-\0"), R, "disabled"},
	{"noflags", BASE_SLICE_INIT("\2\0" MD5 "\0" TAIL "-\0"), K, MD5},
	{"expired", BASE_SLICE_INIT(V2 MD5 "\0" TAIL "999\0"), R, "expired"},
	{"today", BASE_SLICE_INIT(V2 MD5 "\0" TAIL "1000\0"), K, MD5},
	{"one", BASE_SLICE_INIT("\1" MD5 "\0./x\0\0\0-\0-\0-\0-\0-\0-\0"), K, MD5},
	{"old", BASE_SLICE_INIT(":" MD5 ":./users/x"), K, MD5},
	{"nopass", BASE_SLICE_INIT(V2 "\0" TAIL "-\0"), R, "no password"},
	{"locked", BASE_SLICE_INIT(V2 "*\0" TAIL "-\0"), R, "locked"},
	{"scheme", BASE_SLICE_INIT(V2 "{PLAIN}x\0" TAIL "-\0"), B, "no form"},
	{"cut", BASE_SLICE_INIT(V2 MD5 "\0" TAIL "-"), B, "damaged"},
	{"cut2", BASE_SLICE_INIT(V2 MD5 "\0" TAIL), B, "damaged"},
	{"flag", BASE_SLICE_INIT("\2\x63\1\0" MD5 "\0" TAIL "-\0"), B, "damaged"},
	{"pair", BASE_SLICE_INIT("\2\x08"), B, "damaged"},
	{"more", BASE_SLICE_INIT(V2 MD5 "\0" TAIL "-\0x\0"), B, "damaged"},
	{"value", BASE_SLICE_INIT(V2 MD5 "\0" TAIL "x\0"), B, "damaged"},
	{"version", BASE_SLICE_INIT("\3" MD5), B, "not known"},
	{"colon", BASE_SLICE_INIT(":" MD5), B, "damaged"},
	{"empty", BASE_SLICE_INIT(""), B, "not known"},
};

static void vmailmgr(void **state)
{
	struct test_record records[BASE_COUNT(mail_rows)];
	struct base_buf made;
	struct base_slice file;
	struct vault_file f = {.format = VAULT_FILE_VMAILMGR, .now_ms = 1000999};
	struct vault_file_cursor cursor = {0};
	struct vault_file_entry e;

	for (size_t i = 0; i < BASE_COUNT(mail_rows); i++)
		records[i] = (struct test_record){
			base_slice_text(mail_rows[i].user), mail_rows[i].data};
	test_cdb_make(&made, records, BASE_COUNT(mail_rows));
	f.bytes = file = exact_copy(base_buf_slice(&made));
	for (size_t i = 0; i < BASE_COUNT(mail_rows); i++) {
		struct row r = {VAULT_FILE_VMAILMGR, "cdb", "", mail_rows[i].user,
			mail_rows[i].expected, mail_rows[i].stored, mail_rows[i].user, 0};

		check(&r, &f);
	}
	vault_file_entry_init(&e);
	for (size_t i = 0; i < BASE_COUNT(mail_rows); i++) {
		assert_int_equal(vault_file_next(&f, &cursor, &e), mail_rows[i].expected);
		assert_string_equal(base_buf_text(&e.name), mail_rows[i].user);
	}
	assert_int_equal(vault_file_next(&f, &cursor, &e), U);
	assert_int_equal(vault_file_find(&f, BASE_SLICE("OLD@E.org"), &e), K);
	assert_string_equal(base_buf_text(&e.name), "old@e.org");
	assert_int_equal(vault_file_find(&f, BASE_SLICE("old:E.org"), &e), K);
	assert_string_equal(base_buf_text(&e.name), "old@e.org");
	assert_int_equal(vault_file_find(&f, BASE_SLICE("nobody"), &e), U);
	f.bytes = base_slice_first(file, 2047);
	assert_int_equal(vault_file_find(&f, BASE_SLICE("old"), &e), B);
	cursor = (struct vault_file_cursor){0};
	assert_int_equal(vault_file_next(&f, &cursor, &e), B);
	assert_int_equal(vault_file_next(&f, &cursor, &e), U);
	vault_file_entry_release(&e);
	free_copy(file);
	base_buf_release(&made);
}

static void vpasswd_cdb(void **state)
{
	static const struct test_record records[] = {
		{BASE_SLICE_INIT("anna"), BASE_SLICE_INIT(MD5 ":1:0:A:/d:N")},
		{BASE_SLICE_INIT("bob"), BASE_SLICE_INIT(MD5 ":1:0:A:/d:N:c:l")},
		{BASE_SLICE_INIT("carl"), BASE_SLICE_INIT(MD5 ":1:2048:A:/d:N")},
		{BASE_SLICE_INIT("dora"), BASE_SLICE_INIT("x")},
	};
	static const struct row found[] = {
		{VAULT_FILE_VPASSWD, "cdb", "", "Anna%E.org", K, MD5, "anna@e.org", 0},
		{VAULT_FILE_VPASSWD, "cdb", "", "bob", K, "{PLAIN}c:l", "bob", 0},
		{VAULT_FILE_VPASSWD, "cdb", "", "carl", R, "NO_SMTP", "carl", 0},
		{VAULT_FILE_VPASSWD, "cdb", "", "dora", B, "seven", "dora", 0},
		{VAULT_FILE_VPASSWD, "cdb", "", "emil", U, "", "*", 0},
	};
	struct base_buf made, out;
	struct vault_file f = {.format = VAULT_FILE_VPASSWD, .cdb = true};

	test_cdb_make(&made, records, BASE_COUNT(records));
	f.bytes = base_buf_slice(&made);
	for (size_t i = 0; i < BASE_COUNT(found); i++)
		check(&found[i], &f);
	base_buf_init(&out, 65536);
	walk(&f, &out);
	assert_string_equal(base_buf_text(&out),
		"K 0 anna " MD5 "\nK 0 bob {PLAIN}c:l\nR 0 carl NO_SMTP is set in its flags\n"
		"B 0 dora there are less than seven fields\n");
	base_buf_clear(&out);
	f.bytes = BASE_SLICE("anna:x\n");
	walk(&f, &out);
	assert_string_equal(
		base_buf_text(&out), "B 0  the file is no constant database, or damaged\n");
	base_buf_release(&out);
	base_buf_release(&made);
}

static const struct {
	const char *stored;
	enum vault_stored_kind kind;
} kinds[] = {
	{"", VAULT_STORED_EMPTY},
	{"{PLAIN}", VAULT_STORED_EMPTY},
	{"{SHA}", VAULT_STORED_EMPTY},
	{"{PLAIN}x", VAULT_STORED_CLEAR},
	{"{cleartext}x:y", VAULT_STORED_CLEAR},
	{"secret", VAULT_STORED_BARE},
	{"secretsecret1", VAULT_STORED_HASH}, /* thirteen signs */
	{"secret_secret", VAULT_STORED_BARE},
	{"{", VAULT_STORED_BARE},
	{"{}abc", VAULT_STORED_BARE},
	{"$", VAULT_STORED_BARE},
	{"$9$x", VAULT_STORED_BARE},
	{"_J9..saltUr0DPw0DcsA", VAULT_STORED_HASH},
	{"_J9..saltUr0DPw0Dcs", VAULT_STORED_BARE},
	{MD5, VAULT_STORED_HASH},
	{"$1$roN2lUfEbZqZad1NpG.Zy1", VAULT_STORED_BROKEN},
	{APR1, VAULT_STORED_HASH},
	{"{MD5}" MD5, VAULT_STORED_HASH},
	{"$2y$05$i.jcjxDlZ5K.5ef7aiMZqOZuE.uGuWuQoDlnCMmCeuH5.a2IjfqmW", VAULT_STORED_HASH},
	{"$2y$31$i.jcjxDlZ5K.5ef7aiMZqOZuE.uGuWuQoDlnCMmCeuH5.a2IjfqmW", VAULT_STORED_BROKEN},
	{"$5$saltsalt$AHEKnDWlz30naxZICwx9iP.q/8kkh.5vY4KFHIo4Rn8", VAULT_STORED_HASH},
	{"$5$rounds=9999999999$s$AHEKnDWlz30naxZICwx9iP.q/8kkh.5vY4KFHIo4Rn8", VAULT_STORED_BROKEN},
	{"$y$j9T$abcdefgh$Q/pi/4em3AhK7wvHGCV4vLOJGMV4nSPmHVjMtEZzz/7", VAULT_STORED_HASH},
	{"$y$j9T$abcdefgh$Q/pi", VAULT_STORED_BROKEN},
	{"$sha1$1000$abcdefgh$G7Fhjb9ciNeXKid6nF4dz02Opmay", VAULT_STORED_HASH},
	{"$3$$c001daf1b0072a380269a809bb16d2b4", VAULT_STORED_HASH},
	{"{PBKDF2}$1$salt$4096$4b007901b765489abead49d926f721d065a429c1", VAULT_STORED_HASH},
	{"{PBKDF2}$1$", VAULT_STORED_BROKEN},
	{"$pbkdf2$4096$c2FsdA$SwB5AbdlSJq.rUnZJvch0GWkKcE", VAULT_STORED_HASH},
	{"{SHA1.HEX}5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8", VAULT_STORED_HASH},
	{"{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", VAULT_STORED_BROKEN},
	{"{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9hzYWx0", VAULT_STORED_HASH},
	{"{PLAIN.b64}eA==", VAULT_STORED_SCHEME},
	{"{CRAM-MD5}abc", VAULT_STORED_SCHEME},
	{"{BLF-CRYPT}!", VAULT_STORED_LOCKED},
	{"*", VAULT_STORED_LOCKED},
	{"!!", VAULT_STORED_LOCKED},
	{"x", VAULT_STORED_LOCKED},
#ifdef VAULT_HAVE_ARGON2
	{"{ARGON2ID}$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1b"
	 "MCHGi/4",
		VAULT_STORED_HASH},
	{"$argon2id$v=19$", VAULT_STORED_BROKEN},
#endif
};

static void kinds_of_stored(void **state)
{
	for (size_t i = 0; i < BASE_COUNT(kinds); i++) {
		struct base_slice stored = exact_copy(base_slice_text(kinds[i].stored));
		enum vault_stored_kind kind = vault_stored_kind(stored);

		if (kind != kinds[i].kind)
			fail_msg("%s: %d", kinds[i].stored, kind);
		assert_int_equal(vault_stored_reason(kind) == NULL,
			kind == VAULT_STORED_CLEAR || kind == VAULT_STORED_HASH);
		free_copy(stored);
	}
	assert_int_equal(vault_stored_kind(BASE_SLICE("{PLAIN}a\0b")), VAULT_STORED_BROKEN);
}

/* RFC 7677 section 3 */
static const char SCRAM[] = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,"
			    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
			    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

static void scram(void **state)
{
	struct sasl_scram_keys keys, again;
	struct base_slice stored = exact_copy(base_slice_text(SCRAM));
	struct base_buf out;

	assert_int_equal(vault_stored_kind(stored), VAULT_STORED_HASH);
	assert_int_equal(vault_verify(stored, BASE_SLICE("pencil"), NULL), VAULT_VERIFY_RIGHT);
	assert_true(vault_stored_scram(stored, BASE_HASH_SHA256, &keys));
	assert_false(vault_stored_scram(stored, BASE_HASH_SHA1, &again));
	assert_int_equal(keys.iterations, 4096);
	assert_int_equal(keys.salt_len, 16);
	base_buf_init_secret(&out, 1024);
	vault_stored_scram_put(BASE_HASH_SHA256, &keys, &out);
	assert_string_equal(base_buf_text(&out), SCRAM);
	free_copy(stored);
	/* Without the server's key it verifies and serves no SCRAM. */
	stored = base_slice_first(base_slice_text(SCRAM), sizeof(SCRAM) - 1 - 45);
	assert_int_equal(vault_verify(stored, BASE_SLICE("pencil"), NULL), VAULT_VERIFY_RIGHT);
	assert_false(vault_stored_scram(stored, BASE_HASH_SHA256, &keys));
	base_buf_clear(&out);
	assert_true(sasl_scram_derive(
		BASE_HASH_SHA1, BASE_SLICE("pencil"), BASE_SLICE("saltsalt"), 1000, &keys));
	vault_stored_scram_put(BASE_HASH_SHA1, &keys, &out);
	assert_true(vault_stored_scram(base_buf_slice(&out), BASE_HASH_SHA1, &again));
	assert_memory_equal(again.stored_key, keys.stored_key, 20);
	assert_memory_equal(again.server_key, keys.server_key, 20);
	base_buf_release(&out);
}

static void clear(void **state)
{
	struct base_slice password = BASE_SLICE("untouched");

	assert_false(vault_stored_clear(BASE_SLICE("{PLAIN}"), &password));
	assert_false(vault_stored_clear(BASE_SLICE("secret"), &password));
	assert_false(vault_stored_clear(BASE_SLICE("{SHA}x"), &password));
	assert_slice_equal(password, "untouched");
	assert_true(vault_stored_clear(BASE_SLICE("{plain}{PLAIN}"), &password));
	assert_slice_equal(password, "{PLAIN}");
}

/* The last of 100,000 lines, well within the time of a login. */
static void large(void **state)
{
	struct base_buf file;
	struct vault_file f = {.default_domain = BASE_SLICE("example.org")};
	struct vault_file_entry e;

	base_buf_init(&file, 64 << 20);
	for (unsigned i = 0; i < 100000; i++)
		base_buf_printf(&file, "user%u@example.org:%s:1:0:x:/d:NOQUOTA\n", i, MD5);
	base_buf_append_text(&file, "last:" MD5 ":1:0:x:/d:NOQUOTA\n");
	f.bytes = base_buf_slice(&file);
	vault_file_entry_init(&e);
	for (unsigned format = VAULT_FILE_PASSWD; format <= VAULT_FILE_VPASSWD; format++) {
		f.format = (enum vault_file_format)format;
		assert_int_equal(vault_file_find(&f, BASE_SLICE("last"), &e), K);
		assert_int_equal(e.line, 100001);
		assert_int_equal(vault_file_find(&f, BASE_SLICE("nobody"), &e), U);
	}
	vault_file_entry_release(&e);
	base_buf_release(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds),
		cmocka_unit_test(names_of_formats),
		cmocka_unit_test(steps),
		cmocka_unit_test(vmailmgr),
		cmocka_unit_test(vpasswd_cdb),
		cmocka_unit_test(kinds_of_stored),
		cmocka_unit_test(scram),
		cmocka_unit_test(clear),
		cmocka_unit_test(large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
