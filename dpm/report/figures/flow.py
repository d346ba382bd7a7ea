"""Flow of patients: from the file to the analyses, with what was left out and why."""

import textwrap
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dpm.report.figures.style import GREY, WIDTH, figure, styled, wrapped
from dpm.report.numbers import counted
from dpm.report.run_folder import Row, each_row

LINE, SMALL, PAD = 0.15, 0.13, 0.16
"""Height of a line of text, of a line of small text, and what a box adds around its text [inches]."""

LABELS, ASIDE = 1.35, 2.05
"""Widths of the column of step names on the left and of exclusions on the right [inches]."""

EVERYONE = ("", "all")


@dataclass(frozen=True)
class Step:
    """One step: who stayed, by arm, and who left, by reason."""

    name: str
    kept: pd.DataFrame
    excluded: pd.DataFrame
    first: bool

    @property
    def title(self) -> str:
        return wrapped(self.name, 19)

    @property
    def aside(self) -> str:
        """Reasons, and under each who left for it."""
        blocks = []
        for reason, rows in self.excluded.groupby("reason", sort=False):
            blocks += textwrap.wrap(str(reason), 31)
            blocks += [f"   {line}" for row in each_row(rows) for line in loss(row)]
        return "\n".join(blocks)

    @property
    def height(self) -> float:
        """Height of the boxes of those who stayed [inches]."""
        lines = max((box_text(row).count("\n") + 1 for row in each_row(self.kept)), default=0)
        return max(PAD + LINE * lines if lines else 0, LINE * (self.title.count("\n") + 1))

    @property
    def gap(self) -> float:
        """Height above those boxes, where exclusions stand [inches]."""
        if self.aside:
            return aside_height(self.aside) + 0.16
        return 0.04 if self.first else 0.28


def aside_height(text: str) -> float:
    return PAD + SMALL * (text.count("\n") + 1)


def box_text(row: Row) -> str:
    arm = [] if row["arm"] in EVERYONE else [wrapped(str(row["arm"]), 19)]
    return "\n".join([*arm, counted(int(row["patients"]), "patient"), counted(int(row["visits"]), "visit")])


def loss(row: Row) -> list[str]:
    """Who left for a reason, in one line or, with a long name of the arm, in two."""
    patients, visits = int(row["patients"]), int(row["visits"])
    counts = ", ".join([*([counted(patients, "patient")] if patients else []), counted(visits, "visit")])
    if row["arm"] in EVERYONE:
        return [counts]
    line = f"{row['arm']}: {counts}"
    return [line] if len(line) <= 36 else [f"{row['arm']}:", f"   {counts}"]


@styled
def flow_diagram(flow: pd.DataFrame) -> Figure:
    """Boxes of who stayed at each step, one column per arm, and asides of who left.

    Args:
        flow: `cohort/flow.csv` in its order; an empty reason marks those who stayed.
    """
    steps = [
        Step(name, rows[rows["reason"] == ""], rows[rows["reason"] != ""], first=index == 0)
        for index, (name, rows) in enumerate(consecutive(flow))
    ]
    arms = sorted((arm for arm in dict.fromkeys(flow["arm"]) if arm not in EVERYONE), key=set(ended(flow)).__contains__)
    height = sum(step.height + step.gap for step in steps) + 0.04
    drawn = figure(height)
    drawn.set_layout_engine("none")
    axes = drawn.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")
    draw_steps(axes, steps, columns(arms or [""]))
    return drawn


def ended(flow: pd.DataFrame) -> list[str]:
    """Arms that leave whole: they stand on the right, next to the box that says why."""
    last = flow.drop_duplicates("arm", keep="last")
    return [str(arm) for arm in last.loc[last["reason"] != "", "arm"]]


def consecutive(flow: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Rows of each step; two cohorts may have steps of one name, which stay apart."""
    runs = (flow["step"] != flow["step"].shift()).cumsum()
    return [(str(rows["step"].iloc[0]), rows) for _, rows in flow.groupby(runs)]


def columns(arms: list[str]) -> dict[str, tuple[float, float]]:
    """Left edge and width of each arm's boxes, and of a box for everyone [inches]."""
    room = WIDTH - LABELS - ASIDE - 0.3
    width = (room - 0.12 * (len(arms) - 1)) / len(arms)
    placed = {arm: (LABELS + 0.1 + i * (width + 0.12), width) for i, arm in enumerate(arms)}
    return dict.fromkeys(EVERYONE, (LABELS + 0.1, room)) | placed


def draw_steps(axes: Axes, steps: list[Step], placed: dict[str, tuple[float, float]]) -> None:
    top = 0.0
    # Who left before the first boxes did so on the way to them: an arrow from the top.
    foot = {str(arm): top for arm in steps[0].kept["arm"] if steps[0].aside}
    for step in steps:
        top += step.gap
        middle = top - step.gap / 2
        feet = {arm: arrows(axes, arm, top, foot, placed) for arm in step.kept["arm"]}
        if step.aside:
            gone = [arm for arm in dict.fromkeys(step.excluded["arm"]) if arm in foot and arm not in feet]
            feet |= {arm: drop(axes, foot.pop(arm), middle, placed[arm]) for arm in gone}
            start = max(
                [x for xs in feet.values() for x in xs] or [left + width / 2 for left, width in placed.values()]
            )
            draw_aside(axes, step.aside, start, middle)
        name = axes.text(LABELS - 0.02, top + step.height / 2, step.title, ha="right", va="center")
        name.set(fontweight="bold", fontsize=8)
        for row in each_row(step.kept):
            draw_box(axes, row, top, step.height, placed[str(row["arm"])])
            foot = {arm: y for arm, y in foot.items() if arm not in EVERYONE} if row["arm"] not in EVERYONE else {}
            foot |= {str(row["arm"]): top + step.height}
        top += step.height


def arrows(
    axes: Axes, arm: str, top: float, foot: dict[str, float], placed: dict[str, tuple[float, float]]
) -> list[float]:
    """Arrows into an arm's box from the box above it, or from the boxes it is joined from or split off."""
    joined = arm in EVERYONE
    sources = {arm: foot[arm]} if arm in foot else {key: y for key, y in foot.items() if joined or key in EVERYONE}
    centres = []
    for source, y in sources.items():
        left, width = placed[source if joined else arm]
        centres.append(left + width / 2)
        line = {"arrowstyle": "-|>", "color": "#444444", "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (centres[-1], top), (centres[-1], y), arrowprops=line)
    return centres


def drop(axes: Axes, foot: float, middle: float, place: tuple[float, float]) -> list[float]:
    """A line from the last box of an arm that leaves whole down to the height of the aside."""
    centre = place[0] + place[1] / 2
    axes.plot([centre, centre], [foot, middle], color="#444444", linewidth=0.8, solid_capstyle="butt")
    return [centre]


def draw_box(axes: Axes, row: Row, top: float, height: float, place: tuple[float, float]) -> None:
    left, width = place
    axes.add_patch(Rectangle((left, top), width, height, facecolor="white", edgecolor="#444444", linewidth=0.8))
    axes.text(left + width / 2, top + height / 2, box_text(row), ha="center", va="center", fontsize=8)


def draw_aside(axes: Axes, text: str, start: float, middle: float) -> None:
    left, height = WIDTH - ASIDE - 0.02, aside_height(text)
    axes.plot([start, left], [middle, middle], color="#444444", linewidth=0.8)
    box = Rectangle((left, middle - height / 2), ASIDE, height, facecolor="#F4F4F4", edgecolor=GREY, linewidth=0.8)
    axes.add_patch(box)
    axes.text(left + 0.06, middle, text, ha="left", va="center", fontsize=7.5)
