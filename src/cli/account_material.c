#include "cli/account_material.h"

#include "cli/vault.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { CA_MAX_BYTES = 4 << 20, KEY_MAX_BYTES = VAULT_PEM_MAX_BYTES, SECRET_MAX_BYTES = 65536 };

void account_material_init(struct account_material *m)
{
	*m = (struct account_material){.port = 0};
	base_buf_init(&m->ca, CA_MAX_BYTES);
	base_buf_init(&m->chain, CA_MAX_BYTES);
	base_buf_init_secret(&m->key, KEY_MAX_BYTES);
	base_buf_init_secret(&m->secret, SECRET_MAX_BYTES);
}

void account_material_release(struct account_material *m)
{
	base_buf_release(&m->ca);
	base_buf_release(&m->chain);
	base_buf_release(&m->key);
	base_buf_release(&m->secret);
}

const char *account_credential_name(enum sasl_credential credential)
{
	static const char *const names[] = {
		[SASL_CREDENTIAL_PASSWORD] = "password",
		[SASL_CREDENTIAL_TOKEN] = "token",
		[SASL_CREDENTIAL_CERTIFICATE] = "client certificate",
		[SASL_CREDENTIAL_TICKET] = "Kerberos ticket",
	};

	return names[credential];
}

/* A line end between the certificates of two files. */
static int read_file(const char *path, struct base_buf *out, struct base_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = 1;

	if (fd < 0)
		return base_error_errno(err, BASE_ERROR_CONFIG, errno, "cannot read \"%s\"", path);
	if (out->len)
		base_buf_append_byte(out, '\n');
	while (n != 0) {
		uint8_t *to = base_buf_reserve(out, 4096);

		n = to ? read(fd, to, 4096) : -1;
		if (n < 0 && to && errno == EINTR)
			continue;
		if (n < 0)
			break;
		base_buf_grew(out, (size_t)n);
	}
	close(fd);
	if (n < 0)
		return base_error_set(err, BASE_ERROR_CONFIG, 0,
			"cannot read \"%s\", or it is longer than %zu bytes", path, out->max);
	return 0;
}

/* What the configuration names, while we are still who started us: root's files may be root's alone. */
static int read_section_files(struct account_material *m, const struct conf *conf,
	const struct conf_account *section, struct base_error *err)
{
	int rc = 0;

	if (conf->tls_ca && conf->tls_ca[0])
		rc = read_file(conf->tls_ca, &m->ca, err);
	if (rc == 0 && section && section->ca)
		rc = read_file(section->ca, &m->ca, err);
	if (rc == 0 && section && section->certificate)
		rc = read_file(section->certificate, &m->chain, err);
	if (rc == 0 && section && section->certificate)
		rc = read_file(section->key, &m->key, err);
	return rc;
}

/* As auth tells it, and the same from the files. */
static json_t *ask_about(const struct conf *conf, const char *name, struct base_error *err)
{
	struct cli_request request = {0};
	struct base_buf answer;
	json_t *json = NULL;

	base_buf_init(&answer, CLI_ANSWER_MAX_BYTES);
	cli_request_add(&request, "account");
	cli_request_add(&request, "show");
	cli_request_add(&request, "%s", name);
	if (cli_vault_ask(conf, &request, &answer, err) == 0)
		json = cli_json(&answer, err);
	cli_request_release(&request);
	base_buf_release(&answer);
	return json;
}

static bool take_url(struct account_material *m)
{
	static const char clear[] = "smtp://", implicit[] = "smtps://";
	const char *rest = m->url;

	if (strncasecmp(rest, implicit, sizeof(implicit) - 1) == 0) {
		m->tls = CLI_TLS_IMPLICIT;
		rest += sizeof(implicit) - 1;
	} else if (strncasecmp(rest, clear, sizeof(clear) - 1) == 0) {
		m->tls = CLI_TLS_STARTTLS;
		rest += sizeof(clear) - 1;
	} else {
		return false;
	}
	if (!cli_host_port(rest, m->host, &m->port))
		return false;
	if (m->port == 0)
		m->port = m->tls == CLI_TLS_IMPLICIT ? 465 : 587;
	return true;
}

static void take_mechanisms(struct account_material *m, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));
		enum sasl_mechanism mechanism = sasl_mechanism_parse(base_slice_text(name));

		if (mechanism != SASL_MECHANISM_NONE)
			m->mechanisms |= SASL_MASK(mechanism);
	}
}

static enum vault_account_kind kind_of(const char *secret, bool certificate)
{
	if (strcmp(secret, "oauth") == 0)
		return VAULT_ACCOUNT_OAUTH;
	if (strcmp(secret, "certificate") == 0 || (!secret[0] && certificate))
		return VAULT_ACCOUNT_CERTIFICATE;
	return VAULT_ACCOUNT_PASSWORD;
}

static void take_text(const json_t *json, const char *key, char *out, size_t size)
{
	const char *text = json_string_value(json_object_get(json, key));

	snprintf(out, size, "%s", text ? text : "");
}

static int take_answer(struct account_material *m, const json_t *json, struct base_error *err)
{
	bool certificate = json_is_true(json_object_get(json, "certificate"));
	char secret[32], pin[VAULT_PIN_MAX_BYTES + 1];

	take_text(json, "url", m->url, sizeof(m->url));
	take_text(json, "user", m->user, sizeof(m->user));
	take_text(json, "secret", secret, sizeof(secret));
	take_text(json, "pin", pin, sizeof(pin));
	take_mechanisms(m, json_object_get(json, "mechanisms"));
	m->credential = vault_account_credential(
		kind_of(secret, certificate), m->mechanisms, certificate);
	m->has_pin = pin[0] != '\0';
	if (m->has_pin && !account_pin_parse(base_slice_text(pin), m->pin))
		return base_error_set(err, BASE_ERROR_CONFIG, 0,
			"its pin is none; write sha256: and "
			"64 hexadecimal digits");
	if (!take_url(m))
		return base_error_set(err, BASE_ERROR_CONFIG, 0,
			"its url \"%s\" is no server's; write smtps://host:465 or smtp://host:587",
			m->url);
	return 0;
}

int account_material_store(
	const struct conf *conf, struct vault_store **out, struct base_error *err)
{
	struct vault_store_options options = {.data_dir = conf->data, .busy_ms = 20000};
	struct cli_account owner;
	int rc = cli_become_owner(conf, &owner, err);

	options.chown = owner.root;
	options.uid = owner.uid;
	options.gid = owner.gid;
	return rc == 0 ? vault_store_open(out, &options, err) : rc;
}

static int part(struct vault_store *store, const struct account_material *m,
	enum vault_account_part which, struct base_buf *out, struct base_error *err)
{
	int rc = vault_store_account_part_get(store, base_slice_text(m->name), which, out, err);

	return rc == BASE_ERROR_NOT_FOUND ? 0 : rc;
}

/* What the section does not say, and the password. */
static int read_vault(struct account_material *m, const struct conf *conf,
	const struct conf_account *section, struct base_error *err)
{
	struct vault_store *store;
	int rc = account_material_store(conf, &store, err);

	if (rc != 0)
		return rc;
	if (!(section && section->ca)) {
		if (m->ca.len)
			base_buf_append_byte(&m->ca, '\n');
		rc = part(store, m, VAULT_ACCOUNT_CA, &m->ca, err);
	}
	if (rc == 0 && !(section && section->certificate))
		rc = part(store, m, VAULT_ACCOUNT_CHAIN, &m->chain, err);
	if (rc == 0 && !(section && section->certificate))
		rc = part(store, m, VAULT_ACCOUNT_KEY, &m->key, err);
	if (rc == 0 && m->credential == SASL_CREDENTIAL_PASSWORD)
		rc = part(store, m, VAULT_ACCOUNT_SECRET, &m->secret, err);
	vault_store_close(&store);
	return rc;
}

int account_material_load(struct account_material *m, const struct conf *conf, const char *name,
	struct base_error *err)
{
	const struct conf_account *section = conf_account_find(conf, name);
	int rc = read_section_files(m, conf, section, err);
	json_t *json;

	m->name = name;
	if (rc != 0)
		return rc;
	json = ask_about(conf, name, err);
	if (!json)
		return err->class ? (int)err->class : BASE_ERROR_PEER;
	rc = take_answer(m, json, err);
	json_decref(json);
	if (rc == 0)
		rc = read_vault(m, conf, section, err);
	if (rc == 0 && m->credential == SASL_CREDENTIAL_PASSWORD && m->secret.len == 0)
		rc = base_error_set(err, BASE_ERROR_NOT_FOUND, 0,
			"the vault keeps no secret of it; postern account add %s --replace", name);
	return rc;
}
