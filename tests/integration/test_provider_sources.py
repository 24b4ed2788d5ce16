"""Users who live elsewhere: files, checkpassword programs and a saslauthd that misbehaves, behind a whole server."""

import os
import pathlib
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from postern import open_to_roles, wait_for
from providers import login, send, serve

# ---- files ----

def test_file_serves_all_mechanisms(tmp_path):
    users = tmp_path / "users"
    users.write_text("cora@example.org:{PLAIN}clear text\nhash@example.org:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n")
    with serve(tmp_path, f'type = "file"  path = "{users}"  format = "passwd"') as server:
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"):
            assert send(server, mechanism, "cora@example.org", "clear text") == 0, mechanism
            assert send(server, mechanism, "cora@example.org", "clear  text") == 1, mechanism
        assert send(server, "PLAIN", "hash@example.org", "test") == 0
        assert send(server, "CRAM-MD5", "hash@example.org", "test") == 1
        assert login(server, "nobody@example.org", "test") == "535"
        assert login(server, "anna@example.org", "correct horse") == "235"


def test_file_is_followed(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    users = place / "users"
    users.write_text("cora@example.org:{PLAIN}one\n")
    with serve(tmp_path, f'type = "file"  path = "{users}"  format = "passwd"') as server:
        assert login(server, "cora@example.org", "one") == "235"
        (place / "new").write_text("cora@example.org:{PLAIN}two\n")
        (place / "new").rename(users)
        # The old one was in the cache.
        wait_for(lambda: login(server, "cora@example.org", "one") == "535", "the old password to end", 3)
        assert login(server, "cora@example.org", "two") == "235"
        users.unlink()
        wait_for(lambda: login(server, "cora@example.org", "two") == "454", "454 without the file", 5)
        assert login(server, "anna@example.org", "correct horse") == "235"
        assert login(server, "nobody@example.org", "x") == "454"
        server.wait_log(r'provider "other": cannot open ".*users".*No such file')
        users.write_text("cora@example.org:{PLAIN}three\n")
        wait_for(lambda: login(server, "cora@example.org", "three") == "235", "the file to be back", 5)
        server.wait_log(r'provider "other": ".*users" can be read again')


def test_file_behind_a_link_that_moves(tmp_path):
    for name in "one", "two":
        (tmp_path / name).mkdir()
        (tmp_path / name / "users").write_text(f"cora@example.org:{{PLAIN}}{name}\n")
    link = tmp_path / "current"
    link.symlink_to(tmp_path / "one")
    with serve(tmp_path, f'type = "file"  path = "{link}/users"  format = "passwd"') as server:
        assert login(server, "cora@example.org", "one") == "235"
        (tmp_path / "next").symlink_to(tmp_path / "two")
        (tmp_path / "next").rename(link)
        wait_for(lambda: login(server, "cora@example.org", "two") == "235", "the other directory", 10)
        wait_for(lambda: login(server, "cora@example.org", "one") == "535", "the old password to end", 5)


def test_reload_changes_the_source(tmp_path):
    for name in "one", "two":
        (tmp_path / name).write_text(f"cora@example.org:{{PLAIN}}{name}\n")
    with serve(tmp_path, f'type = "file"  path = "{tmp_path}/one"  format = "passwd"') as server:
        assert login(server, "cora@example.org", "one") == "235"
        server.write_conf(extra=f'provider other {{ type = "file"  path = "{tmp_path}/two"  format = "passwd" }}')
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: login(server, "cora@example.org", "two") == "235", "the new file to be asked", 10)
        assert login(server, "cora@example.org", "one") == "535"


def test_a_killed_provider_comes_back(tmp_path):
    users = tmp_path / "users"
    users.write_text("cora@example.org:{PLAIN}one\ndora@example.org:{PLAIN}two\n")
    with serve(tmp_path, f'type = "file"  path = "{users}"  format = "passwd"') as server:
        assert login(server, "cora@example.org", "one") == "235"
        for pid in server.pids("provider"):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: login(server, "dora@example.org", "two") == "235", "the provider to be back", 6)


# ---- checkpassword ----

CHECKER = """#!/bin/sh
cd "${0%/*}/state"
login=$(tr '\\0' ':' <&3)
echo "$TCPREMOTEIP $PROTO $#" >>seen
case "$login" in
ext@example.org:outside::) exec "$@" ;;
slow@example.org:*) sleep 30 & wait ;;
temp@example.org:*) exit 111 ;;
crash@example.org:*) kill -9 $$ ;;
chatty@example.org:*) echo "chatty and $(printf '\\033')[31m rude" >&2; exit 1 ;;
esac
exit 1
"""


@pytest.fixture
def checker(tmp_path):
    script = tmp_path / "checker"
    script.write_text(CHECKER)
    script.chmod(0o755)
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)
    return script


def test_checkpassword(tmp_path, checker):
    with serve(tmp_path, f'type = "checkpassword"  command = {{"{checker}", "/bin/true"}}') as server:
        assert login(server, "ext@example.org", "outside") == "235"
        assert (tmp_path / "state" / "seen").read_text() == "127.0.0.1 TCP 1\n"
        assert login(server, "ext@example.org", "inside") == "535"
        assert login(server, "temp@example.org", "x") == "454"
        assert login(server, "crash@example.org", "x") == "454"
        assert login(server, "chatty@example.org", "x") == "535"
        line = server.wait_log("chatty and")
        assert "\\x1b" in line and "\033" not in server.log_text()
        assert login(server, "anna@example.org", "correct horse") == "235"
        assert login(server, "x" * 300 + "@example.org", "y" * 300) == "535"


def test_checkpassword_hangs(tmp_path, checker):
    with serve(tmp_path, f'type = "checkpassword"  command = {{"{checker}", "/bin/true"}}') as server:
        begin = time.monotonic()
        others = []
        slow = threading.Thread(target=lambda: others.append(login(server, "slow@example.org", "x")))
        slow.start()
        assert login(server, "ext@example.org", "outside") == "235"
        assert time.monotonic() - begin < 5
        slow.join(30)
        assert others == ["454"] and time.monotonic() - begin < 15
        alive = subprocess.run(["pgrep", "-f", str(checker)], stdout=subprocess.PIPE).stdout
        assert alive == b""
        assert login(server, "ext@example.org", "outside") == "235"


def test_true_is_no_checker(tmp_path, checker):
    """The configuration refuses it; under another name the program that was asked for is what it is."""
    server = serve(tmp_path, 'type = "checkpassword"  command = {"/bin/true", "/bin/true"}')
    done = server.run("check", "-c", server.conf, check=False)
    assert done.returncode == 1 and "accepts every password" in done.stdout + done.stderr


def test_challenges_go_to_the_checker(tmp_path):
    script = tmp_path / "checker"
    script.write_text('''#!/usr/bin/python3 -I
import hmac, os, sys
login, digest, challenge, rest = os.read(3, 513).split(b"\\0")
right = hmac.new(b"outside", challenge, "md5").hexdigest().encode() == digest
os.execv(sys.argv[1], sys.argv[1:]) if right else sys.exit(1)
''')
    script.chmod(0o755)
    with serve(tmp_path, f'type = "checkpassword"  command = {{"{script}", "/bin/true"}}') as server:
        assert send(server, "CRAM-MD5", "ext@example.org", "outside") == 0
        assert send(server, "CRAM-MD5", "ext@example.org", "inside") == 1


# ---- saslauthd ----

class Daemon:
    """A saslauthd that lets "geheim" in, and has its ways with other passwords."""

    def __init__(self, path):
        self.path, self.requests = pathlib.Path(path), []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.path.chmod(0o777)
        self.listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        strings = []
        with connection, connection.makefile("rb") as stream:
            for _ in range(5):
                strings.append(stream.read(struct.unpack(">H", stream.read(2))[0]))
            self.requests.append(strings)
            if strings[1] == b"hang":
                time.sleep(60)
            elif strings[1] == b"slowly":
                for byte in b"\0\2OK":
                    time.sleep(0.2)
                    connection.sendall(bytes([byte]))
            elif strings[1] == b"nonsense":
                connection.sendall(b"\xff\xff" + b"x" * 5000)
            elif strings[1] != b"close":
                connection.sendall(b"\0\2OK" if strings[1] == b"geheim" else b"\0\2NO")


def test_saslauthd(tmp_path):
    mux = tmp_path / "mux"
    with serve(tmp_path, f'type = "saslauthd"  path = "{mux}"  service = "submit"',
               providers='"other", "store"') as server:
        assert login(server, "cora@example.org", "geheim") == "454"
        daemon = Daemon(mux)
        assert login(server, "cora@example.org", "geheim") == "235"
        assert daemon.requests[-1][:4] == [b"cora", b"geheim", b"submit", b"example.org"]
        assert daemon.requests[-1][4].startswith(b"127.0.0.1;")
        assert login(server, "dora@example.org", "slowly") == "235"
        assert login(server, "dora@example.org", "wrong") == "535"
        assert login(server, "dora@example.org", "close") == "454"
        assert login(server, "dora@example.org", "nonsense") == "454"
        assert login(server, "anna@example.org", "correct horse") == "235"
        begin = time.monotonic()
        assert login(server, "dora@example.org", "hang") == "454"
        assert 6 < time.monotonic() - begin < 15
