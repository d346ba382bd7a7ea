"""Variational inference: a guide fitted to the posterior, weighed, and refused where it does not reach it."""

from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Literal

import jax
import numpy as np
import pandas as pd
from jax import numpy as jnp

from dpm.cohort.buckets import Data
from dpm.errors import InferenceError
from dpm.inference.draws import Draws
from dpm.inference.elbo import Climbed, Target, climb
from dpm.inference.faults import located
from dpm.inference.guide import Diagonal, Full, Guide, Heavy, Joint, LowRank, Shape, Structured
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.importance import LARGEST_PARETO_K, effective_size
from dpm.inference.marginal import Level, Marginal
from dpm.inference.pathfinder import pathfinder
from dpm.inference.progress import Line
from dpm.inference.start import Start
from dpm.inference.straight import n_bent
from dpm.inference.weighing import LARGEST_WIDENING, Weighing, weigh
from dpm.inference.whitening import Whitening
from dpm.types import Array, Key, Model

Family = Literal["mean-field", "low-rank", "structured"]
From = Literal["laplace", "pathfinder", "prior"]

RANK = 5
"""Of the low-rank family, where none is given."""

FIRST_SD = {"laplace": 1.0, "pathfinder": 1.0, "prior": 0.1}
"""Of the guide where its ascent begins: the approximation it starts from; well inside the prior."""

MOST_BENT = 16
"""Population values up to which the means of effects are quadratic in them: there are half their square of terms."""

TOLD = 1.1
"""Ratio of a weighted sd to the guide's above which a note says so, where the guide's own draws are kept."""

INSTEAD = "Sample with NUTS() instead"


@dataclass(frozen=True, kw_only=True)
class Variational:
    r"""A guide $q(b, \varphi)$ that minimises $\mathrm{KL}(q \,\|\, p(b, \varphi \mid y))$, weighed afterwards.

    The guide lives in the variables $(u, w)$ of `Whitening`. From a Laplace fit (`start="laplace"`) these make the
    posterior near standard normal, so that the ascent begins at the Laplace approximation and every family there
    starts from its correlations: its `"mean-field"` is independent in those axes, not in the model's own. Where the
    maximum is not found from the prior means, `start="pathfinder"` looks for it from the best point of several
    quasi-Newton paths, see `pathfinder`. `start="prior"` needs no maximum: the axes are the model's own, unconstrained
    and in prior sds, and a guide there is narrower (60 subjects with a line each: an sd of half the posterior's, found
    out by its weights).

    Minimising this divergence makes a guide too narrow where its family is too small, and no bound shows it. What shows
    it are importance weights of its own draws, which are always computed: of everything, $p(y, b, \varphi)/q$, and of
    the population values with effects integrated out at `level`. With a Pareto k above 0.7, or weights that widen an sd
    by more than half (below that k a guide three times too narrow passes one time in five), the fit is refused; else
    draws are resampled by the smoothed weights, which take sds to those of the posterior. For `"structured"` the
    weights of the population values decide, and each subject's effects are weighed on their own: those the guide does
    not reach are named in a note. For the other families both decide, and weights of everything are passed by no guide
    of more than some tens of subjects. A second mode that no draw falls into goes unseen by any weights.

    Attributes:
        family: `"structured"`: population values as a multivariate t of twelve degrees with a full covariance, and each
            subject's effects normal given them, with a mean that moves with them and a triangular scale of its own.
            `"low-rank"`: everything together, normal, covariance diagonal plus `rank` columns. `"mean-field"`:
            everything independent and normal.
        rank: columns of `"low-rank"` (5 by default); for `"structured"`, of the covariance of population values,
            which is full by default.
        order: of `"structured"`: means of effects are linear (1) or quadratic (2) in the population values; by default
            quadratic up to `MOST_BENT` of these.
        start: `"laplace"`, `"pathfinder"` or `"prior"`, see above.
        samples: draws of the guide per step.
        steps: at most.
        tolerance: rise of the bound between two windows, over its size, that counts as at rest.
        proposals: draws of the guide that are weighed.
        draws: kept.
        importance: resample draws by their weights; False keeps the guide's own.
        level, n_nodes: of the integral over effects, see `Marginal`; by default quadrature with seven nodes up to two
            effects that do not enter linearly, `"laplace"` for more.
        on_unreliable: `"refuse"`, or `"flag"`: a guide that has not converged or whose weights cannot be relied on is
            kept, with its own draws and a note that stays with the posterior.
        progress: tell steps and bound on the error stream, as `NUTS` does.
    """

    family: Family = "structured"
    rank: int | None = None
    order: Literal[1, 2] | None = None
    start: From = "laplace"
    samples: int = 8
    steps: int = 20_000
    tolerance: float = 1e-4
    proposals: int = 2000
    draws: int = 1000
    importance: bool = True
    level: Level | None = None
    n_nodes: int = 7
    on_unreliable: Literal["refuse", "flag"] = "refuse"
    progress: bool = field(default=True, repr=False)

    def run(self, model: Model, records: Data, *, key: Key) -> Draws:
        """Fit the guide, weigh it, and draw from it.

        Raises:
            InferenceError: a setting is unknown, the model has discrete sites or nothing to learn, the Laplace start
                fails, the density is mostly not finite, or, unless flagged, the bound still rises after `steps` or the
                guide does not reach the posterior.
        """
        began = perf_counter()
        hierarchy = Hierarchy.of(model, records)
        self._refuse(hierarchy)
        start_key, begin_key, climb_key, weigh_key, choice_key = jax.random.split(key, 5)
        whitening, estimates = self._started(hierarchy, records, key=start_key)
        shape = Shape(hierarchy.n_population, hierarchy.n_effects, records.n_subjects)
        target = Target(hierarchy, self._guide(hierarchy), shape, self.samples)
        try:
            climbed = climb(
                target,
                target.guide.begin(shape, FIRST_SD[self.start], key=begin_key),
                whitening,
                records,
                steps=self.steps,
                tolerance=self.tolerance,
                line=Line("Variational", shown=self.progress),
                key=climb_key,
            )
        except InferenceError as problem:
            raise located(problem, hierarchy, whitening.centre, records) from problem
        notes = self._unconverged(climbed)
        marginal_key, own_key = jax.random.split(weigh_key)
        marginal = self._marginal(hierarchy, records, key=marginal_key)
        weighing = weigh(target, climbed.parameters, marginal, whitening, records, count=self.proposals, key=own_key)
        notes += self._unreached(weighing) + _unreached_subjects(weighing)
        chosen = self._chosen(weighing, key=choice_key)
        samples = {"u": weighing.u[chosen][None], "w": weighing.w[chosen][None]}
        sites, subject_sites = whitening.sites(hierarchy, samples, records)
        facts = {
            **self._facts(climbed, weighing, marginal),
            "n_population": hierarchy.n_population,
            "seconds": perf_counter() - began,
            "notes": notes,
        }
        return Draws(sites=sites, subject_sites=subject_sites, estimates=estimates, facts=facts)

    def _refuse(self, hierarchy: Hierarchy) -> None:
        for name, allowed in (
            ("family", ("mean-field", "low-rank", "structured")),
            ("start", tuple(FIRST_SD)),
            ("on_unreliable", ("refuse", "flag")),
        ):
            if getattr(self, name) not in allowed:
                raise InferenceError(f"Variational({name}=...)", ", ".join(allowed), repr(getattr(self, name)))
        if self.rank is not None and (self.rank < 1 or self.family == "mean-field"):
            got = f"{self.rank} with family={self.family!r}"
            raise InferenceError("Variational(rank=...)", 'at least one, for "low-rank" or "structured"', got)
        if hierarchy.classes:
            do = "Use Laplace(), whose marginal sums them out exactly and whose draws are weighted by it."
            raise InferenceError(
                "Variational", "a model without discrete sites of subjects", hierarchy.classes[0][0], do
            )
        if not hierarchy.population:
            do = "Give a prior to what is to be learned."
            raise InferenceError("Variational", "at least one value to learn", "a model of fixed numbers", do)

    def _guide(self, hierarchy: Hierarchy) -> Guide:
        if self.family == "mean-field":
            return Joint(Diagonal())
        if self.family == "low-rank":
            return Joint(LowRank(self.rank or RANK))
        order = self.order or (2 if hierarchy.n_population <= MOST_BENT else 1)
        return Structured(Heavy(LowRank(self.rank) if self.rank else Full()), order)

    def _started(self, hierarchy: Hierarchy, records: Data, *, key: Key) -> tuple[Whitening, pd.DataFrame]:
        """The variables of the guide, and the estimates they stand on."""
        if self.start == "prior":
            return Whitening.of_prior(hierarchy, records), pd.DataFrame()
        point = None
        if self.start == "pathfinder":
            path_key, key = jax.random.split(key)
            point = jnp.asarray(pathfinder(hierarchy, records, key=path_key).mean[: hierarchy.n_population])
        try:
            begun = Start.of_laplace(Marginal(hierarchy), records, key=key, point=point)
        except InferenceError as problem:
            do = f'{problem.do} start="pathfinder" looks for it from elsewhere, start="prior" needs none.'
            where, whom = "Variational, Laplace start", problem.subjects
            raise InferenceError(where, problem.expected, problem.got, do, whom) from problem
        return begun.whitening, begun.optimum.estimates

    def _marginal(self, hierarchy: Hierarchy, records: Data, *, key: Key) -> Marginal:
        few = hierarchy.n_effects and n_bent(hierarchy, records) <= 2
        level = self.level or ("quadrature" if few else "laplace")
        return Marginal.at(hierarchy, level, records, n_nodes=self.n_nodes, key=key)

    def _unconverged(self, climbed: Climbed) -> list[str]:
        if climbed.rise <= 1.0:
            return []
        got = f"one that still rises after {climbed.steps:,} steps (at {climbed.elbo:.2f} ± {climbed.error:.2f})"
        if self.on_unreliable == "flag":
            return [f"The variational fit has not converged: its bound is {got}. Do not rely on its sds."]
        do = f'Raise steps, or samples where the error is large. {INSTEAD}, or keep it with on_unreliable="flag".'
        raise InferenceError("Variational", "a bound that has come to rest", got, do)

    def _unreached(self, weighing: Weighing) -> list[str]:
        if weighing.reliable:
            return self._narrow(weighing)
        got = f"a Pareto k of {weighing.pareto_k:.2f}, so that sds may be far too small"
        if weighing.lost:
            got = f"no weight at {weighing.lost:,} of {self.proposals:,} draws, where a density is not finite"
        elif weighing.pareto_k <= LARGEST_PARETO_K:
            got = f"weights that widen an sd by {weighing.narrow:.2f}, and may still leave it too small"
        if self.on_unreliable == "flag":
            return [f"The variational fit does not reach the posterior: it has {got}. Do not rely on its sds."]
        other = "" if self.family == "structured" else 'Take family="structured", which bends with each subject. '
        do = f'{other}{INSTEAD}, or keep it with on_unreliable="flag".'
        expected = (
            f"weights with a Pareto k of at most {LARGEST_PARETO_K} that widen no sd by more than {LARGEST_WIDENING}"
        )
        raise InferenceError(f"Variational(family={self.family!r})", expected, got, do)

    def _narrow(self, weighing: Weighing) -> list[str]:
        if self.importance or weighing.narrow <= TOLD:
            return []
        by = weighing.narrow - 1.0
        return [f"The guide's own draws are kept: by its weights, sds are up to {by:.0%} larger (importance=True)."]

    def _chosen(self, weighing: Weighing, *, key: Key) -> Array:
        """Which proposals are kept: by weight where the weights can be relied on, else as they come."""
        p = jnp.asarray(weighing.share) if self.importance and weighing.reliable else None
        return jax.random.choice(key, self.proposals, (self.draws,), replace=True, p=p)

    def _facts(self, climbed: Climbed, weighing: Weighing, marginal: Marginal) -> dict[str, Any]:
        each = weighing.pareto_k_subjects
        return {
            "family": self.family,
            "elbo": climbed.elbo,
            "elbo_error": climbed.error,
            "elbo_rise": climbed.rise,
            "steps": climbed.steps,
            "pareto_k": weighing.pareto_k,
            "pareto_k_joint": weighing.pareto_k_joint,
            **({"pareto_k_subjects": float(np.max(each))} if each.size else {}),
            "level": marginal.level,
            "importance": self.proposals if self.importance and weighing.reliable else 0,
            "importance_ess": effective_size(weighing.share),
            "narrow": weighing.narrow,
        }


def _unreached_subjects(weighing: Weighing) -> list[str]:
    lost = weighing.unreliable_subjects
    if not lost.size:
        return []
    worst = float(np.max(weighing.pareto_k_subjects))
    return [
        f"The guide does not reach the effects of {lost.size} of {weighing.subjects.size} subjects looked at (Pareto k "
        f"up to {worst:.2f}, first at position {lost[0]}): do not rely on the sds of subject effects."
    ]
