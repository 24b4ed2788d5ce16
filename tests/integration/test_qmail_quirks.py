"""What clients and servers of the field do against the letter of the protocol, one session each: at postern-smtpd and
at the daemon's listener from the client's side, at `postern send` and postern-remote from the server's. Each asserts
the replies, the bytes that a checker gets, and that the next command is answered by its own reply."""

import base64
import contextlib
import re
import socket
import subprocess
import threading

import pytest

import qmail as q
from postern import message, wait_for
from qmail import Qmail, b64, digest, plain

USER, PASSWORD = "anna@example.org", "correct horse"
FOREIGN = "zoe@elsewhere.example"


def in_step(s):
    """Nothing is left over and nothing is owed: two commands get their own replies."""
    reply = s.command("NOOP")
    assert reply and reply.startswith("250"), reply
    reply = s.command("BOGUSCOMMAND")
    assert reply and reply[:3] in ("500", "502"), reply
    return True


class Smtpd:
    """postern-smtpd with a checker that keeps what it is given."""

    name = "smtpd"

    def __init__(self, folder):
        self.box = Qmail(folder)
        self.checker = self.box.recorder("users:" + str(self.box.users("logins", f"{USER}\t{PASSWORD}\nanna smith\tx y\n")))

    def connect(self):
        return self.box.session(self.checker)

    def given(self):
        """What reached descriptor 3, one entry for each checker started."""
        return [seen.data for seen in self.box.recorded()]

    def check(self, *expected):
        assert self.given() == [e.encode() for e in expected]

    def never_asked(self):
        assert self.given() == []


class Daemon:
    """A listener of the running server; nobody sees what its providers are asked."""

    name = "daemon"

    def __init__(self, server):
        self.server = server

    def connect(self):
        return self.server.socket()

    def check(self, *expected):
        pass

    def never_asked(self):
        pass


@pytest.fixture(params=["smtpd", "daemon"])
def at(request, tmp_path):
    if request.param == "daemon":
        yield Daemon(request.getfixturevalue("server"))
    else:
        made = Smtpd(tmp_path)
        yield made
        made.box.close()


@pytest.fixture
def smtpd(tmp_path):
    made = Smtpd(tmp_path)
    yield made
    made.box.close()


def hello(s, name="client.example.net"):
    reply = s.command(f"EHLO {name}")
    assert reply.startswith("250"), reply
    return reply


RIGHT = plain(USER, PASSWORD)
SEEN = f"{USER}\0{PASSWORD}\0\0"


# ---- the client's side of the table ----

def test_row_1_no_auth_with_an_equals_sign_unless_asked_for(at):
    reply = hello(at.connect())
    assert re.search(r"^250[ -]AUTH [A-Z]", reply, re.M) and "AUTH=" not in reply


@pytest.mark.parametrize("where", ["daemon", "smtpd"])
def test_row_1_the_old_form_when_asked_for(make_server, tmp_path, where):
    """The same list behind the real line, and a client that knows the old form alone logs in."""
    server = make_server(auth='legacy_announcement = true  mechanisms = {"PLAIN", "LOGIN", "CRAM-MD5"}')
    with Qmail(tmp_path / "q") as box:
        if where == "daemon":
            s = server.socket()
        else:
            s = box.session(box.recorder(0), ["--allow-clear", "-c", server.conf])
        lines = [line[4:] for line in hello(s).split("\n")]
        first = next(i for i, line in enumerate(lines) if line.startswith("AUTH"))
        assert lines[first].startswith("AUTH ") and sorted(lines[first].split()[1:]) == ["CRAM-MD5", "LOGIN", "PLAIN"]
        assert lines[first + 1] == lines[first].replace("AUTH ", "AUTH=", 1)
        assert s.command("AUTH LOGIN") == "334 VXNlcm5hbWU6"
        assert s.command(b64(USER)) == "334 UGFzc3dvcmQ6"
        assert s.command(b64(PASSWORD)).startswith("235")
        assert in_step(s)
        assert where == "daemon" or box.recorded()[0].data == SEEN.encode()


def test_row_3_a_network_that_is_not_asked_to_log_in(smtpd):
    """As tcprules sets it: the line is gone, and with it the command."""
    s = smtpd.box.session(smtpd.checker, env={"SMTPAUTH": "-"})
    assert "AUTH" not in hello(s)
    assert s.command("AUTH PLAIN " + RIGHT).startswith("503")
    assert in_step(s)
    smtpd.never_asked()


def test_row_4_auth_sent_without_waiting_for_ehlo(at):
    """Netscape 4.8: and with the user as the authorization identity."""
    s = at.connect()
    s.send("ehlo client.example.net\r\nAUTH PLAIN " + plain(USER, PASSWORD, USER) + "\r\n")
    assert s.reply().startswith("250") and s.reply().startswith("235")
    assert in_step(s)
    at.check(SEEN)


def test_row_4_auth_without_any_hello(at):
    s = at.connect()
    assert s.command("AUTH PLAIN " + RIGHT)[:3] in ("235", "503")
    assert in_step(s)


def test_row_4_somebody_elses_authorization(at):
    s = at.connect()
    hello(s)
    assert s.command("AUTH PLAIN " + plain(USER, PASSWORD, "victim@example.org")).startswith("535")
    assert in_step(s)
    assert s.command(f"MAIL FROM:<{USER}>")[:3] in ("250", "530")
    assert s.command(f"RCPT TO:<{FOREIGN}>")[:3] in ("553", "503", "530")


@pytest.mark.parametrize("word", ["login", "Login", "LOGIN"])
@pytest.mark.parametrize("verb", ["AUTH", "auth"])
def test_row_5_login_in_any_case_with_the_user_at_once(at, verb, word):
    s = at.connect()
    hello(s)
    assert s.command(f"{verb} {word} {b64(USER)}") == "334 UGFzc3dvcmQ6"
    assert s.command(b64(PASSWORD)).startswith("235")
    assert in_step(s)
    at.check(SEEN)


def test_row_6_the_prompts_to_the_letter(at):
    s = at.connect()
    hello(s)
    assert s.command("AUTH LOGIN") == "334 VXNlcm5hbWU6"
    assert s.command(b64(USER)) == "334 UGFzc3dvcmQ6"
    assert s.command(b64(PASSWORD)).startswith("235")
    assert in_step(s)
    at.check(SEEN)


def test_row_8_plain_in_two_steps(at):
    s = at.connect()
    hello(s)
    assert s.command("AUTH PLAIN") == "334 "
    assert s.command(RIGHT).startswith("235")
    assert in_step(s)
    at.check(SEEN)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_row_9_an_empty_initial_response(at, mechanism):
    """`=` is zero bytes: no user at all."""
    s = at.connect()
    hello(s)
    reply = s.command(f"AUTH {mechanism} =")
    if reply.startswith("334"):
        reply = s.command("*")
    assert reply.startswith(("501", "535"))
    assert in_step(s)
    at.never_asked()
    assert s.command("AUTH PLAIN " + RIGHT).startswith("235")


@pytest.mark.parametrize("tail", [" ", "  ", "\t", " \t "])
@pytest.mark.parametrize("form", ["initial response", "continuation", "mechanism", "password"])
def test_row_10_blanks_at_the_end(at, form, tail):
    """0.5.8 made NULs of them. The daemon reads base64 strictly: in an answer to a challenge they are an error."""
    if at.name == "daemon" and form in ("continuation", "password"):
        s = at.connect()
        hello(s)
        assert s.command("AUTH PLAIN") == "334 "
        assert s.command(RIGHT + tail).startswith("501") and in_step(s)
        return
    s = at.connect()
    hello(s)
    if form == "initial response":
        reply = s.command("AUTH PLAIN " + RIGHT + tail)
    elif form == "password":
        assert s.command("AUTH LOGIN" + tail) == "334 VXNlcm5hbWU6"
        assert s.command(b64(USER) + tail) == "334 UGFzc3dvcmQ6"
        reply = s.command(b64(PASSWORD) + tail)
    else:
        assert s.command("AUTH PLAIN" + (tail if form == "mechanism" else "")) == "334 "
        reply = s.command(RIGHT + (tail if form == "continuation" else ""))
    assert reply.startswith("235"), reply
    assert in_step(s)
    at.check(SEEN)


def test_row_10_lines_that_end_in_lf(smtpd):
    s = smtpd.connect()
    for line, code in (("EHLO x\n", "250"), ("AUTH LOGIN\n", "334"), (b64(USER) + "\n", "334"),
                       (b64(PASSWORD) + "\n", "235"), ("NOOP\n", "250")):
        s.send(line)
        assert s.reply().startswith(code), line
    smtpd.check(SEEN)


@pytest.mark.parametrize("given", ["AGFubmFAZXhhbXBsZS5vcmcAY29ycmVjdCBob3JzZQ=", "AGFubmFAZXhhbXBsZS5vcmcAY29ycmVjdCBob3JzZQ",
                                   "AGFubmFAZXhhbXBsZS5vcmcAY29ycmVjdCBob3JzZQ===", "AGFubmFAZXhhbXBsZS5vcmcAY29ycmVjdCBob3JzZQ=x",
                                   "A=FubmFAZXhhbXBsZS5vcmcAY29ycmVjdCBob3JzZQ==", "AGFu bmFAZXhhbXBsZS5vcmcAY29ycmVjdCBob3JzZQ=="])
def test_row_11_wrong_padding(at, given):
    """Refused, or taken for what was meant; never cut short."""
    assert base64.b64decode("AGFubmFAZXhhbXBsZS5vcmcAY29ycmVjdCBob3JzZQ==") == f"\0{USER}\0{PASSWORD}".encode()
    s = at.connect()
    hello(s)
    reply = s.command("AUTH PLAIN " + given)
    assert reply.startswith(("501", "235")), reply
    if reply.startswith("235"):
        at.check(SEEN)
    else:
        at.never_asked()
    assert in_step(s)


@pytest.mark.parametrize("name", ["anna", "anna@example.org", "anna%example.org", "anna/example.org", "ANNA@Example.ORG",
                                  "anna@example.org@mail.example.org", "anna:example.org", " anna ", "j\u00fcrgen@example.org"])
def test_row_12_names_reach_the_checker_as_they_are(smtpd, name):
    s = smtpd.box.session(smtpd.box.recorder(0))
    hello(s)
    assert s.command("AUTH PLAIN " + plain(name, PASSWORD)).startswith("235")
    assert in_step(s)
    smtpd.check(f"{name}\0{PASSWORD}\0\0")


def test_row_13_a_user_with_a_space_in_cram_md5(smtpd):
    """The digest is what stands behind the last space."""
    s = smtpd.connect()
    hello(s)
    challenge = s.command("AUTH CRAM-MD5")[4:]
    proof = digest("x y", challenge)
    assert s.command(b64(f"anna smith {proof}")).startswith("235")
    smtpd.check(f"anna smith\0{proof}\0{base64.b64decode(challenge).decode()}\0")
    assert in_step(s)


@pytest.mark.parametrize("make", [
    lambda d: f"{USER} {d[:31]}", lambda d: f"{USER} {d[:-1]}g", lambda d: f"{USER}", lambda d: d, lambda d: f" {d}",
    lambda d: f"{USER} {d} "], ids=["31", "not hex", "no digest", "no user", "empty user", "space behind"])
def test_row_13_a_broken_cram_md5_answer(at, make):
    s = at.connect()
    hello(s)
    challenge = s.command("AUTH CRAM-MD5")[4:]
    assert s.command(b64(make(digest(PASSWORD, challenge))))[:3] in ("501", "535")
    at.never_asked()
    assert in_step(s)


def test_row_13_upper_case_digits(at):
    """Compared as a number or refused: the session goes on."""
    s = at.connect()
    hello(s)
    challenge = s.command("AUTH CRAM-MD5")[4:]
    assert s.command(b64(f"{USER} {digest(PASSWORD, challenge).upper()}"))[:3] in ("235", "501", "535")
    assert in_step(s)


def test_row_14_cram_md5_with_an_initial_response(at):
    s = at.connect()
    hello(s)
    assert s.command("AUTH CRAM-MD5 " + b64(f"{USER} {'0' * 32}")).startswith("501")
    assert in_step(s)
    at.never_asked()
    challenge = s.command("AUTH CRAM-MD5")[4:]
    assert s.command(b64(f"{USER} {digest(PASSWORD, challenge)}")).startswith("235")


@pytest.mark.parametrize("option, codes", [
    ("AUTH=<>", ["250"]), ("AUTH=anna@example.org", ["250"]), ("auth=anna+40example.org", ["250"]),
    ("AUTH=", ["250", "501", "553"]), ("AUTH=<> AUTH=<>", ["250", "501", "503"]), ("AUTH=+4", ["250", "501"]),
    ("AUTH=<>  SIZE=1", ["250", "501", "555"])])
@pytest.mark.parametrize("login", [True, False])
def test_row_15_auth_in_mail(at, option, codes, login):
    """Taken, and never a right: without a login the daemon asks for one, postern-smtpd does not relay."""
    s = at.connect()
    hello(s)
    if login:
        assert s.command("AUTH PLAIN " + RIGHT).startswith("235")
    reply = s.command(f"MAIL FROM:<{USER}> {option}")
    if at.name == "daemon" and not login:
        assert reply[:3] in ("530", "501", "503"), reply
    else:
        assert reply[:3] in codes, reply
    reply = s.command(f"RCPT TO:<{FOREIGN}>")
    assert (reply[:3] == "250") == (login and reply[:3] == "250")
    assert login or reply[:3] in ("553", "503", "530"), reply
    assert in_step(s)


@pytest.mark.parametrize("line, codes", [(f"MAIL FROM: <{USER}>", ["250"]), (f"mail from:<{USER}>", ["250"]),
                                         (f"Mail From:   <{USER}>", ["250"]), (f"MAIL FROM:{USER}", ["250", "501", "555"]),
                                         (f"mail FROM:<{USER}> ", ["250"])])
def test_row_16_loose_commands(at, line, codes):
    s = at.connect()
    hello(s)
    assert s.command("AUTH PLAIN " + RIGHT).startswith("235")
    assert s.command(line)[:3] in (codes if at.name == "daemon" else ["250"])
    s.command("RSET")
    assert s.command(f"MAIL FROM:<{USER}>").startswith("250")
    assert s.command(f"rcpt to: <{FOREIGN}>").startswith("250")
    assert in_step(s)


def test_row_17_auth_again_and_in_a_transaction(at):
    s = at.connect()
    hello(s)
    assert s.command("AUTH PLAIN " + RIGHT).startswith("235")
    assert s.command("AUTH PLAIN " + RIGHT).startswith("503")
    assert s.command("AUTH LOGIN").startswith("503")
    s.command(f"MAIL FROM:<{USER}>")
    assert s.command("AUTH CRAM-MD5").startswith("503")
    assert in_step(s)
    at.check(SEEN)


def test_row_17_auth_in_a_transaction_without_a_login(smtpd):
    s = smtpd.connect()
    hello(s)
    assert s.command(f"MAIL FROM:<{USER}>").startswith("250")
    assert s.command("AUTH PLAIN " + RIGHT).startswith("503")
    assert in_step(s)
    smtpd.never_asked()


def test_row_18_one_mechanism_after_the_other(at):
    """504, two failures, then the right one in the same session: nothing is left of the ones before."""
    s = at.connect()
    hello(s)
    assert s.command("AUTH GSSAPI").startswith("504")
    challenge = s.command("AUTH CRAM-MD5")[4:]
    assert s.command(b64(f"{USER} {digest('wrong', challenge)}")).startswith("535")
    assert s.command("AUTH LOGIN") == "334 VXNlcm5hbWU6"
    assert s.command("*").startswith("501")
    assert s.command("AUTH PLAIN " + plain(USER, "wrong")).startswith("535")
    assert s.command("AUTH LOGIN") == "334 VXNlcm5hbWU6"
    assert s.command(b64(USER)) == "334 UGFzc3dvcmQ6"
    assert s.command(b64(PASSWORD)).startswith("235")
    assert in_step(s)
    if at.name == "smtpd":
        assert at.given()[1:] == [f"{USER}\0wrong\0\0".encode(), SEEN.encode()]


@pytest.mark.parametrize("start", ["AUTH PLAIN", "AUTH LOGIN", "AUTH CRAM-MD5"])
@pytest.mark.parametrize("line", ["*", "**", "*=", "QUIT", "quit now", "NOOP x", "AUTH PLAIN", "a" * 600],
                         ids=lambda line: line[:12])
def test_row_19_other_lines_than_an_answer(at, start, line):
    """A star that is the whole line cancels. A command is no command here: it is a bad answer."""
    s = at.connect()
    hello(s)
    assert s.command(start).startswith("334")
    reply = s.command(line)
    if reply.startswith("334"):
        assert start == "AUTH LOGIN"        # four letters of base64 are a name
        reply = s.command("*")
    assert reply[:3] in ("501", "535"), reply
    if line == "*":
        assert reply.startswith("501")
    assert in_step(s)
    assert s.command("AUTH PLAIN " + RIGHT).startswith("235")
    at.check(SEEN)


@pytest.mark.parametrize("lines", [["AUTH PLAIN"], ["AUTH LOGIN"], ["AUTH LOGIN", b64(USER)], ["AUTH CRAM-MD5"]])
def test_row_19_a_client_that_hangs_up(at, lines):
    s = at.connect()
    hello(s)
    for line in lines:
        assert s.command(line).startswith("334")
    s.sock.shutdown(socket.SHUT_WR)
    assert s.at_end()
    at.never_asked()
    if at.name == "smtpd":
        assert s.process.wait(10) == 1


@pytest.mark.parametrize("start, length", [("AUTH PLAIN", 2048), ("AUTH PLAIN", 12288), ("AUTH LOGIN", 12288)])
def test_row_20_long_answers(at, start, length):
    """Read whole and refused for what they say."""
    s = at.connect()
    hello(s)
    assert s.command(start).startswith("334")
    reply = s.command(base64.b64encode(b"\0" + b"u" * 10000)[:length].decode())
    if reply.startswith("334"):
        reply = s.command("*")
    assert reply[:3] in ("501", "535"), reply
    assert in_step(s)
    at.never_asked()


@pytest.mark.parametrize("form", ["initial response", "continuation"])
@pytest.mark.parametrize("length", [12300, 16384, 70000])
def test_row_20_answers_that_are_too_long(at, form, length):
    s = at.connect()
    hello(s)
    if form == "continuation":
        assert s.command("AUTH PLAIN").startswith("334")
        reply = s.command("A" * length)
    else:
        reply = s.command("AUTH PLAIN " + "A" * length)
    assert reply[:3] in ("500", "501", "535"), reply
    assert in_step(s)
    at.never_asked()
    assert s.command("AUTH PLAIN " + RIGHT).startswith("235")


# ---- the server's side of the table ----

class Script:
    """A server on loopback that says what old ones say. @offer: the words after `250-` of EHLO; @auth(peer, argument)
    is called for AUTH and returns the last reply; .login is what it was told."""

    def __init__(self, offer, auth):
        self.offer, self.auth, self.login, self.lines, self.bodies = offer, auth, None, [], []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.settimeout(20)
            with contextlib.suppress(OSError, EOFError, ValueError):
                self._serve(connection)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def ask(self, challenge):
        """Send a whole line (without its end) and give the answer."""
        self.connection.sendall(challenge.encode() + b"\r\n")
        return self._line()

    def _line(self):
        line = self.stream.readline()
        if not line:
            raise EOFError
        line = line.decode("latin-1").rstrip("\r\n")
        self.lines.append(line)
        return line

    def _serve(self, connection):
        self.connection, self.stream = connection, connection.makefile("rb")
        connection.sendall(b"220 old.example.net ESMTP\r\n")
        while True:
            line = self._line()
            verb, _, rest = line.partition(" ")
            reply = "250 ok"
            if verb.upper() == "EHLO":
                words = ["old.example.net", *self.offer]
                reply = "\r\n".join([f"250-{w}" for w in words[:-1]] + [f"250 {words[-1]}"])
            elif verb.upper() == "AUTH":
                reply = self.auth(self, rest)
            elif verb.upper() == "DATA":
                connection.sendall(b"354 go\r\n")
                body = b""
                while not body.endswith(b"\r\n.\r\n"):
                    got = self.stream.readline()
                    if not got:
                        raise EOFError
                    body += got
                self.bodies.append(body)
            elif verb.upper() == "QUIT":
                connection.sendall(b"221 bye\r\n")
                return
            connection.sendall(reply.encode() + b"\r\n")


def verdict(peer, user, password):
    peer.login = (user, password)
    return "235 ok" if peer.login == (USER, PASSWORD) else "535 no"


def unb64(text):
    return base64.b64decode(text).decode()


def login_with(first, second):
    """AUTH LOGIN with these prompts; an initial response is overlooked, as old servers do."""
    def auth(peer, argument):
        if argument.split(" ")[0].upper() != "LOGIN":
            return "504 no such mechanism"
        if " " in argument:
            user = unb64(argument.split(" ")[1])
        else:
            user = unb64(peer.ask(first))
        return verdict(peer, user, unb64(peer.ask(second)))
    return auth


def login_without_initial(peer, argument):
    """Takes no initial response: asks for the user all the same."""
    return verdict(peer, unb64(peer.ask("334 VXNlcm5hbWU6")), unb64(peer.ask("334 UGFzc3dvcmQ6")))


def plain_with(prompt, overlook=False):
    def auth(peer, argument):
        word, _, initial = argument.partition(" ")
        if word.upper() != "PLAIN":
            return "504 no such mechanism"
        if not initial or overlook:
            initial = peer.ask(prompt)
        if initial == "*":
            return "501 cancelled"
        _, user, password = base64.b64decode(initial).decode().split("\0")
        return verdict(peer, user, password)
    return auth


def cram_with(challenge, head="334 "):
    def auth(peer, argument):
        if argument.upper() != "CRAM-MD5":
            return "504 no such mechanism"
        user, _, proof = unb64(peer.ask(head + b64(challenge))).rpartition(" ")
        return verdict(peer, user, PASSWORD if proof == digest(PASSWORD, b64(challenge)) else proof)
    return auth


LOGIN = login_with("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6")
PEERS = {
    "2 AUTH=LOGIN": (["AUTH=LOGIN"], LOGIN),
    "2 AUTH=LOGIN PLAIN": (["AUTH=LOGIN PLAIN"], LOGIN),
    "2 AUTH=MBS_BASIC LOGIN": (["AUTH=MBS_BASIC LOGIN"], LOGIN),
    "2 both lines": (["AUTH LOGIN", "AUTH=LOGIN"], LOGIN),
    "2 unknown words": (["AUTH X-OWN NTLM LOGIN GSSAPI"], LOGIN),
    "2 lower case": (["auth login"], LOGIN),
    "2 two blanks": (["AUTH  LOGIN "], LOGIN),
    "7 username: in small letters": (["AUTH LOGIN"], login_with("334 dXNlcm5hbWU6", "334 cGFzc3dvcmQ6")),
    "7 User Name and a NUL": (["AUTH LOGIN"], login_with("334 VXNlciBOYW1lAA==", "334 UGFzc3dvcmQA")),
    "7 empty prompts": (["AUTH LOGIN"], login_with("334 ", "334 ")),
    "7 nothing behind the code": (["AUTH LOGIN"], login_with("334", "334")),
    "7 prompts that are no base64": (["AUTH LOGIN"], login_with("334 Username:", "334 Password:")),
    "7 no initial response": (["AUTH LOGIN"], login_without_initial),
    "8 plain": (["AUTH PLAIN"], plain_with("334 ")),
    "8 plain, overlooks the initial response": (["AUTH PLAIN"], plain_with("334 ", True)),
    "8 plain, 334 without a blank": (["AUTH PLAIN"], plain_with("334", True)),
    "8 plain, 334 with words": (["AUTH PLAIN"], plain_with("334 go on", True)),
    "13 cram": (["AUTH CRAM-MD5"], cram_with("<1896.697170952@postoffice.reston.mci.net>")),
    "20 cram with a long challenge": (["AUTH CRAM-MD5"], cram_with("<" + "1" * 700 + "@old.example.net>")),
}
# Where a program may stop instead: it must then say so and send nothing.
MAY_STOP = {"7 prompts that are no base64", "8 plain, 334 with words", "20 cram with a long challenge"}


def send_by_send(port, folder):
    done = subprocess.run([q.BUILD / "postern", "send", "--server", f"127.0.0.1:{port}", "--tls", "none", "--user", USER,
                           "--password-stdin", "--from", USER, "--to", FOREIGN], input=PASSWORD.encode() + b"\n" + message(),
                          capture_output=True, timeout=60)
    return done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def send_by_remote(port, folder):
    with Qmail(folder, authsenders=f"{USER}:localhost:{port}|{USER}|{PASSWORD}\n", tlspolicy="localhost:none\n",
               timeoutremote="15\n") as box:
        done = subprocess.run([q.program("qmail-remote"), "elsewhere.example", USER, FOREIGN], env=box.env(),
                              input=message().replace(b"\r\n", b"\n"), capture_output=True, timeout=60)
    text = done.stdout.decode()
    assert done.returncode == 0 and text.endswith("\0") and done.stderr == b"", done
    last = text.split("\0")[-2]
    assert last[:1] in "KZD", text
    return last[0] == "K", text


SENDERS = {"send": send_by_send, "remote": send_by_remote}


@pytest.mark.parametrize("who", SENDERS)
@pytest.mark.parametrize("row", PEERS)
def test_servers_of_the_field(tmp_path, who, row):
    peer = Script(*PEERS[row])
    sent, text = SENDERS[who](peer.port, tmp_path)
    peer.close()
    if row in MAY_STOP and not sent:
        assert not any(line.upper().startswith("MAIL") for line in peer.lines)
        return
    assert sent, f"{text}\n{peer.lines}"
    assert peer.login == (USER, PASSWORD) and len(peer.bodies) == 1
    mail = next(line for line in peer.lines if line.upper().startswith("MAIL"))
    # Postern's client says whose login it is only where AUTH was announced in the present form, or as qmail-remote.
    assert re.fullmatch(r"MAIL FROM:<anna@example\.org>( \S+)*", mail), mail


REFUSALS = {"535 5.7.8 no": "Z", "454 4.7.0 later": "Z", "432 password transition": "Z", "534 too weak": "Z", "538 tls": "Z",
            "421 bye": "Z", "500 what": "Z", "504 no": "Z", "501 bad": "Z", "334 again": "Z", "250 ok": "Z"}


@pytest.mark.parametrize("who", SENDERS)
@pytest.mark.parametrize("reply", REFUSALS)
def test_row_18_a_refused_login_sends_nothing(tmp_path, who, reply):
    """Whatever the server says to AUTH but 235: mail waits, and never goes unauthenticated."""
    peer = Script(["AUTH LOGIN PLAIN"], lambda peer, argument: reply)
    sent, text = SENDERS[who](peer.port, tmp_path)
    peer.close()
    assert not sent and peer.bodies == []
    assert not any(line.upper().startswith(("MAIL", "DATA")) for line in peer.lines), peer.lines
    if who == "remote":
        assert text[0] == REFUSALS[reply], text


@pytest.mark.parametrize("who", SENDERS)
@pytest.mark.parametrize("offer", [[], ["AUTH"], ["AUTH X-OWN GSSAPI"], ["8BITMIME", "SIZE 1000000"], ["XAUTH PLAIN"],
                                   ["AUTHPLAIN"], ["SIZE AUTH PLAIN"]], ids=lambda o: ", ".join(o) or "nothing")
def test_no_usable_mechanism_sends_nothing(tmp_path, who, offer):
    """0.8.3 went on without a login, or waited for ever."""
    peer = Script(offer, lambda peer, argument: "235 ok")
    sent, text = SENDERS[who](peer.port, tmp_path)
    peer.close()
    assert not sent and peer.bodies == [], (text, peer.lines)
    assert who != "remote" or text[0] == "Z", text


@pytest.mark.parametrize("who", SENDERS)
def test_endless_challenges_are_cut(tmp_path, who):
    rounds = []

    def auth(peer, argument):
        with contextlib.suppress(EOFError, OSError):
            while len(rounds) < 5000:
                rounds.append(peer.ask("334 VXNlcm5hbWU6"))
        return "235 ok"

    peer = Script(["AUTH LOGIN"], auth)
    sent, _ = SENDERS[who](peer.port, tmp_path)
    peer.close()
    assert not sent and 0 < len(rounds) <= 110


def test_row_15_who_remote_says_it_is(tmp_path):
    """The user's name in xtext, on a server that says AUTH."""
    peer = Script(["AUTH PLAIN"], lambda peer, argument: "235 ok")
    with Qmail(tmp_path, authsenders=f"{USER}:localhost:{peer.port}|a=b+c d|{PASSWORD}\n", tlspolicy="localhost:none\n") as box:
        done = subprocess.run([q.program("qmail-remote"), "elsewhere.example", USER, FOREIGN], env=box.env(),
                              input=message().replace(b"\r\n", b"\n"), capture_output=True, timeout=60)
    wait_for(lambda: peer.bodies, lambda: done.stdout.decode())
    peer.close()
    mail = next(line for line in peer.lines if line.startswith("MAIL"))
    assert mail.startswith(f"MAIL FROM:<{USER}> ") and " AUTH=a+3Db+2Bc+20d" in mail, mail
