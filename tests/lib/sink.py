"""A small SMTP server for what Postern sends: keeps messages, answers as it is told."""

import contextlib
import socket
import threading


class Sink:
    """Listens on .port at once. `replies` maps a verb ("RCPT", or "." for the end of a message) to a reply, or to
    a function of the command line that returns one (None: the usual reply)."""

    def __init__(self, replies=None, port=0, greeting="220 sink ESMTP", extensions=("PIPELINING", "8BITMIME")):
        self.replies = replies or {}
        self.greeting = greeting
        self.extensions = extensions
        self.messages = []          # (sender, [recipients], bytes) of each message answered 250
        self.commands = []
        self.connections = 0
        self.open = []
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            for connection in self.open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                self.open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _reply(self, verb, line, usual):
        told = self.replies.get(verb)
        if callable(told):
            told = told(line)
        return told or usual

    def _serve(self, connection):
        try:
            with connection, connection.makefile("rb") as lines:
                self._dialogue(connection, lines)
        except OSError:
            pass

    def _dialogue(self, connection, lines):
        sender, recipients = None, []
        connection.sendall(f"{self.greeting}\r\n".encode())
        for raw in lines:
            line = raw.decode(errors="replace").rstrip("\r\n")
            verb = line.split(" ")[0].split(":")[0].upper()
            with self.lock:
                self.commands.append(line)
            usual = "250 ok" if verb != "RCPT" or sender is not None else "503 no sender"
            if verb == "EHLO":
                usual = "\r\n".join(f"250-{e}" for e in ("sink", *self.extensions)) + "\r\n250 SIZE 100000000"
            elif verb == "DATA":
                usual = "354 go" if recipients else "503 no recipients"
            elif verb == "QUIT":
                usual = "221 bye"
            reply = usual if usual.startswith("503") else self._reply(verb, line, usual)
            if verb == "MAIL" and reply.startswith("2"):
                sender, recipients = line.split("<", 1)[1].split(">", 1)[0], []
            elif verb == "RCPT" and reply.startswith("2"):
                recipients.append(line.split("<", 1)[1].split(">", 1)[0])
            connection.sendall(f"{reply}\r\n".encode())
            if verb == "DATA" and reply.startswith("354"):
                body = self._body(lines)
                if body is None:
                    return
                reply = self._reply(".", line, "250 kept")
                if reply.startswith("2"):
                    with self.lock:
                        self.messages.append((sender, recipients, body))
                connection.sendall(f"{reply}\r\n".encode())
                sender, recipients = None, []
            if verb == "QUIT" or reply.startswith("421"):
                return

    @staticmethod
    def _body(lines):
        parts = []
        for raw in lines:
            if raw == b".\r\n":
                return b"".join(parts)
            parts.append(raw[1:] if raw.startswith(b".") else raw)
        return None
