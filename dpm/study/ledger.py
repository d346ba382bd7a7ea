"""The ledger of a run: one line per thing that happened, each with the hash of the line before it."""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dpm.errors import StudyError
from dpm.study.files import writing
from dpm.study.hashing import sha256_of_bytes


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Ledger:
    """An append-only file. A line that was changed, removed or put in breaks the chain after it.

    Attributes:
        path: of the file; there is none before the first line.
    """

    path: Path

    def lines(self) -> list[str]:
        """The whole lines; what a killed process left of a last one is none."""
        return self._whole().decode("utf-8", errors="replace").split("\n")[:-1]

    def _whole(self) -> bytes:
        content = self.path.read_bytes() if self.path.exists() else b""
        return content[: content.rfind(b"\n") + 1]

    def entries(self) -> list[dict[str, Any]]:
        """What the lines say; a line that cannot be read says nothing."""
        return [_parsed(line) for line in self.lines()]

    def append(self, event: str, detail: Any) -> None:
        """Write one line and make sure that it is on the disk.

        Raises:
            StudyError: the chain is broken, so that nothing may be added to it, or the file cannot be written.
        """
        self.require_unbroken()
        lines = self.lines()
        previous = _hash(lines[-1]) if lines else ""
        entry = {"time": now(), "event": event, "detail": detail, "previous": previous}
        with writing(self.path), self.path.open("ab") as file:
            file.truncate(len(self._whole()))
            file.write((json.dumps(entry, ensure_ascii=False) + "\n").encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())

    def require_unbroken(self) -> None:
        """Refuse to go on with a ledger that somebody changed.

        Raises:
            StudyError: see `broken_at`.
        """
        broken = self.broken_at()
        if broken:
            do = "Keep the folder as it is and start a new one with --run-folder."
            raise StudyError(str(self.path), "an unbroken chain of hashes", f"a break at line {broken}", do)

    def broken_at(self) -> int:
        """Number of the first line, from 1, that does not carry the hash of the one before; 0 if there is none."""
        previous = ""
        for number, line in enumerate(self.lines(), 1):
            if _parsed(line).get("previous") != previous:
                return number
            previous = _hash(line)
        return 0


def _hash(line: str) -> str:
    return sha256_of_bytes(line.encode("utf-8"))


def _parsed(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return entry if isinstance(entry, dict) else {}
