"""Counts on the cards of the sets whose outcome is an event, recomputed from their tables."""

from collections.abc import Callable

import pandas as pd
import pytest

from .cards import Fact, filled, load, persons, prose

# ACTG 175 ------------------------------------------------------------------------------------------------------------


def halved(table: pd.DataFrame, week: int) -> tuple[float, float]:
    """Patients whose CD4 at a week is at most half their baseline, and how many of them have the event."""
    base, then = (table[table["time_weeks"] == when].set_index("subject") for when in (0, week))
    half = then[then["cd4"] <= 0.5 * base["cd4"].reindex(then.index)]
    return len(half), half["event"].sum()


def after_the_event(table: pd.DataFrame) -> tuple[float, ...]:
    late = table[table["time_weeks"] * 7 > table["event_days"]]
    return len(late), late["subject"].nunique(), late["event"].sum(), (late["event"] == 0).sum()


def no_week_96(table: pd.DataFrame) -> tuple[float, ...]:
    first = persons(table)
    gone = ~first.index.isin(table.loc[table["time_weeks"] == 96, "subject"])
    off = first["off_treatment_before_96wk"] == 1
    counts = gone.sum(), round(100 * gone.mean()), (gone & off).sum(), off.sum(), (gone & ~off).sum(), (~off).sum()
    return tuple(map(float, counts))


def eligibility(table: pd.DataFrame) -> tuple[float, ...]:
    cd4 = table.loc[table["time_weeks"] == 0, "cd4"]
    low, high = (cd4 < 200).sum(), (cd4 > 500).sum()
    return low + high, low, high, (table["cd4"] == 0).sum(), (cd4 == 0).sum()


def strata(table: pd.DataFrame) -> tuple[float, ...]:
    first = persons(table)
    second, third, naive = (first.loc[first["strat"] == s, "prior_art_days"] for s in (2, 3, 1))
    treated = naive[naive > 0]
    return (second > 364).sum(), (third <= 364).sum(), len(treated), treated.min(), treated.max()


# Melanoma ------------------------------------------------------------------------------------------------------------


def time_zero(table: pd.DataFrame) -> tuple[float, ...]:
    zero = table[table["relapse_years"] <= 0]
    alive = zero.loc[(zero["relapse"] == 0) & (zero["death_years"] > 0), "death_years"].round(1)
    return len(zero), len(alive), alive.min(), alive.max()


def nodes(table: pd.DataFrame) -> tuple[float, ...]:
    by_trial = table.groupby("trial")["nodes_gt1"]
    return by_trial.sum()["E1684"], by_trial.size()["E1684"], by_trial.sum()["E1690"], by_trial.size()["E1690"]


def died_without_relapse(table: pd.DataFrame) -> tuple[float, ...]:
    free = table[table["relapse"] == 0]
    died = free["death"] == 1
    assert set(free.loc[died, "trial"]) == {"E1690"}
    return died.sum(), (~died & (free["relapse_years"] < free["death_years"])).sum()


# Ursodeoxycholic acid ------------------------------------------------------------------------------------------------

ENDPOINTS = [
    "death_days",
    "transplant_days",
    "histologic_progression_days",
    "varices_days",
    "ascites_days",
    "encephalopathy_days",
    "bilirubin_doubling_days",
    "symptom_worsening_days",
]


def only_doubling(table: pd.DataFrame) -> tuple[float, ...]:
    on_the_day = table[ENDPOINTS].eq(table["event_days"], axis=0)
    alone = on_the_day["bilirubin_doubling_days"] & (on_the_day.sum(axis=1) == 1)
    return alone.sum(), table["event"].sum()


def found_at_two_years(table: pd.DataFrame) -> tuple[float, ...]:
    pairs = [(table[c].between(600, 900).sum(), table[c].count()) for c in ENDPOINTS[3:1:-1]]
    return *pairs[0], *pairs[1]


def after_last_visit(table: pd.DataFrame) -> tuple[float, ...]:
    late = [(table[column] > table["last_visit_days"]).sum() for column in ENDPOINTS]
    assert sum(late[2:]) == 0
    return late[0], late[1]


def misdated(table: pd.DataFrame) -> tuple[float, ...]:
    first = table[ENDPOINTS].min(axis=1)
    assert ((first.notna()) == (table["event"] == 1)).all()
    off = table[first.notna() & (first != table["event_days"])]
    assert (off["event_days"] == off["last_visit_days"]).all() and (off[ENDPOINTS].count(axis=1) == 1).all()
    shift = (off[ENDPOINTS].min(axis=1) - off["event_days"]).sort_values()
    return len(off), *sorted(off["subject"]), shift.iloc[0], shift.iloc[-1]


def hard_events(table: pd.DataFrame) -> tuple[float, ...]:
    hard = table[["death_days", "transplant_days"]].notna()
    assert not hard.all(axis=1).any()
    by_arm = hard.any(axis=1).groupby(table["arm"]).sum()
    return by_arm.sum(), by_arm["placebo"], by_arm["udca"]


# Coronary allograft vasculopathy -------------------------------------------------------------------------------------


def backward(table: pd.DataFrame) -> tuple[float, ...]:
    before = table.groupby("subject")["state"].shift()
    back = table["state"] < before
    step = [(back & (before == a) & (table["state"] == b)).sum() for a, b in ((2, 1), (3, 2), (3, 1))]
    return back.sum(), table.loc[back, "subject"].nunique(), *step


def kinds_of_row(table: pd.DataFrame) -> tuple[float, ...]:
    first, dead = table["first_obs"] == 1, table["state"] == 4
    assert (table.loc[first, ["time_years", "state"]] == [0, 1]).all().all()
    return first.sum(), (~first & ~dead).sum(), dead.sum()


def gaps(table: pd.DataFrame) -> tuple[float, ...]:
    gap = table.groupby("subject")["time_years"].diff()[table["state"] < 4].dropna()
    return gap.median(), gap.between(0.75, 1.25).sum(), len(gap), (gap > 2.5).sum()


# Primary biliary cholangitis -----------------------------------------------------------------------------------------


def two_follow_ups(table: pd.DataFrame) -> tuple[float, ...]:
    early = load("pbc/pbc_baseline.csv").set_index("id").loc[:312, "event"]
    late = table.groupby("id")["event"].first()
    return (early != late).sum(), len(late), (early == "death").sum(), (late == "death").sum()


def cholesterol(table: pd.DataFrame) -> tuple[float, ...]:
    gone = table["cholesterol"].isna()
    return round(100 * float(gone.mean())), (gone & (table["day"] == 0)).sum()


FACTS: list[Fact] = [
    (
        "pbc",
        "in {} of the {} randomised patients ({} deaths by July 1986 in `pbc_baseline`, {} in",
        two_follow_ups,
    ),
    ("pbc", "missing at {} % of visits and at entry in {} patients", cholesterol),
    (
        "actg175",
        "Of {} patients whose CD4 at week 20 is at most half of their baseline, {} have",
        lambda t: halved(t, 20),
    ),
    ("actg175", "the event; of {} at week 96, {}.", lambda t: halved(t, 96)),
    (
        "actg175",
        "{} rows of {} patients lie after `event_days`, {} of them after an event and {} after",
        after_the_event,
    ),
    (
        "actg175",
        "missing in {} patients ({} %), in {} of the {} who were off treatment before week 96 and in {} of "
        "the other {}.",
        no_week_96,
    ),
    (
        "actg175",
        "In {} patients the baseline CD4 lies outside 200 to 500 ({} below, {} above). CD4 is 0 in {} rows, {} of",
        eligibility,
    ),
    (
        "actg175",
        "{} patients have more than 364 `prior_art_days`, in stratum 3 there are {} with at most 364, and {} "
        "naive patients have {} to {} days",
        strata,
    ),
    ("actg175", "{} patients were younger than 18", lambda t: ((persons(t)["age_years"] < 18).sum(),)),
    (
        "melanoma",
        "{} records have `relapse_years` 0; {} of them were without relapse and lived {} to {} years",
        time_zero,
    ),
    ("melanoma", "More than one positive node: {} of {} in E1684, {} of {} in E1690", nodes),
    (
        "melanoma",
        "{} patients, all of E1690, died without a recorded relapse; count them as failures if the endpoint "
        "is relapse-free survival. Another {} without",
        died_without_relapse,
    ),
    ("melanoma", "One patient ({}) also has `death_years` 0", lambda t: tuple(t.loc[t["death_years"] <= 0, "subject"])),
    ("udca", "in {} of the {} patients with an event it is the only endpoint on that day", only_doubling),
    (
        "udca",
        "{} of the {} varices and {} of the {} histologic progressions are dated 600 to 900 days",
        found_at_two_years,
    ),
    ("udca", "{} deaths and {} transplants lie after `last_visit_days`", after_last_visit),
    (
        "udca",
        "In {} patients ({}, {}, {}) such an endpoint is the only one and `event_days` is the last visit, {} "
        "to {} days",
        misdated,
    ),
    ("udca", "{} patients died or had a transplant, {} on placebo and {} on", hard_events),
    (
        "udca",
        "Patient {} has no follow-up (day 0) and no risk score",
        lambda t: tuple(t.loc[(t["last_visit_days"] == 0) & t["mayo_risk_score"].isna(), "subject"]),
    ),
    (
        "cav",
        "{} times, in {} patients, the grade is lower than at the examination before (2 to 1: {}, 3 to 2: {}, "
        "3 to 1: {})",
        backward,
    ),
    ("cav", "The rows are {} transplants, {} angiograms and {} deaths", kinds_of_row),
    (
        "cav",
        "The median gap before an angiogram is {} years; {} of {} gaps are within three months of one year, "
        "and {} exceed",
        gaps,
    ),
    ("cav", "For the {} who did not die", lambda t: ((t.groupby("subject")["state"].max() < 4).sum(),)),
    ("cav", "{} recipients were younger than 18", lambda t: ((persons(t)["age_years"] < 18).sum(),)),
    (
        "cav",
        "diagnosis is missing in {} patients. The donor's age is 0 in {} patients",
        lambda t: (persons(t)["primary_diagnosis"].isna().sum(), (persons(t)["donor_age_years"] == 0).sum()),
    ),
]


@pytest.mark.parametrize(("name", "sentence", "numbers"), FACTS)
def test_a_card_says_what_the_table_holds(
    name: str, sentence: str, numbers: Callable[[pd.DataFrame], tuple[float | str, ...]]
) -> None:
    assert filled(sentence, numbers(load(name))) in prose(name)
