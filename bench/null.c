/* bench-null: the upper bound. TLS, AUTH PLAIN and the dialogue of a message, and nothing else:
 * what no submission server can be cheaper than. */
#include "dialogue.h"

int main(int argc, char **argv)
{
	return bench_dialogue_main(argc, argv, true);
}
