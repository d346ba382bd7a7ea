"""The data sets that travel with dpm, in a source checkout and in an installed wheel alike."""

from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from dpm.errors import CohortError

PACKAGE = Path(__file__).resolve().parents[1]
CARD_KEYS = ("title", "main", "subjects", "licence")


def data_folder() -> Path:
    """The folder of data sets: inside the package when installed, beside it in a checkout.

    Raises:
        CohortError: neither is there.
    """
    for folder in (PACKAGE / "_shipped" / "data", PACKAGE.parent / "data"):
        if folder.is_dir():
            return folder
    raise CohortError("data:", "the data sets shipped with dpm", "no such folder", "Install dpm again from its wheel.")


def data_path(name: str | Path) -> Path:
    """Where a shipped file lies: `"pbc/pbc_longitudinal.csv"`, with or without `data:`, or `"pbc"` for its main table.

    Raises:
        CohortError: nothing of this name is shipped.
    """
    wanted = str(name).removeprefix("data:")
    root = data_folder()
    path = root / wanted
    if (path / "card.md").is_file():
        path = path / read_card(path)["main"]
    if path.suffix == ".csv" and path.is_file() and path.resolve().is_relative_to(root.resolve()):
        return path
    shipped = sorted(p.relative_to(root).as_posix() for p in root.glob("*/*.csv") if p.name != "columns.csv")
    near = get_close_matches(wanted, shipped, n=1)
    meant = f"Did you mean {near[0]!r}? " if near else ""
    raise CohortError(f"data:{wanted}", "a shipped table", "no such table", f"{meant}Shipped: {', '.join(shipped)}.")


def load_data(name: str) -> pd.DataFrame:
    """A shipped table as it is: every column, its own names and units, nothing checked.

    Raises:
        CohortError: nothing of this name is shipped.
    """
    return pd.read_csv(data_path(name))


def list_data() -> pd.DataFrame:
    """What is shipped, one row per data set: name, title, main table, subjects, licence."""
    cards = sorted(data_folder().glob("*/card.md"))
    rows = [{"name": card.parent.name, **{key: read_card(card.parent)[key] for key in CARD_KEYS}} for card in cards]
    table = pd.DataFrame(rows, columns=["name", *CARD_KEYS])
    return table.assign(subjects=table["subjects"].astype(int))


def read_card(folder: Path) -> dict[str, str]:
    """The `key: value` block that opens a data card, between two lines of `---`.

    Raises:
        CohortError: the card has no such block, or it lacks a key.
    """
    lines = (folder / "card.md").read_text(encoding="utf-8").splitlines()
    where = f"{folder.name}/card.md"
    if lines[:1] != ["---"] or "---" not in lines[1:]:
        raise CohortError(where, "a block of `key: value` lines between two lines of ---", "none")
    block = lines[1 : lines.index("---", 1)]
    card = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in block if line.strip())}
    missing = [key for key in CARD_KEYS if not card.get(key)]
    if missing:
        raise CohortError(where, f"the keys {', '.join(CARD_KEYS)}", f"no {', '.join(missing)}")
    return card
