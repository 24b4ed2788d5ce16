#include "cli/rows.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { COLUMNS = 78 };

/* Signs that a terminal shows, where each character is one wide. */
static int width(struct base_slice s)
{
	int n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += (s.ptr[i] & 0xc0) != 0x80;
	return n;
}

void cli_print_row(const char *label, int margin, int at, struct base_slice text)
{
	struct base_slice word;
	int column = at;
	bool first = true;

	printf("%*s%-*s", margin, "", at - margin, label);
	if ((int)strlen(label) >= at - margin)
		printf("\n%*s", at, "");
	while ((word = base_slice_word(&text)).len) {
		int wide = width(word);

		if (!first && column + 1 + wide > COLUMNS) {
			printf("\n%*s", at, "");
			column = at;
		} else if (!first) {
			putchar(' ');
			column++;
		}
		fwrite(word.ptr, 1, word.len, stdout);
		column += wide;
		first = false;
	}
	putchar('\n');
}

int cli_terminal_columns(void)
{
	struct winsize size;

	return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col
										     : 0;
}

static size_t blanks(struct base_slice s)
{
	size_t n = 0;

	while (n < s.len && s.ptr[n] == ' ')
		n++;
	return n;
}

/* Up to the next two blanks, or the end. */
static struct base_slice field_of(struct base_slice s)
{
	const uint8_t *end = s.len ? memmem(s.ptr, s.len, "  ", 2) : NULL;

	return end ? base_slice_first(s, (size_t)(end - s.ptr)) : s;
}

void cli_print_line(struct base_slice line, int at)
{
	int columns = cli_terminal_columns(), column = 0;

	while (line.len) {
		size_t gap = blanks(line);
		struct base_slice rest = base_slice_from(line, gap);
		struct base_slice word = base_slice_first(rest, base_slice_find(rest, ' '));
		int wide = width(word), field = width(field_of(rest));

		/* What belongs together stays together where it fits a line at all. */
		if (gap > 1 && field <= columns - at)
			wide = field;
		if (columns && column > at && column + (int)gap + wide > columns) {
			printf("\n%*s", at, "");
			column = at;
		} else {
			printf("%*s", (int)gap, "");
			column += (int)gap;
		}
		fwrite(word.ptr, 1, word.len, stdout);
		column += width(word);
		line = base_slice_from(rest, word.len);
	}
	putchar('\n');
}
