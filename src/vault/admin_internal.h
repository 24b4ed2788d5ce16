/* vault/admin_internal.h: what the files of vault/admin share */
#ifndef VAULT_ADMIN_INTERNAL_H
#define VAULT_ADMIN_INTERNAL_H

#include "vault/admin.h"

#include <jansson.h>

#define VAULT_SEND_AS_MAX 64

/* The words after NAME, checked. Slices borrow the request. */
struct vault_admin_options {
	bool has_mechanisms, has_send_as, has_limit, has_expires, disable, enable, replace, dry_run;
	sasl_mechanism_mask mechanisms;
	struct base_slice send_as[VAULT_SEND_AS_MAX];
	size_t send_as_count;
	uint32_t limit_per_hour;
	int64_t expires_ms;
	struct base_slice app; /* empty: none */
	struct base_slice verb, url, user;
	enum sasl_mechanism without; /* NONE: none */
	enum vault_account_kind kind;
	char pin[VAULT_PIN_MAX_BYTES + 1]; /* "sha256:" and 64 digits; "" none */
	uint32_t connections, rate_count, rate_s;
};

/* The parts of an account's secret; slices borrow the request. Empty: not there. */
struct vault_admin_parts {
	struct base_slice of[VAULT_ACCOUNT_PART_COUNT];
};

#define VAULT_ADMIN_RATE_UNITS 4
extern const struct vault_admin_rate_unit {
	const char *name;
	uint32_t seconds;
} vault_admin_rate_units[VAULT_ADMIN_RATE_UNITS];

/* @from: index of the first option. PERMANENT with the reason, or 0. */
BASE_MUST_USE int vault_admin_options_parse(const struct vault_admin_request *req, size_t from,
	struct vault_admin_options *out, struct base_error *err);
/* Only properties are named: a passwd with these alone needs no password. */
bool vault_admin_only_properties(const struct vault_admin_options *o);

int vault_admin_user(const struct vault_admin_env *env, const struct vault_admin_request *req,
	struct vault_admin_effects *fx, struct base_buf *out, struct base_error *err);
int vault_admin_import(const struct vault_admin_env *env, const struct vault_admin_request *req,
	const struct vault_admin_options *o, struct vault_admin_effects *fx, struct base_buf *out,
	struct base_error *err);
/* PERMANENT with the reason: not parts, not what @kind is made of, not PEM, no profile. @has_certificate:
 * the section brings one. */
BASE_MUST_USE int vault_admin_parts_take(struct base_slice secret, enum vault_account_kind kind,
	bool has_certificate, struct vault_admin_parts *out, struct base_error *err);
/* Of the configuration; null: none of this name. */
const struct vault_admin_section *vault_admin_section_find(
	const struct vault_admin_env *env, struct base_slice name);
int vault_admin_account_list(
	const struct vault_admin_env *env, struct base_buf *out, struct base_error *err);
int vault_admin_account_show(const struct vault_admin_env *env, struct base_slice name,
	struct base_buf *out, struct base_error *err);
int vault_admin_account(const struct vault_admin_env *env, const struct vault_admin_request *req,
	struct vault_admin_effects *fx, struct base_buf *out, struct base_error *err);

bool vault_admin_word_is(const struct vault_admin_request *req, size_t index, const char *text);
/* "WHAT "NAME": reason" with the name made safe. */
int vault_admin_refuse(struct base_error *err, enum base_error_class class, const char *what,
	struct base_slice name, const char *reason);
/* Dump and release @json. */
int vault_admin_json(json_t *json, struct base_buf *out, struct base_error *err);
json_t *vault_admin_time(int64_t unix_ms); /* null for 0 */
json_t *vault_admin_text(struct base_slice text);
json_t *vault_admin_mechanisms(sasl_mechanism_mask mask);
json_t *vault_admin_done(struct base_slice name, const char *done);

#endif
