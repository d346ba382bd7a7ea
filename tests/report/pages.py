"""The tables of a page as text, read the way a reader's browser would."""

from html.parser import HTMLParser


class Tables(HTMLParser):
    """Collects the cells of every table under its accessible name."""

    def __init__(self) -> None:
        HTMLParser.__init__(self)
        self.tables: dict[str, list[list[str]]] = {}
        self.rows: list[list[str]] | None = None
        self.within = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.rows = self.tables.setdefault(str(dict(attrs)["aria-label"]), [])
        elif tag == "tr" and self.rows is not None:
            self.rows.append([])
        elif tag in ("td", "th") and self.rows is not None:
            self.rows[-1].append("")
            self.within = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.within = False

    def handle_data(self, data: str) -> None:
        if self.within and self.rows is not None:
            self.rows[-1][-1] += data.strip()


def tables_of(page: str) -> dict[str, list[list[str]]]:
    """Rows of cells by the name of the table, the header first."""
    reader = Tables()
    reader.feed(page)
    return reader.tables


def value(cell: str) -> float:
    """The number a cell shows."""
    text = cell.replace("−", "-").replace(",", "").replace("\u00a0", "").removesuffix("%")
    return float("nan") if text == "–" else float(text)


def half_unit(cell: str) -> float:
    """Half of the last digit shown, the most that rounding may take."""
    _, _, places = cell.replace("\u00a0", "").removesuffix("%").partition(".")
    return 0.5 * 10.0 ** -len(places) + 1e-12
