/* bench-sink: where measured servers relay to. Counts messages and throws them away. */
#include "dialogue.h"

int main(int argc, char **argv)
{
	return bench_dialogue_main(argc, argv, false);
}
