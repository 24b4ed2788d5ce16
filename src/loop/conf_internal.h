/* loop/conf_internal.h: what the files of the configuration share
 * Job      the tree that the grammar gives, the schema that says what may stand in it, findings
 * Not      for any file but conf*.c and their tests (loop/conf.h is the interface) */
#ifndef LOOP_CONF_INTERNAL_H
#define LOOP_CONF_INTERNAL_H

#include "loop/conf.h"

#define CONF_FILE_MAX_BYTES (1024 * 1024)
#define CONF_STRING_MAX_BYTES 4096
#define CONF_SECTIONS_MAX 4096
#define CONF_KEYS_MAX 128
#define CONF_FINDINGS_MAX 200
#define CONF_RETRY_MAX 32

/* Memory of one configuration, given up at once. */
struct conf_arena *conf_arena_new(void);
void conf_arena_free(struct conf_arena **arena);
void *conf_arena_alloc(struct conf_arena *arena, size_t size); /* zeroed */
char *conf_arena_text(struct conf_arena *arena, struct base_slice text);
char *conf_arena_printf(struct conf_arena *arena, const char *format, ...) BASE_PRINTF(2, 3);

/* The tree: conf_syntax.c makes it. All of it lives in the arena. */
enum conf_value_kind {
	CONF_VALUE_STRING,
	CONF_VALUE_NUMBER, /* digits, as written */
	CONF_VALUE_BOOL,   /* true or false, as written */
	CONF_VALUE_WORD,   /* a bare word that is none of these: always an error */
	CONF_VALUE_LIST,
};

struct conf_value {
	enum conf_value_kind kind;
	unsigned line;
	char *text;               /* null for a list */
	struct conf_value *items; /* of a list: the first */
	struct conf_value *next;  /* in a list */
	size_t count;             /* of a list */
};

struct conf_key {
	char *name;
	unsigned line;
	struct conf_value value;
	struct conf_key *next;
};

struct conf_section {
	char *name;  /* "" for the keys outside any section */
	char *title; /* null: none */
	unsigned line;
	struct conf_key *keys;
	struct conf_section *next;
};

struct conf_tree {
	struct conf_section *first; /* the keys outside any section; never null */
	size_t section_count;
};

/* Everything that parsing and judging pass around. */
struct conf_work {
	struct conf_arena *arena;
	struct conf_findings *findings;
	const char *base_dir;
	bool look_at_files;
	bool failed; /* an error was found */
	bool broken; /* a syntax error: what is missing is not judged */
};

void conf_fail(struct conf_work *w, unsigned line, const char *format, ...) BASE_PRINTF(3, 4);
void conf_warn(struct conf_work *w, unsigned line, const char *format, ...) BASE_PRINTF(3, 4);

/* At a syntax error what stands before it is in @out and w->broken is set. */
void conf_syntax_parse(struct conf_work *w, struct base_slice text, struct conf_tree *out);

/* The schema: one row per section, one per key. */
enum conf_type {
	CONF_TYPE_TEXT,              /* char *; null where "" is allowed and written */
	CONF_TYPE_EMPTY_TEXT,        /* char *; "" stays "" */
	CONF_TYPE_HOST_NAME,         /* char * */
	CONF_TYPE_DOMAIN,            /* char *; "" allowed */
	CONF_TYPE_PATH,              /* char *, made absolute */
	CONF_TYPE_FILE,              /* char *, made absolute; must exist; "" gives null */
	CONF_TYPE_SOCKET,            /* char *, absolute, or "" */
	CONF_TYPE_BOOL,              /* bool */
	CONF_TYPE_U32,               /* uint32_t within min and max */
	CONF_TYPE_SIZE,              /* uint64_t; 512 or "64K" */
	CONF_TYPE_SECONDS_U32,       /* uint32_t; 300 or "5m" */
	CONF_TYPE_DURATION,          /* int64_t seconds; 300 or "5m" */
	CONF_TYPE_RETRY,             /* int64_t[CONF_RETRY_MAX], a size_t behind them */
	CONF_TYPE_MODE,              /* unsigned; 0660, octal */
	CONF_TYPE_WORD,              /* enum: one of words */
	CONF_TYPE_ADDRESS,           /* struct base_addr with a port */
	CONF_TYPE_NETWORKS,          /* struct conf_networks */
	CONF_TYPE_STRINGS,           /* struct conf_strings */
	CONF_TYPE_DOMAINS,           /* struct conf_strings: host names or .suffixes */
	CONF_TYPE_MECHANISMS,        /* uint32_t mask */
	CONF_TYPE_CLIENT_MECHANISMS, /* the same, with those that only a client speaks */
};

enum conf_rule_flags {
	CONF_LATER = 1u << 0, /* known, but not in this build */
	CONF_REQUIRED = 1u << 1,
	CONF_TITLED = 1u << 2,   /* sections: `name title { }` */
	CONF_HIDDEN = 1u << 3,   /* internal: not for people, not documented */
	CONF_NONEMPTY = 1u << 4, /* lists */
	CONF_REPEATS = 1u << 5,  /* lists in which a text may stand twice, or be empty */
};

struct conf_word {
	const char *text; /* null ends the list */
	int value;
	bool later;
};

struct conf_section_rule {
	const char *name;
	unsigned flags;
	size_t count_at, items_at; /* titled: in struct conf */
	size_t item_size;
	size_t line_at; /* untitled: where its line is kept; CONF_NOWHERE */
};

struct conf_rule {
	const char *section;
	const char *key;
	enum conf_type type;
	unsigned flags;
	size_t at;         /* offset in struct conf, or in the titled section's struct */
	unsigned roles;    /* IPC_FROM() mask: who is told */
	uint64_t min, max; /* numbers; max 0: no limit of its own */
	const struct conf_word *words;
};

#define CONF_NOWHERE ((size_t)-1)

extern const struct conf_section_rule conf_sections[];
extern const size_t conf_section_count;
extern const struct conf_rule conf_rules[];
extern const size_t conf_rule_count;

const struct conf_section_rule *conf_section_rule_find(const char *name);
const struct conf_rule *conf_rule_find(const char *section, const char *key);
/* What a value of the type looks like, for messages: "\"host:port\"". */
const char *conf_type_example(enum conf_type type);

/* Where an item of a titled section is in @c. */
void *conf_item(const struct conf *c, const struct conf_section_rule *s, size_t index);
size_t conf_item_count(const struct conf *c, const struct conf_section_rule *s);

/* Check @key's value against @rule; when good and rule->at is a place, store it below @base. */
void conf_value_store(
	struct conf_work *w, const struct conf_rule *rule, const struct conf_key *key, void *base);

/* Defaults of every key that has one. */
void conf_defaults(struct conf *c, struct conf_arena *arena);
/* Sections and keys against the schema; titled sections become items of @c. */
void conf_fill(struct conf_work *w, const struct conf_tree *tree, struct conf *c);
/* What one key alone cannot tell. */
void conf_judge(struct conf_work *w, const struct conf_tree *tree, struct conf *c);
/* One section provider TITLE { }: before its keys are read, and after. */
void conf_provider_begin(struct conf_provider *p);
void conf_provider_judge(
	struct conf_work *w, struct conf_provider *p, const struct conf_section *s);
/* relay_ctrl and dnsbl of a listener. */
void conf_listener_judge(
	struct conf_work *w, const struct conf_listener *l, const struct conf_section *s);
/* via = "…" and url = "…" taken apart. */
void conf_route_resolve(struct conf_work *w, struct conf_route *r, unsigned via_line);
void conf_account_resolve(
	struct conf_work *w, struct conf_account *a, const struct conf_section *s);

const struct conf_key *conf_key_find(const struct conf_section *s, const char *name);
unsigned conf_key_line(
	const struct conf_section *s, const char *name); /* the section's if absent */

const char *const *conf_mechanism_names(void); /* null-ended, without NONE */

#endif
