"""A DNS server of a few names on loopback, over UDP and TCP.

    dns = Dns({"example.net": {"MX": [(10, "mx.example.net")]}, "mx.example.net": {"A": ["127.0.0.2"]}})
    ... POSTERN_RESOLVER=127.0.0.1:{dns.port} ...

A name that is not there, and has none below it, does not exist. A zone may be "SERVFAIL", or None: no answer at all.
Answers over 512 octets are cut for UDP, so that the client comes again by TCP."""

import contextlib
import socket
import struct
import threading

TYPES = {"A": 1, "CNAME": 5, "MX": 15, "TXT": 16, "AAAA": 28}


def wire_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def wire_value(kind, value):
    if kind == "A":
        return socket.inet_aton(value)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, value)
    if kind == "MX":
        return struct.pack(">H", value[0]) + wire_name(value[1])
    if kind == "TXT":   # one string, or a list of them that make one record
        parts = [v.encode("latin-1") for v in (value if isinstance(value, list) else [value])]
        return b"".join(bytes([len(v)]) + v for v in parts)
    return wire_name(value)


class Dns:
    def __init__(self, names):
        self.names = {name.lower(): zone for name, zone in names.items()}
        self.asked = []     # (name, type, "udp" or "tcp")
        while True:
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind(("127.0.0.1", 0))
            self.port = self.udp.getsockname()[1]
            try:
                self.tcp = socket.create_server(("127.0.0.1", self.port))
                break
            except OSError:
                self.udp.close()
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self.tcp.shutdown(socket.SHUT_RDWR)
        self.tcp.close()
        self.udp.close()

    def _serve_udp(self):
        with contextlib.suppress(OSError):
            while True:
                query, client = self.udp.recvfrom(4096)
                answer = self._answer(query, "udp")
                if answer and len(answer) > 512:
                    answer = answer[:2] + struct.pack(">HHHHH", 0x8780, 1, 0, 0, 0) + self._question(query)[2]
                if answer:
                    self.udp.sendto(answer, client)

    def _serve_tcp(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.tcp.accept()
                threading.Thread(target=self._one_tcp, args=(connection,), daemon=True).start()

    def _one_tcp(self, connection):
        with connection, connection.makefile("rb") as stream, contextlib.suppress(OSError):
            while True:
                head = stream.read(2)
                if len(head) < 2:
                    return
                answer = self._answer(stream.read(struct.unpack(">H", head)[0]), "tcp")
                if answer:
                    connection.sendall(struct.pack(">H", len(answer)) + answer)

    @staticmethod
    def _question(query):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1").lower())
            at += 1 + query[at]
        return ".".join(labels), struct.unpack_from(">H", query, at + 1)[0], query[12:at + 5]

    def _answer(self, query, how):
        name, number, question = self._question(query)
        kind = next((k for k, n in TYPES.items() if n == number), str(number))
        self.asked.append((name, kind, how))
        records, code = [], 0
        for _ in range(8):
            zone = self.names.get(name, {})
            if zone is None:
                return None
            if zone == "SERVFAIL":
                code = 2
            elif name not in self.names:
                code = 0 if any(n.endswith("." + name) for n in self.names) else 3
            elif "CNAME" in zone and kind != "CNAME":
                records.append((name, "CNAME", zone["CNAME"]))
                name = zone["CNAME"].lower()
                continue
            else:
                records += [(name, kind, value) for value in zone.get(kind, [])]
            break
        body = b""
        for owner, record_kind, value in records:
            data = wire_value(record_kind, value)
            body += wire_name(owner) + struct.pack(">HHIH", TYPES[record_kind], 1, 300, len(data)) + data
        return query[:2] + struct.pack(">HHHHH", 0x8580 | code, 1, len(records), 0, 0) + question + body
