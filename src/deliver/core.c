#include "deliver/core.h"

#include <string.h>

enum { VALUE_MAX_BYTES = 255 }; /* NAME_MAX of every file system that matters */

/* The local part as it would be without quotes: "john doe" and john\ doe name one mailbox. */
static bool unquote(struct base_slice local, struct base_buf *out)
{
	bool quoted = local.len >= 2 && local.ptr[0] == '"' && local.ptr[local.len - 1] == '"';

	if (!quoted)
		return base_buf_append_slice(out, local);
	for (size_t i = 1; i + 1 < local.len; i++) {
		if (local.ptr[i] == '\\' && i + 2 < local.len)
			i++;
		if (!base_buf_append_byte(out, local.ptr[i]))
			return false;
	}
	return true;
}

static bool is_safe_value(struct base_slice value)
{
	if (value.len == 0 || value.len > VALUE_MAX_BYTES || value.ptr[0] == '.')
		return false;
	for (size_t i = 0; i < value.len; i++)
		if (value.ptr[i] < 0x20 || value.ptr[i] == 0x7f || value.ptr[i] == '/')
			return false;
	return true;
}

/* Append the value that @word ("user") stands for. */
static enum deliver_path_result put_value(struct base_slice word, struct base_slice local,
	struct base_slice domain, struct base_buf *out)
{
	bool address = base_slice_equal_text(word, "address");
	bool user = address || base_slice_equal_text(word, "user");
	size_t start = out->len;

	if (!user && !base_slice_equal_text(word, "domain"))
		return DELIVER_PATH_BAD_TEMPLATE;
	if (user && !unquote(local, out))
		return DELIVER_PATH_NO_MAILBOX;
	/* The parts are judged one by one too: "@d" as {address} would hide an empty user. */
	if (address && !is_safe_value(base_slice_from(base_buf_slice(out), start)))
		return DELIVER_PATH_NO_MAILBOX;
	if (address)
		base_buf_append_byte(out, '@');
	for (size_t i = 0; (address || !user) && i < domain.len; i++)
		base_buf_append_byte(out, base_ascii_lower(domain.ptr[i]));
	if (!base_buf_ok(out) || !is_safe_value(base_slice_from(base_buf_slice(out), start)))
		return DELIVER_PATH_NO_MAILBOX;
	return DELIVER_PATH_OK;
}

enum deliver_path_result deliver_path(struct base_slice template, struct base_slice address,
	struct base_slice host_name, struct base_buf *out)
{
	size_t at = base_slice_find_last(address, '@');
	struct base_slice local = base_slice_first(address, at);
	struct base_slice domain = at < address.len ? base_slice_from(address, at + 1) : host_name;
	size_t start = out->len;

	if (template.len == 0 || template.ptr[0] != '/' || base_slice_has(template, 0))
		return DELIVER_PATH_BAD_TEMPLATE;
	while (template.len) {
		size_t open = base_slice_find(template, '{');
		size_t shut = base_slice_find(template, '}');
		enum deliver_path_result result;

		base_buf_append_slice(out, base_slice_first(template, open));
		if (open == template.len)
			break;
		result = shut > open && shut < template.len
			? put_value(base_slice_make(template.ptr + open + 1, shut - open - 1),
				  local, domain, out)
			: DELIVER_PATH_BAD_TEMPLATE;
		if (result != DELIVER_PATH_OK) {
			base_buf_truncate(out, start);
			return result;
		}
		template = base_slice_from(template, shut + 1);
	}
	if (!base_buf_ok(out) || out->len - start > DELIVER_PATH_MAX_BYTES) {
		base_buf_truncate(out, start);
		return DELIVER_PATH_BAD_TEMPLATE;
	}
	return DELIVER_PATH_OK;
}

struct base_slice deliver_path_prefix(struct base_slice template)
{
	struct base_slice fixed = base_slice_first(template, base_slice_find(template, '{'));
	size_t slash;

	if (fixed.len == template.len)
		return template;
	slash = base_slice_find_last(fixed, '/');
	if (slash == fixed.len)
		return BASE_SLICE_EMPTY;
	return base_slice_first(fixed, slash ? slash : 1);
}

/* FNV-1a: only tells the recipients of one message apart. */
static uint64_t hash(struct base_slice s)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < s.len; i++)
		h = (h ^ s.ptr[i]) * UINT64_C(0x100000001b3);
	return h;
}

bool deliver_name(int64_t arrived_ms, struct base_slice message_id, struct base_slice address,
	struct base_slice host_name, struct base_buf *out)
{
	struct base_slice host = base_slice_first(host_name, 64);

	base_buf_printf(out, "%lld.M%lldQ", (long long)(arrived_ms / 1000),
		(long long)(arrived_ms % 1000 * 1000));
	for (size_t i = 0; i < message_id.len && i < 32; i++)
		base_buf_append_byte(
			out, base_ascii_is_alnum(message_id.ptr[i]) ? message_id.ptr[i] : '_');
	base_buf_printf(out, "R%016llx.", (unsigned long long)hash(address));
	for (size_t i = 0; i < host.len; i++) {
		uint8_t c = host.ptr[i];

		base_buf_append_byte(out, base_ascii_is_alnum(c) || c == '.' || c == '-' ? c : '_');
	}
	return base_buf_ok(out);
}

/* One line, whatever the address holds. */
static void put_address(struct base_slice address, struct base_buf *out)
{
	for (size_t i = 0; i < address.len; i++)
		base_buf_append_byte(out,
			address.ptr[i] < 0x20 || address.ptr[i] == 0x7f ? '?' : address.ptr[i]);
}

bool deliver_head(struct base_slice sender, struct base_slice address, struct base_buf *out)
{
	base_buf_append_text(out, "Return-Path: <");
	put_address(sender, out);
	base_buf_append_text(out, ">\nDelivered-To: ");
	put_address(address, out);
	return base_buf_append_byte(out, '\n') && base_buf_ok(out);
}

bool deliver_lines_push(struct deliver_lines *l, struct base_slice in, struct base_buf *out)
{
	uint8_t *to = base_buf_reserve(out, in.len + 1);
	size_t len = 0;

	if (!to)
		return false;
	while (in.len) {
		const uint8_t *cr;
		size_t run;

		if (l->after_cr && in.ptr[0] != '\n')
			to[len++] = '\r';
		l->after_cr = false;
		cr = memchr(in.ptr, '\r', in.len);
		run = cr ? (size_t)(cr - in.ptr) : in.len;
		memcpy(to + len, in.ptr, run);
		len += run;
		if (cr)
			l->after_cr = true;
		in = base_slice_from(in, cr ? run + 1 : run);
	}
	base_buf_grew(out, len);
	return true;
}

bool deliver_lines_end(struct deliver_lines *l, struct base_buf *out)
{
	bool due = l->after_cr;

	l->after_cr = false;
	return !due || base_buf_append_byte(out, '\r');
}

static struct job_rcpt_result verdict(uint32_t index, enum job_outcome outcome, uint16_t code,
	const char *enhanced, const char *reason)
{
	return (struct job_rcpt_result){
		.index = index,
		.outcome = outcome,
		.code = code,
		.enhanced = base_slice_text(enhanced),
		.reason = base_slice_text(reason),
	};
}

struct job_rcpt_result deliver_verdict(uint32_t index, const struct base_error *err)
{
	if (!err)
		return verdict(index, JOB_DELIVERED, 250, "2.0.0", "written to the maildir");
	switch (err->class) {
	case BASE_ERROR_NO_SPACE:
		return verdict(index, JOB_DEFERRED, 452, "4.3.1", err->text);
	case BASE_ERROR_PERMANENT:
		return verdict(index, JOB_FAILED, 550, "5.2.0", err->text);
	case BASE_ERROR_NONE:
	case BASE_ERROR_TEMPORARY:
	case BASE_ERROR_CONFIG:
	case BASE_ERROR_PEER:
	case BASE_ERROR_NOT_FOUND:
	case BASE_ERROR_EXISTS:
		break;
	}
	return verdict(index, JOB_DEFERRED, 451, "4.3.0", err->text);
}

struct job_rcpt_result deliver_path_verdict(uint32_t index, enum deliver_path_result result)
{
	if (result == DELIVER_PATH_NO_MAILBOX)
		return verdict(
			index, JOB_FAILED, 550, "5.1.1", "this address cannot name a mailbox here");
	return verdict(index, JOB_DEFERRED, 451, "4.3.5",
		"the route's maildir path is not of the form /path/{user}");
}
