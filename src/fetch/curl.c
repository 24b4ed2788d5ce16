/* libcurl says which sockets it waits for and when it wants to be called (on_socket, on_curl_timer); the
 * loop tells it what came (on_poll, on_timer). After each such call take_finished() collects what ended.
 * Nothing of libcurl is called from within one of its callbacks. */
#include "fetch/curl.h"

#include "fetch/reason.h"

#include <curl/curl.h>
#include <malloc.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

enum {
	CONNECT_MAX_MS = 10000,
	HEADERS_MAX_BYTES = 64 * 1024,
	RESOLVE_MAX_BYTES = 2048,
	RETRY_AFTER_MAX_S = 7 * 86400,
};

struct fetch_curl {
	CURLM *multi;
	uv_loop_t *loop;
	uv_timer_t *timer;
	struct curl_slist *headers;
	X509_STORE *trust;
	fetch_curl_fn fn;
	void *arg;
};

struct transfer {
	CURL *easy;
	struct fetch_request *request;
	struct curl_slist *resolve;
	X509_STORE *trust; /* a reference, or authorities of its own beside them */
	size_t header_bytes;
	const char *refused; /* why we stopped reading */
	char error[CURL_ERROR_SIZE];
};

/* memory: libcurl copies forms and answers through buffers of its own */

static void wiping_free(void *ptr)
{
	if (!ptr)
		return;
	base_wipe(ptr, malloc_usable_size(ptr));
	free(ptr);
}

static void *wiping_realloc(void *ptr, size_t size)
{
	size_t old = ptr ? malloc_usable_size(ptr) : 0;
	void *bigger = malloc(size);

	if (!bigger)
		return NULL;
	if (ptr)
		memcpy(bigger, ptr, old < size ? old : size);
	wiping_free(ptr);
	return bigger;
}

/* sockets and time */

static void on_closed(uv_handle_t *handle)
{
	free(handle);
}

static void transfer_free(struct fetch_curl *c, struct transfer *t)
{
	t->request->transfer = NULL;
	curl_multi_remove_handle(c->multi, t->easy);
	curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->resolve);
	X509_STORE_free(t->trust);
	free(t);
}

static void finish(struct fetch_curl *c, struct transfer *t, CURLcode code)
{
	struct fetch_request *r = t->request;
	struct fetch_failure failure = {.code = code, .text = t->error};
	struct fetch_answer answer = {0};
	struct base_error err = {0};
	curl_off_t connect_us = 0, wait_s = 0;
	long number = 0;

	if (t->refused) {
		base_error_set(&err, BASE_ERROR_PEER, 0, "\"%s\" port %u sent %s", r->at.host,
			r->at.port, t->refused);
	} else if (code != CURLE_OK) {
		(void)curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &number);
		(void)curl_easy_getinfo(t->easy, CURLINFO_APPCONNECT_TIME_T, &connect_us);
		failure.os_errno = (int)number;
		failure.connected = connect_us > 0;
		fetch_reason(&failure, &r->at, &err);
	} else {
		(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &number);
		(void)curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &wait_s);
		answer.status = (uint16_t)number;
		if (wait_s > 0)
			answer.retry_after_s = (uint32_t)(wait_s < RETRY_AFTER_MAX_S
					? wait_s
					: RETRY_AFTER_MAX_S);
	}
	if (err.class)
		answer.err = &err;
	transfer_free(c, t);
	c->fn(c->arg, r, &answer);
}

static void take_finished(struct fetch_curl *c)
{
	struct transfer *t;
	CURLMsg *msg;
	CURLcode code;
	int left;

	while ((msg = curl_multi_info_read(c->multi, &left))) {
		if (msg->msg != CURLMSG_DONE)
			continue;
		code = msg->data.result; /* @msg is gone with the handle */
		(void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		finish(c, t, code);
	}
}

static void turn(struct fetch_curl *c, curl_socket_t fd, int events)
{
	int running;

	(void)curl_multi_socket_action(c->multi, fd, events, &running);
	take_finished(c);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct fetch_curl *c = poll->data;
	uv_os_fd_t fd;
	int what = 0;

	if (uv_fileno((uv_handle_t *)poll, &fd) != 0)
		return;
	if (status < 0)
		what |= CURL_CSELECT_ERR;
	if (events & UV_READABLE)
		what |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		what |= CURL_CSELECT_OUT;
	turn(c, fd, what);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *mine)
{
	struct fetch_curl *c = arg;
	uv_poll_t *poll = mine;
	int events = (what & CURL_POLL_IN ? UV_READABLE : 0) |
		(what & CURL_POLL_OUT ? UV_WRITABLE : 0);

	if (what == CURL_POLL_REMOVE) {
		if (!poll)
			return 0;
		uv_poll_stop(poll);
		uv_close((uv_handle_t *)poll, on_closed);
		(void)curl_multi_assign(c->multi, fd, NULL);
		return 0;
	}
	if (!poll) {
		poll = base_alloc(sizeof(*poll));
		/* The kernel's memory for it ran out. libcurl takes no refusal here: it would do nothing
		 * at all any more. A new process starts afresh. */
		if (uv_poll_init(c->loop, poll, fd) != 0)
			base_out_of_memory();
		poll->data = c;
		(void)curl_multi_assign(c->multi, fd, poll);
	}
	uv_poll_start(poll, events, on_poll);
	return 0;
}

static void on_timer(uv_timer_t *timer)
{
	turn(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct fetch_curl *c = arg;

	if (timeout_ms < 0)
		uv_timer_stop(c->timer);
	else
		uv_timer_start(c->timer, on_timer, (uint64_t)timeout_ms, 0);
	return 0;
}

/* what comes */

static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;

	t->header_bytes += size * count;
	if (t->header_bytes <= HEADERS_MAX_BYTES)
		return size * count;
	t->refused = "too long a header";
	return 0;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;

	if (base_buf_append(&t->request->body, bytes, size * count))
		return size * count;
	t->refused = "too long an answer";
	return 0;
}

/* The last word on the connection's TLS. libcurl fills, shares and keeps the context's own store before or
 * after this, as the version may be: the one for verification is ours alone, and no request's authorities
 * serve another. The answer does not stay in OpenSSL's buffers. */
static CURLcode on_tls(CURL *easy, void *context, void *arg)
{
	struct transfer *t = arg;

	SSL_CTX_set1_verify_cert_store(context, t->trust);
	SSL_CTX_set_options(context, SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_NO_RENEGOTIATION);
	return CURLE_OK;
}

/* a request */

/* "+host:port:address,address": what libcurl is to take in the place of asking. With the '+' it forgets it
 * after a minute. */
static void set_addresses(struct transfer *t)
{
	const struct fetch_request *r = t->request;
	struct base_buf line;

	if (r->at.addr.family != BASE_ADDR_NONE)
		return; /* there is no name to be looked up */
	base_buf_init(&line, RESOLVE_MAX_BYTES);
	(void)base_buf_printf(&line, "+%s:%u:", r->at.host, r->at.port);
	for (size_t i = 0; i < r->addr_count; i++) {
		bool brackets = r->addrs[i].family == BASE_ADDR_IP6;

		(void)base_buf_append_text(&line, i ? "," : "");
		(void)base_buf_append_text(&line, brackets ? "[" : "");
		(void)base_addr_format(&r->addrs[i], &line);
		(void)base_buf_append_text(&line, brackets ? "]" : "");
	}
	BASE_BUG_IF(!base_buf_ok(&line));
	t->resolve = curl_slist_append(NULL, base_buf_text(&line));
	if (!t->resolve)
		base_out_of_memory();
	base_buf_release(&line);
}

static CURLcode set_tls(struct transfer *t)
{
	CURLcode rc = CURLE_OK;

	/* Debian's libcurl brings both as defaults; whom to trust says on_tls(). */
	rc |= curl_easy_setopt(t->easy, CURLOPT_CAINFO, NULL);
	rc |= curl_easy_setopt(t->easy, CURLOPT_CAPATH, NULL);
	rc |= curl_easy_setopt(t->easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
	rc |= curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYPEER, 1L);
	rc |= curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYHOST, 2L);
	rc |= curl_easy_setopt(t->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	rc |= curl_easy_setopt(t->easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
	rc |= curl_easy_setopt(t->easy, CURLOPT_SSL_CTX_DATA, t);
	rc |= curl_easy_setopt(t->easy, CURLOPT_SSL_CTX_FUNCTION, on_tls);
	return rc;
}

/* What libcurl would do by itself, or because of the environment, and must not. */
static CURLcode set_limits(struct transfer *t)
{
	CURL *easy = t->easy;
	int64_t limit = t->request->limit_ms;
	CURLcode rc = CURLE_OK;

	rc |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
	rc |= curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "https");
	rc |= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	rc |= curl_easy_setopt(easy, CURLOPT_PROXY, "");
	rc |= curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	rc |= curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	rc |= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	rc |= curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
	rc |= curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
	rc |= curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
	rc |= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	rc |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
		(long)(limit < CONNECT_MAX_MS ? limit : CONNECT_MAX_MS));
	return rc;
}

static CURLcode set_request(struct fetch_curl *c, struct transfer *t)
{
	struct fetch_request *r = t->request;
	CURL *easy = t->easy;
	CURLcode rc = CURLE_OK;

	rc |= curl_easy_setopt(easy, CURLOPT_URL, r->url);
	if (t->resolve)
		rc |= curl_easy_setopt(easy, CURLOPT_RESOLVE, t->resolve);
	rc |= curl_easy_setopt(easy, CURLOPT_USERAGENT, "postern");
	rc |= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, c->headers);
	if (r->form.len) {
		rc |= curl_easy_setopt(easy, CURLOPT_POST, 1L);
		rc |= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->form.len);
		rc |= curl_easy_setopt(easy, CURLOPT_POSTFIELDS, (const char *)r->form.ptr);
	}
	rc |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	rc |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
	rc |= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	rc |= curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
	rc |= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->error);
	rc |= curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
	return rc;
}

static int choose_trust(struct fetch_curl *c, struct transfer *t, struct base_error *err)
{
	const struct fetch_request *r = t->request;

	if (r->ca.len) {
		t->trust = fetch_trust_copy(c->trust);
		return fetch_trust_add(
			t->trust, base_buf_slice(&r->ca), "the file of authorities", err);
	}
	X509_STORE_up_ref(c->trust);
	t->trust = c->trust;
	if (fetch_trust_is_empty(t->trust))
		return base_error_set(err, BASE_ERROR_CONFIG, 0,
			"this system has no file of authorities to verify \"%s\" with; install "
			"ca-certificates or set tls { ca }",
			r->at.host);
	return 0;
}

int fetch_curl_start(struct fetch_curl *c, struct fetch_request *r, struct base_error *err)
{
	struct transfer *t = base_alloc_zero(1, sizeof(*t));
	CURLcode code = CURLE_OK;
	int rc;

	t->request = r;
	t->easy = curl_easy_init();
	if (!t->easy)
		base_out_of_memory();
	r->transfer = t;
	rc = choose_trust(c, t, err);
	if (rc == 0) {
		set_addresses(t);
		/* A libcurl that lacks one of the options must not go on without it. */
		code = set_limits(t) | set_request(c, t) | set_tls(t);
		if (code != CURLE_OK || curl_multi_add_handle(c->multi, t->easy) != CURLM_OK)
			rc = base_error_set(err, BASE_ERROR_CONFIG, (int)code,
				"this system's libcurl cannot make the request to \"%s\"",
				r->at.host);
	}
	if (rc != 0)
		transfer_free(c, t);
	return rc;
}

void fetch_curl_stop(struct fetch_curl *c, struct fetch_request *r)
{
	if (r->transfer)
		transfer_free(c, r->transfer);
}

/* begin and end */

void fetch_curl_trust(struct fetch_curl *c, X509_STORE *trust)
{
	X509_STORE_up_ref(trust);
	X509_STORE_free(c->trust);
	c->trust = trust;
}

static void set_headers(struct fetch_curl *c)
{
	c->headers = curl_slist_append(NULL, "Accept: application/json");
	/* libcurl would ask before it sends a long form. */
	if (!c->headers || !curl_slist_append(c->headers, "Expect:"))
		base_out_of_memory();
}

int fetch_curl_open(struct fetch_curl **out, uv_loop_t *loop, fetch_curl_fn fn, void *arg,
	struct base_error *err)
{
	struct fetch_curl *c;

	/* Whoever set it wanted to read the traffic of a browser. */
	unsetenv("SSLKEYLOGFILE");
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wiping_free, wiping_realloc, strdup,
		    calloc) != CURLE_OK)
		return base_error_set(err, BASE_ERROR_TEMPORARY, 0, "libcurl does not start");
	c = base_alloc_zero(1, sizeof(*c));
	*out = c;
	c->loop = loop;
	c->fn = fn;
	c->arg = arg;
	c->trust = fetch_trust_new();
	set_headers(c);
	c->timer = base_alloc(sizeof(*c->timer));
	uv_timer_init(loop, c->timer);
	c->timer->data = c;
	c->multi = curl_multi_init();
	if (!c->multi)
		base_out_of_memory();
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	return 0;
}

void fetch_curl_close(struct fetch_curl **curl)
{
	struct fetch_curl *c = *curl;

	if (!c)
		return;
	curl_multi_cleanup(c->multi);
	curl_slist_free_all(c->headers);
	X509_STORE_free(c->trust);
	uv_timer_stop(c->timer);
	uv_close((uv_handle_t *)c->timer, on_closed);
	free(c);
	*curl = NULL;
	curl_global_cleanup();
}
