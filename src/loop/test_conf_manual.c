/* Is every key of the schema documented in postern.conf(5), in its section, and is there nothing
 * else? argv[1]: the manual's source. A section's text begins at a line "# name …{ }"; keys are
 * "*key* =". */
#include "loop/conf_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *text;
static unsigned faults;

static void fault(const char *what, const char *section, const char *key)
{
	fprintf(stderr, "%s: %s { %s }\n", what, section[0] ? section : "(top)", key);
	faults++;
}

static void read_manual(const char *path)
{
	FILE *f = fopen(path, "r");
	size_t len;

	text = calloc(1, 1 << 20);
	len = f && text ? fread(text, 1, (1 << 20) - 1, f) : 0;
	if (len == 0) {
		fprintf(stderr, "cannot read %s\n", path);
		exit(1);
	}
	fclose(f);
}

/* The part of the manual on @section, cut out on the heap; empty if there is none. */
static char *part_of(const struct conf_section_rule *s)
{
	char head[100];
	const char *start, *end;

	if (s->flags & CONF_LATER)
		snprintf(head, sizeof(head), "\n*%s* ", s->name);
	else if (s->name[0])
		snprintf(head, sizeof(head), "\n# %s %s{ }\n", s->name,
			s->flags & CONF_TITLED ? "TITLE " : "");
	else
		snprintf(head, sizeof(head), "\n# KEYS OUTSIDE ANY SECTION\n");
	start = strstr(text, head);
	if (!start)
		return strdup("");
	end = strstr(start + 1, s->flags & CONF_LATER ? "\n" : "\n# ");
	return end ? strndup(start, (size_t)(end - start) + 1) : strdup(start);
}

static void check_keys(const struct conf_section_rule *s, const char *part)
{
	for (size_t i = 0; i < conf_rule_count; i++) {
		char name[100];

		if (strcmp(conf_rules[i].section, s->name) != 0 ||
			(conf_rules[i].flags & CONF_HIDDEN))
			continue;
		snprintf(name, sizeof(name), "*%s*", conf_rules[i].key);
		if (!strstr(part, name))
			fault("not documented", s->name, conf_rules[i].key);
	}
}

/* Every "*word* =" that the part defines is a key. */
static void check_strangers(const struct conf_section_rule *s, char *part)
{
	for (char *p = part; (p = strstr(p, "* = ")) != NULL; p += 4) {
		char *start = p;

		*p = '\0';
		while (start > part && start[-1] != '*')
			start--;
		if (!strpbrk(start, " \n") && !conf_rule_find(s->name, start))
			fault("documented, but no key", s->name, start);
		*p = '*';
	}
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 1;
	read_manual(argv[1]);
	for (size_t i = 0; i < conf_section_count; i++) {
		char *part = part_of(&conf_sections[i]);

		if (!part[0])
			fault("no such part", conf_sections[i].name, "");
		check_keys(&conf_sections[i], part);
		check_strangers(&conf_sections[i], part);
		free(part);
	}
	free(text);
	return faults != 0;
}
