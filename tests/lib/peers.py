"""Real mail servers to test against: Dovecot, Postfix, Exim and Haraka, each in a folder of its own, on loopback and free
ports, ended by process id.

    dovecot = Dovecot(folder, {"carol@example.net": "secret"}).start()
    postfix = Postfix(folder, authority, dovecot.auth).start()
    ... postfix.starttls, postfix.implicit, postfix.messages("bob"), postfix.log() ...
    postfix.stop()
"""

import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess

from postern import free_ports, open_to_roles, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]

DOVECOT_MECHANISMS = ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"]
POSTFIX_QUEUES = ["active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved",
                  "trace", "maildrop", "public"]


def missing(*programs):
    """Why these servers cannot run here, or None."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    for program in programs:
        if not shutil.which(program, path=path):
            return f"{program} is not installed"
    return None if os.getuid() == 0 else "needs root: the servers start under accounts of their own"


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Daemon:
    """A server in the foreground. `name` is for messages; log() is what it wrote."""

    name, log_file = "", None

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        open_to_roles(self.folder)
        self.process = None

    def environment(self):
        return None

    def run(self, command, ready):
        self.output = open(self.folder / "output", "ab")
        self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=self.output,
                                        stderr=subprocess.STDOUT, start_new_session=True, env=self.environment())
        wait_for(lambda: self.process.poll() is not None or ready(), lambda: f"{self.name} to start\n{self.log()}")
        assert self.process.poll() is None, f"{self.name} ended\n{self.log()}"
        return self

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        if self.process:
            self.output.close()
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def log(self):
        text = ""
        for path in (self.folder / "output", self.log_file):
            if path and path.exists():
                text += path.read_text(errors="replace")
        return text

    def wait_log(self, text, seconds=20):
        return wait_for(lambda: next((l for l in self.log().splitlines() if text in l), None),
                        lambda: f"{text!r} in the log of {self.name}:\n{self.log()[-3000:]}", seconds)


def maildir_messages(folder):
    files = list(folder.glob("new/*")) + list(folder.glob("cur/*"))
    return [p.read_bytes() for p in sorted(files, key=lambda p: p.stat().st_mtime_ns)]


class Dovecot(Daemon):
    """Its authentication service (.auth, a socket), and LMTP (.lmtp, a socket, and .lmtp_port) into maildirs."""

    name = "dovecot"

    def __init__(self, folder, users, mechanisms=tuple(DOVECOT_MECHANISMS), passdb=""):
        super().__init__(folder)
        self.users, self.mechanisms, self.passdb = users, mechanisms, passdb
        self.log_file = self.folder / "log"
        self.auth, self.lmtp = self.folder / "auth-client", self.folder / "lmtp"
        self.lmtp_port, = free_ports(1)
        self.mail = self.folder / "mail"
        self.mail.mkdir(exist_ok=True)
        shutil.chown(self.mail, "nobody", "nogroup")

    def start(self):
        nobody = pwd.getpwnam("nobody")
        (self.folder / "users").write_text("".join(f"{u}:{{PLAIN}}{p}\n" for u, p in self.users.items()))
        conf = self.folder / "dovecot.conf"
        conf.write_text(f'''
base_dir = {self.folder}/run
state_dir = {self.folder}/state
log_path = {self.log_file}
protocols = lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = {" ".join(self.mechanisms).lower()}
auth_verbose = yes
auth_failure_delay = 0
mail_location = maildir:{self.mail}/%n
first_valid_uid = 1
first_valid_gid = 1
{self.passdb}
passdb {{
  driver = passwd-file
  args = username_format=%u {self.folder}/users
}}
userdb {{
  driver = static
  args = uid={nobody.pw_uid} gid={nobody.pw_gid} home={self.mail}/%n allow_all_users=yes
}}
service auth {{
  unix_listener {self.auth} {{
    mode = 0666
  }}
}}
service lmtp {{
  unix_listener {self.lmtp} {{
    mode = 0666
  }}
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {self.lmtp_port}
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
''')
        return self.run(["/usr/sbin/dovecot", "-F", "-c", conf],
                        lambda: self.auth.exists() and self.lmtp.exists() and listens(self.lmtp_port))

    def messages(self, user):
        return maildir_messages(self.mail / user)

    def wait_messages(self, count, user):
        return wait_for(lambda: len(self.messages(user)) >= count and self.messages(user),
                        lambda: f"{count} messages for {user}\n{self.log()[-3000:]}")


class Postfix(Daemon):
    """smtpd with TLS and AUTH by the Dovecot protocol at @auth; takes mail for example.net into one maildir.

    rejected@example.net is refused for ever, later@example.net for now."""

    name = "postfix"

    def __init__(self, folder, authority, auth, extra="", names="DNS:localhost,IP:127.0.0.1"):
        super().__init__(folder)
        self.auth, self.extra = auth, extra
        self.starttls, self.implicit = free_ports(2)
        self.certificate, self.key = authority.issue(f"postfix-{self.starttls}", names)
        self.log_file = self.folder / "maillog"
        self.mail = self.folder / "mail"
        self.mail.mkdir(exist_ok=True)
        shutil.chown(self.mail, "nobody", "nogroup")

    def start(self):
        etc, spool, data = (self.folder / n for n in ("etc", "spool", "data"))
        for path in (etc, spool, data):
            path.mkdir(exist_ok=True)
        for name in POSTFIX_QUEUES:
            (spool / name).mkdir(exist_ok=True, mode=0o700)
            shutil.chown(spool / name, "postfix", "postdrop")
        for name, mode in (("public", 0o2710), ("maildrop", 0o1730)):
            (spool / name).chmod(mode)
        (spool / "pid").mkdir(exist_ok=True)
        shutil.chown(data, "postfix", "postfix")
        nobody = pwd.getpwnam("nobody")
        (etc / "main.cf").write_text(f'''
compatibility_level = 3.6
queue_directory = {spool}
data_directory = {data}
maillog_file = {self.log_file}
maillog_file_prefixes = {self.folder}
myhostname = postfix.example.net
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
virtual_mailbox_domains = example.net
virtual_mailbox_base = {self.mail}
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{nobody.pw_uid}
virtual_gid_maps = static:{nobody.pw_gid}
virtual_minimum_uid = 1
relay_domains =
default_transport = error:only example.net is served
smtpd_tls_chain_files = {self.key}, {self.certificate}
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_loglevel = 1
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {self.auth}
smtpd_sasl_security_options = noanonymous
smtpd_sasl_authenticated_header = yes
smtpd_recipient_restrictions =
  check_recipient_access inline:{{{{rejected@example.net = 550 5.1.1 no such user here}}, {{later@example.net = 450 4.2.0 come back later}}}}
  permit_sasl_authenticated, reject
smtpd_delay_reject = yes
smtpd_error_sleep_time = 0
smtpd_peername_lookup = no
smtpd_client_connection_rate_limit = 0
anvil_status_update_time = 1s
{self.extra}
''')
        (etc / "master.cf").write_text(f'''
{self.starttls} inet n - n - - smtpd
{self.implicit} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
''')
        # Not by `postfix start`: its scripts look at everything for six seconds.
        return self.run(["/usr/lib/postfix/sbin/master", "-c", etc, "-d"],
                        lambda: listens(self.starttls) and listens(self.implicit))

    def messages(self, user="bob"):
        name = f"\nDelivered-To: {user}@example.net\n".encode()
        return [m for m in maildir_messages(self.mail / "all") if name in m]

    def wait_messages(self, count, user="bob"):
        return wait_for(lambda: len(self.messages(user)) >= count and self.messages(user),
                        lambda: f"{count} messages for {user}\n{self.log()[-3000:]}")


def with_accounts(folder, names):
    """An environment in which accounts of these names exist, or None where they do."""
    if set(names) <= {entry.pw_name for entry in pwd.getpwall()}:
        return None
    users = "".join(f"{n}:x:{65530 - i}:{65530 - i}::/nonexistent:/usr/sbin/nologin\n" for i, n in enumerate(names))
    groups = "".join(f"{n}:x:{65530 - i}:\n" for i, n in enumerate(names))
    (folder / "passwd").write_text(pathlib.Path("/etc/passwd").read_text() + users)
    (folder / "group").write_text(pathlib.Path("/etc/group").read_text() + groups)
    return dict(os.environ, LD_PRELOAD="libnss_wrapper.so", NSS_WRAPPER_PASSWD=str(folder / "passwd"),
                NSS_WRAPPER_GROUP=str(folder / "group"))


class Exim(Daemon):
    """TLS and AUTH by the Dovecot protocol at @auth, or by Exim's own mechanisms for @users; what it takes it
    forgets, and its log says who sent it.

    Debian's package cannot stand beside Postfix, so `make deps` unpacks it; POSTERN_EXIM names another one."""

    name = "exim"
    program = os.environ.get("POSTERN_EXIM") or shutil.which(
        "exim4", path=f"{ROOT}/build-packages/exim4-daemon-heavy/usr/sbin:/usr/sbin:/usr/bin")

    def __init__(self, folder, authority, auth, mechanisms, users=None):
        super().__init__(folder)
        self.auth, self.mechanisms, self.users = auth, mechanisms, users
        self.starttls, = free_ports(1)
        self.certificate, self.key = authority.issue(f"exim-{self.starttls}")
        self.key.chmod(0o644)
        open_to_roles(self.key.parent)
        self.log_file = self.folder / "log" / "main"

    def environment(self):
        """Its account is compiled in; where the package was only unpacked there is none of that name."""
        return with_accounts(self.folder, ["Debian-exim"])

    def authenticator(self, number, mechanism):
        if self.users is None:
            return f"""
a{number}:
  driver = dovecot
  public_name = {mechanism}
  server_socket = {self.auth}
  server_set_id = $auth1
"""
        user, password = ("$auth2", "$auth3") if mechanism == "PLAIN" else ("$auth1", "$auth2")
        known = f"${{lookup{{{user}}}lsearch{{{self.folder}/users}}{{$value}}fail}}"
        return {"PLAIN": f"""
a{number}:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${{if eq{{{password}}}{{{known}}}}}
  server_set_id = {user}
""", "LOGIN": f"""
a{number}:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${{if eq{{{password}}}{{{known}}}}}
  server_set_id = {user}
""", "CRAM-MD5": f"""
a{number}:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${{lookup{{$auth1}}lsearch{{{self.folder}/users}}{{$value}}fail}}
  server_set_id = $auth1
"""}[mechanism]

    def start(self):
        for name in ("spool", "log"):
            (self.folder / name).mkdir(exist_ok=True)
            (self.folder / name).chmod(0o777)
        (self.folder / "users").write_text("".join(f'"{u}": {p}\n' for u, p in (self.users or {}).items()))
        authenticators = "".join(self.authenticator(i, m) for i, m in enumerate(self.mechanisms))
        conf = self.folder / "exim.conf"
        conf.write_text(f"""
exim_path = {self.program}
primary_hostname = exim.example.net
spool_directory = {self.folder}/spool
log_file_path = {self.folder}/log/%s
log_selector = +smtp_protocol_error +smtp_syntax_error
local_interfaces = 127.0.0.1
daemon_smtp_ports = {self.starttls}
disable_ipv6
host_lookup =
rfc1413_hosts =
tls_advertise_hosts = *
tls_certificate = {self.certificate}
tls_privatekey = {self.key}
auth_advertise_hosts = ${{if def:tls_in_cipher {{*}}}}
acl_smtp_rcpt = only_known
begin acl
only_known:
  accept authenticated = *
  deny message = who are you
begin routers
nothing:
  driver = redirect
  data = :blackhole:
begin authenticators{authenticators}
""")
        return self.run([self.program, "-C", conf, "-bdf", "-oX", f"127.0.0.1.{self.starttls}", "-oP",
                         self.folder / "pid"], lambda: listens(self.starttls))


class Haraka(Daemon):
    """TLS and AUTH (PLAIN, LOGIN, CRAM-MD5) for @users; what it takes it forgets, after `taken` has a line
    "login sender recipients" of it. npm brings the version that tests/interop/haraka pins."""

    name = "haraka"
    place = ROOT / "tests/interop/haraka"

    def __init__(self, folder, authority, users):
        super().__init__(folder)
        self.users = users
        self.starttls, = free_ports(1)
        self.certificate, self.key = authority.issue(f"haraka-{self.starttls}")
        self.taken = self.folder / "taken"

    @classmethod
    def missing(cls):
        """Why it cannot run here, or None; npm is asked once."""
        if not shutil.which("node") or not shutil.which("npm"):
            return "node and npm are not installed"
        if (cls.place / "node_modules/Haraka").exists():
            return None
        done = subprocess.run(["npm", "ci"], cwd=cls.place, text=True, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, timeout=300)
        if done.returncode and os.environ.get("CI"):
            raise AssertionError(done.stderr)
        return f"npm cannot bring Haraka: {done.stderr.strip()[:300]}" if done.returncode else None

    def start(self):
        config, plugins = self.folder / "config", self.folder / "plugins"
        for path in (config, plugins):
            path.mkdir(exist_ok=True)
        shutil.copy(self.place / "node_modules/Haraka/config/connection.ini", config)
        shutil.copy(self.certificate, config / "tls_cert.pem")
        shutil.copy(self.key, config / "tls_key.pem")
        users = "".join(f"{u}={p}\n" for u, p in self.users.items())
        for name, text in {
            "smtp.ini": f"listen=127.0.0.1:{self.starttls}\n",
            "plugins": "tls\nauth/flat_file\ntake\n",
            "tls.ini": "key=tls_key.pem\ncert=tls_cert.pem\n",
            "auth_flat_file.ini": f"[core]\nmethods=PLAIN,LOGIN,CRAM-MD5\nconstrain_sender=false\n[users]\n{users}",
            "me": "haraka.example.net\n", "loglevel": "INFO\n",
        }.items():
            (config / name).write_text(text)
        (plugins / "take.js").write_text(f"""
exports.hook_queue = exports.hook_queue_outbound = (next, connection) => {{
    const t = connection.transaction;
    const line = [connection.notes.auth_user, t.mail_from.address(), ...t.rcpt_to.map(r => r.address())].join(' ');
    require('fs').appendFile('{self.taken}', line + '\\n', () => next(OK, 'taken'));
}};
""")
        self.taken.write_text("")
        return self.run(["node", self.place / "node_modules/Haraka/bin/haraka", "-c", self.folder],
                        lambda: listens(self.starttls))
