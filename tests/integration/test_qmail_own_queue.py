"""postern-smtpd where there is no qmail-queue: into the queue of a running server, small and large messages."""

import os
import signal
import time

import pytest

import postern
import qmail as q
from qmail import Qmail, plain

HEAD = "From: anna@example.org\r\nTo: quentin@example.org\r\nSubject: {}\r\n\r\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with postern.Server(tmp_path_factory.mktemp("running"), auth="plaintext_without_tls = true") as made:
        yield made


@pytest.fixture
def session(tmp_path, running):
    with Qmail(tmp_path, queue=False) as box:
        made = box.session(box.recorder(0), ["-c", running.conf])
        made.ehlo()
        assert made.command("AUTH PLAIN " + plain("test", "testpass")).startswith("235")
        yield made


def delivered(running, subject):
    return [m for m in running.messages("quentin") if f"Subject: {subject}\n".encode() in m]


@pytest.mark.parametrize("lines", [1, 800, 900, 20000])
def test_of_every_size(session, running, lines):
    """Up to 64 KiB a message goes along with its envelope, a longer one in a file that the server hands out."""
    subject = f"lines-{lines}"
    body = HEAD.format(subject) + "0123456789" * 7 + ".\r\n"
    body += ("0123456789" * 7 + "\r\n") * lines
    before = len(running.messages("quentin"))
    reply = session.mail("anna@example.org", ["quentin@example.org"], body.encode())
    assert reply.startswith("250 2.0.0 queued as"), reply
    running.wait_messages(before + 1, "quentin")
    text = delivered(running, subject)[0].decode()
    assert text.count("0123456789" * 7 + "\n") == lines and "(test@192.0.2.7)" in text
    assert "\nMessage-ID:" in text and "\nDate:" in text


def test_many_in_one_session_and_none_that_was_broken_off(session, running):
    before = len(running.messages("quentin"))
    for subject in ("one", "two"):
        assert session.mail("anna@example.org", ["quentin@example.org"], HEAD.format(subject).encode()).startswith("250")
    assert session.command("MAIL FROM:<anna@example.org>").startswith("250")
    assert session.command("RCPT TO:<quentin@example.org>").startswith("250")
    assert session.command("DATA").startswith("354")
    session.send(HEAD.format("three") + "half a message\r\n" * 20000)
    session.sock.close()
    assert session.process.wait(15) == 1
    running.wait_messages(before + 2, "quentin")
    assert len(delivered(running, "one")) == len(delivered(running, "two")) == 1 and not delivered(running, "three")


def test_the_configurations_limit_of_size(tmp_path, make_server):
    small = make_server(limits="message_size = 2000")
    with Qmail(tmp_path, queue=False) as box:
        s = box.session(box.recorder(0), ["-c", small.conf, "--allow-clear"])
        assert "SIZE 2000" in s.ehlo()
        assert s.command("AUTH PLAIN " + plain("test", "testpass")).startswith("235")
        assert s.mail(to=["quentin@example.org"], body=b"x" * 70 + b"\r\n" * 2000).startswith("552")
        assert s.in_step()


def test_without_a_home_strangers_go_nowhere(tmp_path, running):
    with Qmail(tmp_path, queue=False) as box:
        s = box.session(options=["-c", running.conf], env={"QMAILHOME": "/nonexistent"})
        s.ehlo()
        assert s.mail(to=["zoe@elsewhere.example"]).startswith("553")
        assert s.command("QUIT").startswith("221")


def test_strangers_need_rcpthosts(tmp_path, running):
    """A missing rcpthosts lets in mail for everybody where qmail-send follows; our routes would relay it."""
    with Qmail(tmp_path, queue=False) as box:
        box.control("rcpthosts", None)
        made = box.session(box.recorder(0), ["-c", running.conf])
        made.ehlo()
        assert made.command("MAIL FROM:<anna@example.org>").startswith("250")
        assert made.command("RCPT TO:<quentin@example.org>").startswith("553 5.7.1")
        assert made.command("RSET").startswith("250")
        assert made.command("AUTH PLAIN " + plain("test", "testpass")).startswith("235")
        assert made.command("MAIL FROM:<anna@example.org>").startswith("250")
        assert made.command("RCPT TO:<quentin@example.org>").startswith("250")


def test_a_killed_queue_loses_nothing(session, running):
    """The queue dies again and again while messages are handed in: each 250 is a delivery."""
    accepted = []
    for number in range(12):
        subject = f"killed-{number}"
        pids = running.pids("queue")
        if number % 3 == 0 and pids:
            os.kill(pids[0], signal.SIGKILL)
        reply = session.mail("anna@example.org", ["quentin@example.org"], HEAD.format(subject).encode())
        assert reply.startswith(("250", "451")), reply
        if reply.startswith("250"):
            accepted.append(subject)
    assert len(accepted) >= 6
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not all(delivered(running, s) for s in accepted):
        time.sleep(0.05)
    assert [s for s in accepted if not delivered(running, s)] == []
