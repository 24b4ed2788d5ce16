/* qmail/smtpd_session.h: what smtpd_core.c and smtpd_auth.c share */
#ifndef QMAIL_SMTPD_SESSION_H
#define QMAIL_SMTPD_SESSION_H

#include "qmail/smtpd_core.h"

/* An address of the client and a suffix of the administrator's. */
#define SMTPD_ADDRESS_MAX_BYTES (SMTP_LOOSE_PATH_MAX_BYTES + 512)

/* Tell the engine what may be offered now. */
void smtpd_apply_mechanisms(struct smtpd *s);
void smtpd_on_auth(struct smtpd *s, const struct smtpd_now *now);
void smtpd_on_auth_response(struct smtpd *s);
/* The exchange ends without an outcome. */
void smtpd_drop_exchange(struct smtpd *s);

#endif
