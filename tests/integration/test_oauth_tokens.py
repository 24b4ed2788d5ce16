"""The life of an account's OAuth tokens in the running server: the real auth, the real fetch, a fake provider."""

import concurrent.futures
import json
import os
import re
import signal
import socket
import sqlite3
import sys
import time

import pytest

from oauth import OAuth
from postern import ROOT, Server, wait_for

TYPES = {name: number for number, name in enumerate(re.findall(
    r"^\tX\((\w+), ", (ROOT / "src/loop/ipc.h").read_text(), re.M))}
BAD = "no token is given to it"
AWAY = "no token can be had for it now"
GOOD = "it has a token again"


class Refused(Exception):
    pass


def u32(n):
    return n.to_bytes(4, sys.byteorder)


def text(value):
    return u32(len(value.encode())) + value.encode()


def control(server, *words, timeout=60):
    """What auth answers to a command, as the command on its control socket would read it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(timeout)
        sock.connect(str(server.folder / "run/control-auth"))
        header = TYPES["CTL_REQUEST"].to_bytes(2, sys.byteorder) + bytes(6)
        sock.sendall(header + u32(len(words)) + b"".join(map(text, words)) + text(""))
        answer = b""
        while True:
            frame = sock.recv(1 << 17)
            assert frame, "auth closed without an answer"
            kind, body = int.from_bytes(frame[:2], sys.byteorder), frame[8:]
            if kind == TYPES["CTL_JSON"]:
                answer += body[4:]
                continue
            assert kind == TYPES["CTL_END"]
            if body[0]:
                raise Refused(body[5:].decode())
            return json.loads(answer)


@pytest.fixture
def provider(tmp_path):
    provider = OAuth(tmp_path / "provider")
    yield provider
    provider.close()


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path)
    with server:
        yield server


def add(server, provider, name="google", *options, **file):
    path = server.folder / f"{name}.json"
    path.write_text(json.dumps(provider.file(ca=True, **file)))
    server.run("account", "add", name, "--url", "smtps://smtp.example.org", "--user", provider.user, "--oauth", path,
               *options)


def token_of(server, name="google"):
    """"token" of account list."""
    rows = [row for row in server.json("account", "list")["accounts"] if row["name"] == name]
    assert len(rows) == 1
    return rows[0]["token"]


def wait_state(server, state, name="google", seconds=20):
    return wait_for(lambda: token_of(server, name)["state"] == state and token_of(server, name),
                    lambda: f"state {state}, have {token_of(server, name)}\n{server.log_text()[-3000:]}", seconds)


def lines(server, what):
    return [line for line in list(server.stderr) if what in line]


def kill_role(server, role):
    """kill -9, and the process that comes after it."""
    old = server.pids(role)
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: server.pids(role) and not set(server.pids(role)) & set(old), f"another {role}")


def test_obtained_unused_and_given(server, provider):
    add(server, provider)
    state = wait_state(server, "valid")
    assert state["reason"] == "" and state["until"].endswith("Z") and state["next"] < state["until"]
    given = control(server, "account", "token", "google")
    assert given["user"] == provider.user and given["kind"] == "oauth" and given["until"] == state["until"]
    assert provider.valid(given["token"]) == provider.user
    # The same one again: nobody is asked.
    count = provider.count["refresh_token"]
    assert control(server, "account", "token", "google") == given
    assert provider.count["refresh_token"] == count
    status = control(server, "status")
    assert (status["tokens_valid"], status["tokens_refused"], status["accounts"]) == (1, 0, [])
    assert given["token"] not in server.log_text()
    control(server, "account", "remove", "google")
    with pytest.raises(Refused, match="google"):
        control(server, "account", "token", "google")
    assert control(server, "status")["tokens_valid"] == 0


def test_client_credentials(server, provider):
    add(server, provider, grant="client_credentials")
    wait_state(server, "valid")
    assert provider.valid(control(server, "account", "token", "google")["token"])


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_signed_assertions(server, provider, kind):
    """auth signs in its sandbox."""
    key, certificate = provider.client_key(kind)
    add(server, provider, grant="client_credentials", client_secret=None, private_key=str(key),
        certificate=str(certificate))
    wait_state(server, "valid")
    assert provider.valid(control(server, "account", "token", "google")["token"])
    first = provider.assertions[-1][1]["jti"]
    add(server, provider, "google", "--replace", grant="jwt_bearer", client_secret=None, private_key=str(key),
        certificate=str(certificate))
    wait_state(server, "valid")
    assert provider.assertions[-1][1]["sub"] == provider.user and provider.assertions[-1][1]["jti"] != first


def test_renewed_ahead_and_over_kill(server, provider):
    """A refresh token works once at this provider: a lost one would be the end."""
    provider.expires_in = 12
    add(server, provider)
    provider.wait_count("refresh_token", 1)
    wait_state(server, "valid")
    # Nobody asks for it.
    provider.wait_count("refresh_token", 2)
    wait_for(lambda: provider.requests[-1].status == 200, "the answer")
    wait_state(server, "valid")
    provider.expires_in = 3600
    kill_role(server, "auth")
    provider.wait_count("refresh_token", 3)
    wait_for(lambda: provider.requests[-1].status == 200, "the answer")
    wait_state(server, "valid")
    assert not lines(server, BAD) and not lines(server, AWAY)
    # What is still good after a restart of everything is not asked for again.
    given = control(server, "account", "token", "google")
    server.stop()
    server.start()
    assert control(server, "account", "token", "google") == given
    assert provider.count["refresh_token"] == 3
    assert given["token"].encode() not in b"".join(p.read_bytes() for p in (server.folder / "data").glob("vault.db*"))


def test_refused(server, provider):
    provider.refuse, provider.refuse_description = "invalid_grant", "Token has been\texpired or revoked."
    add(server, provider)
    state = wait_state(server, "refused")
    assert state["reason"].startswith("invalid_grant: Token has been") and "\t" not in state["reason"]
    assert state["next"]
    for _ in range(3):
        count = provider.count["refresh_token"]
        assert control(server, "account", "retry", "google")["done"] == "tried again"
        provider.wait_count("refresh_token", count + 1)
        wait_state(server, "refused")
    with pytest.raises(Refused, match="invalid_grant: Token has been"):
        control(server, "account", "token", "google")
    status = control(server, "status")
    assert status["tokens_refused"] == 1
    assert [(a["name"], a["state"]) for a in status["accounts"]] == [("google", "refused")]
    assert status["accounts"][0]["reason"] == state["reason"]
    provider.refuse = None
    control(server, "account", "retry")
    wait_state(server, "valid")
    server.wait_log(GOOD)
    assert len(lines(server, BAD)) == 1 and len(lines(server, GOOD)) == 1
    line = lines(server, BAD)[0]
    assert "account=google" in line and "invalid_grant" in line and "--replace" in line and line.startswith("warning")
    with pytest.raises(Refused, match="nowhere"):
        control(server, "account", "retry", "nowhere")


def test_replaced_when_refused(server, provider):
    """What the line in the log tells people to do."""
    add(server, provider)
    wait_state(server, "valid")
    provider.revoke()
    provider.refuse = "invalid_grant"
    add(server, provider, "google", "--replace")
    wait_state(server, "refused")
    provider.refuse = None
    add(server, provider, "google", "--replace")
    wait_state(server, "valid")
    assert provider.valid(control(server, "account", "token", "google")["token"])


def test_provider_down(server, provider):
    provider.down()
    add(server, provider)
    state = wait_for(lambda: token_of(server)["reason"] and token_of(server), "a reason")
    assert state["state"] in ("none", "renewing")
    with pytest.raises(Refused, match="127.0.0.1|connect"):
        control(server, "account", "token", "google")
    provider.up()
    control(server, "account", "retry", "google")
    wait_state(server, "valid")
    server.wait_log(GOOD)
    assert len(lines(server, AWAY)) == 1
    assert not lines(server, BAD)


def test_hanging_endpoint_holds_up_nobody_else(server, provider, tmp_path):
    other = OAuth(tmp_path / "other", user="otto@example.org")
    provider.hang = True
    add(server, provider)
    provider.wait_count("refresh_token")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(control, server, "account", "token", "google") for _ in range(2)]
        start = time.monotonic()
        client = server.smtp(login=("anna@example.org", "correct horse"))
        client.quit()
        add(server, other, "other")
        assert other.valid(control(server, "account", "token", "other")["token"]) == other.user
        assert time.monotonic() - start < 10
        assert not any(w.done() for w in waiting)
        provider.release()
        given = [w.result(30) for w in waiting]
    assert given[0] == given[1] and provider.valid(given[0]["token"])
    # One request for both.
    assert provider.count["refresh_token"] == 1
    other.close()


def test_fetch_is_killed(server, provider):
    """What was asked is asked again; the answer that came too late is nobody's."""
    provider.rotate = False
    provider.hang = True
    add(server, provider)
    provider.wait_count("refresh_token")
    kill_role(server, "fetch")
    provider.wait_count("refresh_token", 2)
    provider.release()
    wait_state(server, "valid")
    assert provider.valid(control(server, "account", "token", "google")["token"])
    assert not lines(server, BAD) and not lines(server, AWAY)


def test_vault_cannot_write(server, provider):
    """The token is used, the log says what may be lost, and it is written as soon as that is possible."""
    provider.hang = True
    add(server, provider)
    provider.wait_count("refresh_token")
    other = sqlite3.connect(server.folder / "data/vault.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    provider.release()
    line = server.wait_log("cannot be kept in the vault")
    assert "account=google" in line and line.startswith("warning")
    given = control(server, "account", "token", "google")
    assert provider.valid(given["token"])
    other.execute("ROLLBACK")
    other.close()
    server.wait_log("is kept in the vault at last")
    kill_role(server, "auth")
    wait_state(server, "valid")
    assert control(server, "account", "token", "google") == given
    assert provider.count["refresh_token"] == 1


def test_certificate_of_the_provider_is_verified(server, provider):
    provider.certificate("self")
    add(server, provider)
    state = wait_for(lambda: token_of(server)["reason"] and token_of(server), "a reason")
    assert re.search("certificate|self", state["reason"])
    assert provider.count["refresh_token"] == 0
    provider.certificate("good")
    control(server, "account", "retry")
    wait_state(server, "valid")


def test_sections_and_vault_are_one_list(tmp_path, provider):
    ca = provider.authority
    certificate, key = ca.issue("client")
    os.chmod(key, 0o600)
    section = (f'account google {{ url = "smtps://smtp.example.net:1465"  user = "robot@example.net" }}\n'
               f'account certain {{ url = "smtp://smtp.example.net"  certificate = "{certificate}"  key = "{key}" }}\n')
    with Server(tmp_path, extra=section) as server:
        add(server, provider)
        rows = {row["name"]: row for row in server.json("account", "list")["accounts"]}
        assert rows["google"]["source"] == "both" and rows["google"]["secret"] == "oauth"
        assert rows["google"]["url"] == "smtps://smtp.example.net:1465"
        assert rows["certain"]["source"] == "configuration" and rows["certain"]["certificate"]
        assert rows["certain"]["token"] is None
        wait_state(server, "valid")
        assert control(server, "account", "token", "google")["user"] == "robot@example.net"
        with pytest.raises(Refused, match="certificate"):
            control(server, "account", "token", "certain")
        # Another name in the section, and one section less.
        server.write_conf(extra='account google { url = "smtps://smtp.example.net"  user = "other@example.net" }')
        server.process.send_signal(signal.SIGHUP)
        server.wait_log("read again")
        wait_for(lambda: control(server, "account", "token", "google")["user"] == "other@example.net", "the new name")
        with pytest.raises(Refused, match="no account"):
            control(server, "account", "token", "certain")


def test_a_large_secret(server, provider):
    """A profile with authorities, authorities of the server beside it, a client certificate: all in one request."""
    bundle = server.folder / "bundle.pem"
    pem = provider.ca.read_text()
    bundle.write_text(pem * (31000 // len(pem)))
    certificate, key = server.authority.issue("client")
    add(server, provider, "google", "--ca", bundle, "--cert", certificate, "--key", key)
    wait_state(server, "valid")
    row = server.json("account", "list")["accounts"][0]
    assert row["ca"] and row["certificate"] and row["secret"] == "oauth"
    assert provider.valid(control(server, "account", "token", "google")["token"])


def test_certificate_that_cannot_be_read(tmp_path):
    server = Server(tmp_path)
    certificate, key = server.authority.issue("client")
    server.write_conf(extra=f'account certain {{ url = "smtp://smtp.example.net"  certificate = "{certificate}"  '
                            f'key = "{server.key}" }}')
    with server:
        line = server.wait_log('account "certain": certificate')
        assert re.search(rf"{re.escape(str(server.conf))}:\d+: account \"certain\"", line)
        client = server.smtp(login=("anna@example.org", "correct horse"))
        client.quit()
