"""`method="auto"`: the method for a model and a cohort, and why."""

from dataclasses import replace

from dpm.cohort.buckets import Data
from dpm.errors import InferenceError
from dpm.inference.draws import Method
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.marginal_nuts import MarginalNUTS
from dpm.inference.nuts import NUTS
from dpm.inference.products import spreads_of_levels
from dpm.inference.straight import n_bent
from dpm.types import Model

MANY = 20_000
"""Effects of all subjects together above which they are not sampled: 4,000 draws of so many are 0.6 GB."""

FEW, FEW_EFFECTS = 100, 2
"""Subjects, and effects of each, up to which these are integrated by quadrature at every step of a sampler."""

LONG = 1000
"""Draws a chain of that sampler, as many as `NUTS` takes."""

NODES = {0: 1, 1: 9, 2: 7, 3: 5}
"""Of quadrature, per effect, by how many effects do not enter linearly. Of onset and pace of three markers in 10,000
subjects 5 were refused, 0.19 standard errors from the next level; 7 are 0.09 from it (experiments/benchmarks)."""

MOST_SHIFT = 0.1
"""Of a maximum by the next level of accuracy [standard errors]."""


def chosen(model: Model, records: Data, *, method: str = "auto") -> tuple[Method, str]:
    """A method with its default settings, and the reason in words.

    - Subjects' discrete values, such as subtypes: `MarginalNUTS`, which sums them out; `NUTS` cannot move between them.
    - More than `MANY` effects: `Laplace` with weighted draws. So many subjects leave population values nearly normal,
      and the weights refuse where they do not. But the error of Laplace's own integral grows with their number (of
      10,000 with a logistic course, to 1.7 standard errors), so that up to three effects that do not enter linearly
      are integrated by quadrature, and the fit is refused where the next level of accuracy would move it by more than
      `MOST_SHIFT`.
    - Up to `FEW` subjects with at most `FEW_EFFECTS` effects each: `MarginalNUTS` by quadrature. Few subjects leave
      their spreads and correlations so uncertain that `NUTS`, which moves effects too, diverges: of 109 cohorts of 24
      subjects with a logistic course the convergence gate would stop 74 of its fits, most for divergences; of these one
      diverged, once, and they take four times as long (`growth` in experiments/sbc).
    - Levels of a group whose spread is learned: `MarginalNUTS`. Few levels leave their spread so uncertain that `NUTS`
      diverges, of however many subjects: three markers at four sites, of 100 subjects 6 to 539 times in 4,000 draws, of
      1,000 subjects 7 and 84 times in 2,000; `MarginalNUTS` of neither (experiments/benchmarks).
    - Otherwise `NUTS`, which is exact.

    Raises:
        InferenceError: `method` is another word than `"auto"`.
    """
    if method != "auto":
        expected = 'a method such as dpm.NUTS(), or "auto"'
        raise InferenceError("fit(method=...)", expected, repr(method))
    hierarchy = Hierarchy.of(model, records)
    effects = hierarchy.n_effects * records.n_subjects
    of = f"{records.n_subjects:,} subjects with {hierarchy.n_effects} effects each"
    if hierarchy.classes:
        return MarginalNUTS(), f"method: MarginalNUTS, since {hierarchy.classes[0][0]} is discrete and is summed out."
    if effects > MANY:
        fine, left = Laplace(importance=1000, most_shift=MOST_SHIFT), n_bent(hierarchy, records)
        if left in NODES:
            fine = replace(fine, level="quadrature", n_nodes=NODES[left])
        return fine, (
            f"method: Laplace, level {fine.level}, with draws weighted by the marginal likelihood, since {of} are too "
            "many to sample."
        )
    if records.n_subjects <= FEW and 1 <= hierarchy.n_effects <= FEW_EFFECTS:
        return MarginalNUTS(level="quadrature", draws=LONG), (
            f"method: MarginalNUTS, effects integrated by quadrature, since {of} may leave spreads and correlations "
            "too uncertain for NUTS to move in."
        )
    if spreads := spreads_of_levels(hierarchy, records):
        return MarginalNUTS(draws=LONG), (
            f"method: MarginalNUTS, since few levels may leave {spreads} too uncertain for NUTS to move in."
        )
    return NUTS(), f"method: NUTS, exact and quick enough for {of}."
