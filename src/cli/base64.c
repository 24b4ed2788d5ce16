/* postern base64 and postern xtext: the encodings of the protocol, on standard input. Decoding
 * writes nothing unless all of the input is good, so all of it is held. */
#include "base/base64.h"
#include "base/xtext.h"
#include "cli/input.h"

#include <unistd.h>

typedef bool (*encode_fn)(struct base_slice in, struct base_buf *out);
typedef bool (*decode_fn)(struct base_slice in, struct base_buf *out, size_t *out_offset);

static bool decode_base64(struct base_slice in, struct base_buf *out, size_t *out_offset)
{
	return base64_decode(in, out, out_offset) == BASE64_OK;
}

/* Without CR and LF; those inside an xtext are data gone wrong, so only the last line end goes
 * there. */
static void strip(struct base_slice in, bool everywhere, struct base_buf *out)
{
	while (!everywhere && in.len && (in.ptr[in.len - 1] == '\n' || in.ptr[in.len - 1] == '\r'))
		in.len--;
	if (!everywhere) {
		base_buf_append_slice(out, in);
		return;
	}
	while (in.len) {
		size_t cr = base_slice_find(in, '\r'), lf = base_slice_find(in, '\n');
		size_t end = cr < lf ? cr : lf;

		base_buf_append(out, in.ptr, end);
		in = base_slice_from(in, end + 1);
	}
}

/* Where byte @offset of the stripped text stands in the whole. */
static size_t original_offset(struct base_slice in, size_t offset)
{
	size_t i = 0;

	for (size_t kept = 0; i < in.len; i++) {
		if (in.ptr[i] == '\r' || in.ptr[i] == '\n')
			continue;
		if (kept++ == offset)
			break;
	}
	return i;
}

static int decode(struct cli *cli, struct base_slice in, bool everywhere, decode_fn fn)
{
	struct base_buf text, out;
	size_t offset = 0;
	int status = CLI_OK;

	base_buf_init_secret(&text, CLI_INPUT_MAX_BYTES);
	base_buf_init_secret(&out, CLI_INPUT_MAX_BYTES);
	strip(in, everywhere, &text);
	if (fn(base_buf_slice(&text), &out, &offset)) {
		if (out.len)
			fwrite(out.ptr, 1, out.len, stdout);
	} else {
		if (everywhere)
			offset = original_offset(in, offset);
		if (offset < in.len)
			status = cli_fail(cli, CLI_FAILED,
				"byte 0x%02x at offset %zu cannot stand there", in.ptr[offset],
				offset);
		else
			status = cli_fail(
				cli, CLI_FAILED, "the input ends too early, at offset %zu", offset);
	}
	base_buf_release(&text);
	base_buf_release(&out);
	return status;
}

static int encode(struct cli *cli, struct base_slice in, encode_fn fn)
{
	struct base_buf out;

	base_buf_init_secret(&out, 4 * CLI_INPUT_MAX_BYTES);
	if (!fn(in, &out))
		return cli_fail(cli, CLI_FAILED, "the input is too long");
	base_buf_append_byte(&out, '\n');
	fwrite(out.ptr, 1, out.len, stdout);
	base_buf_release(&out);
	return CLI_OK;
}

static int run(struct cli *cli, bool everywhere, encode_fn encode_with, decode_fn decode_with)
{
	struct base_buf in;
	int status;

	if (cli_has(cli, "e") == cli_has(cli, "d"))
		return cli_fail(cli, CLI_USAGE, "give -e to encode or -d to decode");
	base_buf_init_secret(&in, CLI_INPUT_MAX_BYTES);
	status = cli_read_all(cli, STDIN_FILENO, &in);
	if (status == CLI_OK && cli_has(cli, "d"))
		status = decode(cli, base_buf_slice(&in), everywhere, decode_with);
	else if (status == CLI_OK)
		status = encode(cli, base_buf_slice(&in), encode_with);
	base_buf_release(&in);
	return status;
}

static int run_base64(struct cli *cli)
{
	return run(cli, true, base64_encode, decode_base64);
}

static int run_xtext(struct cli *cli)
{
	return run(cli, false, base_xtext_encode, base_xtext_decode);
}

static const struct cli_option options[] = {
	{"e", 'e', CLI_FLAG, NULL, "encode"},
	{"d", 'd', CLI_FLAG, NULL, "decode"},
	CLI_OPTION_END,
};

const struct cli_command cli_command_base64 = {
	.name = "base64",
	.summary = "encode or decode base64, as AUTH uses it",
	.synopsis = "base64 -e|-d",
	.details =
		"Standard input to standard output. -d skips CR and LF and refuses any other byte\n"
		"outside the alphabet: exit 1, nothing written, the offset on standard error.\n",
	.options = options,
	.run = run_base64,
};

const struct cli_command cli_command_xtext = {
	.name = "xtext",
	.summary = "encode or decode xtext, as AUTH= and ORCPT= use it",
	.synopsis = "xtext -e|-d",
	.details = "Standard input to standard output. -d refuses a byte outside xtext: exit 1,\n"
		   "nothing written, the offset on standard error.\n",
	.options = options,
	.run = run_xtext,
};
