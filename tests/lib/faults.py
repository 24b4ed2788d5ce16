"""Ways to hurt a running server: a system call that fails or is slow, a disk that is full."""

import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading

from postern import wait_for


class Strace:
    """strace on a running process, for what it does or for what is to be done to it.

    with Strace(pid, trace="fdatasync,fsync", inject="fdatasync,fsync:error=EIO") as trace: ...
    trace.lines() afterwards or meanwhile.
    """

    def __init__(self, pid, trace, inject=None, extra=()):
        self.output = tempfile.NamedTemporaryFile(prefix="strace-", suffix=".txt", delete=False)
        command = ["strace", "-f", "-ttt", "-yy", "-s", "64", "-o", self.output.name, "-e", f"trace={trace}"]
        for rule in [inject] if isinstance(inject, str) else inject or []:
            command += ["-e", f"inject={rule}"]
        command += [*extra, "-p", str(pid)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        self.errors = []
        threading.Thread(target=self._collect, daemon=True).start()
        wait_for(lambda: self.process.poll() is not None or any("attached" in e for e in self.errors),
                 "strace to attach")
        if self.process.poll() is not None:
            raise AssertionError(f"strace ended: {self.errors}")

    def _collect(self):
        for line in self.process.stderr:
            self.errors.append(line)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.detach()
        os.unlink(self.output.name)

    def detach(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(10)

    def lines(self):
        return pathlib.Path(self.output.name).read_text(errors="replace").splitlines()

    def wait_call(self, pattern, seconds=20):
        return wait_for(lambda: next((l for l in self.lines() if re.search(pattern, l)), None),
                        f"a call like {pattern}", seconds, step=0.005)


class SmallDisk:
    """A file system of a few megabytes at @path. `reason` says why there is none."""

    def __init__(self, path, megabytes):
        self.path = pathlib.Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", str(self.path)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.reason = done.stderr.strip() if done.returncode else None
        self.filler = self.path / "filler"

    def fill(self, leave=0):
        """Take all space but @leave bytes."""
        with open(self.filler, "ab", buffering=0) as f:
            step = 1 << 20
            while step >= 4096:
                try:
                    if f.write(b"x" * step) < step:
                        step //= 2
                except OSError:
                    step //= 2
        if leave:
            os.truncate(self.filler, max(self.filler.stat().st_size - leave, 0))

    def free(self):
        self.filler.unlink(missing_ok=True)

    def close(self):
        subprocess.run(["umount", "-l", str(self.path)], check=False, stderr=subprocess.DEVNULL)
