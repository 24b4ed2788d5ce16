"""Every command as a person or a script calls it: what it prints, what it changes, how it exits."""

import base64
import contextlib
import fcntl
import json
import os
import pathlib
import pty
import re
import signal
import struct
import subprocess
import termios

import pytest

from postern import BUILD, POSTERN, Server, free_ports, message, open_to_roles, reachable, wait_for
from sink import Sink

ANNA = ("anna@example.org", "correct horse")
COMMANDS = ["init", "try", "serve", "check", "status", "user", "account", "queue", "why", "send", "probe", "base64",
            "xtext"]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")


def postern(*args, stdin="", cwd=None, env=None):
    done = subprocess.run([str(POSTERN), *map(str, args)], cwd=cwd, timeout=60,
                          input=stdin if isinstance(stdin, bytes) else stdin.encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ, **(env or {})))
    done.out, done.err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    return done


def can_log_in(server, user, password):
    plain = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    wire = server.tls_socket()
    wire.command("EHLO client.example.org")
    reply = wire.command("AUTH PLAIN " + plain)
    wire.close()
    assert reply[:3] in ("235", "535"), reply
    return reply.startswith("235")


# ---- the command line itself ----

def test_help_of_every_command():
    top = postern("--help")
    assert top.returncode == 0 and top.err == ""
    for command in COMMANDS:
        assert re.search(rf"^  {command}\s+\S", top.out, re.M), command
        done = postern(command, "--help")
        assert done.returncode == 0 and done.err == "", command
        assert done.out.startswith(f"postern {command}: ") and f"usage: postern {command}" in done.out


def test_version():
    assert re.match(r"postern \d+\.\d+", postern("--version").out)


@pytest.mark.parametrize("args, hint", [
    (["usr"], 'did you mean "user"'),
    (["quue", "list"], 'did you mean "queue"'),
    (["frobnicate"], "postern --help"),
    (["queue", "lst"], "did you mean list"),
    (["user", "list", "--jsn"], "did you mean --json"),
    (["user", "add"], "needs a NAME"),
    (["queue", "show"], "needs an ID"),
    (["send", "--tls", "starttl"], "server"),
    (["unban", "192.0.2.1"], "not available in this build"),
    (["probe", "localhost:x"], "HOST:PORT"),
    (["probe", "localhost:25", "--tls", "startls"], "did you mean starttls"),
    (["why"], "an ID, --user"),
    (["queue", "stats", "--all"], "stats takes no ID"),
    (["queue", "hold", "--all"], "hold takes an ID"),
    (["base64"], "-e"),
    (["check", "-c"], "needs a value"),
    ([], "usage: postern"),
])
def test_misuse_exits_2_and_says_what_would_be_right(args, hint):
    done = postern(*args)
    assert done.returncode == 2, (done.returncode, done.err)
    assert hint in done.err, done.err
    assert done.out == ""


def test_a_missing_configuration_is_named(tmp_path):
    done = postern("user", "list", "-c", tmp_path / "none.conf")
    assert done.returncode == 1
    assert str(tmp_path / "none.conf") in done.err and "No such file" in done.err


def test_the_configuration_comes_from_the_environment_or_before_the_command(tmp_path):
    (tmp_path / "a.conf").write_text("nonsense = 1\n")
    for done in (postern("check", env={"POSTERN_CONF": str(tmp_path / "a.conf")}),
                 postern("-c", tmp_path / "a.conf", "check")):
        assert done.returncode == 1 and f"{tmp_path}/a.conf:1: " in done.err


# ---- init and check ----

def test_init_makes_what_check_and_serve_take(tmp_path):
    where = tmp_path / "conf"
    open_to_roles(tmp_path)
    done = postern("init", "--hostname", "mail.example.org", "--dir", where, "--user", "eve@example.org",
                   "--password-stdin", stdin="a long secret\n")
    assert done.returncode == 0, done.err
    assert "a long secret" not in done.out + done.err
    conf = where / "postern.conf"
    assert postern("check", "-c", conf).returncode == 0
    assert (where / "privkey.pem").stat().st_mode & 0o077 == 0
    assert postern("user", "test", "eve@example.org", "--password-stdin", "-c", conf,
                   stdin="a long secret\n").returncode == 0

    ports = free_ports(2)
    text = conf.read_text()
    for old, new in zip(("0.0.0.0:587", "0.0.0.0:465"), ports):
        assert old in text
        text = text.replace(old, f"127.0.0.1:{new}")
    conf.write_text(text)
    process = subprocess.Popen([str(POSTERN), "serve", "-c", str(conf)], stderr=subprocess.PIPE, text=True)
    try:
        lines = []
        for line in iter(process.stderr.readline, ""):
            lines.append(line)
            if "postern: ready" in line:
                break
        assert lines and "postern: ready" in lines[-1], lines
    finally:
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=15)[1]
    assert process.returncode == 0, rest


def test_init_refuses_to_overwrite(tmp_path):
    first = postern("init", "--hostname", "mail.example.org", "--dir", tmp_path / "conf")
    assert first.returncode == 0, first.err
    assert re.search(r"^password +\S{20,}", first.out, re.M), "the generated password is shown once"
    before = (tmp_path / "conf" / "postern.conf").read_bytes()
    second = postern("init", "--hostname", "other.example.org", "--dir", tmp_path / "conf")
    assert second.returncode == 1 and "postern.conf" in second.err and "nothing is overwritten" in second.err
    assert (tmp_path / "conf" / "postern.conf").read_bytes() == before
    assert postern("init", "--hostname", "-x-", "--dir", tmp_path / "other").returncode == 2
    assert not (tmp_path / "other").exists()


def test_check_tells_all_errors_at_once(tmp_path):
    conf = tmp_path / "bad.conf"
    conf.write_text(f'''hostname = "mail.example.org"
data = "{tmp_path}/data"
run = "{tmp_path}/run"
tls {{ certificate = "/nowhere/chain.pem"  key = "/nowhere/key.pem" }}
listner x {{ address = "127.0.0.1:2587" }}
listener a {{ address = "127.0.0.1:99999"  tls = "starttls" }}
listener b {{ address = "127.0.0.1:2587"  tls = "startls" }}
listener b {{ address = "127.0.0.1:2588"  tls = "starttls" }}
limits {{ recipients = 10  recipients = 20  colour = "red" }}
auth {{ mechanisms = {{"SCRAM-SHA-257"}} }}
metrics {{ address = "127.0.0.1:9587" }}
route "*" {{ via = "smoke:signal" }}
queue {{ lifetime = "5 days" }}
''')
    done = postern("check", "-c", conf)
    assert done.returncode == 1 and done.out == ""
    told = {}
    for line in done.err.splitlines():
        match = re.match(re.escape(str(conf)) + r":(\d+): (.+)", line)
        assert match, f"not FILE:LINE: what: {line!r}"
        told.setdefault(int(match[1]), []).append(match[2])
    for line, words in {4: "/nowhere/chain.pem", 5: "listener", 6: "99999", 7: "starttls", 8: "b", 9: "recipients",
                        10: "SCRAM-SHA-257", 11: "not available in this build", 12: "smoke", 13: "5d"}.items():
        assert any(words in text for text in told.get(line, [])), (line, words, done.err)
    assert any("colour" in text for text in told[9])
    assert list(told) == sorted(told), "in the order of the file"


def test_check_stops_at_a_syntax_error(tmp_path):
    conf = tmp_path / "bad.conf"
    conf.write_text('hostname = "mail.example.org"\nlimits {\n  recipients = 10\n')
    done = postern("check", "-c", conf)
    assert done.returncode == 1 and re.search(rf"{conf}:\d+: .*limits", done.err), done.err


def test_check_sees_a_certificate_with_a_foreign_key(tmp_path):
    server = Server(tmp_path)
    assert server.run("check").returncode == 0
    _, foreign = server.authority.issue("foreign")
    server.key = foreign
    server.write_conf()
    done = server.run("check", check=False)
    assert done.returncode == 1 and re.search(r"postern\.conf:\d+: ", done.stderr), done.stderr


def test_the_log_as_json(tmp_path):
    with Server(tmp_path, log='format = "json"') as server:
        with server.smtp(server.implicit, login=ANNA) as client:
            client.sendmail(ANNA[0], ["bob@example.net"], message("json"))
        server.wait_messages(1)
    lines = [json.loads(line) for line in server.stderr if line != "postern: ready"]
    assert {"login", "message", "session", "delivery"} <= {line["kind"] for line in lines}
    for line in lines:
        assert TIME.match(line["time"]) and line["level"] in ("error", "warning", "info", "debug")
    session, = {line["session"] for line in lines if "session" in line}
    login = next(line for line in lines if line["kind"] == "login")
    assert login["session"] == session and login["user"] == ANNA[0] and login["result"] == "ok"


# ---- users ----

@pytest.fixture(params=["running", "stopped"])
def either(request, tmp_path):
    """A server that runs, or one that does not: the commands must not differ."""
    server = Server(tmp_path)
    server.add_user(*ANNA)
    if request.param == "running":
        server.start()
    yield server
    if server.process:
        assert server.stop() == 0, server.log_text()


def test_user_commands(either):
    run = either.run
    test = lambda name, password: run("user", "test", name, "--password-stdin", stdin=password + "\n", check=False)
    assert "added" in either.add_user("bert@example.org", "first").stdout
    twice = run("user", "add", "bert@example.org", "--password-stdin", stdin="x\n", check=False)
    assert twice.returncode == 1 and "exists already" in twice.stderr
    assert test("bert@example.org", "first").returncode == 0
    wrong = test("bert@example.org", "wrong")
    assert wrong.returncode == 1 and "wrong password" in wrong.stdout + wrong.stderr
    assert test("ghost@example.org", "first").returncode == 1

    run("user", "passwd", "bert@example.org", "--password-stdin", stdin="second\n")
    assert test("bert@example.org", "first").returncode == 1
    assert test("bert@example.org", "second").returncode == 0
    if either.process:
        assert can_log_in(either, "bert@example.org", "second")
        assert not can_log_in(either, "bert@example.org", "first")

    run("user", "passwd", "bert@example.org", "--send-as", "sales@example.org", "--send-as", "@shop.example",
        "--limit", "100/hour")
    assert test("bert@example.org", "second").returncode == 0, "the password stays"
    shown = either.json("user", "show", "bert@example.org")
    assert shown["name"] == "bert@example.org" and shown["disabled"] is False
    assert sorted(shown["send_as"]) == ["@shop.example", "sales@example.org"] and shown["limit"] == "100/hour"
    assert TIME.match(shown["created"])
    text = run("user", "show", "bert@example.org").stdout
    assert "sales@example.org" in text and "100/hour" in text

    listed = either.json("user", "list")["users"]
    assert [u["name"] for u in listed] == ["anna@example.org", "bert@example.org"]
    assert "SCRAM-SHA-256" in listed[0]["mechanisms"] and "CRAM-MD5" in listed[0]["mechanisms"]
    table = run("user", "list").stdout.splitlines()
    assert table[0].split()[0] == "NAME" and table[2].startswith("bert@example.org")

    run("user", "passwd", "bert@example.org", "--disable")
    assert test("bert@example.org", "second").returncode == 1
    assert either.json("user", "show", "bert@example.org")["disabled"] is True
    run("user", "passwd", "bert@example.org", "--enable")
    assert test("bert@example.org", "second").returncode == 0

    assert "removed" in run("user", "remove", "bert@example.org").stdout
    gone = run("user", "remove", "bert@example.org", check=False)
    assert gone.returncode == 1 and "none of this name" in gone.stderr
    assert [u["name"] for u in either.json("user", "list")["users"]] == ["anna@example.org"]


def test_app_passwords(either):
    made = either.json("user", "add", ANNA[0], "--app", "printer", "--send-as", "scanner@example.org",
                       "--expires", "2099-12-31")
    password = made["password"]
    assert len(password) >= 20
    text = either.run("user", "add", ANNA[0], "--app", "phone").stdout
    assert re.search(r'for "phone", shown this once: \S{20,}', text), text
    shown = either.json("user", "show", ANNA[0])
    apps = {app["label"]: app for app in shown["apps"]}
    assert set(apps) == {"printer", "phone"}
    assert apps["printer"]["send_as"] == ["scanner@example.org"]
    assert apps["printer"]["expires"].startswith(("2099-12-31", "2100-01-01T00:00:00"))
    assert password not in json.dumps(shown)
    tested = either.run("user", "test", ANNA[0], "--password-stdin", "--json", stdin=password + "\n")
    assert json.loads(tested.stdout)["app"] == "printer"
    if either.process:
        assert can_log_in(either, ANNA[0], password) and can_log_in(either, *ANNA)
    either.run("user", "remove", ANNA[0], "--app", "printer")
    assert either.run("user", "test", ANNA[0], "--password-stdin", stdin=password + "\n", check=False).returncode == 1
    assert either.run("user", "test", ANNA[0], "--password-stdin", stdin=ANNA[1] + "\n").returncode == 0
    if either.process:
        assert not can_log_in(either, ANNA[0], password) and can_log_in(either, *ANNA)


def test_user_mechanisms_and_without(either):
    either.add_user("plain@example.org", "secret", "--mechanisms", "PLAIN,LOGIN")
    names = lambda *args: [u["name"] for u in either.json("user", "list", *args)["users"]]
    assert names("--without", "CRAM-MD5") == ["plain@example.org"]
    assert names("--without", "PLAIN") == []
    bad = either.run("user", "list", "--without", "SCRAM-SHA-3", check=False)
    assert bad.returncode != 0 and "SCRAM-SHA-3" in bad.stderr


@pytest.mark.parametrize("args, hint", [
    (["add", "x@example.org", "--limit", "many"], "100/hour"),
    (["add", "x@example.org", "--send-as", "nonsense"], "@example.org"),
    (["add", "x@example.org", "--app", "a", "--expires", "tomorrow"], "2027-01-31"),
    (["add", "x@example.org", "--mechanisms", "ROT13"], "SCRAM-SHA-256"),
    (["show", "ghost@example.org"], "none of this name"),
    (["list", "--send-as", "a@example.org"], "no meaning"),
])
def test_user_errors_say_what_would_be_right(tmp_path, args, hint):
    server = Server(tmp_path)
    done = server.run("user", *args, stdin="secret\n", check=False)
    assert done.returncode in (1, 2) and hint in done.stderr, done.stderr


def test_a_password_is_never_empty(tmp_path):
    server = Server(tmp_path)
    done = server.run("user", "add", "x@example.org", "--password-stdin", stdin="\n", check=False)
    assert done.returncode != 0 and "password" in done.stderr
    assert server.json("user", "list")["users"] == []


def test_commands_wait_for_each_other(either):
    """On the files of a stopped server too, where each needs them for itself."""
    def all_at_once(*commands):
        started = [subprocess.Popen([str(POSTERN), *command, "-c", str(either.conf)], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for command in commands]
        for process in started:
            out, err = process.communicate("secret\n", timeout=30)
            assert process.returncode == 0, out + err

    all_at_once(*(["user", "add", f"user{n}@example.org", "--password-stdin"] for n in range(6)))
    assert len(either.json("user", "list")["users"]) == 7
    all_at_once(*[["queue", "list"], ["queue", "stats"], ["user", "list"]] * 3)


# ---- accounts ----

def test_account_commands(either):
    run = either.run
    add = ["account", "add", "smart", "--url", "smtps://smtp.example.net:465", "--user", "robot", "--password-stdin"]
    assert "added" in run(*add, stdin="secret\n").stdout
    again = run(*add, stdin="secret\n", check=False)
    assert again.returncode == 1 and "exists already" in again.stderr
    run(*add, "--replace", stdin="other\n")
    accounts = either.json("account", "list")["accounts"]
    assert [(a["name"], a["url"], a["user"]) for a in accounts] == [("smart", "smtps://smtp.example.net:465", "robot")]
    text = run("account", "list").stdout
    assert "smart" in text and "secret" not in text and "other" not in text
    bad = run("account", "add", "bad", "--url", "http://x", "--user", "u", "--password-stdin", stdin="p\n", check=False)
    assert bad.returncode == 1 and "smtps://" in bad.stderr
    run("account", "remove", "smart")
    assert either.json("account", "list")["accounts"] == []
    assert run("account", "remove", "smart", check=False).returncode == 1


# ---- the queue ----

@pytest.fixture
def queued(tmp_path):
    """A server with a message that waits, because nobody listens where it has to go."""
    port, = free_ports(1)
    server = Server(tmp_path, routes=f'route "far.example" {{ via = "smtp://127.0.0.1:{port}"  tls = "none" }}\n'
                                     f'route "*" {{ via = "maildir:{tmp_path}/postern/mail/{{user}}" }}')
    server.far = port
    server.start()
    with server.smtp(server.implicit, login=ANNA) as client:
        client.sendmail(ANNA[0], ["one@far.example", "two@far.example"], message("waits"))
    yield server
    if server.process:
        assert server.stop() == 0, server.log_text()


def deferred(server):
    """The one message, once its first attempt has failed."""
    def look():
        found = server.json("queue", "list")
        return len(found) == 1 and all(r["attempts"] for r in found[0]["recipients"]) and found[0]
    return wait_for(look, "the first attempt to fail")


def test_queue_list_show_cat_stats(queued):
    entry = deferred(queued)
    assert re.match(r"[0-9a-z]{16}$", entry["id"])
    assert entry["sender"] == ANNA[0] and entry["size"] > 100
    assert [r["address"] for r in entry["recipients"]] == ["one@far.example", "two@far.example"]
    for recipient in entry["recipients"]:
        assert recipient["attempts"] == 1 and recipient["state"] and "refused" in recipient["reason"]
    assert TIME.match(entry["arrived"]) and TIME.match(entry["next"]) and entry["arrived"] < entry["next"]
    assert set(entry) >= {"id", "sender", "recipients", "size", "arrived", "next", "account", "reason"}
    assert "refused" in entry["reason"]

    shown = queued.json("queue", "show", entry["id"])
    assert shown["id"] == entry["id"] and shown["sender"] == ANNA[0]
    text = queued.run("queue", "list").stdout
    assert entry["id"] in text and "two@far.example" in text
    assert entry["id"] in queued.run("queue", "show", entry["id"]).stdout

    body = queued.run("queue", "cat", entry["id"]).stdout
    assert body.startswith("Received: from ") and "Subject: waits" in body and body.endswith("hello\n")

    stats = queued.json("queue", "stats")
    assert stats["messages"] == 1 and stats["held"] == 0
    assert re.search(r"^messages +1$", queued.run("queue", "stats").stdout, re.M)

    missing = queued.run("queue", "show", "0000000000000000", check=False)
    assert missing.returncode == 1 and "no message" in missing.stderr
    assert queued.run("queue", "show", "../etc", check=False).returncode == 1


def test_queue_hold_release_retry_remove(queued):
    entry = deferred(queued)
    queued.run("queue", "hold", entry["id"])
    assert queued.json("queue", "stats")["held"] == 1
    assert {r["state"] for r in queued.json("queue", "show", entry["id"])["recipients"]} == {"held"}
    sink = Sink(port=queued.far)
    queued.run("queue", "retry", "--all")
    assert queued.json("queue", "stats")["held"] == 1, "retry does not release"
    queued.run("queue", "release", entry["id"])
    queued.run("queue", "retry", entry["id"])
    wait_for(lambda: queued.json("queue", "list") == [], "the delivery")
    assert sum(len(m[1]) for m in sink.messages) == 2
    sink.close()
    assert queued.run("queue", "list").stdout == "the queue is empty\n"

    with queued.smtp(queued.implicit, login=ANNA) as client:
        client.sendmail(ANNA[0], ["three@far.example"], message("goes"))
    entry = deferred(queued)
    queued.run("queue", "remove", entry["id"])
    assert queued.json("queue", "list") == []
    assert queued.run("queue", "remove", entry["id"], check=False).returncode == 1
    assert queued.messages("anna") == [], "no notice for what an administrator removed"


def test_queue_of_a_stopped_server(queued):
    entry = deferred(queued)
    assert queued.stop() == 0
    assert [e["id"] for e in queued.json("queue", "list")] == [entry["id"]]
    assert "Subject: waits" in queued.run("queue", "cat", entry["id"]).stdout
    queued.run("queue", "hold", entry["id"])
    queued.start()
    assert queued.json("queue", "stats")["held"] == 1
    queued.run("queue", "remove", entry["id"])
    assert queued.json("queue", "list") == []


# ---- why and status ----

def test_why_and_status(queued):
    entry = deferred(queued)

    def told(*args, about="deferred"):
        def ask():
            done = queued.run("why", *args, "--json", check=False)
            return done.returncode == 0 and about in done.stdout and json.loads(done.stdout)
        return wait_for(ask, f"why {args} to tell of {about}")

    one = told(entry["id"])
    assert one["id"] == entry["id"] and one["kind"] and one["events"]
    for event in one["events"]:
        assert TIME.match(event["time"]) and event["what"] and event["result"] and "reason" in event
    assert "refused" in json.dumps(one) and "correct horse" not in json.dumps(one)
    assert isinstance(told("--last", "5"), list)
    assert entry["id"] in json.dumps(told("--user", ANNA[0], about="login"))
    assert entry["id"] in json.dumps(told("--sender", ANNA[0]))
    text = queued.run("why", entry["id"]).stdout
    assert entry["id"] in text and "refused" in text
    session = next(e["session"] for e in one["events"] if "session" in e)
    login = next(e for e in told(session, about="login")["events"] if e["what"] == "login")
    assert login["mech"] == "CRAM-MD5" and login["result"] == "ok" and login["user"] == ANNA[0]
    unknown = queued.run("why", "0000000000000000", check=False)
    assert unknown.returncode == 1 and unknown.stderr

    status = queued.json("status")
    assert status["server"] == "running" and status["hostname"] == "mail.example.org"
    assert queued.run("status").stdout.startswith("hostname")
    assert queued.stop() == 0
    assert queued.run("status", check=False).returncode == 1
    assert json.loads(queued.run("status", "--json", check=False).stdout)["server"] == "stopped"
    assert "refused" in queued.run("why", entry["id"]).stdout, "the store tells without a server"


def on_terminal(server, *args, columns=80):
    """What a command shows on a terminal of so many columns."""
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen([str(server.postern), *args, "-c", str(server.conf)], stdin=inner, stdout=inner,
                               stderr=inner)
    os.close(inner)
    shown = b""
    with contextlib.suppress(OSError):      # EIO: the command has ended
        while part := os.read(outer, 65536):
            shown += part
    os.close(outer)
    assert process.wait() == 0, shown
    return shown.decode().replace("\r", "")


def test_long_lines_fit_a_terminal(queued):
    entry = deferred(queued)
    assert queued.stop() == 0
    whole = queued.run("why", entry["id"]).stdout
    shown = on_terminal(queued, "why", entry["id"])
    assert shown.split() == whole.split(), "the same words"
    assert max(map(len, whole.splitlines())) > 80 >= max(map(len, shown.splitlines())), shown
    assert re.search(r"^      client 127", shown, re.M), "word and value stay together: " + shown
    # Reasons stand below the table, in full.
    table, reasons = on_terminal(queued, "queue", "list", columns=40).split("\n\n")
    assert "REASON" not in table and entry["reason"] not in table
    first, second = (r["address"] for r in entry["recipients"])
    assert " ".join(reasons.split()) == f"{first}: {entry['reason']} {second}: the same", reasons
    assert entry["reason"] in queued.run("queue", "list").stdout.splitlines()[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the command runs under another account")
@pytest.mark.parametrize("running", [True, False])
def test_strangers_are_told_who_may(queued, running):
    deferred(queued)
    if not running:
        assert queued.stop() == 0
    for args in (["account", "list"], ["queue", "list"], ["sender", "list"], ["why", "--last", "2"]):
        done = subprocess.run([reachable(BUILD) / "postern", *args, "-c", queued.conf], user=54321, group=54321,
                              extra_groups=[], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True)
        assert done.returncode == 1 and done.stdout == "" and "run it as root" in done.stderr, done


# ---- send ----

def send(port, *args, stdin=message("send"), tls="none"):
    return postern("send", "--server", f"127.0.0.1:{port}", "--tls", tls, "--from", ANNA[0], "--to", "bob@example.net",
                   *args, stdin=stdin)


@pytest.mark.parametrize("replies, status", [
    ({}, 0),
    ({"MAIL": "550 5.7.1 no"}, 1),
    ({"RCPT": "550 5.1.1 no"}, 1),
    ({".": "554 5.6.0 no"}, 1),
    ({"MAIL": "451 4.3.0 later"}, 75),
    ({"RCPT": "450 4.2.0 later"}, 75),
    ({".": "452 4.3.1 full"}, 75),
    ({"EHLO": "421 4.7.0 go away"}, 75),
])
def test_send_exit_codes(replies, status):
    sink = Sink(replies)
    done = send(sink.port)
    sink.close()
    assert done.returncode == status, done.err
    assert len(sink.messages) == (status == 0)
    if status:
        assert list(replies.values())[0] in done.err


@pytest.mark.parametrize("greeting, status", [("554 5.7.1 no service", 1), ("421 4.3.2 later", 75)])
def test_send_to_a_server_that_refuses_at_once(greeting, status):
    sink = Sink(greeting=greeting)
    assert send(sink.port).returncode == status
    sink.close()


def test_send_where_one_of_two_recipients_is_refused():
    sink = Sink({"RCPT": lambda line: "550 5.1.1 no" if "carl" in line else None})
    done = send(sink.port, "--to", "carl@example.net")
    sink.close()
    assert done.returncode == 1 and "carl@example.net" in done.err
    assert [m[1] for m in sink.messages] == [["bob@example.net"]]


def test_send_where_nobody_listens():
    done = send(free_ports(1)[0])
    assert done.returncode == 75 and "refused" in done.err


def test_send_demands_tls_and_a_certificate_that_verifies(server):
    assert send(Sink().port, tls="starttls").returncode != 0
    done = postern("send", "--server", f"localhost:{server.implicit}", "--tls", "implicit", "--from", ANNA[0],
                   "--to", "bob@example.net", stdin=message("unverified"))
    assert done.returncode in (1, 75) and "certificate" in done.err, done.err


@pytest.mark.parametrize("mechanism", ["auto", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512", "SCRAM-SHA-1", "CRAM-MD5",
                                       "PLAIN", "LOGIN"])
def test_send_by_every_mechanism_with_a_trace(server, mechanism):
    user = f"send-{mechanism.lower()}"
    for tls, port in (("implicit", server.implicit), ("starttls", server.starttls)):
        before = len(server.messages(user))
        done = postern("send", "--server", f"localhost:{port}", "--tls", tls, "--ca", server.authority.ca,
                       "--auth", mechanism, "--user", ANNA[0], "--password-stdin", "--from", ANNA[0],
                       "--to", f"{user}@example.net", "--trace",
                       stdin=ANNA[1].encode() + b"\n" + message("by send", "dots\r\n.\r\n..\r\n"))
        assert done.returncode == 0, done.err
        used = "SCRAM-SHA-512-PLUS" if mechanism == "auto" else mechanism
        assert f"AUTH {used}" in done.err and "EHLO" in done.err
        for secret in (ANNA[1], base64.b64encode(ANNA[1].encode()).decode(),
                       base64.b64encode(f"\0{ANNA[0]}\0{ANNA[1]}".encode()).decode()):
            assert secret not in done.err
        assert server.wait_messages(before + 1, user)[-1].endswith(b"dots\n.\n..\n")


def test_send_with_a_wrong_password(server):
    done = postern("send", "--server", f"localhost:{server.implicit}", "--tls", "implicit", "--ca", server.authority.ca,
                   "--user", ANNA[0], "--password-stdin", "--from", ANNA[0], "--to", "bob@example.net",
                   stdin=b"wrong\n" + message())
    assert done.returncode == 1 and "535" in done.err


def test_send_reads_a_file(server, tmp_path):
    (tmp_path / "m.eml").write_bytes(message("from a file").replace(b"\r\n", b"\n"))
    before = len(server.messages("file"))
    done = postern("send", "--server", f"localhost:{server.implicit}", "--tls", "implicit", "--ca", server.authority.ca,
                   "--user", ANNA[0], "--password-stdin", "--from", ANNA[0], "--to", "file@example.net",
                   tmp_path / "m.eml", stdin=ANNA[1] + "\n")
    assert done.returncode == 0, done.err
    assert b"Subject: from a file" in server.wait_messages(before + 1, "file")[-1]
    assert postern("send", "--server", "localhost:1", "--from", ANNA[0], "--to", "b@example.net",
                   tmp_path / "missing").returncode == 1


# ---- base64 and xtext ----

@pytest.mark.parametrize("data", [b"", b"f", b"fo", b"foo", b"\0anna\0secret", bytes(range(256)), b"x" * 100000])
def test_base64_both_ways(data):
    encoded = postern("base64", "-e", stdin=data)
    assert encoded.returncode == 0 and encoded.stdout == base64.b64encode(data) + b"\n"
    assert postern("base64", "-d", stdin=encoded.stdout).stdout == data


def test_base64_skips_line_ends():
    assert postern("base64", "-d", stdin=b"Zm9v\r\nYm\nFy\r\n").stdout == b"foobar"


@pytest.mark.parametrize("text, offset", [
    (b"=AAA", 0), (b"AAA=BBB", "[34]"), (b"AA==AA==", "[24]"), (b"AAAAA", None), (b"A", None), (b" AAAA", 0), (b"AAAA\t", 4),
    (b"AA-_", 2), (b"A=A=", 1), (b"AA\n*A", 3), (b"AAA", None), ("Zm9\u00e9".encode(), 3), (b"AA\0A", 2),
])
def test_base64_refuses_with_the_offset(text, offset):
    done = postern("base64", "-d", stdin=text)
    assert done.returncode == 1 and done.stdout == b""
    assert re.search(rf"offset {offset}\b" if offset is not None else r"offset \d+", done.err), done.err


@pytest.mark.parametrize("data, text", [
    (b"anna@example.org", b"anna@example.org"), (b"a+b=c", b"a+2Bb+3Dc"), (b"a b", b"a+20b"),
    (b"\r\n\0\x7f", b"+0D+0A+00+7F"), (b"", b""), ("\u00e9".encode(), b"+C3+A9"),
])
def test_xtext_both_ways(data, text):
    assert postern("xtext", "-e", stdin=data).stdout == text + b"\n"
    assert postern("xtext", "-d", stdin=text + b"\n").stdout == data


@pytest.mark.parametrize("text", [b"a+", b"a+2", b"a+2G", b"a=b", b"a b", b"a\nb", b"a\x7f", b"+-1"])
def test_xtext_refuses(text):
    done = postern("xtext", "-d", stdin=text)
    assert done.returncode == 1 and done.stdout == b"" and "offset" in done.err


# ---- try ----

def test_try_is_a_server_that_shows_its_dialogues(tmp_path):
    port = next(p for p in free_ports(50) if p < 65000)
    open_to_roles(tmp_path)
    process = subprocess.Popen([str(POSTERN), "try", "--port", str(port)], cwd=tmp_path, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = []
    try:
        for line in iter(process.stdout.readline, ""):
            lines.append(line)
            if "Ctrl-C ends" in line:
                break
        folder = tmp_path / "postern-try"
        for number, (tls, at) in enumerate((("starttls", port), ("implicit", port + 1)), 1):
            done = postern("send", "--server", f"localhost:{at}", "--tls", tls, "--ca", folder / "cert.pem",
                           "--user", "try", "--password-stdin", "--from", "try@example.org", "--to", "you@example.org",
                           stdin=b"try\n" + message(f"tried {tls}"))
            assert done.returncode == 0, done.err + "".join(lines)
            wait_for(lambda: len(list((folder / "maildir" / "new").iterdir())) == number, "the mail")
    finally:
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=15)[0]
    text = "".join(lines) + rest
    assert process.returncode == 0, text
    assert str(port) in text and str(port + 1) in text
    assert "AUTH SCRAM-SHA-" in text and "MAIL FROM:<try@example.org>" in text
    mail = b"".join(p.read_bytes() for p in pathlib.Path(folder, "maildir", "new").iterdir())
    assert b"ESMTPSA" in mail


@pytest.mark.parametrize("option", ["--password-stdin", "--token-stdin"])
def test_a_terminal_does_not_show_what_is_typed(option):
    """Standard input may be a terminal: who follows a manual by hand types the secret there."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(POSTERN, [str(POSTERN), "send", "--server", "127.0.0.1:1", "--from", "a@b.example", "--to", "c@d.example",
                           "--user", "u", option, "/dev/null"])
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while b": " not in shown:
            shown += os.read(terminal, 1000)
        os.write(terminal, b"typed-secret\n")
        while data := os.read(terminal, 1000):
            shown += data
    os.waitpid(pid, 0)
    os.close(terminal)
    assert shown.startswith((b"The password: ", b"The token: ")) and b"typed-secret" not in shown, shown
    assert b"127.0.0.1" in shown, "the command went on with it"
