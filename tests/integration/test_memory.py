"""A message streams: no process holds it whole, whatever its size."""

import hashlib
import pathlib
import re

from postern import ROLES, wait_for

LIMIT_KIB = 40 * 1024
SIZE = 100 * 1024 * 1024


def peak_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1))


def test_100_mib_with_every_process_below_40_mib(make_server):
    server = make_server(limits=f"message_size = {2 * SIZE}", users={"anna@example.org": "x"})
    line = b"0123456789" * 7 + b"\r\n"
    lines = SIZE // len(line)
    with server.smtp(server.implicit, login=("anna@example.org", "x"), timeout=120) as client:
        client.ehlo()
        assert client.mail("anna@example.org", [f"SIZE={lines * len(line) + 100}"])[0] == 250
        assert client.rcpt("large@example.net")[0] == 250
        assert client.docmd("DATA")[0] == 354
        client.send(b"From: anna@example.org\r\nTo: large@example.net\r\nSubject: large\r\n\r\n")
        block = line * 1000
        for _ in range(lines // 1000):
            client.send(block)
        client.send(line * (lines % 1000) + b".\r\n")
        code, text = client.getreply()
        assert code == 250, text
    folder = server.maildir / "large" / "new"
    wait_for(lambda: folder.exists() and any(folder.iterdir()), "the delivery", 120)
    path = next(folder.iterdir())
    digest, body = hashlib.sha256(), 0
    with path.open("rb") as delivered:
        for header in delivered:
            if header == b"\n":
                break
        while chunk := delivered.read(1 << 20):
            digest.update(chunk)
            body += len(chunk)
    assert body == lines * (len(line) - 1)
    expected = hashlib.sha256()
    for _ in range(lines):
        expected.update(line[:-2] + b"\n")
    assert digest.digest() == expected.digest()
    peaks = {role: max(peak_kib(pid) for pid in server.pids(role)) for role in ROLES}
    peaks["master"] = peak_kib(server.process.pid)
    print(peaks)
    assert max(peaks.values()) < LIMIT_KIB, peaks
    # The spool is empty again, the file with it.
    wait_for(lambda: not any(p.is_file() for p in (server.folder / "data" / "spool").rglob("*")), "the file to go")
    assert server.json("queue", "list") == []
