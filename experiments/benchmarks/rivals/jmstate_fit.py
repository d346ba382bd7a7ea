"""jmstate's fit of a marker and death (`joint` of ../simulators.py), in the Python that has it, with its defaults.

    python jmstate_fit.py VISITS.csv EVENTS.csv SEED

Prints one line of JSON: what the fit and its standard errors took, and the estimates by dpm's names.
"""

import json
import sys
import time
from importlib.metadata import version

import numpy as np
import pandas as pd
import torch
from jmstate import MultiStateJointModel
from jmstate.functions.base_hazards import Weibull
from jmstate.types import ModelData, ModelDesign, ModelParameters, PrecisionParameters

TURN = ("alive", "dead")


def own(fixed: torch.Tensor, x: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Level and slope of every subject."""
    female = x[..., :1]
    return torch.cat([fixed[0] + fixed[1] * female, fixed[2] + fixed[3] * female], dim=-1) + b


def line(t: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    level, slope = values.chunk(2, dim=-1)
    return (level + slope * t).unsqueeze(-1)


def read(visits: str, events: str) -> ModelData:
    table, ends = pd.read_csv(visits), pd.read_csv(events).set_index("subject")
    table["visit"] = table.groupby("subject").cumcount()
    subjects = table["subject"].drop_duplicates()
    ends = ends.loc[subjects]
    wide = table.pivot_table(index="subject", columns="visit", values=["visit.time", "outcome.log_bilirubin"])
    t, y = (wide[name].loc[subjects].to_numpy() for name in ("visit.time", "outcome.log_bilirubin"))
    female = table.drop_duplicates("subject").set_index("subject").loc[subjects, ["baseline.female"]].to_numpy()
    courses = [
        [(0.0, "alive"), (float(end), "dead")] if kind == "death" else [(0.0, "alive")]
        for end, kind in zip(ends["time"], ends["event"], strict=True)
    ]
    followed = torch.tensor(ends[["time"]].to_numpy())
    return ModelData(torch.tensor(female), torch.tensor(t), torch.tensor(y)[..., None], courses, followed)


def estimates(parameters: ModelParameters) -> dict[str, float]:
    """By the names of dpm's sites."""
    level, level_female, slope, slope_female = parameters.fixed_effects.detach().tolist()
    hazard = parameters.base_hazards[str(TURN)]
    spread = parameters.random_prec.covariance.detach().numpy()
    shape = float(hazard.log_k.detach().exp())
    return {
        "log_bilirubin_level": level,
        "log_bilirubin_level_female": level_female,
        "log_bilirubin_slope": slope,
        "log_bilirubin_slope_female": slope_female,
        "log_bilirubin_level_sd": float(np.sqrt(spread[0, 0])),
        "log_bilirubin_slope_sd": float(np.sqrt(spread[1, 1])),
        "subject_correlation[1,0]": float(spread[0, 1] / np.sqrt(spread[0, 0] * spread[1, 1])),
        "log_bilirubin_sd": float(np.sqrt(parameters.noise_prec.covariance.detach().numpy()[0, 0])),
        "end_shape": shape,
        "end_log_rate": shape * float(hazard.log_lmda.detach()),
        "end_log_bilirubin": float(parameters.link_coefs[str(TURN)].detach()[0]),
        "end_female": float(parameters.x_coefs[str(TURN)].detach()[0]),
    }


def main(visits: str, events: str, seed: int) -> None:
    torch.manual_seed(seed)
    data = read(visits, events)
    start = ModelParameters(
        torch.tensor([0.5, 0.0, 0.2, 0.0], dtype=torch.float64),
        PrecisionParameters.from_covariance(torch.diag(torch.tensor([1.0, 0.04], dtype=torch.float64)), "full"),
        PrecisionParameters.from_covariance(0.16 * torch.eye(1, dtype=torch.float64), "spherical"),
        {TURN: Weibull(0.02, 1.0)},
        {TURN: torch.zeros(1, dtype=torch.float64)},
        {TURN: torch.zeros(1, dtype=torch.float64)},
    ).double()
    optimiser = torch.optim.Adam(start.parameters(), lr=0.1)
    model = MultiStateJointModel(ModelDesign(own, line, {TURN: line}), start, optimiser, verbose=False)
    times = [(time.process_time(), time.perf_counter())]
    model.fit(data)
    times.append((time.process_time(), time.perf_counter()))
    model.compute_summary()
    times.append((time.process_time(), time.perf_counter()))
    cpu, wall = np.diff(np.array(times), axis=0).T
    print(
        json.dumps(
            {
                "cpu": float(cpu.sum()),
                "wall": float(wall.sum()),
                "fit_cpu": float(cpu[0]),
                "iterations": len(model.params_history_) - 1,
                "log_likelihood": float(model.loglik_),
                "estimates": estimates(model.params),
                "version": f"jmstate {version('jmstate')}, torch {torch.__version__}",
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
