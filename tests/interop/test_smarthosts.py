"""Relaying through other people's servers under the right name: two senders with an account each at a real Postfix
with Dovecot, and Exim and Haraka by each mechanism that they offer. The servers' own logs say who sent what."""

import collections
import re

import pytest
from peers import Dovecot, Exim, Haraka, Postfix, missing
from postern import Authority, message, wait_for

reason = missing("postfix", "dovecot")

ANNA, BEN = ("anna@example.org", "correct horse"), ("ben@example.org", "battery staple")
CAROL, DAVE = ("carol@example.net", "pass wörd, of her"), ("dave@example.net", "another one")
ASCII = {"carol@example.net": "pass word, of her"}  # Exim and Haraka know nothing of other characters
MESSAGES = 1000


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("smarthosts")


@pytest.fixture(scope="module")
def authority(place):
    return Authority(place / "authority")


def relaying(make_server, authority, routes, **options):
    """A server, not started, that trusts @authority when it relays."""
    server = make_server(start=False, users=dict([ANNA, BEN]), routes=routes, **options)
    with open(server.authority.ca, "a", encoding="ascii") as bundle:
        bundle.write(authority.ca.read_text())
    return server


def add_account(server, name, url, login, *options):
    return server.run("account", "add", name, "--url", url, "--user", login[0], "--password-stdin", *options,
                      stdin=login[1] + "\n")


def wait_empty(server, seconds=20):
    wait_for(lambda: server.json("queue", "list") == [], lambda: f"an empty queue\n{server.log_text()[-3000:]}", seconds)


def sessions(log):
    """Of Postfix's log: for each connection its process, when it began and ended (line numbers), who logged in and
    whose mail came by it: [(begin, end, login, {sender: count})]."""
    senders, process_of, begun, found = {}, {}, {}, []
    for line in log.splitlines():
        if match := re.search(r"postfix/qmgr\[\d+\]: (\w+): from=<([^>]*)>", line):
            senders[match.group(1)] = match.group(2)
    for number, line in enumerate(log.splitlines()):
        if not (match := re.search(r"smtpd\[(\d+)\]: (.*)", line)):
            continue
        process, what = match.groups()
        if what.startswith("connect from"):
            begun[process] = [number, None, None, collections.Counter()]
            found.append(begun[process])
        elif what.startswith("disconnect from"):
            begun.pop(process)[1] = number
        elif match := re.match(r"(\w+): client=.*, sasl_username=(\S+)", what):
            queue_id, login = match.groups()
            session = begun[process]
            assert session[2] in (None, login), f"two logins on one connection: {line}"
            session[2] = login
            session[3][senders.get(queue_id)] += 1
    return found


@pytest.mark.skipif(reason is not None, reason=reason or "")
def test_a_thousand_messages_of_two_senders(make_server, place, authority):
    with Dovecot(place / "dovecot", dict([CAROL, DAVE])) as dovecot, \
            Postfix(place / "postfix", authority, dovecot.auth) as postfix:
        server = relaying(make_server, authority, 'route "*" { via = "sender" }')
        server.start()
        url = f"smtp://localhost:{postfix.starttls}"
        add_account(server, "carol", url, CAROL)
        add_account(server, "dave", url, DAVE)
        server.run("sender", "add", ANNA[0], "--account", "carol")
        server.run("sender", "add", "@example.org", "--account", "dave")
        clients = [server.smtp(login=login) for login in (ANNA, BEN)]
        for i in range(MESSAGES):
            sender = (ANNA, BEN)[i % 2][0]
            clients[i % 2].sendmail(sender, ["bob@example.net"], message(f"number {i}", sender=sender))
        for client in clients:
            client.quit()
        got = postfix.wait_messages(MESSAGES)
        wait_empty(server)
        numbers = {int(re.search(rb"\nSubject: number (\d+)", m).group(1)) for m in got}
        assert len(got) == MESSAGES and numbers == set(range(MESSAGES))
        connections = [s for s in sessions(postfix.log()) if s[2]]
        by_login = {login: [s for s in connections if s[2] == login] for login in (CAROL[0], DAVE[0])}
        for login, sender in ((CAROL[0], ANNA[0]), (DAVE[0], BEN[0])):
            carried = sum((s[3] for s in by_login[login]), collections.Counter())
            assert carried == {sender: MESSAGES // 2}, f"{login} carried {carried}"
            assert 1 <= len(by_login[login]) <= 4, f"{len(by_login[login])} connections of {login}"
        assert len(connections) == sum(map(len, by_login.values()))
        # The explanation says the same.
        why = server.json("why", "--sender", BEN[0])
        assert why, "why knows nothing of the sender"
        text = server.run("why", "--sender", BEN[0]).stdout
        assert "@example.org" in text and "dave" in text


@pytest.mark.skipif(not Exim.program, reason="exim4 is not installed")
@pytest.mark.skipif(missing() is not None, reason=missing() or "")
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_exim(make_server, tmp_path, authority, mechanism):
    with Exim(tmp_path / "exim", authority, None, [mechanism], ASCII) as exim:
        check_relaying(make_server, authority, exim)
        assert re.search(r"<= anna@example\.org .*A=a0:carol@example\.net", exim.log()), exim.log()


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_haraka(make_server, tmp_path, authority, mechanism):
    if absent := Haraka.missing():
        pytest.skip(absent)
    with Haraka(tmp_path / "haraka", authority, ASCII) as haraka:
        server = check_relaying(make_server, authority, haraka, mechanism)
        wait_for(lambda: haraka.taken.read_text(), "Haraka to take it")
        assert haraka.taken.read_text() == "carol@example.net anna@example.org bob@example.net\n"
        assert f"mech={mechanism}" in server.wait_log(r"recipient=bob@example\.net .*result=delivered")


def check_relaying(make_server, authority, peer, *mechanism):
    """One message through @peer by its account; a wrong password for another sender holds that one's mail only."""
    server = relaying(make_server, authority, 'route "*" { via = "sender" }')
    server.start()
    url = f"smtp://localhost:{peer.starttls}"
    options = ["--mechanisms", *mechanism] if mechanism else []
    (name, password), = ASCII.items()
    add_account(server, "good", url, (name, password), *options)
    add_account(server, "bad", url, (name, "wrong"), *options)
    server.run("sender", "add", ANNA[0], "--account", "good")
    server.run("sender", "add", BEN[0], "--account", "bad")
    for login in (BEN, ANNA):
        with server.smtp(login=login) as session:
            session.sendmail(login[0], ["bob@example.net"], message(sender=login[0]))
    line = server.wait_log(r"recipient=bob@example\.net .*result=delivered")
    assert "account=good" in line and "verified=yes" in line and "sender_line=anna@example.org" in line, line
    held = wait_for(lambda: [e for e in server.json("queue", "list") if e["reason"]], "the other one to be held")
    assert [e["sender"] for e in held] == [BEN[0]] and held[0]["account"] == "bad" and "535" in held[0]["reason"], held
    assert server.messages("ben") == [], "nothing may be bounced"
    return server
