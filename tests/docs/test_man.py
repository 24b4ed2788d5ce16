"""The manual keeps up: a page for each command, every option on it, every configuration key in postern.conf(5)."""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("POSTERN_BUILD") or ROOT / "build")
POSTERN = BUILD / "postern"


def postern(*args):
    return subprocess.run([str(POSTERN), *args], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def commands():
    return re.findall(r"^  ([a-z0-9]+) {2,}\S", postern("--help").stdout, re.M)


def source(name):
    """The scdoc source of a page, as "postern-user.1"."""
    found = list((ROOT / "docs").rglob(name + ".scd"))
    assert found, f"docs/ has no {name}.scd"
    return found[0].read_text()


def plain(text):
    """Without scdoc's marks."""
    return re.sub(r"\\(.)", r"\1", re.sub(r"(?<!\\)[*]|\b_|_\b", "", text))


def options_of(help_text):
    """Options as --help lists them: at the margin of two."""
    return set(re.findall(r"^  (--[a-z-]+|-[a-z])\b(?!.*not available)", help_text, re.M))


def test_every_command_has_help():
    names = commands()
    assert len(names) >= 12 and "user" in names
    for name in names:
        done = postern(name, "--help")
        assert done.returncode == 0 and done.stdout.startswith(f"postern {name}: "), name


@pytest.mark.parametrize("command", commands() or ["nothing"])
def test_every_command_has_a_page_with_every_option(command):
    text = plain(source(f"postern-{command}.1"))
    assert f"postern {command}" in text.split("# SYNOPSIS")[1].split("\n# ")[0], "the synopsis"
    for heading in ("# NAME", "# DESCRIPTION", "# OPTIONS"):
        assert heading in text, f"postern-{command}(1) has no {heading}"
    help_text = postern(command, "--help").stdout
    missing = [o for o in sorted(options_of(help_text))
               if not re.search(rf"(?<![\w-]){o}(?![\w-])", text)]
    assert not missing, f"postern-{command}(1) does not tell of {missing}"
    foreign = set(re.findall(r"^(--[a-z-]+)", text, re.M)) - options_of(help_text) - {"--help"}
    assert not foreign, f"postern-{command}(1) tells of {foreign}, which do not exist"


def test_the_first_page_names_every_command():
    text = plain(source("postern.1"))
    for name in commands():
        assert re.search(rf"postern-{name}\(1\)|\b{name}\b", text), name


def schema():
    """(section, key, later, hidden) of each row of the schema."""
    text = (ROOT / "src" / "loop" / "conf_schema.c").read_text()
    rows = []
    for match in re.finditer(r'\{"(\w*)",\s*"(\w+)",\s*CONF_TYPE_\w+,([^,]*),', text):
        rows.append((match[1], match[2], "CONF_LATER" in match[3], "CONF_HIDDEN" in match[3]))
    for match in re.finditer(r'LATER(?:_WORD)?\("(\w*)",\s*"(\w+)"', text):
        rows.append((match[1], match[2], True, False))
    assert len(rows) > 60
    return rows


def sections_of(text):
    """The page cut at its headings: (heading, text)."""
    parts = re.split(r"^#+ (.+)$", text, flags=re.M)
    return list(zip(parts[1::2], parts[2::2]))


def test_every_configuration_key_is_in_the_manual():
    text = plain(source("postern.conf.5"))
    parts = sections_of(text)
    missing = []
    for section, key, later, hidden in schema():
        if hidden or later:
            continue
        where = [body for heading, body in parts if re.search(rf"\b{section}\b", heading, re.I)] if section else [text]
        if not any(re.search(rf"(?<!\w){key}(?!\w)", body) for body in where):
            missing.append(f"{section or 'top level'}: {key}")
    assert not missing, "postern.conf(5) does not tell of " + ", ".join(missing)


def test_every_page_can_be_made():
    pages = list((ROOT / "docs").rglob("*.scd"))
    assert len(pages) >= 13
    for page in pages:
        done = subprocess.run(["scdoc"], input=page.read_bytes(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert done.returncode == 0 and done.stdout.startswith(b'.'), f"{page}: {done.stderr.decode()}"
