/* loop/authorities.h: whom this system trusts to sign certificates
 * Job      find the one file that holds them all
 * Order    before the sandbox: a role cannot open it later, unless it is among its paths */
#ifndef LOOP_AUTHORITIES_H
#define LOOP_AUTHORITIES_H

/* $SSL_CERT_FILE, else the first of the usual places that can be read; null: this system has none. */
const char *authorities_file(void);

#endif
