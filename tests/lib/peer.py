"""A server to relay to: SMTP or LMTP, STARTTLS or TLS from the first byte, AUTH PLAIN, and every way of
answering badly that a test asks for."""

import base64
import contextlib
import socket
import ssl
import threading


def server_context(certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def broken_context():
    """Offers STARTTLS and then cannot shake hands: it has no certificate."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


class Peer:
    """`say` maps a verb ("GREETING", "EHLO", "MAIL", "RCPT", "DATA", ".", "STARTTLS", "AUTH") to the bytes or
    text to answer with in place of the usual reply; a function of (peer, line) may return one or None."""

    def __init__(self, starttls=None, implicit=None, users=None, lmtp=False, path=None,
                 extensions=("PIPELINING", "8BITMIME", "SIZE 200000000"), say=None, host="127.0.0.1", port=0):
        self.starttls, self.implicit, self.users, self.lmtp = starttls, implicit, users, lmtp
        self.extensions, self.say = extensions, say or {}
        self.messages, self.commands, self.connections, self.now, self.most = [], [], 0, 0, 0
        self.logins = []
        self.lock = threading.Lock()
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(path))
            self.listener.listen(64)
        else:
            self.listener = socket.create_server((host, port), backlog=64)
            self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with self.lock:
            self.connections += 1
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            self._dialogue(connection)
        except (OSError, ValueError):
            pass
        finally:
            with self.lock:
                self.now -= 1
            connection.close()

    def _told(self, verb, line, usual):
        told = self.say.get(verb)
        if callable(told):
            told = told(self, line)
        if told is None:
            told = usual
        return told if isinstance(told, bytes) else told.encode() + b"\r\n"

    def _hello(self, tls, login):
        words = ["peer", *self.extensions]
        if self.starttls and not tls:
            words.append("STARTTLS")
        if self.users is not None and not login:
            words.append("AUTH PLAIN")
        return "\r\n".join([f"250-{w}" for w in words[:-1]] + [f"250 {words[-1]}"])

    def _dialogue(self, raw):
        connection = self.implicit.wrap_socket(raw, server_side=True) if self.implicit else raw
        tls, login, sender, recipients = bool(self.implicit), None, None, []
        connection.sendall(self._told("GREETING", "", "220 peer"))
        lines = connection.makefile("rb")
        while True:
            line = lines.readline().decode("latin-1").rstrip("\r\n")
            if not line:
                return
            with self.lock:
                self.commands.append(line)
            verb = line.split(" ")[0].upper()
            if verb in ("EHLO", "LHLO"):
                connection.sendall(self._told("EHLO", line, self._hello(tls, login)))
            elif verb == "STARTTLS":
                connection.sendall(self._told(verb, line, "220 go"))
                if "STARTTLS" in self.say:
                    continue
                connection = self.starttls.wrap_socket(connection, server_side=True)
                lines, tls = connection.makefile("rb"), True
            elif verb == "AUTH":
                name, password = base64.b64decode(line.split()[2]).decode().split("\0")[1:]
                right = (self.users or {}).get(name) == password
                with self.lock:
                    self.logins.append((name, right))
                login = name if right else None
                connection.sendall(self._told(verb, line, "235 ok" if right else "535 5.7.8 no"))
            elif verb == "MAIL":
                sender, recipients = line, []
                connection.sendall(self._told(verb, line, "250 ok"))
            elif verb == "RCPT":
                reply = self._told(verb, line, "250 ok")
                if reply.startswith(b"2"):
                    recipients.append(line)
                connection.sendall(reply)
            elif verb == "DATA":
                connection.sendall(self._told(verb, line, "354 go" if recipients else "503 nobody"))
                if not recipients or "DATA" in self.say:
                    continue
                body = self._body(lines)
                reply = self._told(".", line, "250 2.0.0 taken")
                for _ in recipients if self.lmtp else [None]:
                    connection.sendall(reply)
                if reply.startswith(b"2"):
                    with self.lock:
                        self.messages.append((sender, recipients, body, login, tls))
            elif verb == "BDAT":
                body = lines.read(int(line.split()[1]))
                connection.sendall(self._told(".", line, "250 2.0.0 taken"))
                with self.lock:
                    self.messages.append((sender, recipients, body, login, tls))
            elif verb == "QUIT":
                connection.sendall(b"221 bye\r\n")
                return
            else:
                connection.sendall(b"250 ok\r\n")

    @staticmethod
    def _body(lines):
        body = []
        while True:
            line = lines.readline()
            if not line:
                raise OSError("ended inside the message")
            if line == b".\r\n":
                return b"".join(body)
            body.append(line[1:] if line.startswith(b".") else line)
