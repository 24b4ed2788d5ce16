/* The frames of loop/ipc.h as bytes: building, reading, and the table's checks. No socket here.
 *
 * struct ipc_header (8 bytes), then the fields in the order of the table's comment, host byte order,
 * no padding. Fields are copied in and out, so nothing needs to be aligned. */
#include "loop/ipc_internal.h"

#include <string.h>

struct rule {
	unsigned from, to;
	size_t min, max;
	unsigned fds;
	unsigned flags;
};

static const struct rule rules[IPC_FRAME_COUNT] = {
#define X(name, from, to, min, max, fds, flags) [IPC_##name] = {from, to, min, max, fds, flags},
	IPC_FRAMES(X)
#undef X
};

static const char *const frame_names[IPC_FRAME_COUNT] = {
#define X(name, from, to, min, max, fds, flags) [IPC_##name] = #name,
	IPC_FRAMES(X)
#undef X
};

static const char *const role_names[IPC_ROLE_COUNT] = {
	[IPC_MASTER] = "master",
	[IPC_FRONT] = "front",
	[IPC_AUTH] = "auth",
	[IPC_WORKER] = "worker",
	[IPC_QUEUE] = "queue",
	[IPC_RELAY] = "relay",
	[IPC_DELIVER] = "deliver",
	[IPC_JOURNAL] = "journal",
	[IPC_PROVIDER] = "provider",
	[IPC_FETCH] = "fetch",
	[IPC_CLI] = "cli",
};

const char *ipc_role_name(enum ipc_role role)
{
	BASE_BUG_IF((unsigned)role >= IPC_ROLE_COUNT);
	return role_names[role];
}

const char *ipc_frame_name(enum ipc_frame_type type)
{
	BASE_BUG_IF((unsigned)type >= IPC_FRAME_COUNT);
	return frame_names[type];
}

bool ipc_frame_is_secret(enum ipc_frame_type type)
{
	return rules[type].flags & IPC_WIPED;
}

bool ipc_frame_fds_optional(enum ipc_frame_type type)
{
	return rules[type].fds & IPC_FDS_OPTIONAL;
}

const char *ipc_frame_judge(enum ipc_role from, enum ipc_role to, const struct ipc_header *header,
	size_t body_len, unsigned fd_count)
{
	const struct rule *rule;
	unsigned fds;

	if (header->type >= IPC_FRAME_COUNT)
		return "unknown frame type";
	if (header->reserved != 0)
		return "reserved bits are set";
	rule = &rules[header->type];
	if (!(rule->from & (1u << from)))
		return "frame is not the sender's to send";
	if (!(rule->to & (1u << to)))
		return "frame is not for the receiver";
	if (body_len < rule->min)
		return "frame is too short";
	if (body_len > rule->max)
		return "frame is too long";
	fds = rule->fds & ~(unsigned)IPC_FDS_OPTIONAL;
	if (fd_count != fds && !(fd_count == 0 && (rule->fds & IPC_FDS_OPTIONAL)))
		return "frame has the wrong number of descriptors";
	return NULL;
}

const char *ipc_frame_check(
	enum ipc_role from, enum ipc_role to, struct base_slice raw, unsigned fd_count)
{
	struct ipc_header header;

	if (raw.len < sizeof(header))
		return "frame is shorter than its header";
	if (raw.len > IPC_FRAME_MAX_BYTES)
		return "frame is too long";
	memcpy(&header, raw.ptr, sizeof(header));
	return ipc_frame_judge(from, to, &header, raw.len - sizeof(header), fd_count);
}

void ipc_begin(struct base_buf *b, enum ipc_frame_type type, uint32_t id)
{
	struct ipc_header header = {.type = (uint16_t)type, .id = id};

	base_buf_clear(b);
	base_buf_append(b, &header, sizeof(header));
}

void ipc_put_u8(struct base_buf *b, uint8_t v)
{
	base_buf_append(b, &v, sizeof(v));
}

void ipc_put_u16(struct base_buf *b, uint16_t v)
{
	base_buf_append(b, &v, sizeof(v));
}

void ipc_put_u32(struct base_buf *b, uint32_t v)
{
	base_buf_append(b, &v, sizeof(v));
}

void ipc_put_u64(struct base_buf *b, uint64_t v)
{
	base_buf_append(b, &v, sizeof(v));
}

void ipc_put_i64(struct base_buf *b, int64_t v)
{
	base_buf_append(b, &v, sizeof(v));
}

void ipc_put_bytes(struct base_buf *b, struct base_slice v)
{
	/* More than a frame can hold: the overflow mark must be set, not the length cut. */
	if (v.len > UINT32_MAX) {
		b->overflow = true;
		return;
	}
	ipc_put_u32(b, (uint32_t)v.len);
	base_buf_append_slice(b, v);
}

void ipc_put_text(struct base_buf *b, const char *v)
{
	ipc_put_bytes(b, base_slice_text(v));
}

struct ipc_reader ipc_reader_make(struct base_slice body)
{
	return (struct ipc_reader){.rest = body};
}

static void take(struct ipc_reader *r, void *out, size_t len)
{
	if (r->bad || r->rest.len < len) {
		r->bad = true;
		memset(out, 0, len);
		return;
	}
	memcpy(out, r->rest.ptr, len);
	r->rest.ptr += len;
	r->rest.len -= len;
}

uint8_t ipc_get_u8(struct ipc_reader *r)
{
	uint8_t v;

	take(r, &v, sizeof(v));
	return v;
}

uint16_t ipc_get_u16(struct ipc_reader *r)
{
	uint16_t v;

	take(r, &v, sizeof(v));
	return v;
}

uint32_t ipc_get_u32(struct ipc_reader *r)
{
	uint32_t v;

	take(r, &v, sizeof(v));
	return v;
}

uint64_t ipc_get_u64(struct ipc_reader *r)
{
	uint64_t v;

	take(r, &v, sizeof(v));
	return v;
}

int64_t ipc_get_i64(struct ipc_reader *r)
{
	int64_t v;

	take(r, &v, sizeof(v));
	return v;
}

struct base_slice ipc_get_bytes(struct ipc_reader *r)
{
	uint32_t len = ipc_get_u32(r);
	struct base_slice out;

	if (r->bad || r->rest.len < len) {
		r->bad = true;
		return BASE_SLICE_EMPTY;
	}
	out = base_slice_make(r->rest.ptr, len);
	r->rest.ptr += len;
	r->rest.len -= len;
	return out;
}

bool ipc_reader_done(const struct ipc_reader *r)
{
	return !r->bad && r->rest.len == 0;
}
