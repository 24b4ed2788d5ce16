"""Real sources of users: saslpasswd2's sasldb, a running saslauthd, and PAM with a module that needs no rights."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import uuid

import pytest

from postern import open_to_roles, wait_for
from providers import login, send, serve

needs_sasl = pytest.mark.skipif(not shutil.which("saslpasswd2"), reason="no saslpasswd2")
PAM_DIR = pathlib.Path("/etc/pam.d")
PWDFILE = next(pathlib.Path("/").glob("lib/*/security/pam_pwdfile.so"), None)
needs_pam = pytest.mark.skipif(os.getuid() != 0 or not PWDFILE, reason="needs root and pam_pwdfile")


def saslpasswd(file, realm, user, password):
    subprocess.run(["saslpasswd2", "-p", "-c", "-f", str(file), "-u", realm, user], input=password, text=True,
                   check=True, timeout=30)
    file.chmod(0o644)


@needs_sasl
def test_sasldb(tmp_path):
    place = tmp_path / "sasl"
    place.mkdir()
    file = place / "sasldb2"
    saslpasswd(file, "example.org", "cora", "geheim")
    saslpasswd(file, "example.net", "cora", "anders")
    with serve(tmp_path, f'type = "sasldb"  path = "{file}"', auth='default_domain = "example.org"') as server:
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"):
            assert send(server, mechanism, "cora@example.org", "geheim") == 0, mechanism
            assert send(server, mechanism, "cora@example.org", "Geheim") == 1, mechanism
        assert login(server, "cora", "geheim") == "235"
        assert login(server, "cora@example.net", "anders") == "235"
        assert login(server, "cora@example.net", "geheim") == "535"
        assert login(server, "nobody@example.org", "geheim") == "535"
        assert login(server, "anna@example.org", "correct horse") == "235"
        # A change ends what was remembered.
        saslpasswd(file, "example.org", "cora", "neues")
        wait_for(lambda: login(server, "cora@example.org", "geheim") == "535", "the old password to end", 5)
        assert login(server, "cora@example.org", "neues") == "235"
        away = file.rename(place / "away")
        wait_for(lambda: login(server, "cora@example.org", "neues") == "454", "454 without the file", 5)
        away.rename(file)
        wait_for(lambda: login(server, "cora@example.org", "neues") == "235", "the file to be back", 5)


@contextlib.contextmanager
def saslauthd(folder, *options):
    """In the foreground, its socket in @folder."""
    folder.mkdir()
    folder.chmod(0o755)
    process = subprocess.Popen(["saslauthd", "-d", "-m", str(folder), "-n", "2", *options],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for((folder / "mux").exists, "saslauthd's socket")
        yield folder
    finally:
        # Its processes wait for each other now and then, however politely they are asked to end.
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


@contextlib.contextmanager
def pam_service(users):
    """A service of its own name that asks @users, a file of name:hash lines."""
    name = "postern-" + uuid.uuid4().hex[:12]
    file = PAM_DIR / name
    file.write_text(f"auth required pam_pwdfile.so pwdfile={users}\naccount required pam_listfile.so "
                    f"item=user sense=deny onerr=succeed file={users}.locked\n")
    try:
        yield name
    finally:
        file.unlink()


def openssl_passwd(password):
    return subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=password, text=True, check=True,
                          stdout=subprocess.PIPE).stdout.strip()


def pwdfile(folder, **users):
    file = folder / "pwdfile"
    file.write_text("".join(f"{name}:{openssl_passwd(password)}\n" for name, password in users.items()))
    file.chmod(0o644)
    return file


@needs_pam
def test_pam(tmp_path):
    open_to_roles(tmp_path)
    users = pwdfile(tmp_path, cora="geheim", dora="anders")
    (tmp_path / "pwdfile.locked").write_text("dora\n")
    with pam_service(users) as service, serve(tmp_path, f'type = "pam"  service = "{service}"') as server:
        assert login(server, "cora", "geheim") == "235"
        assert send(server, "LOGIN", "cora", "geheim") == 0
        assert login(server, "cora", "Geheim") == "535"
        assert login(server, "dora", "anders") == "535"       # the account module refuses
        assert login(server, "nobody", "geheim") == "535"
        assert login(server, "anna@example.org", "correct horse") == "235"


@needs_pam
def test_pam_without_its_module_or_service(tmp_path):
    open_to_roles(tmp_path)
    name = "postern-" + uuid.uuid4().hex[:12]
    file = PAM_DIR / name
    file.write_text("auth required pam_is_not_there.so\naccount required pam_permit.so\n")
    try:
        with serve(tmp_path, f'type = "pam"  service = "{name}"') as server:
            assert login(server, "cora", "geheim") == "454"
            assert login(server, "anna@example.org", "correct horse") == "235"
    finally:
        file.unlink()


@needs_sasl
@needs_pam
def test_saslauthd(tmp_path):
    open_to_roles(tmp_path)
    users = pwdfile(tmp_path, cora="geheim", **{"dora@example.org": "anders"})
    (tmp_path / "pwdfile.locked").write_text("")
    with pam_service(users) as service:
        with saslauthd(tmp_path / "plain", "-a", "pam") as folder:
            with serve(tmp_path / "a", f'type = "saslauthd"  path = "{folder}/mux"  service = "{service}"') as server:
                assert login(server, "cora@example.org", "geheim") == "235"    # the realm is dropped by pam
                assert login(server, "cora", "geheim") == "235"
                assert login(server, "cora", "Geheim") == "535"
                assert login(server, "nobody", "geheim") == "535"
                assert login(server, "cora", "x" * 300) == "535"
                assert login(server, "anna@example.org", "correct horse") == "235"
        with saslauthd(tmp_path / "joined", "-a", "pam", "-r") as folder:
            with serve(tmp_path / "b", f'type = "saslauthd"  path = "{folder}"  service = "{service}"') as server:
                assert login(server, "dora@example.org", "anders") == "235", server.log_text()
                assert login(server, "cora@example.org", "geheim") == "535"
