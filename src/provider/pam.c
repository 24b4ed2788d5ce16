/* PAM: authenticate and account, nothing of credentials and sessions, for nobody is logged in to
 * this machine.
 *
 *	prompt without echo   the password
 *	prompt with echo      the name, if it is PAM's own question for it; else nothing
 *	words, errors         passed over
 *
 * The delay that a stack asks for after a failure is left out: auth makes its own, the same for
 * every source. A name that PAM calls unknown is UNKNOWN, so that the next provider is asked; most
 * stacks do not tell and say that the password was wrong, which is REFUSED. A stack that hangs
 * cannot be interrupted: after HUNG_S this process ends, and the master starts another one. */
#include "provider/source.h"

#if PROVIDER_PAM

#include "base/escape.h"

#include <security/pam_appl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HUNG_S = 20, MESSAGES_MAX = 32 };

struct pam_source {
	struct provider_source base;
	char *service;
};

struct conversation {
	const char *login, *password;
	pam_handle_t *handle;
};

static const char *answer_to(const struct conversation *c, const struct pam_message *m)
{
	const void *own = NULL;

	if (m->msg_style == PAM_PROMPT_ECHO_OFF)
		return c->password;
	if (m->msg_style != PAM_PROMPT_ECHO_ON || !m->msg)
		return NULL;
	if (pam_get_item(c->handle, PAM_USER_PROMPT, &own) != PAM_SUCCESS || !own)
		return NULL;
	return strcmp(own, m->msg) == 0 ? c->login : NULL;
}

static void give_up(struct pam_response *answers, int count)
{
	for (int i = 0; i < count; i++) {
		if (answers[i].resp)
			base_wipe(answers[i].resp, strlen(answers[i].resp));
		free(answers[i].resp);
	}
	free(answers);
}

/* The answers are freed by the module, so they are of malloc(). */
static int converse(
	int count, const struct pam_message **messages, struct pam_response **out, void *arg)
{
	struct conversation *c = arg;
	struct pam_response *answers;

	if (count <= 0 || count > MESSAGES_MAX)
		return PAM_CONV_ERR;
	answers = base_alloc_zero((size_t)count, sizeof(*answers));
	for (int i = 0; i < count; i++) {
		const struct pam_message *m = messages[i];
		const char *text = answer_to(c, m);

		if (text) {
			answers[i].resp = base_strdup(text);
		} else if (m->msg_style != PAM_PROMPT_ECHO_ON && m->msg_style != PAM_TEXT_INFO &&
			m->msg_style != PAM_ERROR_MSG) {
			give_up(answers, count);
			return PAM_CONV_ERR;
		}
	}
	*out = answers;
	return PAM_SUCCESS;
}

static void no_delay(int status, unsigned usec, void *arg)
{
}

static enum ipc_asked meaning(int rc)
{
	switch (rc) {
	case PAM_SUCCESS:
		return IPC_ASKED_RIGHT;
	case PAM_USER_UNKNOWN:
		return IPC_ASKED_UNKNOWN;
	case PAM_AUTH_ERR:
	case PAM_PERM_DENIED:
	case PAM_MAXTRIES:
	case PAM_ACCT_EXPIRED:
	case PAM_NEW_AUTHTOK_REQD:
	case PAM_AUTHTOK_EXPIRED:
	case PAM_CRED_INSUFFICIENT:
	case PAM_CRED_EXPIRED:
		return IPC_ASKED_REFUSED;
	default:
		/* PAM_AUTHINFO_UNAVAIL, PAM_ABORT, PAM_SERVICE_ERR, PAM_SYSTEM_ERR, a module
		 * missing … */
		return IPC_ASKED_CANNOT;
	}
}

static void judge(struct provider_answer *a, pam_handle_t *handle, const char *step, int rc)
{
	enum ipc_asked result = meaning(rc);
	struct base_buf words;

	base_buf_init(&words, 512);
	base_escape_log(base_slice_text(pam_strerror(handle, rc)), 100, &words);
	if (result == IPC_ASKED_RIGHT)
		a->result = result;
	else
		provider_answer_set(a, result, "PAM, %s: %s", step, base_buf_text(&words));
	base_buf_release(&words);
}

static int set_items(
	pam_handle_t *handle, const struct provider_question *q, struct conversation *c)
{
	void (*delay)(int, unsigned, void *) = no_delay;
	char *client = base_slice_dup(q->client);
	int rc = PAM_SUCCESS;

	c->handle = handle;
	if (q->client.len)
		rc = pam_set_item(handle, PAM_RHOST, client);
	free(client);
	if (rc == PAM_SUCCESS)
		rc = pam_set_item(handle, PAM_FAIL_DELAY, *(const void **)&delay);
	return rc;
}

static void run(struct pam_source *p, const struct provider_question *q, struct conversation *c,
	struct provider_answer *a)
{
	struct pam_conv conv = {converse, c};
	pam_handle_t *handle = NULL;
	const char *step = "start";
	int rc = pam_start(p->service, c->login, &conv, &handle);

	if (rc == PAM_SUCCESS)
		rc = set_items(handle, q, c);
	if (rc == PAM_SUCCESS) {
		step = "authentication";
		rc = pam_authenticate(handle, PAM_SILENT);
	}
	if (rc == PAM_SUCCESS) {
		step = "account";
		rc = pam_acct_mgmt(handle, PAM_SILENT);
	}
	judge(a, handle, step, rc);
	if (handle)
		(void)pam_end(handle, rc | PAM_DATA_SILENT);
}

static void on_hung(int signal_number)
{
	static const char text[] = "postern-provider: the PAM stack hangs; this process ends\n";
	ssize_t n = write(STDERR_FILENO, text, sizeof(text) - 1);

	(void)n;
	_exit(1);
}

static void pam_ask(
	struct provider_source *s, const struct provider_question *q, struct provider_answer *a)
{
	struct pam_source *p = (struct pam_source *)s;
	struct conversation c = {0};
	char *login, *password;

	if (q->kind != IPC_ASK_PASSWORD) {
		provider_answer_set(a, IPC_ASKED_UNKNOWN, "PAM takes passwords only");
		return;
	}
	if (!q->name.len || base_slice_has(q->name, 0) || base_slice_has(q->secret, 0) ||
		base_slice_has(q->client, 0)) {
		provider_answer_set(a, IPC_ASKED_REFUSED, "no name, or a NUL in what was sent");
		return;
	}
	c.login = login = base_slice_dup(q->name);
	c.password = password = base_slice_dup(q->secret);
	signal(SIGALRM, on_hung);
	alarm(HUNG_S);
	run(p, q, &c, a);
	alarm(0);
	base_wipe(password, strlen(password));
	free(password);
	free(login);
}

static struct provider_source *pam_open(const struct provider_options *o)
{
	struct pam_source *p = base_alloc_zero(1, sizeof(*p));

	p->base.type = provider_pam;
	p->service = base_strdup(o->service);
	return &p->base;
}

static void pam_close(struct provider_source *s)
{
	struct pam_source *p = (struct pam_source *)s;

	free(p->service);
	free(p);
}

static const struct provider_source_type pam_type = {
	.name = "pam",
	.open = pam_open,
	.ask = pam_ask,
	.close = pam_close,
};
const struct provider_source_type *const provider_pam = &pam_type;

#else

const struct provider_source_type *const provider_pam = NULL;

#endif
