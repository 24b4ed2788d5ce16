/* loop/account.h: an account as auth tells relay of it: all but its secrets
 * Job      one codec for both ends of the ACCOUNT frame
 * Not      what stands in the vault (vault/store.h); the password, token or key (SECRET frames)
 *
 * ACCOUNT body: u8 class (0: there is one; -BASE_ERROR_NOT_FOUND, or auth cannot tell now); only with 0:
 * text url, u8 credential (enum sasl_credential), u32 mechanisms (sasl mask, 0 all), bytes ca (PEM,
 * authorities of this account; they stand beside the others), text pin ("sha256:" and 64 hexadecimal digits
 * of the certificate's public key, or ""), u8 certificate (there is a client certificate: ask for it before
 * the handshake), u32 connections (0: the default), u32 rate count (0: no limit), u32 rate seconds. */
#ifndef LOOP_ACCOUNT_H
#define LOOP_ACCOUNT_H

#include "base/buf.h"
#include "base/slice.h"

#define ACCOUNT_CONNECTIONS_DEFAULT 4
#define ACCOUNT_CA_MAX_BYTES 65536
#define ACCOUNT_PIN_BYTES 32 /* SHA-256 of the SubjectPublicKeyInfo */

struct account_info {
	int class;             /* 0, or why there is none (a negative enum base_error_class) */
	struct base_slice url; /* smtp:// or smtps:// */
	uint8_t credential;    /* enum sasl_credential */
	uint32_t mechanisms;   /* 0: all that the credential serves */
	struct base_slice ca;  /* PEM; empty: none of its own */
	struct base_slice pin; /* as written; empty: none */
	bool certificate;
	uint32_t connections;        /* 0: ACCOUNT_CONNECTIONS_DEFAULT */
	uint32_t rate_count, rate_s; /* messages in so many seconds; 0: no limit */
};

void account_info_put(struct base_buf *out, const struct account_info *info);
/* Slices borrow @body. */
BASE_MUST_USE bool account_info_get(struct base_slice body, struct account_info *out);

/* "100/hour": count and seconds (second, minute, hour, day). False: it is no such thing. */
BASE_MUST_USE bool account_rate_parse(
	struct base_slice text, uint32_t *out_count, uint32_t *out_seconds);
/* "sha256:" and 64 hexadecimal digits, colons between bytes allowed. */
BASE_MUST_USE bool account_pin_parse(struct base_slice text, uint8_t out[ACCOUNT_PIN_BYTES]);

#endif
