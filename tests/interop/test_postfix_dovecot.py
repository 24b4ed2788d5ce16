"""Postern between real servers: it logs in to Postfix with Dovecot's authentication, delivers to Dovecot by LMTP,
and authenticates for Postfix in Dovecot's place."""

import base64
import contextlib
import email
import email.policy
import os
import pathlib
import re
import signal
import smtplib
import subprocess

import pytest
from peer import Peer, server_context
from peers import DOVECOT_MECHANISMS, Dovecot, Exim, Postfix, missing
from postern import POSTERN, Authority, Server, message, wait_for
from sink import Sink

reason = missing("postfix", "dovecot")
pytestmark = pytest.mark.skipif(reason is not None, reason=reason or "")

ANNA = ("anna@example.org", "correct horse")        # at Postern
CAROL = ("carol@example.net", "pass wörd, of her")    # at Dovecot
MECHANISMS = ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512",
              "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512-PLUS"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("peers")


@pytest.fixture(scope="module")
def authority(place):
    return Authority(place / "authority")


@pytest.fixture(scope="module")
def dovecot(place):
    with Dovecot(place / "dovecot", dict([CAROL])) as running:
        yield running


@pytest.fixture(scope="module")
def postfix(place, authority, dovecot):
    with Postfix(place / "postfix", authority, dovecot.auth) as running:
        yield running


class Box:
    """A recipient of its own for each test."""
    count = 0

    def __init__(self, domain="example.net"):
        Box.count += 1
        self.user = f"box{Box.count}"
        self.address = f"{self.user}@{domain}"


@pytest.fixture
def box():
    return Box()


def relaying(make_server, authority, routes, **options):
    """A server, not started, that trusts @authority when it relays and keeps mail for example.org itself."""
    server = make_server(start=False, **options)
    with open(server.authority.ca, "a", encoding="ascii") as bundle:
        bundle.write(authority.ca.read_text())
    home = f'route "example.org" {{ via = "maildir:{server.maildir}/{{user}}" }}\n'
    server.write_conf(routes=home + routes)
    return server


def add_account(server, name, url, password, *options):
    if not (server.folder / "data" / "vault.db").exists():
        server.add_user(*ANNA)
    server.run("account", "add", name, "--url", url, "--user", CAROL[0], "--password-stdin", *options,
               stdin=password + "\n")


def submit(server, *recipients, subject="test", body="hello\r\n", options=()):
    with server.smtp(login=ANNA) as session:
        return session.sendmail(ANNA[0], recipients, message(subject, body), rcpt_options=options)


def state(server, address):
    for entry in server.json("queue", "list"):
        for recipient in entry["recipients"]:
            if recipient["address"] == address:
                return recipient
    return {}


def wait_state(server, address, wanted, seconds=20):
    return wait_for(lambda: state(server, address).get("state") == wanted and state(server, address),
                    lambda: f"{address} {wanted}, is {state(server, address)}\n{server.log_text()[-3000:]}", seconds)


def check_login(postfix, box, mechanism):
    """Postfix's log says that Carol sent the message for @box, logged in by @mechanism."""
    line = postfix.wait_log(f": to=<{box.address}>")
    queue_id = re.search(r"([0-9A-F]+): to=", line).group(1)
    postfix.wait_log(f"{queue_id}: client=unknown[127.0.0.1], sasl_method={mechanism}, sasl_username={CAROL[0]}")


def wait_empty(server):
    wait_for(lambda: server.json("queue", "list") == [], lambda: f"an empty queue\n{server.log_text()[-3000:]}")


def notices(server, count=1, user="anna"):
    parsed = [email.message_from_bytes(m, policy=email.policy.default) for m in server.wait_messages(count, user)]
    return [m for m in parsed if m.get_content_type() == "multipart/report"]


def delivery_status(notice):
    """The fields of the first recipient, and of the message."""
    part = next(p for p in notice.walk() if p.get_content_type() == "message/delivery-status")
    per_message, *recipients = part.get_payload()
    return per_message, recipients[0]


# ---- (a) postern send logs in everywhere ----


def send(ca, port, user, password, mechanism, sender, to, *options, mode="starttls"):
    return subprocess.run([str(POSTERN), "send", "--server", f"localhost:{port}", "--tls", mode, "--ca", str(ca),
                           "--auth", mechanism, "--user", user, "--password-stdin", "--from", sender, "--to", to,
                           "--trace", *options], input=f"{password}\nSubject: by {mechanism}\n\n.hello\n", text=True,
                          capture_output=True, timeout=30)


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
@pytest.mark.parametrize("mechanism", DOVECOT_MECHANISMS)
def test_send_to_postfix(postfix, authority, box, mechanism, mode):
    done = send(authority.ca, getattr(postfix, mode), *CAROL, mechanism, CAROL[0], box.address, mode=mode)
    assert done.returncode == 0, done.stderr
    got = postfix.wait_messages(1, box.user)[0]
    assert f"\nSubject: by {mechanism}\n".encode() in got and got.endswith(b"\n\n.hello\n")
    check_login(postfix, box, mechanism)
    size, chunk = (re.search(p, done.stderr).group(1) for p in (r" SIZE=(\d+)", r"BDAT (\d+) LAST"))
    assert size == chunk, "the size told is the size sent"
    assert CAROL[1] not in done.stderr


@pytest.mark.parametrize("mechanism", DOVECOT_MECHANISMS + ["auto"])
def test_send_with_a_wrong_password(postfix, authority, mechanism):
    done = send(authority.ca, postfix.starttls, CAROL[0], "wrong", mechanism, CAROL[0], "nobody@example.net")
    assert done.returncode == 1, done.stderr
    assert "535 5.7.8" in done.stderr and "MAIL FROM" not in done.stderr


def test_send_takes_the_strongest(postfix, authority, box):
    done = send(authority.ca, postfix.starttls, *CAROL, "auto", CAROL[0], box.address)
    assert done.returncode == 0 and "logged in by SCRAM-SHA-256\n" in done.stderr, done.stderr


@pytest.fixture(scope="module")
def ourselves(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("ourselves"), users=dict([ANNA])) as running:
        yield running


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_send_to_ourselves(ourselves, box, mechanism, mode):
    done = send(ourselves.authority.ca, getattr(ourselves, mode), *ANNA, mechanism, ANNA[0], box.address, mode=mode)
    assert done.returncode == 0, done.stderr
    assert ourselves.wait_messages(1, box.user)[0].endswith(b"\n\n.hello\n")
    assert f"logged in by {mechanism}\n" in done.stderr


# ---- (b) relaying through Postfix ----


@pytest.mark.parametrize("mechanism", DOVECOT_MECHANISMS)
def test_relay_by_account(make_server, authority, postfix, box, mechanism):
    url = f"smtp://localhost:{postfix.starttls}"
    server = relaying(make_server, authority, f'''
account pf {{ url = "{url}"  user = "{CAROL[0]}"  mechanisms = {{"{mechanism}"}} }}
route "*" {{ via = "account:pf" }}''')
    server.start()
    add_account(server, "pf", url, CAROL[1])
    body = "".join(f"line {i}\r\n.{i}\r\n" for i in range(500))
    submit(server, box.address, body=body)
    got = postfix.wait_messages(1, box.user)[0]
    assert got.endswith(b"\n\n" + body.replace("\r\n", "\n").encode())
    assert f"\nReturn-Path: <{ANNA[0]}>\n".encode() in b"\n" + got
    check_login(postfix, box, mechanism)
    line = server.wait_log(rf"recipient={re.escape(box.address)} .*result=delivered")
    assert "account=pf" in line and 'tls="TLSv1.3 ' in line and "verified=yes" in line, line
    assert CAROL[1] not in server.log_text()
    wait_empty(server)


@pytest.mark.parametrize("via", ["smtp", "smtps"])
def test_relay_by_route_with_account(make_server, authority, postfix, box, via):
    url = f"{via}://localhost:{postfix.starttls if via == 'smtp' else postfix.implicit}"
    server = relaying(make_server, authority, f'''
account pf {{ url = "{url}"  user = "{CAROL[0]}" }}
route "*" {{ via = "{url}"  account = "pf" }}''')
    add_account(server, "pf", url, CAROL[1])
    server.start()
    submit(server, box.address)
    postfix.wait_messages(1, box.user)
    check_login(postfix, box, "SCRAM-SHA-256")


# ---- (c) a wrong account password ----


def test_wrong_account_password(make_server, authority, postfix, box):
    url = f"smtp://localhost:{postfix.starttls}"
    other = Sink()
    server = relaying(make_server, authority, f'''
account pf {{ url = "{url}"  user = "{CAROL[0]}" }}
route "example.net" {{ via = "account:pf" }}
route "*" {{ via = "smtp://127.0.0.1:{other.port}" }}''')
    add_account(server, "pf", url, "wrong")
    server.start()
    submit(server, box.address)
    waiting = wait_state(server, box.address, "paused")
    assert "535 5.7.8" in waiting["reason"] and "refused the login" in waiting["reason"], waiting
    failures = postfix.log().count("authentication failed")
    second = Box()
    submit(server, second.address)
    wait_state(server, second.address, "paused")
    assert postfix.log().count("authentication failed") == failures, "a paused account was tried again"
    submit(server, "eve@elsewhere.example")
    wait_for(lambda: other.messages, "mail of other routes to go on")
    why = server.run("why", server.json("queue", "list")[0]["id"]).stdout
    assert "535" in why
    assert server.messages("anna") == [], "nothing may be bounced"
    add_account(server, "pf", url, CAROL[1], "--replace")
    server.run("queue", "retry", "--all")
    postfix.wait_messages(1, box.user)
    postfix.wait_messages(1, second.user)
    wait_empty(server)
    assert server.messages("anna") == []
    other.close()


# ---- (d) credentials go over verified TLS or nowhere ----


@pytest.mark.parametrize("peer_tls", ["absent", "stranger", "other name", "expired"])
@pytest.mark.parametrize("policy", [None, "verify"])
def test_credentials_need_verified_tls(make_server, tmp_path, policy, peer_tls):
    server = make_server(start=False)
    context = {
        "absent": lambda: None,
        "stranger": lambda: server_context(*Authority(tmp_path / "stranger").issue("peer")),
        "other name": lambda: server_context(*server.authority.issue("peer", "DNS:elsewhere.example,IP:127.0.0.9")),
        "expired": lambda: server_context(*server.authority.issue("peer", days=-1)),
    }[peer_tls]()
    peer = Peer(starttls=context, users={CAROL[0]: CAROL[1]})
    url = f"smtp://localhost:{peer.port}"
    tls = f'tls = "{policy}"' if policy else ""
    server.write_conf(routes=f'''
account acc {{ url = "{url}"  user = "{CAROL[0]}" }}
route "*" {{ via = "{url}"  account = "acc"  {tls} }}''')
    add_account(server, "acc", url, CAROL[1])
    server.start()
    submit(server, "bob@example.net")
    waiting = wait_state(server, "bob@example.net", "paused")
    assert re.search(r"TLS|certificate", waiting["reason"]), waiting
    assert peer.logins == [] and peer.messages == []
    assert all(c.split(" ")[0] in ("EHLO", "STARTTLS", "QUIT") for c in peer.commands), peer.commands
    peer.close()


# ---- (e) failures ----


def test_permanent_failure(make_server, authority, postfix):
    url = f"smtp://localhost:{postfix.starttls}"
    server = relaying(make_server, authority, f'''
account pf {{ url = "{url}"  user = "{CAROL[0]}" }}
route "*" {{ via = "account:pf" }}''')
    add_account(server, "pf", url, CAROL[1])
    server.start()
    good = Box()
    submit(server, "rejected@example.net", good.address, subject="one is refused")
    postfix.wait_messages(1, good.user)
    raw = server.wait_messages(1, "anna")[0]
    notice = notices(server)[0]
    assert raw.startswith(b"Return-Path: <>\n") or notice["Return-Path"] in (None, "<>")
    assert notice["To"].addresses[0].addr_spec == ANNA[0] and notice["Auto-Submitted"].startswith("auto-replied")
    assert notice.get_param("report-type") == "delivery-status"
    per_message, recipient = delivery_status(notice)
    assert per_message["Reporting-MTA"] == "dns; mail.example.org"
    assert recipient["Final-Recipient"] == "rfc822; rejected@example.net"
    assert recipient["Action"] == "failed" and recipient["Status"] == "5.1.1"
    assert recipient["Diagnostic-Code"].startswith("smtp; 550 5.1.1") and "no such user" in recipient["Diagnostic-Code"]
    assert "localhost" in recipient["Remote-MTA"] or "postfix" in recipient["Remote-MTA"]
    returned = list(notice.walk())[-1].as_string()
    assert "Subject: one is refused" in "".join(p.as_string() for p in notice.iter_parts()), returned
    wait_empty(server)
    # The notice itself had no sender.
    line = server.wait_log(r"recipient=anna@example\.org .*result=delivered")
    assert 'sender=""' in line or "sender= " in line or "sender=<>" in line, line


def test_temporary_failure_is_tried_again(make_server):
    tries = []
    sink = Sink(replies={"RCPT": lambda line: tries.append(line) or ("450 4.2.0 come back" if len(tries) < 3 else None)})
    server = make_server(start=False, queue='retry = {"1s", "1s"}',
                         routes=f'route "*" {{ via = "smtp://127.0.0.1:{sink.port}" }}')
    server.start()
    submit(server, "bob@example.net")
    waiting = wait_state(server, "bob@example.net", "deferred")
    assert waiting["reason"].startswith("450 4.2.0 come back"), waiting
    wait_for(lambda: sink.messages, lambda: f"the third try\n{server.log_text()}")
    wait_empty(server)
    assert len(tries) == 3 and "attempt=3" in server.wait_log("result=delivered")
    sink.close()


def test_a_server_that_was_down_gets_its_mail(make_server, place, authority, dovecot, box):
    later = Postfix(place / "later", authority, dovecot.auth)
    server = relaying(make_server, authority, f'''
account pf {{ url = "smtp://localhost:{later.starttls}"  user = "{CAROL[0]}" }}
route "*" {{ via = "account:pf" }}''', queue='retry = {"1s"}')
    add_account(server, "pf", f"smtp://localhost:{later.starttls}", CAROL[1])
    server.start()
    submit(server, box.address)
    waiting = wait_state(server, box.address, "deferred")
    assert "refused" in waiting["reason"], waiting
    with later:
        later.wait_messages(1, box.user)
    wait_empty(server)


def test_expired_mail_comes_back(make_server, authority, postfix):
    url = f"smtp://localhost:{postfix.starttls}"
    server = relaying(make_server, authority, f'''
account pf {{ url = "{url}"  user = "{CAROL[0]}" }}
route "*" {{ via = "account:pf" }}''', queue='lifetime = "3s"  retry = {"1s"}')
    add_account(server, "pf", url, CAROL[1])
    server.start()
    submit(server, "later@example.net")
    wait_state(server, "later@example.net", "deferred")
    notice = notices(server)[0]
    _, recipient = delivery_status(notice)
    assert recipient["Action"] == "failed" and recipient["Status"] in ("4.4.7", "5.4.7"), str(recipient)
    assert "450 4.2.0" in recipient["Diagnostic-Code"] and "come back later" in recipient["Diagnostic-Code"]
    wait_empty(server)


# ---- (f) LMTP ----


@pytest.mark.parametrize("how", ["socket", "port"])
def test_lmtp_to_dovecot(make_server, dovecot, how):
    via = dovecot.lmtp if how == "socket" else f"127.0.0.1:{dovecot.lmtp_port}"
    server = make_server(routes=f'route "*" {{ via = "lmtp:{via}" }}')
    one, two = Box(), Box()
    body = "".join(f"line {i}\r\n" for i in range(3000)) + ".\r\n..\r\n"
    submit(server, one.address, two.address, body=body)
    for user in (one.user, two.user):
        got = dovecot.wait_messages(1, user)[0]
        assert got.replace(b"\r\n", b"\n").endswith(b"\n\n" + body.replace("\r\n", "\n").encode())
        assert f"Return-Path: <{ANNA[0]}>".encode() in got
    server.wait_log(rf"recipient={re.escape(two.address)} .*code=250 .*result=delivered")
    wait_empty(server)


# ---- (g) Postern's auth service behind Postfix ----


@pytest.fixture(scope="module")
def behind(place, authority):
    """Postern's auth_service, and a Postfix that asks it."""
    server = Server(place / "behind", users=dict([ANNA]), extra=f'''
auth_service {{ path = "{place}/behind/postern/auth-client"  mode = 0666 }}''')
    with server, Postfix(place / "asking", authority, server.folder / "auth-client") as postfix:
        yield server, postfix


def login(postfix, authority, mechanism, user, password):
    """True, or the reply that refused it."""
    with smtplib.SMTP("localhost", postfix.starttls, timeout=20) as client:
        client.starttls(context=authority.context())
        client.ehlo()
        client.user, client.password = user, password
        try:
            code, _ = client.auth(mechanism, getattr(client, "auth_" + mechanism.lower().replace("-", "_")))
        except smtplib.SMTPAuthenticationError as refused:
            return f"{refused.smtp_code} {refused.smtp_error.decode()}"
        return code == 235


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_postfix_asks_us(behind, authority, mechanism):
    _, postfix = behind
    assert login(postfix, authority, mechanism, *ANNA) is True
    for user, password in ((ANNA[0], "wrong"), ("nobody@example.org", ANNA[1]), (ANNA[0], "x" * 200)):
        assert login(postfix, authority, mechanism, user, password).startswith("535 5.7.8")


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN", "auto"])
def test_send_through_postfix_that_asks_us(behind, authority, box, mechanism):
    _, postfix = behind
    done = send(authority.ca, postfix.starttls, *ANNA, mechanism, ANNA[0], box.address)
    assert done.returncode == 0, done.stderr
    postfix.wait_messages(1, box.user)
    name = "SCRAM-SHA-512" if mechanism == "auto" else mechanism
    postfix.wait_log(f"sasl_method={name}, sasl_username={ANNA[0]}")
    done = send(authority.ca, postfix.starttls, ANNA[0], "wrong", mechanism, ANNA[0], box.address)
    assert done.returncode == 1 and "535 5.7.8" in done.stderr


def test_postfix_is_offered_no_channel_binding(behind, authority):
    """Postfix 3.7 cannot bind; a -PLUS name in its list would only mislead clients."""
    _, postfix = behind
    with smtplib.SMTP("localhost", postfix.starttls, timeout=20) as client:
        client.starttls(context=authority.context())
        client.ehlo()
        offered = client.esmtp_features["auth"].split()
    assert set(offered) == {m for m in MECHANISMS if "PLUS" not in m}


def test_postfix_client_gives_up(behind, authority):
    server, postfix = behind
    with smtplib.SMTP("localhost", postfix.starttls, timeout=20) as client:
        client.starttls(context=authority.context())
        client.ehlo()
        for mechanism in ("CRAM-MD5", "LOGIN", "PLAIN", "SCRAM-SHA-256"):
            assert client.docmd("AUTH", mechanism)[0] == 334
            assert client.docmd("*")[0] == 501
        assert client.docmd("AUTH", "PLAIN ====")[0] in (501, 535)
        assert client.docmd("AUTH", "NOSUCH")[0] in (504, 535)
    assert login(postfix, authority, "PLAIN", *ANNA) is True


def test_postfix_after_a_restart_of_auth(behind, authority):
    server, postfix = behind
    with smtplib.SMTP("localhost", postfix.starttls, timeout=20) as client:
        client.starttls(context=authority.context())
        client.ehlo()
        old, = server.pids("auth")
        os.kill(old, signal.SIGKILL)
        wait_for(lambda: server.pids("auth") not in ([], [old]), "another auth")
        client.login(*ANNA)
    assert login(postfix, authority, "CRAM-MD5", *ANNA) is True
    assert login(postfix, authority, "PLAIN", ANNA[0], "wrong").startswith("535")


def test_postfix_after_a_restart_of_everything(behind, authority):
    server, postfix = behind
    assert server.stop() == 0
    assert login(postfix, authority, "PLAIN", *ANNA) is not True
    server.start()
    wait_for(lambda: login(postfix, authority, "PLAIN", *ANNA) is True, "a login", 10, step=0.5)


# ---- and behind Exim ----


@pytest.fixture(scope="module")
def exim(behind, place, authority):
    if not Exim.program:
        pytest.skip("exim4-daemon-heavy is not here; name the program by POSTERN_EXIM")
    if os.geteuid() != 0:
        pytest.skip("only root may start Exim's daemon with a configuration of its own")
    names = [m for m in MECHANISMS if "PLUS" not in m]
    with Exim(place / "exim", authority, behind[0].folder / "auth-client", names) as running:
        yield running


@pytest.mark.parametrize("mechanism", [m for m in MECHANISMS if "PLUS" not in m])
def test_exim_asks_us(exim, authority, mechanism):
    done = send(authority.ca, exim.starttls, *ANNA, mechanism, ANNA[0], f"{mechanism}@example.net".lower())
    assert done.returncode == 0, done.stderr
    exim.wait_log(f"A=a{MECHANISMS.index(mechanism)}:{ANNA[0]}")
    done = send(authority.ca, exim.starttls, ANNA[0], "wrong", mechanism, ANNA[0], "bob@example.net")
    assert done.returncode == 1 and "535" in done.stderr, done.stderr


# ---- (g) users that Dovecot knows ----


def plain(client, name, password):
    """The code of the reply to AUTH PLAIN; smtplib knows ASCII only."""
    try:
        return client.docmd("AUTH", "PLAIN " + base64.b64encode(f"\0{name}\0{password}".encode()).decode())[0]
    finally:
        client.close()


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
def test_dovecot_as_a_provider(make_server, dovecot, mode):
    """auth asks Dovecot about those whom the vault does not know, from inside its sandbox."""
    server = make_server(start=False, auth='mechanisms = {"PLAIN", "LOGIN"}  providers = {"store", "dove"}',
                         extra=f'provider dove {{ type = "dovecot"  path = "{dovecot.auth}" }}')
    server.start()
    port = getattr(server, mode)
    for name, password, code in ((*CAROL, 235), (CAROL[0], "wrong", 535), (*ANNA, 235), ("nobody@example.net", "x", 535)):
        got = plain(server.smtp(port), name, password)
        assert got == code, f"{name}: {got}\n{server.log_text()[-2000:]}"


def test_dovecot_as_a_provider_comes_later(make_server, tmp_path):
    """Nobody answers at its socket yet: 454; as soon as somebody does, the right code."""
    later = Dovecot(tmp_path / "later", dict([CAROL]))
    server = make_server(start=False, auth='mechanisms = {"PLAIN", "LOGIN"}  providers = {"dove"}',
                         extra=f'provider dove {{ type = "dovecot"  path = "{later.auth}" }}')
    server.start()

    def code():
        with contextlib.suppress(smtplib.SMTPServerDisconnected):
            return plain(server.smtp(), *CAROL)

    assert code() == 454
    with later:
        wait_for(lambda: code() == 235, lambda: f"Dovecot to be found\n{server.log_text()[-2000:]}", 15)
