#!/bin/sh
# The commands that need no server, as a person would call them. usage: test_commands.sh POSTERN
postern=$(realpath "$1")
dir=$(mktemp -d) || exit 1
chmod 755 "$dir"
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
unset POSTERN_CONF

# A file, as the functions run in pipelines.
fault() { echo "FAULT: $*" | tee -a faults >&2; }
# status STATUS COMMAND…: run it with out and err captured, compare the exit status.
status() {
	want=$1; shift
	"$postern" "$@" >out 2>err
	got=$?
	[ "$got" = "$want" ] || fault "postern $*: exit $got instead of $want: $(cat err)"
}
says() { grep -q -e "$1" out err || fault "nothing says \"$1\": $(cat out err)"; }

status 2 usr; says 'did you mean "user"?'
status 2 user ad anna; says 'did you mean add?'
status 2 user list --jsn; says 'did you mean --json?'
status 2 account test; says 'needs a NAME'
status 2 send --server a:1 --token-stdin; says 'needs --user'
status 2 send --server a:1 --cert x; says 'key FILE is missing'
status 2 probe; says 'missing'
status 2 probe a:b; says 'HOST:PORT'
status 75 probe 127.0.0.1:1; says 'refused'
status 0 --version; says '^postern [0-9]'
status 0 user --help; says '^usage: postern user'

printf 'any carnal pleas' | status 0 base64 -e; says '^YW55IGNhcm5hbCBwbGVhcw==$'
printf 'YW55\r\nIGNh\n' | status 0 base64 -d; says '^any ca$'
printf 'YW55 IGNh' | status 1 base64 -d; says 'offset 4'
[ -s out ] && fault "base64 -d wrote in spite of an error"
printf 'a+b=c' | status 0 xtext -e; says '^a+2Bb+3Dc$'
printf 'a+2Bb+3Dc' | status 0 xtext -d; says '^a+b=c$'
printf 'a+2' | status 1 xtext -d; says 'offset 1'
status 2 base64; says 'give -e to encode or -d to decode'

status 0 init --hostname mail.example.org --dir D; says 'shown this once'
status 1 init --hostname mail.example.org --dir D; says 'nothing is overwritten'
status 0 check -c D/postern.conf; says '^D/postern.conf: ok$'
[ "$(stat -c %a D/privkey.pem)" = 600 ] || fault "the key can be read by others"
sed 's/listener/listner/' D/postern.conf >D/bad.conf
status 1 -c D/bad.conf check; says '^D/bad.conf:[0-9]*: unknown section "listner"; did you mean "listener"?$'
status 1 check -c D/none.conf; says 'cannot read the configuration'
openssl ecparam -genkey -name prime256v1 -noout -out D/privkey.pem 2>/dev/null &&
	{ status 1 check -c D/postern.conf; says '^D/postern.conf:[0-9]*: '; }

export POSTERN_CONF="$dir/D/postern.conf"
echo secret | status 0 user add anna --password-stdin --send-as anna@example.org
echo secret | status 1 user add anna --password-stdin; says 'exists already'
echo secret | status 0 user test --password-stdin anna
echo Secret | status 1 user test anna --password-stdin; says 'rejected'
status 0 user add anna --app phone; says 'password of anna for "phone", shown this once'
status 0 user passwd anna --limit 5/hour
status 0 user show anna; says '^limit *5/hour$'; says 'anna@example.org'; says 'phone'
status 0 user list --json; says '"name":"anna"'
status 0 user list --without CRAM-MD5; says '^anna '
status 0 user remove anna --app phone
status 0 user remove anna
status 1 user show anna
status 2 user show; says 'needs a NAME'
echo pw | status 0 account add prov --url smtps://smtp.example.org --user robot --password-stdin
status 0 account list; says '^prov '
status 0 account remove prov
status 0 sender list; says 'no lines yet'
status 0 sender add Anna@example.org --account prov; says '^anna@example.org: added, account prov$'
says 'no account "prov" yet'; says 'no route of .* goes by sender'
status 1 sender add anna@example.org --account other; says '"anna@example.org" is in the sender table already, for account prov; --replace'
status 0 sender add anna@example.org --account other --replace; says 'changed, account other'
status 0 sender add 'anna+*@example.org' --account plus
status 1 sender add anna --account other; says '"anna" has no @: write user@example.org'
status 2 sender add anna@example.org; says 'needs --account NAME'
status 2 sender remove; says 'needs an ADDRESS'
status 0 sender list; says '^anna@example.org  *other  *20'
status 0 sender list --json; says '{"senders":\[{"address":"anna+\*@example.org","account":"plus","created":"20'
status 0 sender test anna+x@example.org; says 'line anna+\*@example.org, account plus'
status 1 sender test bert@example.org; says 'no line'
status 0 sender test '<>' --recipient anna@example.org; says 'line anna@example.org, account other'
status 2 sender list --recipient x@example.org; says 'for test only'
status 1 sender test bert@example.org --json; says '"address":null,"account":null'
status 0 sender remove ANNA@example.org; says 'removed, account other'
status 1 sender remove anna@example.org; says 'postern sender list shows'
status 0 queue list; says 'the queue is empty'
status 0 queue list --json; says '^\[\]$'
status 0 queue stats; says '^messages *0$'
status 1 queue show 0123456789abcdef
status 2 queue hold; says 'needs an ID'
status 1 status; says 'stopped'
[ "$(find D/data D/run -user 0 | wc -l)" = 0 ] || [ "$(id -u)" != 0 ] ||
	fault "root owns what the server has to: $(find D/data D/run -user 0)"
[ ! -s faults ]
