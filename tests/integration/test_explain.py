"""postern explain on real transcripts: of swaks, openssl s_client, recordio, postern record, postern send and postern
try's server; none of them has a mistake in it, and no password comes out."""

import base64
import json
import shutil
import subprocess
import time

import pytest

from postern import BUILD, POSTERN, free_ports, wait_for

USER, PASSWORD = "anna@example.org", "correct horse"
SECRETS = [PASSWORD, base64.b64encode(PASSWORD.encode()).decode(),
           base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()]


def explain(text, *args, stdin_before="", status=0):
    done = subprocess.run([POSTERN, "explain", *args], input=stdin_before + text, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def swaks(server, mechanism, *more):
    return subprocess.run(["swaks", "--server", f"127.0.0.1:{server.starttls}", "--auth", mechanism, "--auth-user", USER,
                           "--auth-password", PASSWORD, "--from", USER, "--to", "bob@example.net", "--body", "hello",
                           *more], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60).stdout


@pytest.mark.skipif(not shutil.which("swaks"), reason="swaks is not installed")
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_swaks(server, mechanism):
    text = swaks(server, mechanism, "--tls")
    out = explain(text, "--user", USER, "--password-stdin", stdin_before=PASSWORD + "\n")
    assert f"logged in by {mechanism}" in out and f'"{USER}"' in out and "No mistake." in out
    assert "matches" in out
    for secret in SECRETS:
        assert secret not in out
    assert PASSWORD in explain(text, "--show-secrets") or mechanism == "CRAM-MD5"
    assert "does not match" in explain(text, "--user", USER, "--password-stdin", stdin_before="wrong\n")


@pytest.mark.skipif(not shutil.which("swaks"), reason="swaks is not installed")
def test_swaks_in_clear(server):
    text = swaks(server, "PLAIN").replace(f":{server.starttls}", "")
    assert "AUTH PLAIN" not in text  # not offered without TLS, so swaks does not try
    text = swaks(server, "PLAIN", "--port", str(server.plain), "--server", "127.0.0.1")
    out = explain(text, status=1)
    assert "TLS comes first" in out and "1 mistake." in out


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_postern_send(server, tls):
    port = server.starttls if tls == "starttls" else server.implicit
    done = server.run("send", "--server", f"localhost:{port}", "--tls", tls, "--ca", server.authority.ca, "--user", USER,
                      "--password-stdin", "--from", USER, "--to", "bob@example.net", "--trace", "/dev/null",
                      stdin=PASSWORD + "\n")
    out = explain(done.stdout + done.stderr)
    assert "client-final" in out and "logged in by SCRAM-SHA-512-PLUS" in out and "no impostor" in out


def test_s_client(server):
    """The server's lines alone, as s_client writes them into a pipe, and with what was typed."""
    typed = ["EHLO x", "AUTH PLAIN " + SECRETS[2], "QUIT"]
    process = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{server.implicit}", "-crlf", "-ign_eof"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    text = ""
    for line, end in zip([None, *typed], ["ESMTP Postern", "ENHANCEDSTATUSCODES", "235 ", "closed"]):
        if line:
            process.stdin.write(line + "\n")
            process.stdin.flush()
            text += line + "\n"
        while not text.splitlines() or end not in text.splitlines()[-1]:
            got = process.stdout.readline()
            assert got, text
            text += got
    process.stdin.close()
    process.wait(20)
    out = explain(text)
    assert "logged in by PLAIN" in out and f'user "{USER}", password <13 bytes>' in out
    out = explain("".join(line + "\n" for line in text.splitlines() if line not in typed))
    assert "logged in" in out


@pytest.mark.parametrize("program", ["record", "recordio", "record --show-secrets"])
def test_record(tmp_path, program):
    if program == "recordio" and not shutil.which("recordio"):
        pytest.skip("recordio is not installed")
    name, *options = program.split()
    command = ["recordio"] if name == "recordio" else [BUILD / "libexec" / "postern" / "postern-record", *options]
    talk = ("printf '220 hi\\r\\n'; read l; printf '250-hi\\r\\n250 AUTH PLAIN LOGIN\\r\\n'; read l;"
            " printf '334 VXNlcm5hbWU6\\r\\n'; read l; printf '334 UGFzc3dvcmQ6\\r\\n'; read l; printf '235 ok\\r\\n'")
    process = subprocess.Popen([*command, "sh", "-c", talk], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    for line in ["EHLO x", "AUTH LOGIN", base64.b64encode(USER.encode() * 12).decode(), SECRETS[1]]:
        process.stdin.write(line + "\r\n")
        process.stdin.flush()
        while process.stdout.readline()[3:4] == "-":
            pass
    text = process.communicate(timeout=20)[1]
    out = explain(text, "--tls")
    assert "logged in by LOGIN" in out and "the server asks: \"Password:\"" in out
    # The user's line is longer than a piece of a trace: it is joined again.
    if program != "record":
        assert f'the user: "{USER * 12}"'[:200] in out and "the password: <13 bytes>" in out
    assert "TLS comes first" in explain(text, status=1)


def test_sessions_with_several_pids_are_told_apart():
    text = ("7 > 220 a \n8 > 220 b \n7 < AUTH LOGIN \n8 < EHLO x \n7 > 503 no \n8 > 250 b \n"
            "8 < MAIL FROM:<a@b.c> \n8 > 250 ok \n7 < [EOF]\n8 < QU+\n8 < IT \n")
    rows = json.loads(explain(text, "--json", status=1))
    assert [(row["line"], row["mistakes"][0]["rfc"]) for row in rows if row["mistakes"]] == [
        (3, "RFC 5321 section 4.1.4")]
    assert rows[-1]["text"] == "QUIT" and rows[-1]["line"] == 11 and rows[8]["who"] is None


def test_json():
    rows = json.loads(explain("S: 220 hi\nC: AUTH PLAIN AHgAeQ==\nS: 503 \x1b[31m\nnoise\n", "--json", status=1))
    assert [row["who"] for row in rows] == ["server", "client", "server", None]
    assert set(rows[0]) == {"line", "who", "text", "meaning", "mistakes"}
    assert rows[1]["text"] == "AUTH PLAIN <8 characters>"
    assert {m["rfc"] for m in rows[1]["mistakes"]} == {"RFC 5321 section 4.1.4",
                                                       "RFC 4954 section 9, RFC 4616 section 4"}
    assert all(m["rule"] for m in rows[1]["mistakes"])
    assert "\x1b" not in rows[2]["text"]
    assert json.loads(explain("", "--json")) == []


def test_files_and_usage(tmp_path):
    path = tmp_path / "dialogue"
    path.write_text("C: QUIT\nS: 221 bye\n")
    assert "No mistake." in explain("", str(path))
    for args in (["/nonexistent"], ["--user", "x"], ["--password-stdin"], [str(path), str(path)], ["--wrong"], ["/"]):
        done = subprocess.run([POSTERN, "explain", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        assert done.returncode == 2 and done.stderr, args


def test_hostile_input_is_quick_and_safe():
    """Bytes of all kinds, endless lines, and rounds of PBKDF2 that would take for ever."""
    begin = time.monotonic()
    data = bytes(range(256)) * 400 + b"\n" + b"C: AUTH PLAIN " + b"A" * 1000000 + b"\n"
    first = base64.b64encode(b"n,,n=user,r=abc").decode()
    challenge = base64.b64encode(b"r=abcd,s=QQ==,i=4000000000").decode()
    final = base64.b64encode(b"c=biws,r=abcd,p=" + base64.b64encode(b"x" * 32)).decode()
    data += f"C: AUTH SCRAM-SHA-256 {first}\nS: 334 {challenge}\nC: {final}\nS: 235 ok\n".encode() * 20
    done = subprocess.run([POSTERN, "explain", "--user", "user", "--password-stdin"], input=b"pencil\n" + data,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 1 and time.monotonic() - begin < 20
    done.stdout.decode()
    assert not [b for b in done.stdout if (b < 32 and b != 10) or b == 127]


def test_much_of_everything_costs_little():
    """Millions of empty lines, and thousands of proofs of a million rounds each."""
    script = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL); " \
             "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    for data in (b"\n" * 3000000, b"5 < x+\n" * 100000):
        done = subprocess.run(["/usr/bin/python3", "-c", script, POSTERN, "explain"], input=data, stdout=subprocess.PIPE,
                              timeout=60)
        assert int(done.stdout) < 120000, "KiB"
    first = base64.b64encode(b"n,,n=user,r=abc").decode()
    challenge = base64.b64encode(b"r=abcd,s=QQ==,i=1000000").decode()
    final = base64.b64encode(b"c=biws,r=abcd,p=" + base64.b64encode(b"x" * 32)).decode()
    text = f"C: AUTH SCRAM-SHA-256 {first}\nS: 334 {challenge}\nC: {final}\nS: 535 no\n" * 1000
    begin = time.monotonic()
    out = explain(text, "--tls", "--user", "user", "--password-stdin", stdin_before="pencil\n")
    assert time.monotonic() - begin < 50
    assert out.count("the proof does not match") == 20 and out.count("the proof cannot be checked") == 980


def test_try_speaks_with_the_same_words(tmp_path):
    port = free_ports(1)[0]
    process = subprocess.Popen([POSTERN, "try", "--port", str(port)], cwd=tmp_path, stdout=subprocess.PIPE,
                               stderr=open(tmp_path / "log", "w"), text=True)
    try:
        wait_for(lambda: "postern: ready" in (tmp_path / "log").read_text(), "try to be ready")
        for _ in range(2):
            subprocess.run([POSTERN, "send", "--server", f"localhost:{port}", "--ca", tmp_path / "postern-try/cert.pem",
                            "--user", "try", "--password-stdin", "--from", "try@example.org", "--to", "you@example.org",
                            "/dev/null"], input="try\n", text=True, check=True, stdout=subprocess.DEVNULL)
        wait_for(lambda: (tmp_path / "log").read_text().count("S: 221") == 2, "both sessions to end")
        log = (tmp_path / "log").read_text()
        assert log.count("(logged in by SCRAM-SHA-512-PLUS)") == 2, log
        assert log.count("(client-final: ") == 2 and log.count("no impostor") == 2
    finally:
        process.terminate()
        process.wait(20)
