"""postern-smtpd against what a qmail system expects of qmail-smtpd: the checker on descriptor 3, qmail-queue on 0 and
1, the control files, the environment, the replies. Contracts: checkpassword 0.90, qmail-smtpd 1.03 with AUTH 0.5.8
(run scripts' own), $SMTPAUTH of 0.8.3."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest

import postern
import qmail as q
from postern import Authority, message, wait_for
from qmail import Qmail, b64, digest, plain

pytestmark = pytest.mark.skipif(bool(q.missing("tcpserver", "cdb")), reason=str(q.missing("tcpserver", "cdb")))

LETTER = b"From: anna@example.org\r\nTo: bob@example.org\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n" \
         b"Message-ID: <1@example.org>\r\nSubject: x\r\n\r\nhello\r\n"
ALL = ["CRAM-MD5", "LOGIN", "PLAIN"]
CLEAR = ["LOGIN", "PLAIN"]
FOREIGN = "zoe@elsewhere.example"


@pytest.fixture
def box(tmp_path):
    with Qmail(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def own_received(queued):
    """The first header field of a queued message, and what follows it."""
    match = re.match(rb"(Received: [^\n]*\n(?:[ \t][^\n]*\n)*)", queued.message)
    assert match, queued.message
    return match.group(1).decode(), queued.message[match.end():]


# ---- descriptor 3 ----

def say_plain_at_once(s):
    return s.command("AUTH PLAIN " + plain("test", "testpass"))


def say_plain_in_two(s):
    assert s.command("AUTH PLAIN") in ("334 ", "334")
    return s.command(plain("test", "testpass"))


def say_plain_authzid(s):
    return s.command("AUTH PLAIN " + plain("test", "testpass", authzid="test"))


def say_login(s):
    assert s.command("AUTH LOGIN") == "334 VXNlcm5hbWU6"
    assert s.command(b64("test")) == "334 UGFzc3dvcmQ6"
    return s.command(b64("testpass"))


def say_login_at_once(s):
    assert s.command("AUTH LOGIN " + b64("test")) == "334 UGFzc3dvcmQ6"
    return s.command(b64("testpass"))


@pytest.mark.parametrize("say", [say_plain_at_once, say_plain_in_two, say_plain_authzid, say_login, say_login_at_once])
@pytest.mark.parametrize("order", ["standard", "legacy"])
def test_a_password_on_descriptor_3(box, say, order):
    s = box.session(box.recorder(0), ["--cram-order", order])
    s.ehlo()
    assert say(s).startswith("235"), s.log.read_text()
    assert s.in_step()
    seen, = box.recorded()
    assert seen.data == b"test\0testpass\0\0"


@pytest.mark.parametrize("order, by", [("standard", "default"), ("standard", "option"), ("legacy", "option"),
                                       ("legacy", "environment"), ("standard", "environment")])
def test_a_cram_md5_answer_on_descriptor_3(box, order, by):
    options = ["--cram-order", order] if by == "option" else []
    env = {"POSTERN_CRAM_ORDER": order} if by == "environment" else {}
    s = box.session(box.recorder(0), options, env)
    s.ehlo()
    reply, challenge = s.cram("test", "testpass")
    assert reply.startswith("235")
    assert re.fullmatch(r"<[^<>\s@]+@mail\.example\.org>", challenge), challenge
    proof = digest("testpass", b64(challenge))
    third = (proof, challenge) if order == "standard" else (challenge, proof)
    assert box.recorded()[0].data == "\0".join(("test", *third, "")).encode()
    assert s.in_step()


def test_a_cram_md5_challenge_is_not_used_twice(box):
    seen = set()
    for _ in range(2):
        s = box.session(box.recorder(1))
        s.ehlo()
        for _ in range(3):
            seen.add(s.command("AUTH CRAM-MD5"))
            assert s.command("*").startswith("501")
    assert len(seen) == 6


def test_what_the_checker_inherits(box):
    """argv word for word, the session's environment, descriptor 3 for reading and none of our own."""
    s = box.session(box.recorder(0, "prog", "a b", "--cram-order", "-c"), env={"FOO": "bar"})
    s.ehlo()
    assert say_plain_at_once(s).startswith("235")
    seen, = box.recorded()
    assert seen.argv[3:] == ["prog", "a b", "--cram-order", "-c"]
    assert seen.env["FOO"] == "bar" and seen.env["TCPREMOTEIP"] == q.PEER and seen.env["TCPLOCALPORT"] == "25"
    assert {"0", "1", "2", "3"} <= set(seen.fds)
    assert seen.fds["3"].startswith("pipe:") or seen.fds["3"].startswith("socket:")
    left = {fd: what for fd, what in seen.fds.items() if fd not in "0123" and not what.startswith("/proc/")}
    assert not left, left


def test_the_checker_is_searched_for_in_path(box, tmp_path):
    folder = tmp_path / "path"
    folder.mkdir()
    (folder / "mychecker").symlink_to(q.fixture("recorder"))
    checker = ["mychecker", *box.recorder(0)[1:]]
    s = box.session(checker, env={"PATH": f"{folder}:/usr/bin:/bin"})
    s.ehlo()
    assert say_plain_at_once(s).startswith("235")
    assert len(box.recorded()) == 1


# ---- what the checker's end means ----

ENDS = [("0", "235"), ("1", "535"), ("2", "535"), ("111", "454"), ("signal:9", "454"), ("signal:11", "454")]


@pytest.mark.parametrize("outcome, code", ENDS)
def test_the_checkers_end(box, outcome, code):
    s = box.session(box.recorder(outcome))
    s.ehlo()
    assert say_plain_at_once(s).startswith(code)
    assert s.in_step()
    relay = s.mail(to=[FOREIGN], body=LETTER)
    assert relay.startswith("250" if code == "235" else "553"), relay
    assert len(box.recorded()) == 1


@pytest.mark.parametrize("outcome, code", [("early:0", "235"), ("early:1", "535"), ("early:111", "454")])
def test_a_checker_that_does_not_read(box, outcome, code):
    """Its status counts, whether or not it came to the bytes."""
    s = box.session(box.recorder(outcome))
    s.ehlo()
    assert say_plain_at_once(s).startswith(code)
    assert s.in_step()


@pytest.mark.parametrize("path", ["/nonexistent/checkpassword", "/etc/passwd", "/"])
def test_a_checker_that_cannot_be_started(box, path):
    """Temporary for the client; whoever wrote the run script reads which program it is."""
    s = box.session([path, "prog"])
    s.ehlo()
    assert say_plain_at_once(s).startswith("454")
    assert s.in_step()
    assert s.mail(to=[FOREIGN]).startswith("553")
    assert f'"{path}"' in s.finish()[1]


def test_a_checker_that_hangs_ends_with_the_session(box):
    s = box.session(box.recorder("hang"))
    s.ehlo()
    s.send("AUTH PLAIN " + plain("test", "testpass") + "\r\n")
    checker = wait_for(box.recorded, "the checker to start")[0].pid
    s.sock.close()
    s.process.wait(15)
    status = pathlib.Path(f"/proc/{checker}/status")
    wait_for(lambda: not status.exists() or "\nState:\tZ" in status.read_text(), "the checker to end", 10)


def test_a_checker_that_writes_and_reads(box):
    """What it prints is no reply, and what the client sends ahead is not its input."""
    s = box.session(["sh", "-c", "echo 235 hello; echo 250 hello; cat; cat <&3 >/dev/null; exit 0", "prog"])
    s.ehlo()
    s.send("AUTH PLAIN " + plain("test", "testpass") + "\r\nNOOP\r\nNOOP\r\n")
    replies = [s.reply() for _ in range(3)]
    assert replies[0].startswith("235") and "hello" not in replies[0] and s.in_step(), replies
    assert replies[1].startswith("250") and "hello" not in replies[1] + replies[2]


def test_a_checker_that_leaves_a_child_behind(box):
    """Its own end counts, not that of what it started."""
    s = box.session(["sh", "-c", f"sleep 30 & echo $! >{box.home}/record/child; exit 1", "prog"])
    s.ehlo()
    assert say_plain_at_once(s).startswith("535")
    assert s.in_step()
    os.kill(int((box.home / "record" / "child").read_text()), signal.SIGKILL)


# ---- the dialogue ----

@pytest.mark.parametrize("start", ["AUTH PLAIN", "AUTH LOGIN", "AUTH CRAM-MD5"])
@pytest.mark.parametrize("line, code", [("*", "501"), ("", ("501", "535")), ("!!!!", "501"), ("dGVzdA", ("501", "535")),
                                        ("====", ("501", "535"))])
def test_a_broken_answer(box, start, line, code):
    s = box.session(box.recorder(0))
    s.ehlo()
    assert s.command(start).startswith("334")
    reply = s.command(line)
    if start == "AUTH LOGIN" and line == "dGVzdA" and reply.startswith("334"):
        reply = s.command("*")     # tolerated, then it must be the whole word: seen below
    assert reply.startswith(code), reply
    assert box.recorded() == []
    assert s.in_step()
    assert say_plain_at_once(s).startswith("235")


@pytest.mark.parametrize("wrong", ["dGVzdA", "dGVzdA=", "dGVzdA==="])
def test_wrong_padding_is_never_cut_short(box, wrong):
    """0.5.8 made `tes` of it. Refused, or `test`."""
    s = box.session(box.recorder(1))
    s.ehlo()
    reply = s.command("AUTH LOGIN " + wrong)
    if reply.startswith("334"):
        s.command(b64("testpass"))
        assert box.recorded()[0].data == b"test\0testpass\0\0"
    else:
        assert reply.startswith("501") and box.recorded() == []
    assert s.in_step()


def test_a_star_at_the_password(box):
    s = box.session(box.recorder(0))
    s.ehlo()
    s.command("AUTH LOGIN")
    assert s.command(b64("test")) == "334 UGFzc3dvcmQ6"
    assert s.command("*").startswith("501")
    assert box.recorded() == [] and s.in_step()


@pytest.mark.parametrize("user, password", [("", "testpass"), ("test", "")])
def test_nothing_for_a_name_or_a_password(box, user, password):
    s = box.session(box.recorder(0))
    s.ehlo()
    assert s.command("AUTH PLAIN " + plain(user, password)).startswith(("501", "535"))
    assert s.in_step() and box.recorded() == []


def test_auth_twice(box):
    s = box.session(box.recorder(0))
    s.ehlo()
    assert say_login(s).startswith("235")
    assert say_plain_at_once(s).startswith("503")
    s.command("EHLO again.example.net")
    assert say_plain_at_once(s).startswith("503")
    assert s.in_step() and len(box.recorded()) == 1


def test_auth_in_a_transaction(box):
    s = box.session(box.recorder(0))
    s.ehlo()
    assert s.command("MAIL FROM:<anna@example.org>").startswith("250")
    assert say_plain_at_once(s).startswith("503")
    assert s.command("RSET").startswith("250")
    assert say_plain_at_once(s).startswith("235")
    assert len(box.recorded()) == 1


@pytest.mark.parametrize("line", ["AUTH FOO", "AUTH FOO dGVzdA==", "AUTH", "AUTH ", "AUTH SCRAM-SHA-256", "AUTH PLAINX"])
def test_no_such_mechanism(box, line):
    s = box.session(box.recorder(0))
    s.ehlo()
    assert s.command(line).startswith(("504", "501") if line.strip() == "AUTH" else "504")
    assert s.in_step() and box.recorded() == []


def test_rset_keeps_the_identity(box):
    s = box.session(box.recorder(0))
    s.ehlo()
    assert say_plain_at_once(s).startswith("235")
    assert s.command("RSET").startswith("250")
    assert say_plain_at_once(s).startswith("503")
    assert s.mail(to=[FOREIGN], body=LETTER).startswith("250")
    assert "(test@192.0.2.7)" in own_received(box.queued()[0])[0]


# ---- what never reaches descriptor 3 ----

def test_a_nul_in_a_login_name_forges_nothing(box):
    """One line of LOGIN could carry a sniffed triple of CRAM-MD5."""
    s = box.session(box.recorder(0))
    s.ehlo()
    s.command("AUTH LOGIN")
    reply = s.command(b64(b"tim\0b913a602c7eda7a495b4e6e7334d3890\0<1896.697170952@postoffice.reston.mci.net>\0"))
    if reply.startswith("334"):
        reply = s.command(b64("x"))
    assert reply.startswith(("501", "535")), reply
    assert box.recorded() == [] and s.in_step()


@pytest.mark.parametrize("exchange", [
    ["AUTH LOGIN " + b64("test"), b64(b"pass\0word")],
    ["AUTH PLAIN " + b64(b"\0test\0pass\0word")],
    ["AUTH PLAIN " + b64(b"\0test")],
    ["AUTH PLAIN " + b64(b"test")],
    ["AUTH PLAIN " + b64(b"\0\0\0")],
    ["AUTH PLAIN " + b64(b"\0te\nst\0testpass")],
    ["AUTH LOGIN " + b64(b"te\rst"), b64(b"testpass")],
    ["AUTH CRAM-MD5", b64(b"te\0st b913a602c7eda7a495b4e6e7334d3890")],
    ["AUTH CRAM-MD5", b64(b"test b913a602c7eda7a495b4e6e7334d389\0")]])
def test_a_nul_or_a_line_end_in_any_field(box, exchange):
    s = box.session(box.recorder(0))
    s.ehlo()
    for line in exchange[:-1]:
        assert s.command(line).startswith("334")
    assert s.command(exchange[-1]).startswith(("501", "535"))
    assert box.recorded() == [] and s.in_step()


@pytest.mark.parametrize("length, runs", [(511, True), (512, True), (513, False)])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_512_bytes_for_the_checker(box, length, runs, mechanism):
    password = "p" * (length - len("test") - 3)
    s = box.session(box.recorder(0))
    s.ehlo()
    if mechanism == "PLAIN":
        reply = s.command("AUTH PLAIN " + plain("test", password))
    else:
        s.command("AUTH LOGIN " + b64("test"))
        reply = s.command(b64(password))
    if runs:
        assert reply.startswith("235") and len(box.recorded()[0].data) == length
    else:
        assert reply.startswith(("535", "501")) and box.recorded() == []
    assert s.in_step()


def test_a_foreign_authzid(box):
    s = box.session(box.recorder(0))
    s.ehlo()
    assert s.command("AUTH PLAIN " + plain("test", "testpass", authzid="victim")).startswith("535")
    assert s.in_step()
    assert s.mail(to=[FOREIGN]).startswith("553")


# ---- mistakes on the command line ----

@pytest.mark.parametrize("checker, word", [
    ([q.ME, q.fixture("recorder"), "true"], q.ME),
    (["localhost", "/bin/true"], "localhost"),
    (["myhost", "true"], "myhost"),
    (["true"], "true"),
    (["/bin/true"], "/bin/true"),
    (["/usr/bin/true", "true"], "/usr/bin/true"),
    (["false"], "false"),
    ([q.ME, "true"], q.ME)])
def test_a_mistake_in_the_run_script_opens_nothing(box, checker, word):
    """The host name that qmail-popup takes, and `true` in the checker's place: everybody would be let in."""
    s = box.session(checker)
    s.ehlo()
    assert say_plain_at_once(s)[:3] in ("454", "503")
    assert s.mail(to=[FOREIGN]).startswith("553")
    log = s.finish()[1]
    assert f'"{word}"' in log and len(log.splitlines()) == 1, log


def test_an_unknown_option_is_told(box):
    done = subprocess.run([q.program("qmail-smtpd"), "--no-such-option", q.fixture("recorder")], env=box.env(),
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    assert done.returncode != 0 and b"no-such-option" in done.stderr and not done.stdout.startswith(b"220")


@pytest.mark.parametrize("name", [["postern", "smtpd"], ["qmail-smtpd"]])
def test_both_names(box, name):
    argv = [str(q.BUILD / "postern"), "smtpd"] if len(name) > 1 else [q.program("qmail-smtpd")]
    s = box.session(argv=[*argv, *box.recorder(0)])
    s.ehlo()
    assert say_plain_at_once(s).startswith("235")
    assert s.finish() == (0, "")


# ---- qmail-queue ----

EXITS = [
    (0, "250 ok "), (11, "554 envelope address too long for qq (#5.1.3)"),
    (115, "554 envelope address too long for qq (#5.1.3)"),
    (31, "554 mail server permanently rejected message (#5.3.0)"),
    (12, "554 qq permanent problem (#5.3.0)"), (30, "554 qq permanent problem (#5.3.0)"),
    (40, "554 qq permanent problem (#5.3.0)"), (41, "451 qq temporary problem (#4.3.0)"),
    (10, "451 qq temporary problem (#4.3.0)"), (1, "451 qq temporary problem (#4.3.0)"),
    (51, "451 qq out of memory (#4.3.0)"), (52, "451 qq timeout (#4.3.0)"),
    (53, "451 qq write error or disk full (#4.3.0)"), (54, "451 qq read error (#4.3.0)"),
    (55, "451 qq unable to read configuration (#4.3.0)"), (56, "451 qq trouble making network connection (#4.3.0)"),
    (61, "451 qq trouble in home directory (#4.3.0)"), (62, "451 qq trouble creating files in queue (#4.3.0)"),
    (63, "451 qq trouble creating files in queue (#4.3.0)"), (64, "451 qq trouble creating files in queue (#4.3.0)"),
    (65, "451 qq trouble creating files in queue (#4.3.0)"), (66, "451 qq trouble creating files in queue (#4.3.0)"),
    (67, "451 qq temporary problem (#4.3.0)"), (71, "451 mail server temporarily rejected message (#4.3.0)"),
    (72, "451 connection to mail server timed out (#4.4.1)"), (73, "451 connection to mail server rejected (#4.4.1)"),
    (74, "451 communication with mail server failed (#4.4.2)"), (81, "451 qq internal bug (#4.3.0)"),
    (91, "451 qq internal bug (#4.3.0)"), (120, "451 unable to exec qq (#4.3.0)"),
    (111, "451 qq temporary problem (#4.3.0)"), (255, "451 qq temporary problem (#4.3.0)"),
    ("signal:9", "451 qq crashed (#4.3.0)"), ("signal:11", "451 qq crashed (#4.3.0)")]


@pytest.mark.parametrize("outcome, text", EXITS)
def test_qmail_queues_exit(box, outcome, text):
    box.queue_exit(outcome)
    for options in ([], ["--compat"]):
        s = box.session(options=options)
        s.ehlo()
        reply = s.mail(body=LETTER)
        assert reply[:3] == text[:3], reply
        if options:
            if outcome == 0:
                assert re.fullmatch(r"250 ok \d{9,} qp \d+", reply), reply
            else:
                assert reply == text
        elif outcome != 0:
            assert text[text.index("#") + 1:-1] in reply or reply[4:9] == text[text.index("#") + 1:-1], reply
        assert s.in_step()
        assert s.finish() == (0, "")


@pytest.mark.parametrize("outcome, code", [("early:0", ("250", "451")), ("early:31", "554"), ("early:71", "451")])
def test_a_queue_that_does_not_read(box, outcome, code):
    """It leaves before a message that no pipe holds is written."""
    box.queue_exit(outcome)
    s = box.session()
    s.ehlo()
    reply = s.mail(body=LETTER + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 20000)
    assert reply.startswith("451" if outcome == "early:0" else code), reply
    assert s.in_step()


@pytest.mark.parametrize("kind", ["missing", "not executable"])
def test_a_queue_that_cannot_be_started(box, kind):
    path = "/nonexistent/queue" if kind == "missing" else "/etc/passwd"
    s = box.session(env={"QMAILQUEUE": path})
    s.ehlo()
    assert s.mail(body=LETTER).startswith("451")
    assert s.in_step()


def test_envelope_and_message_bytes(box):
    s = box.session()
    s.ehlo()
    body = LETTER[:-7] + b"..hidden dot\r\n...two\r\ncaf\xc3\xa9 \xff\r\n\ttab \r\n\r\n\r\nlast"
    reply = s.mail("anna@example.org", ["bob@example.org", "Carl@EXAMPLE.org", "dora+x@example.org"], body + b"\r\n")
    assert reply.startswith("250"), reply
    seen, = box.queued()
    assert seen.envelope == b"Fanna@example.org\0Tbob@example.org\0TCarl@EXAMPLE.org\0Tdora+x@example.org\0\0"
    _, rest = own_received(seen)
    wanted = body.replace(b"\r\n..", b"\r\n.").replace(b"\r\n", b"\n") + b"\n"
    assert rest == wanted
    assert seen.argv[1:] == [] and seen.cwd == str(box.home)
    assert [fd for fd in seen.fds if int(fd) > 2] in ([], ["3"]), seen.fds   # 3: listing the folder itself


def test_the_null_sender_and_two_messages_in_a_session(box):
    s = box.session()
    s.ehlo()
    assert s.mail("", body=LETTER).startswith("250")
    assert s.mail("a@b.example", ["bob@example.org"], body=LETTER).startswith("250")
    assert [m.envelope for m in box.queued()] == [b"F\0Tbob@example.org\0\0", b"Fa@b.example\0Tbob@example.org\0\0"]


def test_an_empty_message(box):
    s = box.session()
    s.ehlo()
    assert s.mail(body=b"").startswith("250")
    assert own_received(box.queued()[0])[1] in (b"", b"\n")


def test_another_queue_by_environment(box, tmp_path):
    other = tmp_path / "other-queue"
    other.write_text('#!/bin/sh\ncat >/dev/null\ncat <&1 >/dev/null\nexit 31\n')
    other.chmod(0o755)
    s = box.session(env={"QMAILQUEUE": str(other)})
    s.ehlo()
    assert s.mail(body=LETTER).startswith("554")
    assert box.queued() == []


@pytest.mark.parametrize("moment", ["in the message", "after DATA", "before DATA"])
def test_a_client_that_goes_away_leaves_nothing(box, moment):
    s = box.session()
    s.ehlo()
    s.command("MAIL FROM:<anna@example.org>")
    s.command("RCPT TO:<bob@example.org>")
    if moment != "before DATA":
        s.command("DATA")
    if moment == "in the message":
        s.send(LETTER + b"more\r\n" * 50000)
    s.sock.close()
    assert s.process.wait(15) != 0
    assert box.queued() == []


def test_what_children_are_told_of_a_login(box):
    s = box.session(box.recorder(0), env={"TCPREMOTEINFO": "ident"})
    s.ehlo("helo.example.net")
    assert s.cram("test", "testpass")[0].startswith("235")
    assert s.mail("anna@example.org", [FOREIGN, "bob@example.org"], LETTER).startswith("250")
    env = box.queued()[0].env
    assert env["HELOHOST"] == "helo.example.net" and env["MAILFROM"] == "anna@example.org"
    assert env["RCPTTO"] == f"{FOREIGN} bob@example.org"
    assert env["TCPREMOTEINFO"] == "test" and env["AUTHUSER"] == "test" and env["SMTPAUTHUSER"] == "test"
    assert env["AUTHPROTOCOL"].lower() == "cram-md5" and env["SMTPAUTHMETHOD"].lower() == "cram-md5"
    assert env["RELAYCLIENT"] == "" and env["TCPREMOTEIP"] == q.PEER


def test_children_are_told_of_no_login(box):
    """Names that a client's own login would set do not come from outside the session."""
    s = box.session(box.recorder(1), env={"AUTHUSER": "forged", "SMTPAUTHUSER": "forged"})
    s.ehlo()
    assert say_plain_at_once(s).startswith("535")
    assert s.mail(body=LETTER).startswith("250")
    env = box.queued()[0].env
    assert not {"AUTHPROTOCOL", "SMTPAUTHMETHOD", "RELAYCLIENT", "TCPREMOTEINFO"} & set(env)


# ---- Received ----

DATE = r"\d{1,2} [A-Z][a-z]{2} 20\d\d \d\d:\d\d:\d\d -0000"


def received(who, word, by=q.ME):
    return rf"Received: from {who}\n  by {re.escape(by)} with {word}; {DATE}\n"


@pytest.mark.parametrize("env, helo, who", [
    ({}, "EHLO client.example.net", r"client\.example\.net \(192\.0\.2\.7\)"),
    ({}, "EHLO CLIENT.example.net", r"client\.example\.net \(192\.0\.2\.7\)"),
    ({}, "EHLO other.example.net", r"client\.example\.net \(HELO other\.example\.net\) \(192\.0\.2\.7\)"),
    ({"TCPREMOTEHOST": None}, "HELO other", r"unknown \(HELO other\) \(192\.0\.2\.7\)"),
    ({"TCPREMOTEINFO": "ident"}, "EHLO client.example.net", r"client\.example\.net \(ident@192\.0\.2\.7\)"),
    ({"TCPREMOTEINFO": "id_ent (x)\n"}, "EHLO client.example.net",
     r"client\.example\.net \(id\?ent\?\?x\?\?@192\.0\.2\.7\)"),
    ({"TCPREMOTEIP": None, "TCPREMOTEHOST": None}, "EHLO x.example", r"unknown \(HELO x\.example\) \(unknown\)"),
    ({"TCPREMOTEIP": "2001:db8::7"}, "EHLO client.example.net", r"client\.example\.net \(2001:db8::7\)")])
def test_received_without_a_login(box, env, helo, who):
    s = box.session(env=env)
    assert s.command(helo).startswith("250")
    assert s.mail(body=LETTER).startswith("250")
    head, rest = own_received(box.queued()[0])
    assert re.fullmatch(received(who, r"E?SMTP"), head), head
    assert rest == LETTER.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("user, shown", [
    ("test", r"test"), ("a_b", r"a\?b"), ("anna smith", r"anna\?smith"), ("anna@example.org", r"anna@example\.org"),
    ("a%b+c=d:e/f-g", r"a%b\+c=d:e/f-g"), ("a)(X: y", r"a\?\?X:\?y"), ("j\xfcrgen", r"j\?\?rgen")])
def test_received_with_a_login(box, user, shown):
    s = box.session(box.recorder(0), env={"TCPREMOTEINFO": "ident"})
    s.ehlo("client.example.net")
    assert s.command("AUTH PLAIN " + plain(user, "x")).startswith("235")
    assert s.mail(to=[FOREIGN], body=LETTER).startswith("250")
    head, _ = own_received(box.queued()[0])
    assert re.fullmatch(received(rf"client\.example\.net \({shown}@192\.0\.2\.7\)", "ESMTPA"), head), head


def test_received_names_this_host(box):
    for env, name in (({"TCPLOCALHOST": None}, "192.0.2.1"), ({"TCPLOCALHOST": None, "TCPLOCALIP": None}, "unknown")):
        s = box.session(env=env)
        s.ehlo("client.example.net")
        assert s.mail(body=LETTER).startswith("250")
        head, _ = own_received(box.queued()[-1])
        assert re.search(rf"\n  by {re.escape(name)} with ", head), head


# ---- $SMTPAUTH ----

SMTPAUTH = [(None, ALL, False), ("", CLEAR, False), ("anything", CLEAR, False), ("-", None, False), ("!", CLEAR, True),
            ("cram", ["CRAM-MD5"], False), ("CRAM", ["CRAM-MD5"], False), ("+cram", ALL, False), ("+Cram", ALL, False),
            ("!cram", ["CRAM-MD5"], True), ("!+cram", ALL, True), ("!CRAM", ["CRAM-MD5"], True)]


@pytest.mark.parametrize("value, offered, required", SMTPAUTH)
def test_smtpauth(box, value, offered, required):
    """What is announced is what is accepted."""
    env = {"SMTPAUTH": value} if value is not None else {}
    s = box.session(box.recorder(0), env=env)
    announced = s.mechanisms()
    assert (sorted(announced) if announced else None) == offered
    reply = s.command("MAIL FROM:<anna@example.org>")
    assert reply.startswith("530" if required else "250"), reply
    s.command("RSET")
    for name in ALL:
        s = box.session(box.recorder(0), env=env)
        s.ehlo()
        if name == "CRAM-MD5" and name in (offered or []):
            reply = s.cram("test", "testpass")[0]
        elif name == "CRAM-MD5":
            reply = s.command("AUTH CRAM-MD5")
        else:
            reply = say_plain_at_once(s) if name == "PLAIN" else s.command("AUTH LOGIN " + b64("test"))
            if name == "LOGIN" and reply.startswith("334"):
                reply = s.command(b64("testpass"))
        if name in (offered or []):
            assert reply.startswith("235"), (name, reply)
            assert s.mail(to=[FOREIGN], body=LETTER).startswith("250")
        else:
            assert reply.startswith(("503", "504") if offered is None else ("504", "535")), (name, reply)
            assert s.in_step()
            assert s.mail(to=[FOREIGN])[:3] in ("530", "553")


def test_no_checker_and_no_server(box):
    """Nothing accepts a login, and nothing is opened by that."""
    s = box.session(env={"POSTERN_CONF": "/nonexistent/postern.conf"})
    s.ehlo()
    assert say_plain_at_once(s)[:3] in ("503", "454", "504")
    assert s.mail(to=[FOREIGN]).startswith("553")
    assert s.mail(body=LETTER).startswith("250")


# ---- parameters of MAIL ----

@pytest.mark.parametrize("databytes, options, code", [
    ("1000", " SIZE=999", "250"), ("1000", " SIZE=1000", "250"), ("1000", " SIZE=1001", "552"),
    ("1000", " size=20000", "552"), ("1000", " SIZE=99999999999999999999999", ("552", "501")),
    ("1000", " SIZE=garbage", ("250", "501")), ("1000", " SIZE=", ("250", "501")), ("1000", " SIZE=-1", ("250", "501")),
    ("0", " SIZE=99999999", "250"), ("1000", " BODY=8BITMIME", "250"), ("1000", " SIZE=10 AUTH=<>", "250"),
    ("1000", " AUTH=<>", "250"), ("1000", " AUTH=anna", "250"), ("1000", " AUTH=a+3Db", "250"),
    ("1000", " AUTH=<> SIZE=1001", "552")])
def test_parameters_of_mail(box, databytes, options, code):
    box.control("databytes", databytes)
    s = box.session(box.recorder(0))
    s.ehlo()
    assert s.command("MAIL FROM:<anna@example.org>" + options).startswith(code)
    assert s.in_step()


def test_digits_of_the_address_are_no_size(box):
    """0.5.8 read on from the token before."""
    box.control("databytes", "1000")
    s = box.session()
    s.ehlo()
    assert s.command("MAIL FROM:<1234567@example.org> SIZE=1").startswith("250")


@pytest.mark.parametrize("option", [" AUTH=<>", " AUTH=test", " AUTH=anna@example.org", " AUTH=a+3Db"])
@pytest.mark.parametrize("login", [False, True])
def test_auth_parameter_grants_nothing(box, option, login):
    s = box.session(box.recorder(0))
    s.ehlo("client.example.net")
    if login:
        assert s.command("AUTH PLAIN " + plain("real", "x")).startswith("235")
        assert s.mail(to=[FOREIGN], body=LETTER, options=option).startswith("250")
        assert "(real@192.0.2.7)" in own_received(box.queued()[0])[0]
    else:
        assert s.mail(to=[FOREIGN], options=option).startswith("553")
        s.command("RSET")
        assert s.mail(body=LETTER, options=option).startswith("250")
        head, _ = own_received(box.queued()[0])
        assert "ESMTPA" not in head and re.search(r"\((unknown@|test@|anna@example\.org@|a=b@)?192\.0\.2\.7\)", head), head


@pytest.mark.parametrize("line", ["MAIL FROM: <anna@example.org>", "mail from:<anna@example.org>",
                                  "MAIL FROM:anna@example.org", "MAIL From: anna@example.org"])
def test_addresses_as_old_clients_write_them(box, line):
    s = box.session()
    s.ehlo()
    assert s.command(line).startswith("250")
    assert s.command("RCPT TO: bob@example.org").startswith("250")
    assert s.command("rcpt to:<carl@example.org>").startswith("250")
    assert s.command("DATA").startswith("354")
    s.send(LETTER)
    assert s.command(".").startswith("250")
    assert box.queued()[0].envelope == b"Fanna@example.org\0Tbob@example.org\0Tcarl@example.org\0\0"


@pytest.mark.parametrize("given, kept", [("@relay.example,@b.example:bob@example.org", "bob@example.org"),
                                         ("bob@[192.0.2.1]", "bob@local.example")])
def test_addresses_that_are_rewritten(box, given, kept):
    box.control("localiphost", "local.example\n")
    box.control("rcpthosts", "example.org\nlocal.example\n")
    s = box.session()
    s.ehlo()
    reply = s.mail(to=[given], body=LETTER)
    assert reply.startswith("250"), reply
    assert box.queued()[0].envelope == f"Fanna@example.org\0T{kept}\0\0".encode()


def test_an_address_that_is_too_long(box):
    s = box.session()
    s.ehlo()
    assert s.command(f"MAIL FROM:<{'a' * 1100}@example.org>")[:1] == "5"
    assert s.in_step()


# ---- control files ----

@pytest.mark.parametrize("address, taken", [
    ("bob@example.org", True), ("bob@EXAMPLE.ORG", True), ("bob@sub.example.org", False), ("bob@a.wild.example", True),
    ("bob@a.b.wild.example", True), ("bob@wild.example", False), (FOREIGN, False), ("bob@more.example", True),
    ("bob@MORE.example", True), ("bob@x.morewild.example", True), ("bob@xmore.example", False),
    ("bob@comment.example", False), ("bob@example.org.evil.example", False), ("bob%elsewhere.example@example.org", True)])
def test_rcpthosts_and_morercpthosts(box, address, taken):
    box.control("rcpthosts", "#comment.example\n\nexample.org  \n.Wild.example\n")
    q.write_cdb(box.home / "control" / "morercpthosts.cdb", ["more.example", ".morewild.example"])
    s = box.session()
    s.ehlo()
    s.command("MAIL FROM:<anna@example.org>")
    reply = s.command(f"RCPT TO:<{address}>")
    assert reply.startswith("250" if taken else "553"), reply
    assert s.in_step()


@pytest.mark.parametrize("outcome", [0, 1])
def test_morercpthosts_after_a_login(box, outcome):
    """0.31 closed descriptor 3 whatever it was."""
    q.write_cdb(box.home / "control" / "morercpthosts.cdb", ["more.example"])
    s = box.session(box.recorder(outcome))
    s.ehlo()
    say_plain_at_once(s)
    assert s.command("MAIL FROM:<anna@example.org>").startswith("250")
    assert s.command("RCPT TO:<bob@more.example>").startswith("250")
    assert s.command(f"RCPT TO:<{FOREIGN}>").startswith("553" if outcome else "250")


def test_a_broken_morercpthosts(box):
    """Whether a domain stands in it nobody knows: its mail waits, and is neither refused for ever nor relayed."""
    box.control("morercpthosts.cdb", b"\xff" * 2048)
    s = box.session()
    s.ehlo()
    s.command("MAIL FROM:<anna@example.org>")
    assert s.command("RCPT TO:<bob@example.org>").startswith("250")
    assert s.command(f"RCPT TO:<{FOREIGN}>")[:3] in ("421", "451")


def test_no_rcpthosts_at_all(box):
    """Mail for everyone is taken then, as by the original."""
    box.control("rcpthosts", None)
    s = box.session()
    s.ehlo()
    assert s.mail(to=[FOREIGN], body=LETTER).startswith("250")


@pytest.mark.parametrize("sender, refused", [("spam@evil.example", True), ("SPAM@Evil.example", True),
                                             ("x@all.example", True), ("x@evil.example", False), ("", False)])
def test_badmailfrom_speaks_at_rcpt(box, sender, refused):
    box.control("badmailfrom", "#x\nspam@evil.example\n@all.example\n")
    s = box.session()
    s.ehlo()
    assert s.command(f"MAIL FROM:<{sender}>").startswith("250")
    reply = s.command("RCPT TO:<bob@example.org>")
    assert reply.startswith("553" if refused else "250"), reply
    assert s.in_step()


@pytest.mark.parametrize("control, env, size, code", [
    ("100", None, 5000, "552"), ("100000", None, 5000, "250"), ("100", "0", 5000, "250"), ("0", "100", 5000, "552"),
    ("garbage", None, 5000, "250"), ("100", "100000", 5000, "250")])
def test_databytes(box, control, env, size, code):
    box.control("databytes", control + "\n")
    s = box.session(env={"DATABYTES": env} if env else {})
    s.ehlo()
    assert s.mail(body=LETTER + b"x" * 60 + b"\r\n" + b"y\r\n" * (size // 3)).startswith(code)
    assert len(box.queued()) == (1 if code == "250" else 0)
    assert s.in_step()


@pytest.mark.parametrize("databytes", [None, "0", "255555555"])
def test_size_is_announced(box, databytes):
    if databytes:
        box.control("databytes", databytes)
    s = box.session()
    sizes = [line for line in s.ehlo() if line.split()[0] == "SIZE"]
    assert sizes == [f"SIZE {databytes or 0}"] or (not int(databytes or 0) and sizes == ["SIZE"]), sizes


def test_timeoutsmtpd(box):
    box.control("timeoutsmtpd", "1\n")
    s = box.session()
    reply = s.reply()
    assert reply and reply[:3] in ("421", "451"), reply
    assert s.at_end() and s.process.wait(10) == 1


def test_the_clients_end_is_no_success(box):
    s = box.session()
    s.ehlo()
    assert s.finish(quit=False) == (1, "")
    s = box.session()
    assert s.finish() == (0, "")


@pytest.mark.parametrize("value", ["", "@relay.example"])
def test_relayclient(box, value):
    """Its value is put behind every recipient."""
    s = box.session(env={"RELAYCLIENT": value})
    s.ehlo()
    assert s.mail(to=[FOREIGN, "bob@example.org"], body=LETTER).startswith("250")
    assert box.queued()[0].envelope == f"Fanna@example.org\0T{FOREIGN}{value}\0Tbob@example.org{value}\0\0".encode()


@pytest.mark.parametrize("what", ["me", "home"])
def test_without_a_name_or_a_home_no_session(box, what):
    box.control("me", None)
    s = box.session(env={"QMAILHOME": "/nonexistent/qmail"} if what == "home" else {})
    assert s.greeting.startswith("421")
    status, log = s.finish(quit=False)
    assert status == 1 and ("control/me" if what == "me" else "/nonexistent/qmail") in log


def test_smtpgreeting(box):
    box.control("smtpgreeting", "hello.example ready when you are\n")
    s = box.session()
    assert s.greeting.startswith("220 hello.example ready when you are")
    assert s.command("HELO x").startswith("250 hello.example")


# ---- the RECIPIENTS extension ----

def checker_of_recipients(box):
    """A program in PAM's place: accepts pam@…, temporary for later@…, no for the others; keeps what it read."""
    path = box.home / "bin" / "recipients"
    path.write_text(f"""#!/usr/bin/python3 -IS
import os, sys
data = b""
while True:
    got = os.read(3, 65536)
    if not got:
        break
    data += got
with open("{box.home}/record/recipients", "ab") as file:
    file.write(repr((data, sys.argv[1:])).encode() + b"\\n")
os._exit(0 if data.startswith((b"pam@", b"list-@")) else 111 if data.startswith(b"later@") else 1)
""")
    path.chmod(0o755)
    return path


RECIPIENTS = [
    ("example.org:{cdb}", "bob@example.org", "250"), ("example.org:{cdb}", "BOB@Example.org", "250"),
    ("example.org:{cdb}", "eve@example.org", "550"), ("example.org:{cdb}", "bob@sub.example.org", "250"),
    ("@example.org:{cdb}", "bob@sub.example.org", "550"), ("@example.org:{cdb}", "bob@example.org", "250"),
    ("*:{cdb}", "bob@example.org", "250"), ("*:{cdb}", "eve@example.org", "550"),
    ("example.org:{cdb}", "list-owner-x=y.example@example.org", "250"),
    ("!example.org", "anyone@example.org", "250"), ("!example.org", "anyone@other.example", "550"),
    ("other.example:{cdb}\n!*", "anyone@example.org", "250"), ("# nothing\n", "bob@example.org", "550"),
    ("users/recipients.cdb", "bob@example.org", "250"), ("users/recipients.cdb", "eve@example.org", "550"),
    ("example.org|{prog}", "pam@example.org", "250"), ("example.org|{prog}", "eve@example.org", "550"),
    ("*|{prog} one two", "pam@example.org", "250"), ("example.org|{prog}", "later@example.org", "421"),
    ("example.org|{prog}", "list-x@example.org", "250"),
    ("example.org:{cdb}\nexample.org|{prog}", "pam@example.org", "250"),
    ("example.org|/nonexistent/prog", "bob@example.org", ("421", "451", "550")),
    ("example.org:/nonexistent.cdb", "bob@example.org", ("421", "451", "550"))]


@pytest.mark.parametrize("rules, address, code", RECIPIENTS)
def test_recipients(box, rules, address, code):
    box.control("rcpthosts", "example.org\n.example.org\nother.example\n")
    q.write_cdb(box.home / "users" / "recipients.cdb", [":bob@example.org", ":bob@sub.example.org", ":list-@example.org",
                                                        ":carl@other.example"])
    prog = checker_of_recipients(box)
    box.control("recipients", rules.format(cdb=box.home / "users" / "recipients.cdb", prog=prog) + "\n")
    s = box.session()
    s.ehlo()
    s.command("MAIL FROM:<anna@example.org>")
    reply = s.command(f"RCPT TO:<{address}>")
    assert reply.startswith(code), reply
    if "{prog}" in rules and "{cdb}" not in rules:
        first = (box.home / "record" / "recipients").read_text().splitlines()[0]
        assert first == repr((address.encode() + b"\0\0\0", rules.split()[1:])), first


def test_recipients_450(box):
    box.control("recipients", "# nothing\n")
    s = box.session(env={"RECIPIENTS450": "1"})
    s.ehlo()
    s.command("MAIL FROM:<anna@example.org>")
    assert s.command("RCPT TO:<bob@example.org>").startswith("450")


@pytest.mark.parametrize("how", ["relayclient", "login"])
def test_recipients_are_for_strangers(box, how):
    box.control("recipients", "# nothing\n")
    s = box.session(box.recorder(0), env={"RELAYCLIENT": ""} if how == "relayclient" else {})
    s.ehlo()
    if how == "login":
        assert say_plain_at_once(s).startswith("235")
    assert s.mail(to=["eve@example.org"], body=LETTER).startswith("250")


def test_recipients_come_after_rcpthosts(box):
    box.control("recipients", "!*\n")
    s = box.session()
    s.ehlo()
    assert s.mail(to=[FOREIGN]).startswith("553")


# ---- relay-ctrl ----

@pytest.mark.parametrize("age, expiry, relays", [(0, None, True), (890, None, True), (905, None, False), (70, "60", False),
                                                 (50, "60", True)])
def test_relay_ctrl(box, tmp_path, age, expiry, relays):
    folder = tmp_path / "allow"
    folder.mkdir()
    file = folder / q.PEER
    file.write_bytes(b"USER=anna\0DOMAIN=example.org\0")
    then = time.time() - age
    os.utime(file, (then, then))
    env = {"RELAY_CTRL_DIR": str(folder), **({"RELAY_CTRL_EXPIRY": expiry} if expiry else {})}
    s = box.session(env=env)
    s.ehlo()
    assert s.mail(to=[FOREIGN], body=LETTER).startswith("250" if relays else "553")


@pytest.mark.parametrize("address", ["../outside", "/etc/passwd", "", "192.0.2.7/../x", "2001:db8::1"])
def test_relay_ctrl_takes_addresses_only(box, tmp_path, address):
    folder = tmp_path / "allow"
    folder.mkdir()
    (tmp_path / "outside").write_text("")
    (folder / "x").write_text("")
    s = box.session(env={"RELAY_CTRL_DIR": str(folder), "TCPREMOTEIP": address})
    s.ehlo()
    assert s.mail(to=[FOREIGN]).startswith("553")


# ---- descriptor 2 and logs ----

def whole_session(s, wrong=True):
    s.ehlo()
    if wrong:
        assert s.command("AUTH PLAIN " + plain("test", "wrong")).startswith("535")
    assert s.command("AUTH PLAIN " + plain("test", "testpass")).startswith("235")
    s.mail(to=[FOREIGN], body=LETTER)
    return s.finish()


@pytest.mark.parametrize("options", [[], ["--compat"], ["--log", "none"]])
def test_nothing_on_descriptor_2(box, options):
    s = box.session(box.accounts(test="testpass"), options)
    assert whole_session(s, wrong=not options) == (0, "")
    assert len(box.queued()) == 1


LINE = r"qmail-smtpd: pid \d+ (?:Accept|Reject)::[A-Z]+::[A-Za-z0-9_-]+ P:E?SMTPS?A? S:192\.0\.2\.7:client\.example\.net.*"


def test_lines_of_spamcontrol(box):
    box.control("badmailfrom", "spam@evil.example\n")
    s = box.session(box.accounts(test="testpass"), ["--log", "spamcontrol"])
    s.ehlo("helo.example")
    s.mail("spam@evil.example")
    s.command("RSET")
    s.mail(to=[FOREIGN])
    s.command("RSET")
    s.command("AUTH PLAIN " + plain("test", "wrong"))
    s.cram("test", "testpass")
    s.mail(to=[FOREIGN], body=LETTER)
    status, log = s.finish()
    lines = log.splitlines()
    assert status == 0 and lines and all(re.fullmatch(LINE, line) for line in lines), log
    assert any(f": pid {s.process.pid} " in line for line in lines), log
    assert re.search(r"Reject::AUTH::plain P:E?SMTPA? S:192\.0\.2\.7:client\.example\.net .*\?[~=] 'test'$", log, re.M), log
    assert re.search(r"Accept::AUTH::cram-md5 P:ESMTPA S:192\.0\.2\.7:client\.example\.net .*\?[~=] 'test'$", log, re.M), log
    assert re.search(r"Reject::(SNDR|RCPT)::Invalid_Relay .*F:anna@example\.org T:zoe@elsewhere\.example", log), log
    assert re.search(r"Reject::ORIG::Bad_Mailfrom .*F:spam@evil\.example", log), log
    assert "testpass" not in log and "wrong" not in log


HOSTILE = "x'\nqmail-smtpd: pid 1 Accept::AUTH::plain P:ESMTPA S:1.2.3.4:a ?= 'root'\r\x1b[2J\x85\xe2\x80\xa8\t"


@pytest.mark.parametrize("log", ["spamcontrol", "postern"])
def test_hostile_values_forge_no_line(box, log):
    s = box.session(box.recorder(1), ["--log", log], {"TCPREMOTEHOST": "evil\nhost"})
    s.command(b"EHLO x\x1b[2J\x07 Accept::AUTH::plain".replace(b"\n", b""))
    s.command("EHLO x")
    s.command("AUTH PLAIN " + b64(b"\0" + HOSTILE.encode("latin-1") + b"\0secret"))
    s.command(b"MAIL FROM:<a\x1bb'c@example.org>")
    s.command("RSET")
    s.command(b"MAIL FROM:<a@example.org>")
    s.command(b"RCPT TO:<\x01\x02zoe@elsewhere.example>")
    s.finish()
    text = s.log.read_bytes()
    lines = text.split(b"\n")
    assert lines.pop() == b""
    prefix = re.match(rb"[\w-]+: (pid \d+ )?", lines[0]).group(0) if log == "spamcontrol" else b""
    for line in lines:
        assert line.startswith(prefix) and not re.search(rb"[\x00-\x1f\x7f-\xff]", line), line
        assert not re.match(rb"qmail-smtpd: pid \d+ Accept::AUTH", line) and b"pid 1 Accept" not in line[:25], line
    assert b"secret" not in text
    assert any(b"Reject::AUTH::plain" in line for line in lines) or log == "postern", text


def test_posterns_own_lines(box):
    s = box.session(box.accounts(test="testpass"), ["--log", "postern"])
    status, log = whole_session(s)
    assert status == 0 and "user=" in log and "192.0.2.7" in log and "testpass" not in log and "wrong" not in log, log


# ---- the original texts ----

def test_compat_texts(box):
    box.control("databytes", "255555555")
    box.control("badmailfrom", "spam@evil.example\n")
    s = box.session(box.accounts(test="testpass"), ["--compat"])
    assert s.greeting == f"220 {q.ME} ESMTP"
    assert s.ehlo() == [q.ME, "PIPELINING", "8BITMIME", "SIZE 255555555", "AUTH LOGIN PLAIN CRAM-MD5"]

    def says(command, reply):
        got = s.command(command)
        assert got == reply, f"{command}: {got!r}, not {reply!r}"

    says("HELO x", f"250 {q.ME}")
    says("NOOP", "250 ok")
    says("RSET", "250 flushed")
    says("VRFY anna", "252 send some mail, i'll try my best")
    says("BOGUS", "502 unimplemented (#5.5.1)")
    says("RCPT TO:<bob@example.org>", "503 MAIL first (#5.5.1)")
    says("AUTH FOO", "504 auth type unimplemented (#5.5.1)")
    says("AUTH", "504 auth type unimplemented (#5.5.1)")
    says("AUTH PLAIN", "334 ")
    says("*", "501 auth exchange canceled (#5.0.0)")
    says("AUTH LOGIN", "334 VXNlcm5hbWU6")
    says("", "501 malformed auth input (#5.5.4)")
    says("MAIL FROM:<anna@example.org>", "250 ok")
    says("AUTH LOGIN", "503 no auth during mail transaction (#5.5.0)")
    says("DATA", "503 RCPT first (#5.5.1)")
    says(f"RCPT TO:<{FOREIGN}>", "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)")
    says("RSET", "250 flushed")
    says("MAIL FROM:<spam@evil.example>", "250 ok")
    says("RCPT TO:<bob@example.org>", "553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)")
    says("MAIL FROM:<anna@example.org> SIZE=255555556",
         "552 sorry, that message size exceeds my databytes limit (#5.3.4)")
    says("RSET", "250 flushed")
    says("AUTH PLAIN " + plain("test", "wrong"), "535 authentication failed (#5.7.1)")
    says("AUTH PLAIN " + plain("test", "testpass"), "235 ok, go ahead (#2.0.0)")
    says("AUTH PLAIN " + plain("test", "testpass"), "503 you're already authenticated (#5.5.0)")
    says("MAIL FROM:<anna@example.org>", "250 ok")
    says(f"RCPT TO:<{FOREIGN}>", "250 ok")
    says("DATA", "354 go ahead")
    s.send(LETTER)
    assert re.fullmatch(r"250 ok \d+ qp \d+", s.command("."))
    says("QUIT", f"221 {q.ME}")


@pytest.mark.parametrize("outcome, text", [("signal:9", "454 oops, problem with child and I can't auth (#4.3.0)")])
def test_compat_text_of_a_crash(box, outcome, text):
    s = box.session(box.recorder(outcome), ["--compat"])
    s.ehlo()
    assert say_plain_at_once(s) == text


def test_compat_required(box):
    s = box.session(box.recorder(0), ["--compat"], {"SMTPAUTH": "!"})
    s.ehlo()
    assert s.command("MAIL FROM:<anna@example.org>").rstrip() == "530 Authorization required (#5.7.1)"


def test_compat_off(box):
    s = box.session(box.recorder(0), ["--compat"], {"SMTPAUTH": "-"})
    assert not any("AUTH" in line for line in s.ehlo())
    assert say_plain_at_once(s) == "503 auth not available (#5.3.3)"


def test_compat_size_and_hops(box):
    box.control("databytes", "100000")
    s = box.session(options=["--compat"])
    s.ehlo()
    assert s.mail(body=LETTER + b"y" * 70 + b"\r\n" + b"y\r\n" * 50000) == \
        "552 sorry, that message size exceeds my databytes limit (#5.3.4)"
    assert s.mail(body=b"Received: x\r\n" * 100 + LETTER) == "554 too many hops, this message is looping (#5.4.6)"
    assert s.mail(body=b"Received: x\r\n" * 50 + LETTER)[:3] == "250"
    assert len(box.queued()) == 1


def test_modern_replies_have_enhanced_codes(box):
    s = box.session(box.accounts(test="testpass"))
    assert s.greeting.startswith(f"220 {q.ME} ")
    lines = s.ehlo()
    assert {"PIPELINING", "8BITMIME"} <= set(lines)
    assert s.command("AUTH PLAIN " + plain("test", "wrong")).startswith("535 5.7.8")
    assert s.command("AUTH PLAIN " + plain("test", "testpass")).startswith("235 2.7.0")
    assert s.command("MAIL FROM:<anna@example.org>").startswith("250 2.")


# ---- TLS ----

def test_no_certificate_no_starttls(box):
    s = box.session(box.recorder(0))
    assert "STARTTLS" not in s.ehlo()
    assert s.command("STARTTLS")[:1] == "5"
    assert s.in_step()


@pytest.mark.parametrize("options, env, before", [
    ([], {}, ["CRAM-MD5"]), (["--allow-clear"], {}, ALL), ([], {"SMTPAUTH": "+cram"}, ALL), ([], {"SMTPAUTH": ""}, CLEAR),
    ([], {"SMTPAUTH": "cram"}, ["CRAM-MD5"]), ([], {"SMTPAUTH": "-"}, None)])
def test_starttls_from_control(box, authority, options, env, before):
    box.certificate(authority)
    s = box.session(box.recorder(0), options, env)
    lines = s.ehlo()
    assert "STARTTLS" in lines
    announced = s.mechanisms()
    assert (sorted(announced) if announced else None) == before
    if "PLAIN" not in (before or []):
        assert say_plain_at_once(s)[:3] in ("538", "504", "503", "530")
        assert box.recorded() == [] and s.in_step()
    s.starttls(authority)
    assert "STARTTLS" not in s.ehlo("client.example.net")
    announced = s.mechanisms()
    if before is None:
        assert announced is None
        return
    if "SMTPAUTH" not in env:
        assert sorted(announced) == ALL
    if "PLAIN" in announced:
        assert say_plain_at_once(s).startswith("235")
    else:
        assert s.cram("test", "testpass")[0].startswith("235")
    assert s.command("STARTTLS")[:1] == "5"
    assert s.mail(to=[FOREIGN], body=LETTER).startswith("250")
    head, _ = own_received(box.queued()[0])
    assert re.fullmatch(received(r"client\.example\.net \(test@192\.0\.2\.7\)", r"ESMTPSA(?: \([^)]*\))?"), head), head
    assert s.finish() == (0, "")


def test_received_over_tls_without_a_login(box, authority):
    box.certificate(authority)
    s = box.session(box.recorder(0))
    s.ehlo()
    s.starttls(authority)
    s.ehlo("client.example.net")
    assert s.mail(body=LETTER).startswith("250")
    assert " with ESMTPS;" in own_received(box.queued()[0])[0].replace("ESMTPS (", "ESMTPS;")


def test_nothing_from_before_starttls_is_kept(box, authority):
    """Commands that come in one packet with STARTTLS, and a transaction begun before it."""
    box.certificate(authority)
    s = box.session(box.recorder(0), ["--allow-clear"])
    s.ehlo()
    s.command("MAIL FROM:<anna@example.org>")
    s.command("RSET")
    s.send("STARTTLS\r\nEHLO evil.example\r\nAUTH PLAIN " + plain("evil", "x") + "\r\nMAIL FROM:<evil@example.org>\r\n")
    assert s.reply().startswith("220")
    if s.buffer == b"":
        try:
            s.wrap(authority.context())
        except (OSError, ValueError):
            assert box.recorded() == []
            return
        reply = s.command("RCPT TO:<bob@example.org>")
        assert reply is None or reply.startswith("503"), reply
        if reply:
            assert s.in_step()
    assert box.recorded() == []


def test_a_login_from_before_starttls_is_forgotten(box, authority):
    box.certificate(authority)
    s = box.session(box.recorder(0), ["--allow-clear"])
    s.ehlo()
    assert say_plain_at_once(s).startswith("235")
    reply = s.command("STARTTLS")
    if reply.startswith("220"):
        s.wrap(authority.context())
        s.ehlo()
        assert s.mail(to=[FOREIGN]).startswith(("553", "530"))
    else:
        assert reply[:1] == "5"


def test_a_broken_certificate(box):
    """No STARTTLS is offered, and no secret goes in clear where the owner wanted TLS."""
    box.control("servercert.pem", "nonsense\n")
    s = box.session(box.recorder(0))
    assert "STARTTLS" not in s.ehlo() and s.mechanisms() == ["CRAM-MD5"]
    assert say_plain_at_once(s).startswith("538")
    assert "certificate" in s.finish()[1]


# ---- line ends ----

@pytest.mark.parametrize("body", [b"Subject: x\r\n\r\nbare\nlf\r\n", b"Subject: x\n\nall bare\n",
                                  b"Subject: x\r\n\r\nend\n.\nMAIL FROM:<evil@example.org>\r\n",
                                  b"Subject: x\r\n\r\nend\r\n.\nMAIL FROM:<evil@example.org>\r\n",
                                  b"Subject: x\r\n\r\nend\n.\r\nMAIL FROM:<evil@example.org>\r\n"])
def test_a_bare_lf_in_the_message(box, body):
    """Refused, and what follows is never taken for commands."""
    s = box.session()
    s.ehlo()
    s.command("MAIL FROM:<anna@example.org>")
    s.command("RCPT TO:<bob@example.org>")
    s.command("DATA")
    s.send(body + b"RCPT TO:<bob@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\n\r\n.\r\n")
    reply = s.reply()
    assert reply and reply[:1] in "45", reply
    s.sock.close()
    s.process.wait(15)
    assert box.queued() == []


def test_commands_may_end_in_lf_alone(box):
    s = box.session(box.recorder(0))
    s.send("EHLO client.example.net\n")
    reply = s.reply()
    assert reply and reply.startswith("250"), reply
    s.send("AUTH PLAIN " + plain("test", "testpass") + "\n")
    assert s.reply().startswith("235")
    assert box.recorded()[0].data == b"test\0testpass\0\0" and s.in_step()


def test_pipelined_commands(box):
    s = box.session(box.recorder(0))
    s.send("EHLO client.example.net\r\nAUTH PLAIN " + plain("test", "testpass") + "\r\nMAIL FROM:<anna@example.org>\r\n"
           f"RCPT TO:<{FOREIGN}>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n")
    assert [s.reply()[:3] for _ in range(6)] == ["250", "235", "250", "250", "250", "354"]
    s.send(LETTER + b".\r\nQUIT\r\n")
    assert [s.reply()[:3] for _ in range(2)] == ["250", "221"]
    assert s.at_end() and s.process.wait(10) == 0 and len(box.queued()) == 1


# ---- without a checker: the running server ----

ANNA = ("anna@example.org", "correct horse")


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with postern.Server(tmp_path_factory.mktemp("running"), auth='''mechanisms = {"SCRAM-SHA-256", "SCRAM-SHA-1",
        "SCRAM-SHA-512", "CRAM-MD5", "PLAIN", "LOGIN"}  plaintext_without_tls = true''') as made:
        yield made


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1", "SCRAM-SHA-512", "CRAM-MD5", "PLAIN", "LOGIN"])
def test_login_by_the_running_server(box, running, authority, mechanism):
    box.certificate(authority)
    service = box.tcpserver(options=["-c", running.conf])
    done = subprocess.run([q.BUILD / "postern", "send", "--server", f"localhost:{service.port}", "--tls", "starttls",
                           "--ca", authority.ca, "--auth", mechanism, "--user", ANNA[0], "--password-stdin",
                           "--from", ANNA[0], "--to", FOREIGN, "--trace"],
                          input=ANNA[1].encode() + b"\n" + message("by the server"), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode() + service.text()
    seen, = box.queued()
    assert seen.env["SMTPAUTHUSER"] == ANNA[0] and seen.env["SMTPAUTHMETHOD"].upper() == mechanism
    assert b"with ESMTPSA" in seen.message and b"(anna@example.org@127.0.0.1)" in seen.message


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "CRAM-MD5"])
def test_login_by_gsasl(box, running, mechanism):
    if q.missing("gsasl"):
        pytest.skip("gsasl is not installed")
    service = box.tcpserver(options=["-c", running.conf])
    for password, code in (("wrong", "535"), (ANNA[1], "235")):
        done = subprocess.run(["gsasl", "--smtp", f"--connect=localhost:{service.port}", "--no-starttls", "--no-cb",
                               f"--mechanism={mechanism}", f"--authentication-id={ANNA[0]}", f"--password={password}",
                               "--hostname=localhost", "--service=smtp", "--verbose"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)
        assert f"\n{code} " in "\n" + done.stdout + done.stderr, done.stdout + done.stderr


def test_a_wrong_password_at_the_running_server(box, running, authority):
    box.certificate(authority)
    s = box.session(options=["-c", running.conf])
    s.ehlo()
    s.starttls(authority)
    s.ehlo()
    assert s.command("AUTH PLAIN " + plain(ANNA[0], "wrong")).startswith("535")
    assert s.in_step()
    assert s.mail(to=[FOREIGN]).startswith("553")


def test_the_servers_rule_on_clear_passwords(box, make_server, authority):
    """plaintext_without_tls is off unless the configuration says otherwise."""
    strict = make_server()
    box.certificate(authority)
    s = box.session(options=["-c", strict.conf])
    announced = s.mechanisms()
    assert "PLAIN" not in announced and "LOGIN" not in announced and "SCRAM-SHA-256" in announced, announced
    assert s.command("AUTH PLAIN " + plain(*ANNA))[:3] in ("538", "504", "530")
    s.starttls(authority)
    assert {"PLAIN", "LOGIN", "SCRAM-SHA-256"} <= set(s.mechanisms())
    assert s.command("AUTH PLAIN " + plain(*ANNA)).startswith("235")


def test_the_server_is_not_running(box, make_server):
    stopped = make_server(start=False)
    s = box.session(options=["-c", stopped.conf])
    s.ehlo()
    assert s.command("AUTH CRAM-MD5")[:3] in ("454", "503", "504")
    assert s.in_step() and s.mail(to=[FOREIGN]).startswith("553")


def test_without_qmail_queue_into_posterns(tmp_path, running):
    with Qmail(tmp_path, queue=False) as box:
        before = len(running.messages("quentin"))
        s = box.session(box.recorder(0), ["-c", running.conf, "--allow-clear"])
        s.ehlo("client.example.net")
        assert say_plain_at_once(s).startswith("235")
        reply = s.mail("anna@example.org", ["quentin@example.org"], LETTER)
        assert reply.startswith("250"), reply + s.log.read_text()
        assert s.finish() == (0, "")
        text = running.wait_messages(before + 1, "quentin")[-1].decode()
        assert "hello" in text and "ESMTPA" in text and "(test@192.0.2.7)" in text, text


def test_without_any_queue(tmp_path, make_server):
    stopped = make_server(start=False)
    with Qmail(tmp_path, queue=False) as box:
        s = box.session(options=["-c", stopped.conf])
        s.ehlo()
        assert s.mail(body=LETTER).startswith("4")
        assert s.in_step()


# ---- two pipes in place of a socket ----

def test_over_pipes_with_a_half_closed_input(box):
    """What inetd-like programs and tests with here-documents do: input ends, replies still come out."""
    dialogue = b"EHLO client.example.net\r\nMAIL FROM:<anna@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n" + \
        LETTER + b".\r\nQUIT\r\n"
    done = subprocess.run([q.program("qmail-smtpd")], input=dialogue, env=box.env(), capture_output=True, timeout=30)
    assert done.returncode == 0 and done.stderr == b"", done
    codes = re.findall(rb"^(\d\d\d) ", done.stdout, re.M)
    assert codes == [b"220", b"250", b"250", b"250", b"354", b"250", b"221"], done.stdout
    assert len(box.queued()) == 1


def test_a_client_that_does_not_read_replies(box):
    """SIGPIPE ends nothing silently: the session ends by itself."""
    s = box.session()
    s.sock.shutdown(socket.SHUT_RD)
    s.send("NOOP\r\n" * 1000)
    s.sock.close()
    assert s.process.wait(15) != -signal.SIGPIPE


@pytest.mark.parametrize("how", ["no input", "closed input", "closed output", "closed 2"])
def test_started_with_odd_descriptors(box, how):
    """It ends by itself, or serves: what a file is opened as never becomes the client's."""
    argv = {"no input": "exec {} </dev/null", "closed input": "exec {} <&-", "closed output": "exec {} >&- </dev/null",
            "closed 2": "exec {} 2>&-"}[how]
    done = subprocess.run(["sh", "-c", argv.format(q.program("qmail-smtpd"))], env=box.env(), capture_output=True,
                          input=b"EHLO x\r\nQUIT\r\n", timeout=20)
    assert done.returncode == (0 if how == "closed 2" else 1), done
    assert how == "closed output" or done.stdout.startswith(b"220 ") or how == "closed input", done


def test_with_hardly_any_environment(box):
    done = subprocess.run([q.program("qmail-smtpd")], env={"QMAILHOME": str(box.home)}, capture_output=True,
                          input=b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n" + LETTER +
                          b".\r\nRCPT TO:<zoe@elsewhere.example>\r\nQUIT\r\n", timeout=20)
    assert done.returncode == 0 and done.stderr == b"", done
    assert re.search(r"from unknown \(HELO x\) \(unknown\)\n  by unknown with ", own_received(box.queued()[0])[0])


@pytest.mark.parametrize("client", ["swaks", "curl", "msmtp"])
def test_clients_by_starttls(box, authority, client, tmp_path):
    if q.missing(client):
        pytest.skip(f"{client} is not installed")
    box.certificate(authority)
    service = box.tcpserver(box.accounts(test="testpass"))
    letter = tmp_path / "letter"
    letter.write_bytes(LETTER)
    (tmp_path / "msmtprc").write_text("")
    (tmp_path / "msmtprc").chmod(0o600)
    command = {
        "swaks": ["swaks", "--server", f"localhost:{service.port}", "--tls", "--tls-verify", "--tls-ca-path", authority.ca,
                  "--auth", "PLAIN", "--auth-user", "test", "--auth-password", "testpass", "--from", "anna@example.org",
                  "--to", FOREIGN],
        "curl": ["curl", "-sS", "-v", f"smtp://localhost:{service.port}/client.example.net", "--ssl-reqd", "--cacert",
                 authority.ca, "--user", "test:testpass", "--mail-from", "anna@example.org", "--mail-rcpt", FOREIGN, "-T",
                 letter],
        "msmtp": ["msmtp", f"--file={tmp_path}/msmtprc", "--host=localhost", f"--port={service.port}", "--auth=login",
                  "--user=test", "--passwordeval=echo testpass", "--tls=on", f"--tls-trust-file={authority.ca}",
                  "--from=anna@example.org", FOREIGN]}[client]
    done = subprocess.run(command, input=LETTER.replace(b"\r\n", b"\n"), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode() + service.text()
    message, = box.wait_queued(1)
    assert b" with ESMTPSA" in message.message and b"(test@127.0.0.1)" in message.message
