"""The master with stand-in roles (test_role.c): what it does with real processes and sockets.

test_server.py MASTER JOURNAL STUB: three executables; installed together in a folder of the test's own.
"""

import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

MASTER, JOURNAL, STUB = (pathlib.Path(p).resolve() for p in sys.argv[1:4])
STUBS = ["auth", "worker", "fetch", "queue", "relay", "deliver", "front"]
ROLES = ["journal", *STUBS]


def wait_for(condition, what, seconds=15.0):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.005)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def command_line(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="postern-master-"))
        self.folder.chmod(0o755)
        (self.folder / "bin").mkdir()
        shutil.copy(MASTER, self.folder / "bin/postern-master")
        shutil.copy(JOURNAL, self.folder / "bin/postern-journal")
        for role in STUBS:
            shutil.copy(STUB, self.folder / f"bin/postern-{role}")
        self.conf = self.folder / "postern.conf"
        self.data = self.folder / "data"
        self.log_path = self.folder / "log"
        self.port = free_port()
        self.process = None
        self.write_conf(f'listener one {{ address = "127.0.0.1:{self.port}"  tls = "starttls" }}')

    def tearDown(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder)

    def write_conf(self, *lines):
        self.conf.write_text("\n".join([
            'hostname = "mail.example.org"', f'data = "{self.data}"', f'run = "{self.folder}/run"',
            'route "*" { via = "discard:" }', *lines, ""]))

    def start(self, ready=True, **options):
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen([self.folder / "bin/postern-master", self.conf], stderr=log,
                                            **options)
        if ready:
            self.wait_log("postern: ready")
        return self

    def log(self, start=0):
        return self.log_path.read_text(errors="replace")[start:]

    def mark(self):
        return len(self.log())

    def wait_log(self, text, start=0, count=1, seconds=15.0):
        return wait_for(lambda: self.log(start).count(text) >= count,
                        f"{count} times {text!r} in\n{self.log()}", seconds)

    def children(self, role=None):
        path = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids = [int(pid) for pid in path.read_text().split()]
        return [pid for pid in pids if command_line(pid) == f"postern-{role}"] if role else pids

    def stop(self):
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(20)
        return status, time.monotonic() - start

    def test_start_and_stop(self):
        self.start()
        for role in ROLES:
            self.assertTrue(self.children(role), role)
        self.assertTrue((self.folder / "run/control-queue").is_socket())
        self.assertEqual((self.data / "self-signed.key").stat().st_mode & 0o777, 0o600)
        with socket.create_connection(("127.0.0.1", self.port)):
            pass
        status, seconds = self.stop()
        self.assertEqual(status, 0)
        self.assertLess(seconds, 5)
        self.assertFalse((self.folder / "run/control-queue").exists())

    def test_killed_roles_are_back(self):
        self.start()
        for role in ROLES:
            old = self.children(role)
            start = time.monotonic()
            os.kill(old[0], signal.SIGKILL)
            wait_for(lambda: len(self.children(role)) == len(old) and old[0] not in self.children(role),
                     f"another {role}")
            self.assertLess(time.monotonic() - start, 1.0, role)
        self.wait_log("queue 0 ended by signal 9; it is started again")

    def test_survivors_meet_the_new_one(self):
        self.start()
        self.wait_log("stub meets queue 0 role=relay")
        start = self.mark()
        os.kill(self.children("queue")[0], signal.SIGKILL)
        self.wait_log("stub loses queue 0", start, 3)
        self.wait_log("stub meets queue 0 role=relay", start)
        self.wait_log("stub meets queue 0 role=deliver", start)
        self.wait_log("stub meets queue 0 role=front", start)

    def test_failing_role_is_tried_again(self):
        self.data.mkdir()
        (self.data / "auth-fails").touch()
        self.start(ready=False)
        self.wait_log("auth: told to fail", count=3)
        self.assertNotIn("postern: ready", self.log())
        (self.data / "auth-fails").unlink()
        self.wait_log("postern: ready", seconds=5)

    def test_reload(self):
        self.start()
        two, taken = free_port(), socket.socket()
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        taken_port = taken.getsockname()[1]
        plain = 'tls = "none"  auth = "none"  accept = {"example.org"}'
        one = f'listener one {{ address = "127.0.0.1:{self.port}"  tls = "starttls" }}'
        start = self.mark()
        self.write_conf(one, f'listener two {{ address = "127.0.0.1:{two}"  {plain} }}',
                        f'listener three {{ address = "127.0.0.1:{taken_port}"  {plain} }}')
        self.process.send_signal(signal.SIGHUP)
        self.wait_log("stub gets listener two", start)
        self.wait_log(f"cannot listen on 127.0.0.1:{taken_port}", start)
        self.assertNotIn("listener one", self.log(start))
        with socket.create_connection(("127.0.0.1", two)):
            pass
        start = self.mark()
        self.conf.write_text(self.conf.read_text() + "bogus = 1\n")
        self.process.send_signal(signal.SIGHUP)
        self.wait_log(f"{self.conf}:8: ", start)
        self.wait_log("the old configuration stays", start)
        start = self.mark()
        self.write_conf(one)
        self.process.send_signal(signal.SIGHUP)
        self.wait_log("stub gives listener two up", start)
        taken.close()

    def test_certificate_is_watched(self):
        cert, key = self.folder / "cert.pem", self.folder / "key.pem"

        def make(cert, key):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x", "-days", "30",
                            "-keyout", key, "-out", cert], check=True, stderr=subprocess.DEVNULL)

        make(cert, key)
        key.chmod(0o600)
        self.write_conf(f'tls {{ certificate = "{cert}"  key = "{key}" }}',
                        f'listener one {{ address = "127.0.0.1:{self.port}"  tls = "starttls" }}')
        self.start()
        start = self.mark()
        make(cert, key)
        self.wait_log("stub gets TLS", start, len(self.children("front")), seconds=8)
        start = self.mark()
        make(cert, self.folder / "other.pem")
        self.wait_log("the old certificate is still served", start, seconds=8)
        self.assertNotIn("stub gets TLS", self.log(start))
        start = self.mark()
        shutil.copy(self.folder / "other.pem", key)
        self.process.send_signal(signal.SIGHUP)
        self.wait_log("stub gets TLS", start, seconds=5)

    def test_files_of_accounts(self):
        cert, key = self.folder / "client.pem", self.folder / "client.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-subj", "/CN=client", "-days", "30", "-keyout", key, "-out", cert],
                       check=True, stderr=subprocess.DEVNULL)
        key.chmod(0o600)
        section = (f'account relay {{ url = "smtps://relay.example.org"  certificate = "{cert}"  key = "{key}"  '
                   f'ca = "{cert}" }}')
        listener = f'listener one {{ address = "127.0.0.1:{self.port}"  tls = "starttls" }}'
        self.write_conf(listener, section, 'account plain { url = "smtps://other.example.org"  user = "x" }')
        self.start()
        sizes = cert.stat().st_size, key.stat().st_size, cert.stat().st_size
        told = "stub gets ACCOUNT_CERTIFICATE of relay: %d %d %d" % sizes
        self.wait_log(told)
        self.assertNotIn("ACCOUNT_CERTIFICATE of plain", self.log())
        self.wait_log("stub meets relay 0 role=auth")
        self.assertLess(self.log().index(told), self.log().index("stub meets relay 0 role=auth"))
        # What does not fit together is named with its line; auth hears of it, and the server goes on.
        start = self.mark()
        shutil.copy(self.data / "self-signed.key", key)
        self.process.send_signal(signal.SIGHUP)
        self.wait_log(f'{self.conf}:6: account "relay": certificate "{cert}" and key "{key}"', start)
        self.wait_log("stub gets ACCOUNT_CERTIFICATE of relay: certificate", start)
        start = self.mark()
        key.unlink()
        os.kill(self.children("auth")[0], signal.SIGKILL)
        self.wait_log(f'{self.conf}:6: account "relay": ', start)
        self.wait_log(str(key), start)
        self.wait_log("stub starts 0/1 uid", start)

    def test_hanging_front(self):
        self.data.mkdir()
        (self.data / "front-hangs").touch()
        self.start()
        status, seconds = self.stop()
        self.assertEqual(status, 0)
        self.assertLess(seconds, 10)

    def test_killed_master_takes_all(self):
        self.start()
        pids = self.children()
        self.process.kill()
        self.process.wait()
        wait_for(lambda: not any(command_line(pid) for pid in pids), "the roles to end", 5)
        # What it left behind is replaced.
        start = self.mark()
        self.start(ready=False)
        self.wait_log("postern: ready", start)

    def test_second_server_is_refused(self):
        self.start()
        second = subprocess.run([self.folder / "bin/postern-master", self.conf], capture_output=True,
                                text=True, timeout=20)
        self.assertEqual(second.returncode, 1)
        self.assertIn("another server listens", second.stderr)

    def test_few_descriptors(self):
        self.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)))
        # More descriptors are under way at the start than the limit allows: they wait, nobody dies.
        self.assertNotIn("killed", self.log())
        self.assertNotIn("ended", self.log())

    def test_bad_configuration(self):
        self.conf.write_text("bogus = 1\n")
        self.start(ready=False)
        self.assertEqual(self.process.wait(10), 1)
        self.assertIn(f"{self.conf}:1: ", self.log())

    def test_auth_service_comes_late(self):
        path = self.folder / "auth-client"
        self.write_conf(f'auth {{ service = "{path}" }}',
                        f'listener one {{ address = "127.0.0.1:{self.port}"  tls = "starttls" }}')
        self.start()
        self.wait_log("auth service: cannot connect")
        self.assertNotIn("by stream role=front", self.log())
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        path.chmod(0o666)
        server.listen()
        self.wait_log("stub meets auth 0 by stream role=front", seconds=6)
        server.close()


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=1)
