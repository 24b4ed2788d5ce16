/* vault/file_internal.h: what the files of vault/file share; one of them for each family of formats */
#ifndef VAULT_FILE_INTERNAL_H
#define VAULT_FILE_INTERNAL_H

#include "vault/file.h"

/* Longer lines are told as broken. */
#define VAULT_FILE_LINE_MAX_BYTES 4096

/* The next line without its LF or CRLF; false at the end of the file. */
bool vault_file_line(
	struct base_slice bytes, struct vault_file_cursor *cursor, struct base_slice *out_line);

/* Are these one user? A domain stands behind the last '@', and its ASCII case is ignored; that of the
 * rest where @fold says so. */
bool vault_file_same_name(
	struct base_slice a, struct base_slice b, struct base_slice default_domain, bool fold);

/* "user" and "domain" of a name in lower case, divided at @at (the name's length: no domain, so the
 * default is taken), into @out->name. False: not a user of this file. @out_user: borrows out->name. */
bool vault_file_divide(const struct vault_file *f, struct base_slice name, size_t at,
	struct vault_file_entry *out, struct base_slice *out_user);

/* Outcomes. @stored is taken if a login can come of it; else REFUSED or BROKEN with the reason. */
enum vault_file_result vault_file_take(struct vault_file_entry *out, struct base_slice stored);
enum vault_file_result vault_file_take_scheme(
	struct vault_file_entry *out, const char *scheme, struct base_slice text);
enum vault_file_result vault_file_refuse(struct vault_file_entry *out, const char *reason);
enum vault_file_result vault_file_break(struct vault_file_entry *out, const char *reason);

/* The name that vault_file_next() gives; false (and the reason is set): not one. */
bool vault_file_name(struct vault_file_entry *out, struct base_slice name);

enum vault_file_result vault_file_passwd_find(
	const struct vault_file *f, struct base_slice name, struct vault_file_entry *out);
enum vault_file_result vault_file_passwd_next(
	const struct vault_file *f, struct vault_file_cursor *cursor, struct vault_file_entry *out);
enum vault_file_result vault_file_authuser_find(
	const struct vault_file *f, struct base_slice name, struct vault_file_entry *out);
enum vault_file_result vault_file_authuser_next(
	const struct vault_file *f, struct vault_file_cursor *cursor, struct vault_file_entry *out);
enum vault_file_result vault_file_vpasswd_find(
	const struct vault_file *f, struct base_slice name, struct vault_file_entry *out);
enum vault_file_result vault_file_vpasswd_next(
	const struct vault_file *f, struct vault_file_cursor *cursor, struct vault_file_entry *out);
enum vault_file_result vault_file_vmailmgr_find(
	const struct vault_file *f, struct base_slice name, struct vault_file_entry *out);
enum vault_file_result vault_file_vmailmgr_next(
	const struct vault_file *f, struct vault_file_cursor *cursor, struct vault_file_entry *out);

#endif
