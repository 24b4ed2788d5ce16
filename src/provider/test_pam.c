/* PAM's rules of conversation and what its answers mean, against a libpam of our own. */
#include "provider/test_support.h"

#include <security/pam_appl.h>

struct stack {
	const char *name;
	int start, authenticate, account; /* what the steps return */
	struct {
		int style;
		const char *text;
		const char *answer; /* expected; null: none */
	} says[4];
	int conversation; /* expected of it */
	enum ipc_asked result;
	const char *reason;
};

static const struct stack *stack;
static const struct pam_conv *conv;
static char rhost[64];
static void (*delay)(int, unsigned, void *);
static unsigned ended, accounts;

int pam_start(const char *service, const char *user, const struct pam_conv *c, pam_handle_t **out)
{
	assert_string_equal(service, "smtp");
	assert_string_equal(user, "anna@example.org");
	conv = c;
	*out = stack->start == PAM_SUCCESS ? (pam_handle_t *)(uintptr_t)1 : NULL;
	return stack->start;
}

int pam_end(pam_handle_t *handle, int status)
{
	ended++;
	return PAM_SUCCESS;
}

int pam_set_item(pam_handle_t *handle, int type, const void *item)
{
	if (type == PAM_RHOST)
		snprintf(rhost, sizeof(rhost), "%s", (const char *)item);
	else if (type == PAM_FAIL_DELAY)
		memcpy(&delay, &item, sizeof(delay));
	return PAM_SUCCESS;
}

int pam_get_item(const pam_handle_t *handle, int type, const void **out)
{
	assert_int_equal(type, PAM_USER_PROMPT);
	*out = "login: ";
	return PAM_SUCCESS;
}

const char *pam_strerror(pam_handle_t *handle, int code)
{
	return "a reason";
}

/* All that it says in one call, as modules may. */
static void talk(void)
{
	struct pam_message messages[4];
	const struct pam_message *pointers[4];
	struct pam_response *answers = NULL;
	int count = 0, rc;

	for (; count < 4 && stack->says[count].style; count++) {
		messages[count] = (struct pam_message){
			stack->says[count].style, stack->says[count].text};
		pointers[count] = &messages[count];
	}
	if (!count)
		return;
	rc = conv->conv(count, pointers, &answers, conv->appdata_ptr);
	assert_int_equal(rc, stack->conversation);
	for (int i = 0; rc == PAM_SUCCESS && i < count; i++) {
		const char *expected = stack->says[i].answer;

		if (expected)
			assert_string_equal(answers[i].resp, expected);
		else
			assert_null(answers[i].resp);
		free(answers[i].resp);
	}
	free(answers);
}

int pam_authenticate(pam_handle_t *handle, int flags)
{
	assert_int_equal(flags, PAM_SILENT);
	assert_string_equal(rhost, "192.0.2.7");
	assert_non_null(delay);
	delay(PAM_AUTH_ERR, 3000000, NULL);
	talk();
	return stack->authenticate;
}

int pam_acct_mgmt(pam_handle_t *handle, int flags)
{
	assert_int_equal(flags, PAM_SILENT);
	accounts++;
	return stack->account;
}

static void stacks(void **state)
{
	const struct stack rows[] = {
		{.name = "right",
			.says = {{PAM_PROMPT_ECHO_OFF, "Password: ", "geheim"}},
			.result = IPC_ASKED_RIGHT},
		{.name = "asks all and talks",
			.says = {{PAM_TEXT_INFO, "hello", NULL},
				{PAM_PROMPT_ECHO_ON, "login: ", "anna@example.org"},
				{PAM_PROMPT_ECHO_OFF, "Password: ", "geheim"},
				{PAM_ERROR_MSG, "caps lock", NULL}},
			.result = IPC_ASKED_RIGHT},
		{.name = "asks for a token too",
			.says = {{PAM_PROMPT_ECHO_ON, "token: ", NULL}},
			.authenticate = PAM_AUTH_ERR,
			.result = IPC_ASKED_REFUSED},
		{.name = "an unknown style",
			.says = {{PAM_PROMPT_ECHO_OFF, "Password: ", NULL}, {99, "", NULL}},
			.conversation = PAM_CONV_ERR,
			.authenticate = PAM_CONV_ERR,
			.result = IPC_ASKED_CANNOT},
		{.name = "wrong",
			.authenticate = PAM_AUTH_ERR,
			.result = IPC_ASKED_REFUSED,
			.reason = "PAM, authentication: a reason"},
		{.name = "unknown", .authenticate = PAM_USER_UNKNOWN, .result = IPC_ASKED_UNKNOWN},
		{.name = "too often", .authenticate = PAM_MAXTRIES, .result = IPC_ASKED_REFUSED},
		{.name = "down", .authenticate = PAM_AUTHINFO_UNAVAIL, .result = IPC_ASKED_CANNOT},
		{.name = "abort", .authenticate = PAM_ABORT, .result = IPC_ASKED_CANNOT},
		{.name = "service", .authenticate = PAM_SERVICE_ERR, .result = IPC_ASKED_CANNOT},
		{.name = "module", .authenticate = PAM_MODULE_UNKNOWN, .result = IPC_ASKED_CANNOT},
		{.name = "expired",
			.account = PAM_ACCT_EXPIRED,
			.result = IPC_ASKED_REFUSED,
			.reason = "PAM, account: a reason"},
		{.name = "old password",
			.account = PAM_NEW_AUTHTOK_REQD,
			.result = IPC_ASKED_REFUSED},
		{.name = "not now", .account = PAM_PERM_DENIED, .result = IPC_ASKED_REFUSED},
		{.name = "account down", .account = PAM_SYSTEM_ERR, .result = IPC_ASKED_CANNOT},
		{.name = "no start",
			.start = PAM_SYSTEM_ERR,
			.result = IPC_ASKED_CANNOT,
			.reason = "PAM, start: a reason"},
	};
	struct provider_source *s = provider_pam->open(
		&(struct provider_options){.title = "pam", .service = "smtp"});
	struct provider_answer a;

	provider_answer_init(&a);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		stack = &rows[i];
		ended = accounts = 0;
		rhost[0] = '\0';
		delay = NULL;
		support_ask(s, IPC_ASK_PASSWORD, "anna@example.org", "geheim", "", &a);
		if (a.result != rows[i].result)
			fail_msg("%s: %d", rows[i].name, a.result);
		if (rows[i].reason)
			assert_string_equal(base_buf_text(&a.reason), rows[i].reason);
		assert_int_equal(ended, rows[i].start == PAM_SUCCESS);
		assert_int_equal(accounts,
			rows[i].start == PAM_SUCCESS && rows[i].authenticate == PAM_SUCCESS);
	}
	provider_answer_release(&a);
	s->type->close(s);
}

static void what_pam_is_not_asked(void **state)
{
	struct provider_source *s = provider_pam->open(
		&(struct provider_options){.title = "pam", .service = "smtp"});
	struct provider_question q = {
		.kind = IPC_ASK_PASSWORD, .name = BASE_SLICE("a\0b"), .secret = BASE_SLICE("p")};
	struct provider_answer a;

	provider_answer_init(&a);
	s->type->ask(s, &q, &a);
	assert_int_equal(a.result, IPC_ASKED_REFUSED);
	assert_int_equal(support_ask(s, IPC_ASK_PASSWORD, "", "p", "", &a), IPC_ASKED_REFUSED);
	assert_int_equal(support_ask(s, IPC_ASK_CRAM, "u", "d", "c", &a), IPC_ASKED_UNKNOWN);
	assert_int_equal(support_ask(s, IPC_ASK_LOOKUP, "u", "", "", &a), IPC_ASKED_UNKNOWN);
	assert_int_equal(support_ask(s, IPC_ASK_SCRAM, "u", "s", "", &a), IPC_ASKED_UNKNOWN);
	provider_answer_release(&a);
	s->type->close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stacks),
		cmocka_unit_test(what_pam_is_not_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
