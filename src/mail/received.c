#include "mail/received.h"

#include "base/escape.h"
#include "base/time.h"

enum { WORD_MAX_BYTES = 255, USER_MAX_BYTES = 128 };

const char *mail_received_with(const struct mail_origin *origin)
{
	static const char names[2][4][12] = {
		{"ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA"},
		{"UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA"},
	};

	if (!origin->esmtp)
		return "SMTP";
	return names[origin->smtputf8][(origin->authenticated ? 2 : 0) + (origin->tls ? 1 : 0)];
}

static void write_word(
	const struct mail_origin *origin, struct base_slice word, struct base_buf *out)
{
	base_escape_header(word, origin->smtputf8, WORD_MAX_BYTES, out);
}

/* HELO as an address would show what show_client = false hides. */
static bool is_address(struct base_slice helo)
{
	struct base_addr addr;

	return base_addr_parse_literal(helo, &addr) || base_addr_parse(helo, &addr);
}

static void write_from(const struct mail_origin *origin, struct base_buf *out)
{
	bool known = origin->client.family != BASE_ADDR_NONE;

	if (origin->helo.len && (origin->show_client || !is_address(origin->helo)))
		write_word(origin, origin->helo, out);
	else
		base_buf_append_text(out, "unknown");
	if (origin->show_client && known) {
		base_buf_append_text(out, " (");
		base_addr_format_literal(&origin->client, out);
		base_buf_append_byte(out, ')');
	} else if (!origin->show_client && origin->client_pseudonym.len) {
		base_buf_append_text(out, " (");
		write_word(origin, origin->client_pseudonym, out);
		base_buf_append_byte(out, ')');
	}
}

static void write_user(const struct mail_origin *origin, struct base_buf *out)
{
	struct base_slice name = origin->show_user ? origin->user : origin->user_pseudonym;

	if (!origin->authenticated || name.len == 0)
		return;
	base_buf_append_text(out, "\r\n\t(authenticated as ");
	base_escape_header(name, origin->smtputf8, USER_MAX_BYTES, out);
	base_buf_append_byte(out, ')');
}

bool mail_received_write(const struct mail_origin *origin, struct base_buf *out)
{
	base_buf_append_text(out, "Received: from ");
	write_from(origin, out);
	write_user(origin, out);
	base_buf_append_text(out, "\r\n\tby ");
	write_word(origin, origin->host_name, out);
	base_buf_append_text(out, " with ");
	base_buf_append_text(out, mail_received_with(origin));
	base_buf_append_text(out, " id ");
	base_buf_append_slice(out, base_id_slice(&origin->message_id));
	if (origin->tls && origin->tls_version.len) {
		base_buf_append_text(out, "\r\n\t(");
		write_word(origin, origin->tls_version, out);
		if (origin->tls_cipher.len) {
			base_buf_append_byte(out, ' ');
			write_word(origin, origin->tls_cipher, out);
		}
		base_buf_append_byte(out, ')');
	}
	base_buf_append_text(out, ";\r\n\t");
	base_time_rfc5322(origin->now_ms, out);
	return base_buf_append_text(out, "\r\n") && base_buf_ok(out);
}
