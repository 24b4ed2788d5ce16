/* A session of any bytes, cut anywhere, with partners that answer anything: the first bytes choose the
 * setup, and each want takes another one for its answer. What must hold: one message at a time, nothing
 * committed that was not opened, no envelope without its end, no answer taken twice. */
#include "qmail/smtpd_core.h"

#include <string.h>

static const uint8_t mock_key[32];

struct dice {
	struct base_slice bytes;
	size_t at;
};

static uint8_t roll(struct dice *d)
{
	return d->bytes.len ? d->bytes.ptr[d->at++ % d->bytes.len] : 0;
}

static void choose(struct smtpd_options *o, uint8_t a, uint8_t b)
{
	*o = (struct smtpd_options){
		.greeting = BASE_SLICE("mail.test"),
		.host_name = BASE_SLICE("local.test"),
		.local_ip = BASE_SLICE("10.0.0.1"),
		.local_host = BASE_SLICE("own.test"),
		.remote_ip = BASE_SLICE("192.0.2.7"),
		.remote_host = BASE_SLICE("host.test"),
		.rcpthosts = {true, BASE_SLICE("in.test\n.sub.test\n")},
		.badmailfrom = {a & 1, a & 1 ? BASE_SLICE("@bad.test\n") : BASE_SLICE_EMPTY},
		.recipients = {a & 2, BASE_SLICE("@in.test:a.cdb\n*|prog x\n!sub.test\nb.cdb\n")},
		.relay = a & 4,
		.suffix = BASE_SLICE("@s"),
		.databytes = a & 8 ? 100 : 0,
		.compat = a & 16,
		.own_queue = a & 32,
		.auth_required = a & 64,
		.tls_offer = a & 128,
		.auth = b & 1 ? SMTPD_AUTH_CHECKER : SMTPD_AUTH_SERVER,
		.cram_order = b & 2 ? WIRE_CHECKPASSWORD_LEGACY : WIRE_CHECKPASSWORD_STANDARD,
		.log = b & 4 ? SMTPD_LOG_SPAMCONTROL : SMTPD_LOG_POSTERN,
		.auth_failures_max = b & 8 ? 3 : 0,
		.recipients_max = b & 16 ? 2 : 0,
		.legacy_announcement = b & 32,
		.mock_key = base_slice_make(mock_key, sizeof(mock_key)),
	};
	memcpy(o->session.text, "0123456789abcdef", 17);
	smtpd_offer(o,
		b & 1 ? smtpd_smtpauth_parse("+cram").mask
		      : smtpd_smtpauth_parse("+cram").mask |
				SASL_MASK(SASL_MECHANISM_SCRAM_SHA_256),
		b & 64);
}

static void answer_server(struct smtpd *s, uint8_t die)
{
	if (die % 3 == 0)
		smtpd_auth_challenge(s, BASE_SLICE("challenge"));
	else
		smtpd_auth_done(s, (enum smtpd_check)(die % 4),
			die & 4 ? BASE_SLICE("anna") : BASE_SLICE("an\nna"));
}

static void check_envelope(const struct smtpd *s)
{
	struct base_buf whole;

	if (!s->options->own_queue) {
		BASE_BUG_IF(s->envelope.len < 4 || s->envelope.ptr[0] != 'F');
		BASE_BUG_IF(s->envelope.ptr[s->envelope.len - 1] != '\0' ||
			s->envelope.ptr[s->envelope.len - 2] != '\0');
		return;
	}
	base_buf_init(&whole, SMTPD_RCPTS_MAX_BYTES + 65536);
	smtpd_envelope(s, 0, &whole);
	BASE_BUG_IF(!base_buf_ok(&whole));
	base_buf_release(&whole);
}

/* False: the session is over. */
static bool answer(struct smtpd *s, enum smtpd_want want, uint8_t die, bool *open)
{
	static const struct smtpd_now now = {.wall_ms = 1};

	switch (want) {
	case SMTPD_READ:
	case SMTPD_FLUSH:
	case SMTPD_AUTH_CANCEL:
		break;
	case SMTPD_TLS:
		smtpd_tls_done(s, "TLSv1.3", "X", die & 1);
		break;
	case SMTPD_CHECK:
		BASE_BUG_IF(s->question.len == 0 || s->question.len > WIRE_CHECKPASSWORD_MAX_BYTES);
		smtpd_checked(s, (enum smtpd_check)(die % 3));
		break;
	case SMTPD_PAUSE:
		smtpd_paused(s);
		break;
	case SMTPD_AUTH_BEGIN:
	case SMTPD_AUTH_CONTINUE:
		answer_server(s, die);
		break;
	case SMTPD_IDENTITY:
		BASE_BUG_IF(
			base_slice_has(smtpd_user(s), '\0') || base_slice_has(smtpd_user(s), '\n'));
		break;
	case SMTPD_ASK:
		smtpd_asked(s, (enum smtpd_answer)(die % 3));
		break;
	case SMTPD_OPEN:
		BASE_BUG_IF(*open);
		*open = die % 8 != 0;
		smtpd_opened(s, *open, &now);
		break;
	case SMTPD_WRITE:
		BASE_BUG_IF(!*open || s->message.len == 0 || !base_buf_ok(&s->message));
		BASE_BUG_IF(!s->options->own_queue &&
			base_slice_has(base_buf_slice(&s->message), '\r'));
		smtpd_written(s);
		break;
	case SMTPD_COMMIT:
		BASE_BUG_IF(!*open);
		*open = false;
		check_envelope(s);
		if (s->options->own_queue)
			smtpd_stored(s, -(int)(die % 7));
		else
			smtpd_queued(s, die, die % 5 == 0, die % 3 == 0, 7, 8);
		break;
	case SMTPD_ABORT:
		BASE_BUG_IF(!*open);
		*open = false;
		break;
	case SMTPD_CLOSE:
		BASE_BUG_IF(*open);
		return false;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { HEAD = 18 };
	static const struct smtpd_now now = {.wall_ms = 1};
	struct smtpd_options options;
	struct base_slice in;
	struct dice dice;
	struct smtpd s;
	size_t at = 0, end = 0, used;
	bool open = false, go_on = true;

	if (size < HEAD)
		return 0;
	choose(&options, data[0], data[1]);
	dice = (struct dice){base_slice_make(data + 2, HEAD - 2), 0};
	in = base_slice_make(data + HEAD, size - HEAD);
	smtpd_init(&s, &options);
	while (go_on) {
		enum smtpd_want want = smtpd_next(
			&s, base_slice_first(base_slice_from(in, at), end - at), &used, &now);

		at += used;
		base_buf_clear(&s.out);
		base_buf_clear(&s.log);
		if (want != SMTPD_READ) {
			go_on = answer(&s, want, roll(&dice), &open);
		} else if (end < in.len) {
			end += 1 + roll(&dice) * 4u;
			end = end < in.len ? end : in.len;
		} else if (roll(&dice) & 1) {
			smtpd_timeout(&s);
		} else {
			smtpd_lost(&s, "eof");
		}
	}
	smtpd_release(&s);
	return 0;
}
