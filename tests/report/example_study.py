"""What the example run says in words: its estimands, its model card, its manifest and its ledger."""

import hashlib
import json
from pathlib import Path
from typing import Any

CHANGE, SLOPE = "change_2y", "slope"
ESTIMANDS: list[dict[str, Any]] = [
    {
        "name": CHANGE,
        "label": "Difference in mean log-bilirubin change from baseline at 2 years",
        "population": "Patients assigned to D-penicillamine with a bilirubin value at baseline",
        "outcome": "log_bilirubin",
        "time": 2.0,
        "contrast": "treated minus untreated twin",
        "interval_for": "these 158 patients",
        "intercurrent": {"death": "while alive", "transplant": "hypothetical: as if no transplant had been made"},
        "visits_rule": "the course read at exactly 2 years from the mixed model of all visits up to 3 years",
        "counts": {"treated": 158, "treated_with_follow_up": 149, "dead_before_2_years": 19},
        "outcome_label": "Serum bilirubin",
        "outcome_unit": "mg/dL",
        "outcome_transform": "log",
    },
    {
        "name": SLOPE,
        "label": "Difference in mean slope of log bilirubin",
        "population": "Patients assigned to D-penicillamine with a bilirubin value at baseline",
        "outcome": "log_bilirubin",
        "time": None,
        "contrast": "treated minus untreated twin",
        "interval_for": "these 158 patients",
        "intercurrent": {"death": "while alive", "transplant": "while without transplant"},
        "visits_rule": "all visits until death, transplant or end of follow-up",
        "counts": {"treated": 158},
        "outcome_label": "Serum bilirubin",
        "outcome_unit": "mg/dL",
        "outcome_transform": "log",
    },
]

MODEL = {
    "title": "Linear course of log bilirubin in untreated primary biliary cholangitis",
    "context_of_use": "To predict, for adults with primary biliary cholangitis and a baseline visit, the course of "
    "serum bilirubin without D-penicillamine over the first years, as the comparator of a single-arm study.",
    "population": "Adults with primary biliary cholangitis referred to one clinic, 1974–1984.",
    "equations": [
        {
            "latex": r"\log y_{ij} \sim \mathrm{StudentT}_{\nu}(\mu_{ij},\ \sigma)",
            "text": "Measurement j of patient i.",
        },
        {"latex": r"\mu_{ij} = a_i + b_i\, t_{ij}", "text": "Course of patient i, t in years since baseline."},
        {
            "latex": r"\begin{pmatrix} a_i \\ b_i \end{pmatrix} \sim \mathrm{Normal}\!\left("
            r"\begin{pmatrix} \alpha + x_i^\top\beta \\ \gamma + z_{s(i)} \end{pmatrix},\ \Omega\right)",
            "text": "Level and slope vary between patients and are correlated.",
        },
    ],
    "priors": [
        {
            "site": "level",
            "label": "Typical level",
            "prior": "Normal(0.5, 1)",
            "unit": "log mg/dL",
            "reason": "1.6 mg/dL",
        },
        {
            "site": "slope",
            "label": "Typical slope",
            "prior": "Normal(0.2, 0.2)",
            "unit": "log mg/dL/year",
            "reason": "weak",
        },
        {
            "site": "sigma",
            "label": "Residual SD",
            "prior": "HalfNormal(0.5)",
            "unit": "log mg/dL",
            "reason": "assay and day",
        },
    ],
    "limitations": [
        "Visits just before death are unscheduled: how often a patient is seen depends on the outcome.",
        "The untreated patients are the trial's own control arm: an easier test than an external cohort.",
    ],
    "n_subjects": 154,
    "n_visits": 953,
    "method": "NUTS on population values, patients integrated by Laplace",
}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def manifest(folder: Path) -> dict[str, Any]:
    stages = {}
    for stage, seconds in {"cohort": 0.8, "fit": 94.2, "check": 41.7, "arm": 12.1, "compare": 8.4}.items():
        files = sorted(path for path in (folder / stage).iterdir())
        outputs = {f"{stage}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        stages[stage] = {"inputs_hash": digest(stage), "seconds": seconds, "outputs": outputs}
    return {
        "dpm_version": "0.1.0",
        "created": "2026-01-01T09:00:00+00:00",
        "study": {
            "name": "pbc_bilirubin",
            "title": "Did D-penicillamine slow the rise of bilirubin in primary biliary cholangitis?",
            "path": "experiments/pbc/study.toml",
            "sha256": digest("study"),
        },
        "data": {"files": {"data:pbc/pbc_longitudinal.csv": digest("data")}, "sha256": digest("all"), "rows": 1945},
        "code": {"git": digest("code")[:40]},
        "environment": {
            "python": "3.12.3",
            "platform": "Linux x86_64",
            "packages": {"jax": "0.12.0", "numpyro": "0.22.0"},
        },
        "device": "cpu:0",
        "seed": 1,
        "stages": stages,
    }


def write_ledger(path: Path) -> None:
    previous, lines = "", []
    for event, detail in (("lock", "protocol locked"), ("fit", "fitted"), ("compare", "effects written")):
        entry = {"time": "2026-01-01T09:00:00+00:00", "event": event, "detail": detail, "previous": previous}
        lines.append(json.dumps(entry))
        previous = digest(lines[-1])
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
