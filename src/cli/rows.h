/* cli/rows.h: labelled text within a terminal's width */
#ifndef CLI_ROWS_H
#define CLI_ROWS_H

#include "base/slice.h"

/* "  label       text": @margin blanks, the label, the text from column @at on; its further lines begin there
 * too, and none is longer than 78 columns but for words that are. A label that needs more room gets a line
 * of its own. @text is safe to print; any white space parts words. */
void cli_print_row(const char *label, int margin, int at, struct base_slice text);

/* Columns of the terminal that standard output is; 0: nobody looks. */
int cli_terminal_columns(void);

/* @line as it is; on a terminal no longer than that is wide but for words that are, its further lines
 * beginning at column @at. What two blanks part is kept together where it fits. @line is safe to print. */
void cli_print_line(struct base_slice line, int at);

#endif
