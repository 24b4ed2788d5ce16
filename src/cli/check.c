/* postern check: all that is wrong with a configuration, and whether the certificate fits its key.
 */
#include "cli/input.h"

#include "base/clock.h"
#include "base/time.h"
#include "loop/tls.h"

#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

enum { PEM_MAX_BYTES = 1 << 20, SOON_DAYS = 14 };

static bool read_pem(struct cli *cli, const char *path, struct base_buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool good;

	base_buf_init_secret(out, PEM_MAX_BYTES);
	if (fd < 0)
		return false;
	good = cli_read_all(cli, fd, out) == CLI_OK;
	close(fd);
	return good;
}

static void say(const struct cli *cli, unsigned line, const char *format, ...) BASE_PRINTF(3, 4);
static void say(const struct cli *cli, unsigned line, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s:%u: ", cli->conf_path, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

/* Files that this user may not read are left to the server, which may. */
static bool pair_is_good(struct cli *cli, const struct conf *c)
{
	struct base_buf chain, key, date;
	struct base_error err;
	int64_t end_ms, now_ms = base_clock_wall_ms();
	bool good = true, readable;

	if (!c->has_tls)
		return true;
	base_buf_init(&date, 64);
	readable = read_pem(cli, c->tls_certificate, &chain);
	readable = read_pem(cli, c->tls_key, &key) && readable;
	if (readable) {
		good = tls_pair_check(
			       base_buf_slice(&chain), base_buf_slice(&key), &end_ms, &err) == 0;
		if (!good) {
			say(cli, c->tls_line,
				"%s; name a certificate chain and its own key in PEM form",
				err.text);
		} else if (end_ms < now_ms + SOON_DAYS * INT64_C(86400000)) {
			base_time_rfc3339(end_ms, false, &date);
			say(cli, c->tls_line, "warning: the certificate %s on %s; renew it",
				end_ms < now_ms ? "ended" : "ends", base_buf_text(&date));
		}
	}
	base_buf_release(&chain);
	base_buf_release(&key);
	base_buf_release(&date);
	return good;
}

static bool ca_is_good(struct cli *cli, const struct conf *c)
{
	struct tls_context *ctx = NULL;
	struct base_error err;
	struct base_buf pem;
	bool good = true;

	if (!c->tls_ca)
		return true;
	if (read_pem(cli, c->tls_ca, &pem))
		good = tls_client_context_new(&ctx, base_buf_slice(&pem), &err) == 0;
	if (!good)
		say(cli, c->tls_line, "ca = \"%s\": %s; name a file of certificates in PEM form",
			c->tls_ca, err.text);
	tls_context_free(&ctx);
	base_buf_release(&pem);
	return good;
}

static int run(struct cli *cli)
{
	struct conf_findings findings;
	struct conf *c = conf_load(cli->conf_path, &findings);
	struct base_buf text;
	bool good = c;

	base_buf_init(&text, 1 << 20);
	conf_findings_print(cli->conf_path, &findings, &text);
	if (text.len)
		fwrite(text.ptr, 1, text.len, stderr);
	base_buf_release(&text);
	conf_findings_release(&findings);
	if (c) {
		good = pair_is_good(cli, c);
		good = ca_is_good(cli, c) && good;
		conf_free(&c);
	}
	if (good)
		printf("%s: ok\n", cli->conf_path);
	return good ? CLI_OK : CLI_FAILED;
}

static const struct cli_option options[] = {CLI_OPTION_CONF, CLI_OPTION_END};

const struct cli_command cli_command_check = {
	.name = "check",
	.summary = "say all that is wrong with a configuration",
	.synopsis = "check [-c FILE]",
	.details = "Errors and warnings stand on standard error as FILE:LINE: what, and what would "
		   "be right.\n"
		   "Exit 1 if there is an error.\n",
	.options = options,
	.run = run,
};
