#!/bin/sh
# Every command that postern --help lists has a manual page with all of its options, and a --help.
# usage: test_commands.sh POSTERN DIRECTORY
postern=$1 dir=$2 faults=0

fault() { echo "$*" >&2; faults=$((faults + 1)); }

lines=$("$postern" --help | wc -l)
[ "$lines" -le 24 ] || fault "postern --help has $lines lines; a screen has 24"
commands=$("$postern" --help | sed -n '/^usage/,/^  -c/s/^  \([a-z0-9]*\) .*/\1/p')
[ -n "$commands" ] || fault "postern --help lists no command"
for command in $commands; do
	page=$dir/postern-$command.1.scd
	[ -f "$page" ] || { fault "no manual page for $command"; continue; }
	help=$("$postern" "$command" --help) || fault "postern $command --help fails"
	echo "$help" | grep -q '^usage: postern' || fault "postern $command --help shows no usage"
	for option in $(echo "$help" | grep -v 'not available' | sed -n 's/^  \(-[-a-z0-9]*\).*/\1/p'); do
		grep -q -e "\*$option\*" "$page" || fault "$page says nothing of $option"
	done
done
exit $((faults != 0))
