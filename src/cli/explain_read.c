#include "cli/explain_read.h"

#include "base/macros.h"

static struct base_slice without_cr(struct base_slice line)
{
	if (line.len && line.ptr[line.len - 1] == '\r')
		line.len--;
	return line;
}

static bool starts(struct base_slice line, const char *with)
{
	return base_slice_starts_with(line, base_slice_text(with));
}

static struct explain_read read_marks(struct base_slice line)
{
	struct explain_read r = {.text = line};
	struct base_slice rest = line;

	r.tls = starts(line, "-- TLS "); /* postern send --trace */
	while (rest.len && (rest.ptr[0] == ' ' || rest.ptr[0] == '\t'))
		rest = base_slice_from(rest, 1);
	if (rest.len < 2 || rest.ptr[1] != ':' || (rest.ptr[0] != 'C' && rest.ptr[0] != 'S'))
		return r;
	r.who = rest.ptr[0] == 'C' ? EXPLAIN_CLIENT : EXPLAIN_SERVER;
	r.text = base_slice_from(rest, 2);
	if (r.text.len && r.text.ptr[0] == ' ')
		r.text = base_slice_from(r.text, 1);
	return r;
}

/* "123 < text " whole, "123 < text+" a piece, "123 < [EOF]". */
static struct explain_read read_recordio(struct base_slice line)
{
	struct explain_read r = {.text = line, .noise = true};
	size_t blank = base_slice_find(line, ' ');
	struct base_slice rest = base_slice_from(line, blank + 1);

	if (!base_slice_to_u64(base_slice_first(line, blank), &r.pid) || rest.len < 2 ||
		(rest.ptr[0] != '<' && rest.ptr[0] != '>') || rest.ptr[1] != ' ') {
		r.pid = 0;
		return r;
	}
	r.who = rest.ptr[0] == '<' ? EXPLAIN_CLIENT : EXPLAIN_SERVER;
	rest = base_slice_from(rest, 2);
	if (base_slice_equal_text(rest, "[EOF]") ||
		(starts(rest, "<") &&
			base_slice_ends_with_nocase(
				base_slice_trim(rest), BASE_SLICE(" bytes of tls>")))) {
		r.who = EXPLAIN_NOBODY;
		return r;
	}
	r.noise = false;
	if (rest.len && rest.ptr[rest.len - 1] == '+') {
		r.piece = true;
		rest.len--;
	} else if (rest.len && rest.ptr[rest.len - 1] == ' ') {
		rest.len--;
	}
	r.text = rest;
	return r;
}

static struct explain_read read_swaks(struct base_slice line)
{
	static const struct {
		const char *mark;
		enum explain_who who;
		bool tls;
	} marks[] = {
		{" -> ", EXPLAIN_CLIENT, false},
		{" ~> ", EXPLAIN_CLIENT, true},
		{"<-  ", EXPLAIN_SERVER, false},
		{"<** ", EXPLAIN_SERVER, false},
		{"<~  ", EXPLAIN_SERVER, true},
		{"<~* ", EXPLAIN_SERVER, true},
	};
	struct explain_read r = {.text = line, .noise = true};

	r.tls = starts(line, "=== TLS started");
	for (size_t i = 0; i < BASE_COUNT(marks); i++)
		if (starts(line, marks[i].mark))
			return (struct explain_read){.who = marks[i].who,
				.tls = marks[i].tls,
				.text = base_slice_from(line, 4)};
	/* An empty line of the message: editors and terminals drop the last blank. */
	if (base_slice_equal_text(line, " ->") || base_slice_equal_text(line, " ~>"))
		return (struct explain_read){.who = EXPLAIN_CLIENT, .tls = line.ptr[1] == '~'};
	return r;
}

/* What openssl s_client says around the dialogue tells that it runs over TLS. */
static struct explain_read read_bare(struct base_slice line)
{
	static const char *const signs[] = {"CONNECTED(", "SSL handshake has read",
		"SSL-Session:", "New, TLS", "New, SSL", "depth="};
	struct explain_read r = {.text = line};

	for (size_t i = 0; i < BASE_COUNT(signs); i++)
		r.tls |= starts(line, signs[i]);
	r.noise = r.tls;
	return r;
}

struct explain_read explain_read(enum explain_format format, struct base_slice line)
{
	struct explain_read r;

	line = without_cr(line);
	switch (format) {
	case EXPLAIN_FORMAT_BARE:
		return read_bare(line);
	case EXPLAIN_FORMAT_MARKS:
		r = read_marks(line);
		break;
	case EXPLAIN_FORMAT_RECORDIO:
		r = read_recordio(line);
		break;
	case EXPLAIN_FORMAT_SWAKS:
		r = read_swaks(line);
		break;
	}
	if (!r.piece)
		r.text = without_cr(r.text);
	return r;
}

enum explain_format explain_format_guess(struct base_slice transcript)
{
	static const enum explain_format formats[] = {
		EXPLAIN_FORMAT_MARKS, EXPLAIN_FORMAT_RECORDIO, EXPLAIN_FORMAT_SWAKS};
	enum explain_format best = EXPLAIN_FORMAT_BARE;
	size_t most = 0;

	for (size_t i = 0; i < BASE_COUNT(formats); i++) {
		struct base_slice rest = transcript, line;
		size_t count = 0;

		while (base_slice_split(&rest, '\n', &line))
			count += explain_read(formats[i], line).who != EXPLAIN_NOBODY;
		if (count > most) {
			most = count;
			best = formats[i];
		}
	}
	return best;
}
