#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop/conf_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define H "hostname = \"mail.example.org\"\n"

/* Parse an exact-size heap copy, so that a sanitizer sees a read past the end. */
static struct conf *parse(const char *text, struct conf_findings *f)
{
	size_t len = strlen(text);
	uint8_t *copy = malloc(len ? len : 1);
	struct conf *c;

	memcpy(copy, text, len);
	c = conf_parse(base_slice_make(copy, len), "f", "/etc/postern", f);
	free(copy);
	return c;
}

static const char whole[] =
	"# a comment\n"
	"hostname = \"mail.example.org\"\n"
	"data     = \"/tmp/data\"   run = \"run\"\n"
	"store = \"sqlite\"\n"
	"user = \"postern\"\n"
	"tls { certificate = \"fullchain.pem\"  key = \"privkey.pem\"  client_ca = \"\"  ca = "
	"\"/ca.pem\" }\n"
	"listener submission { address = \"0.0.0.0:587\"  tls = \"starttls\" }\n"
	"listener submissions { address = \"[::1]:465\"  tls = \"implicit\" mechanisms = "
	"{\"plain\"} }\n"
	"listener \"printers\" { address = \"10.0.0.1:2525\"  tls = \"none\"  auth = \"required\"\n"
	"  plaintext_without_tls = true  from_networks = {\"10.0.0.0/24\", \"fd00::/8\",} }\n"
	"listener mx { address = \"0.0.0.0:25\"  tls = \"starttls\"  auth = \"optional\"\n"
	"  accept = {\"example.org\", \".example.net\"} }\n"
	"auth { mechanisms = {\"SCRAM-SHA-256-PLUS\", \"PLAIN\", \"CRAM-MD5\"} providers = "
	"{\"dove\", \"store\"}\n"
	"  default_domain = \"example.org\" upgrade = false legacy_announcement = true cache_ttl = "
	"\"10m\"\n"
	"  service = \"/run/dovecot/auth-client\" }\n"
	"provider dove { type = \"dovecot\"  path = \"/run/dovecot/auth-client\" domains = "
	"{\"a.example\"} }\n"
	"auth_service { path = \"/run/postern/auth-client\"  mode = 0666 }\n"
	"account google { url = \"smtps://smtp.example.com\" user = \"robot@example.org\"\n"
	"  connections = 3 rate = \"100/hour\" ca = \"/g.pem\" certificate = \"/c.pem\" key = "
	"\"/k.pem\"\n"
	"  mechanisms = {\"XOAUTH2\"} }\n"
	"account other { url = \"smtp://[2001:db8::1]:2587/\" user = \"a\\\"b\\\\c\\d\" mechanisms "
	"= {\"PLAIN\"} }\n"
	"route \"example.org\" { via = \"lmtp:/run/dovecot/lmtp\" }\n"
	"route \"a@example.org\" { via = \"maildir:/var/mail/{user}\" }\n"
	"route .example.net { via = \"smtp://relay.example.net:2525\" tls = \"require\" }\n"
	"route two.example { via = \"smtps://10.0.0.7\" account = \"other\" }\n"
	"route three.example { via = \"discard:\" } route four.example { via = \"error:gone away\" "
	"}\n"
	"route five.example { via = \"lmtp:host.example:24\" tls = \"none\" }\n"
	"route six.example { via = \"mx\" tls = \"verify\" }\n"
	"route * { via = \"account:google\" }\n"
	"limits { message_size = \"10M\"  recipients = 7 connections = 9 per_ip = 8 "
	"command_timeout = \"2m\"\n"
	"  auth_failures = 5 }\n"
	"queue { lifetime = \"2d\" delay_warning = \"0\" retry = {\"1m\", 120} }\n"
	"trace { client_address = false user = true }\r\n"
	"events { keep = \"7d\" size = \"64M\" }\n"
	"log { format = \"json\" dialogue = true }\n";

static void whole_file_is_understood(void **state)
{
	struct conf_findings f;
	struct conf *c = parse(whole, &f);

	for (size_t i = 0; i < f.count; i++)
		print_message("%u: %s\n", f.items[i].line, f.items[i].text);
	assert_non_null(c);
	assert_int_equal(f.count, 0);
	assert_string_equal(c->run, "/etc/postern/run");
	assert_string_equal(c->tls_certificate, "/etc/postern/fullchain.pem");
	assert_true(c->has_tls);
	assert_null(c->tls_client_ca);
	assert_int_equal(c->listener_count, 4);
	assert_int_equal(c->listeners[1].address.port, 465);
	assert_int_equal(c->listeners[1].mechanisms, conf_mechanism_parse(BASE_SLICE("PLAIN")));
	assert_int_equal(c->listeners[2].from_networks.count, 2);
	assert_true(c->listeners[2].plaintext_without_tls);
	assert_false(c->listeners[1].plaintext_without_tls);
	assert_int_equal(c->listeners[3].auth, CONF_AUTH_OPTIONAL);
	assert_string_equal(c->listeners[3].accept.items[1], ".example.net");
	assert_int_equal(c->auth.cache_ttl_s, 600);
	assert_int_equal(c->provider_count, 2);
	assert_string_equal(c->providers[1].title, "store");
	assert_int_equal(c->auth_service_mode, 0666);
	assert_true(c->accounts[0].implicit_tls);
	assert_int_equal(c->accounts[0].port, 465);
	assert_int_equal(c->accounts[0].connections, 3);
	assert_int_equal(c->accounts[0].rate_count, 100);
	assert_int_equal(c->accounts[0].rate_s, 3600);
	assert_int_equal(c->events.size, 64 << 20);
	assert_string_equal(c->accounts[1].host, "2001:db8::1");
	assert_string_equal(c->accounts[1].user, "a\"b\\c\\d");
	assert_int_equal(c->routes[0].via, CONF_VIA_LMTP);
	assert_null(c->routes[0].host);
	assert_string_equal(c->routes[1].text, "/var/mail/{user}");
	assert_int_equal(c->routes[2].port, 2525);
	assert_int_equal(c->routes[3].tls, CONF_POLICY_VERIFY);
	assert_string_equal(c->routes[5].text, "gone away");
	assert_string_equal(c->routes[6].host, "host.example");
	assert_string_equal(c->routes[8].account, "google");
	assert_int_equal(c->limits.message_size, 10 * 1024 * 1024);
	assert_int_equal(c->limits.command_timeout_s, 120);
	assert_int_equal(c->queue.delay_warning_s, 0);
	assert_int_equal(c->queue.retry_count, 2);
	assert_int_equal(c->queue.retry_s[1], 120);
	assert_int_equal(c->log_format, CONF_LOG_JSON);
	assert_true(c->dialogue);
	conf_free(&c);
	conf_findings_release(&f);
}

static void defaults_are_those_of_the_manual(void **state)
{
	struct conf_findings f;
	struct conf *c = parse(H, &f);

	assert_non_null(c);
	assert_int_equal(f.count, 0);
	assert_string_equal(c->data, "/var/lib/postern");
	assert_string_equal(c->run, "/run/postern");
	assert_null(c->user);
	assert_int_equal(c->auth.cache_ttl_s, 300);
	assert_true(c->auth.upgrade);
	assert_int_equal(c->provider_count, 1);
	assert_int_equal(c->limits.message_size, 52428800);
	assert_int_equal(c->queue.lifetime_s, 432000);
	assert_int_equal(c->queue.retry_count, 4);
	assert_true(c->trace_client_address);
	assert_false(c->trace_user);
	conf_free(&c);
	conf_findings_release(&f);
}

/* Every finding, in order, as the command prints them. */
static const struct row {
	const char *name, *text, *expected;
} rows[] = {
	{"unknown key", H "listener a { adress = \"127.0.0.1:25\" tls = \"none\" }\n",
		"f:2: key \"address\" is missing in listener \"a\"; write address = "
		"\"192.0.2.1:587\" or "
		"\"[2001:db8::1]:587\"\n"
		"f:2: unknown key \"adress\" in listener \"a\"; did you mean \"address\"?\n"},
	{"key of another section", H "cache_ttl = 5\n",
		"f:2: unknown key \"cache_ttl\" outside a section; it belongs into section auth\n"},
	{"key like nothing", H "zzzzzz = 5\n",
		"f:2: unknown key \"zzzzzz\" outside a section; see postern.conf(5) for what may "
		"stand "
		"here\n"},
	{"unknown section", H "listner a { }\n",
		"f:2: unknown section \"listner\"; did you mean "
		"\"listener\"?\n"},
	{"no hostname", "data = \"/d\"\n",
		"f:1: key \"hostname\" is missing outside a section; write "
		"hostname = \"mail.example.org\"\n"},
	{"bad hostname", "hostname = \"-a\"\n",
		"f:1: hostname = \"-a\" is not a host name; write "
		"letters, digits, hyphens and dots, as in \"mail.example.org\"\n"},
	{"unclosed section", H "\nlimits {\n recipients = 5\n",
		"f:3: section limits is not closed; "
		"add }\n"},
	{"section in a section", H "limits {\n recipients = 5\nlistener a {\n}\n",
		"f:2: section limits is not closed before the section of line 4; add }\n"},
	{"unclosed title", H "listener \"a { }\n",
		"f:2: listener has no value; write listener = …\n"},
	{"unclosed text", H "data = \"/x\n",
		"f:2: a text is not closed; add \" before the line ends\n"},
	{"unclosed list", H "auth { mechanisms = {\"PLAIN\"\n",
		"f:3: the file ends here; a comma or } in "
		"the list is missing\n"},
	{"no equals", H "trace { user true }\n", "f:2: user has no value; write user = …\n"},
	{"stray byte", H "}\n", "f:2: \"}\" cannot stand here; a key or a section is missing\n"},
	{"control byte", H "data = \"a\001\"\n",
		"f:2: a text holds the control byte 0x01; write it "
		"without\n"},
	{"not UTF-8", H "data = \"a\xff\"\n",
		"f:2: the line is not UTF-8; save the file as UTF-8\n"},
	{"errors before a syntax error count too", "hostnam = \"a\"\ntrace { usr = true }\n=\n",
		"f:1: unknown key \"hostnam\" outside a section; did you mean \"hostname\"?\n"
		"f:2: unknown key \"usr\" in section trace; did you mean \"user\"?\n"
		"f:3: \"=\" cannot stand here; a key or a section is missing\n"},
	{"key twice", H "run = \"/a\"\nrun = \"/b\"\n",
		"f:3: key \"run\" stands twice outside a section, "
		"first on line 2; remove one\n"},
	{"section twice", H "trace { }\ntrace { }\n",
		"f:3: trace stands twice, first on line 2; put all "
		"keys into one section\n"},
	{"title twice", H "route a.b { via = \"mx\" }\nroute \"A.b\" { via = \"mx\" }\n",
		"f:3: route \"A.b\" stands twice, first on line 2; give it another title\n"},
	{"no title", H "route { via = \"mx\" }\n",
		"f:2: section route needs a title; write route NAME "
		"{ … }\n"},
	{"title too much", H "trace x { }\n",
		"f:2: section trace takes no title; write trace { … }\n"},
	{"bare word", H "listener a { address = \"127.0.0.1:25\" tls = none }\n",
		"f:2: tls = none: a text "
		"stands in quotes; write tls = \"none\"\n"},
	{"word not known", H "listener a { address = \"127.0.0.1:25\" tls = \"startls\" }\n",
		"f:2: tls = \"startls\" is not known; did you mean \"starttls\"? It may be "
		"\"none\", "
		"\"starttls\" or \"implicit\"\n"},
	{"bad address", H "listener a { address = \"localhost:25\" tls = \"none\" }\n",
		"f:2: address = "
		"\"localhost:25\" is not right; write \"192.0.2.1:587\" or "
		"\"[2001:db8::1]:587\"\n"},
	{"bad port", H "listener a { address = \"127.0.0.1:65536\" tls = \"none\" }\n",
		"f:2: address = "
		"\"127.0.0.1:65536\" is not right; write \"192.0.2.1:587\" or "
		"\"[2001:db8::1]:587\"\n"},
	{"bad bool", H "trace { user = \"yes\" }\n",
		"f:2: user = \"yes\" is not right; write true or "
		"false\n"},
	{"bad number", H "limits { recipients = \"5\" }\n",
		"f:2: recipients = \"5\" is not right; write a "
		"number as in 100\n"},
	{"number out of range", H "limits { recipients = 0 }\n",
		"f:2: recipients = 0 is out of range; "
		"write 1 to 100000\n"},
	{"number too large", H "limits { recipients = 99999999999999999999 }\n",
		"f:2: recipients = "
		"99999999999999999999: a text stands in quotes; write recipients = "
		"\"99999999999999999999\"\n"},
	{"bad duration", H "queue { lifetime = \"5w\" }\n",
		"f:2: lifetime = \"5w\" is not right; write a "
		"duration as in \"90s\", \"5m\", \"4h\" or \"5d\"\n"},
	{"bad size", H "limits { message_size = \"10X\" }\n",
		"f:2: message_size = \"10X\" is not right; "
		"write bytes as in 52428800, or a size as in \"50M\"\n"},
	{"bad retry", H "queue { retry = {\"5m\", \"x\"} }\n",
		"f:2: retry = \"x\" is not right; write "
		"durations as in {\"5m\", \"15m\", \"1h\"}\n"},
	{"empty retry", H "queue { retry = {} }\n",
		"f:2: retry holds 0 durations; write 1 to 32 of them, "
		"as in {\"5m\", \"15m\", \"1h\"}\n"},
	{"bad mode", H "auth_service { mode = 660 }\n auth { providers = {\"store\"} }\n", ""},
	{"decimal mode", H "auth_service { mode = 0680 }\n",
		"f:2: mode = 0680 is not right; write an octal "
		"file mode as in 0660\n"},
	{"bad network",
		H "listener a { address = \"127.0.0.1:25\" tls = \"none\"\n"
		  "from_networks = {\"10.0.0.1/8\"} }\n",
		"f:3: \"10.0.0.1/8\" in from_networks is not a "
		"network; write an address with a prefix and no bits behind it, as in "
		"\"10.0.0.0/8\"\n"},
	{"no list", H "auth { providers = \"store\" }\n",
		"f:2: providers is a list; write {\"one\", "
		"\"two\"}\n"},
	{"list for a text", H "run = {\"a\"}\n", "f:2: run is not a list; write \"/path\"\n"},
	{"word in a list", H "auth { providers = {store} }\n",
		"f:2: store in the list providers is not in "
		"quotes; write \"store\"\n"},
	{"item twice", H "auth { mechanisms = {\"PLAIN\", \"plain\"} }\n",
		"f:2: \"plain\" stands twice in "
		"mechanisms; remove one\n"},
	{"mechanism unknown", H "auth { mechanisms = {\"SCRAM-SHA256\"} }\n",
		"f:2: mechanism "
		"\"SCRAM-SHA256\" is not known; did you mean \"SCRAM-SHA-256\"?\n"},
	{"mechanism later", H "auth { mechanisms = {\"PLAIN\",\n\"DIGEST-MD5\"} }\n",
		"f:3: mechanism "
		"\"DIGEST-MD5\": not available in this build\n"},
	{"listener widens",
		H "listener a { address = \"127.0.0.1:25\" tls = \"starttls\"\n"
		  "mechanisms = {\"CRAM-MD5\"} }\n",
		"f:3: listener \"a\" lists CRAM-MD5, which auth "
		"{ mechanisms } does not; a listener can only narrow it, so add it there\n"},
	{"no mechanism left",
		H "listener a {\naddress = \"10.0.0.1:25\"\ntls = \"none\"\nmechanisms = "
		  "{\"PLAIN\", \"LOGIN\"} }\n",
		"f:4: listener \"a\" demands AUTH but tls = \"none\" leaves no "
		"mechanism to offer; write tls = \"starttls\", or add a SCRAM mechanism, or "
		"plaintext_without_tls = true\n"},
	{"plain on loopback is let be",
		H "listener a { address = \"127.0.0.1:25\" tls = \"none\" mechanisms "
		  "= {\"PLAIN\", \"LOGIN\"} }\n",
		""},
	{"plain by word",
		H "listener a { address = \"10.0.0.1:25\" tls = \"none\" mechanisms "
		  "= {\"PLAIN\"} plaintext_without_tls = true }\n",
		""},
	{"scram without TLS", H "listener a { address = \"10.0.0.1:25\" tls = \"none\" }\n", ""},
	{"accept with required",
		H "listener a { address = \"10.0.0.1:25\" tls = \"starttls\" accept = "
		  "{\"a.example\"} }\n",
		"f:2: listener \"a\" accepts mail without AUTH for domains but auth = "
		"\"required\" forbids it; write auth = \"optional\"\n"},
	{"accept everything",
		H "listener a { address = \"10.0.0.1:25\" tls = \"starttls\" auth = "
		  "\"optional\" accept = {\"*\"} }\n",
		"f:2: \"*\" in accept is not a domain; write "
		"{\"example.org\", \".example.net\"}\n"},
	{"auth none",
		H "listener a { address = \"10.0.0.1:25\" tls = \"starttls\" auth = \"none\" }\n",
		"f:2: listener \"a\" has auth = \"none\" and accepts no domain, so it takes no "
		"mail; write "
		"accept = {\"example.org\"}\n"},
	{"zones for those who log in",
		H "listener a { address = \"10.0.0.1:25\" tls = \"starttls\"\n"
		  "dnsbl = {\"bl.example\"} }\n",
		"f:3: listener \"a\" demands AUTH, and whoever logs in is not judged by his "
		"address; remove dnsbl, it is for listeners with accept\n"},
	{"zones for nobody",
		H "listener a { address = \"10.0.0.1:25\" tls = \"starttls\" auth = \"optional\"\n"
		  "dnsbl = {\"bl.example\"} }\n",
		"f:3: listener \"a\" takes no mail from strangers, so dnsbl judges nobody; "
		"remove it, or write accept = {\"example.org\"}\n"},
	{"zones that are none",
		H "listener a { address = \"10.0.0.1:25\" tls = \"starttls\" auth = \"none\" "
		  "accept = {\"a.example\"}\n"
		  "dnsbl = {\"bl.example\", \"bl example\", \"b3\", \"b4\", \"b5\", \"b6\", "
		  "\"b7\", \"b8\", \"b9\"} }\n",
		"f:3: dnsbl lists 9 zones; write at most 8\n"
		"f:3: dnsbl: \"bl example\" is no zone; write {\"dnsbl.example.org\"}\n"},
	{"a stranger's listener with zones and addresses",
		H "listener a { address = \"10.0.0.1:25\" tls = \"starttls\" auth = \"none\" "
		  "accept = {\"a.example\"} dnsbl = {\"bl.example\"}\n"
		  "relay_ctrl = \"/nowhere\" relay_ctrl_expiry = \"1h\" }\n",
		""},
	{"same address",
		H "listener a { address = \"10.0.0.1:25\" tls = \"starttls\" }\n"
		  "listener b { address = \"10.0.0.1:25\" tls = \"implicit\" }\n"
		  "listener c { address = \"0.0.0.0:25\" tls = \"implicit\" }\n",
		"f:3: listener \"b\" has the address of listener \"a\" on line 2; give it another "
		"address or "
		"port\n"
		"f:4: listener \"c\" has the address of listener \"a\" on line 2; give it another "
		"address or "
		"port\n"},
	{"provider undefined", H "auth {\nproviders = {\"corp\"} }\n",
		"f:3: provider \"corp\" is named in "
		"auth { providers } but there is no section provider corp { … }\n"},
	{"provider without type", H "provider x { }\n",
		"f:2: provider \"x\" has no type; write type = "
		"\"dovecot\"\n"},
	{"provider later",
		H "provider x { type = \"ldap\" uri = \"ldaps://a\" base = \"\" filtr = \"\" }\n",
		"f:2: type = \"ldap\": not available in this build\n"
		"f:2: unknown key \"filtr\" in provider \"x\"; did you mean \"filter\"?\n"},
	{"provider key later", H "provider x { type = \"dovecot\" path = \"/x\" uri = \"a:\" }\n",
		"f:2: key \"uri\" in provider \"x\": not available in this build\n"},
	{"provider key of another type",
		H "provider x { type = \"dovecot\" path = \"/x\"\nrun_as = \"joe\" }\n",
		"f:3: provider \"x\": run_as has no meaning for type = \"dovecot\"; remove it\n"},
	{"command without its type",
		H "provider x { type = \"file\" path = \"/x\" format = \"passwd\"\n"
		  "command = {\"/x\", \"y\"} }\n",
		"f:3: provider \"x\": command has no meaning for type = \"file\"; remove it\n"},
	{"store with a path", H "provider store { path = \"/x\" }\n",
		"f:2: provider \"store\": path has no meaning for type = \"store\", the built-in "
		"vault in data; remove it\n"},
	{"file without format", H "provider x { type = \"file\" path = \"/x\" }\n",
		"f:2: provider \"x\" has no format; write path = \"/etc/postern/users\"  "
		"format = \"passwd\"\n"},
	{"file without path", H "provider x { type = \"file\" format = \"vpasswd\" }\n",
		"f:2: provider \"x\" has no path; write path = \"/etc/postern/users\"  "
		"format = \"passwd\"\n"},
	{"format unknown", H "provider x { type = \"file\" path = \"/x\" format = \"htpaswd\" }\n",
		"f:2: format = \"htpaswd\" is not known; did you mean \"htpasswd\"? It may be "
		"\"passwd\", \"htpasswd\", \"authuser\", \"vpasswd\" or \"vmailmgr\"\n"},
	{"checkpassword without command", H "provider x { type = \"checkpassword\" }\n",
		"f:2: provider \"x\" has no command; write command = {\"/bin/checkpassword\", "
		"\"/bin/true\"}\n"},
	{"command not absolute",
		H
		"provider x { type = \"checkpassword\" command = {\"checkpassword\", \"true\"} }\n",
		"f:2: provider \"x\": program \"checkpassword\" has no absolute path; write "
		"command = "
		"{\"/bin/checkpassword\", \"/bin/true\"}\n"},
	{"true as checker",
		H "provider x { type = \"checkpassword\" command = {\"/bin/true\", \"true\"} }\n",
		"f:2: provider \"x\": \"/bin/true\" accepts every password; the checker comes "
		"first, "
		"as in command = {\"/bin/checkpassword\", \"/bin/true\"}\n"},
	{"command empty", H "provider x { type = \"checkpassword\" command = {} }\n",
		"f:2: command is empty; write {\"one\", \"two\"}, or leave the key out\n"},
	{"cram order unknown",
		H "provider x { type = \"checkpassword\" command = {\"/b\", \"\", \"\"}\n"
		  "cram_order = \"old\" }\n",
		"f:3: cram_order = \"old\" is not known; write \"standard\" or \"legacy\"\n"},
	{"pam service no name", H "provider x { type = \"pam\" service = \"../x\" }\n",
		"f:2: provider \"x\": service = \"../x\" is no name of a service; write service = "
		"\"smtp\", the name of a file in /etc/pam.d\n"},
	{"provider without path", H "provider x { type = \"dovecot\" }\n",
		"f:2: provider \"x\" has no path; "
		"write path = \"/run/dovecot/auth-client\"\n"},
	{"store of another type", H "provider store { type = \"dovecot\" path = \"/x\" }\n",
		"f:2: provider "
		"\"store\" is the built-in vault; give a provider of another type another title\n"},
	{"sections of later parts",
		H "metrics { address = \"127.0.0.1:9587\" }\npolicy { servce = \"\" }\n"
		  "dkim \"example.org\" { selector = \"a\" }\n",
		"f:2: section metrics: not available in this build\n"
		"f:3: section policy: not available in this build\n"
		"f:3: unknown key \"servce\" in section policy; did you mean \"service\"?\n"
		"f:4: section dkim: not available in this build\n"},
	{"events", H "events { keep = \"0\" size = \"1k\" }\n",
		"f:2: keep = 0 is out of range; write 1 to 315360000 seconds\n"
		"f:2: size = 1k is out of range; write 1048576 to 17592186044416\n"},
	{"listener key later",
		H "listener a { address = \"10.0.0.1:25\" tls = \"starttls\"\n"
		  "proxy_from = {\"10.0.0.0/8\"} }\n",
		"f:3: key \"proxy_from\" in listener \"a\": not "
		"available in this build\n"},
	{"store later", H "store = \"postgresql://u:p@h/d\"\n",
		"f:2: store = \"postgresql:…\": not "
		"available in this build\n"},
	{"store unknown", H "store = \"files\"\n",
		"f:2: store = \"files\" is not known; write \"sqlite\"\n"},
	{"client_ca later", H "tls { client_ca = \"/x\" }\n",
		"f:2: client_ca = \"/x\": not available in "
		"this build\n"},
	{"certificate alone", H "tls { certificate = \"/x\" }\n",
		"f:2: tls { } has a certificate but no "
		"key; write both or none\n"},
	{"via later", H "route a.b { via = \"pipe:x\" }\n",
		"f:2: via = \"pipe:x\": not available in this build\n"},
	{"via unknown", H "route * { via = \"stmp://a\" }\nroute a.b { via = \"gopher://a\" }\n",
		"f:2: via = \"stmp://a\" is not known; did you mean \"smtp://host:port\"?\n"
		"f:3: via = \"gopher://a\" is not known; write \"mx\", \"smtp://host:port\", "
		"\"smtps://host:port\", \"account:NAME\", \"sender\", \"lmtp:…\", "
		"\"maildir:/path/{user}\", "
		"\"discard:\" "
		"or \"error:text\"\n"},
	{"via without host", H "route * { via = \"smtp://\" }\n",
		"f:2: via = \"smtp://\" is no address; "
		"write \"smtp://host:port\"\n"},
	{"via with a path", H "route * { via = \"smtps://a/b\" }\n",
		"f:2: via = \"smtps://a/b\" is no "
		"address; write \"smtps://host:port\"\n"},
	{"via with a user", H "route * { via = \"smtp://u:p@a\" }\n",
		"f:2: via = \"smtp://u:p@a\" holds a "
		"user; write account = \"NAME\" beside it and keep the password in the vault\n"},
	{"relative maildir", H "route * { via = \"maildir:a\" }\n",
		"f:2: via = \"maildir:a\" is no absolute "
		"path; write \"maildir:/path/{user}\"\n"},
	{"maildir brace", H "route * { via = \"maildir:/a/{usr}\" }\n",
		"f:2: via = \"maildir:/a/{usr}\" holds "
		"a brace that means nothing; {user}, {domain} and {address} are replaced\n"},
	{"account in clear",
		H "account a { url = \"smtp://h\" user = \"u\" }\n"
		  "route * { via = \"account:a\"\ntls = \"none\" }\n"
		  "route b.c { via = \"smtp://h\" account = \"a\" tls = \"may\" }\n",
		"f:4: route \"*\" logs in with account \"a\", which needs verified TLS; write tls "
		"= "
		"\"verify\" or leave it out\n"
		"f:5: route \"b.c\" logs in with account \"a\", which needs verified TLS; write "
		"tls = "
		"\"verify\" or leave it out\n"},
	{"account of the vault", H "route * { via = \"account:a\" }\n",
		"f:2: warning: route \"*\": no "
		"section account a { … }; mail waits until the account exists (postern account add "
		"a …)\n"},
	{"account twice in a route",
		H "account a { url = \"smtp://h\" user = \"u\" }\n"
		  "route * { via = \"account:a\" account = \"a\" }\n",
		"f:3: via = \"account:a\" and account = "
		"\"a\" stand together; keep one of them\n"},
	{"account with mx",
		H "account a { url = \"smtp://h\" user = \"u\" }\n"
		  "route * { via = \"mx\" account = \"a\" }\n",
		"f:3: route \"*\" has an account, but via = "
		"\"mx\" logs in nowhere; write via = \"smtp://host:port\" or \"account:NAME\"\n"},
	{"tls of a maildir", H "route * { via = \"maildir:/m\" tls = \"may\" }\n",
		"f:2: route \"*\": tls has "
		"no meaning for via = \"maildir:/m\"; remove it\n"},
	{"smtps without tls", H "route * { via = \"smtps://h\" tls = \"none\" }\n",
		"f:2: route \"*\": "
		"smtps:// is TLS from the first byte; write tls = \"verify\", or via = "
		"\"smtp://…\"\n"},
	{"route for nobody", H "route \"@a.b\" { via = \"mx\" }\n",
		"f:2: route \"@a.b\" is for nobody; write "
		"\"example.org\", \".example.org\", \"user@example.org\" or \"*\"\n"},
	{"account url",
		H "account a { url = \"imap://h\" user = \"u\" }\naccount b { url = \"smtp://h:0\" "
		  "user = \"u\" }\n",
		"f:2: url = \"imap://h\" is not known; write \"smtps://host:465\" or "
		"\"smtp://host:587\"\n"
		"f:3: url = \"smtp://h:0\" is no address; write \"smtp://host:port\"\n"},
	{"account in full",
		H "account a { url = \"smtp://h\" user = \"u\" mechanisms = {\"XOAUTH2\", "
		  "\"EXTERNAL\"} "
		  "connections = 4\nrate = \"100/hour\" pin = "
		  "\"sha256:000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f\"\n"
		  "ca = \"ca.pem\" certificate = \"c.pem\" key = \"k.pem\" }\n",
		""},
	{"account limits",
		H "account a { url = \"smtp://h\" user = \"u\" connections = 0\nrate = "
		  "\"100\"\npin = "
		  "\"md5:00\" }\n",
		"f:2: connections = 0 is out of range; write 1 to 64\n"
		"f:3: rate = \"100\" is none; write messages in a time as in \"100/hour\" (second, "
		"minute, hour or day)\n"
		"f:4: pin = \"md5:00\" is none; write \"sha256:\" and the 64 hexadecimal digits of "
		"the SHA-256 of the certificate's public key (postern probe shows it)\n"},
	{"account certificate alone",
		H "account a { url = \"smtp://h\" certificate = \"c.pem\" }\n",
		"f:2: account \"a\" has a certificate but no key; write both or none\n"},
	{"account without user", H "account a { url = \"smtp://h\" }\n",
		"f:2: account \"a\" has no user; write user = \"NAME\", the login name there (only "
		"an "
		"account that logs in by its certificate needs none)\n"},
	{"a client's mechanism on the server's side",
		H "auth { mechanisms = {\"PLAIN\", \"XOAUTH2\"} }\n",
		"f:2: mechanism \"XOAUTH2\": not available in this build\n"},
	{"by sender", H "route * { via = \"sender\" }\n", ""},
	{"by sender of strangers",
		H "listener mx { address = \"0.0.0.0:25\" auth = \"optional\"\n"
		  "accept = {\"example.org\", \".example.net\"} }\nroute * { via = \"sender\" }\n"
		  "route example.org { via = \"mx\" }\n",
		"f:3: warning: listener \"mx\" accepts mail of strangers for \".example.net\", and "
		"route "
		"\"*\" would send it with the account of whomever they claim to be; give that "
		"domain "
		"a route of its own\n"},
	{"by sender in clear", H "route * { via = \"sender\"\ntls = \"none\" }\n",
		"f:3: route \"*\" logs in with the account of the sender, which needs verified "
		"TLS; "
		"write tls = \"verify\" or leave it out\n"},
	{"by sender and account",
		H "account a { url = \"smtp://h\" user = \"u\" }\n"
		  "route * { via = \"sender\" account = \"a\" }\n",
		"f:3: via = \"sender\" and account = \"a\" stand together; write via = "
		"\"account:a\" "
		"for one account, or leave account out\n"},
};

static void rows_say_what_is_wrong(void **state)
{
	unsigned bad = 0;

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct conf_findings f;
		struct conf *c = parse(rows[i].text, &f);
		struct base_buf out;
		bool errors = false;

		base_buf_init(&out, 1 << 20);
		conf_findings_print("f", &f, &out);
		for (size_t k = 0; k < f.count; k++)
			errors = errors || !f.items[k].warning;
		if (strcmp(base_buf_text(&out), rows[i].expected) != 0 || !c != errors) {
			print_error("%s:\n%s-- instead of\n%s", rows[i].name, base_buf_text(&out),
				rows[i].expected);
			bad++;
		}
		base_buf_release(&out);
		conf_findings_release(&f);
		conf_free(&c);
	}
	assert_int_equal(bad, 0);
}

/* Cut anywhere, the parser ends, and what it takes has no error. */
static void cut_anywhere(void **state)
{
	char text[sizeof(whole)];

	for (size_t len = 0; len < sizeof(whole); len++) {
		struct conf_findings f;
		struct conf *c;
		bool errors = false;

		memcpy(text, whole, len);
		text[len] = '\0';
		c = parse(text, &f);
		for (size_t k = 0; k < f.count; k++)
			errors = errors || !f.items[k].warning;
		assert_true(!c == errors);
		conf_free(&c);
		conf_findings_release(&f);
	}
}

static void render(const struct conf *c, enum ipc_role role, struct base_buf *out)
{
	base_buf_init(out, 1 << 20);
	conf_render(c, role, out);
	assert_true(base_buf_ok(out));
}

/* What a role is told parses, says the same again, and holds what belongs to the role only. */
static void each_role_is_told_its_part(void **state)
{
	static const struct {
		enum ipc_role role;
		const char *has, *lacks;
	} parts[] = {
		{IPC_FRONT, "from_networks = {\"10.0.0.0/24\", \"fd00::/8\"}", "robot@example.org"},
		{IPC_AUTH, "rate = \"100/hour\"", "route "},
		{IPC_AUTH, "key = \"/k.pem\"", "route "},
		{IPC_AUTH, "user = \"a\\\"b\\\\c\\\\d\"", "route "},
		{IPC_WORKER, "mechanisms = ", "provider "},
		{IPC_QUEUE, "retry = {60, 120}", "listener "},
		{IPC_RELAY, "ca = \"/ca.pem\"", "privkey.pem"},
		{IPC_DELIVER, "maildir:/var/mail/{user}", "provider "},
		{IPC_JOURNAL, "format = \"json\"", "route "},
		{IPC_JOURNAL, "keep = 604800", "route "},
	};
	struct conf_findings f;
	struct conf *c = parse(whole, &f);

	conf_findings_release(&f);
	for (size_t i = 0; i < BASE_COUNT(parts); i++) {
		struct base_buf first, second;
		struct conf *again;

		render(c, parts[i].role, &first);
		again = conf_parse(base_buf_slice(&first), "f", "/", &f);
		for (size_t k = 0; k < f.count; k++)
			print_message("%s: %u: %s\n", ipc_role_name(parts[i].role), f.items[k].line,
				f.items[k].text);
		assert_non_null(again);
		render(again, parts[i].role, &second);
		assert_string_equal(base_buf_text(&first), base_buf_text(&second));
		if (!strstr(base_buf_text(&first), parts[i].has))
			fail_msg("%s lacks %s", base_buf_text(&first), parts[i].has);
		assert_null(strstr(base_buf_text(&first), parts[i].lacks));
		base_buf_release(&first);
		base_buf_release(&second);
		conf_findings_release(&f);
		conf_free(&again);
	}
	conf_free(&c);
}

/* Field by field for the front, which has the most kinds of them. */
static void front_gets_the_same_values(void **state)
{
	struct conf_findings f;
	struct conf *c = parse(whole, &f), *again;
	struct base_buf text;

	conf_findings_release(&f);
	render(c, IPC_FRONT, &text);
	again = conf_parse(base_buf_slice(&text), "f", "/", &f);
	assert_int_equal(again->listener_count, c->listener_count);
	for (size_t i = 0; i < c->listener_count; i++) {
		const struct conf_listener *a = &c->listeners[i], *b = &again->listeners[i];

		assert_string_equal(a->title, b->title);
		assert_memory_equal(&a->address, &b->address, sizeof(a->address));
		assert_int_equal(a->tls, b->tls);
		assert_int_equal(a->auth, b->auth);
		assert_int_equal(a->mechanisms, b->mechanisms);
		assert_int_equal(a->plaintext_without_tls, b->plaintext_without_tls);
		assert_int_equal(a->from_networks.count, b->from_networks.count);
		assert_int_equal(a->accept.count, b->accept.count);
	}
	assert_memory_equal(&c->limits, &again->limits, sizeof(c->limits));
	assert_int_equal(c->trace_client_address, again->trace_client_address);
	assert_int_equal(c->trace_user, again->trace_user);
	assert_int_equal(c->auth.mechanisms, again->auth.mechanisms);
	assert_string_equal(c->auth.service, again->auth.service);
	assert_int_equal(c->dialogue, again->dialogue);
	base_buf_release(&text);
	conf_free(&c);
	conf_free(&again);
	conf_findings_release(&f);
}

static char *write_file(const char *dir, const char *name, const char *text)
{
	char *path = NULL;
	int fd;

	assert_true(asprintf(&path, "%s/%s", dir, name) > 0);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	return path;
}

/* Which of the lines of @expected stands in what loading @text from @dir found. */
static void expect_findings(const char *dir, const char *text, const char *const *expected)
{
	char *path = write_file(dir, "postern.conf", text);
	struct conf_findings f;
	struct conf *c = conf_load(path, &f);
	struct base_buf out;

	base_buf_init(&out, 1 << 16);
	conf_findings_print("f", &f, &out);
	for (; *expected; expected++)
		if (!strstr(base_buf_text(&out), *expected))
			fail_msg("%s\n-- lacks\n%s", base_buf_text(&out), *expected);
	base_buf_release(&out);
	conf_findings_release(&f);
	conf_free(&c);
	unlink(path);
	free(path);
}

static void what_providers_need_is_looked_at(void **state)
{
	static const char *const wrong[] = {"f:2: provider \"a\": path = ",
		"No such file or directory; name a file that is there\n",
		"f:3: provider \"b\": program \"/nowhere/checker\": No such file or directory; "
		"name one "
		"that is there\n",
		"f:4: provider \"c\": run_as = \"nobody-of-this-name\": there is no such account; "
		"make "
		"it, or name another\n",
		"/file.txt\" is not a program; name one\n",
		"No such file or directory; make it with saslpasswd2\n", NULL};
	static const char *const fine[] = {
		"f:3: warning: provider \"c\": a saslauthd without -r may not look at the domain",
		"warning: provider \"d\": most checkpassword programs need another program", NULL};
	char dir[] = "/tmp/test_conf.XXXXXX", *file;
	char text[2048];

	assert_non_null(mkdtemp(dir));
	file = write_file(dir, "file.txt", "a:b\n");
	snprintf(text, sizeof(text),
		H
		"provider a { type = \"file\" path = \"missing\" format = \"passwd\" }\n"
		"provider b { type = \"checkpassword\" command = {\"/nowhere/checker\", \"x\"} }\n"
		"provider c { type = \"saslauthd\" run_as = \"nobody-of-this-name\" }\n"
		"provider d { type = \"checkpassword\" command = {\"%s\", \"x\"} }\n"
		"provider e { type = \"sasldb\" path = \"/nowhere/sasldb2\" }\n",
		file);
	if (LOOP_HAVE_SASLDB)
		expect_findings(dir, text, wrong);
	/* A socket may come later. */
	snprintf(text, sizeof(text),
		H "provider a { type = \"file\" path = \"file.txt\" format = \"passwd\" }\n"
		  "provider c { type = \"saslauthd\" path = \"/nowhere/mux\" }\n"
		  "provider d { type = \"checkpassword\" command = {\"/bin/sh\"} }\n");
	expect_findings(dir, text, fine);
	unlink(file);
	free(file);
	rmdir(dir);
}

/* Master, auth and the processes themselves agree. */
static void processes_are_numbered_by_the_list(void **state)
{
	static const char text[] = H
		"auth { providers = {\"sa\", \"store\", \"flat\", \"dove\", \"old\"} }\n"
		"provider old { type = \"checkpassword\" command = {\"/c\", \"x\", \"x\", \"\"} }\n"
		"provider flat { type = \"file\" path = \"/f\" format = \"vmailmgr\" }\n"
		"provider unused { type = \"saslauthd\" }\n"
		"provider dove { type = \"dovecot\" path = \"/d\" }\n"
		"provider sa { type = \"saslauthd\" run_as = \"daemon\" }\n";
	static const struct {
		unsigned index;
		const char *title;
	} indexes[] = {{0, "sa"}, {3, "sa"}, {4, "flat"}, {5, "old"}, {8, "old"}, {9, NULL}};
	static const enum ipc_role roles[] = {IPC_MASTER, IPC_AUTH, IPC_PROVIDER};
	struct conf_findings f;
	struct conf *whole_conf = parse(text, &f);

	assert_non_null(whole_conf);
	conf_findings_release(&f);
	for (size_t k = 0; k < BASE_COUNT(roles); k++) {
		struct conf *c = whole_conf;
		const struct conf_provider *old;
		struct base_buf part;

		base_buf_init(&part, 1 << 16);
		if (roles[k] != IPC_MASTER) {
			conf_render(whole_conf, roles[k], &part);
			c = conf_parse(base_buf_slice(&part), "f", "/", &f);
			conf_findings_release(&f);
			assert_non_null(c);
		}
		assert_int_equal(conf_provider_processes(c), 9);
		for (size_t i = 0; i < BASE_COUNT(indexes); i++) {
			const struct conf_provider *p = conf_provider_of_process(
				c, indexes[i].index);

			assert_int_equal(p != NULL, indexes[i].title != NULL);
			if (p)
				assert_string_equal(p->title, indexes[i].title);
		}
		old = conf_provider_find(c, "old");
		assert_int_equal(old->command.count, 4);
		assert_string_equal(old->command.items[3], "");
		assert_int_equal(old->cram_order, CONF_CRAM_STANDARD);
		assert_string_equal(conf_provider_find(c, "sa")->path, "/var/run/saslauthd/mux");
		assert_string_equal(conf_provider_find(c, "sa")->service, "smtp");
		assert_string_equal(conf_provider_find(c, "sa")->run_as, "daemon");
		base_buf_release(&part);
		if (c != whole_conf)
			conf_free(&c);
	}
	conf_free(&whole_conf);
}

static void files_are_looked_at_when_loaded(void **state)
{
	char dir[] = "/tmp/test_conf.XXXXXX";
	struct conf_findings f;
	struct base_buf out;
	char *path, *cert;
	struct conf *c;

	assert_non_null(mkdtemp(dir));
	cert = write_file(dir, "cert.pem", "x");
	path = write_file(dir, "postern.conf",
		H "data = \".\"\nrun = \"no\"\n"
		  "tls { certificate = \"cert.pem\"\n key = \"key.pem\" }\n"
		  "listener a { address = \"127.0.0.1:25\" tls = \"none\" }\n");
	c = conf_load(path, &f);
	assert_null(c);
	base_buf_init(&out, 1 << 16);
	conf_findings_print("f", &f, &out);
	assert_non_null(strstr(base_buf_text(&out), "f:3: warning: run = "));
	assert_null(strstr(base_buf_text(&out), "warning: data = "));
	assert_non_null(strstr(base_buf_text(&out), "f:5: key = "));
	assert_non_null(strstr(
		base_buf_text(&out), "No such file or directory; name a file that is there"));
	assert_null(strstr(base_buf_text(&out), "certificate = "));
	assert_non_null(strstr(base_buf_text(&out), "f:1: warning: there is no route"));
	base_buf_release(&out);
	conf_findings_release(&f);
	unlink(path);
	unlink(cert);
	rmdir(dir);
	assert_null(conf_load(path, &f));
	assert_int_equal(f.count, 1);
	assert_int_equal(f.items[0].line, 0);
	conf_findings_release(&f);
	free(path);
	free(cert);
}

static void nearest_word_is_found(void **state)
{
	static const char *const names[] = {"address", "auth", "tls", NULL};

	assert_string_equal(conf_nearest("adress", names), "address");
	assert_string_equal(conf_nearest("ADDRESS", names), "address");
	assert_string_equal(conf_nearest("atuh", names), "auth");
	assert_string_equal(conf_nearest("tsl", names), "tls");
	assert_null(conf_nearest("xyz", names));
	assert_null(conf_nearest("", names));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_file_is_understood),
		cmocka_unit_test(defaults_are_those_of_the_manual),
		cmocka_unit_test(rows_say_what_is_wrong),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(each_role_is_told_its_part),
		cmocka_unit_test(front_gets_the_same_values),
		cmocka_unit_test(files_are_looked_at_when_loaded),
		cmocka_unit_test(what_providers_need_is_looked_at),
		cmocka_unit_test(processes_are_numbered_by_the_list),
		cmocka_unit_test(nearest_word_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
