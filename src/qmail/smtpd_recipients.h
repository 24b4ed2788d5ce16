/* qmail/smtpd_recipients.h: who is named in rcpthosts, badmailfrom and recipients
 * Job      the rules of qmail's lists; the RECIPIENTS extension as questions, one after another
 * Not      files and programs (the shell answers the questions)
 * Trust    addresses are a stranger's; the files are the administrator's, but any byte may be in them
 * Memory   slices point into the file and the address, borrowed until the last question is answered
 *
 * control/recipients, in its order; what is named first and says yes wins, at the end the answer is no:
 *   domain:file.cdb   @domain:file.cdb   *:file.cdb   file.cdb      key ":" + address, no data
 *   domain|prog args  @domain|prog args  *|prog args                address NUL NUL NUL on descriptor 3
 *   !domain           !*                                            yes
 * A domain means its subdomains too, "@domain" only itself. What is not found is asked again with the
 * local part cut behind its first '-' (list-@domain). */
#ifndef QMAIL_SMTPD_RECIPIENTS_H
#define QMAIL_SMTPD_RECIPIENTS_H

#include "base/buf.h"

enum smtpd_answer { SMTPD_YES, SMTPD_NO, SMTPD_CANNOT_TELL };

/* Is the domain of @address, or a ".suffix" of it, a line of @list or a key of @cdb (both may be
 * empty)? Yes for an address without one. CANNOT_TELL: it is in no line, and @cdb is damaged. */
enum smtpd_answer smtpd_hosts_allow(
	struct base_slice list, struct base_slice cdb, struct base_slice address);
/* Is @sender, or its "@host", a line of @list? */
bool smtpd_sender_is_bad(struct base_slice list, struct base_slice sender);

enum smtpd_ask_kind { SMTPD_ASK_CDB, SMTPD_ASK_PROGRAM };
struct smtpd_ask {
	enum smtpd_ask_kind kind;
	struct base_slice target; /* the file, or the program and its arguments */
	struct base_slice key; /* the address in lower case; points into smtpd_recipients.address */
};

enum smtpd_recipients_result {
	SMTPD_RECIPIENTS_ASK, /* *out_ask is set: smtpd_recipients_answer() */
	SMTPD_RECIPIENTS_YES,
	SMTPD_RECIPIENTS_WILD, /* yes, by "!domain" or "!*" */
	SMTPD_RECIPIENTS_NO,
	SMTPD_RECIPIENTS_FAILED, /* nobody can tell now */
};

struct smtpd_recipients {
	struct base_slice rest; /* rules that were not looked at */
	struct smtpd_ask ask;
	struct base_buf address; /* lower case, then the cut form */
	size_t whole_len;
	bool cut; /* the open question is about the cut form */
};

void smtpd_recipients_init(struct smtpd_recipients *r);
void smtpd_recipients_release(struct smtpd_recipients *r);
BASE_MUST_USE enum smtpd_recipients_result smtpd_recipients_begin(struct smtpd_recipients *r,
	struct base_slice rules, struct base_slice address, struct smtpd_ask *out_ask);
BASE_MUST_USE enum smtpd_recipients_result smtpd_recipients_answer(
	struct smtpd_recipients *r, enum smtpd_answer answer, struct smtpd_ask *out_ask);

#endif
