"""postern send: tokens, client certificates, pins, every mechanism, refusals, and what the trace tells."""

import base64
import json
import re
import ssl
import subprocess

import pytest
from peers import Dovecot, Postfix, missing
from postern import POSTERN, Authority, message
from script import Script, server_context

FROM, TO = "anna@example.org", "bob@example.net"
TOKEN = "ya29.vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg" + "x" * 3000
PASSWORD = "s3cret of the test"
XOAUTH2_ERROR = {"status": "401", "schemes": "bearer mac", "scope": "https://mail.google.com/"}
BEARER_ERROR = {"status": "invalid_token", "scope": "mail-w", "openid-configuration": "https://op.example/"}


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


class Done:
    def __init__(self, server, *args, stdin=b"", host="localhost"):
        data = stdin if isinstance(stdin, bytes) else stdin.encode()
        done = subprocess.run([str(POSTERN), "send", "--server", f"{host}:{server.port}", "--from", FROM, "--to", TO,
                               *map(str, args)], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        self.status, self.out, self.err = done.returncode, done.stdout.decode(), done.stderr.decode()

    def check(self, status):
        assert self.status == status, self.out + self.err
        return self


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def good(authority):
    return server_context(*authority.issue("good"))


@pytest.fixture
def serve(good, authority):
    """serve(play, **kinds) is a Script by STARTTLS; its .taken are the messages."""
    scripts = []

    def make(play, **kinds):
        script = Script(play, **(kinds or {"starttls": good}))
        script.taken, script.ca = [], ("--ca", authority.ca)
        scripts.append(script)
        return script
    yield make
    for script in scripts:
        script.close()


def take(talk, rcpt=lambda line: "250 ok", dot="250 2.0.0 queued as 4711"):
    """One message, and QUIT."""
    while True:
        line = talk.line()
        verb = line.split(" ")[0].upper()
        if verb == "RCPT":
            talk.say(rcpt(line))
        elif verb == "DATA":
            talk.say("354 go")
            talk.server.taken.append(talk.body())
            talk.say(dot)
        elif verb == "QUIT":
            talk.say("221 bye")
            talk.close()
        else:
            talk.say("250 ok")


# ---- tokens ----

def by_token(mechanism, refusal=None):
    """Takes TOKEN, or refuses it with JSON as providers do."""
    wanted = {"XOAUTH2": f"user={FROM}\1auth=Bearer {TOKEN}\1\1",
              "OAUTHBEARER": re.compile(f"n,a={FROM},\1(host=localhost\1)(port=\\d+\1)?auth=Bearer {re.escape(TOKEN)}\1\1")}

    def play(talk):
        talk.secure(f"AUTH {mechanism} PLAIN", "8BITMIME")
        line = talk.hear("AUTH")
        assert line.split(" ")[1] == mechanism
        if len(line.split(" ")) == 2:       # too long for the command's line
            talk.say("334 ")
            response = talk.line()
        else:
            response = line.split(" ")[2]
        response = base64.b64decode(response).decode()
        want = wanted[mechanism]
        assert want.fullmatch(response) if hasattr(want, "fullmatch") else want == response
        if refusal:
            talk.say(f"334 {b64(json.dumps(refusal))}")
            talk.server.dummy = talk.line()
            talk.say("535 5.7.8 Username and Password not accepted")
            talk.server.after = talk.line()
            talk.say("221 bye")
            return
        talk.say("235 2.7.0 Accepted")
        take(talk)
    return play


@pytest.mark.parametrize("auth", [(), ("--auth",)])
@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_a_token(serve, mechanism, auth):
    server = serve(by_token(mechanism))
    done = Done(server, *server.ca, "--user", FROM, "--token-stdin", "--trace", *auth, *([mechanism] if auth else []),
                stdin=f"{TOKEN}\n".encode() + message("by token")).check(0)
    assert len(server.taken) == 1 and "Subject: by token" in server.taken[0]
    assert f"-- logged in by {mechanism}" in done.err
    for secret in (TOKEN, TOKEN[:40], b64(f"user={FROM}\1auth=Bearer {TOKEN}\1\1")[:60]):
        assert secret not in done.out + done.err


@pytest.mark.parametrize("mechanism, refusal, words", [
    ("XOAUTH2", XOAUTH2_ERROR, ["401", "https://mail.google.com/"]),
    ("OAUTHBEARER", BEARER_ERROR, ["invalid_token", "mail-w"]),
])
def test_a_refused_token_tells_why(serve, mechanism, refusal, words):
    server = serve(by_token(mechanism, refusal))
    done = Done(server, *server.ca, "--user", FROM, "--token-stdin", stdin=f"{TOKEN}\n".encode() + message()).check(1)
    assert "535 5.7.8 Username and Password not accepted" in done.err
    assert all(word in done.err for word in words), done.err
    assert '{"' not in done.err, "decoded, not as it came"
    assert server.dummy == ("" if mechanism == "XOAUTH2" else "AQ=="), "the empty answer, or 0x01"
    assert server.after == "QUIT" and not server.taken


def test_a_token_goes_over_verified_tls_only(serve, authority):
    clear = serve(lambda talk: (talk.hello("AUTH XOAUTH2 PLAIN"), talk.rest()))
    done = Done(clear, "--user", FROM, "--token-stdin", stdin=f"{TOKEN}\n".encode() + message()).check(75)
    assert "STARTTLS" in done.err and not any("AUTH" in line for line in clear.heard)
    server = serve(by_token("XOAUTH2"))
    done = Done(server, "--user", FROM, "--token-stdin", stdin=f"{TOKEN}\n".encode() + message()).check(1)
    assert "certificate" in done.err and not any("AUTH" in line for line in server.heard)


def test_an_empty_and_an_endless_token(serve):
    server = serve(by_token("XOAUTH2"))
    for token, hint in ((b"\n", "empty"), (b"t" * 10000 + b"\n", "longer than 8192")):
        done = Done(server, *server.ca, "--user", FROM, "--token-stdin", stdin=token + message()).check(1)
        assert "the token is" in done.err and hint in done.err
    assert not server.heard


# ---- refusals ----

def refuses(reply):
    def play(talk):
        talk.secure("AUTH PLAIN LOGIN CRAM-MD5")
        talk.hear("AUTH CRAM-MD5")
        talk.say(f"334 {b64('<1.2@script>')}")
        talk.line()
        talk.say(reply)
        talk.server.after = talk.line()
        talk.say("221 bye")
    return play


@pytest.mark.parametrize("reply, status", [("535 5.7.8 no", 1), ("454 4.7.0 later", 75), ("432 4.7.12 change it", 75)])
def test_a_refused_password_ends_with_quit_and_tries_nothing_weaker(serve, reply, status):
    server = serve(refuses(reply))
    done = Done(server, *server.ca, "--user", FROM, "--password-stdin", "--trace",
                stdin=f"{PASSWORD}\n".encode() + message()).check(status)
    assert reply in done.err and server.after == "QUIT", done.err
    assert len([line for line in server.heard if line.startswith("AUTH")]) == 1
    assert "C: QUIT" in done.err and "S: 221 bye" in done.err
    assert PASSWORD not in done.err


def test_a_mechanism_turned_down_makes_place_for_the_next(serve):
    def play(talk):
        talk.secure("AUTH PLAIN CRAM-MD5")
        talk.hear("AUTH CRAM-MD5")
        talk.say("504 5.5.4 not that one")
        talk.hear("AUTH PLAIN")
        talk.say("235 2.7.0 ok")
        take(talk)
    server = serve(play)
    done = Done(server, *server.ca, "--user", FROM, "--password-stdin", "--trace",
                stdin=f"{PASSWORD}\n".encode() + message()).check(0)
    assert "-- logging in by CRAM-MD5: " in done.err and "-- logging in by PLAIN: " in done.err
    assert "not usable here: CRAM-MD5" in " ".join(done.err.split())


def test_no_mechanism_that_can_be_used(serve):
    server = serve(lambda talk: (talk.secure("AUTH NTLM GSSAPI"), talk.hear("QUIT"), talk.say("221 bye")))
    done = Done(server, *server.ca, "--user", FROM, "--password-stdin", stdin=f"{PASSWORD}\n".encode() + message())
    assert done.check(1) and "no mechanism" in done.err and "QUIT" in server.heard


def test_a_handshake_that_fails_is_tried_later(serve):
    def play(talk):
        talk.hello("STARTTLS")
        talk.hear("STARTTLS")
        talk.say("220 go")
        talk.line()
        talk.raw(b"no TLS at all\r\n")
    assert "TLS failed" in Done(serve(play), stdin=message()).check(75).err


# ---- client certificates and pins ----

def client_context(authority, demand):
    context = server_context(*authority.issue("wants"))
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED if demand else ssl.CERT_OPTIONAL
    return context


def by_certificate(*offer, says="235 2.7.0 ok"):
    def play(talk):
        talk.secure(*offer)
        talk.server.certificate = talk.sock.getpeercert()
        if "AUTH" in " ".join(offer):
            talk.server.auth = talk.hear("AUTH")
            talk.say(says)
        take(talk)
    return play


def name_of(certificate):
    return dict(pair for rdn in certificate["subject"] for pair in rdn)["commonName"] if certificate else None


@pytest.mark.parametrize("user, said", [((), "AUTH EXTERNAL ="),
                                        (("--user", "carl", "--auth", "EXTERNAL"), f"AUTH EXTERNAL {b64('carl')}")])
def test_external(serve, authority, user, said):
    cert, key = authority.issue("robot")
    server = serve(by_certificate("AUTH PLAIN EXTERNAL"), starttls=client_context(authority, True))
    done = Done(server, *server.ca, "--cert", cert, "--key", key, *user, "--trace", stdin=message()).check(0)
    assert name_of(server.certificate) == "robot" and server.auth == said
    assert "-- logged in by EXTERNAL" in done.err and len(server.taken) == 1


def test_a_certificate_without_external_needs_no_login(serve, authority):
    cert, key = authority.issue("robot")
    server = serve(by_certificate("8BITMIME"), starttls=client_context(authority, True))
    done = Done(server, *server.ca, "--cert", cert, "--key", key, "--trace", stdin=message()).check(0)
    assert name_of(server.certificate) == "robot" and not any(line.startswith("AUTH") for line in server.heard)
    assert "does not offer EXTERNAL" in done.err and len(server.taken) == 1


def test_external_asked_for_is_not_done_without(serve, authority):
    cert, key = authority.issue("robot")
    server = serve(by_certificate("8BITMIME"), starttls=client_context(authority, True))
    Done(server, *server.ca, "--cert", cert, "--key", key, "--auth", "EXTERNAL", stdin=message()).check(1)
    assert not server.taken and not any(line.startswith("MAIL") for line in server.heard)


def test_a_password_beside_a_certificate(serve, authority):
    cert, key = authority.issue("robot")
    server = serve(by_certificate("AUTH PLAIN EXTERNAL"), starttls=client_context(authority, True))
    Done(server, *server.ca, "--cert", cert, "--key", key, "--user", FROM, "--password-stdin",
         stdin=f"{PASSWORD}\n".encode() + message()).check(0)
    assert server.auth == "AUTH PLAIN " + b64(f"\0{FROM}\0{PASSWORD}")


def test_files_that_are_no_pair(serve, authority, tmp_path):
    cert, key = authority.issue("robot")
    _, other = authority.issue("other")
    server = serve(by_certificate("8BITMIME"), starttls=client_context(authority, False))
    assert "key" in Done(server, *server.ca, "--cert", cert, "--key", other, stdin=message()).check(1).err
    assert "No such file" in Done(server, "--cert", cert, "--key", tmp_path / "none", stdin=message()).check(1).err
    assert not server.taken


def test_a_pin_stands_for_authority_and_name(serve, authority, tmp_path):
    pair = Authority(tmp_path / "unknown").issue("peer", "DNS:other.example")
    der = subprocess.run(f"openssl x509 -in {pair[0]} -noout -pubkey | openssl pkey -pubin -outform DER | "
                         "openssl dgst -sha256 -r", shell=True, check=True, capture_output=True, text=True).stdout.split()[0]
    server = serve(lambda talk: (talk.secure("8BITMIME"), take(talk)), starttls=server_context(*pair))
    assert "certificate" in Done(server, stdin=message()).check(1).err
    done = Done(server, "--pin", f"sha256:{der}", "--trace", stdin=message()).check(0)
    assert "certificate as pinned" in done.err and len(server.taken) == 1
    wrong = "".join("0" if c != "0" else "1" for c in der)
    assert "pin" in Done(server, "--pin", f"sha256:{wrong}", stdin=message()).check(1).err
    assert "pin" in Done(server, "--pin", f"sha256:{wrong}", "--insecure", stdin=message()).check(1).err
    assert len(server.taken) == 1


# ---- mechanisms of a library ----

def has(mechanism):
    text = subprocess.run([str(POSTERN), "send", "--server", "localhost:1", "--auth", mechanism, "--user", "u",
                           "--password-stdin", "--from", FROM, "--to", TO], input="x\n", text=True,
                          capture_output=True).stderr
    return "not available in this build" not in text


@pytest.mark.skipif(missing("postfix", "dovecot") is not None, reason=str(missing("postfix", "dovecot")))
@pytest.mark.skipif(not has("DIGEST-MD5"), reason="built without libgsasl")
def test_digest_md5_at_a_real_server(tmp_path, authority):
    with Dovecot(tmp_path / "dovecot", {"carol": "the password"}, ("PLAIN", "DIGEST-MD5")) as dovecot, \
            Postfix(tmp_path / "postfix", authority, dovecot.auth) as postfix:
        postfix.port = postfix.starttls
        args = ("--ca", authority.ca, "--user", "carol", "--password-stdin", "--auth", "DIGEST-MD5", "--trace")
        done = Done(postfix, *args, stdin=b"the password\n" + message("by digest"))
        wrong = Done(postfix, *args, stdin=b"another\n" + message())
        log = postfix.log()
    assert done.status == 0 and "-- logged in by DIGEST-MD5" in done.err, done.err
    assert "the password" not in done.err
    assert "sasl_method=DIGEST-MD5, sasl_username=carol" in log
    assert wrong.status == 1 and "535" in wrong.err


@pytest.mark.skipif(not has("GSSAPI"), reason="built without libgsasl, or without Kerberos")
def test_gssapi_without_a_ticket(serve):
    server = serve(lambda talk: (talk.secure("AUTH GSSAPI"), talk.hear("QUIT"), talk.say("221 bye")))
    done = Done(server, *server.ca, "--auth", "GSSAPI", stdin=message())
    assert done.status in (1, 75) and not server.taken and "AUTH" in done.err, done.err


# ---- messages ----

@pytest.mark.parametrize("auth", ["none", "EXTERNAL"])
def test_a_password_that_nobody_asks_for_does_not_become_the_message(serve, authority, auth):
    cert, key = authority.issue("robot")
    server = serve(by_certificate(*["AUTH EXTERNAL"] * (auth != "none"), "8BITMIME"),
                   starttls=client_context(authority, False))
    for option, secret in (("--password-stdin", PASSWORD), ("--token-stdin", TOKEN)):
        done = Done(server, *server.ca, "--cert", cert, "--key", key, "--user", FROM, "--auth", auth, option,
                    stdin=f"{secret}\n".encode() + b"Subject: x\n\ny\n").check(0)
        assert server.taken[-1] == ["Subject: x", "", "y"] and secret not in done.out + done.err


@pytest.mark.parametrize("text, lines", [
    (b"Subject: dots\n\n.\n..\n.x\n", ["Subject: dots", "", "..", "...", "..x"]),
    (b"Subject: no end\n\nlast", ["Subject: no end", "", "last"]),
    (b"Subject: crlf\r\n\r\nx\r\n", ["Subject: crlf", "", "x"]),
    (b"", []),
])
def test_messages_arrive_as_they_are(serve, text, lines):
    server = serve(lambda talk: (talk.secure("PIPELINING"), take(talk)))
    done = Done(server, *server.ca, stdin=text).check(0)
    assert server.taken == [lines]
    assert done.out == "accepted: 250 2.0.0 queued as 4711\n"


def test_a_long_line_is_sent_with_a_warning(serve):
    server = serve(lambda talk: (talk.secure("PIPELINING"), take(talk)))
    done = Done(server, *server.ca, stdin=b"Subject: long\n\n" + b"x" * 998 + b"\n").check(0)
    assert done.err == ""
    done = Done(server, *server.ca, stdin=b"Subject: long\n\n" + b"x" * 999 + b"\r\n" + b"y" * 5000).check(0)
    assert "line 3 and others of the message" in done.err and "998" in done.err
    assert server.taken[-1][2:] == ["x" * 999, "y" * 5000]


def test_size_counts_what_goes_over_the_wire(serve):
    server = serve(lambda talk: (talk.secure("SIZE 1000"), take(talk)))
    Done(server, *server.ca, stdin=b"a: b\n\nx\ry").check(0)
    mail = next(line for line in server.heard if line.startswith("MAIL"))
    assert f"SIZE={len(b'a: b' + b'..' + b'..' + b'x..y..')}" in mail


def test_of_several_recipients_one_is_refused(serve):
    def rcpt(line):
        return "550 5.1.1 unknown" if "carl" in line else "451 4.3.0 later" if "dora" in line else "250 ok"
    server = serve(lambda talk: (talk.secure("PIPELINING"), take(talk, rcpt)))
    done = Done(server, *server.ca, "--to", "carl@example.net", stdin=message()).check(1)
    assert "recipient carl@example.net refused: 550 5.1.1 unknown" in done.err
    assert done.out == "accepted for 1 of 2 recipients: 250 2.0.0 queued as 4711\n"
    done = Done(server, *server.ca, "--to", "dora@example.net", stdin=message()).check(75)
    assert "dora@example.net refused: 451" in done.err and len(server.taken) == 2
    done = Done(server, *server.ca, "--to", "carl@example.net", "--to", "dora@example.net", stdin=message()).check(1)


# ---- the trace ----

def test_the_trace_tells_of_tls_and_the_choice(serve):
    server = serve(lambda talk: (talk.secure("AUTH PLAIN LOGIN"), talk.hear("AUTH"), talk.say("235 ok"), take(talk)))
    done = Done(server, *server.ca, "--user", FROM, "--password-stdin", "--trace",
                stdin=f"{PASSWORD}\n".encode() + message()).check(0)
    lines = done.err.splitlines()
    assert lines[0].startswith(f"-- connected to 127.0.0.1:{server.port}")
    assert any(re.match(r"-- TLS TLSv1\.3 \S+, certificate verified, channel binding tls-exporter", x) for x in lines)
    assert "-- logging in by PLAIN: the strongest usable one offered that a password serves" in lines
    assert "C: AUTH PLAIN [initial response]" in lines and "-- logged in by PLAIN" in lines
    for secret in (PASSWORD, b64(PASSWORD), b64(f"\0{FROM}\0{PASSWORD}")):
        assert secret not in done.err
    done = Done(server, "--insecure", "--user", FROM, "--password-stdin", "--trace",
                stdin=f"{PASSWORD}\n".encode() + message()).check(0)
    assert re.search(r"certificate not demanded to verify: .+", done.err)
