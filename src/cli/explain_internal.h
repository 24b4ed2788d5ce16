/* cli/explain_internal.h: what the files of explain share
 * Job      the session, the exchange that runs in it, and small words
 * Not      for anybody else */
#ifndef CLI_EXPLAIN_INTERNAL_H
#define CLI_EXPLAIN_INTERNAL_H

#include "base/digest.h"
#include "cli/explain.h"
#include "sasl/mechanism.h"
#include "smtp/command.h"

enum explain_kind {
	EXPLAIN_KIND_OTHER, /* a mechanism that is only named */
	EXPLAIN_KIND_PLAIN,
	EXPLAIN_KIND_LOGIN,
	EXPLAIN_KIND_CRAM,
	EXPLAIN_KIND_DIGEST,
	EXPLAIN_KIND_SCRAM,
	EXPLAIN_KIND_XOAUTH2,
	EXPLAIN_KIND_OAUTHBEARER,
	EXPLAIN_KIND_EXTERNAL,
	EXPLAIN_KIND_ANONYMOUS,
};

#define EXPLAIN_MESSAGE_MAX 16384

struct explain_scram {
	struct base_buf header, first_bare, server_first,
		nonce; /* nonce: the client's, then both */
	struct base_buf salt;
	uint64_t rounds;
	bool proof_right, signature_known;
	uint8_t signature[BASE_HASH_MAX_BYTES]; /* of the server, as it should be */
};

struct explain_exchange {
	bool running;
	enum explain_kind kind;
	enum sasl_mechanism mechanism; /* SCRAM only */
	char name[24];
	bool announced;
	bool out_of_place;              /* AUTH was not allowed here: 503 is due */
	bool cancelled;                 /* the client's last line was "*" */
	bool bad_base64;                /* … was no base64 */
	bool odd;                       /* … had not its mechanism's form: it may be anything */
	bool unseen;                    /* something was not in the transcript */
	bool server_final;              /* SCRAM's v=, DIGEST-MD5's rspauth= */
	bool refused;                   /* OAuth's error was sent */
	bool asks_password;             /* LOGIN: the prompt says so */
	bool in_clear_said;             /* the mistake was told */
	bool may_fold;                  /* the last 334 had no challenge */
	unsigned challenges, responses; /* the initial response is one */
	struct base_buf challenge;      /* CRAM-MD5, DIGEST-MD5: the first */
	char rspauth[40];               /* DIGEST-MD5: as it should be; "" unknown */
	struct explain_scram scram;
};

#define EXPLAIN_PENDING_MAX 64

struct explain {
	bool show_secrets, tls;
	struct base_buf user;
	struct base_buf password; /* secret */
	uint64_t *rounds_left;
	bool greeted, ehlo, helo, authenticated;
	bool seen; /* a line of the dialogue's beginning: what is missing now is missing */
	bool in_mail, has_rcpt, in_body;
	bool body_begun;
	uint64_t chunk;      /* bytes of BDAT that are left */
	bool in_reply;       /* a line with "-" was the last */
	unsigned reply_code; /* of it */
	bool ended_badly;
	bool knows_offer;
	bool starttls_offered;
	struct base_buf offer; /* " PLAIN LOGIN " */
	enum smtp_verb pending[EXPLAIN_PENDING_MAX];
	size_t pending_count;
	struct explain_exchange x;
};

void explain_mistake(struct explain_line *l, enum explain_rule rule, const char *format, ...)
	BASE_PRINTF(3, 4);
/* Append words to the meaning. */
void explain_say(struct explain_line *l, const char *format, ...) BASE_PRINTF(2, 3);
/* Bytes of a stranger between quotes, at most @max of them. */
void explain_quote(struct explain_line *l, struct base_slice s, size_t max);
/* "<N characters>", or the bytes themselves where secrets are shown. */
void explain_secret(struct explain *e, struct explain_line *l, struct base_slice s);
/* Strict base64 into @out; what is wrong becomes a mistake, and false. */
bool explain_base64(struct explain_line *l, struct base_slice text, struct base_buf *out);
bool explain_knows_password(const struct explain *e);
bool explain_offers(const struct explain *e, struct base_slice mechanism);

/* The exchange: explain_sasl.c. */
void explain_exchange_release(struct explain_exchange *x);
/* @argument: what stands behind AUTH. */
void explain_auth(struct explain *e, struct base_slice argument, struct explain_line *l);
void explain_response(struct explain *e, struct base_slice text, struct explain_line *l);
/* What stands behind "334 ". */
void explain_challenge(struct explain *e, struct base_slice text, struct explain_line *l);
/* An empty challenge makes no sense in it. */
bool explain_server_first(const struct explain_exchange *x);
void explain_end(struct explain *e, unsigned code, struct explain_line *l);

/* Decoded messages, by mechanism. */
void explain_scram_client(struct explain *e, struct base_slice m, struct explain_line *l);
void explain_scram_server(struct explain *e, struct base_slice m, struct explain_line *l);
void explain_cram_server(struct explain *e, struct base_slice m, struct explain_line *l);
void explain_cram_client(struct explain *e, struct base_slice m, struct explain_line *l);
void explain_digest_server(struct explain *e, struct base_slice m, struct explain_line *l);
void explain_digest_client(struct explain *e, struct base_slice m, struct explain_line *l);
void explain_oauth_client(struct explain *e, struct base_slice m, struct explain_line *l);
void explain_oauth_server(struct explain *e, struct base_slice m, struct explain_line *l);
/* The AUTH= parameter of MAIL. */
void explain_auth_parameter(struct base_slice argument, struct explain_line *l);

#endif
