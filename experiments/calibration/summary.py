"""How often intervals covered, how far estimates were off, and the two tables of the README."""

import numpy as np
import pandas as pd

from dpm.checks.calibration import binomial_range

LEVELS = (0.5, 0.8, 0.95)
TRUTHS = {"truth": "the effect", "truth_drawn": "drawn untreated courses"}


def coverage(rows: pd.DataFrame) -> pd.DataFrame:
    """Per scenario, estimand, truth and nominal level: how many intervals held the truth.

    Returns:
        `scenario`, `estimand`, `truth`, `nominal`, `n`, `covered`, `observed`, `mc_error` (binomial standard error) and
        `low`, `high`: the exact 95 % range of `observed` if coverage is nominal.
    """
    found = []
    for (scenario, estimand), part in rows.groupby(["scenario", "estimand"], sort=False):
        for column, words in TRUTHS.items():
            for level in LEVELS:
                n = len(part)
                hit = part[f"low{level * 100:.0f}"].le(part[column]) & part[column].le(part[f"high{level * 100:.0f}"])
                share, (low, high) = float(hit.mean()), binomial_range(n, level)
                error = np.sqrt(share * (1 - share) / n)
                found.append((scenario, estimand, words, level, n, int(hit.sum()), share, error, low / n, high / n))
    columns = ["scenario", "estimand", "truth", "nominal", "n", "covered", "observed", "mc_error", "low", "high"]
    return pd.DataFrame(found, columns=columns)


def accuracy(rows: pd.DataFrame) -> pd.DataFrame:
    """Per scenario and estimand, against the effect.

    Returns:
        `scenario`, `estimand`, `n`, `truth`, `bias` and `bias_error` (its standard error), `mean_se`, `sd` of the
        estimates with `sd_error`, and `excludes_zero`, the share of 95 % intervals without zero, with its error.
    """
    found = []
    for (scenario, estimand), part in rows.groupby(["scenario", "estimand"], sort=False):
        n, sd = len(part), float(part["estimate"].std(ddof=1))
        excludes = float((part["low95"].gt(0) | part["high95"].lt(0)).mean())
        found.append(
            {
                "scenario": scenario,
                "estimand": estimand,
                "n": n,
                "truth": part["truth"].iloc[0],
                "bias": float((part["estimate"] - part["truth"]).mean()),
                "bias_error": sd / np.sqrt(n),
                "mean_se": float(part["se"].mean()),
                "sd": sd,
                "sd_error": sd / np.sqrt(2 * (n - 1)),
                "excludes_zero": excludes,
                "excludes_error": np.sqrt(excludes * (1 - excludes) / n),
            }
        )
    return pd.DataFrame(found)


def coverage_text(table: pd.DataFrame) -> str:
    """Markdown: a row per scenario, estimand and truth, a column per nominal level."""
    lines = [
        "| scenario | estimand | covered is | " + " | ".join(f"{level:.0%} interval" for level in LEVELS) + " |",
        "|---|---|---|" + "---|" * len(LEVELS),
    ]
    for (scenario, estimand, truth), part in table.groupby(["scenario", "estimand", "truth"], sort=False):
        cells = [
            "{:.1f} ± {:.1f} ({:.1f}–{:.1f})".format(
                *(100 * row[name] for name in ("observed", "mc_error", "low", "high"))
            )
            for row in part.to_dict("records")
        ]
        lines.append(f"| {scenario} | {estimand} | {truth} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def accuracy_text(table: pd.DataFrame) -> str:
    """Markdown: a row per scenario and estimand."""
    lines = [
        "| scenario | estimand | trials | effect | bias | mean SE | SD of estimates | 95% interval excludes 0 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in table.to_dict("records"):
        cells = [row["scenario"], row["estimand"], str(row["n"]), f"{row['truth']:g}"]
        cells += [f"{row['bias']:+.4f} ± {row['bias_error']:.4f}", f"{row['mean_se']:.4f}"]
        cells += [f"{row['sd']:.4f} ± {row['sd_error']:.4f}"]
        cells += [f"{100 * row['excludes_zero']:.1f} ± {100 * row['excludes_error']:.1f} %"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
