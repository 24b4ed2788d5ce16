/* What TLS shows of a server: its certificates, and on connections of their own which versions it speaks
 * and what it makes of a command behind STARTTLS. */
#include "cli/probe.h"

#include <stdio.h>
#include <string.h>

void probe_facts_of_tls(struct probe *p, const struct tls_session *tls)
{
	const char *why = tls_verify_failure(tls);

	snprintf(p->version, sizeof(p->version), "%s", tls_version(tls));
	snprintf(p->cipher, sizeof(p->cipher), "%s", tls_cipher(tls));
	p->verified = why == NULL;
	snprintf(p->verify_failure, sizeof(p->verify_failure), "%s", why ? why : "");
	while (p->chain_count < PROBE_CHAIN_MAX &&
		tls_peer_certificate(tls, p->chain_count, &p->chain[p->chain_count]))
		p->chain_count++;
}

enum reach {
	REACH_NOTHING, /* no connection, or a server that refuses before STARTTLS */
	REACH_REFUSED, /* STARTTLS was refused, or the connection ended there */
	REACH_TLS,     /* the handshake is next */
};

/* @starttls: the command and what is sent in one segment with it. */
static enum reach reach_tls(struct probe *p, struct probe_talk *t, const char *starttls)
{
	char line[CLI_HELO_MAX_BYTES + 8];
	unsigned code = 0;

	if (p->mode == PROBE_IMPLICIT)
		return REACH_TLS;
	snprintf(line, sizeof(line), "EHLO %s\r\n", t->helo);
	if (probe_talk_reply(t, &code, NULL) || code != 220 || !probe_talk_send(t, line) ||
		probe_talk_reply(t, &code, NULL) || code != 250 || !probe_talk_send(t, starttls))
		return REACH_NOTHING;
	return !probe_talk_reply(t, &code, NULL) && code == 220 ? REACH_TLS : REACH_REFUSED;
}

static enum probe_version handshake_result(
	struct probe *p, struct probe_talk *t, enum tls_protocol protocol, const char *name)
{
	struct tls_demands demands = {.verify = false, .lowest = protocol, .highest = protocol};
	struct tls_session *tls;
	struct base_error err;

	if (tls_connect_with(&tls, p->context, t->connection.fd, p->host, &demands, &err) != 0)
		return PROBE_VERSION_UNTRIED;
	switch (cli_connection_tls(&t->connection, tls, PROBE_STEP_MS)) {
	case CLI_HANDSHAKE_DONE:
		/* Where our OpenSSL cannot be told to speak the old one it speaks another. */
		return strcmp(tls_version(tls), name) == 0 ? PROBE_VERSION_ACCEPTED
							   : PROBE_VERSION_UNTRIED;
	case CLI_HANDSHAKE_TIMEOUT:
		return PROBE_VERSION_UNKNOWN;
	case CLI_HANDSHAKE_FAILED:
		break;
	}
	tls_error(tls, &err);
	return strstr(err.text, "no protocols available") ? PROBE_VERSION_UNTRIED
							  : PROBE_VERSION_REFUSED;
}

void probe_versions(struct probe *p)
{
	static const struct {
		enum tls_protocol protocol;
		const char *name;
	} versions[PROBE_VERSIONS] = {
		{TLS_PROTOCOL_1_0, "TLSv1"},
		{TLS_PROTOCOL_1_1, "TLSv1.1"},
		{TLS_PROTOCOL_1_2, "TLSv1.2"},
		{TLS_PROTOCOL_1_3, "TLSv1.3"},
	};

	for (size_t i = 0; i < PROBE_VERSIONS; i++) {
		struct probe_talk t;
		struct base_error err;

		if (probe_talk_open(&t, p, &err) != 0)
			continue;
		if (reach_tls(p, &t, "STARTTLS\r\n") == REACH_TLS)
			p->versions[i] = handshake_result(
				p, &t, versions[i].protocol, versions[i].name);
		if (p->versions[i] == PROBE_VERSION_ACCEPTED)
			probe_talk_quit(&t);
		probe_talk_close(&t);
	}
}

/* NOOP came in clear with STARTTLS; now QUIT is said inside TLS. Two answers: the server kept NOOP over the
 * handshake, and so would keep commands of somebody in the middle (CVE-2011-0411). */
static enum probe_injection answers_inside(struct probe *p, struct probe_talk *t)
{
	struct tls_demands demands = {.verify = false};
	struct tls_session *tls;
	struct base_error err;
	unsigned code = 0;

	if (tls_connect_with(&tls, p->context, t->connection.fd, p->host, &demands, &err) != 0)
		return PROBE_INJECTION_UNKNOWN;
	if (cli_connection_tls(&t->connection, tls, PROBE_STEP_MS) != CLI_HANDSHAKE_DONE)
		return PROBE_INJECTION_REFUSED;
	if (!probe_talk_send(t, "QUIT\r\n") || probe_talk_reply(t, &code, NULL))
		return PROBE_INJECTION_REFUSED;
	if (code == 221)
		return PROBE_INJECTION_IGNORED;
	if (probe_talk_reply(t, &code, NULL))
		return PROBE_INJECTION_UNKNOWN;
	return PROBE_INJECTION_ANSWERED;
}

void probe_injection(struct probe *p)
{
	struct probe_talk t;
	struct base_error err;

	if (p->mode == PROBE_IMPLICIT || p->starttls != PROBE_STARTTLS_DONE || !p->tls ||
		probe_talk_open(&t, p, &err) != 0)
		return;
	switch (reach_tls(p, &t, "STARTTLS\r\nNOOP\r\n")) {
	case REACH_NOTHING:
		break;
	case REACH_REFUSED:
		p->injection = PROBE_INJECTION_REFUSED;
		break;
	case REACH_TLS:
		p->injection = t.connection.in.len ? PROBE_INJECTION_IN_CLEAR
						   : answers_inside(p, &t);
		break;
	}
	probe_talk_close(&t);
}
