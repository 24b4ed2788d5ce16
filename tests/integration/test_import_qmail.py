"""postern import qmail: a control directory becomes a configuration that is right, complete, and holds no password."""

import base64
import os
import pathlib
import re
import shutil
import subprocess

import pytest
from peer import Peer, server_context
from postern import POSTERN, Authority, message, wait_for


def control(folder, files, sub="control"):
    place = folder / "qmail" / sub if sub else folder / "qmail"
    place.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (place / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / "qmail"


def run(*args, stdin=None):
    return subprocess.run([POSTERN, *map(str, args)], capture_output=True, timeout=60, input=stdin)


def forms(secret):
    """What a secret may look like in somebody's output: itself, base64 at any offset, escaped, in parts."""
    raw = secret if isinstance(secret, bytes) else secret.encode()
    yield raw
    yield raw.hex().encode()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw)
        yield encoded[4 if shift else 0:-4] if len(encoded) > 12 else encoded


def assert_no_secret(done, *secrets):
    for secret in secrets:
        for form in forms(secret):
            assert form not in done.stdout, (form, done.stdout)
            assert form not in done.stderr, (form, done.stderr)


def imported(folder, files, *secrets, status=0, sub="control"):
    """The configuration, as text; checked, and every file named in it."""
    where = control(folder, files, sub)
    done = run("import", "qmail", where)
    assert done.returncode == status, done.stderr.decode()
    assert_no_secret(done, *secrets)
    text = done.stdout.decode("utf-8")
    conf = folder / "imported.conf"
    conf.write_text(text)
    checked = run("check", "-c", conf)
    assert checked.returncode == 0, checked.stderr.decode() + text
    assert_no_secret(checked, *secrets)
    for name in files:
        shown = re.escape(name.encode("unicode_escape").decode().replace("\\n", "\\x0a"))
        assert re.search(rf"(?m)^# {shown}(:\d+)?: ", text), (name, text)
    return text


def has(text, line):
    """The line, whatever blanks are in it, and not in a comment."""
    wanted = line.split()
    return any(got.split() == wanted for got in text.splitlines())


# ---- what becomes what ----


def test_a_small_system(tmp_path):
    text = imported(tmp_path, {"me": "mail.example.org\n", "rcpthosts": "example.org\n.example.net\n",
                               "locals": "example.org\n", "databytes": "20000000\n", "timeoutsmtpd": "600\n",
                               "queuelifetime": "86400\n", "concurrencyincoming": "200\n"})
    assert has(text, 'hostname = "mail.example.org"')
    assert has(text, "message_size = 20000000") and has(text, "command_timeout = 600")
    assert has(text, "lifetime = 86400") and has(text, "connections = 200")
    assert re.search(r'accept = \{\s*"\.example\.net",\s*"example\.org"\s*\}', text)
    assert re.search(r'(?m)^# +route "example\.org" \{ via = "lmtp:', text)
    assert has(text, 'route "*" { via = "mx" }')


def test_the_control_directory_itself_will_do(tmp_path):
    assert has(imported(tmp_path, {"me": "m.example.org\n"}, sub=None), 'hostname = "m.example.org"')


def test_an_empty_directory(tmp_path):
    text = imported(tmp_path, {})
    assert "listener mx {" not in "\n".join(x for x in text.splitlines() if x[:1] != "#")
    assert "hostname = " in text and "took mail for everybody" in text


@pytest.mark.parametrize("line, route", [
    ("example.net:relay.example.org", '"example.net" { via = "smtp://relay.example.org:25" }'),
    ("example.net:relay.example.org:2525", '"example.net" { via = "smtp://relay.example.org:2525" }'),
    ("example.net:relay.example.org;2525", '"example.net" { via = "smtp://relay.example.org:2525" }'),
    ("example.net:[192.0.2.1]:26", '"example.net" { via = "smtp://192.0.2.1:26" }'),
    ("example.net:2001:db8::1;26", '"example.net" { via = "smtp://[2001:db8::1]:26" }'),
    (".example.net:relay.example.org:465", '".example.net" { via = "smtps://relay.example.org:465" }'),
    ("example.net:", '"example.net" { via = "mx" }'),
    (":relay.example.org", '"*" { via = "smtp://relay.example.org:25" }'),
    ("example.net:one.example\nEXAMPLE.net:two.example", '"EXAMPLE.net" { via = "smtp://two.example:25" }'),
])
def test_routes(tmp_path, line, route):
    text = imported(tmp_path, {"me": "m.example.org\n", "smtproutes": line + "\n"})
    assert has(text, f"route {route}"), text
    assert len([x for x in text.splitlines() if x.startswith("route ")]) == (1 if '"*"' in route else 2)


@pytest.mark.parametrize("line, account, secret", [
    ("x.example:smtp.example.org:587|robot|hunter2-|:x", '"smtp.example.org" { url = "smtp://smtp.example.org:587"  '
     'user = "robot" }', "hunter2-|:x"),
    ("x.example:smtp.example.org:465|robot@example.org|hunter2xy", '"smtp.example.org" { url = '
     '"smtps://smtp.example.org:465"  user = "robot@example.org" }', "hunter2xy"),
    ("x.example:smtp.example.org;587|r|hunter2 with blanks", '"smtp.example.org" { url = '
     '"smtp://smtp.example.org:587"  user = "r" }', "hunter2 with blanks"),
    ("x.example:SMTP.example.org robot hunter2word", '"smtp.example.org" { url = "smtp://SMTP.example.org:25"  '
     'user = "robot" }', "hunter2word"),
    ("x.example:[2001:db8::1]:587|ro\"b\\ot|hunter2xy", '"2001-db8--1" { url = "smtp://[2001:db8::1]:587"  '
     'user = "ro\\"b\\\\ot" }', "hunter2xy"),
])
def test_accounts_of_routes(tmp_path, line, account, secret):
    text = imported(tmp_path, {"me": "m.example.org\n", "smtproutes": line + "\n"}, secret)
    assert has(text, f"account {account}"), text
    assert has(text, f'route "x.example" {{ via = "account:{account.split(chr(34))[1]}" }}')


SENDERS = """# comment
anna@example.org:smtp.example.org:587|anna|anna-secret-1
@example.org:smtp.example.org:587|robot|robot-secret-2
.example.org:other.example.org:465|robot|robot-secret-3
@example.net:plain.example.org
:smtp.example.org:587|fallback|fallback-secret-4
"""
SECRETS = ["anna-secret-1", "robot-secret-2", "robot-secret-3", "fallback-secret-4"]


def test_senders(tmp_path):
    text = imported(tmp_path, {"me": "m.example.org\n", "authsenders": SENDERS,
                               "smtproutes": "a.example:b.example\n"}, *SECRETS)
    names = dict(re.findall(r'(?m)^account "(\S+)" .* user = "(\S+)"', text))
    assert sorted(names.values()) == ["anna", "fallback", "robot", "robot"]
    fallback = next(name for name, user in names.items() if user == "fallback")
    assert has(text, 'route "*" { via = "sender" }') and len(re.findall(r"(?m)^route ", text)) == 1
    lines = dict(re.findall(r"(?m)^# authsenders:\d: postern sender add (\S+) --account (\S+)$", text))
    assert {line: names[account] for line, account in lines.items()} == {
        "anna@example.org": "anna", "@example.org": "robot", "@.example.org": "robot", "'*'": "fallback",
        "'<>'": "fallback"}
    assert lines["'*'"] == fallback
    # A relay that wants no login is no account.
    assert "# authsenders:5: no counterpart" in text
    # What has an empty key in authsenders takes all mail, so smtproutes was never looked at.
    assert "# smtproutes:1: not used" in text and 'route "a.example"' not in text


@pytest.mark.parametrize("files, route", [
    ({"smtproutes": ":relay.example.org\n"}, 'route "*" { via = "smtp://relay.example.org:25" }'),
    ({}, 'route "*" { via = "mx" }'),
])
def test_senders_without_all_mail(tmp_path, files, route):
    """Who has no line took smtproutes, so the route is not by sender: he would wait."""
    where = control(tmp_path, {"authsenders": "anna@example.org:smtp.example.org:587|anna|anna-secret-1\n"
                                              ".b@example.org:smtp.example.org:587|anna|anna-secret-1\n"
                                              "example.org:smtp.example.org:587|anna|anna-secret-1\n"
                                              "o'neill@example.org:smtp.example.org:587|anna|anna-secret-1\n", **files})
    done = run("import", "qmail", where)
    text = done.stdout.decode()
    assert done.returncode == 0 and has(text, route) and 'via = "sender"' not in text
    assert "# authsenders:1: postern sender add anna@example.org --account smtp.example.org\n" in text
    assert "# authsenders:4: postern sender add 'o'\\''neill@example.org' --account smtp.example.org\n" in text
    assert "# authsenders:2: no counterpart" in text and "# authsenders:3: no counterpart" in text
    assert b"2 lines of authsenders make lines" in done.stderr and b"no route goes by sender" in done.stderr
    assert b"2 lines of authsenders name no login" in done.stderr


def test_the_same_login_is_one_account(tmp_path):
    text = imported(tmp_path, {"authsenders": "".join(f"u{n}@example.org:smtp.example.org:587|robot|same-secret\n"
                                                      for n in range(5))}, "same-secret")
    assert len(re.findall(r"(?m)^account ", text)) == 1


def test_policies(tmp_path):
    text = imported(tmp_path, {
        "smtproutes": "a.example:r1.example\nb.example:r2.example\nc.example:r3.example\nd.example:r4.example\n"
                      "e.example:r5.example:587|robot|secret-of-5\nf.example:r6.example:465\n",
        "tlspolicy": "r1.example:none\nr2.example:may\nR3.example:require\nr4.example:verify\nr5.example:none\n"
                     "r6.example:none\nnobody.example:verify\nr1.example maybe\n"}, "secret-of-5")
    for route, tls in (("a", "none"), ("b", "may"), ("c", "require"), ("d", "verify")):
        assert re.search(rf'(?m)^route "{route}\.example" .*  tls = "{tls}" }}$', text), text
    assert has(text, 'route "e.example" { via = "account:r5.example" }')
    assert has(text, 'route "f.example" { via = "smtps://r6.example:465" }')
    assert "# tlspolicy:7: no route names that relay" in text and "# tlspolicy:8: left out" in text


def test_a_certificate(tmp_path):
    authority = Authority(tmp_path / "ca")
    certificate, key = authority.issue("m", "DNS:m.example.org")
    text = imported(tmp_path, {"me": "m.example.org\n",
                               "servercert.pem": key.read_bytes() + certificate.read_bytes(),
                               "cafile": authority.ca.read_bytes()})
    assert re.search(r'certificate = ".*/qmail/control/servercert\.pem"\s+key += ".*/servercert\.pem"', text)
    assert re.search(r'ca = ".*/cafile"', text)
    assert key.read_text().splitlines()[1] not in text


def test_a_certificate_that_is_none(tmp_path):
    text = imported(tmp_path, {"me": "m.example.org\n", "servercert.pem": "nonsense\n", "cafile": "nonsense\n"})
    assert "tls {" not in "\n".join(x for x in text.splitlines() if x[:1] != "#")


def test_constant_databases(tmp_path):
    if not shutil.which("cdb"):
        pytest.skip("tinycdb is not here")
    place = control(tmp_path, {"me": "m.example.org\n", "rcpthosts": "one.example\n"}) / "control"
    subprocess.run(["cdb", "-c", place / "morercpthosts.cdb"], check=True,
                   input=b"+11,0:two.example->\n+14,0:.three.example->\n+3,0:a b->\n\n")
    text = imported(tmp_path, {"morercpthosts.cdb": (place / "morercpthosts.cdb").read_bytes()})
    assert re.search(r'accept = \{\s*"\.three\.example",\s*"one\.example",\s*"two\.example"\s*\}', text)


def test_every_other_file_is_named(tmp_path):
    names = ["badmailfrom", "badrcptto", "bouncefrom", "bouncehost", "concurrencylocal", "concurrencyremote",
             "defaultdomain", "defaulthost", "domainips", "doublebouncehost", "doublebounceto", "envnoathost",
             "helohost", "idhost", "localiphost", "morercpthosts", "outgoingip", "percenthack", "plusdomain",
             "qmqpservers", "recipients", "smtpgreeting", "timeoutconnect", "timeoutremote", "virtualdomains",
             "remotesecrets", "remoteauth", "something-else", "line\nend"]
    secret = "relay:user:rohloff-secret\n"
    text = imported(tmp_path, {"me": "m.example.org\n", **{n: secret for n in names}}, "rohloff-secret")
    (tmp_path / "qmail/control/folder").mkdir()
    assert "# folder: " in run("import", "qmail", tmp_path / "qmail").stdout.decode()
    assert "no counterpart" in text


# ---- bad bytes, bad lines ----


@pytest.mark.parametrize("line, secret", [
    ("@example.com|generic|trap-secret", "trap-secret"),
    ("@example.com:relay.example|user|", None),
    ("@example.com:|user|nowhere-secret", "nowhere-secret"),
    ("@example.com:re lay|user|blank-secret", None),
    ("@example.com:relay:99999|user|port-secret", "port-secret"),
    ("@example.com:rel[ay|user|bracket-secret", "bracket-secret"),
    ("user:key-secret@relay.example:25|u|p2-secret", "key-secret"),
    ("swapped-secret|user:relay.example:25", "swapped-secret"),
    ("@example.com:relay.example|us\x01er|control-secret", "control-secret"),
    ("@example.com:relay.example|\xff\xfe|latin-secret", "latin-secret"),
    ("@example.com:relay.example|user|" + "long-secret" * 100, "long-secret"),
    ("@example.com:under_score.example|user|under-secret", "under-secret"),
    ("@exa mple.com:relay.example|user|space-secret", "space-secret"),
])
@pytest.mark.parametrize("file", ["authsenders", "smtproutes"])
def test_bad_lines_are_told_by_number(tmp_path, file, line, secret):
    text = imported(tmp_path, {"me": "m.example.org\n", file: b"\n# x\n" + line.encode("latin-1") + b"\n"},
                    *([secret] if secret else []))
    if "re lay" not in line:
        assert f"# {file}:3: left out" in text, text
        assert "account " not in "\n".join(x for x in text.splitlines() if x[:1] != "#")


def test_strange_bytes_everywhere(tmp_path):
    noise = bytes(range(256)) * 3
    names = ["me", "rcpthosts", "morercpthosts", "morercpthosts.cdb", "locals", "virtualdomains", "smtproutes",
             "authsenders", "tlspolicy", "databytes", "timeoutsmtpd", "queuelifetime", "servercert.pem", "cafile",
             "helohost", "smtpgreeting", "concurrencyincoming"]
    imported(tmp_path, {name: noise for name in names})
    imported(tmp_path, {name: b"\0" for name in names})
    imported(tmp_path, {name: b"" for name in names})
    imported(tmp_path, {name: b'"}\n\\\n#\n:\n|||\n"x" { }\n:"\nx:y" }\n{user}:a.example\n' for name in names})


@pytest.mark.parametrize("value, stays", [("0", True), ("12", True), ("abc", True), ("", True), ("1025x", False),
                                          ("99999999999999999999", True)])
def test_numbers_that_are_not_possible(tmp_path, value, stays):
    text = imported(tmp_path, {"databytes": value + "\n"})
    assert has(text, "message_size = 1025") is not stays


def test_many_lines(tmp_path):
    text = imported(tmp_path, {"rcpthosts": "".join(f"d{n}.example.org\n" for n in range(20000)),
                               "authsenders": "".join(f"u{n}@example.org:smtp.example.org:587|u{n}|many-secret-{n}\n"
                                                      for n in range(1500)),
                               "smtproutes": "".join(f"d{n}.example.org:r{n % 7}.example\n" for n in range(2000))},
                    "many-secret")
    assert len(re.findall(r"(?m)^account ", text)) == 1500 and len(re.findall(r"(?m)^route ", text)) == 2001
    assert len(set(re.findall(r'(?m)^account "(\S+)"', text))) == 1500


def test_too_much_for_a_configuration(tmp_path):
    where = control(tmp_path, {"rcpthosts": "".join(f"d{n}.a-rather-long-name.example.org\n" for n in range(60000))})
    done = run("import", "qmail", where)
    assert done.returncode == 1 and done.stdout == b"" and b"more than one configuration" in done.stderr


def test_what_cannot_be_read(tmp_path):
    where = control(tmp_path, {"me": "m.example.org\n"})
    os.mkfifo(where / "control/rcpthosts")
    done = run("import", "qmail", where)
    assert done.returncode == 1 and b"# rcpthosts: could not be read" in done.stdout and b"rcpthosts" in done.stderr


@pytest.mark.parametrize("args, status", [((), 2), (("qmail",), 2), (("sendmail", "/"), 2), (("qmail", "/nowhere"), 1),
                                          (("qmail", "/etc/passwd"), 1)])
def test_mistakes(args, status):
    done = run("import", *args)
    assert done.returncode == status and done.stderr and not done.stdout


# ---- it starts, and its accounts relay ----


def started(make_server, where, extra=""):
    """A server that runs on what was imported; only its addresses and folders are its own."""
    server = make_server(start=False)
    text = run("import", "qmail", where).stdout.decode()
    for old, new in ((r'(?m)^data .*', f'data = "{server.folder}/data"'), (r'(?m)^run .*', f'run = "{server.folder}/run"'),
                     (r'"0\.0\.0\.0:587"  tls = "starttls"', f'"127.0.0.1:{server.starttls}"  tls = "starttls"'),
                     (r'"0\.0\.0\.0:465"', f'"127.0.0.1:{server.implicit}"'),
                     (r'"0\.0\.0\.0:25"', f'"127.0.0.1:{server.plain}"')):
        text, count = re.subn(old, new, text)
        assert count == 1 or "25" in old
    server.conf.write_text(text + f'tls {{ certificate = "{server.certificate}"  key = "{server.key}"  '
                                  f'ca = "{server.authority.ca}" }}\n' + extra)
    return server


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
def test_passwords_go_into_the_vault_and_mail_goes_out(make_server, tmp_path, running):
    context = server_context(*Authority(tmp_path / "a").issue("localhost", "DNS:localhost"))
    peer = Peer(starttls=context, users={"robot@example.org": "hunter2|:secret"})
    where = control(tmp_path, {
        "me": "mail.example.org\n", "rcpthosts": "example.org\n",
        "authsenders": f"@other.example:localhost:{peer.port}|another|second-secret\n"
                       f":localhost:{peer.port}|robot@example.org|hunter2|:secret\n"})
    secrets = ["hunter2|:secret", "second-secret"]
    server = started(make_server, where)
    # The peer's certificate is to be trusted, and no other.
    conf = server.conf.read_text().replace(str(server.authority.ca), str(tmp_path / "a/ca.pem"))
    server.conf.write_text(conf)
    if running:
        server.start()
    done = run("import", "qmail", where, "--vault", "-c", server.conf)
    assert done.returncode == 0, done.stderr.decode()
    assert_no_secret(done, *secrets)
    assert b"3 lines of the sender table" in done.stderr
    assert done.stdout == run("import", "qmail", where).stdout
    senders = {s["address"]: s["account"] for s in server.json("sender", "list")["senders"]}
    assert list(senders) == ["*", "<>", "@other.example"] and senders["*"] == senders["<>"] != senders["@other.example"]
    listed = run("account", "list", "-c", server.conf)
    assert_no_secret(listed, *secrets)
    names = {line.split()[2]: line.split()[0] for line in listed.stdout.decode().splitlines()[1:]}
    assert set(names) == {"robot@example.org", "another"}
    if not running:
        server.start()
    if b"anna@example.org" not in run("user", "list", "-c", server.conf).stdout:
        server.add_user("anna@example.org", "correct horse")
    with server.smtp(login=("anna@example.org", "correct horse")) as session:
        session.sendmail("anna@example.org", ["bob@example.net"], message())
    wait_for(lambda: peer.messages, lambda: f"the message: {peer.commands} {server.log_text()[-3000:]}")
    assert peer.logins
    log = server.log_text()
    for secret in secrets:
        for form in forms(secret):
            assert form.decode("latin-1") not in log
    again = run("import", "qmail", where, "--vault", "-c", server.conf)
    assert again.returncode == 1 and b"exists already" in again.stderr
    assert_no_secret(again, *secrets)


def test_the_vault_needs_a_configuration(tmp_path):
    where = control(tmp_path, {"authsenders": ":smtp.example.org|robot|hunter2\n"})
    done = run("import", "qmail", where, "--vault", "-c", tmp_path / "none.conf")
    assert done.returncode == 1 and done.stderr
    assert_no_secret(done, "hunter2")


def test_an_import_takes_mail_for_its_domains(make_server, tmp_path):
    where = control(tmp_path, {"me": "mail.example.org\n", "rcpthosts": "example.org\n.example.net\n"})
    server = started(make_server, where)
    conf = server.conf.read_text().replace('route "*" { via = "mx" }',
                                           f'route "*" {{ via = "maildir:{server.maildir}/{{user}}" }}')
    server.conf.write_text(conf)
    server.start()
    wire = server.socket()
    wire.command("EHLO c.example.com")
    wire.command("MAIL FROM:<x@example.com>")
    assert wire.command("RCPT TO:<bob@example.org>")[:3] == "250"
    assert wire.command("RCPT TO:<bob@sub.example.net>")[:3] == "250"
    assert wire.command("RCPT TO:<bob@example.net>")[:3] == "550"
    assert wire.command("DATA")[:3] == "354"
    assert wire.command("Subject: x\r\n\r\nx\r\n.")[:3] == "250"
    server.wait_messages(2)
    assert pathlib.Path(server.maildir / "bob").exists()
