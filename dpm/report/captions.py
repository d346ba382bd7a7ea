"""Under every figure what is drawn, and for readers who cannot see it what is seen."""

from collections.abc import Sequence

import pandas as pd

from dpm.report.estimands import EstimandText
from dpm.report.figures.calibration import UNJUDGED
from dpm.report.figures.scale import OutcomeScale
from dpm.report.numbers import confidence, counted, decimals, lowered, number, percent, span, words
from dpm.report.run_folder import each_row


def flow_text(flow: pd.DataFrame) -> tuple[str, str]:
    """Alternative text and caption of the flow diagram."""
    steps = [
        f"{row['step']}, {row['arm'] or 'all'}: {counted(int(row['patients']), 'patient')}"
        for row in each_row(flow[flow["reason"] == ""])
    ]
    caption = "Flow of patients and visits. White boxes: who stayed. Grey boxes: who left, by reason."
    return f"Flow diagram. {'; '.join(steps)}.", caption


def fitness_text(fitness: pd.DataFrame) -> tuple[str, str]:
    """Alternative text and caption of the lights of fitness for use."""
    verdicts = [f"{row['rule']} {row['variable']}: {row['light']}" for row in each_row(fitness)]
    caption = "Fitness for use. The limits are conventions: dpm's, or those of the study file."
    return f"Marks of fitness for use, one per rule and variable. {'; '.join(verdicts)}.", caption


def support_text(support: pd.DataFrame) -> tuple[str, str]:
    """Alternative text and caption of the support of the natural history."""
    shares = [f"{row['variable']} {percent(row['outside_percentiles'])}" for row in each_row(support)]
    caption = (
        "Where the treated lie in the natural history at baseline: range, 1st to 99th percentile, quartiles and median "
        "of both. Beyond the grey band the untreated course is extrapolated."
    )
    return f"Share of the treated outside the natural history's 1st to 99th percentile: {'; '.join(shares)}.", caption


def predictive_text(vpc: pd.DataFrame, scale: OutcomeScale) -> tuple[str, str]:
    seen = []
    for percentile, rows in vpc.groupby("percentile"):
        inside = int(((rows["low"] <= rows["observed"]) & (rows["observed"] <= rows["high"])).sum())
        seen.append(f"percentile {percentile:g} inside in {inside} of {counted(len(rows), 'bin')}")
    title = f"Visual predictive check of {lowered(scale.label)}."
    alt = f"{title} Observed against the simulated 95\u00a0% interval: {', '.join(seen)}."
    caption = (
        f"{title} Points: observed 5th, 50th and 95th percentiles by time bin (short marks at the foot of the plot); "
        "bands and dashed lines: 95\u00a0% interval and median of the same percentiles in data simulated from the "
        "model for the same patients and visits. Diamonds: observed outside that interval. Above: patients in "
        f"each bin. Observed {', '.join(seen)}."
    )
    return alt, caption


def calibration_text(coverage: pd.DataFrame) -> tuple[str, str]:
    counts = coverage["verdict"].value_counts()
    listed = ", ".join(f"{counts.get(key, 0)} {key}" for key in ("inside", "outside", UNJUDGED))
    overall = [
        f"{confidence(row['nominal'])} intervals cover {percent(row['observed'], 1)}"
        for row in each_row(coverage[coverage["subgroup"] == "overall"])
    ]
    alt = f"Coverage by subgroup and nominal level: {listed}. Overall: {', '.join(overall) or 'not recorded'}."
    caption = (
        "Observed coverage of prediction intervals by subgroup; each patient, at one follow-up visit, is predicted "
        "from baseline by a model fitted without that patient. Bars: exact binomial range that holds the observed "
        "share with at least 95\u00a0% probability if the model is calibrated, given n. Grey rows: so few "
        "patients that even marked miscalibration would be missed, hence no verdict. No adjustment for the number of "
        "cells: in a calibrated model up to one in twenty of those judged falls outside by chance."
    )
    return alt, caption


def twins_text(visits: pd.DataFrame, bands: pd.DataFrame, scale: OutcomeScale) -> tuple[str, str]:
    shown = counted(bands["subject"].nunique(), "treated patient")
    later = int((~visits["baseline"]).sum())
    alt = (
        f"{shown}, one panel each: {counted(later, 'measurement')} of {lowered(scale.label)} under treatment over the "
        "bands predicted for the untreated twin from baseline alone."
    )
    caption = (
        f"Treated patients and their untreated twins ({shown}). Each twin is the posterior predictive course of the "
        "natural-history model given that patient's baseline alone. Dark band: 90\u00a0% interval of the course; light "
        "band: 90\u00a0% interval of a single measurement, which is what a point should be compared with."
    )
    return alt, caption


def effects_text(effects: pd.DataFrame, estimands: Sequence[EstimandText]) -> tuple[str, str]:
    seen = []
    for estimand in estimands:
        rows = each_row(effects[effects["estimand"] == estimand.name])
        each = [
            f"{row['label']} {number(row['estimate'], decimals(row['se']))} "
            f"({span(row['low'], row['high'], decimals(row['se']))})"
            for row in rows
        ]
        seen.append(f"{estimand.label}: {', '.join(each)}")
    caption = (
        "Every method's estimate and interval by estimand. Green: the randomised comparison, its interval as a band "
        "behind all rows. Blue diamond: the answer of this study. Filled circles: other methods on the same "
        "estimand. Open circles: sensitivity analyses. Dotted line: no difference."
    )
    return f"Forest plot. {'. '.join(seen)}.", caption


def layers_text(layers: pd.DataFrame) -> tuple[str, str]:
    largest = layers.groupby("estimand")["sd"].transform("max")
    seen = [
        f"{words(row['estimand'])}, {row['layer']}: SD {number(row['sd'], decimals(top))}, "
        f"{percent(row['variance_share'])} of the variance"
        for row, top in zip(each_row(layers), largest, strict=True)
    ]
    caption = (
        "Where the uncertainty of the answer comes from. Each bar starts where the one above ends. Variances of "
        "independent layers add up; standard deviations do not. A source that is not listed, such as an error in the "
        "form of the model, is not in the interval."
    )
    return f"Shares of variance. {'; '.join(seen)}.", caption
