#include "sasl/scram_internal.h"

#include "sasl/prep.h"

#include <string.h>

struct sasl_scram_reader sasl_scram_reader_make(struct base_slice message)
{
	return (struct sasl_scram_reader){.rest = message, .more = true};
}

static bool is_letter(uint8_t byte)
{
	return base_ascii_is_alnum(byte) && !base_ascii_is_digit(byte);
}

enum sasl_scram_attr_result sasl_scram_attr_next(
	struct sasl_scram_reader *r, char *out_name, struct base_slice *out_value)
{
	struct base_slice attr, value;
	size_t comma;

	if (!r->more)
		return SASL_SCRAM_END;
	comma = base_slice_find(r->rest, ',');
	attr = base_slice_first(r->rest, comma);
	r->more = comma < r->rest.len;
	r->rest = base_slice_from(r->rest, comma + 1);
	if (attr.len < 2 || !is_letter(attr.ptr[0]) || attr.ptr[1] != '=')
		return SASL_SCRAM_BAD;
	value = base_slice_from(attr, 2);
	if (base_slice_has(value, '\0'))
		return SASL_SCRAM_BAD;
	*out_name = (char)attr.ptr[0];
	*out_value = value;
	return SASL_SCRAM_ATTR;
}

bool sasl_scram_attr_take(struct sasl_scram_reader *r, char name, struct base_slice *out_value)
{
	struct base_slice value;
	char found;

	if (sasl_scram_attr_next(r, &found, &value) != SASL_SCRAM_ATTR)
		return false;
	if (found != name || value.len == 0)
		return false;
	*out_value = value;
	return true;
}

bool sasl_scram_extension_allowed(char name, const char *mandatory)
{
	return name != 'm' && !strchr(mandatory, name);
}

bool sasl_scram_extensions_skip(struct sasl_scram_reader *r, const char *mandatory)
{
	for (;;) {
		struct base_slice value;
		char name;

		switch (sasl_scram_attr_next(r, &name, &value)) {
		case SASL_SCRAM_ATTR:
			if (!sasl_scram_extension_allowed(name, mandatory))
				return false;
			break;
		case SASL_SCRAM_END:
			return true;
		case SASL_SCRAM_BAD:
			return false;
		}
	}
}

bool sasl_scram_nonce_valid(struct base_slice nonce)
{
	if (nonce.len < SCRAM_NONCE_MIN_BYTES || nonce.len > SCRAM_NONCE_MAX_BYTES)
		return false;
	for (size_t i = 0; i < nonce.len; i++)
		if (nonce.ptr[i] < 0x21 || nonce.ptr[i] > 0x7e || nonce.ptr[i] == ',')
			return false;
	return true;
}

bool sasl_scram_name_encode(struct base_slice name, struct base_buf *out)
{
	for (size_t i = 0; i < name.len; i++) {
		if (name.ptr[i] == ',')
			base_buf_append_text(out, "=2C");
		else if (name.ptr[i] == '=')
			base_buf_append_text(out, "=3D");
		else
			base_buf_append_byte(out, name.ptr[i]);
	}
	return base_buf_ok(out);
}

bool sasl_scram_name_decode(struct base_slice in, struct base_buf *out)
{
	if (in.len == 0)
		return false;
	while (in.len > 0) {
		uint8_t byte = in.ptr[0];
		size_t used = 1;

		if (byte == '\0' || byte == ',')
			return false;
		if (byte == '=') {
			struct base_slice code = base_slice_first(in, 3);

			if (base_slice_equal_text(code, "=2C"))
				byte = ',';
			else if (base_slice_equal_text(code, "=3D"))
				byte = '=';
			else
				return false;
			used = 3;
		}
		base_buf_append_byte(out, byte);
		in = base_slice_from(in, used);
	}
	return base_buf_ok(out);
}

void sasl_scram_secrets_derive(enum base_hash hash, struct base_slice password,
	struct base_slice salt, uint32_t iterations, struct sasl_scram_secrets *out)
{
	size_t hash_len = base_hash_len(hash);
	uint8_t salted[BASE_HASH_MAX_BYTES];
	struct base_slice key;

	base_pbkdf2(hash, password, salt, iterations, salted, hash_len);
	key = base_slice_make(salted, hash_len);
	base_hmac(hash, key, BASE_SLICE("Client Key"), out->client_key);
	base_hash(hash, base_slice_make(out->client_key, hash_len), out->stored_key);
	base_hmac(hash, key, BASE_SLICE("Server Key"), out->server_key);
	base_wipe(salted, sizeof(salted));
}

bool sasl_scram_derive(enum base_hash hash, struct base_slice password, struct base_slice salt,
	uint32_t iterations, struct sasl_scram_keys *out_keys)
{
	struct sasl_scram_secrets secrets;
	struct sasl_scram_keys keys = {.iterations = iterations, .salt_len = (uint8_t)salt.len};
	struct base_secret prepared;
	size_t hash_len = base_hash_len(hash);
	bool good;

	BASE_BUG_IF(salt.len == 0 || salt.len > sizeof(keys.salt));
	base_secret_init(&prepared, BASE_SECRET_PASSWORD_MAX_BYTES);
	good = sasl_prep(password, true, &prepared) && prepared.len > 0;
	if (good) {
		sasl_scram_secrets_derive(
			hash, base_secret_slice(&prepared), salt, iterations, &secrets);
		memcpy(keys.salt, salt.ptr, salt.len);
		memcpy(keys.stored_key, secrets.stored_key, hash_len);
		memcpy(keys.server_key, secrets.server_key, hash_len);
		*out_keys = keys;
		base_wipe(&secrets, sizeof(secrets));
		base_wipe(&keys, sizeof(keys));
	}
	base_secret_release(&prepared);
	return good;
}
