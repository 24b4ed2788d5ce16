/* cli/rows.h: labelled text within a terminal's width */
#ifndef CLI_ROWS_H
#define CLI_ROWS_H

#include "base/slice.h"

/* "  label       text": @margin blanks, the label, the text from column @at on; its further lines begin there
 * too, and none is longer than 78 columns but for words that are. A label that needs more room gets a line
 * of its own. @text is safe to print; any white space parts words. */
void cli_print_row(const char *label, int margin, int at, struct base_slice text);

#endif
