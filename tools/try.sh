#!/bin/sh
# Start a server on loopback that needs no configuration, submit one message over TLS with
# SCRAM-SHA-256-PLUS, and show the dialogue and the delivered message.
set -eu
cd "$(dirname "$0")/.."
build=$(cd "${1:-build}" && pwd)
work=$(mktemp -d)
server=
cleanup() {
    if [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then
        kill "$server"
        wait "$server" || true
    fi
    rm -rf "$work"
}
trap cleanup EXIT INT TERM
cd "$work"

port=$((10000 + $$ % 10000 * 2))
"$build/postern" try --port $port >server.log 2>&1 &
server=$!
waited=0
until grep -q 'postern: ready' server.log; do
    if ! kill -0 $server 2>/dev/null || [ $waited -ge 300 ]; then
        echo "the server did not start:" >&2
        cat server.log >&2
        exit 1
    fi
    waited=$((waited + 1))
    sleep 0.1
done

echo "== a message from try@example.org to you@example.net, TLS and SCRAM-SHA-256-PLUS on port $port"
echo
printf 'try\n' >password
cat >message <<'EOF'
From: try@example.org
To: you@example.net
Subject: it works

Submitted with a proof instead of a password.
EOF
"$build/postern" send --server "127.0.0.1:$port" --tls starttls --ca postern-try/cert.pem \
    --auth SCRAM-SHA-256-PLUS --user try --password-stdin --from try@example.org --to you@example.net \
    --trace message <password

waited=0
until [ -n "$(ls postern-try/maildir/new 2>/dev/null)" ]; do
    [ $waited -lt 100 ] || { echo "nothing was delivered:" >&2; cat server.log >&2; exit 1; }
    waited=$((waited + 1))
    sleep 0.1
done
echo
echo "== delivered to ./postern-try/maildir:"
echo
cat postern-try/maildir/new/*
grep -q '^Received:' postern-try/maildir/new/*
tr '\n' ' ' <"$(ls -d postern-try/maildir/new/* | head -1)" | grep -q 'with ESMTPSA'
