/* Passwords: from a person at a terminal, from standard input, or made up. */
#include "cli/cli.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* One line of @fd without its end, byte by byte: nothing behind the line is taken. @what: "password". */
static int read_secret_line(
	const struct cli *cli, int fd, const char *what, size_t max, struct base_secret *out)
{
	uint8_t byte;
	ssize_t n;

	base_secret_init(out, max + 2);
	while ((n = read(fd, &byte, 1)) == 1 && byte != '\n')
		if (!base_secret_append(out, base_slice_make(&byte, 1)))
			return cli_fail(
				cli, CLI_FAILED, "the %s is longer than %zu bytes", what, max);
	base_wipe(&byte, 1);
	if (n < 0)
		return cli_fail(cli, CLI_FAILED, "cannot read the %s: %s", what, strerror(errno));
	if (out->len && out->ptr[out->len - 1] == '\r')
		out->ptr[--out->len] = 0;
	if (out->len == 0)
		return cli_fail(
			cli, CLI_FAILED, "the %s is empty; give one of at least one sign", what);
	return CLI_OK;
}

static int terminal;
static struct termios normal;

static void restore(int signal_number)
{
	tcsetattr(terminal, TCSAFLUSH, &normal);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

/* The same from a terminal @fd, which does not show what is typed. */
static int ask(const struct cli *cli, int fd, const char *prompt, const char *what, size_t max,
	struct base_secret *out)
{
	struct termios quiet;
	int status;

	if (tcgetattr(fd, &normal) != 0)
		return cli_fail(
			cli, CLI_FAILED, "the terminal cannot be asked: %s", strerror(errno));
	terminal = fd;
	quiet = normal;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	signal(SIGINT, restore);
	signal(SIGTERM, restore);
	tcsetattr(fd, TCSAFLUSH, &quiet);
	dprintf(fd, "%s", prompt);
	status = read_secret_line(cli, fd, what, max, out);
	tcsetattr(fd, TCSAFLUSH, &normal);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	dprintf(fd, "\n");
	return status;
}

/* Standard input may be a terminal all the same. */
static int from_input(const struct cli *cli, const char *what, size_t max, struct base_secret *out)
{
	char prompt[64];

	if (!isatty(STDIN_FILENO))
		return read_secret_line(cli, STDIN_FILENO, what, max, out);
	snprintf(prompt, sizeof(prompt), "The %s: ", what);
	return ask(cli, STDIN_FILENO, prompt, what, max, out);
}

int cli_secret_line(const struct cli *cli, const char *what, size_t max, struct base_secret *out)
{
	int status = from_input(cli, what, max, out);

	if (status != CLI_OK)
		base_secret_release(out);
	return status;
}

static int ask_twice(const struct cli *cli, int fd, struct base_secret *first)
{
	struct base_secret second = {0};
	int status = ask(
		cli, fd, "The same again: ", "password", BASE_SECRET_PASSWORD_MAX_BYTES, &second);

	if (status == CLI_OK &&
		!base_equal_constant_time(base_secret_slice(first), base_secret_slice(&second)))
		status = cli_fail(cli, CLI_FAILED, "the two passwords differ; nothing was changed");
	base_secret_release(&second);
	return status;
}

int cli_password(const struct cli *cli, bool from_stdin, bool twice, const char *prompt,
	struct base_secret *out)
{
	int status, fd;

	*out = (struct base_secret){0};
	if (from_stdin) {
		status = from_input(cli, "password", BASE_SECRET_PASSWORD_MAX_BYTES, out);
	} else {
		fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			return cli_fail(cli, CLI_USAGE,
				"there is no terminal to ask for a password; "
				"give it by --password-stdin");
		status = ask(cli, fd, prompt, "password", BASE_SECRET_PASSWORD_MAX_BYTES, out);
		if (status == CLI_OK && twice)
			status = ask_twice(cli, fd, out);
		close(fd);
	}
	if (status != CLI_OK)
		base_secret_release(out);
	return status;
}

void cli_password_generate(char out[25])
{
	static const char signs[] = "abcdefghijkmnpqrstuvwxyz23456789";
	uint8_t random[20];

	static_assert(sizeof(signs) == 33, "32 signs, 5 bits each");
	base_random_fill(random, sizeof(random));
	for (size_t i = 0, at = 0; i < sizeof(random); i++) {
		if (i && i % 4 == 0)
			out[at++] = '-';
		out[at++] = signs[random[i] % 32];
	}
	out[24] = '\0';
	base_wipe(random, sizeof(random));
}
