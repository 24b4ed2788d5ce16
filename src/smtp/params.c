/* Each parameter is "keyword" or "keyword=value", split at blanks. Two passes: the first sorts the
 * words into slots and sees what is unknown or there twice; the second judges the values, because
 * what AUTH= and ORCPT= may hold depends on SMTPUTF8, which may stand behind them. */
#include "smtp/params.h"
#include "base/utf8.h"
#include "base/xtext.h"
#include "smtp/command.h"
#include "smtp/mailbox.h"

enum { SLOT_MAX = 6, KEYWORD_MAX_BYTES = 64, SIZE_MAX_DIGITS = 20 };

struct slot {
	const char *keyword;
	bool takes_value;
	bool given;
	struct base_slice value;
};

static bool keyword_valid(struct base_slice word)
{
	if (word.len == 0 || word.len > KEYWORD_MAX_BYTES || !base_ascii_is_alnum(word.ptr[0]))
		return false;
	for (size_t i = 0; i < word.len; i++)
		if (!base_ascii_is_alnum(word.ptr[i]) && word.ptr[i] != '-')
			return false;
	return true;
}

/* esmtp-value: anything visible but '='; UTF-8 where RFC 6531 lets it in. */
static bool value_valid(struct base_slice value)
{
	for (size_t i = 0; i < value.len; i++)
		if (value.ptr[i] <= ' ' || value.ptr[i] == '=' || value.ptr[i] == 0x7f)
			return false;
	return value.len > 0 && base_utf8_valid(value);
}

static struct slot *find_slot(struct slot slots[SLOT_MAX], struct base_slice keyword)
{
	for (size_t i = 0; i < SLOT_MAX && slots[i].keyword; i++)
		if (base_slice_equal_text_nocase(keyword, slots[i].keyword))
			return &slots[i];
	return NULL;
}

/* A later word may be broken while an earlier one is only unknown: broken wins, as the whole line is
 * then in doubt. */
static enum smtp_params_result sort_words(struct base_slice params, struct slot slots[SLOT_MAX])
{
	enum smtp_params_result result = SMTP_PARAMS_OK;
	struct base_slice word;

	while ((word = smtp_command_word(&params)).len) {
		size_t equals = base_slice_find(word, '=');
		struct base_slice keyword = base_slice_first(word, equals);
		struct base_slice value = base_slice_from(word, equals + 1);
		bool has_value = equals < word.len;
		struct slot *slot = find_slot(slots, keyword);

		if (!keyword_valid(keyword) || (has_value && !value_valid(value)))
			return SMTP_PARAMS_BAD;
		if (!slot) {
			result = SMTP_PARAMS_UNKNOWN;
			continue;
		}
		if (slot->given || slot->takes_value != has_value)
			return SMTP_PARAMS_BAD;
		slot->given = true;
		slot->value = value;
	}
	return result;
}

static bool has_control(struct base_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
			return true;
	return false;
}

/* Decode to the end of @scratch; the decoded bytes stay there. */
static bool decode(struct base_slice coded, struct base_buf *scratch, struct base_slice *out)
{
	size_t before = scratch->len;

	if (!base_xtext_decode(coded, scratch, NULL))
		return false;
	*out = base_slice_make(scratch->ptr + before, scratch->len - before);
	return true;
}

/* xtext that holds no control once it is decoded (a later header or log line must stay one line). */
static bool xtext_harmless(struct base_slice coded, struct base_buf *scratch)
{
	struct base_slice text;
	size_t before = scratch->len;
	bool ok = decode(coded, scratch, &text) && !has_control(text);

	base_buf_truncate(scratch, before);
	return ok;
}

/* AUTH=: decoded, it is a mailbox or exactly "<>" (RFC 4954 section 5). */
static bool read_auth(struct base_slice coded, bool smtputf8, bool loose, struct base_buf *scratch,
	struct base_slice *out)
{
	struct smtp_mailbox mailbox;
	struct base_slice text;

	if (!decode(coded, scratch, &text))
		return false;
	if (base_slice_equal_text(text, "<>")) {
		*out = BASE_SLICE_EMPTY;
		return true;
	}
	if (loose && !has_control(text)) {
		*out = text;
		return true;
	}
	if (smtp_mailbox_parse(text, &mailbox) != SMTP_MAILBOX_OK ||
		(mailbox.eight_bit && !smtputf8))
		return false;
	*out = text;
	return true;
}

static bool read_size(struct base_slice value, uint64_t *out)
{
	for (size_t i = 0; i < value.len; i++)
		if (!base_ascii_is_digit(value.ptr[i]))
			return false;
	if (value.len > SIZE_MAX_DIGITS)
		return false;
	if (!base_slice_to_u64(value, out))
		*out = UINT64_MAX;
	return true;
}

static bool read_body(struct base_slice value, enum smtp_body *out)
{
	*out = base_slice_equal_text_nocase(value, "8BITMIME") ? SMTP_BODY_8BITMIME
							       : SMTP_BODY_7BIT;
	return *out == SMTP_BODY_8BITMIME || base_slice_equal_text_nocase(value, "7BIT");
}

static bool read_ret(struct base_slice value, enum smtp_dsn_ret *out)
{
	*out = base_slice_equal_text_nocase(value, "FULL") ? SMTP_DSN_RET_FULL : SMTP_DSN_RET_HDRS;
	return *out == SMTP_DSN_RET_FULL || base_slice_equal_text_nocase(value, "HDRS");
}

static enum smtp_params_result read_mail(
	struct base_slice params, bool loose, struct base_buf *scratch, struct smtp_mail *out)
{
	enum { SIZE, BODY, SMTPUTF8, RET, ENVID, AUTH };
	struct slot slots[SLOT_MAX] = {
		[SIZE] = {"SIZE", true},
		[BODY] = {"BODY", true},
		[SMTPUTF8] = {"SMTPUTF8", false},
		[RET] = {"RET", true},
		[ENVID] = {"ENVID", true},
		[AUTH] = {"AUTH", true},
	};
	enum smtp_params_result result = sort_words(params, slots);

	if (result != SMTP_PARAMS_OK && !(loose && result == SMTP_PARAMS_UNKNOWN))
		return result;
	out->smtputf8 = slots[SMTPUTF8].given;
	out->envid = slots[ENVID].value;
	out->auth_given = slots[AUTH].given;
	out->size_bytes = 0;
	out->body = SMTP_BODY_7BIT;
	out->ret = SMTP_DSN_RET_NONE;
	out->auth = BASE_SLICE_EMPTY;
	if ((slots[SIZE].given && !read_size(slots[SIZE].value, &out->size_bytes)) ||
		(slots[BODY].given && !read_body(slots[BODY].value, &out->body)) ||
		(slots[RET].given && !read_ret(slots[RET].value, &out->ret)) ||
		out->envid.len > SMTP_ENVID_MAX_BYTES || !xtext_harmless(out->envid, scratch) ||
		(slots[AUTH].given &&
			!read_auth(slots[AUTH].value, out->smtputf8, loose, scratch, &out->auth)))
		return SMTP_PARAMS_BAD;
	return SMTP_PARAMS_OK;
}

enum smtp_params_result smtp_params_mail(
	struct base_slice params, struct base_buf *scratch, struct smtp_mail *out)
{
	return read_mail(params, false, scratch, out);
}

enum smtp_params_result smtp_params_mail_loose(
	struct base_slice params, struct base_buf *scratch, struct smtp_mail *out)
{
	return read_mail(params, true, scratch, out);
}

static bool read_notify(struct base_slice value, unsigned *out)
{
	static const struct {
		const char *word;
		unsigned flag;
	} words[] = {
		{"NEVER", SMTP_DSN_NOTIFY_NEVER},
		{"SUCCESS", SMTP_DSN_NOTIFY_SUCCESS},
		{"FAILURE", SMTP_DSN_NOTIFY_FAILURE},
		{"DELAY", SMTP_DSN_NOTIFY_DELAY},
	};
	struct base_slice word;
	unsigned flags = 0;

	if (value.ptr[value.len - 1] == ',')
		return false;
	while (base_slice_split(&value, ',', &word)) {
		unsigned flag = 0;

		for (size_t i = 0; i < BASE_COUNT(words); i++)
			if (base_slice_equal_text_nocase(word, words[i].word))
				flag = words[i].flag;
		if (flag == 0)
			return false;
		flags |= flag;
	}
	*out = flags;
	return !(flags & SMTP_DSN_NOTIFY_NEVER) || flags == SMTP_DSN_NOTIFY_NEVER;
}

/* addr-type ";" xtext. For the type "utf-8" the address may be written in UTF-8 (RFC 6533). */
static bool orcpt_valid(struct base_slice value, bool smtputf8, struct base_buf *scratch)
{
	size_t semicolon = base_slice_find(value, ';');
	struct base_slice type = base_slice_first(value, semicolon);
	struct base_slice address = base_slice_from(value, semicolon + 1);

	if (value.len > SMTP_ORCPT_MAX_BYTES || address.len == 0 || !keyword_valid(type))
		return false;
	if (smtputf8 && !base_is_ascii(address))
		return base_slice_equal_text_nocase(type, "utf-8") &&
			!base_slice_has(address, '+') && !has_control(address);
	return xtext_harmless(address, scratch);
}

enum smtp_params_result smtp_params_rcpt(
	struct base_slice params, bool smtputf8, struct base_buf *scratch, struct smtp_rcpt *out)
{
	enum { NOTIFY, ORCPT };
	struct slot slots[SLOT_MAX] = {
		[NOTIFY] = {"NOTIFY", true},
		[ORCPT] = {"ORCPT", true},
	};
	enum smtp_params_result result = sort_words(params, slots);

	if (result != SMTP_PARAMS_OK)
		return result;
	out->notify = 0;
	out->orcpt = slots[ORCPT].value;
	if ((slots[NOTIFY].given && !read_notify(slots[NOTIFY].value, &out->notify)) ||
		(slots[ORCPT].given && !orcpt_valid(out->orcpt, smtputf8, scratch)))
		return SMTP_PARAMS_BAD;
	return SMTP_PARAMS_OK;
}
