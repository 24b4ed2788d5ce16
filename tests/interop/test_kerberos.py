"""GSSAPI with a real Kerberos realm: MIT's key distribution center on a loopback port, and libgsasl's server as the one
that accepts tickets, behind a few lines of SMTP."""

import ctypes
import os
import shutil
import subprocess
import time

import pytest
from peers import missing
from postern import POSTERN, free_ports, message
from script import Script

TOOLS = ("kdb5_util", "kadmin.local", "krb5kdc", "kinit")
pytestmark = pytest.mark.skipif(missing(*TOOLS) or b"libgsasl" not in
                                subprocess.run(["ldd", POSTERN], capture_output=True).stdout,
                                reason="no Kerberos server, or built without libgsasl")
REALM = "TEST.EXAMPLE"


class Realm:
    def __init__(self, folder):
        port = free_ports(1)[0]
        (folder / "krb5.conf").write_text(f"""[libdefaults]
 default_realm = {REALM}
 dns_lookup_realm = false
 dns_lookup_kdc = false
 dns_canonicalize_hostname = false
 rdns = false
[realms]
 {REALM} = {{
  kdc = 127.0.0.1:{port}
 }}
[domain_realm]
 localhost = {REALM}
""")
        (folder / "kdc.conf").write_text(f"""[kdcdefaults]
 kdc_listen = 127.0.0.1:{port}
 kdc_tcp_listen = 127.0.0.1:{port}
[realms]
 {REALM} = {{
  database_name = {folder}/principal
  key_stash_file = {folder}/stash
 }}
""")
        self.env = dict(os.environ, KRB5_CONFIG=f"{folder}/krb5.conf", KRB5_KDC_PROFILE=f"{folder}/kdc.conf",
                        KRB5CCNAME=f"FILE:{folder}/tickets", KRB5_KTNAME=f"FILE:{folder}/keytab")
        self.run("kdb5_util", "create", "-s", "-P", "master", "-r", REALM)
        for query in ("addprinc -pw secret anna", "addprinc -randkey smtp/localhost",
                      f"ktadd -k {folder}/keytab smtp/localhost"):
            self.run("kadmin.local", "-q", query)
        self.log = open(folder / "kdc.log", "wb")
        self.kdc = subprocess.Popen([shutil.which("krb5kdc"), "-n", "-P", str(folder / "pid")], env=self.env,
                                    stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.login()

    def run(self, *command, feed=""):
        return subprocess.run([shutil.which(command[0]), *command[1:]], env=self.env, input=feed, text=True, timeout=30,
                              check=True, capture_output=True)

    def login(self):
        until = time.monotonic() + 15
        while True:
            try:
                self.run("kinit", "anna", feed="secret\n")
                return
            except subprocess.CalledProcessError:
                if time.monotonic() > until:
                    raise

    def close(self):
        self.kdc.terminate()
        self.kdc.wait(10)
        self.log.close()


@pytest.fixture(scope="module")
def realm(tmp_path_factory):
    made = Realm(tmp_path_factory.mktemp("realm"))
    yield made
    made.close()


class Acceptor:
    """libgsasl's server side, as a mail server would call it."""
    OK, MORE, REFUSED = 0, 1, 31
    AUTHZID, SERVICE, HOSTNAME, NAME, VALIDATE = 2, 5, 6, 7, 503

    def __init__(self, library, host):
        self.library, self.host, self.name, self.authzid = library, host.encode(), None, None
        self.context, self.session = ctypes.c_void_p(), ctypes.c_void_p()
        self.callback = CALLBACK(self.ask)
        assert library.gsasl_init(ctypes.byref(self.context)) == self.OK
        library.gsasl_callback_set(self.context, self.callback)
        assert library.gsasl_server_start(self.context, b"GSSAPI", ctypes.byref(self.session)) == self.OK

    def ask(self, _context, session, prop):
        session = ctypes.c_void_p(session)
        if prop in (self.SERVICE, self.HOSTNAME):
            return self.library.gsasl_property_set(session, prop, b"smtp" if prop == self.SERVICE else self.host)
        if prop == self.VALIDATE:
            self.name = self.library.gsasl_property_fast(session, self.NAME)
            self.authzid = self.library.gsasl_property_fast(session, self.AUTHZID)
            right = self.name == f"anna@{REALM}".encode() and self.authzid in (None, b"", b"anna")
            return self.OK if right else self.REFUSED
        return 51

    def step(self, response):
        out = ctypes.c_char_p()
        code = self.library.gsasl_step64(self.session, response.encode(), ctypes.byref(out))
        return code, (out.value or b"").decode() if code in (self.OK, self.MORE) else ""

    def close(self):
        self.library.gsasl_finish(self.session)
        self.library.gsasl_done(self.context)


CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)


@pytest.fixture
def library(realm, monkeypatch):
    monkeypatch.setenv("KRB5_CONFIG", realm.env["KRB5_CONFIG"])
    monkeypatch.setenv("KRB5_KTNAME", realm.env["KRB5_KTNAME"])
    made = ctypes.CDLL("libgsasl.so.18")
    made.gsasl_property_fast.restype = ctypes.c_char_p
    return made


def login(talk, acceptor):
    """From AUTH to the last reply."""
    words = talk.hear("AUTH").split()
    assert words[1] == "GSSAPI"
    code, challenge = acceptor.step(words[2]) if len(words) > 2 else (acceptor.MORE, "")
    while code == acceptor.MORE:
        talk.say("334 " + challenge)
        code, challenge = acceptor.step(talk.line())
    talk.say("235 2.7.0 ok" if code == acceptor.OK else "535 5.7.8 no")


def send(realm, server, *args, env=()):
    return subprocess.run([POSTERN, "send", "--server", f"localhost:{server.port}", "--tls", "none", "--auth", "GSSAPI",
                           "--from", "anna@example.org", "--to", "bob@example.net", "--trace", *args],
                          env={**realm.env, **dict(env)}, input=message("one"), capture_output=True, timeout=60)


@pytest.mark.parametrize("user, status", [((), 0), (("--user", "anna"), 0), (("--user", "boss"), 1)],
                         ids=["the ticket's own", "named", "somebody else"])
def test_a_ticket_logs_in(realm, library, user, status):
    acceptor = Acceptor(library, "localhost")

    def play(talk):
        talk.say("220 hello")
        talk.hear("EHLO")
        talk.say("250-hello", "250 AUTH PLAIN GSSAPI")
        login(talk, acceptor)
        while True:
            verb = talk.line().split(" ")[0]
            if verb == "DATA":
                talk.say("354 go")
                talk.body()
            talk.say("221 bye" if verb == "QUIT" else "250 ok")
    with Script(play) as server:
        done = send(realm, server, *user)
    assert done.returncode == status, done.stderr.decode()
    assert acceptor.name == f"anna@{REALM}".encode()
    assert (acceptor.authzid or b"") == (user[1].encode() if user else b"")
    assert any(line.startswith("MAIL") for line in server.heard) == (status == 0)
    acceptor.close()


def test_without_a_ticket_nothing_is_sent(realm):
    def play(talk):
        talk.say("220 hello")
        talk.hear("EHLO")
        talk.say("250-hello", "250 AUTH PLAIN GSSAPI")
        talk.rest()
    with Script(play) as server:
        done = send(realm, server, env={"KRB5CCNAME": "FILE:/nonexistent/tickets"}.items())
    assert done.returncode != 0
    assert b"no Kerberos ticket for this server could be had" in done.stderr, done.stderr.decode()
    assert not any(line.startswith(("AUTH", "MAIL")) for line in server.heard)
