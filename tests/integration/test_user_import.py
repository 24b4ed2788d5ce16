"""postern user import: files of other systems, written by their own programs where they exist here, then logins
by every mechanism that what is stored can serve."""

import hashlib
import json
import os
import shutil
import smtplib
import subprocess

import pytest

from postern import Server, wait_for

CLEAR = ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"]
HASHED = ["PLAIN", "LOGIN"]
MD5 = "$1$saltsalt$roN2lUfEbZqZad1NpG.Zy1"  # tanstaaf
# RFC 7677, section 3
SCRAM = ("{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
         "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=")


def needs(program):
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if not path:
        pytest.skip(f"{program} is not installed")
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("import"), limits="auth_failures = 10") as running:
        yield running


def do_import(server, form, path, *options, refused=False, stdin=None):
    """(imported, already there, refused, lines of refusals)"""
    done = server.run("user", "import", "--format", form, *options, path, check=False, stdin=stdin)
    assert done.returncode == (1 if refused else 0), done.stdout + done.stderr
    numbers = [int(word) for word in done.stdout.split() if word.isdigit()]
    assert len(numbers) == 3, done.stdout + done.stderr
    return (*numbers, done.stderr.splitlines())


def try_login(server, user, password, mechanism):
    """By smtplib where it knows the mechanism, else by postern send, which has SCRAM."""
    if mechanism.startswith("SCRAM"):
        done = subprocess.run([server.postern, "send", "--server", f"127.0.0.1:{server.starttls}", "--tls", "starttls",
                               "--ca", server.authority.ca, "--auth", mechanism, "--user", user, "--password-stdin",
                               "--from", "anna@example.org", "--to", "sink@example.net"], input=password + "\nSubject: x\n\nx\n",
                              text=True, capture_output=True, timeout=60)
        return done.returncode == 0
    with server.smtp() as client:
        client.user, client.password = user, password
        method = {"PLAIN": client.auth_plain, "LOGIN": client.auth_login, "CRAM-MD5": client.auth_cram_md5}[mechanism]
        try:
            return client.auth(mechanism, method)[0] == 235
        except smtplib.SMTPAuthenticationError:
            return False


def logs_in(server, user, password, mechanisms):
    for mechanism in mechanisms:
        assert try_login(server, user, password, mechanism), f"{user} by {mechanism}\n{server.log_text()[-3000:]}"
    assert not try_login(server, user, password + "x", mechanisms[0]), f"{user} with a wrong password"


def test_passwd(server, tmp_path):
    """Dovecot's passwd-file: schemes and extra fields; bare text is no password."""
    path = tmp_path / "users"
    path.write_text(f"# comment\n\npw-clear@example.org:{{PLAIN}}tan staaf:1000:1000\n"
                    f"pw-md5:{MD5}:1000:1000::/home/pw-md5::\n"
                    f"pw-scram@example.org:{SCRAM}\n"
                    "pw-bare@example.org:tanstaaf:1000:1000\n"
                    "pw-off@example.org:{PLAIN}x::::::nologin\n"
                    "pw-locked@example.org:!$1$x:\n"
                    "pw-odd@example.org:{NTLM}0cb6948805f797bf2a82807973b89537\n"
                    "pw-clear@example.org:{PLAIN}another\n")
    imported, there, refused, lines = do_import(server, "passwd", path, "--domain", "example.org", refused=True)
    assert (imported, there, refused) == (3, 0, 5)
    assert [line.split(":")[1] for line in lines] == ["6", "7", "8", "9", "10"]
    assert all(line.startswith(f"{path}:") for line in lines)
    assert "tanstaaf" not in "\n".join(lines) and "another" not in "\n".join(lines)
    logs_in(server, "pw-clear@example.org", "tan staaf", CLEAR)
    logs_in(server, "pw-md5@example.org", "tanstaaf", HASHED)
    # SCRAM with the keys that came, before any PLAIN could have made others.
    logs_in(server, "pw-scram@example.org", "pencil", ["SCRAM-SHA-256", *HASHED])
    for name in ("pw-bare", "pw-off", "pw-locked", "pw-odd"):
        assert not try_login(server, f"{name}@example.org", "tanstaaf", "PLAIN")


def test_htpasswd(server, tmp_path):
    """Apache's own htpasswd writes every form it knows; its clear text is refused."""
    htpasswd, path = needs("htpasswd"), tmp_path / ".htpasswd"
    forms = {"ht-apr1": ["-m"], "ht-bcrypt": ["-B", "-C", "4"], "ht-sha": ["-s"], "ht-des": ["-d"], "ht-clear": ["-p"]}
    for i, (name, flags) in enumerate(forms.items()):
        subprocess.run([htpasswd, "-b", *(["-c"] if i == 0 else []), *flags, path, f"{name}@example.org", "p:w d"],
                       check=True, capture_output=True)
    imported, there, refused, lines = do_import(server, "htpasswd", path, refused=True)
    assert (imported, there, refused) == (4, 0, 1)
    assert lines == [f"{path}:5: \"ht-clear@example.org\": the password is clear text, or no hash that is known"]
    assert server.json("user", "show", "ht-sha@example.org")["stored"] == HASHED
    for name in list(forms)[:4]:
        logs_in(server, f"{name}@example.org", "p:w d", HASHED)
    # The first PLAIN has left SCRAM's keys and a hash of today.
    wait_for(lambda: "SCRAM-SHA-256" in server.json("user", "show", "ht-apr1@example.org")["stored"], "the upgrade")
    logs_in(server, "ht-apr1@example.org", "p:w d", CLEAR)


def test_authuser(server, tmp_path):
    """cmd5checkpw's and qmail-authuser's file: clear text up to the end of the line, hashes, whole domains."""
    path = tmp_path / "authuser"
    path.write_text("# users\nau-anna@example.org:tan:staaf \nau-hash@example.org:%"
                    + hashlib.md5(b"tanstaaf").hexdigest() + "\nau-sha@example.org:%"
                    + hashlib.sha256(b"tanstaaf").hexdigest() + "\n@example.net:everybody\n*:everybody\nau-sys:?\n"
                    "!au-off\nau-off:x\nau-none\n")
    imported, there, refused, lines = do_import(server, "authuser", path, "--domain", "example.org", refused=True)
    assert (imported, there, refused) == (3, 0, 5)
    assert [line.split(":")[1] for line in lines] == ["5", "6", "7", "9", "10"]
    assert "everybody\"" not in "\n".join(lines)
    logs_in(server, "au-anna@example.org", "tan:staaf ", CLEAR[:3])
    logs_in(server, "au-hash@example.org", "tanstaaf", HASHED)
    logs_in(server, "au-sha@example.org", "tanstaaf", HASHED)


VPASSWD = {"vp-anna": f"{MD5}:1:0:Anna:/home/vpopmail/domains/example.org/anna:NOQUOTA:tan:staaf",
           "vp-bob": f"{MD5}:1:0:Bob:/d:NOQUOTA",
           "vp-carl": f"{{MD5-CRYPT}}{MD5}:1:0:Carl:/d:NOQUOTA",
           "vp-nosmtp": f"{MD5}:1:2048:x:/d:NOQUOTA",
           "vp-norelay": f"{MD5}:1:32:x:/d:NOQUOTA",
           "vp-cut": f"{MD5}:1:0"}


def check_vpasswd(server, prefix):
    logs_in(server, f"{prefix}-anna@example.org", "tan:staaf", CLEAR)
    logs_in(server, f"{prefix}-bob@example.org", "tanstaaf", HASHED)
    logs_in(server, f"{prefix}-carl@example.org", "tanstaaf", HASHED)
    for name in ("nosmtp", "norelay", "cut"):
        assert not try_login(server, f"{prefix}-{name}@example.org", "tanstaaf", "PLAIN")


def test_vpasswd(server, tmp_path):
    path = tmp_path / "vpasswd"
    path.write_text("".join(f"{name}:{rest}\n" for name, rest in VPASSWD.items()))
    imported, there, refused, lines = do_import(server, "vpasswd", path, "--domain", "example.org", refused=True)
    assert (imported, there, refused) == (3, 0, 3)
    assert [line.split(": ")[-1] for line in lines] == ["NO_SMTP is set in its flags", "NO_RELAY is set in its flags",
                                                        "there are less than seven fields"]
    check_vpasswd(server, "vp")


def make_cdb(path, records):
    """By tinycdb's own writer."""
    cdb = needs("cdb")
    text = b"".join(b"+%d,%d:%s->%s\n" % (len(k), len(d), k, d) for k, d in records) + b"\n"
    subprocess.run([cdb, "-c", path], input=text, check=True)


def test_vpasswd_cdb(server, tmp_path):
    path = tmp_path / "vpasswd.cdb"
    make_cdb(path, [(name.replace("vp-", "vc-").encode(), rest.encode()) for name, rest in VPASSWD.items()])
    imported, there, refused, lines = do_import(server, "vpasswd", path, "--domain", "example.org", refused=True)
    assert (imported, there, refused) == (3, 0, 3)
    assert lines[0] == f"{path}: \"vc-nosmtp\": NO_SMTP is set in its flags"
    check_vpasswd(server, "vc")


def vmailmgr(password, enabled=1, expiry=b"-"):
    """A record of version 2 (contract of vmailmgr's passwd.cdb)."""
    return (bytes([2, 10, 1, 8, enabled, 0]) + password + b"\0./users/x\0alias@example.net\0\0Real Name\0"
            + b"-\0" * 5 + expiry + b"\0")


def test_vmailmgr(server, tmp_path):
    path = tmp_path / "passwd.cdb"
    make_cdb(path, [
        (b"vm-anna", vmailmgr(b"$0$tan staaf")),
        (b"vm-bob", vmailmgr(MD5.encode())),
        (b"vm-carl", vmailmgr(b"3" + hashlib.md5(b"tanstaaf").hexdigest().encode())),
        (b"vm-dora", b"\1" + MD5.encode() + b"\0./users/x\0\0\0" + b"-\0" * 6),
        (b"vm-emil", b":" + MD5.encode() + b":./users/x"),
        (b"vm-off", vmailmgr(MD5.encode(), enabled=0)),
        (b"vm-old", vmailmgr(MD5.encode(), expiry=b"1000000000")),
        (b"vm-odd", b"\7" + MD5.encode() + b"\0"),
    ])
    imported, there, refused, lines = do_import(server, "vmailmgr", path, "--domain", "example.org", refused=True)
    assert (imported, there, refused) == (5, 0, 3)
    assert [line.split(": ")[-1] for line in lines] == ["its mailbox is disabled", "it has expired",
                                                        "the record is damaged, or of a version not known"]
    logs_in(server, "vm-anna@example.org", "tan staaf", CLEAR)
    for name in ("bob", "carl", "dora", "emil"):
        logs_in(server, f"vm-{name}@example.org", "tanstaaf", HASHED)


def test_sasldb(server, tmp_path):
    """Files of the real saslpasswd2; the realm is the domain."""
    saslpasswd2, path = needs("saslpasswd2"), tmp_path / "sasldb2"
    for user, password in (("sd-anna", "tan staaf"), ("sd-bob", "tanstaaf")):
        subprocess.run([saslpasswd2, "-p", "-c", "-f", path, "-u", "example.org", user], input=password, text=True,
                       check=True, capture_output=True)
    before = path.read_bytes()
    assert do_import(server, "sasldb", path) == (2, 0, 0, [])
    assert path.read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == ["sasldb2"]
    logs_in(server, "sd-anna@example.org", "tan staaf", CLEAR)
    logs_in(server, "sd-bob@example.org", "tanstaaf", CLEAR)
    missing = server.run("user", "import", "--format", "sasldb", tmp_path / "none", check=False)
    assert missing.returncode == 1 and "none" in missing.stderr
    assert not (tmp_path / "none").exists()


def test_existing_users(server, tmp_path):
    """Left alone unless --replace, which ends the old password at once; --dry-run changes nothing."""
    path = tmp_path / "users"
    path.write_text("ex-anna@example.org:{PLAIN}first\n")
    assert do_import(server, "passwd", path)[:3] == (1, 0, 0)
    logs_in(server, "ex-anna@example.org", "first", ["PLAIN"])
    server.run("user", "passwd", "ex-anna@example.org", "--limit", "7/hour")
    path.write_text("EX-Anna@example.org:{PLAIN}second\nex-bob@example.org:{PLAIN}x\n")
    done = server.json("user", "import", "--format", "passwd", "--dry-run", path)
    assert (done["imported"], done["already_there"], done["refused"], done["dry_run"]) == (1, 1, 0, True)
    assert server.run("user", "show", "ex-bob@example.org", check=False).returncode == 1
    assert do_import(server, "passwd", path)[:3] == (1, 1, 0)
    assert try_login(server, "ex-anna@example.org", "first", "PLAIN")
    assert do_import(server, "passwd", path, "--replace")[:3] == (2, 0, 0)
    assert not try_login(server, "ex-anna@example.org", "first", "PLAIN"), "the cache still knows the old password"
    logs_in(server, "ex-anna@example.org", "second", CLEAR)
    assert server.json("user", "show", "ex-anna@example.org")["limit"] == "7/hour"


def test_stopped_server_and_standard_input(tmp_path):
    """The same on the files; ten thousand hashed users take seconds, and the file need not be one."""
    server = Server(tmp_path)
    many = "".join(f"user{i}:{MD5}\n" for i in range(10000))
    assert do_import(server, "htpasswd", "-", "--domain", "example.org", stdin=many)[:3] == (10000, 0, 0)
    assert do_import(server, "htpasswd", "-", "--domain", "example.org", stdin=many)[:3] == (0, 10000, 0)
    assert len(server.json("user", "list")["users"]) == 10000
    done = server.run("user", "import", "--format", "authuser", "-", "--json", stdin="a:1\nb\n", check=False)
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert answer["imported"] == 1 and answer["refused"] == 1
    assert answer["refusals"] == [{"line": 2, "name": "b", "reason": "there is no ':' in the line"}]
    with server:
        logs_in(server, "user9999@example.org", "tanstaaf", ["PLAIN"])


@pytest.mark.parametrize("args, word", [
    (["import"], "FORMAT"),
    (["import", "users"], "FORMAT"),
    (["import", "--format", "nis", "users"], "sasldb"),
    (["import", "--format", "vmailmgr", "-"], "name of a file"),
    (["import", "--format", "sasldb", "-"], "name of a file"),
    (["import", "--format", "passwd", "--domain", "@x", "users"], "example.org"),
    (["import", "--format", "passwd", "--limit", "1/hour", "users"], "no meaning"),
    (["add", "--format", "passwd", "x"], "no meaning"),
])
def test_command_line(server, args, word):
    done = server.run("user", *args, check=False)
    assert done.returncode == 2 and word in done.stderr and done.stdout == ""


def test_hostile_names_and_bytes(server, tmp_path):
    """Controls are shown escaped, whatever stands in the file; nothing of it comes in."""
    path = tmp_path / "users"
    path.write_bytes(b"evil\x1b[2J\x07:{PLAIN}x\n\xff\xfe:{PLAIN}x\n:{PLAIN}x\nnul\0l:{PLAIN}x\n"
                     + b"n" * 300 + b":{PLAIN}x\nlong:" + b"{PLAIN}" + b"x" * 5000 + b"\npw:{PLAIN}\xff\xfe\n")
    imported, there, refused, lines = do_import(server, "passwd", path, refused=True)
    assert (imported, there, refused) == (0, 0, 7)
    assert not any(ord(c) < 32 or c == "\x7f" for line in lines for c in line)
    path.write_bytes(os.urandom(20000))
    for form in ("passwd", "htpasswd", "authuser", "vpasswd", "vmailmgr", "sasldb"):
        done = server.run("user", "import", "--format", form, path, "--dry-run", check=False)
        assert done.returncode in (0, 1), done.stderr


def test_reader_agrees_with_tinycdb(tmp_path):
    """Files of either writer, read by the other's reader: dump and look-up."""
    import postern
    cdb, ours = needs("cdb"), postern.BUILD / "src" / "base" / "test_base_cdb"
    if not ours.exists():
        pytest.skip("built without unit tests")
    records = [(b"key%d" % i, b"data " * (i % 7)) for i in range(500)]
    records += [(b"", b"empty"), (b"key7", b"again"), (b"bin\0\n", bytes(range(256)))]
    theirs = tmp_path / "theirs.cdb"
    make_cdb(theirs, records)
    mine = tmp_path / "mine.cdb"
    with open(mine, "wb") as out:
        subprocess.run([ours, "-c"], stdout=out, check=True)
    for path in (theirs, mine):
        dumps = [subprocess.run([program, "-d", path], check=True, capture_output=True).stdout for program in (cdb, ours)]
        assert dumps[0] == dumps[1] and len(dumps[0]) > 50
    for key in (b"key0", b"key7", b"key499", b"", b"missing", b"key500"):
        found = [subprocess.run([*program, theirs, key], capture_output=True)
                 for program in ([cdb, "-q", "-n", "1"], [ours, "-q"])]
        assert found[0].stdout == found[1].stdout, key
        assert found[0].returncode == found[1].returncode, key
