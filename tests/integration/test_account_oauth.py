"""postern account add --oauth: profiles, and a person's login by a device code or a browser, against a provider that the
test plays."""

import contextlib
import http.client
import json
import os
import pty
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest

from oauth import OAuth
from postern import Server, open_to_roles, wait_for

ADD = ["account", "add", "m", "--url", "smtp://smtp.example.net:587", "--user", "anna@example.org"]


@pytest.fixture
def provider(tmp_path):
    open_to_roles(tmp_path)
    it = OAuth(tmp_path / "provider")
    open_to_roles(it.folder)
    yield it
    it.close()


@pytest.fixture(params=["running", "stopped"])
def either(request, tmp_path):
    server = Server(tmp_path)
    if request.param == "running":
        server.start()
    yield server
    if server.process:
        assert server.stop() == 0, server.log_text()


@pytest.fixture
def server(tmp_path):
    return Server(tmp_path)


def profile(server, told, name="profile.json"):
    path = server.folder / name
    path.write_text(told if isinstance(told, str) else json.dumps(told))
    return path


def account(server, name="m"):
    return next((a for a in server.json("account", "list")["accounts"] if a["name"] == name), None)


class Login:
    """The command while a person logs in: what it prints is collected line by line."""

    def __init__(self, server, *args, stdin=subprocess.PIPE):
        self.process = subprocess.Popen([str(server.postern), *map(str, args), "-c", str(server.conf)], text=True,
                                        stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        start_new_session=True)
        self.out, self.err = [], []
        self.readers = [threading.Thread(target=self._collect, args=pair, daemon=True)
                        for pair in ((self.process.stdout, self.out), (self.process.stderr, self.err))]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _collect(stream, lines):
        for line in stream:
            lines.append(line)

    def see(self, pattern, stream="out"):
        lines = getattr(self, stream)
        return wait_for(lambda: re.search(pattern, "".join(lines), re.M) or self.process.poll() is not None and
                        re.search(pattern, "".join(lines), re.M), lambda: f"{pattern!r} in {self.out} {self.err}")

    def type(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def end(self, status=0):
        with contextlib.suppress(OSError):
            self.process.stdin and self.process.stdin.close()
        assert self.process.wait(30) == status, (self.out, self.err)
        for reader in self.readers:
            reader.join(10)
        return "".join(self.out), "".join(self.err)

    def address(self):
        return self.see(r"^Open  (https://\S+)$")[1]


def redirect_of(url):
    return urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["redirect_uri"][0]


def get(redirect, query):
    """What a browser, or somebody else, asks the command; (status, page)."""
    parts = urllib.parse.urlsplit(redirect)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    connection.request("GET", "/" + query)
    answer = connection.getresponse()
    page = answer.read().decode()
    connection.close()
    return answer.status, page


def no_secret(provider, *texts):
    """Nothing that was printed holds a token or the client's secret."""
    for text in texts:
        for secret in [provider.client_secret, *provider.tokens, *provider.refresh_tokens]:
            assert not secret or secret not in text


# ---- the profile ----

@pytest.mark.parametrize("told, hint", [
    ("{", "line 1, column"),
    ("", "line 1, column 1"),
    ("[]", "no object"),
    ('{"client_id": "a", "client_id": "b"}', "a key that stands twice"),
    ({"client_id": "c"}, "token_endpoint"),
    ({"token_endpoint": "https://p.example/t"}, "client_id"),
    ({"token_endpoint": "http://p.example/t", "client_id": "c", "refresh_token": "r"}, "http: is refused"),
    ({"token_endpoint": "https://p.example/t", "client_id": "c", "refresh_token": "r", "ca": "none.pem"}, "none.pem"),
    ({"token_endpoint": "https://p.example/t", "client_id": "c", "grant": "password"}, "device_code"),
    ({"token_endpoint": "https://p.example/t", "client_id": "c", "grant": "refresh_token"}, "refresh_token"),
    ({"token_endpoint": "https://p.example/t", "client_id": "c", "grant": "device_code"}, "device_authorization_endpoint"),
    ({"token_endpoint": "https://p.example/t", "client_id": "c", "client_secret": 7}, "client_secret"),
])
def test_a_wrong_profile_is_told_with_its_file(server, told, hint):
    path = profile(server, told)
    done = server.run(*ADD, "--oauth", path, check=False)
    assert done.returncode == 1 and hint in done.stderr, done.stderr
    assert account(server) is None


def test_what_the_file_names_is_relative_to_it(server, provider):
    (server.folder / "sub").mkdir()
    (server.folder / "sub" / "ca.pem").write_bytes(provider.ca.read_bytes())
    told = provider.file(ca=False) | {"ca": "ca.pem"}
    server.run(*ADD, "--oauth", profile(server, told, "sub/profile.json"))
    assert account(server)["secret"] == "oauth"


def test_a_refresh_token_in_the_file_asks_nobody(either, provider):
    done = either.run(*ADD, "--oauth", profile(either, provider.file(ca=True)), stdin="")
    assert "m: added" in done.stdout and done.stderr == ""
    told = account(either)
    assert told["secret"] == "oauth" and told["source"] == "vault"
    no_secret(provider, done.stdout, json.dumps(told), either.run("account", "show", "m").stdout)
    if either.process:
        # The first token is the server's business.
        provider.wait_count("refresh_token")
        until = wait_for(lambda: (account(either)["token"] or {}).get("state") == "valid" and account(either)["token"],
                         lambda: f"a token: {account(either)}\n{either.log_text()[-2000:]}")["until"]
        assert f"token valid until {until}" in either.run("account", "list").stdout


def test_an_unknown_key_warns_and_changes_nothing(server, provider):
    done = server.run(*ADD, "--oauth", profile(server, provider.file(ca=True, colour="red")))
    assert re.search(r"^postern account: warning: .*\"colour\"", done.stderr, re.M), done.stderr
    assert account(server)["secret"] == "oauth"


@pytest.mark.parametrize("grant", ["client_credentials", "jwt_bearer"])
def test_a_client_of_its_own_asks_nobody(server, provider, grant):
    key, certificate = provider.client_key()
    told = provider.file(grant=grant, ca=True, client_secret=None, private_key=str(key), certificate=str(certificate))
    done = server.run(*ADD, "--oauth", profile(server, told), stdin="")
    assert "m: added" in done.stdout and provider.requests == []
    assert account(server)["secret"] == "oauth"


def test_options_win_over_the_file(server, provider):
    told = provider.file(grant="device_code", ca=True, client_id="other", client_secret=None)
    login = Login(server, *ADD, "--oauth", profile(server, told), "--client-id", provider.client_id, "--scope", "x y",
                  "--client-secret-stdin")
    login.type(provider.client_secret + "\n")
    provider.approve_device()
    out, err = login.end()
    asked = next(r for r in provider.requests if r.path == "/device")
    assert asked.form["client_id"] == provider.client_id and asked.form["scope"] == "x y"
    no_secret(provider, out, err)


def test_a_refused_first_token_is_shown_in_the_list(tmp_path, provider):
    provider.refuse, provider.refuse_description = "invalid_grant", "Token has been expired or revoked."
    server = Server(tmp_path)
    with server:
        server.run(*ADD, "--oauth", profile(server, provider.file(ca=True)))
        token = wait_for(lambda: (account(server)["token"] or {}).get("state") == "refused" and account(server)["token"],
                         lambda: f"a refused token: {account(server)}")
        assert "invalid_grant" in token["reason"]
        text = server.run("account", "list").stdout
        assert "token refused" in text and re.search(r"^m: .*expired or revoked", text, re.M)


# ---- the device code ----

@pytest.mark.parametrize("trust", ["tls { ca }", "FILE"])
def test_device_code(server, provider, trust):
    if trust == "tls { ca }":
        server.conf.write_text(server.conf.read_text().replace(f'ca = "{server.authority.ca}"', f'ca = "{provider.ca}"'))
    login = Login(server, *ADD, "--oauth", profile(server, provider.file("device_code", ca=trust == "FILE")))
    shown = login.see(r"^Open  (\S+)  and enter  (\S+)$")
    assert shown[1] == provider.url + "/activate" and shown[2] == provider.devices[0].user_code
    provider.wait_count("device_code")  # asked once, nobody has said yes
    assert account(server) is None
    provider.approve_device()
    out, err = login.end()
    assert "m: added" in out and account(server)["secret"] == "oauth"
    no_secret(provider, out, err)


@pytest.mark.parametrize("running", [True, False])
def test_the_token_of_the_login_serves(tmp_path, provider, running):
    """A server that runs has it at once, one that starts later finds it in the vault; nobody asks for another one."""
    server = Server(tmp_path)
    if running:
        server.start()
    login = Login(server, *ADD, "--oauth", profile(server, provider.file("device_code", ca=True)))
    provider.approve_device()
    login.end()
    if not running:
        server.start()
    wait_for(lambda: (account(server)["token"] or {}).get("state") == "valid", lambda: f"a token: {account(server)}")
    assert provider.count["refresh_token"] == 0
    assert server.stop() == 0


def test_device_code_untrusted_provider(server, provider):
    done = server.run(*ADD, "--oauth", profile(server, provider.file("device_code")), check=False)
    assert done.returncode == 1 and "certificate" in done.stderr.lower(), done.stderr
    assert account(server) is None and provider.count["device"] == 0


def test_device_code_refused_by_the_person(server, provider):
    login = Login(server, *ADD, "--oauth", profile(server, provider.file("device_code", ca=True)))
    provider.deny_device()
    out, err = login.end(1)
    assert "access_denied" in err and "The person said no." in err and account(server) is None


def test_device_code_expires(server, provider):
    login = Login(server, *ADD, "--oauth", profile(server, provider.file("device_code", ca=True)))
    login.see(r"^Open  ")
    provider.devices[0].until = 0
    out, err = login.end(1)
    assert "expired" in err and account(server) is None


def test_device_code_expires_by_the_clock_here(server, provider):
    """The provider's word is 600 s; a shorter one ends the wait though it goes on saying "pending"."""
    changed_device_answer(provider, expires_in=3)
    login = Login(server, *ADD, "--oauth", profile(server, provider.file("device_code", ca=True)))
    out, err = login.end(1)
    assert "nobody entered the code in time" in err and provider.count["device_code"] >= 1 and account(server) is None


def test_device_code_of_a_hostile_provider(server, provider):
    changed_device_answer(provider, verification_uri="https://p.example/\x1b[2J", user_code="A\x1b]0;x\x07\nB")
    login = Login(server, *ADD, "--oauth", profile(server, provider.file("device_code", ca=True)))
    wait_for(lambda: login.process.poll() is not None or login.out, "an answer")
    login.process.kill()
    login.process.wait()
    text = "".join(login.out + login.err)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text), text


def changed_device_answer(provider, **changes):
    real = provider._device
    provider._device = lambda form, headers: provider._json(json.loads(real(form, headers)[1]) | changes)


def test_a_person_at_a_terminal_sees_the_time_that_is_left(server, provider):
    terminal, slave = pty.openpty()
    process = subprocess.Popen([str(server.postern), *ADD, "-c", str(server.conf), "--oauth",
                                str(profile(server, provider.file("device_code", ca=True)))], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=slave)
    os.close(slave)
    seen = b""
    while not re.search(rb"Waiting for the login, \d:\d\d left", seen):
        seen += os.read(terminal, 1000)
    provider.approve_device()
    assert process.wait(30) == 0
    os.close(terminal)


def test_device_code_asks_less_often_when_told(server, provider):
    provider.answer_once(400, b'{"error": "slow_down"}')
    login = Login(server, *ADD, "--oauth", profile(server, provider.file("device_code", ca=True)))
    provider.wait_count("device_code")
    told = time.monotonic()
    provider.approve_device()
    login.end()
    # RFC 8628 section 3.5: five seconds more than the second between questions.
    assert time.monotonic() - told > 5 and provider.count["device_code"] == 2


def test_device_code_survives_a_bad_answer(server, provider):
    provider.answer_once(503, b"later")
    provider.answer_once(200, b"{")
    login = Login(server, *ADD, "--oauth", profile(server, provider.file("device_code", ca=True)))
    provider.approve_device()
    login.see(r"warning: m: the provider answers 503 .*; asking again", "err")
    login.see(r"warning: m: the provider answers 200 with what is no OAuth answer; asking again", "err")
    login.end()
    assert account(server)["secret"] == "oauth"


@pytest.mark.parametrize("grant", ["device_code", "authorization_code"])
def test_breaking_it_off_leaves_nothing(server, provider, grant):
    login = Login(server, *ADD, "--oauth", profile(server, provider.file(grant, ca=True)))
    login.see(r"^Open  ")
    os.killpg(login.process.pid, signal.SIGINT)
    login.end(-signal.SIGINT)
    assert account(server) is None
    wait_for(lambda: not processes_of(login.process.pid), lambda: f"the end of {processes_of(login.process.pid)}")


@pytest.mark.parametrize("grant", ["device_code", "authorization_code"])
def test_killed_alone_its_program_ends_too(server, provider, grant):
    login = Login(server, *ADD, "--oauth", profile(server, provider.file(grant, ca=True)))
    login.see(r"^Open  ")
    login.process.kill()
    login.end(-signal.SIGKILL)
    wait_for(lambda: not processes_of(login.process.pid), lambda: f"the end of {processes_of(login.process.pid)}")


def processes_of(session):
    """Live processes of a session, by its id."""
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            words = open(f"/proc/{int(entry)}/stat").read().rsplit(")", 1)[1].split()
            if words[0] != "Z" and int(words[3]) == session:
                found.append(int(entry))
    return found


def test_json_keeps_standard_output_for_programs(server, provider):
    login = Login(server, *ADD, "--json", "--oauth", profile(server, provider.file("device_code", ca=True)))
    login.see(r"^Open  \S+  and enter  \S+$", "err")
    provider.approve_device()
    out, _ = login.end()
    assert json.loads(out) == {"name": "m", "done": "added"}


# ---- the browser ----

def test_authorization_code(either, provider):
    login = Login(either, *ADD, "--oauth", profile(either, provider.file("authorization_code", ca=True)))
    url = login.address()
    asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    assert asked["login_hint"] == "anna@example.org" and asked["code_challenge_method"] == "S256"
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", asked["redirect_uri"])
    status, page = provider.browse(url)
    assert status == 200 and "may be closed" in page
    out, err = login.end()
    assert "m: added" in out and account(either)["secret"] == "oauth"
    no_secret(provider, out, err)


def test_authorization_code_pasted(server, provider):
    """On a machine without a browser: its own finds nobody, and shows the address."""
    login = Login(server, *ADD, "--oauth", profile(server, provider.file("authorization_code", ca=True)))
    back = redirect_from(provider, login.address())
    login.type("what?\n")
    login.see("paste the whole address", "err")
    login.type(re.sub(r"state=[^&]*", "state=other", back) + "\n")
    login.see("belongs to another login", "err")
    login.type("  " + back + "\r\n")
    login.end()
    assert account(server)["secret"] == "oauth"


def test_authorization_code_pasted_without_a_line_end(server, provider):
    login = Login(server, *ADD, "--oauth", profile(server, provider.file("authorization_code", ca=True)))
    login.type(redirect_from(provider, login.address()))
    login.end()
    assert account(server)["secret"] == "oauth"


def redirect_from(provider, url):
    """Where the provider sends the browser to."""
    parts = urllib.parse.urlsplit(url)
    page = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=20,
                                       context=ssl.create_default_context(cafile=str(provider.ca)))
    page.request("GET", f"{parts.path}?{parts.query}")
    answer = page.getresponse()
    answer.read()
    page.close()
    assert answer.status == 302
    return answer.getheader("Location")


def test_authorization_code_refused(server, provider):
    provider.refuse_login = True
    login = Login(server, *ADD, "--oauth", profile(server, provider.file("authorization_code", ca=True)))
    status, page = provider.browse(login.address())
    assert status == 200 and "refused" in page
    out, err = login.end(1)
    assert "access_denied" in err and account(server) is None


def test_only_the_answer_with_our_state_counts(server, provider):
    login = Login(server, *ADD, "--oauth", profile(server, provider.file("authorization_code", ca=True)))
    url = login.address()
    redirect = redirect_of(url)
    state = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["state"][0]
    for query, wanted in [("?code=evil&state=other", 400), ("?error=access_denied&state=other", 400), ("?code=evil", 400),
                          (f"?code=evil&state={state}&state={state}", 400), ("favicon.ico", 404), ("", 404)]:
        status, page = get(redirect, query)
        assert status == wanted and state not in page and "evil" not in page
    assert login.process.poll() is None
    status, _ = provider.browse(url)
    assert status == 200
    login.end()
    assert provider.count["authorization_code"] == 1, "nothing of the others was tried"


def test_silent_and_noisy_visitors_do_not_hold_the_answer_up(server, provider):
    login = Login(server, *ADD, "--oauth", profile(server, provider.file("authorization_code", ca=True)))
    url = login.address()
    parts = urllib.parse.urlsplit(redirect_of(url))
    silent = [socket.create_connection((parts.hostname, parts.port)) for _ in range(30)]
    noisy = socket.create_connection((parts.hostname, parts.port))
    with contextlib.suppress(OSError):
        noisy.sendall(b"GET /?" + b"a" * 100000)
    assert provider.browse(url)[0] == 200
    login.end()
    for s in [*silent, noisy]:
        s.close()


def test_a_code_that_buys_nothing(server, provider):
    provider.refuse, provider.refuse_description = "invalid_grant", "AADSTS70008: \x1b[31mexpired"
    login = Login(server, *ADD, "--oauth", profile(server, provider.file("authorization_code", ca=True)))
    provider.browse(login.address())
    out, err = login.end(1)
    assert "AADSTS70008" in err and "\x1b" not in out + err and account(server) is None


def test_a_provider_that_is_down_when_the_code_came(server, provider):
    provider.answer = (503, b"")
    login = Login(server, *ADD, "--oauth", profile(server, provider.file("authorization_code", ca=True)))
    provider.browse(login.address())
    out, err = login.end(1)
    assert "run the command again" in err and "503" in err and account(server) is None


def test_a_login_without_a_refresh_token_warns(server, provider):
    real = provider._code
    provider._code = lambda form: (*real(form)[:2], False)
    login = Login(server, *ADD, "--oauth", profile(server, provider.file("authorization_code", ca=True)))
    provider.browse(login.address())
    out, err = login.end()
    assert "warning: the provider gave no refresh token" in err and account(server)["secret"] == "oauth"


def test_a_grant_that_is_asked_for_asks_though_there_is_a_refresh_token(server, provider):
    told = provider.file() | provider.file("authorization_code", ca=True)
    del told["grant"]
    login = Login(server, *ADD, "--oauth", profile(server, told), "--grant", "authorization_code")
    provider.browse(login.address())
    login.end()
    assert provider.count["authorization_code"] == 1


def test_an_account_that_is_there_is_told_before_anybody_logs_in(server, provider):
    server.run(*ADD, "--password-stdin", stdin="secret\n")
    path = profile(server, provider.file("device_code", ca=True))
    done = server.run(*ADD, "--oauth", path, check=False)
    assert done.returncode == 1 and "--replace" in done.stderr and provider.requests == []
    login = Login(server, *ADD, "--replace", "--oauth", path)
    provider.approve_device()
    login.end()
    assert account(server)["secret"] == "oauth"


@pytest.mark.parametrize("options, display, root, started", [
    ([], ":9", False, True), (["--no-browser"], ":9", False, False), ([], "", False, False), ([], ":9", True, False)])
def test_a_browser_is_started_where_somebody_sits(server, provider, options, display, root, started):
    """With a terminal and a display, and never as root: started as root this test becomes somebody else."""
    if root and os.geteuid() != 0:
        pytest.skip("needs root")
    home = server.folder / "home"
    for place in (home, server.folder / "data"):
        place.mkdir()
        if os.geteuid() == 0:
            shutil.chown(place, 65534, 65534)
    (home / "xdg-open").write_text('#!/bin/sh\nprintf "%s\\n" "$@" >"$HOME/opened.tmp"\nmv "$HOME/opened.tmp" "$HOME/opened"\n')
    (home / "xdg-open").chmod(0o755)
    path = profile(server, provider.file("authorization_code", ca=True))
    terminal, slave = pty.openpty()
    who = dict(user=65534, group=65534, extra_groups=[]) if os.geteuid() == 0 and not root else {}
    process = subprocess.Popen([str(server.postern), *ADD, *options, "--oauth", str(path), "-c", str(server.conf)], stdin=slave,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **who,
                               env=dict(PATH=f"{home}:/usr/bin:/bin", HOME=str(home), DISPLAY=display))
    os.close(slave)
    try:
        url = re.match(r"Open  (\S+)$", process.stdout.readline())[1]
        if started:
            wait_for((home / "opened").exists, "the browser's start")
            assert (home / "opened").read_text() == url + "\n"
        assert provider.browse(url)[0] == 200
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        assert ("A browser was started." in err) == started == (home / "opened").exists()
    finally:
        process.kill()
        os.close(terminal)
