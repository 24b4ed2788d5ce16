#include "fetch/trust.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

X509_STORE *fetch_trust_new(void)
{
	X509_STORE *store = X509_STORE_new();

	if (!store)
		base_out_of_memory();
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
	return store;
}

X509_STORE *fetch_trust_copy(X509_STORE *from)
{
	STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(from);
	X509_STORE *store = fetch_trust_new();

	for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
		X509 *ca = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));

		if (ca && X509_STORE_add_cert(store, ca) != 1)
			base_out_of_memory();
	}
	return store;
}

/* No pass phrase can be typed into a server. */
static int no_password(char *buf, int size, int rwflag, void *arg)
{
	return -1;
}

int fetch_trust_add(
	X509_STORE *store, struct base_slice pem, const char *what, struct base_error *err)
{
	BIO *bio = BIO_new_mem_buf(pem.len ? (const void *)pem.ptr : "", (int)pem.len);
	size_t count = 0;
	X509 *ca;
	int reason;

	if (!bio)
		base_out_of_memory();
	while ((ca = PEM_read_bio_X509_AUX(bio, NULL, no_password, NULL))) {
		if (X509_STORE_add_cert(store, ca) != 1)
			base_out_of_memory();
		X509_free(ca);
		count++;
	}
	reason = ERR_GET_REASON(ERR_peek_last_error());
	ERR_clear_error();
	BIO_free(bio);
	if (count && reason == PEM_R_NO_START_LINE)
		return 0; /* the end of the text */
	if (reason == PEM_R_NO_START_LINE)
		return base_error_set(
			err, BASE_ERROR_CONFIG, 0, "%s: there is no certificate in it", what);
	return base_error_set(
		err, BASE_ERROR_CONFIG, 0, "%s: certificate %zu cannot be read", what, count + 1);
}

bool fetch_trust_is_empty(X509_STORE *store)
{
	return sk_X509_OBJECT_num(X509_STORE_get0_objects(store)) == 0;
}
