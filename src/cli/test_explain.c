#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base64.h"
#include "cli/explain_read.h"

#include <stdio.h>
#include <string.h>

/* A dialogue, line by line: "C " and "S " as they are; "c " the client's and "s " the server's bytes
 * that go over the line in base64, the server's behind 334; "? " goes to nobody.
 * @wrong: "line:RULE" for each mistake, in order. @says: "line:words" that must be said. */
static const struct row {
	const char *name;
	const char *user, *password;
	bool tls;
	const char *lines[20];
	const char *wrong[10];
	const char *says[6];
} rows[] = {
	/* ---- right ones: the published vectors, each in a dialogue ---- */
	{"CRAM-MD5, RFC 2195", "tim", "tanstaaftanstaaf", false,
		{"S 220 postoffice.reston.mci.net", "C EHLO tim", "S 250-postoffice",
			"S 250 AUTH CRAM-MD5", "C AUTH CRAM-MD5",
			"S 334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+",
			"C dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw", "S 235 ok"},
		{0}, {"6:<1896.697170952@postoffice", "7:user \"tim\"", "7:the digest matches"}},
	{"CRAM-MD5 with another password", "tim", "tanstaaf", false,
		{"C AUTH CRAM-MD5", "s <1896.697170952@postoffice.reston.mci.net>",
			"C dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw", "S 535 no"},
		{0}, {"3:does not match"}},
	{"CRAM-MD5 of the tutorial's challenge", "test", "testpass", false,
		{"C auth cram-md5", "S 334 PDI0NjA5LjEwNDc5MTQwNDZAcG9wbWFpbC5TcGFjZS5OZXQ+",
			"C dGVzdCA2ODU2NjU5MDY4ZDk3ZThkM2FkN2EwYmUzMzIzZGQyMw==", "S 235 ok"},
		{0}, {"3:digest matches", "4:logged in by CRAM-MD5"}},
	{"DIGEST-MD5, RFC 2831 with smtp/", "chris", "secret", false,
		{"C AUTH DIGEST-MD5",
			"s realm=\"elwood.innosoft.com\",nonce=\"OA6MG9tEQGm2hh\",qop=\"auth\","
			"algorithm=md5-sess,charset=utf-8",
			"c charset=utf-8,username=\"chris\",realm=\"elwood.innosoft.com\","
			"nonce=\"OA6MG9tEQGm2hh\",nc=00000001,cnonce=\"OA6MHXh6VqTrRk\","
			"digest-uri=\"smtp/elwood.innosoft.com\","
			"response=52ff44907f72314481b5c098c708ebf3,qop=auth",
			"s rspauth=84106ee5cb85c426e7ef928db0e49bfa", "C ", "S 235 ok"},
		{0}, {"3:digest matches", "4:it matches", "1:RFC 6331"}},
	{"DIGEST-MD5, RFC 2831 with imap/", "chris", "secret", false,
		{"C AUTH DIGEST-MD5",
			"s realm=\"elwood.innosoft.com\",nonce=\"OA6MG9tEQGm2hh\",qop=\"auth\"",
			"c username=\"chris\",realm=\"elwood.innosoft.com\","
			"nonce=\"OA6MG9tEQGm2hh\",nc=00000001,cnonce=\"OA6MHXh6VqTrRk\","
			"digest-uri=\"imap/elwood.innosoft.com\","
			"response=d388dad90d4bbd760a152321f2143af7,qop=auth",
			"s rspauth=ea40f60335c427b5527b84dbabcdfffd", "C ", "S 235 ok"},
		{0}, {"3:digest matches", "4:it matches"}},
	{"DIGEST-MD5, RFC 2831 with acap/", "chris", "secret", false,
		{"C AUTH DIGEST-MD5",
			"s realm=\"elwood.innosoft.com\",nonce=\"OA9BSXrbuRhWay\",qop=\"auth\"",
			"c username=\"chris\",realm=\"elwood.innosoft.com\","
			"nonce=\"OA9BSXrbuRhWay\",nc=00000001,cnonce=\"OA9BSuZWMSpW8m\","
			"digest-uri=\"acap/elwood.innosoft.com\","
			"response=6084c6db3fede7352c551284490fd0fc,qop=auth",
			"s rspauth=2f0b3d7c3c2e486600ef710726aa2eae", "C ", "S 235 ok"},
		{0}, {"3:digest matches", "4:it matches"}},
	{"SCRAM-SHA-1, RFC 5802", "user", "pencil", false,
		{"C AUTH SCRAM-SHA-1", "S 334 ", "c n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
			"s r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,"
			"p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
			"s v=rmF9pqV8S7suAoZWja4dJRkFsKQ=", "C ", "S 235 ok"},
		{0},
		{"3:user \"user\"", "4:4096 rounds", "5:proof matches", "6:it matches", "7:empty",
			"2:waits for the client"}},
#define N256 "rOprNGfwEbeRWgbNEkqO"
#define S256 N256 "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SALT256 ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define SCRAM(title, mechanism, header, user, c, p, v) \
	{ \
		title, user, "pencil", true, \
			{"C AUTH " mechanism, "S 334 ", "c " header N256, "s r=" S256 SALT256, \
				"c c=" c ",r=" S256 ",p=" p, "s v=" v, "C ", "S 235 ok"}, \
			{0}, \
		{ \
			"5:proof matches", "6:it matches" \
		} \
	}
	SCRAM("SCRAM-SHA-256, RFC 7677", "SCRAM-SHA-256", "n,,n=user,r=", "user", "biws",
		"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
	SCRAM("SCRAM-SHA-256 with y", "SCRAM-SHA-256", "y,,n=user,r=", "user", "eSws",
		"FoqiHTtQEDE8lz1CdaEe3tK4mS+iMDTl77SPyDS53DY=",
		"dI4KpiQJwBr1+V+K6U1dA6l6I4I9DUNXWND4pcpRU3U="),
	SCRAM("tls-unique", "SCRAM-SHA-256-PLUS", "p=tls-unique,,n=user,r=", "user",
		"cD10bHMtdW5pcXVlLCx4eHg=", "v0J7PaQUPWowoTrwRLCKLzIZBpNUhWFlTrUKI1j9DpM=",
		"XjAev9iHBOvTxT+eNzBaFmP1IrqWah2PpZAa0wQrfY4="),
	SCRAM("tls-server-end-point", "SCRAM-SHA-256-PLUS",
		"p=tls-server-end-point,,n=user,r=", "user",
		"cD10bHMtc2VydmVyLWVuZC1wb2ludCwsAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
		"nY1Wus9a+gM2DrbQ1msXFgyhW6KM5ktOxWiU+/P/EGY=",
		"RwppMGddhz/J0lFYaRReBjXcQeNUFP5Qc76Lo5Exrig="),
	SCRAM("tls-exporter", "SCRAM-SHA-256-PLUS", "p=tls-exporter,,n=user,r=", "user",
		"cD10bHMtZXhwb3J0ZXIsLAABAgMEBQYH", "QAd7eifevIt6X/f2Cv9W4HLXcFLw7OayX8dQ2scckyI=",
		"8dbpxwe4DaC4ESpY8u6aAvFeP2ks9+LClF/ADCxyWOE="),
	SCRAM("tls-exporter of 32 bytes", "SCRAM-SHA-256-PLUS", "p=tls-exporter,,n=user,r=", "user",
		"cD10bHMtZXhwb3J0ZXIsLAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f",
		"QC6CS20quADQRb3mT99YUH+n3VJxUvzuK0K0E1Vrs2M=",
		"2GiAgapEppLVlUXbxUDksL3VgYHzuqiK5tR4mhJGgvs="),
	SCRAM("an authorization identity and a name with =", "SCRAM-SHA-256",
		"n,a=admin=2Croot,n=us=3Der,r=", "us=er",
		"bixhPWFkbWluPTJDcm9vdCw=", "Be8G7C039ufPQRkiiB+7/Porkv1dQEzyZU3NX080TYg=",
		"ZiFBiSvgvWf9pH3vQi/etu0jd7+e6AT9VScpjQ/ihtM="),
	SCRAM("SCRAM-SHA-512 on the same", "SCRAM-SHA-512", "n,,n=user,r=", "user", "biws",
		"gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTx"
		"wnYPJQ==",
		"ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2r"
		"R7N7Zw=="),
	SCRAM("SCRAM-SHA-512-PLUS", "SCRAM-SHA-512-PLUS", "p=tls-server-end-point,,n=user,r=",
		"user", "cD10bHMtc2VydmVyLWVuZC1wb2ludCwsaW1hcDovL2Vsd29vZC5pbm5vc29mdC5jb20v",
		"Lrbr64QBLm57rPiUjNzRxRpy5SmWXr9uo1YaZamnGl5eJlvHL+VO3EogXgUmr8ht+aJoS3d2XOSNN6RU"
		"iA05sQ==",
		"mAlQYGd+jaCA+/6Ayj8wRQLKnuxQhjSabvJW4XqtPzjXayzXxbIElZP27ANJa7yNfb54XATe9O0/w1cN"
		"xvsRfg=="),
	{"SCRAM-SHA-1-PLUS", "user", "pencil", true,
		{"C AUTH SCRAM-SHA-1-PLUS", "S 334 ",
			"c p=tls-unique,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
			"s r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c c=cD10bHMtdW5pcXVlLCx4eHg=,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,"
			"p=/63TtbB5lIS6610+k4/luJMJqAI=",
			"s v=GCPHy5gy1sRwXTCbwNhiiWIzLtU=", "C ", "S 235 ok"},
		{0}, {"5:proof matches", "6:it matches", "3:tls-unique"}},
	{"SCRAM-SHA-512, Qpid's", "user", "pencil", false,
		{"C AUTH SCRAM-SHA-512", "S 334 ", "c n,,n=user,r=" N256,
			"s r=" N256 "02431b08-2f89-4bad-a4e6-80c0564ec865,s=Yin2FuHTt/"
			"M0kJWb0t9OI32n2VmOGi3m+JfjOvuDF88=,i=4096",
			"c c=biws,r=" N256 "02431b08-2f89-4bad-a4e6-80c0564ec865,"
			"p=Hc5yec3NmCD7t+kFRw4/3yD6/"
			"F3SQHc7AVYschRja+Bc3sbdjlA0eH1OjJc0DD4ghn1tnXN5/"
			"Wr6qm9xmaHt4A==",
			"s "
			"v=BQuhnKHqYDwQWS5jAw4sZed+C9KFUALsbrq81bB0mh+"
			"bcUUbbMPNNmBIupnS2AmyyDnG5CTBQ"
			"tkjJ9kyY4kzmw==",
			"C ", "S 235 ok"},
		{0}, {"5:proof matches", "6:it matches"}},
	{"PLAIN, three of them", "tim", "tanstaaftanstaaf", true,
		{"C AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm", "S 535 no",
			"C AUTH PLAIN VXJzZWwAS3VydAB4aXBqM3BsbXE=", "S 535 no", "C AUTH PLAIN",
			"S 334 ", "C dGVzdAB0ZXN0ADEyMzQ=", "S 235 ok"},
		{0},
		{"1:the password matches", "3:\"Kurt\", password <9 bytes>, to act as \"Ursel\"",
			"7:user \"test\", password <4 bytes>", "7:not the user"}},
	{"LOGIN behind STARTTLS", NULL, NULL, false,
		{"S 220 hi", "C EHLO x", "S 250-hi", "S 250 STARTTLS", "C STARTTLS", "S 220 go",
			"C EHLO x", "S 250-hi", "S 250 AUTH LOGIN", "C AUTH LOGIN",
			"S 334 VXNlcm5hbWU6", "C dGVzdA==", "S 334 UGFzc3dvcmQ6", "C MTIzNA==",
			"S 235 ok", "C MAIL FROM:<a@b.c>", "S 250 ok", "C QUIT", "S 221 bye"},
		{0}, {"12:the user: \"test\"", "14:the password: <4 bytes>", "4:TLS can be had"}},
	{"LOGIN with strange prompts and an initial response", NULL, NULL, true,
		{"C auth login dGVzdA==", "S 334 UGFzc3dvcmQA", "C MTIzNA==", "S 235 ok"}, {0},
		{"1:the user: \"test\"", "3:the password: <4 bytes>"}},
	{"OAUTHBEARER, RFC 7628", NULL, NULL, true,
		{"C AUTH OAUTHBEARER "
		 "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9NTg3AWF1dGg9Q"
		 "m"
		 "VhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB",
			"S 235 ok"},
		{0}, {"1:\"user@example.com\"", "1:port \"587\"", "1:\"Bearer\" token <42 bytes>"}},
	{"OAUTHBEARER refused", NULL, NULL, true,
		{"C AUTH OAUTHBEARER", "S 334 ", "c n,a=u@example.com,\1auth=Bearer x\1\1",
			"S 334 "
			"eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NoZW1lcyI6ImJlYXJlciBtYWMiLCJzY29wZS"
			"I6"
			"Imh0dHBzOi8vbWFpbC5leGFtcGxlLmNvbS8ifQ==",
			"C AQ==", "S 535 no"},
		{0},
		{"4:refuses the token: invalid_token invalid or expired (scope", "5:understood"}},
	{"XOAUTH2", NULL, NULL, true,
		{"C AUTH XOAUTH2 "
		 "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSb"
		 "G"
		 "NrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==",
			"S 334 "
			"eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiYmVhcmVyIG1hYyIsInNjb3BlIjoiaHR0cHM6Ly"
			"9t"
			"YWlsLmdvb2dsZS5jb20vIn0K",
			"C ", "S 535 no"},
		{0},
		{"1:user \"someuser@example.com\"",
			"2:refuses the token: 401 invalid or expired (scope", "3:understood"}},
	{"EXTERNAL with an empty initial response", NULL, NULL, true,
		{"C AUTH EXTERNAL =", "S 235 ok"}, {0}, {"1:as whom the certificate says"}},
	{"cancelled", NULL, NULL, true, {"C AUTH LOGIN", "S 334 VXNlcm5hbWU6", "C *", "S 501 ok"},
		{0}, {"3:gives up", "4:as the client wished"}},
	{"bad base64, rightly answered", NULL, NULL, true,
		{"C AUTH LOGIN", "S 334 VXNlcm5hbWU6", "C a-b=", "S 501 no"},
		{"3:BASE64_CHARACTER"}, {0}},
	{"AUTH= in xtext", NULL, NULL, false,
		{"C MAIL FROM:<e=mc2@example.com> AUTH=e+3Dmc2@example.com", "S 250 ok", "C RSET",
			"S 250 ok", "C MAIL FROM:<> SIZE=1 AUTH=<>", "S 250 ok", "C RSET",
			"S 250 ok", "C MAIL FROM:<a@b> AUTH=a+2Bb@x", "S 250 ok"},
		{0}, {"1:e=mc2@example.com", "5:not known", "9:a+b@x"}},
	{"a message, pipelined", NULL, NULL, true,
		{"S 220 hi", "C EHLO x", "S 250-hi", "S 250 PIPELINING", "C MAIL FROM:<a@b.c>",
			"C RCPT TO:<d@e.f>", "C DATA", "S 250 ok", "S 250 ok", "S 354 go",
			"C AUTH PLAIN of the body", "C 334 x", "C .", "S 250 ok",
			"C MAIL FROM:<a@b.c>", "S 250 ok"},
		{0}, {"11:text of the message", "13:end"}},
	{"AUTH PLAIN and MAIL at once", NULL, NULL, true,
		{"C AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm", "C MAIL FROM:<a@b.c>", "S 235 ok",
			"S 250 ok", "C RCPT TO:<a@b.c>", "S 250 ok"},
		{0}, {"3:logged in by PLAIN"}},
	{"not shown: try's words and record's marks", NULL, NULL, true,
		{"C AUTH PLAIN (initial response, 28 characters, not shown)", "S 535 no",
			"C auth login", "S 334 VXNlcm5hbWU6", "C <8 bytes>", "S 334 UGFzc3dvcmQ6",
			"C (response, 4 characters, not shown)", "S 535 no",
			"C AUTH SCRAM-SHA-256-PLUS (initial response, 64 characters, not shown)",
			"S 334 cj1hYixzPVFRPT0saT00MDk2", "C (response, 288 characters, not shown)",
			"S 334 dj1vSG4zZFZ2dEtRazBHdnh0bFBOdlRKdXZQRHlqYThxbktCeGF4MUJnNFFBPQ==",
			"C (response, 0 characters, not shown)", "S 235 ok"},
		{0},
		{"1:between NUL bytes", "5:the user, in base64", "7:the password, in base64",
			"10:4096 rounds", "11:client-final", "13:checked the server's proof"}},
	/* ---- the tutorial's samples, as they stand in it ---- */
	{"tutorial: announcement", NULL, NULL, false,
		{"S 220 smtp.example.com ESMTP server ready", "C EHLO jgm.example.com",
			"S 250-smtp.example.com", "S 250 AUTH CRAM-MD5 DIGEST-MD5", "C AUTH FOOBAR",
			"S 504 Unrecognized authentication type.", "C AUTH CRAM-MD5", "S 334",
			"? PENCeUxFREJoU0NnbmhNWitOMjNGNndAZWx3b29kLmlubm9zb2Z0LmNvbT4=",
			"C ZnJlZCA5ZTk1YWVlMDljNDBhZjJiODRhMGMyYjNiYmFlNzg2ZQ==",
			"S 235 Authentication successful."},
		{"5:NOT_ANNOUNCED", "9:CHALLENGE_FOLDED"},
		{"9:<CByLEDBhSCgnhMZ+N23F6w@elwood.innosoft.com>", "10:user \"fred\""}},
	{"tutorial: AUTH LOGIN", NULL, NULL, false,
		{"S 220 esmtp.example.com ESMTP", "C ehlo client.example.com",
			"S 250-esmtp.example.com", "S 250-PIPELINING", "S 250-8BITMIME",
			"S 250-SIZE 255555555", "S 250 AUTH LOGIN PLAIN CRAM-MD5", "C auth login",
			"S 334 VXNlcm5hbWU6", "C avlsdkfj", "S 334 UGFzc3dvcmQ6", "C lkajsdfvlj",
			"S 535 authentication failed (#5.7.1)"},
		{"10:NOT_UTF8", "12:BASE64_PADDING", "12:IN_CLEAR", "13:BASE64_CODE"}, {0}},
	{"tutorial: AUTH PLAIN", NULL, NULL, false,
		{"C ehlo client.example.com", "S 220-esmtp.example.com",
			"C AUTH PLAIN dGVzdAB0ZXN0AHRlc3RwYXNz", "S 235 ok, go ahead (#2.0.0)",
			"C RCPT TO:<....>"},
		{"2:EHLO_CODE", "3:EHLO_WAIT", "3:IN_CLEAR", "5:RCPT_WITHOUT_MAIL"},
		{"3:to act as \"test\"", "4:logged in by PLAIN"}},
	{"tutorial: AUTH CRAM-MD5", NULL, NULL, false,
		{"S 220 popmail.space.net ESMTP", "C ehlo client.example.com",
			"S 250-popmail.space.net", "S 250-PIPELINING", "S 250-8BITMIME",
			"S 250-SIZE 0", "S 250 AUTH CRAM-MD5", "C auth cram-md5",
			"S 334 PDI0NjA5LjEwNDc5MTQwNDZAcG9wbWFpbC5TcGFjZS5OZXQ+"},
		{0}, {"9:<24609.1047914046@popmail.Space.Net>"}},
	{"tutorial: the prose's string for AUTH PLAIN", NULL, NULL, true,
		{"C AUTH PLAIN AAllc3QACWVzdHBhc3M=", "S 535 no"}, {"1:PLAIN_TAB"},
		{"1:\"\\x09est\""}},
	{"tutorial: what its printf really makes", "test", "testpass", true,
		{"C AUTH PLAIN AHRlc3QAdGVzdHBhc3M=", "S 235 ok"}, {0}, {"1:password matches"}},
	/* ---- mistakes, one by one ---- */
	{"three NUL bytes", NULL, NULL, true, {"C AUTH PLAIN AHRlc3QAdGVzdAA=", "S 535 no"},
		{"1:PLAIN_FORM"}, {0}},
	{"echo's backslashes and line end", NULL, NULL, true,
		{"c ?", "C AUTH PLAIN XDB0ZXN0XDB0ZXN0cGFzcwo=", "S 535 no",
			"C AUTH PLAIN AHRlc3QAdGVzdHBhc3MK", "S 535 no", "C AUTH PLAIN AAB4",
			"S 535 no"},
		{"2:PLAIN_FORM", "4:LINE_END", "6:EMPTY"}, {0}},
	{"base64 of all wrong kinds", NULL, NULL, true,
		{"C AUTH PLAIN", "S 334 ", "C AHRl c3Q=", "S 501 no", "C AUTH PLAIN", "S 334 ",
			"C =AAA", "S 501 no", "C AUTH PLAIN", "S 334 ", "C AAA=BBB=", "S 501 no",
			"C AUTH PLAIN AHRlc3QAdGVzdHBhc3N=", "S 501 no", "C AUTH PLAIN", "S 334 ",
			"C =", "S 501 no"},
		{"3:BASE64_CHARACTER", "7:BASE64_PADDING", "11:BASE64_PADDING", "13:BASE64_BITS",
			"17:BASE64_EQUALS"},
		{0}},
	{"bad base64, wrongly answered", NULL, NULL, true,
		{"C AUTH LOGIN", "S 334 VXNlcm5hbWU6", "C dGVzdA", "S 334 UGFzc3dvcmQ6", "C !",
			"S 235 ok"},
		{"3:BASE64_PADDING", "4:BASE64_CODE", "5:BASE64_CHARACTER", "6:BASE64_CODE"}, {0}},
	{"order", NULL, NULL, true,
		{"S 220 hi", "C AUTH PLAIN AHgAeQ==", "S 503 no", "C MAIL FROM:<a@b.c>", "S 250 ok",
			"C MAIL FROM:<a@b.c>", "S 503 no", "C DATA", "S 503 no", "C HELO x",
			"S 250 x", "C AUTH PLAIN AHgAeQ==", "S 235 ok"},
		{"2:AUTH_BEFORE_EHLO", "4:MAIL_BEFORE_EHLO", "6:MAIL_BEFORE_EHLO", "6:MAIL_TWICE",
			"8:DATA_WITHOUT_RCPT", "12:AUTH_BEFORE_EHLO"},
		{0}},
	{"AUTH in a transaction, and twice", NULL, NULL, true,
		{"C EHLO x", "S 250 x", "C MAIL FROM:<a@b.c>", "S 250 ok", "C AUTH PLAIN AHgAeQ==",
			"S 235 ok", "C RSET", "S 250 ok", "C AUTH PLAIN AHgAeQ==", "S 503 no"},
		{"5:AUTH_IN_MAIL", "5:NOT_ANNOUNCED", "6:AUTH_NOT_503", "9:AUTH_TWICE",
			"9:NOT_ANNOUNCED"},
		{0}},
	{"a login is gone after STARTTLS, and EHLO is due", NULL, NULL, false,
		{"C EHLO x", "S 250-x", "S 250 AUTH PLAIN", "C STARTTLS", "S 220 go",
			"C AUTH PLAIN AHgAeQ==", "S 503 no", "C STARTTLS", "S 503 no"},
		{"6:AUTH_BEFORE_EHLO", "8:TLS_TWICE"}, {0}},
	{"words of AUTH", NULL, NULL, true,
		{"C AUTH", "S 501 no", "C AUTH PLAIN AHgAeQ== more", "S 501 no", "C AUTH a/b",
			"S 501 no"},
		{"1:AUTH_WORDS", "3:AUTH_WORDS", "5:AUTH_WORDS"}, {0}},
	{"announced, and refused", NULL, NULL, true,
		{"C EHLO x", "S 250-x", "S 250 AUTH PLAIN", "C AUTH PLAIN AHgAeQ==", "S 504 no"},
		{"5:ANNOUNCED"}, {0}},
	{"challenges", NULL, NULL, true,
		{"C AUTH CRAM-MD5 dGVzdA==", "S 501 no", "C AUTH PLAIN", "S 334", "C *", "S 535 no",
			"C AUTH CRAM-MD5", "s hello", "c tim B913A602C7EDA7A495B4E6E7334D3890",
			"S 535 no", "C AUTH PLAIN", "S 334-", "C *", "S 334 ", "C *", "S 501 x"},
		{"1:SERVER_FIRST", "4:CHALLENGE_BLANK", "6:CANCEL_CODE", "8:CRAM_CHALLENGE",
			"9:CRAM_RESPONSE", "12:CHALLENGE_MULTILINE", "14:CANCEL_CODE"},
		{0}},
	{"responses behind the end", NULL, NULL, true,
		{"C AUTH LOGIN", "S 504 no", "C dGVzdA==", "S 502 no"}, {"3:AFTER_END"}, {0}},
	{"in clear", NULL, NULL, false,
		{"C AUTH LOGIN", "S 334 VXNlcm5hbWU6", "C dGVzdA==", "S 334 UGFzc3dvcmQ6",
			"C MTIzNA==", "S 235 ok"},
		{"5:IN_CLEAR"}, {0}},
	{"SCRAM without the server's proof", NULL, NULL, true,
		{"C AUTH SCRAM-SHA-256", "S 334 ", "c n,,n=user,r=" N256, "s r=" S256 SALT256,
			"c c=biws,r=" S256 ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"S 235 ok"},
		{"6:NO_PROOF"}, {0}},
	{"SCRAM, the server is an impostor", "user", "pencil", true,
		{"C AUTH SCRAM-SHA-256", "S 334 ", "c n,,n=user,r=" N256, "s r=" S256 SALT256,
			"c c=biws,r=" S256 ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"s v=AAAATRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "c x", "S 235 ok"},
		{"6:SCRAM_SIGNATURE", "7:SCRAM_LAST"}, {"6:does not match"}},
	{"SCRAM, another password", "user", "crayon", true,
		{"C AUTH SCRAM-SHA-256", "S 334 ", "c n,,n=user,r=" N256, "s r=" S256 SALT256,
			"c c=biws,r=" S256 ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"S 535 no"},
		{0}, {"5:proof does not match"}},
	{"SCRAM, broken all over", NULL, NULL, true,
		{"C EHLO x", "S 250-x", "S 250 AUTH SCRAM-SHA-256 SCRAM-SHA-256-PLUS",
			"C AUTH SCRAM-SHA-256", "S 334 ", "c y,,n=us=er,r=" N256,
			"s r=other,s=QQ==,i=100", "c c=biws,r=" N256 ",p=AAAA", "S 535 no",
			"C AUTH SCRAM-SHA-256-PLUS", "S 334 ", "c n,,n=user,r=" N256,
			"s r=" S256 ",s=QQ==,i=99999999", "C *", "S 501 ok"},
		{"6:SCRAM_NAME", "6:SCRAM_DOWNGRADE", "7:SCRAM_NONCE", "7:SCRAM_FEW",
			"8:SCRAM_BINDING", "8:SCRAM_NONCE_SAME", "8:SCRAM_SYNTAX", "12:SCRAM_PLUS",
			"13:SCRAM_MANY"},
		{0}},
	{"SCRAM, far too many rounds", "user", "pencil", true,
		{"C AUTH SCRAM-SHA-256", "S 334 ", "c n,,n=user,r=" N256,
			"s r=" S256 ",s=QQ==,i=99999999", "C *", "S 501 ok"},
		{"4:SCRAM_MANY"}, {0}},
	{"OAUTHBEARER, RFC 7628's own slip", NULL, NULL, true,
		{"C AUTH OAUTHBEARER "
		 "bix1c2VyPXNvbWV1c2VyQGV4YW1wbGUuY29tLAFhdXRoPUJlYXJlciB2RjlkZnQ0cW1UYzJOdmIzUmxja"
		 "0"
		 "JoZEhSaGRtbHpkR0V1WTI5dENnPT0BAQ==",
			"s {\"status\":\"invalid_token\"}", "c more", "S 235 ok"},
		{"1:OAUTH_HEADER", "3:OAUTH_ERROR", "4:OAUTH_REFUSED"}, {0}},
	{"OAuth's form", NULL, NULL, true,
		{"C AUTH XOAUTH2", "S 334 ", "c user=a\1auth=Bearer x\1", "S 535 no",
			"C AUTH XOAUTH2", "S 334 ", "c user=a\1\1", "S 535 no"},
		{"3:OAUTH_FORM", "7:OAUTH_FORM"}, {0}},
	{"xtext that is none", NULL, NULL, false,
		{"C MAIL FROM:<a@b.c> AUTH=a=b@x", "S 501 no", "C MAIL FROM:<a@b.c> AUTH=+3",
			"S 501 no", "C MAIL FROM:<a@b.c> AUTH=+G0", "S 501 no",
			"C MAIL FROM:<a@b.c> AUTH=a+0D+0Ab@x", "S 501 no",
			"C MAIL FROM:<a@b.c> AUTH=a+00@x", "S 501 no"},
		{"1:AUTH_PARAMETER", "3:AUTH_PARAMETER", "5:AUTH_PARAMETER", "7:AUTH_PARAMETER",
			"9:AUTH_PARAMETER"},
		{0}},
};

static const char *const rule_names[] = {
#define X(name, document, words) #name,
	EXPLAIN_RULES(X)
#undef X
};

/* One line of a row as it goes over the wire. */
static enum explain_who spell(const char *line, struct base_buf *out)
{
	char who = line[0];

	base_buf_clear(out);
	if (who == 's')
		base_buf_append_text(out, "334 ");
	if (who == 's' || who == 'c')
		base64_encode(base_slice_text(line + 2), out);
	else
		base_buf_append_text(out, line + 2);
	return who == '?'                  ? EXPLAIN_NOBODY
		: who == 'c' || who == 'C' ? EXPLAIN_CLIENT
					   : EXPLAIN_SERVER;
}

static void check_says(const struct row *row, unsigned number, struct explain_line *l)
{
	for (size_t i = 0; i < BASE_COUNT(row->says) && row->says[i]; i++) {
		unsigned at = 0;
		int skip = 0;

		assert_int_equal(sscanf(row->says[i], "%u:%n", &at, &skip), 1);
		if (at == number && !strstr(base_buf_text(&l->meaning), row->says[i] + skip))
			fail_msg("%s, line %u: \"%s\" without \"%s\"", row->name, number,
				base_buf_text(&l->meaning), row->says[i] + skip);
	}
}

static void check_wrong(
	const struct row *row, unsigned number, const struct explain_line *l, size_t *io_wrong)
{
	for (size_t i = 0; i < l->mistake_count; i++) {
		const char *expected = *io_wrong < BASE_COUNT(row->wrong) ? row->wrong[*io_wrong]
									  : NULL;
		char found[80];

		snprintf(found, sizeof(found), "%u:%s", number, rule_names[l->mistakes[i].rule]);
		if (!expected || strcmp(expected, found) != 0)
			fail_msg("%s: %s (%s) where %s was due", row->name, found,
				l->mistakes[i].detail, expected ? expected : "none");
		++*io_wrong;
	}
}

static void each_dialogue_and_its_mistakes(void **state)
{
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		const struct row *row = &rows[i];
		struct explain_options options = {.tls = row->tls,
			.user = base_slice_text(row->user),
			.password = base_slice_text(row->password)};
		struct explain *e = explain_new(&options);
		struct explain_line l;
		struct base_buf text;
		size_t wrong = 0;

		explain_line_init(&l);
		base_buf_init(&text, 65536);
		for (unsigned n = 0; n < BASE_COUNT(row->lines) && row->lines[n]; n++) {
			enum explain_who who = spell(row->lines[n], &text);

			explain_push(e, who, base_buf_slice(&text), &l);
			check_says(row, n + 1, &l);
			check_wrong(row, n + 1, &l, &wrong);
		}
		if (wrong < BASE_COUNT(row->wrong) && row->wrong[wrong])
			fail_msg("%s: %s was not found", row->name, row->wrong[wrong]);
		base_buf_release(&text);
		explain_line_release(&l);
		explain_free(&e);
	}
}

/* A command, a reply, an initial response and a response that are too long, and ones that just fit. */
static void limits_of_lines(void **state)
{
	static const struct {
		const char *before;
		size_t len;
		enum explain_who who;
		bool too_long;
	} lines[] = {
		{"NOOP ", 510, EXPLAIN_CLIENT, false},
		{"NOOP ", 511, EXPLAIN_CLIENT, true},
		{"250 ", 510, EXPLAIN_SERVER, false},
		{"250 ", 511, EXPLAIN_SERVER, true},
		{"MAIL FROM:<a@b.c> ENVID=", 900, EXPLAIN_CLIENT, false},
		{"250 ok", 6, EXPLAIN_SERVER, false},
		{"RSET", 4, EXPLAIN_CLIENT, false},
		{"250 ok", 6, EXPLAIN_SERVER, false},
		{"AUTH XOAUTH2 ", 513, EXPLAIN_CLIENT, true},
		{"334 ", 12292, EXPLAIN_SERVER, false},
		{"", 12288, EXPLAIN_CLIENT, false},
		{"334 ", 12296, EXPLAIN_SERVER, true},
		{"", 12292, EXPLAIN_CLIENT, true},
	};
	struct explain_options options = {.tls = true};
	struct explain *e = explain_new(&options);
	struct explain_line l;
	struct base_buf text;

	explain_line_init(&l);
	base_buf_init(&text, 65536);
	for (size_t i = 0; i < BASE_COUNT(lines); i++) {
		bool found = false;

		base_buf_clear(&text);
		base_buf_append_text(&text, lines[i].before);
		while (text.len < lines[i].len)
			base_buf_append_byte(&text, 'A');
		explain_push(e, lines[i].who, base_buf_slice(&text), &l);
		for (size_t m = 0; m < l.mistake_count; m++)
			found |= l.mistakes[m].rule == EXPLAIN_LINE_LENGTH;
		if (found != lines[i].too_long)
			fail_msg("line %zu: %s", i, found ? "too long" : "not too long");
	}
	base_buf_release(&text);
	explain_line_release(&l);
	explain_free(&e);
}

/* Passwords, tokens and their base64 are not in what comes out. */
static void secrets_stay_inside(void **state)
{
	static const char *const lines[] = {"C AUTH PLAIN AHRpbQBzZWNyZXQ=", "S 535 no",
		"C AUTH LOGIN dGlt", "S 334 UGFzc3dvcmQ6", "C c2VjcmV0", "S 504 no", "C c2VjcmV0",
		"S 502 ?", "C AUTH PLAIN c2VjcmV0!", "S 501 no", "C AUTH LOGIN",
		"S 334 VXNlcm5hbWU6", "C c2VjcmV0!", "S 501 no", "C AUTH c2VjcmV0!", "S 501 no",
		"C AUTH XOAUTH2 dXNlcj1hAWF1dGg9QmVhcmVyIHNlY3JldAEB", "S 535 no",
		"C AUTH NTLM c2VjcmV0", "S 535 no",
		/* What belongs to another mechanism, to another protocol, or nowhere. */
		"C AUTH CRAM-MD5", "S 334 PDFAeD4=", "C c2VjcmV0", "S 535 no", "C AUTH CRAM-MD5",
		"S 334 PDFAeD4=", "C tim secret", "S 535 no", "C AUTH CRAM-MD5 c2VjcmV0",
		"S 501 no", "C AUTH SCRAM-SHA-256 c2VjcmV0", "S 535 no", "C AUTH DIGEST-MD5",
		"S 334 cmVhbG09eCxub25jZT15", "C c2VjcmV0", "S 535 no",
		"C AUTH LOGIN dGlt c2VjcmV0", "S 501 no", "C AUTH=PLAIN c2VjcmV0", "S 500 no",
		"C AUTHPLAIN c2VjcmV0", "S 500 no", "C \tAUTH\tPLAIN\tc2VjcmV0", "S 500 no",
		"C PASS secret", "S 500 no", "C AUTH LOGIN", "S 334 UGFzc3dvcmQ6", "C *",
		"C c2VjcmV0", "S 501 no", "C c2VjcmV0", "S 500 no", "? c2VjcmV0", "? PASS secret"};
	struct explain_options options = {0};
	struct explain *e = explain_new(&options);
	struct explain_line l;
	struct base_buf text;

	explain_line_init(&l);
	base_buf_init(&text, 4096);
	for (size_t i = 0; i < BASE_COUNT(lines); i++) {
		enum explain_who who = spell(lines[i], &text);

		explain_push(e, who, base_buf_slice(&text), &l);
		if (strstr(base_buf_text(&l.text), "c2Vj") ||
			strstr(base_buf_text(&l.text), "WNyZX") ||
			strstr(base_buf_text(&l.meaning), "secret") ||
			strstr(base_buf_text(&l.text), "secret") ||
			strstr(base_buf_text(&l.text), "NlY3"))
			fail_msg("%s: %s %s", lines[i], base_buf_text(&l.text),
				base_buf_text(&l.meaning));
	}
	base_buf_release(&text);
	explain_line_release(&l);
	explain_free(&e);
}

static const struct read_row {
	enum explain_format format;
	const char *line;
	enum explain_who who;
	const char *text;
	unsigned pid;
	bool piece, tls;
} read_rows[] = {
	{EXPLAIN_FORMAT_MARKS, "C: EHLO x", EXPLAIN_CLIENT, "EHLO x", 0, false, false},
	{EXPLAIN_FORMAT_MARKS, "  S:250 x\r", EXPLAIN_SERVER, "250 x", 0, false, false},
	{EXPLAIN_FORMAT_MARKS, "-- TLS TLSv1.3", EXPLAIN_NOBODY, "-- TLS TLSv1.3", 0, false, true},
	{EXPLAIN_FORMAT_MARKS, "   (words)", EXPLAIN_NOBODY, "   (words)", 0, false, false},
	{EXPLAIN_FORMAT_RECORDIO, "12 < EHLO x\r ", EXPLAIN_CLIENT, "EHLO x", 12, false, false},
	{EXPLAIN_FORMAT_RECORDIO, "12 > 334 \r ", EXPLAIN_SERVER, "334 ", 12, false, false},
	{EXPLAIN_FORMAT_RECORDIO, "12 < ab+", EXPLAIN_CLIENT, "ab", 12, true, false},
	{EXPLAIN_FORMAT_RECORDIO, "12 > [EOF]", EXPLAIN_NOBODY, "12 > [EOF]", 12, false, false},
	{EXPLAIN_FORMAT_RECORDIO, "12 > <5 bytes of TLS> ", EXPLAIN_NOBODY,
		"12 > <5 bytes of TLS> ", 12, false, false},
	{EXPLAIN_FORMAT_RECORDIO, "tcpserver: ok", EXPLAIN_NOBODY, "tcpserver: ok", 0, false,
		false},
	{EXPLAIN_FORMAT_SWAKS, " -> EHLO x", EXPLAIN_CLIENT, "EHLO x", 0, false, false},
	{EXPLAIN_FORMAT_SWAKS, "<~  250 x", EXPLAIN_SERVER, "250 x", 0, false, true},
	{EXPLAIN_FORMAT_SWAKS, "<** 535 x", EXPLAIN_SERVER, "535 x", 0, false, false},
	{EXPLAIN_FORMAT_SWAKS, "=== TLS started with cipher x", EXPLAIN_NOBODY,
		"=== TLS started with cipher x", 0, false, true},
	{EXPLAIN_FORMAT_BARE, "CONNECTED(00000003)", EXPLAIN_NOBODY, "CONNECTED(00000003)", 0,
		false, true},
	{EXPLAIN_FORMAT_BARE, "250 x\r", EXPLAIN_NOBODY, "250 x", 0, false, false},
};

static void each_kind_of_mark(void **state)
{
	for (size_t i = 0; i < BASE_COUNT(read_rows); i++) {
		const struct read_row *row = &read_rows[i];
		struct explain_read r = explain_read(row->format, base_slice_text(row->line));

		if (r.who != row->who || r.pid != row->pid || r.piece != row->piece ||
			r.tls != row->tls || !base_slice_equal_text(r.text, row->text))
			fail_msg("%s: who %d pid %u \"%.*s\"", row->line, r.who, (unsigned)r.pid,
				BASE_SLICE_ARGS(r.text));
		assert_int_equal(explain_format_guess(base_slice_text(row->line)),
			row->who == EXPLAIN_NOBODY ? EXPLAIN_FORMAT_BARE : row->format);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_dialogue_and_its_mistakes),
		cmocka_unit_test(limits_of_lines),
		cmocka_unit_test(secrets_stay_inside),
		cmocka_unit_test(each_kind_of_mark),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
