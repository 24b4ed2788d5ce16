/* qmail/auth_client.h: the running server's auth, in the Dovecot authentication protocol
 * Job      connect, learn the mechanisms, carry one exchange after another
 * Not      deciding what is offered (smtpd_auth.c)
 * Trust    a server that breaks the protocol or stays silent is one that cannot tell: UNAVAILABLE
 * Time     blocks, AUTH_CLIENT_ANSWER_MS at most for each answer
 * Secrets  what passes through is wiped */
#ifndef QMAIL_AUTH_CLIENT_H
#define QMAIL_AUTH_CLIENT_H

#include "base/error.h"
#include "loop/tls.h"
#include "qmail/smtpd_core.h"
#include "wire/dovecot.h"

#define AUTH_CLIENT_ANSWER_MS (120 * 1000)
#define AUTH_CLIENT_HELLO_MS (5 * 1000)

struct auth_client {
	char *path;
	int fd; /* -1: none */
	struct wire_dovecot_client codec;
	struct base_buf in, scratch, out; /* secret */
	size_t used;                      /* of in, by the last event, whose words may lie there */
	uint32_t mask;                    /* sasl_mechanism_mask, after the handshake */
	uint32_t id;                      /* of the open exchange */
	bool waits_for_binding;
	char binding[32];
};

enum auth_client_result {
	AUTH_CLIENT_CHALLENGE, /* *out_text is the challenge */
	AUTH_CLIENT_OK,        /* *out_text is the user */
	AUTH_CLIENT_REJECTED,  /* *out_text is the user, or empty */
	AUTH_CLIENT_MALFORMED,
	AUTH_CLIENT_UNAVAILABLE,
};

void auth_client_init(struct auth_client *c, const char *path);
void auth_client_release(struct auth_client *c);
/* Connect and shake hands, if that is not done. 0 or TEMPORARY. */
BASE_MUST_USE int auth_client_open(struct auth_client *c, struct base_error *err);
/* @tls: for channel bindings, may be null. Results' text is borrowed until the next call. */
BASE_MUST_USE enum auth_client_result auth_client_begin(struct auth_client *c,
	struct wire_dovecot_auth *request, struct tls_session *tls, struct base_slice *out_text);
BASE_MUST_USE enum auth_client_result auth_client_continue(struct auth_client *c,
	struct base_slice response, struct tls_session *tls, struct base_slice *out_text);
void auth_client_cancel(struct auth_client *c);

#endif
