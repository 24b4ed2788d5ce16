#!/usr/bin/python3
"""Stands in place of postern-front, with index 0, as an intruder who took it over: says whatever it likes to everybody
whom it can reach. Other indices become the real program. What it did is written to evil_front.done beside it."""

import array
import contextlib
import mmap
import os
import pathlib
import random
import re
import select
import socket
import sys
import time

HERE = pathlib.Path(__file__).parent
TABLE = pathlib.Path(os.environ["POSTERN_IPC_H"]).read_text()
TYPES = {name: number for number, name in enumerate(re.findall(r"^\tX\((\w+), ", TABLE, re.M))}
ROLES = {name: number for number, name in enumerate(re.findall(r"^\tIPC_(MASTER|FRONT|AUTH|WORKER|QUEUE|RELAY|DELIVER|"
                                                               r"JOURNAL|PROVIDER|FETCH|CLI),", TABLE, re.M))}
FRAME_MAX = 112 * 1024


def u32(n):
    return (n & 0xffffffff).to_bytes(4, sys.byteorder)


def u64(n):
    return (n & (1 << 64) - 1).to_bytes(8, sys.byteorder)


def text(data):
    data = data.encode() if isinstance(data, str) else data
    return u32(len(data)) + data


def frame(kind, number=0, body=b"", reserved=0):
    kind = TYPES[kind] if isinstance(kind, str) else kind
    return kind.to_bytes(2, sys.byteorder) + reserved.to_bytes(2, sys.byteorder) + u32(number) + body


def envelope(sender="evil@example.org", rcpts=("bob@example.net",), count=None, version=1, user="evil@example.org",
             client="192.0.2.1",
             envid="", auth="", session="x"):
    out = bytes([version, 0, 0]) + u64(1)
    for field in (session, user, client, sender, envid, auth):
        out += text(field)
    out += u32(len(rcpts) if count is None else count)
    for rcpt in rcpts:
        out += text(rcpt) + b"\0" + text("")
    return out


def submit(message_id, head, message=b"Subject: x\r\n\r\nx\r\n", size=None, file=0):
    return text(message_id) + text(head) + bytes([file]) + u64(len(message) if size is None else size) + text(message)


def name(n):
    return f"{n:016d}"


SOFT = [        # right by the table; nobody says that their insides are
    *(frame("SUBMIT", n, submit(name(n), e)) for n, e in enumerate([
        b"", b"\1", envelope(version=0), envelope(version=255), envelope(count=0xffffffff), envelope(count=0),
        envelope(count=5),
        envelope() + b"more", envelope()[:-1], envelope(sender="a\r\nRCPT TO:<x@example.net>"),
        envelope(rcpts=["a\nb@example.net"]),
        envelope(rcpts=["a\0b@example.net"]), envelope(rcpts=[""]), envelope(rcpts=["x" * 1025]),
        envelope(sender="x" * 1025),
        envelope(user="x" * 1025), envelope(session="x" * 65), envelope(envid="x y\r\n"), text("") * 20,
        os.urandom(3000)], 1)),
    frame("SUBMIT", 50, submit("../../../../etc/x", envelope())), frame("SUBMIT", 51, submit("", envelope())),
    frame("SUBMIT", 52, submit("0" * 15, envelope())), frame("SUBMIT", 53, submit("0" * 17, envelope())),
    frame("SUBMIT", 54, submit("\0" * 16, envelope())), frame("SUBMIT", 55, submit("/" * 16, envelope())),
    frame("SUBMIT", 56, submit(name(56), envelope(), size=0)), frame("SUBMIT", 57, submit(name(57), envelope(),
        size=1 << 63)),
    frame("SUBMIT", 58, submit(name(58), envelope(), file=1)), frame("SUBMIT", 59, submit(name(59), envelope(),
        file=255)),
    frame("SUBMIT", 60, submit(name(60), envelope(), b"")), frame("SUBMIT", 61, submit(name(61), envelope(),
        b"y" * 80000)),
    frame("SUBMIT", 62, text(name(62)) + u32(0xffffffff) + b"x" * 100), frame("SUBMIT", 63, b"\xff" * 21),
    frame("SUBMIT_ENVELOPE", 70, u32(0xffffffff)), frame("SUBMIT_ENVELOPE", 70, text(b"\xff" * 100000)),
    frame("SUBMIT", 70, submit(name(70), envelope())), frame("SUBMIT_ABORT", 70), frame("SUBMIT_ABORT", 71),
    frame("SUBMIT_ABORT", 0),
    frame("SUBMIT_QUERY", 1, text("")), frame("SUBMIT_QUERY", 1, text("../../x")), frame("SUBMIT_QUERY", 1,
        b"\xff" * 60),
    *(frame("SUBMIT_FILE_WANT", 80) for _ in range(50)), frame("SUBMIT", 80, submit(name(80), envelope(), size=5,
        file=1)),
    *(frame("SUBMIT_FILE_WANT", n) for n in range(100, 300)), *(frame("SUBMIT_ENVELOPE", n,
        text(b"z" * 1000)) for n in range(100, 300)),
]
HARD = [b"", b"x", b"\0" * 7, frame(9999), frame("SUBMIT_ABORT", reserved=1), frame("SUBMIT"), frame("SUBMIT_ABORT",
    0, b"x"),
        frame("SUBMITTED", 1, b"\0" * 9), frame("JOB", 1, b"\0" * 100), frame("JOB_RESULT", 1, b"\0" * 100),
        frame("EVENT", 0, b"\0" * 10),
        frame("SECRET_WANT", 1, text("google")), frame("CTL_REQUEST", 1, u32(0) + u32(0)), frame("CONF", 0,
            b"\0" * 20),
        frame("PEER", 0, b"\0" * 6), frame("CAPACITY", 0, u32(1)), frame("SUBMIT_QUERY", 0, b"x" * 65), "fds"]


class Intruder:
    def __init__(self):
        self.random = random.Random(1)
        self.master = socket.socket(fileno=3)
        self.peers, self.streams, self.counters = {}, [], None
        self.done = []

    def receive(self, seconds):
        """Take what the master hands out."""
        end = time.monotonic() + seconds
        while select.select([self.master], [], [], max(0, end - time.monotonic()))[0]:
            data, ancillary, _, _ = self.master.recvmsg(FRAME_MAX, 4096)
            if not data:
                sys.exit(0)
            fds = array.array("i")
            for _, _, fd_data in ancillary:
                fds.frombytes(fd_data)
            kind, generation, body = int.from_bytes(data[:2], sys.byteorder), int.from_bytes(data[4:8],
                sys.byteorder), data[8:]
            if kind == TYPES["DRAIN"]:
                sys.exit(0)
            if kind == TYPES["COUNTERS"]:
                self.counters = fds[0]
            if kind == TYPES["PEER"] and fds:
                role, index, stream = body[0], int.from_bytes(body[1:5], sys.byteorder), body[5]
                sock = socket.socket(fileno=fds[0])
                sock.setblocking(False)
                if stream:
                    self.streams.append(sock)
                else:
                    self.peers[role, index] = sock, generation

    def say(self, data, fds=()):
        select.select([], [self.master], [], 10)
        self.master.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])

    def peer(self, role):
        """A living channel; a new one when the last was ended."""
        key = ROLES[role], 0
        for _ in range(100):
            if key in self.peers:
                sock, generation = self.peers[key]
                try:
                    while sock.recv(FRAME_MAX):
                        pass
                except BlockingIOError:
                    return sock
                except OSError:
                    pass
                sock.close()
                del self.peers[key]
                self.say(frame("WANT_PEER", generation, bytes([key[0]]) + u32(0)))
            self.receive(0.05)
        return None

    def tell(self, role, data, fds=()):
        sock = self.peer(role)
        if not sock:
            self.done.append(f"no channel to {role} any more")
            return
        with contextlib.suppress(OSError):
            sock.setblocking(True)
            sock.settimeout(2)
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
            sock.sendmsg([data], ancillary)
        sock.setblocking(False)

    def attack_queue(self):
        for data in SOFT:
            self.tell("QUEUE", data)
        for data in HARD:
            self.tell("QUEUE", frame("SUBMIT_ABORT") if data == "fds" else data or b"\0", [0,
                1] if data == "fds" else ())
            time.sleep(0.02)
        for _ in range(300):
            kind = self.random.choice(["SUBMIT", "SUBMIT_ENVELOPE", "SUBMIT_QUERY", "SUBMIT_FILE_WANT",
                                       "SUBMIT_ABORT"])
            self.tell("QUEUE", frame(kind, self.random.randrange(4), self.random.randbytes(self.random.choice([0, 4,
                21, 40, 64, 500]))))
        # Answers that nobody reads.
        sent, end = 0, time.monotonic() + 2
        while time.monotonic() < end:
            sock = self.peer("QUEUE")
            with contextlib.suppress(OSError):
                sock.setblocking(True)
                sock.settimeout(1)
                while time.monotonic() < end:
                    sock.send(frame("SUBMIT_QUERY", sent, text(name(sent))))
                    sent += 1
            sock.setblocking(False)
        self.done.append("queue" if sent > 10000 else f"queue took {sent} questions only")

    def attack_auth(self):
        for junk in (b"VERSION\t1\t3\nCPID\t1\n" + b"AUTH\t1\tPLAIN\tresp=!\n" * 1000, os.urandom(70000),
                     b"AUTH\t1\tSCRAM-SHA-256\tpostern_plus=1\n"
                     b"CONT\t1\t=\n" * 500, b"A" * 40000):
            self.streams.clear()
            self.say(frame("WANT_AUTH"))
            self.receive(0.3)
            for sock in self.streams:
                with contextlib.suppress(OSError):
                    sock.setblocking(True)
                    sock.settimeout(1)
                    sock.sendall(junk)
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(65536):
                        pass
                sock.close()
        self.done.append("auth")

    def attack_journal(self):
        for body in (b"\0" * 3, b"\xff" * 16000, os.urandom(16000), b"\x0b\0" + b"\0\0" + b"\0" * 9 + b"more",
                     b"\xff\xff" + b"\0" * 100,
                     (13).to_bytes(2, "little") + b"\2\0" + u64(1 << 62) + b"\0\0" + u32(1)):
            self.tell("JOURNAL", frame("EVENT", 0, body))
        forged = b"\2\0" + u64(1) + b"\0\0" + text(b"postern: ready\nerror: forged \x1b[31m\xff\x00line")
        self.tell("JOURNAL", frame("EVENT", 0, len(forged).to_bytes(2, "little") + forged))
        self.done.append("journal")

    def attack_counters(self):
        """The memory that fronts share. That the counts can be spoilt is known, so they are put back."""
        size = os.fstat(self.counters).st_size
        with contextlib.suppress(OSError):
            os.ftruncate(self.counters, 4096)
            self.done.append("counters could be cut short")
        with mmap.mmap(self.counters, size) as memory:
            before = memory[:]
            for _ in range(200):
                memory[:] = self.random.randbytes(size)
            memory[:] = before
        self.done.append("counters")

    def attack_master(self):
        for role in range(256):
            for index in (0, 1, 255, 0xffffffff):
                self.say(frame("WANT_PEER", self.random.randrange(1 << 32), bytes([role]) + u32(index)))
        for _ in range(100):
            self.say(frame("WANT_AUTH"))
            self.say(frame("REFUSED", 0, text(b"x\n\x1b[31mforged: line \xff\0" * 20)))
            self.say(frame("READY"))
        self.receive(0.5)
        self.done.append("master")

    def run(self):
        self.receive(0.5)
        self.say(frame("READY"))
        self.receive(0.5)
        for attack in (self.attack_queue, self.attack_auth, self.attack_journal, self.attack_counters,
                       self.attack_master):
            try:
                attack()
            except Exception as error:      # noqa: BLE001
                self.done.append(f"{attack.__name__}: {error!r}")
        (HERE / "evil_front.done").write_text("\n".join(self.done) + "\n")
        self.receive(3600)


if __name__ == "__main__":
    if sys.argv[1] != "0" or (HERE / "evil_front.done").exists():
        os.execv(HERE / "postern-front.real", ["postern-front", *sys.argv[1:]])
    Intruder().run()
