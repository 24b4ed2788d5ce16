/* qmail/remote.h: postern-remote, one message to one host for qmail-rspawn
 * Job      remote_main.c     arguments, home, the targets in order
 *          remote_control.c  qmail's control files, read whole
 *          remote_plan.c     where to, from which address, as whom, over which TLS
 *          remote_dns.c      names by libunbound, one question after the other; who of them is us
 *          remote_net.c      one connection, blocking
 *          remote_session.c  one session of smtp/client.h on it
 *          remote_message.c  the message on descriptor 0
 *          remote_report.c   what qmail-rspawn reads on descriptor 1
 * Trust    the server and its DNS are strangers; arguments come from qmail's queue, which took them
 *          from strangers; the control files are the administrator's
 * Secrets  authsenders and smtproutes stay in secret buffers; what is sent, too
 * Exit     always 0: the reports say how it went */
#ifndef QMAIL_REMOTE_H
#define QMAIL_REMOTE_H

#include "base/buf.h"
#include "base/error.h"
#include "base/host.h"
#include "loop/tls.h"
#include "route/control.h"
#include "route/mx.h"
#include "smtp/client.h"

/* control files */

enum remote_file {
	REMOTE_FILE_ME,
	REMOTE_FILE_HELOHOST,
	REMOTE_FILE_SMTPROUTES,
	REMOTE_FILE_AUTHSENDERS,
	REMOTE_FILE_TIMEOUTCONNECT,
	REMOTE_FILE_TIMEOUTREMOTE,
	REMOTE_FILE_OUTGOINGIP,
	REMOTE_FILE_DOMAINIPS,
	REMOTE_FILE_TLSPOLICY,
	REMOTE_FILE_CAFILE,
	REMOTE_FILE_COUNT
};

struct remote_control {
	struct base_slice file[REMOTE_FILE_COUNT]; /* empty where there is none */
	struct base_buf bytes[REMOTE_FILE_COUNT];  /* what the slices point into; secret */
};

/* From the folder control of the working directory. 0, or the first file that cannot be read. */
BASE_MUST_USE int remote_control_read(struct remote_control *c, struct base_error *err);
void remote_control_release(struct remote_control *c);

/* what to do */

struct remote_plan {
	struct base_slice host; /* the relay, or the destination where there is none */
	bool routed;            /* a host that the administrator named: no MX */
	uint16_t port;          /* 0: the usual one */
	bool credentials;
	struct base_slice user, password;
	struct base_slice helo;
	struct base_addr source;     /* family NONE: any */
	struct base_slice interface; /* of the source; usually empty */
	uint32_t connect_s, reply_s;
};

/* False: what is wrong, a whole report for the message, is appended to @out_why. The plan borrows
 * all arguments. */
BASE_MUST_USE bool remote_plan_make(const struct remote_control *c, struct base_slice host,
	struct base_slice sender, struct remote_plan *out, struct base_buf *out_why);

struct remote_tls {
	enum smtp_client_tls mode;
	bool verify;
	bool allow_plaintext; /* the administrator said for this host that the password may go */
};
/* For a session with @mx_host (that a relay's name came to, or an MX). False as above. */
BASE_MUST_USE bool remote_plan_tls(const struct remote_control *c, const struct remote_plan *plan,
	const char *mx_host, struct remote_tls *out, struct base_buf *out_why);
/* The name that a certificate must carry. The DNS may say which mail exchanger a domain has, but
 * not who gets a password: then it must be a name of the domain's own, or the domain itself. */
void remote_plan_tls_name(
	const struct remote_plan *plan, const char *mx_host, char out[ROUTE_DNS_NAME_MAX_BYTES]);
/* As qmail writes an address of its queue on the wire: the local part in quotes where need be. */
void remote_address_quote(struct base_slice address, struct base_buf *out);

/* names */

/* Fills @m until it is READY or FAILED. @own_name: ours. 0, or CONFIG: no resolver can be had. */
BASE_MUST_USE int remote_dns_find(struct route_mx *m, const struct remote_plan *plan,
	struct base_slice own_name, struct base_error *err);
/* Leave out what is ourselves and what is not better than we are. False: nothing is left. */
BASE_MUST_USE bool remote_dns_leave_self(struct route_mx *m);

/* the message */

enum { REMOTE_MESSAGE_BYTES = 65536 };

struct remote_message {
	int fd;
	uint8_t *bytes; /* REMOTE_MESSAGE_BYTES */
	size_t at, len;
	bool ended, failed;
	uint8_t last_byte; /* '\n' before the first */
};

struct remote_message_facts {
	uint64_t size_bytes; /* on the wire; 0: not known */
	bool has_8bit;
};

void remote_message_init(struct remote_message *m, int fd);
void remote_message_release(struct remote_message *m);
/* Look through a file once; what is no file, or ends within a line, has no facts. */
struct remote_message_facts remote_message_scan(const struct remote_message *m);
/* Have at least one byte between at and len, or ended, or failed. */
void remote_message_fill(struct remote_message *m);

/* reports */

/* "Remote host said" is cut here, at the end of a line if it can be. */
#define REMOTE_REPLY_MAX_BYTES 5000

struct remote_rcpt_report {
	char kind;  /* r, h, s; 0: none yet */
	char *text; /* null: none */
};

struct remote_report {
	struct base_buf out; /* for descriptor 1 */
	struct remote_rcpt_report *rcpts;
	size_t rcpt_count, told;
	bool complete; /* the message's report is in @out */
};

void remote_report_init(struct remote_report *r, size_t rcpt_count);
void remote_report_release(struct remote_report *r);
/* A recipient's report; @text (may be null) is copied. They leave in their order. */
void remote_report_rcpt(struct remote_report *r, size_t index, char kind, const char *text);
/* The message's report; only the first counts. Recipients that have none by now get none. */
void remote_report_message(struct remote_report *r, const char *text);
/* Append a stranger's text: line ends stay, other control bytes become '?'; an LF at the end. */
void remote_report_said(struct base_slice raw, struct base_buf *out);
/* Append what shall stand in one line: blanks, control and 8-bit bytes become '?'. */
void remote_report_word(struct base_slice raw, struct base_buf *out);
/* All of @out to @fd; false: nobody reads any more. */
bool remote_report_write(struct remote_report *r, int fd);

/* one connection */

struct remote_net {
	int fd;
	struct tls_session *tls;
	int64_t reply_ms;
	bool write_broken; /* what is written from now on is dropped */
};

/* 0, or errno. */
BASE_MUST_USE int remote_net_connect(
	struct remote_net *net, const struct base_addr *addr, const struct remote_plan *plan);
BASE_MUST_USE bool remote_net_handshake(struct remote_net *net, struct tls_context *context,
	const char *host, bool verify, struct base_error *err);
/* Send and empty @out. False: the connection is broken, or nothing could be sent in time. */
bool remote_net_write(struct remote_net *net, struct base_buf *out);
/* Append what comes next to @in. False: nothing will. */
BASE_MUST_USE bool remote_net_read(struct remote_net *net, struct base_buf *in);
void remote_net_close(struct remote_net *net);

/* one session */

struct remote_job {
	const struct remote_control *control;
	const struct remote_plan *plan;
	struct tls_context *context; /* made when it is needed */
	bool context_verifies;       /* it has authorities */
	struct base_slice sender;
	const struct smtp_client_rcpt *rcpts;
	size_t rcpt_count;
	struct remote_message message;
	struct remote_report report;
	/* What the last target that gave no verdict would have us report; empty: none answered. */
	struct base_buf unsettled;
};

/* With one target. True: the report is complete; false: the next target may do better. */
BASE_MUST_USE bool remote_session_run(struct remote_job *job, const struct route_mx_target *target);

#endif
