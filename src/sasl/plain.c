/* PLAIN (RFC 4616): [authzid] NUL authcid NUL password, both sides. */
#include "sasl/client_internal.h"
#include "sasl/server_internal.h"

struct parts {
	struct base_slice authzid, user, password;
};

/* Exactly two NULs; user and password not empty. */
static bool parse(struct base_slice message, struct parts *out)
{
	struct parts p;
	size_t nul = base_slice_find(message, '\0');

	if (nul == message.len)
		return false;
	p.authzid = base_slice_first(message, nul);
	message = base_slice_from(message, nul + 1);
	nul = base_slice_find(message, '\0');
	if (nul == message.len)
		return false;
	p.user = base_slice_first(message, nul);
	p.password = base_slice_from(message, nul + 1);
	if (base_slice_has(p.password, '\0') || p.user.len == 0 || p.password.len == 0)
		return false;
	*out = p;
	return true;
}

enum sasl_server_result sasl_plain_server_message(
	struct sasl_server *s, struct base_slice response, struct base_buf *out)
{
	struct parts p;
	const char *problem;

	(void)out;
	if (!parse(response, &p))
		return sasl_server_fail(s, SASL_SERVER_MALFORMED,
			"not authzid, user and password between two NULs");
	problem = sasl_server_take_user(s, p.user);
	if (!problem)
		problem = sasl_server_take_authzid(s, p.authzid);
	/* Last: a password is kept only while it is asked about. */
	if (!problem)
		problem = sasl_server_take_password(s, p.password);
	if (problem)
		return sasl_server_fail(s, SASL_SERVER_REJECTED, problem);
	return SASL_SERVER_CHECK_PASSWORD;
}

enum sasl_client_result sasl_plain_client_begin(struct sasl_client *c, struct base_buf *out)
{
	base_buf_append_slice(out, base_secret_slice(&c->authzid));
	base_buf_append_byte(out, '\0');
	base_buf_append_slice(out, base_secret_slice(&c->user));
	base_buf_append_byte(out, '\0');
	base_buf_append_slice(out, base_secret_slice(&c->password));
	return SASL_CLIENT_RESPONSE;
}
