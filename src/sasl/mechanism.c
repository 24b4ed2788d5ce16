#include "sasl/mechanism.h"

#include <assert.h>

#define SCRAM_FLAGS (SASL_CLIENT_FIRST | SASL_MUTUAL | SASL_SCRAM)
#define SCRAM_PLUS_FLAGS (SCRAM_FLAGS | SASL_CHANNEL_BINDING)

static const struct sasl_mechanism_info mechanisms[] = {
	[SASL_MECHANISM_NONE] = {.name = ""},
	/* LOGIN's server speaks first, but clients do send the user name beside the command. */
	[SASL_MECHANISM_LOGIN] = {.name = "LOGIN",
		.flags = SASL_PLAINTEXT | SASL_CLIENT_FIRST,
		.strength = 2},
	[SASL_MECHANISM_PLAIN] = {.name = "PLAIN",
		.flags = SASL_PLAINTEXT | SASL_CLIENT_FIRST,
		.strength = 3},
	[SASL_MECHANISM_CRAM_MD5] = {.name = "CRAM-MD5",
		.flags = SASL_NEEDS_SECRET,
		.strength = 4,
		.hash = BASE_HASH_MD5},
	/* Historic (RFC 6331), and announced by many a server that keeps no secret for it: where PLAIN
	 * may be sent, that is the better choice. */
	[SASL_MECHANISM_DIGEST_MD5] = {.name = "DIGEST-MD5",
		.flags = SASL_NEEDS_SECRET | SASL_MUTUAL | SASL_FOREIGN,
		.strength = 1,
		.hash = BASE_HASH_MD5},
	[SASL_MECHANISM_SCRAM_SHA_1] = {.name = "SCRAM-SHA-1",
		.flags = SCRAM_FLAGS,
		.strength = 5,
		.hash = BASE_HASH_SHA1,
		.plus = SASL_MECHANISM_SCRAM_SHA_1_PLUS},
	[SASL_MECHANISM_SCRAM_SHA_1_PLUS] = {.name = "SCRAM-SHA-1-PLUS",
		.flags = SCRAM_PLUS_FLAGS,
		.strength = 6,
		.hash = BASE_HASH_SHA1},
	[SASL_MECHANISM_SCRAM_SHA_256] = {.name = "SCRAM-SHA-256",
		.flags = SCRAM_FLAGS,
		.strength = 7,
		.hash = BASE_HASH_SHA256,
		.plus = SASL_MECHANISM_SCRAM_SHA_256_PLUS},
	[SASL_MECHANISM_SCRAM_SHA_256_PLUS] = {.name = "SCRAM-SHA-256-PLUS",
		.flags = SCRAM_PLUS_FLAGS,
		.strength = 8,
		.hash = BASE_HASH_SHA256},
	[SASL_MECHANISM_SCRAM_SHA_512] = {.name = "SCRAM-SHA-512",
		.flags = SCRAM_FLAGS,
		.strength = 9,
		.hash = BASE_HASH_SHA512,
		.plus = SASL_MECHANISM_SCRAM_SHA_512_PLUS},
	[SASL_MECHANISM_SCRAM_SHA_512_PLUS] = {.name = "SCRAM-SHA-512-PLUS",
		.flags = SCRAM_PLUS_FLAGS,
		.strength = 10,
		.hash = BASE_HASH_SHA512},
	/* XOAUTH2 before OAUTHBEARER would say less: RFC 7628's form names host and port. */
	[SASL_MECHANISM_XOAUTH2] = {.name = "XOAUTH2",
		.flags = SASL_CLIENT_FIRST | SASL_TOKEN,
		.strength = 11},
	[SASL_MECHANISM_OAUTHBEARER] = {.name = "OAUTHBEARER",
		.flags = SASL_CLIENT_FIRST | SASL_TOKEN,
		.strength = 12},
	[SASL_MECHANISM_EXTERNAL] = {.name = "EXTERNAL",
		.flags = SASL_CLIENT_FIRST | SASL_CERTIFICATE,
		.strength = 13},
	[SASL_MECHANISM_GSSAPI] = {.name = "GSSAPI",
		.flags = SASL_CLIENT_FIRST | SASL_MUTUAL | SASL_TICKET | SASL_FOREIGN,
		.strength = 14},
};
static_assert(BASE_COUNT(mechanisms) == SASL_MECHANISM_COUNT, "a row for each mechanism");

static const char *const bindings[] = {
	[SASL_BINDING_NONE] = "",
	[SASL_BINDING_TLS_UNIQUE] = "tls-unique",
	[SASL_BINDING_TLS_SERVER_END_POINT] = "tls-server-end-point",
	[SASL_BINDING_TLS_EXPORTER] = "tls-exporter",
};
static_assert(BASE_COUNT(bindings) == SASL_BINDING_COUNT, "a name for each binding");

enum { NAME_MAX_BYTES = 20 }; /* RFC 4422 section 3.1 */

const struct sasl_mechanism_info *sasl_mechanism_info(enum sasl_mechanism mechanism)
{
	BASE_BUG_IF((unsigned)mechanism >= SASL_MECHANISM_COUNT);
	return &mechanisms[mechanism];
}

enum sasl_mechanism sasl_mechanism_parse(struct base_slice name)
{
	for (size_t i = SASL_MECHANISM_NONE + 1; i < SASL_MECHANISM_COUNT; i++)
		if (base_slice_equal_text_nocase(name, mechanisms[i].name))
			return (enum sasl_mechanism)i;
	return SASL_MECHANISM_NONE;
}

sasl_mechanism_mask sasl_mechanism_mask_of(enum sasl_credential credential)
{
	static const unsigned flags[] = {
		[SASL_CREDENTIAL_PASSWORD] = 0,
		[SASL_CREDENTIAL_TOKEN] = SASL_TOKEN,
		[SASL_CREDENTIAL_CERTIFICATE] = SASL_CERTIFICATE,
		[SASL_CREDENTIAL_TICKET] = SASL_TICKET,
	};
	sasl_mechanism_mask mask = 0;

	static_assert(BASE_COUNT(flags) == SASL_CREDENTIAL_COUNT, "a flag for each");
	BASE_BUG_IF((unsigned)credential >= SASL_CREDENTIAL_COUNT);
	for (unsigned i = SASL_MECHANISM_NONE + 1; i < SASL_MECHANISM_COUNT; i++)
		if ((mechanisms[i].flags & (SASL_TOKEN | SASL_CERTIFICATE | SASL_TICKET)) ==
			flags[credential])
			mask |= (sasl_mechanism_mask)1u << i;
	return mask;
}

bool sasl_mechanism_name_valid(struct base_slice name)
{
	if (name.len == 0 || name.len > NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (!base_ascii_is_alnum(name.ptr[i]) && name.ptr[i] != '-' && name.ptr[i] != '_')
			return false;
	return true;
}

const char *sasl_binding_name(enum sasl_binding binding)
{
	BASE_BUG_IF((unsigned)binding >= SASL_BINDING_COUNT);
	return bindings[binding];
}

enum sasl_binding sasl_binding_parse(struct base_slice name)
{
	for (size_t i = SASL_BINDING_NONE + 1; i < SASL_BINDING_COUNT; i++)
		if (base_slice_equal_text(name, bindings[i]))
			return (enum sasl_binding)i;
	return SASL_BINDING_NONE;
}
