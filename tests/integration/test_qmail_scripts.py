"""The run scripts of a qmail system with only the paths of the programs replaced, under the real tcpserver, softlimit,
rblsmtpd and recordio; and the way of a message in by qmail-smtpd and out by qmail-remote to a real smarthost."""

import os
import pwd
import re
import shutil
import subprocess

import pytest

import qmail as q
from peers import Dovecot, Postfix, missing
from postern import Authority, message, wait_for
from qmail import Qmail, b64, plain

NEEDED = q.missing("tcpserver", "tcprules", "softlimit", "recordio", "rblsmtpd")
pytestmark = pytest.mark.skipif(bool(NEEDED), reason=str(NEEDED))

FOREIGN = "zoe@elsewhere.example"
LETTER = b"From: anna@example.org\r\nTo: zoe@elsewhere.example\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n" \
         b"Message-ID: <1@example.org>\r\nSubject: x\r\n\r\nhello\r\n"
ACCOUNT = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
HEAD = f"""#!/bin/sh
QMAILDUID=`id -u {ACCOUNT}`
QMAILDGID=`id -g {ACCOUNT}`
HOSTNAME=`hostname`
MAXCONCURRENCY=`cat $QMAILHOME/control/concurrencyincoming`
exec softlimit -m 200000000 \\
   tcpserver -vR -l $HOSTNAME -c $MAXCONCURRENCY \\
   {"-u $QMAILDUID -g $QMAILDGID " if os.geteuid() == 0 else ""}127.0.0.1 @PORT@ \\
"""


def script(*lines):
    """A run script; who may not serve the DNS does without the peer's name."""
    head = HEAD if os.geteuid() == 0 else HEAD.replace("-vR", "-vRH")
    if q.sanitized():
        head = head.replace("softlimit -m 200000000", "softlimit")
    return head + "".join(f"   {line}\n" for line in lines)


@pytest.fixture(scope="module", autouse=True)
def names():
    """The peer's name, and a list of addresses that rblsmtpd blocks."""
    made = q.Names({"127.0.0.9": "listed for this test"}) if os.geteuid() == 0 else None
    before = os.environ.get("DNSCACHEIP")
    os.environ["DNSCACHEIP"] = made.address if made else "127.0.0.1"
    yield made
    if made:
        made.close()
    if before is None:
        del os.environ["DNSCACHEIP"]
    else:
        os.environ["DNSCACHEIP"] = before


@pytest.fixture
def box(tmp_path):
    """Accounts of every checker: test with testpass, anna@example.org with wonderland."""
    with Qmail(tmp_path, concurrencyincoming="20\n") as made:
        made.control("me", "mail.example.org\n")
        who = pwd.getpwnam(ACCOUNT)
        made.users("shadow", f"test:testpass:{who.pw_uid}:{who.pw_gid}:/:/bin/sh\nempty::{who.pw_uid}:{who.pw_gid}:/:/bin/sh\n")
        made.users("authuser", "test:testpass\nanna@example.org:wonderland\n")
        made.users("vmailmgr", f"anna@example.org:wonderland:{made.home}/anna\n")
        domain = made.home / "domains" / "example.org"
        domain.mkdir()
        hashed = subprocess.run(["openssl", "passwd", "-1", "-stdin"], input="wonderland\n", text=True, check=True,
                                capture_output=True).stdout.strip()
        (domain / "vpasswd").write_text(f"anna:{hashed}:1:0:Anna:/home/anna:NOQUOTA:wonderland\n"
                                        f"nosmtp:{hashed}:1:2048:No:/home/no:NOQUOTA:wonderland\n")
        yield made


def log_in(s, user, password, mechanism="PLAIN"):
    s.ehlo("client.example.net")
    if mechanism == "CRAM-MD5":
        return s.cram(user, password)[0]
    if mechanism == "LOGIN":
        assert s.command("AUTH LOGIN") == "334 VXNlcm5hbWU6"
        assert s.command(b64(user)) == "334 UGFzc3dvcmQ6"
        return s.command(b64(password))
    return s.command("AUTH PLAIN " + plain(user, password))


def right_and_wrong(service, box, user, password, mechanisms, wrong=True):
    """Every mechanism with the right password relays, with a wrong one it does not (which takes a second)."""
    for mechanism in mechanisms:
        s = service.connect()
        assert s.greeting.startswith("220 mail.example.org"), service.text()
        reply = log_in(s, user, password, mechanism)
        assert reply.startswith("235"), f"{mechanism}: {reply}\n{service.text()}"
        assert s.mail("anna@example.org", [FOREIGN], LETTER).startswith("250"), service.text()
        assert s.finish().startswith("221")
    seen = box.wait_queued(len(mechanisms))
    assert len(seen) == len(mechanisms)
    shown = user.replace("_", "?")
    for it in seen:
        assert f"({shown}@127.0.0.1)\n".encode() in it.message and b" with ESMTPA; " in it.message, it.message
        assert it.envelope == b"Fanna@example.org\0Tzoe@elsewhere.example\0\0"
        assert it.uid == pwd.getpwnam(ACCOUNT).pw_uid
    if not wrong:
        return
    s = service.connect()
    assert log_in(s, user, password + "x", mechanisms[-1]).startswith("535"), service.text()
    assert s.mail("anna@example.org", [FOREIGN], LETTER).startswith("553")
    s.finish()


# ---- the tutorial's scripts ----

def test_checkpassword_true(box):
    """`… qmail-smtpd /bin/checkpassword true 2>&1`; it has no CRAM-MD5, and refuses it like a wrong password."""
    service = box.script(script(f"{q.program('qmail-smtpd')} {q.fixture('checkpassword')} true 2>&1"))
    right_and_wrong(service, box, "test", "testpass", ["PLAIN", "LOGIN"])
    s = service.connect()
    assert log_in(s, "empty", "")[:3] in ("535", "501")
    s = service.connect()
    assert log_in(s, "test", "testpass", "CRAM-MD5").startswith("535")
    s.finish()
    assert service.wait_log(r"tcpserver: end \d+ status 0")
    alien = [line for line in service.lines if not line.startswith("tcpserver: ")]
    assert not alien, alien


@pytest.mark.parametrize("checker, user, mechanisms", [
    ("vchkpw", "anna@example.org", ["PLAIN", "LOGIN", "CRAM-MD5"]), ("vchkpw", "Anna%example.org", ["PLAIN"]),
    ("checkvpw", "anna@example.org", ["PLAIN", "LOGIN"]), ("cmd5checkpw", "test", ["PLAIN", "LOGIN", "CRAM-MD5"])])
def test_other_checkers(box, checker, user, mechanisms):
    words = "true maildir" if checker == "checkvpw" else "true"
    service = box.script(script(f"{q.program('qmail-smtpd')} {q.fixture(checker)} {words} 2>&1"),
                         {"TCPLOCALPORT": "25"})
    password = "testpass" if user == "test" else "wonderland"
    right_and_wrong(service, box, user, password, mechanisms, wrong=user != "Anna%example.org")


def test_vchkpw_says_no_in_its_own_numbers(box):
    service = box.script(script(f"{q.program('qmail-smtpd')} {q.fixture('vchkpw')} true 2>&1"))
    for user, password in (("nosmtp@example.org", "wonderland"), ("an,na@example.org", "x"), ("anna@example.org", "x" * 200)):
        s = service.connect()
        assert log_in(s, user, password).startswith("535"), (user, service.text())
        assert s.in_step()
        s.finish()


def test_checkvpw_without_its_extra_word(box):
    """`true` itself is overwritten by the mailbox then: temporary for everyone, never a success."""
    service = box.script(script(f"{q.program('qmail-smtpd')} {q.fixture('checkvpw')} true 2>&1"))
    s = service.connect()
    assert log_in(s, "anna@example.org", "wonderland").startswith("454")
    s.finish()


@pytest.mark.parametrize("name, order", [("cmd5checkpw", "standard"), ("cmd5checkpw-0.2", "legacy")])
@pytest.mark.parametrize("given", ["standard", "legacy"])
def test_cram_orders_of_cmd5checkpw(box, name, order, given):
    service = box.script(script(f"{q.program('qmail-smtpd')} --cram-order {given} {q.fixture(name)} true 2>&1"))
    s = service.connect()
    assert log_in(s, "test", "testpass", "CRAM-MD5").startswith("235" if given == order else "535")
    s.finish()
    s = service.connect()
    assert log_in(s, "test", "testpass").startswith("235")
    s.finish()


@pytest.mark.parametrize("order", ["standard", "legacy"])
def test_our_own_cmd5checkpw(box, order):
    env = {"POSTERN_CRAM_ORDER": order}
    service = box.script(script(f"{q.program('qmail-smtpd')} {q.program('cmd5checkpw')} true 2>&1"), env)
    right_and_wrong(service, box, "test", "testpass", ["PLAIN", "LOGIN", "CRAM-MD5"], wrong=order == "legacy")


def test_our_own_checkpassword(tmp_path, server):
    """qmail-smtpd and checkpassword both ours, the users those of a running server."""
    with Qmail(tmp_path, concurrencyincoming="20\n") as box:
        # As root: the vault is not the account's of the script.
        text = script(f"{q.program('qmail-smtpd')} --allow-clear {q.program('checkpassword')} true 2>&1")
        if os.geteuid() == 0:
            text = text.replace("-u $QMAILDUID -g $QMAILDGID ", "")
        service = box.script(text, {"POSTERN_CONF": str(server.conf)})
        for mechanism in ("PLAIN", "LOGIN"):
            s = service.connect()
            reply = log_in(s, "anna@example.org", "correct horse", mechanism)
            assert reply.startswith("235"), reply + service.text()
            s.finish()
        s = service.connect()
        assert log_in(s, "anna@example.org", "wrong horse").startswith("535"), service.text()
        s.finish()


# ---- recordio in front ----

def recordio_script(recordio, checker, words="true"):
    return script(f"{recordio} sh -c '{q.program('qmail-smtpd')} \\", f"{q.fixture(checker)} {words} 2>&1'")


@pytest.mark.parametrize("whose", ["real", "ours"])
def test_recordio_in_front(box, whose):
    recordio = shutil.which("recordio") if whose == "real" else q.program("recordio")
    service = box.script(recordio_script(recordio, "vchkpw"))
    right_and_wrong(service, box, "anna@example.org", "wonderland", ["PLAIN", "LOGIN", "CRAM-MD5"], wrong=whose == "ours")
    assert service.wait_log(r"^\d+ < EHLO client\.example\.net")
    assert service.wait_log(r"^\d+ > 220 mail\.example\.org")
    assert service.wait_log(r"^\d+ > 235 ")
    assert service.wait_log(r"^\d+ < Subject: x")
    assert service.wait_log(r"^\d+ < QUIT")
    service.wait_log(r"^\d+ > 221 ")
    text = service.text()
    secrets = [b64("wonderland"), plain("anna@example.org", "wonderland")]
    if whose == "real":
        assert all(secret in text for secret in secrets)
    else:
        assert not any(secret in text for secret in secrets), text
        assert "AUTH PLAIN" in text and "334 VXNlcm5hbWU6" in text


def test_our_record_shows_secrets_when_asked(box):
    service = box.script(recordio_script(q.program("recordio") + " --show-secrets", "vchkpw"))
    s = service.connect()
    assert log_in(s, "anna@example.org", "wonderland").startswith("235")
    s.finish()
    assert service.wait_log(re.escape(plain("anna@example.org", "wonderland")))


@pytest.mark.parametrize("whose", ["real", "ours"])
def test_tls_behind_recordio(box, tmp_path, whose):
    """Its descriptors are two pipes. After STARTTLS no trace holds a secret."""
    authority = Authority(tmp_path / "authority")
    box.certificate(authority)
    recordio = shutil.which("recordio") if whose == "real" else q.program("recordio")
    service = box.script(recordio_script(recordio, "vchkpw"))
    s = service.connect()
    assert "STARTTLS" in s.ehlo()
    s.starttls(authority)
    s.ehlo()
    assert s.command("AUTH PLAIN " + plain("anna@example.org", "wonderland")).startswith("235")
    assert s.mail(to=["zoe@elsewhere.example"], body=b"Subject: x\r\n\r\n" + b"long line\r\n" * 30000).startswith("250")
    s.finish()
    assert service.wait_log(r"^\d+ < STARTTLS")
    assert plain("anna@example.org", "wonderland") not in service.text()


def test_our_record_splits_as_recordio_does(box):
    """The same lines from both for a session without a login, pid and times apart."""
    seen = {}
    for whose, recordio in (("real", shutil.which("recordio")), ("ours", q.program("recordio"))):
        service = box.script(script(f"{recordio} sh -c '{q.program('qmail-smtpd')} --compat 2>&1'"))
        s = service.connect()
        s.ehlo("client.example.net")
        s.mail("anna@example.org", ["bob@example.org"], LETTER + b"z" * 700 + b"\r\n")
        s.finish()
        service.wait_log(r"^\d+ > \[EOF\]")
        lines = [re.sub(r"\d+ qp \d+", "N", re.sub(r"^\d+ ", "", line)) for line in service.lines
                 if re.match(r"\d+ [<>]", line)]
        # Where a chunk is cut depends on when it came; joined again, the directions must agree.
        joined = {}
        for mark in "<>":
            parts = [line[2:] for line in lines if line[0] == mark and "[EOF]" not in line]
            joined[mark] = "".join(p[:-1] if p.endswith("+") else re.sub(r" $", "\n", p) for p in parts)
        seen[whose] = joined
    assert seen["ours"] == seen["real"]


# ---- rblsmtpd and tcprules in front ----

RULES = '''127.0.0.2:allow,SMTPAUTH="-"
127.0.0.3:allow,RELAYCLIENT=""
127.0.0.4:allow,RBLSMTPD="-we do not like you"
127.0.0.5:allow,RBLSMTPD="come back later"
127.0.0.6:allow,RBLSMTPD="",SMTPAUTH="!"
127.0.0.7:allow,DATABYTES="100"
127.0.0.8:deny
:allow,RBLSMTPD=""
'''


@pytest.fixture
def ruled(box):
    return box.tcpserver([q.fixture("cmd5checkpw"), "true"], rules=RULES, before=["rblsmtpd", "-b"])


def test_smtpauth_off_for_a_client(box):
    service = box.tcpserver([q.fixture("cmd5checkpw"), "true"], rules=RULES)
    s = service.connect(source="127.0.0.2")
    assert not any("AUTH" in line for line in s.ehlo())
    assert s.command("AUTH PLAIN " + plain("test", "testpass")).startswith(("503", "504", "502"))
    assert s.mail(to=[FOREIGN]).startswith("553")
    s = service.connect()
    assert log_in(s, "test", "testpass").startswith("235")


def test_relayclient_for_a_client(box):
    service = box.tcpserver([q.fixture("cmd5checkpw"), "true"], rules=RULES)
    s = service.connect(source="127.0.0.3")
    s.ehlo()
    assert s.mail(to=[FOREIGN], body=LETTER).startswith("250")
    s = service.connect()
    s.ehlo()
    assert s.mail(to=[FOREIGN], body=LETTER).startswith("553")
    assert len(box.queued()) == 1 and b"(127.0.0.3)" in box.queued()[0].message


def test_databytes_and_deny_for_a_client(box):
    service = box.tcpserver(rules=RULES)
    s = service.connect(source="127.0.0.7")
    s.ehlo()
    assert s.mail(body=LETTER).startswith("552")
    s = service.connect(source="127.0.0.8", greet=False)
    assert s.at_end()


@pytest.mark.parametrize("source, code", [("127.0.0.4", "553"), ("127.0.0.5", "451")])
def test_rblsmtpd_blocks(ruled, source, code):
    """A blocked client never gets to qmail-smtpd, so it can never log in."""
    s = ruled.connect(source=source)
    assert s.greeting == "220 rblsmtpd.local"
    s.command("EHLO client.example.net")
    assert s.command("AUTH PLAIN " + plain("test", "testpass")).startswith(code)
    assert s.command("MAIL FROM:<anna@example.org>").startswith("250")
    assert s.command("RCPT TO:<bob@example.org>").startswith(code)


def test_rblsmtpd_asks_its_list(box, names):
    """$RBLSMTPD unset: the DNS decides, for a client that a rule sets it for it does not."""
    if names is None:
        pytest.skip("needs root: the DNS is at port 53")
    rules = '127.0.0.10:allow,RBLSMTPD=""\n:allow\n'
    service = box.tcpserver([q.fixture("cmd5checkpw"), "true"], rules=rules, before=["rblsmtpd", "-r", "bl.example"])
    s = service.connect(source="127.0.0.9")
    assert s.greeting == "220 rblsmtpd.local" and s.command("RCPT TO:<bob@example.org>") == "451 listed for this test"
    for source in ("127.0.0.1", "127.0.0.10"):
        s = service.connect(source=source)
        assert log_in(s, "test", "testpass").startswith("235")


def test_rblsmtpd_lets_through(box, ruled):
    s = ruled.connect()
    assert s.greeting.startswith("220 mail.example.org")
    assert log_in(s, "test", "testpass").startswith("235")
    assert s.mail("anna@example.org", [FOREIGN], LETTER).startswith("250")
    assert s.finish().startswith("221")
    assert len(box.queued()) == 1
    s = ruled.connect(source="127.0.0.6")
    s.ehlo()
    assert s.command("MAIL FROM:<anna@example.org>").startswith("530")


def test_the_whole_chain(box):
    """tcpserver, rblsmtpd, recordio, sh, qmail-smtpd, checkpassword, each the one behind the other."""
    service = box.tcpserver(rules=RULES, before=["rblsmtpd", "-b", "recordio", "sh", "-c",
                                                 f"exec {q.program('qmail-smtpd')} {q.fixture('cmd5checkpw')} true 2>&1"])
    s = service.connect()
    assert log_in(s, "test", "testpass", "CRAM-MD5").startswith("235")
    assert s.mail("anna@example.org", [FOREIGN], LETTER).startswith("250")
    assert s.finish().startswith("221")
    assert service.wait_log(r"^\d+ > 221 ") and len(box.queued()) == 1


def test_the_limit_of_concurrent_sessions_is_tcpservers(box):
    """A session holds its place until its client has gone."""
    service = box.tcpserver(flags=("-v", "-R", "-H", "-l", q.ME, "-c", "2"))
    first, second = service.connect(), service.connect()
    third = service.connect(greet=False)
    service.wait_log(r"status: 2/2")
    assert first.finish().startswith("221")
    assert third.reply().startswith("220")
    second.finish()


# ---- real clients at a real run script ----

@pytest.mark.parametrize("client", ["swaks", "curl", "msmtp"])
def test_clients(box, client, tmp_path):
    if q.missing(client):
        pytest.skip(f"{client} is not installed")
    service = box.script(script(f"{q.program('qmail-smtpd')} {q.fixture('cmd5checkpw')} true 2>&1"))
    letter = tmp_path / "letter"
    letter.write_bytes(LETTER)
    (tmp_path / "msmtprc").write_text("")
    (tmp_path / "msmtprc").chmod(0o600)
    for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5"):
        before = len(box.queued())
        command = {
            "swaks": ["swaks", "--server", f"127.0.0.1:{service.port}", "--auth", mechanism, "--auth-user", "test",
                      "--auth-password", "testpass", "--from", "anna@example.org", "--to", FOREIGN],
            "curl": ["curl", "-sS", "-v", f"smtp://127.0.0.1:{service.port}/client.example.net", "--login-options", f"AUTH={mechanism}",
                     "--user", "test:testpass", "--mail-from", "anna@example.org", "--mail-rcpt", FOREIGN, "-T", str(letter)],
            "msmtp": ["msmtp", f"--file={tmp_path}/msmtprc", "--host=127.0.0.1", f"--port={service.port}",
                      f"--auth={mechanism.lower()}", "--user=test", "--passwordeval=echo testpass", "--tls=off",
                      "--from=anna@example.org", FOREIGN]}[client]
        done = subprocess.run(command, input=LETTER.replace(b"\r\n", b"\n"), capture_output=True, timeout=60)
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode() + service.text()
        assert b"(test@127.0.0.1)" in box.wait_queued(before + 1)[-1].message


# ---- in by qmail-smtpd, out by qmail-remote ----

SEND = """#!/usr/bin/python3 -IS
# What qmail-send, qmail-rspawn do with a message: one qmail-remote for each recipient's host.
import json, os, subprocess, sys
entry = json.load(open(sys.argv[1]))
sender, *recipients = [part[1:] for part in entry["envelope"].split("\\0") if part]
for recipient in recipients:
    done = subprocess.run(["{remote}", recipient.split("@")[1], sender, recipient],
                          input=entry["message"].encode("latin-1"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with open(sys.argv[1] + ".report", "ab") as file:
        file.write(done.stdout + done.stderr + b"|%d\\n" % done.returncode)
"""


@pytest.fixture(scope="module")
def smarthost(tmp_path_factory):
    if missing("postfix", "dovecot"):
        pytest.skip(missing("postfix", "dovecot"))
    folder = tmp_path_factory.mktemp("smarthost")
    authority = Authority(folder / "authority")
    with Dovecot(folder / "dovecot", {"carol@example.net": "se|cret;x"}) as dovecot:
        with Postfix(folder / "postfix", authority, dovecot.auth) as postfix:
            postfix.authority = authority
            yield postfix


@pytest.mark.parametrize("lines, user, delivered", [
    ("anna@example.org:localhost:{port}|carol@example.net|se|cret;x\n", "carol@example.net", True),
    ("other@example.org:nowhere.example|a|b\n@example.org:localhost:{port}|carol@example.net|se|cret;x\n",
     "carol@example.net", True),
    (":localhost:{port}|carol@example.net|se|cret;x\n", "carol@example.net", True),
    ("anna@example.org:localhost:{port}|carol@example.net|wrong\n", None, False)])
def test_in_and_out(box, smarthost, lines, user, delivered):
    """A login at qmail-smtpd, a login at the smarthost, and both to be seen in the message that arrives."""
    box.control("authsenders", lines.format(port=smarthost.starttls))
    box.control("helohost", "mail.example.org\n")
    box.control("cafile", smarthost.authority.ca.read_text())
    then = box.home / "queue" / "then"
    then.write_text(SEND.format(remote=q.program("qmail-remote")))
    then.chmod(0o755)
    service = box.script(script(f"{q.program('qmail-smtpd')} {q.fixture('checkpassword')} true 2>&1"))
    before, already = len(smarthost.messages("zoe")), len(smarthost.log().splitlines())
    s = service.connect()
    assert log_in(s, "test", "testpass").startswith("235")
    assert s.mail("anna@example.org", ["zoe@example.net"], LETTER).startswith("250")
    s.finish()
    report, = wait_for(lambda: list((box.home / "queue").glob("*.report")), "a report")
    text = report.read_bytes().decode()
    log = lambda: "\n".join(smarthost.log().splitlines()[already:])  # noqa: E731
    if not delivered:
        assert re.fullmatch(r"Z[^\0]*authentication was rejected[^\0]*\n\0\|0\n", text, re.S), text
        assert len(smarthost.messages("zoe")) == before
        return
    assert re.fullmatch(r"r\0K127\.0\.0\.1 accepted message\.\nRemote host said: 250 [^\0]*\n\0\|0\n", text), text
    got = smarthost.wait_messages(before + 1, "zoe")[-1].decode()
    assert f"(Authenticated sender: {user})" in got, got
    assert "(test@127.0.0.1)\n  by " in got and " with ESMTPA; " in got, got
    assert got.count("\nReceived: ") == 2 and got.endswith("hello\n"), got
    wait_for(lambda: f"sasl_username={user}" in log(), "the smarthost's log line")
    assert f"sasl_sender={user}" in log(), log()


def test_a_message_from_posterns_own_client_to_the_script(box):
    service = box.script(script(f"{q.program('qmail-smtpd')} {q.fixture('cmd5checkpw')} true 2>&1"))
    done = subprocess.run([q.BUILD / "postern", "send", "--server", f"localhost:{service.port}", "--tls", "none", "--user", "test",
                           "--password-stdin", "--from", "anna@example.org", "--to", FOREIGN, "--trace"],
                          input=b"testpass\n" + message(), capture_output=True, timeout=60)
    assert done.returncode == 0 and b"AUTH CRAM-MD5" in done.stderr, done.stderr
    assert len(box.queued()) == 1
