import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

from postern import Server  # noqa: E402


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
