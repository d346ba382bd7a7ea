"""Which effects enter straight: a subject's log density is quadratic in them, so that their integral has a formula.

Read off the operations that compute it, not from its values: what is found holds wherever a fit goes.
"""

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import jax
import numpy as np
from jax import numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal  # type: ignore[attr-defined]
from numpyro.distributions.distribution import validation_enabled

from dpm.cohort.buckets import Buckets, Data
from dpm.cohort.records import Records
from dpm.inference.hierarchy import Hierarchy
from dpm.types import PerSubject

BEYOND = 3
"""Degree of what is no polynomial of degree two at most."""

SUBJECTS = 2
"""Of whom the operations are read; they are the same for any number."""

_FOUND: WeakKeyDictionary[Hierarchy, tuple[int, ...]] = WeakKeyDictionary()

type Degrees = np.ndarray
"""Of an array, the degree of each element as a polynomial of the effects in question; 0 for what they do not touch."""


def straight(hierarchy: Hierarchy, data: Data) -> tuple[int, ...]:
    r"""Effects $s$, of all effects $b = (s, r)$, in which every $\ell_i$ is quadratic whatever $r$ and $\varphi$.

    So are random levels and slopes with normal noise, and what enters linearly given the others: a floor beside a
    random onset. As many as are so together, taken in turn. The degree in $s$ of every intermediate value follows from
    those of what it is computed from: sums have the higher one, products the sum; what is not known to be a polynomial
    is taken for none. So an effect may be straight and not be found, such as one that goes through a loop; what is
    found is straight at all values.

    Args:
        hierarchy: the model, split at its plate; with discrete sites, straight is what is so at all their values.
        data: whose columns tell which operations are computed; its values play no part.
    """
    if hierarchy not in _FOUND:
        _FOUND[hierarchy] = _straight(hierarchy, data.largest if isinstance(data, Buckets) else data)
    return _FOUND[hierarchy]


def n_bent(hierarchy: Hierarchy, data: Data) -> int:
    """How many effects of a subject are not straight, and left for nodes; see `straight`."""
    return hierarchy.n_effects - len(straight(hierarchy, data))


def _straight(hierarchy: Hierarchy, records: Records) -> tuple[int, ...]:
    q = hierarchy.n_effects
    few = records.take(np.zeros(SUBJECTS, int))
    population = hierarchy.constrain(hierarchy.prior_centre())

    def computed(one: Hierarchy) -> ClosedJaxpr:
        def density(rows: list[PerSubject]) -> PerSubject:
            return one.log_subject(population, jnp.stack(rows), few)

        with validation_enabled(False):  # which looks at effects, to no effect
            return jax.make_jaxpr(density)([jnp.zeros(SUBJECTS)] * q)

    if not q:
        return ()
    each = [computed(one) for one in hierarchy.by_class()]

    def all_straight(chosen: Sequence[int]) -> bool:
        begin = [np.full(SUBJECTS, int(k in chosen)) for k in range(q)]
        return all(np.max(degrees(one.jaxpr, begin)[0]) < BEYOND for one in each)

    found = list(range(q))
    if not all_straight(found):
        found = []
        for k in range(q):
            if all_straight([*found, k]):
                found.append(k)
    return tuple(found)


def degrees(jaxpr: Jaxpr, begin: Sequence[Degrees]) -> list[Degrees]:
    """Degrees of what a function returns, from those of its arguments."""
    known: dict[Any, Degrees] = dict(zip(jaxpr.invars, begin, strict=True))

    def of(variable: Any) -> Degrees:
        if isinstance(variable, Literal) or variable not in known:  # a constant
            return np.zeros(np.shape(variable.aval), int)
        return known[variable]

    equation: Any  # of which JAX does not type the parts
    for equation in jaxpr.eqns:
        given = [of(variable) for variable in equation.invars]
        shapes = [variable.aval.shape for variable in equation.outvars]
        if not any(np.any(one) for one in given):
            found = [np.zeros(shape, int) for shape in shapes]
        else:
            rule = RULES.get(equation.primitive.name)
            known_as = rule(equation, given) if rule is not None else None
            found = [np.full(shape, BEYOND) for shape in shapes] if known_as is None else known_as
        for variable, one, shape in zip(equation.outvars, found, shapes, strict=True):
            known[variable] = np.broadcast_to(np.minimum(one, BEYOND), shape)
    return [of(variable) for variable in jaxpr.outvars]


type Rule = Callable[[Any, list[Degrees]], list[Degrees] | None]
"""Of an operation and the degrees of its operands, those of its results; none where nothing is known of them."""


def _sum(_: Any, given: list[Degrees]) -> list[Degrees]:
    return [np.maximum(*np.broadcast_arrays(*given))]


def _product(_: Any, given: list[Degrees]) -> list[Degrees]:
    return [given[0] + given[1]]


def _quotient(_: Any, given: list[Degrees]) -> list[Degrees]:
    return [np.where(given[1] > 0, BEYOND, given[0])]


def _power(equation: Any, given: list[Degrees]) -> list[Degrees] | None:
    power = equation.params["y"]
    return [given[0] * power] if power >= 0 else None


def _square(_: Any, given: list[Degrees]) -> list[Degrees]:
    return [2 * given[0]]


def _same(_: Any, given: list[Degrees]) -> list[Degrees]:
    return [given[0]]


def _converted(equation: Any, given: list[Degrees]) -> list[Degrees] | None:
    return [given[0]] if np.issubdtype(equation.params["new_dtype"], np.floating) else None


def _moved(equation: Any, given: list[Degrees]) -> list[Degrees]:
    """Where elements only change places, so do their degrees."""
    with jax.ensure_compile_time_eval():
        found = equation.primitive.bind(*map(jnp.asarray, given), **equation.params)
    return [np.asarray(one) for one in (found if equation.primitive.multiple_results else [found])]


def _summed(equation: Any, given: list[Degrees]) -> list[Degrees]:
    return [np.asarray(np.max(given[0], axis=tuple(equation.params["axes"]), initial=0))]


def _chosen(_: Any, given: list[Degrees]) -> list[Degrees]:
    """One of several, by what effects do not touch."""
    return [np.where(given[0] > 0, BEYOND, np.maximum.reduce(np.broadcast_arrays(*given[1:])))]


def _highest(degree: Degrees) -> Degrees:
    """Of all elements, for results of which any may be made."""
    return np.asarray(np.max(degree, initial=0))


def _looked_up(_: Any, given: list[Degrees]) -> list[Degrees] | None:
    """Elements at places that effects do not touch: any of them."""
    return None if any(np.any(place) for place in given[1:]) else [_highest(given[0])]


def _contracted(_: Any, given: list[Degrees]) -> list[Degrees]:
    return [np.asarray(_highest(given[0]) + _highest(given[1]))]


def _solved(_: Any, given: list[Degrees]) -> list[Degrees] | None:
    """Triangular equations: linear in the right side alone."""
    return None if np.any(given[0]) else [_highest(given[1])]


def _accumulated(_: Any, given: list[Degrees]) -> list[Degrees]:
    return [_highest(given[0])]


def _called(equation: Any, given: list[Degrees]) -> list[Degrees] | None:
    inner = next(
        (equation.params[name] for name in ("jaxpr", "call_jaxpr", "fun_jaxpr") if name in equation.params), None
    )
    if inner is None:
        return None
    return degrees(getattr(inner, "jaxpr", inner), given)


def _branched(equation: Any, given: list[Degrees]) -> list[Degrees] | None:
    if np.any(given[0]):
        return None
    each = [degrees(branch.jaxpr, given[1:]) for branch in equation.params["branches"]]
    return [np.maximum.reduce(np.broadcast_arrays(*of)) for of in zip(*each, strict=True)]


RULES: dict[str, Rule] = {
    **dict.fromkeys(("add", "sub", "add_any"), _sum),
    "mul": _product,
    "div": _quotient,
    "integer_pow": _power,
    "square": _square,
    **dict.fromkeys(("neg", "copy", "copy_p", "reduce_precision"), _same),
    "convert_element_type": _converted,
    **dict.fromkeys(
        (
            *("reshape", "transpose", "broadcast_in_dim", "squeeze", "expand_dims", "slice", "rev", "tile"),
            *("concatenate", "stack", "unstack", "split", "pad"),
        ),
        _moved,
    ),
    "reduce_sum": _summed,
    "select_n": _chosen,
    **dict.fromkeys(("gather", "dynamic_slice"), _looked_up),
    "dot_general": _contracted,
    "triangular_solve": _solved,
    "cumsum": _accumulated,
    **dict.fromkeys(
        ("pjit", "jit", "closed_call", "core_call", "remat", "checkpoint", "custom_jvp_call", "custom_vjp_call"),
        _called,
    ),
    "cond": _branched,
}
