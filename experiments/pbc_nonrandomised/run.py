"""Were the patients who declined the trial like its placebo arm? `python -m experiments.pbc_nonrandomised.run`."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.duration.hazard_regression import PHReg

from dpm.cohort import Cohort, baseline_table, flow_table, read_cohort
from dpm.report.figures.flow import flow_diagram
from dpm.report.figures.style import save

RESULTS = Path(__file__).parent / "results"

ROLES: dict[str, Any] = {
    "subject": "id",
    "arm": "cohort",
    "covariates": {
        "age": {"column": "age", "unit": "years", "label": "Age"},
        "female": {"column": "sex", "level": "female", "label": "Female"},
        "log_bilirubin": {"column": "bilirubin", "unit": "mg/dL", "transform": "log", "label": "Serum bilirubin"},
        "log_albumin": {"column": "albumin", "unit": "g/dL", "transform": "log", "label": "Albumin"},
        "log_protime": {
            "column": "protime",
            "unit": "s",
            "transform": "log",
            "label": "Prothrombin time",
            "missing": "keep",
        },
        "edema": {"column": "edema", "unit": "1", "label": "Oedema"},
    },
    "events": {
        "end": {
            "column": "event",
            "time": "time_days",
            "unit": "days",
            "types": ["death", "transplant"],
            "terminal": True,
        }
    },
}

NOT_PLACEBO = {"when": "arm == dpenicillamine", "do": "drop subjects", "reason": "treated"}
NO_PROTIME = {"when": "protime is missing", "do": "drop subjects", "reason": "no prothrombin time to adjust for"}


def cohort(*rules: dict[str, str]) -> Cohort:
    """The placebo arm and the patients outside the trial, by declared rules."""
    return read_cohort("data:pbc/pbc_baseline.csv", ROLES, rules=rules)


def hazard_ratio(compared: Cohort, adjust: tuple[str, ...] = ()) -> dict[str, float]:
    """Of death, outside the trial against inside it (Cox, Efron's ties); transplant censors."""
    subjects, ends = compared.subjects, compared.ends.set_index("subject").loc[compared.subjects.index]
    outside = (subjects["arm"] == "observational").astype(float).rename("outside")
    design = pd.concat([outside, subjects[list(adjust)]], axis=1)
    fit = PHReg(ends["time"], design, status=(ends["event"] == "death").astype(int), ties="efron").fit()
    low, high = np.exp(fit.conf_int()[0])
    return {"n": len(design), "hazard_ratio": float(np.exp(fit.params[0])), "low": float(low), "high": float(high)}


def main() -> None:
    """The attrition figure, its table, the baseline table and both hazard ratios."""
    everyone, measured = cohort(NOT_PLACEBO), cohort(NOT_PLACEBO, NO_PROTIME)
    rows = {
        "crude": hazard_ratio(everyone),
        "adjusted": hazard_ratio(measured, tuple(ROLES["covariates"])),
    }
    RESULTS.mkdir(exist_ok=True)
    pd.DataFrame(rows).T.rename_axis("analysis").to_csv(RESULTS / "hazard_ratios.csv", float_format="%.4f")
    flow = flow_table(measured)
    flow.to_csv(RESULTS / "attrition.csv", index=False)
    baseline_table(measured).to_csv(RESULTS / "baseline.csv", index=False, float_format="%.3f")
    save(flow_diagram(flow), RESULTS, "attrition")
    print(pd.DataFrame(rows).T.round(3))


if __name__ == "__main__":
    main()
