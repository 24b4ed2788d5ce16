"""Servers that one should not trust with a password: whatever they say or do, nothing leaks, nothing is lost, and the
queue says in plain words why the mail waits. When the server is decent again, the mail arrives once."""

import base64
import email
import email.policy
import hashlib
import hmac
import re
import time

import pytest
from postern import Authority, message, wait_for
from script import Script, server_context

ANNA = ("anna@example.org", "correct horse")
USER, PASSWORD = "robot@example.net", "s3cret-of-the-robot"
BODY = "the body nobody else may read\r\n"


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode("latin-1")).decode()


def decent(talk):
    """What the server does when it has come to its senses."""
    talk.secure("AUTH PLAIN", "8BITMIME")
    talk.server.logins.append(base64.b64decode(talk.hear("AUTH PLAIN").split()[2]).decode().split("\0")[1:])
    talk.say("235 2.7.0 welcome")
    take(talk)


def take(talk, rcpt=lambda line: "250 ok", dot="250 2.0.0 taken"):
    """Transactions until QUIT."""
    recipients = []
    while True:
        line = talk.line()
        verb = line.split(" ")[0].upper()
        if verb == "RCPT":
            reply = rcpt(line)
            recipients += [line] * reply.startswith("2")
            talk.say(reply)
        elif verb == "DATA":
            talk.say("354 go" if recipients else "503 nobody")
            if recipients:
                talk.server.taken.append((recipients, talk.body(), talk.tls))
                talk.say(dot)
            recipients = []
        else:
            talk.say("221 bye" if verb == "QUIT" else "250 ok")
            recipients = [] if verb in ("RSET", "MAIL") else recipients


# ---- before TLS ----


def no_starttls(talk):
    talk.hello("AUTH PLAIN LOGIN", "8BITMIME")
    talk.rest()


def starttls_refused(code):
    def play(talk):
        talk.hello("STARTTLS", "AUTH PLAIN")
        talk.hear("STARTTLS")
        talk.say(f"{code} TLS not available due to temporary reason")
        talk.rest()
    return play


def injection(talk):
    talk.hello("STARTTLS")
    talk.hear("STARTTLS")
    talk.raw(b"220 go ahead\r\n250-evil\r\n250 AUTH PLAIN\r\n235 ok\r\n250 ok\r\n")
    talk.handshake()
    talk.rest()


def no_handshake(talk):
    talk.hello("STARTTLS")
    talk.hear("STARTTLS")
    talk.say("220 go")
    talk.raw(b"this is no TLS record at all\r\n" * 10)
    talk.broken = True  # what is heard from now on are TLS records
    talk.rest()


def greeting(line):
    def play(talk):
        talk.say(line)
        talk.ehlo("8BITMIME")
        talk.rest()
    return play


# ---- after TLS ----


def auth_before_tls_only(talk):
    talk.hello("STARTTLS", "AUTH PLAIN LOGIN CRAM-MD5")
    talk.hear("STARTTLS")
    talk.say("220 go")
    talk.handshake()
    talk.ehlo("8BITMIME")
    talk.rest()


def no_auth(talk):
    talk.secure("8BITMIME", "PIPELINING")
    talk.rest()


def strange_mechanisms(talk):
    talk.secure("AUTH NTLM ANONYMOUS X-SECRET")
    talk.rest()


def auth_says(*replies, words="AUTH PLAIN"):
    def play(talk):
        talk.secure(words)
        talk.hear("AUTH")
        talk.say(*replies)
        talk.rest()
    return play


def endless_rounds(talk):
    talk.secure("AUTH LOGIN")
    talk.hear("AUTH LOGIN")
    while True:
        talk.say("334 " + b64("Password:"))
        if talk.line() == "*":
            talk.say("501 cancelled")
            talk.rest()


def cram_rounds(challenge):
    def play(talk):
        talk.secure("AUTH CRAM-MD5")
        talk.hear("AUTH CRAM-MD5")
        talk.say("334 " + challenge)
        talk.line()
        talk.say("501 cancelled")
        talk.rest()
    return play


def scram(first=None, final=None, done="235 2.7.0 ok"):
    """SCRAM-SHA-256 by the book but for what @first (nonce -> server-first-message) and @final (right signature ->
    server-final-message) say."""
    def play(talk):
        talk.secure("AUTH SCRAM-SHA-256")
        client = base64.b64decode(talk.hear("AUTH SCRAM-SHA-256").split()[2]).decode()
        bare = client.split(",", 2)[2]
        nonce = re.search(r"r=(.*)", bare).group(1)
        salt = b"0123456789abcdef"
        said = first(nonce) if first else f"r={nonce}xyz,s={b64(salt)},i=4096"
        talk.say("334 " + b64(said))
        answer = talk.line()
        if answer == "*":
            talk.say("501 5.7.0 cancelled")
            talk.rest()
        without = base64.b64decode(answer).decode().rsplit(",p=", 1)[0]
        key = hmac.digest(hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), salt, 4096), b"Server Key", "sha256")
        right = b64(hmac.digest(key, f"{bare},{said},{without}".encode(), "sha256"))
        if final:
            talk.say("334 " + b64(final(right)))
            if talk.line() == "*":
                talk.say("501 5.7.0 cancelled")
                talk.rest()
        talk.say(done)
        take(talk)
    return play


def endless(data, pause=0.0):
    def play(talk):
        talk.forever(data, pause)
    return play


def endless_ehlo(talk):
    talk.say("220 hello")
    talk.hear("EHLO")
    talk.forever(b"250-" + b"x" * 500 + b"\r\n")


def endless_after_login(talk):
    talk.secure("AUTH PLAIN")
    talk.hear("AUTH")
    talk.forever(b"235-" + b"w" * 500 + b"\r\n")


# Each: what the server does; what the recipient's state is; what the reason says; may AUTH have been sent?
BEFORE_LOGIN = {
    "STARTTLS not offered": (no_starttls, "paused", r"STARTTLS|TLS"),
    "STARTTLS refused for now": (starttls_refused(454), "paused", r"454 TLS not available"),
    "STARTTLS refused for ever": (starttls_refused(502), "paused", r"502 TLS not available"),
    "replies injected behind 220": (injection, "paused|deferred", r"more than|behind|inject|TLS"),
    "no TLS behind 220": (no_handshake, "paused", r"TLS"),
    "AUTH offered before TLS only": (auth_before_tls_only, "paused", r"does not offer AUTH"),
    "AUTH missing": (no_auth, "paused", r"does not offer AUTH"),
    "no mechanism that we speak": (strange_mechanisms, "paused", r"no mechanism"),
    "greeting 421": (greeting("421 4.3.2 too busy"), "deferred", r"421 4.3.2 too busy"),
    "greeting 554": (greeting("554 5.7.1 go away"), "deferred", r"554 5.7.1 go away"),
    "greeting of 64 KB": (greeting("220 " + "g" * 65536), "paused|deferred", r"."),
    "greeting without an end": (endless(b"x" * 4096), "deferred", r"no end"),
    "greeting of endless lines": (endless(b"220-" + b"y" * 100 + b"\r\n"), "deferred", r"no end"),
    "endless EHLO reply": (endless_ehlo, "deferred", r"no end"),
    "greeting with a NUL": (greeting("220 he\0llo"), "deferred|paused", r"STARTTLS|NUL|reply"),
    "not SMTP": (greeting("HTTP/1.1 400 Bad Request"), "deferred", r"."),
}
AT_LOGIN = {
    "535": (auth_says("535 5.7.8 bad credentials"), "paused", r"535 5\.7\.8 bad credentials"),
    "454": (auth_says("454 4.7.0 ask me later"), "deferred", r"454 4\.7\.0 ask me later"),
    "421": (auth_says("421 4.7.0 closing"), "deferred", r"421 4\.7\.0 closing"),
    "534": (auth_says("534 5.7.9 too weak"), "paused", r"534 5\.7\.9 too weak"),
    "504 to the only mechanism": (auth_says("504 5.5.4 no such mechanism"), "paused", r"504 5\.5\.4"),
    "334 that is no base64": (auth_says("334 !!!not base64!!!"), "paused|deferred", r"base64"),
    "334 of 64 KB": (auth_says("334 " + "QUFB" * 16384), "paused|deferred", r"."),
    "continued 334": (auth_says("334-QUFB", "334 QUFB"), "paused|deferred", r"."),
    "endless rounds": (endless_rounds, "paused|deferred", r"challenge|on and on"),
    "endless 235": (endless_after_login, "deferred|paused", r"no end"),
    "CRAM-MD5 challenge that is none": (cram_rounds("===="), "paused|deferred", r"base64"),
    "235 at once to CRAM-MD5": (auth_says("235 fine", words="AUTH CRAM-MD5"), "paused|deferred", r"235"),
    "235 at once to SCRAM": (auth_says("235 fine", words="AUTH SCRAM-SHA-256"), "paused|deferred", r"235|prove"),
    "SCRAM without the signature": (scram(), "paused|deferred", r"235|prove"),
    "SCRAM, wrong v=": (scram(final=lambda right: "v=" + b64(b"x" * 32)), "paused|deferred", r"signature|prove"),
    "SCRAM, e=": (scram(final=lambda right: "e=other-error"), "paused|deferred", r"."),
    "SCRAM, i=1": (scram(lambda n: f"r={n}x,s=QUFBQQ==,i=1"), "paused|deferred", r"iteration"),
    "SCRAM, i=4095": (scram(lambda n: f"r={n}x,s=QUFBQQ==,i=4095"), "paused|deferred", r"iteration"),
    "SCRAM, i=2^31": (scram(lambda n: f"r={n}x,s=QUFBQQ==,i=2147483648"), "paused|deferred", r"iteration"),
    "SCRAM, i=10^30": (scram(lambda n: f"r={n}x,s=QUFBQQ==,i={10**30}"), "paused|deferred", r"iteration|message"),
    "SCRAM, i=-1": (scram(lambda n: f"r={n}x,s=QUFBQQ==,i=-1"), "paused|deferred", r"iteration|message"),
    "SCRAM, another nonce": (scram(lambda n: "r=somethingelse,s=QUFBQQ==,i=4096"), "paused|deferred", r"nonce"),
    "SCRAM, our nonce alone": (scram(lambda n: f"r={n},s=QUFBQQ==,i=4096"), "paused|deferred", r"nonce"),
    "SCRAM, m=": (scram(lambda n: f"m=ext,r={n}x,s=QUFBQQ==,i=4096"), "paused|deferred", r"."),
    "SCRAM, no salt": (scram(lambda n: f"r={n}x,s=,i=4096"), "paused|deferred", r"."),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server; each test has an account, a route and a peer of its own."""
    from postern import Server
    server = Server(tmp_path_factory.mktemp("evil"), queue='retry = {"1h"}')
    server.peers, server.number = [], 0
    server.start()
    yield server
    server.stop()


def connect(server, play, context=None, implicit=None):
    """A Script behind an account of its own; mail for its domain goes there."""
    peer = Script(play, starttls=context or server_context(*server.authority.issue("peer")), implicit=implicit)
    peer.logins, peer.taken = [], []
    server.number += 1
    peer.account, peer.domain = f"acc{server.number}", f"d{server.number}.example.net"
    url = f"{'smtps' if implicit else 'smtp'}://localhost:{peer.port}"
    server.run("account", "add", peer.account, "--url", url, "--user", USER, "--password-stdin", stdin=PASSWORD + "\n")
    server.peers.append(peer)
    home = f'route "example.org" {{ via = "maildir:{server.maildir}/{{user}}" }}\n'
    server.write_conf(routes=home + "".join(f'route "{p.domain}" {{ via = "account:{p.account}" }}\n' for p in server.peers))
    before = server.log_text().count("read again")
    server.process.send_signal(1)
    wait_for(lambda: server.log_text().count("read again") > before, lambda: f"the reload\n{server.log_text()[-2000:]}")
    return peer


def submit(server, peer, *users, body=BODY):
    recipients = [f"{u}@{peer.domain}" for u in users or ("bob",)]
    with server.smtp(login=ANNA) as session:
        session.sendmail(ANNA[0], recipients, message("test", body, to=recipients[0]))
    return recipients


def entry_of(server, recipient):
    for entry in server.json("queue", "list"):
        for r in entry["recipients"]:
            if r["address"] == recipient:
                return entry, r
    return {}, {}


def wait_state(server, recipient, states, seconds=30):
    return wait_for(lambda: re.fullmatch(states, entry_of(server, recipient)[1].get("state") or "") and entry_of(server, recipient),
                    lambda: f"{recipient} {states}, is {entry_of(server, recipient)}\n{server.log_text()[-3000:]}", seconds)


def secrets():
    yield PASSWORD
    yield b64(PASSWORD)
    yield b64(f"\0{USER}\0{PASSWORD}")


def check_nothing_leaked(server, peer, login=False):
    """The peer has seen no command of a transaction, no body and, but where a login by PLAIN was due, no secret."""
    heard = "\n".join(peer.heard)
    allowed = {"EHLO", "HELO", "STARTTLS", "QUIT", "RSET", "NOOP"} | ({"AUTH"} if login else set())
    if not login and not any(talk.broken for talk in peer.talks):
        assert {line.split(" ")[0].upper() for line in peer.heard} <= allowed, peer.heard
    assert not re.search(r"^(MAIL FROM|RCPT TO|DATA|BDAT)", heard, re.M | re.I), heard
    assert BODY.strip() not in heard
    for talk in peer.talks:
        for line in talk.lines:
            if not talk.tls or not login:
                assert not any(s in line for s in secrets()), "a secret in clear, or without need"
    for text in (server.log_text(), server.run("queue", "list", "--json").stdout):
        assert not any(s in text for s in secrets())


def check_recovery(server, peer, recipient, at_least_once=False):
    """The server is decent now: the mail arrives, and the queue forgets it."""
    peer.play = decent
    peer.taken.clear()
    for talk in peer.talks:
        talk.hang_up()
    server.run("queue", "retry", "--all")
    wait_for(lambda: not entry_of(server, recipient)[0], lambda: f"the mail to leave\n{server.log_text()[-3000:]}")
    mine = [t for t in peer.taken if any(recipient in r for r in t[0])]
    assert len(mine) >= 1 if at_least_once else len(mine) == 1, peer.taken
    assert all(tls for _, _, tls in mine) and [USER, PASSWORD] in peer.logins


def check_held(server, peer, play, states, reason, login):
    recipient, = submit(server, peer)
    entry, found = wait_state(server, recipient, states)
    assert re.search(reason, found["reason"]), found
    assert entry["account"] == peer.account
    check_nothing_leaked(server, peer, login)
    why = server.run("why", entry["id"]).stdout
    assert peer.account in why and re.search(reason, why.replace('"', "")), why
    assert not any(s in why for s in secrets())
    check_recovery(server, peer, recipient)
    assert server.messages("anna") == [], "nothing may be bounced"


@pytest.mark.parametrize("name", BEFORE_LOGIN)
def test_before_login(server, name):
    play, states, reason = BEFORE_LOGIN[name]
    peer = connect(server, play)
    check_held(server, peer, play, states, reason, login=False)
    peer.close()


@pytest.mark.parametrize("name", AT_LOGIN)
def test_at_login(server, name):
    play, states, reason = AT_LOGIN[name]
    peer = connect(server, play)
    check_held(server, peer, play, states, reason, login=True)
    peer.close()


CERTIFICATES = {
    "wrong name": (lambda a, other: a.issue("peer", "DNS:elsewhere.example,IP:127.0.0.9"), r"elsewhere\.example|name"),
    "expired": (lambda a, other: a.issue("peer", days=-1), r"expired"),
    "of an unknown authority": (lambda a, other: other.issue("peer"), r"authority|issuer|certificate"),
    "self-signed": (lambda a, other: (other.ca, other.key), r"self-signed"),
    "with a NUL in its name": (lambda a, other: a.issue("peer", "DNS:localhost.evil.example"), r"name|localhost\.evil"),
}


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "implicit"])
@pytest.mark.parametrize("name", CERTIFICATES)
def test_certificates(server, tmp_path, name, implicit):
    make, reason = CERTIFICATES[name]
    context = server_context(*make(server.authority, Authority(tmp_path / "other")))
    peer = connect(server, decent, context=context, implicit=context if implicit else None)
    recipient, = submit(server, peer)
    entry, found = wait_state(server, recipient, "paused")
    assert re.search(reason, found["reason"]), found
    assert peer.logins == [] and not any(line.startswith("AUTH") for line in peer.heard), peer.heard
    check_nothing_leaked(server, peer)
    peer.starttls = server_context(*server.authority.issue("peer"))
    if implicit:
        peer.implicit = peer.starttls
        peer.play = lambda talk: (talk.hello("AUTH PLAIN"), talk.server.logins.append(talk.hear("AUTH")),
                                  talk.say("235 ok"), take(talk))
        server.run("queue", "retry", "--all")
        wait_for(lambda: not entry_of(server, recipient)[0], lambda: f"the mail to leave\n{server.log_text()[-3000:]}")
        assert len(peer.taken) == 1
    else:
        check_recovery(server, peer, recipient)
    peer.close()


# ---- in a transaction ----


def logged_in(then):
    def play(talk):
        talk.secure("AUTH PLAIN", "8BITMIME")
        talk.hear("AUTH PLAIN")
        talk.say("235 ok")
        then(talk)
    return play


def up_to(verb, then):
    """Answers 250 until @verb, then does @then."""
    def play(talk):
        while not (line := talk.line()).upper().startswith(verb):
            talk.say("250 ok" if not line.upper().startswith("DATA") else "354 go")
        then(talk)
    return logged_in(play)


def part_of_the_body(talk):
    talk.say("354 go")
    talk.line()
    talk.close()


def after_the_dot(talk):
    talk.say("354 go")
    talk.server.taken.append(talk.body())
    talk.close()


def says(*lines):
    return lambda talk: (talk.say(*lines), talk.rest())


def dot_says(*lines):
    return lambda talk: (talk.say("354 go"), talk.body(), talk.say(*lines), talk.rest())


IN_TRANSACTION = {
    "421 at MAIL": (up_to("MAIL", says("421 4.3.2 shutting down")), r"421 4\.3\.2 shutting down"),
    "451 at MAIL": (up_to("MAIL", says("451 4.3.0 not now")), r"451 4\.3\.0 not now"),
    "gone at MAIL": (up_to("MAIL", lambda t: t.close()), r"closed|ended|gone|lost"),
    "450 at RCPT": (up_to("RCPT", says("450 4.2.1 mailbox busy")), r"450 4\.2\.1 mailbox busy"),
    "gone at RCPT": (up_to("RCPT", lambda t: t.close()), r"closed|ended|gone|lost"),
    "452 at DATA": (up_to("DATA", says("452 4.3.1 disk full")), r"452 4\.3\.1 disk full"),
    "gone in the middle of the body": (up_to("DATA", part_of_the_body), r"closed|ended|gone|lost|broke"),
    "gone after the dot": (up_to("DATA", after_the_dot), r"after the final dot"),
    "451 after the dot": (up_to("DATA", dot_says("451 4.3.0 cannot store it")), r"451 4\.3\.0 cannot store it"),
    "421 after the dot": (up_to("DATA", dot_says("421 4.3.0 restart")), r"421 4\.3\.0 restart"),
    "endless reply after the dot": (up_to("DATA", lambda t: (t.say("354 go"), t.body(), t.forever(b"250-" + b"z" * 500 + b"\r\n"))),
                                    r"no end"),
    "no SMTP after the dot": (up_to("DATA", dot_says("whatever")), r"."),
    "2xx in place of 354": (up_to("DATA", says("250 no need")), r"."),
    "354 at RCPT": (up_to("RCPT", says("354 go")), r"."),
    "reply before the command": (up_to("MAIL", says("250 ok", "250 ok", "354 go", "250 taken")), r"."),
}


@pytest.mark.parametrize("name", IN_TRANSACTION)
def test_in_transaction(server, name):
    play, reason = IN_TRANSACTION[name]
    peer = connect(server, play)
    recipient, = submit(server, peer)
    entry, found = wait_state(server, recipient, "deferred")
    assert re.search(reason, found["reason"]), found
    check_recovery(server, peer, recipient)
    assert server.messages("anna") == [], "nothing may be bounced"
    peer.close()


def test_each_recipient_has_a_fate_of_its_own(server):
    def rcpt(line):
        return {"gone": "550 5.1.1 no such user", "busy": "450 4.2.1 try later"}.get(re.search(r"<(\w+)@", line).group(1), "250 ok")

    peer = connect(server, logged_in(lambda talk: take(talk, rcpt)))
    good, gone, busy = submit(server, peer, "good", "gone", "busy")
    _, waiting = wait_state(server, busy, "deferred")
    assert "450 4.2.1 try later" in waiting["reason"]
    assert [r for r, _, _ in peer.taken] and "good@" in peer.taken[0][0][0] and len(peer.taken[0][0]) == 1
    notice, = [m for m in (email.message_from_bytes(b, policy=email.policy.default) for b in server.wait_messages(1, "anna"))
               if m.get_content_type() == "multipart/report"]
    status = next(p for p in notice.walk() if p.get_content_type() == "message/delivery-status").get_payload()
    assert [r["Final-Recipient"] for r in status[1:]] == [f"rfc822; {gone}"] or gone in str(status[1]["Final-Recipient"])
    check_recovery(server, peer, busy)
    assert entry_of(server, good) == entry_of(server, gone) == ({}, {})
    for path in (server.maildir / "anna" / "new").iterdir():
        path.unlink()
    peer.close()


def test_no_weaker_mechanism_after_a_refusal(server):
    """535 to the strongest: PLAIN is offered too, and not tried."""
    def play(talk):
        talk.secure("AUTH SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN")
        talk.hear("AUTH")
        talk.say("535 5.7.8 no")
        talk.rest()

    peer = connect(server, play)
    recipient, = submit(server, peer)
    wait_state(server, recipient, "paused")
    tried = [line.split(" ")[1] for line in peer.heard if line.startswith("AUTH")]
    assert tried == ["SCRAM-SHA-256"], tried
    check_recovery(server, peer, recipient)
    peer.close()


def test_another_mechanism_where_one_is_not_taken(server):
    """504: the server does not do what it offers; the next one is tried."""
    def play(talk):
        talk.secure("AUTH SCRAM-SHA-256 PLAIN")
        talk.hear("AUTH SCRAM-SHA-256")
        talk.say("504 5.5.4 not after all")
        talk.hear("AUTH PLAIN")
        talk.say("235 ok")
        take(talk)

    peer = connect(server, play)
    recipient, = submit(server, peer)
    wait_for(lambda: peer.taken, "the mail to arrive")
    wait_for(lambda: not entry_of(server, recipient)[0], "the queue to be empty")
    peer.close()


def test_a_paused_account_is_left_alone(server):
    """While it is paused no further login is tried, however much mail comes; one alert says so."""
    peer = connect(server, auth_says("535 5.7.8 no"))
    first, = submit(server, peer)
    wait_state(server, first, "paused")
    tried = sum(line.startswith("AUTH") for line in peer.heard)
    others = [submit(server, peer, f"u{i}")[0] for i in range(5)]
    for other in others:
        wait_state(server, other, "paused")
    assert sum(line.startswith("AUTH") for line in peer.heard) == tried == 1
    alerts = [line for line in server.log_text().splitlines() if f"account={peer.account} " in line and line.startswith("warning")]
    assert len(alerts) == 1 and "535 5.7.8 no" in alerts[0], alerts
    check_recovery(server, peer, first)
    for other in others:
        wait_for(lambda: not entry_of(server, other)[0], "the rest to follow")
    peer.close()


def test_a_tarpit_delays_nobody(server):
    """A server that answers a byte a second holds up its own mail only."""
    slow = connect(server, endless(b"2", 1.0))
    fast = connect(server, decent)
    for i in range(40):
        submit(server, slow, f"s{i}")
    begun = time.monotonic()
    for i in range(20):
        submit(server, fast, f"f{i}")
    wait_for(lambda: len(fast.taken) == 20, lambda: f"20 messages, {len(fast.taken)} came\n{server.log_text()[-2000:]}")
    assert time.monotonic() - begun < 20
    assert slow.most <= 4, "no more connections to a server that gets nowhere"
    slow.close()
    fast.close()
