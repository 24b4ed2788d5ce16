#include "qmail/smtpd_recipients.h"

#include "base/cdb.h"
#include "route/control.h"

enum { ADDRESS_MAX_BYTES = 1100 };

static bool list_has(struct base_slice list, struct base_slice name)
{
	struct base_slice line;

	while (route_control_next(&list, NULL, &line))
		if (base_slice_equal_nocase(line, name))
			return true;
	return false;
}

static enum smtpd_answer cdb_has(struct base_slice cdb, struct base_slice key)
{
	struct base_slice data;

	switch (base_cdb_find(cdb, key, &data)) {
	case BASE_CDB_FOUND:
		return SMTPD_YES;
	case BASE_CDB_MISSING:
		return SMTPD_NO;
	case BASE_CDB_BROKEN:
		break;
	}
	return SMTPD_CANNOT_TELL;
}

/* The domain, then each ".suffix" of it: the one at or behind *at. False: there is none. */
static bool next_suffix(struct base_slice domain, size_t *at, struct base_slice *out)
{
	while (*at > 0 && *at < domain.len && domain.ptr[*at] != '.')
		(*at)++;
	if (*at >= domain.len)
		return false;
	*out = base_slice_from(domain, (*at)++);
	return true;
}

static void lower(struct base_buf *b, size_t from)
{
	for (size_t i = from; i < b->len; i++)
		b->ptr[i] = base_ascii_lower(b->ptr[i]);
}

enum smtpd_answer smtpd_hosts_allow(
	struct base_slice list, struct base_slice cdb, struct base_slice address)
{
	size_t sign = base_slice_find_last(address, '@'), at;
	enum smtpd_answer answer = sign == address.len ? SMTPD_YES : SMTPD_NO;
	struct base_slice suffix;
	struct base_buf domain;

	base_buf_init(&domain, ADDRESS_MAX_BYTES);
	base_buf_append_slice(&domain, base_slice_from(address, sign + 1));
	lower(&domain, 0);
	/* The whole list first: a damaged cdb must not hold up what stands in it. */
	for (at = 0; answer == SMTPD_NO && next_suffix(base_buf_slice(&domain), &at, &suffix);)
		answer = list_has(list, suffix) ? SMTPD_YES : SMTPD_NO;
	for (at = 0; cdb.len && answer == SMTPD_NO &&
		next_suffix(base_buf_slice(&domain), &at, &suffix);)
		answer = cdb_has(cdb, suffix);
	base_buf_release(&domain);
	return answer;
}

bool smtpd_sender_is_bad(struct base_slice list, struct base_slice sender)
{
	size_t at = base_slice_find_last(sender, '@');

	if (sender.len == 0)
		return false;
	return list_has(list, sender) ||
		(at < sender.len && list_has(list, base_slice_from(sender, at)));
}

void smtpd_recipients_init(struct smtpd_recipients *r)
{
	*r = (struct smtpd_recipients){0};
	base_buf_init(&r->address, ADDRESS_MAX_BYTES * 2);
}

void smtpd_recipients_release(struct smtpd_recipients *r)
{
	base_buf_release(&r->address);
}

static struct base_slice whole(const struct smtpd_recipients *r)
{
	return base_slice_first(base_buf_slice(&r->address), r->whole_len);
}

/* Empty: there is no '-' in the local part. */
static struct base_slice cut(const struct smtpd_recipients *r)
{
	return base_slice_from(base_buf_slice(&r->address), r->whole_len);
}

static bool domain_matches(struct base_slice pattern, struct base_slice address)
{
	struct base_slice domain = base_slice_from(address, base_slice_find_last(address, '@') + 1);
	size_t dot;

	if (base_slice_equal_text(pattern, "*"))
		return true;
	if (pattern.len && pattern.ptr[0] == '@')
		return base_slice_equal_nocase(base_slice_from(pattern, 1), domain);
	if (pattern.len == 0 || !base_slice_ends_with_nocase(domain, pattern))
		return false;
	dot = domain.len - pattern.len;
	return dot == 0 || pattern.ptr[0] == '.' || domain.ptr[dot - 1] == '.';
}

static enum smtpd_recipients_result next(struct smtpd_recipients *r, struct smtpd_ask *out_ask)
{
	struct base_slice line;

	while (route_control_next(&r->rest, NULL, &line)) {
		size_t bar = base_slice_find(line, '|');
		size_t colon = base_slice_find(line, ':');
		size_t mark = bar < colon ? bar : colon;

		if (line.ptr[0] == '!') {
			if (domain_matches(base_slice_from(line, 1), whole(r)))
				return SMTPD_RECIPIENTS_WILD;
			continue;
		}
		if (mark < line.len && !domain_matches(base_slice_first(line, mark), whole(r)))
			continue;
		r->ask = (struct smtpd_ask){
			.kind = bar < colon ? SMTPD_ASK_PROGRAM : SMTPD_ASK_CDB,
			.target = mark < line.len ? base_slice_trim(base_slice_from(line, mark + 1))
						  : line,
			.key = whole(r),
		};
		r->cut = false;
		*out_ask = r->ask;
		return SMTPD_RECIPIENTS_ASK;
	}
	return SMTPD_RECIPIENTS_NO;
}

enum smtpd_recipients_result smtpd_recipients_begin(struct smtpd_recipients *r,
	struct base_slice rules, struct base_slice address, struct smtpd_ask *out_ask)
{
	size_t at = base_slice_find_last(address, '@');
	size_t dash = base_slice_find(address, '-');

	base_buf_clear(&r->address);
	r->rest = rules;
	base_buf_append_slice(&r->address, address);
	r->whole_len = r->address.len;
	if (dash < at) {
		base_buf_append_slice(&r->address, base_slice_first(address, dash + 1));
		base_buf_append_slice(&r->address, base_slice_from(address, at));
	}
	lower(&r->address, 0);
	return next(r, out_ask);
}

enum smtpd_recipients_result smtpd_recipients_answer(
	struct smtpd_recipients *r, enum smtpd_answer answer, struct smtpd_ask *out_ask)
{
	switch (answer) {
	case SMTPD_YES:
		return SMTPD_RECIPIENTS_YES;
	case SMTPD_CANNOT_TELL:
		return SMTPD_RECIPIENTS_FAILED;
	case SMTPD_NO:
		break;
	}
	if (!r->cut && cut(r).len) {
		r->cut = true;
		r->ask.key = cut(r);
		*out_ask = r->ask;
		return SMTPD_RECIPIENTS_ASK;
	}
	return next(r, out_ask);
}
