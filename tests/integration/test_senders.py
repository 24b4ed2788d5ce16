"""Routes by sender: the sender table on a running and a stopped server, who waits and why, and what why tells of it."""

import json
import signal

import pytest
from peer import Peer, server_context
from postern import message, wait_for

ANNA = ("anna@example.org", "correct horse")
USERS = {ANNA[0]: ANNA[1], "bert@example.org": "battery", "carl@example.com": "staple"}
BY_SENDER = 'route "*" { via = "sender" }'


def submit(server, sender=ANNA[0], recipient="bob@example.net", subject="hello"):
    with server.smtp(login=(sender, USERS[sender])) as session:
        session.sendmail(sender, [recipient], message(subject, sender=sender))


def entries(server, **match):
    return [m for m in server.json("queue", "list") if all(m[k] == v for k, v in match.items())]


def wait_entry(server, condition, what, **match):
    def look():
        return next((m for m in entries(server, **match) if condition(m)), None)
    return wait_for(look, lambda: f"{what}: {server.json('queue', 'list')}\n{server.log_text()[-3000:]}")


def wait_empty(server):
    wait_for(lambda: server.json("queue", "list") == [],
             lambda: f"an empty queue: {server.json('queue', 'list')}\n{server.log_text()[-3000:]}")


def wait_peer(peer, count):
    return wait_for(lambda: len(peer.messages) >= count and peer.messages,
                    lambda: f"{count} messages, have {peer.messages}, heard {peer.commands[-30:]}")


def add_account(server, peer, name, user, password="pw", *options):
    server.run("account", "add", name, "--url", f"smtp://localhost:{peer.port}", "--user", user, "--password-stdin",
               *options, stdin=password + "\n")


@pytest.fixture
def relaying(make_server):
    """A server that relays by sender, and a peer that it trusts, with two accounts that are right."""
    server = make_server(start=False, users=USERS, routes=BY_SENDER)
    for login, secret in USERS.items():
        server.add_user(login, secret)
    peer = Peer(starttls=server_context(*server.authority.issue("peer")), users={"one": "pw", "two": "pw"})
    add_account(server, peer, "first", "one")
    add_account(server, peer, "second", "two")
    yield server, peer
    peer.close()


def logins(peer):
    """Who carried the mail of which sender: {sender: {login, ...}}."""
    found = {}
    for sender, _, _, login, tls in peer.messages:
        assert tls and login
        found.setdefault(sender.split("<")[1].split(">")[0], set()).add(login)
    return found


def test_no_line_waits_and_goes_when_there_is_one(relaying):
    server, peer = relaying
    server.start()
    submit(server)
    entry = wait_entry(server, lambda m: m["reason"], "a reason")
    assert list(entry) == ["id", "sender", "recipients", "size", "arrived", "next", "account", "reason"]
    assert entry["reason"] == 'no account for sender "anna@example.org" (see postern sender add)'
    assert entry["account"] is None and entry["sender"] == ANNA[0] and entry["next"]
    recipient, = entry["recipients"]
    assert recipient == {"address": "bob@example.net", "state": "paused", "reason": entry["reason"], "attempts": 1}
    table = server.run("queue", "list").stdout
    assert "no account for sender" in table and "ACCOUNT" in table
    assert peer.connections == 0
    assert server.run("sender", "add", "bert@example.org", "--account", "second").stderr == ""
    assert entries(server) and peer.connections == 0
    server.run("sender", "add", ANNA[0], "--account", "first")
    wait_empty(server)
    assert logins(peer) == {ANNA[0]: {"one"}}


def test_each_sender_by_his_own_account(relaying):
    server, peer = relaying
    server.run("sender", "add", "anna@example.org", "--account", "first")
    server.run("sender", "add", "@example.org", "--account", "second")
    server.start()
    for n in range(5):
        submit(server, ANNA[0], subject=f"a{n}")
        submit(server, "bert@example.org", subject=f"b{n}")
        submit(server, "carl@example.com", subject=f"c{n}")
    wait_peer(peer, 10)
    wait_for(lambda: len(entries(server, sender="carl@example.com")) == 5 == len(entries(server)),
             lambda: f"five of carl's: {server.json('queue', 'list')}")
    assert logins(peer) == {ANNA[0]: {"one"}, "bert@example.org": {"two"}}
    assert server.json("sender", "test", "bert@example.org") == {
        "sender": "bert@example.org", "address": "@example.org", "account": "second"}
    server.run("sender", "add", "*", "--account", "first")
    wait_empty(server)
    assert logins(peer)["carl@example.com"] == {"one"}


def test_table_on_a_running_and_a_stopped_server(relaying):
    server, peer = relaying

    def check(running):
        done = server.run("sender", "add", "Anna@Example.org.", "--account", "nobody")
        assert done.stdout == "anna@example.org: added, account nobody\n"
        assert 'no account "nobody" yet' in done.stderr and "postern account add nobody" in done.stderr
        again = server.run("sender", "add", ANNA[0], "--account", "first", check=False)
        assert again.returncode == 1 and "for account nobody; --replace" in again.stderr
        done = server.run("sender", "add", ANNA[0], "--account", "first", "--replace")
        assert done.stdout == "anna@example.org: changed, account first\n" and done.stderr == ""
        server.run("sender", "add", "bert+*@example.org", "--account", "second")
        listed = server.json("sender", "list")
        assert set(listed) == {"senders"}
        assert [(s["address"], s["account"]) for s in listed["senders"]] == [
            ("anna@example.org", "first"), ("bert+*@example.org", "second")]
        assert all(s["created"].endswith("Z") and set(s) == {"address", "account", "created"}
                   for s in listed["senders"])
        text = server.run("sender", "list").stdout.splitlines()
        assert text[0].split() == ["ADDRESS", "ACCOUNT", "CREATED"] and text[1].split()[:2] == [ANNA[0], "first"]
        assert server.run("sender", "test", "bert+x@example.org").stdout.endswith(
            "line bert+*@example.org, account second\n")
        none = server.run("sender", "test", "bert@example.org", check=False)
        assert none.returncode == 1 and "no line" in none.stdout
        bad = server.run("sender", "add", "anna", "--account", "first", check=False)
        assert bad.returncode == 1 and "user@example.org" in bad.stderr
        server.run("sender", "remove", "BERT+*@example.org")
        gone = server.run("sender", "remove", "bert+*@example.org", check=False)
        assert gone.returncode == 1 and "postern sender list" in gone.stderr

    check(False)
    server.run("sender", "remove", ANNA[0])
    server.start()
    assert server.json("sender", "list") == {"senders": []}
    check(True)
    assert server.stop() == 0
    assert [s["address"] for s in server.json("sender", "list")["senders"]] == [ANNA[0]]
    server.start()
    submit(server)
    wait_empty(server)
    assert logins(peer) == {ANNA[0]: {"one"}}


def test_notices_go_by_their_own_rule(relaying):
    server, peer = relaying
    peer.say["RCPT"] = lambda peer, line: "550 5.1.1 nobody here" if "bob@" in line else None
    server.run("sender", "add", ANNA[0], "--account", "first")
    server.start()
    submit(server)
    # Nothing for <>: as the mail of its recipient would go.
    wait_peer(peer, 1)
    assert peer.messages[0][0].startswith("MAIL FROM:<>") and logins(peer) == {"": {"one"}}
    server.run("sender", "add", "<>", "--account", "second")
    submit(server)
    wait_peer(peer, 2)
    assert logins(peer) == {"": {"one", "two"}}
    wait_empty(server)


def test_waiting_mail_follows_the_table(relaying):
    server, peer = relaying
    peer.say["RCPT"] = "451 4.3.0 later"
    server.run("sender", "add", ANNA[0], "--account", "first")
    server.start()
    submit(server)
    entry = wait_entry(server, lambda m: m["account"] == "first" and m["reason"], "a first attempt")
    assert "451 4.3.0 later" in entry["reason"] and entry["recipients"][0]["state"] == "deferred"
    del peer.say["RCPT"]
    server.run("sender", "add", ANNA[0], "--account", "second", "--replace")
    server.run("queue", "retry", entry["id"])
    wait_empty(server)
    assert logins(peer) == {ANNA[0]: {"two"}}


def test_a_paused_account_is_told_and_tried_again(relaying):
    server, peer = relaying
    server.run("sender", "add", ANNA[0], "--account", "first")
    server.run("sender", "add", "@example.org", "--account", "second")
    peer.users["one"] = "changed"
    server.start()
    submit(server)
    entry = wait_entry(server, lambda m: m["reason"], "the refusal")
    assert entry["account"] == "first" and entry["recipients"][0]["state"] == "paused"
    assert "535" in entry["reason"] or "refused" in entry["reason"], entry
    # The other account works.
    submit(server, "bert@example.org")
    wait_peer(peer, 1)
    account, = wait_for(lambda: server.json("status")["accounts"], "the paused account")
    assert account["name"] == "first" and account["state"] == "paused" and account["next"] and account["reason"]
    assert "first" in server.run("status").stdout.split("accounts that mail waits for")[1]
    tried = len(peer.logins)
    server.run("queue", "retry", entry["id"])
    wait_for(lambda: len(peer.logins) > tried, "another login")
    peer.users["one"] = "pw"
    server.run("queue", "retry", "--all")
    wait_empty(server)
    wait_for(lambda: server.json("status")["accounts"] == [], "no paused account")
    assert logins(peer) == {ANNA[0]: {"one"}, "bert@example.org": {"two"}}


def test_a_repaired_account_needs_no_retry(relaying):
    server, peer = relaying
    server.run("sender", "add", ANNA[0], "--account", "first")
    peer.users["one"] = "changed"
    server.start()
    for n in range(3):
        submit(server, subject=f"number {n}")
    wait_for(lambda: len([m for m in entries(server) if m["reason"] and m["account"] == "first"]) == 3,
             lambda: f"three that wait: {entries(server)}")
    add_account(server, peer, "first", "one", "changed", "--replace")
    wait_empty(server)
    assert len(peer.messages) == 3 and server.json("status")["accounts"] == []


def test_why_tells_the_way(relaying):
    server, peer = relaying
    server.run("sender", "add", "@example.org", "--account", "first")
    server.start()
    with server.smtp(login=ANNA) as session:
        for n in range(2):
            session.sendmail(ANNA[0], ["bob@example.net"], message(f"number {n}"))
    wait_peer(peer, 2)

    def deliveries():
        told = server.run("why", "--sender", ANNA[0], "--json", check=False)
        return told.returncode == 0 and [e for e in json.loads(told.stdout)["events"] if e["what"] == "delivery"]

    found = wait_for(lambda: len(deliveries() or []) == 2 and deliveries(), "two deliveries")
    for event in found:
        assert event["route"] == "*" and event["via"] == "sender" and event["sender_line"] == "@example.org"
        assert event["account"] == "first" and event["host"] == "localhost" and "127.0.0.1" in event["address"]
        assert event["tls"].startswith("TLSv1") and event["verified"] == "yes" and event["mech"] == "PLAIN"
        assert event["code"] == 250 and "taken" in event["reply"] and event["attempt"] == 1
    kinds = [e["connection"].split()[0] for e in found]
    assert kinds.count("new") == peer.connections and set(kinds) <= {"new", "reused"}
    text = server.run("why", "--sender", ANNA[0]).stdout.splitlines()
    assert text[0] == "sender table now: line @example.org, account first"
    assert any("delivery" in line and "line @example.org" in line and "account first" in line and
               'reply 250 "2.0.0 taken"' in line and " verified" in line for line in text), text
    assert "pw" not in "\n".join(text).split()
    told = server.json("why", "--sender", ANNA[0])
    assert (told["sender_line"], told["account"]) == ("@example.org", "first")
    one = server.run("why", found[0]["message"]).stdout
    assert "line @example.org" in one and one.startswith("message ")
    # Who waits is told with what he waits for.
    submit(server, "carl@example.com")
    entry = wait_entry(server, lambda m: m["reason"], "carl's mail to wait")

    def decided():
        told = server.run("why", entry["id"], "--json", check=False)
        return told.returncode == 0 and [e for e in json.loads(told.stdout)["events"] if e["what"] == "route"]

    held = wait_for(decided, "the route's decision")[0]
    assert held["result"] == "held" and held["route"] == "*" and held["via"] == "sender"
    assert "no account for sender" in held["reason"] and held["next"] and "sender_line" not in held
    text = server.run("why", "--sender", "carl@example.com").stdout.splitlines()
    assert text[0] == "sender table now: no line; its mail waits (postern sender add)"


def test_lines_survive_a_kill(relaying):
    server, peer = relaying
    server.start()
    server.run("sender", "add", ANNA[0], "--account", "first")
    server.kill()
    server.start()
    submit(server)
    wait_empty(server)
    assert logins(peer) == {ANNA[0]: {"one"}}


def test_events_are_kept_as_long_as_told(make_server):
    server = make_server()
    submit(server, recipient="bob@example.net")
    server.wait_messages(1)
    wait_for(lambda: server.run("why", "--sender", ANNA[0], "--json", check=False).returncode == 0, "why to know it")
    server.write_conf(extra='events { keep = "1s"  size = "1M" }')
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: server.run("why", "--sender", ANNA[0], "--json", check=False).returncode == 1,
             "the events to be forgotten")


@pytest.mark.parametrize("running", [True, False])
def test_why_names_the_line_before_there_is_mail(relaying, running):
    server, _ = relaying
    server.run("sender", "add", "@example.org", "--account", "first")
    if running:
        server.start()
    told = server.json("why", "--sender", ANNA[0])
    assert (told["kind"], told["events"], told["sender_line"], told["account"]) == ("sender", [], "@example.org", "first")
    text = server.run("why", "--sender", ANNA[0]).stdout.splitlines()
    assert text[0] == "sender table now: line @example.org, account first" and len(text) == 2
    told = server.json("why", "--sender", "carl@example.com")
    assert told["sender_line"] is None and told["account"] is None
    assert server.json("why", "--last", "3") == []
