"""postern-fetch, as a command starts it: HTTPS requests in frames on a socket, and the ways in which they fail."""

import contextlib
import json
import os
import re
import select
import socket
import ssl
import struct
import subprocess
import sys
import threading
import urllib.parse

import pytest

from dns import Dns
from oauth import OAuth
from postern import BUILD, ROOT, Authority, Server, free_ports, open_to_roles, reachable, wait_for

PROGRAM = BUILD / "libexec" / "postern" / "postern-fetch"
SANITIZED = b"__asan_init" in PROGRAM.read_bytes()
TABLE = (ROOT / "src" / "loop" / "ipc.h").read_text()
TYPES = {name: number for number, name in enumerate(re.findall(r"^\tX\((\w+), ", TABLE, re.M))}
ROLES = {name: number for number, name in enumerate(re.findall(r"^\tIPC_([A-Z]+),", TABLE, re.M))}
FRAME_MAX = 112 * 1024
BODY_MAX = 65536
FINE, TEMPORARY, CONFIG, PEER = 0, 1, 3, 4
LIMIT_MS = 20000


def text(data):
    data = data.encode() if isinstance(data, str) else data
    return struct.pack("=I", len(data)) + data


class Answer:
    def __init__(self, frame):
        kind, reserved, self.id = struct.unpack_from("=HHI", frame)
        assert (kind, reserved) == (TYPES["FETCHED"], 0)
        self.problem, self.status = struct.unpack_from("=BH", frame, 8)
        at, parts = 11, []
        for _ in range(2):
            length, = struct.unpack_from("=I", frame, at)
            parts.append(frame[at + 4:at + 4 + length])
            at += 4 + length
        self.body, self.error = parts[0], parts[1].decode()
        self.retry_after, = struct.unpack_from("=I", frame, at)
        assert at + 4 == len(frame)

    def __repr__(self):
        return f"<{self.id}: {self.problem} {self.status} {self.body[:80]} {self.error}>"


class Fetch:
    """A running `postern-fetch once`."""

    def __init__(self, *arguments, environment=None):
        program = reachable(BUILD / "libexec") / "postern" / "postern-fetch"
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process = subprocess.Popen([str(program), "once", *map(str, arguments)], stdin=theirs, text=True,
                                        stderr=subprocess.PIPE, env={**os.environ, **(environment or {})})
        theirs.close()
        self.socket.settimeout(60)
        self.number = 0

    def want(self, url, form=b"", ca=b"", limit_ms=LIMIT_MS):
        self.number += 1
        self.send(text(url) + text(form) + text(ca) + struct.pack("=I", limit_ms))
        return self.number

    def send(self, body, kind="FETCH_WANT"):
        self.socket.send(struct.pack("=HHI", TYPES[kind] if isinstance(kind, str) else kind, 0, self.number) + body)

    def answer(self):
        return Answer(self.socket.recv(FRAME_MAX))

    def ask(self, *args, **more):
        number = self.want(*args, **more)
        answer = self.answer()
        assert answer.id == number
        return answer

    def end(self):
        """Close the socket; (exit status, standard error)."""
        self.socket.close()
        return self.process.wait(20), self.process.stderr.read()

    def died(self):
        """The same, by itself."""
        status = self.process.wait(20)
        self.socket.close()
        return status, self.process.stderr.read()


class Role(Fetch):
    """The role, under a master and an auth that the test plays."""

    def __init__(self, conf=""):
        self.master, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.master.settimeout(60)
        program = reachable(BUILD / "libexec") / "postern" / "postern-fetch"
        become = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execv(sys.argv[2], sys.argv[2:])"
        self.process = subprocess.Popen([sys.executable, "-c", become, str(theirs.fileno()), str(program)], text=True,
                                        pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        theirs.close()
        self.number = self.generation = 0
        self.socket = None
        self.configure(conf, first=1)
        self.told("READY")
        self.auth()

    def say(self, kind, body=b"", fd=None, number=0):
        socket.send_fds(self.master, [struct.pack("=HHI", TYPES[kind], 0, number) + body], [] if fd is None else [fd])

    def told(self, kind):
        frame = self.master.recv(FRAME_MAX)
        assert struct.unpack_from("=H", frame)[0] == TYPES[kind], frame
        return frame[8:]

    def configure(self, conf, first=0):
        fd = os.memfd_create("conf")
        os.write(fd, f'hostname = "mail.example.org"\n{conf}\n'.encode())
        self.say("CONF", struct.pack("=IIB", 0, 1, first) + text("0123456789abcdef"), fd)
        os.close(fd)

    def auth(self):
        """A new auth, in the place of the one before."""
        if self.socket:
            self.socket.close()
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(60)
        self.generation += 1
        self.say("PEER", struct.pack("=BIB", ROLES["AUTH"], 0, 0), theirs.fileno(), self.generation)
        theirs.close()

    def drain(self):
        self.say("DRAIN", struct.pack("=I", 20000))

    def end(self):
        self.drain()
        return self.died()


class Raw:
    """A TLS server that sends the same bytes to everybody who has sent a head, and closes."""

    def __init__(self, provider, say=b"", before=None, host="127.0.0.1"):
        self.provider, self.say, self.before = provider, say, before
        self.listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.url = f"https://{f'[{host}]' if ':' in host else host}:{self.listener.getsockname()[1]}/"
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError):
            if self.before is not None:
                connection.sendall(self.before)
                connection.close()
                return
            tls = self.provider.context.wrap_socket(connection, server_side=True)
            tls.recv(65536)
            tls.sendall(self.say)
            with contextlib.suppress(OSError):
                tls.unwrap()
            tls.close()

    def close(self):
        self.listener.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    provider = OAuth(tmp_path_factory.mktemp("provider"))
    yield provider
    provider.close()


@pytest.fixture
def provider(shared):
    yield shared
    shared.release()
    shared.answer = shared.refuse = None
    shared.certificate("good")


@pytest.fixture
def ca(shared):
    return shared.ca.read_bytes()


@pytest.fixture
def fetch():
    f = Fetch()
    yield f
    if f.process.poll() is None:
        assert f.end() == (0, "")


@pytest.fixture
def role():
    r = Role()
    yield r
    if r.process.poll() is None:
        assert r.end() == (0, "")


def form(**fields):
    return urllib.parse.urlencode(fields).encode()


def renewal(provider, **more):
    return form(grant_type="refresh_token", client_id=provider.client_id, client_secret=provider.client_secret,
                refresh_token=provider.issue()[1], **more)


def test_a_form_is_posted_and_answered(fetch, provider, ca):
    before = provider.count["refresh_token"]
    answer = fetch.ask(provider.token_endpoint, renewal(provider, more="a b&c=\u00fc"), ca)
    assert (answer.problem, answer.status, answer.error) == (FINE, 200, "")
    assert provider.valid(json.loads(answer.body)["access_token"]) == provider.user
    assert provider.count["refresh_token"] == before + 1
    request = provider.requests[-1]
    assert request.form["more"] == "a b&c=\u00fc"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.headers["Accept"] == "application/json"
    assert request.headers["User-Agent"] == "postern"
    for absent in ("Expect", "Cookie", "Authorization", "Accept-Encoding", "Proxy-Connection"):
        assert absent not in request.headers


def test_without_a_form_it_is_a_get(fetch, provider, ca):
    token = provider.issue()[0]
    answer = fetch.ask(f"{provider.introspection_endpoint}?token={token}", ca=ca)
    assert (answer.problem, answer.status) == (FINE, 200)
    assert json.loads(answer.body)["username"] == provider.user


def test_a_refusal_is_an_answer(fetch, provider, ca):
    provider.refuse = "invalid_grant"
    answer = fetch.ask(provider.token_endpoint, renewal(provider), ca)
    assert (answer.problem, answer.status) == (FINE, 400)
    assert json.loads(answer.body)["error"] == "invalid_grant"


@pytest.mark.parametrize("value, seconds", [("7", 7), ("0", 0), ("-5", 0), ("soon", 0), ("99999999999", 7 * 86400),
                                            ("Thu, 01 Jan 1970 00:00:00 GMT", 0)])
def test_retry_after_is_told(fetch, provider, ca, value, seconds):
    provider.answer_once(429, b"{}", {"Retry-After": value})
    answer = fetch.ask(provider.token_endpoint, renewal(provider), ca)
    assert (answer.problem, answer.status, answer.retry_after) == (FINE, 429, seconds)


@pytest.mark.parametrize("url, words", [
    ("http://127.0.0.1:1/token", "is not encrypted; only https: is used"),
    ("HTTP://127.0.0.1/", "is not encrypted; only https: is used"),
    ("ftp://127.0.0.1/", "does not begin with https://"),
    ("file:///etc/passwd", "does not begin with https://"),
    ("", "does not begin with https://"),
    ("https://user:secret@127.0.0.1/", "leave it out"),
    ("https://127.1/", "no proper host name"),
    ("https://127.0.0.1:0/", "no proper port"),
    ("https://127.0.0.1/a b", "must be written as %XX"),
    ("https://127.0.0.1/\r\nHost: x", "must be written as %XX"),
    ("https://127.0.0.1/" + "x" * 3000, "is too long"),
])
def test_other_addresses_are_refused(fetch, url, words):
    answer = fetch.ask(url, b"a=b")
    assert (answer.problem, answer.status, answer.body) == (CONFIG, 0, b"")
    assert words in answer.error
    assert "\n" not in answer.error


def test_a_query_stands_in_no_error(fetch):
    answer = fetch.ask("http://127.0.0.1/?client_secret=hidden")
    assert answer.problem == CONFIG and "hidden" not in answer.error


@pytest.mark.parametrize("kind, host, words", [
    ("good", "127.0.0.1", "unable to get local issuer certificate"),    # without the authority
    ("self", "127.0.0.1", "self-signed certificate"),
    ("expired", "127.0.0.1", "certificate has expired"),
    ("name", "127.0.0.1", "it is for another name"),
    ("name", "localhost", "it is for another name"),
])
def test_a_certificate_that_cannot_be_verified(fetch, provider, ca, kind, host, words):
    provider.certificate(kind)
    before = len(provider.requests)
    answer = fetch.ask(f"https://{host}:{provider.port}/token", b"secret=hidden", b"" if kind == "good" else ca)
    assert (answer.problem, answer.status) == (CONFIG, 0)
    assert answer.error == f'cannot verify the certificate of "{host}": {words}'
    assert len(provider.requests) == before


def test_the_authority_of_one_request_counts_for_no_other(fetch, provider, ca):
    assert fetch.ask(provider.url + "/", ca=ca).status == 404
    assert fetch.ask(provider.url + "/").problem == CONFIG
    assert fetch.ask(provider.url + "/", ca=ca).status == 404


def test_the_configuration_s_authorities(provider):
    fetch = Fetch("--ca", provider.ca)
    assert fetch.ask(provider.url + "/").status == 404
    assert fetch.end() == (0, "")


def test_a_self_signed_certificate_may_be_named(fetch, provider):
    provider.certificate("self")
    answer = fetch.ask(provider.url + "/", ca=(provider.folder / "self.pem").read_bytes())
    assert answer.status == 404


@pytest.mark.parametrize("pem, words", [
    (b"no certificate", "the file of authorities: there is no certificate in it"),
    (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
     "the file of authorities: certificate 1 cannot be read"),
])
def test_authorities_that_cannot_be_read(fetch, provider, pem, words):
    answer = fetch.ask(provider.url + "/", ca=pem)
    assert answer.problem == CONFIG and words in answer.error


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(fetch, provider, ca):
    old = provider._context(*provider.authority.issue("old", "IP:127.0.0.1"))
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    provider.context = old
    answer = fetch.ask(provider.url + "/", ca=ca)
    assert answer.problem == TEMPORARY and answer.error.startswith('TLS with "127.0.0.1" port')


def test_an_endpoint_that_hangs_delays_no_other(fetch, provider, ca):
    provider.hang = True
    slow = fetch.want(provider.token_endpoint, renewal(provider), ca)
    provider.wait_for(lambda: provider.requests[-1].path == "/token" and not provider.requests[-1].status, "the slow")
    provider.hang = False
    fast = fetch.ask(provider.introspection_endpoint, form(token="x"), ca)
    assert fast.id != slow and fast.status == 200
    provider.release()
    answer = fetch.answer()
    assert (answer.id, answer.status) == (slow, 200)


def test_time_ends_a_request(fetch, provider, ca):
    provider.hang = True
    answer = fetch.ask(provider.token_endpoint, renewal(provider), ca, limit_ms=400)
    assert (answer.problem, answer.error) == (TEMPORARY, '"127.0.0.1" did not answer within 0.4 s')


def test_a_handshake_that_hangs(fetch):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        answer = fetch.ask(f"https://127.0.0.1:{mute.getsockname()[1]}/", limit_ms=400)
    assert answer.problem == TEMPORARY
    assert "did not answer within 0.4 s" in answer.error or "cannot be connected to in time" in answer.error


@pytest.mark.parametrize("size, problem", [(BODY_MAX, FINE), (BODY_MAX + 1, PEER), (10 << 20, PEER)])
def test_a_body_has_a_limit(fetch, provider, ca, size, problem):
    provider.answer_once(200, b"x" * size)
    answer = fetch.ask(provider.token_endpoint, renewal(provider), ca)
    assert answer.problem == problem
    if problem:
        assert (answer.body, answer.error) == (b"", f'"127.0.0.1" port {provider.port} sent too long an answer')
    else:
        assert answer.body == b"x" * size


def test_a_redirect_is_not_followed(fetch, provider, ca):
    before = len(provider.requests)
    provider.answer_once(307, b"there", {"Location": provider.introspection_endpoint})
    answer = fetch.ask(provider.token_endpoint, renewal(provider), ca)
    assert (answer.problem, answer.status, answer.body) == (FINE, 307, b"there")
    assert len(provider.requests) == before + 1


def test_a_cookie_is_not_kept(fetch, provider, ca):
    provider.answer_once(200, b"", {"Set-Cookie": "a=b; Path=/"})
    fetch.ask(provider.token_endpoint, renewal(provider), ca)
    fetch.ask(provider.token_endpoint, renewal(provider), ca)
    assert "Cookie" not in provider.requests[-1].headers


def test_nobody_listens(fetch):
    port, = free_ports(1)
    answer = fetch.ask(f"https://127.0.0.1:{port}/")
    assert answer.problem == TEMPORARY
    assert answer.error == f'cannot connect to "127.0.0.1" port {port}: Connection refused'


@pytest.mark.parametrize("say, problem, words", [
    (b"", TEMPORARY, "closed the connection without an answer"),
    (b"220 mail.example.org ESMTP\r\n", PEER, "does not speak proper HTTP"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", TEMPORARY, "broke the connection"),
    (b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(80)) + b"\r\n", PEER,
     "too long a header"),
])
def test_answers_that_are_none(fetch, provider, ca, say, problem, words):
    raw = Raw(provider, say)
    answer = fetch.ask(raw.url, b"secret=hidden", ca)
    raw.close()
    assert (answer.problem, answer.status, answer.body) == (problem, 0, b"")
    assert words in answer.error
    assert raw.connections == 1     # a form is not sent a second time


def test_no_tls_at_all(fetch, provider, ca):
    raw = Raw(provider, before=b"220 mail.example.org ESMTP\r\n")
    answer = fetch.ask(raw.url, b"a=b", ca)
    raw.close()
    assert answer.problem == TEMPORARY and "TLS with" in answer.error and "wrong version number" in answer.error


def test_names_are_resolved(provider, ca):
    dns = Dns({"provider.example.org": {"A": ["127.0.0.1"]}, "empty.example.org": {"MX": [(10, "x")]},
               "broken.example.org": "SERVFAIL", "mute.example.org": None})
    fetch = Fetch(environment={"POSTERN_RESOLVER": f"127.0.0.1:{dns.port}"})
    assert fetch.ask(f"https://provider.example.org:{provider.port}/", ca=ca).status == 404
    assert provider.requests[-1].headers["Host"] == f"provider.example.org:{provider.port}"
    for name in ("nothere.example.org", "empty.example.org"):
        answer = fetch.ask(f"https://{name}/", ca=ca)
        assert (answer.problem, answer.error) == (
            TEMPORARY, f'"{name}" cannot be found: there is no such name in the DNS')
    for name in ("broken.example.org", "mute.example.org"):
        answer = fetch.ask(f"https://{name}/", ca=ca, limit_ms=1500)
        assert (answer.problem, answer.error) == (TEMPORARY, f'"{name}" cannot be found: the DNS does not answer')
    assert fetch.ask(f"https://provider.example.org:{provider.port}/", ca=ca).status == 404
    assert fetch.end() == (0, "")
    dns.close()


def test_localhost_is_of_the_hosts_file(fetch, provider, ca):
    assert fetch.ask(f"https://LocalHost:{provider.port}/", ca=ca).status == 404


@pytest.mark.parametrize("names, problem", [("IP:::1", FINE), ("IP:::2", CONFIG)])
def test_an_address_of_ip6(fetch, provider, ca, names, problem):
    provider.context = provider._context(*provider.authority.issue("ip6", names))
    raw = Raw(provider, b"HTTP/1.1 204 Fine\r\n\r\n", host="::1")
    answer = fetch.ask(raw.url, ca=ca)
    raw.close()
    assert (answer.problem, answer.status) == (problem, 0 if problem else 204), answer


def test_the_next_address_is_tried(provider, ca):
    dns = Dns({"provider.example.org": {"A": ["127.0.0.9", "127.0.0.1"]}})
    fetch = Fetch(environment={"POSTERN_RESOLVER": f"127.0.0.1:{dns.port}"})
    assert fetch.ask(f"https://provider.example.org:{provider.port}/", ca=ca).status == 404
    assert fetch.end() == (0, "")
    dns.close()


def test_more_requests_than_places(fetch, provider, ca):
    """64 run, the others wait their turn: all are answered."""
    provider.hang = True
    start = len(provider.requests)
    numbers = {fetch.want(provider.token_endpoint, renewal(provider), ca) for _ in range(100)}
    provider.wait_for(lambda: len(provider.requests) - start >= 64, "64 requests")
    assert not select.select([fetch.socket], [], [], 0)[0]
    assert len(provider.requests) - start == 64
    provider.release()
    answers = [fetch.answer() for _ in numbers]
    assert {a.id for a in answers} == numbers
    assert {a.status for a in answers} == {200}
    assert len(provider.requests) - start == 100


def test_too_many_requests_are_refused(fetch, provider, ca):
    provider.hang = True
    for _ in range(64 + 192):
        fetch.want(provider.token_endpoint, b"a=b", ca)
    answer = fetch.ask(provider.token_endpoint, b"a=b", ca)
    assert (answer.problem, answer.error) == (TEMPORARY, "too many HTTPS requests at once")


def test_the_environment_s_proxies_and_files_are_ignored(provider, ca, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        where = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login anna password hidden\n")
        names = ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
        keys = tmp_path / "keys"
        fetch = Fetch(environment={**{n: where for n in names}, "HOME": str(tmp_path), "SSLKEYLOGFILE": str(keys),
                                   "CURL_HOME": str(tmp_path), "CURL_CA_BUNDLE": "/nowhere"})
        assert fetch.ask(provider.url + "/", ca=ca).status == 404
        assert "Authorization" not in provider.requests[-1].headers
        assert fetch.end() == (0, "")
        assert not select.select([proxy], [], [], 0)[0]
        assert not keys.exists()


@pytest.mark.parametrize("body, kind", [
    (b"", "FETCH_WANT"), (b"x" * 20, "FETCH_WANT"), (text("https://127.0.0.1/") + text("") + text(""), "FETCH_WANT"),
    (text("https://127.0.0.1/") + text("") + text("") + b"\0" * 5, "FETCH_WANT"), (b"", "READY"), (b"", "FETCHED"),
    (b"\0" * 40, 65535)])
def test_garbage_ends_it(body, kind):
    fetch = Fetch()
    fetch.send(body, kind)
    status, said = fetch.died()
    assert status == 1 and said.startswith("postern-fetch: ") and said.count("\n") == 1


def test_it_ends_with_its_command_in_the_middle(provider, ca):
    provider.hang = True
    fetch = Fetch()
    fetch.want(provider.token_endpoint, renewal(provider), ca)
    provider.wait_for(lambda: provider.requests and provider.requests[-1].status == 0, "the request")
    assert fetch.end() == (0, "")


def test_it_is_not_started_by_hand(tmp_path):
    for words in (["once"], [], ["once", "--ca"], ["once", "more"]):
        done = subprocess.run([str(PROGRAM), *words], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              timeout=20)
        assert done.returncode == 1 and "is started by postern" in done.stderr


def test_authorities_of_the_configuration_that_are_missing():
    fetch = Fetch("--ca", "/nowhere/ca.pem")
    status, said = fetch.died()
    assert status == 1 and "/nowhere/ca.pem" in said


def memory(pid):
    """All that the process can write to, as one text."""
    found = []
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb") as mem:
        for line in maps:
            where, how = line.split()[:2]
            if how.startswith("rw"):
                start, end = (int(part, 16) for part in where.split("-"))
                mem.seek(start)
                with contextlib.suppress(OSError):
                    found.append(mem.read(end - start))
    return b"".join(found)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into a process that cannot be dumped")
@pytest.mark.skipif(SANITIZED, reason="the sanitizer keeps what was freed")
def test_nothing_is_left_in_memory(fetch, provider, ca):
    """Neither the form nor the answer, once the answer is given."""
    posted, answered = "posted-0123456789abcdef", "answered-0123456789abcdef"
    provider.answer_once(200, json.dumps({"access_token": answered}).encode())
    answer = fetch.ask(provider.token_endpoint, form(refresh_token=posted), ca)
    assert answered.encode() in answer.body
    fetch.ask("ftp:")   # answered: the turn that answered the other one is over
    held = memory(fetch.process.pid)
    assert len(held) > 100000
    assert posted.encode() not in held
    assert answered.encode() not in held


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        return dict(line.rstrip("\n").split(":\t", 1) for line in lines)


@pytest.mark.skipif(SANITIZED, reason="the sanitizer needs what the sandbox forbids")
def test_the_sandbox_stands(fetch, provider, ca):
    """And libcurl starts no thread in it."""
    assert fetch.ask(f"https://localhost:{provider.port}/", ca=ca).status == 404
    status = status_of(fetch.process.pid)
    assert (status["NoNewPrivs"], status["Seccomp"], status["Threads"]) == ("1", "2", "1")


def hangs(provider, count=1):
    provider.wait_for(lambda: sum(not r.status for r in provider.requests[-count:]) == count, f"{count} requests")


def test_the_role_answers_auth(role, provider, ca):
    answer = role.ask(provider.token_endpoint, renewal(provider), ca)
    assert (answer.problem, answer.status) == (FINE, 200)


def test_a_restarted_auth_is_told_nothing_of_the_one_before(role, provider, ca):
    provider.hang = True
    role.want(provider.token_endpoint, renewal(provider), ca)
    hangs(provider)
    role.auth()
    fresh = role.want(provider.token_endpoint, renewal(provider), ca)
    hangs(provider, 2)
    provider.release()
    answer = role.answer()
    assert (answer.id, answer.status) == (fresh, 200)
    answer = role.ask("ftp:")
    assert answer.problem == CONFIG


def test_a_request_that_cannot_be_read_is_answered(provider, ca):
    role = Role()
    role.number = 77
    role.send(b"\xff" * 16)
    answer = role.answer()
    assert (answer.id, answer.problem, answer.error) == (77, PEER, "the request could not be read")
    assert role.ask(provider.url + "/", ca=ca).status == 404
    assert role.end() == (0, "error: auth sent an HTTPS request that cannot be read role=fetch\n")


def test_a_drain_ends_what_is_under_way(role, provider, ca):
    provider.hang = True
    slow = role.want(provider.token_endpoint, renewal(provider), ca)
    hangs(provider)
    role.drain()
    late = role.want(provider.token_endpoint, renewal(provider), ca)
    answers = [role.answer()]
    provider.release()
    answers.append(role.answer())
    assert [(a.id, a.problem, a.error) for a in answers] == [(late, TEMPORARY, "the server ends"), (slow, FINE, "")]
    assert role.died() == (0, "")


def test_authorities_are_read_again(provider, ca, tmp_path):
    open_to_roles(tmp_path)
    file = tmp_path / "ca.pem"
    file.write_bytes(ca)
    role = Role(f'tls {{ ca = "{file}" }}')
    assert role.ask(provider.url + "/").status == 404
    for broken, words in ((b"none", "there is no certificate in it"), (ca + ca[:100], "certificate 2 cannot be read")):
        file.write_bytes(broken)
        role.configure(f'tls {{ ca = "{file}" }}')
        assert words in role.told("REFUSED").decode()
        assert role.ask(provider.url + "/").status == 404      # the old ones stay
    file.write_bytes(Authority(tmp_path / "other").ca.read_bytes())
    role.configure(f'tls {{ ca = "{file}" }}')
    wait_for(lambda: role.ask(provider.url + "/").problem == CONFIG, "the new authorities")
    assert role.end() == (0, "")


def test_the_role_stands_in_its_server(tmp_path):
    """Under the account of the roles, one thread, in its sandbox; it ends with the others."""
    server = Server(tmp_path).start()
    try:
        pid, = server.pids("fetch")
        status = status_of(pid)
        assert status["Threads"] == "1"
        assert SANITIZED or (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert os.geteuid() != 0 or status["Uid"].split()[0] != "0"
    finally:
        assert server.stop() == 0
