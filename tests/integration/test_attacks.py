"""What has broken mail servers before, row by row, against a running server.

Clean means: a 4xx, a 5xx or the end of the connection; no process ends, no sanitizer speaks, nothing is stored that
was not accepted, no descriptor and no memory is left behind, and the next session works.
"""

import base64
import contextlib
import hashlib
import hmac
import os
import pathlib
import re
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import threading
import time

import pytest

from postern import ROLES, Server, Wire, free_ports, message, wait_for

ANNA = ("anna@example.org", "correct horse")
ODD = ('o"d\\d=,x@example.org', "p")         # a name with everything that is special somewhere, a password of one byte
EHLO = "EHLO client.example.org"
TRACES = r"AddressSanitizer|LeakSanitizer|runtime error|UndefinedBehavior|bug in |is killed|ended (by|with)"


def b64(data):
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def pids(server):
    return {role: server.pids(role) for role in ROLES}


def open_files(server, role):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in server.pids(role))


def memory(server, role):
    total = 0
    for pid in server.pids(role):
        for line in open(f"/proc/{pid}/smaps_rollup"):
            if line.startswith("Anonymous:"):
                total += int(line.split()[1]) * 1024
    return total


def assert_flat(server, role, before, mebibytes):
    """A sanitizer keeps what was freed for a while; its builds look for other things."""
    pid = server.pids(role)[0]
    if "libasan" not in pathlib.Path(f"/proc/{pid}/maps").read_text():
        assert memory(server, role) < before + mebibytes * 1024 * 1024


def assert_well(server, before):
    assert pids(server) == before, server.log_text()[-5000:]
    assert not server.logged(TRACES), server.log_text()[-8000:]
    bad = [line for line in server.stderr if re.search(r"[\x00-\x08\x0b-\x1f\x7f]|[^\x00-\x7f]", line) or
           not re.match(r"(info|warning|error|debug|postern|[CS]): ", line)]
    assert not bad, "lines that somebody else wrote into the log"
    wire = server.socket()
    assert wire.command(EHLO).startswith("250")
    wire.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    mx, = free_ports(1)
    folder = tmp_path_factory.mktemp("attacked")
    # "*" would take the whole of it; the accepting domain is what a stranger may reach.
    with Server(folder, users=dict([ANNA, ODD]), limits="per_ip = 2000  message_size = 1000000",
                extra=f'auth_service {{ path = "{folder}/postern/run/auth-client"  mode = 0666 }}',
                listeners=f'listener mx {{ address = "127.0.0.1:{mx}"  tls = "starttls"  auth = "optional"  '
                          'accept = {"local.example"} }') as running:
        running.mx = mx
        running.auth_client = str(running.folder / "run" / "auth-client")
        yield running


@pytest.fixture(autouse=True)
def well(request):
    """Each test leaves the shared server as it was."""
    if "shared" not in request.fixturenames:
        yield
        return
    server = request.getfixturevalue("shared")
    before = pids(server)
    yield
    assert_well(server, before)


def plain(user=ANNA[0], password=ANNA[1], authzid=""):
    return "AUTH PLAIN " + b64(f"{authzid}\0{user}\0{password}")


def login(server, port=None, user=ANNA):
    wire = server.socket(port)
    wire.command(EHLO)
    assert wire.command(plain(*user)).startswith("235")
    return wire


def envelope(wire, to="bob@example.net", sender=ANNA[0]):
    assert wire.command(f"MAIL FROM:<{sender}>").startswith("250")
    assert wire.command(f"RCPT TO:<{to}>").startswith("250")


def rest(wire):
    """All replies to the end of the connection."""
    replies = []
    with contextlib.suppress(OSError, ssl.SSLError):
        while True:
            reply = wire.reply()
            if reply is None:
                break
            replies.append(reply)
    wire.close()
    return replies


def in_parallel(function, rows, width=64):
    """[(row, function(row))]; an exception is a result too."""
    results = [None] * len(rows)
    todo = list(range(len(rows)))

    def work():
        while True:
            try:
                i = todo.pop()
            except IndexError:
                return
            try:
                results[i] = function(rows[i])
            except Exception as error:      # noqa: BLE001
                results[i] = f"{type(error).__name__}: {error}"

    threads = [threading.Thread(target=work) for _ in range(min(width, len(rows)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return list(zip(rows, results))


# ---- A. the end of data ----

BARE = ["\n.\n", "\n.\r", "\r.\n", "\r.\r", "\n.\r\n", "\r.\r\n", "\r\n\0.\r\n", "\r\n.\r", "\r\n.\n", "\r\n.\r\r\n",
        "\r\r\n.\r\r\n", "\r\n.\0\r\n", "\n", "\r", "\n\n.\n\n"]
LINES = ["\r\n.\t\r\n", "\r\n. \r\n", "\r\n..\r\n", "\r\n.x\r\n"]      # text, and no end either
SMUGGLED = ("MAIL FROM:<anna@example.org>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n"
            "BDAT 20 LAST\r\nSubject: smuggled\r\n\r\n")


def smuggle(server, how, sequence, cut):
    wire = login(server)
    envelope(wire, "mark@example.net")
    text = f"Subject: one\r\n\r\nfirst{sequence}{SMUGGLED}".encode()
    if how == "DATA":
        assert wire.command("DATA").startswith("354")
        data = text + b"\r\n.\r\nQUIT\r\n"
    else:
        data = b"BDAT %d LAST\r\n" % len(text) + text + b"QUIT\r\n"
    for at in range(0, len(data), cut):
        wire.send(data[at:at + cut])
    return rest(wire)


@pytest.mark.parametrize("cut", [100000, 1, 7])
def test_only_crlf_dot_crlf_ends_a_message(shared, cut):
    had = len(shared.messages("mark"))
    rows = [(how, s) for how in ("DATA", "BDAT") for s in BARE + LINES]
    for (how, s), replies in in_parallel(lambda row: smuggle(shared, *row, cut), rows, 8):
        # A BDAT body is counted: a lone dot in it is text.
        whole = s in LINES or (how == "BDAT" and s == "\r\n.\r\n")
        assert [r[:3] for r in replies] == (["250", "221"] if whole else ["554", "221"]), (how, s, replies)
    shared.wait_messages(had + 2 * len(LINES), "mark")
    assert len(shared.messages("mark")) == had + 2 * len(LINES)
    assert shared.messages("victim") == []


@pytest.mark.parametrize("size", [4094, 4095, 4096, 8191, 8192, 16383, 16384, 65535, 65536, 65537])
def test_dots_and_line_ends_at_buffer_edges(shared, size):
    head = b"Subject: edge\r\n\r\n"
    body = b"a" * (size - len(head) - 2) + b"\r\n.dot\r\n" + b"b" * size + b"\r\n"
    text = head + body
    wire = login(shared)
    envelope(wire, f"edge{size}@example.net")
    assert wire.command("DATA").startswith("354")
    wire.send(text.replace(b"\r\n.", b"\r\n.."))
    wire.send(b".\r\n")
    assert wire.reply().startswith("250 2.0.0")
    wire.close()
    got, = shared.wait_messages(1, f"edge{size}")
    assert got.endswith(body.replace(b"\r\n", b"\n"))


HEADERS = [
    (b" leading blank\r\n\r\nx\r\n", "554"), (b"\tleading tab\r\n\r\nx\r\n", "554"), (b"no colon\r\n\r\nx\r\n",
        "554"),
    (b"From anna Mon Jan 1\r\nSubject: x\r\n\r\nx\r\n", "554"), (b"X\xc3\xa9: y\r\n\r\nx\r\n", "554"),
    (b"A: b\r\n\r\r\nX: y\r\n", "554"), (b"A: b\r\n \r\n \r\nX: y\r\n\r\nx\r\n", "250"),
    (b"From: a@example.org\r\nFrom: b@example.org\r\n\r\nx\r\n", "554"),
    (b"From : a@example.org\r\nfrom: b@example.org\r\n\r\nx\r\n", "554"),
    (b"Subject: only a header\r\n", "250"), (b"\r\nonly a body\r\n", "250"), (b"", "250"), (b"\r\n", "250"),
    (b"A: " + b"x" * 70000 + b"\r\n\r\nx\r\n", "552"), (b"A: x\r\n" * 50000 + b"\r\nx\r\n", "552"),
    (b"Received: x\r\n" * 101 + b"\r\nx\r\n", "554"), (b"A: " + b"(" * 10000 + b"\r\n\r\nx\r\n", "250"),
    (b"Authentication-Results: " + b"(" * 20000 + b"mail.example.org\r\n\r\nx\r\n", "250"),
    (b"To: " + b"a@b.example," * 5000 + b"\r\n\r\nx\r\n", "250"),
]


@pytest.mark.parametrize("number", range(len(HEADERS)))
def test_headers_that_two_readers_would_read_differently(shared, number):
    text, code = HEADERS[number]
    for cut in (1 << 20, 3):
        if cut == 3 and len(text) > 5000:
            continue
        wire = login(shared)
        envelope(wire, f"head{number}@example.net")
        wire.command("DATA")
        for at in range(0, len(text) + 3, cut):
            wire.send((text + b".\r\n")[at:at + cut])
        assert wire.reply().startswith(code), text[:60]
        assert wire.command("RCPT TO:<bob@example.net>").startswith("503"), "the envelope is gone with the message"
        wire.close()


# ---- B. STARTTLS ----

@pytest.mark.parametrize("command", [
    b"STARTTLS\r\nRSET\r\n", b"STARTTLS\r\nAUTH PLAIN " + b64("\0" + "\0".join(ANNA)).encode() + b"\r\n",
    b"starttls\r\nNO", b"STARTTLS \r\nEHLO injected\r\nMAIL FROM:<anna@example.org>\r\n",
    b"StartTLS\r\n" + b"NOOP\r\n" * 500,
    b"STARTTLS\r\n\r\n", b"STARTTLS\r\n\0\0\0", b"STARTTLS\r\nQUIT\r\n",
])
def test_clear_text_behind_starttls_is_dropped(shared, command):
    wire = shared.socket(shared.starttls)
    wire.command(EHLO)
    wire.send(command)
    assert wire.reply().startswith("220")
    assert wire.buffer == b""
    wire.wrap(shared.authority.context())
    assert wire.command("OP").startswith("500"), "half a command of before is not completed"
    assert wire.command("MAIL FROM:<anna@example.org>").startswith("503"), "EHLO of before is forgotten"
    assert wire.command(EHLO).splitlines()[0].startswith("250-mail.example.org")
    assert wire.command("MAIL FROM:<anna@example.org>").startswith("530")
    wire.close()


@pytest.mark.parametrize("late", [b"NOOP\r\n", b"\r\n", b"\x16", b"EHLO x\r\nAUTH PLAIN AGEAYg==\r\n" * 100])
def test_clear_text_before_the_client_hello_ends_the_connection(shared, late):
    wire = shared.socket(shared.starttls)
    wire.command(EHLO)
    assert wire.command("STARTTLS").startswith("220")
    wire.send(late)
    with contextlib.suppress(OSError):
        with pytest.raises((ssl.SSLError, OSError)):
            wire.wrap(shared.authority.context())
    wire.close()


def test_starttls_in_pieces_and_twice(shared):
    wire = shared.socket(shared.starttls)
    wire.command(EHLO)
    for byte in b"STARTTLS\r\n":
        wire.send(bytes([byte]))
    assert wire.reply().startswith("220")
    wire.wrap(shared.authority.context())
    assert wire.command(EHLO).startswith("250")
    assert "STARTTLS" not in wire.command(EHLO)
    assert wire.command("STARTTLS").startswith("503")
    wire.close()
    wire = shared.socket(shared.starttls)
    wire.command(EHLO)
    assert wire.command("STARTTLS now").startswith("501")
    assert wire.command("NOOP").startswith("250")
    wire.close()


def cram(wire, user, password):
    challenge = base64.b64decode(wire.command("AUTH CRAM-MD5")[4:])
    digest = hmac.new(password.encode(), challenge, hashlib.md5).hexdigest()
    return wire.command(b64(f"{user} {digest}"))


def test_the_identity_of_before_is_gone_in_tls(shared):
    wire = shared.socket(shared.starttls)
    wire.command(EHLO)
    assert cram(wire, *ANNA).startswith("235")
    assert wire.command("MAIL FROM:<anna@example.org>").startswith("250")
    assert wire.command("STARTTLS").startswith("503"), "not inside a transaction"
    wire.command("RSET")
    assert wire.command("STARTTLS").startswith("220")
    wire.wrap(shared.authority.context())
    wire.command(EHLO)
    assert wire.command("MAIL FROM:<anna@example.org>").startswith("530")
    assert wire.command(plain()).startswith("235")
    wire.close()


def test_tls_that_ends_in_the_middle(shared):
    """close_notify, then clear text, in every place where something is waited for."""
    places = [[], [EHLO], [EHLO, "AUTH LOGIN"], [EHLO, plain(), "MAIL FROM:<anna@example.org>",
              "RCPT TO:<bob@example.net>", "DATA"], [EHLO, plain(), "MAIL FROM:<anna@example.org>",
              "RCPT TO:<bob@example.net>"]]
    for place in places:
        for after in (b"", b"x", b"\x15\x03\x03\x00\x02\x01\x00" * 200, b"QUIT\r\n"):
            wire = shared.tls_socket()
            for command in place:
                wire.command(command)
            if len(place) == 4:
                wire.send(b"BDAT 1000\r\nSubject: x\r\n")
            raw = socket.socket(fileno=os.dup(wire.sock.fileno()))
            raw.settimeout(5)
            with contextlib.suppress(OSError, ssl.SSLError):
                wire.sock.settimeout(0.05)
                wire.sock.unwrap()
            with contextlib.suppress(OSError):
                raw.sendall(after)
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(4096):
                    pass
            raw.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                wire.close()


def test_other_protocols_at_the_door(shared):
    for first in (b"GET / HTTP/1.1\r\nHost: x\r\n", b"POST /x HTTP/1.1\r\n", b"Host: mail.example.org\r\nEHLO x\r\n",
                  b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        for wire in (shared.socket(), shared.tls_socket()):
            wire.send(first)
            replies = rest(wire)
            assert len(replies) == 1 and replies[0].startswith("5"), replies
    context = shared.authority.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with pytest.raises(ssl.SSLError):
        Wire(shared.implicit, greet=False).wrap(context)
    for junk in (b"\x16\x03\x01", b"\x16\x03\x01\xff\xff" + b"A" * 65535, os.urandom(4096), b"EHLO x\r\n", b""):
        wire = Wire(shared.implicit, greet=False)
        with contextlib.suppress(OSError):
            wire.send(junk)
            wire.sock.shutdown(socket.SHUT_WR)
        rest(wire)


@pytest.mark.parametrize("name", ["a\\", "%n%s", "x" * 63 + "." + "y" * 63, "[1.2.3.4]"])
def test_odd_server_names_in_tls(shared, name):
    context = shared.authority.context()
    context.check_hostname = False
    wire = Wire(shared.implicit, greet=False)
    wire.sock = context.wrap_socket(wire.sock, server_hostname=name)
    assert wire.reply().startswith("220")
    wire.close()


# ---- C. the machine ----

T = ["MAIL FROM:<anna@example.org>", "RCPT TO:<bob@example.net>"]
MACHINE = [     # commands after EHLO and AUTH, and the codes of their replies; what is longer is a body
    (["DATA"], ["503"]), (["RCPT TO:<bob@example.net>"], ["503"]), ([T[0], "DATA"], ["250", "554"]),
    ([T[0], T[0]], ["250", "503"]), ([*T, EHLO, "DATA"], ["250", "250", "250", "503"]),
    ([*T, "EHLO", "DATA", "\r\n."], ["250", "250", "501", "354", "250"]),
    ([*T, "RSET", "DATA"], ["250", "250", "250", "503"]),
    ([*T, "VRFY bob", "EXPN x", "NOOP x", "HELP", "XYZ", "VRFY \u00fc\u00f1@x", "DATA", "A: b\r\n."],
     ["250", "250", "252", "502", "250", "214", "500", "252", "354", "250"]),
    ([T[0], plain()], ["250", "503"]), ([plain()], ["503"]), (["STARTTLS"], ["502"]),
    ([*T, "BDAT"], ["250", "250", "501"]), ([*T, "BDAT x", "DATA", "MAIL FROM:<anna@example.org>"],
                                             ["250", "250", "501", "503", "250"]),
    ([*T, "BDAT -1", "BDAT 0 LAST"], ["250", "250", "501", "503"]),
    ([*T, "BDAT 0x10", "DATA"], ["250", "250", "501", "503"]), ([*T, "BDAT 9223372036854775808"], ["250", "250",
        "501"]),
    ([*T, "BDAT 18446744073709551617"], ["250", "250", "501"]), ([*T, "BDAT 1e3"], ["250", "250", "501"]),
    ([*T, "BDAT 0 LAST"], ["250", "250", "250"]), ([*T, "BDAT 0", "BDAT 0 LAST"], ["250", "250", "250", "250"]),
    ([*T, "BDAT 0", "DATA", "RSET", "BDAT 0"], ["250", "250", "250", "503", "250", "503"]),
    ([*T, "BDAT 0", "RCPT TO:<carl@example.net>"], ["250", "250", "250", "503"]),
    ([*T, "BDAT 6\r\nRSET\r\n", "NOOP"][:3], ["250", "250", "250"]),
    (["BDAT 12 LAST\r\nMAIL FROM:<a"], ["503"]), ([T[0], "BDAT 6 LAST\r\nQUIT\r\n"], ["250", "503"]),
    ([*T, "BDAT 3 NOW\r\n.\r\n", "DATA"], ["250", "250", "501", "503"]),
    ([*T, "BDAT 3 LAST\r\n.\r\n", "DATA"], ["250", "250", "554", "503"]),
    ([*T, "DATA now", "DATA", "\r\n."], ["250", "250", "501", "354", "250"]),
    ([*T, "AUTH PLAIN", "DATA", "A: b\r\n.", *T[1:]], ["250", "250", "503", "354", "250", "503"]),
    (["NOOP " + "(" * 1000, "NOOP \"", "NOOP", "", "HELO"], ["250", "250", "250", "500", "501"]),
    (["QUIT"], ["221"]), ([*T, "QUIT"], ["250", "250", "221"]), (["HELO x", *T], ["250", "250", "250"]),
    ([*T, "BDAT 500000 LAST"], ["250", "250"]), ([*T, "BDAT 2000000 LAST\r\n" + "x" * 1999998 + "\r\n", *T[1:]],
                                                  ["250", "250", "552", "503"]),
]


@pytest.mark.parametrize("number", range(len(MACHINE)))
@pytest.mark.parametrize("pipelined", [False, True])
def test_commands_in_the_wrong_place(shared, number, pipelined):
    commands, codes = MACHINE[number]
    wire = login(shared)
    if pipelined:
        wire.send("".join(c if c.startswith("BDAT") and "\r\n" in c else c + "\r\n" for c in commands).encode())
    got = []
    for command in commands:
        if not pipelined:
            wire.send((command if command.startswith("BDAT") and "\r\n" in command else command + "\r\n").encode())
        if len(got) < len(codes):
            got.append((wire.reply() or "end")[:3])
    assert got == codes, commands
    wire.close()


def test_auth_in_the_wrong_place(shared):
    wire = shared.socket()
    assert wire.command(plain()).startswith("503"), "EHLO first"
    wire.command("HELO x")
    assert wire.command(plain()).startswith("503"), "not after HELO"
    wire.command(EHLO)
    assert wire.command(plain()).startswith("235")
    for again in (plain(), "AUTH LOGIN", "AUTH evil", "AUTH"):
        assert wire.command(again).startswith("503")
    wire.close()


def test_a_body_without_354_ends_the_session(shared):
    wire = login(shared)
    wire.send(b"DATA\r\n" + b"this is a line of text\r\n" * 500 + b".\r\nQUIT\r\n")
    replies = rest(wire)
    assert replies[-1].startswith("421") and len(replies) < 40
    wire = login(shared)
    wire.send(b"\r\n" * 5000)
    assert rest(wire)[-1].startswith("421")


BAD_LINES = [b"MAIL FROM:<anna@example.org>\nRCPT TO:<bob@example.net>\r\n", b"NOOP\rQUIT\r\n", b"NO\0OP\r\n",
             b"NOOP\n\r\n",
             b"\rNOOP\r\n", b"NOOP\r\r\n", b" NOOP\r\n", b"\tNOOP\r\n", b"MAIL FROM:<a@b.example>\r SIZE=1\r\n",
             b"NO\xffOP\r\n", b"\0\r\n", b"\n\n\n\r\n", b"\x80\x81\r\n"]


@pytest.mark.parametrize("line", BAD_LINES)
def test_lines_that_do_not_end_well_are_one_bad_command(shared, line):
    for cut in (len(line), 1):
        wire = login(shared)
        for at in range(0, len(line), cut):
            wire.send(line[at:at + cut])
        assert wire.reply().startswith("50")
        assert wire.command("NOOP").startswith("250 2.0.0"), "and nothing was left over"
        assert wire.command("RCPT TO:<bob@example.net>").startswith("503")
        wire.close()


# ---- D. AUTH: what cannot be decoded, and who cannot be somebody else ----

MECHANISMS = ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"]
NOT_BASE64 = ["=AAA", "AAA=BBB", "AA==AA==", "A", "AAAAA", "AAAA\t", "AA-_", "A=A=", "\u00fc\u00f1", "====", "AA=A",
              "AB==",
              "AAB=", "A===", "AAAA=", "A" * 12289, "A" * 65536, "%s%n", "=AAAA"]
NULS = ["\0" * n for n in (1, 2, 3, 100, 6000)]
PLAINS = [      # message, may it succeed?
    ("\0anna@example.org\0correct horse", True), ("anna@example.org\0anna@example.org\0correct horse", True),
    ("Anna@Example.org\0anna@example.org\0correct horse", True), ("\0ANNA@example.ORG\0correct horse", True),
    ("victim@example.org\0anna@example.org\0correct horse", False), ("\0\0correct horse", False),
    ("anna@example.org\0\0correct horse", False), ("\0anna@example.org\0", False), ("\0anna@example.org", False),
    ("\0anna@example.org\0correct horse\0", False), ("\0anna@example.org\0x\0correct horse\0", False),
    ("\0anna@example.org\0 correct horse", False), ("\0anna@example.org \0correct horse", False),
    ("\0anna@example.org\t\0correct horse", False), ("\0anna@example.org\n\0correct horse", False),
    ("\0anna@example.org\x01\0correct horse", False), ("\0anna@example.org\0correct horse\n", False),
    ("\0anna@example.org\tskip_password_check\tno=\0x", False), ("\0' or '1'='1\0' or '1'='1", False),
    ("\0*)(uid=*\0*", False), ("\0anna@example.org\0' or '1'='1", False), ("\0%u\0%w", False), ("\0`id`\0$(id)",
        False),
    ("\0anna@../../etc\0x", False), ("\0anna@.\0x", False), ("\0anna@\0x", False), ("\0@example.org\0x", False),
    ("\0../../vault.db\0x", False), ("\0anna@example.org/../x\0x", False), ("\0\u202eanna@example.org\0x", False),
    ("\0" + "a" * 255 + "\0x", False), ("\0" + "a" * 256 + "\0x", False), ("\0" + "a" * 6000 + "\0x", False),
    ("\0anna@example.org\0" + "x" * 1024, False), ("\0anna@example.org\0" + "x" * 1025, False),
    ("\0anna@example.org\0" + "x" * 8000, False), ("a" * 4000 + "\0anna@example.org\0correct horse", False),
    ("", False), ("x", False), *((n, False) for n in NULS), (ODD[0] + "\0" + ODD[0] + "\0" + ODD[1], True),
]
RAW_PLAINS = [b"\0\xff\xfe\0x", b"\0\xc0\xaf\0x", b"\0\xed\xa0\x80\0x", b"\0\xf4\x90\x80\x80\0x", b"\0\xe2\x82\0x",
              b"\0\x80\0x", b"\0anna@example.org\0\xff", b"\xff\0anna@example.org\0correct horse", b"\xff" * 3000]
SCRAMS = ["", "n", "n,", "n,,", "p", "p=", "p=,", "p=tls-unique", "p=tls-unique,,", "y,a", "n,a=,", "n,,m=x", "n,,n=",
          "n,,n=a", "n,,n=a,r=", "n,,n==2c,r=xxxxxxxx", "n,,n==,r=xxxxxxxx", "n,,n=a=2,r=xxxxxxxx", "F,n,,",
          "n,,n=a,r=x\0yyyyyyy",
          "n,,n=a\0b,r=xxxxxxxx", "n,,n=a,r=" + "x" * 4000, "n,,n=a,r=xxxxxxxx,m=1", "n,,m=1,n=a,r=xxxxxxxx",
          "n,,r=xxxxxxxx,n=a",
          "n,,n=a,r=xxxxxxxx,", "n,,n=a,r=xxxxxxxx,x", "n,,n=a,r=xxxxxxxx,n=b", "z,,n=a,r=xxxxxxxx",
          "n,b=x,n=a,r=xxxxxxxx",
          "n,a=victim,", ",,n=a,r=xxxxxxxx", "n,,n=" + "a" * 6000 + ",r=xxxxxxxx", "p=tls-exporter,,n=a,r=xxxxxxxx",
          "p=tls-server-end-point,,n=a,r=xxxxxxxx", "p=nonsense,,n=a,r=xxxxxxxx", "\0", "n" * 8000,
          b"n,,n=\xff,r=xxxxxxxx"]
CRAMS = ["", " ", "x", "anna@example.org", "anna@example.org ", "anna@example.org " + "0" * 31,
         "anna@example.org " + "g" * 32,
         "anna@example.org " + "0" * 33, " " + "0" * 32, "anna@example.org\0 " + "0" * 32,
         "a" * 6000 + " " + "0" * 32,
         "anna@example.org " + "0" * 32, "nobody@example.org " + "0" * 32, "anna@example.org  " + "0" * 32]


def one_auth(server, lines):
    """The last reply to one exchange; 334 where one line more would be needed."""
    wire = server.socket()
    wire.command(EHLO)
    reply = ""
    for line in lines:
        reply = wire.command(line) or "end"
        if not reply.startswith("334"):
            break
    if reply.startswith("334"):
        assert wire.command("*").startswith("501")
    if reply != "end" and not reply.startswith("421"):
        assert wire.command("NOOP").startswith("250")
    wire.close()
    return reply


def test_base64_is_judged_strictly(shared):
    rows = [(m, bad, first) for m in MECHANISMS for bad in NOT_BASE64 for first in (True, False)
            if not (first and (m == "CRAM-MD5" or "\t" in bad))]
    for row, reply in in_parallel(lambda r: one_auth(shared, [f"AUTH {r[0]} {r[1]}"] if r[2] else
                                                     [f"AUTH {r[0]}", r[1]]), rows):
        if "\t" in row[1] or len(row[1]) <= 12288:
            assert reply.startswith("501"), (row, reply)
        else:
            assert reply.startswith("500 5.5.6"), (row[0], reply)
    for row, reply in in_parallel(lambda r: one_auth(shared, [r]), [
            "AUTH", "AUTH ", "AUTH PLAIN x y", "AUTH PLAIN x y z", "AUTH PLAIN = =", "AUTH CRAM-MD5 AAAA"]):
        assert reply.startswith("501"), (row, reply)
    for row, reply in in_parallel(lambda r: one_auth(shared, [r]), [
            "AUTH evil", "AUTH __proto__", "AUTH NTLM TlRMTVNTUAAB", "AUTH ANONYMOUS", "AUTH EXTERNAL =",
            "AUTH GSSAPI", "AUTH OAUTHBEARER bixhPXUsAWF1dGg9QmVhcmVyIHQBAQ==",
            "AUTH DIGEST-MD5", "AUTH XOAUTH2 AAAA", "AUTH SCRAM-SHA-256-PLUS", "AUTH " + "X" * 4000, "AUTH %s%n",
            "AUTH \x1b[31m",
            "AUTH PLAIN\u00fc", "AUTH PLAI", "AUTH PLAINX"]):
        assert reply.startswith("504"), (row, reply)


def scram_login(wire, user, password, header="n,,", authzid=None):
    """The replies of a whole SCRAM-SHA-256 exchange, the last one."""
    gs2 = header if authzid is None else f"n,a={authzid},"
    bare = "n=" + user.replace("=", "=3D").replace(",", "=2C") + ",r=0123456789abcdef"
    reply = wire.command("AUTH SCRAM-SHA-256 " + b64(gs2 + bare))
    if not reply.startswith("334 "):
        return reply
    first = base64.b64decode(reply[4:]).decode()
    parts = dict(p.split("=", 1) for p in first.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
    client = hmac.new(salted, b"Client Key", hashlib.sha256).digest()
    final = f"c={b64(gs2)},r={parts['r']}"
    signature = hmac.new(hashlib.sha256(client).digest(), f"{bare},{first},{final}".encode(), hashlib.sha256).digest()
    proof = bytes(a ^ b for a, b in zip(client, signature))
    reply = wire.command(b64(f"{final},p={b64(proof)}"))
    return wire.command("") if reply.startswith("334") else reply


def test_nobody_is_somebody_else(shared):
    rows = [(m.encode(), ok) for m, ok in PLAINS] + [(m, False) for m in RAW_PLAINS]
    for (raw, ok), reply in in_parallel(lambda r: one_auth(shared, ["AUTH PLAIN " + (b64(r[0]) or "=")]), rows):
        assert reply[:3] in (["235"] if ok else ["535", "501"]), (raw, reply)
    for (raw, ok), reply in in_parallel(lambda r: one_auth(shared, ["AUTH PLAIN", b64(r[0])]), rows):
        assert reply[:3] in (["235"] if ok else ["535", "501"]), (raw, reply)
    logins = [("anna@example.org\0evil", "correct horse"), ("anna@example.org", "correct horse\0"), ("", "x"),
              ("anna@example.org", ""), ("\tanna@example.org", "correct horse"), ("a" * 8000, "x")]
    for row, reply in in_parallel(lambda r: one_auth(shared, ["AUTH LOGIN", b64(r[0]), b64(r[1])]), logins):
        assert reply[:3] in ("535", "501"), (row, reply)
    assert one_auth(shared, ["AUTH LOGIN", b64(ODD[0]), b64(ODD[1])]).startswith("235")
    assert one_auth(shared, ["AUTH LOGIN " + b64(ANNA[0]), b64(ANNA[1])]).startswith("235")
    for name in ("SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        for row, reply in in_parallel(lambda r: one_auth(shared, [f"AUTH {name}", b64(r)]), SCRAMS):
            assert reply[:3] in ("535", "501", "500"), (name, row[:80], reply)
    for row, reply in in_parallel(lambda r: one_auth(shared, ["AUTH CRAM-MD5", b64(r)]), CRAMS):
        assert reply[:3] in ("535", "501", "500"), (row[:80], reply)


def test_scram_acts_as_nobody_else(shared):
    def attempt(**options):
        wire = shared.socket()
        wire.command(EHLO)
        reply = scram_login(wire, *ANNA, **options)
        wire.close()
        return reply[:3]

    assert attempt() == "235"
    assert attempt(authzid="anna@example.org") == "235"
    assert attempt(authzid="victim@example.org") == "535"
    assert attempt(header="y,,") == "235", "no TLS, so nothing to bind to was offered"
    wire = shared.socket()
    wire.command(EHLO)
    assert scram_login(wire, *ODD).startswith("235")
    wire.close()
    for header in ("y,,", "p=tls-unique,,", "p=tls-exporter,,", "p=tls-server-end-point,,"):
        wire = shared.tls_socket()
        wire.command(EHLO)
        assert scram_login(wire, *ANNA, header=header).startswith("535"), header
        wire.close()
    wire = shared.tls_socket()
    wire.command(EHLO)
    assert scram_login(wire, *ANNA).startswith("235"), "a client that cannot bind may say so"
    wire.close()


def test_mechanisms_one_after_the_other(shared):
    """Something of the last exchange might be left for the next one."""
    def rounds(_):
        wire = shared.socket()
        wire.command(EHLO)
        for line in ("AUTH CRAM-MD5", "*", "AUTH SCRAM-SHA-256 " + b64("n,,n=anna@example.org,r=0123456789"), "*",
                     "AUTH LOGIN",
                     "*", "AUTH PLAIN", "*", "AUTH LOGIN " + b64("anna@example.org"), "*"):
            assert wire.command(line)[:3] in ("334", "501")
        assert cram(wire, ANNA[0], "wrong").startswith("535")
        assert wire.command(plain(password="wrong")).startswith("535")
        assert scram_login(wire, *ANNA).startswith("235")
        wire.close()
        return "ok"

    assert all(reply == "ok" for _, reply in in_parallel(rounds, list(range(150))))


def exchange_bytes(mechanism):
    """What a client sends in a whole exchange that fails."""
    last = {"PLAIN": ["AUTH PLAIN " + b64("\0anna@example.org\0x")], "LOGIN": ["AUTH LOGIN", b64("anna@example.org"),
        b64("x")],
            "CRAM-MD5": ["AUTH CRAM-MD5", b64("anna@example.org " + "0" * 32)]}
    lines = last.get(mechanism) or [f"AUTH {mechanism} " + b64("n,,n=anna@example.org,r=0123456789"),
                                    b64("c=biws,r=0123456789,p=" + b64("\0" * 32))]
    return "".join(line + "\r\n" for line in [EHLO, *lines]).encode()


def test_disconnecting_at_every_byte_leaves_nothing(shared):
    def cut(row):
        mechanism, at = row
        wire = shared.socket()
        data = exchange_bytes(mechanism)[:at]
        # Line by line, as a client would: what is ahead of a challenge is another matter.
        for line in re.findall(rb"[^\n]*\n|[^\n]+$", data):
            wire.send(line)
            if line.endswith(b"\n") and line is not data:
                wire.sock.settimeout(0.01)
                with contextlib.suppress(OSError):
                    wire.buffer += wire.sock.recv(4096)
        wire.close()

    rows = [(m, at) for m in MECHANISMS[:5] for at in range(len(EHLO) + 2, len(exchange_bytes(m)) + 1)]
    in_parallel(cut, rows)
    wait_for(lambda: shared.json("status")["auth"]["open"] == 0, "auth to forget all exchanges")
    files = {role: open_files(shared, role) for role in ("front", "auth")}
    memories = {role: memory(shared, role) for role in ("front", "auth")}
    for _ in range(2):
        in_parallel(cut, rows)
    wait_for(lambda: shared.json("status")["auth"]["open"] == 0, "auth to forget all exchanges")
    wait_for(lambda: {role: open_files(shared, role) for role in ("front", "auth")} == files,
             f"as few descriptors as {files}")
    for role, size in memories.items():
        assert_flat(shared, role, size, 8)


def test_cancelling_again_and_again(shared):
    def cancels(_):
        wire = shared.socket()
        wire.command(EHLO)
        wire.send((b"AUTH SCRAM-SHA-256\r\n" + b"*\r\n") * 30)
        return rest(wire)[-1][:3]

    assert {reply for _, reply in in_parallel(cancels, list(range(300)))} == {"421"}
    wait_for(lambda: shared.json("status")["auth"]["open"] == 0, "auth to forget all exchanges")


def test_bytes_ahead_of_a_challenge(shared):
    for ahead in (b"AUTH CRAM-MD5\r\nMAIL FROM:<anna@example.org>\r\n",
                  b"AUTH SCRAM-SHA-256 " + b64("n,,n=anna@example.org,r=0123456789").encode() + b"\r\nRSET\r\n",
                  b"AUTH CRAM-MD5\r\n" + b"x" * 200000):
        wire = shared.socket()
        wire.command(EHLO)
        wire.send(ahead)
        assert [r[:3] for r in rest(wire)] == ["503"]
    wire = shared.socket()
    wire.command(EHLO)
    wire.send(f"AUTH LOGIN\r\n{b64(ANNA[0])}\r\n{b64(ANNA[1])}\r\nNOOP\r\n".encode())
    assert [wire.reply()[:3] for _ in range(4)] == ["334", "334", "235", "250"]
    wire.close()


# ---- F. the sockets for others ----

def auth_client(server):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(10)
    sock.connect(server.auth_client)
    return sock, sock.makefile("rb")


def test_garbage_on_the_auth_service(shared):
    for junk in (b"\n" * 10000, b"\0" * 40000, os.urandom(50000), b"A" * 16384, b"VERSION\t1\t2\nVERSION\t1\t2\n",
                 b"VERSION\n",
                 b"VERSION\t2\t0\n", b"AUTH\n", b"AUTH\t\n", b"AUTH\t0\tPLAIN\n", b"AUTH\t-1\tPLAIN\n",
                 b"AUTH\t4294967296\tPLAIN\n",
                 b"CONT\t1\n", b"CONT\t77\tAAAA\n", b"CANCEL\t9\n", b"REQUEST\t1\t2\t3\n", b"USER\t1\tanna\n",
                 b"PASS\t1\tanna\n",
                 b"CPID\t1\n" * 100, b"\t\t\t\n", b"AUTH\t1\n", b"AUTH\t1\t\t\t\n",
                 b"AUTH\t1\t" + b"X" * 16000 + b"\n",
                 b"AUTH\t1\tPLAIN\tresp=AAAA\tresp=AAAA\n",
                 b"AUTH\t1\tPLAIN\tservice=smtp\tresp=" + b"A" * 16000 + b"\n",
                 b"VERSION\t1\t4\nCPID\t1\n" + b"AUTH\t1\tCRAM-MD5\n" * 2000,
                 b"VERSION\t1\t4\nAUTH\t1\tSCRAM-SHA-256\tsecured=tls\n"
                 b"CONT\t1\t#\nCONT\t1\t#\tchannel_binding=\nCONT\t1\t=\tchannel_binding=AAAA\tchannel_binding=AAAA\n"):
        sock, _ = auth_client(shared)
        with contextlib.suppress(OSError):
            sock.sendall(junk)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        sock.close()


def handshake(server, minor=2):
    sock, lines = auth_client(server)
    sock.sendall(f"VERSION\t1\t{minor}\nCPID\t{os.getpid()}\n".encode())
    for line in lines:
        if line == b"DONE\n":
            return sock, lines
    raise AssertionError("no DONE")


def test_one_bad_request_fails_alone(shared):
    sock, lines = handshake(shared)
    good = b64("\0" + "\0".join(ANNA))
    requests = [f"AUTH\t{n}\tPLAIN\tservice=smtp\tsecured\trip=127.0.0.1\tresp={good}" for n in range(1, 21)]
    requests.insert(7, "AUTH\t100\tPLAIN\tservice=smtp\tsecured\tresp=!!!")
    requests.insert(9, "AUTH\t101\tEVIL\tservice=smtp\tsecured\tresp=AAAA")
    requests.insert(11, f"AUTH\t102\tPLAIN\tservice=smtp\tsecured\tresp={good}\tskip=1")
    sock.sendall(("\n".join(requests) + "\n").encode())
    answers = {}
    while len(answers) < 23:
        word, number = lines.readline().decode().rstrip("\n").split("\t")[:2]
        answers[int(number)] = word
    assert [answers[n] for n in range(1, 21)] == ["OK"] * 20
    assert [answers[n] for n in (100, 101, 102)] == ["FAIL"] * 3
    sock.close()


def test_exchanges_that_nobody_goes_on_with(shared):
    sock, lines = handshake(shared)
    before = memory(shared, "auth")
    for start in range(1, 30001, 1000):
        sock.sendall("".join(f"AUTH\t{n}\tLOGIN\tservice=smtp\tsecured\n" for n in range(start,
            start + 1000)).encode())
        for n in range(start, start + 1000):
            assert lines.readline().startswith(b"CONT\t%d\t" % n)
    assert shared.json("status")["auth"]["open"] <= 4096
    assert_flat(shared, "auth", before, 64)
    good = b64("\0" + "\0".join(ANNA))
    sock.sendall(f"AUTH\t99999\tPLAIN\tservice=smtp\tsecured\tresp={good}\n".encode())
    assert lines.readline().startswith(b"OK\t99999")
    lines.close()
    sock.close()
    wait_for(lambda: shared.json("status")["auth"]["open"] == 0, "auth to forget them")


UNPRIVILEGED = 54321


@pytest.mark.skipif(os.getuid() != 0, reason="needs another account")
def test_control_sockets_are_shut_to_others(shared):
    code = ("import os, socket, sys\nos.setgroups([]); os.setgid(%d); os.setuid(%d)\n"
            "for p in sys.argv[1:]:\n s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
            " try: s.connect(p)\n except PermissionError: continue\n sys.exit(p)\n") % (UNPRIVILEGED, UNPRIVILEGED)
    paths = [str(shared.folder / "run" / f"control-{part}") for part in ("auth", "queue", "journal")]
    done = subprocess.run([sys.executable, "-c", code, *paths], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    data = os.stat(shared.folder / "data")
    assert data.st_mode & 0o077 == 0
    for path in (shared.folder / "data").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0 or path.is_dir(), path


def test_garbage_on_control_sockets(shared):
    frames = [b"", b"x", b"\0" * 7, b"\0" * 8, os.urandom(64), b"\xff" * 65536]
    for kind in range(40):
        frames += [kind.to_bytes(2, "little") + b"\0" * 6 + body for body in (
            b"", b"\0" * 8, b"\xff" * 8, (1).to_bytes(4, "little") + b"\xff\xff\xff\x7f",
            (2).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"queue" + (4).to_bytes(4,
                "little") + b"list" + b"\0" * 4,
            (0xffffffff).to_bytes(4, "little") + b"\0" * 100, (3).to_bytes(4, "little") + (4).to_bytes(4,
                "little") + b"user" +
            (6).to_bytes(4, "little") + b"remove" + (3).to_bytes(4, "little") + b"\0\n\x01" + b"\0" * 4)]
    for part in ("auth", "queue", "journal"):
        for frame in frames:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            sock.connect(str(shared.folder / "run" / f"control-{part}"))
            sock.settimeout(5)
            with contextlib.suppress(OSError):
                sock.send(frame or b"\0")
                socket.send_fds(sock, [b"\0" * 8], [0, 1])
                if len(frame) > 20:
                    sock.setblocking(False)
                    sock.recv(65536)
            sock.close()
    assert shared.json("queue", "list") is not None
    assert shared.json("user", "list")


# ---- G. who exists? ----

@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"])
def test_unknown_and_wrong_are_alike(shared, mechanism):
    def attempt(user):
        wire = shared.socket()
        wire.command(EHLO)
        if mechanism == "PLAIN":
            start, reply = time.monotonic(), wire.command(plain(user, "wrong"))
        elif mechanism == "LOGIN":
            wire.command("AUTH LOGIN")
            wire.command(b64(user))
            start, reply = time.monotonic(), wire.command(b64("wrong"))
        elif mechanism == "CRAM-MD5":
            start, reply = time.monotonic(), cram(wire, user, "wrong")
        else:
            start, reply = time.monotonic(), scram_login(wire, user, "wrong")
        took = time.monotonic() - start
        wire.close()
        return reply, took

    known, unknown = [], []
    for _ in range(4):
        known.append(attempt(ANNA[0]))
        unknown.append(attempt("nobody@example.org"))
    assert {reply for reply, _ in known} == {reply for reply,
                                             _ in unknown} == {"535 5.7.8 authentication credentials invalid"}
    a, b = (statistics.median(took for _, took in tries) for tries in (known, unknown))
    assert abs(a - b) < 0.1, (a, b)
    assert min(a, b) > 0.4


def test_scram_tells_nothing_about_a_name(shared):
    def first(user):
        wire = shared.socket()
        wire.command(EHLO)
        reply = wire.command("AUTH SCRAM-SHA-256 " + b64(f"n,,n={user},r=0123456789"))
        wire.close()
        return dict(p.split("=", 1) for p in base64.b64decode(reply[4:]).decode().split(","))

    known, unknown = first(ANNA[0]), first("nobody@example.org")
    assert known["i"] == unknown["i"] and len(known["s"]) == len(unknown["s"]) and len(known["r"]) == len(unknown["r"])
    assert unknown["s"] == first("nobody@example.org")["s"] == first("NOBODY@example.org")["s"]
    assert known["s"] == first(ANNA[0])["s"] == first(ANNA[0].upper())["s"]
    assert unknown["s"] != first("nobody2@example.org")["s"]


# ---- H. names as weapons ----

PATHS = [       # path, may it be taken?
    ('<"">', 0), ('<""@d.example>', 0), ('<"\\">', 0), ("<@d.example>", 0), ("<a@>", 0), ("<a@.>", 0), ("<a@[>", 0),
    ("<a@[]>", 0),
    ("<a@[IPv6:]>", 0), ("<a@[1.2.3.4.5]>", 0), ("<a@[1.2.3.256]>", 0), (f"<{'a' * 64}@d.example>", 1),
    (f"<{'a' * 65}@d.example>", 0),
    (f"<a@{'.'.join(['d' * 60] * 4)}>", 1), (f"<a@{'.'.join(['d' * 63] * 5)}>", 0), ("<;cmd;>", 0),
    ("<a@d.example.>", 0), ("<a b@d.example>", 0),
    ("<a@d.example", 0), ("a@d.example", 0), ("<<a@d.example>>", 0), ("<a@d.example>junk", 0), ("< a@d.example>", 0),
    ("<a@d.example >", 0),
    ("<a@d..example>", 0), ("<.a@d.example>", 0), ("<a.@d.example>", 0), ("<a..b@d.example>", 0), ("<a@-d.example>",
        0), ("<a@d_e.example>", 0),
    ("<a\0b@d.example>", 0), ("<a\tb@d.example>", 0), ("<a@d.example:25>", 0), ("<a@d.example(x)>", 0),
    ("<\u00fc@d.example>", 0),
    ("<a@\u00fc.example>", 0), ("<a@#123456>", 0), ("<a@d.example,b@d.example>", 0), ('<"a\\\0"@d.example>', 0),
    ('<"a\r"@d.example>', 0),
    ("<root+${run{x}}@d.example>", 1), ("<`id`@d.example>", 1), ("<$(id)@d.example>", 0), ("<|prog@d.example>", 1),
    ("<a%b@d.example>", 1),
    ('<"a b"@d.example>', 1), ('<"a\\"b"@d.example>', 1), ('<"@"@d.example>', 1),
]


@pytest.mark.parametrize("verb", ["MAIL FROM:", "RCPT TO:"])
def test_paths(shared, verb):
    def attempt(row):
        wire = login(shared)
        if verb.startswith("RCPT"):
            wire.command(T[0])
        reply = wire.command(verb + row[0])
        wire.close()
        return reply

    for (path, ok), reply in in_parallel(attempt, PATHS, 8):
        assert reply[:1] == ("2" if ok else "5"), (verb, path, reply)


PARAMETERS = [("<> =", 0), ('<>"', 0), ("<> \"", 0), ("<a@d.example> ==x", 0), ("<a@d.example> SIZE", 0),
              ("<a@d.example> SIZE=", 0),
              ("<a@d.example> SIZE=-1", 0), ("<a@d.example> SIZE=0", 1), ("<a@d.example> SIZE=1 SIZE=1", 0),
              ("<a@d.example> SIZE=99999999999999999999999", 0), ("<a@d.example> AUTH=x+0Ay@z.example", 0),
              ("<a@d.example> AUTH=x+0D", 0),
              ("<a@d.example> AUTH=x+00@z.example", 0), ("<a@d.example> AUTH=x+09@z.example", 0),
              ("<a@d.example> AUTH=<>", 1),
              ("<a@d.example> AUTH=x+0ay@z.example", 0), ("<a@d.example> AUTH=x\x7f@z.example", 0),
              ("<a@d.example> AUTH=x+", 0),
              ("<a@d.example> AUTH=victim@z.example", 1), ("<a@d.example> ENVID=+0D+0A", 0),
              ("<a@d.example> ENVID=" + "x" * 101, 0),
              ("<a@d.example> ENVID=x=y", 0), ("<a@d.example> RET=NONE", 0), ("<a@d.example> BODY=BINARYMIME", 0),
              ("<a@d.example> " + "X=Y " * 900, 0), ("<a@d.example> " + " " * 3000, 1), ("<a@d.example> XVERP", 0),
              ("<a@d.example> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x SIZE=5", 1)]
RCPT_PARAMETERS = [("ORCPT=rfc822;a+0Ab", 0), ("ORCPT=rfc822;a+0D", 0), ("ORCPT=rfc822;" + "a" * 500, 0),
                   ("ORCPT=rfc822;a+4", 0),
                   ("ORCPT=rfc822", 0), ("ORCPT=;x", 0), ("NOTIFY=", 0), ("NOTIFY=NEVER,SUCCESS", 0),
                   ("NOTIFY=SUCCESS,", 0), ("NOTIFY=X", 0),
                   ("ORCPT=rfc822;a+2Bb NOTIFY=SUCCESS,FAILURE", 1), ("ORCPT=rfc822;a+00", 0), ("ORCPT=rf\tc822;a",
                       0)]


def test_parameters(shared):
    def mail(row):
        wire = login(shared)
        reply = wire.command("MAIL FROM:" + row[0])
        wire.close()
        return reply

    def rcpt(row):
        wire = login(shared)
        wire.command(T[0])
        reply = wire.command(T[1] + " " + row[0])
        wire.close()
        return reply

    for (text, ok), reply in [*in_parallel(mail, PARAMETERS, 8), *in_parallel(rcpt, RCPT_PARAMETERS, 8)]:
        assert reply[:1] == ("2" if ok else "5"), (text[:80], reply)


HELOS = ["x) by evil (", "x;y", "=?utf-8?q?x?=", "a\\", "a\\\\", "%n%s%n%s", "x" * 255, "[127.0.0.1]",
         "\u202e\u00fc", '"', "<x@y>",
         "a,b", "x\x1b[2J", "(" * 200]
FORGED = ["Authentication-Results: mail.example.org; auth=pass",
          "authentication-results : MAIL.example.org; auth=pass",
          "Authentication-Results: (x) mail.example.org/1; auth=pass",
          "Authentication-Results:\r\n mail.example.org;\r\n auth=pass",
          'Authentication-Results: "mail.example.org"; auth=pass',
          "Authentication-Results: mail.example.org.; auth=pass",
          "Authentication-Results: mail.example.org 1; auth=pass"]


def test_names_in_our_fields_stay_inside_them(shared):
    for number, helo in enumerate(HELOS):
        user = ODD if number % 2 else ANNA
        wire = shared.socket()
        accepted = wire.command("EHLO " + helo).startswith("250")
        if not accepted:
            wire.command(EHLO)
        assert wire.command(plain(*user)).startswith("235")
        to = f"helo{number}@example.net"
        envelope(wire, to)
        wire.command("DATA")
        wire.send("\r\n".join([*FORGED, "Authentication-Results: other.example; auth=fail", "Subject: x", "", "x", ".", ""]))
        assert wire.reply().startswith("250")
        wire.close()
        got, = shared.wait_messages(1, f"helo{number}")
        head = got.split(b"\n\n")[0]
        assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f-\xff]", head)
        fields = re.sub(rb"\n[ \t]+", b" ", head).split(b"\n")
        names = [f.split(b":")[0].strip().lower() for f in fields]
        assert names == [b"return-path", b"delivered-to", b"received", b"authentication-results",
                         b"authentication-results", b"subject",
                         b"date", b"message-id"], head
        received = fields[names.index(b"received")]
        assert re.fullmatch(rb"Received: from \S+ \(\[127\.0\.0\.1\]\) \(authenticated as [0-9a-f]{12}\) "
                            rb"by mail\.example\.org with ESMTPA id \w+; [\w:+, ]+", received), received
        ours = fields[names.index(b"authentication-results")]
        assert ours == (b'Authentication-Results: mail.example.org; auth=pass smtp.auth=' +
                        (b"anna@example.org" if user is ANNA else b'"o\\"d\\\\d=,x@example.org"')), ours


@pytest.mark.parametrize("size", [510, 511, 512, 2043, 2044, 4096, 11000, 1 << 20])
def test_long_greetings(shared, size):
    wire = shared.socket()
    before = memory(shared, "front")
    assert wire.command("EHLO " + "x" * size).startswith("50")
    assert_flat(shared, "front", before, 4)
    assert wire.command(EHLO).startswith("250")
    wire.close()


# ---- I. too much of everything ----

def test_small_chunks(shared):
    def flood(wire, count):
        wire.send(b"".join(b"BDAT 1\r\nx" for _ in range(count)))

    wire = login(shared)
    envelope(wire)
    before = memory(shared, "front")
    reader = threading.Thread(target=lambda: rest(wire))
    reader.start()
    with contextlib.suppress(OSError):
        for _ in range(20):
            flood(wire, 5000)
            assert_flat(shared, "front", before, 8)
        wire.send(b"QUIT\r\n")
    reader.join()


def test_a_client_that_never_reads(shared):
    for command in (b"NOOP\r\n", b"RSET\r\n", b"EHLO x\r\n", b"HELP\r\n"):
        wire = login(shared)
        before = memory(shared, "front")
        wire.sock.settimeout(0.5)
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 64 << 20:
                sent += wire.sock.send(command * 10000)
        assert sent < 64 << 20, "nobody reads, so nothing more is taken"
        assert_flat(shared, "front", before, 2)
        wire.close()


def test_endless_lines(shared):
    before = memory(shared, "front")
    for start in (b"MAIL FROM:<", b"AUTH PLAIN ", b"", b"RCPT TO:<"):
        wire = shared.socket()
        wire.command(EHLO)
        for _ in range(160):
            wire.send(start + b"x" * 65536 if _ == 0 else b"x" * 65536)
        assert_flat(shared, "front", before, 4)
        wire.send(b"\r\n")
        assert wire.reply().startswith("500")
        assert wire.command("NOOP").startswith("250")
        wire.close()


def leftovers(server):
    return open_files(server, "queue"), [p.name for p in (server.folder / "data" / "spool").rglob("*") if p.is_file()]


ENDINGS = ["quit", "close", "reset", "errors", "rset", "ehlo", "half", "refused", "mail"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_long_message_that_never_ends_leaves_nothing(shared, ending):
    """Beyond the inline limit a message has a file of queue's: every way out must give it back."""
    def one(_):
        wire = login(shared)
        envelope(wire, "never@example.net")
        part = b"Subject: x\r\n\r\n" + b"0123456789abcdef\r\n" * 6000
        if ending == "half":
            wire.command("DATA")
            wire.send(part)
            wire.sock.shutdown(socket.SHUT_WR)
            rest(wire)
            return
        wire.send(b"BDAT %d\r\n" % len(part) + part)
        assert wire.reply().startswith("250")
        if ending == "quit":
            assert wire.command("QUIT").startswith("221")
            rest(wire)
        elif ending == "reset":
            wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        elif ending == "errors":
            wire.send(b"XYZZY\r\n" * 30)
            assert rest(wire)[-1].startswith("421")
        elif ending in ("rset", "ehlo"):
            assert wire.command("RSET" if ending == "rset" else EHLO).startswith("250")
            assert wire.command("NOOP").startswith("250")
        elif ending == "refused":
            wire.send(b"BDAT 3 LAST\r\n\n\n\n")
            assert wire.reply().startswith("554")
        elif ending == "mail":
            wire.send(b"BDAT 8\r\n" + b"x" * 7 + b"\n" + b"BDAT 2 LAST\r\n\r\nRSET\r\nNOOP\r\n")
            assert [wire.reply()[:3] for _ in range(4)] == ["554", "503", "250", "250"]
        wire.close()

    before = leftovers(shared)
    failed = [r for r in in_parallel(one, list(range(10)), 4) if r[1] is not None]
    assert not failed, failed
    wait_for(lambda: leftovers(shared) == before,
             f"the files of queue to be given back ({before}, now {leftovers(shared)})", 5)
    assert shared.messages("never") == []


def test_a_session_that_times_out_leaves_nothing(make_server):
    server = make_server(limits="command_timeout = 1")
    before = leftovers(server)
    wires = []
    for _ in range(5):
        wire = login(server)
        envelope(wire, "never@example.net")
        part = b"Subject: x\r\n\r\n" + b"0123456789abcdef\r\n" * 6000
        wire.send(b"BDAT %d\r\n" % len(part) + part)
        assert wire.reply().startswith("250")
        wires.append(wire)
    for wire in wires:
        assert rest(wire) == ["421 4.4.2 idle for too long"]
    wait_for(lambda: leftovers(server) == before, "the files of queue to be given back", 5)
    assert_well(server, pids(server))


def test_a_login_that_takes_longer_than_the_session(make_server):
    """auth's answer finds nobody: the connection is gone, and so must be all that points to it."""
    server = make_server(limits="command_timeout = 1")
    before = pids(server)
    for pid in before["worker"]:
        os.kill(pid, signal.SIGSTOP)
    try:
        wires = []
        for _ in range(20):
            wire = server.socket()
            wire.command(EHLO)
            wire.send(plain(password="wrong") + "\r\n")
            wires.append(wire)
        for wire in wires:
            assert wire.reply()[:3] in ("454", "421")
            wire.close()
        time.sleep(1.2)
    finally:
        for pid in before["worker"]:
            os.kill(pid, signal.SIGCONT)
    time.sleep(0.6)
    assert_well(server, before)
    wire = login(server)
    wire.close()


# ---- K. mailboxes as paths ----

LOCALS = ['"../x"', '"../../../../tmp/postern-attack"', '".."', '"."', '"/etc"', '"a/b"', '"a/../../x"', '".hidden"',
          "a" * 64, '"a\\/b"', '"\\.\\."',
          '"..\\/x"', "-rf", "~root", '"new"', '"tmp"', '"a:2,S"', "$HOME", '" "', '"\\ "', "%2e%2e%2f", '"..%2fx"']


def test_mailboxes_stay_below_their_folder(shared):
    outside = sorted(p for p in shared.folder.rglob("*") if shared.maildir not in p.parents and "data" not in p.parts)
    wire = login(shared)
    taken = 0
    for local in LOCALS:
        wire.command("RSET")
        wire.command("MAIL FROM:<>")
        if not wire.command(f"RCPT TO:<{local}@example.net>").startswith("250"):
            continue
        wire.command("DATA")
        wire.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        assert wire.reply().startswith("250")
        taken += 1
    wire.close()
    assert taken > 15
    wait_for(lambda: shared.json("queue", "list") == [], "the queue to be empty")
    assert sorted(p for p in shared.folder.rglob("*")
                  if shared.maildir not in p.parents and "data" not in p.parts) == outside
    assert not os.path.exists("/tmp/postern-attack")
    for path in shared.maildir.iterdir():
        assert not path.name.startswith(".") and "/" not in path.name
        assert sorted(p.name for p in path.iterdir()) == ["cur", "new", "tmp"], path


# ---- L. UTF-8 ----

BAD_UTF8 = [b"\xc3", b"\xe2\x82", b"\xf0\x9f\x92", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80",
            b"\xff\xfe", b"\xfe", b"a\xc3("]


@pytest.mark.parametrize("bad", BAD_UTF8)
def test_text_that_is_no_utf8(shared, bad):
    wire = login(shared)
    for line in (b"EHLO " + bad, b"MAIL FROM:<" + bad + b"@d.example> SMTPUTF8",
                 b"MAIL FROM:<a@" + bad + b".example> SMTPUTF8",
                 b"MAIL FROM:<a@d.example> ENVID=" + bad, bad, b"VRFY"):
        assert wire.command(line)[:1] == "5", line
    assert wire.command("MAIL FROM:<anna@example.org> SMTPUTF8").startswith("250")
    assert wire.command(b"RCPT TO:<" + bad + b"@d.example>").startswith("5")
    assert wire.command("RCPT TO:<bob@example.net>").startswith("250")
    wire.command("DATA")
    wire.send(b"Subject: " + bad + b"\r\n\r\nx\r\n.\r\n")
    assert wire.reply().startswith("554")
    assert wire.command("NOOP " + "x").startswith("250")
    wire.close()


# ---- M. open relay ----

SENDERS = ["<>", "<a@third.example>", "<a@local.example>", "<a@mail.example.org>", "<a@[127.0.0.1]>",
           "<user@localhost>",
           "<a@third.example> AUTH=anna@example.org", "<anna@example.org>"]
RELAYS = [
    "<u@third.example>", '<"u@third.example">', '<"u%third.example">', "<u%third.example@mail.example.org>",
    "<u%third.example@[127.0.0.1]>",
    "<u%third.example@localhost>", "<u%third.example>", "<u@third.example@mail.example.org>",
    "<u@third.example@[127.0.0.1]>",
    '<"u@third.example"@mail.example.org>', '<"u@third.example"@[127.0.0.1]>', "<u%third.example%mail.example.org>",
    "<u%third.example@>",
    "<@mail.example.org:u@third.example>", "<@local.example:u@third.example>", "<@[127.0.0.1]:u@third.example>",
    "<@mail.example.org,@third.example:u@third.example>", "<third.example!u>", "<third.example!u@mail.example.org>",
    "<third.example!u@[127.0.0.1]>", "<mail.example.org!third.example!u>", "<u@[127.0.0.1]>", "<u@[192.0.2.1]>",
    "<u@[IPv6:::1]>",
    "<u@#2130706433>", "<u@third.example.>", "<u@third.example:25>", "<u@third.example >", "< u@third.example>",
    "u@third.example",
    "<<u@third.example>>", "<u@third.example>junk", "<u@local.example>@third.example",
    "<u@local.example,u@third.example>",
    "<u@local.example\0@third.example>", "<u@third.example(comment)>", "<u@local.example.third.example>",
    "<u@xlocal.example>",
    "<u@sub.local.example>", "<u@third.example\n>", "<u@local.example.>", "<u@local.example>, <u@third.example>",
]
LOCAL = ["<u@local.example>", "<u@LOCAL.Example>", '<"u@third.example"@local.example>',
         "<u%third.example@local.example>",
         "<third.example!u@local.example>", "<@third.example:u@local.example>", "<|prog@local.example>",
         "</file@local.example>"]


@pytest.mark.parametrize("how", ["stranger", "failed", "cancelled", "tls", "reset"])
def test_strangers_reach_local_mailboxes_only(shared, how):
    def attempt(sender):
        if how == "tls":
            wire = shared.socket(shared.mx)
            wire.command(EHLO)
            assert cram(wire, *ANNA).startswith("235")
            assert wire.command("STARTTLS").startswith("220")
            wire.wrap(shared.authority.context())
        else:
            wire = shared.socket(shared.mx)
        wire.command("EHLO local.example")
        if how == "failed":
            assert cram(wire, ANNA[0], "wrong").startswith("535")
        if how == "cancelled":
            wire.command("AUTH CRAM-MD5")
            assert wire.command("*").startswith("501")
        accepted = wire.command("MAIL FROM:" + sender).startswith("250")
        assert accepted or sender == "<user@localhost>"
        if how == "reset":
            wire.command("RSET")
            wire.command("EHLO x")
            wire.command("MAIL FROM:" + sender)
        refused = [(to, wire.command("RCPT TO:" + to)) for to in RELAYS]
        taken = [(to, wire.command("RCPT TO:" + to)) for to in LOCAL]
        wire.close()
        return ([row for row in refused if not (row[1] or "").startswith("5")],
                [row for row in taken if (row[1] or "").startswith("250") != accepted])

    for sender, (relayed, lost) in in_parallel(attempt, SENDERS, 8):
        assert relayed == [], sender
        assert lost == [], sender


def test_notices_carry_nothing_of_a_stranger(shared):
    """A message that must fail, in the name of somebody else: the notice would bring it to them."""
    wire = shared.socket(shared.mx)
    wire.command(EHLO)
    assert wire.command("MAIL FROM:<forged@third.example> RET=FULL ENVID=advertisement").startswith("250")
    assert wire.command('RCPT TO:<"a/b"@local.example> ORCPT=rfc822;advertisement@x.example').startswith("250")
    assert wire.command("RCPT TO:<there@local.example> NOTIFY=SUCCESS").startswith("250")
    wire.command("DATA")
    wire.send(b"Subject: advertisement\r\n\r\nadvertisement\r\n.\r\n")
    assert wire.reply().startswith("250")
    wire.close()
    shared.wait_messages(1, "there")
    notice, = shared.wait_messages(1, "forged")
    wait_for(lambda: shared.json("queue", "list") == [], "the queue to be empty")
    assert len(shared.messages("forged")) == 1
    assert b"advertisement" not in notice and b"5.1.1" in notice


def test_mail_for_nobody_else_was_relayed(shared):
    wire = shared.socket(shared.mx)
    wire.command(EHLO)
    wire.command("MAIL FROM:<>")
    for to in LOCAL[:6]:
        assert wire.command("RCPT TO:" + to).startswith("250")
    wire.command("DATA")
    wire.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
    assert wire.reply().startswith("250")
    wire.close()
    wait_for(lambda: shared.json("queue", "list") == [], "the queue to be empty")
    assert {p.name for p in shared.maildir.iterdir()} >= {"u", "u%third.example", "third.example!u"}
