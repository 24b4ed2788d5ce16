"""The checkpassword command as qmail's programs call it: descriptor 3 in, PROG out, under its three names."""

import hashlib
import hmac
import os
import subprocess

import pytest

from postern import BUILD, Server, open_to_roles, reachable

PROGRAM = reachable(BUILD / "libexec" / "postern") / "postern-checkpassword"
CHALLENGE = "<1896.697170952@postoffice.reston.mci.net>"
CRAM = "b913a602c7eda7a495b4e6e7334d3890"          # of tanstaaftanstaaf, RFC 2195
BANNER = "<1896.697170952@dbc.mtview.ca.us>"
APOP = "c4c9334bac560ecc979e58001b3e22fb"          # of tanstaaf, RFC 1939
ENVIRONMENT = {"PATH": os.environ["PATH"]}


def cram(password, challenge=CHALLENGE):
    return hmac.new(password.encode(), challenge.encode(), "md5").hexdigest()


def apop(password, banner=BANNER):
    return hashlib.md5((banner + password).encode()).hexdigest()


def call(argv, data, executable=None, env=None, cwd=None, close_three=False, **options):
    """Run @argv with @data on descriptor 3, which ends there."""
    read_end, write_end = os.pipe()
    if data is not None:
        os.write(write_end, data)
    os.close(write_end)

    def at_three():
        if close_three:
            os.close(3)
        else:
            os.dup2(read_end, 3)

    try:
        return subprocess.run([str(a) for a in argv], executable=executable and str(executable), cwd=cwd,
                              preexec_fn=at_three, pass_fds=(3,) if not close_three else (),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=60, env={**ENVIRONMENT, **(env or {})}, **options)
    finally:
        os.close(read_end)


def fields(*texts):
    return b"".join(t.encode() + b"\0" for t in texts)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A configuration with a vault, a file and a sasldb; no server runs."""
    folder = tmp_path_factory.mktemp("checkpassword")
    open_to_roles(folder)
    users = folder / "users"
    users.write_text("cora:{PLAIN}tanstaaftanstaaf\n"
                     "mrose@example.org:{PLAIN}tanstaaf\n"
                     "hash:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n"                 # "test"
                     "broken:{NOSUCH}x\n"
                     "locked:*\n")
    server = Server(folder, users={"anna@example.org": "correct horse", "bert": "tanstaaftanstaaf"},
                    auth='mechanisms = {"SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN"}  '
                         'providers = {"store", "flat"}  default_domain = "example.org"',
                    extra=f'provider flat {{ type = "file"  path = "{users}"  format = "passwd" }}')
    for name, password in server.users.items():
        server.add_user(name, password)
    server.users_file = users
    return server


def check(site, data, *options, prog=("/bin/sh", "-c", "exit 0"), env=None):
    return call([PROGRAM, "-c", site.conf, *options, *prog], data, env=env)


# ---- who gets in ----

@pytest.mark.parametrize("data, status", [
    (fields("anna@example.org", "correct horse"), 0),
    (fields("anna@example.org", "correct horse", ""), 0),
    (fields("anna", "correct horse", "", ""), 0),
    (fields("ANNA@Example.ORG", "correct horse"), 0),
    (fields("anna@example.org", "correct horse", "Y123456"), 0),
    (fields("anna@example.org", "correct horse") + b"Y123456", 0),
    (fields("anna@example.org", "wrong horse", ""), 1),
    (fields("anna@example.org", "", ""), 1),
    (fields("nobody@example.org", "correct horse", ""), 1),
    (fields("anna@example.com", "correct horse", ""), 1),
    (fields("", "", ""), 1),
    (b"\xff\xfe\0x\0\0", 1),
    (fields("bert", CRAM, CHALLENGE), 0),
    (fields("bert", cram("other"), CHALLENGE), 1),
    (fields("bert", CRAM, CHALLENGE + "x"), 1),
    (fields("bert", apop("tanstaaftanstaaf"), BANNER), 0),
    (fields("bert", CHALLENGE, CRAM), 1),
    (fields("cora", CRAM, CHALLENGE), 0),
    (fields("cora", "tanstaaftanstaaf", ""), 0),
    (fields("mrose@example.org", APOP, BANNER), 0),
    (fields("mrose@example.org", "tanstaaf", BANNER), 0),
    (fields("mrose", APOP, BANNER), 0),
    (fields("hash", "test", ""), 0),
    (fields("hash", cram("test"), CHALLENGE), 1),
    (fields("locked", "*", ""), 1),
])
def test_logins(site, data, status):
    done = check(site, data)
    assert done.returncode == status, (data, done.stderr)
    assert done.stderr == b""


@pytest.mark.parametrize("how", ["option", "equals", "environment"])
def test_legacy_order(site, how):
    options = {"option": ["--cram-order", "legacy"], "equals": ["--cram-order=legacy"], "environment": []}[how]
    env = {"POSTERN_CRAM_ORDER": "legacy"} if how == "environment" else None
    assert check(site, fields("bert", CHALLENGE, CRAM), *options, env=env).returncode == 0
    assert check(site, fields("mrose", BANNER, APOP), *options, env=env).returncode == 0
    assert check(site, fields("bert", CRAM, CHALLENGE), *options, env=env).returncode == 1
    # A password is string 2 in both.
    assert check(site, fields("bert", "tanstaaftanstaaf", ""), *options, env=env).returncode == 0
    assert check(site, fields("bert", "tanstaaftanstaaf", BANNER), *options, env=env).returncode == 0


def test_the_option_overrides_the_environment(site):
    env = {"POSTERN_CRAM_ORDER": "legacy"}
    assert check(site, fields("bert", CRAM, CHALLENGE), "--cram-order", "standard", env=env).returncode == 0


def test_app_passwords_and_disabled_users(site):
    out = site.run("user", "add", "anna@example.org", "--app", "phone", "--mechanisms", "PLAIN,CRAM-MD5").stdout
    app = next(word for word in out.split() if word.count("-") == 4)
    site.add_user("dora@example.org", "pass word", "--mechanisms", "PLAIN,CRAM-MD5")
    assert check(site, fields("anna", app, "")).returncode == 0
    assert check(site, fields("anna/phone", app, "")).returncode == 0
    assert check(site, fields("anna/phone", "correct horse", "")).returncode == 1
    assert check(site, fields("anna/other", app, "")).returncode == 1
    assert check(site, fields("anna/phone", cram(app), CHALLENGE)).returncode == 0
    assert check(site, fields("dora", "pass word", "")).returncode == 0
    assert check(site, fields("dora", cram("pass word"), CHALLENGE)).returncode == 0
    site.run("user", "passwd", "dora@example.org", "--disable")
    assert check(site, fields("dora", "pass word", "")).returncode == 1
    assert check(site, fields("dora", cram("pass word"), CHALLENGE)).returncode == 1


# ---- descriptor 3 ----

@pytest.mark.parametrize("data, status", [
    (b"", 2),
    (b"anna", 2),
    (b"anna\0", 2),
    (b"anna@example.org\0correct horse", 2),
    (fields("anna@example.org", "correct horse") + b"x" * (512 - 31), 0),
    (fields("anna@example.org", "correct horse") + b"x" * (513 - 31), 1),
    (b"x" * 5000, 1),
    (b"\0" * 513, 1),
], ids=lambda value: f"{len(value)}_bytes" if isinstance(value, bytes) else f"is_{value}")
def test_sizes_and_ends(site, data, status):
    assert len(fields("anna@example.org", "correct horse")) == 31
    assert check(site, data).returncode == status


def test_a_closed_descriptor(site):
    done = call([PROGRAM, "-c", site.conf, "/bin/true"], None, close_three=True)
    assert done.returncode == 111 and b"descriptor 3" in done.stderr


# ---- PROG ----

def test_prog_sees_the_user_and_no_descriptor(site):
    done = check(site, fields("anna", "correct horse"),
                 prog=("sh", "-c", 'echo "$USER $HOME $SHELL"; ls /proc/$$/fd | tr "\\n" " "; env', "-c"),
                 env={"HOME": "/h", "SHELL": "/s", "USER": "root", "SECRET_OF_CALLER": "kept"})
    lines = done.stdout.decode().split("\n")
    assert done.returncode == 0
    assert lines[0] == "anna /h /s"
    assert set(lines[1].split()[:3]) == {"0", "1", "2"} and "3" not in lines[1].split()
    assert "SECRET_OF_CALLER=kept" in done.stdout.decode()
    assert b"correct horse" not in done.stdout


@pytest.mark.parametrize("status", [0, 1, 7, 111])
def test_progs_status_is_ours(site, status):
    assert check(site, fields("anna", "correct horse"), prog=("sh", "-c", f"exit {status}")).returncode == status


def test_prog_that_cannot_be_executed(site):
    done = check(site, fields("anna", "correct horse"), prog=("/nowhere/at/all",))
    assert done.returncode == 111 and b"/nowhere/at/all" in done.stderr
    assert check(site, fields("anna", "wrong"), prog=("/nowhere/at/all",)).returncode == 1


def test_progs_options_are_progs(site):
    done = check(site, fields("anna", "correct horse"), prog=("echo", "-c", "--cram-order", "--"))
    assert done.returncode == 0 and done.stdout == b"-c --cram-order --\n"
    done = check(site, fields("anna", "correct horse"), "--", prog=("echo", "-n", "x"))
    assert done.stdout == b"x"


@pytest.mark.parametrize("options", [[], ["--cram-order", "other", "true"], ["--nonsense", "true"], ["-c"],
                                     ["--cram-order"]])
def test_misuse(site, options):
    done = call([PROGRAM, *options], fields("anna", "correct horse"), env={"POSTERN_CONF": str(site.conf)})
    assert done.returncode == 2 and b"usage: " in done.stderr


# ---- what is not there ----

def test_configuration_missing_or_bad(site, tmp_path):
    bad = tmp_path / "bad.conf"
    bad.write_text("hostname = \nnonsense {")
    for conf in (tmp_path / "none.conf", bad):
        done = call([PROGRAM, "-c", conf, "true"], fields("anna", "x"))
        assert done.returncode == 111 and str(conf).encode() in done.stderr
        assert done.stderr.count(b"\n") == 1
    done = check(site, fields("anna", "correct horse"), env={"POSTERN_CRAM_ORDER": "middle"})
    assert done.returncode == 111


def test_vault_missing(tmp_path):
    server = Server(tmp_path)
    done = call([PROGRAM, "-c", server.conf, "true"], fields("anna@example.org", "correct horse"))
    assert done.returncode == 111 and b"vault.db" in done.stderr and done.stderr.count(b"\n") == 1
    assert not (server.folder / "data").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_the_vault_stays_its_owners(site):
    data = site.folder / "data"
    owner = (data / "vault.db").stat().st_uid
    assert check(site, fields("anna", "correct horse")).returncode == 0
    assert {p.stat().st_uid for p in data.iterdir()} == {owner}
    other = next(uid for uid in (1, 2) if uid != owner)
    done = call([PROGRAM, "-c", site.conf, "true"], fields("anna", "correct horse"), user=other, group=other,
                extra_groups=[])
    assert done.returncode == 111 and b"vault" in done.stderr and done.stderr.count(b"\n") == 1


def test_file_missing_and_broken(site):
    text = site.users_file.read_text()
    assert check(site, fields("broken", "x", "")).returncode == 111
    try:
        site.users_file.unlink()
        done = check(site, fields("cora", "tanstaaftanstaaf", ""))
        assert done.returncode == 111 and b"users" in done.stderr
        # The vault still knows its own.
        assert check(site, fields("anna", "correct horse")).returncode == 0
    finally:
        site.users_file.write_text(text)
    assert check(site, fields("cora", "tanstaaftanstaaf", "")).returncode == 0


# ---- names ----

def test_called_as_checkpassword(site, tmp_path):
    link = tmp_path / "checkpassword"
    link.symlink_to(PROGRAM)
    env = {"POSTERN_CONF": str(site.conf)}
    data = fields("anna", "correct horse", "")
    assert call([link, "sh", "-c", "exit 7"], data, env=env).returncode == 7
    assert call(["checkpassword", "true"], data, executable=PROGRAM, env=env).returncode == 0
    assert call(["/var/qmail/bin/checkpassword"], data, executable=PROGRAM, env=env).returncode == 2
    assert call([link, "true"], fields("anna", "wrong", ""), env=env).returncode == 1


def test_called_as_a_command_of_postern(site):
    done = call([BUILD / "postern", "checkpassword", "-c", site.conf, "sh", "-c", "exit 7"],
                fields("anna", "correct horse", ""))
    assert done.returncode == 7, done.stderr


@pytest.fixture
def authuser(tmp_path):
    file = tmp_path / "home" / "users" / "authuser"
    file.parent.mkdir(parents=True)
    file.write_text("# a comment\ntim:tanstaaftanstaaf\nmrose:tanstaaf\nmd5:%098f6bcd4621d373cade4e832627b4f6\n"
                    "!gone\ngone:x\n")
    return file


@pytest.mark.parametrize("data, status", [
    (fields("tim", "tanstaaftanstaaf", ""), 0),
    (fields("tim", "tanstaaftanstaaf"), 0),
    (fields("tim", CRAM, CHALLENGE), 0),
    (fields("mrose", APOP, BANNER), 0),
    (fields("md5", "test", ""), 0),
    (fields("tim", cram("x"), CHALLENGE), 1),
    (fields("tim", "x", ""), 1),
    (fields("Tim", "tanstaaftanstaaf", ""), 1),
    (fields("nobody", "x", ""), 1),
    (fields("gone", "x", ""), 1),
    (fields("tim"), 2),
    (b"x" * 513, 1),
])
def test_called_as_cmd5checkpw(authuser, data, status):
    for env in ({"AUTHUSER_FILE": str(authuser)}, {"QMAILHOME": str(authuser.parents[1])}):
        done = call(["cmd5checkpw", "sh", "-c", "exit 0"], data, executable=PROGRAM, env=env)
        assert done.returncode == status, done.stderr


def test_cmd5checkpw_without_its_file_or_prog(tmp_path, authuser):
    done = call(["cmd5checkpw", "true"], fields("tim", "x", ""), executable=PROGRAM,
                env={"QMAILHOME": str(tmp_path / "nowhere")})
    assert done.returncode == 111 and b"authuser" in done.stderr
    assert call(["cmd5checkpw"], fields("tim", "x", ""), executable=PROGRAM,
                env={"AUTHUSER_FILE": str(authuser)}).returncode == 2
    legacy = {"AUTHUSER_FILE": str(authuser), "POSTERN_CRAM_ORDER": "legacy"}
    assert call(["cmd5checkpw", "true"], fields("tim", CHALLENGE, CRAM), executable=PROGRAM,
                env=legacy).returncode == 0
    done = call(["cmd5checkpw", "sh", "-c", 'echo "$USER"'], fields("tim", "tanstaaftanstaaf", ""),
                executable=PROGRAM, env=legacy)
    assert done.stdout == b"tim\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a program set-id")
def test_set_id_is_refused(site, tmp_path):
    open_to_roles(tmp_path)
    copy = tmp_path / "postern-checkpassword"
    copy.write_bytes(PROGRAM.read_bytes())
    copy.chmod(0o4755)
    done = call([copy, "-c", site.conf, "true"], fields("anna", "correct horse"), user=65534, group=65534)
    assert done.returncode == 111 and b"set-id" in done.stderr


# ---- what only the server can ask ----

def test_providers_that_block_are_asked_through_the_server(tmp_path):
    script = tmp_path / "checker"
    script.write_text('#!/bin/sh\n'
                      '[ "$(tr "\\0" : <&3)" = "ext@example.org:outside::" ] && exec "$@"\nexit 1\n')
    script.chmod(0o755)
    open_to_roles(tmp_path)
    server = Server(tmp_path, users={"anna@example.org": "correct horse"},
                    auth='mechanisms = {"CRAM-MD5", "PLAIN", "LOGIN"}  providers = {"store", "old"}',
                    extra=f'provider old {{ type = "checkpassword"  command = {{"{script}", "/bin/true"}} }}')
    server.start()
    try:
        assert check(server, fields("anna@example.org", "correct horse", "")).returncode == 0
        assert check(server, fields("ext@example.org", "outside", "")).returncode == 0
        assert check(server, fields("ext@example.org", "outside", BANNER)).returncode == 0
        assert check(server, fields("ext@example.org", "wrong", "")).returncode == 1
        assert check(server, fields("anna@example.org", "wrong", "")).returncode == 1
        assert check(server, fields("anna@example.org", cram("correct horse"), CHALLENGE)).returncode == 0
    finally:
        server.stop()
    # The vault is a file; the checker is a process of the server's.
    assert check(server, fields("anna@example.org", "correct horse", "")).returncode == 0
    done = check(server, fields("ext@example.org", "outside", ""))
    assert done.returncode == 111 and b"/auth" in done.stderr
