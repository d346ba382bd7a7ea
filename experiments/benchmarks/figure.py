"""Time against size from the stored results, both axes logarithmic: a line per program, its fitted exponent beside it.

python -m experiments.benchmarks.figure
"""

import json
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from experiments.benchmarks import logistic

RESULTS = Path(__file__).parent / "results"
COLOURS = {"dpm": "#0072b2", "tmb": "#d55e00", "nlme": "#009e73", "nlmer": "#cc79a7"}
MODELS = {"logistic": "one marker", "latent_time": "three markers, latent time", "joint": "marker and death"}
STYLES = dict(zip(MODELS, ("#0072b2", "#e69f00", "#56b4e9"), strict=True))


def curve(axes: Axes, runs: dict[str, Any], key: str, label: str, slope: float | None, colour: str, style: str) -> None:
    sizes = sorted(runs, key=int)
    if not sizes:
        return
    seconds = [min(runs[n][key]) for n in sizes]
    said = label if slope is None else f"{label}, exponent {slope:.2f}"
    axes.plot([int(n) for n in sizes], seconds, style, color=colour, marker="o", label=said)


def finish(axes: Axes, title: str) -> None:
    axes.set(xscale="log", yscale="log", xlabel="subjects", ylabel="CPU time [s]", title=title)
    axes.grid(alpha=0.3, which="major")
    axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)


def draw(folder: Path = RESULTS) -> Path:
    """Write `time_by_size.svg` into the folder of the results, from what is there."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5.2), layout="constrained")
    result = json.loads((folder / "logistic.json").read_text(encoding="utf-8"))["logistic"]
    for name, runs in result["runs"].items():
        curve(left, runs, "cpu", logistic.NAMES[name].replace("`", ""), result["exponent"][name], COLOURS[name], "-")
    curve(left, result["runs"]["dpm"], "process_cpu", "dpm, whole process", None, COLOURS["dpm"], ":")
    curve(left, result["runs"]["tmb"], "process_cpu", "TMB, whole process", None, COLOURS["tmb"], ":")
    finish(left, "Maximum likelihood, one logistic marker")
    if (folder / "growth.json").exists():
        grown = json.loads((folder / "growth.json").read_text(encoding="utf-8"))["growth"]
        for name, runs in grown["runs"].items():
            curve(right, runs, "cpu", MODELS[name], grown["exponent"][name], STYLES[name], "-")
        finish(right, "dpm Laplace, compiled, by model")
    else:
        right.set_visible(False)
    path = folder / "time_by_size.svg"
    figure.savefig(path)
    plt.close(figure)
    return path


if __name__ == "__main__":
    print(draw())
