#include "smtp/client_internal.h"

/* What a server says in answer to EHLO: one keyword a line, case ignored, parameters behind blanks.
 * Old servers write "AUTH=LOGIN PLAIN"; the sets of both forms are added. */

static const struct {
	const char *keyword;
	unsigned flag;
} keywords[] = {
	{"PIPELINING", SMTP_EXT_PIPELINING},
	{"SIZE", SMTP_EXT_SIZE},
	{"8BITMIME", SMTP_EXT_8BITMIME},
	{"SMTPUTF8", SMTP_EXT_SMTPUTF8},
	{"CHUNKING", SMTP_EXT_CHUNKING},
	{"ENHANCEDSTATUSCODES", SMTP_EXT_ENHANCED},
	{"DSN", SMTP_EXT_DSN},
	{"AUTH", SMTP_EXT_AUTH},
	{"STARTTLS", SMTP_EXT_STARTTLS},
	{"LIMITS", SMTP_EXT_LIMITS},
};

static void on_auth(struct smtp_offer *offer, struct base_slice rest)
{
	struct base_slice w;
	enum sasl_mechanism m;

	while ((w = base_slice_word(&rest)).len) {
		m = sasl_mechanism_parse(w);
		if (m != SASL_MECHANISM_NONE)
			offer->mechanisms |= SASL_MASK(m);
	}
}

static void on_size(struct smtp_offer *offer, struct base_slice rest)
{
	uint64_t value;

	if (base_slice_to_u64(base_slice_word(&rest), &value))
		offer->size_max = value;
}

static bool limit_name_valid(struct base_slice name)
{
	size_t i;

	for (i = 0; i < name.len; i++)
		if (!base_ascii_is_alnum(name.ptr[i]) && name.ptr[i] != '-' && name.ptr[i] != '_')
			return false;
	return name.len > 0;
}

static void set_limit(struct smtp_offer *offer, struct base_slice name, struct base_slice value)
{
	uint64_t number;

	if (value.len < 1 || value.len > 6 || value.ptr[0] == '0' ||
		!base_slice_to_u64(value, &number))
		return;
	if (base_slice_equal_text_nocase(name, "MAILMAX"))
		offer->mail_max = (uint32_t)number;
	else if (base_slice_equal_text_nocase(name, "RCPTMAX"))
		offer->rcpt_max = (uint32_t)number;
	else if (base_slice_equal_text_nocase(name, "RCPTDOMAINMAX"))
		offer->rcpt_domain_max = (uint32_t)number;
}

/* RFC 9422 section 4: a word that is no limit spoils the line, a value that is none only itself. */
static void on_limits(struct smtp_offer *offer, struct base_slice rest)
{
	struct base_slice w, name;
	size_t equals;

	while ((w = base_slice_word(&rest)).len) {
		equals = base_slice_find(w, '=');
		name = base_slice_first(w, equals);
		if (!limit_name_valid(name)) {
			offer->mail_max = offer->rcpt_max = offer->rcpt_domain_max = 0;
			return;
		}
		set_limit(offer, name, base_slice_from(w, equals + 1));
	}
}

void smtp_offer_line(struct smtp_offer *offer, struct base_slice text)
{
	struct base_slice rest = text, w = base_slice_word(&rest);
	size_t i;

	if (w.len >= 5 && w.ptr[4] == '=' &&
		base_slice_equal_text_nocase(base_slice_first(w, 4), "AUTH")) {
		offer->extensions |= SMTP_EXT_AUTH;
		on_auth(offer, base_slice_from(w, 5));
		on_auth(offer, rest);
		return;
	}
	for (i = 0; i < BASE_COUNT(keywords); i++)
		if (base_slice_equal_text_nocase(w, keywords[i].keyword))
			break;
	if (i == BASE_COUNT(keywords))
		return;
	offer->extensions |= keywords[i].flag;
	if (keywords[i].flag == SMTP_EXT_AUTH)
		on_auth(offer, rest);
	else if (keywords[i].flag == SMTP_EXT_SIZE)
		on_size(offer, rest);
	else if (keywords[i].flag == SMTP_EXT_LIMITS)
		on_limits(offer, rest);
}
