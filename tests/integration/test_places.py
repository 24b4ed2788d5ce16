"""Where the files lie decides who the roles can be: nobody where nobody can work, else root's without a capability."""

import os
import pathlib
import re
import tempfile
import shutil

import pytest

from postern import BUILD, POSTERN, Server, message

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def status_of(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(re.findall(r"^(Uid|CapEff|NoNewPrivs):\s+(\S+)", text, re.M))


def send_one(server):
    with server.smtp(server.implicit, login=("anna@example.org", "x")) as client:
        client.sendmail("anna@example.org", ["bob@example.net"], message("places"))
    assert len(server.wait_messages(1)) == 1


def test_reachable_places_run_as_the_account(make_server):
    server = make_server(users={"anna@example.org": "x"})
    send_one(server)
    for role in ("front", "auth", "queue", "deliver"):
        status = status_of(server.pids(role)[0])
        assert status["Uid"] != "0" and int(status["CapEff"], 16) == 0 and status["NoNewPrivs"] == "1"


def test_a_folder_of_roots_alone_keeps_the_roles_roots_without_capabilities():
    folder = pathlib.Path(tempfile.mkdtemp())  # 0700
    try:
        server = Server(folder, users={"anna@example.org": "x"})
        folder.chmod(0o700)
        server.start()
        try:
            send_one(server)
            assert server.logged(r"warning: user \"nobody\" cannot work in .*; the roles stay root's")
            for role in ("front", "auth", "queue", "deliver"):
                status = status_of(server.pids(role)[0])
                assert int(status["CapEff"], 16) == 0 and status["NoNewPrivs"] == "1"
            server.add_user("bob@example.org", "y")
        finally:
            assert server.stop() == 0
        # what a command made meanwhile, or gave to nobody, does not stop the next start
        server.add_user("carl@example.org", "z")
        server.start()
        assert len(server.json("user", "list")["users"] if isinstance(server.json("user", "list"), dict)
                   else server.json("user", "list")) == 3
        assert server.stop() == 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_user_root_by_word(make_server):
    server = make_server(users={"anna@example.org": "x"}, user="root")
    send_one(server)
    status = status_of(server.pids("front")[0])
    assert status["Uid"] == "0" and int(status["CapEff"], 16) == 0


def test_a_maildir_folder_is_made_and_given(make_server, tmp_path):
    place = tmp_path / "new" / "mail"
    server = make_server(users={"anna@example.org": "x"}, routes=f'route "*" {{ via = "maildir:{place}/{{user}}" }}')
    with server.smtp(server.implicit, login=("anna@example.org", "x")) as client:
        client.sendmail("anna@example.org", ["bob@example.net"], message("places"))
    server.maildir = place
    assert len(server.wait_messages(1)) == 1


def test_programs_in_a_folder_of_roots_alone(make_server, tmp_path):
    build = tmp_path / "build"
    build.mkdir()
    shutil.copy(POSTERN, build)
    shutil.copytree(BUILD / "libexec", build / "libexec", ignore=shutil.ignore_patterns("*.p"))
    server = make_server(start=False, users={"anna@example.org": "x"}, build=build)
    build.chmod(0o700)
    server.start()
    send_one(server)
    pid = server.pids("front")[0]
    assert status_of(pid)["Uid"] != "0"
    assert pathlib.Path(f"/proc/{pid}/comm").read_text() == "postern-front\n"
