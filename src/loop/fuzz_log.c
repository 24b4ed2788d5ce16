/* Records of other processes: stepping ends, lines are one line, JSON is JSON. */
#include "loop/log.h"

#include <jansson.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_record(struct base_slice record)
{
	struct log_event event;
	struct log_field field;
	struct base_buf out;
	json_t *json;

	base_buf_init(&out, 1 << 20);
	if (log_event_parse(record, &event)) {
		while (log_event_next(&event, &field))
			BASE_BUG_IF(field.key >= LOG_KEY_COUNT);
		BASE_BUG_IF(!log_format_text(record, &out));
		if (event.kind != LOG_KIND_DIALOGUE)
			BASE_BUG_IF(base_slice_has(base_buf_slice(&out), '\n'));
		BASE_BUG_IF(base_slice_has(base_buf_slice(&out), 0x1b));
		base_buf_clear(&out);
		BASE_BUG_IF(!log_format_json(record, &out));
		json = json_loadb((const char *)out.ptr, out.len, 0, NULL);
		BASE_BUG_IF(!json);
		json_decref(json);
	} else {
		BASE_BUG_IF(log_format_text(record, &out) || out.len);
	}
	base_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base_slice rest = base_slice_make(data, size), record;

	check_record(rest);
	while (log_frame_next(&rest, &record))
		check_record(record);
	return 0;
}
