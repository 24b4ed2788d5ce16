/* journal/core.h: which lines the log gets
 * Job      records in, lines out; the same warning again and again becomes one line with a count
 * Not      writing them (main.c), the event store (loop/events.h)
 * Trust    records come from other processes: what is no record is counted and dropped
 * Memory   one struct and one buffer of lines; lines that do not fit are counted and reported later */
#ifndef JOURNAL_CORE_H
#define JOURNAL_CORE_H

#include "base/buf.h"

#define JOURNAL_OUT_MAX_BYTES (1024 * 1024)
#define JOURNAL_REPEAT_SLOTS 64
#define JOURNAL_REPEAT_MS 10000
#define JOURNAL_REPEAT_SHOWN 3 /* times that a line is printed before repeats are only counted */
#define JOURNAL_LINE_KEPT_BYTES 1024

/* A warning or error that was printed; repeats are counted until its time is over. */
struct journal_repeat {
	uint64_t hash; /* 0: the slot is free */
	int64_t until_ms;
	uint32_t seen;
	uint32_t count; /* not printed */
	uint16_t len;
	uint8_t line[JOURNAL_LINE_KEPT_BYTES];
};

struct journal_core {
	bool json;
	struct base_buf out; /* lines to be written; the shell consumes them */
	uint64_t lines, lost, broken;
	uint64_t lost_told;
	unsigned watched; /* slots of repeats in use */
	struct journal_repeat repeats[JOURNAL_REPEAT_SLOTS];
};

void journal_core_init(struct journal_core *core);
void journal_core_release(struct journal_core *core);
void journal_core_record(struct journal_core *core, struct base_slice record, int64_t now_ms);
/* Report repeats whose time is over (@all: every one), and what was lost. */
void journal_core_tick(struct journal_core *core, int64_t now_ms, bool all);
/* Until tick() has something to do; -1: nothing waits. */
int64_t journal_core_wait_ms(const struct journal_core *core, int64_t now_ms);

#endif
