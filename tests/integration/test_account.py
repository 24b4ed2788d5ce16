"""postern account: what it takes, what it refuses and how it says so; the list of the vault and of sections."""

import base64
import json
import re
import ssl
import subprocess
import threading

import pytest

from oauth import OAuth
from postern import Authority, Server, message, open_to_roles, wait_for
from sink import Sink

ADD = ["account", "add", "smart", "--url", "smtps://smtp.example.net:465", "--user", "robot"]
PIN = "sha256:" + "ab" * 32
SECTION = 'account smart { url = "smtps://smtp.example.net:465"  user = "robot" }'


@pytest.fixture(params=["running", "stopped"])
def either(request, tmp_path):
    """A server that runs, or one that does not: the commands must not differ."""
    server = Server(tmp_path)
    if request.param == "running":
        server.start()
    yield server
    if server.process:
        assert server.stop() == 0, server.log_text()


@pytest.fixture
def server(tmp_path):
    return Server(tmp_path)


@pytest.fixture(scope="module")
def pems(tmp_path_factory):
    """Files as people have them: good ones, and what is easily taken for them."""
    folder = tmp_path_factory.mktemp("pem")
    open_to_roles(folder)
    authority = Authority(folder)
    cert, key = authority.issue("robot")
    other = authority.issue("other")[1]
    old = authority.issue("old", days=-1)
    locked = folder / "locked.key"
    subprocess.run(["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:x", "-out", locked], check=True)
    (folder / "no.pem").write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    (folder / "long.pem").write_text("x" * 40000)
    return dict(ca=authority.ca, cert=cert, key=key, other=other, locked=locked, no=folder / "no.pem",
                long=folder / "long.pem", none=folder / "none.pem", old=old[0], old_key=old[1])


def the(server, name="smart"):
    return next(a for a in server.json("account", "list")["accounts"] if a["name"] == name)


def test_no_core_file_of_a_command(server):
    """What it was told lies in its memory."""
    command = subprocess.Popen([str(server.postern), *ADD, "--password-stdin", "-c", str(server.conf)], stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def limit():
        with open(f"/proc/{command.pid}/limits", encoding="ascii") as lines:
            return re.search(r"^Max core file size +(\S+) +(\S+)", lines.read(), re.M).groups()

    wait_for(lambda: limit() == ("0", "0"), limit)
    command.communicate(b"secret\n")
    assert command.returncode == 0


# ---- what is refused, and what would be right ----

@pytest.mark.parametrize("args, status, hint", [
    (["add"], 2, "needs a NAME"),
    (["add", "a", "--user", "u"], 2, "--url smtps://smtp.example.org:465"),
    (["add", "a", "--url", "smtp://h"], 2, "needs --user"),
    (["add", "a", "--url", "http://h", "--user", "u"], 1, "smtps://host:465"),
    (["add", "a", "--url", "smtp://u:p@h", "--user", "u"], 1, "holds a user"),
    (["add", "a", "--url", "smtp://h", "--user", "u", "--oauth", "google", "--password-stdin"], 2, "one kind of secret"),
    (["add", "a", "--url", "smtp://h", "--user", "u", "--cert", "x"], 2, "--cert needs --key FILE"),
    (["add", "a", "--url", "smtp://h", "--user", "u", "--key", "x"], 2, "--key needs --cert FILE"),
    (["add", "a", "--url", "smtp://h", "--user", "u", "--client-id", "x"], 2, "--client-id belongs to --oauth"),
    (["add", "a", "--url", "smtp://h", "--user", "u", "--no-browser"], 2, "--no-browser belongs to --oauth"),
    (["add", "a", "--url", "smtp://h", "--user", "u", "--oauth", "google"], 2, "needs --client-id"),
    (["add", "a", "--url", "smtp://h", "--user", "u", "--oauth", "google", "--client-id", "x", "--tenant", "t"], 2,
     "--oauth microsoft"),
    (["add", "a", "--url", "smtp://h", "--user", "u", "--oauth", "google", "--client-id", "x", "--grant", "device"], 2,
     "device_code"),
    (["add", "a", "--url", "smtp://h", "--user", "u", "--oauth", "gogle"], 1, "did you mean google?"),
    (["add", "a", "--url", "smtp://h", "--user", "u", "--oauth", "/none.json"], 1, "No such file"),
    (["add", "a", "--url", "smtp://h", "--user", "u", "--pin", "sha256:12", "--password-stdin"], 1, "64 hexadecimal"),
    (["add", "a", "--url", "smtp://h", "--user", "u", "--rate", "many", "--password-stdin"], 1, "100/hour"),
    (["add", "a", "--url", "smtp://h", "--user", "u", "--connections", "0", "--password-stdin"], 1, "4 is the default"),
    (["add", "a", "--url", "smtp://h", "--user", "u", "--mechanisms", "PLAN", "--password-stdin"], 1, "SCRAM-SHA-256"),
    (["add", "a", "--url", "smtp://h", "--user", "u", "--mechanisms", "XOAUTH2", "--password-stdin"], 1, "a password"),
    (["add", "a", "--url", "smtp://h", "--user", "u", "--password-stdin", "--replac"], 2, "did you mean --replace?"),
    (["add", "a", "--url", "smtp://h", "--user", "u"], 2, "--password-stdin"),
    (["add", "no name", "--url", "smtp://h", "--user", "u", "--password-stdin"], 1, "letters, digits"),
    (["list", "a"], 2, "account show NAME"),
    (["list", "--url", "smtp://h"], 2, "--url has no meaning for list"),
    (["remove", "a", "--replace"], 2, "--replace has no meaning for remove"),
    (["show"], 2, "needs a NAME"),
    (["show", "a"], 1, "account list"),
    (["remove", "a"], 1, "none of this name"),
    (["lst"], 2, "did you mean list?"),
])
def test_a_mistake_is_told_with_what_would_be_right(server, args, status, hint):
    done = subprocess.run([str(server.postern), "account", *args, "-c", str(server.conf)], input="secret\n", text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, timeout=60)
    assert done.returncode == status and hint in done.stderr, done
    assert done.stdout == "" and "secret\n" not in done.stderr
    assert server.json("account", "list")["accounts"] == []


@pytest.mark.parametrize("options, hint", [
    (["--cert", "{key}", "--key", "{cert}"], "is it the file for --key?"),
    (["--cert", "{cert}", "--key", "{cert}"], "is it the file for --cert?"),
    (["--cert", "{cert}", "--key", "{other}"], "does not belong"),
    (["--cert", "{cert}", "--key", "{locked}"], "openssl pkey -in"),
    (["--cert", "{no}", "--key", "{key}"], "cannot use the certificate"),
    (["--cert", "{none}", "--key", "{key}"], "--cert: cannot read"),
    (["--cert", "{long}", "--key", "{key}"], "is it the right file?"),
    (["--ca", "{key}", "--password-stdin"], "certificates alone"),
    (["--ca", "{no}", "--password-stdin"], "must be PEM"),
    (["--ca", "{none}", "--password-stdin"], "--ca: cannot read"),
])
def test_a_wrong_pem_file_is_told(server, pems, options, hint):
    done = server.run(*ADD, *(o.format(**pems) for o in options), stdin="secret\n", check=False)
    assert done.returncode == 1 and hint in done.stderr, done.stderr
    assert server.json("account", "list")["accounts"] == []


def test_an_expired_certificate_warns(server, pems):
    done = server.run(*ADD, "--cert", pems["old"], "--key", pems["old_key"])
    assert "warning: --cert" in done.stderr and "has expired" in done.stderr


# ---- what is kept ----

def test_a_password_with_all_that_goes_with_it(either, pems):
    done = either.run(*ADD, "--password-stdin", "--mechanisms", "SCRAM-SHA-256,PLAIN", "--connections", "2", "--rate",
                      "100/hour", "--pin", PIN, "--ca", pems["ca"], "--cert", pems["cert"], "--key", pems["key"],
                      stdin="the secret\n")
    assert "smart: added" in done.stdout and done.stderr == "", done
    told = the(either)
    assert (told["url"], told["user"], told["secret"]) == ("smtps://smtp.example.net:465", "robot", "password")
    assert told["source"] == "vault" and told["connections"] == 2 and told["pin"] == PIN
    assert told["ca"] is True and told["certificate"] is True and told["paused"] is None and told["token"] is None
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", told["created"])
    shown = either.json("account", "show", "smart")
    assert {k: v for k, v in shown.items() if k != "paused"} == {k: v for k, v in told.items() if k != "paused"}
    text = either.run("account", "show", "smart").stdout
    assert re.search(r"^url +smtps://smtp.example.net:465$", text, re.M) and re.search(r"^state +ok$", text, re.M)
    for printed in (text, either.run("account", "list").stdout, json.dumps(told)):
        assert "the secret" not in printed


def test_a_certificate_alone_is_external(either, pems):
    either.run("account", "add", "ext", "--url", "smtp://h.example", "--cert", pems["cert"], "--key", pems["key"])
    told = the(either, "ext")
    assert told["secret"] == "certificate" and not told["user"]
    done = either.run("account", "add", "x", "--url", "smtp://h.example", "--mechanisms", "PLAIN", "--cert", pems["cert"],
                      "--key", pems["key"], check=False)
    assert done.returncode == 1 and "EXTERNAL" in done.stderr


def test_replace_puts_all_of_it_in_place(either, pems):
    either.run(*ADD, "--password-stdin", "--rate", "5/hour", "--ca", pems["ca"], stdin="first\n")
    again = either.run(*ADD, "--password-stdin", stdin="second\n", check=False)
    assert again.returncode == 1 and "exists already" in again.stderr and "--replace" in again.stderr
    assert the(either)["ca"] is True
    either.run("account", "add", "smart", "--url", "smtp://b.example", "--user", "other", "--password-stdin", "--replace",
               stdin="second\n")
    told = the(either)
    assert (told["url"], told["user"], told["ca"], told["rate"]) == ("smtp://b.example", "other", False, None)


def test_who_has_no_password_yet_is_not_asked_for_one_in_vain(server):
    """That the name is taken is told before anything is read from standard input."""
    server.run(*ADD, "--password-stdin", stdin="first\n")
    process = subprocess.Popen([str(server.postern), *ADD, "--password-stdin", "-c", str(server.conf)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.wait(20) == 1
        assert "exists already" in process.stderr.read()
    finally:
        process.stdin.close()


# ---- sections ----

def test_a_section_alone_is_listed_and_lacks_a_secret(tmp_path):
    server = Server(tmp_path, extra=SECTION)
    told = the(server)
    assert told["source"] == "configuration" and told["secret"] is None
    text = server.run("account", "list").stdout
    assert "no secret: postern account add smart" in text
    gone = server.run("account", "remove", "smart", check=False)
    assert gone.returncode == 1 and str(server.conf) in gone.stderr and "line" in gone.stderr


@pytest.mark.parametrize("running", [True, False])
def test_url_and_user_may_come_from_the_section(tmp_path, running):
    server = Server(tmp_path, extra=SECTION)
    if running:
        server.start()
    done = server.run("account", "add", "smart", "--password-stdin", stdin="secret\n")
    assert done.stderr == ""
    told = the(server)
    assert (told["source"], told["secret"], told["user"]) == ("both", "password", "robot")
    assert re.search(r"^smart .* ok$", server.run("account", "list").stdout, re.M)
    again = server.run("account", "add", "smart", "--password-stdin", "--replace", "--user", "other", stdin="secret\n")
    assert "--user has no effect" in again.stderr and the(server)["user"] == "robot"
    removed = server.run("account", "remove", "smart").stdout
    assert "its section in" in removed and the(server)["secret"] is None
    if running:
        assert server.stop() == 0


# ---- with mail that waits ----

def test_mail_that_waits_for_an_account_is_tried_when_it_is_added(tmp_path):
    """Nothing but the secret is missing; adding it is enough, without a retry by hand."""
    authority = Authority(tmp_path / "authority")
    certificate, key = authority.issue("smarthost")
    accepted = threading.Event()
    smarthost = Smarthost(certificate, key, accepted)
    server = Server(tmp_path, extra=f'account smart {{ url = "smtps://127.0.0.1:{smarthost.port}"  user = "robot"  '
                    f'ca = "{authority.ca}" }}', routes='route "*" { via = "account:smart" }')
    open_to_roles(authority.folder)
    with server:
        client = server.smtp(login=("anna@example.org", "correct horse"))
        client.sendmail("anna@example.org", ["bob@example.net"], message())
        client.quit()
        wait_for(lambda: server.json("queue", "list") and server.json("queue", "list")[0]["reason"], "a reason to wait")
        server.run("account", "add", "smart", "--password-stdin", stdin="secret\n")
        wait_for(lambda: server.json("queue", "list") == [], lambda: server.log_text()[-3000:])
    assert accepted.is_set()


class Smarthost(Sink):
    """A Sink behind TLS that takes one password."""

    def __init__(self, certificate, key, accepted):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)

        def auth(line):
            right = line.split()[-1] == base64.b64encode(b"\0robot\0secret").decode()
            if right:
                accepted.set()
            return "235 2.7.0 welcome" if right else "535 5.7.8 wrong"

        super().__init__(replies={"AUTH": auth}, extensions=("PIPELINING", "8BITMIME", "AUTH PLAIN XOAUTH2"))

    def _serve(self, connection):
        try:
            connection = self.context.wrap_socket(connection, server_side=True)
        except OSError:
            return
        super()._serve(connection)


# ---- paused accounts ----

def test_a_paused_account_is_shown_with_its_reason(tmp_path):
    authority = Authority(tmp_path / "authority")
    certificate, key = authority.issue("smarthost")
    smarthost = Smarthost(certificate, key, threading.Event())
    server = Server(tmp_path, routes='route "*" { via = "account:smart" }')
    open_to_roles(authority.folder)
    with server:
        server.run("account", "add", "smart", "--url", f"smtps://127.0.0.1:{smarthost.port}", "--user", "robot", "--ca",
                   authority.ca, "--password-stdin", stdin="wrong\n")
        client = server.smtp(login=("anna@example.org", "correct horse"))
        client.sendmail("anna@example.org", ["bob@example.net"], message())
        client.quit()
        wait_for(lambda: the(server)["paused"], lambda: "a pause\n" + server.log_text()[-3000:])
        paused = the(server)["paused"]
        assert re.match(r"\d{4}-\d\d-\d\dT", paused["until"]) and "535" in paused["reason"]
        text = server.run("account", "list").stdout
        assert f"paused until {paused['until']}" in text and re.search(r"^smart: .*535", text, re.M)
        server.run("account", "add", "smart", "--url", f"smtps://127.0.0.1:{smarthost.port}", "--user", "robot", "--ca",
                   authority.ca, "--password-stdin", "--replace", stdin="secret\n")
        wait_for(lambda: server.json("queue", "list") == [], lambda: server.log_text()[-3000:])
        wait_for(lambda: the(server)["paused"] is None, "the end of the pause")


def test_an_account_whose_token_is_refused_is_told_once(tmp_path):
    """Its mail pauses it, too; that is one trouble, not two."""
    provider = OAuth(tmp_path / "provider")
    provider.refuse = "invalid_grant"
    authority = Authority(tmp_path / "authority")
    smarthost = Smarthost(*authority.issue("smarthost"), threading.Event())
    server = Server(tmp_path, routes='route "*" { via = "account:smart" }')
    open_to_roles(authority.folder)
    (tmp_path / "profile.json").write_text(json.dumps(provider.file(ca=True)))
    with server:
        server.run("account", "add", "smart", "--url", f"smtps://127.0.0.1:{smarthost.port}", "--user", "robot", "--ca",
                   authority.ca, "--oauth", tmp_path / "profile.json")
        client = server.smtp(login=("anna@example.org", "correct horse"))
        client.sendmail("anna@example.org", ["bob@example.net"], message())
        client.quit()
        wait_for(lambda: the(server)["paused"], lambda: "a pause\n" + server.log_text()[-3000:])
        assert [(a["name"], a["state"]) for a in server.json("status")["accounts"]] == [("smart", "paused")]
        assert the(server)["state"] == "paused" and "invalid_grant" in the(server)["reason"]
    provider.close()


# ---- for programs ----

@pytest.mark.parametrize("running", [True, False])
def test_json_has_the_columns_of_the_table(tmp_path, running):
    """account list --json: what the table shows, the state as one word."""
    server = Server(tmp_path, extra=SECTION)
    if running:
        server.start()
    server.run("account", "add", "other", "--url", "smtps://127.0.0.1:1", "--user", "u", "--password-stdin", stdin="s\n")
    header = server.run("account", "list").stdout.splitlines()[0].split()
    assert {"name", "state"} <= {word.lower() for word in header} <= set(the(server))
    assert (the(server)["state"], the(server)["reason"]) == ("no secret", None)
    assert the(server, "other")["state"] == server.json("account", "show", "other")["state"] == "ok"
    if running:
        assert server.stop() == 0
