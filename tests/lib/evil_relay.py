#!/usr/bin/python3
"""Stands in place of postern-relay as an intruder who took it over: asks auth for what it likes, as often as it likes,
and reads no answer. What it did is written to evil_relay.done beside it."""

import contextlib
import os
import sys
import time

from evil_front import HERE, Intruder, frame, text

QUESTIONS = 8000


def want(account, what=0, refused=0):
    return text(account) + bytes([what, refused])


JUNK = [frame("ACCOUNT_WANT", n, body) for n, body in enumerate([
    text(""), text("x" * 255), text("x" * 256), text(b"\0"), text(b"a\0b"), text("../smart"), text(b"\xff" * 80000),
    text("a\r\nb"), text("' OR 1=1 --"), text("smart") + b"more", b"\xff\xff\xff\xff", os.urandom(500)])] + [
    frame("SECRET_WANT", n, body) for n, body in enumerate([
        want("", 0), want("x" * 256), want(b"smart\0"), want("smart", 2), want("smart", 255), want("smart", 1, 255),
        want(b"\xff" * 80000), text("smart"), b"\0" * 6, os.urandom(500)])]
NOT_ITS = [frame("FETCHED", 1, b"\0" * 15), frame("ACCOUNT_CHANGED", 0, text("smart")), frame("ACCOUNT", 1, b"\0" * 40),
           frame("SECRET", 1, b"\0" * 13), frame("FETCH_WANT", 1, b"\0" * 16), frame("CTL_REQUEST", 1, b"\0" * 8)]


class EvilRelay(Intruder):
    def attack_words(self):
        for data in JUNK:
            self.tell("AUTH", data)
        for data in NOT_ITS:
            self.tell("AUTH", data)
            time.sleep(0.02)
        self.done.append("words")

    def attack_flood(self):
        """Answers that nobody reads; each of them is long."""
        sent, end = 0, time.monotonic() + 20
        sock = self.peer("AUTH")
        sock.setblocking(True)
        sock.settimeout(5)
        with contextlib.suppress(OSError):
            while sent < QUESTIONS and time.monotonic() < end:
                sock.send(frame("ACCOUNT_WANT", sent, text("smart")))
                sock.send(frame("SECRET_WANT", sent, want("smart")))
                sent += 1
        self.done.append("flood" if sent == QUESTIONS else f"auth took {sent} questions only")

    def run(self):
        self.receive(0.5)
        self.say(frame("READY"))
        while not (HERE / "evil_relay.go").exists():
            self.receive(0.1)
        for attack in (self.attack_words, self.attack_flood):
            try:
                attack()
            except Exception as error:      # noqa: BLE001
                self.done.append(f"{attack.__name__}: {error!r}")
        (HERE / "evil_relay.done").write_text("\n".join(self.done) + "\n")
        self.receive(3600)


if __name__ == "__main__":
    EvilRelay().run()
