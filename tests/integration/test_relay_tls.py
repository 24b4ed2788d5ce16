"""What accounts demand of TLS and of us: authorities, pins, certificates of our own, connections, a rate."""

import hashlib
import re
import signal
import ssl
import subprocess

import pytest
from peer import Peer, server_context
from postern import Authority, wait_for
from script import Script
from test_relay import add_account, route, states, submit, trusted, wait_peer, wait_state


def pin_of(certificate):
    key = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], check=True, stdout=subprocess.PIPE)
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key.stdout, check=True,
                         stdout=subprocess.PIPE).stdout
    return "sha256:" + hashlib.sha256(der).hexdigest()


@pytest.fixture
def stranger(tmp_path):
    return Authority(tmp_path / "stranger")


def serve(server, peer, more="", host="localhost", scheme="smtps"):
    route(server, f"""account acc {{ url = "{scheme}://{host}:{peer.port}"  user = "u"  {more} }}
route "*" {{ via = "account:acc" }}""")
    add_account(server, "acc", f"{scheme}://{host}:{peer.port}", "u")
    return server.start()


def held_for(server, address="bob@example.net"):
    return wait_state(server, address, "paused")["reason"]


def test_authorities_of_an_account_stand_beside_the_others(make_server, stranger):
    """One account trusts them, the next does not."""
    server = make_server(start=False)
    peer = Peer(implicit=server_context(*stranger.issue("localhost")), users={"u": "pw"})
    known = Peer(implicit=trusted(server), users={"u": "pw"})
    route(server, f"""account a {{ url = "smtps://localhost:{peer.port}"  user = "u"  ca = "{stranger.ca}" }}
account b {{ url = "smtps://localhost:{peer.port}"  user = "u" }}
account c {{ url = "smtps://localhost:{known.port}"  user = "u"  ca = "{stranger.ca}" }}
route "a.example" {{ via = "account:a" }}
route "b.example" {{ via = "account:b" }}
route "c.example" {{ via = "account:c" }}""")
    for name in "abc":
        add_account(server, name, f"smtps://localhost:{peer.port}", "u")
    server.start()
    submit(server, "bob@a.example", "bob@b.example", "bob@c.example")
    wait_peer(peer)
    wait_peer(known)
    assert 'unknown authority "Test authority"' in held_for(server, "bob@b.example")
    assert len(peer.messages) == 1 and "bob@a.example" in peer.messages[0][1][0]


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_pinned_key_decides_alone(make_server, stranger, scheme):
    """Neither the authority nor the name fits, the key does."""
    server = make_server(start=False)
    certificate, key = stranger.issue("x", "DNS:elsewhere.example")
    peer = Peer(**{"smtps": {"implicit": server_context(certificate, key)},
                   "smtp": {"starttls": server_context(certificate, key)}}[scheme], users={"u": "pw"})
    serve(server, peer, f'pin = "{pin_of(certificate)}"', scheme=scheme)
    submit(server, "bob@example.net")
    assert wait_peer(peer)[0][3:] == ("u", True)
    wait_for(lambda: re.search(r'tls="TLSv1.\d \S+ pinned".* verified=yes', server.log_text()),
             lambda: f"the pin in the log\n{server.log_text()}")


def test_a_wrong_key_holds_the_mail(make_server):
    """All else is right."""
    server = make_server(start=False)
    certificate, key = server.authority.issue("peer")
    peer = Peer(implicit=server_context(certificate, key), users={"u": "pw"})
    serve(server, peer, f'pin = "{pin_of(server.certificate)}"')
    submit(server, "bob@example.net")
    assert f"the server's key is not the pinned one, but {pin_of(certificate)}" in held_for(server)
    assert not peer.commands


@pytest.mark.parametrize("names, days, reason", [
    ("DNS:elsewhere.example", 20, "certificate is for elsewhere.example, not localhost"),
    ("DNS:localhost", -1, "certificate expired on 20"),
])
def test_a_bad_certificate_is_told_in_words(make_server, names, days, reason):
    server = make_server(start=False)
    peer = Peer(implicit=server_context(*server.authority.issue("peer", names, days)), users={"u": "pw"})
    serve(server, peer)
    submit(server, "bob@example.net")
    assert reason in held_for(server)
    assert not peer.commands


def test_a_client_certificate_is_shown(make_server, stranger):
    """The server takes nobody without one."""
    server = make_server(start=False)
    certificate, key = stranger.issue("robot")
    context = trusted(server)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(stranger.ca)
    peer, bare = Peer(implicit=context, users={"u": "pw"}), Peer(implicit=context, users={"u": "pw"})
    route(server, f"""account acc {{ url = "smtps://localhost:{peer.port}"  user = "u"  certificate = "{certificate}"  key = "{key}" }}
account bare {{ url = "smtps://localhost:{bare.port}"  user = "u" }}
route "bare.example" {{ via = "account:bare" }}
route "*" {{ via = "account:acc" }}""")
    add_account(server, "acc", f"smtps://localhost:{peer.port}", "u")
    add_account(server, "bare", f"smtps://localhost:{bare.port}", "u")
    server.start()
    submit(server, "bob@example.net", "bob@bare.example")
    assert wait_peer(peer)[0][3] == "u"
    waits = wait_for(lambda: states(server).get("bob@bare.example", {}).get("attempts") and states(server)["bob@bare.example"],
                     "an attempt")
    assert "the server demands a client certificate (see certificate and key of the account)" in waits["reason"]
    assert not bare.messages


@pytest.mark.parametrize("user, said", [("robot", "AUTH EXTERNAL cm9ib3Q="), ("", "AUTH EXTERNAL =")])
def test_a_certificate_is_the_login(make_server, stranger, user, said):
    """No password is kept at all; without a user the server derives one from the certificate."""
    def play(talk):
        subjects.append(dict(x[0] for x in talk.sock.getpeercert()["subject"]))
        talk.hello("AUTH EXTERNAL PLAIN")
        talk.hear("AUTH")
        talk.say("235 ok")
        while not talk.line().upper().startswith("DATA"):
            talk.say("250 ok")
        talk.say("354 go")
        talk.server.taken = talk.body()
        talk.say("250 taken")
        talk.rest()

    subjects = []
    server = make_server(start=False)
    certificate, key = stranger.issue("robot")
    context = trusted(server)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(stranger.ca)
    peer = Script(play, implicit=context)
    peer.taken = None
    user = f'user = "{user}"' if user else ""
    route(server, f"""account acc {{ url = "smtps://localhost:{peer.port}"  {user}  certificate = "{certificate}"  key = "{key}"  mechanisms = {{"EXTERNAL"}} }}
route "*" {{ via = "account:acc" }}""")
    server.start()
    submit(server, "bob@example.net")
    wait_for(lambda: peer.taken, lambda: f"the message\n{peer.heard}\n{server.log_text()[-3000:]}")
    assert subjects == [{"commonName": "robot"}]
    assert [line for line in peer.heard if line.startswith("AUTH")] == [said]


def test_connections_and_rate_are_limits(make_server):
    server = make_server(start=False)
    peer = Peer(implicit=trusted(server), users={"u": "pw"})
    serve(server, peer, 'connections = 1  rate = "30/hour"')
    submit(server, "bob@example.net", count=40)
    wait_peer(peer, 30)
    entries = wait_for(lambda: [r for m in server.json("queue", "list") for r in m["recipients"]
                                if "rate of 30/hour is used up" in (r["reason"] or "")],
                       lambda: f"the rate as a reason\n{server.log_text()[-3000:]}")
    assert entries and peer.most == 1 and len(peer.messages) == 30


def test_one_alert_for_many_failures(make_server):
    server = make_server(start=False)
    peer = Peer(implicit=trusted(server), users={"u": "other"})
    serve(server, peer)
    submit(server, "bob@example.net", count=10)
    held_for(server)
    for attempt in (2, 3):
        server.run("queue", "retry", "--all")
        wait_for(lambda: len(peer.logins) >= attempt, lambda: f"another login\n{server.log_text()[-3000:]}")
    alerts = [l for l in server.log_text().splitlines() if "account is paused" in l]
    assert len(alerts) == 1 and "account=acc" in alerts[0] and "535 5.7.8 no" in alerts[0], alerts
    peer.users["u"] = "pw"
    server.run("queue", "retry", "--all")
    wait_peer(peer, 10)
    assert all(m[3] == "u" for m in peer.messages)


@pytest.mark.parametrize("then", ["kept", "replaced"])
def test_the_systems_authorities_survive_a_reload(make_server, tmp_path, then):
    """What the system trusts is read before the sandbox; a reload must not lose it, also where the file was replaced by
    one that the role cannot open."""
    system = Authority(tmp_path / "system")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(system.ca.read_bytes())
    peer = Peer(starttls=server_context(*system.issue("peer")))
    server = make_server(start=False, routes=f'route "*" {{ via = "smtp://localhost:{peer.port}"  tls = "verify" }}')
    server.start(env={"SSL_CERT_FILE": str(bundle)})
    if then == "replaced":
        new = tmp_path / "new.pem"
        new.write_bytes(system.ca.read_bytes())
        new.rename(bundle)
    server.process.send_signal(signal.SIGHUP)
    server.wait_log("read again")
    submit(server, "bob@example.net")
    wait_peer(peer)
    peer.close()
