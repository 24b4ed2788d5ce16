"""The house keeps its plan: includes point down, programs link what their row says, engines do no I/O."""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
BUILD = pathlib.Path(os.environ.get("POSTERN_BUILD", ROOT / "build"))

FLOORS = ["base", "wire", "sasl", "smtp", "mail", "vault", "spool", "route", "loop"]
PROGRAMS = {
    "master": {"base", "loop"},
    "front": {"base", "wire", "smtp", "mail", "loop"},
    "auth": {"base", "wire", "sasl", "vault", "loop"},
    "worker": {"base", "wire", "sasl", "vault", "loop"},
    "provider": {"base", "wire", "sasl", "vault", "loop"},
    "queue": {"base", "mail", "spool", "route", "loop"},
    "relay": {"base", "wire", "sasl", "smtp", "mail", "route", "loop"},
    "fetch": {"base", "loop"},
    "deliver": {"base", "loop"},
    "journal": {"base", "loop"},
    "qmail": {"base", "wire", "sasl", "smtp", "mail", "route", "loop"},
    "checkpassword": {"base", "wire", "sasl", "vault", "loop"},
    "cli": {"base", "wire", "sasl", "smtp", "mail", "vault", "spool", "route", "loop"},
}
# Whole floors that are engines, and the deciding files of the others.
ENGINE_FLOORS = ["wire", "sasl", "smtp", "mail"]
ENGINE_FILES = {
    "vault": ["account", "verify", "verify_apr1", "throttle", "cache", "credentials", "stored", "file", "file_passwd", "file_authuser",
              "file_vpasswd", "file_vmailmgr", "pem", "oauth_json", "oauth_profile", "oauth_parse", "oauth_complete", "oauth_form",
              "oauth_code", "oauth_jwt", "oauth_answer", "oauth_life"],
    "spool": ["schedule"],
    "route": ["route", "sender", "mx", "control"],
    "front": ["core", "listener"],
    "auth": ["core", "list", "effects", "request", "ask", "told", "answer", "tasks", "sources", "accounts", "accounts_events",
             "accounts_effects", "frames", "merged"],
    "queue": ["core", "message", "plan", "sender", "dest", "settle", "bounce", "load"],
    "relay": ["core", "job", "dest", "conn", "session", "delivery", "account", "told", "limits", "names"],
    "deliver": ["core"],
    "fetch": ["core", "url"],
    "provider": ["core", "answer"],
    "checkpassword": ["core"],
    "cli": ["redirect"],
    "qmail": ["smtpd_core", "smtpd_auth", "smtpd_recipients", "smtpd_words", "smtpd_trace", "smtpd_log", "mask"],
}
# What an engine must not call: clocks, randomness, sockets, files, and memory but through base/.
FORBIDDEN = re.compile(
    r"^(time|gettimeofday|clock_gettime|clock|nanosleep|sleep|usleep|poll|select|epoll_\w+"
    r"|getrandom|getentropy|rand|random|arc4random\w*|RAND_\w+|base_random_\w+|base_clock_\w+"
    r"|socket|connect|accept4?|bind|listen|send\w*|recv\w*|read|write|pread\w*|pwrite\w*|readv|writev"
    r"|open(at)?(64)?|fopen(64)?|fread|fwrite|fputs|fprintf|printf|puts|perror|close|unlink(at)?|rename(at)?"
    r"|malloc|calloc|realloc|aligned_alloc|strdup|strndup|asprintf|vasprintf"
    r"|fork|execv\w*|system|popen|syslog|getenv|uv_\w+|sqlite3_\w+|log_\w+)$")


def sources(folder):
    return sorted(p for p in (SRC / folder).rglob("*.[ch]"))


def is_test(path):
    return path.name.startswith(("test_", "fuzz_"))


def includes(path):
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.M)


def test_every_source_folder_is_in_the_plan():
    folders = {p.name for p in SRC.iterdir() if p.is_dir()}
    assert folders == set(FLOORS) | set(PROGRAMS)


@pytest.mark.parametrize("floor", FLOORS)
def test_floor_includes_only_lower_floors(floor):
    allowed = set(FLOORS[:FLOORS.index(floor) + 1])
    wrong = []
    for path in sources(floor):
        for include in includes(path):
            if "/" not in include or include.split("/")[0] not in allowed:
                wrong.append(f"{path.relative_to(ROOT)}: {include}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_includes_only_its_row(program):
    allowed = PROGRAMS[program] | {program}
    wrong = []
    for path in sources(program):
        for include in includes(path):
            if "/" not in include or include.split("/")[0] not in allowed:
                wrong.append(f"{path.relative_to(ROOT)}: {include}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("floor", FLOORS)
def test_internal_headers_stay_on_their_floor(floor):
    wrong = []
    for folder in FLOORS + list(PROGRAMS):
        for path in sources(folder):
            for include in includes(path):
                if include.endswith("_internal.h") and include.split("/")[0] == floor != folder:
                    wrong.append(f"{path.relative_to(ROOT)}: {include}")
    # The one exception: a public struct that callers embed needs its fields.
    wrong = [w for w in wrong if "smtp/server_internal.h" not in w]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_links_only_its_row(program):
    text = (SRC / program / "meson.build").read_text()
    match = re.search(rf"{program}_deps\s*=\s*\[(.*?)\]", text, re.S)
    assert match, f"src/{program}/meson.build has no {program}_deps"
    floors = {name for name in re.findall(r"(\w+?)(?:_client|_server)?_dep\b", match.group(1))}
    assert floors & set(FLOORS) <= PROGRAMS[program]
    listed = re.findall(r"files\((.*?)\)", text, re.S)
    assert listed and ".." not in "".join(listed), "a program is made of the files of its own folder"


def undefined_symbols(path):
    out = subprocess.run(["nm", "-u", path], check=True, text=True, stdout=subprocess.PIPE).stdout
    return {line.split()[-1].split("@")[0] for line in out.splitlines() if line.strip()}


def objects(folder, stems=None):
    found = []
    for path in BUILD.rglob("*.c.o"):
        name = path.name.removesuffix(".c.o")
        # An object is named after its path: ".._.._src_front_core.c.o", "src_cli_redirect.c.o" or "core.c.o".
        parts = f"_{name}".split("_src_")[-1] if "_src_" in f"_{name}" else None
        if parts is not None:
            if not parts.startswith(folder + "_"):
                continue
            stem = parts[len(folder) + 1:]
        else:
            if path.parent.parent.name != folder or not path.parent.name.startswith("lib"):
                continue
            stem = name
        if stem.startswith(("test_", "fuzz_")):
            continue
        if stems is None or stem in stems:
            found.append(path)
    return found


def test_engines_call_no_clock_random_socket_file_or_allocator():
    wrong, seen = [], 0
    wanted = [(floor, None) for floor in ENGINE_FLOORS] + list(ENGINE_FILES.items())
    for folder, stems in wanted:
        found = objects(folder, stems)
        present = stems is None or any((SRC / folder / f"{s}.c").exists() for s in stems)
        assert found or not present, f"no object of src/{folder} in {BUILD}"
        for path in found:
            seen += 1
            for symbol in sorted(undefined_symbols(path)):
                if FORBIDDEN.match(symbol):
                    wrong.append(f"src/{folder}: {path.name}: {symbol}")
    assert seen > 20
    assert not wrong, "\n".join(wrong)


def symbols(program):
    path = BUILD / "libexec" / "postern" / f"postern-{program}"
    out = subprocess.run(["nm", path], check=True, text=True, stdout=subprocess.PIPE).stdout
    return {line.split()[-1] for line in out.splitlines() if line.strip()}


@pytest.mark.parametrize("program, floors", [
    ("front", ["vault", "sasl", "spool", "route"]),
    ("relay", ["vault", "spool"]),
    ("queue", ["vault", "sasl"]),
    ("journal", ["vault", "sasl", "smtp", "spool"]),
    ("deliver", ["vault", "sasl", "smtp", "spool"]),
    ("fetch", ["vault", "sasl", "smtp", "spool"]),
    ("smtpd", ["vault", "spool"]),
    ("remote", ["vault", "spool"]),
    ("record", ["vault", "sasl", "spool", "route"]),
    ("checkpassword", ["smtp", "spool", "route"]),
    ("provider", ["smtp", "spool", "route"]),
])
def test_program_holds_no_code_of_floors_outside_its_row(program, floors):
    foreign = [s for s in symbols(program) if s.startswith(tuple(f + "_" for f in floors))]
    assert not foreign, foreign


def test_sql_stands_in_the_store_files_only():
    allowed = {"src/vault/store_sqlite.c", "src/vault/store_sql.c", "src/vault/store_accounts.c",
               "src/vault/store_internal.h", "src/spool/sqlite.c", "src/spool/sqlite_internal.h", "src/spool/sqlite_sender.c",
               "src/loop/events_sqlite.c"}
    wrong = []
    for path in SRC.rglob("*.[ch]"):
        name = str(path.relative_to(ROOT))
        if name in allowed or is_test(path):
            continue
        text = path.read_text()
        if "sqlite3" in text or re.search(r'"\s*(SELECT .* FROM|INSERT (OR \w+ )?INTO|UPDATE \w+ SET|DELETE FROM|CREATE TABLE)\b', text):
            wrong.append(name)
    assert not wrong, wrong


def test_hardening_of_every_program():
    programs = list((BUILD / "libexec" / "postern").glob("postern-*")) + [BUILD / "postern"]
    programs = [p for p in programs if p.is_file() and os.access(p, os.X_OK)]
    assert len(programs) >= 9
    for path in programs:
        header = subprocess.run(["readelf", "-hldW", path], check=True, text=True,
                                stdout=subprocess.PIPE).stdout
        assert "DYN (Position-Independent Executable" in header, path
        assert "GNU_RELRO" in header and "BIND_NOW" in header or "NOW" in header, path
        assert not re.search(r"GNU_STACK.*\bRWE\b", header), path
        assert "__stack_chk_fail" in {s.split("@")[0] for s in undefined_symbols_dynamic(path)}, path


def undefined_symbols_dynamic(path):
    out = subprocess.run(["nm", "-D", path], check=True, text=True, stdout=subprocess.PIPE).stdout
    return {line.split()[-1] for line in out.splitlines() if line.strip()}


def test_no_banned_function():
    banned = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol|alloca|mktemp|tmpnam)\s*\(")
    wrong = []
    for path in SRC.rglob("*.[ch]"):
        if is_test(path) or path.name.startswith("bench_"):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if banned.search(line):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not wrong, "\n".join(wrong)


def test_every_floor_and_program_has_a_row_in_the_drawing():
    text = (SRC / "README.md").read_text()
    for name in FLOORS + list(PROGRAMS):
        assert re.search(rf"^\|\s*`?{name}/`?\s*\|", text, re.M), name


def needed(path):
    out = subprocess.run(["readelf", "-dW", path], check=True, text=True, stdout=subprocess.PIPE).stdout
    return set(re.findall(r"\(NEEDED\).*\[(lib[\w+-]+?)\.so", out))


def test_libgsasl_is_linked_only_where_we_log_in_elsewhere():
    may = {"postern", "postern-relay", "postern-remote"}
    programs = [p for p in (BUILD / "libexec" / "postern").glob("postern-*") if p.is_file()] + [BUILD / "postern"]
    linked = {p.name for p in programs if "libgsasl" in needed(p)}
    assert linked <= may, linked - may
