"""`Posterior`: a model and what was learned about it, without the patients it was learned from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pandas as pd
from jax import numpy as jnp
from numpyro.infer import MCMC

from dpm.cohort.cohort import Cohort
from dpm.cohort.encodings import Encodings
from dpm.cohort.fingerprint import fingerprints, scales
from dpm.cohort.records import Records
from dpm.errors import PosteriorError
from dpm.inference.draws import Draws
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.population import population_values
from dpm.posterior.tree import LEADING, Arrays, TreeField, population
from dpm.types import Array, Float, Key, Model, Sites

if TYPE_CHECKING:
    import xarray

__all__ = ["LEADING", "Posterior", "unconstrained"]

SAMPLER_STATS = {"diverging": "diverging", "energy": "energy", "num_steps": "n_steps"}
"""NumPyro's names of sampler statistics, and ArviZ's."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Posterior:
    """A fitted model.

    Attributes:
        model: the callable that was fitted.
        tree: draws in groups `posterior` and `sample_stats` (and `subjects`, if patient-level effects were asked
            for), with dimensions `chain` and `draw`; ArviZ takes it as it is. Made when it is first asked for.
        encodings: learned from the cohort, replayed on any other.
        estimates: the optimum, its standard errors, by site.
        provenance: method, settings, source of the data, support of the fit; plain values.
    """

    model: Model
    tree: "xarray.DataTree" = TreeField()  # type: ignore[assignment]  # noqa: RUF009
    encodings: Encodings
    estimates: pd.DataFrame
    provenance: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        model: Model,
        cohort: Cohort,
        encodings: Encodings,
        draws: Draws,
        *,
        method: str,
        keep_subjects: bool = False,
    ) -> "Posterior":
        """From what a method returned. `keep_subjects` stores patient-level effects too."""
        groups = {"posterior": draws.sites}
        if draws.stats:
            groups["sample_stats"] = draws.stats
        if keep_subjects and draws.subject_sites:
            groups["subjects"] = draws.subject_sites
        tree: Any = Arrays(groups, cohort.subjects.index.astype(str).to_numpy())
        provenance = {"method": method, **_facts(cohort), **draws.facts}
        return cls(model=model, tree=tree, encodings=encodings, estimates=draws.estimates, provenance=provenance)

    @classmethod
    def from_mcmc(cls, model: Model, cohort: Cohort, encodings: Encodings, sampler: MCMC) -> "Posterior":
        """From a NumPyro sampler run by hand on `cohort.records(encodings)`.

        Population sites are kept with what is deterministic outside the plate, so that the convergence gate sees a
        correlation and not only its Cholesky factor; of the extra fields `diverging`, `energy` and `num_steps`.
        """
        records = cohort.records(encodings)
        hierarchy = Hierarchy.of(model, records)
        vector = jnp.zeros(hierarchy.n_population)
        names = jax.eval_shape(lambda v: population_values(hierarchy, v, records), vector)
        samples = sampler.get_samples(group_by_chain=True)
        population = {name: np.asarray(samples[name]) for name in names}
        extra = sampler.get_extra_fields(group_by_chain=True)
        stats = {SAMPLER_STATS[name]: np.asarray(value) for name, value in extra.items() if name in SAMPLER_STATS}
        return cls.of(model, cohort, encodings, Draws(sites=population, stats=stats), method="from_mcmc")

    @property
    def draws(self) -> "xarray.Dataset":
        """The population draws."""
        return self.tree["posterior"].to_dataset()

    @property
    def _population(self) -> Mapping[str, np.ndarray]:
        """The population draws as plain arrays."""
        return population(vars(self)["tree"])

    @property
    def n_draws(self) -> int:
        return int(np.prod(next(iter(self._population.values())).shape[:2]))

    def noted(self, notes: Sequence[str]) -> "Posterior":
        """The same with what a reader of the fit should know in its provenance."""
        return replace(self, tree=vars(self)["tree"], provenance={**self.provenance, "notes": list(notes)})

    def vectors(
        self, hierarchy: Hierarchy, count: int | None = None, *, key: Key | None = None
    ) -> Float[Array, "draw population"]:
        """Population draws as unconstrained vectors, `count` of them evenly spaced over all chains.

        Args:
            hierarchy: of the records to predict.
            count: all draws by default.
            key: for levels of a group that were not met at the fit: each draw takes them anew from the population of
                levels, the same value for all subjects at a level.

        Raises:
            PosteriorError: there are such levels, and no key.
        """
        kept = np.arange(self.n_draws)
        if count is not None and count < self.n_draws:
            kept = np.linspace(0, self.n_draws - 1, count).round().astype(int)
        stacked, draws = {}, self._population
        for number, site in enumerate(hierarchy.population):
            if site.name in draws:
                values = draws[site.name]
                stacked[site.name] = jnp.asarray(values.reshape(-1, *values.shape[2:])[kept])
            elif key is None:
                got = f"none, and a level that was not met at the fit ({site.name})"
                raise PosteriorError("vectors", "a key to draw new levels with", got)
            else:
                stacked[site.name] = jax.random.normal(jax.random.fold_in(key, number), (len(kept), *site.shape))
        return unconstrained(stacked, hierarchy)

    def hierarchy(self, records: Records) -> Hierarchy:
        """The model split at its plate for these records, checked against the draws.

        Raises:
            PosteriorError: if the draws are not of this model.
        """
        hierarchy = Hierarchy.of(self.model, records)
        wrong = _mismatch({name: value.shape[2:] for name, value in self._population.items()}, hierarchy, records)
        if wrong:
            wanted = ", ".join(sorted(site.name for site in hierarchy.population))
            raise PosteriorError("posterior", f"draws of {wanted}", wrong, "Give the model that was fitted.")
        return hierarchy

    def save(self, path: str | Path) -> None:
        """Write one netCDF file; the model itself stays in its source file, named in `provenance`."""
        tree = self.tree.copy()
        tree.attrs = {
            "encodings": json.dumps(self.encodings.to_dict()),
            "provenance": json.dumps(dict(self.provenance), default=float),
            "estimates": self.estimates.to_json(orient="split", double_precision=15),
        }
        # In memory first: HDF5 cannot end in order on a full disk, and takes the process with it.
        # A copy, since the buffer of the library must not outlive it in the traceback of a write that fails.
        content = bytes(tree.to_netcdf(engine="h5netcdf"))
        Path(path).write_bytes(content)

    @classmethod
    def load(cls, path: str | Path, *, model: Model) -> "Posterior":
        """Read what `save` wrote, for the model it was fitted with.

        Raises:
            PosteriorError: if the file is not such a file.
        """
        import xarray

        try:
            with xarray.open_datatree(path, engine="h5netcdf") as opened:
                tree = opened.load()
            encodings = Encodings.from_dict(json.loads(tree.attrs["encodings"]))
            provenance = json.loads(tree.attrs["provenance"])
            table = json.loads(tree.attrs["estimates"])
            estimates = pd.DataFrame(table["data"], index=table["index"], columns=table["columns"])
        except (OSError, KeyError, ValueError, TypeError) as problem:
            raise PosteriorError(
                str(path), "a posterior saved by dpm", type(problem).__name__, "Fit again, or give another file."
            ) from problem
        return cls(model=model, tree=tree, encodings=encodings, estimates=estimates, provenance=provenance)


@partial(jax.jit, static_argnums=1)
def unconstrained(stacked: Sites, hierarchy: Hierarchy) -> Array:
    """Population values of many draws, leading axis `draw`, as unconstrained vectors."""
    return jax.vmap(hierarchy.unconstrain)(stacked)


def _mismatch(have: Mapping[str, tuple[int, ...]], hierarchy: Hierarchy, records: Records) -> str:
    """How draws of these shapes differ from what the model samples, in words; empty where they do not."""

    def run(vector: Array) -> dict[str, Array]:
        zeros = hierarchy.effect_values(jnp.zeros((hierarchy.n_effects, records.n_subjects)))
        trace = hierarchy.trace(hierarchy.constrain(vector), zeros, records)
        return {name: message["value"] for name, message in trace.items() if message["type"] != "plate"}

    shapes = {name: value.shape for name, value in jax.eval_shape(run, jnp.zeros(hierarchy.n_population)).items()}
    missing = sorted(site.name for site in hierarchy.population if site.name not in have and not site.new_level)
    foreign = sorted(set(have) - set(shapes))
    bent = sorted(name for name in set(have) & set(shapes) if have[name] != shapes[name])
    return "; ".join(
        [f"none of {', '.join(missing)}"] * bool(missing)
        + [f"draws of {', '.join(foreign)}, which the model does not have"] * bool(foreign)
        + [f"{name} of shape {have[name]} instead of {shapes[name]}" for name in bent]
    )


def _facts(cohort: Cohort) -> dict[str, Any]:
    """What a reviewer asks of the data behind a posterior; the support is where predictions are interpolation."""
    covariates = {name: cohort.subjects[name].astype(float) for name in cohort.roles.covariates}
    return {
        "source": ", ".join(source.file for source in cohort.sources),
        "source_sha256": ", ".join(source.sha256 for source in cohort.sources),
        "n_subjects": cohort.n_subjects,
        "n_visits": cohort.n_visits,
        "longest_follow_up": float(cohort.visits["time"].max()),
        "support": {name: [float(column.min()), float(column.max())] for name, column in covariates.items()},
        "observed": fingerprints(cohort),
        "scales": scales(cohort),
    }
