"""A run of chains from where they are to the last draw: in pieces, told of, and saved now and then."""

from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from dpm.errors import InferenceError
from dpm.inference.chains import LONGEST, Chains, Rows, fits, packed, unpacked
from dpm.inference.checkpoint import START, STATE, Saved
from dpm.inference.progress import Ticker
from dpm.inference.transition import Chain
from dpm.types import Key, Sites

DRAWS = "draws-*.npz"
"""Names of files of draws."""

PIECE = 1.0
"""How long a piece should take, so that a reader sees it move and Ctrl-C is heard [s]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reached:
    """How far the chains have come.

    Attributes:
        step: transitions of each chain, warm-up included.
        state: of the chains.
        pieces: the draws kept so far, in order.
        divergences: among them.
        seconds: of sampling, over all processes that had a part in it.
    """

    step: int
    state: Chain
    pieces: tuple[Rows, ...] = ()
    divergences: int = 0
    seconds: float = 0.0


def pursue(chains: Chains, reached: Reached, *, draws: int, saved: Saved | None, ticker: Ticker) -> Reached:
    """Go on to the last draw.

    Raises:
        InferenceError: a checkpoint cannot be written; what was saved before stays.
        KeyboardInterrupt: after saving.
    """
    ends = (chains.settings.warmup, chains.settings.warmup + draws)
    stored, length = reached, 1
    try:
        while reached.step < ends[-1]:
            before = reached
            reached = _moved(chains, before, min(length, _room(before, stored, ends, saved)))
            length = _length(reached.step - before.step, reached.seconds - before.seconds)
            ticker.tell(reached.step, reached.divergences)
            if saved is not None and _due(reached, stored, ends, saved):
                reached = stored = save(saved, reached, stored)
    except KeyboardInterrupt:
        if saved is not None:
            save(saved, reached, stored)
        raise
    finally:
        ticker.end()
    return reached


def _moved(chains: Chains, reached: Reached, length: int) -> Reached:
    """One more piece."""
    began = perf_counter()
    state, rows = chains.advance(reached.state, length)
    moved = replace(reached, step=reached.step + length, state=state, seconds=reached.seconds + perf_counter() - began)
    if reached.step < chains.settings.warmup:
        return moved
    divergences = reached.divergences + int(rows["diverging"].sum())
    return replace(moved, pieces=(*reached.pieces, rows), divergences=divergences)


def _length(done: int, seconds: float) -> int:
    """Of a piece that takes about `PIECE`, after one of `done` transitions that took `seconds`."""
    return int(np.clip(done * PIECE / max(seconds, 1e-9), 1, LONGEST))


def _room(reached: Reached, stored: Reached, ends: tuple[int, int], saved: Saved | None) -> int:
    """Transitions up to where the warm-up ends, the draws end, or a save is due."""
    stops = [end for end in ends if end > reached.step]
    if saved is not None and saved.checkpoint.draws is not None:
        stops.append(stored.step + saved.checkpoint.draws)
    return min(stops) - reached.step


def _due(reached: Reached, stored: Reached, ends: tuple[int, int], saved: Saved) -> bool:
    waited = reached.step - stored.step, reached.seconds - stored.seconds
    return reached.step in ends or saved.checkpoint.due(*waited)


def save(saved: Saved, reached: Reached, stored: Reached) -> Reached:
    """Write what is not stored yet, the draws first: until the state names them, they are not there.

    Raises:
        InferenceError: the folder cannot be written; what is stored stays.
    """
    lengths = [_count(piece) for piece in stored.pieces]
    pieces = stored.pieces
    new = reached.pieces[len(pieces) :]
    if new:
        one = joined(new)
        saved.write(_name(sum(lengths), _count(one)), one)
        pieces, lengths = (*pieces, one), [*lengths, _count(one)]
    facts = {"step": reached.step, "seconds": reached.seconds, "lengths": np.array(lengths, dtype=int)}
    saved.write(STATE, {**{name: np.asarray(fact) for name, fact in facts.items()}, **packed(reached.state)})
    return replace(reached, pieces=pieces)


def restored(saved: Saved, chains: Chains, starts: Sites, *, key: Key) -> Reached:
    """What is in the folder of a checkpoint: its last state, or else the first.

    Raises:
        InferenceError: a file is missing or broken, another version of dpm wrote it, or the model has another density
            than the one saved.
    """
    begun = saved.has(STATE)
    arrays = saved.read(STATE if begun else START)
    shape = chains.shape(starts, key=key)
    if not fits(arrays, shape):
        do = "Go on with the version that wrote it, or delete the folder to begin anew."
        raise InferenceError(str(saved.folder), "a checkpoint of this version of dpm", "one of another", do)
    state = unpacked(arrays, shape, key=key)
    saved.require_density(np.asarray(state.potential), chains.potentials(state))
    lengths = [int(length) for length in arrays["lengths"]] if begun else []
    names = [_name(sum(lengths[:k]), length) for k, length in enumerate(lengths)]
    saved.discard(DRAWS, but=set(names))
    if not begun:
        return Reached(step=0, state=state)
    pieces = tuple(saved.read(name) for name in names)
    return Reached(
        step=int(arrays["step"]),
        state=state,
        pieces=pieces,
        divergences=sum(int(piece["diverging"].sum()) for piece in pieces),
        seconds=float(arrays["seconds"]),
    )


def joined(pieces: tuple[Rows, ...]) -> dict[str, np.ndarray]:
    """All draws of some pieces."""
    return {name: np.concatenate([piece[name] for piece in pieces], axis=1) for name in pieces[0]}


def _count(piece: Rows) -> int:
    return int(piece["diverging"].shape[1])


def _name(first: int, count: int) -> str:
    """Of the file of some draws, by their places in the run."""
    return DRAWS.replace("*", f"{first + 1}-{first + count}")
