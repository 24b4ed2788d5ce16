"""postern account test: each kind of account against a server that takes it, refuses it, or is not there; with Postern
running and stopped."""

import base64
import json
import re
import ssl
import time

import pytest
from oauth import OAuth
from postern import Authority, Server, free_ports, wait_for
from script import Script, server_context

USER, PASSWORD = "robot@example.net", "s3cret-of-the-robot"


def b64(text):
    return base64.b64encode(text.encode()).decode()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def good(authority):
    return server_context(*authority.issue("good"))


@pytest.fixture(params=["running", "stopped"])
def server(tmp_path, request):
    server = Server(tmp_path)
    if request.param == "running":
        server.start()
    yield server
    if request.param == "running":
        server.stop()


@pytest.fixture
def stopped(tmp_path):
    return Server(tmp_path)


def add(server, authority, port, *args, name="acc", scheme="smtp", user=("--user", USER), secret=PASSWORD):
    server.run("account", "add", name, "--url", f"{scheme}://localhost:{port}", *user, "--ca", authority.ca, *args,
               *(["--password-stdin"] if secret else []), stdin=f"{secret}\n" if secret else "")


class Tried:
    def __init__(self, server, name="acc"):
        text = server.run("account", "test", name, check=False)
        done = server.run("account", "test", name, "--json", check=False)
        self.status, self.text, self.all = done.returncode, text.stdout, text.stdout + text.stderr + done.stdout
        assert text.returncode == done.returncode and done.stderr == text.stderr == "", self.all
        self.answer = json.loads(done.stdout)
        self.steps = {s["step"]: s for s in self.answer["steps"]}
        assert [s["result"] for s in self.answer["steps"]].count("failed") == (self.status == 1)
        assert self.answer["result"] == ("ok" if self.status == 0 else "failed")
        assert PASSWORD not in self.all and b64(f"\0{USER}\0{PASSWORD}") not in self.all

    def failed(self, step, *words):
        assert self.status == 1 and self.answer["steps"][-1]["step"] == step, self.all
        for word in words:
            assert word in self.answer["steps"][-1]["text"], self.all
        assert f"FAILED: {step}" in self.text
        return self


def login(reply="235 2.7.0 welcome", offer="AUTH PLAIN"):
    def play(talk):
        talk.secure(offer, "8BITMIME")
        talk.server.auth = talk.hear("AUTH")
        talk.say(reply)
        talk.server.after = talk.line()
        talk.say("221 bye")
    return play


def test_a_password_is_taken(server, authority, good):
    with Script(login(), starttls=good) as peer:
        add(server, authority, peer.port)
        done = Tried(server)
    assert done.status == 0, done.all
    assert list(done.steps) == ["account", "name", "connection", "TLS", "EHLO", "mechanism", "login"]
    assert re.search(r"TLSv1\.3 .* verified for localhost until \d{4}-.* pin sha256:[0-9a-f]{64}", done.steps["TLS"]["text"])
    assert done.steps["EHLO"]["text"] == "mechanisms offered: PLAIN" and done.steps["mechanism"]["text"].startswith("PLAIN: ")
    assert done.answer["reply"] == {"code": 235, "enhanced": "2.7.0", "text": "2.7.0 welcome"}
    assert done.answer["advice"] is None and "acc can log in" in done.text
    assert peer.auth == "AUTH PLAIN " + b64(f"\0{USER}\0{PASSWORD}") and peer.after == "QUIT"
    assert not any(line.startswith(("MAIL", "RCPT", "DATA")) for line in peer.heard)


@pytest.mark.parametrize("reply, advice", [("535 5.7.8 bad user or password", "app password"), ("454 4.7.0 later", "later")])
def test_a_refused_password(server, authority, good, reply, advice):
    with Script(login(reply), starttls=good) as peer:
        add(server, authority, peer.port)
        done = Tried(server).failed("login", reply)
    assert done.answer["reply"]["code"] == int(reply[:3]) and peer.after == "QUIT"
    assert advice in done.answer["advice"] and "what to do" in done.text


def test_what_can_go_wrong_before_the_login(stopped, authority, good, tmp_path):
    nobody, = free_ports(1)
    add(stopped, authority, nobody, name="nobody")
    Tried(stopped, "nobody").failed("connection", "refused")
    stopped.run("account", "add", "noname", "--url", "smtp://no-such-host.invalid", "--user", USER, "--password-stdin",
                stdin="x\n")
    Tried(stopped, "noname").failed("name", "no-such-host.invalid")
    with Script(login(), starttls=server_context(*Authority(tmp_path / "alien").issue("alien"))) as peer:
        add(stopped, authority, peer.port, name="alien")
        done = Tried(stopped, "alien").failed("TLS", "certificate")
    assert not any(line.startswith("AUTH") for line in peer.heard) and "ca" in done.answer["advice"]
    with Script(lambda talk: (talk.hello("AUTH PLAIN"), talk.rest())) as peer:
        add(stopped, authority, peer.port, name="clear")
        done = Tried(stopped, "clear").failed("TLS", "STARTTLS")
    assert "smtps://" in done.answer["advice"]
    with Script(lambda talk: (talk.secure("8BITMIME"), talk.rest()), starttls=good) as peer:
        add(stopped, authority, peer.port, name="noauth")
        done = Tried(stopped, "noauth").failed("mechanism", "does not offer AUTH")
    assert done.steps["EHLO"]["text"] == "mechanisms offered: none"
    with Script(lambda talk: (talk.say("220 x"), talk.rest())) as peer:
        add(stopped, authority, peer.port, name="implicit", scheme="smtps")
        assert "port" in Tried(stopped, "implicit").failed("TLS").answer["advice"]
    old = server_context(*authority.issue("old"))
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with Script(login(), starttls=old) as peer:
        add(stopped, authority, peer.port, name="old")
        assert "TLS 1.2" in Tried(stopped, "old").failed("TLS").answer["advice"]
    with Script(login(), starttls=wants_certificate(authority)) as peer:
        add(stopped, authority, peer.port, name="bare")
        assert "client certificate" in Tried(stopped, "bare").failed("EHLO").answer["advice"]
    assert "none of this name" in Tried(stopped, "unknown").failed("account").all


def test_a_pin(stopped, authority, good):
    with Script(login(), starttls=good) as peer:
        add(stopped, authority, peer.port)
        pin = re.search(r"sha256:[0-9a-f]{64}", Tried(stopped).steps["TLS"]["text"])[0]
        stopped.run("account", "add", "pinned", "--url", f"smtp://localhost:{peer.port}", "--user", USER, "--pin", pin,
                    "--password-stdin", stdin=f"{PASSWORD}\n")
        done = Tried(stopped, "pinned")
        assert done.status == 0 and "as pinned" in done.steps["TLS"]["text"], done.all
        other = pin[:-1] + ("0" if pin[-1] != "0" else "1")
        add(stopped, authority, peer.port, "--pin", other, name="wrong")
        assert "new pin" in Tried(stopped, "wrong").failed("TLS", "pin").answer["advice"]


def wants_certificate(authority):
    context = server_context(*authority.issue("wants"))
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_a_client_certificate(server, authority):
    cert, key = authority.issue("robot")
    with Script(login(offer="AUTH EXTERNAL PLAIN"), starttls=wants_certificate(authority)) as peer:
        add(server, authority, peer.port, "--cert", cert, "--key", key, user=(), secret=None)
        done = Tried(server)
    assert done.status == 0 and peer.auth == "AUTH EXTERNAL =", done.all
    assert "client certificate" in done.steps["account"]["text"]


def test_a_section_and_its_files(tmp_path, authority):
    cert, key = authority.issue("robot")
    key.chmod(0o600)
    with Script(login(offer="AUTH EXTERNAL"), starttls=wants_certificate(authority)) as peer:
        server = Server(tmp_path, extra=f'account sec {{ url = "smtp://localhost:{peer.port}"  ca = "{authority.ca}"  '
                                        f'certificate = "{cert}"  key = "{key}"  mechanisms = {{"EXTERNAL"}} }}\n'
                                        f'account bare {{ url = "smtp://localhost:{peer.port}"  user = "x" }}\n')
        done = Tried(server, "sec")
        assert done.status == 0, done.all
        assert "keeps no secret" in Tried(server, "bare").failed("account").all


# ---- OAuth ----

@pytest.fixture
def provider(tmp_path):
    provider = OAuth(tmp_path / "provider", user=USER)
    yield provider
    provider.close()


def by_token(provider):
    def play(talk):
        talk.secure("AUTH XOAUTH2", "8BITMIME")
        line = talk.hear("AUTH XOAUTH2").split(" ")
        user, token = re.fullmatch("user=(.*)\1auth=Bearer (.*)\1\1", base64.b64decode(line[2]).decode()).groups()
        talk.server.token = token
        if provider.valid(token) == user:
            talk.say("235 2.7.0 Accepted")
        else:
            talk.say("334 " + b64(json.dumps({"status": "401", "schemes": "bearer", "scope": "mail"})))
            talk.line()
            talk.say("535 5.7.8 not accepted")
        talk.server.after = talk.line()
        talk.say("221 bye")
    return play


def add_oauth(server, authority, provider, peer):
    path = server.folder / "oauth.json"
    path.write_text(json.dumps(provider.file(ca=True)))
    add(server, authority, peer.port, "--oauth", path, secret=None)


def test_a_token_is_obtained_and_kept(server, authority, good, provider):
    with Script(by_token(provider), starttls=good) as peer:
        add_oauth(server, authority, provider, peer)
        first = Tried(server)
        count = provider.count["refresh_token"]
        second = Tried(server)
    assert first.status == second.status == 0, first.all + second.all
    assert provider.valid(peer.token) == USER and provider.count["refresh_token"] == count == 1, "kept, not asked for again"
    assert "token" in first.steps and "good until" in first.steps["token"]["text"]
    assert peer.token not in first.all + second.all


def test_an_expired_token_is_renewed_and_the_new_refresh_token_kept(stopped, authority, good, provider):
    provider.expires_in = 2
    with Script(by_token(provider), starttls=good) as peer:
        add_oauth(stopped, authority, provider, peer)
        assert "newly obtained" in stopped.run("account", "test", "acc").stdout
        until = time.time() + 2
        wait_for(lambda: time.time() > until, "the token to expire")
        provider.expires_in = 3600
        assert "newly obtained" in stopped.run("account", "test", "acc").stdout
        assert provider.count["refresh_token"] == 2, "the second time with the refresh token that the first one brought"
        done = Tried(stopped)
    assert done.status == 0 and "kept in the vault" in done.steps["token"]["text"], done.all
    assert provider.count["refresh_token"] == 2


def test_a_refused_refresh_names_the_provider_s_reason(stopped, authority, good, provider):
    provider.refuse, provider.refuse_description = "invalid_grant", "Token has been expired or revoked."
    with Script(by_token(provider), starttls=good) as peer:
        add_oauth(stopped, authority, provider, peer)
        done = Tried(stopped).failed("token", "invalid_grant", "expired or revoked")
    assert not peer.heard and "--oauth" in done.answer["advice"]


def test_a_revoked_token_is_replaced_once(server, authority, good, provider):
    """As a relay does it: the token looks good here, and the provider has forgotten it."""
    with Script(by_token(provider), starttls=good) as peer:
        add_oauth(server, authority, provider, peer)
        Tried(server)
        provider.expire(USER)
        done = Tried(server)
    assert done.status == 0 and "the server refused that one" in done.all, done.all
    assert provider.count["refresh_token"] == 2 and provider.valid(peer.token) == USER


def test_a_token_that_the_server_refuses(server, authority, good, provider):
    with Script(by_token(provider), starttls=good) as peer:
        add_oauth(server, authority, provider, peer)
        provider.valid = lambda token: None
        done = Tried(server).failed("login", "535 5.7.8 not accepted", "401")
    assert '{"' not in done.steps["login"]["text"] and "scope" in done.answer["advice"]
