"""Providers with processes of their own: files of users, sasldb, saslauthd, PAM, checkpassword programs.

Each is asked through the whole server: a client logs in by SMTP, and only the reply's code is looked at.
The other end is the real one wherever there is one: htpasswd, saslpasswd2, saslauthd, libpam.
"""

import base64
import contextlib
import hashlib
import os
import pathlib
import shutil
import signal
import smtplib
import socket
import stat
import subprocess
import time

import pytest

from postern import BUILD, open_to_roles, wait_for

MECHANISMS = 'mechanisms = {"SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN"}'
ANNA = ("anna@example.org", "correct horse")
OK, WRONG, LATER = 235, 535, 454


def providers(*names, more=""):
    return f'{MECHANISMS} providers = {{{", ".join(chr(34) + n + chr(34) for n in names)}}} {more}'


def login(server, user, password, mechanism="PLAIN"):
    """The code of the reply to AUTH."""
    client = smtplib.SMTP("127.0.0.1", server.plain, timeout=30)
    try:
        client.ehlo()
        client.user, client.password = user, password
        method = getattr(client, "auth_" + mechanism.lower().replace("-", "_"))
        return client.auth(mechanism, method, initial_response_ok=mechanism == "PLAIN")[0]
    except smtplib.SMTPAuthenticationError as error:
        return error.smtp_code
    finally:
        client.close()


def scram(server, user, password):
    """0: logged in and sent; 1: refused; 75: temporary."""
    return subprocess.run([str(server.postern), "send", "--server", f"127.0.0.1:{server.implicit}",
                           "--tls", "implicit", "--ca", str(server.authority.ca), "--auth", "SCRAM-SHA-256",
                           "--user", user, "--password-stdin", "--from", "bert@example.org",
                           "--to", "bob@example.net", "/dev/stdin"],
                          input=password + "\n", text=True, capture_output=True, timeout=60).returncode


def reload(server):
    before = len(server.stderr)
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: any("read again" in line or "is refused" in line for line in server.stderr[before:]),
             lambda: "the reload to be logged\n" + server.log_text())


def put(path, text, mode=0o644):
    """Replace a file as a careful program does: by rename."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.chmod(mode)
    fresh.rename(path)


@pytest.fixture
def folder(tmp_path):
    users = tmp_path / "users"
    users.mkdir()
    open_to_roles(users)
    return users


def needs(program):
    return pytest.mark.skipif(not shutil.which(program), reason=f"{program} is not installed")


# ---- files ----

def ssha(password):
    salt = b"salt"
    return "{SSHA}" + base64.b64encode(hashlib.sha1(password.encode() + salt).digest() + salt).decode()


@needs("htpasswd")
def test_files_of_other_systems(make_server, folder):
    flat, web, qmail = folder / "passwd", folder / "htpasswd", folder / "authuser"
    crypt = subprocess.run(["openssl", "passwd", "-6", "six"], capture_output=True, text=True, check=True)
    put(flat, f"clear:{{PLAIN}}plain text\nhashed@example.org:{ssha('salted')}:1:2::/home\n"
              f"six:{crypt.stdout.strip()}\nbare:bare\nanna:{{PLAIN}}not the store's\n")
    for option, name in (("-bcm", "md5"), ("-bB", "bcrypt"), ("-bs", "sha")):
        subprocess.run(["htpasswd", option, str(web), name, "web " + name], check=True, capture_output=True)
    web.chmod(0o644)
    put(qmail, "# ours\nold@example.org:old\n!gone@example.org\n@domain.example:all of them\n")
    server = make_server(auth=providers("store", "flat", "web", "qmail", more='default_domain = "example.org"'),
                         extra=f'''
provider flat {{ type = "file"  path = "{flat}"  format = "passwd" }}
provider web {{ type = "file"  path = "{web}"  format = "htpasswd" }}
provider qmail {{ type = "file"  path = "{qmail}"  format = "authuser" }}
''')
    assert len(server.pids("provider")) == 3
    rows = [
        (*ANNA, OK), ("anna", "not the store's", WRONG),
        ("clear", "plain text", OK), ("clear@example.org", "plain text", OK), ("clear", "{PLAIN}plain text", WRONG),
        ("hashed@example.org", "salted", OK), ("hashed", "salted", OK), ("hashed@example.org", "other", WRONG),
        ("six", "six", OK), ("bare", "bare", WRONG),
        ("md5", "web md5", OK), ("bcrypt", "web bcrypt", OK), ("sha", "web sha", OK), ("bcrypt", "web sha", WRONG),
        ("old@example.org", "old", OK), ("gone@example.org", "gone", WRONG), ("x@domain.example", "all of them", OK),
        ("nobody@example.org", "x", WRONG),
    ]
    got = [(user, password, login(server, user, password)) for user, password, _ in rows]
    assert got == [tuple(row) for row in rows]
    assert login(server, "clear", "plain text", "CRAM-MD5") == OK
    assert login(server, "clear", "wrong", "CRAM-MD5") == WRONG
    assert login(server, "old@example.org", "old", "CRAM-MD5") == OK
    assert login(server, "hashed", "salted", "CRAM-MD5") == WRONG
    assert login(server, *ANNA, "CRAM-MD5") == OK
    assert scram(server, "clear", "plain text") == 0
    assert scram(server, "old@example.org", "old") == 0
    assert scram(server, "old@example.org", "wrong") == 1
    assert scram(server, *ANNA) == 0
    assert scram(server, "nobody@example.org", "x") == 1
    assert server.logged(r'clear@example.org.*provider="?flat'), server.log_text()


def test_changed_replaced_and_removed_files(make_server, folder):
    flat = folder / "passwd"
    put(flat, "bert:{PLAIN}one\n")
    server = make_server(auth=providers("flat", "store"),
                         extra=f'provider flat {{ type = "file"  path = "{flat}"  format = "passwd" }}')
    assert login(server, "bert", "one") == OK
    # By rename; a success of before is remembered for no more than a moment.
    put(flat, "bert:{PLAIN}two\n")
    assert login(server, "bert", "two") == OK
    wait_for(lambda: login(server, "bert", "one") == WRONG, "the old password to be forgotten", 5)
    # In place.
    flat.write_text("bert:{PLAIN}three\ncarl:{PLAIN}new\n")
    wait_for(lambda: login(server, "bert", "two") == WRONG, "the old password to be forgotten", 5)
    assert login(server, "bert", "three") == OK
    assert login(server, "carl", "new") == OK
    # Gone: of its users nothing is known, and that is no reason to send others away.
    flat.unlink()
    wait_for(lambda: login(server, "bert", "three") == LATER, "the file to be missed", 5)
    assert login(server, "nobody", "x") == LATER
    assert login(server, *ANNA) == OK
    assert login(server, "carl", "new", "CRAM-MD5") == LATER
    assert scram(server, "carl", "new") == 75
    put(flat, "bert:{PLAIN}four\n")
    assert login(server, "bert", "four") == OK
    assert login(server, "nobody", "x") == WRONG


def test_killed_process_comes_back(make_server, folder):
    flat = folder / "passwd"
    put(flat, "bert:{PLAIN}one\n")
    server = make_server(auth=providers("flat", more="cache_ttl = 0"),
                         extra=f'provider flat {{ type = "file"  path = "{flat}"  format = "passwd" }}')
    for _ in range(3):
        old = server.pids("provider")
        assert login(server, "bert", "one") == OK
        os.kill(old[0], signal.SIGKILL)
        assert login(server, "bert", "one") == OK
        assert server.pids("provider") != old


def test_reload_adds_changes_and_removes(make_server, folder):
    one, two = folder / "one", folder / "two"
    put(one, "bert:{PLAIN}one\n")
    put(two, "bert:{PLAIN}two\n")
    checker = program(folder, "checker", 'exit 1')
    server = make_server()
    assert server.pids("provider") == []
    assert login(server, "bert", "one") == WRONG
    section = 'provider flat {{ type = "file"  path = "{}"  format = "passwd" }}\n'
    server.write_conf(auth=providers("store", "flat"), extra=section.format(one))
    reload(server)
    wait_for(lambda: login(server, "bert", "one") == OK, "the new provider to answer", 10)
    server.write_conf(extra=section.format(two))
    reload(server)
    wait_for(lambda: login(server, "bert", "two") == OK, "the changed provider to answer", 10)
    assert login(server, "bert", "one") == WRONG
    # Another before it: indexes move.
    server.write_conf(auth=providers("old", "flat", "store"), extra=section.format(two) +
                      f'provider old {{ type = "checkpassword"  command = {{"{checker}", "x"}} }}\n')
    reload(server)
    wait_for(lambda: len(server.pids("provider")) == 5, "five processes", 10)
    wait_for(lambda: login(server, "bert", "two") == OK, "the moved provider to answer", 10)
    assert login(server, *ANNA) == OK
    server.write_conf(auth=providers("store"), extra="")
    reload(server)
    wait_for(lambda: server.pids("provider") == [], "the processes to end", 10)
    assert login(server, "bert", "two") == WRONG
    assert login(server, *ANNA) == OK
    # A file that is not there refuses the whole.
    server.write_conf(auth=providers("store", "flat"), extra=section.format(folder / "three"))
    reload(server)
    assert server.logged(r"postern.conf:\d+: provider \"flat\": path = .*three.*No such file")
    assert login(server, *ANNA) == OK


def median_seconds(server, user, password, count=3):
    taken = []
    for _ in range(count):
        begin = time.monotonic()
        assert login(server, user, password) == WRONG
        taken.append(time.monotonic() - begin)
    return sorted(taken)[count // 2]


def test_unknown_and_wrong_look_alike(make_server, folder):
    flat = folder / "passwd"
    crypt = subprocess.run(["openssl", "passwd", "-6", "six"], capture_output=True, text=True, check=True)
    put(flat, f"six:{crypt.stdout.strip()}\nclear:{{PLAIN}}clear\n")
    server = make_server(auth=providers("flat"), limits="auth_failures = 100",
                         extra=f'provider flat {{ type = "file"  path = "{flat}"  format = "passwd" }}')

    def transcript(user):
        wire = server.socket()
        wire.command("EHLO c")
        lines = []
        for command in ("AUTH PLAIN " + base64.b64encode(f"\0{user}\0wrong".encode()).decode(), "AUTH LOGIN",
                        base64.b64encode(user.encode()).decode(), base64.b64encode(b"wrong").decode()):
            lines.append(wire.command(command))
        wire.close()
        return lines

    assert transcript("six") == transcript("nobody") == transcript("clear")
    times = [median_seconds(server, user, "wrong") for user in ("six", "clear", "nobody")]
    assert max(times) - min(times) < 0.25, times

    def salt(user):
        wire = server.socket()
        wire.command("EHLO c")
        first = base64.b64encode(f"n,,n={user},r=abcdefgh".encode()).decode()
        challenge = base64.b64decode(wire.command("AUTH SCRAM-SHA-256 " + first)[4:]).decode()
        wire.close()
        return [part[:2] + ("" if part[0] == "r" else part[2:]) for part in challenge.split(",")]

    for user in ("clear", "six", "nobody"):
        assert salt(user) == salt(user) == salt(user.upper() if user == "nobody" else user)
        assert [len(part) for part in salt(user)] == [len(part) for part in salt("clear")]
        assert salt(user)[2] == "i=4096"


# ---- sasldb and saslauthd ----

def sasldb(folder, *users):
    path = folder / "sasldb2"
    for user, realm, password in users:
        subprocess.run(["saslpasswd2", "-p", "-c", "-f", str(path), "-u", realm, user], input=password,
                       text=True, check=True, capture_output=True)
    path.chmod(0o644)
    return path


@needs("saslpasswd2")
def test_sasldb(make_server, folder):
    path = sasldb(folder, ("bert", "example.org", "one"), ("carl", "other.example", "two"))
    server = make_server(auth=providers("db", "store", more='default_domain = "example.org"'),
                         extra=f'provider db {{ type = "sasldb"  path = "{path}" }}')
    rows = [("bert@example.org", "one", OK), ("bert", "one", OK), ("bert", "two", WRONG),
            ("carl@other.example", "two", OK), ("carl", "two", WRONG), ("dora", "x", WRONG), (*ANNA, OK)]
    for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5"):
        assert [(*row[:2], login(server, *row[:2], mechanism)) for row in rows] == rows, mechanism
    assert scram(server, "bert", "one") == 0
    assert scram(server, "bert@example.org", "two") == 1
    assert scram(server, *ANNA) == 0
    sasldb(folder, ("bert", "example.org", "changed"))
    wait_for(lambda: login(server, "bert", "one") == WRONG, "the old password to be forgotten", 5)
    assert login(server, "bert", "changed") == OK


@contextlib.contextmanager
def saslauthd(run, mechanism="sasldb"):
    run.mkdir(exist_ok=True)
    run.chmod(0o755)
    daemon = subprocess.Popen(["saslauthd", "-d", "-a", mechanism, "-m", str(run), "-n", "2"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for(lambda: (run / "mux").exists() or daemon.poll() is not None, "saslauthd's socket")
        assert daemon.poll() is None
        yield daemon
    finally:
        # Its own session: the children it forked are ended with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(daemon.pid, signal.SIGTERM)
        daemon.wait(10)
        (run / "mux").unlink(missing_ok=True)


@contextlib.contextmanager
def pam_service(text):
    """A service of a unique name in /etc/pam.d."""
    name = f"postern-test-{os.getpid()}"
    path = pathlib.Path("/etc/pam.d") / name
    path.write_text(text)
    try:
        yield name
    finally:
        path.unlink()


root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root may write into /etc/pam.d or run saslauthd so")
# The sanitizer's own crypt() does not find the one of a module's library, and the module dies in it.
not_sanitized = pytest.mark.skipif(b"__asan_init" in (BUILD / "postern").read_bytes(),
                                   reason="PAM modules that call crypt() do not live with this sanitizer")
MODULE = "/lib/x86_64-linux-gnu/security/pam_pwdfile.so"
needs_pwdfile = pytest.mark.skipif(not pathlib.Path(MODULE).exists(), reason="libpam-pwdfile is not installed")


def pwdfile(folder):
    path = folder / "pwdfile"
    crypt = subprocess.run(["openssl", "passwd", "-6", "right"], capture_output=True, text=True, check=True)
    put(path, f"bert:{crypt.stdout.strip()}\n")
    return path, f"auth required pam_pwdfile.so pwdfile={path}\naccount required pam_permit.so\n"


@root_only
@needs_pwdfile
@needs("saslauthd")
def test_saslauthd_through_pam(make_server, folder):
    _, service = pwdfile(folder)
    run = folder / "saslauthd"
    with pam_service(service) as name:
        with saslauthd(run, "pam"):
            server = make_server(auth=providers("sasld", "store"),
                                 extra=f'provider sasld {{ type = "saslauthd"  path = "{run}/mux"  '
                                       f'service = "{name}" }}')
            assert len(server.pids("provider")) == 4
            assert login(server, "bert", "right") == OK
            assert login(server, "bert", "wrong") == WRONG
            assert login(server, "nobody-at-all", "wrong") == WRONG
            assert login(server, *ANNA) == OK
            assert login(server, "bert", "right", "CRAM-MD5") == WRONG
            assert login(server, *ANNA, "CRAM-MD5") == OK
            assert scram(server, *ANNA) == 0
            assert login(server, "b" * 300, "wrong") in (WRONG, LATER)
        # Its daemon is gone: what it alone could decide waits.
        assert login(server, "carl", "x") == LATER
        assert login(server, *ANNA) == OK
        with saslauthd(run, "pam"):
            wait_for(lambda: login(server, "bert", "wrong") == WRONG, "saslauthd to be asked again", 6)
            assert login(server, "bert", "right") == OK


@root_only
@needs("saslauthd")
def test_saslauthd_that_never_answers(make_server, folder):
    """Its queue is full of hanging questions; users of other providers still come in."""
    mux = folder / "mux"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(mux))
        mux.chmod(0o777)
        listening.listen(64)
        server = make_server(auth=providers("store", "sasld"),
                             extra=f'provider sasld {{ type = "saslauthd"  path = "{mux}" }}')
        begin = time.monotonic()
        assert login(server, "bert", "x") == LATER
        assert time.monotonic() - begin < 12
        assert login(server, *ANNA) == OK


@root_only
@not_sanitized
@needs_pwdfile
def test_pam(make_server, folder):
    path, service = pwdfile(folder)
    with pam_service(service) as name:
        server = make_server(auth=providers("pam", "store"),
                             extra=f'provider pam {{ type = "pam"  service = "{name}" }}')
        assert login(server, "bert", "right") == OK
        assert login(server, "bert", "wrong") == WRONG
        assert login(server, "nobody-at-all", "right") == WRONG
        assert login(server, *ANNA) == OK
        assert scram(server, *ANNA) == 0
        path.unlink()
        assert login(server, "carl", "right") in (WRONG, LATER)
    # A service that is not there falls to "other", which denies, or cannot be begun.
    assert login(server, "carl", "right") in (WRONG, LATER)


@root_only
@not_sanitized
def test_run_as_root_reads_the_shadow_file(make_server, folder):
    """pam_unix: without run_as it may not even look; with it a system's user logs in."""
    name, password = f"pt{os.getpid()}", "system password"
    subprocess.run(["useradd", "-M", "-s", "/bin/false", name], check=True, capture_output=True)
    try:
        subprocess.run(["chpasswd"], input=f"{name}:{password}\n", text=True, check=True)
        with pam_service("auth required pam_unix.so nodelay\naccount required pam_unix.so\n") as service:
            extra = f'provider pam {{ type = "pam"  service = "{service}" {{}} }}'
            server = make_server(auth=providers("store", "pam"), extra=extra.replace("{}", 'run_as = "root"'),
                                 user="nobody")
            assert login(server, name, password) == OK
            assert login(server, name, "wrong") == WRONG
            assert account_of(server, "provider") == 0
            assert account_of(server, "auth") == 65534
            assert no_new_privs(server.pids("provider")[0]) == 0
            assert no_new_privs(server.pids("worker")[0]) == 1
            # Under the account of all roles again; processes are replaced.
            server.write_conf(extra=extra.replace("{}", ""))
            reload(server)
            wait_for(lambda: server.pids("provider") and account_of(server, "provider") == 65534,
                     "processes of another account", 10)
            assert login(server, name, password + "x") in (WRONG, LATER)
    finally:
        subprocess.run(["userdel", name], check=True, capture_output=True)


def status(pid, key):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    return None


def no_new_privs(pid):
    return status(pid, "NoNewPrivs")


def account_of(server, role):
    return status(server.pids(role)[0], "Uid")


# ---- checkpassword programs ----

def program(folder, name, script):
    path = folder / name
    path.write_text("#!/bin/sh\n" + script + "\n")
    path.chmod(0o755)
    return path


# What descriptor 3 brings as lines, one for each string.
READ = "set -f; input=$(tr '\\000' '\\n' <&3); name=$(echo \"$input\" | sed -n 1p); word=$(echo \"$input\" | sed -n 2p)"


def test_checkpassword_programs(make_server, folder):
    said = folder / "said"
    said.mkdir()
    said.chmod(0o777)
    checker = program(folder, "checker", READ + f'''
cat /dev/null > {said}/ran
[ "$1" = sub ] && [ "$2" = program ] || exit 2
case "$name" in
right*) [ "$word" = "pass word" ] && exit 0; exit 1 ;;
later) exit 111 ;;
crash) kill -9 $$ ;;
hang) exec sleep 60 ;;
loud) yes 2>/dev/null | head -c 300000; exit 0 ;;
esac
exit 1''')
    deaf = program(folder, "deaf", 'exit 1')
    yes = program(folder, "yes", 'exit 0')
    server = make_server(auth=providers("store", "old", more='default_domain = "example.org"  cache_ttl = 0'),
                         extra=f'provider old {{ type = "checkpassword"  '
                               f'command = {{"{checker}", "sub", "program"}} }}')
    for user, password, code in [("right", "pass word", OK), ("right", "wrong", WRONG), ("unknown", "x", WRONG),
                                 ("later", "x", LATER), ("crash", "x", LATER), ("loud", "x", OK),
                                 ("right@other.example", "pass word", OK), (*ANNA, OK)]:
        assert login(server, user, password) == code, user
        assert login(server, user, password, "LOGIN") == code, user
    assert (said / "ran").exists()
    # More than 512 bytes never reach it.
    (said / "ran").unlink()
    assert login(server, "right" + "x" * 20, "y" * 600) == WRONG
    assert not (said / "ran").exists()
    # One that hangs is ended, and delays nobody else.
    begin = time.monotonic()
    wire = server.socket()
    wire.command("EHLO c")
    wire.send("AUTH PLAIN " + base64.b64encode(b"\0hang\0x").decode() + "\r\n")
    assert login(server, "right", "pass word") == OK
    assert time.monotonic() - begin < 5
    assert wire.reply().startswith("454")
    assert time.monotonic() - begin < 12
    wait_for(lambda: login(server, "right", "pass word") == OK, "the checker to be asked again", 5)
    # One that reads nothing: no broken pipe hurts.
    for path, code in ((deaf, WRONG), (yes, OK)):
        server.write_conf(extra=f'provider old {{ type = "checkpassword"  command = {{"{path}", "x"}} }}')
        reload(server)
        wait_for(lambda code=code: login(server, "right", "x") == code, f"{path}'s answer", 10)
        assert login(server, "right", "x" * 400) == code
    path.unlink()
    assert login(server, "right", "other") == LATER
    assert login(server, *ANNA) == OK


@root_only
def test_run_as_lets_set_id_programs_gain(make_server, folder):
    """As a setuid checkpassword does: what it gains, it gains with run_as only."""
    gained = folder / "id"
    shutil.copy2(shutil.which("id"), gained)
    gained.chmod(0o4755)
    checker = program(folder, "checker", READ + f'''
case "$name" in
who) [ "$(id -un)" = "$word" ] ;;
gain) [ "$({gained} -u)" = "$word" ] ;;
*) exit 1 ;;
esac''')
    section = f'provider old {{ type = "checkpassword"  command = {{"{checker}", "x"}} '
    server = make_server(auth=providers("old", "store"), extra=section + 'run_as = "daemon" }', user="nobody")
    assert login(server, "who", "daemon") == OK
    assert login(server, "gain", "0") == OK
    server.write_conf(extra=section + "}")
    reload(server)
    wait_for(lambda: login(server, "who", "nobody") == OK, "the account of all roles", 10)
    assert login(server, "gain", "0") == WRONG
    assert login(server, "gain", "65534") == OK


CRAM = '''#!/usr/bin/env python3
import hashlib, hmac, os, sys
name, second, third = os.read(3, 600).split(b"\\0")[:3]
digest, challenge = (second, third) if sys.argv[1] == "standard" else (third, second)
if not third:
    sys.exit(0 if name == b"bert" and second == b"tanstaaf" else 1)
right = hmac.new(b"tanstaaf", challenge, hashlib.md5).hexdigest().encode()
sys.exit(0 if name == b"bert" and digest == right else 1)
'''


@pytest.mark.parametrize("order", ["standard", "legacy"])
def test_cram_through_a_checkpassword_program(make_server, folder, order):
    checker = folder / "cram"
    checker.write_text(CRAM)
    checker.chmod(0o755)
    server = make_server(auth=providers("old", "store"),
                         extra=f'provider old {{ type = "checkpassword"  command = {{"{checker}", "{order}"}}  '
                               f'cram_order = "{order}" }}')
    assert login(server, "bert", "tanstaaf", "CRAM-MD5") == OK
    assert login(server, "bert", "wrong", "CRAM-MD5") == WRONG
    assert login(server, "bert", "tanstaaf") == OK
    assert login(server, *ANNA, "CRAM-MD5") == OK
    assert scram(server, *ANNA) == 0


# ---- run/auth ----

def dovecot(path, user, password):
    """One login by the Dovecot protocol; the reply's line."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(str(path))
        stream = sock.makefile("rw", newline="\n")
        stream.write("VERSION\t1\t2\nCPID\t7\n")
        stream.flush()
        while not stream.readline().startswith("DONE"):
            pass
        message = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        stream.write(f"AUTH\t1\tPLAIN\tservice=smtp\tsecured\tresp={message}\n")
        stream.flush()
        return stream.readline().rstrip("\n")


@pytest.mark.parametrize("service", ["", "auth_service {{ path = \"{run}/auth-client\"  mode = 0666 }}",
                                     "auth_service {{ path = \"{run}/auth\"  mode = 0666 }}"])
def test_the_socket_for_commands(make_server, folder, service):
    server = make_server()
    run = server.folder / "run"
    server.write_conf(extra=service.format(run=run))
    reload(server)
    auth = run / "auth"
    assert stat.S_IMODE(auth.stat().st_mode) == (0o666 if "/auth\"" in service else 0o600)
    assert auth.stat().st_uid == (run / "control-auth").stat().st_uid
    for _ in range(2):
        assert dovecot(auth, *ANNA) == "OK\t1\tuser=anna@example.org"
        assert dovecot(auth, ANNA[0], "wrong").startswith("FAIL\t1")
        if service:
            path = run / ("auth-client" if "auth-client" in service else "auth")
            assert dovecot(path, *ANNA).startswith("OK")
        os.kill(server.pids("auth")[0], signal.SIGKILL)
        wait_for(lambda: server.pids("auth"), "auth to come back")
    server.write_conf(extra="")
    reload(server)
    wait_for(lambda: dovecot(auth, *ANNA).startswith("OK"), "auth")
    assert stat.S_IMODE(auth.stat().st_mode) == 0o600
    assert not (run / "auth-client").exists()
    server.stop()
    assert not auth.exists()


def test_a_provider_that_cannot_start_holds_up_nobody(make_server, folder, tmp_path):
    copy = tmp_path / "build"
    shutil.copytree(BUILD / "libexec" / "postern", copy / "libexec" / "postern",
                    ignore=lambda _, names: [n for n in names if n.endswith((".p", ".a"))])
    shutil.copy2(BUILD / "postern", copy / "postern")
    open_to_roles(copy)
    (copy / "libexec" / "postern" / "postern-provider").unlink()
    flat = folder / "passwd"
    put(flat, "bert:{PLAIN}one\n")
    server = make_server(auth=providers("store", "flat"), build=copy,
                         extra=f'provider flat {{ type = "file"  path = "{flat}"  format = "passwd" }}')
    assert login(server, *ANNA) == OK
    begin = time.monotonic()
    assert login(server, "bert", "one") == LATER
    assert time.monotonic() - begin < 5
