"""One message from login to maildir, by every mechanism and every way of sending a body."""

import base64
import hashlib
import hmac
import re

import pytest

from postern import message, wait_for

ANNA = ("anna@example.org", "correct horse")


def plain(user, password, authzid=""):
    return base64.b64encode(f"{authzid}\0{user}\0{password}".encode()).decode()


def test_smtplib_starttls_and_implicit(server):
    for port in (server.starttls, server.implicit):
        before = len(server.messages())
        with server.smtp(port, login=ANNA) as client:
            client.sendmail("anna@example.org", ["bob@example.net"], message(f"by {port}"))
        text = server.wait_messages(before + 1)[-1].decode()
        assert f"Subject: by {port}" in text
        assert re.search(r"^Received: from \S+ \(\[127\.0\.0\.1\]\)\s+(?:\(authenticated as \w+\)\s+)?by mail\.example\.org with ESMTPSA", text, re.M), text
        assert "Authentication-Results: mail.example.org;" in text and "auth=pass" in text
        assert re.search(r"^Date: ", text, re.M) and re.search(r"^Message-ID: <\S+@mail\.example\.org>", text, re.M | re.I)


def test_no_plaintext_mechanism_before_tls(server):
    wire = server.socket(server.starttls)
    ehlo = wire.command("EHLO client.example.org")
    announced = re.search(r"AUTH (.*)", ehlo).group(1).split()
    assert "PLAIN" not in announced and "LOGIN" not in announced
    assert not any(name.endswith("-PLUS") for name in announced)
    assert "STARTTLS" in ehlo
    assert wire.command("AUTH PLAIN " + plain(*ANNA)).startswith("538 5.7.11")
    assert wire.command("MAIL FROM:<anna@example.org>").startswith("530 5.7.0")
    wire.close()


def test_announcement_in_tls(server):
    wire = server.tls_socket()
    ehlo = wire.command("EHLO client.example.org")
    for word in ("PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES", "DSN", "LIMITS"):
        assert word in ehlo, ehlo
    assert "STARTTLS" not in ehlo
    announced = re.search(r"AUTH (.*)", ehlo).group(1).split()
    assert {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN", "CRAM-MD5"} <= set(announced)
    assert wire.command("AUTH PLAIN " + plain(*ANNA)).startswith("235 2.7.0")
    assert "AUTH" not in wire.command("EHLO client.example.org").replace("AUTHENT", "")
    assert wire.command("AUTH PLAIN " + plain(*ANNA)).startswith("503 5.5.1")
    wire.close()


@pytest.mark.parametrize("user, password", [("anna@example.org", "wrong"), ("nobody@example.org", "correct horse")])
def test_wrong_password_and_unknown_user_are_alike(server, user, password):
    wire = server.tls_socket()
    wire.command("EHLO client.example.org")
    assert wire.command("AUTH PLAIN " + plain(user, password)) == "535 5.7.8 authentication credentials invalid"
    wire.close()


def test_authzid(server):
    wire = server.tls_socket()
    wire.command("EHLO client.example.org")
    assert wire.command("AUTH PLAIN " + plain(*ANNA, authzid="victim@example.org")).startswith("535 5.7.8")
    assert wire.command("AUTH PLAIN " + plain(*ANNA, authzid=ANNA[0])).startswith("235")
    wire.close()


def test_login_and_cram_md5(server):
    wire = server.tls_socket()
    wire.command("EHLO client.example.org")
    assert wire.command("AUTH LOGIN") == "334 VXNlcm5hbWU6"
    assert wire.command(base64.b64encode(ANNA[0].encode())) == "334 UGFzc3dvcmQ6"
    assert wire.command(base64.b64encode(ANNA[1].encode())).startswith("235")
    wire.close()
    wire = server.tls_socket()
    wire.command("EHLO client.example.org")
    challenge = base64.b64decode(wire.command("AUTH CRAM-MD5").split()[1])
    digest = hmac.new(ANNA[1].encode(), challenge, hashlib.md5).hexdigest()
    assert wire.command(base64.b64encode(f"{ANNA[0]} {digest}".encode())).startswith("235")
    wire.close()


def scram_client(wire, name, user, password, gs2=b"n,,", binding=b"", hash_name="sha256"):
    """A SCRAM client by hand, apart from the product's own; returns the reply to the last step."""
    first = f"n={user},r=clientnonce0123456789".encode()
    reply = wire.command(b"AUTH " + name.encode() + b" " + base64.b64encode(gs2 + first))
    if not reply.startswith("334 "):
        return reply, None
    server_first = base64.b64decode(reply[4:])
    fields = dict(part.split(b"=", 1) for part in server_first.split(b","))
    salted = hashlib.pbkdf2_hmac(hash_name, password.encode(), base64.b64decode(fields[b"s"]), int(fields[b"i"]))
    client_key = hmac.new(salted, b"Client Key", hash_name).digest()
    stored = hashlib.new(hash_name, client_key).digest()
    without_proof = b"c=" + base64.b64encode(gs2 + binding) + b",r=" + fields[b"r"]
    signed = first + b"," + server_first + b"," + without_proof
    proof = bytes(a ^ b for a, b in zip(client_key, hmac.new(stored, signed, hash_name).digest()))
    reply = wire.command(base64.b64encode(without_proof + b",p=" + base64.b64encode(proof)))
    if not reply.startswith("334 "):
        assert not reply.startswith("235"), "the server has to prove itself before it says 235"
        return reply, None
    server_key = hmac.new(salted, b"Server Key", hash_name).digest()
    expected = b"v=" + base64.b64encode(hmac.new(server_key, signed, hash_name).digest())
    assert base64.b64decode(reply[4:]) == expected
    return wire.command(b""), server_first


@pytest.mark.parametrize("name, digest", [("SCRAM-SHA-1", "sha1"), ("SCRAM-SHA-256", "sha256"), ("SCRAM-SHA-512", "sha512")])
def test_scram(server, name, digest):
    wire = server.tls_socket()
    wire.command("EHLO client.example.org")
    reply, _ = scram_client(wire, name, *ANNA, hash_name=digest)
    assert reply.startswith("235"), reply
    wire.close()


def test_scram_y_flag_is_refused_where_plus_was_offered(server):
    wire = server.tls_socket()
    wire.command("EHLO client.example.org")
    reply, _ = scram_client(wire, "SCRAM-SHA-256", *ANNA, gs2=b"y,,")
    assert reply.startswith("535"), reply
    wire.close()
    wire = server.socket(server.starttls)
    wire.command("EHLO client.example.org")
    reply, _ = scram_client(wire, "SCRAM-SHA-256", *ANNA, gs2=b"y,,")
    assert reply.startswith("235"), reply
    wire.close()


def test_scram_unknown_user_goes_all_the_way(server):
    salts = set()
    for _ in range(2):
        wire = server.tls_socket()
        wire.command("EHLO client.example.org")
        reply, first = scram_client(wire, "SCRAM-SHA-256", "ghost@example.org", "x")
        assert reply.startswith("535 5.7.8")
        wire.close()
        wire = server.tls_socket()
        wire.command("EHLO client.example.org")
        reply = wire.command(b"AUTH SCRAM-SHA-256 " + base64.b64encode(b"n,,n=ghost@example.org,r=abcdefghijkl"))
        salts.add(re.search(rb"s=([^,]+),i=(\d+)", base64.b64decode(reply[4:])).groups())
        wire.close()
    assert len(salts) == 1, "the stand-in salt must be the same every time"


def test_scram_plus_with_end_point_binding(server):
    wire = server.tls_socket()
    wire.command("EHLO client.example.org")
    certificate = wire.sock.getpeercert(binary_form=True)
    reply, _ = scram_client(wire, "SCRAM-SHA-256-PLUS", *ANNA, gs2=b"p=tls-server-end-point,,",
                            binding=hashlib.sha256(certificate).digest())
    assert reply.startswith("235"), reply
    wire.close()
    wire = server.tls_socket()
    wire.command("EHLO client.example.org")
    reply, _ = scram_client(wire, "SCRAM-SHA-256-PLUS", *ANNA, gs2=b"p=tls-server-end-point,,", binding=b"x" * 32)
    assert reply.startswith("535"), reply
    wire.close()


def login(server):
    wire = server.tls_socket()
    wire.command("EHLO client.example.org")
    assert wire.command("AUTH PLAIN " + plain(*ANNA)).startswith("235")
    return wire


@pytest.mark.parametrize("size", [0, 1, 65000, 65536, 70000, 1000000])
def test_sizes_arrive_byte_for_byte(server, size):
    before = len(server.messages("sizes"))
    body = (b"0123456789" * 7 + b"\r\n") * (size // 72) + b"." * (size % 72) + b"\r\n"
    text = message(f"size {size}").split(b"\r\n\r\n")[0] + b"\r\n\r\n" + body
    wire = login(server)
    assert wire.command("MAIL FROM:<anna@example.org>").startswith("250")
    assert wire.command("RCPT TO:<sizes@example.net>").startswith("250")
    assert wire.command("DATA").startswith("354")
    wire.send(text.replace(b"\r\n.", b"\r\n..") + b".\r\n")
    assert re.match(r"250 2\.0\.0 queued as [0-9a-z]{16}$", wire.reply())
    wire.close()
    got = server.wait_messages(before + 1, "sizes")[-1]
    assert got.split(b"\n\n", 1)[1] == body.replace(b"\r\n", b"\n")


def test_bdat_in_pieces(server):
    before = len(server.messages("chunks"))
    text = message("chunks", "one\r\n.two\r\nthree\r\n")
    wire = login(server)
    wire.command("MAIL FROM:<anna@example.org>")
    wire.command("RCPT TO:<chunks@example.net>")
    for at in range(0, len(text), 7):
        piece = text[at:at + 7]
        wire.send(f"BDAT {len(piece)}\r\n".encode() + piece)
        assert wire.reply().startswith("250")
    assert wire.command("BDAT 0 LAST").startswith("250 2.0.0 queued as")
    wire.close()
    assert b"one\n.two\nthree\n" in server.wait_messages(before + 1, "chunks")[-1]


def test_bdat_in_steps_grows_into_a_file(server):
    """Each chunk is answered before the next is sent, also the one that no longer fits in memory."""
    before = len(server.messages("steps"))
    text = message("steps", ("x" * 70 + "\r\n") * 3000)
    wire = login(server)
    wire.command("MAIL FROM:<anna@example.org>")
    wire.command("RCPT TO:<steps@example.net>")
    for at in range(0, len(text), 7000):
        piece = text[at:at + 7000]
        wire.send(f"BDAT {len(piece)}\r\n".encode() + piece)
        assert wire.reply().startswith("250")
    assert wire.command("BDAT 0 LAST").startswith("250 2.0.0 queued as")
    wire.close()
    assert server.wait_messages(before + 1, "steps")[-1].count(b"x" * 70) == 3000


def test_pipelining_in_one_segment(server):
    before = len(server.messages("pipe"))
    wire = login(server)
    wire.send("MAIL FROM:<anna@example.org>\r\nRCPT TO:<pipe@example.net>\r\nDATA\r\n")
    assert [wire.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
    wire.send(message("pipelined") + b".\r\nMAIL FROM:<anna@example.org>\r\nRSET\r\nQUIT\r\n")
    assert [wire.reply()[:3] for _ in range(4)] == ["250", "250", "250", "221"]
    assert wire.at_end()
    assert len(server.wait_messages(before + 1, "pipe")) == before + 1


@pytest.mark.parametrize("ending", [b"\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r\n.\r", b"\r\n.\n", b"\r\n\0.\r\n", b"\r\n.\r\r\n"])
def test_only_crlf_dot_crlf_ends_a_message(server, ending):
    before = len(server.messages("smuggle"))
    wire = login(server)
    wire.command("MAIL FROM:<anna@example.org>")
    wire.command("RCPT TO:<smuggle@example.net>")
    wire.command("DATA")
    wire.send(message("outer").rstrip(b"\r\n") + ending +
              b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<smuggle@example.net>\r\nDATA\r\n" + message("inner") + b"\r\n.\r\n")
    assert wire.reply().startswith("554 5.6.0")
    assert wire.command("NOOP").startswith("250")
    assert wire.command("QUIT").startswith("221")
    assert len(server.messages("smuggle")) == before


def test_nothing_survives_starttls(server):
    wire = server.socket(server.starttls)
    wire.command("EHLO client.example.org")
    wire.send("STARTTLS\r\nAUTH PLAIN " + plain(*ANNA) + "\r\n")
    assert wire.reply().startswith("220")
    assert wire.buffer == b""
    wire.wrap(server.authority.context())
    assert wire.command("NOOP").startswith("250")
    assert wire.command("MAIL FROM:<anna@example.org>").startswith(("503", "530"))
    wire.close()


def test_forged_results_bcc_and_return_path_are_removed(server):
    before = len(server.messages("headers"))
    text = (b"From: anna@example.org\r\nTo: headers@example.net\r\nBcc: secret@example.net\r\n"
            b"Return-Path: <x@example.org>\r\nAuthentication-Results: MAIL.example.org; auth=pass smtp.auth=root\r\n"
            b"Authentication-Results: other.example.net; spf=pass\r\nSubject: h\r\n\r\nbody\r\n")
    with server.smtp(server.implicit, login=ANNA) as client:
        client.sendmail("anna@example.org", ["headers@example.net"], text)
    got = server.wait_messages(before + 1, "headers")[-1].decode()
    assert "secret@example.net" not in got and "smtp.auth=root" not in got
    assert got.count("Return-Path:") == 1 and "x@example.org" not in got
    assert "Authentication-Results: other.example.net; spf=pass" in got


def test_the_log_and_why_know_the_message(server):
    before = len(server.messages("why"))
    wire = login(server)
    wire.command("MAIL FROM:<anna@example.org>")
    wire.command("RCPT TO:<why@example.net>")
    wire.command("DATA")
    wire.send(message("why") + b".\r\n")
    queue_id = wire.reply().split()[-1]
    wire.command("QUIT")
    server.wait_messages(before + 1, "why")

    def told():
        done = server.run("why", queue_id, "--json", check=False)
        return done.returncode == 0 and "delivered" in done.stdout and done.stdout
    text = wait_for(told, "why to tell of the delivery")
    assert '"PLAIN"' in text and "anna@example.org" in text
    assert "correct horse" not in text
    line = server.wait_log(r"session=.*user=.?anna@example\.org.* mech=PLAIN .*end=quit")
    assert "mail=1" in line and "rcpt=1" in line
    assert "correct horse" not in server.log_text()
    assert base64.b64encode(b"\0anna@example.org\0correct horse").decode() not in server.log_text()
