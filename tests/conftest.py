import os
import pathlib
import shutil
import signal
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

from postern import Server  # noqa: E402


def pytest_configure(config):
    """Started as root the roles run under another account, which pytest's own folder in /tmp keeps out."""
    if not config.option.basetemp:
        config.option.basetemp = pathlib.Path(tempfile.mkdtemp(prefix="postern-")) / "t"
        config.option.basetemp.parent.chmod(0o755)
        config.stash[own_temp] = config.option.basetemp.parent


own_temp = pytest.StashKey()

TEST_SECONDS = 400


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """A test that waits for ever fails, and the others still run."""
    def give_up(*_):
        raise TimeoutError(f"the test has not ended after {TEST_SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(TEST_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pytest_sessionfinish(session, exitstatus):
    """What a failed run left is kept to be looked at."""
    folder = session.config.stash.get(own_temp, None)
    if folder and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """The roles let nobody but root look into them, so tests that do are skipped for others."""
    report = (yield).get_result()
    if not report.failed or os.geteuid() == 0:
        return
    error = call.excinfo.value
    proc = isinstance(error, PermissionError) and str(error.filename).startswith("/proc/")
    if proc or "ptrace(PTRACE_SEIZE" in str(error):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.location[1] or 0, "Skipped: only root may look into the processes")


@pytest.fixture
def make_server(tmp_path):
    """Servers that are stopped, and checked to stop cleanly, at the end of the test."""
    made = []

    def make(start=True, **options):
        server = Server(tmp_path / f"s{len(made)}", **options)
        made.append(server)
        return server.start() if start else server

    yield make
    for server in made:
        if server.process:
            status = server.stop()
            assert status == 0, f"exit status {status}\n{server.log_text()}"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for the tests of a file that do not disturb it."""
    with Server(tmp_path_factory.mktemp("shared")) as running:
        yield running
