#include "cli/spool.h"

#include "base/clock.h"
#include "route/sender_admin.h"

#include <unistd.h>

/* A server that is just starting holds the spool before it listens: ask it again meanwhile. */
enum { WAIT_STEP_MS = 1000, WAIT_STEPS = 20 };

/* What root made goes to the owner of data/. */
static void give_away(const struct conf *conf, const struct cli_account *a)
{
	static const char *const names[] = {
		"spool.db", "spool.db-wal", "spool.db-shm", "spool.lock", "spool", "spool/tmp"};
	char path[4096];

	for (size_t i = 0; i < BASE_COUNT(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", conf->data, names[i]);
		if (lchown(path, a->uid, a->gid) != 0)
			continue;
	}
}

static int run_on_files(const struct conf *conf, const struct cli_request *r, cli_spool_fn on_files,
	struct base_buf *out, struct base_error *err)
{
	struct spool_options options = {
		.data_dir = conf->data, .owner = "a postern command", .wait_ms = WAIT_STEP_MS};
	struct cli_account owner;
	struct spool *s = NULL;
	int rc = cli_become_owner(conf, &owner, err);

	if (rc == 0)
		rc = spool_open(&s, &options, err);
	if (rc != 0)
		return rc;
	if (owner.root)
		give_away(conf, &owner);
	rc = on_files(s, conf, &r->request, out, err);
	spool_close(&s);
	return rc;
}

int cli_spool_ask(const struct conf *conf, const struct cli_request *r, cli_spool_fn on_files,
	struct base_buf *out, struct base_error *err)
{
	int rc = 0;

	for (int step = 0; step < WAIT_STEPS; step++) {
		bool running;

		base_buf_clear(out);
		rc = cli_ask(conf, "queue", r, out, &running, err);
		if (running)
			return rc;
		rc = run_on_files(conf, r, on_files, out, err);
		if (rc != BASE_ERROR_TEMPORARY)
			return rc;
	}
	return rc;
}

int cli_sender_on_files(struct spool *s, const struct conf *conf,
	const struct control_request *request, struct base_buf *out, struct base_error *err)
{
	struct route_sender_request r = {
		.words = request->words,
		.word_count = request->word_count,
		.host_name = base_slice_text(conf->hostname),
		.now_ms = base_clock_wall_ms(),
	};
	int rc = route_sender_admin_run(s, &r, out, err);

	if (rc == 0)
		return spool_commit(s, err);
	spool_rollback(s);
	return rc;
}
