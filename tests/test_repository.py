"""Anyone can use what is checked in: no path of one machine, no package host, every locked package by its hash."""

import re
import subprocess
from pathlib import Path

import pytest

# Written so that this file does not hold what it looks for.
FOLDERS = "|".join(("work", "root", "Users", r"home/\w+"))
MACHINE_PATH = re.compile(rf"(?<![\w.~-])/(?:{FOLDERS})/\w")
HOSTS = ("py" + "pi.org", "python" + "hosted.org", "conda." + "anaconda.org", "npm" + "js.org", "npm" + "js.com")


def tracked(root: Path) -> list[Path]:
    """Files under version control, or about to be."""
    command = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    listing = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a checkout: git lists no files here")
    return [root / name for name in listing.stdout.split("\0") if name and (root / name).is_file()]


def text_of(path: Path) -> str:
    """The text of a file; empty for one that holds none."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def test_no_file_names_a_machine_or_a_package_host(root: Path) -> None:
    found = {}
    for path in tracked(root):
        text = text_of(path)
        hits = [hit.group() for hit in MACHINE_PATH.finditer(text)] + [host for host in HOSTS if host in text]
        if hits:
            found[path.relative_to(root).as_posix()] = sorted(set(hits))
    assert not found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see /" + "work/notes", True),
        ('"/' + 'home/ann/data.csv"', True),
        ("https://example.org/work/notes", False),
        ("frame/work/table", False),
    ],
)
def test_the_pattern_of_a_machine_path(text: str, found: bool) -> None:
    assert bool(MACHINE_PATH.search(text)) is found


def test_every_locked_package_has_a_hash_and_no_address(root: Path) -> None:
    lock = (root / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    assert not [line for line in lock.splitlines() if line.startswith("-")]
    entries = re.split(r"\n(?=[a-z0-9])", lock.strip())
    assert len(entries) > 50
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+(\[[a-z0-9,_-]+\])?==[\w.+!]+ ", entry), entry
        assert "--hash=sha256:" in entry


def test_there_is_no_second_lock(root: Path) -> None:
    assert not [path for path in tracked(root) if path.name == "uv.lock"]
