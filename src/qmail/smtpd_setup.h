/* qmail/smtpd_setup.h: command line, environment, control files and configuration of postern-smtpd
 * Job      fill struct smtpd_options, and say which partners the session has
 * Not      the session (smtpd_core.h)
 * Order    parse, load, … the session …, release
 * Errors   what must be mended is one line in @complaints each; false: the client gets 421 */
#ifndef QMAIL_SMTPD_SETUP_H
#define QMAIL_SMTPD_SETUP_H

#include "loop/conf.h"
#include "loop/tls.h"
#include "qmail/smtpd_core.h"

enum smtpd_control {
	SMTPD_CONTROL_ME,
	SMTPD_CONTROL_GREETING,
	SMTPD_CONTROL_LOCALIPHOST,
	SMTPD_CONTROL_TIMEOUT,
	SMTPD_CONTROL_DATABYTES,
	SMTPD_CONTROL_RCPTHOSTS,
	SMTPD_CONTROL_MORERCPTHOSTS,
	SMTPD_CONTROL_BADMAILFROM,
	SMTPD_CONTROL_RECIPIENTS,
	SMTPD_CONTROL_COUNT
};

struct smtpd_setup {
	/* command line */
	const char *conf_path; /* null: not given */
	bool compat, allow_clear;
	enum smtpd_log log;
	enum wire_checkpassword_order cram_order;
	char **checker; /* null: none; null-ended */

	struct smtpd_options options;
	struct conf *conf; /* null: none */
	struct base_buf control[SMTPD_CONTROL_COUNT];
	struct smtpd_file file[SMTPD_CONTROL_COUNT];
	struct base_buf complaints; /* lines for descriptor 2 */
	const char *refusal, *refusal_original;
	const char *queue_path; /* of qmail-queue; null: Postern's own queue */
	char *auth_path;        /* of the running server's auth; null: none */
	struct tls_context *tls;
	bool certificate_found;
	int timeout_s;
	uint8_t mock_key[32];
};

/* False: an option that is none (complaint written); the session is refused. */
bool smtpd_setup_parse(struct smtpd_setup *s, int argc, char **argv);
/* All but what the running server's auth offers: smtpd_setup_offer() then. */
bool smtpd_setup_load(struct smtpd_setup *s);
/* @server_mask: mechanisms of the running server, where there is no checker. */
void smtpd_setup_offer(struct smtpd_setup *s, uint32_t server_mask);
/* smtpd_relay_ctrl.c: set $RELAYCLIENT for a client that relay-ctrl knows. */
void smtpd_relay_ctrl_check(void);
void smtpd_setup_release(struct smtpd_setup *s);

#endif
