"""Programs that are not ours submit over TLS, and their message arrives byte for byte."""

import base64
import os
import pathlib
import pty
import re
import smtplib
import subprocess
import termios

import pytest

from postern import Server

HERE = pathlib.Path(__file__).parent
USER, PASSWORD = "anna@example.org", "correct horse"
BODY = ("A line.\n.\n..two dots\n.leading dot\n" + "x" * 900 + "\n\n  spaces  \ntrailing tab\t\nend\n")
MECHANISMS = ["PLAIN", "LOGIN", "CRAM-MD5"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("clients")) as running:
        yield running


def letter(subject):
    return f"From: {USER}\nTo: bob@example.net\nSubject: {subject}\n\n{BODY}"


class Inbox:
    """A mailbox of its own for each test, so that tests do not count each other's messages."""
    count = 0

    def __init__(self, server):
        Inbox.count += 1
        self.server, self.user = server, f"box{Inbox.count}"
        self.address = f"{self.user}@example.net"

    def check(self, subject, body=BODY):
        text = self.server.wait_messages(1, self.user)[0].decode()
        head, got = text.split("\n\n", 1)
        assert f"Subject: {subject}" in head
        assert "with ESMTPSA id" in head.replace("\n\t", " ").replace("\n ", " ")
        assert got == body


@pytest.fixture
def inbox(server):
    return Inbox(server)


def run(command, stdin=None, env=None):
    done = subprocess.run([str(c) for c in command], input=stdin, text=True, env=env, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("mode", ["starttls", "implicit"])
def test_swaks(server, inbox, tmp_path, mechanism, mode):
    data = tmp_path / "message"
    data.write_text(letter("by swaks"))
    tls = ["--tls"] if mode == "starttls" else ["--tls-on-connect"]
    status, output = run(["swaks", "--server", "localhost", "--port", getattr(server, mode), *tls, "--tls-verify",
                          "--tls-ca-path", server.authority.ca, "--auth", mechanism, "--auth-user", USER,
                          "--auth-password", PASSWORD, "--from", USER, "--to", inbox.address, "--data",
                          "@" + str(data), "--helo", "client.example.org"])
    assert status == 0, output
    # swaks adds the empty line that its own dialogue needs before the final dot.
    text = server.wait_messages(1, inbox.user)[0].decode()
    assert text.split("\n\n", 1)[1].rstrip("\n") == BODY.rstrip("\n")


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("mode", ["starttls", "implicit"])
def test_curl(server, inbox, tmp_path, mechanism, mode):
    data = tmp_path / "message"
    data.write_bytes(letter("by curl").replace("\n", "\r\n").encode())
    scheme = "smtp" if mode == "starttls" else "smtps"
    status, output = run(["curl", "-sSv", "--ssl-reqd", f"{scheme}://localhost:{getattr(server, mode)}/client.example.org",
                          "--cacert", server.authority.ca, "--user", f"{USER}:{PASSWORD}", "--login-options",
                          f"AUTH={mechanism}", "--mail-from", USER, "--mail-rcpt", inbox.address, "-T", data])
    assert status == 0, output
    inbox.check("by curl")


@pytest.mark.parametrize("mechanism", ["plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256"])
def test_msmtp(server, inbox, mechanism):
    status, output = run(["msmtp", "--file=/dev/null", "--host=localhost", f"--port={server.starttls}", "--tls=on",
                          "--tls-starttls=on", f"--tls-trust-file={server.authority.ca}", f"--auth={mechanism}",
                          f"--user={USER}", f"--passwordeval=echo '{PASSWORD}'", f"--from={USER}", "--timeout=20",
                          "--domain=client.example.org", inbox.address], stdin=letter("by msmtp"))
    assert status == 0, output
    inbox.check("by msmtp")


def gsasl(server, mechanism, dialogue, *options, password=PASSWORD):
    """Run gsasl; after the login it sends what it finds on standard input, which must come line by line: gsasl
    waits with poll() and reads with getline(), so of a pipe's content only the first line would be seen. A
    terminal in line mode gives one line at each read."""
    master, terminal = pty.openpty()
    mode = termios.tcgetattr(terminal)
    mode[0] &= ~(termios.ICRNL | termios.IXON)
    mode[3] = (mode[3] & ~(termios.ECHO | termios.ISIG)) | termios.ICANON
    termios.tcsetattr(terminal, termios.TCSANOW, mode)
    script = subprocess.Popen(["gsasl", "--smtp", f"--connect=localhost:{server.starttls}",
                               f"--x509-ca-file={server.authority.ca}", f"--mechanism={mechanism}",
                               f"--authentication-id={USER}", f"--password={password}",
                               "--hostname=localhost", "--service=smtp", *options],
                              stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    os.close(terminal)
    try:
        os.write(master, dialogue.encode())
        output, _ = script.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        script.kill()
        output, _ = script.communicate()
    finally:
        os.close(master)
    return output


@pytest.mark.parametrize("mechanism, options", [
    ("PLAIN", []), ("LOGIN", []), ("CRAM-MD5", []),
    # Without -PLUS gsasl 2.2 says "y" and a binding's name at once and fails on its own; --no-cb makes it "n".
    ("SCRAM-SHA-1", ["--no-cb"]), ("SCRAM-SHA-256", ["--no-cb"]),
    ("SCRAM-SHA-1-PLUS", []), ("SCRAM-SHA-256-PLUS", []),
    ("SCRAM-SHA-1-PLUS", ["--priority=NORMAL:-VERS-TLS1.3"]),
    ("SCRAM-SHA-256-PLUS", ["--priority=NORMAL:-VERS-TLS1.3"])])
def test_gsasl(server, inbox, mechanism, options):
    dialogue = (f"MAIL FROM:<{USER}>\nRCPT TO:<{inbox.address}>\nDATA\n" +
                letter("by gsasl").replace("\n.", "\n..") + ".\nQUIT\n")
    output = gsasl(server, mechanism, dialogue.replace("\n", "\r\n"), *options)
    assert "235 2.7.0" in output, output
    inbox.check("by gsasl")
    line = server.wait_log(rf"recipient={re.escape(inbox.address)} .*result=delivered")
    session = re.search(r"session=(\w+)", line).group(1)
    line = server.wait_log(rf"session={session} listener=.* end=")
    assert f"mech={mechanism} " in line and f"tls={'TLSv1.2' if '-PLUS' in mechanism and options else 'TLSv1.3'}" in line


@pytest.mark.parametrize("mechanism, options", [("PLAIN", []), ("CRAM-MD5", []), ("SCRAM-SHA-256", ["--no-cb"]),
                                                ("SCRAM-SHA-256-PLUS", [])])
def test_gsasl_wrong_password(server, mechanism, options):
    output = gsasl(server, mechanism, "QUIT\r\n", *options, password="wrong")
    assert "535 5.7.8" in output and "235 " not in output, output


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
def test_python_smtplib(server, inbox, mode):
    with server.smtp(getattr(server, mode), login=(USER, PASSWORD)) as client:
        client.sendmail(USER, [inbox.address], letter("by smtplib").replace("\n", "\r\n").encode())
    inbox.check("by smtplib")


def test_python_smtplib_wrong_then_right(server, inbox):
    client = server.smtp(server.starttls)
    for _ in range(2):
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            client.login(USER, "wrong", initial_response_ok=True)
        assert refused.value.smtp_code == 535 or refused.value.smtp_code == 421
        client = server.smtp(server.starttls)
    client.login(USER, PASSWORD)
    client.sendmail(USER, [inbox.address], letter("after all").replace("\n", "\r\n").encode())
    client.quit()
    inbox.check("after all")


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
def test_perl_net_smtp(server, inbox, mode):
    status, output = run(["perl", HERE / "send.pl", getattr(server, mode), mode, USER, PASSWORD,
                          server.authority.ca, USER, inbox.address], stdin=letter("by Net::SMTP"))
    assert status == 0, output
    inbox.check("by Net::SMTP")


@pytest.fixture(scope="module")
def nodemailer():
    folder = HERE / "node"
    if not (folder / "node_modules" / "nodemailer").exists():
        done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, text=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if done.returncode != 0 and not os.environ.get("CI"):
            pytest.skip("npm cannot bring nodemailer: " + done.stderr.strip()[:300])
        assert done.returncode == 0, done.stderr
    return HERE / "send.js"


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("mode", ["starttls", "implicit"])
def test_nodemailer(server, inbox, nodemailer, mechanism, mode):
    status, output = run(["node", nodemailer, getattr(server, mode), mode, mechanism, USER, PASSWORD,
                          server.authority.ca, USER, inbox.address], stdin=letter("by nodemailer"))
    assert status == 0, output
    inbox.check("by nodemailer")


@pytest.mark.parametrize("mechanism", ["plain", "login", "cram-md5"])
def test_s_nail(server, inbox, tmp_path, mechanism):
    user, password = USER.replace("@", "%40"), PASSWORD.replace(" ", "%20")
    status, output = run(["s-nail", "-:/", "-Sv15-compat", "-Sttycharset=utf-8",
                          f"-Smta=smtp://{user}:{password}@localhost:{server.starttls}", "-Ssmtp-use-starttls",
                          f"-Stls-ca-file={server.authority.ca}", "-Stls-verify=strict", "-Stls-ca-no-defaults",
                          f"-Ssmtp-config=-all,{mechanism},starttls", f"-Sfrom={USER}", "-Shostname=client.example.org",
                          "-s", "by s-nail", "-Sexpandaddr", "-Ssendwait", inbox.address], stdin=BODY,
                         env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})
    assert status == 0, output
    inbox.check("by s-nail")


def test_openssl_s_client(server, inbox):
    ir = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    # One command at a time, as a person would type them: s_client treats a leading R or Q as its own.
    client = subprocess.Popen(["openssl", "s_client", "-connect", f"localhost:{server.implicit}", "-quiet", "-crlf",
                               "-ign_eof", "-nocommands", "-verify_return_error", "-CAfile", server.authority.ca],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def step(text, code):
        if text is not None:
            client.stdin.write(text)
            client.stdin.flush()
        while True:
            line = client.stdout.readline()
            assert line.startswith(code), f"{text!r}: {line!r}"
            if line[3] == " ":
                return
    step(None, "220")
    step("EHLO client.example.org\n", "250")
    step(f"AUTH PLAIN {ir}\n", "235")
    step(f"MAIL FROM:<{USER}>\n", "250")
    step(f"RCPT TO:<{inbox.address}>\n", "250")
    step("DATA\n", "354")
    step(letter("by s_client").replace("\n.", "\n..") + ".\n", "250")
    step("QUIT\n", "221")
    client.stdin.close()
    client.wait(20)
    inbox.check("by s_client")


WRONG = {
    "swaks": lambda server, data: [
        "swaks", "--server", "localhost", "--port", server.starttls, "--tls", "--tls-verify", "--tls-ca-path",
        server.authority.ca, "--auth", "PLAIN", "--auth-user", USER, "--auth-password", "wrong", "--from", USER,
        "--to", "nobody@example.net", "--helo", "client.example.org"],
    "curl": lambda server, data: [
        "curl", "-sSv", "--ssl-reqd", f"smtp://localhost:{server.starttls}", "--cacert", server.authority.ca, "--user",
        f"{USER}:wrong", "--mail-from", USER, "--mail-rcpt", "nobody@example.net", "-T", data],
    "msmtp": lambda server, data: [
        "msmtp", "--file=/dev/null", "--host=localhost", f"--port={server.starttls}", "--tls=on",
        f"--tls-trust-file={server.authority.ca}", "--auth=scram-sha-256", f"--user={USER}",
        "--passwordeval=echo wrong", f"--from={USER}", "--timeout=20", "nobody@example.net"],
    "perl": lambda server, data: [
        "perl", HERE / "send.pl", server.starttls, "starttls", USER, "wrong", server.authority.ca, USER,
        "nobody@example.net"],
}


@pytest.mark.parametrize("program", WRONG)
def test_wrong_password(server, tmp_path, program):
    """The program must fail with the server's words, and nothing may arrive."""
    data = tmp_path / "message"
    data.write_bytes(letter("never").replace("\n", "\r\n").encode())
    status, output = run(WRONG[program](server, data), stdin=letter("never"))
    assert status != 0
    assert program == "curl" and " 535 5.7.8 " in output or "authentication credentials invalid" in output, output
    assert server.messages("nobody") == []


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_nodemailer_wrong_password(server, nodemailer, mechanism):
    status, output = run(["node", nodemailer, server.starttls, "starttls", mechanism, USER, "wrong",
                          server.authority.ca, USER, "nobody@example.net"], stdin=letter("never"))
    assert status == 1 and "535 5.7.8" in output, output
    assert server.messages("nobody") == []


def mutt(server, folder, inbox, settings):
    rc = folder / "muttrc"
    user = USER.replace("@", "%40")
    rc.write_text(f'set smtp_url="smtp://{user}@localhost:{server.starttls}"\nset smtp_pass="{PASSWORD}"\n'
                  f'set ssl_starttls=yes\nset ssl_force_tls=yes\nset certificate_file="{server.authority.ca}"\n'
                  f'set ssl_ca_certificates_file="{server.authority.ca}"\nset from="{USER}"\nset realname=""\n'
                  f'set copy=no\nset hostname="client.example.org"\n{settings}')
    return run(["mutt", "-n", "-F", rc, "-s", "by mutt", inbox.address], stdin=BODY,
               env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "TERM": "dumb"})


def test_mutt(server, inbox, tmp_path):
    """With what the README says to set."""
    status, output = mutt(server, tmp_path, inbox, 'set smtp_authenticators="plain:login"\n')
    assert status == 0, output
    inbox.check("by mutt")


def test_mutt_as_it_comes(server, inbox, tmp_path):
    """mutt of Debian 12, left to choose, takes SCRAM-SHA-256-PLUS, finds that it cannot do it, and gives up without
    trying another one. An administrator must see that in the session's line."""
    status, output = mutt(server, tmp_path, inbox, "")
    assert status == 1 and "authentication failed" in output, output
    server.wait_log(r'^info: session=\w+ .*mech=SCRAM-SHA-256-PLUS .*reason="the client gave up the login '
                    r'with \\"\*\\"" end=')
    assert server.messages(inbox.user) == []
