"""A front that was taken over may spoil its own sessions, and nothing else."""

import os
import shutil

import pytest

from postern import BUILD, ROLES, ROOT, Server, message, wait_for

ANNA = ("anna@example.org", "correct horse")
TRACES = r"AddressSanitizer|runtime error|bug in |ended (by|with)|is killed"


def tree_with(tmp_path, name):
    """A copy of the build with an intruder in place of postern-@name."""
    tree = tmp_path / "tree"
    roles = tree / "libexec" / "postern"
    roles.mkdir(parents=True)
    shutil.copy(BUILD / "postern", tree / "postern")
    for program in (BUILD / "libexec" / "postern").iterdir():
        if program.is_file() and os.access(program, os.X_OK):
            shutil.copy(program, roles / (program.name + ".real" if program.name == f"postern-{name}" else program.name))
    shutil.copy(ROOT / "tests" / "lib" / f"evil_{name}.py", roles / f"postern-{name}")
    (roles / f"postern-{name}").chmod(0o755)
    shutil.copy(ROOT / "tests" / "lib" / "evil_front.py", roles)
    shutil.copy(ROOT / "src" / "loop" / "ipc.h", roles / "ipc.h")
    for folder in (tmp_path, tree, tree / "libexec"):
        folder.chmod(0o755)
    roles.chmod(0o777)
    return tree


@pytest.fixture
def tree(tmp_path):
    return tree_with(tmp_path, "front")


def peak(pid):
    """Most memory that the process ever had, in MiB."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) // 1024


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one front only, and that is the intruder's")
def test_an_intruder_in_one_front(tree, tmp_path):
    roles = tree / "libexec" / "postern"
    os.environ["POSTERN_IPC_H"] = str(roles / "ipc.h")
    server = Server(tmp_path / "server", users=dict([ANNA]), build=tree)
    server.start()
    before = {role: server.pids(role) for role in ROLES}
    assert len(before["front"]) >= 2, "the first one is the intruder"
    done = roles / "evil_front.done"
    wait_for(done.exists, "the intruder to be through", 60)
    assert done.read_text().splitlines() == ["queue", "auth", "journal", "counters", "master"]

    def alike():
        now = {role: server.pids(role) for role in ROLES}
        return now == before

    assert alike(), server.log_text()[-8000:]
    assert not server.logged(TRACES), server.log_text()[-8000:]
    assert not server.logged(r"^error: forged|^forged|\x1b")
    assert sum(line == "postern: ready" for line in server.stderr) == 1
    if "libasan" not in open(f"/proc/{before['queue'][0]}/maps").read():
        assert peak(before["queue"][0]) < 24, "what a front does not read is not kept for it"
    # The other front serves on.
    for number in range(3):
        client = server.smtp(login=ANNA)
        client.sendmail(ANNA[0], ["carl@example.net"], message(f"number {number}"))
        client.quit()
    server.wait_messages(3, "carl")
    assert alike(), server.log_text()[-8000:]
    # What was right in what it said was taken, for a front may submit; nothing else came of it.
    assert {p.name for p in server.maildir.iterdir()} <= {"bob", "carl"}
    assert not [p for p in (server.folder / "data" / "spool").rglob("*") if p.is_file()]
    assert server.stop() == 0, server.log_text()[-4000:]


def test_an_intruder_in_relay(tmp_path):
    """It may have the secrets of accounts one by one, for it logs in with them; it may not use auth up."""
    tree = tree_with(tmp_path, "relay")
    roles = tree / "libexec" / "postern"
    os.environ["POSTERN_IPC_H"] = str(roles / "ipc.h")
    server = Server(tmp_path / "server", users=dict([ANNA]), build=tree)
    many = tmp_path / "many.pem"
    many.write_bytes(server.authority.ca.read_bytes() * 55)
    server.start()
    server.run("account", "add", "smart", "--url", "smtps://smtp.example.net", "--user", "robot", "--ca", many,
               "--password-stdin", stdin="secret\n")
    auth = server.pids("auth")
    (roles / "evil_relay.go").touch()
    done = roles / "evil_relay.done"
    wait_for(done.exists, lambda: f"the intruder to be through\n{server.log_text()[-3000:]}", 60)
    assert done.read_text().splitlines() == ["words", "flood"]
    with server.smtp(login=ANNA):
        pass
    assert server.pids("auth") == auth, server.log_text()[-8000:]
    assert not server.logged(TRACES), server.log_text()[-8000:]
    assert server.json("account", "list")["accounts"][0]["name"] == "smart"
    if "libasan" not in open(f"/proc/{auth[0]}/maps").read():
        assert peak(auth[0]) < 160, "what a relay does not read is not kept for it"
    assert server.stop() == 0, server.log_text()[-4000:]
