"""postern record beside the real recordio: the same bytes where nothing is secret, no secret where something is."""

import os
import re
import shutil
import socket
import subprocess
import time

import pytest

from postern import BUILD, free_ports, wait_for

RECORD = BUILD / "libexec" / "postern" / "postern-record"
REAL = shutil.which("recordio")

ECHO = ["sh", "-c", "cat; exit 7"]
# A server that talks SMTP as far as AUTH goes; every answer depends on the client's line alone.
TALKER = r'''
import sys
def say(text):
    sys.stdout.write(text + "\r\n"); sys.stdout.flush()
def hear():
    return sys.stdin.readline().rstrip("\r\n")
say("220 talker ESMTP")
while True:
    line = hear()
    verb = line.upper()
    if not line and not verb: break
    if verb.startswith("EHLO"): say("250-talker\r\n250 AUTH PLAIN LOGIN CRAM-MD5")
    elif verb.startswith("AUTH PLAIN "): say("235 ok")
    elif verb.startswith("AUTH LOGIN"):
        say("334 VXNlcm5hbWU6"); hear(); say("334 UGFzc3dvcmQ6"); hear(); say("235 ok")
    elif verb.startswith("AUTH CRAM-MD5"): say("334 PDEuMkBhLmI+"); hear(); say("535 no")
    elif verb.startswith("DATA"):
        say("354 go")
        while hear() != ".": pass
        say("250 ok")
    elif verb.startswith("QUIT"): say("221 bye"); break
    else: say("250 ok")
'''


def trace(program, data, command=ECHO, options=(), cut=None):
    """(exit status, standard output, lines of the trace from the client and to it, without the pid)"""
    process = subprocess.Popen([program, *options, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    if cut:
        for at in range(0, len(data), cut):
            process.stdin.write(data[at:at + cut])
            process.stdin.flush()
            time.sleep(0.002)
        out, err = process.communicate(timeout=20)
    else:
        out, err = process.communicate(data, timeout=20)
    prefix = b"%d " % process.pid
    lines = err.split(b"\n")[:-1]
    assert all(line.startswith((prefix + b"< ", prefix + b"> ")) for line in lines), err
    return (process.returncode, out, [line[len(prefix):] for line in lines if line[len(prefix):][:1] == b"<"],
            [line[len(prefix):] for line in lines if line[len(prefix):][:1] == b">"])


PLAIN_STREAMS = {
    "nothing": b"", "a line": b"hello\r\n", "no end": b"hello", "empty lines": b"\n\n\r\n",
    "255": b"x" * 255 + b"\n", "256": b"x" * 256 + b"\n", "257": b"x" * 257 + b"\n", "256 without end": b"q" * 256,
    "12 KB": b"y" * 12288 + b"\r\nz\n", "long and short": b"a\n" + b"b" * 300 + b"\nc\n",
    "any byte": bytes(b for b in range(256) if b != 22) * 3,
    "much": b"".join(b"line %d\r\n" % i for i in range(3000)),
    "smtp": b"EHLO x\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nQUIT\r\n",
}


@pytest.mark.skipif(not REAL, reason="recordio is not installed")
@pytest.mark.parametrize("name", PLAIN_STREAMS)
def test_the_same_bytes_as_recordio(name):
    data = PLAIN_STREAMS[name]
    assert trace(RECORD, data) == trace(REAL, data)
    assert trace(RECORD, data)[0] == 7


@pytest.mark.skipif(not REAL, reason="recordio is not installed")
def test_all_secrets_shown_is_recordio():
    data = b"EHLO x\r\nAUTH PLAIN AHRlc3QAc2VjcmV0\r\nAUTH LOGIN\r\ndGVzdA==\r\nc2VjcmV0\r\nQUIT\r\n\x16\x03\x01\n"
    command = ["python3", "-c", TALKER]
    assert trace(RECORD, data, command, ["--show-secrets"]) == trace(REAL, data, command)


def test_the_trace_of_a_login_holds_no_secret():
    data = (b"EHLO x\r\nAUTH PLAIN AHRlc3QAc2VjcmV0\r\nauth login\r\ndGVzdA==\r\nc2VjcmV0\r\nMAIL FROM:<a@b.c>\r\n"
            b"AUTH CRAM-MD5\r\ndGVzdCBzZWNyZXQ=\r\nDATA\r\nAUTH PLAIN of the body\r\n.\r\nQUIT\r\n")
    for cut in (None, 1, 3, 7):
        status, _, client, server = trace(RECORD, data, ["python3", "-c", TALKER], cut=cut)
        text = b"\n".join(client)
        assert status == 0
        for secret in (b"AHRlc3QA", b"dGVzd", b"c2VjcmV0", b"c2Vj"):
            assert secret not in text, text
        assert b"> 334 VXNlcm5hbWU6\r " in server and b"> 334 PDEuMkBhLmI+\r " in server
        if cut is None:
            assert b"< AUTH PLAIN <16 bytes>\r " in client
            assert any(re.fullmatch(rb"< <\d+ bytes>\r ", line) for line in client)


def test_the_body_is_shown_and_does_not_confuse(tmp_path):
    """In lock step, as a client talks: the body's AUTH is text, the one behind it is not."""
    process = subprocess.Popen([RECORD, "python3", "-c", TALKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    for line, answer in ((None, b"220"), (b"DATA", b"354"), (b"AUTH PLAIN of the body\r\n.", b"250"),
                         (b"AUTH PLAIN c2VjcmV0", b"235"), (b"QUIT", b"221")):
        if line:
            process.stdin.write(line + b"\r\n")
            process.stdin.flush()
        assert process.stdout.readline().startswith(answer)
    err = process.communicate(timeout=20)[1]
    assert b"< AUTH PLAIN of the body\r \n" in err and b"< AUTH PLAIN <8 bytes>\r \n" in err


@pytest.mark.parametrize("command,status", [(["sh", "-c", "exit 0"], 0), (["sh", "-c", "exit 111"], 111),
                                            (["sh", "-c", "kill -9 $$"], -9), (["/nonexistent/program"], 111)])
def test_exits_as_the_program_does(command, status):
    assert subprocess.run([RECORD, *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == status


def test_without_a_program_it_says_how():
    for arguments in ([], ["--show-secrets"], ["--no-such", "cat"]):
        done = subprocess.run([RECORD, *arguments], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert done.returncode == 100 and b"usage" in done.stderr


def test_the_program_has_its_surroundings():
    """Environment and descriptor 2 are inherited, 0 and 1 are pipes, and no child turns up in wait()."""
    script = ("import os, stat, sys\n"
              "print(os.environ['MARK'], [stat.S_ISFIFO(os.fstat(n).st_mode) for n in (0, 1)], len(os.listdir('/proc/self/fd')))\n"
              "sys.stderr.write('said\\n')\n"
              "try: os.wait()\n"
              "except ChildProcessError: print('none')\n")
    done = subprocess.run([RECORD, "python3", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=dict(os.environ, MARK="here"))
    assert done.stdout == b"here [True, True] 4\nnone\n" and b"said\n" in done.stderr


def test_a_full_or_closed_descriptor_2_does_not_stop_it():
    with open("/dev/full", "w") as full:
        done = subprocess.run([RECORD, *ECHO], input=b"hello\n", stdout=subprocess.PIPE, stderr=full)
    assert done.stdout == b"hello\n" and done.returncode == 7
    done = subprocess.run(["sh", "-c", f"{RECORD} cat 2>&-"], input=b"hello\n", stdout=subprocess.PIPE)
    assert done.stdout == b"hello\n"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([RECORD, *ECHO], input=b"hello\n" * 1000, stdout=subprocess.PIPE, stderr=write)
    os.close(write)
    assert done.stdout == b"hello\n" * 1000 and done.returncode == 7


def test_each_direction_waits_for_itself_alone():
    """PROG writes much before it reads, the client writes much before it reads: nobody waits for ever."""
    script = "import sys; sys.stdout.write('x' * 300000); sys.stdout.flush(); print(len(sys.stdin.read()))"
    done = subprocess.run([RECORD, "python3", "-c", script], input=b"y" * 300000, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, timeout=60)
    assert done.stdout == b"x" * 300000 + b"300000\n"


@pytest.mark.skipif(not shutil.which("tcpserver"), reason="tcpserver is not installed")
@pytest.mark.parametrize("program", [str(RECORD), "recordio"])
def test_under_tcpserver(tmp_path, program):
    """The pid in the trace is the one in tcpserver's log; the client sees the dialogue unchanged."""
    if program == "recordio":
        program = str(tmp_path / "recordio")
        os.symlink(RECORD, program)
    port = free_ports(1)[0]
    log = open(tmp_path / "log", "wb")
    server = subprocess.Popen(["tcpserver", "-vRHl0", "127.0.0.1", str(port), program, "python3", "-c", TALKER],
                              stderr=log)
    try:
        def connect():
            try:
                return socket.create_connection(("127.0.0.1", port), 10)
            except ConnectionRefusedError:
                return None
        sock = wait_for(connect, "tcpserver")
        stream = sock.makefile("rwb")
        for line, answers in ((None, [b"220"]), (b"EHLO x", [b"250-", b"250 "]),
                              (b"AUTH PLAIN AHRlc3QAc2VjcmV0", [b"235"]), (b"QUIT", [b"221"])):
            if line:
                stream.write(line + b"\r\n")
                stream.flush()
            for answer in answers:
                assert stream.readline().startswith(answer)
        assert stream.readline() == b""
        text = wait_for(lambda: (lambda t: t if " end " in t and "> [EOF]" in t else None)(
            (tmp_path / "log").read_text()), "the log")
    finally:
        server.terminate()
        server.wait(10)
        log.close()
    pid = re.search(r"tcpserver: pid (\d+) from", text)[1]
    assert f"{pid} < AUTH PLAIN <16 bytes>\r \n" in open(tmp_path / "log", newline="").read()
    assert f"{pid} > 235 ok" in text and f"{pid} > [EOF]" in text and "AHRl" not in text
