"""docs/tutorial.md does not rot: its dialogues are had with a running server, its commands and run scripts are run, its
configurations are checked, and what comes out is compared. Nonces, ids, dates and pids are no part of it.

TUTORIAL_UPDATE=1 writes what came out into the document."""

import base64
import hashlib
import hmac
import os
import pathlib
import pwd
import re
import subprocess

import pytest

import qmail as q
from postern import BUILD, POSTERN, ROOT, Server, Wire, open_to_roles, wait_for

PATH = ROOT / "docs" / "tutorial.md"
TEXT = PATH.read_text()
# [(info string's words, the block's text)]
BLOCKS = [(m[1].split(), m[2]) for m in re.finditer(r"^```([^\n]*)\n(.*?)^```$", TEXT, re.M | re.S) if m[1]]
USER, PASSWORD = "anna@example.org", "correct horse"


def decoded(line):
    """A line of an exchange with what its base64 stands for, where that changes from login to login."""
    mark, _, rest = line.partition(": ")
    head, data = ("334 ", rest[4:]) if rest.startswith("334 ") else ("", rest)
    try:
        text = base64.b64decode(data, validate=True).decode()
    except ValueError:
        return line
    if not re.match(r"<|[rcv]=|n,|y,|p=|\S+ [0-9a-f]{32}$", text):
        return line
    text = re.sub(r"(?<![a-z])([rspv])=[^,]*", r"\1=…", text)
    text = re.sub(r"[0-9a-f]{32}$", "…", re.sub(r"<.*@", "<…@", text))
    return f"{mark}: {head}[{text}]"


def normal(text):
    """Without what is different each time."""
    lines = [decoded(line) for line in text.splitlines()]
    text = "\n".join(line.rstrip() for line in lines)
    text = re.sub(r"\b334 (?!\[)[A-Za-z0-9+/]{60,}=*", "334 …", text)  # in a table of postern explain
    text = re.sub(r"queued as \w+", "queued as ID", text)
    text = re.sub(r"\bid \w{16}\b", "id ID", text)
    text = re.sub(r"\w{3}, {1,2}\d+ \w{3} \d{4} [0-9:]+ [+-]\d{4}", "DATE", text)
    text = re.sub(r"^\d+ ([<>]) ", r"PID \1 ", text, flags=re.M)
    text = re.sub(r"^( +\d+ [CS]  )(?=\S{60,}$|334 \S{60,}$)\S.*", r"\1…", text, flags=re.M)
    text = re.sub(r"<[0-9a-f.]+@", "<…@", text)
    text = re.sub(r"authenticated as [0-9a-f]{12}", "authenticated as PSEUDONYM", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[0-9:]+Z", "TIME", text)
    text = re.sub(r"\b\d+ > \[EOF\]", "PID > [EOF]", text)
    return text.strip("\n")


class Login:
    """The client's part of CRAM-MD5 and SCRAM-SHA-256, from the server's challenges."""

    def __init__(self, line):
        words = line.split()
        self.mechanism = words[1].upper() if len(words) > 1 else ""
        self.first = base64.b64decode(words[2]).decode() if len(words) > 2 and "SCRAM" in self.mechanism else ""

    def answer(self, challenge):
        text = base64.b64decode(challenge).decode()
        if self.mechanism == "CRAM-MD5":
            digest = hmac.new(PASSWORD.encode(), text.encode(), "md5").hexdigest()
            return base64.b64encode(f"{USER} {digest}".encode()).decode()
        if self.mechanism != "SCRAM-SHA-256" or not text.startswith("r="):
            return None
        values = dict(part.split("=", 1) for part in text.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), base64.b64decode(values["s"]), int(values["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        final = f"c=biws,r={values['r']}"
        message = f"{self.first[3:]},{text},{final}".encode()
        proof = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(proof, key))).decode()
        return base64.b64encode(f"{final},p={proof}".encode()).decode()


def shortened(lines):
    """Of the answer to EHLO its first and last line, and what is about logging in."""
    return [line for i, line in enumerate(lines)
            if i in (0, len(lines) - 1) or re.match(r"250.(AUTH|STARTTLS)", line)]


def play(block, wire, wrap, short):
    """Say the client's lines, read a reply to each; the whole dialogue as it was."""
    out = [f"S: {line}" for line in wire.greeting.splitlines()]
    login, challenge, body = None, None, False
    for line in block.splitlines():
        if not line.startswith("C:"):
            if not line.startswith("S:"):
                out.append(line)
            continue
        text = line[3:]
        if challenge is not None and login:
            text = login.answer(challenge) or text
        out.append(f"C: {text}")
        if body and text != ".":
            wire.send(text + "\r\n")
            continue
        reply = wire.command(text)
        parts = reply.splitlines()
        out += [f"S: {part}" for part in (shortened(parts) if short and text.startswith("EHLO") else parts)]
        challenge = reply[4:] if reply.startswith("334") else None
        body = reply.startswith("354")
        if text.upper().startswith("AUTH "):
            login = Login(text)
        if text == "STARTTLS":
            wrap(wire)
    return "\n".join(out) + "\n"


class World:
    """The server, the folder of files, and the qmail system that the document speaks of."""

    def __init__(self, folder):
        self.folder = folder
        self.server = Server(folder, users={USER: PASSWORD})
        self.server.start()
        self.box = self.service = None
        (folder / "lunch.eml").write_text("Subject: lunch\n\nAt noon?\n")
        self.env = dict(os.environ, PATH=f"{BUILD}:{os.environ['PATH']}", POSTERN_CONF=str(self.server.conf), LC_ALL="C.UTF-8")

    def close(self):
        if self.box:
            self.box.close()
        self.server.stop()

    def dialogue(self, where, block, short):
        if where == "run":
            return play(block, self.service.connect(), None, short)
        context = self.server.authority.context()
        wire = self.server.tls_socket() if where == "implicit" else Wire(self.server.starttls)
        text = play(block, wire, lambda w: w.wrap(context), short)
        wire.close()
        return text

    def commands(self, block):
        out = ""
        for command in re.findall(r"^\$ (.*)$", block, re.M):
            run = command.replace("--server mail.example.org:587",
                                  f"--server localhost:{self.server.starttls} --ca {self.server.authority.ca}")
            done = subprocess.run(["bash", "-c", run], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
            out += f"$ {command}\n" + "".join(f"{line.rstrip()}\n" for line in done.stdout.decode().split("\n")).rstrip("\n") + "\n"
        return out

    def script(self, block, trace):
        """Start a run script of the document, with the paths, the accounts and the port of here."""
        if self.box:
            self.box.close()
        number = len(list(self.folder.glob("box*")))
        (self.folder / f"box{number}").mkdir()
        open_to_roles(self.folder / f"box{number}")
        self.box = q.Qmail(self.folder / f"box{number}")
        who = pwd.getpwnam("nobody") if os.geteuid() == 0 and "-u " in block else pwd.getpwuid(os.geteuid())
        self.box.users("shadow", f"test:testpass:{who.pw_uid}:{who.pw_gid}:/:/bin/sh\n")
        text = block.replace("/usr/local/libexec/postern/qmail", str(pathlib.Path(q.program("x")).parent))
        text = text.replace("/bin/checkpassword", q.fixture("checkpassword")).replace(" 0 587 ", " 127.0.0.1 @PORT@ ")
        text = text.replace("qmaild", who.pw_name).replace("tcpserver -RH", "tcpserver -vRH")
        if os.geteuid() != 0:
            text = text.replace("-u $QMAILDUID -g $QMAILDGID ", "")
        if q.sanitized():
            text = text.replace("softlimit -m 200000000", "softlimit")
        self.trace = self.folder / trace if trace else None
        self.service = self.box.script(text)

    def keep_trace(self):
        """The lines of recordio, when the session has ended."""
        if self.trace:
            wait_for(lambda: "> [EOF]" in self.service.text(), self.service.text)
            lines = [line for line in self.service.lines if re.match(r"\d+ [<>] ", line)]
            self.trace.write_text("".join(line + "\n" for line in lines))

    def received(self):
        message = wait_for(lambda: (self.server.messages("bob") or self.server.messages("bob@example.net") or [None])[0],
                           "the message")
        lines = message.decode().splitlines()
        fields = [i for i, line in enumerate(lines) if line.startswith("Received:")]
        end = next(i for i in range(fields[0] + 1, len(lines)) if not lines[i].startswith(("\t", " ")))
        return "\n".join(lines[fields[0]:end]).replace("\t", "    ") + "\n"


def outcome(world, info, block):
    kind = info[0]
    if kind == "smtp":
        text = world.dialogue(info[1], block, "first.txt" not in info)
        if len(info) > 2:
            (world.folder / info[2]).write_text(text)
        if info[1] == "run":
            world.keep_trace()
        return text
    if kind == "console":
        return world.commands(block)
    if kind == "received":
        return world.received()
    if kind == "sh" and info[1:2] == ["run"]:
        world.script(block, info[2] if len(info) > 2 else None)
    if kind == "text" and len(info) > 1:
        (world.folder / info[1]).write_text(block)
    return block


@pytest.mark.skipif(bool(q.missing("tcpserver", "softlimit")), reason=str(q.missing("tcpserver", "softlimit")))
def test_every_dialogue_and_command(tmp_path):
    open_to_roles(tmp_path)
    world = World(tmp_path)
    wrong, update = [], TEXT
    try:
        for info, block in BLOCKS:
            if info[0] == "conf":
                continue
            text = outcome(world, info, block)
            if normal(text) != normal(block):
                wrong.append(f"```{' '.join(info)}\n{normal(block)}\n--- is now ---\n{normal(text)}")
            update = update.replace(f"```{' '.join(info)}\n{block}```", f"```{' '.join(info)}\n{text}```", 1)
    finally:
        world.close()
    if os.environ.get("TUTORIAL_UPDATE"):
        PATH.write_text(update)
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("number", [i for i, (info, _) in enumerate(BLOCKS) if info[0] == "conf"])
def test_configurations(tmp_path, number):
    conf = tmp_path / "postern.conf"
    (tmp_path / "users").write_text("")
    text = BLOCKS[number][1].replace("/etc/postern/users", f"{tmp_path}/users")
    text = text.replace("/bin/checkpassword", q.fixture("checkpassword"))
    conf.write_text(f'hostname = "mail.example.org"\ndata = "{tmp_path}/data"\nrun = "{tmp_path}/run"\n' + text)
    done = subprocess.run([POSTERN, "check", "-c", conf], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"{text}\n{done.stdout}"


@pytest.mark.parametrize("number", [i for i, (info, _) in enumerate(BLOCKS) if info[0] == "smtp"])
def test_explain_finds_what_is_wrong_on_purpose(number):
    """And nothing else, in any dialogue of the document."""
    info, block = BLOCKS[number]
    options = ["--tls"] if info[1] == "implicit" else []
    done = subprocess.run([POSTERN, "explain", *options], input=block, text=True, stdout=subprocess.PIPE, timeout=60)
    found = re.findall(r"^ +! (.*?)(?::.*)? \[", done.stdout, re.M)
    expected = []
    if "errors.txt" in info:
        expected = ["EHLO or HELO comes before MAIL", "a client chooses a mechanism that the server announced",
                    "after a successful AUTH there is no second one"]
    elif "AUTH PLAIN\nS: 538" in block:
        expected = ["a client chooses a mechanism that the server announced"]
    elif "d3Jvbmc\n" in block:
        expected = ["base64 comes in groups of four, the last one filled up with ="]
    elif "anna=phone" in block:
        expected = ["AUTH= is a mailbox or <>, in xtext"]
    elif info[1] == "run":
        expected = ["a password or token crosses the line readable; TLS comes first"]
    assert found == expected, done.stdout


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (PATH.parent / target).exists(), target


