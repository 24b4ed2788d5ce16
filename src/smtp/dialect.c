#include "smtp/dialect.h"

static const struct smtp_reply usual[] = {
#define X(name, code, enhanced, text) [SMTP_SAY_##name] = {code, enhanced, text},
	SMTP_SAYINGS(X)
#undef X
};
static_assert(BASE_COUNT(usual) == SMTP_SAY_COUNT, "words for each saying");

struct smtp_reply smtp_dialect_say(const struct smtp_dialect *dialect, enum smtp_saying what)
{
	if (dialect && dialect->words && dialect->words[what].code)
		return dialect->words[what];
	return usual[what];
}
