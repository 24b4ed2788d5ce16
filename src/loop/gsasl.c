/* One exchange by libgsasl.
 *
 *	DIGEST-MD5   <- realm, nonce, qop …   -> user, digest   <- rspauth   -> (empty)
 *	GSSAPI       -> ticket   <- token …   -> token …   <- layers   -> layer 1
 *
 * libgsasl's reader of DIGEST-MD5 is lenient and its writer puts names between quotes as they are, so
 * challenges pass our own reader first (RFC 2831 section 2.1.1), and names that would end a quoted string
 * are not carried at all. Its GSSAPI always chooses layer 1, none; the server refuses where it wants one. */
#include "loop/gsasl.h"

#if LOOP_HAVE_GSASL

#include "base/secret.h"
#include "base/utf8.h"

#include <gsasl.h>
#include <stdlib.h>
#include <string.h>

enum {
	DIGEST_CHALLENGE_MAX_BYTES = 2047, /* RFC 2831 section 2.1.1: less than 2048 */
	NONCE_MAX_BYTES = 512,
	NAME_MAX_BYTES = 512,
};

struct exchange {
	enum sasl_mechanism mechanism;
	Gsasl *library;
	Gsasl_session *session;
	unsigned steps;
	bool ascii;  /* user and password are */
	bool proven; /* the last step was taken, and the server's proof was right */
	const char *reason;
};

/* the challenge of DIGEST-MD5 */

struct digest_challenge {
	bool has_nonce, has_qop, has_algorithm, has_charset;
	bool auth; /* qop: plain login is offered */
};

static bool is_token_char(uint8_t byte)
{
	return byte > 0x20 && byte < 0x7f && !strchr("()<>@,;:\\\"/[]?={}", byte);
}

/* No control, no quote, no backslash: what stands between quotes and means itself. */
static bool is_plain_text(struct base_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < 0x20 || s.ptr[i] == 0x7f || s.ptr[i] == '"' || s.ptr[i] == '\\')
			return false;
	return base_utf8_valid(s);
}

static void skip_blanks(struct base_slice *rest, const char *also)
{
	while (rest->len && (strchr(" \t\r\n", rest->ptr[0]) || strchr(also, rest->ptr[0])))
		*rest = base_slice_from(*rest, 1);
}

static struct base_slice take_token(struct base_slice *rest)
{
	size_t len = 0;
	struct base_slice token;

	while (len < rest->len && is_token_char(rest->ptr[len]))
		len++;
	token = base_slice_first(*rest, len);
	*rest = base_slice_from(*rest, len);
	return token;
}

/* The next name=value. False at the end, and with *out_bad where it is broken. */
static bool next_directive(struct base_slice *rest, struct base_slice *out_name,
	struct base_slice *out_value, bool *out_bad)
{
	size_t end;

	skip_blanks(rest, ",");
	*out_bad = rest->len > 0;
	if (rest->len == 0)
		return false;
	*out_name = take_token(rest);
	skip_blanks(rest, "");
	if (out_name->len == 0 || rest->len == 0 || rest->ptr[0] != '=')
		return false;
	*rest = base_slice_from(*rest, 1);
	skip_blanks(rest, "");
	if (rest->len && rest->ptr[0] == '"') {
		*rest = base_slice_from(*rest, 1);
		end = base_slice_find(*rest, '"');
		*out_value = base_slice_first(*rest, end);
		if (end == rest->len || !is_plain_text(*out_value))
			return false;
		*rest = base_slice_from(*rest, end + 1);
	} else {
		*out_value = take_token(rest);
		if (out_value->len == 0)
			return false;
	}
	skip_blanks(rest, "");
	if (rest->len && rest->ptr[0] != ',')
		return false;
	*out_bad = false;
	return true;
}

/* Is "auth" one of the words of a qop list? */
static bool offers_auth(struct base_slice list)
{
	struct base_slice word;

	while (base_slice_split(&list, ',', &word))
		if (base_slice_equal_text_nocase(base_slice_trim(word), "auth"))
			return true;
	return false;
}

static bool is_nonce(struct base_slice value)
{
	return value.len > 0 && value.len <= NONCE_MAX_BYTES && base_is_ascii(value);
}

static bool once(bool *seen)
{
	bool first = !*seen;

	*seen = true;
	return first;
}

/* Null, or what is wrong with this directive. Those that are not known are for others. */
static const char *judge(
	struct digest_challenge *d, struct base_slice name, struct base_slice value)
{
	if (base_slice_equal_text_nocase(name, "nonce"))
		return once(&d->has_nonce) && is_nonce(value) ? NULL : "server's nonce is broken";
	if (base_slice_equal_text_nocase(name, "realm"))
		return value.len <= NAME_MAX_BYTES ? NULL : "server's realm is too long";
	if (base_slice_equal_text_nocase(name, "algorithm"))
		return once(&d->has_algorithm) && base_slice_equal_text_nocase(value, "md5-sess")
			? NULL
			: "server wants an algorithm that DIGEST-MD5 does not have";
	if (base_slice_equal_text_nocase(name, "charset"))
		return once(&d->has_charset) && base_slice_equal_text_nocase(value, "utf-8")
			? NULL
			: "server names a character set that DIGEST-MD5 does not have";
	if (base_slice_equal_text_nocase(name, "qop")) {
		d->auth = offers_auth(value);
		return once(&d->has_qop) && d->auth
			? NULL
			: "server offers DIGEST-MD5 with a security layer only";
	}
	return NULL;
}

static const char *check_digest_challenge(const struct exchange *x, struct base_slice in)
{
	struct digest_challenge d = {.auth = true};
	struct base_slice rest = in, name, value;
	const char *problem = NULL;
	bool bad = false;

	if (in.len > DIGEST_CHALLENGE_MAX_BYTES)
		return "server's DIGEST-MD5 challenge is too long";
	if (base_slice_has(in, '\0'))
		return "server's DIGEST-MD5 challenge is broken";
	while (!problem && next_directive(&rest, &name, &value, &bad))
		problem = judge(&d, name, value);
	if (problem)
		return problem;
	if (bad || !d.has_nonce || !d.has_algorithm)
		return "server's DIGEST-MD5 challenge is broken";
	if (!d.has_charset && !x->ascii)
		return "server takes no user or password outside ASCII by DIGEST-MD5";
	return NULL;
}

/* Not empty: libgsasl (2.2) takes an empty proof for a string that ends somewhere. */
static const char *check_digest_proof(struct base_slice in)
{
	if (in.len == 0 || in.len > DIGEST_CHALLENGE_MAX_BYTES || base_slice_has(in, '\0'))
		return "server's DIGEST-MD5 proof is broken";
	return NULL;
}

/* the exchange */

static enum sasl_client_result give_up(struct exchange *x, const char *reason)
{
	x->reason = reason;
	return SASL_CLIENT_ABORT;
}

static const char *words_of(const struct exchange *x, int code)
{
	bool digest = x->mechanism == SASL_MECHANISM_DIGEST_MD5;

	if (digest && code == GSASL_AUTHENTICATION_ERROR)
		return "server could not prove that it knows the password";
	if (!digest && x->steps == 1 && code == GSASL_GSSAPI_INIT_SEC_CONTEXT_ERROR)
		return "no Kerberos ticket for this server could be had (see kinit and klist)";
	return gsasl_strerror(code);
}

/* libgsasl keeps it until the end; it has no more use for it. */
static void wipe_password(struct exchange *x)
{
	const char *kept = gsasl_property_fast(x->session, GSASL_PASSWORD);

	if (kept)
		base_wipe((void *)(uintptr_t)kept, strlen(kept));
}

static enum sasl_client_result step(void *arg, struct base_slice in, struct base_buf *out)
{
	struct exchange *x = arg;
	bool digest = x->mechanism == SASL_MECHANISM_DIGEST_MD5;
	const char *problem;
	char *text = NULL;
	size_t len = 0;
	int code;

	if (x->proven)
		return give_up(x, "one challenge too many");
	if (digest) {
		problem = x->steps == 0 ? check_digest_challenge(x, in) : check_digest_proof(in);
		if (problem)
			return give_up(x, problem);
	}
	x->steps++;
	code = gsasl_step(x->session, (const char *)in.ptr, in.len, &text, &len);
	if (digest)
		wipe_password(x);
	if (code == GSASL_OK || code == GSASL_NEEDS_MORE) {
		if (len)
			base_buf_append(out, text, len);
		x->proven = code == GSASL_OK;
	}
	if (text) {
		base_wipe(text, len);
		gsasl_free(text);
	}
	if (code == GSASL_OK || code == GSASL_NEEDS_MORE)
		return SASL_CLIENT_RESPONSE;
	return give_up(x, words_of(x, code));
}

static enum sasl_client_result finish(void *arg)
{
	struct exchange *x = arg;

	if (x->proven)
		return SASL_CLIENT_DONE;
	x->reason = "server reported success before the exchange was complete";
	return SASL_CLIENT_NOT_PROVEN;
}

static const char *reason(void *arg)
{
	return ((struct exchange *)arg)->reason;
}

static void release(void *arg)
{
	struct exchange *x = arg;

	if (x->session) {
		wipe_password(x);
		gsasl_finish(x->session);
	}
	if (x->library)
		gsasl_done(x->library);
	free(x);
}

/* making it */

static bool is_host(struct base_slice host)
{
	for (size_t i = 0; i < host.len; i++)
		if (!base_ascii_is_alnum(host.ptr[i]) && host.ptr[i] != '.' && host.ptr[i] != '-')
			return false;
	return host.len > 0 && host.len <= 255;
}

static bool put(struct exchange *x, Gsasl_property property, struct base_slice value)
{
	return gsasl_property_set_raw(x->session, property, (const char *)value.ptr, value.len) ==
		GSASL_OK;
}

static bool fits(enum sasl_mechanism mechanism, struct base_slice user, struct base_slice password)
{
	if (!is_plain_text(user) || user.len > NAME_MAX_BYTES)
		return false;
	if (mechanism == SASL_MECHANISM_GSSAPI)
		return true;
	return user.len > 0 && password.len > 0 && password.len <= BASE_SECRET_PASSWORD_MAX_BYTES &&
		!base_slice_has(password, '\0') && base_utf8_valid(password);
}

static bool set_up(struct exchange *x, struct base_slice host, struct base_slice user,
	struct base_slice password)
{
	if (gsasl_init(&x->library) != GSASL_OK)
		return false;
	if (gsasl_client_start(x->library, sasl_mechanism_info(x->mechanism)->name, &x->session) !=
		GSASL_OK)
		return false;
	if (!put(x, GSASL_SERVICE, BASE_SLICE("smtp")) || !put(x, GSASL_HOSTNAME, host))
		return false;
	if (x->mechanism == SASL_MECHANISM_GSSAPI)
		return user.len == 0 || put(x, GSASL_AUTHZID, user);
	return put(x, GSASL_AUTHID, user) && put(x, GSASL_PASSWORD, password);
}

bool gsasl_client_new(void *arg, enum sasl_mechanism mechanism, struct base_slice host,
	struct base_slice user, struct base_slice password, struct sasl_client_foreign *out)
{
	struct exchange *x;

	(void)arg;
	if (!(gsasl_mechanisms(true) & SASL_MASK(mechanism)) || !is_host(host) ||
		!fits(mechanism, user, password))
		return false;
	x = base_alloc_zero(1, sizeof(*x));
	x->mechanism = mechanism;
	x->ascii = base_is_ascii(user) && base_is_ascii(password);
	x->reason = "";
	if (!set_up(x, host, user, password)) {
		release(x);
		return false;
	}
	*out = (struct sasl_client_foreign){step, finish, reason, release, x};
	return true;
}

sasl_mechanism_mask gsasl_mechanisms(bool blocking)
{
	return SASL_MASK(SASL_MECHANISM_DIGEST_MD5) |
		(blocking ? SASL_MASK(SASL_MECHANISM_GSSAPI) : 0);
}

#else

bool gsasl_client_new(void *arg, enum sasl_mechanism mechanism, struct base_slice host,
	struct base_slice user, struct base_slice password, struct sasl_client_foreign *out)
{
	(void)arg;
	(void)mechanism;
	(void)host;
	(void)user;
	(void)password;
	(void)out;
	return false;
}

sasl_mechanism_mask gsasl_mechanisms(bool blocking)
{
	(void)blocking;
	return 0;
}

#endif
