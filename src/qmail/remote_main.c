#include "qmail/remote.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* postern-remote HOST SENDER RECIPIENT…
 *
 *	control files -> plan -> targets -> one session after the other until there is a verdict */

static const char dns_later[] = "ZSorry, I couldn't find any host by that name. (#4.1.2)\n";
static const char no_address[] =
	"DSorry, I couldn't find a mail exchanger or IP address. (#5.4.4)\n";
static const char is_me[] =
	"DSorry. Although I'm listed as a best-preference MX or A for that host,\n"
	"it isn't in my control/locals file, so I don't treat it as local. (#5.4.6)\n";
static const char no_connection[] =
	"ZSorry, I wasn't able to establish an SMTP connection. (#4.4.1)\n";

static void report_dns(const struct route_mx *m, struct remote_job *job)
{
	struct base_slice enhanced = base_slice_text(m->failure.enhanced);
	struct base_buf text;

	base_buf_init(&text, 8192);
	if (!m->failure.permanent) {
		(void)base_buf_append_text(&text, dns_later);
	} else if (base_slice_equal_text(enhanced, "5.1.2")) {
		(void)base_buf_append_text(&text, "DSorry, I couldn't find any host named ");
		remote_report_word(job->plan->host, &text);
		(void)base_buf_append_text(&text, ". (#5.1.2)\n");
	} else if (base_slice_equal_text(enhanced, "5.4.6")) {
		(void)base_buf_append_text(&text, is_me);
	} else if (base_slice_equal_text(enhanced, "5.4.4")) {
		(void)base_buf_append_text(&text, no_address);
	} else {
		(void)base_buf_printf(
			&text, "DSorry, %s. (#%s)\n", m->failure.reason, m->failure.enhanced);
	}
	remote_report_message(&job->report, base_buf_text(&text));
	base_buf_release(&text);
}

static void try_targets(struct remote_job *job, const struct route_mx *m)
{
	base_buf_init(&job->unsettled, 8 * REMOTE_REPLY_MAX_BYTES);
	for (size_t i = 0; i < m->target_count; i++)
		if (remote_session_run(job, &m->targets[i]))
			break;
	if (!job->report.complete)
		remote_report_message(&job->report,
			job->unsettled.len ? base_buf_text(&job->unsettled) : no_connection);
	base_buf_release(&job->unsettled);
}

static void deliver(struct remote_job *job)
{
	struct base_slice me = route_control_line(job->control->file[REMOTE_FILE_ME]);
	struct route_mx *m = base_alloc_zero(1, sizeof(*m));
	struct base_error err;

	if (remote_dns_find(m, job->plan, me, &err) != 0)
		remote_report_message(
			&job->report, "ZSystem resources temporarily unavailable. (#4.3.0)\n");
	else if (m->state != ROUTE_MX_READY)
		report_dns(m, job);
	else if (!job->plan->routed && !remote_dns_leave_self(m))
		remote_report_message(&job->report, is_me);
	else
		try_targets(job, m);
	free(m);
}

/* The recipients as they go on the wire; each slice points into @bytes. */
static struct smtp_client_rcpt *make_rcpts(char **argv, size_t count, struct base_buf *bytes)
{
	struct smtp_client_rcpt *rcpts = base_alloc_zero(count, sizeof(rcpts[0]));
	size_t at = 0;

	for (size_t i = 0; i < count; i++) {
		remote_address_quote(base_slice_text(argv[i]), bytes);
		rcpts[i].address.len = bytes->len - at;
		at = bytes->len;
	}
	at = 0;
	for (size_t i = 0; i < count; i++) {
		rcpts[i].address.ptr = bytes->ptr + at;
		at += rcpts[i].address.len;
	}
	return rcpts;
}

static void run(char **argv, size_t rcpt_count, struct remote_job *job,
	struct remote_control *control, struct remote_plan *plan)
{
	struct base_slice host = base_slice_text(argv[1]), sender = base_slice_text(argv[2]);
	struct base_buf addresses, quoted, why;
	struct base_error err;

	base_buf_init(&addresses, SIZE_MAX / 4);
	base_buf_init(&quoted, SIZE_MAX / 4);
	base_buf_init(&why, 4096);
	remote_message_init(&job->message, STDIN_FILENO);
	remote_address_quote(sender, &quoted);
	job->sender = base_buf_slice(&quoted);
	job->rcpts = make_rcpts(argv + 3, rcpt_count, &addresses);
	job->rcpt_count = rcpt_count;
	job->control = control;
	if (remote_control_read(control, &err) != 0) {
		remote_report_message(&job->report, "ZUnable to read control files. (#4.3.0)\n");
	} else if (!remote_plan_make(control, host, sender, plan, &why)) {
		remote_report_message(&job->report, base_buf_text(&why));
	} else {
		job->plan = plan;
		deliver(job);
	}
	tls_context_free(&job->context);
	remote_control_release(control);
	remote_message_release(&job->message);
	free((void *)job->rcpts);
	base_buf_release(&addresses);
	base_buf_release(&quoted);
	base_buf_release(&why);
}

int main(int argc, char **argv)
{
	const char *home = getenv("QMAILHOME");
	struct remote_job job = {.sender = BASE_SLICE_EMPTY};
	struct remote_control control = {.file = {{NULL, 0}}};
	struct remote_plan plan;
	size_t rcpt_count = argc > 3 ? (size_t)argc - 3 : 0;

	(void)signal(SIGPIPE, SIG_IGN);
	remote_report_init(&job.report, rcpt_count);
	if (rcpt_count == 0)
		remote_report_message(
			&job.report, "DI (qmail-remote) was invoked improperly. (#5.3.5)\n");
	else if (chdir(home && *home ? home : "/var/qmail") != 0)
		remote_report_message(
			&job.report, "ZUnable to switch to home directory. (#4.3.0)\n");
	else
		run(argv, rcpt_count, &job, &control, &plan);
	(void)remote_report_write(&job.report, STDOUT_FILENO);
	remote_report_release(&job.report);
	return 0;
}
