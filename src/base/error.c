#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

BASE_PRINTF(4, 0)
static void fill(struct base_error *err, enum base_error_class class, int code, const char *format,
	va_list args)
{
	if (!err)
		return;
	err->class = class;
	err->code = code;
	vsnprintf(err->text, sizeof(err->text), format, args);
}

int base_error_set(
	struct base_error *err, enum base_error_class class, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fill(err, class, code, format, args);
	va_end(args);
	return class;
}

int base_error_errno(
	struct base_error *err, enum base_error_class class, int code, const char *format, ...)
{
	va_list args;
	size_t len;

	if (code == ENOSPC || code == EDQUOT)
		class = BASE_ERROR_NO_SPACE;
	va_start(args, format);
	fill(err, class, code, format, args);
	va_end(args);
	if (err) {
		len = strlen(err->text);
		snprintf(err->text + len, sizeof(err->text) - len, ": %s", strerror(code));
	}
	return class;
}
