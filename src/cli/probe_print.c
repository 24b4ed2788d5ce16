/* A probe for people: facts in the order of the session, then the findings, within 78 columns. */
#include "cli/probe.h"

#include "base/time.h"
#include "cli/rows.h"

#include <stdio.h>
#include <string.h>

enum { LABEL = 18, OFFER = 24 };

static void row_text(const char *label, int margin, const char *text)
{
	cli_print_row(label, margin, LABEL, base_slice_text(text));
}

/* Of a stranger: escaped, and not endless. */
static void row_raw(const char *label, int margin, unsigned code, struct base_slice raw)
{
	struct base_buf text;

	base_buf_init(&text, 4096);
	if (code)
		base_buf_printf(&text, "%u ", code);
	cli_text_safe(base_slice_first(raw, 500), &text);
	cli_print_row(label, margin, LABEL, base_buf_slice(&text));
	base_buf_release(&text);
}

static void print_extension(struct base_slice line)
{
	struct base_slice rest = base_slice_trim(line), word = base_slice_word(&rest);
	const struct probe_extension *e = probe_extension_find(word);
	const char *words = e ? e->words : "not known here";
	struct base_buf keyword, text;

	if (base_slice_starts_with_nocase(word, BASE_SLICE("AUTH=")))
		words = "login, in the form before the standard";
	base_buf_init(&keyword, 600);
	base_buf_init(&text, 4096);
	cli_text_safe(base_slice_first(word, 100), &keyword);
	cli_text_safe(base_slice_first(base_slice_trim(rest), 400), &text);
	base_buf_printf(&text, "%s%s", text.len ? ": " : "", words);
	cli_print_row(base_buf_text(&keyword), 2, OFFER, base_buf_slice(&text));
	base_buf_release(&keyword);
	base_buf_release(&text);
}

static void print_offer(const char *title, const struct probe_offer *offer)
{
	struct base_slice rest = base_buf_slice(&offer->hello), line;

	if (!offer->asked || !offer->code)
		return;
	printf("\n%s\n", title);
	if (base_slice_split(&rest, '\n', &line))
		row_raw(offer->helo ? "HELO" : "EHLO", 2, offer->code, line);
	while (base_slice_split(&rest, '\n', &line))
		print_extension(line);
	if (offer->mechanism_count)
		printf("  mechanisms\n");
	for (size_t i = 0; i < offer->mechanism_count; i++)
		cli_print_row(offer->mechanisms[i], 4, OFFER,
			base_slice_text(probe_mechanism_words(offer->mechanisms[i])));
}

static void print_limits(const struct probe_offer *offer)
{
	char text[200];
	size_t at = 0;

	if (!offer->has_size && !offer->limit_mails && !offer->limit_rcpts && !offer->limit_domains)
		return;
	text[0] = '\0';
	if (offer->has_size && offer->size)
		at += (size_t)snprintf(text, sizeof(text), "messages of %llu bytes (%.1f MiB)",
			(unsigned long long)offer->size, (double)offer->size / 1048576);
	else if (offer->has_size)
		at += (size_t)snprintf(text, sizeof(text), "messages of any size");
	if (offer->limit_mails)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%u messages in a session",
			at ? ", " : "", offer->limit_mails);
	if (offer->limit_rcpts)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%u recipients each",
			at ? ", " : "", offer->limit_rcpts);
	if (offer->limit_domains)
		snprintf(text + at, sizeof(text) - at, "%s%u domains each", at ? ", " : "",
			offer->limit_domains);
	printf("\n");
	row_text("limits", 0, text);
}

static void print_date(const char *label, int64_t ms, const char *more)
{
	struct base_buf text;

	base_buf_init(&text, 160);
	base_time_rfc3339(ms, false, &text);
	base_buf_append_text(&text, more);
	cli_print_row(label, 4, LABEL, base_buf_slice(&text));
	base_buf_release(&text);
}

static void print_names(const struct tls_certificate *c)
{
	struct base_slice rest = base_slice_text(c->names), name;
	struct base_buf text;
	size_t shown = 0;

	base_buf_init(&text, 2 * sizeof(c->names));
	while (base_slice_split(&rest, '\n', &name)) {
		base_buf_append_text(&text, shown++ ? ", " : "");
		base_buf_append_slice(&text, name);
	}
	if (c->name_count > shown)
		base_buf_printf(&text, " and %zu more", c->name_count - shown);
	if (text.len)
		cli_print_row("for", 4, LABEL, base_buf_slice(&text));
	base_buf_release(&text);
}

static void print_certificate(const struct probe *p, size_t index)
{
	const struct tls_certificate *c = &p->chain[index];
	int64_t days = probe_days_left(p, c);
	char text[400];

	snprintf(text, sizeof(text), "certificate %zu", index + 1);
	row_text(text, 2, c->subject);
	row_text("by", 4, c->self_signed ? "itself" : c->issuer);
	print_names(c);
	print_date("from", c->not_before_ms, "");
	snprintf(text, sizeof(text), days < 0 ? " (%lld days ago)" : " (%lld days left)",
		(long long)(days < 0 ? -days : days));
	print_date("until", c->not_after_ms, text);
	snprintf(text, sizeof(text), "%s, %u bits, signed with %s", c->key_type, c->key_bits,
		c->signature);
	row_text("key", 4, text);
	row_text("pin", 4, c->pin);
}

static void print_tls(const struct probe *p)
{
	static const char *const numbers[PROBE_VERSIONS] = {"1.0", "1.1", "1.2", "1.3"};
	char text[TLS_REASON_MAX_BYTES + 8];
	size_t at = 0;

	if (!p->tls)
		return;
	printf("\nTLS\n");
	snprintf(text, sizeof(text), "%s, %s", p->version, p->cipher);
	row_text("session", 2, text);
	for (size_t i = 0; i < PROBE_VERSIONS; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s %s", i ? ", " : "",
			numbers[i], probe_version_name(p->versions[i]));
	row_text("versions", 2, text);
	if (p->mode == PROBE_STARTTLS && p->injection != PROBE_INJECTION_UNKNOWN) {
		snprintf(text, sizeof(text), "a command behind STARTTLS is %s",
			probe_injection_name(p->injection));
		row_text("injection", 2, text);
	}
	snprintf(text, sizeof(text), "%s%s", p->verified ? "yes" : "no: ", p->verify_failure);
	row_text("verified", 2, text);
	for (size_t i = 0; i < p->chain_count; i++)
		print_certificate(p, i);
}

static void print_findings(const struct probe *p)
{
	size_t counts[3] = {0};

	printf("\nfindings\n");
	for (int level = PROBE_BAD; level <= PROBE_NOTE; level++)
		for (size_t i = 0; i < p->finding_count; i++) {
			const struct probe_finding *f = &p->findings[i];
			char text[700];

			if ((int)f->level != level)
				continue;
			counts[level]++;
			snprintf(text, sizeof(text), "%s [%s]", f->text, f->code);
			cli_print_row(probe_level_name(f->level), 2, 12, base_slice_text(text));
			snprintf(text, sizeof(text), "right: %s", f->right);
			cli_print_row("", 2, 12, base_slice_text(text));
		}
	printf("  %zu bad, %zu warning%s, %zu note%s\n", counts[PROBE_BAD], counts[PROBE_WARNING],
		counts[PROBE_WARNING] == 1 ? "" : "s", counts[PROBE_NOTE],
		counts[PROBE_NOTE] == 1 ? "" : "s");
}

void probe_print(const struct probe *p)
{
	static const char *const how[] = {
		"", "without TLS", "STARTTLS where offered", "TLS from the first byte"};
	struct base_buf text;

	base_buf_init(&text, 600);
	base_buf_printf(&text, "%s port %u (", p->host, p->port);
	base_addr_format(&p->peer, &text);
	base_buf_printf(&text, "), %s", how[p->mode]);
	row_text("server", 0, base_buf_text(&text));
	base_buf_release(&text);
	row_raw("greeting", 0, p->greeting_code, base_buf_slice(&p->greeting));
	print_offer("before TLS", &p->before);
	if (p->starttls == PROBE_STARTTLS_REFUSED)
		row_raw("STARTTLS", 2, 0, base_buf_slice(&p->starttls_reply));
	print_tls(p);
	print_offer("inside TLS", &p->after);
	print_limits(p->after.asked ? &p->after : &p->before);
	print_findings(p);
}
