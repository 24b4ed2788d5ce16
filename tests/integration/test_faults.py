"""Parts die, disks fill, ports are taken: what a client sees, and that it passes by itself."""

import base64
import os
import pathlib
import re
import signal
import socket
import threading
import time

import pytest

from faults import SmallDisk, Strace
from postern import ROLES, free_ports, message, wait_for

ANNA = ("anna@example.org", "correct horse")
EHLO = "EHLO client.example.org"


def plain(user=ANNA[0], password=ANNA[1]):
    return "AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def login(server):
    wire = server.socket()
    wire.command(EHLO)
    assert wire.command(plain()).startswith("235")
    return wire


def submit(wire, subject, to="bob@example.net", body="hello\r\n"):
    """The last reply of a transaction; None when the connection ended."""
    for command in (f"MAIL FROM:<{ANNA[0]}>", f"RCPT TO:<{to}>", "DATA"):
        reply = wire.command(command)
        if not reply or reply[0] not in "23":
            return reply
    wire.send(message(subject, body) + b".\r\n")
    try:
        return wire.reply()
    except ConnectionError:
        return None


def kill(server, role):
    """kill -9 of all processes of a role; returns their pids."""
    pids = server.pids(role)
    assert pids, role
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return pids


def wait_back(server, role, old, seconds=10):
    return wait_for(lambda: len(now := server.pids(role)) == len(old) and not set(now) & set(old) and now,
                    f"{role} to be back", seconds, step=0.005)


def works(server):
    """A message from login to maildir."""
    before = len(server.messages())
    with server.smtp(server.implicit, login=ANNA) as client:
        client.sendmail(ANNA[0], ["bob@example.net"], message("works"))
    server.wait_messages(before + 1)


def can_log_in(server):
    """454 is the only other answer that may come while a part is being started."""
    wire = server.socket()
    wire.command(EHLO)
    reply = wire.command(plain())
    wire.close()
    assert reply.startswith(("235", "454 4.7.0")), reply
    return reply.startswith("235")


@pytest.mark.parametrize("role", ROLES)
def test_a_killed_role_is_back_at_once_and_all_works(make_server, role):
    server = make_server()
    works(server)
    started = time.monotonic()
    old = kill(server, role)
    wait_back(server, role, old)
    # 100 ms by contract; the margin is for a loaded machine.
    assert time.monotonic() - started < 0.6
    wait_for(lambda: can_log_in(server), "logins", 2)
    works(server)
    server.wait_log(rf"{role}\b.*(killed|signal|ended|9)")
    assert server.process.poll() is None


def test_a_role_that_keeps_dying_is_started_less_often(make_server):
    server = make_server()
    seen = set(kill(server, "deliver"))
    started = time.monotonic()
    while time.monotonic() - started < 3:
        for pid in server.pids("deliver"):
            if pid not in seen:
                seen.add(pid)
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)
    assert 3 <= len(seen) <= 15, f"{len(seen)} starts in 3 s: back-off, at most 1 s"
    wait_for(lambda: set(server.pids("deliver")) - seen, "deliver to come back all the same", 3)
    works(server)


def test_auth_away_is_454_and_passes(make_server):
    server = make_server()
    wire = server.socket()
    wire.command(EHLO)
    assert wire.command(plain()).startswith("235")
    auth = server.pids("auth")[0]
    # Stopped first, so that the question is open when it dies.
    os.kill(auth, signal.SIGSTOP)
    asking = server.socket()
    asking.command(EHLO)
    asking.send(plain() + "\r\n")
    os.kill(auth, signal.SIGKILL)
    died = time.monotonic()
    assert asking.reply().startswith(("454 4.7.0", "235"))
    wait_back(server, "auth", [auth])
    fresh = server.socket()
    assert fresh.greeting.startswith("220") and "AUTH" in fresh.command(EHLO), "the listener stands"

    def in_again():
        reply = fresh.command(plain())
        assert reply.startswith(("454 4.7.0", "235")), reply
        return reply.startswith("235")
    wait_for(in_again, "a login", 5)
    assert time.monotonic() - died < 2, "recovery in less than a second, and a margin"
    assert asking.command("NOOP").startswith("250")
    assert submit(wire, "who is logged in stays so").startswith("250")


def test_auth_that_does_not_come_back_is_454_for_as_long(make_server):
    server = make_server()
    stop = threading.Event()

    def keep_dead():
        while not stop.is_set():
            for pid in server.pids("auth"):
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.002)

    killer = threading.Thread(target=keep_dead)
    killer.start()
    try:
        replies = []
        for _ in range(5):
            wire = server.socket()
            assert wire.greeting.startswith("220")
            wire.command(EHLO)
            replies.append(wire.command(plain()))
            wire.close()
        assert replies == ["454 4.7.0 temporary authentication failure"] * 5
    finally:
        stop.set()
        killer.join()
    wait_for(lambda: server.pids("auth"), "auth to come back")
    wait_for(lambda: can_log_in(server), "logins again", 5)


def test_worker_killed_in_the_middle_of_a_check(make_server):
    server = make_server()
    for pid in server.pids("worker"):
        os.kill(pid, signal.SIGSTOP)
    wire = server.socket()
    wire.command(EHLO)
    wire.send(plain() + "\r\n")
    old = kill(server, "worker")
    reply = wire.reply()
    assert reply.startswith(("454 4.7.0", "235")), reply
    wait_back(server, "worker", old)
    wait_for(lambda: can_log_in(server), "logins again", 5)
    works(server)


# ---- queue: never a 4xx for what may be stored ----

def finish(wire):
    try:
        return wire.reply()
    except ConnectionError:
        return None


def test_queue_killed_before_it_has_the_message(make_server):
    server = make_server()
    wire = login(server)
    queue = server.pids("queue")[0]
    os.kill(queue, signal.SIGSTOP)
    for command in (f"MAIL FROM:<{ANNA[0]}>", "RCPT TO:<bob@example.net>", "DATA"):
        assert wire.command(command)[0] in "23"
    wire.send(message("in between") + b".\r\n")
    os.kill(queue, signal.SIGKILL)
    reply = finish(wire)
    wait_back(server, "queue", [queue])
    works(server)
    arrived = sum(b"Subject: in between" in m for m in server.messages())
    if reply and reply.startswith("250"):
        assert arrived == 1
    elif reply and reply.startswith("4"):
        assert arrived == 0, f"answered {reply} and delivered"
    else:
        assert not reply or reply.startswith("421"), reply


def test_queue_killed_between_the_commit_and_the_reply(make_server):
    """The message is on disk, and the process that would say so is dead: 250 from the next one, or no reply."""
    server = make_server()
    wire = login(server)
    queue = server.pids("queue")[0]
    with Strace(queue, "fdatasync,fsync", "fdatasync,fsync:delay_exit=3000000") as trace:
        for command in (f"MAIL FROM:<{ANNA[0]}>", "RCPT TO:<bob@example.net>", "DATA"):
            assert wire.command(command)[0] in "23"
        wire.send(message("committed") + b".\r\n")
        # Written out, but the caller has not been told yet.
        trace.wait_call(r"(fdatasync|fsync)\(.*= 0")
        os.kill(queue, signal.SIGKILL)
        reply = finish(wire)
    assert reply is None or reply.startswith(("250", "421")), reply
    wait_back(server, "queue", [queue])
    works(server)
    arrived = sum(b"Subject: committed" in m for m in server.messages())
    assert arrived == 1 if reply and reply.startswith("250") else arrived <= 1


def test_a_failed_sync_is_451_and_the_message_does_not_come_back(make_server):
    server = make_server()
    wire = login(server)
    assert submit(wire, "before").startswith("250")
    server.wait_messages(1)
    old = server.pids("queue")
    with Strace(old[0], "fdatasync,fsync", "fdatasync,fsync:error=EIO"):
        reply = submit(wire, "refused")
        assert reply.startswith("451 4.3.0"), reply
        server.wait_log("Input/output error")
    wire = login(server)
    # The refused message is struck out first; until then others are refused too.
    wait_for(lambda: submit(wire, "after").startswith("250"), "mail to be taken again", 5)
    server.wait_messages(2)
    assert server.pids("queue") == old, "queue stays up"
    server.stop()
    server.start()
    works(server)
    subjects = sorted(re.search(rb"Subject: (\w+)", m)[1] for m in server.messages())
    assert subjects == [b"after", b"before", b"works"]


# ---- the others ----

def test_journal_killed_loses_no_mail_and_no_later_line(make_server):
    server = make_server()
    old = kill(server, "journal")
    works(server)
    wait_back(server, "journal", old)
    wire = login(server)
    queue_id = submit(wire, "seen").split()[-1]
    wire.command("QUIT")
    server.wait_log(rf"{queue_id}")
    wait_for(lambda: server.run("why", queue_id, check=False).returncode == 0, "why to know it")


def test_relay_killed_with_a_message_on_its_way(make_server):
    """The next relay delivers what the last one had begun, when the server there did not answer it."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = make_server(routes=f'route "far.example" {{ via = "smtp://127.0.0.1:{listener.getsockname()[1]}"  '
                                f'tls = "none" }}\nroute "*" {{ via = "discard:" }}', queue='retry = {"1s"}')
    wire = login(server)
    assert submit(wire, "far", "x@far.example").startswith("250")
    listener.settimeout(10)
    first, _ = listener.accept()        # the relay waits for a greeting here
    old = kill(server, "relay")
    wait_back(server, "relay", old)
    second, _ = listener.accept()
    second.settimeout(10)
    lines = second.makefile("rb")
    second.sendall(b"220 far\r\n")
    seen = []
    for line in lines:
        verb = line[:4].upper()
        seen.append(verb)
        if verb == b"DATA":
            second.sendall(b"354 go\r\n")
            while next(lines) != b".\r\n":
                pass
            second.sendall(b"250 kept\r\n")
        else:
            second.sendall(b"250 ok\r\n")
        if verb == b"QUIT" or verb == b"DATA":
            break
    assert b"DATA" in seen
    wait_for(lambda: server.json("queue", "list") == [], "an empty queue")
    for sock in (first, second, listener):
        sock.close()


def test_no_role_outlives_the_master(make_server):
    server = make_server()
    pids = [pid for role in ROLES for pid in server.pids(role)]
    assert len(pids) >= len(ROLES)
    hanging = login(server)
    server.process.kill()
    server.process.wait()

    def alive(pid):
        try:
            state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return False
        return state != "Z"
    wait_for(lambda: not [pid for pid in pids if alive(pid)], "all roles to end", 10)
    assert hanging.at_end()
    server.process = None
    # What a dead server left in run/ is replaced.
    assert any(p.is_socket() for p in (server.folder / "run").iterdir())
    server.start()
    assert server.json("status")["server"] == "running"
    works(server)


# ---- disk ----

@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "s0" / "postern" / "data"
    disk = SmallDisk(folder, 12)
    if disk.reason:
        pytest.skip(f"no file system can be mounted here: {disk.reason}")
    yield disk
    disk.close()


def test_a_full_disk_is_452_and_passes_when_there_is_room(small_disk, make_server):
    port, = free_ports(1)
    server = make_server(routes=f'route "far.example" {{ via = "smtp://127.0.0.1:{port}"  tls = "none" }}\n'
                                f'route "*" {{ via = "maildir:{small_disk.path.parent}/mail/{{user}}" }}')
    wire = login(server)
    for number in range(3):
        assert submit(wire, f"kept {number}", "x@far.example").startswith("250")
    small_disk.fill()
    for size in (100, 40000, 2000000):
        reply = submit(wire, "refused", "y@far.example", ("x" * 70 + "\r\n") * (size // 72))
        assert reply.startswith(("452 4.3.1", "451 4.3.0")), (size, reply)
        wire.command("RSET")
    assert reply.startswith("452 4.3.1"), reply
    server.wait_log("No space left on device|disk is full")
    # Logins and the listener stand; a session that is new too.
    fresh = login(server)
    assert fresh.command("NOOP").startswith("250")
    small_disk.free()
    wait_for(lambda: (submit(fresh, "room", "x@far.example") or "4").startswith("250"), "mail to be taken again", 10)
    assert submit(fresh, "home").startswith("250")
    server.wait_messages(1)

    def waiting():
        return sorted(e["recipients"][0]["address"] for e in server.json("queue", "list"))
    assert waiting() == ["x@far.example"] * 4
    # And all of it is really there: a restart reads it from the disk.
    assert server.stop() == 0
    server.start()
    assert waiting() == ["x@far.example"] * 4


def test_a_large_message_on_a_nearly_full_disk_leaves_nothing(small_disk, make_server):
    server = make_server()
    wire = login(server)
    small_disk.fill(leave=1 << 20)
    free = os.statvfs(small_disk.path).f_bavail
    reply = submit(wire, "large", body=("x" * 70 + "\r\n") * 60000)
    assert reply.startswith("452 4.3.1"), reply
    wait_for(lambda: os.statvfs(small_disk.path).f_bavail > free - 64, "its blocks to be free again")
    assert submit(wire, "small").startswith("250")
    server.wait_messages(1)
    small_disk.free()


# ---- start and end ----

def test_sigterm_ends_in_time_with_a_session_that_hangs_in_data(make_server):
    server = make_server()
    idle = [server.socket(), login(server), server.tls_socket()]
    hanging = login(server)
    for command in (f"MAIL FROM:<{ANNA[0]}>", "RCPT TO:<bob@example.net>", "DATA"):
        hanging.command(command)
    hanging.send(b"Subject: never ends\r\n\r\n")
    started = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    for wire in idle:
        assert wire.reply().startswith("421 4.3.2") and wire.at_end()
    with pytest.raises(OSError):
        server.socket(server.starttls, timeout=2)
    assert server.process.wait(12) == 0
    assert time.monotonic() - started < 10.5
    assert finish(hanging) is None or hanging.at_end()
    server.process = None
    assert server.messages() == []
    assert "error:" not in server.log_text()


def test_sigterm_lets_a_message_in_flight_finish(make_server):
    server = make_server()
    wire = login(server)
    for command in (f"MAIL FROM:<{ANNA[0]}>", "RCPT TO:<bob@example.net>", "DATA"):
        wire.command(command)
    wire.send(message("in flight"))
    idle = server.socket()
    server.process.send_signal(signal.SIGTERM)
    assert idle.reply().startswith("421")       # the drain has begun
    wire.send(b".\r\n")
    assert wire.reply().startswith("250")
    assert server.process.wait(12) == 0
    server.process = None
    server.start()
    server.wait_messages(1)


def test_a_taken_port_is_named(make_server):
    server = make_server(start=False)
    with socket.create_server(("127.0.0.1", server.plain)):
        server.start(wait=False)
        assert server.process.wait(15) != 0
        server.process = None
        server.wait_log(rf"127\.0\.0\.1:{server.plain}\b.*(in use|taken)", 5)
    server.start()
    works(server)
