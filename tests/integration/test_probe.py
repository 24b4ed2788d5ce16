"""postern probe: what it finds at real servers and at bad ones, and what it never does."""

import json
import re
import ssl
import subprocess
import time

import pytest
from peers import Dovecot, Postfix, missing
from postern import POSTERN, Authority, Server, free_ports
from script import Script, server_context

GOOD = ("PIPELINING", "SIZE 1000000", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES",
        "AUTH SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN")
ALLOWED = re.compile(r"(EHLO|HELO) \S+$|STARTTLS$|NOOP$|QUIT$")


class Probe:
    def __init__(self, *args, seconds=60):
        started = time.monotonic()
        self.done = subprocess.run([str(POSTERN), "probe", *map(str, args)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, timeout=seconds)
        self.seconds = time.monotonic() - started
        self.status, self.out, self.err = self.done.returncode, self.done.stdout, self.done.stderr

    @property
    def json(self):
        return json.loads(self.out)

    def codes(self, level=None):
        return {f["code"] for f in self.json["findings"] if level in (None, f["level"])}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def good(authority):
    return server_context(*authority.issue("good", days=60))


def decent(*words, before=("STARTTLS",), greeting="220 script.example ESMTP"):
    """Answers all that a probe asks; what comes in clear behind STARTTLS is dropped."""
    def play(talk):
        talk.say(greeting)
        while True:
            verb = talk.line().split(" ")[0].upper()
            offer = ("script.example", *(words or GOOD if talk.tls else before))
            if verb == "EHLO":
                talk.say(*[f"250-{w}" for w in offer[:-1]], f"250 {offer[-1]}")
            elif verb == "STARTTLS":
                talk.say("220 go")
                talk.handshake()
            elif verb == "QUIT":
                talk.say("221 bye")
                talk.close()
            else:
                talk.say("250 ok")
    return play


def probe(server, *args, authority=None, host="localhost"):
    ca = ["--ca", authority.ca] if authority else []
    return Probe(f"{host}:{server.port}", *ca, *args)


# ---- decent servers ----

def test_a_good_server_has_no_findings(authority, good):
    with Script(decent(), starttls=good) as server:
        done = probe(server, "--json", authority=authority)
        text = probe(server, authority=authority)
    assert done.status == 0, done.out + done.err
    answer = done.json
    assert answer["findings"] == [] and answer["error"] is None
    assert answer["mode"] == "starttls" and answer["address"] == "127.0.0.1" and answer["port"] == server.port
    assert answer["before"]["extensions"] == [{"keyword": "STARTTLS", "parameters": "", "known": True}]
    assert answer["before"]["mechanisms"] == []
    assert [m["name"] for m in answer["after"]["mechanisms"]] == ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "PLAIN"]
    assert answer["limits"] == {"size": 1000000, "mails": None, "recipients": None, "domains": None}
    tls = answer["tls"]
    assert tls["verified"] is True and tls["reason"] is None and tls["version"] == "TLSv1.3"
    assert tls["versions"] == {"1.0": "refused", "1.1": "refused", "1.2": "accepted", "1.3": "accepted"}
    assert tls["injection"] == "ignored"
    leaf = tls["chain"][0]
    assert "localhost" in leaf["names"] and leaf["days_left"] in (59, 60)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", leaf["pin"]) and leaf["key_bits"] == 256
    assert text.status == 0 and "0 bad, 0 warnings, 0 notes" in text.out
    assert max(len(line) for line in text.out.splitlines() if "sha256:" not in line) <= 78
    assert server.heard and all(ALLOWED.match(line) for line in server.heard), server.heard


def test_it_sends_no_mail_and_never_logs_in(authority, good):
    everything = (*GOOD, "AUTH=LOGIN", "VRFY", "EXPN", "ETRN", "XCLIENT NAME", "STARTTLS")
    with Script(decent(*everything, before=everything), starttls=good) as server:
        assert probe(server, authority=authority).status == 1
    assert {line.split(" ")[0] for line in server.heard} == {"EHLO", "STARTTLS", "QUIT"}
    assert len(server.talks) <= 6


def test_tls_from_the_first_byte(authority, good):
    with Script(decent(), implicit=good) as server:
        done = probe(server, "--tls", "implicit", "--json", authority=authority)
    assert done.status == 0, done.out + done.err
    assert done.json["before"] is None and done.json["after"]["hello"] == "script.example"
    assert done.json["tls"]["injection"] is None


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("own"))
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
def test_postern_itself(own, mode):
    port = {"starttls": own.starttls, "implicit": own.implicit}[mode]
    done = Probe(f"localhost:{port}", "--tls", mode, "--ca", own.authority.ca, "--json")
    assert done.status == 0, done.out + done.err
    assert done.json["tls"]["verified"] and done.json["tls"]["injection"] in (None, "ignored", "refused")
    assert done.json["tls"]["versions"]["1.1"] == "refused" and done.json["tls"]["versions"]["1.3"] == "accepted"
    assert not done.codes("bad") and "old-tls" not in done.codes()
    assert done.json["limits"]["recipients"] > 0
    assert not own.messages() and own.run("queue", "list", "--json").stdout.strip() == "[]"


def test_postern_without_tls(own):
    done = Probe(f"localhost:{own.plain}", "--json")
    assert done.json["tls"] is None and "no-starttls" in done.codes(), done.out
    assert done.status == (1 if done.json["before"]["mechanisms"] else 0)


@pytest.mark.skipif(missing("postfix", "dovecot") is not None, reason=str(missing("postfix", "dovecot")))
def test_postfix(tmp_path, authority):
    with Dovecot(tmp_path / "dovecot", {"carol@example.net": "secret"}) as dovecot, \
            Postfix(tmp_path / "postfix", authority, dovecot.auth) as postfix:
        done = Probe(f"localhost:{postfix.starttls}", "--ca", authority.ca, "--json")
        alien = Probe(f"127.0.0.2:{postfix.starttls}", "--json")
        implicit = Probe(f"localhost:{postfix.implicit}", "--tls", "implicit", "--ca", authority.ca, "--json")
        log = postfix.log()
    assert done.status == 0 and not done.codes("bad"), done.out + done.err
    assert done.json["greeting"].endswith("ESMTP Postfix") and done.json["before"]["hello"] == "postfix.example.net"
    assert done.json["before"]["mechanisms"] == [], "smtpd_tls_auth_only"
    assert "PLAIN" in [m["name"] for m in done.json["after"]["mechanisms"]]
    assert done.json["tls"]["injection"] in ("ignored", "refused")
    assert {"etrn", "vrfy"} & done.codes("note")
    assert implicit.json["tls"]["verified"]
    assert alien.status == 75 or "certificate-wrong-name" in alien.codes("bad")
    assert "client=" not in log and "sasl_method" not in log, "no mail and no login"


# ---- bad servers ----

def certificate(authority, folder, *request, sign=()):
    """(certificate, key) of an odd kind, for localhost."""
    key, csr, cert, ext = (folder / f"odd.{kind}" for kind in ("key", "csr", "pem", "ext"))
    ext.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for command in (["req", *request, "-nodes", "-keyout", key, "-out", csr, "-subj", "/CN=odd"],
                    ["x509", "-req", "-in", csr, "-CA", authority.ca, "-CAkey", authority.key, "-CAcreateserial",
                     "-out", cert, "-days", "60", "-extfile", ext, *sign]):
        subprocess.run(["openssl", *map(str, command)], check=True, capture_output=True)
    return cert, key


@pytest.mark.parametrize("kind, code, level, status", [
    ("expired", "certificate-expired", "bad", 1),
    ("soon", "certificate-expires", "warning", 0),
    ("name", "certificate-wrong-name", "bad", 1),
    ("stranger", "certificate-unverified", "bad", 1),
    ("short", "short-key", "bad", 1),
    ("sha1", "weak-signature", "bad", 1),
])
def test_certificates(tmp_path, authority, kind, code, level, status):
    pair = {
        "expired": lambda: authority.issue("expired", days=-1),
        "soon": lambda: authority.issue("soon", days=15),
        "name": lambda: authority.issue("name", "DNS:other.example"),
        "stranger": lambda: Authority(tmp_path / "stranger").issue("stranger"),
        "short": lambda: certificate(authority, tmp_path, "-newkey", "rsa:1024"),
        "sha1": lambda: certificate(authority, tmp_path, "-newkey", "rsa:2048", sign=("-sha1",)),
    }[kind]()
    context = weak_context(*pair)
    with Script(decent(), starttls=context) as server:
        done = probe(server, "--json", authority=authority)
        text = probe(server, authority=authority)
    assert code in done.codes(level), done.out
    assert done.status == text.status == status
    assert f"[{code}]" in " ".join(text.out.split())
    if kind not in ("soon", "short", "sha1"):
        assert done.json["tls"]["verified"] is False and done.json["tls"]["reason"]


def weak_context(certificate_file, key):
    """A server that serves keys and signatures which OpenSSL's usual level refuses, and old TLS too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(certificate_file, key)
    return context


def test_a_self_signed_certificate(tmp_path):
    cert, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "60", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    with Script(decent(), starttls=server_context(cert, key)) as server:
        unknown = probe(server, "--json")
        trusted = Probe(f"localhost:{server.port}", "--ca", cert, "--json")
    assert unknown.codes("bad") == {"certificate-self-signed"} and unknown.status == 1
    assert trusted.status == 0 and trusted.json["findings"] == [] and trusted.json["tls"]["chain"][0]["self_signed"]


def test_old_tls(authority):
    context = weak_context(*authority.issue("old"))
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_2
    with Script(decent(), starttls=context) as server:
        done = probe(server, "--json", authority=authority)
    versions = done.json["tls"]["versions"]
    assert versions["1.2"] == "accepted" and versions["1.3"] == "refused"
    assert "no-tls-1.3" in done.codes("note")
    for old in ("1.0", "1.1"):
        assert versions[old] in ("accepted", "not tried (our OpenSSL cannot)")
    assert ("old-tls" in done.codes("warning")) == ("accepted" in (versions["1.0"], versions["1.1"]))


def test_passwords_before_tls(authority, good):
    with Script(decent(before=("STARTTLS", "AUTH PLAIN LOGIN")), starttls=good) as server:
        done = probe(server, "--json", authority=authority)
    assert done.codes("bad") == {"plaintext-login-without-tls"} and done.status == 1
    assert "PLAIN, LOGIN" in done.json["findings"][0]["text"]


def test_no_tls_at_all():
    with Script(decent(before=GOOD)) as server:
        logins = probe(server, "--json")
        asked = probe(server, "--tls", "starttls", "--json")
        clear = probe(server, "--tls", "none", "--json")
    assert logins.status == asked.status == clear.status == 1
    assert "no-starttls" in logins.codes("bad") and "no-starttls" in asked.codes("bad")
    assert "no-starttls" not in clear.codes() and "STARTTLS" not in server.heard


def keeps_clear_bytes(talk):
    """Keeps over the handshake what came before it, as in CVE-2011-0411."""
    talk.say("220 script.example ESMTP")
    while True:
        line = talk.line()
        if line.startswith("EHLO"):
            talk.say("250-script.example", "250 STARTTLS" if not talk.tls else "250 AUTH PLAIN")
        elif line == "STARTTLS":
            talk.say("220 go")
            kept = talk.buffer
            talk.handshake()
            talk.buffer = kept
        elif line == "QUIT":
            talk.say("221 bye")
            return
        else:
            talk.say("250 2.0.0 executed")


def test_a_server_that_executes_clear_commands_inside_tls(authority, good):
    with Script(keeps_clear_bytes, starttls=good) as server:
        done = probe(server, "--json", authority=authority)
    assert done.json["tls"]["injection"] == "answered inside TLS"
    assert "starttls-injection" in done.codes("bad") and done.status == 1


def test_a_server_that_answers_them_in_clear(authority, good):
    def play(talk):
        talk.hello("STARTTLS")
        talk.hear("STARTTLS")
        if talk.buffer:
            talk.raw(b"220 go\r\n250 ok\r\n")
            talk.rest()
        talk.say("220 go")
        talk.handshake()
        talk.ehlo("PIPELINING")
        talk.hear("QUIT")
        talk.say("221 bye")
    with Script(play, starttls=good) as server:
        done = probe(server, "--json", authority=authority)
    assert done.json["tls"]["injection"] == "answered in clear" and "starttls-pipelined" in done.codes("warning")


def test_somebody_in_the_middle_of_starttls(authority, good):
    def play(talk):
        talk.hello("STARTTLS")
        talk.hear("STARTTLS")
        talk.raw(b"220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n")
        talk.rest()
    with Script(play, starttls=good) as server:
        done = probe(server, "--json", authority=authority)
    assert "bytes-behind-starttls" in done.codes("bad") and done.json["after"] is None and done.status == 1


def test_starttls_offered_and_refused(authority):
    def play(talk):
        talk.hello("STARTTLS")
        talk.hear("STARTTLS")
        talk.say("454 4.7.0 TLS not available")
        talk.rest()
    with Script(play) as server:
        done = probe(server, "--json")
        text = probe(server)
    assert "starttls-refused" in done.codes("bad") and done.status == 1
    assert "TLS not available" in text.out


def test_no_handshake():
    def play(talk):
        talk.hello("STARTTLS")
        talk.hear("STARTTLS")
        talk.say("220 go")
        talk.raw(b"this is no TLS record at all\r\n")
        talk.rest()
    with Script(play) as server:
        done = probe(server, "--json")
    assert done.codes("bad") & {"tls-failed", "bytes-behind-starttls"} and done.status == 1


@pytest.mark.parametrize("words, code, level", [
    (("AUTH CRAM-MD5",), "weak-login", "warning"),
    (("AUTH PLAIN NTLM",), "ntlm", "warning"),
    (("AUTH ANONYMOUS",), "anonymous-login", "bad"),
    (("AUTH PLAIN",), "no-scram", "note"),
    (("AUTH SCRAM-SHA-256",), "no-channel-binding", "note"),
    (("VRFY",), "vrfy", "note"),
    (("EXPN",), "expn", "warning"),
    (("TURN",), "turn", "warning"),
    (("ATRN",), "atrn", "warning"),
    (("ETRN",), "etrn", "note"),
    (("XCLIENT NAME ADDR",), "xclient", "warning"),
    (("STARTTLS",), "starttls-inside-tls", "warning"),
    (("AUTH=PLAIN",), "old-announcement", "note"),
    (("X-SPARE",), "no-pipelining", "note"),
    (("X-SPARE",), "no-dsn", "note"),
])
def test_what_is_offered_inside_tls(authority, good, words, code, level):
    with Script(decent(*words), starttls=good) as server:
        done = probe(server, "--json", authority=authority)
    assert code in done.codes(level), done.out
    assert done.status == (level == "bad")


def test_names(authority, good):
    def play(talk):
        talk.say("220 mail ESMTP Postfix 3.7.11 (Debian/GNU)")
        talk.hear("EHLO")
        talk.say("250-mail", "250 PIPELINING")
        talk.hear("QUIT")
        talk.say("221 bye")
    with Script(play) as server:
        done = probe(server, "--json")
    assert "banner-version" in done.codes("note") and "hello-name" in done.codes("warning")


def test_helo_only():
    def play(talk):
        talk.say("220 old.example")
        talk.hear("EHLO")
        talk.say("500 what?")
        talk.hear("HELO")
        talk.say("250 old.example")
        talk.rest()
    with Script(play) as server:
        done = probe(server, "--json")
    assert done.json["before"]["command"] == "HELO" and "no-ehlo" in done.codes("warning")


# ---- hostile servers ----

def test_nothing_of_a_server_reaches_the_terminal_as_it_is():
    evil = b"\x1b]0;owned\x07\xff\xe2\x80\xae"

    def play(talk):
        talk.raw(b"220 a.example " + evil + b"\r\n")
        talk.hear("EHLO")
        talk.raw(b"250-a.example " + evil + b"\r\n250-X" + evil + b" " + evil + b"\r\n250 AUTH P" + evil + b"\r\n")
        talk.rest()
    with Script(play) as server:
        for args in ((), ("--json",)):
            done = subprocess.run([POSTERN, "probe", f"localhost:{server.port}", *args], capture_output=True, timeout=60)
            assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", done.stdout + done.stderr), done.stdout
            done.stdout.decode()
            assert b"\xe2\x80\xae" not in done.stdout and b"x1b" in done.stdout


@pytest.mark.parametrize("data", [b"250-X" + b"y" * 65536 + b"\r\n", b"250-X-SPARE\r\n", b"250-" + b"z" * 100000])
def test_endless_replies_are_cut(data):
    def play(talk):
        talk.say("220 a.example")
        talk.hear("EHLO")
        talk.forever(data, seconds=30)
    with Script(play) as server:
        done = probe(server, "--json")
    assert done.status == 1 and "session-ended" in done.codes("bad")
    assert done.seconds < 15 and len(done.out) < 100000


def test_a_dripping_server_has_10_seconds_for_a_reply():
    def play(talk):
        talk.forever(b"2", pause=0.2, seconds=60)
    with Script(play) as server:
        done = probe(server, "--json")
    assert done.status == 75 and 8 < done.seconds < 15 and "greeting" in done.json["error"]


@pytest.mark.parametrize("greeting", ["554 5.7.1 not you", "421 4.3.2 later"])
def test_a_refusal_in_place_of_the_greeting(greeting):
    with Script(lambda talk: (talk.say(greeting), talk.rest())) as server:
        done = probe(server)
    assert done.status == 75 and greeting in done.err


def test_nobody_there():
    done = Probe(f"127.0.0.1:{free_ports(1)[0]}", "--json")
    assert done.status == 75 and "refused" in done.err and "refused" in done.json["error"]
    assert done.json["findings"] == [] and done.json["tls"] is None


def test_a_name_that_does_not_exist():
    done = Probe("no-such-host.invalid:25")
    assert done.status == 75 and "no-such-host.invalid" in done.err


def test_implicit_where_it_speaks_clear():
    with Script(decent()) as server:
        done = probe(server, "--tls", "implicit")
    assert done.status == 75 and "--tls starttls" in done.err.replace("\n", " ")


@pytest.mark.parametrize("args, hint", [
    ((), "missing"),
    (("a:b",), "HOST:PORT"),
    (("a:25", "--tls", "smtps"), "none, starttls or implicit"),
    (("a:25", "--ca", "/nowhere.pem"), "No such file"),
    (("a:25", "--ca", "/etc/hostname"), "authorities"),
    (("a:25", "--sjon"), "did you mean --json"),
])
def test_misuse(args, hint):
    done = Probe(*args)
    assert done.status == 2 and hint in done.err, done.err
