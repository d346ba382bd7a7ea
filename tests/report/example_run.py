"""A run folder as the stages would leave it, filled with made-up numbers of the right size and kind."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dpm.report.run_folder import QUANTILES

from .example_study import CHANGE, ESTIMANDS, MODEL, SLOPE, manifest, write_ledger

ARMS = {"dpenicillamine": (158, 992), "placebo": (154, 953)}
GROUPS = {
    "stage": {"1": 8, "2": 35, "3": 54, "4": 57},
    "edema": {"none": 129, "treated or resolved": 15, "present": 10},
}
TWINS = ("12", "27", "41", "63", "88", "104", "150", "201", "244")


def write_example_run(folder: Path, *, seed: int = 20260101) -> Path:
    """Write every table of the contract and return the folder."""
    rng = np.random.default_rng(seed)
    tables = {
        "cohort/flow.csv": flow(),
        "cohort/baseline.csv": baseline(),
        "cohort/ledger.csv": ledger(),
        "cohort/quality.csv": quality(),
        "cohort/fitness.csv": fitness(),
        "cohort/verdicts.csv": pd.DataFrame(
            {"outcome": ["log_bilirubin"], "verdict": ["no sign of illness at this n"]}
        ),
        "cohort/support.csv": support(),
        "fit/parameters.csv": parameters(rng),
        "fit/convergence.csv": convergence(),
        "check/vpc.csv": vpc(rng),
        "check/coverage.csv": coverage(rng),
        "compare/effects.csv": effects(),
        "compare/layers.csv": layers(),
    }
    tables["arm/twin_visits.csv"], tables["arm/twin_bands.csv"] = twins(rng)
    for name, table in tables.items():
        write_table(folder, name, table)
    write_json(folder / "fit/model.json", MODEL)
    write_json(folder / "compare/estimands.json", ESTIMANDS)
    write_json(folder / "manifest.json", manifest(folder))
    write_ledger(folder / "ledger.jsonl")
    return folder


def write_table(folder: Path, name: str, table: pd.DataFrame) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / name, index=False, lineterminator="\n")


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def flow() -> pd.DataFrame:
    rows = []
    for step, reason, lost in (
        ("In the file", "", (0, 0)),
        ("Usable visits", "bilirubin not measured", (0, 6)),
        ("Usable visits", "after transplant", (0, 2)),
        ("Usable visits", "", (0, 8)),
        ("Baseline bilirubin measured", "no visit at time 0", (1, 3)),
        ("Baseline bilirubin measured", "", (1, 11)),
    ):
        for arm, (patients, visits) in ARMS.items():
            gone = (step, reason, arm, lost[0], lost[1])
            rows.append(gone if reason else (step, "", arm, patients + 1 - lost[0], visits + 11 - lost[1]))
    rows.append(("Natural history model fitted", "", "placebo", *ARMS["placebo"]))
    rows.append(("Untreated twins drawn", "visits before treatment started", "dpenicillamine", 0, 158))
    rows.append(("Untreated twins drawn", "", "dpenicillamine", 158, 834))
    return pd.DataFrame(rows, columns=["step", "reason", "arm", "patients", "visits"])


def baseline() -> pd.DataFrame:
    rows = [
        ("Age", "years", "mean (SD)", "51.4 (11.0)", "48.6 (10.0)", 0.270),
        ("Female", "", "n (%)", "137 (86.7)", "139 (90.3)", -0.111),
        ("Serum bilirubin", "mg/dL", "geometric mean (q1, q3)", "1.80 (0.80, 3.20)", "1.79 (0.72, 3.60)", 0.006),
        ("Albumin", "g/dL", "mean (SD)", "3.52 (0.44)", "3.52 (0.40)", -0.018),
        ("Stage 4", "", "n (%)", "52 (32.9)", "57 (37.0)", -0.086),
        ("Copper", "µg/day", "mean (SD)", "not measured", "not measured", np.nan),
    ]
    return pd.DataFrame(rows, columns=["variable", "unit", "statistic", "dpenicillamine", "placebo", "smd"])


def parameters(rng: np.random.Generator) -> pd.DataFrame:
    truth = {
        ("level", "Typical level", "log mg/dL"): (0.561, 0.081),
        ("slope", "Typical slope", "log mg/dL per year"): (0.178, 0.0192),
        ("level.age", "Age on level", "log mg/dL per SD"): (-0.044, 0.0713),
        ("level_sd", "SD of levels between patients", "log mg/dL"): (0.985, 0.0581),
        ("slope_sd", "SD of slopes between patients", "log mg/dL per year"): (0.181, 0.0171),
        ("sigma", "Residual SD", "log mg/dL"): (0.312, 0.0091),
    }
    rows = []
    for key, (mean, sd) in truth.items():
        bulk, tail = rng.uniform(900, 3000, 2)
        off = rng.normal(0, 0.1 * sd)
        edges = (mean - 1.96 * sd, mean + 1.96 * sd)
        row = (*key, mean, sd, *edges, 1 + rng.uniform(0, 0.006), bulk, tail, sd / np.sqrt(bulk), mean + off, sd * 0.97)
        rows.append(row)
    # fmt: off
    names = [
        "site", "label", "unit", "mean", "sd", "q2.5", "q97.5", "rhat", "ess_bulk", "ess_tail", "mcse_mean",
        "laplace_estimate", "laplace_se",
    ]
    # fmt: on
    return pd.DataFrame(rows, columns=names)


def convergence() -> pd.DataFrame:
    rows = [
        ("R-hat, largest", 1.0056, "< 1.01", True, "slope_sd", "", ""),
        ("ESS bulk, smallest", 412.0, "> 400", True, "level", "draw longer", "> 1,000"),
        ("ESS tail, smallest", 967.0, "> 400", True, "sigma", "", ""),
        ("Divergences", 0.0, "= 0", True, "", "", ""),
        ("E-BFMI, smallest", 0.91, "> 0.3", True, "chain 2", "", ""),
        ("Patients whose inner problem did not converge", 0.0, "= 0", True, "", "", ""),
    ]
    return pd.DataFrame(rows, columns=["criterion", "value", "gate", "passed", "worst", "remedy", "relaxed_from"])


def vpc(rng: np.random.Generator) -> pd.DataFrame:
    edges = np.array([0.0, 0.25, 0.75, 1.5, 2.5, 3.5, 5.0, 7.0, 10.0])
    counts = [154, 141, 139, 121, 98, 84, 61, 38]
    rows = []
    for left, right, n in zip(edges[:-1], edges[1:], counts, strict=True):
        time = (left + right) / 2 if left else 0.0
        for percentile, z in ((5, -1.645), (50, 0.0), (95, 1.645)):
            median = 0.55 + 0.13 * time + z * np.hypot(1.0, 0.16 * time)
            half = (1.6 if z else 1.0) * 2.2 / np.sqrt(n)
            seen = median - (0.035 * time if percentile == 95 else 0.0) + rng.normal(0, half / 3)
            rows.append(
                ("log_bilirubin", time, left, right, n, n + 4, percentile, seen, median - half, median, median + half)
            )
    # fmt: off
    names = [
        "outcome", "time", "bin_left", "bin_right", "n_subjects", "n_values", "percentile", "observed", "low",
        "median", "high",
    ]
    # fmt: on
    return pd.DataFrame(rows, columns=names)


def coverage(rng: np.random.Generator) -> pd.DataFrame:
    cells = [("overall", "all", 154)] + [(group, level, n) for group, ns in GROUPS.items() for level, n in ns.items()]
    rows = []
    for group, level, n in cells:
        for nominal in (0.5, 0.8, 0.9):
            draws = np.sort(rng.binomial(n, nominal, 4000)) / n
            low, high = draws[100], draws[3899]
            covered = int(rng.binomial(n, nominal)) if (group, level) != ("edema", "present") else round(0.6 * n)
            share = covered / n
            verdict = "cannot be judged at this n" if n < 20 else "inside" if low <= share <= high else "outside"
            rows.append((group, level, n, nominal, covered, share, low, high, min(0.99, n / 160), verdict))
    rows[7] = (*rows[7][:4], 24, 24 / 35, *rows[7][6:9], "outside")
    # fmt: off
    names = [
        "subgroup", "level", "n", "nominal", "covered", "observed", "low", "high", "power", "verdict",
    ]
    # fmt: on
    return pd.DataFrame(rows, columns=names)


def twins(rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    visits, bands = [], []
    for subject in TWINS:
        level, slope = rng.normal(0.6, 0.8), rng.normal(0.15, 0.1)
        seen = np.array([0, 0.5, 1, 2, 3, 4, 5.0])[: rng.integers(3, 8)]
        values = level + slope * seen + rng.normal(0, 0.25, len(seen))
        visits += [(subject, time, value, time == 0) for time, value in zip(seen, values, strict=True)]
        for time in np.linspace(0, 5, 21):
            middle, spread = values[0] * 0.9 + 0.06 + 0.15 * time, 0.3 + 0.2 * time
            wide = np.hypot(spread, 0.55)
            bands.append((subject, time, middle, middle - spread, middle + spread, middle - wide, middle + wide))
    columns = ["subject", "time", "mean_median", "mean_low", "mean_high", "pred_low", "pred_high"]
    return pd.DataFrame(visits, columns=["subject", "time", "value", "baseline"]), pd.DataFrame(bands, columns=columns)


def effects() -> pd.DataFrame:
    twin_sizes = {"posterior draws, bulk ESS": 1840, "control patients behind the model": 154}
    weight_sizes = {"control ESS (Kish)": 121.4}
    methods = [
        (
            "Untreated twins",
            "twin",
            "answer",
            twin_sizes,
            ["the model holds for the treated, given baseline", "same care"],
        ),
        ("Crude difference", "crude", "comparison", {}, ["the arms are exchangeable without adjustment"]),
        (
            "Inverse probability weights (ATT)",
            "ipw",
            "comparison",
            weight_sizes,
            ["no unmeasured confounder", "overlap"],
        ),
        ("Doubly robust (AIPW)", "aipw", "comparison", weight_sizes, ["score or outcome model right"]),
        ("Twins, hidden slope bias of ±0.02 a year", "twin_bias", "sensitivity", twin_sizes, ["bias Normal(0, 0.02)"]),
        ("Randomised comparison (mixed model)", "randomised", "truth", {}, ["randomisation"]),
    ]
    numbers = {
        CHANGE: (
            "log mg/dL",
            [
                (-0.0312, 0.0571),
                (0.0217, 0.0702),
                (-0.0125, 0.0718),
                (-0.0204, 0.0669),
                (-0.0312, 0.0694),
                (-0.0121, 0.0549),
            ],
        ),
        SLOPE: (
            "log mg/dL per year",
            [
                (-0.0121, 0.0239),
                (0.0033, 0.0281),
                (-0.0067, 0.0290),
                (-0.0088, 0.0267),
                (-0.0121, 0.0312),
                (-0.0043, 0.0248),
            ],
        ),
    }
    rows = []
    for estimand, (unit, values) in numbers.items():
        for (label, method, role, sizes, assumed), (estimate, se) in zip(methods, values, strict=True):
            edges = (estimate - 1.959964 * se, estimate + 1.959964 * se)
            texts = (json.dumps(sizes), json.dumps(assumed), "")
            rows.append((estimand, label, method, role, estimate, se, *edges, 0.95, unit, 158, 154, *texts))
    # fmt: off
    names = [
        "estimand", "label", "method", "role", "estimate", "se", "low", "high", "level", "unit", "n_treated",
        "n_control", "sizes", "assumptions", "note",
    ]
    # fmt: on
    return pd.DataFrame(rows, columns=names)


def layers() -> pd.DataFrame:
    rows = []
    for estimand, total in ((CHANGE, 0.0571), (SLOPE, 0.0239)):
        shares = {
            "model parameters": 0.46,
            "between patients": 0.21,
            "residual of the baseline": 0.09,
            "treated course": 0.24,
        }
        rows += [(estimand, layer, total * share**0.5, share) for layer, share in shares.items()]
        rows.append((estimand, "total", total, 1.0))
    return pd.DataFrame(rows, columns=["estimand", "layer", "sd", "variance_share"])


def ledger() -> pd.DataFrame:
    row = ("exclude rows", "bilirubin is missing", "", "not measured", 6, 6, "pbc_longitudinal.csv: row 17")
    return pd.DataFrame([row], columns=["kind", "rule", "column", "reason", "rows", "subjects", "first"])


def quality() -> pd.DataFrame:
    row = {
        "variable": "log_bilirubin",
        "role": "outcome",
        "source": "all",
        "unit": "mg/dL",
        "n": 1945,
        "available": 1.0,
    }
    row |= {"on_time": 0.6, "digit_share": 0.135, "censored": 0.0, "minimum": 0.1, "median": 1.4, "maximum": 41.0}
    return pd.DataFrame([row | {"missing": ""}, row | {"variable": "age", "unit": "years", "on_time": float("nan")}])


def fitness() -> pd.DataFrame:
    row = {"rule": "values are there", "kind": "relevance", "variable": "log_bilirubin", "source": "all", "value": 1.0}
    row |= {"green": 0.9, "amber": 0.7, "direction": "higher", "light": "green", "words": "fit: available is 1"}
    return pd.DataFrame([row])


def support() -> pd.DataFrame:
    row: dict[str, Any] = {"variable": "age", "unit": "years", "statistic": "number", "transform": "identity"}
    row |= {"outside_percentiles": 0.038, "outside_range": 0.013, "smd": 0.237}
    for side, shift in (("a", 0.0), ("b", 2.5)):
        row |= {f"{name}_{side}": 26.0 + 7.0 * place + shift for place, name in enumerate(QUANTILES)}
    return pd.DataFrame([row])
