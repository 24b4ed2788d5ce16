"""A server whose every byte a test writes: for what no decent server says.

    def mean(talk):
        talk.say("220 hello")
        talk.hear("EHLO")
        talk.say("250-mean", "250 AUTH PLAIN")
        talk.rest()                                # takes what comes until the client goes

    server = Script(mean, starttls=context)
    ... server.port, server.heard (all lines of all connections), server.talks ...
"""

import contextlib
import socket
import threading
import time

from peer import server_context  # noqa: F401  for those who import a Script


class Gone(Exception):
    """The client has left."""


class Talk:
    """One connection."""

    def __init__(self, server, sock):
        self.server, self.sock, self.buffer, self.tls, self.lines, self.broken = server, sock, b"", False, [], False
        self.sock.settimeout(server.patience)

    def say(self, *lines):
        self.raw("".join(line + "\r\n" for line in lines).encode("latin-1"))

    def raw(self, data):
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Gone from error

    def line(self):
        """The client's next line without its end."""
        while b"\n" not in self.buffer:
            try:
                data = self.sock.recv(65536)
            except OSError as error:
                raise Gone from error
            if not data:
                raise Gone
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        text = line.rstrip(b"\r").decode("latin-1")
        self.lines.append(text)
        with self.server.changed:
            self.server.heard.append(text)
            self.server.changed.notify_all()
        return text

    def hear(self, verb):
        """Lines until one begins with @verb; it is returned."""
        while True:
            line = self.line()
            if line.upper().startswith(verb):
                return line

    def body(self):
        """A message up to its dot."""
        lines = []
        while (line := self.line()) != ".":
            lines.append(line)
        return lines

    def handshake(self, context=None):
        try:
            self.sock = (context or self.server.starttls).wrap_socket(self.sock, server_side=True)
        except OSError as error:
            raise Gone from error
        self.buffer, self.tls = b"", True

    def hello(self, *words):
        """Greeting, EHLO and an answer with @words."""
        self.say("220 script ESMTP")
        return self.ehlo(*words)

    def ehlo(self, *words):
        line = self.hear("EHLO")
        words = ("script", *words)
        self.say(*[f"250-{w}" for w in words[:-1]], f"250 {words[-1]}")
        return line

    def secure(self, *words):
        """Greeting, EHLO, STARTTLS, handshake, EHLO with @words."""
        self.hello("STARTTLS")
        self.hear("STARTTLS")
        self.say("220 go")
        self.handshake()
        return self.ehlo(*words)

    def rest(self):
        """Take what comes, and answer only to who gives up."""
        while True:
            line = self.line()
            if line == "*":
                self.say("501 5.7.0 cancelled")
            elif line.upper() == "QUIT":
                self.say("221 bye")

    def forever(self, data, pause=0.0, seconds=30):
        """@data again and again until the client goes, @seconds have passed or 64 MiB were sent."""
        end, sent = time.monotonic() + seconds, 0
        while time.monotonic() < end and sent < 64 << 20:
            self.raw(data)
            sent += len(data)
            if pause:
                time.sleep(pause)

    def close(self):
        raise Gone

    def hang_up(self):
        """From outside: end the connection."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)


class Script:
    def __init__(self, play, starttls=None, implicit=None, patience=60):
        self.play, self.starttls, self.implicit, self.patience = play, starttls, implicit, patience
        self.heard, self.talks, self.now, self.most = [], [], 0, 0
        self.changed = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        talk = Talk(self, sock)
        with self.changed:
            self.talks.append(talk)
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            if self.implicit:
                talk.handshake(self.implicit)
            self.play(talk)
        except (Gone, OSError):
            pass
        finally:
            with self.changed:
                self.now -= 1
                self.changed.notify_all()
            with contextlib.suppress(OSError):
                talk.sock.close()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
