#include "cli/rows.h"

#include <stdio.h>
#include <string.h>

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
