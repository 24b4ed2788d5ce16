"""What every integration test stands on: a real server on loopback, real files, free ports.

    server = Server(tmp_path, users={"anna@example.org": "secret"})
    server.start()
    ... smtplib, sockets, programs ...
    server.stop()

No test sleeps: wait_for() polls a condition with a deadline and says what it waited for.
"""

import atexit
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("POSTERN_BUILD") or ROOT / "build")
POSTERN = BUILD / "postern"
ROLES = ["journal", "auth", "worker", "queue", "relay", "fetch", "deliver", "front"]


def wait_for(condition, what, seconds=20.0, step=0.02):
    """Return the first true value of condition(); fail with `what` (a text, or a function that makes one) then."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what() if callable(what) else what}")
        time.sleep(step)


given_ports = set()


def free_ports(count):
    """Ports that nobody listens on, below those that the kernel gives to outgoing connections, so that no
    client takes one before the server does. All are held open until all are known, and none is given twice:
    one that a test wants nobody to listen on must not become its server's."""
    sockets = []
    while len(sockets) < count:
        s = socket.socket()
        port = random.randrange(10240, 32000)
        try:
            if port in given_ports:
                raise OSError("given already")
            s.bind(("127.0.0.1", port))
            sockets.append(s)
            given_ports.add(port)
        except OSError:
            s.close()
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def open_to_roles(folder):
    """Let the account of the roles come to @folder: pytest makes its folders for their owner alone."""
    temp = pathlib.Path(tempfile.gettempdir())
    for place in (folder, *folder.parents):
        if temp in place.parents and place.stat().st_uid == os.getuid() and place.stat().st_mode & 0o055 != 0o055:
            place.chmod(0o755)


def reachable(folder):
    """@folder, or a copy of it in a place where every account may run what is in it: started as root, tests give
    programs to other accounts, and a checkout may lie in a folder of its owner's alone."""
    folder = pathlib.Path(folder)
    if os.geteuid() != 0 or all(place.stat().st_mode & 0o001 for place in (folder, *folder.parents)):
        return folder
    temp = pathlib.Path(tempfile.mkdtemp(prefix="postern-programs-"))
    atexit.register(shutil.rmtree, temp, ignore_errors=True)
    temp.chmod(0o755)
    return pathlib.Path(shutil.copytree(folder, temp / folder.name, symlinks=True, ignore=shutil.ignore_patterns("*.p")))


class Authority:
    """A private certificate authority in a directory, by the openssl command."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca = self.folder / "ca.pem"
        self.key = self.folder / "ca.key"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                      "-keyout", self.key, "-out", self.ca, "-days", "30", "-subj", "/CN=Test authority",
                      "-addext", "basicConstraints=critical,CA:TRUE")

    def _openssl(self, *args):
        subprocess.run(["openssl", *map(str, args)], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE)

    def issue(self, name, names="DNS:localhost,IP:127.0.0.1,IP:::1", days=20):
        """Return (certificate, key) paths."""
        key, csr, cert, ext = (self.folder / f"{name}.{kind}" for kind in ("key", "csr", "pem", "ext"))
        ext.write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n")
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                      key, "-out", csr, "-subj", f"/CN={name}")
        self._openssl("x509", "-req", "-in", csr, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial",
                      "-out", cert, "-days", days, "-extfile", ext)
        return cert, key

    def context(self):
        return ssl.create_default_context(cafile=str(self.ca))


class Server:
    """A running `postern serve`. Ports: .starttls .implicit .plain (no TLS, for what must be refused)."""

    def __init__(self, folder, users=None, extra="", auth="", limits="", queue="", routes=None,
                 listeners="", tls="", build=None, hostname="mail.example.org", log="", user=None):
        self.folder = pathlib.Path(folder) / "postern"
        self.folder.mkdir(parents=True, exist_ok=True)
        open_to_roles(self.folder)
        self.build = pathlib.Path(build or BUILD)
        self.postern = self.build / "postern"
        self.users = users if users is not None else {"anna@example.org": "correct horse"}
        self.authority = Authority(self.folder / "tls")
        self.certificate, self.key = self.authority.issue("mail.example.org",
                                                          "DNS:mail.example.org,DNS:localhost,IP:127.0.0.1")
        self.starttls, self.implicit, self.plain = free_ports(3)
        self.maildir = self.folder / "mail"
        self.maildir.mkdir(exist_ok=True)
        self.maildir.chmod(0o777)
        self.conf = self.folder / "postern.conf"
        self.hostname = hostname
        self.user = user
        self.options = dict(extra=extra, auth=auth, limits=limits, queue=queue, routes=routes,
                            listeners=listeners, tls=tls, log=log)
        self.process = None
        self.stderr = []
        self.write_conf()

    def write_conf(self, **changes):
        self.options.update(changes)
        o = self.options
        routes = o["routes"]
        if routes is None:
            routes = f'route "*" {{ via = "maildir:{self.maildir}/{{user}}" }}'
        auth = o["auth"] or ('mechanisms = {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-512-PLUS", '
                             '"SCRAM-SHA-512", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"}')
        user = f'user = "{self.user}"' if self.user else ""
        self.conf.write_text(f'''
hostname = "{self.hostname}"
data = "{self.folder}/data"
run = "{self.folder}/run"
{user}
tls {{ certificate = "{self.certificate}"  key = "{self.key}"  ca = "{self.authority.ca}" {o["tls"]} }}
listener submission {{ address = "127.0.0.1:{self.starttls}"  tls = "starttls" }}
listener submissions {{ address = "127.0.0.1:{self.implicit}"  tls = "implicit" }}
listener plain {{ address = "127.0.0.1:{self.plain}"  tls = "none"  plaintext_without_tls = true }}
{o["listeners"]}
auth {{ {auth} }}
provider store {{}}
{routes}
limits {{ {o["limits"]} }}
queue {{ {o["queue"]} }}
log {{ {o["log"]} }}
{o["extra"]}
''')

    # ---- commands ----

    def run(self, *args, stdin=None, check=True, timeout=60):
        done = subprocess.run([str(self.postern), *map(str, args)], input=stdin, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
                              env=dict(os.environ, POSTERN_CONF=str(self.conf)))
        if check and done.returncode != 0:
            raise AssertionError(f"postern {' '.join(map(str, args))}: status {done.returncode}\n"
                                 f"{done.stdout}{done.stderr}\n{self.log_text()}")
        return done

    def json(self, *args):
        return json.loads(self.run(*args, "--json").stdout)

    def add_user(self, name, password, *options):
        return self.run("user", "add", name, "--password-stdin", *options, stdin=password + "\n")

    # ---- life ----

    def start(self, wait=True, preexec_fn=None, env=None, wrapper=()):
        if not (self.folder / "data" / "vault.db").exists():
            for name, password in self.users.items():
                self.add_user(name, password)
        self.stderr = []
        self.process = subprocess.Popen([*wrapper, str(self.postern), "serve", "-c", str(self.conf)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True, errors="replace",
                                        preexec_fn=preexec_fn, env=dict(os.environ, **(env or {})))
        threading.Thread(target=self._collect, args=(self.process.stderr, self.stderr), daemon=True).start()
        if wait:
            wait_for(lambda: self.process.poll() is not None or self.logged("postern: ready"),
                     lambda: "the server to be ready\n" + self.log_text())
            assert self.process.poll() is None, "the server ended:\n" + self.log_text()
        return self

    @staticmethod
    def _collect(stream, lines):
        for line in stream:
            lines.append(line.rstrip("\n"))

    def stop(self, seconds=15):
        if not self.process:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("the server did not end on SIGTERM:\n" + self.log_text())
        self.process = None
        self.assert_no_part_crashed()
        return status

    def assert_no_part_crashed(self):
        """A role that aborts is started again, so that a test may not notice; a sanitizer's report likewise."""
        crash = self.logged(r"AddressSanitizer|LeakSanitizer|runtime error:|ended by signal (4|6|7|8|11)\b")
        assert not crash, f"{crash}\n{self.log_text()[-20000:]}"

    def kill(self):
        """kill -9 of every process of the server, as a power cut would."""
        pids = [pid for role in [*ROLES, "provider"] for pid in self.pids(role)]
        self.process.kill()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        if self.process:
            self.stop()

    # ---- looking ----

    def log_text(self):
        return "\n".join(self.stderr)

    def logged(self, pattern):
        return next((line for line in list(self.stderr) if re.search(pattern, line)), None)

    def wait_log(self, pattern, seconds=20):
        return wait_for(lambda: self.logged(pattern),
                        lambda: f"a log line like {pattern!r} in\n{self.log_text()}", seconds)

    def pids(self, role):
        """Processes of a role, children of this server's master."""
        found = []
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                text = stat.read_text()
                ppid = int(text.rsplit(")", 1)[1].split()[1])
                if ppid != self.process.pid:
                    continue
                cmdline = (stat.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if text.rsplit(")", 1)[1].split()[0] != "Z" and f"postern-{role}" in cmdline:
                    found.append(int(stat.parent.name))
            except (OSError, ValueError, IndexError):
                continue
        return sorted(found)

    def messages(self, user="bob"):
        """Delivered messages as bytes, the oldest first."""
        folder = self.maildir / user / "new"
        if not folder.exists():
            return []
        return [p.read_bytes() for p in sorted(folder.iterdir(), key=lambda p: p.stat().st_mtime_ns)]

    def wait_messages(self, count, user="bob", seconds=30):
        return wait_for(lambda: len(self.messages(user)) >= count and self.messages(user),
                        lambda: f"{count} messages for {user}, have {len(self.messages(user))}\n"
                                f"{self.log_text()[-4000:]}", seconds)

    # ---- clients ----

    def smtp(self, port=None, tls=True, login=None, timeout=20):
        """An smtplib session after EHLO, TLS and perhaps login (name, password)."""
        context = self.authority.context()
        if port == self.implicit:
            client = smtplib.SMTP_SSL("127.0.0.1", port, context=context, timeout=timeout)
        else:
            client = smtplib.SMTP("127.0.0.1", port or self.starttls, timeout=timeout)
            if tls:
                client.starttls(context=context)
        client.ehlo()
        if login:
            client.login(*login)
        return client

    def socket(self, port=None, timeout=20):
        return Wire(port or self.plain, timeout)

    def tls_socket(self, timeout=20):
        wire = Wire(self.implicit, timeout, greet=False)
        wire.wrap(self.authority.context())
        wire.greeting = wire.reply()
        return wire


class Wire:
    """A bare connection: send bytes, read whole replies."""

    def __init__(self, port, timeout=20, greet=True, host="127.0.0.1"):
        self.sock = socket.create_connection((host, port), timeout)
        self.buffer = b""
        self.greeting = self.reply() if greet else None

    def wrap(self, context, name="localhost"):
        self.sock = context.wrap_socket(self.sock, server_hostname=name)

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        while b"\n" not in self.buffer:
            got = self.sock.recv(65536)
            if not got:
                return None
            self.buffer += got
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r").decode(errors="replace")

    def reply(self):
        """Lines of one reply joined by newline; None at the end of the connection."""
        lines = []
        while True:
            line = self.line()
            if line is None:
                return "\n".join(lines) or None
            lines.append(line)
            if len(line) < 4 or line[3] != "-":
                return "\n".join(lines)

    def command(self, text):
        self.send(text + "\r\n" if isinstance(text, str) else text + b"\r\n")
        return self.reply()

    def at_end(self):
        """True when the server has closed and nothing is left to read."""
        try:
            return self.line() is None
        except (ConnectionError, ssl.SSLError):
            return True

    def close(self):
        self.sock.close()


def message(subject="test", body="hello\r\n", sender="anna@example.org", to="bob@example.net"):
    return (f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\n\r\n{body}").encode()
