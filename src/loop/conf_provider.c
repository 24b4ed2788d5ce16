/* Sections provider TITLE { }: which keys a type takes, which it needs, what is there of them; and which
 * process serves which. */
#include "loop/conf_internal.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum key_use { KEY_NO, KEY_MAY, KEY_MUST };

/* Keys that not every type takes, in the order of the columns below. */
static const char *const key_names[] = {
	"path", "command", "cram_order", "format", "service", "run_as"};
#define KEYS BASE_COUNT(key_names)

struct type_rule {
	const char *word;
	enum key_use keys[KEYS];
	const char *example;        /* what to write for the key that must be there */
	bool processes;             /* has processes of its own */
	const char *path, *service; /* defaults */
};

static const struct type_rule types[] = {
	[CONF_PROVIDER_STORE] = {.word = "store"},
	[CONF_PROVIDER_DOVECOT] = {.word = "dovecot",
		.keys = {KEY_MUST},
		.example = "path = \"/run/dovecot/auth-client\""},
	[CONF_PROVIDER_CHECKPASSWORD] = {.word = "checkpassword",
		.keys = {KEY_NO, KEY_MUST, KEY_MAY, KEY_NO, KEY_NO, KEY_MAY},
		.example = "command = {\"/bin/checkpassword\", \"/bin/true\"}",
		.processes = true},
	[CONF_PROVIDER_FILE] = {.word = "file",
		.keys = {KEY_MUST, KEY_NO, KEY_NO, KEY_MUST, KEY_NO, KEY_MAY},
		.example = "path = \"/etc/postern/users\"  format = \"passwd\"",
		.processes = true},
	[CONF_PROVIDER_PAM] = {.word = "pam",
		.keys = {KEY_NO, KEY_NO, KEY_NO, KEY_NO, KEY_MAY, KEY_MAY},
		.processes = true,
		.service = "smtp"},
	[CONF_PROVIDER_SASLAUTHD] = {.word = "saslauthd",
		.keys = {KEY_MAY, KEY_NO, KEY_NO, KEY_NO, KEY_MAY, KEY_MAY},
		.processes = true,
		.path = "/var/run/saslauthd/mux",
		.service = "smtp"},
	[CONF_PROVIDER_SASLDB] = {.word = "sasldb",
		.keys = {KEY_MAY, KEY_NO, KEY_NO, KEY_NO, KEY_NO, KEY_MAY},
		.processes = true,
		.path = "/etc/sasldb2"},
};

const struct conf_provider *conf_provider_find(const struct conf *conf, const char *title)
{
	for (size_t i = 0; i < conf->provider_count; i++)
		if (strcmp(conf->providers[i].title, title) == 0)
			return &conf->providers[i];
	return NULL;
}

/* Which process is whose */

static unsigned processes_of_type(enum conf_provider_type type)
{
	if (!types[type].processes)
		return 0;
	return type == CONF_PROVIDER_FILE || type == CONF_PROVIDER_SASLDB ? 1
									  : CONF_PROVIDER_PROCESSES;
}

unsigned conf_provider_processes_of(
	const struct conf *conf, const struct conf_provider *wanted, unsigned *out_first)
{
	unsigned first = 0;

	for (size_t i = 0; i < conf->auth.providers.count; i++) {
		const struct conf_provider *p = conf_provider_find(
			conf, conf->auth.providers.items[i]);

		if (!p)
			continue;
		if (p == wanted) {
			*out_first = first;
			return processes_of_type(p->type);
		}
		first += processes_of_type(p->type);
	}
	*out_first = first;
	return 0;
}

unsigned conf_provider_processes(const struct conf *conf)
{
	unsigned count;

	(void)conf_provider_processes_of(conf, NULL, &count);
	return count;
}

const struct conf_provider *conf_provider_of_process(const struct conf *conf, unsigned index)
{
	for (size_t i = 0; i < conf->auth.providers.count; i++) {
		const struct conf_provider *p = conf_provider_find(
			conf, conf->auth.providers.items[i]);
		unsigned first, count = p ? conf_provider_processes_of(conf, p, &first) : 0;

		if (count && index >= first && index - first < count)
			return p;
	}
	return NULL;
}

const char *conf_provider_default_domain(const struct conf *conf, const struct conf_provider *p)
{
	if (p->domains.count == 1)
		return p->domains.items[0];
	if (p->type == CONF_PROVIDER_FILE && p->domains.count > 1)
		return "";
	if (p->type == CONF_PROVIDER_SASLDB && !conf->auth.default_domain[0])
		return conf->hostname;
	return conf->auth.default_domain;
}

/* Judging */

static bool key_is_written(const struct conf_section *s, const char *name)
{
	return conf_key_find(s, name) != NULL;
}

/* Keys that the type does not take, and keys that it lacks. True: all is there. */
static bool judge_keys(struct conf_work *w, const struct conf_provider *p,
	const struct type_rule *rule, const struct conf_section *s)
{
	bool complete = true;

	for (size_t i = 0; i < KEYS; i++) {
		bool written = key_is_written(s, key_names[i]);

		if (written && rule->keys[i] == KEY_NO)
			conf_fail(w, conf_key_line(s, key_names[i]),
				"provider \"%s\": %s has no meaning for type = \"%s\"%s; remove it",
				p->title, key_names[i], rule->word,
				p->type == CONF_PROVIDER_STORE ? ", the built-in vault in data"
							       : "");
		if (!written && rule->keys[i] == KEY_MUST) {
			conf_fail(w, s->line, "provider \"%s\" has no %s; write %s", p->title,
				key_names[i], rule->example);
			complete = false;
		}
	}
	return complete;
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void judge_program(struct conf_work *w, const char *title, const char *path, unsigned line)
{
	struct stat st;

	if (stat(path, &st) != 0 && errno == EACCES)
		conf_warn(w, line, "provider \"%s\": program \"%s\" cannot be seen by this user",
			title, path);
	else if (stat(path, &st) != 0)
		conf_fail(w, line, "provider \"%s\": program \"%s\": %s; name one that is there",
			title, path, strerror(errno));
	else if (!S_ISREG(st.st_mode) || !(st.st_mode & 0111))
		conf_fail(
			w, line, "provider \"%s\": \"%s\" is not a program; name one", title, path);
}

static void judge_command(
	struct conf_work *w, const struct conf_provider *p, const struct conf_section *s)
{
	unsigned line = conf_key_line(s, "command");
	const char *program = p->command.count ? p->command.items[0] : NULL;

	if (!program)
		return;
	if (program[0] != '/') {
		conf_fail(w, line, "provider \"%s\": program \"%s\" has no absolute path; write %s",
			p->title, program, types[p->type].example);
		return;
	}
	/* What a misplaced host name in a qmail run script does: the next word is the checker. */
	if (strcmp(last_part(program), "true") == 0)
		conf_fail(w, line,
			"provider \"%s\": \"%s\" accepts every password; the checker comes first, "
			"as in %s",
			p->title, program, types[p->type].example);
	else if (w->look_at_files)
		judge_program(w, p->title, program, line);
	if (p->command.count == 1)
		conf_warn(w, line,
			"provider \"%s\": most checkpassword programs need another program to "
			"start; write %s",
			p->title, types[p->type].example);
}

/* A file that is read must be there; a socket may come later. */
static void judge_path(
	struct conf_work *w, const struct conf_provider *p, const struct conf_section *s)
{
	unsigned line = conf_key_line(s, "path");
	struct stat st;

	if (p->type != CONF_PROVIDER_FILE && p->type != CONF_PROVIDER_SASLDB)
		return;
	if (stat(p->path, &st) != 0 && errno != EACCES)
		conf_fail(w, line, "provider \"%s\": path = \"%s\": %s; %s", p->title, p->path,
			strerror(errno),
			p->type == CONF_PROVIDER_SASLDB ? "make it with saslpasswd2"
							: "name a file that is there");
	else if (access(p->path, R_OK) != 0)
		conf_warn(w, line, "provider \"%s\": path = \"%s\" cannot be read by this user: %s",
			p->title, p->path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		conf_fail(w, line, "provider \"%s\": path = \"%s\" is not a file; name one",
			p->title, p->path);
}

static void judge_run_as(
	struct conf_work *w, const struct conf_provider *p, const struct conf_section *s)
{
	unsigned line = conf_key_line(s, "run_as");
	const struct passwd *pw = getpwnam(p->run_as);

	if (!pw)
		conf_fail(w, line,
			"provider \"%s\": run_as = \"%s\": there is no such account; make it, or "
			"name another",
			p->title, p->run_as);
	else if (geteuid() != 0 && pw->pw_uid != geteuid())
		conf_fail(w, line,
			"provider \"%s\": run_as = \"%s\" needs a server started as root; start it "
			"so, or leave run_as out",
			p->title, p->run_as);
}

static void judge_service(
	struct conf_work *w, const struct conf_provider *p, const struct conf_section *s)
{
	/* It becomes a file's name in /etc/pam.d. */
	if (p->type == CONF_PROVIDER_PAM && strchr(p->service, '/'))
		conf_fail(w, conf_key_line(s, "service"),
			"provider \"%s\": service = \"%s\" is no name of a service; write service "
			"= "
			"\"smtp\", the name of a file in /etc/pam.d",
			p->title, p->service);
}

/* Without its -r most of saslauthd's ways look at the login alone, and who they let in is to us the whole
 * name. Which daemon it is cannot be seen from here. */
static void judge_domains(
	struct conf_work *w, const struct conf_provider *p, const struct conf_section *s)
{
	if (p->type == CONF_PROVIDER_SASLAUTHD && !p->domains.count)
		conf_warn(w, s->line,
			"provider \"%s\": a saslauthd without -r may not look at the domain of a "
			"name, so its users can log in under any; write domains = "
			"{\"example.org\"}",
			p->title);
}

/* Enums without a value of "not written" get one, or they would be rendered for every type. */
void conf_provider_begin(struct conf_provider *p)
{
	p->format = CONF_FORMAT_NONE;
	p->cram_order = CONF_FORMAT_NONE;
}

static void take_defaults(struct conf_work *w, struct conf_provider *p)
{
	const struct type_rule *rule = &types[p->type];

	if (!p->path && rule->path)
		p->path = conf_arena_text(w->arena, base_slice_text(rule->path));
	if (!p->service && rule->service)
		p->service = conf_arena_text(w->arena, base_slice_text(rule->service));
	if (p->type == CONF_PROVIDER_CHECKPASSWORD && p->cram_order < 0)
		p->cram_order = CONF_CRAM_STANDARD;
}

static bool type_is_good(const struct conf_key *type)
{
	const struct conf_rule *rule = conf_rule_find("provider", "type");

	for (const struct conf_word *word = rule->words; word->text; word++)
		if (type->value.kind == CONF_VALUE_STRING &&
			strcmp(word->text, type->value.text) == 0)
			return !word->later;
	return false;
}

void conf_provider_judge(struct conf_work *w, struct conf_provider *p, const struct conf_section *s)
{
	const struct conf_key *type = conf_key_find(s, "type");
	bool store = strcmp(p->title, "store") == 0;

	if (!type && !store) {
		conf_fail(w, s->line, "provider \"%s\" has no type; write type = \"dovecot\"",
			p->title);
		return;
	}
	/* A type that is wrong or not built was reported where it stands. */
	if (type && !type_is_good(type))
		return;
	if (type && store && p->type != CONF_PROVIDER_STORE) {
		conf_fail(w, type->line,
			"provider \"store\" is the built-in vault; give a provider of "
			"another type another title");
		return;
	}
	take_defaults(w, p);
	if (!judge_keys(w, p, &types[p->type], s))
		return;
	if (p->type == CONF_PROVIDER_CHECKPASSWORD)
		judge_command(w, p, s);
	if (p->service)
		judge_service(w, p, s);
	if (!w->look_at_files)
		return;
	judge_domains(w, p, s);
	if (p->path)
		judge_path(w, p, s);
	if (p->run_as && types[p->type].processes)
		judge_run_as(w, p, s);
}
