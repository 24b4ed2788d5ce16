#!/usr/bin/python3
"""Run every suite, print each one's result, and end with "N passed, N failed[, N skipped]".

A suite is the unit tests of a build, or a folder of pytest files. Nothing here knows what is tested.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What strangers can reach, once more in the build where every wrong byte is fatal.
SANITIZED = ["test_submit.py", "test_attacks.py", "test_relay.py", "test_qmail_smtpd.py", "test_qmail_remote.py",
             "test_checkpassword.py", "test_provider_sources.py", "test_fetch.py", "test_evil_peers.py", "test_relay_tls.py",
             "test_oauth_tokens.py", "test_probe.py"]
PYTEST_SUITES = ["house", "integration", "interop", "crash", "docs"]


class Totals:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def add(self, passed, failed, skipped):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped


def report(name, passed, failed, skipped, seconds):
    line = f"{name:<34} {passed:>5} passed  {failed:>3} failed"
    if skipped:
        line += f"  {skipped:>3} skipped"
    print(f"{line}  {seconds:6.1f} s", flush=True)


def unit_suites(build):
    listing = subprocess.run(["meson", "introspect", "--tests", build], check=True, text=True,
                             stdout=subprocess.PIPE).stdout
    suites = {}
    for test in json.loads(listing):
        suites.setdefault(test["suite"][0].split(":")[-1], []).append(test)
    return suites


def run_unit_test(test, build):
    """Return (passed, failed, skipped, output) of one cmocka program."""
    env = dict(os.environ, **test["env"], CMOCKA_MESSAGE_OUTPUT="TAP",
               ASAN_OPTIONS="detect_leaks=1:abort_on_error=0", UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1")
    try:
        done = subprocess.run(test["cmd"], cwd=test["workdir"] or build, env=env, text=True, errors="replace",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
        output, status = done.stdout, done.returncode
    except subprocess.TimeoutExpired as expired:
        output, status = (expired.stdout or b"").decode(errors="replace") + "\ntimed out", 1
    passed = len(re.findall(r"^ok \d", output, re.M))
    skipped = len(re.findall(r"^not ok \d+ # SKIP", output, re.M))  # cmocka's way of saying it
    failed = len(re.findall(r"^not ok \d", output, re.M)) - skipped
    if status != 0 and failed == 0:
        failed = 1
    if status == 0 and passed == skipped == 0:
        passed = 1
    return passed, failed, skipped, output


def run_units(totals, build, label):
    for name, tests in sorted(unit_suites(build).items()):
        start, passed, failed, skipped = time.monotonic(), 0, 0, 0
        for test in tests:
            ok, bad, left, output = run_unit_test(test, build)
            passed += ok
            failed += bad
            skipped += left
            for why in re.findall(r"skipped: (.*)", output) if left else []:
                print(f"skipped in {test['name']}: {why}")
            if bad:
                print(output)
                totals.failures.append(f"{label}: {test['name']}")
        totals.add(passed, failed, skipped)
        report(f"{label}: {name}", passed, failed, skipped, time.monotonic() - start)


def run_pytest(totals, suite, build, files=(), label=None):
    folder = ROOT / "tests" / suite
    if not any(folder.glob("test_*.py")):
        return
    result = pathlib.Path(build) / f"tests-{suite}.xml"
    result.unlink(missing_ok=True)
    env = dict(os.environ, POSTERN_BUILD=str(build), PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=str(ROOT / "tests" / "lib"))
    command = [sys.executable, "-m", "pytest", "-q", "-rfEs", "--tb=short", "-p", "no:cacheprovider",
               f"--junitxml={result}", *(str(folder / name) for name in files or [""])]
    start = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=env, text=True, errors="replace",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    passed = failed = skipped = 0
    if result.exists():
        for node in ElementTree.parse(result).getroot().iter("testcase"):
            if node.find("failure") is not None or node.find("error") is not None:
                failed += 1
                totals.failures.append(f"{suite}: {node.get('classname')}.{node.get('name')}")
            elif node.find("skipped") is not None:
                skipped += 1
            else:
                passed += 1
    if done.returncode not in (0, 5) and failed == 0:
        failed = 1
        totals.failures.append(f"{suite}: pytest ended with status {done.returncode}")
    if failed or skipped:
        print(done.stdout[-20000:])
    totals.add(passed, failed, skipped)
    report(label or suite, passed, failed, skipped, time.monotonic() - start)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--sanitize")
    parser.add_argument("suites", nargs="*", help="unit, " + ", ".join(PYTEST_SUITES))
    args = parser.parse_args()
    build = pathlib.Path(args.build).resolve()
    sanitize = pathlib.Path(args.sanitize).resolve() if args.sanitize else None
    totals = Totals()
    wanted = args.suites or ["unit", *PYTEST_SUITES]
    if "unit" in wanted:
        run_units(totals, build, "unit")
        if sanitize:
            run_units(totals, sanitize, "unit, sanitizers")
    for suite in PYTEST_SUITES:
        if suite in wanted:
            run_pytest(totals, suite, build)
    if "integration" in wanted and sanitize:
        run_pytest(totals, "integration", sanitize, SANITIZED, "integration, sanitizers")
    for failure in totals.failures:
        print("failed:", failure)
    tail = f", {totals.skipped} skipped" if totals.skipped else ""
    print(f"{totals.passed} passed, {totals.failed} failed{tail}")
    return 1 if totals.failed or totals.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
