"""A fake OAuth 2 provider over HTTPS on 127.0.0.1, in the test's own process.

    provider = OAuth(tmp_path / "provider")             # listens at once
    folder.joinpath("oauth.json").write_text(json.dumps(provider.file()))       # for --oauth FILE
    provider.file(grant="device_code")                  # what the file needs for a grant; more keys by name
    tls=f"ca = {quoted(provider.ca)}"                   # tls { ca } of the server, or "ca" of the file: file(ca=True)
    provider.close()

Addresses: .url, .token_endpoint, .device_authorization_endpoint, .authorization_endpoint, .introspection_endpoint,
.tokeninfo_endpoint, all https://127.0.0.1:PORT/...; .ca is the PEM file that signs its certificate.

A key that is None leaves the file: file(grant="client_credentials", client_secret=None, private_key=KEY, certificate=CERT).

What is alive: every access token it gave stands in .tokens (text -> Token); valid(token) says whose it is, or None. A
fake SMTP server asks that. issue(user) gives (access, refresh) as if a person had logged in before. revoke(user) ends
all that user has; expire(user) ends the access tokens alone. A refresh token works once (.rotate: a new one comes with
each answer, and the old one is refused as invalid_grant); rotate=False keeps it and sends none.

Grants: refresh_token, device_code, authorization_code with PKCE S256, client_credentials (client_secret as form or
Basic, or a signed assertion), jwt-bearer. Assertions are verified: client_key("rsa" or "ec") makes a key and a
certificate, tells the provider, and returns (private_key, certificate) paths. The claims it saw are in .assertions.

People: a device login waits in .devices; approve_device() and deny_device() answer the newest one that waits (they wait
until there is one). browse(url) plays the browser for the authorization code: it opens the provider's page and follows
its 302 to the loopback address; it returns (status, text) of the page that the command shows. refuse_login = True sends
error=access_denied there.

What goes wrong (attributes, changed at any time):
    expires_in = 3      of new tokens; None: the answer has none
    refuse = "invalid_grant", refuse_description = "..."       what every token request is answered with (400)
    answer = (503, b"body") or (429, b"{}", {"Retry-After": "7"}) the same, raw
    answer_once(status, body, headers)                        the next token request alone
    hang = True         requests are read and get no answer until release(), or close()
    down(), up()        nobody listens at the port; the same port again
    certificate("good" | "name" | "expired" | "self")         of connections from now on
What happened: count[grant] (of token requests, refused ones too; "device", "authorize", "introspect", "tokeninfo" for
the other addresses), requests (a list of Request: path, form, headers, status, which is 0 while it hangs).
wait_for(lambda: ..., "what") waits for an event here without polling; wait_count(grant, n) for the nth request of a
grant to be answered, or to be read where it hangs. Grants are named as in the file: "jwt_bearer", "device_code".
"""

import base64
import collections
import contextlib
import hashlib
import http.client
import http.server
import json
import pathlib
import secrets
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.parse

from postern import Authority

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
GRANTS = {DEVICE: "device_code", JWT: "jwt_bearer"}


class Token:
    """An access token: .user, .client, .scope, .until (time.time()), .revoked."""

    def __init__(self, user, client, scope, until):
        self.user, self.client, self.scope, self.until, self.revoked = user, client, scope, until, False

    def alive(self):
        return not self.revoked and time.time() < self.until


class Device:
    def __init__(self, user_code, until):
        self.user_code, self.until, self.user, self.denied, self.used = user_code, until, None, False, False


class Request:
    def __init__(self, path, form, headers):
        self.path, self.form, self.headers, self.status = path, form, headers, 0

    def __repr__(self):
        return f"<{self.path} {self.form.get('grant_type', '')} {self.status}>"


class Refused(Exception):
    def __init__(self, error, description="", status=400):
        super().__init__(error)
        self.error, self.description, self.status = error, description, status


def unbase64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def der_integer(number):
    raw = number.to_bytes(number.bit_length() // 8 + 1, "big")
    return b"\x02" + bytes([len(raw)]) + raw


class OAuth:
    def __init__(self, folder, user="anna@example.org", client_id="postern", client_secret="the client's secret",
                 expires_in=3600, scope="mail", interval=1):
        self.folder = pathlib.Path(folder)
        self.authority = Authority(self.folder)
        self.ca = self.authority.ca
        self.user, self.client_id, self.client_secret = user, client_id, client_secret
        self.expires_in, self.scope, self.interval, self.rotate = expires_in, scope, interval, True
        self.refuse = self.refuse_description = self.answer = None
        self.hang = self.refuse_login = False
        self.issuer, self.subject = client_id, user     # whom jwt-bearer may speak for
        self.tokens, self.refresh_tokens, self.used_refresh, self.codes = {}, {}, set(), {}
        self.devices, self.requests, self.assertions, self.keys, self.jtis = [], [], [], [], set()
        self.count = collections.Counter()
        self.changed = threading.Condition()
        self._released, self._next, self._contexts = threading.Event(), [], {}
        self.certificate("good")
        self.server, self.port = None, 0
        self.up()
        self.url = f"https://127.0.0.1:{self.port}"
        self.token_endpoint = self.url + "/token"
        self.device_authorization_endpoint = self.url + "/device"
        self.authorization_endpoint = self.url + "/authorize"
        self.introspection_endpoint = self.url + "/introspect"
        self.tokeninfo_endpoint = self.url + "/tokeninfo?access_token="

    # the test's side

    def file(self, grant="refresh_token", ca=False, **more):
        """The --oauth FILE as a dictionary; for refresh_token with a refresh token of `user`."""
        told = {"token_endpoint": self.token_endpoint, "client_id": self.client_id, "scope": self.scope,
                "grant": grant}
        if self.client_secret:
            told["client_secret"] = self.client_secret
        if grant == "refresh_token":
            told["refresh_token"] = self.issue(self.user)[1]
        elif grant == "device_code":
            told["device_authorization_endpoint"] = self.device_authorization_endpoint
        elif grant == "authorization_code":
            told["authorization_endpoint"] = self.authorization_endpoint
        if ca:
            told["ca"] = str(self.ca)
        told.update(more)
        return {key: value for key, value in told.items() if value is not None}

    def issue(self, user=None, scope=None):
        with self.changed:
            access, refresh = self._new_access(user or self.user, scope or self.scope), secrets.token_urlsafe(24)
            self.refresh_tokens[refresh] = (user or self.user, scope or self.scope)
            return access, refresh

    def valid(self, token, user=None):
        """Whose the token is; None: it is not alive, or not `user`'s."""
        with self.changed:
            found = self.tokens.get(token)
            if found and found.alive() and user in (None, found.user):
                return found.user
            return None

    def expire(self, user=None):
        with self.changed:
            for token in self.tokens.values():
                if user in (None, token.user):
                    token.until = 0

    def revoke(self, user=None):
        with self.changed:
            for token in self.tokens.values():
                if user in (None, token.user):
                    token.revoked = True
            for refresh in [r for r, (owner, _) in self.refresh_tokens.items() if user in (None, owner)]:
                del self.refresh_tokens[refresh]

    def client_key(self, kind="rsa", name="client"):
        """(private key, certificate) of a client that proves itself by assertions; the provider knows it from now on."""
        key, certificate = self.folder / f"{name}.{kind}.key", self.folder / f"{name}.{kind}.pem"
        how = ["rsa:2048"] if kind == "rsa" else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        subprocess.run(["openssl", "req", "-x509", "-newkey", *how, "-nodes", "-keyout", str(key), "-out", str(certificate),
                        "-days", "30", "-subj", f"/CN={name}"], check=True, stderr=subprocess.DEVNULL)
        public = self.folder / f"{name}.{kind}.pub"
        subprocess.run(["openssl", "x509", "-in", str(certificate), "-noout", "-pubkey", "-out", str(public)], check=True)
        der = subprocess.run(["openssl", "x509", "-in", str(certificate), "-outform", "DER"], check=True,
                             stdout=subprocess.PIPE).stdout
        self.keys.append((kind, public, der))
        return key, certificate

    def certificate(self, kind):
        if kind not in self._contexts:
            names = "DNS:other.example.org" if kind == "name" else "DNS:localhost,DNS:provider.example.org,IP:127.0.0.1"
            if kind == "self":
                self._contexts[kind] = self._context(*self._self_signed(names))
            else:
                self._contexts[kind] = self._context(
                    *self.authority.issue(f"provider-{kind}", names, days=-1 if kind == "expired" else 20))
        self.context = self._contexts[kind]

    def answer_once(self, status, body=b"", headers=None):
        self._next.append((status, body, headers or {}))

    def release(self):
        with self.changed:
            self.hang = False
            self._released.set()

    def down(self):
        self.server.shutdown()
        self.server.server_close()

    def up(self):
        self.server = Listener(("127.0.0.1", self.port), self)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        self.release()
        self.down()

    def wait_for(self, condition, what, seconds=20.0):
        with self.changed:
            if not self.changed.wait_for(condition, seconds):
                raise AssertionError(f"waited {seconds} s for {what}; requests: {self.requests}")

    def wait_count(self, grant, count=1, seconds=20.0):
        self.wait_for(lambda: self.count[grant] >= count, f"request {count} of {grant}", seconds)

    def waiting_device(self):
        return next((d for d in reversed(self.devices) if d.user is None and not d.denied), None)

    def approve_device(self, user=None):
        self.wait_for(self.waiting_device, "a device login")
        with self.changed:
            self.waiting_device().user = user or self.user

    def deny_device(self):
        self.wait_for(self.waiting_device, "a device login")
        with self.changed:
            self.waiting_device().denied = True

    def browse(self, url):
        parts = urllib.parse.urlsplit(url)
        page = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=20,
                                           context=ssl.create_default_context(cafile=str(self.ca)))
        page.request("GET", f"{parts.path}?{parts.query}")
        answer = page.getresponse()
        text = answer.read().decode()
        page.close()
        if answer.status != 302:
            return answer.status, text
        parts = urllib.parse.urlsplit(answer.getheader("Location"))
        back = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
        back.request("GET", f"{parts.path or '/'}?{parts.query}")
        answer = back.getresponse()
        text = answer.read().decode()
        back.close()
        return answer.status, text

    # the provider's side

    def _context(self, certificate, key):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context

    def _self_signed(self, names):
        key, certificate = self.folder / "self.key", self.folder / "self.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", str(key), "-out", str(certificate), "-days", "30", "-subj", "/CN=self", "-addext",
                        f"subjectAltName={names}"], check=True, stderr=subprocess.DEVNULL)
        return certificate, key

    def _new_access(self, user, scope):
        access = "at-" + secrets.token_urlsafe(24)
        life = 3600 if self.expires_in is None else self.expires_in
        self.tokens[access] = Token(user, self.client_id, scope, time.time() + life)
        return access

    def handle(self, method, path, query, form, headers):
        """(status, body, headers) of one request. Reads and writes the tables under the lock."""
        name = path.strip("/")
        with self.changed:
            grant = GRANTS.get(form.get("grant_type"), form.get("grant_type", "")) if name == "token" else name
            request = Request(path, form, headers)
            self.requests.append(request)
            hangs = self.hang
            if hangs:
                self._released.clear()
                self.count[grant] += 1
                self.changed.notify_all()
        if hangs:
            self._released.wait()
        with self.changed:
            try:
                told = self._raw(name) or self._by_name(method, name, query, form, headers)
            except Refused as refused:
                told = self._json({"error": refused.error, "error_description": refused.description}, refused.status)
            request.status = told[0]
            if not hangs:
                self.count[grant] += 1
            self.changed.notify_all()
            return told

    def _raw(self, name):
        if name != "token":
            return None
        if self._next:
            return self._next.pop(0)
        if self.answer:
            return (*self.answer, {})[:3]
        if self.refuse:
            raise Refused(self.refuse, self.refuse_description or "")
        return None

    def _by_name(self, method, name, query, form, headers):
        if name == "authorize" and method == "GET":
            return self._authorize(query)
        if name == "introspect":
            return self._introspect(query, form, headers)
        if name == "tokeninfo" and method == "GET":
            return self._introspect({"token": query.get("access_token", "")}, {}, {})
        if method != "POST" or name not in ("token", "device"):
            return 404, b"not here\n", {}
        if headers.get("Content-Type", "").split(";")[0] != "application/x-www-form-urlencoded":
            raise Refused("invalid_request", "no form")
        return self._device(form, headers) if name == "device" else self._token(form, headers)

    @staticmethod
    def _json(value, status=200):
        return status, json.dumps(value).encode(), {"Content-Type": "application/json", "Cache-Control": "no-store"}

    def _token(self, form, headers):
        grant = form.get("grant_type")
        how = {"refresh_token": self._refresh, DEVICE: self._device_poll, "authorization_code": self._code,
               "client_credentials": self._client, JWT: self._bearer}.get(grant)
        if not how:
            raise Refused("unsupported_grant_type")
        if grant != JWT:
            self._check_client(form, headers, proof=grant == "client_credentials")
        user, scope, refresh = how(form)
        told = {"access_token": self._new_access(user, scope), "token_type": "Bearer", "scope": scope}
        if self.expires_in is not None:
            told["expires_in"] = self.expires_in
        if refresh:
            told["refresh_token"] = secrets.token_urlsafe(24)
            self.refresh_tokens[told["refresh_token"]] = (user, scope)
        return self._json(told)

    def _check_client(self, form, headers, proof=False):
        """RFC 6749 2.3.1: Basic or in the form; RFC 7523 2.2: an assertion."""
        client, secret = form.get("client_id"), form.get("client_secret")
        basic = headers.get("Authorization", "")
        if basic.startswith("Basic "):
            client, secret = map(urllib.parse.unquote_plus, base64.b64decode(basic[6:]).decode().split(":", 1))
        if form.get("client_assertion_type") == ASSERTION:
            claims = self._verify(form.get("client_assertion", ""))
            if claims.get("iss") != self.client_id or claims.get("sub") != self.client_id:
                raise Refused("invalid_client", "iss and sub must be the client", 401)
            return
        wanted = self.client_secret
        if client != self.client_id or (wanted is not None and secret != wanted) or (proof and wanted is None):
            raise Refused("invalid_client", "Unauthorized", 401)

    def _refresh(self, form):
        token = form.get("refresh_token", "")
        if token not in self.refresh_tokens:
            raise Refused("invalid_grant", "Token has been used before." if token in self.used_refresh
                          else "Token has been expired or revoked.")
        user, scope = self.refresh_tokens[token]
        if self.rotate:
            del self.refresh_tokens[token]
            self.used_refresh.add(token)
        return user, scope, self.rotate

    def _device(self, form, headers):
        if form.get("client_id") != self.client_id:
            raise Refused("invalid_client", "Unauthorized", 401)
        code, user_code = secrets.token_urlsafe(24), "-".join("".join(secrets.choice("BCDFGHJKLMNP") for _ in range(4))
                                                            for _ in range(2))
        device = Device(user_code, time.time() + 600)
        device.code = code
        self.devices.append(device)
        return self._json({"device_code": code, "user_code": user_code, "verification_uri": self.url + "/activate",
                           "verification_uri_complete": f"{self.url}/activate?user_code={user_code}",
                           "expires_in": 600, "interval": self.interval})

    def _device_poll(self, form):
        device = next((d for d in self.devices if d.code == form.get("device_code")), None)
        if not device or device.used:
            raise Refused("invalid_grant", "no such device")
        if device.denied:
            raise Refused("access_denied", "The person said no.")
        if time.time() > device.until:
            raise Refused("expired_token")
        if device.user is None:
            raise Refused("authorization_pending")
        device.used = True
        return device.user, self.scope, True

    def _authorize(self, query):
        redirect = urllib.parse.urlsplit(query.get("redirect_uri", ""))
        if query.get("client_id") != self.client_id or redirect.scheme != "http" or redirect.hostname not in ("127.0.0.1", "::1"):
            return 400, b"no such client, or not its address\n", {}
        told = {"state": query.get("state", "")}
        if query.get("response_type") != "code" or query.get("code_challenge_method") != "S256" or not query.get("code_challenge"):
            told["error"] = "invalid_request"
        elif self.refuse_login:
            told["error"] = "access_denied"
        else:
            told["code"] = secrets.token_urlsafe(24)
            self.codes[told["code"]] = (query["code_challenge"], query["redirect_uri"], query.get("scope", self.scope))
        return 302, b"", {"Location": query["redirect_uri"] + "?" + urllib.parse.urlencode(told)}

    def _code(self, form):
        challenge, redirect, scope = self.codes.pop(form.get("code", ""), (None, None, None))
        proof = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=")
        if challenge is None:
            raise Refused("invalid_grant", "no such code")
        if redirect != form.get("redirect_uri") or challenge != proof.decode():
            raise Refused("invalid_grant", "the code was given to somebody else")
        return self.user, scope, True

    def _client(self, form):
        return self.user, form.get("scope", self.scope), False

    def _bearer(self, form):
        claims = self._verify(form.get("assertion", ""))
        if claims.get("iss") != self.issuer or claims.get("sub") != self.subject:
            raise Refused("invalid_grant", "iss may not speak for sub")
        return self.subject, form.get("scope", self.scope), False

    def _verify(self, assertion):
        """The claims of a JWS that one of the known keys signed for this provider."""
        try:
            signed, signature = assertion.rsplit(".", 1)
            header, claims = (json.loads(unbase64url(part)) for part in signed.split("."))
            signature = unbase64url(signature)
        except ValueError:
            raise Refused("invalid_client", "the assertion cannot be read", 401) from None
        self.assertions.append((header, claims))
        if not any(self._signed_by(key, header, signed.encode(), signature) for key in self.keys):
            raise Refused("invalid_client", "no known key signed the assertion", 401)
        audience = claims.get("aud")
        now, jti = time.time(), claims.get("jti")
        if self.token_endpoint not in (audience if isinstance(audience, list) else [audience]):
            raise Refused("invalid_client", "the assertion is for somebody else", 401)
        if not now < claims.get("exp", 0) <= now + 3700 or claims.get("nbf", 0) > now + 60 or claims.get("iat", 0) > now + 60:
            raise Refused("invalid_client", "the assertion is not valid now", 401)
        if jti in self.jtis:
            raise Refused("invalid_client", "the assertion was used before", 401)
        if jti is not None:
            self.jtis.add(jti)
        return claims

    @staticmethod
    def _signed_by(key, header, signed, signature):
        kind, public, der = key
        options = {"RS256": ["rsa"], "ES256": ["ec"],
                   "PS256": ["rsa", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]}.get(header.get("alg"))
        prints = {"x5t": hashlib.sha1(der).digest(), "x5t#S256": hashlib.sha256(der).digest()}
        if not options or options[0] != kind:
            return False
        if any(name in header and unbase64url(header[name]) != digest for name, digest in prints.items()):
            return False
        if kind == "ec":
            if len(signature) != 64:
                return False
            both = der_integer(int.from_bytes(signature[:32], "big")) + der_integer(int.from_bytes(signature[32:], "big"))
            signature = b"\x30" + bytes([len(both)]) + both
        with tempfile.NamedTemporaryFile() as given:
            given.write(signature)
            given.flush()
            return subprocess.run(["openssl", "dgst", "-sha256", "-verify", str(public), *options[1:], "-signature", given.name],
                                  input=signed, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def _introspect(self, query, form, headers):
        """RFC 7662, and what Dovecot asks: the token in the form, in the query, or as Bearer."""
        token = form.get("token") or query.get("token") or headers.get("Authorization", "").removeprefix("Bearer ")
        found = self.tokens.get(token)
        if not found or not found.alive():
            return self._json({"active": False})
        return self._json({"active": True, "sub": found.user, "username": found.user, "email": found.user,
                           "client_id": found.client, "scope": found.scope, "token_type": "Bearer",
                           "exp": int(found.until), "expires_in": max(1, int(found.until - time.time()))})


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 512

    def __init__(self, address, provider):
        self.provider = provider
        super().__init__(address, Handler)

    def handle_error(self, request, client_address):
        pass    # a client that does not like our certificate, or goes away


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def setup(self):
        # The handshake in this connection's thread: one that hangs delays no other.
        self.request.settimeout(self.timeout)
        self.request = self.server.provider.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def finish(self):
        with contextlib.suppress(OSError, ValueError):
            super().finish()
        with contextlib.suppress(OSError):
            self.request.shutdown(socket.SHUT_RDWR)
        self.request.close()

    def log_message(self, *args):
        pass

    def _serve(self):
        split = urllib.parse.urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode("utf-8", "replace")
        query, form = (dict(urllib.parse.parse_qsl(text, keep_blank_values=True)) for text in (split.query, body))
        status, told, headers = self.server.provider.handle(self.command, split.path, query, form, self.headers)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    do_GET = do_POST = _serve
