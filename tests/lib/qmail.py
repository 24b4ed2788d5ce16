"""A qmail-shaped directory, sessions of Postern's programs in it, and checkers that write down what they see.

    qmail = Qmail(tmp_path, rcpthosts="example.org\n")
    session = qmail.session(qmail.recorder("0"))        # postern-smtpd on a socketpair, or
    tcp = qmail.tcpserver(qmail.recorder("0"))          # under the real tcpserver on a loopback port
    ... session.command("EHLO x"), qmail.recorded(), qmail.queued() ...

The programs that Debian does not have (qmail-queue, checkpassword, vchkpw, checkvpw, cmd5checkpw) are modelled in
tests/fixtures/qmail.
"""

import base64
import collections
import contextlib
import hmac
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import threading

from postern import BUILD, ROOT, Wire, free_ports, open_to_roles, reachable, wait_for

FIXTURES = reachable(ROOT / "tests" / "fixtures" / "qmail")
LINKS = reachable(BUILD / "libexec" / "postern") / "qmail"
PEER = "192.0.2.7"
HOST = "client.example.net"
ME = "mail.example.org"

Recorded = collections.namedtuple("Recorded", "data argv env fds uid pid")
Queued = collections.namedtuple("Queued", "message envelope argv env cwd fds uid")


def program(name):
    """The link by which a run script would call Postern's program of that name."""
    return str(LINKS / name)


def fixture(name):
    return str(FIXTURES / name)


def missing(*programs):
    """Why a test with these programs cannot run here, or None."""
    return next((f"{name} is not installed" for name in programs if not shutil.which(name)), None)


def sanitized():
    """Sanitizers reserve more address space than a limit on memory allows."""
    options = json.loads((BUILD / "meson-info" / "intro-buildoptions.json").read_text())
    return any(o["name"] == "b_sanitize" and o["value"] != "none" for o in options)


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def plain(user, password, authzid=""):
    return b64(f"{authzid}\0{user}\0{password}")


def digest(password, challenge):
    """What a CRAM-MD5 client answers to the text of a `334` line."""
    return hmac.new(password.encode(), base64.b64decode(challenge), "md5").hexdigest()


def write_cdb(path, keys):
    """A constant database by the real cdb program; @keys: a mapping, or names with nothing behind them."""
    pairs = keys.items() if hasattr(keys, "items") else ((key, b"") for key in keys)
    lines = b""
    for key, data in pairs:
        key, data = (x if isinstance(x, bytes) else x.encode() for x in (key, data))
        lines += b"+%d,%d:%s->%s\n" % (len(key), len(data), key, data)
    subprocess.run(["cdb", "-c", "-t", f"{path}.tmp", path], input=lines + b"\n", check=True)
    pathlib.Path(path).chmod(0o644)


class Names:
    """What tcpserver and rblsmtpd ask the DNS: every address is called HOST; @listed addresses have a TXT record in
    bl.example. It needs port 53, so root; set $DNSCACHEIP to .address."""

    def __init__(self, listed=()):
        self.listed = {".".join(reversed(a.split("."))) + ".bl.example": text for a, text in dict(listed).items()}
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for last in range(53, 253):
            with contextlib.suppress(OSError):
                self.address = f"127.53.0.{last}"
                self.sock.bind((self.address, 53))
                break
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self.sock.close()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                query, client = self.sock.recvfrom(4096)
                at, labels = 12, []
                while query[at]:
                    labels.append(query[at + 1:at + 1 + query[at]].decode())
                    at += 1 + query[at]
                kind, = struct.unpack_from(">H", query, at + 1)
                text = self.listed.get(".".join(labels))
                data = b""
                if kind == 12:
                    data = b"".join(bytes([len(x)]) + x.encode() for x in HOST.split(".")) + b"\0"
                elif kind == 16 and text:
                    data = bytes([len(text)]) + text.encode()
                answer = b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data if data else b""
                self.sock.sendto(query[:2] + struct.pack(">HHHHH", 0x8580 | (0 if data else 3), 1, bool(data), 0, 0) +
                                 query[12:at + 5] + answer, client)


class Session(Wire):
    """One session of a program whose descriptors 0 and 1 are a socket; descriptor 2 goes to a file."""

    def __init__(self, argv, env, log, greet=True, timeout=20):
        ours, theirs = socket.socketpair()
        self.log = pathlib.Path(log)
        with open(self.log, "wb") as errors:
            self.process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=errors, env=env, cwd="/")
        theirs.close()
        ours.settimeout(timeout)
        self.sock, self.buffer = ours, b""
        self.greeting = self.reply() if greet else None

    def ehlo(self, name="client.example.net"):
        """The lines of EHLO's reply without code and mark."""
        reply = self.command(f"EHLO {name}")
        assert reply and reply.startswith("250"), reply
        return [line[4:] for line in reply.split("\n")]

    def mechanisms(self):
        """What EHLO announces now, or None."""
        lines = [line for line in self.ehlo() if re.match(r"AUTH[ =]", line)]
        assert len(lines) < 2, lines
        return lines[0][5:].split() if lines else None

    def starttls(self, authority):
        reply = self.command("STARTTLS")
        assert reply.startswith("220"), reply
        self.wrap(authority.context())

    def cram(self, user, password, command="AUTH CRAM-MD5"):
        """The reply to the last line, and the decoded challenge."""
        reply = self.command(command)
        assert re.fullmatch(r"334 [A-Za-z0-9+/=]+", reply), reply
        challenge = reply[4:]
        return self.command(b64(f"{user} {digest(password, challenge)}")), base64.b64decode(challenge).decode()

    def mail(self, sender="anna@example.org", to=("bob@example.org",), body=b"Subject: x\r\n\r\nhello\r\n", options=""):
        """One whole transaction; the last reply that it got to."""
        reply = self.command(f"MAIL FROM:<{sender}>{options}")
        if reply[:1] != "2":
            return reply
        for name in to:
            reply = self.command(f"RCPT TO:<{name}>")
            if reply[:1] != "2":
                return reply
        reply = self.command("DATA")
        if reply[:1] != "3":
            return reply
        self.send(body)
        return self.command(".")

    def in_step(self):
        """No reply is left over or owed: a NOOP is answered by its own one."""
        reply = self.command("NOOP")
        assert reply and reply.startswith("250"), reply
        reply = self.command("BOGUSCOMMAND")
        assert reply and reply[:3] in ("500", "502"), reply
        return True

    def finish(self, quit=True, seconds=15):
        """End the session; (exit status, descriptor 2)."""
        if quit:
            with contextlib.suppress(OSError):
                reply = self.command("QUIT")
                assert reply is None or reply.startswith(("221", "421")), reply
        with contextlib.suppress(OSError):
            self.sock.close()
        status = self.process.wait(seconds)
        return status, self.log.read_text(errors="replace")

    def kill(self):
        with contextlib.suppress(OSError):
            self.sock.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Tcp(Session):
    """The same over TCP, to a program that tcpserver starts."""

    def __init__(self, port, greet=True, timeout=20, source="127.0.0.1"):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout, (source, 0))
        self.buffer = b""
        self.greeting = self.reply() if greet else None

    def finish(self, quit=True, seconds=15):
        reply = self.command("QUIT") if quit else None
        self.sock.close()
        return reply


class Service:
    """A run script, or tcpserver itself, ready when tcpserver has said that it listens."""

    def __init__(self, argv, env, port, cwd="/"):
        self.port, self.lines, self.sessions = port, [], []
        self.process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, env=env, cwd=cwd)
        threading.Thread(target=self._collect, daemon=True).start()
        wait_for(lambda: self.process.poll() is not None or self.logged(r"tcpserver: status: "),
                 lambda: f"tcpserver to listen\n{self.text()}")
        assert self.process.poll() is None, self.text()

    def _collect(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip(b"\n").decode(errors="replace"))

    def text(self):
        return "\n".join(self.lines)

    def logged(self, pattern):
        return next((line for line in list(self.lines) if re.search(pattern, line)), None)

    def wait_log(self, pattern, seconds=10):
        return wait_for(lambda: self.logged(pattern), lambda: f"a line like {pattern!r} in\n{self.text()}", seconds)

    def connect(self, greet=True, source="127.0.0.1"):
        self.sessions.append(Tcp(self.port, greet, source=source))
        return self.sessions[-1]

    def stop(self):
        for session in self.sessions:
            session.close()
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(10)


class Qmail:
    """QMAILHOME with control/, users/, bin/qmail-queue; keywords are control files, by name and content."""

    def __init__(self, folder, queue=True, **control):
        self.home = pathlib.Path(folder) / "qmail"
        for name in ("control", "users", "bin", "queue", "record", "log", "domains"):
            (self.home / name).mkdir(parents=True)
        open_to_roles(self.home)
        for name in ("queue", "record"):
            (self.home / name).chmod(0o777)
        self.control("me", f"{ME}\n")
        self.control("rcpthosts", "example.org\n")
        for name, text in control.items():
            self.control(name, text)
        if queue:
            shutil.copy(FIXTURES / "qmail-queue", self.home / "bin" / "qmail-queue")
        self.sessions, self.services = [], []

    def control(self, name, text):
        """Write a control file; None takes it away."""
        path = self.home / "control" / name
        if text is None:
            path.unlink()
        else:
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            path.chmod(0o644)
        return path

    def certificate(self, authority):
        """control/servercert.pem: the key and the certificate in one file, as the TLS patches have it."""
        cert, key = authority.issue(ME, f"DNS:{ME},DNS:localhost,IP:127.0.0.1")
        return self.control("servercert.pem", key.read_text() + cert.read_text())

    def users(self, name, text):
        path = self.home / "users" / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(0o644)
        return path

    def queue_exit(self, outcome):
        (self.home / "queue" / "exit").write_text(f"{outcome}\n")

    def env(self, **changes):
        """The environment of a session as tcpserver sets it; None takes a variable away."""
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "QMAILHOME": str(self.home), "PROTO": "TCP",
               "TCPREMOTEIP": PEER, "TCPREMOTEPORT": "40000", "TCPREMOTEHOST": HOST, "TCPLOCALIP": "192.0.2.1",
               "TCPLOCALPORT": "25", "TCPLOCALHOST": ME}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "DNSCACHEIP"):
            if name in os.environ:
                env[name] = os.environ[name]
        for name, value in changes.items():
            if value is None:
                env.pop(name, None)
            else:
                env[name] = str(value)
        return env

    # ---- checkers ----

    def recorder(self, outcome, *args):
        return [fixture("recorder"), str(self.home / "record"), str(outcome), *(args or ["true"])]

    def accounts(self, **users):
        """The recorder for these logins and passwords."""
        return self.recorder("users:" + str(self.users("logins", "".join(f"{u}\t{p}\n" for u, p in users.items()))))

    def recorded(self):
        found = []
        for path in sorted((self.home / "record").glob("[0-9]*.json")):
            it = json.loads(path.read_text())
            found.append(Recorded(None if it["data"] is None else it["data"].encode("latin-1"), it["argv"], it["env"],
                                  it["fds"], it["uid"], it["pid"]))
        return found

    def queued(self, kind="queued"):
        found = []
        for path in sorted((self.home / "queue").glob(f"*.{kind}")):
            it = json.loads(path.read_text())
            found.append(Queued(it["message"].encode("latin-1"), it["envelope"].encode("latin-1"), it["argv"],
                                it["env"], it["cwd"], it["fds"], it["uid"]))
        return found

    def wait_queued(self, count):
        return wait_for(lambda: len(self.queued()) >= count and self.queued(), f"{count} messages in the queue")

    # ---- programs ----

    def session(self, checker=(), options=(), env=None, greet=True, timeout=20, argv=None):
        """postern-smtpd under the name qmail-smtpd, on a socketpair."""
        log = self.home / "log" / f"{len(self.sessions)}"
        made = Session(argv or [program("qmail-smtpd"), *map(str, options), *map(str, checker)], self.env(**(env or {})),
                       log, greet, timeout)
        self.sessions.append(made)
        return made

    def tcpserver(self, checker=(), options=(), env=None, rules=None, before=(), flags=("-v", "-R", "-H", "-l", ME)):
        """The real tcpserver in front; @rules become a cdb by the real tcprules; @before: programs in between."""
        port, = free_ports(1)
        tcp = {f"TCP{side}{what}": None for side in ("REMOTE", "LOCAL") for what in ("IP", "PORT", "HOST")}
        access = []
        if rules is not None:
            cdb = self.home / "tcp.smtp.cdb"
            subprocess.run(["tcprules", cdb, f"{cdb}.tmp"], input=rules, text=True, check=True)
            cdb.chmod(0o644)
            access = ["-x", cdb]
        made = Service(["tcpserver", *flags, *access, "127.0.0.1", port, *before, program("qmail-smtpd"), *options,
                        *checker], self.env(**{**tcp, "PROTO": None, **(env or {})}), port)
        self.services.append(made)
        return made

    def script(self, text, env=None):
        """Run the text of a run script, which listens on $PORT."""
        port, = free_ports(1)
        path = self.home / "run"
        path.write_text(text.replace("@PORT@", str(port)))
        path.chmod(0o755)
        tcp = {f"TCP{side}{what}": None for side in ("REMOTE", "LOCAL") for what in ("IP", "PORT", "HOST")}
        made = Service([path], self.env(**{**tcp, "PROTO": None, **(env or {})}), port)
        self.services.append(made)
        return made

    def close(self):
        for session in self.sessions:
            session.kill()
        for service in self.services:
            service.stop()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


