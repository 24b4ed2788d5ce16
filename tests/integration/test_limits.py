"""Every limit at its edge: the right code, the right end, and a server that goes on serving."""

import base64
import contextlib
import os
import re
import resource
import signal
import socket
import threading
import time

import pytest

from postern import POSTERN, ROLES, Server, Wire, free_ports, message, wait_for

ANNA = ("anna@example.org", "correct horse")
EHLO = "EHLO client.example.org"


def plain(user, password):
    return "AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def session(server, port=None):
    """A session on the listener without TLS, logged in: the limits are the same in TLS."""
    wire = server.socket(port)
    wire.command(EHLO)
    assert wire.command(plain(*ANNA)).startswith("235")
    return wire


def memory(pid):
    """Resident memory that is the process's own, in bytes."""
    for line in open(f"/proc/{pid}/smaps_rollup"):
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no Anonymous line")


def memory_of_fronts(server):
    return sum(memory(pid) for pid in server.pids("front"))


# ---- size and recipients ----

SIZE, RCPTS = 20000, 3


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("small"), limits=f"message_size = {SIZE}  recipients = {RCPTS}") as running:
        yield running


@pytest.mark.parametrize("size, reply", [
    (str(SIZE), "250"), (str(SIZE + 1), "552 5.3.4"), ("18446744073709551616", "552 5.3.4"),
    ("99999999999999999999", "552 5.3.4"), ("0", "250"), ("-1", "501"), ("", "501"), ("1x", "501"),
])
def test_size_is_judged_at_mail(small, size, reply):
    wire = session(small)
    assert wire.command(f"MAIL FROM:<{ANNA[0]}> SIZE={size}").startswith(reply)
    assert wire.command("RCPT TO:<bob@example.net>").startswith("250" if reply == "250" else "503")
    wire.close()


def exactly(size):
    head = message("size").split(b"\r\n\r\n")[0] + b"\r\n\r\n"
    left = size - len(head)
    lines, rest = divmod(left - 2, 72)
    text = head + (b"x" * 70 + b"\r\n") * lines + b"y" * rest + b"\r\n"
    assert len(text) == size
    return text


@pytest.mark.parametrize("how", ["DATA", "BDAT"])
@pytest.mark.parametrize("size, reply", [(SIZE, "250 2.0.0"), (SIZE + 1, "552 5.3.4"), (40 * SIZE, "552 5.3.4")])
def test_size_is_counted_while_reading(small, how, size, reply):
    user = f"{how}{size}".lower()
    wire = session(small)
    wire.command(f"MAIL FROM:<{ANNA[0]}> SIZE=10")
    wire.command(f"RCPT TO:<{user}@example.net>")
    text = exactly(size)
    if how == "DATA":
        assert wire.command("DATA").startswith("354")
        wire.send(text + b".\r\n")
    else:
        for at in range(0, size, 7000):
            piece = text[at:at + 7000]
            wire.send(f"BDAT {len(piece)}{' LAST' if at + 7000 >= size else ''}\r\n".encode() + piece)
            answer = wire.reply()
            if not answer.startswith("250"):
                break
        assert answer.startswith(reply)
        small_enough = reply.startswith("250")
    if how == "DATA":
        assert wire.reply().startswith(reply), "read to its end, then judged"
        small_enough = reply.startswith("250")
        assert wire.command("RCPT TO:<bob@example.net>").startswith("503"), "the transaction is over"
        assert wire.command("NOOP").startswith("250")
    # The session goes on with a message that fits.
    wire.command("RSET")
    wire.command(f"MAIL FROM:<{ANNA[0]}>")
    wire.command(f"RCPT TO:<{user}@example.net>")
    wire.command("DATA")
    wire.send(message("fits") + b".\r\n")
    assert wire.reply().startswith("250 2.0.0")
    wire.close()
    got = small.wait_messages(1 + small_enough, user)
    assert len(got) == 1 + small_enough
    wait_for(lambda: small.json("queue", "list") == [], "an empty queue")


@pytest.mark.skipif(b"__asan_init" in POSTERN.read_bytes(), reason="a sanitizer takes more memory than the limit")
def test_a_long_message_is_never_held_whole(make_server):
    server = make_server(limits='message_size = "120M"')
    line = b"0123456789" * 7 + b"\r\n"
    wire = session(server)
    for command in (f"MAIL FROM:<{ANNA[0]}>", "RCPT TO:<long@example.net>", "DATA"):
        wire.command(command)
    wire.send(message("long")[:-2])
    for _ in range(100):
        wire.send(line * ((1 << 20) // len(line)))
    wire.send(b".\r\n")
    assert wire.reply().startswith("250 2.0.0")
    folder = server.maildir / "long" / "new"
    wait_for(lambda: folder.exists() and list(folder.iterdir()), "the delivery")
    assert next(folder.iterdir()).stat().st_size > 90 << 20
    for role in ROLES:
        for pid in server.pids(role):
            peak = re.search(r"VmHWM:\s+(\d+) kB", open(f"/proc/{pid}/status").read())[1]
            assert int(peak) < 40 << 10, f"{role}: {peak} kB"


def test_recipients(small):
    wire = session(small)
    assert re.search(rf"^250.LIMITS .*RCPTMAX={RCPTS}\b", wire.command(EHLO), re.M)
    wire.command(f"MAIL FROM:<{ANNA[0]}>")
    for number in range(RCPTS):
        assert wire.command(f"RCPT TO:<many{number}@example.net>").startswith("250")
    assert wire.command("RCPT TO:<many9@example.net>").startswith("452 4.5.3")
    wire.command("DATA")
    wire.send(message("many") + b".\r\n")
    assert wire.reply().startswith("250 2.0.0")
    wire.close()
    for number in range(RCPTS):
        small.wait_messages(1, f"many{number}")
    assert small.messages("many9") == []


# ---- connections ----

def knock(port, source="127.0.0.1"):
    """Connect and return (socket, greeting)."""
    sock = socket.create_connection(("127.0.0.1", port), 20, source_address=(source, 0))
    wire = Wire.__new__(Wire)
    wire.sock, wire.buffer = sock, b""
    wire.greeting = wire.reply()
    return wire


def refused(wire):
    end = wire.greeting.startswith("421 4.7.0") and wire.at_end()
    wire.close()
    return end


def assert_room_for(ports, count):
    """Exactly @count connections fit, alternating over @ports; returns when that many have been seen."""
    def attempt():
        wires = [knock(ports[i % len(ports)]) for i in range(count + 1)]
        fits = [w.greeting.startswith("220") for w in wires]
        for wire in wires:
            wire.close()
        return fits == [True] * count + [False]
    wait_for(attempt, f"room for exactly {count} connections")


def test_per_ip_is_exact_across_listeners(make_server):
    server = make_server(limits="per_ip = 6")
    ports = [server.starttls, server.plain]
    held = [knock(ports[i % 2]) for i in range(6)]
    assert all(w.greeting.startswith("220 ") for w in held)
    assert refused(knock(server.starttls)) and refused(knock(server.plain))
    # With implicit TLS the reply stands in the greeting's place too, inside TLS.
    assert server.tls_socket().greeting.startswith("421 4.7.0")
    assert held[0].command("NOOP").startswith("250"), "those inside stay"
    other = knock(server.plain, "127.0.0.2")
    assert other.greeting.startswith("220"), "another address has its own count"
    other.close()
    held.pop().close()
    again = wait_for(lambda: (w := knock(server.plain)).greeting.startswith("220") and w, "room after a close")
    assert refused(knock(server.plain))
    for wire in (*held, again):
        wire.close()
    assert_room_for(ports, 6)


def test_per_ip_is_exact_for_parallel_connects(make_server):
    server = make_server(limits="per_ip = 10")
    barrier, wires, lock = threading.Barrier(40), [], threading.Lock()

    def client(number):
        barrier.wait()
        wire = knock((server.starttls, server.plain)[number % 2])
        with lock:
            wires.append(wire)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    greeted = [w for w in wires if w.greeting.startswith("220 ")]
    assert len(wires) == 40 and len(greeted) == 10
    assert all(refused(w) for w in wires if w not in greeted)
    for wire in greeted:
        wire.close()


def test_killed_fronts_leave_no_count_behind(make_server):
    server = make_server(limits="per_ip = 6")
    held = [knock(server.plain) for _ in range(6)]
    assert refused(knock(server.plain))
    fronts = server.pids("front")
    for pid in fronts:
        os.kill(pid, signal.SIGKILL)
    assert all(w.at_end() for w in held)
    wait_for(lambda: len(server.pids("front")) == len(fronts) and not set(fronts) & set(server.pids("front")),
             "new fronts")
    assert_room_for([server.starttls, server.plain], 6)


def test_connections_of_all_addresses(make_server):
    server = make_server(limits="connections = 5")
    held = [knock(server.plain, f"127.0.0.{1 + n}") for n in range(5)]
    assert all(w.greeting.startswith("220 ") for w in held)
    assert refused(knock(server.starttls, "127.0.0.9"))
    held.pop().close()
    last = wait_for(lambda: (w := knock(server.starttls, "127.0.0.9")).greeting.startswith("220") and w, "room again")
    for wire in (*held, last):
        wire.close()


def test_few_descriptors(make_server):
    server = make_server(start=False, limits="per_ip = 1000")
    server.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
    sockets = [socket.create_connection(("127.0.0.1", server.plain), 20) for _ in range(200)]
    server.wait_log(r"cannot accept: Too many open files; accepting pauses")
    for sock in sockets[:120]:
        sock.close()
    # Those that waited in the backlog are served now, and so is a newcomer.
    for sock in sockets[120:]:
        assert sock.recv(100).startswith(b"220 ")
        sock.close()
    with server.smtp(server.implicit, login=ANNA) as client:
        client.sendmail(ANNA[0], ["bob@example.net"], message("after the crowd"))
    server.wait_messages(1)


def test_from_networks(make_server):
    port, = free_ports(1)
    server = make_server(listeners=f'listener inside {{ address = "127.0.0.1:{port}"  tls = "starttls"  '
                                   f'from_networks = {{"10.0.0.0/8", "127.0.0.2/32"}} }}')
    assert refused(knock(port))
    assert knock(port, "127.0.0.2").greeting.startswith("220 ")
    assert knock(server.plain).greeting.startswith("220 "), "the other listeners serve all"


# ---- time ----

TIMEOUT = 2


def ending(read, started):
    """(last reply or None, seconds until the connection ended)."""
    last = None
    with contextlib.suppress(OSError):
        while (line := read()) is not None:
            last = line
    return last, time.monotonic() - started


def trickle(wire, data, results, name):
    started = time.monotonic()

    def drip():
        with contextlib.suppress(OSError):
            for at in range(len(data)):
                wire.sock.sendall(data[at:at + 1])
                time.sleep(0.2)         # the pace of the client is what is tested

    threading.Thread(target=drip, daemon=True).start()
    results[name] = ending(wire.reply, started)


def idle_after(wire, commands, results, name, last=None):
    started = time.monotonic()
    for command in commands:
        started = time.monotonic()
        assert wire.command(command)[0] in "23"
    results[name] = ending(wire.reply, started)


def test_command_timeout(make_server):
    server = make_server(limits=f"command_timeout = {TIMEOUT}")
    results, threads = {}, []
    mail = [EHLO, plain(*ANNA), f"MAIL FROM:<{ANNA[0]}>", "RCPT TO:<slow@example.net>"]

    def run(function, *args):
        thread = threading.Thread(target=function, args=args)
        threads.append(thread)
        thread.start()

    def silent_handshake():
        started = time.monotonic()
        wire = Wire(server.implicit, greet=False)
        results["tls"] = ending(wire.reply, started)

    def half_handshake():
        wire = server.socket(server.starttls)
        wire.command(EHLO)
        assert wire.command("STARTTLS").startswith("220")
        started = time.monotonic()
        wire.send(b"\x16\x03\x01\x02")
        results["starttls"] = ending(wire.line, started)

    def half_command():
        wire = server.socket()
        trickle(wire, b"EHLO " + b"x" * 200, results, "trickled command")

    def slow_body():
        wire = server.socket()
        for command in (*mail, "DATA"):
            wire.command(command)
        trickle(wire, b"Subject: " + b"x" * 200, results, "trickled body")

    def steady():
        """Neither a steady body nor steady commands are idle."""
        wire = server.socket()
        for command in (*mail, "DATA"):
            wire.command(command)
        wire.send(message("steady")[:-2])
        for _ in range(4):
            time.sleep(TIMEOUT / 2)
            wire.send(b"\r\n" + b"x" * 500 + b"\r\n" * 2000)
        wire.send(b"\r\n.\r\n")
        results["steady body"] = (wire.reply(), 0)
        for _ in range(4):
            time.sleep(TIMEOUT / 2)
            results["steady commands"] = (wire.command("NOOP"), 0)
        wire.close()

    def no_response():
        wire = server.socket()
        wire.command(EHLO)
        started = time.monotonic()
        assert wire.command("AUTH LOGIN").startswith("334")
        results["auth"] = ending(wire.reply, started)

    run(idle_after, server.socket(), [], results, "greeting")
    run(idle_after, server.socket(), mail[:2], results, "login")
    run(idle_after, server.socket(), mail, results, "recipient")
    run(idle_after, server.socket(), [*mail, "DATA"], results, "body")
    for function in (silent_handshake, half_handshake, half_command, slow_body, steady, no_response):
        run(function)
    for thread in threads:
        thread.join()
    assert results.pop("steady body")[0].startswith("250") and results.pop("steady commands")[0].startswith("250")
    for name in ("tls", "starttls"):
        last, seconds = results.pop(name)
        assert last is None and TIMEOUT - 0.3 < seconds < TIMEOUT + 2.5, (name, last, seconds)
    assert len(results) == 7
    for name, (last, seconds) in results.items():
        assert last and last.startswith("421 4.4.2"), (name, last)
        assert TIMEOUT - 0.3 < seconds < TIMEOUT + 2.5, (name, seconds)
    assert server.messages("slow") != [], "the steady one"
    wait_for(lambda: server.json("queue", "list") == [], "nothing of the broken ones")


# ---- errors ----

def test_the_third_failed_login_is_the_last(make_server):
    server = make_server()
    wire = server.tls_socket()
    wire.command(EHLO)
    for number in range(3):
        started = time.monotonic()
        assert wire.command(plain(f"guess{number}@example.org", "wrong")) == "535 5.7.8 authentication credentials invalid"
        assert time.monotonic() - started < 3.5, "delays are at most 2 s"
    assert wire.reply().startswith("421 4.7.0") and wire.at_end()


def test_auth_failures_counts_every_mechanism(make_server):
    server = make_server(limits="auth_failures = 4")
    wire = server.tls_socket()
    wire.command(EHLO)
    assert wire.command("AUTH CRAM-MD5").startswith("334")
    assert wire.command(base64.b64encode(b"ghost@example.org " + b"0" * 32)).startswith("535")
    assert wire.command("AUTH PLAIN " + base64.b64encode(b"only one\0field").decode()).startswith(("501", "535"))
    assert wire.command("AUTH LOGIN " + base64.b64encode(b"ghost2@example.org").decode()).startswith("334")
    assert wire.command(base64.b64encode(b"x")).startswith("535")
    assert wire.command(plain("ghost3@example.org", "x")).startswith("535")
    assert wire.reply().startswith("421 4.7.0") and wire.at_end()


def test_twenty_bad_commands(server):
    wire = server.socket()
    wire.command(EHLO)
    replies = []
    for number in range(20):
        replies.append(wire.command(f"BOGUS{number}"))
    assert all(r.startswith("500 5.5.") for r in replies), replies
    assert wire.reply().startswith("421 4.7.0") and wire.at_end()


def test_refused_recipients_of_a_pipelining_client_are_no_bad_commands(server):
    wire = server.socket()
    wire.command(EHLO)
    wire.send("MAIL FROM:<x@example.org>\r\n" + "RCPT TO:<a@example.net>\r\n" * 100 + "NOOP\r\n")
    replies = [wire.reply()[:3] for _ in range(102)]
    assert replies[0] == "530" and replies[-1] == "250" and set(replies[1:-1]) <= {"503", "530"}
    wire.close()


def test_an_endless_line_costs_no_memory_and_is_one_error(server):
    before = memory_of_fronts(server)
    wire = server.socket()
    wire.command(EHLO)
    for _ in range(256):
        wire.send(b"x" * 65536)
    grown = memory_of_fronts(server) - before
    assert grown < 3 << 20, f"grown by {grown}"
    assert wire.command("").startswith("500 5.5.")
    assert wire.command("NOOP").startswith("250")
    wire.close()


def test_an_endless_auth_response_is_one_error(server):
    wire = server.tls_socket()
    wire.command(EHLO)
    assert wire.command("AUTH LOGIN").startswith("334")
    for _ in range(16):
        wire.send(b"A" * 65536)
    assert wire.command("").startswith("500 5.5.6")
    assert wire.command("NOOP").startswith("250"), "at the next line the session is itself again"
    wire.close()


@pytest.mark.parametrize("command", ["NOOP", "RSET", "EHLO x.example", "BOGUS", "AUTH PLAIN AAAA"])
def test_a_client_that_does_not_read_is_not_read_either(server, command):
    before = memory_of_fronts(server)
    wire = server.socket()
    wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    wire.command(EHLO)
    wire.sock.settimeout(1)
    sent, flood = 0, f"{command}\r\n".encode() * (65536 // (len(command) + 2))
    with contextlib.suppress(OSError):      # timed out: the server has stopped reading; or it has closed
        while sent < 64 << 20:
            sent += wire.sock.send(flood)
    assert sent < 64 << 20, "the server reads on although nobody takes its replies"
    grown = memory_of_fronts(server) - before
    assert grown < 8 << 20, f"grown by {grown}"
    other = server.socket()
    assert other.command("NOOP").startswith("250"), "others are served meanwhile"
    other.close()
    wire.close()


# ---- who may relay ----

THIRD = "elsewhere.example"


@pytest.fixture(scope="module")
def mx(tmp_path_factory):
    port, = free_ports(1)
    with Server(tmp_path_factory.mktemp("mx"),
                listeners=f'listener mx {{ address = "127.0.0.1:{port}"  tls = "starttls"  auth = "optional"  '
                          f'plaintext_without_tls = true  accept = {{"example.org"}} }}') as running:
        running.mx = port
        yield running


def test_mx_takes_mail_for_its_domains_from_anybody(mx):
    wire = mx.socket(mx.mx)
    wire.command(EHLO)
    assert wire.command(f"MAIL FROM:<someone@{THIRD}>").startswith("250")
    assert wire.command("RCPT TO:<anna@EXAMPLE.org>").startswith("250")
    wire.command("DATA")
    wire.send(message("in", sender=f"someone@{THIRD}", to="anna@example.org") + b".\r\n")
    assert wire.reply().startswith("250 2.0.0")
    wire.close()
    text = mx.wait_messages(1, "anna")[0].decode()
    assert re.search(r"by mail\.example\.org with ESMTP\b", text) and "auth=pass" not in text


@pytest.mark.parametrize("sender", ["", f"a@{THIRD}", "anna@example.org", "postmaster@mail.example.org"])
@pytest.mark.parametrize("recipient", [
    f"u@{THIRD}", f"u%{THIRD}@mail.example.org", f"u@{THIRD}@mail.example.org", f'"u@{THIRD}"@mail.example.org',
    f"{THIRD}!u", f"{THIRD}!u@mail.example.org", f"@example.org:u@{THIRD}", f"u@[127.0.0.1]", f"u@sub.example.org",
    f"u@xexample.org", f"u@example.org.{THIRD}", f"u@{THIRD}\0@example.org", f"<u@{THIRD}", f"u@example.org>@{THIRD}",
])
def test_mx_relays_for_nobody(mx, sender, recipient):
    wire = mx.socket(mx.mx)
    wire.command(EHLO)
    assert wire.command(f"MAIL FROM:<{sender}> AUTH=anna@example.org").startswith("250")
    reply = wire.command(f"RCPT TO:<{recipient}>")
    assert reply.startswith("5"), reply
    if recipient == f"u@{THIRD}":
        assert reply.startswith("550 5.7.1")
    wire.close()


def test_mx_relays_for_who_logs_in_and_not_after_a_failure(mx):
    wire = mx.socket(mx.mx)
    wire.command(EHLO)
    assert wire.command(plain(ANNA[0], "wrong")).startswith("535")
    wire.command(f"MAIL FROM:<{ANNA[0]}>")
    assert wire.command(f"RCPT TO:<u@{THIRD}>").startswith("550 5.7.1")
    wire.command("RSET")
    assert wire.command(plain(*ANNA)).startswith("235")
    wire.command(f"MAIL FROM:<{ANNA[0]}>")
    assert wire.command(f"RCPT TO:<u@{THIRD}>").startswith("250")
    wire.close()
