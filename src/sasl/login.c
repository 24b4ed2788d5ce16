/* LOGIN (draft-murchison-sasl-login, as the field has it): user name, then password, each alone.
 * The prompts are in the table of server.c; our client does not look at them, because servers
 * differ, but answers the first with the name and the second with the password. */
#include "sasl/client_internal.h"
#include "sasl/server_internal.h"

enum sasl_server_result sasl_login_server_user(
	struct sasl_server *s, struct base_slice response, struct base_buf *out)
{
	const char *problem;

	if (response.len == 0)
		return sasl_server_fail(s, SASL_SERVER_MALFORMED, "empty user name");
	problem = sasl_server_take_user(s, response);
	if (problem)
		return sasl_server_fail(s, SASL_SERVER_REJECTED, problem);
	base_buf_append_text(out, "Password:");
	return SASL_SERVER_CHALLENGE;
}

enum sasl_server_result sasl_login_server_password(
	struct sasl_server *s, struct base_slice response, struct base_buf *out)
{
	const char *problem;

	(void)out;
	if (response.len == 0)
		return sasl_server_fail(s, SASL_SERVER_MALFORMED, "empty password");
	problem = sasl_server_take_password(s, response);
	if (problem)
		return sasl_server_fail(s, SASL_SERVER_REJECTED, problem);
	return SASL_SERVER_CHECK_PASSWORD;
}

enum sasl_client_result sasl_login_client_user(
	struct sasl_client *c, struct base_slice challenge, struct base_buf *out)
{
	(void)challenge;
	base_buf_append_slice(out, base_secret_slice(&c->user));
	return SASL_CLIENT_RESPONSE;
}

enum sasl_client_result sasl_login_client_password(
	struct sasl_client *c, struct base_slice challenge, struct base_buf *out)
{
	(void)challenge;
	base_buf_append_slice(out, base_secret_slice(&c->password));
	return SASL_CLIENT_RESPONSE;
}
