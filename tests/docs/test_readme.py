"""Every command in the README works: its `sh` blocks are run in order, its `conf` blocks are checked."""

import os
import pathlib
import re
import subprocess

import pytest

from postern import BUILD, POSTERN, ROOT, free_ports

README = (ROOT / "README.md").read_text()


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", README, re.M | re.S)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    for part in (folder, folder.parent):
        part.chmod(0o755)  # the service account walks through
    return folder


@pytest.fixture(scope="module")
def running(scratch):
    """The server that the README starts between two blocks, on free ports of loopback."""
    conf = scratch / "etc" / "postern.conf"
    text = conf.read_text()
    for port, free in zip(re.findall(r'address\s*=\s*"[^"]*:(\d+)"', text), free_ports(9)):
        text = re.sub(rf'"[^"]*:{port}"', f'"127.0.0.1:{free}"', text)
    conf.write_text(text)
    process = subprocess.Popen([POSTERN, "serve", "-c", conf], stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "postern: ready" in line:
            break
    yield process
    process.terminate()
    process.stderr.read()
    assert process.wait(20) == 0


@pytest.mark.parametrize("number", range(len(blocks("sh"))))
def test_commands(scratch, number, request):
    if "postern queue" in blocks("sh")[number]:
        request.getfixturevalue("running")
    for command in blocks("sh")[number].strip().splitlines():
        done = subprocess.run(["sh", "-e", "-c", command], cwd=scratch, text=True, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=dict(os.environ, PATH=f"{BUILD}:{os.environ['PATH']}"))
        assert done.returncode == 0, f"$ {command}\n{done.stdout}"


@pytest.mark.parametrize("number", range(len(blocks("conf"))))
def test_configurations(tmp_path, number):
    text = blocks("conf")[number]
    if "hostname" not in text:
        text = f'hostname = "mail.example.org"\ndata = "{tmp_path}/data"\nrun = "{tmp_path}/run"\n' + text
    text = text.replace("/var/lib/postern", f"{tmp_path}/data").replace("/run/postern", f"{tmp_path}/run")
    for users in re.findall(r'path = "([^"]+)" +format', text):
        (tmp_path / "users").write_text("anna:{PLAIN}secret\n")
        text = text.replace(users, f"{tmp_path}/users")
    certificate = re.search(r"certificate", text)
    if certificate:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", tmp_path / "privkey.pem", "-out", tmp_path / "fullchain.pem", "-days", "5",
                        "-subj", "/CN=mail.example.org"], check=True, stderr=subprocess.DEVNULL)
    conf = tmp_path / "postern.conf"
    conf.write_text(text)
    done = subprocess.run([POSTERN, "check", "-c", conf], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"{text}\n{done.stdout}"


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"(?:^ {4}|`)make (\w+)", README, re.M)):
        assert re.search(rf"^{target}:", makefile, re.M), target
