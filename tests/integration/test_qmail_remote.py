"""qmail-remote's place: what qmail-rspawn reads on descriptor 1 byte by byte, which sender goes where and as whom, what
TLS a password needs, and a real smarthost at the end."""

import base64
import contextlib
import hashlib
import hmac
import os
import re
import socket
import subprocess
import threading
import time

import pytest
from dns import Dns
from peer import broken_context, server_context
from peers import Dovecot, Postfix, missing
from postern import BUILD, Authority, free_ports

REMOTE = BUILD.resolve() / "libexec" / "postern" / "postern-remote"
MESSAGE = b"Subject: hello\n\nworld\n"
IP = "127.0.0.1"
ACCEPTED = b"r\0K127.0.0.1 accepted message.\nRemote host said: 250 taken\n\0"


class Talk:
    """A server that does what a function says, one function a connection (the last for all that follow)."""

    def __init__(self, *dialogues, host=IP, port=0):
        self.dialogues, self.errors, self.lines, self.bodies, self.count = dialogues, [], [], [], 0
        self.listener = socket.create_server((host, port), backlog=8)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)
        if kind is None:
            assert not self.errors, self.errors

    def _accept(self):
        while True:
            try:
                self.socket, _ = self.listener.accept()
            except OSError:
                return
            dialogue = self.dialogues[min(self.count, len(self.dialogues) - 1)]
            self.count += 1
            self.socket.settimeout(20)
            self.file, self.secured = self.socket.makefile("rb"), False
            try:
                dialogue(self)
            except (OSError, EOFError):
                pass
            except Exception as error:      # noqa: BLE001: shown by the test
                self.errors.append(repr(error))
            with contextlib.suppress(OSError):
                self.file.close()
                self.socket.close()

    def say(self, reply):
        self.socket.sendall(reply if isinstance(reply, bytes) else reply.encode() + b"\r\n")

    def line(self):
        raw = self.file.readline()
        if not raw:
            raise EOFError
        assert raw.endswith(b"\r\n"), raw
        self.lines.append(raw[:-2].decode("latin-1"))
        return self.lines[-1]

    def want(self, pattern):
        line = self.line()
        assert re.fullmatch(pattern, line), f"{line!r} is not {pattern!r}"
        return line

    def body(self):
        raw = b""
        while not raw.endswith(b"\r\n.\r\n") and raw != b".\r\n":
            line = self.file.readline()
            if not line:
                raise EOFError
            raw += line
        self.bodies.append(raw)

    def tls(self, context):
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.file, self.secured = self.socket.makefile("rb"), True


def serve(greeting="220 hi", ehlo=("hi",), starttls=None, auth=None, mail="250 ok", rcpt=("250 ok",), data="354 go",
          final="250 taken", implicit=None, stop=None):
    """The usual dialogue. A reply of None ends the connection there; @auth is a function of Talk and the command."""
    def dialogue(t):
        if implicit:
            t.tls(implicit)
        if greeting is None:
            return
        t.say(greeting)
        recipients = iter(rcpt)
        while True:
            line = t.line()
            verb = line.split(" ")[0]
            if verb == "EHLO":
                words = list(ehlo) + (["STARTTLS"] if starttls and not t.secured else [])
                t.say("\r\n".join(f"250-{w}" for w in words[:-1]) + f"\r\n250 {words[-1]}" * (len(words) > 1)
                      if len(words) > 1 else f"250 {words[0]}")
            elif verb == "STARTTLS":
                t.say("220 go")
                t.tls(starttls)
            elif verb == "AUTH":
                auth(t, line)
            elif verb in ("MAIL", "RCPT"):
                reply = mail if verb == "MAIL" else next(recipients)
                if reply is None:
                    return
                t.say(reply)
            elif verb == "DATA":
                if data is None:
                    return
                t.say(data)
                if not data.startswith("3"):
                    continue
                t.body()
                if final is None:
                    return
                t.say(final)
            elif verb == "QUIT":
                t.say("221 bye")
                return
            else:
                t.say("500 what")
    return dialogue


class Home:
    """A qmail directory: control files by name."""

    def __init__(self, folder, **control):
        self.folder = folder / "home"
        self.control = self.folder / "control"
        self.control.mkdir(parents=True)
        self.write(me="mail.example.org\n", **control)

    def write(self, **control):
        for name, text in control.items():
            (self.control / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return self

    def run(self, host="dest.example", sender="anna@example.org", to=("bob@dest.example",), message=MESSAGE, pipe=False,
            env=None, timeout=60):
        """What came on descriptor 1."""
        argv = [str(a).encode("utf-8", "surrogateescape") for a in (REMOTE, host, sender, *to)]
        settings = {"PATH": os.environ["PATH"], "QMAILHOME": str(self.folder), **(env or {})}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                settings[name] = os.environ[name]
        file = self.folder / "message"
        if not pipe:
            file.write_bytes(message)
        with open(file if not pipe else os.devnull, "rb") as stdin:
            done = subprocess.run(argv, env=settings, timeout=timeout, cwd="/", stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, **({"input": message} if pipe else {"stdin": stdin}))
        assert done.returncode == 0, done
        assert done.stderr == b"", done.stderr
        assert done.stdout.endswith(b"\0"), done.stdout
        return done.stdout


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def other_authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def certified(authority):
    return server_context(*authority.issue("localhost"))


@pytest.fixture(scope="module")
def stranger(other_authority):
    """A certificate that nobody here knows."""
    return server_context(*other_authority.issue("localhost"))


def said(text):
    return b"Remote host said: " + text.encode() + b"\n"


# Reports

def connected(kind, what, reply=None):
    return f"{kind}Connected to {IP} but {what}.\n".encode() + (said(reply) if reply else b"") + b"\0"


DIED = b"ZConnected to 127.0.0.1 but connection died. (#4.4.2)\n\0"
H = b"h127.0.0.1 does not like recipient.\nRemote host said: 550 no\n\0"
S = b"s127.0.0.1 does not like recipient.\nRemote host said: 450 later\n\0"
K = b"K127.0.0.1 accepted message.\nRemote host said: 250 taken\n\0"

REPORTS = {
    "all accepted": (serve(rcpt=("250 ok",) * 3), 3, b"r\0r\0r\0" + K),
    "mixed": (serve(rcpt=("250 ok", "550 no", "450 later", "251 ok")), 4, b"r\0" + H + S + b"r\0" + K),
    "all refused": (serve(rcpt=("550 no", "450 later")), 2, H + S + b"DGiving up on 127.0.0.1.\n\0"),
    "all refused, pipelined": (serve(ehlo=("hi", "PIPELINING"), rcpt=("550 no", "550 no"), data="503 nobody"), 2,
                               H + H + b"DGiving up on 127.0.0.1.\n\0"),
    "all refused, pipelined, and DATA wanted": (
        serve(ehlo=("hi", "PIPELINING"), rcpt=("550 no", "450 later"), final="554 nobody"), 2,
        H + S + b"DGiving up on 127.0.0.1.\n\0"),
    "mixed, pipelined": (serve(ehlo=("hi", "PIPELINING"), rcpt=("550 no", "250 ok", "450 later")), 3,
                         H + b"r\0" + S + K),
    "greeting 4xx": (serve(greeting="421 busy"), 1, connected("Z", "greeting failed", "421 busy")),
    "greeting 450": (serve(greeting="450 busy"), 1, connected("Z", "greeting failed", "450 busy")),
    "greeting 5xx": (serve(greeting="554 go away"), 1, connected("D", "greeting failed", "554 go away")),
    "no greeting": (serve(greeting=None), 1, DIED),
    "sender 5xx": (serve(mail="550 no"), 2, connected("D", "sender was rejected", "550 no")),
    "sender 4xx": (serve(mail="451 later"), 2, connected("Z", "sender was rejected", "451 later")),
    "sender 421": (serve(mail="421 bye"), 2, connected("Z", "sender was rejected", "421 bye")),
    "sender 5xx, pipelined": (serve(ehlo=("hi", "PIPELINING"), mail="550 no", rcpt=("503 x",) * 2, data="503 x"), 2,
                              connected("D", "sender was rejected", "550 no")),
    "DATA 4xx": (serve(data="451 later"), 1, b"r\0Z127.0.0.1 failed on DATA command.\n" + said("451 later") + b"\0"),
    "DATA 5xx": (serve(data="554 no"), 1, b"r\0D127.0.0.1 failed on DATA command.\n" + said("554 no") + b"\0"),
    "DATA 421": (serve(data="421 bye"), 1, b"r\0Z127.0.0.1 failed on DATA command.\n" + said("421 bye") + b"\0"),
    "message 4xx": (serve(final="452 full"), 1,
                    b"r\0Z127.0.0.1 failed after I sent the message.\n" + said("452 full") + b"\0"),
    "message 5xx": (serve(final="554 spam"), 1,
                    b"r\0D127.0.0.1 failed after I sent the message.\n" + said("554 spam") + b"\0"),
    "message 421": (serve(final="421 bye"), 1,
                    b"r\0Z127.0.0.1 failed after I sent the message.\n" + said("421 bye") + b"\0"),
    "drop at MAIL": (serve(mail=None), 1, DIED),
    "drop at the second RCPT": (serve(rcpt=("250 ok", None)), 2, b"r\0" + DIED),
    "421 at the second RCPT": (serve(rcpt=("250 ok", "421 bye")), 3,
                               b"r\0s127.0.0.1 does not like recipient.\n" + said("421 bye") + b"\0" + DIED),
    "drop at DATA": (serve(data=None), 1, b"r\0" + DIED),
    "drop after the dot": (serve(final=None), 1, b"r\0ZConnected to 127.0.0.1 but connection died. "
                                                b"Possible duplicate! (#4.4.2)\n\0"),
    "replies of many lines": (serve(greeting="220-hi\r\n220 there", rcpt=("550-no\r\n550-not here\r\n550 never",),
                                    data="503 x"), 1,
                              b"h127.0.0.1 does not like recipient.\nRemote host said: 550-no\n550-not here\n"
                              b"550 never\n\0DGiving up on 127.0.0.1.\n\0"),
    "accepted in many lines": (serve(final="250-2.0.0 taken\r\n250 queued as 7"), 1,
                               b"r\0K127.0.0.1 accepted message.\nRemote host said: 250-2.0.0 taken\n"
                               b"250 queued as 7\n\0"),
    "a reply without text": (serve(final="250"), 1, b"r\0K127.0.0.1 accepted message.\nRemote host said: 250\n\0"),
    "forged reports": (serve(rcpt=(b"550 no\0Kall is well\x01\x1b[2J\t\r\n",)), 1,
                       b"h127.0.0.1 does not like recipient.\nRemote host said: 550 no?Kall is well??[2J?\n\0"
                       b"DGiving up on 127.0.0.1.\n\0"),
}


@pytest.mark.parametrize("name", REPORTS)
def test_reports(home, name):
    dialogue, count, want = REPORTS[name]
    with Talk(dialogue) as peer:
        home.write(smtproutes=f":{IP}:{peer.port}\n")
        assert home.run(to=[f"r{i}@dest.example" for i in range(count)]) == want
        assert peer.count == 1


def test_a_name_that_is_refused(home):
    def refuse(code, then):
        def dialogue(t):
            t.say("220 hi")
            t.want("EHLO mail.example.org")
            t.say(code)
            if code[0] == "5":
                t.want("HELO mail.example.org")
                t.say(then)
            t.line()
        return dialogue

    for code, then, want in (("502 what", "550 no", connected("D", "my name was rejected", "550 no")),
                             ("502 what", "450 no", connected("Z", "my name was rejected", "450 no")),
                             ("451 later", None, connected("Z", "my name was rejected", "451 later"))):
        with Talk(refuse(code, then)) as peer:
            home.write(smtproutes=f":{IP}:{peer.port}\n")
            assert home.run() == want


def test_a_server_that_knows_only_helo(home):
    def old(t):
        t.say("220 hi")
        t.want("EHLO mail.example.org")
        t.say("500 what")
        t.want("HELO mail.example.org")
        t.say("250 hi")
        for reply in ("250 ok", "250 ok", "354 go"):
            t.line()
            t.say(reply)
        t.body()
        t.say("250 taken")

    with Talk(old) as peer:
        home.write(smtproutes=f":{IP}:{peer.port}\n")
        assert home.run() == ACCEPTED


def test_an_endless_reply_is_bounded(home):
    def endless(t):
        t.say("220 hi")
        t.line()
        for _ in range(100000):
            t.say("250-" + "x" * 500)

    with Talk(endless) as peer:
        home.write(smtproutes=f":{IP}:{peer.port}\n")
        got = home.run()
    assert got.startswith(b"ZConnected to 127.0.0.1 but ") and got.count(b"\0") == 1 and len(got) < 10000


def test_a_long_reply_is_cut_at_a_line(home):
    text = "\r\n".join(["550-" + "x" * 90] * 100 + ["550 end"])
    with Talk(serve(rcpt=(text,))) as peer:
        home.write(smtproutes=f":{IP}:{peer.port}\n")
        first = home.run().split(b"\0")[0]
    assert 4000 < len(first) < 5200 and first.endswith(b"x\n") and b"\0" not in first


def test_misuse_and_missing_places(home, tmp_path):
    def run(*argv, folder=home.folder):
        return subprocess.run([REMOTE, *argv], env={"QMAILHOME": str(folder)}, stdin=subprocess.DEVNULL, timeout=20,
                              check=True, stdout=subprocess.PIPE).stdout

    improper = b"DI (qmail-remote) was invoked improperly. (#5.3.5)\n\0"
    assert run() == run("host") == run("host", "sender") == improper
    assert run("host", "a@b", "c@d", folder=tmp_path / "nowhere") == \
        b"ZUnable to switch to home directory. (#4.3.0)\n\0"
    (home.control / "me").unlink()
    assert run("host", "a@b", "c@d") == b"ZUnable to read control files. (#4.3.0)\n\0"
    (home.control / "smtproutes").mkdir()
    home.write(me="mail.example.org")
    assert run("host", "a@b", "c@d") == b"ZUnable to read control files. (#4.3.0)\n\0"


def test_nobody_listens(home):
    port, = free_ports(1)
    home.write(smtproutes=f":{IP}:{port}\n", timeoutconnect="2\n")
    assert home.run() == b"ZSorry, I wasn't able to establish an SMTP connection. (#4.4.1)\n\0"


def test_a_silent_server_is_left_in_time(home):
    def silent(t):
        t.say("220 hi")
        t.line()
        t.line()

    with Talk(silent) as peer:
        home.write(smtproutes=f":{IP}:{peer.port}\n", timeoutremote="1\n")
        begun = time.monotonic()
        assert home.run() == DIED
        assert 0.9 < time.monotonic() - begun < 10


@pytest.mark.parametrize("how", ["postern remote", "qmail-remote"])
def test_called_as_scripts_do(home, how):
    argv = [str(BUILD.resolve() / "postern"), "remote"] if how == "postern remote" else \
        [str(BUILD.resolve() / "libexec" / "postern" / "qmail" / "qmail-remote")]
    with Talk(serve()) as peer, open(os.devnull) as nothing:
        home.write(smtproutes=f":{IP}:{peer.port}\n")
        done = subprocess.run([*argv, "dest.example", "-f@example.org", "bob@dest.example"], stdin=nothing,
                              env={"QMAILHOME": str(home.folder)}, stdout=subprocess.PIPE, check=True, timeout=20)
    assert done.stdout == ACCEPTED
    assert "MAIL FROM:<-f@example.org>" in peer.lines


# The message

MESSAGES = {
    "lines": (b"Subject: x\n\na\nb\n", b"Subject: x\r\n\r\na\r\nb\r\n.\r\n"),
    "dots": (b".\n..\n.a\na.\n\n.\n", b"..\r\n...\r\n..a\r\na.\r\n\r\n..\r\n.\r\n"),
    "nothing": (b"", b".\r\n"),
    "an empty line": (b"\n", b"\r\n.\r\n"),
    "8-bit": ("Subject: ü\n\nä\n".encode(), "Subject: ü\r\n\r\nä\r\n.\r\n".encode()),
    "latin 1": (b"\n\xe4\n", b"\r\n\xe4\r\n.\r\n"),
    "CRLF": (b"a\r\n\r\n.\r\n", b"a\r\n\r\n..\r\n.\r\n"),
}


@pytest.mark.parametrize("pipe", [False, True], ids=["file", "pipe"])
@pytest.mark.parametrize("name", MESSAGES)
def test_message_on_the_wire(home, name, pipe):
    message, want = MESSAGES[name]
    with Talk(serve()) as peer:
        home.write(smtproutes=f":{IP}:{peer.port}\n")
        assert home.run(message=message, pipe=pipe) == ACCEPTED
    assert peer.bodies == [want]
    assert peer.lines[1:] == ["MAIL FROM:<anna@example.org>", "RCPT TO:<bob@dest.example>", "DATA", "QUIT"]


@pytest.mark.parametrize("ehlo", [("hi",), ("hi", "PIPELINING", "SIZE 1000000"),
                                  ("hi", "PIPELINING", "CHUNKING", "SIZE", "8BITMIME")], ids=lambda e: e[-1])
@pytest.mark.parametrize("pipe", [False, True], ids=["file", "pipe"])
@pytest.mark.parametrize("message", [b"no end", b"Subject: x\n\nbody\nrest", b"x" * 200000], ids=len)
def test_a_partial_final_line_is_never_sent(home, message, pipe, ehlo):
    with Talk(serve(ehlo=ehlo)) as peer:
        home.write(smtproutes=f":{IP}:{peer.port}\n")
        assert home.run(message=message, pipe=pipe) == \
            b"r\0DSMTP cannot transfer messages with partial final lines. (#5.6.2)\n\0"
    assert peer.bodies == []


def test_parameters_of_a_file(home):
    with Talk(serve(ehlo=("hi", "SIZE 1000000", "8BITMIME"))) as peer:
        home.write(smtproutes=f":{IP}:{peer.port}\n")
        assert home.run(message="ä\n".encode()) == ACCEPTED
        assert home.run(message=b"a\n") == ACCEPTED
        assert home.run(message="ä\n".encode(), pipe=True) == ACCEPTED
    assert [line for line in peer.lines if line.startswith("MAIL")] == [
        "MAIL FROM:<anna@example.org> SIZE=4 BODY=8BITMIME", "MAIL FROM:<anna@example.org> SIZE=3",
        "MAIL FROM:<anna@example.org>"]


def test_8_bit_text_is_sent_where_nothing_announces_it(home):
    """As qmail always did: refusing it would bounce mail that arrives."""
    with Talk(serve(ehlo=("hi", "SIZE 1000000"))) as peer:
        home.write(smtproutes=f":{IP}:{peer.port}\n")
        assert home.run(message="ä\n".encode()) == ACCEPTED
    assert peer.bodies == ["ä\r\n.\r\n".encode()]


def test_internationalised_addresses(home):
    with Talk(serve(ehlo=("hi", "SMTPUTF8", "8BITMIME"))) as peer:
        home.write(smtproutes=f":{IP}:{peer.port}\n")
        assert home.run(sender="jürgen@example.org", to=["åsa@dest.example"]) == ACCEPTED
    assert [line.encode("latin-1").decode() for line in peer.lines[1:3]] == [
        "MAIL FROM:<jürgen@example.org> SMTPUTF8", "RCPT TO:<åsa@dest.example>"]
    with Talk(serve()) as peer:
        home.write(smtproutes=f":{IP}:{peer.port}\n")
        got = home.run(sender="jürgen@example.org")
        assert got.startswith(b"DConnected to 127.0.0.1 but sender was rejected.\nthe message needs SMTPUTF8"), got


def test_an_internationalised_destination(home):
    with names({"xn--bcher-kva.example": {"A": ["127.0.0.1"]}}) as dns, Talk(serve()) as peer:
        assert home.run(host="bücher.example", env=by_mx(dns, peer.port)) == ACCEPTED


def test_addresses_on_the_wire(home):
    to = ["plain@dest.example", "a b@dest.example", 'q"q@dest.example', "x>y@dest.example", "nodomain"]
    with Talk(serve(rcpt=("250 ok",) * 5)) as peer:
        home.write(smtproutes=f":{IP}:{peer.port}\n")
        assert home.run(sender="", to=to) == b"r\0" * 5 + K
    assert [line for line in peer.lines if line[:4] in ("MAIL", "RCPT")] == [
        "MAIL FROM:<>", "RCPT TO:<plain@dest.example>", 'RCPT TO:<"a b"@dest.example>',
        'RCPT TO:<"q\\"q"@dest.example>', 'RCPT TO:<"x>y"@dest.example>', "RCPT TO:<nodomain>"]


def test_an_address_cannot_become_a_command(home):
    to = ["good@dest.example", "evil\r\nDATA@dest.example", "last@dest.example"]
    with Talk(serve(rcpt=("250 ok",) * 2)) as peer:
        home.write(smtproutes=f":{IP}:{peer.port}\n")
        got = home.run(to=to).split(b"\0")
    assert got[0] == b"r" and got[1].startswith(b"h") and got[2] == b"r" and got[3].startswith(b"K")
    assert [line for line in peer.lines if line.startswith("RCPT")] == [
        "RCPT TO:<good@dest.example>", "RCPT TO:<last@dest.example>"]


def test_a_large_message_is_not_held(home):
    big = b"x" * 998 + b"\n"
    size = 100 << 20
    script = ("import resource, subprocess, sys; p = subprocess.run(sys.argv[1:], stdin=0, stdout=1); "
              "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)")
    file = home.folder / "big"
    with open(file, "wb") as out:
        for _ in range(size // len(big)):
            out.write(big)

    def swallow(t):
        t.say("220 hi")
        for reply in ("250 hi", "250 ok", "250 ok", "354 go"):
            t.line()
            t.say(reply)
        tail, total = b"", 0
        while not tail.endswith(b"\r\n.\r\n"):
            block = t.socket.recv(1 << 20)
            if not block:
                return
            total += len(block)
            tail = (tail + block)[-5:]
        t.bodies.append(total)
        t.say("250 taken")

    with Talk(swallow) as peer, open(file, "rb") as stdin:
        home.write(smtproutes=f":{IP}:{peer.port}\n")
        done = subprocess.run(["python3", "-c", script, str(REMOTE), "dest.example", "a@b.example", "c@dest.example"],
                              stdin=stdin, env={"QMAILHOME": str(home.folder), "PATH": os.environ["PATH"]},
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=200, check=True)
    assert done.stdout == ACCEPTED
    assert peer.bodies == [(len(big) + 1) * (size // len(big)) + 3]
    if os.environ.get("ASAN_OPTIONS") is None and b"asan" not in REMOTE.read_bytes():
        assert int(done.stderr) < 40000, "kilobytes"


def test_a_refusal_in_the_middle_of_the_message(home):
    def refuse(t):
        t.say("220 hi")
        for reply in ("250 hi", "250 ok", "250 ok", "354 go"):
            t.line()
            t.say(reply)
        t.file.readline()
        t.say("552 too big")
        time.sleep(0.2)

    with Talk(refuse) as peer:
        home.write(smtproutes=f":{IP}:{peer.port}\n")
        got = home.run(message=b"x" * 99 + b"\n" + b"y\n" * 10000000)
    assert got.startswith(b"r\0") and got.count(b"\0") == 2
    assert got[2:3] in (b"D", b"Z")     # what the reset connection left of the reply


# Who goes where, and as whom

def login_plain(expect, reply="235 ok"):
    def auth(t, line):
        assert line.startswith("AUTH PLAIN "), line
        t.users = getattr(t, "users", []) + [base64.b64decode(line.split()[2]).decode()]
        t.say(reply if expect is None or t.users[-1].split("\0")[1:] == list(expect) else "535 no")
    return auth


SENDERS = ("anna@example.org:@A|anna|p|w:1\n@example.org:@B|org|orgpass\n.example.net:@A|net|netpass\n"
           ".com:@B|com|compass\n.doe@example.edu:@A\nfallback@x.example:|mx|mxpass\nnothing@x.example:\n")
ROUTES = "dest.example:@A\n.dest.example:@B\nauthed.example:@B|route|rpass\nspaces.example:@B -space s pace\n"
# host, sender: which server, which user, password
TABLE = [
    ("dest.example", "x@y.invalid", "A", None),
    ("Dest.Example", "", "A", None),
    ("sub.dest.example", "x@y.invalid", "B", None),
    ("authed.example", "x@y.invalid", "B", ("route", "rpass")),
    ("authed.example", "", "B", ("route", "rpass")),
    ("spaces.example", "x@y.invalid", "B", ("space", "s pace")),
    ("dest.example", "anna@example.org", "A", ("anna", "p|w:1")),
    ("authed.example", "ANNA@EXAMPLE.ORG", "A", ("anna", "p|w:1")),
    ("dest.example", "bert@example.org", "B", ("org", "orgpass")),
    ("dest.example", "bert@a.b.example.net", "A", ("net", "netpass")),
    ("dest.example", "bert@example.net", "A", ("net", "netpass")),
    ("dest.example", "bert@mail.example.com", "B", ("com", "compass")),
    ("sub.dest.example", "john.doe@example.edu", "A", None),
    ("authed.example", "nothing@x.example", "B", ("route", "rpass")),
]


@pytest.mark.parametrize("separator", [":", ";"])
@pytest.mark.parametrize("row", TABLE, ids=lambda r: f"{r[0]}-{r[1]}")
def test_who_goes_where(home, row, separator):
    host, sender, server, login = row
    offer = ("hi", "AUTH PLAIN")
    with Talk(serve(ehlo=offer, auth=login_plain(login))) as a, Talk(serve(ehlo=offer, auth=login_plain(login))) as b:
        def fill(text):
            if host == "dest.example" and sender == "bert@example.net":
                text = text.replace(".example.net:", "@example.net:")
            return text.replace("@A", f"{IP}{separator}{a.port}").replace("@B", f"{IP}{separator}{b.port}")

        home.write(authsenders=fill(SENDERS), smtproutes=fill(ROUTES), tlspolicy=f"{IP}:none\n")
        assert home.run(host=host, sender=sender) == ACCEPTED
        assert (a.count, b.count) == ((1, 0) if server == "A" else (0, 1))
    used = a if server == "A" else b
    assert getattr(used, "users", []) == (["\0" + "\0".join(login)] if login else [])
    mail = next(line for line in used.lines if line.startswith("MAIL"))
    assert mail == f"MAIL FROM:<{sender}>" + (f" AUTH={login[0]}" if login else "")


def test_the_default_line_takes_bounces_too(home):
    with Talk(serve(ehlo=("hi", "AUTH PLAIN"), auth=login_plain(("u", "p")))) as peer:
        home.write(authsenders=f":{IP}:{peer.port}|u|p\r\n", tlspolicy=f"{IP}:none\r\n")
        assert home.run(sender="") == ACCEPTED
    assert "MAIL FROM:<> AUTH=u" in peer.lines


@pytest.mark.parametrize("file, line, want", [
    ("authsenders", "@example.org:relay.invalid:25|anna", b"a user without a password"),
    ("authsenders", "@example.org:relay.invalid:port|anna|p", b"the port is no number from 1 to 65535"),
    ("smtproutes", ":relay.invalid||p", b"the user is empty"),
    ("tlspolicy", "127.0.0.1:perhaps", b"the policy is none of none, may, require and verify"),
])
def test_a_broken_line_keeps_the_message(home, file, line, want):
    with Talk(serve()) as peer:
        home.write(smtproutes=f":{IP}:{peer.port}\n", **{file: line + "\n"} if file != "smtproutes" else {})
        if file == "smtproutes":
            home.write(smtproutes=line + "\n")
        got = home.run()
        assert peer.count == 0
    assert got == b"ZUnable to use control/%s: the line for this message is wrong: %s. (#4.3.0)\n\0" % (
        file.encode(), want)


# Logging in

def cram(t, line):
    assert line == "AUTH CRAM-MD5", line
    challenge = b"<1896.697170952@postoffice.example>"
    t.say("334 " + base64.b64encode(challenge).decode())
    got = base64.b64decode(t.line()).decode()
    right = got == "u ser " + hmac.new(b"p", challenge, "md5").hexdigest()
    t.say("235 ok" if right else "535 no")


def digest(spoil=""):
    """DIGEST-MD5 (RFC 2831) computed here, so that neither libgsasl nor Postern judges itself."""
    def md5(data):
        return hashlib.md5(data.encode("latin-1") if isinstance(data, str) else data)

    def auth(t, line):
        assert line == "AUTH DIGEST-MD5", line
        t.say("334 " + base64.b64encode(b'realm="r",nonce="n0nce",qop="auth",algorithm=md5-sess,charset=utf-8').decode())
        got = dict(re.findall(r'([\w-]+)="?([^",]*)"?', base64.b64decode(t.line()).decode()))
        secret = md5(md5("u ser:r:p").digest() + f":n0nce:{got['cnonce']}".encode()).hexdigest()

        def answer(verb):
            return md5(f"{secret}:n0nce:00000001:{got['cnonce']}:auth:"
                       + md5(f"{verb}:smtp/{IP}").hexdigest()).hexdigest()
        if got["response"] != answer("AUTHENTICATE") or got["digest-uri"] != f"smtp/{IP}":
            t.say("535 no")
            return
        t.say("334 " + base64.b64encode(f"rspauth={spoil or answer('')}".encode()).decode())
        t.say("235 ok" if t.line() == "" else "501 cancelled")
    return auth


def login(*prompts):
    def auth(t, line):
        assert line == "AUTH LOGIN", line
        t.say(prompts[0])
        user = base64.b64decode(t.line())
        t.say(prompts[1])
        password = base64.b64decode(t.line())
        t.say("235 ok" if (user, password) == (b"u ser", b"p") else "535 no")
    return auth


def two_steps(prompt):
    def auth(t, line):
        t.say(prompt)
        t.say("235 ok" if base64.b64decode(t.line()) == b"\0u ser\0p" else "535 no")
    return auth


def refuse(reply):
    return lambda t, line: t.say(reply)


def rejected(what, reply):
    return connected("Z", what, reply)


PLAIN_REJECTED = "authentication was rejected (AUTH PLAIN)"
LOGINS = {
    "PLAIN": (("AUTH PLAIN",), login_plain(("u ser", "p")), ACCEPTED),
    "PLAIN in two steps": (("AUTH PLAIN",), two_steps("334 "), ACCEPTED),
    "PLAIN in two steps, no blank": (("AUTH PLAIN",), two_steps("334"), ACCEPTED),
    "strongest first": (("AUTH LOGIN PLAIN CRAM-MD5",), cram, ACCEPTED),
    "DIGEST-MD5": (("AUTH DIGEST-MD5",), digest(), ACCEPTED),
    "DIGEST-MD5, the server proves nothing": (
        ("AUTH DIGEST-MD5",), digest("0" * 32),
        rejected("authentication is not possible: server could not prove that it knows the password", None)),
    "LOGIN": (("AUTH LOGIN",), login("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"), ACCEPTED),
    "LOGIN, other prompts": (("AUTH LOGIN",), login("334 VXNlciBOYW1lAA==", "334 UGFzc3dvcmQA"), ACCEPTED),
    "LOGIN, no prompts": (("AUTH LOGIN",), login("334", "334 "), ACCEPTED),
    "AUTH=LOGIN alone": (("AUTH=LOGIN",), login("334 dXNlcm5hbWU6", "334 cGFzc3dvcmQ6"), ACCEPTED),
    "AUTH=MBS_BASIC LOGIN": (("AUTH=MBS_BASIC LOGIN",), login("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"), ACCEPTED),
    "both forms": (("AUTH GSSAPI X-FOO", "AUTH=LOGIN"), login("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"), ACCEPTED),
    "535": (("AUTH PLAIN",), refuse("535 no"), rejected(PLAIN_REJECTED, "535 no")),
    "535 in two lines": (("AUTH PLAIN",), refuse("535-5.7.8 no\r\n535 5.7.8 see there"),
                         rejected(PLAIN_REJECTED, "535-5.7.8 no\n535 5.7.8 see there")),
    "the password repeated": (("AUTH PLAIN",), refuse("501-5.5.4 what is this:\r\n501 AHUgc2VyAHA= AHUgc2VyAHA="),
                              rejected(PLAIN_REJECTED, "501-5.5.4 what is this:\n501 (what we sent, not shown)")),
    "454": (("AUTH PLAIN",), refuse("454 later"), rejected(PLAIN_REJECTED, "454 later")),
    "421": (("AUTH PLAIN",), refuse("421 bye"), rejected(PLAIN_REJECTED, "421 bye")),
    "432": (("AUTH PLAIN",), refuse("432 change it"), rejected("password expired", "432 change it")),
    "534": (("AUTH PLAIN",), refuse("534 weak"),
            rejected("authentication mechanism too weak (AUTH PLAIN)", "534 weak")),
    "504": (("AUTH PLAIN",), refuse("504 not now"), rejected(PLAIN_REJECTED, "504 not now")),
    "LOGIN 535": (("AUTH LOGIN",), refuse("535 no"), rejected("authentication was rejected (AUTH LOGIN)", "535 no")),
    "no AUTH": ((), None, rejected("authentication is not possible: the server does not offer AUTH", None)),
    "nothing we know": (("AUTH GSSAPI NTLM",), None,
                        rejected("authentication is not possible: no mechanism that the account allows is offered", None)),
    "EHLO is not known": ("HELO", None, rejected("my name was rejected", "502 what")),
}


@pytest.mark.parametrize("name", LOGINS)
def test_logging_in(home, name):
    offer, auth, want = LOGINS[name]
    if "DIGEST" in name and b"libgsasl" not in subprocess.run(["ldd", REMOTE], capture_output=True).stdout:
        pytest.skip("built without libgsasl")

    def old(t):
        t.say("220 hi")
        t.want("EHLO .*")
        t.say("502 what")
        t.line()

    with Talk(old if offer == "HELO" else serve(ehlo=("hi", *offer), auth=auth)) as peer:
        home.write(authsenders=f"@example.org:{IP}:{peer.port}|u ser|p\n", tlspolicy=f"{IP}:none\n")
        begun = time.monotonic()
        assert home.run() == want
        assert time.monotonic() - begun < 10
    if want != ACCEPTED:
        assert not any(line.startswith("MAIL") for line in peer.lines), "never unauthenticated"


@pytest.mark.parametrize("user, shown", [("a=b+c d", "a+3Db+2Bc+20d"), ("anna@example.org", "anna@example.org"),
                                         ("dom\\anna", "dom\\anna"), ("jürgen", "j+C3+BCrgen"), ("a\tb", "<>"),
                                         ("x" * 330, "<>")], ids=["xtext", "address", "backslash", "utf8", "tab", "long"])
def test_whose_login_it_was(home, user, shown):
    with Talk(serve(ehlo=("hi", "AUTH PLAIN"), auth=login_plain((user, "p")))) as peer:
        peer.users = []
        home.write(authsenders=f"@example.org:{IP}:{peer.port}|{user}|p\n", tlspolicy=f"{IP}:none\n")
        assert home.run() == ACCEPTED
    assert f"MAIL FROM:<anna@example.org> AUTH={shown}" in peer.lines


# TLS

def outcome(report):
    text = report.decode()
    if report == ACCEPTED:
        return "sent"
    assert text.startswith(f"ZConnected to {IP} but ") and text.count("\0") == 1, text
    for word, short in (("TLS failed", "failed"), ("does not offer STARTTLS", "no TLS"), ("verif", "failed")):
        if word in text:
            return short
    return text


# policy, credentials: the outcome with a good certificate, an unknown one, none, a handshake that breaks
MATRIX = [
    ("", False, "tls", "tls", "clear", "clear"),
    ("", True, "tls", "failed", "no TLS", "failed"),
    ("none", False, "clear", "clear", "clear", "clear"),
    ("none", True, "clear", "clear", "clear", "clear"),
    ("may", False, "tls", "tls", "clear", "clear"),
    ("may", True, "tls", "failed", "no TLS", "failed"),
    ("require", False, "tls", "tls", "no TLS", "failed"),
    ("require", True, "tls", "tls", "no TLS", "failed"),
    ("verify", False, "tls", "failed", "no TLS", "failed"),
    ("verify", True, "tls", "failed", "no TLS", "failed"),
]


@pytest.mark.parametrize("kind", ["good", "unknown", "none", "broken"])
@pytest.mark.parametrize("row", MATRIX, ids=lambda r: f"{r[0] or 'default'}-{'login' if r[1] else 'open'}")
def test_tls_policy(home, authority, certified, stranger, row, kind):
    policy, credentials, *wants = row
    want = wants[["good", "unknown", "none", "broken"].index(kind)]
    context = {"good": certified, "unknown": stranger, "none": None, "broken": broken_context()}[kind]
    auth = login_plain(("u", "p"))
    with Talk(serve(ehlo=("hi", "AUTH PLAIN"), starttls=context, auth=auth)) as peer:
        peer.users = []
        home.write(authsenders=f":localhost:{peer.port}{'|u|p' if credentials else ''}\n")
        if policy:
            home.write(tlspolicy=f"localhost:{policy}\n")
        got = home.run(env={"SSL_CERT_FILE": str(authority.ca)})
    if want in ("tls", "clear"):
        assert got == ACCEPTED
        assert peer.secured == (want == "tls")
        assert len(peer.users) == credentials
    else:
        assert outcome(got) == want
        assert not any(line.startswith(("MAIL", "AUTH")) for line in peer.lines)


@pytest.mark.parametrize("where", ["cafile", "environment", "neither", "cafile alone counts"])
def test_authorities(home, authority, other_authority, certified, where):
    env = {"SSL_CERT_FILE": str(other_authority.ca)}
    if where == "environment":
        env["SSL_CERT_FILE"] = str(authority.ca)
    elif where == "cafile":
        home.write(cafile=authority.ca.read_bytes())
    elif where == "cafile alone counts":
        env["SSL_CERT_FILE"] = str(authority.ca)
        home.write(cafile=other_authority.ca.read_bytes())
    with Talk(serve(ehlo=("hi", "AUTH PLAIN"), starttls=certified, auth=login_plain(("u", "p")))) as peer:
        home.write(authsenders=f":localhost:{peer.port}|u|p\n")
        got = home.run(env=env)
    assert outcome(got) == ("sent" if where in ("cafile", "environment") else "failed"), got


def test_the_name_in_the_certificate_counts(home, authority):
    context = server_context(*authority.issue("elsewhere", "DNS:elsewhere.example"))
    with Talk(serve(ehlo=("hi", "AUTH PLAIN"), starttls=context, auth=login_plain(("u", "p")))) as peer:
        home.write(authsenders=f":localhost:{peer.port}|u|p\n", cafile=authority.ca.read_bytes())
        assert outcome(home.run()) == "failed"
        assert not any(line.startswith("AUTH") for line in peer.lines)


def test_port_465_is_tls_from_the_first_byte(home, authority, certified):
    try:
        peer = Talk(serve(ehlo=("hi", "AUTH PLAIN"), implicit=certified, auth=login_plain(("u", "p"))), port=465)
    except OSError as error:
        pytest.skip(f"port 465: {error}")
    with peer:
        home.write(authsenders=":localhost:465|u|p\n", cafile=authority.ca.read_bytes())
        assert home.run() == ACCEPTED


def test_bytes_behind_starttls_do_not_count(home, authority, certified):
    def inject(t):
        t.say("220 hi")
        t.want("EHLO .*")
        t.say("250-hi\r\n250 STARTTLS")
        t.want("STARTTLS")
        t.say(b"220 go\r\n250 AUTH PLAIN\r\n")
        t.tls(certified)

    with Talk(inject) as peer:
        home.write(authsenders=f":localhost:{peer.port}|u|p\n", cafile=authority.ca.read_bytes())
        got = home.run()
    assert got.startswith(b"ZConnected to 127.0.0.1 but bytes in clear"), got


# The DNS

@contextlib.contextmanager
def names(zones):
    dns = Dns(zones)
    try:
        yield dns
    finally:
        dns.close()


def by_mx(dns, port):
    return {"POSTERN_RESOLVER": f"{IP}:{dns.port}", "POSTERN_MX_PORT": str(port)}


def test_mail_exchangers_in_order(home):
    zones = {"dest.example": {"MX": [(20, "mx2.dest.example"), (10, "mx1.dest.example")]},
             "mx1.dest.example": {"A": ["127.0.0.2"]}, "mx2.dest.example": {"A": ["127.0.0.1"]}}
    with names(zones) as dns, Talk(serve(), host="127.0.0.2") as first, Talk(serve(), port=first.port) as second:
        env = by_mx(dns, first.port)
        assert home.run(env=env) == ACCEPTED.replace(b"127.0.0.1", b"127.0.0.2")
        assert (first.count, second.count) == (1, 0)
    with names(zones) as dns, Talk(serve()) as second:      # nobody at the first
        assert home.run(env=by_mx(dns, second.port)) == ACCEPTED
    with names(zones) as dns, Talk(serve(greeting="450 full"), host="127.0.0.2") as first, \
            Talk(serve(), port=first.port) as second:
        assert home.run(env=by_mx(dns, first.port)) == ACCEPTED
        assert (first.count, second.count) == (1, 1)
    with names(zones) as dns, Talk(serve(greeting="450 full"), host="127.0.0.2") as first:
        assert home.run(env=by_mx(dns, first.port)) == \
            b"ZConnected to 127.0.0.2 but greeting failed.\nRemote host said: 450 full\n\0"


def test_credentials_by_mx(home, authority):
    """An empty relay means MX; the password goes to a host of the domain's own, or to nobody."""
    context = server_context(*authority.issue("mx", "DNS:mx.dest.example,DNS:mx.evil.example"))
    for mx, want in (("mx.dest.example", "sent"), ("mx.evil.example", "failed")):
        zones = {"dest.example": {"MX": [(10, mx)]}, mx: {"A": ["127.0.0.1"]}}
        with names(zones) as dns, Talk(serve(ehlo=("hi", "AUTH PLAIN"), starttls=context,
                                             auth=login_plain(("u", "p")))) as peer:
            home.write(authsenders="@example.org:|u|p\n", cafile=authority.ca.read_bytes())
            got = home.run(env=by_mx(dns, peer.port))
            assert outcome(got) == want, got


def test_the_dns_does_not_choose_a_policy_for_a_password(home):
    """A policy written for one host is not that of another domain whose MX names it."""
    for mx, want in (("mx.dest.example", "sent"), ("old.evil.example", "no TLS")):
        zones = {"dest.example": {"MX": [(10, mx)]}, mx: {"A": ["127.0.0.1"]}}
        with names(zones) as dns, Talk(serve(ehlo=("hi", "AUTH PLAIN"), auth=login_plain(("u", "p")))) as peer:
            home.write(authsenders="@example.org:|u|p\n", tlspolicy="mx.dest.example:none\nold.evil.example:none\n")
            got = home.run(env=by_mx(dns, peer.port))
            assert outcome(got) == want, got


LOOKUPS = {
    "no such domain": ({"other.example": {}},
                       b"DSorry, I couldn't find any host named dest.example. (#5.1.2)\n\0"),
    "not now": ({"dest.example": "SERVFAIL"}, b"ZSorry, I couldn't find any host by that name. (#4.1.2)\n\0"),
    "no address": ({"dest.example": {"MX": [(10, "mx.example")]}, "mx.example": {}},
                   b"DSorry, I couldn't find a mail exchanger or IP address. (#5.4.4)\n\0"),
    "we are the best": ({"dest.example": {"MX": [(10, "mail.example.org"), (20, "mx2.example")]},
                         "mx2.example": {"A": ["127.0.0.1"]}},
                        b"DSorry. Although I'm listed as a best-preference MX or A for that host,\nit isn't in my "
                        b"control/locals file, so I don't treat it as local. (#5.4.6)\n\0"),
    "null MX": ({"dest.example": {"MX": [(0, "")]}}, b"DSorry, the domain takes no mail (null MX). (#5.1.10)\n\0"),
}


@pytest.mark.parametrize("name", LOOKUPS)
def test_lookups(home, name):
    zones, want = LOOKUPS[name]
    with names(zones) as dns, Talk(serve()) as peer:
        assert home.run(env=by_mx(dns, peer.port)) == want
        assert peer.count == 0


def test_without_mx_the_address_counts(home):
    with names({"dest.example": {"A": ["127.0.0.1"]}}) as dns, Talk(serve()) as peer:
        assert home.run(env=by_mx(dns, peer.port)) == ACCEPTED


def test_a_route_is_no_mail_domain(home):
    zones = {"relay.example": {"A": ["127.0.0.1"], "MX": [(1, "elsewhere.example")]}}
    with names(zones) as dns, Talk(serve()) as peer:
        home.write(smtproutes=f"dest.example:relay.example:{peer.port}\n")
        assert home.run(env=by_mx(dns, 1)) == ACCEPTED
        assert ("relay.example", "MX", "udp") not in dns.asked


def test_a_name_cannot_forge_a_report(home):
    with names({"x.example": {}}) as dns:
        got = home.run(host="a\nKall is well. b", env=by_mx(dns, 1))
    assert got == b"DSorry, I couldn't find any host named a?Kall?is?well.?b. (#5.1.2)\n\0"


def test_loopback_is_ourselves(home):
    assert home.run(host="[127.0.0.1]").startswith(b"DSorry. Although I'm listed as a best-preference MX")


# Where from

def test_names_and_addresses_of_our_own(home):
    seen = []

    def note(t):
        seen.append(t.socket.getpeername()[0])
        serve()(t)

    with Talk(note) as peer:
        home.write(smtproutes=f":{IP}:{peer.port}\n", helohost="helo.example.org\n", outgoingip="127.0.0.3\n",
                   domainips="example.net:127.0.0.4|net.example.net\nexample.com:127.0.0.5\n")
        for sender in ("a@example.org", "a@example.net", "a@EXAMPLE.com"):
            assert home.run(sender=sender) == ACCEPTED
        home.write(outgoingip="nowhere\n")
        assert home.run(sender="a@example.org") == b"Zinvalid ipaddr in control/outgoingip (#4.3.0)\n\0"
        home.write(outgoingip="192.0.2.1\n")
        assert home.run(sender="a@example.org") == \
            b"ZSorry, I wasn't able to establish an SMTP connection. (#4.4.1)\n\0"
    assert seen == ["127.0.0.3", "127.0.0.4", "127.0.0.5"]
    assert [line for line in peer.lines if line.startswith("EHLO")] == [
        "EHLO helo.example.org", "EHLO net.example.net", "EHLO helo.example.org"]


def test_ipv6_relay(home):
    try:
        peer = Talk(serve(), host="::1")
    except OSError as error:
        pytest.skip(f"::1: {error}")
    with peer:
        home.write(smtproutes=f":[::1]:{peer.port}\n")
        assert home.run() == ACCEPTED.replace(b"127.0.0.1", b"::1")
        home.write(smtproutes=f":::1;{peer.port}\n")
        assert home.run() == ACCEPTED.replace(b"127.0.0.1", b"::1")


# A real smarthost

reason = missing("postfix", "dovecot")
CAROL = ("carol@example.net", "pass|wörd, of her")


@pytest.fixture(scope="module")
def smarthost(tmp_path_factory, authority):
    place = tmp_path_factory.mktemp("smarthost")
    with Dovecot(place / "dovecot", dict([CAROL])) as dovecot:
        extra = "smtpd_sender_login_maps = static:" + CAROL[0] + "\nsmtpd_relay_restrictions =\n"
        with Postfix(place / "postfix", authority, dovecot.auth, extra=extra) as postfix:
            yield postfix


@pytest.mark.skipif(reason is not None, reason=reason or "")
def test_through_a_real_smarthost(home, authority, smarthost):
    home.write(cafile=authority.ca.read_bytes(),
               authsenders=f"@example.org:localhost:{smarthost.starttls}|{CAROL[0]}|{CAROL[1]}\n")
    message = "Subject: real\nFrom: anna@example.org\n\nhello ä\n.\n..dots\n".encode()
    got = home.run(to=["box@example.net", "rejected@example.net", "later@example.net"], message=message).split(b"\0")
    assert got[0] == b"r"
    assert re.match(rb"h127\.0\.0\.1 does not like recipient\.\nRemote host said: 550 5\.1\.1 ", got[1])
    assert re.match(rb"s127\.0\.0\.1 does not like recipient\.\nRemote host said: 450 4\.2\.0 ", got[2])
    assert re.match(rb"K127\.0\.0\.1 accepted message\.\nRemote host said: 250 2\.0\.0 Ok: ", got[3])
    assert got[4:] == [b""]
    taken = smarthost.wait_messages(1, "box")[0]
    assert b"Authenticated sender: " + CAROL[0].encode() in taken
    assert taken.endswith("\n\nhello ä\n.\n..dots\n".encode())
    assert smarthost.wait_log("sasl_method=SCRAM-SHA-256")


@pytest.mark.skipif(reason is not None, reason=reason or "")
def test_a_wrong_password_at_a_real_smarthost(home, authority, smarthost):
    home.write(cafile=authority.ca.read_bytes(),
               authsenders=f"@example.org:localhost:{smarthost.starttls}|{CAROL[0]}|wrong\n")
    assert re.match(rb"ZConnected to 127\.0\.0\.1 but authentication was rejected \(AUTH SCRAM-SHA-256\)\.\n"
                    rb"Remote host said: 535 5\.7\.8 ", home.run(to=["box@example.net"]))
