"""Perfect separation: where a likelihood rises without end along an effect, and only its prior stops it."""

import warnings
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from scipy.optimize import linprog

from dpm.cohort.records import Records
from dpm.components.categorical import Binary, Ordinal
from dpm.components.covariate_effect import CovariateEffect, Factor
from dpm.components.event import Event, Process
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.errors import ModelWarning
from dpm.posterior.estimable import composed
from dpm.types import Float, Model

MOST_ROWS = 20_000
"""Measurements up to which separation is looked for: among more there is hardly any, and the search takes long."""

ENDLESS = "the likelihood rises without end with that effect, and how large it is rests on its prior."

type Rows = Float[np.ndarray, "_row _column"]
type Columns = Mapping[str, Float[np.ndarray, " _row"]]
type Wins = Callable[[Columns], bool]


def separations(model: Model, records: Records) -> tuple[str, ...]:
    r"""What a reader has to know where covariates tell outcomes, or events, without one contradiction.

    A direction $\beta$ of the linear predictor along which no observation loses and some gain leaves the likelihood
    without a maximum (Albert & Anderson 1984, doi 10.1093/biomet/71.1.1): every yes has a larger $x^\top\beta$ than
    every no; every event fell on subjects of one end of a covariate. It is found by linear programming, first for each
    covariate alone, then for all of them. Splines are left out, and what a model does to time.

    Args:
        model: one built from components; of another there is no note.
        records: its data.
    """
    built = composed(model)
    if built is None:
        return ()
    notes = [*_of_outcomes(built, records), *_of_events(built, records)]
    for note in notes:
        warnings.warn(note, ModelWarning, stacklevel=4)
    return tuple(notes)


def _of_outcomes(built: ProgressionModel, records: Records) -> Iterator[str]:
    for name, outcome in built.outcomes.items():
        if not isinstance(outcome.noise, Binary | Ordinal):
            continue
        owner = outcome.trajectory if isinstance(outcome.trajectory, str) else name
        effects = [one for site, one in built.parameters().items() if site.startswith((f"{owner}_", f"{name}_"))]
        seen = np.asarray(records.observed[name])
        value = np.asarray(records.values[name])[seen]
        top = outcome.noise.count if isinstance(outcome.noise, Ordinal) else 1
        subject = np.broadcast_to(np.arange(records.n_subjects), seen.shape)[seen]
        if len(value) > MOST_ROWS:
            continue

        def wins(columns: Columns, value: np.ndarray = value, top: int = top) -> bool:
            return recedes(np.zeros((0, len(columns) + top)), _ordered(value, top, columns))

        found = _first({key: column[subject] for key, column in _columns(effects, records).items()}, wins)
        if found:
            yield (
                f"{name}: {found} tells its values without one contradiction in {len(value):,} measurements "
                f"(perfect separation): {ENDLESS}"
            )


def _ordered(value: np.ndarray, top: int, columns: Columns) -> Rows:
    r"""What no observation may lose: $x^\top\beta - b_y$ from below, $b_{y+1} - x^\top\beta$ from above."""
    x = np.stack(list(columns.values()), axis=1)
    eye = np.eye(top)
    above, under = value > 0, value < top
    whole = value.astype(int)
    return np.concatenate(
        [
            np.concatenate([x[above], -eye[whole[above] - 1]], axis=1),
            np.concatenate([-x[under], eye[whole[under]]], axis=1),
        ]
    )


def _of_events(built: ProgressionModel, records: Records) -> Iterator[str]:
    for name, process in built.events.items():
        rows = records.events[name]
        for cause, event in process.named(name).items():
            of = _kind(process, event, rows.types)
            happened = np.isin(np.asarray(rows.kind), of) & np.asarray(rows.present)
            whom = happened.any(axis=0)
            plain = Parameter(0.0, effects=event.effects)

            def wins(columns: Columns, whom: np.ndarray = whom) -> bool:
                x = np.stack([np.ones(len(whom)), *columns.values()], axis=1)
                return recedes(x[whom], -x)

            found = _first(_columns([plain], records), wins)
            if found and whom.any():
                yield (
                    f"{cause}: every one of {int(whom.sum()):,} events fell on subjects at one end of {found} "
                    f"(monotone likelihood): {ENDLESS}"
                )


def _kind(process: Process, event: Event, types: tuple[str, ...]) -> list[int]:
    """The numbers in the records of the types that count as one event."""
    number = 1 + list(process.causes().values()).index(event)
    return [k for k, cause in enumerate(process.kinds(types), 1) if cause == number]


def _columns(parameters: list[Parameter], records: Records) -> dict[str, np.ndarray]:
    """Every covariate of some parameters, without what the cohort lacks and what does not vary."""
    found: dict[str, np.ndarray] = {}
    for parameter in parameters:
        for covariate, effect in parameter.effects.items():
            if isinstance(effect, Factor):
                levels = np.asarray(records.groups.get(covariate, np.zeros((0, records.n_subjects))))
                found |= {f"{covariate}, level {k}": row for k, row in enumerate(levels[1:], 1)}
            elif not isinstance(effect, CovariateEffect | float | int):
                factors = covariate.split(":")
                if all(factor in records.covariates and factor not in records.missing for factor in factors):
                    found[covariate] = np.prod([np.asarray(records.covariates[one]) for one in factors], axis=0)
    return {name: column for name, column in found.items() if np.ptp(column) > 0}


def _first(columns: Columns, wins: Wins) -> str:
    """The covariates that separate, each alone where one does, else all together; empty where none do."""
    alone = [name for name, column in columns.items() if wins({name: column})]
    if alone:
        return " or ".join(alone)
    return f"a combination of {', '.join(columns)}" if len(columns) > 1 and wins(columns) else ""


def recedes(level: Rows, rising: Rows) -> bool:
    r"""Whether some direction $\beta$ has $L\beta = 0$ and $R\beta \ge 0$, not all zero.

    Args:
        level: rows of $L$, along which nothing may change.
        rising: rows of $R$, along which nothing may fall.
    """
    scale = np.maximum(np.abs(np.concatenate([level, rising])).max(axis=0), 1e-300)
    # A few rows stand for many: of covariates that are few numbers most are the same.
    level, rising = (np.unique(rows / scale, axis=0) if len(rows) else rows for rows in (level, rising))
    found = linprog(
        -rising.sum(axis=0),
        A_ub=-rising,
        b_ub=np.zeros(len(rising)),
        A_eq=level if len(level) else None,
        b_eq=np.zeros(len(level)) if len(level) else None,
        bounds=(-1.0, 1.0),
        method="highs",
    )
    return bool(found.status == 0 and -found.fun > 1e-6)
