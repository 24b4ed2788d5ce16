"""What stands beside a listener: relay-ctrl's directory of addresses, and DNS zones that list strangers."""

import os
import signal
import socket
import subprocess
import time

import pytest
from dns import Dns
from postern import POSTERN, Wire, free_ports, message, open_to_roles, wait_for

LOGIN = ("anna@example.org", "correct horse")


class From(Wire):
    """A bare connection from an address of this machine."""

    def __init__(self, port, address="127.0.0.1", to=None, timeout=20):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.sock = socket.socket(family)
        self.sock.settimeout(timeout)
        self.sock.bind((address, 0))
        self.sock.connect((to or ("::1" if ":" in address else "127.0.0.1"), port))
        self.buffer = b""
        self.greeting = self.reply()

    def rcpt(self, recipient="bob@elsewhere.example", sender="x@example.net"):
        """The reply to RCPT, or to what stops the client before it."""
        reply = self.command("EHLO c.example.net")
        if reply[0] == "2":
            reply = self.command(f"MAIL FROM:<{sender}>")
        return reply if reply[0] != "2" else self.command(f"RCPT TO:<{recipient}>")

    def data(self, text=None):
        assert self.command("DATA")[:3] == "354"
        return self.command((text or "Subject: x\r\n\r\nhello\r\n") + ".")


# ---- relay_ctrl ----


@pytest.fixture
def relay_ctrl(make_server, tmp_path):
    folder = tmp_path / "allow"
    folder.mkdir()
    folder.chmod(0o755)
    open_to_roles(folder)
    port, port6 = free_ports(2)
    server = make_server(listeners=f'''
listener pop {{ address = "127.0.0.1:{port}"  tls = "none"  relay_ctrl = "{folder}" }}
listener pop6 {{ address = "[::1]:{port6}"  tls = "none"  relay_ctrl = "{folder}"  relay_ctrl_expiry = "1h" }}
''')
    server.pop, server.pop6 = port, port6

    def allow(address, age=0):
        path = folder / address
        path.write_bytes(b"USER=anna\0")
        path.chmod(0o600)
        os.utime(path, (time.time() - age, time.time() - age))
        return path
    return server, folder, allow


def test_a_fresh_file_lets_its_address_relay(relay_ctrl):
    server, _, allow = relay_ctrl
    allow("127.0.0.5", 897)
    with_file, without = From(server.pop, "127.0.0.5"), From(server.pop, "127.0.0.6")
    assert without.rcpt()[:9] == "530 5.7.0"
    assert with_file.rcpt()[:9] == "250 2.1.5"
    assert with_file.data()[:3] == "250"
    text = server.wait_messages(1)[0].decode()
    assert "with ESMTP " in text and "ESMTPA" not in text
    assert "Date:" in text and "Message-ID:" in text.replace("Message-Id", "Message-ID")
    with_file.close()
    line = server.wait_log(r"message=\S+.*client=127\.0\.0\.5")
    assert "relay_ctrl" in line and "user=" not in line


@pytest.mark.parametrize("age, reply", [(0, "250"), (890, "250"), (-5000, "250"), (902, "530"), (100000, "530")])
def test_the_age_counts(relay_ctrl, age, reply):
    server, _, allow = relay_ctrl
    allow("127.0.0.7", age)
    assert From(server.pop, "127.0.0.7").rcpt()[:3] == reply


def test_the_edge_of_the_age(relay_ctrl):
    """900 seconds are fresh, 901 are not; the clock may step between file and connection."""
    server, _, allow = relay_ctrl
    for age, reply in ((900, "250"), (901, "530")):
        for _ in range(20):
            begin = int(time.time())
            path = allow("127.0.0.8")
            os.utime(path, (begin - age, begin - age))
            got = From(server.pop, "127.0.0.8").rcpt()[:3]
            if int(time.time()) == begin:
                break
        assert got == reply


def test_expiry_and_addresses_of_ipv6(relay_ctrl):
    server, _, allow = relay_ctrl
    assert From(server.pop6, "::1").rcpt()[:3] == "530"
    allow("::1", 3500)
    assert From(server.pop6, "::1").rcpt()[:3] == "250"
    allow("::1", 3700)
    assert From(server.pop6, "::1").rcpt()[:3] == "530"


def test_only_regular_files_count(relay_ctrl):
    server, folder, allow = relay_ctrl
    (folder / "127.0.0.9").symlink_to(allow("127.0.0.10"))
    (folder / "127.0.0.11").mkdir()
    os.mkfifo(folder / "127.0.0.12")
    for address in ("127.0.0.9", "127.0.0.11", "127.0.0.12", "127.0.0.13"):
        assert From(server.pop, address).rcpt()[:3] == "530", address
    assert From(server.pop, "127.0.0.10").rcpt()[:3] == "250"


def test_other_listeners_are_not_touched(relay_ctrl):
    server, _, allow = relay_ctrl
    allow("127.0.0.5")
    assert From(server.plain, "127.0.0.5").rcpt()[:3] == "530"


def test_a_login_is_still_possible(relay_ctrl):
    server, _, allow = relay_ctrl
    allow("127.0.0.1")
    with server.smtp(server.pop, tls=False) as session:
        assert session.has_extn("auth")


def test_a_reload_brings_and_takes_the_directory(make_server, tmp_path):
    folder, (port,) = tmp_path / "later", free_ports(1)
    listener = f'listener pop {{ address = "127.0.0.1:{port}"  tls = "none" %s }}'
    server = make_server(listeners=listener % "")

    def reload(more):
        server.write_conf(listeners=listener % more)
        server.stderr.clear()
        server.process.send_signal(signal.SIGHUP)
        server.wait_log("read again")

    assert From(port).rcpt()[:3] == "530"
    reload(f'relay_ctrl = "{folder}"')
    assert server.logged("does not exist yet") and server.logged("cannot open .*later")
    assert From(port).rcpt()[:3] == "530"
    folder.mkdir()
    folder.chmod(0o755)
    open_to_roles(folder)
    (folder / "127.0.0.1").touch()
    reload(f'relay_ctrl = "{folder}"')
    wait_for(lambda: From(port).rcpt()[:3] == "250", "the directory to count")
    reload("")
    wait_for(lambda: From(port).rcpt()[:3] == "530", "the directory not to count any more")


def test_a_directory_that_front_cannot_search_is_told_once(make_server, tmp_path):
    if os.getuid() != 0:
        pytest.skip("only root has roles of another account")
    folder, (port,) = tmp_path / "closed", free_ports(1)
    folder.mkdir(mode=0o700)
    open_to_roles(tmp_path)
    server = make_server(
        listeners=f'listener pop {{ address = "127.0.0.1:{port}"  tls = "none"  relay_ctrl = "{folder}" }}')
    for _ in range(3):
        assert From(port).rcpt()[:3] == "530"
    line = server.wait_log("cannot look into its directory")
    assert "Permission denied" in line or "permission denied" in line


def check(tmp_path, listener, hostname="mail.example.org"):
    conf = tmp_path / "postern.conf"
    conf.write_text(f'hostname = "{hostname}"\ndata = "{tmp_path}"\nrun = "{tmp_path}"\n{listener}\n'
                    'route "*" { via = "mx" }\n')
    return subprocess.run([POSTERN, "check", "-c", conf], capture_output=True, text=True, timeout=30), conf


def test_check_looks_at_the_directory(tmp_path):
    listener = 'listener a {\n address = "127.0.0.1:2525"  tls = "none"\n relay_ctrl = "%s" }'
    done, conf = check(tmp_path, listener % "/nowhere/allow")
    assert done.returncode == 0 and f"{conf}:6: warning: relay_ctrl" in done.stderr
    done, conf = check(tmp_path, listener % conf)
    assert done.returncode == 1 and f"{conf}:6: relay_ctrl" in done.stderr and "not a directory" in done.stderr


# ---- dnsbl ----


def zone_name(address, zone="bl.test"):
    return ".".join(reversed(address.split("."))) + "." + zone


def listen(zones, more=""):
    (port,) = free_ports(1)
    return port, (f'listener mx {{ address = "127.0.0.1:{port}"  tls = "none"  auth = "optional"  '
                  f'plaintext_without_tls = true  accept = {{"example.net"}}  dnsbl = {{{zones}}} {more} }}')


@pytest.fixture
def mx(make_server):
    made = []

    def make(names, zones='"bl.test"', more="", down=False):
        dns = Dns(names)
        made.append(dns)
        port, listener = listen(zones, more)
        server = make_server(start=False, listeners=listener)
        if down:
            dns.close()
        server.start(env={"POSTERN_RESOLVER": f"127.0.0.1:{dns.port}"})
        server.mx, server.dns = port, dns
        return server
    yield make
    for dns in made:
        dns.close()


def test_a_listed_client_is_refused_with_the_reason(mx):
    server = mx({zone_name("127.0.0.20"): {"A": ["127.0.0.4"], "TXT": [["http://bl.test/", "?q\x07\xff"]]}})
    client = From(server.mx, "127.0.0.20")
    reply = client.rcpt("bob@example.net")
    assert reply == "554 5.7.1 blocked by bl.test, see http://bl.test/?q??"
    assert client.command("DATA")[:3] == "503" or client.command("DATA")[:3] == "554"
    assert client.command("RCPT TO:<bob@elsewhere.example>")[:9] == "550 5.7.1"
    client.command("QUIT")
    server.wait_log(r"listed by a zone.*client=127\.0\.0\.20.*host=bl\.test")
    server.wait_log(r"client=127\.0\.0\.20.*blocked by bl\.test")


def test_postmaster_is_reached_all_the_same(mx):
    server = mx({zone_name("127.0.0.20"): {"A": ["127.0.0.4"]}})
    client = From(server.mx, "127.0.0.20")
    assert client.rcpt("bob@example.net") == "554 5.7.1 blocked by bl.test"
    assert client.command("RCPT TO:<PostMaster@example.net>")[:3] == "250"
    assert client.data()[:3] == "250"
    server.wait_messages(1, "PostMaster")


def test_an_unlisted_client_is_served(mx):
    server = mx({zone_name("127.0.0.20"): {"A": ["127.0.0.4"]},
                 # An answer that is no listing: a zone that was sold, and answers everything.
                 zone_name("127.0.0.22"): {"A": ["192.0.2.1"], "TXT": ["for sale"]}})
    for address in ("127.0.0.21", "127.0.0.22"):
        client = From(server.mx, address)
        assert client.rcpt("bob@example.net")[:3] == "250", address
        assert client.data()[:3] == "250"
    assert (zone_name("127.0.0.21"), "A", "udp") in server.dns.asked


def test_each_zone_is_asked(mx):
    server = mx({zone_name("127.0.0.20", "two.test"): {"A": ["127.0.0.2"], "TXT": ["two"]},
                 "one.test": {}, "three.test": {}}, '"one.test", "two.test", "three.test"')
    assert From(server.mx, "127.0.0.20").rcpt("bob@example.net") == "554 5.7.1 blocked by two.test, see two"
    asked = {name for name, _, _ in server.dns.asked}
    assert {zone_name("127.0.0.20", f"{z}.test") for z in ("one", "two", "three")} <= asked


def test_the_questions_of_ipv6(make_server):
    nibbles = ".".join(reversed("0" * 31 + "1"))
    dns, (port,) = Dns({f"{nibbles}.bl.test": {"A": ["127.0.0.2"]}}), free_ports(1)
    server = make_server(start=False, listeners=f'listener mx {{ address = "[::1]:{port}"  tls = "none"  '
                         'auth = "none"  accept = {"example.net"}  dnsbl = {"bl.test"} }')
    server.start(env={"POSTERN_RESOLVER": f"127.0.0.1:{dns.port}"})
    assert From(port, "::1").rcpt("bob@example.net")[:3] == "554"
    dns.close()


@pytest.mark.parametrize("names, down", [({zone_name("127.0.0.20"): None, "bl.test": None}, False), ({}, True),
                                         ({zone_name("127.0.0.20"): "SERVFAIL"}, False)],
                         ids=["silent", "down", "SERVFAIL"])
def test_no_answer_lists_nobody(mx, names, down):
    server = mx(names, down=down)
    begin = time.monotonic()
    client = From(server.mx, "127.0.0.20")
    # What was pipelined behind the RCPT waits with it.
    client.send("EHLO c.example.net\r\n")
    client.reply()
    client.send("MAIL FROM:<x@example.net>\r\nRCPT TO:<bob@example.net>\r\nNOOP\r\n")
    assert [client.reply()[:3] for _ in range(3)] == ["250", "250", "250"]
    assert time.monotonic() - begin < 8
    assert client.data()[:3] == "250"
    server.wait_log(r"did not answer.*client=127\.0\.0\.20.*host=bl\.test")


def test_others_are_served_while_one_waits(mx):
    server = mx({zone_name("127.0.0.20"): None, "bl.test": None})
    held = From(server.mx, "127.0.0.20")
    held.send("EHLO c.example.net\r\nMAIL FROM:<x@example.net>\r\nRCPT TO:<bob@example.net>\r\n")
    held.reply()
    assert held.reply()[:3] == "250"
    begin = time.monotonic()
    # Not a stranger's recipient, so nothing is awaited for it.
    assert From(server.mx, "127.0.0.20").rcpt("bob@elsewhere.example")[:3] == "550"
    assert server.smtp(login=LOGIN).noop()[0] == 250
    assert time.monotonic() - begin < 3
    held.close()


def test_who_logs_in_is_not_judged(mx):
    server = mx({zone_name("127.0.0.1"): {"A": ["127.0.0.4"]}})
    with server.smtp(server.mx, tls=False) as session:
        assert session.mail("anna@example.org")[0] == 250
        assert session.rcpt("bob@example.net")[0] == 554
        session.rset()
        session.login(*LOGIN)
        session.sendmail(LOGIN[0], ["bob@example.net", "bob@elsewhere.example"], message())
    server.wait_messages(2)


def test_who_may_relay_by_address_is_not_judged(mx, tmp_path):
    folder = tmp_path / "allow"
    folder.mkdir()
    folder.chmod(0o755)
    open_to_roles(folder)
    (folder / "127.0.0.20").touch()
    names = {zone_name(a): {"A": ["127.0.0.4"]} for a in ("127.0.0.20", "127.0.0.21")}
    server = mx(names, more=f'relay_ctrl = "{folder}"')
    assert From(server.mx, "127.0.0.20").rcpt("bob@elsewhere.example")[:3] == "250"
    assert From(server.mx, "127.0.0.21").rcpt("bob@example.net")[:3] == "554"
    assert zone_name("127.0.0.20") not in {name for name, _, _ in server.dns.asked}


def test_relay_dies_with_the_question(mx):
    server = mx({zone_name("127.0.0.20"): None, "bl.test": None})
    client = From(server.mx, "127.0.0.20")
    client.command("EHLO c.example.net")
    client.command("MAIL FROM:<x@example.net>")
    client.send("RCPT TO:<bob@example.net>\r\n")
    wait_for(lambda: server.dns.asked, "the question")
    for pid in server.pids("relay"):
        os.kill(pid, signal.SIGKILL)
    begin = time.monotonic()
    assert client.reply()[:3] == "250"
    assert time.monotonic() - begin < 4


def test_zones_on_a_submission_listener_are_an_error(tmp_path):
    done, conf = check(tmp_path, 'listener a { address = "127.0.0.1:2525"  tls = "none"\n dnsbl = {"bl.test"} }')
    assert done.returncode == 1 and f"{conf}:5: listener" in done.stderr and "AUTH" in done.stderr
