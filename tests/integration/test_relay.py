"""Mail on its way out: where it goes, over what, as whom, and what a bad server makes of it."""

import os
import signal
import socket
import struct
import threading

import pytest
from peer import Peer, broken_context, server_context
from postern import Authority, message, wait_for

LOGIN = ("anna@example.org", "correct horse")


def submit(server, *recipients, body="hello\r\n", count=1, size=0):
    with server.smtp(login=LOGIN) as session:
        for _ in range(count):
            session.sendmail(LOGIN[0], recipients, message(body=body))


def states(server):
    return {r["address"]: r for m in server.json("queue", "list") for r in m["recipients"]}


def wait_state(server, address, state):
    return wait_for(lambda: states(server).get(address, {}).get("state") == state and states(server)[address],
                    lambda: f"{address} to be {state}: {states(server)}\n{server.log_text()[-3000:]}")


def wait_peer(peer, count=1):
    return wait_for(lambda: len(peer.messages) >= count and peer.messages,
                    lambda: f"{count} messages, have {peer.messages}, heard {peer.commands[-30:]}")


@pytest.fixture
def contexts(tmp_path):
    """Certificates of an authority that the server trusts (by tls { ca }), and of a stranger."""
    stranger = Authority(tmp_path / "stranger")
    return server_context(*stranger.issue("localhost"))


def trusted(server, names="DNS:localhost,IP:127.0.0.1"):
    return server_context(*server.authority.issue("peer", names))


def route(server, text):
    server.write_conf(routes=text)


def add_account(server, name, url, user, password="pw", *options):
    if not (server.folder / "data" / "vault.db").exists():
        for login, secret in server.users.items():
            server.add_user(login, secret)
    server.run("account", "add", name, "--url", url, "--user", user, "--password-stdin", *options,
               stdin=password + "\n")


# ---- TLS ----


@pytest.mark.parametrize("policy, peer_tls, delivered, inside", [
    ("none", "good", True, False),
    ("may", "good", True, True),
    ("may", "stranger", True, True),
    ("may", "absent", True, False),
    ("may", "broken", True, False),
    ("require", "good", True, True),
    ("require", "stranger", True, True),
    ("require", "absent", False, None),
    ("require", "broken", False, None),
    ("verify", "good", True, True),
    ("verify", "stranger", False, None),
    ("verify", "other name", False, None),
    ("verify", "absent", False, None),
])
def test_tls_policies(make_server, contexts, policy, peer_tls, delivered, inside):
    server = make_server(start=False)
    context = {"good": lambda: trusted(server), "stranger": lambda: contexts, "absent": lambda: None,
               "broken": broken_context,
               "other name": lambda: trusted(server, "DNS:elsewhere.example")}[peer_tls]()
    peer = Peer(starttls=context)
    route(server, f'route "*" {{ via = "smtp://localhost:{peer.port}"  tls = "{policy}" }}')
    server.start()
    submit(server, "bob@example.net")
    if delivered:
        assert wait_peer(peer)[0][4] is inside
    else:
        wait_state(server, "bob@example.net", "paused")
        assert not any(c.startswith("MAIL") for c in peer.commands)


def test_an_address_is_checked_against_address_names(make_server):
    server = make_server(start=False)
    good, bad = Peer(implicit=trusted(server)), Peer(implicit=trusted(server, "DNS:localhost"))
    route(server, f'''route "good.example" {{ via = "smtps://127.0.0.1:{good.port}"  tls = "verify" }}
route "*" {{ via = "smtps://127.0.0.1:{bad.port}"  tls = "verify" }}''')
    server.start()
    submit(server, "bob@good.example", "bob@bad.example")
    wait_peer(good)
    wait_state(server, "bob@bad.example", "paused")


@pytest.mark.parametrize("say", [
    {"STARTTLS": b"220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n"},
    {"STARTTLS": "454 not now"},
    {"STARTTLS": "250 what"},
    {"STARTTLS": b"\x00\xff\r\n"},
])
def test_credentials_stay_here_when_starttls_fails(make_server, say):
    server = make_server(start=False)
    peer = Peer(starttls=trusted(server), users={"u": "pw"}, say=say)
    route(server, f'''account acc {{ url = "smtp://localhost:{peer.port}"  user = "u" }}
route "*" {{ via = "account:acc" }}''')
    add_account(server, "acc", f"smtp://localhost:{peer.port}", "u")
    server.start()
    submit(server, "bob@example.net")
    wait_for(lambda: states(server).get("bob@example.net", {}).get("attempts"), "an attempt")
    assert not peer.logins and not peer.messages
    assert not any(c.startswith(("AUTH", "MAIL")) for c in peer.commands)


# ---- accounts ----


@pytest.fixture
def account(make_server):
    def make(peer_options=None, password="pw", section=True):
        server = make_server(start=False)
        peer = Peer(implicit=trusted(server), users={"u": "pw"}, **(peer_options or {}))
        url = f"smtps://localhost:{peer.port}"
        part = f'account acc {{ url = "{url}"  user = "u" }}' if section else ""
        route(server, f'{part}\nroute "*" {{ via = "account:acc" }}')
        if password:
            add_account(server, "acc", url, "u", password)
        return server.start(), peer
    return make


@pytest.mark.parametrize("section", [True, False], ids=["section", "vault only"])
def test_mail_goes_out_logged_in(account, section):
    server, peer = account(section=section)
    submit(server, "bob@example.net")
    sender, _, _, login, tls = wait_peer(peer)[0]
    assert login == "u" and tls
    assert sender.endswith(" AUTH=<>")


def test_a_wrong_password_pauses_the_account_and_loses_nothing(account):
    server, peer = account(password="wrong")
    submit(server, "bob@example.net", count=5)
    wait_for(lambda: len([m for m in server.json("queue", "list")]) == 5 and
             all(r["state"] == "paused" for m in server.json("queue", "list") for r in m["recipients"]),
             "five paused messages")
    assert len(peer.logins) == 1, "one wrong password is one login"
    assert not peer.messages
    add_account(server, "acc", f"smtps://localhost:{peer.port}", "u", "pw", "--replace")
    server.run("queue", "retry", "--all")
    wait_peer(peer, 5)


def test_an_account_without_password_holds_its_mail(account):
    server, peer = account(password=None)
    submit(server, "bob@example.net")
    reason = wait_state(server, "bob@example.net", "paused")["reason"]
    assert "account" in reason and not peer.commands[1:]


def test_a_server_that_takes_mail_after_a_failed_login_gets_none(account):
    server, peer = account(peer_options={"say": {"AUTH": "535 5.7.8 no"}})
    submit(server, "bob@example.net")
    wait_state(server, "bob@example.net", "paused")
    assert not any(c.startswith("MAIL") for c in peer.commands)


@pytest.mark.parametrize("reply", ["250 ok", "334 ????", b"334-AA==\r\n334 AA==\r\n", "221 bye", "999 x"])
def test_a_server_that_breaks_auth_gets_no_mail(account, reply):
    server, peer = account(peer_options={"say": {"AUTH": reply}})
    submit(server, "bob@example.net")
    wait_for(lambda: states(server).get("bob@example.net", {}).get("attempts"), "an attempt")
    assert not any(c.startswith("MAIL") for c in peer.commands)


def test_twenty_messages_of_two_accounts_use_four_connections_at_most(make_server):
    server = make_server(start=False)
    peer = Peer(implicit=trusted(server), users={"u0": "pw", "u1": "pw"})
    text = ""
    for i in range(2):
        url = f"smtps://localhost:{peer.port}"
        text += f'account a{i} {{ url = "{url}"  user = "u{i}" }}\nroute "d{i}.example" {{ via = "account:a{i}" }}\n'
        add_account(server, f"a{i}", url, f"u{i}")
    route(server, text + 'route "*" { via = "error:no" }')
    server.start()
    for _ in range(10):
        submit(server, "bob@d0.example")
        submit(server, "bob@d1.example")
    got = wait_peer(peer, 20)
    assert peer.connections <= 4
    for _, recipients, _, login, _ in got:
        assert login == ("u0" if "d0.example" in recipients[0] else "u1")


# ---- LMTP, large, many ----


def test_lmtp_over_a_socket_answers_for_each_recipient(make_server, tmp_path):
    path = tmp_path / "lmtp"
    peer = Peer(lmtp=True, path=path)
    os.chmod(path, 0o777)
    server = make_server(routes=f'route "*" {{ via = "lmtp:{path}" }}')
    submit(server, "bob@example.net", "eve@example.net")
    _, recipients, *_ = wait_peer(peer)[0]
    assert len(recipients) == 2
    assert peer.commands[0].startswith("LHLO")


def test_a_reload_brings_the_first_lmtp_socket(make_server, tmp_path):
    """relay may connect to sockets in the file system only where a route needs it: it starts again for the first."""
    path = tmp_path / "lmtp"
    go, at_dot = threading.Event(), threading.Event()
    local, net = Peer(lmtp=True, path=path), Peer()
    slow = Peer(say={".": lambda peer, line: at_dot.set() or (not go.wait(20) and "451 late") or None})
    os.chmod(path, 0o777)
    others = (f'route "*" {{ via = "smtp://127.0.0.1:{net.port}" }}\n'
              f'route "slow.example" {{ via = "smtp://127.0.0.1:{slow.port}" }}\n')
    server = make_server(routes=others)
    submit(server, "bob@example.net")
    wait_peer(net)
    before = server.pids("relay")
    assert len(before) == 1
    submit(server, "ann@slow.example")
    assert at_dot.wait(20)
    server.write_conf(routes=others + f'route "local.example" {{ via = "lmtp:{path}" }}')
    server.process.send_signal(signal.SIGHUP)
    server.wait_log("starting again for the first route to a socket")
    submit(server, "bob@local.example")
    submit(server, "eve@example.net")
    go.set()  # a message under way is finished before, and not sent twice
    wait_peer(local)
    wait_peer(net, 2)
    wait_for(lambda: not states(server), lambda: f"an empty queue: {states(server)}")
    assert len(slow.messages) == 1
    after = server.pids("relay")
    assert len(after) == 1 and after != before
    # Not for another one.
    server.write_conf(routes=others + f'route "local.example" {{ via = "lmtp:{path}" }}\n'
                                      f'route "more.example" {{ via = "lmtp:{path}" }}')
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: server.log_text().count("read again") == 2, "the second reload")
    submit(server, "bob@more.example")
    wait_peer(local, 2)
    assert server.pids("relay") == after


def test_a_large_message_arrives_whole(make_server):
    peer = Peer()
    server = make_server(routes=f'route "*" {{ via = "smtp://127.0.0.1:{peer.port}" }}')
    body = "".join(f"{i:08d}" + "x" * 60 + "\r\n" + (".\r\n" if i % 97 == 0 else "") for i in range(30000))
    submit(server, "bob@example.net", body=body)
    assert wait_peer(peer)[0][2].endswith(body.encode())


def test_bdat_where_offered(make_server):
    peer = Peer(extensions=("PIPELINING", "CHUNKING", "SIZE"))
    server = make_server(routes=f'route "*" {{ via = "smtp://127.0.0.1:{peer.port}" }}')
    submit(server, "bob@example.net", body="a\r\n.\r\n..b\r\n")
    assert wait_peer(peer)[0][2].endswith(b"\r\n\r\na\r\n.\r\n..b\r\n")
    assert any(c.startswith("BDAT") for c in peer.commands)


def test_limits_rcptmax(make_server):
    peer = Peer(extensions=("PIPELINING", "LIMITS RCPTMAX=2"))
    server = make_server(routes=f'route "*" {{ via = "smtp://127.0.0.1:{peer.port}" }}')
    submit(server, *[f"r{i}@example.net" for i in range(5)])
    got = wait_peer(peer, 3)
    assert sorted(len(m[1]) for m in got) == [1, 2, 2]


def test_a_slow_destination_holds_up_nobody(make_server):
    block = threading.Event()
    slow = Peer(say={".": lambda peer, line: block.wait(60) and None})
    fast = Peer()
    server = make_server(routes=f'''route "slow.example" {{ via = "smtp://127.0.0.1:{slow.port}" }}
route "*" {{ via = "smtp://127.0.0.1:{fast.port}" }}''')
    submit(server, "bob@slow.example", count=30)
    submit(server, "bob@fast.example", count=5)
    wait_peer(fast, 5)
    assert slow.most == 1
    block.set()


# ---- servers that break the rules ----


@pytest.mark.parametrize("greeting", [b"", b"2\r\n", b"\r\n", b"220\0ok\r\n", b"150 wait\r\n",
                                      b"650 x\r\n", b"220-a\r\n250 b\r\n", b"HTTP/1.1 400 Bad\r\n",
                                      b"220-" + b"x" * 1_000_000 + b"\r\n220 x\r\n",
                                      b"220-x\r\n" * 100_000, b"554 go away\r\n", b"421 later\r\n"],
                         ids=lambda g: repr(g[:12]))
def test_a_greeting_that_is_none_defers(make_server, greeting):
    def greet(peer, line):
        return greeting or b"22"
    peer = Peer(say={"GREETING": greet})
    if not greeting:
        peer.say["GREETING"] = lambda p, l: (_ for _ in ()).throw(OSError())
    server = make_server(routes=f'route "*" {{ via = "smtp://127.0.0.1:{peer.port}" }}')
    submit(server, "bob@example.net")
    wait_state(server, "bob@example.net", "deferred")
    assert not any(c.startswith("MAIL") for c in peer.commands)


@pytest.mark.parametrize("verb, reply, state", [
    ("MAIL", "451 4.3.0 later", "deferred"),
    ("RCPT", "450 4.2.0 later", "deferred"),
    (".", "452 4.3.1 full", "deferred"),
    ("DATA", "451 4.3.0 later", "deferred"),
    ("RCPT", b"250-x\r\n550 y\r\n", "deferred"),
    (".", b"\x00\x01\x02\r\n", "deferred"),
])
def test_temporary_failures_defer(make_server, verb, reply, state):
    peer = Peer(say={verb: reply})
    server = make_server(routes=f'route "*" {{ via = "smtp://127.0.0.1:{peer.port}" }}')
    submit(server, "bob@example.net")
    wait_state(server, "bob@example.net", state)


def test_a_permanent_failure_comes_back_to_the_sender(make_server):
    peer = Peer(say={"RCPT": "550 5.1.1 no \x1b[31mred\x07 such user"})
    server = make_server(start=False)
    route(server, f'''route "example.org" {{ via = "maildir:{server.maildir}/{{user}}" }}
route "*" {{ via = "smtp://127.0.0.1:{peer.port}" }}''')
    server.start()
    submit(server, "bob@example.net")
    notice = server.wait_messages(1, user="anna")[0]
    assert b"5.1.1" in notice and b"\x1b" not in notice and b"\x07" not in notice


# ---- MX ----


class Names(threading.Thread):
    """A DNS server of one zone: {(name, type): [values]}; MX values are (preference, host)."""

    A, MX = 1, 15

    def __init__(self, zone, broken=()):
        super().__init__(daemon=True)
        self.zone, self.broken = zone, broken
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.start()

    @staticmethod
    def wire(name):
        return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".") if p) + b"\0"

    def run(self):
        while True:
            query, client = self.socket.recvfrom(4096)
            at, labels = 12, []
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
                at += 1 + query[at]
            name, kind = ".".join(labels), struct.unpack_from(">H", query, at + 1)[0]
            values = self.zone.get((name, kind), [])
            known = any(n == name or n.endswith("." + name) for n, _ in self.zone)
            code = 2 if name in self.broken else 0 if known else 3
            records = b""
            for value in values:
                data = socket.inet_aton(value) if kind == self.A else struct.pack(">H", value[0]) + self.wire(value[1])
                records += b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 300, len(data)) + data
            self.socket.sendto(query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(values), 0, 0) +
                               query[12:at + 5] + records, client)


def test_mx(make_server):
    peer = Peer()
    names = Names({("two.example", 15): [(10, "dead.two.example"), (20, "mx.two.example")],
                   ("dead.two.example", 1): ["127.0.0.77"], ("mx.two.example", 1): ["127.0.0.1"],
                   ("plain.example", 1): ["127.0.0.1"],
                   ("null.example", 15): [(0, "")],
                   ("self.example", 15): [(5, "mail.example.org")]}, broken=("broken.example",))
    server = make_server(start=False)
    route(server, f'''route "example.org" {{ via = "maildir:{server.maildir}/{{user}}" }}
route "*" {{ via = "mx" }}''')
    server.start(env={"POSTERN_RESOLVER": f"127.0.0.1:{names.port}", "POSTERN_MX_PORT": str(peer.port)})
    submit(server, "bob@two.example", "bob@plain.example")
    wait_peer(peer, 2)
    submit(server, "bob@broken.example")
    wait_state(server, "bob@broken.example", "deferred")
    for domain, status in (("null.example", b"5.1.10"), ("self.example", b"5.4.6"), ("nowhere.example", b"5.1.2")):
        have = len(server.messages("anna"))
        submit(server, f"bob@{domain}")
        assert status in server.wait_messages(have + 1, user="anna")[-1]
