"""A server with one more provider, and logins to it."""

import base64
import subprocess

from postern import Server, open_to_roles

MECHANISMS = 'mechanisms = {"SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"}'


def serve(folder, provider, providers='"store", "other"', auth="", users=None):
    folder.mkdir(exist_ok=True)
    open_to_roles(folder)
    return Server(folder, users=users or {"anna@example.org": "correct horse"},
                  auth=f"{MECHANISMS}  providers = {{{providers}}}  {auth}", extra=f"provider other {{ {provider} }}")


def login(server, user, password):
    """The reply code of AUTH PLAIN."""
    wire = server.tls_socket()
    try:
        wire.command("EHLO client.example.org")
        plain = base64.b64encode(b"\0" + user.encode() + b"\0" + password.encode()).decode()
        return wire.command("AUTH PLAIN " + plain)[:3]
    finally:
        wire.close()


def send(server, mechanism, user, password):
    """postern send as a client of every mechanism."""
    done = subprocess.run(
        [str(server.postern), "send", "--server", f"127.0.0.1:{server.implicit}", "--tls", "implicit", "--ca",
         str(server.authority.ca), "--auth", mechanism, "--user", user, "--password-stdin",
         "--from", user if "@" in user else f"{user}@example.org", "--to", "bob@example.org"],
        input=f"{password}\nSubject: x\n\nx\n", text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    return done.returncode
