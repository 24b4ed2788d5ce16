#include "loop/authorities.h"

#include "base/macros.h"

#include <openssl/x509.h>
#include <stdlib.h>
#include <unistd.h>

/* Where systems keep the authorities in one file; a directory could not be read in the sandbox. */
static const char *const places[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
};

const char *authorities_file(void)
{
	const char *named = getenv(X509_get_default_cert_file_env());

	if (named)
		return named;
	for (size_t i = 0; i < BASE_COUNT(places); i++)
		if (access(places[i], R_OK) == 0)
			return places[i];
	return NULL;
}
