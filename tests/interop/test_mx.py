"""Where mail for a domain goes: mail exchangers in their order, by a DNS of our own.

The exchangers listen at addresses of 127.0.0.0/8 that a private resolver makes acceptable, and at one port that
POSTERN_MX_PORT puts in place of 25."""

import contextlib
import socket

import pytest
from dns import Dns
from peer import Peer
from postern import message, wait_for

LOGIN = ("anna@example.org", "correct horse")
ADDRESSES = [f"127.0.0.{n}" for n in range(2, 6)]


def common_port():
    """A port that is free at each of ADDRESSES."""
    while True:
        with contextlib.ExitStack() as held:
            first = held.enter_context(socket.create_server((ADDRESSES[0], 0)))
            port = first.getsockname()[1]
            try:
                for address in ADDRESSES[1:]:
                    held.enter_context(socket.create_server((address, port)))
            except OSError:
                continue
        return port


@pytest.fixture
def world(make_server):
    """world(names, {address: Peer options}) -> server and the peers by address."""
    opened = []

    def make(names, peers):
        port = common_port()
        dns = Dns(names)
        running = {address: Peer(host=address, port=port, **options) for address, options in peers.items()}
        opened.extend([dns, *running.values()])
        server = make_server(start=False, queue='retry = {"1s"}')
        server.write_conf(routes=f'route "example.org" {{ via = "maildir:{server.maildir}/{{user}}" }}\n'
                                 'route "*" { via = "mx" }')
        server.start(env={"POSTERN_RESOLVER": f"127.0.0.1:{dns.port}", "POSTERN_MX_PORT": str(port)})
        return server, running, dns

    yield make
    for thing in opened:
        thing.close()


def submit(server, *recipients):
    with server.smtp(login=LOGIN) as session:
        session.sendmail(LOGIN[0], recipients, message())


def wait_mail(server, peer, count=1):
    return wait_for(lambda: len(peer.messages) >= count and peer.messages,
                    lambda: f"{count} messages, have {len(peer.messages)}\n{server.log_text()[-3000:]}")


def wait_notice(server, count=1):
    return server.wait_messages(count, "anna")[-1].decode()


def hosts(**addresses):
    return {f"{name}.example.net": {"A": [address]} for name, address in addresses.items()}


def test_the_lowest_preference_gets_it_all(world):
    server, peers, _ = world({"example.net": {"MX": [(30, "c.example.net"), (5, "a.example.net"),
                                                     (20, "b.example.net")]},
                              **hosts(a="127.0.0.2", b="127.0.0.3", c="127.0.0.4")},
                             {a: {} for a in ADDRESSES[:3]})
    for _ in range(5):
        submit(server, "bob@example.net", "eve@EXAMPLE.net")
    assert len(wait_mail(server, peers["127.0.0.2"], 5)) == 5
    assert peers["127.0.0.3"].connections == peers["127.0.0.4"].connections == 0
    line = server.wait_log("recipient=bob@example.net .*result=delivered")
    assert "host=a.example.net address=127.0.0.2:" in line, line


@pytest.mark.parametrize("trouble", ["down", "421", "554", "silent end", "greets and ends"])
def test_the_next_one_when_the_first_is_in_trouble(world, trouble):
    """Tried at once, in the same attempt, not after a retry."""
    def end(peer, line):
        raise OSError

    options = {"421": {"say": {"GREETING": "421 4.3.2 too busy"}}, "554": {"say": {"GREETING": "554 5.3.2 no"}},
               "silent end": {"say": {"GREETING": end}}, "greets and ends": {"say": {"EHLO": end}}}
    server, peers, _ = world({"example.net": {"MX": [(10, "a.example.net"), (20, "b.example.net")]},
                              **hosts(a="127.0.0.2", b="127.0.0.3")},
                             {**({"127.0.0.2": options[trouble]} if trouble in options else {}), "127.0.0.3": {}})
    submit(server, "bob@example.net")
    wait_mail(server, peers["127.0.0.3"])
    line = server.wait_log("recipient=bob@example.net .*result=delivered")
    assert "host=b.example.net" in line and "attempt=1 " in line, line
    if "127.0.0.2" in peers:
        assert peers["127.0.0.2"].connections == 1 and not peers["127.0.0.2"].messages


def test_a_refusal_is_final_and_not_asked_of_the_next(world):
    server, peers, _ = world({"example.net": {"MX": [(10, "a.example.net"), (20, "b.example.net")]},
                              **hosts(a="127.0.0.2", b="127.0.0.3")},
                             {"127.0.0.2": {"say": {"RCPT": "550 5.1.1 nobody"}}, "127.0.0.3": {}})
    submit(server, "bob@example.net")
    notice = wait_notice(server)
    assert "Status: 5.1.1" in notice and "Diagnostic-Code: smtp; 550 5.1.1 nobody" in notice
    assert "Remote-MTA: dns; a.example.net" in notice
    assert peers["127.0.0.3"].connections == 0


def test_equals_share(world):
    domains = {f"d{i}.example.net": {"MX": [(10, "a.example.net"), (10, "b.example.net")]} for i in range(24)}
    server, peers, _ = world({**domains, **hosts(a="127.0.0.2", b="127.0.0.3")},
                             {"127.0.0.2": {}, "127.0.0.3": {}})
    submit(server, *[f"bob@{domain}" for domain in domains])
    wait_for(lambda: sum(len(p.messages) for p in peers.values()) == 24, "24 messages")
    assert all(len(p.messages) >= 1 for p in peers.values())


def test_without_mx_the_address_of_the_name(world):
    server, peers, dns = world({"plain.example.net": {"A": ["127.0.0.2"]},
                                "alias.example.net": {"CNAME": "target.example.net"},
                                "target.example.net": {"MX": [(0, "mx.example.net")]}, **hosts(mx="127.0.0.3")},
                               {"127.0.0.2": {}, "127.0.0.3": {}})
    submit(server, "bob@plain.example.net", "eve@alias.example.net")
    for address, recipient in (("127.0.0.2", "bob@plain.example.net"), ("127.0.0.3", "eve@alias.example.net")):
        assert wait_mail(server, peers[address])[0][1][0].startswith(f"RCPT TO:<{recipient}>")


def test_a_long_answer_comes_by_tcp(world):
    many = [(100 + i, f"a-very-long-name-of-a-host-{i}.example.net") for i in range(40)]
    server, peers, dns = world({"example.net": {"MX": [*many, (1, "mx.example.net")]}, **hosts(mx="127.0.0.2")},
                               {"127.0.0.2": {}})
    submit(server, "bob@example.net")
    wait_mail(server, peers["127.0.0.2"])
    assert ("example.net", "MX", "tcp") in dns.asked


@pytest.mark.parametrize("domain, zone, status, words", [
    ("null.example", {"null.example": {"MX": [(0, "")]}}, "5.1.10", "null MX"),
    ("nowhere.example", {}, "5.1.2", "does not exist"),
    ("self.example", {"self.example": {"MX": [(5, "mail.example.org"), (10, "b.example.net")]}}, "5.4.6",
     "this server"),
    ("empty.example", {"empty.example": {"MX": [(5, "gone.example")]}}, "5.4.4", "no mail exchanger"),
])
def test_domains_that_take_no_mail(world, domain, zone, status, words):
    server, *_ = world({"other.test": {}, **zone, **hosts(b="127.0.0.2")}, {})
    submit(server, f"bob@{domain}")
    notice = wait_notice(server)
    assert f"Status: {status}\n" in notice and words in notice.replace("\n\t", " "), notice
    assert "Action: failed" in notice


def test_a_dns_that_fails_defers(world):
    server, peers, dns = world({"example.net": "SERVFAIL", **hosts(mx="127.0.0.2")}, {"127.0.0.2": {}})
    submit(server, "bob@example.net")
    entry = wait_for(lambda: (server.json("queue", "list") or [{}])[0].get("recipients", [{}])[0].get("attempts") and
                     server.json("queue", "list")[0]["recipients"][0], "an attempt")
    assert entry["state"] == "deferred" and "looked up" in entry["reason"], entry
    assert server.messages("anna") == []
    dns.names["example.net"] = {"MX": [(10, "mx.example.net")]}
    wait_mail(server, peers["127.0.0.2"])
