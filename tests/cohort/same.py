"""Two cohorts hold the same."""

import numpy as np
import pandas as pd

from dpm.cohort import Cohort


def assert_same(one: Cohort, two: Cohort) -> None:
    """Subjects, visits, history and events, apart from where they were read; numbers to rounding, levels as texts."""
    pd.testing.assert_frame_equal(plain(one.subjects.reset_index()), plain(two.subjects.reset_index()), rtol=1e-12)
    for name in ("visits", "history", "events"):
        pd.testing.assert_frame_equal(plain(getattr(one, name)), plain(getattr(two, name)), rtol=1e-12, atol=1e-15)


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Without file and row; anything that is no number as text, columns by name."""
    bare = frame.drop(columns=["file", "row"], errors="ignore").reset_index(drop=True)
    return pd.DataFrame(
        {
            name: bare[name].to_numpy(dtype=np.float64)
            if pd.api.types.is_numeric_dtype(bare[name].dtype)
            else bare[name].astype(str).to_numpy(dtype=object)
            for name in sorted(bare.columns)
        }
    )
