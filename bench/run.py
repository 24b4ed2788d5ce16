#!/usr/bin/python3
"""Measure Postern beside a null TLS server and a loopback Postfix with Dovecot, in one run.

For each: server CPU time per message over persistent sessions and with a new session each, throughput,
latency, and what an idle session costs in memory. Servers accept over TLS with AUTH, store, and relay to
a sink; a message counts when the sink has it. CPU time is that of all processes of a server, by a cpuacct
control group where there is one, else by summing /proc over the process tree.

Everything lives in a temporary directory and on free ports of loopback.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

CPUACCT = "/sys/fs/cgroup/cpuacct"
PASSWORD = "bench-Password-1"
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def write(path, text, mode=0o644):
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)


class Cgroup:
    """CPU time and members of all that is started in it. Without cgroup v1: the process tree."""

    def __init__(self, name):
        self.path = None
        self.roots = []
        path = f"{CPUACCT}/postern-bench-{os.getpid()}-{name}"
        try:
            os.mkdir(path)
            self.path = path
        except OSError:
            pass

    def enter(self):
        """Called in the child between fork and exec."""
        if self.path:
            with open(self.path + "/cgroup.procs", "w") as f:
                f.write(str(os.getpid()))

    def pids(self):
        if self.path:
            with open(self.path + "/cgroup.procs") as f:
                return [int(line) for line in f]
        return self.tree()

    def tree(self):
        children = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    with open(f"/proc/{entry}/stat") as f:
                        fields = f.read().rsplit(")", 1)[1].split()
                except OSError:
                    continue
                children.setdefault(int(fields[1]), []).append(int(entry))
        found, todo = [], list(self.roots)
        while todo:
            pid = todo.pop()
            found.append(pid)
            todo += children.get(pid, [])
        return found

    def cpu_ns(self):
        if self.path:
            with open(self.path + "/cpuacct.usage") as f:
                return int(f.read())
        total = 0
        for pid in self.tree():
            try:
                with open(f"/proc/{pid}/stat") as f:
                    fields = f.read().rsplit(")", 1)[1].split()
                total += sum(int(x) for x in fields[11:15])
            except OSError:
                pass
        return total * TICK_NS

    def pss_kib(self):
        total = 0
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/smaps_rollup") as f:
                    total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
            except OSError:
                pass
        return total

    def per_process(self):
        """Name and CPU milliseconds of each living process, for the table of who spends what."""
        result = {}
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/stat") as f:
                    name, rest = f.read().split("(", 1)[1].rsplit(")", 1)
                fields = rest.split()
                ms = (int(fields[11]) + int(fields[12])) * TICK_NS / 1e6
                result[name] = result.get(name, 0) + ms
            except OSError:
                pass
        return result

    def remove(self):
        if not self.path:
            return
        for _ in range(50):
            for pid in self.pids():
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            try:
                os.rmdir(self.path)
                return
            except OSError:
                time.sleep(0.1)


class Server:
    name = ""
    sessions_cost_a_process = False

    def __init__(self, run):
        self.run = run
        self.dir = f"{run.dir}/{self.name}"
        os.mkdir(self.dir)
        os.chmod(self.dir, 0o755)
        self.port = free_port()
        self.group = Cgroup(self.name)
        self.processes = []

    def spawn(self, argv, **options):
        process = subprocess.Popen(argv, preexec_fn=self.group.enter,
                                   stdin=subprocess.DEVNULL, **options)
        self.group.roots.append(process.pid)
        self.processes.append(process)
        return process

    def wait_port(self, seconds=20):
        end = time.time() + seconds
        while time.time() < end:
            for process in self.processes:
                if process.poll():
                    raise RuntimeError(f"{self.name} ended with status {process.returncode}: "
                                       f"see {self.dir}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"{self.name} does not listen on port {self.port}: see {self.dir}")

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(12)
            except subprocess.TimeoutExpired:
                process.kill()
        self.group.remove()


class Null(Server):
    """The dialogue and TLS, nothing stored: no submission server can be cheaper."""

    name = "null"
    stores = False
    flags = []

    def start(self):
        self.spawn([self.run.program("bench-null"), "--listen", f"127.0.0.1:{self.port}",
                    "--tls", "implicit", "--certificate", self.run.certificate,
                    "--key", self.run.key, "--count", f"{self.dir}/count", *self.flags],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait_port()

    def received(self):
        return counts(f"{self.dir}/count")


class NullLean(Null):
    """The same with OpenSSL's buffers given back in idle sessions: a bound for memory."""

    name = "null-lean"
    flags = ["--lean"]


class Postern(Server):
    name = "postern"
    stores = True

    def start(self):
        shutil.copy(self.run.certificate, f"{self.dir}/cert.pem")
        shutil.copy(self.run.key, f"{self.dir}/key.pem")
        conf = f"{self.dir}/postern.conf"
        write(conf, f"""hostname = "bench.example"
data = "{self.dir}/data"
run  = "{self.dir}/run"
tls {{ certificate = "cert.pem"  key = "key.pem" }}
listener submissions {{ address = "127.0.0.1:{self.port}"  tls = "implicit" }}
auth {{ mechanisms = {{"SCRAM-SHA-256", "PLAIN"}} }}
provider store {{}}
route "*" {{ via = "smtp://127.0.0.1:{self.run.sink_port}"  tls = "none" }}
limits {{ connections = 15000  per_ip = 15000 }}
""")
        postern = f"{self.run.build}/postern"
        os.mkdir(f"{self.dir}/data")
        os.mkdir(f"{self.dir}/run")
        self.log = open(f"{self.dir}/log", "wb")
        subprocess.run([postern, "user", "add", "bench", "-c", conf, "--password-stdin",
                        "--send-as", "bench@example.org"],
                       input=PASSWORD.encode() + b"\n", check=True)
        self.spawn([postern, "serve", "-c", conf], stdout=subprocess.DEVNULL, stderr=self.log)
        self.wait_port()

    def stop(self):
        super().stop()
        self.log.close()


class Postfix(Server):
    name = "postfix"
    stores = True
    sessions_cost_a_process = True

    def start(self):
        d = self.dir
        for sub in ("etc", "spool", "lib", "dovecot"):
            os.mkdir(f"{d}/{sub}")
        shutil.chown(f"{d}/lib", "postfix")
        self.start_dovecot()
        write(f"{d}/etc/main.cf", f"""compatibility_level = 3.6
queue_directory = {d}/spool
data_directory = {d}/lib
command_directory = {self.run.postfix["command_directory"]}
daemon_directory = {self.run.postfix["daemon_directory"]}
mail_owner = postfix
setgid_group = postdrop
myhostname = bench.example
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
local_recipient_maps =
relayhost = [127.0.0.1]:{self.run.sink_port}
smtp_tls_security_level = none
smtpd_tls_cert_file = {self.run.certificate}
smtpd_tls_key_file = {self.run.key}
smtpd_tls_security_level = may
smtpd_tls_loglevel = 0
smtpd_sasl_type = dovecot
smtpd_sasl_path = {d}/dovecot/auth
smtpd_sasl_auth_enable = yes
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_client_connection_count_limit = 0
default_process_limit = 2000
maillog_file = {d}/lib/log
maillog_file_prefixes = {d}
import_environment = MAIL_CONFIG
""")
        services = """
pickup unix n - n 60 1 pickup
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
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
        write(f"{d}/etc/master.cf", f"127.0.0.1:{self.port} inet n - n - - smtpd "
              "-o smtpd_tls_wrappermode=yes\n" + services.lstrip())
        self.log = open(f"{d}/log", "wb")
        self.spawn(["postfix", "-c", f"{d}/etc", "start-fg"],
                   stdout=self.log, stderr=self.log, start_new_session=True)
        self.wait_port()

    def start_dovecot(self):
        d = f"{self.dir}/dovecot"
        if self.run.mechanism == "PLAIN":
            # Dovecot's cache keeps the hash and checks it at every login: a fast one is fair to it.
            secret = doveadm_secret("SSHA256")
        else:
            secret = doveadm_secret("SCRAM-SHA-256")
        write(f"{d}/users", f"bench:{secret}::::::\n")
        write(f"{d}/dovecot.conf", f"""base_dir = {d}/run
state_dir = {d}/state
log_path = {d}/log
protocols =
ssl = no
auth_mechanisms = plain login scram-sha-256
auth_cache_size = 10 M
auth_cache_ttl = 5 min
default_internal_user = dovecot
default_login_user = dovenull
passdb {{
  driver = passwd-file
  args = {d}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}}
service auth {{
  unix_listener {d}/auth {{
    mode = 0666
  }}
  client_limit = 20000
}}
service stats {{
  client_limit = 20000
}}
""")
        self.spawn(["dovecot", "-F", "-c", f"{d}/dovecot.conf"], stderr=subprocess.DEVNULL)
        end = time.time() + 10
        while not os.path.exists(f"{d}/auth"):
            if time.time() > end:
                raise RuntimeError(f"dovecot does not start: see {d}/log")
            time.sleep(0.05)

    def stop(self):
        subprocess.run(["postfix", "-c", f"{self.dir}/etc", "stop"], capture_output=True)
        super().stop()
        self.log.close()


def doveadm_secret(scheme):
    return subprocess.run(["doveadm", "pw", "-s", scheme, "-p", PASSWORD],
                          capture_output=True, text=True, check=True).stdout.strip()


def counts(path):
    with open(path, "rb") as f:
        return struct.unpack("=QQQQ", f.read(32))[0]


class Run:
    def __init__(self, options):
        self.options = options
        self.build = os.path.abspath(options.build)
        self.mechanism = options.auth
        self.dir = tempfile.mkdtemp(prefix="postern-bench-", dir=options.dir)
        os.chmod(self.dir, 0o755)
        self.certificate = f"{self.dir}/cert.pem"
        self.key = f"{self.dir}/key.pem"
        kind = (["rsa:2048"] if options.key == "rsa"
                else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
        subprocess.run(["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-days", "30",
                        "-subj", "/CN=bench.example", "-keyout", self.key, "-out",
                        self.certificate], check=True, capture_output=True)
        self.sink_port = free_port()
        self.sink_counts = f"{self.dir}/sink"
        self.sink = subprocess.Popen(
            [self.program("bench-sink"), "--listen", f"127.0.0.1:{self.sink_port}",
             "--count", self.sink_counts], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.postfix = {}
        if shutil.which("postconf"):
            text = subprocess.run(["postconf", "-d", "command_directory", "daemon_directory"],
                                  capture_output=True, text=True).stdout
            self.postfix = dict(line.split(" = ", 1) for line in text.strip().splitlines())

    def program(self, name):
        return f"{self.build}/bench/{name}"

    def load(self, server, mode, connections, messages):
        return [self.program("bench-load"), "--server", f"127.0.0.1:{server.port}",
                "--auth", self.mechanism, "--user", "bench", "--password", PASSWORD,
                "--mode", mode, "--connections", str(connections), "--messages", str(messages),
                "--size", str(self.options.size)]

    def wait_relayed(self, server, wanted, seconds=180):
        """Until the sink (or the null server itself) has @wanted messages."""
        end = time.time() + seconds
        while True:
            have = counts(self.sink_counts) if server.stores else server.received()
            if have >= wanted or time.time() > end:
                return have
            time.sleep(0.02)

    def received(self, server):
        return counts(self.sink_counts) if server.stores else server.received()

    def messages(self, server, mode, connections, messages):
        before = self.received(server)
        cpu = server.group.cpu_ns()
        each = server.group.per_process()
        begun = time.time()
        out = subprocess.run(self.load(server, mode, connections, messages),
                             capture_output=True, text=True, timeout=600)
        if not out.stdout:
            raise RuntimeError(f"{server.name}: bench-load: {out.stderr}")
        result = json.loads(out.stdout)
        have = self.wait_relayed(server, before + result["sent"]) - before
        result["relayed"] = have
        result["relayed_per_second"] = round(have / (time.time() - begun), 1)
        time.sleep(0.3)
        used = server.group.cpu_ns() - cpu
        result["cpu_ms_per_message"] = round(used / 1e6 / max(result["sent"], 1), 4)
        spent = {name: round((ms - each.get(name, 0)) / max(result["sent"], 1), 4)
                 for name, ms in server.group.per_process().items()}
        result["cpu_ms_by_process"] = {k: v for k, v in spent.items() if v > 0}
        return result

    def idle(self, server, connections):
        before = server.group.pss_kib()
        load = subprocess.Popen(self.load(server, "idle", connections, 0), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = load.stderr.readline()
        held = int(line.split()[1]) if line.startswith("idle ") else 0
        time.sleep(2)
        after = server.group.pss_kib()
        cpu = server.group.cpu_ns()
        time.sleep(2)
        cpu = server.group.cpu_ns() - cpu
        load.stdin.close()
        result = json.loads(load.stdout.read() or "{}")
        load.wait(60)
        time.sleep(1)
        return {"held": held, "kib_per_session": round((after - before) / max(held, 1), 2),
                "pss_before_kib": before, "pss_idle_kib": after,
                "cpu_ms_per_second_idle": round(cpu / 2e6, 2),
                "login_ms": result.get("login_ms"), "error": result.get("error", "")}

    def profile(self, server, mode):
        """What the server's processes spend their time on, by perf: lines of its report."""
        data = f"{server.dir}/perf-{mode}"
        o = self.options
        perf = subprocess.Popen(["perf", "record", "-q", "-F", "2999", "-o", data, "-p",
                                 ",".join(str(pid) for pid in server.group.pids())],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        count = o.messages if mode == "persistent" else o.new_messages
        subprocess.run(self.load(server, mode, o.connections, count), capture_output=True)
        perf.send_signal(signal.SIGINT)
        perf.wait(60)
        lines = []
        # Libraries come without symbols: first the share of each, then what can be named.
        for sort, limit in (("comm,dso", "1"), ("comm,symbol", "0.7")):
            out = subprocess.run(["perf", "report", "-q", "-i", data, "--stdio", "--sort", sort,
                                  "--percent-limit", limit], capture_output=True, text=True)
            lines += [" ".join(line.split()) for line in out.stdout.splitlines()
                      if line.strip() and " 0x0000" not in line]
        return lines

    def measure(self, server):
        o = self.options
        scale = o.slow if server.sessions_cost_a_process else 1
        result = {}
        # Caches, pools and process start-up are not what is measured.
        self.messages(server, "persistent", o.connections, max(200, o.connections * 4))
        if "persistent" in o.modes:
            result["persistent"] = self.messages(server, "persistent", o.connections,
                                                 int(o.messages * scale))
        if "new" in o.modes:
            result["new"] = self.messages(server, "new", o.connections,
                                          int(o.new_messages * scale))
        if "idle" in o.modes:
            count = min(o.idle, o.idle_processes) if server.sessions_cost_a_process else o.idle
            result["idle"] = self.idle(server, count)
        if o.profile:
            result["profile"] = {mode: self.profile(server, mode)
                                 for mode in ("persistent", "new") if mode in o.modes}
        return result

    def close(self):
        self.sink.terminate()
        self.sink.wait(10)
        if self.options.keep:
            print(f"kept: {self.dir}", file=sys.stderr)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


def rows(results):
    """(label, path into a result, unit) of the table."""
    return [
        ("CPU per message, persistent", ("persistent", "cpu_ms_per_message"), "ms"),
        ("CPU per message, new session", ("new", "cpu_ms_per_message"), "ms"),
        ("throughput, persistent", ("persistent", "per_second"), "/s"),
        ("relayed, persistent", ("persistent", "relayed_per_second"), "/s"),
        ("throughput, new session", ("new", "per_second"), "/s"),
        ("latency p50, persistent", ("persistent", "latency_ms", "p50"), "ms"),
        ("latency p99, persistent", ("persistent", "latency_ms", "p99"), "ms"),
        ("latency p50, new session", ("new", "latency_ms", "p50"), "ms"),
        ("latency p99, new session", ("new", "latency_ms", "p99"), "ms"),
        ("memory per idle session", ("idle", "kib_per_session"), "KiB"),
        ("CPU while idle", ("idle", "cpu_ms_per_second_idle"), "ms/s"),
    ]


def pick(result, path):
    for key in path:
        result = (result or {}).get(key)
    return result


def table(results):
    names = list(results)
    lines = [f"| | {' | '.join(names)} | unit |", "|---" * (len(names) + 2) + "|"]
    for label, path, unit in rows(results):
        cells = [pick(results[n], path) for n in names]
        if any(c is not None for c in cells):
            cells = ["-" if c is None else f"{c:g}" for c in cells]
            lines.append(f"| {label} | {' | '.join(cells)} | {unit} |")
    return "\n".join(lines)


def ratios(results):
    out = {}
    ours = results.get("postern")
    for name, other in results.items():
        if not ours or name == "postern":
            continue
        out[name] = {}
        for label, path, _ in rows(results):
            a, b = pick(other, path), pick(ours, path)
            if a is not None and b:
                out[name][label] = round(a / b, 2)
    return out


def machine():
    model = ""
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"cpu": model, "cores": os.cpu_count(), "kernel": os.uname().release}


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--build", default="build", help="build tree with bench/ and postern")
    p.add_argument("--servers", default="null,null-lean,postern,postfix")
    p.add_argument("--modes", default="persistent,new,idle")
    p.add_argument("--auth", default="PLAIN", help="mechanism; the null server knows PLAIN only")
    p.add_argument("--key", choices=("rsa", "ec"), default="rsa")
    p.add_argument("--size", type=int, default=4096)
    p.add_argument("--connections", type=int, default=20)
    p.add_argument("--messages", type=int, default=10000)
    p.add_argument("--new-messages", type=int, default=2000)
    p.add_argument("--idle", type=int, default=1000, help="sessions held")
    p.add_argument("--idle-processes", type=int, default=200,
                   help="the same where each session is a process")
    p.add_argument("--slow", type=float, default=0.25,
                   help="part of the messages that the slower server gets")
    p.add_argument("--dir", default=None, help="where the temporary directory is made")
    p.add_argument("--json", default=None, help="write the results here as JSON")
    p.add_argument("--profile", action="store_true",
                   help="also say by perf where the time goes")
    p.add_argument("--keep", action="store_true", help="keep the temporary directory")
    o = p.parse_args()
    o.modes = o.modes.split(",")

    kinds = {"null": Null, "null-lean": NullLean, "postern": Postern, "postfix": Postfix}
    run = Run(o)
    results, failed = {}, []
    try:
        for name in o.servers.split(","):
            if name == "postfix" and not (run.postfix and shutil.which("dovecot")):
                print("postfix or dovecot is not installed: left out", file=sys.stderr)
                continue
            print(f"measuring {name} ...", file=sys.stderr)
            server = kinds[name](run)
            try:
                server.start()
                results[name] = run.measure(server)
            except (RuntimeError, OSError, subprocess.SubprocessError, ValueError) as e:
                failed.append(name)
                print(f"{name}: {e}", file=sys.stderr)
            finally:
                server.stop()
    finally:
        if failed:
            o.keep = True
        run.close()
    print(table(results))
    print()
    for name, values in ratios(results).items():
        print(f"{name}, divided by postern:")
        for label, value in values.items():
            print(f"  {label}: {value:g}")
    for name, result in results.items():
        for mode in ("persistent", "new"):
            by = pick(result, (mode, "cpu_ms_by_process"))
            if by:
                print(f"{name}, {mode}, ms per message by process: " +
                      ", ".join(f"{k} {v:g}" for k, v in sorted(by.items(), key=lambda x: -x[1])))
            if pick(result, (mode, "failed")):
                print(f"{name}, {mode}: {result[mode]['failed']} failed: {result[mode]['error']}")
            for line in pick(result, ("profile", mode)) or []:
                print(f"  {line}")
    if o.json:
        with open(o.json, "w") as f:
            json.dump({"machine": machine(), "options": vars(o), "results": results,
                       "ratios": ratios(results)}, f, indent=1)
            f.write("\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
