"""Counts on the cards of the sets whose outcome is a measurement, recomputed from their tables."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from .cards import Fact, filled, load, persons, prose

# HIV -----------------------------------------------------------------------------------------------------------------


def below_limit(table: pd.DataFrame) -> tuple[float, ...]:
    low = table[table["blq"] == 1]
    assert set(low["log10_rna"]) == {1.699}
    assert table.loc[table["blq"] == 0, "log10_rna"].min() == 2.0414
    return len(low), len(table), round(100 * len(low) / len(table)), low["subject"].nunique()


def rebound(table: pd.DataFrame) -> tuple[float, ...]:
    seen = table.groupby("subject")["blq"].cumsum() > 0
    return (table.loc[seen & (table["blq"] == 0), "subject"].nunique(),)


def starts_late(table: pd.DataFrame) -> tuple[float, ...]:
    start = table.groupby("subject")["time_days"].min()
    late = sorted(start[start > 0])
    return len(late), *late


def thins_out(table: pd.DataFrame) -> tuple[float, ...]:
    end = table.groupby("subject")["time_days"].max()
    return (end >= 154).sum(), len(end), (end <= 91).sum()


# Macular degeneration, schizophrenia ---------------------------------------------------------------------------------


def letters(table: pd.DataFrame) -> tuple[float, ...]:
    by = table.groupby(["arm", "time_weeks"])["visual_acuity"]
    mean, n = by.mean().round(1), by.size()
    drug, placebo = ("interferon_alpha", 52), ("placebo", 52)
    return mean[drug], n[drug], mean[placebo], n[placebo], mean["interferon_alpha", 0], mean["placebo", 0]


def patterns(table: pd.DataFrame) -> tuple[float, ...]:
    first = persons(table)
    seen = table.groupby("subject")["time_weeks"].agg(set)
    told = first["missing_pattern"].map(
        lambda p: {0, *(w for w, c in zip((4, 12, 24, 52), p, strict=True) if c == "-")}
    )
    assert (seen == told).all()
    whole = first["missing_pattern"] == "----"
    gone = first["missing_pattern"].isin(["---X", "--XX", "-XXX", "XXXX"])
    by_arm = whole.groupby(first["arm"]).agg(["sum", "size"]).loc[["interferon_alpha", "placebo"]].to_numpy().ravel()
    never = (first["missing_pattern"] == "XXXX").sum()
    return whole.sum(), *by_arm, gone.sum(), never, (~whole & ~gone).sum()


def no_week_6(table: pd.DataFrame) -> tuple[float, ...]:
    end = table.groupby("subject").agg(arm=("arm", "first"), rated=("time_weeks", lambda weeks: 6 in set(weeks)))
    gone = (~end["rated"]).groupby(end["arm"]).agg(["sum", "size"])
    return *gone.loc["placebo"], *gone.loc["drug"]


def no_week_0(table: pd.DataFrame) -> tuple[float | str, ...]:
    start = table.groupby("subject")["time_weeks"].min()
    return (start > 0).sum(), *start.index[start > 0].astype(str)


# Fatty liver ---------------------------------------------------------------------------------------------------------


def copies(table: pd.DataFrame) -> tuple[float, ...]:
    once = load("nafld/nafld_labs_sample.csv").drop_duplicates(["subject", "time_days", "test"])
    wide = once.pivot_table(index=["subject", "time_days"], columns="test", values="value")
    lipids, pressures = wide[["chol", "hdl"]].dropna(), wide[["sbp", "dbp"]].dropna()
    assert (lipids["chol"] == lipids["hdl"]).all() and (pressures["sbp"] == pressures["dbp"]).all()
    return len(lipids), len(pressures)


def fib4(table: pd.DataFrame) -> tuple[float, ...]:
    labs = load("nafld/nafld_labs_sample.csv")
    values = labs.loc[labs["test"] == "fib4", "value"]
    assert values.min() == 2.67
    return (len(values),)


def when_measured(table: pd.DataFrame) -> tuple[float, ...]:
    labs = load("nafld/nafld_labs_sample.csv")
    tenth = table.loc[table["subject"] % 10 == 0, "subject"]
    assert set(labs["subject"]) <= set(tenth)
    return (labs["time_days"] < 0).sum(), len(labs), len(tenth), (~tenth.isin(labs["subject"])).sum()


def becoming_cases(table: pd.DataFrame) -> tuple[float, ...]:
    controls = table[table["nafld_case"] == 0]
    cases = table.loc[table["nafld_case"] == 1, "subject"]
    matched = controls["matched_case"]
    present = matched.isin(table["subject"])
    return (
        controls["nafld_days"].notna().sum(),
        (controls["nafld_days"] == 0).sum(),
        (present & ~matched.isin(cases)).sum(),
        (~present & matched.notna()).sum(),
        matched.isna().sum(),
    )


def ten_year_mortality(table: pd.DataFrame) -> tuple[float, ...]:
    """Kaplan-Meier, cases then controls, in per cent."""

    def dead(group: pd.DataFrame) -> float:
        time, died = group["futime_days"].to_numpy(), group["death"].to_numpy() == 1
        days = np.unique(time[died & (time <= 3652.5)])
        alive = [1 - (died & (time == day)).sum() / (time >= day).sum() for day in days]
        return round(100 * (1 - float(np.prod(alive))), 1)

    return dead(table[table["nafld_case"] == 1]), dead(table[table["nafld_case"] == 0])


FACTS: list[Fact] = [
    ("hiv_actg315", "{} of {} values ({} %), in {} patients, lie below the limit", below_limit),
    ("hiv_actg315", "{} patients have a value above the limit after one below it", rebound),
    ("hiv_actg315", "{} patients have no row at day 0: they begin at day {}, {} and {}", starts_late),
    ("hiv_actg315", "{} of {} patients have a sample at day 154 or later; {} end by day 91", thins_out),
    (
        "armd",
        "At week 52 the mean is {} letters on interferon ({} patients) and {} on placebo ({}), from {} and {} at",
        letters,
    ),
    (
        "armd",
        "{} patients have all visits: {} of {} on interferon, {} of {} on placebo. {} dropped out for good, "
        "{} of them right after baseline; {} missed",
        patterns,
    ),
    ("armd", "from 0 to 100; {} to {} were seen", lambda t: (t["visual_acuity"].min(), t["visual_acuity"].max())),
    ("armd", "lesion is missing in patient {}.", lambda t: tuple(t.loc[t["lesion_grade"].isna(), "subject"])),
    ("schizophrenia_nimh", "No rating at week 6: {} of {} on placebo, {} of {} on drug", no_week_6),
    (
        "schizophrenia_nimh",
        "{} ratings were made at weeks 2, 4 and 5",
        lambda t: (t["time_weeks"].isin([2, 4, 5]).sum(),),
    ),
    (
        "schizophrenia_nimh",
        "{} of {} scores are not whole numbers; {} different values",
        lambda t: ((t["imps79"] % 1 != 0).sum(), len(t), t["imps79"].nunique()),
    ),
    ("schizophrenia_nimh", "{} patients ({}, {}, {}) have no rating at week 0", no_week_0),
    (
        "nafld",
        "In all {} pairs of the same person and day `chol` equals `hdl`, and in all {} pairs `dbp` equals `sbp`",
        copies,
    ),
    ("nafld", "All {} values of `fib4` are 2.67 or more", fib4),
    (
        "nafld",
        "{} of {} measurements precede the index date; of {} persons with a multiple of 10, {} have none",
        when_measured,
    ),
    (
        "nafld",
        "{} rows repeat another one exactly",
        lambda t: (load("nafld/nafld_labs_sample.csv").duplicated().sum(),),
    ),
    (
        "nafld",
        "{} controls were diagnosed with fatty liver themselves, {} of them on the index day. {} controls are "
        "matched to a person who entered as a control, {} to one who is not in the table, {} to nobody",
        becoming_cases,
    ),
    ("nafld", "of {} with diabetes, {}.", lambda t: (t["diabetes_days"].count(), (t["diabetes_days"] < 0).sum())),
    (
        "nafld",
        "Weight is missing in {} persons, height in {}, body mass index in {}",
        lambda t: tuple(t[["weight_kg", "height_cm", "bmi"]].isna().sum()),
    ),
    ("nafld", "Mortality at 10 years is {} % in cases and {} % in controls here", ten_year_mortality),
]


@pytest.mark.parametrize(("name", "sentence", "numbers"), FACTS)
def test_a_card_says_what_the_table_holds(
    name: str, sentence: str, numbers: Callable[[pd.DataFrame], tuple[float | str, ...]]
) -> None:
    assert filled(sentence, numbers(load(name))) in prose(name)


def test_groups_of_the_ordinal_score() -> None:
    groups = load("schizophrenia_nimh").groupby("imps79_ordinal")["imps79"].agg(["min", "max"])
    assert groups.to_numpy().tolist() == [[1, 2.3], [2.5, 4.3], [4.5, 5.3], [5.5, 7]]
