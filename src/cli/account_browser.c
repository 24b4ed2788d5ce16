/* The authorization code grant with PKCE (RFC 7636) on a loopback redirect (RFC 8252 section 7.3).
 *
 *   listen on 127.0.0.1 -> the address is shown, a browser started where somebody sits -> the browser's
 *   request to us, or the same address pasted on standard input -> its state is ours: the one answer that
 *   counts -> the code buys the token
 *
 * Whoever else connects, or pastes what belongs to another login, is turned away and the wait goes on: no page
 * of a web site can end it. */
#include "cli/account.h"
#include "cli/redirect.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { VISITORS_MAX = 8, VISIT_MS = 10000, URL_MAX_BYTES = 16384 };

struct visitor {
	int fd; /* -1: the place is free */
	int64_t until_ms;
	struct base_buf in;
};

struct browser {
	struct account_login *login;
	int listener;
	bool stdin_open;
	char redirect[64], host[32];
	uint8_t random[2 * VAULT_OAUTH_RANDOM_BYTES];
	struct base_buf url, typed, form;
	struct visitor visitors[VISITORS_MAX];
	int64_t until_ms;
	enum { WAITING, ANSWERED, REFUSED } phase; /* ANSWERED: @form buys the token */
};

static int listen_on_loopback(struct browser *b)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);

	b->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (b->listener < 0 || bind(b->listener, (struct sockaddr *)&sa, len) != 0 ||
		listen(b->listener, VISITORS_MAX) != 0 ||
		getsockname(b->listener, (struct sockaddr *)&sa, &len) != 0)
		return base_error_errno(&b->login->account->err, BASE_ERROR_TEMPORARY, errno,
			"cannot listen on 127.0.0.1 for the browser");
	snprintf(b->host, sizeof(b->host), "127.0.0.1:%u", ntohs(sa.sin_port));
	snprintf(b->redirect, sizeof(b->redirect), "http://%s/", b->host);
	return 0;
}

/* --- the person --- */

extern char **environ;

/* Root's browser would be a danger, and without a display there is none. That the address stands in a
 * command line gives nothing away: its code goes to us alone, and is worth nothing without our verifier. */
static bool start_browser(const struct browser *b, const char *url)
{
	char *argv[] = {(char *)"xdg-open", (char *)url, NULL};
	const char *x11 = getenv("DISPLAY"), *wayland = getenv("WAYLAND_DISPLAY");
	posix_spawn_file_actions_t to_null;
	pid_t pid;
	int rc;

	if (cli_has(b->login->account->cli, "no-browser") || b->login->account->root ||
		!isatty(STDIN_FILENO) || !((x11 && x11[0]) || (wayland && wayland[0])))
		return false;
	posix_spawn_file_actions_init(&to_null);
	for (int fd = 0; fd <= 2; fd++)
		posix_spawn_file_actions_addopen(&to_null, fd, "/dev/null", O_RDWR, 0);
	rc = posix_spawnp(&pid, "xdg-open", &to_null, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&to_null);
	return rc == 0;
}

static void show(const struct browser *b, const char *url)
{
	struct base_buf safe;

	base_buf_init(&safe, 4 * URL_MAX_BYTES);
	cli_text_safe(base_slice_text(url), &safe);
	fprintf(b->login->out, "Open  %.*s\n", BASE_SLICE_ARGS(base_buf_slice(&safe)));
	fprintf(b->login->out,
		"At its end the browser goes to %s on this machine. If it runs on another one, it "
		"finds\n"
		"nothing there: paste the address that it shows then, here.\n",
		b->redirect);
	fflush(b->login->out);
	base_buf_release(&safe);
	if (start_browser(b, url))
		fputs("A browser was started.\n", stderr);
}

/* --- an answer --- */

/* @query: has our state. What came is decided by it, once. */
static void take(struct browser *b, struct base_slice query)
{
	int rc = vault_oauth_code_form(b->login->profile, query, b->redirect, b->random,
		base_clock_wall_ms(), &b->form, &b->login->account->err);

	b->phase = rc == 0 ? ANSWERED : REFUSED;
}

static bool is_ours(const struct browser *b, struct base_slice query)
{
	return redirect_state_matches(query, base_buf_slice(&b->url));
}

static const char *judge(struct browser *b, enum redirect_result *result, struct base_slice query)
{
	if (*result != REDIRECT_QUERY)
		return "This address is for one answer of a login, and this is none.";
	if (b->phase == WAITING && is_ours(b, query)) {
		take(b, query);
		return b->phase == ANSWERED
			? "The login has come back to Postern. This page may be closed; the "
			  "terminal "
			  "says how it ends."
			: "The login was refused. This page may be closed; the terminal says why.";
	}
	*result = REDIRECT_BAD;
	account_warn("an answer that belongs to another login came to %s and was not taken",
		b->redirect);
	return "This answer belongs to another login. The one that Postern waits for goes on.";
}

static void leave(struct visitor *v)
{
	close(v->fd);
	v->fd = -1;
	base_buf_release(&v->in);
}

static void answer(
	struct browser *b, struct visitor *v, enum redirect_result result, struct base_slice query)
{
	const char *text = judge(b, &result, query);
	struct base_buf page;

	base_buf_init(&page, 4096);
	redirect_page(result, text, &page);
	/* Fits the empty buffer of a new socket; who does not read it misses it. */
	(void)!send(v->fd, page.ptr, page.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	shutdown(v->fd, SHUT_WR);
	base_buf_release(&page);
	leave(v);
}

static void read_visitor(struct browser *b, struct visitor *v)
{
	struct base_slice query = BASE_SLICE_EMPTY;
	enum redirect_result result;
	uint8_t chunk[4096];
	ssize_t n = recv(v->fd, chunk, sizeof(chunk), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		leave(v);
		return;
	}
	base_buf_append(&v->in, chunk, (size_t)n);
	base_wipe(chunk, sizeof(chunk));
	result = base_buf_ok(&v->in) ? redirect_request(base_buf_slice(&v->in), b->host, &query)
				     : REDIRECT_LONG;
	if (result != REDIRECT_MORE)
		answer(b, v, result, query);
}

static void accept_visitor(struct browser *b)
{
	int fd = accept4(b->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct visitor *place = &b->visitors[0];

	if (fd < 0)
		return;
	for (struct visitor *v = b->visitors; v < b->visitors + VISITORS_MAX; v++)
		if (place->fd >= 0 && (v->fd < 0 || v->until_ms < place->until_ms))
			place = v;
	if (place->fd >= 0) /* all are taken: the oldest goes */
		leave(place);
	place->fd = fd;
	place->until_ms = base_clock_monotonic_ms() + VISIT_MS;
	base_buf_init_secret(&place->in, REDIRECT_REQUEST_MAX_BYTES + 4096);
}

/* --- standard input --- */

static void take_line(struct browser *b, struct base_slice line)
{
	struct base_slice query;

	if (b->phase != WAITING || base_slice_trim(line).len == 0)
		return;
	if (!redirect_pasted(line, &query))
		account_warn(
			"this is no address with a code; paste the whole address that the browser "
			"shows, beginning with %s",
			b->redirect);
	else if (!is_ours(b, query))
		account_warn(
			"this address belongs to another login; open the one above and paste where "
			"that ends");
	else
		take(b, query);
}

static void read_stdin(struct browser *b)
{
	uint8_t chunk[4096];
	ssize_t n = read(STDIN_FILENO, chunk, sizeof(chunk));
	size_t end;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && !base_buf_append(&b->typed, chunk, (size_t)n))
		base_buf_clear(&b->typed); /* no address is so long */
	base_wipe(chunk, sizeof(chunk));
	while ((end = base_slice_find(base_buf_slice(&b->typed), '\n')) < b->typed.len) {
		take_line(b, base_slice_first(base_buf_slice(&b->typed), end));
		base_buf_consume(&b->typed, end + 1);
	}
	if (n <= 0) {
		take_line(b, base_buf_slice(&b->typed));
		b->stdin_open = false;
	}
}

/* --- waiting --- */

static bool is_readable(const struct pollfd *p)
{
	return p->revents != 0;
}

static void turn(struct browser *b)
{
	struct pollfd fds[2 + VISITORS_MAX] = {
		{.fd = b->listener, .events = POLLIN},
		{.fd = b->stdin_open ? STDIN_FILENO : -1, .events = POLLIN},
	};
	int64_t now = base_clock_monotonic_ms(), until = b->until_ms;

	for (size_t i = 0; i < VISITORS_MAX; i++) {
		const struct visitor *v = &b->visitors[i];

		fds[2 + i] = (struct pollfd){.fd = v->fd, .events = POLLIN};
		if (v->fd >= 0 && v->until_ms < until)
			until = v->until_ms;
	}
	if (poll(fds, BASE_COUNT(fds), until > now ? (int)(until - now) : 0) < 0)
		return;
	now = base_clock_monotonic_ms();
	for (size_t i = 0; i < VISITORS_MAX; i++) {
		struct visitor *v = &b->visitors[i];

		if (v->fd >= 0 && is_readable(&fds[2 + i]))
			read_visitor(b, v);
		if (v->fd >= 0 && v->until_ms <= now)
			leave(v);
	}
	if (fds[1].fd >= 0 && is_readable(&fds[1]))
		read_stdin(b);
	if (is_readable(&fds[0]))
		accept_visitor(b);
}

static int wait_for_answer(struct browser *b)
{
	const struct account *a = b->login->account;

	b->until_ms = base_clock_monotonic_ms() + (int64_t)ACCOUNT_LOGIN_MAX_S * 1000;
	while (b->phase == WAITING && base_clock_monotonic_ms() < b->until_ms)
		turn(b);
	if (b->phase == REFUSED)
		return cli_fail(
			a->cli, CLI_FAILED, "%s: %s; nothing was changed", a->name, a->err.text);
	if (b->phase == WAITING)
		return cli_fail(a->cli, CLI_FAILED,
			"%s: nobody logged in within %d minutes; run the command again", a->name,
			ACCOUNT_LOGIN_MAX_S / 60);
	return CLI_OK;
}

static int buy_token(struct browser *b, struct vault_oauth_tokens *t)
{
	char reason[VAULT_OAUTH_REASON_MAX_BYTES] = "";
	enum vault_oauth_result result;

	if (account_login_ask(b->login, &b->form, &result, t, reason) != 0)
		return cli_fail_error(b->login->account->cli, &b->login->account->err);
	if (result == VAULT_OAUTH_OBTAINED)
		return CLI_OK;
	if (result == VAULT_OAUTH_REFUSED)
		return account_login_refused(b->login, reason);
	return cli_fail(b->login->account->cli, CLI_FAILED,
		"%s: the login came, but no token for it: %s; run the command again",
		b->login->account->name, reason);
}

static int open_address(struct browser *b)
{
	struct base_error *err = &b->login->account->err;
	int rc = listen_on_loopback(b);

	if (rc == 0)
		rc = vault_oauth_authorize_url(b->login->profile, b->redirect,
			base_slice_text(b->login->user), b->random, &b->url, err);
	if (rc != 0)
		return cli_fail_error(b->login->account->cli, err);
	show(b, base_buf_text(&b->url));
	return CLI_OK;
}

int account_login_browser(struct account_login *l, struct vault_oauth_tokens *t)
{
	struct browser b = {.login = l, .listener = -1, .stdin_open = true};
	int status;

	for (size_t i = 0; i < VISITORS_MAX; i++)
		b.visitors[i].fd = -1;
	base_random_fill(b.random, sizeof(b.random));
	base_buf_init(&b.url, URL_MAX_BYTES);
	base_buf_init_secret(&b.typed, REDIRECT_QUERY_MAX_BYTES + 4096);
	base_buf_init_secret(&b.form, VAULT_OAUTH_FORM_MAX_BYTES);
	status = open_address(&b);
	if (status == CLI_OK)
		status = wait_for_answer(&b);
	for (size_t i = 0; i < VISITORS_MAX; i++)
		if (b.visitors[i].fd >= 0)
			leave(&b.visitors[i]);
	if (b.listener >= 0)
		close(b.listener);
	if (status == CLI_OK)
		status = buy_token(&b, t);
	base_wipe(b.random, sizeof(b.random));
	base_buf_release(&b.url);
	base_buf_release(&b.typed);
	base_buf_release(&b.form);
	return status;
}
