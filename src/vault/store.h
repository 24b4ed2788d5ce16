/* vault/store.h: the file of users, app passwords and accounts
 * Job      rows in and out, one transaction each; recoverable secrets sealed under a key that is kept
 *          in a file of its own, so that the database alone gives none away
 * Not      deciding anything (vault/admin.h, auth/); other engines may stand behind this header
 * Files    data/vault.db (with -wal and -shm), data/vault.key: 32 random bytes, mode 0600
 * Time     reads are small and stay in this process; a write waits for the disk
 * Secrets  vault_store_user_secret() and vault_store_account_part_get() give them; nothing else does */
#ifndef VAULT_STORE_H
#define VAULT_STORE_H

#include "vault/credentials.h"
#include "vault/name.h"

#include <sys/types.h>

#define VAULT_LABEL_MAX_BYTES 64
#define VAULT_ADDRESS_MAX_BYTES 320
#define VAULT_URL_MAX_BYTES 512
#define VAULT_MOCK_KEY_BYTES 32

struct vault_store;

struct vault_store_options {
	const char *data_dir;
	uint32_t busy_ms; /* how long to wait for another process: 20000 for commands */
	bool chown;       /* give what is created to these; only root can */
	uid_t uid;
	gid_t gid;
};

/* Open, creating what is not there (the directory too). 0, or CONFIG (permissions, not a vault, key
 * missing though sealed values exist), TEMPORARY, NO_SPACE. */
BASE_MUST_USE int vault_store_open(struct vault_store **out,
	const struct vault_store_options *options, struct base_error *err);
void vault_store_close(struct vault_store **store);

/* The same over restarts: salts of users that do not exist come from it. */
const uint8_t *vault_store_mock_key(const struct vault_store *store);

/* Several changes as one. Every put outside of begin and commit is a transaction of its own. */
BASE_MUST_USE int vault_store_begin(struct vault_store *store, struct base_error *err);
BASE_MUST_USE int vault_store_commit(struct vault_store *store, struct base_error *err);
void vault_store_rollback(struct vault_store *store);

/* A user, or an app password of a user (then label is not empty and name is the user's). */
struct vault_user {
	int64_t id, app_id;                  /* app_id 0: the user itself */
	char name[VAULT_NAME_MAX_BYTES + 1]; /* as it was added */
	char label[VAULT_LABEL_MAX_BYTES + 1];
	bool disabled; /* users only */
	bool has_secret;
	int64_t created_ms, changed_ms;
	int64_t expires_ms;                            /* 0: never */
	sasl_mechanism_mask mechanisms;                /* 0: those of auth { } */
	uint32_t limit_per_hour;                       /* 0: none */
	char hash[VAULT_HASH_MAX_BYTES + 1];           /* "" none */
	struct sasl_scram_keys scram[BASE_HASH_COUNT]; /* iterations 0: none */
};

/* Which mechanisms of @mask what is stored for @user cannot serve. */
sasl_mechanism_mask vault_user_missing(const struct vault_user *user, sasl_mechanism_mask mask);

/* NOT_FOUND, or the store's error. */
BASE_MUST_USE int vault_store_user_get(struct vault_store *store, const struct vault_key *key,
	struct vault_user *out, struct base_error *err);
BASE_MUST_USE int vault_store_app_get(struct vault_store *store, const struct vault_user *user,
	struct base_slice label, struct vault_user *out, struct base_error *err);
/* Insert (id 0; EXISTS) or replace everything but the credentials; sets id, app_id of @user. */
BASE_MUST_USE int vault_store_user_put(struct vault_store *store, struct vault_user *user,
	const struct vault_key *key, struct base_error *err);
/* Replace hash, SCRAM keys and secret of @user by those of @c; with @keep those that @c lacks stay. */
BASE_MUST_USE int vault_store_credentials_put(struct vault_store *store,
	const struct vault_user *user, const struct vault_key *key,
	const struct vault_credentials *c, bool keep, int64_t now_ms, struct base_error *err);
BASE_MUST_USE int vault_store_user_secret(struct vault_store *store, const struct vault_user *user,
	struct base_secret *out, struct base_error *err);
/* With all that belongs to it. */
BASE_MUST_USE int vault_store_user_remove(
	struct vault_store *store, const struct vault_user *user, struct base_error *err);

/* Call @fn for each in the order of names, until it returns false. */
typedef bool (*vault_user_fn)(const struct vault_user *user, void *arg);
BASE_MUST_USE int vault_store_user_each(
	struct vault_store *store, vault_user_fn fn, void *arg, struct base_error *err);
BASE_MUST_USE int vault_store_app_each(struct vault_store *store, const struct vault_user *user,
	vault_user_fn fn, void *arg, struct base_error *err);

/* Whom a user, or an app password, may send as: "name@domain" or "@domain". */
BASE_MUST_USE int vault_store_send_as_put(struct vault_store *store, const struct vault_user *user,
	const struct base_slice *addresses, size_t count, struct base_error *err);
typedef bool (*vault_text_fn)(struct base_slice text, void *arg);
BASE_MUST_USE int vault_store_send_as_each(struct vault_store *store, const struct vault_user *user,
	vault_text_fn fn, void *arg, struct base_error *err);

/* Accounts: credentials for relaying. Kinds and parts are stored by number: a new one goes to the end. What
 * is not secret of an account: */
enum vault_account_kind {
	VAULT_ACCOUNT_PASSWORD,    /* secret: the password */
	VAULT_ACCOUNT_OAUTH,       /* secret: the profile as JSON (vault/oauth.h) */
	VAULT_ACCOUNT_CERTIFICATE, /* no secret but the client certificate: EXTERNAL */
};

#define VAULT_PEM_MAX_BYTES 32768
#define VAULT_ACCOUNT_PART_MAX_BYTES 32768
#define VAULT_PIN_MAX_BYTES 127

struct vault_account {
	char name[VAULT_NAME_MAX_BYTES + 1];
	char url[VAULT_URL_MAX_BYTES + 1]; /* "": the section of this name says it */
	char user[VAULT_NAME_MAX_BYTES +
		1]; /* likewise; with EXTERNAL "": as the certificate says */
	enum vault_account_kind kind;
	sasl_mechanism_mask mechanisms;    /* 0: all that the secret serves */
	char pin[VAULT_PIN_MAX_BYTES + 1]; /* loop/account.h; "" none */
	uint32_t connections;              /* 0: the default */
	uint32_t rate_count, rate_s;       /* 0: no limit */
	bool has_ca, has_certificate, has_token;
	int64_t created_ms;
};

/* With what an account logs in: by the kind of the secret that is kept (none: CERTIFICATE where there is
 * one, else PASSWORD); but mechanisms that only a ticket or the certificate serves say more than that. */
enum sasl_credential vault_account_credential(
	enum vault_account_kind kind, sasl_mechanism_mask mechanisms, bool certificate);

/* What of an account has a value of its own. All but CA are sealed. */
enum vault_account_part {
	VAULT_ACCOUNT_SECRET, /* by kind */
	VAULT_ACCOUNT_CA,     /* PEM */
	VAULT_ACCOUNT_CHAIN,  /* of the client certificate, PEM */
	VAULT_ACCOUNT_KEY,    /* PEM */
	VAULT_ACCOUNT_TOKEN, /* OAuth: what was obtained with the profile (vault/oauth.h), changes often */
	VAULT_ACCOUNT_PART_COUNT,
};

/* Insert or, with @replace, replace all of it: parts are gone after it. EXISTS. */
BASE_MUST_USE int vault_store_account_put(struct vault_store *store,
	const struct vault_account *account, bool replace, struct base_error *err);
BASE_MUST_USE int vault_store_account_get(struct vault_store *store, struct base_slice name,
	struct vault_account *out, struct base_error *err);
/* Empty @value: forget it. NOT_FOUND: no such account. PERMANENT: longer than a part may be. Durable when it returns, unless between begin and
 * commit. */
BASE_MUST_USE int vault_store_account_part_put(struct vault_store *store, struct base_slice name,
	enum vault_account_part part, struct base_slice value, struct base_error *err);
/* Appended to @out, a secret buffer with room. NOT_FOUND: no such account or part. CONFIG: it does not open
 * with the vault's key. */
BASE_MUST_USE int vault_store_account_part_get(struct vault_store *store, struct base_slice name,
	enum vault_account_part part, struct base_buf *out, struct base_error *err);
BASE_MUST_USE int vault_store_account_remove(
	struct vault_store *store, struct base_slice name, struct base_error *err);
typedef bool (*vault_account_fn)(const struct vault_account *account, void *arg);
BASE_MUST_USE int vault_store_account_each(
	struct vault_store *store, vault_account_fn fn, void *arg, struct base_error *err);

struct vault_counts {
	uint64_t users, apps, accounts;
};
BASE_MUST_USE int vault_store_counts(
	struct vault_store *store, struct vault_counts *out, struct base_error *err);

#endif
