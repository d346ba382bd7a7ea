"""What all figures share: colours that colour-blind readers tell apart, one font, files that come out the same."""

import io
import os
import re
import textwrap
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Literal

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

# Okabe and Ito, "Color Universal Design", 2008.
BLACK, ORANGE, SKY, GREEN, YELLOW = "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#8A8A8A"
PALE = "#D9D9D9"

WIDTH = 6.3
"""Width of every figure [inches]; a page scales it."""

STYLE = {
    "font.family": ["DejaVu Sans"],  # shipped with matplotlib: the same letters on every machine
    "font.size": 8.5,
    "axes.labelsize": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.edgecolor": "#444444",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "svg.fonttype": "path",  # letters as outlines: no reader needs the font
    "svg.hashsalt": "dpm",
    "text.parse_math": False,  # a dollar sign in a patient's identifier is a dollar sign
    "figure.dpi": 100,
    "savefig.dpi": 200,
}


def styled[**P](draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the report's style whatever the settings of the session that calls."""

    @wraps(draw)
    def within(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.style.context(["default", STYLE]):
            return draw(*args, **kwargs)

    return within


def figure(height: float) -> Figure:
    """An empty figure of the report's width and this height [inches]."""
    return Figure(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(h_pad=0.07))


def wrapped(text: str, width: int) -> str:
    """Break a text into as few lines as `width` letters allow, of lengths as even as can be."""
    lines = textwrap.wrap(text, width)
    for narrower in range(width - 1, 0, -1):
        tighter = textwrap.wrap(text, narrower, break_long_words=False, break_on_hyphens=False)
        if len(tighter) != len(lines):
            break
        lines = tighter
    return "\n".join(lines)


def title(axes: Axes, text: str) -> None:
    """A title that starts at the left edge of the figure, above the names of the rows."""
    text = wrapped(text, 78)
    axes.set_title("\n".join(" " for _ in text.splitlines()), pad=9)  # keeps the room
    corner: tuple[str, str] = ("figure fraction", "axes fraction")
    written = axes.annotate(text, (0.008, 1), (0, 6), corner, "offset points", va="bottom")
    written.set(fontsize=9, fontweight="bold")
    written.set_in_layout(False)


def unticked(axes: Axes) -> None:
    """Take the marks off the vertical axis where it lists names."""
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def save(drawn: Figure, folder: Path, name: str) -> bytes:
    """Write `name`.svg and `name`.png, each replaced in one step, and return the SVG.

    Neither file holds a date, a version or an address, so that the same tables give the same bytes.
    """
    svg = re.sub(rb"<!DOCTYPE[^>]*>\s*", b"", rendered(drawn, "svg"))
    for suffix, content in (("svg", svg), ("png", rendered(drawn, "png"))):
        replace(folder / f"{name}.{suffix}", content)
    return svg


def rendered(drawn: Figure, kind: Literal["svg", "png"]) -> bytes:
    """The bytes of a file of this kind; they hold no date, version or address."""
    metadata = {"svg": ("Creator", "Date", "Format", "Type"), "png": ("Software",)}[kind]
    buffer = io.BytesIO()
    with matplotlib.style.context(["default", STYLE]):
        drawn.savefig(buffer, format=kind, metadata=dict.fromkeys(metadata), facecolor="white")
    return buffer.getvalue()


def replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
