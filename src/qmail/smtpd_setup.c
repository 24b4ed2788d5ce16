#include "qmail/smtpd_setup.h"

#include "base/clock.h"
#include "base/escape.h"
#include "loop/file.h"
#include "qmail/checker.h"
#include "route/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LIST_MAX_BYTES = 64 * 1024 * 1024, TIMEOUT_S = 1200, TIMEOUT_MAX_S = 86400 };

static const char *const control_paths[SMTPD_CONTROL_COUNT] = {
	[SMTPD_CONTROL_ME] = "control/me",
	[SMTPD_CONTROL_GREETING] = "control/smtpgreeting",
	[SMTPD_CONTROL_LOCALIPHOST] = "control/localiphost",
	[SMTPD_CONTROL_TIMEOUT] = "control/timeoutsmtpd",
	[SMTPD_CONTROL_DATABYTES] = "control/databytes",
	[SMTPD_CONTROL_RCPTHOSTS] = "control/rcpthosts",
	[SMTPD_CONTROL_MORERCPTHOSTS] = "control/morercpthosts.cdb",
	[SMTPD_CONTROL_BADMAILFROM] = "control/badmailfrom",
	[SMTPD_CONTROL_RECIPIENTS] = "control/recipients",
};

static void complain(struct smtpd_setup *s, const char *format, ...) BASE_PRINTF(2, 3);

static void complain(struct smtpd_setup *s, const char *format, ...)
{
	va_list args;

	base_buf_append_text(&s->complaints, "postern-smtpd: ");
	va_start(args, format);
	base_buf_vprintf(&s->complaints, format, args);
	va_end(args);
	base_buf_append_byte(&s->complaints, '\n');
}

static bool refuse(struct smtpd_setup *s, const char *refusal, const char *original)
{
	s->refusal = refusal;
	s->refusal_original = original;
	return false;
}

/* ---- the command line ---- */

/* The value of "--name VALUE" or "--name=VALUE"; moves *at. Null: there is none. */
static const char *option_value(int argc, char **argv, int *at, const char *name)
{
	size_t len = strlen(name);
	const char *arg = argv[*at];

	if (arg[len] == '=')
		return arg + len + 1;
	if (*at + 1 >= argc)
		return NULL;
	return argv[++*at];
}

static bool is_option(const char *arg, const char *name)
{
	size_t len = strlen(name);

	return strncmp(arg, name, len) == 0 && (arg[len] == '\0' || arg[len] == '=');
}

static bool parse_log(struct smtpd_setup *s, const char *value)
{
	if (value && strcmp(value, "spamcontrol") == 0)
		s->log = SMTPD_LOG_SPAMCONTROL;
	else if (value && strcmp(value, "postern") == 0)
		s->log = SMTPD_LOG_POSTERN;
	else if (value && strcmp(value, "none") == 0)
		s->log = SMTPD_LOG_NONE;
	else
		return false;
	return true;
}

static bool parse_order(struct smtpd_setup *s, const char *value)
{
	if (value && strcmp(value, "standard") == 0)
		s->cram_order = WIRE_CHECKPASSWORD_STANDARD;
	else if (value && strcmp(value, "legacy") == 0)
		s->cram_order = WIRE_CHECKPASSWORD_LEGACY;
	else
		return false;
	return true;
}

static bool parse_option(struct smtpd_setup *s, int argc, char **argv, int *at)
{
	const char *arg = argv[*at];

	if (strcmp(arg, "-c") == 0)
		return (s->conf_path = option_value(argc, argv, at, "-c")) != NULL;
	if (strcmp(arg, "--compat") == 0)
		return s->compat = true;
	if (strcmp(arg, "--allow-clear") == 0)
		return s->allow_clear = true;
	if (is_option(arg, "--log"))
		return parse_log(s, option_value(argc, argv, at, "--log"));
	if (is_option(arg, "--cram-order"))
		return parse_order(s, option_value(argc, argv, at, "--cram-order"));
	return false;
}

bool smtpd_setup_parse(struct smtpd_setup *s, int argc, char **argv)
{
	const char *order = getenv("POSTERN_CRAM_ORDER");
	int at = 1;

	*s = (struct smtpd_setup){.timeout_s = TIMEOUT_S};
	base_buf_init(&s->complaints, 16384);
	for (unsigned i = 0; i < SMTPD_CONTROL_COUNT; i++)
		base_buf_init(&s->control[i], LIST_MAX_BYTES);
	if (order && order[0] && !parse_order(s, order)) {
		complain(s, "$POSTERN_CRAM_ORDER is neither \"standard\" nor \"legacy\"");
		return refuse(s, "the server's command line is wrong", "unable to read controls");
	}
	while (at < argc && argv[at][0] == '-' && argv[at][1]) {
		int option = at;

		if (strcmp(argv[at], "--") == 0) {
			at++;
			break;
		}
		if (!parse_option(s, argc, argv, &at)) {
			complain(s,
				"cannot use \"%s\"; options are -c FILE, --compat, --log "
				"spamcontrol|postern|none, --cram-order standard|legacy, "
				"--allow-clear",
				argv[option]);
			return refuse(
				s, "the server's command line is wrong", "unable to read controls");
		}
		at++;
	}
	if (at < argc)
		s->checker = argv + at;
	return true;
}

/* ---- what a checker's command line may look like ---- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Mistakes that would let everybody in, or nobody without a word why. */
static bool checker_is_sane(struct smtpd_setup *s)
{
	const char *name = s->checker[0];

	if (!checker_exists(name) && strchr(name, '/'))
		complain(s, "\"%s\", the checkpassword program, cannot be executed. AUTH is off",
			name);
	else if (!checker_exists(name))
		complain(s,
			"the first argument \"%s\" is no program in $PATH; if it is the host name, "
			"which only version 0.31 of the AUTH patch took, take it out of the run "
			"script: postern smtpd CHECKPASSWORD PROG. AUTH is off",
			name);
	else if (strcmp(base_name(name), "true") == 0)
		complain(s,
			"\"%s\" stands in the place of the checkpassword program, where it would "
			"accept every password; write CHECKPASSWORD before it. AUTH is off",
			name);
	else if (!s->checker[1])
		complain(s,
			"\"%s\" has no program behind it to start after a good password; write "
			"\"%s true\". AUTH is off",
			name, name);
	else
		return true;
	return false;
}

/* ---- files ---- */

static bool read_control(struct smtpd_setup *s, enum smtpd_control which)
{
	struct base_error err;
	int rc = file_read(control_paths[which], &s->control[which], NULL, &err);

	s->file[which].exists = rc == 0;
	s->file[which].bytes = base_buf_slice(&s->control[which]);
	if (rc == 0 || rc == BASE_ERROR_NOT_FOUND)
		return true;
	complain(s, "%s", err.text);
	return false;
}

static struct base_slice control_line(const struct smtpd_setup *s, enum smtpd_control which)
{
	return route_control_line(s->file[which].bytes);
}

/* A setting of the environment where it is set, else of the file. */
static struct base_slice env_slice(const char *name)
{
	return base_slice_text(getenv(name));
}

static bool load_conf(struct smtpd_setup *s)
{
	const char *path = s->conf_path;
	struct conf_findings findings = {0};
	struct base_buf text;
	char *whole;

	if (!path)
		path = getenv("POSTERN_CONF");
	if (!path || !path[0])
		path = "/etc/postern/postern.conf";
	if (!s->conf_path && access(path, F_OK) != 0)
		return true;
	whole = realpath(path, NULL); /* the directory changes soon */
	s->conf = conf_load(whole ? whole : path, &findings);
	free(whole);
	if (!s->conf) {
		base_buf_init(&text, 65536);
		conf_findings_print(path, &findings, &text);
		complain(s, "cannot use the configuration \"%s\":\n%.*s", path,
			BASE_SLICE_ARGS(base_slice_trim(base_buf_slice(&text))));
		base_buf_release(&text);
	}
	conf_findings_release(&findings);
	return s->conf != NULL;
}

static const char *home_path(void)
{
	const char *home = getenv("QMAILHOME");

	return home && home[0] ? home : "/var/qmail";
}

/* ---- the parts of the options ---- */

static bool load_controls(struct smtpd_setup *s, bool home)
{
	struct smtpd_options *o = &s->options;

	for (unsigned i = 0; home && i < SMTPD_CONTROL_COUNT; i++)
		if (!read_control(s, (enum smtpd_control)i))
			return false;
	o->greeting = control_line(s, SMTPD_CONTROL_GREETING);
	if (o->greeting.len == 0)
		o->greeting = control_line(s, SMTPD_CONTROL_ME);
	if (o->greeting.len == 0 && s->conf) {
		/* No qmail lives here: who may be written to is not for a missing file to say. */
		o->greeting = base_slice_text(s->conf->hostname);
		o->closed = true;
	}
	if (o->greeting.len == 0) {
		complain(s, "there is neither control/smtpgreeting nor control/me%s",
			home ? "" : ", as $QMAILHOME (/var/qmail) cannot be entered");
		return false;
	}
	o->local_host = control_line(s, SMTPD_CONTROL_LOCALIPHOST);
	if (o->local_host.len == 0)
		o->local_host = control_line(s, SMTPD_CONTROL_ME);
	o->rcpthosts = s->file[SMTPD_CONTROL_RCPTHOSTS];
	o->morercpthosts = s->file[SMTPD_CONTROL_MORERCPTHOSTS];
	o->badmailfrom = s->file[SMTPD_CONTROL_BADMAILFROM];
	o->recipients = s->file[SMTPD_CONTROL_RECIPIENTS];
	s->timeout_s = (int)route_control_number(s->file[SMTPD_CONTROL_TIMEOUT].bytes, TIMEOUT_S);
	if (s->timeout_s <= 0 || s->timeout_s > TIMEOUT_MAX_S)
		s->timeout_s = TIMEOUT_S;
	return true;
}

static void load_databytes(struct smtpd_setup *s)
{
	struct smtpd_options *o = &s->options;
	struct base_slice env = env_slice("DATABYTES");
	uint64_t file = route_control_number(s->file[SMTPD_CONTROL_DATABYTES].bytes, 0);

	o->databytes = env.len ? route_control_number(env, file) : file;
	if (o->databytes == 0 && o->own_queue && s->conf)
		o->databytes = s->conf->limits.message_size;
	o->recipients_max = s->conf && o->own_queue ? s->conf->limits.recipients : 0;
}

static struct base_slice env_or_unknown(const char *name)
{
	struct base_slice value = env_slice(name);

	return value.len ? value : BASE_SLICE("unknown");
}

static void load_environment(struct smtpd_setup *s)
{
	struct smtpd_options *o = &s->options;

	o->remote_ip = env_or_unknown("TCPREMOTEIP");
	o->remote_host = env_or_unknown("TCPREMOTEHOST");
	o->remote_info = env_slice("TCPREMOTEINFO");
	o->local_ip = env_slice("TCPLOCALIP");
	o->host_name = env_slice("TCPLOCALHOST");
	if (o->host_name.len == 0)
		o->host_name = env_or_unknown("TCPLOCALIP");
	o->relay = getenv("RELAYCLIENT") != NULL;
	o->suffix = env_slice("RELAYCLIENT");
	o->reply_mailbox = getenv("REPLY_MAILBOX");
	o->reply_nogateway = getenv("REPLY_NOGATEWAY");
	o->reply_badmailfrom = getenv("REPLY_BADMAILFROM");
	o->recipients_450 = getenv("RECIPIENTS450") != NULL;
}

/* Where the message goes: a qmail-queue that is there, however broken it may be; else our own. */
static void choose_queue(struct smtpd_setup *s, bool home)
{
	const char *path = getenv("QMAILQUEUE");

	if (path && path[0])
		s->queue_path = path;
	else if (home && access("bin/qmail-queue", F_OK) == 0)
		s->queue_path = "bin/qmail-queue";
	s->options.own_queue = s->queue_path == NULL;
	/* qmail-send knows which domains are its own; our routes take mail to anywhere. */
	if (s->options.own_queue)
		s->options.closed = true;
}

static bool read_pem(struct smtpd_setup *s, const char *path, struct base_buf *out, bool optional)
{
	struct base_error err;
	int rc = file_read(path, out, NULL, &err);

	if (rc == BASE_ERROR_NOT_FOUND && optional)
		return false;
	s->certificate_found = true;
	if (rc != 0)
		complain(s, "%s; STARTTLS is off", err.text);
	return rc == 0;
}

/* control/servercert.pem holds both; the configuration names two files. */
static void load_certificate(struct smtpd_setup *s, bool home)
{
	struct base_buf chain, key;
	struct base_slice key_pem;
	struct base_error err;
	bool ok = false;

	base_buf_init(&chain, 1024 * 1024);
	base_buf_init_secret(&key, 1024 * 1024);
	if (home && read_pem(s, "control/servercert.pem", &chain, true)) {
		key_pem = base_buf_slice(&chain);
		ok = true;
	} else if (!s->certificate_found && s->conf_path && s->conf->has_tls) {
		ok = read_pem(s, s->conf->tls_certificate, &chain, false) &&
			read_pem(s, s->conf->tls_key, &key, false);
		key_pem = base_buf_slice(&key);
	}
	if (ok &&
		tls_server_context_new(
			&s->tls, base_buf_slice(&chain), key_pem, BASE_SLICE_EMPTY, &err) != 0) {
		complain(s, "%s; STARTTLS is off", err.text);
		s->tls = NULL;
	}
	if (chain.len)
		base_wipe(chain.ptr, chain.len);
	base_buf_release(&chain);
	base_buf_release(&key);
	s->options.tls_offer = s->tls != NULL;
}

static void choose_auth(struct smtpd_setup *s)
{
	struct smtpd_options *o = &s->options;
	struct base_buf path;

	if (s->checker && checker_is_sane(s)) {
		o->auth = SMTPD_AUTH_CHECKER;
	} else if (s->checker) {
		o->auth_broken = true;
		s->checker = NULL;
	} else if (s->conf) {
		o->auth = SMTPD_AUTH_SERVER;
		base_buf_init(&path, 4096);
		base_buf_printf(&path, "%s/auth", s->conf->run);
		s->auth_path = base_strdup(base_buf_ok(&path) ? base_buf_text(&path) : "");
		base_buf_release(&path);
	}
}

bool smtpd_setup_load(struct smtpd_setup *s)
{
	enum { FAILURES_MAX = 10 };
	struct smtpd_options *o = &s->options;
	uint8_t random[8];
	bool home;

	if (!load_conf(s) && s->conf_path)
		return refuse(s, "unable to read the configuration", "unable to read controls");
	smtpd_relay_ctrl_check();
	home = chdir(home_path()) == 0;
	if (!home && !s->conf) {
		complain(s, "cannot enter \"%s\": %s (see $QMAILHOME)", home_path(),
			strerror(errno));
		return refuse(s, "unable to read controls", "unable to read controls");
	}
	choose_queue(s, home);
	if (!load_controls(s, home))
		return refuse(s, "unable to read controls", "unable to read controls");
	load_environment(s);
	load_databytes(s);
	load_certificate(s, home);
	choose_auth(s);
	o->compat = s->compat;
	o->log = s->log;
	o->cram_order = s->cram_order;
	o->pid = (long)getpid();
	o->legacy_announcement = s->conf && s->conf->auth.legacy_announcement;
	o->auth_failures_max = FAILURES_MAX;
	if (s->compat)
		o->auth_failures_max = 0;
	else if (s->conf_path)
		o->auth_failures_max = (uint16_t)s->conf->limits.auth_failures;
	base_random_fill(random, sizeof(random));
	o->session = base_id_make(base_clock_wall_ms(), random);
	base_random_fill(s->mock_key, sizeof(s->mock_key));
	o->mock_key = base_slice_make(s->mock_key, sizeof(s->mock_key));
	return true;
}

void smtpd_setup_offer(struct smtpd_setup *s, uint32_t server_mask)
{
	const uint32_t checkers = SASL_MASK(SASL_MECHANISM_LOGIN) |
		SASL_MASK(SASL_MECHANISM_PLAIN) | SASL_MASK(SASL_MECHANISM_CRAM_MD5);
	struct smtpd_smtpauth smtpauth = smtpd_smtpauth_parse(getenv("SMTPAUTH"));
	struct smtpd_options *o = &s->options;
	uint32_t mask = 0;
	bool clear = s->allow_clear || (smtpauth.set && smtpauth.mask);

	switch (o->auth) {
	case SMTPD_AUTH_NONE:
		break;
	case SMTPD_AUTH_CHECKER:
		mask = checkers;
		clear = clear || !s->certificate_found ||
			(s->conf && s->conf->auth.plaintext_without_tls);
		break;
	case SMTPD_AUTH_SERVER:
		mask = server_mask;
		clear = clear || s->conf->auth.plaintext_without_tls;
		break;
	}
	if (smtpauth.set)
		mask &= smtpauth.mask;
	o->auth_required = smtpauth.required;
	smtpd_offer(o, mask, clear);
}

void smtpd_setup_release(struct smtpd_setup *s)
{
	for (unsigned i = 0; i < SMTPD_CONTROL_COUNT; i++)
		base_buf_release(&s->control[i]);
	base_buf_release(&s->complaints);
	conf_free(&s->conf);
	tls_context_free(&s->tls);
	free(s->auth_path);
	s->auth_path = NULL;
	base_wipe(s->mock_key, sizeof(s->mock_key));
}
