"""What `dpm validate` prints is readable in a narrow terminal."""

import io

import pandas as pd
from rich.console import Console

from dpm.study.cohort_tables import _show


def printed(width: int) -> str:
    names = ["variable", "role", "source", "unit", "n", "available", "on time", "min", "median", "max"]
    frame = pd.DataFrame(
        [["log_bilirubin", "outcome", "all", "log mg/dL", "1,945", "100%", "-", "-1.2", "0.3", "3.4"]], columns=names
    )
    out = io.StringIO()
    _show(Console(file=out, width=width), "Variables", frame)
    return out.getvalue()


def test_a_wide_table_is_listed_where_it_would_be_folded() -> None:
    narrow = printed(80)
    assert "log_bilirubin: role outcome, source all, unit log mg/dL, n 1,945, available 100%" in " ".join(
        narrow.split()
    )
    assert "on time" not in narrow
    assert "…" not in narrow
    wide = printed(200)
    assert "┃ variable" in wide and "log_bilirubin" in wide
