#include "vault/pem.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

/* OpenSSL's own would ask the terminal. */
static int no_passphrase(char *out, int size, int writing, void *arg)
{
	(void)out;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static BIO *reader(struct base_slice pem)
{
	BIO *bio = BIO_new_mem_buf(pem.len ? (const void *)pem.ptr : "", (int)pem.len);

	if (!bio)
		base_out_of_memory();
	return bio;
}

bool vault_pem_certificates(struct base_slice pem, X509 **out_first)
{
	BIO *bio = reader(pem);
	X509 *first = NULL, *next;
	bool whole;

	ERR_clear_error();
	while ((next = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL))) {
		if (!first)
			first = next;
		else
			X509_free(next);
	}
	/* The end shows as "no start line"; all else is a certificate that cannot be read. */
	whole = first && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	ERR_clear_error();
	BIO_free(bio);
	if (whole && out_first)
		*out_first = first;
	else
		X509_free(first);
	return whole;
}

EVP_PKEY *vault_pem_key(struct base_slice pem)
{
	BIO *bio = reader(pem);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);

	ERR_clear_error();
	BIO_free(bio);
	return key;
}

enum vault_pem_pair vault_pem_pair(struct base_slice chain, struct base_slice key)
{
	enum vault_pem_pair result = VAULT_PEM_PAIR_OK;
	X509 *certificate = NULL;
	EVP_PKEY *pkey;

	if (!vault_pem_certificates(chain, &certificate))
		return VAULT_PEM_NO_CERTIFICATE;
	pkey = vault_pem_key(key);
	if (!pkey)
		result = VAULT_PEM_NO_KEY;
	else if (X509_check_private_key(certificate, pkey) != 1)
		result = VAULT_PEM_OTHER_KEY;
	ERR_clear_error();
	EVP_PKEY_free(pkey);
	X509_free(certificate);
	return result;
}

const char *vault_pem_pair_words(enum vault_pem_pair pair)
{
	static const char *const words[] = {
		[VAULT_PEM_PAIR_OK] = "all is well",
		[VAULT_PEM_NO_CERTIFICATE] =
			"not a certificate in PEM; it begins with -----BEGIN CERTIFICATE-----",
		[VAULT_PEM_NO_KEY] = ("not a private key in PEM without a passphrase;"
				      " openssl pkey -in FILE -out NEW takes the passphrase off"),
		[VAULT_PEM_OTHER_KEY] = "the key does not belong to the (first) certificate",
	};

	return words[pair];
}
