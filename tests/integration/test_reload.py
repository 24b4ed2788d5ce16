"""SIGHUP and changed files: what is new takes effect, and nobody inside notices."""

import base64
import re
import signal
import socket
import ssl
import time

import pytest

from postern import free_ports, message, wait_for

ANNA = ("anna@example.org", "correct horse")
EHLO = "EHLO client.example.org"


def plain(user, password):
    return "AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def reload(server):
    before = sum("read again" in line or "is refused" in line for line in server.stderr)
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: sum("read again" in line or "is refused" in line for line in server.stderr) > before,
             "the reload to be logged")


def listener(port, more=""):
    return f'listener extra {{ address = "127.0.0.1:{port}"  tls = "none"  plaintext_without_tls = true {more} }}'


def greets(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as sock:
            return sock.recv(100).startswith(b"220 ")
    except OSError:
        return False


def deliver_in(wire, subject):
    for command in (f"MAIL FROM:<{ANNA[0]}>", "RCPT TO:<bob@example.net>", "DATA"):
        assert wire.command(command)[0] in "23"
    wire.send(message(subject) + b".\r\n")
    assert wire.reply().startswith("250 2.0.0")


def test_listeners_come_and_go_and_sessions_stay(make_server):
    server = make_server()
    one, two = free_ports(2)
    wire = server.tls_socket()
    wire.command(EHLO)
    assert wire.command(plain(*ANNA)).startswith("235")
    body = server.tls_socket()
    for command in (EHLO, plain(*ANNA), f"MAIL FROM:<{ANNA[0]}>", "RCPT TO:<bob@example.net>", "DATA"):
        body.command(command)
    pids = {role: server.pids(role) for role in ("front", "auth", "queue")}

    server.write_conf(listeners=listener(one))
    reload(server)
    wait_for(lambda: greets(one), "the new listener")
    inside = server.socket(one)
    server.write_conf(listeners=listener(two))
    reload(server)
    wait_for(lambda: greets(two) and not greets(one), "the listener to move")
    assert inside.command("NOOP").startswith("250"), "who came in by a listener that is gone stays"
    server.write_conf(listeners="")
    reload(server)
    wait_for(lambda: not greets(two), "the listener to go")

    body.send(message("over three reloads") + b".\r\n")
    assert body.reply().startswith("250 2.0.0")
    deliver_in(wire, "after")
    server.wait_messages(2)
    assert {role: server.pids(role) for role in pids} == pids


def test_limits_and_routes_of_a_new_file_are_used(make_server):
    server = make_server()
    other = server.folder / "other"
    other.mkdir(mode=0o777)
    other.chmod(0o777)
    server.write_conf(limits="recipients = 2  message_size = 5000",
                      routes=f'route "*" {{ via = "maildir:{other}/{{user}}" }}')
    reload(server)

    def seen():
        wire = server.socket()
        ehlo = wire.command(EHLO)
        wire.close()
        return "RCPTMAX=2" in ehlo and "SIZE 5000" in ehlo
    wait_for(seen, "the new limits")
    with server.smtp(server.implicit, login=ANNA) as client:
        client.sendmail(ANNA[0], ["bob@example.net"], message("elsewhere"))
    wait_for(lambda: list(other.glob("bob/new/*")), "the message by the new route")
    assert server.messages() == []


def test_a_bad_file_is_named_and_the_old_one_stays(make_server):
    server = make_server()
    good = server.conf.read_text()
    lines = good.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("limits"))
    lines[at] = "limits { recipients = many }"
    server.conf.write_text("\n".join(lines))
    reload(server)
    assert server.logged(rf"{re.escape(str(server.conf))}:{at + 1}: .*recipients"), server.log_text()
    assert server.logged("refused; the old configuration stays")
    with server.smtp(server.implicit, login=ANNA) as client:
        assert "RCPTMAX=1000" in client.ehlo_resp.decode() or "RCPTMAX=1000" in client.ehlo()[1].decode()
        client.sendmail(ANNA[0], ["bob@example.net"], message("the old way"))
    server.wait_messages(1)
    server.conf.write_text(good.replace("limits {", "limits { recipients = 7"))
    reload(server)
    wait_for(lambda: "RCPTMAX=7" in server.socket().command(EHLO), "the corrected file")


def test_a_taken_port_of_a_new_listener_is_named_and_the_rest_is_used(make_server):
    server = make_server()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server.write_conf(listeners=listener(port), limits="recipients = 9")
        reload(server)
        server.wait_log(rf"127\.0\.0\.1:{port}\b")
        wait_for(lambda: "RCPTMAX=9" in server.socket().command(EHLO), "the rest of the new file")


# ---- certificates ----

def serial(server):
    """The certificate that a newcomer is shown."""
    context = ssl.create_default_context(cafile=str(server.authority.ca))
    with socket.create_connection(("127.0.0.1", server.implicit), 5) as sock:
        with context.wrap_socket(sock, server_hostname="localhost") as tls:
            return tls.getpeercert()["serialNumber"]


def replace_pair(server, certificate, key):
    server.key.write_bytes(key.read_bytes())
    server.certificate.write_bytes(certificate.read_bytes())


def test_a_new_certificate_is_served_by_sighup_and_by_watching(make_server):
    server = make_server()
    wire = server.tls_socket()
    old = serial(server)
    names = "DNS:localhost,IP:127.0.0.1"
    replace_pair(server, *server.authority.issue("second", names))
    server.process.send_signal(signal.SIGHUP)
    second = wait_for(lambda: (s := serial(server)) != old and s, "the second certificate", 5)
    replace_pair(server, *server.authority.issue("third", names))
    third = wait_for(lambda: (s := serial(server)) != second and s, "the third certificate, without a signal", 8)
    assert len({old, second, third}) == 3
    assert wire.command("NOOP").startswith("250"), "the session of the first certificate lives"


@pytest.mark.parametrize("how", ["foreign key", "no certificate", "half a file", "gone"])
def test_a_bad_pair_is_refused_and_the_old_one_kept(make_server, how):
    server = make_server()
    old = serial(server)
    certificate, key = server.authority.issue("bad")
    good = server.certificate.read_bytes()
    if how == "foreign key":
        server.certificate.write_bytes(certificate.read_bytes())
    elif how == "no certificate":
        server.certificate.write_text("not a certificate\n")
    elif how == "half a file":
        server.certificate.write_bytes(good[:len(good) // 2])
    else:
        server.certificate.unlink()
    server.process.send_signal(signal.SIGHUP)
    server.wait_log(r"(old certificate is still served|old configuration stays)", 8)
    assert serial(server) == old
    replace_pair(server, certificate, key)
    wait_for(lambda: serial(server) != old, "the pair once it is right", 8)


# ---- users ----

def test_a_password_change_takes_effect_at_once(make_server):
    """The cache knows the old password, and must forget it."""
    server = make_server(auth='mechanisms = {"PLAIN", "SCRAM-SHA-256"}  cache_ttl = 3600')
    wire = server.tls_socket()
    wire.command(EHLO)
    assert wire.command(plain(*ANNA)).startswith("235")
    started = time.monotonic()
    again = server.tls_socket()
    again.command(EHLO)
    assert again.command(plain(*ANNA)).startswith("235")
    cached = time.monotonic() - started
    assert cached < 0.5, "a remembered login costs no password hash"
    server.run("user", "passwd", ANNA[0], "--password-stdin", stdin="battery staple\n")
    for password, reply in ((ANNA[1], "535"), ("battery staple", "235")):
        fresh = server.tls_socket()
        fresh.command(EHLO)
        assert fresh.command(plain(ANNA[0], password)).startswith(reply), password
        fresh.close()
    deliver_in(wire, "who is inside stays inside")


def test_a_disabled_or_removed_user_is_out_at_once(make_server):
    server = make_server()

    def reply():
        wire = server.tls_socket()
        wire.command(EHLO)
        answer = wire.command(plain(*ANNA))
        wire.close()
        return answer
    assert reply().startswith("235")
    server.run("user", "passwd", ANNA[0], "--disable")
    assert reply() == "535 5.7.8 authentication credentials invalid", "like a wrong password"
    server.run("user", "passwd", ANNA[0], "--enable")
    assert reply().startswith("235")
    server.run("user", "remove", ANNA[0])
    assert reply() == "535 5.7.8 authentication credentials invalid"
