/* provider/source.h: one source of users behind one small table of functions
 * Job      a question in, an answer out; each kind of source is a file of its own
 * Not      frames (provider/core.h), which process serves what (loop/conf.h)
 * Time     ask() blocks for as long as its source does, up to PROVIDER_WAIT_MS: that is what these
 *          processes are for
 * Secrets  passwords are borrowed for the call; answers stand in secret buffers
 *
 * What a source that only says yes or no (checkpassword, saslauthd, pam) is asked beyond its means,
 * it answers UNKNOWN. Sources that are files answer everything:
 *
 *	LOOKUP    FOUND and what vault/verify.h checks
 *	PASSWORD  RIGHT or REFUSED, hashed here
 *	CRAM APOP FOUND and the clear password as a stored form, where there is one
 *	SCRAM     FOUND and keys, stored or made from the clear password */
#ifndef PROVIDER_SOURCE_H
#define PROVIDER_SOURCE_H

#include "base/digest.h"
#include "base/error.h"
#include "loop/ipc.h"

#define PROVIDER_WAIT_MS 8000
#define PROVIDER_COMMAND_MAX 32

struct provider_question {
	enum ipc_ask kind;
	enum base_hash hash; /* of SCRAM */
	struct base_slice name, secret, challenge;
	struct base_slice client; /* address as text; empty: unknown */
};

struct provider_answer {
	enum ipc_asked result;
	struct base_buf name;   /* as the source spells it; empty: as asked */
	struct base_buf stored; /* secret */
	struct base_buf reason; /* for the log; safe to print */
};
void provider_answer_init(struct provider_answer *a);
void provider_answer_clear(struct provider_answer *a);
void provider_answer_release(struct provider_answer *a);
/* Set result and reason, so that it can end a function. */
void provider_answer_set(struct provider_answer *a, enum ipc_asked result, const char *format, ...)
	BASE_PRINTF(3, 4);

/* What a section says, in words that need no configuration; all borrowed by open(). */
struct provider_options {
	const char *title;
	const char *path;           /* file, sasldb, saslauthd */
	int format;                 /* file: enum vault_file_format */
	const char *default_domain; /* "": none */
	bool has_domains;           /* it is asked about users of certain ones only */
	const char *service;        /* pam, saslauthd */
	const char *command[PROVIDER_COMMAND_MAX + 1]; /* checkpassword; null-ended */
	bool cram_legacy;
};

struct provider_source {
	const struct provider_source_type *type;
};

struct provider_source_type {
	const char *name;
	bool watched; /* a file: changed() is asked every second */
	/* Never null: what cannot be opened now is tried again at each question. */
	struct provider_source *(*open)(const struct provider_options *o);
	void (*ask)(struct provider_source *s, const struct provider_question *q,
		struct provider_answer *a);
	/* True, once: the file is another one than at the last call, or its state (readable or not)
	 * is. */
	bool (*changed)(struct provider_source *s);
	void (*close)(struct provider_source *s);
};

extern const struct provider_source_type provider_file, provider_sasldb, provider_checkpassword,
	provider_saslauthd;
/* Null in a build without libpam. */
extern const struct provider_source_type *const provider_pam;

#endif
