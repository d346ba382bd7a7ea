"""Hashes: of bytes, files, plain values and the code that made a result."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
CODE = (".py", ".j2")
SHARED = ("__init__.py", "errors.py", "precision.py", "types.py", "study")
"""Files and folders of the package that every stage rests on."""


def sha256_of_bytes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_value(value: Any) -> str:
    """Of a plain value as JSON, keys in order."""
    return sha256_of_bytes(json.dumps(value, sort_keys=True, ensure_ascii=False).encode("utf-8"))


def sha256_of_code(folders: Iterable[str] | None = None) -> str:
    """Of dpm's own source: names and contents. With `folders`, of these and of what every stage shares."""
    roots = [PACKAGE] if folders is None else [PACKAGE / name for name in (*SHARED, *folders)]
    files = {file for root in roots for file in ([root] if root.is_file() else root.rglob("*"))}
    kept = {file.relative_to(PACKAGE).as_posix(): file for file in files if file.suffix in CODE}
    shipped = "_shipped/"
    return sha256_of_value({name: sha256_of_file(kept[name]) for name in sorted(kept) if not name.startswith(shipped)})


def outputs_digest(outputs: Mapping[str, str]) -> str:
    """One hash for all files of a stage."""
    return sha256_of_value(dict(outputs))
