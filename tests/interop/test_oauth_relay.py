"""Relaying with OAuth 2 from end to end: tokens from a provider over HTTPS, XOAUTH2 and OAUTHBEARER to a real
Postfix with Dovecot, which asks the same provider about each token, and to a scripted server where the errors matter."""

import base64
import json
import os
import re
import signal
import time

import pytest
from oauth import OAuth
from peers import Dovecot, Postfix, missing
from postern import message, wait_for
from script import Script, server_context

ANNA = ("anna@example.org", "correct horse")
ROBOT = "robot@example.net"
reason = missing("postfix", "dovecot")


@pytest.fixture
def provider(tmp_path):
    provider = OAuth(tmp_path / "provider", user=ROBOT)
    yield provider
    provider.close()


def with_provider(make_server, provider, url, mechanism=None, authority=None, file=None, **options):
    """A server whose account "cloud" has its tokens from @provider."""
    server = make_server(start=False, routes='route "example.org" { via = "maildir:MAIL/{user}" }\n'
                         'route "*" { via = "account:cloud" }', **options)
    server.write_conf(routes=server.options["routes"].replace("MAIL", str(server.maildir)))
    with open(server.authority.ca, "a", encoding="ascii") as bundle:
        bundle.write(provider.ca.read_text())
        if authority:
            bundle.write(authority.ca.read_text())
    server.start()
    add_account(server, provider, url, mechanism, file)
    return server


def add_account(server, provider, url, mechanism=None, file=None, *options):
    path = server.folder / "oauth.json"
    path.write_text(json.dumps(file or provider.file()))
    more = ["--mechanisms", mechanism] if mechanism else []
    server.run("account", "add", "cloud", "--url", url, "--user", ROBOT, "--oauth", path, *more, *options)


def submit(server, to="bob@example.net", subject="test"):
    with server.smtp(login=ANNA) as session:
        session.sendmail(ANNA[0], [to], message(subject, to=to))


def entry(server, address="bob@example.net"):
    for e in server.json("queue", "list"):
        for r in e["recipients"]:
            if r["address"] == address:
                return e, r
    return {}, {}


def wait_waiting(server, states, pattern, seconds=30):
    def found():
        _, r = entry(server)
        return r.get("state") in states and re.search(pattern, r["reason"] or "") and r
    return wait_for(found, lambda: f"{states} {pattern}: {entry(server)}\n{server.log_text()[-3000:]}", seconds)


def wait_empty(server, seconds=40):
    wait_for(lambda: server.json("queue", "list") == [], lambda: f"an empty queue\n{server.log_text()[-3000:]}", seconds)


def account(server):
    return next(a for a in server.json("account", "list")["accounts"] if a["name"] == "cloud")


def check_no_secret(server, provider):
    shown = server.log_text() + "".join(server.run(*words).stdout for words in (
        ("account", "list", "--json"), ("status", "--json"), ("why", "--last", "50", "--json"), ("queue", "list", "--json")))
    secrets = [*provider.tokens, *provider.refresh_tokens, *provider.used_refresh, provider.client_secret]
    assert not [s for s in secrets if s in shown or base64.b64encode(s.encode()).decode() in shown]


# ---- a real Postfix with Dovecot ----


@pytest.mark.skipif(reason is not None, reason=reason or "")
@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_dovecot_asks_the_provider(make_server, tmp_path, provider, mechanism):
    from postern import Authority
    authority = Authority(tmp_path / "authority")
    conf = tmp_path / "dovecot-oauth2.conf"
    conf.write_text(f"""
introspection_mode = post
introspection_url = {provider.introspection_endpoint}
tls_ca_cert_file = {provider.ca}
active_attribute = active
active_value = true
username_attribute = email
username_format = %u
""")
    conf.chmod(0o644)
    passdb = f"passdb {{\n  driver = oauth2\n  mechanisms = xoauth2 oauthbearer\n  args = {conf}\n}}\n"
    with Dovecot(tmp_path / "dovecot", {}, mechanisms=["XOAUTH2", "OAUTHBEARER"], passdb=passdb) as dovecot, \
            Postfix(tmp_path / "postfix", authority, dovecot.auth) as postfix:
        server = with_provider(make_server, provider, f"smtp://localhost:{postfix.starttls}", mechanism, authority)
        submit(server, subject="the first")
        postfix.wait_messages(1)
        postfix.wait_log(f"sasl_method={mechanism}, sasl_username={ROBOT}")
        line = server.wait_log(r"recipient=bob@example\.net .*result=delivered")
        assert f"mech={mechanism}" in line and "verified=yes" in line, line
        assert provider.count["refresh_token"] == 1 and provider.count["introspect"] >= 1
        # The provider ends the tokens before their time: the server says no once, and a fresh one is fetched.
        provider.expire()
        killed = server.pids("relay")
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: server.pids("relay") and not set(killed) & set(server.pids("relay")), "the relays to be back")
        submit(server, subject="the second")
        postfix.wait_messages(2)
        assert provider.count["refresh_token"] == 2
        assert server.messages("anna") == []
        check_no_secret(server, provider)


# ---- a scripted server ----


class Cloud(Script):
    """Takes a message for a token that is alive; else the error dance of @dance."""

    def __init__(self, server_authority, provider, words="AUTH XOAUTH2 OAUTHBEARER"):
        super().__init__(self.dialogue, starttls=server_context(*server_authority.issue("cloud")))
        self.provider, self.words, self.taken, self.refused, self.answers = provider, words, [], 0, []
        self.drop_after_login = False

    def token_of(self, line):
        _, mechanism, response = line.split(" ")
        return mechanism, re.search(r"auth=Bearer ([^\x01]+)\x01\x01$", base64.b64decode(response).decode()).group(1)

    def dialogue(self, talk):
        talk.secure(self.words)
        mechanism, token = self.token_of(talk.hear("AUTH"))
        if self.provider.valid(token) != ROBOT:
            self.refused += 1
            error = {"status": "401", "schemes": "bearer", "scope": "https://mail.cloud.example/"}
            talk.say("334 " + base64.b64encode(json.dumps(error).encode()).decode())
            self.answers.append((mechanism, talk.line()))
            talk.say("535 5.7.8 Username and Password not accepted")
            talk.rest()
        talk.say("235 2.7.0 Accepted")
        while True:
            line = talk.line()
            if line.startswith("DATA"):
                talk.say("354 go")
                self.taken.append(talk.body())
                talk.say("250 2.0.0 OK")
            else:
                talk.say("221 bye" if line.startswith("QUIT") else "250 ok")


def cloudy(make_server, provider, tmp_path, mechanism=None, **options):
    server = make_server(start=False)
    cloud = Cloud(server.authority, provider)
    url = f"smtp://localhost:{cloud.port}"
    server = with_provider(make_server, provider, url, mechanism, server.authority, **options)
    return server, cloud, url


@pytest.mark.parametrize("mechanism,answer", [("XOAUTH2", ""), ("OAUTHBEARER", "AQ==")])
def test_a_token_that_is_refused(make_server, provider, tmp_path, mechanism, answer):
    """The server says no: the error dance is danced, a fresh token is tried once, then the account is paused."""
    server, cloud, _ = cloudy(make_server, provider, tmp_path, mechanism)
    cloud.provider = type("Nobody", (), {"valid": staticmethod(lambda token: None)})
    submit(server)
    waiting = wait_waiting(server, ("paused",), "535")
    assert "401" in waiting["reason"], waiting
    assert cloud.answers and set(cloud.answers) == {(mechanism, answer)}
    assert cloud.refused <= 2, "a paused account was tried again"
    assert account(server)["paused"], account(server)
    cloud.provider = provider
    server.run("queue", "retry", "--all")
    wait_for(lambda: len(cloud.taken) == 1, lambda: f"the mail to arrive\n{server.log_text()[-3000:]}")
    wait_empty(server)
    check_no_secret(server, provider)
    cloud.close()


def test_expiry_between_two_messages(make_server, provider, tmp_path):
    """Tokens of some seconds: each login has a living one, and the session that is logged in goes on."""
    provider.expires_in = 4
    server, cloud, _ = cloudy(make_server, provider, tmp_path)
    for i in range(8):
        submit(server, subject=f"number {i}")
        wait_for(lambda: len(cloud.taken) == i + 1, lambda: f"message {i}\n{server.log_text()[-3000:]}")
        for talk in cloud.talks[:-1] if i % 2 else cloud.talks:
            talk.hang_up()
        if i == 3:
            provider.expire()
    assert cloud.refused <= 2, cloud.refused
    assert server.messages("anna") == [] and "paused" not in server.log_text()
    wait_empty(server)
    cloud.close()


def test_renewed_ahead_of_expiry(make_server, provider, tmp_path):
    """Without any mail: a new token is there before the old one ends, again and again, and each refresh token once."""
    provider.expires_in = 34  # renewed 30 s ahead, and a random part earlier
    server, cloud, _ = cloudy(make_server, provider, tmp_path)
    provider.wait_count("refresh_token", 3, seconds=60)
    alive = [t for t in provider.tokens.values() if t.alive()]
    assert alive and all(r.status == 200 for r in provider.requests), provider.requests
    assert account(server)["token"]["state"] in ("valid", "renewing", "obtaining")
    submit(server)
    wait_for(lambda: cloud.taken, "the mail to arrive")
    cloud.close()


def test_kept_across_restarts(make_server, provider, tmp_path):
    """The access token is used again after a restart; a refresh token that was rotated is the new one after kill -9."""
    server, cloud, _ = cloudy(make_server, provider, tmp_path)
    submit(server)
    wait_for(lambda: len(cloud.taken) == 1, lambda: f"the first\n{server.log_text()[-3000:]}")
    server.stop()
    server.start()
    submit(server)
    wait_for(lambda: len(cloud.taken) == 2, "the second")
    assert provider.count["refresh_token"] == 1, "the token was good for an hour"
    server.kill()
    provider.expire()
    server.start()
    submit(server)
    wait_for(lambda: len(cloud.taken) == 3, lambda: f"the third\n{server.log_text()[-3000:]}")
    assert provider.count["refresh_token"] == 2 and not [r for r in provider.requests if r.status >= 400]
    cloud.close()


def test_a_revoked_account(make_server, provider, tmp_path):
    """The refresh token is refused: mail stays, one alert says why, list and status show it; a new login mends it."""
    provider.expires_in = 4
    server, cloud, url = cloudy(make_server, provider, tmp_path)
    submit(server)
    wait_for(lambda: cloud.taken, "the first")
    provider.revoke()
    provider.refuse_description = "Token has been expired or revoked."
    server.wait_log(r'warning.*account "?cloud.*(invalid_grant|revoked)', 30)
    for talk in cloud.talks:
        talk.hang_up()
    submit(server)
    waiting = wait_waiting(server, ("paused",), "invalid_grant")
    assert "revoked" in waiting["reason"] or "invalid_grant" in waiting["reason"]
    shown = account(server)
    assert shown["token"]["state"] == "refused" and "invalid_grant" in shown["token"]["reason"], shown
    status = server.json("status")
    assert any(a["name"] == "cloud" and "invalid_grant" in (a["reason"] or "") for a in status["accounts"]), status
    assert "cloud" in server.run("status").stdout
    alerts = [l for l in server.log_text().splitlines() if "cloud" in l and "warning" in l and "invalid_grant" in l]
    assert len(alerts) == 1, alerts
    assert server.messages("anna") == [], "nothing may be bounced"
    provider.expires_in = 3600
    add_account(server, provider, url, None, None, "--replace")
    wait_for(lambda: len(cloud.taken) == 2, lambda: f"the mail to follow\n{server.log_text()[-3000:]}", 30)
    wait_empty(server)
    check_no_secret(server, provider)
    cloud.close()


def test_the_provider_is_down(make_server, provider, tmp_path):
    """Nobody answers: mail waits with that reason, other mail goes on, and it follows by itself."""
    provider.down()
    server, cloud, _ = cloudy(make_server, provider, tmp_path)
    submit(server)
    wait_waiting(server, ("paused", "deferred"), r"127\.0\.0\.1|refused|connect")
    begun = time.monotonic()
    submit(server, "carl@example.org")
    server.wait_messages(1, "carl")
    assert time.monotonic() - begun < 10
    provider.up()
    server.run("queue", "retry", "--all")
    wait_for(lambda: cloud.taken, lambda: f"the mail to follow\n{server.log_text()[-3000:]}", 60)
    wait_empty(server)
    assert server.messages("anna") == []
    cloud.close()


def test_a_hanging_endpoint_delays_no_login(make_server, provider, tmp_path):
    provider.hang = True
    server, cloud, _ = cloudy(make_server, provider, tmp_path)
    submit(server)
    provider.wait_count("refresh_token")
    times = []
    for _ in range(5):
        begun = time.monotonic()
        server.smtp(login=ANNA).quit()
        times.append(time.monotonic() - begun)
    assert max(times) < 3, times
    provider.hang = False
    provider.release()
    server.run("queue", "retry", "--all")
    wait_for(lambda: cloud.taken, lambda: f"the mail to follow\n{server.log_text()[-3000:]}", 60)
    cloud.close()


@pytest.mark.parametrize("kind", ["name", "expired", "self"])
def test_a_provider_with_a_bad_certificate(make_server, provider, tmp_path, kind):
    """No secret goes to somebody who is not the provider."""
    provider.certificate(kind)
    server, cloud, _ = cloudy(make_server, provider, tmp_path)
    submit(server)
    wait_waiting(server, ("paused", "deferred"), r"certificate|name|self")
    assert provider.requests == []
    cloud.close()


def test_client_credentials_with_a_certificate(make_server, provider, tmp_path):
    """No person at all: the client proves itself by a signed assertion."""
    key, certificate = provider.client_key("rsa")
    file = provider.file("client_credentials", client_secret=None, private_key=str(key), certificate=str(certificate))
    server, cloud, _ = cloudy(make_server, provider, tmp_path, file=file)
    submit(server)
    wait_for(lambda: cloud.taken, lambda: f"the mail to arrive\n{server.log_text()[-3000:]}")
    assert provider.count["client_credentials"] == 1 and provider.assertions
    cloud.close()


def test_a_long_token(make_server, provider, tmp_path):
    """Microsoft's tokens have some thousand bytes: more than a command line holds, so it waits for the 334."""
    server = make_server(start=False)

    class Long(Cloud):
        def dialogue(self, talk):
            talk.secure(self.words)
            assert talk.hear("AUTH") == "AUTH XOAUTH2"
            talk.say("334 ")
            got = base64.b64decode(talk.line()).decode()
            talk.say("235 2.7.0 Accepted" if got == f"user={ROBOT}\x01auth=Bearer {'t' * 6000}\x01\x01" else "535 no")
            while True:
                line = talk.line()
                if line.startswith("DATA"):
                    talk.say("354 go")
                    self.taken.append(talk.body())
                talk.say("250 ok")

    cloud = Long(server.authority, provider, "AUTH XOAUTH2")
    provider.answer = (200, json.dumps({"access_token": "t" * 6000, "token_type": "Bearer", "expires_in": 3600}).encode())
    server = with_provider(make_server, provider, f"smtp://localhost:{cloud.port}", None, server.authority)
    submit(server)
    wait_for(lambda: cloud.taken, lambda: f"the mail to arrive\n{server.log_text()[-3000:]}")
    cloud.close()
