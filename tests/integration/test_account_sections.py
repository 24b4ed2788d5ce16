"""Accounts whose client certificate and authorities stand in a section: the master reads them, since they may be root's,
auth keeps them, relay gets them for one handshake."""

import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import threading

import pytest

from peer import server_context
from postern import Authority, Server, message, open_to_roles, wait_for


class Peer:
    """Takes mail from whoever shows a certificate of ours and says AUTH EXTERNAL."""

    def __init__(self, context):
        self.context, self.messages, self.logins = context, [], []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        with contextlib.suppress(OSError), self.context.wrap_socket(sock, server_side=True) as tls, \
                tls.makefile("rwb", buffering=0) as lines:
            lines.write(b"220 peer ESMTP\r\n")
            while line := lines.readline().decode().rstrip():
                if line.startswith("EHLO"):
                    lines.write(b"250-peer\r\n250 AUTH EXTERNAL PLAIN\r\n")
                elif line.startswith("AUTH"):
                    self.logins.append(line)
                    lines.write(b"235 2.7.0 as the certificate says\r\n")
                elif line == "DATA":
                    lines.write(b"354 go\r\n")
                    body = b""
                    while not body.endswith(b"\r\n.\r\n"):
                        body += lines.readline()
                    self.messages.append(body)
                    lines.write(b"250 2.0.0 taken\r\n")
                else:
                    lines.write(b"250 ok\r\n")

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def authority(tmp_path):
    """Nobody else trusts it."""
    authority = Authority(tmp_path / "own")
    open_to_roles(authority.folder)
    return authority


@pytest.fixture
def peer(authority):
    context = server_context(*authority.issue("smarthost"))
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    peer = Peer(context)
    yield peer
    peer.close()


def client_pair(authority, name="client"):
    certificate, key = authority.issue(name)
    os.chmod(key, 0o600)
    return certificate, key


def section(peer, authority, certificate, key, more=""):
    return (f'account certain {{ url = "smtps://localhost:{peer.port}"  certificate = "{certificate}"  key = "{key}"  '
            f'ca = "{authority.ca}" {more} }}\n')


def submit(server, subject="test"):
    with server.smtp(login=("anna@example.org", "correct horse")) as client:
        client.sendmail("anna@example.org", ["bob@example.net"], message(subject))


def wait_taken(server, peer, count):
    wait_for(lambda: len(peer.messages) >= count, lambda: f"message {count}\n{server.log_text()[-4000:]}")


def routes():
    return 'route "*" { via = "account:certain" }'


def test_certificate_of_a_section(tmp_path, authority, peer):
    certificate, key = client_pair(authority)
    os.chmod(authority.ca, 0o600)
    with Server(tmp_path, routes=routes(), extra=section(peer, authority, certificate, key)) as server:
        submit(server)
        wait_taken(server, peer, 1)
        assert peer.logins == ["AUTH EXTERNAL ="]
        # What cannot be used is named with its line, and what was read before serves on, for new connections too.
        good = key.read_bytes()
        shutil.copy(authority.issue("other")[1], key)
        server.process.send_signal(signal.SIGHUP)
        line = server.wait_log('account "certain": certificate')
        assert re.search(rf"{re.escape(str(server.conf))}:\d+: account \"certain\"", line) and "stays in use" in line
        for pid in server.pids("relay"):
            os.kill(pid, signal.SIGKILL)
        submit(server)
        wait_taken(server, peer, 2)
        # A new auth has nothing then: mail waits and says why, until the pair is whole again.
        for role in ("auth", "relay"):
            for pid in server.pids(role):
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: server.pids("auth") and server.pids("relay"), "them to be back")
        submit(server)

        def reason():
            entries = server.json("queue", "list")
            return entries and (entries[0]["reason"] or entries[0]["recipients"][0]["reason"])

        wait_for(reason, lambda: f"a reason\n{server.log_text()[-4000:]}")
        assert len(peer.messages) == 2
        key.write_bytes(good)
        server.process.send_signal(signal.SIGHUP)
        wait_taken(server, peer, 3)


def test_section_appears_and_goes(tmp_path, authority, peer):
    certificate, key = client_pair(authority)
    with Server(tmp_path, routes=routes()) as server:
        submit(server)
        wait_for(lambda: server.json("queue", "list") and server.json("queue", "list")[0]["reason"],
                 lambda: f"a reason\n{server.log_text()[-4000:]}")
        server.write_conf(extra=section(peer, authority, certificate, key))
        server.process.send_signal(signal.SIGHUP)
        wait_taken(server, peer, 1)
        server.write_conf(extra="")
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: server.json("account", "list")["accounts"] == [], "an empty list")
        submit(server)
        wait_for(lambda: server.json("queue", "list") and server.json("queue", "list")[0]["reason"], "a reason")
        assert len(peer.messages) == 1


def test_certificate_of_the_vault(tmp_path, authority, peer):
    certificate, key = client_pair(authority)
    with Server(tmp_path, routes=routes()) as server:
        server.run("account", "add", "certain", "--url", f"smtps://localhost:{peer.port}", "--cert", certificate, "--key", key,
                   "--ca", authority.ca)
        submit(server)
        wait_taken(server, peer, 1)
        # A section of the same name wins where it says something: this one names somebody to be.
        server.write_conf(extra=section(peer, authority, certificate, key, 'user = "carl"'))
        server.process.send_signal(signal.SIGHUP)
        server.wait_log("read again")
        submit(server)
        wait_taken(server, peer, 2)
        assert peer.logins == ["AUTH EXTERNAL =", "AUTH EXTERNAL Y2FybA=="]


def test_section_without_a_secret(tmp_path, peer):
    extra = f'account certain {{ url = "smtps://localhost:{peer.port}"  user = "anna" }}'
    with Server(tmp_path, routes=routes(), extra=extra) as server:
        row = server.json("account", "list")["accounts"][0]
        assert row["secret"] is None and row["source"] == "configuration"
        submit(server)
        wait_for(lambda: server.json("queue", "list") and server.json("queue", "list")[0]["reason"],
                 lambda: f"a reason\n{server.log_text()[-4000:]}")
        assert peer.messages == []
