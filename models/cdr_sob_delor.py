r"""Alzheimer's disease, CDR sum of boxes (0 to 18, higher is worse), by time since onset, in two classes.

$$\mu_i(\tau) = 18 / (1 + e^{c - A_i(\tau)}),\qquad A_i' = r_{z_i} + \alpha_i A_i\ (\tau > 0),\quad A_i(0) = 0,$$
$$\mathrm{logit}(y / 18) \sim N(\mathrm{logit}[\{\mu_i - p_i(1 - e^{-t})\} / 18],\ \sigma^2)$$

with $\tau = t - \delta_i$ years since onset, $t$ years since study entry, $z_i$ fast or slow, and $\alpha_i = 0$ in the
slow. The equation is solved in closed form. So that gradients exist, $\tau_+$ is rounded within 0.05 years of the
onset, and the gain $p_i(1 - e^{-t})$ after study entry within half a step of a score of 0, which it cannot pass.

Source: Delor et al. 2013, doi 10.1038/psp.2013.54: 560 patients of ADNI (380 with mild cognitive impairment, 180 with
Alzheimer's disease), 2,700 scores over up to 4 years. Values transcribed; coefficients of variation are taken as of a
log-normal. In the source the disease sets in as $T^{30} / (D^{30} + T^{30})$ on a clock of its own, with the onset $D$
at 16.1 years (1.5 % between patients). Where study entry lies on that clock was not found: here onset is counted from
study entry, and its typical value is ours. So is the intercept of the classes, which the source does not tabulate; it
reports 44 % slow in impairment, 3 % in Alzheimer's disease. The source's onset falls with the power -0.072 of CDR-SOB
and -0.0439 of ADAS-Cog; times 16.1 years these are the effects of the logarithms here.

Data needed: `cdr_sob` (kind bounded, 0 to 18, a score on a bound as one beyond the last step before it, by `limits`) at
visits; baseline `log_cdr` and `log_adas` (logarithms of score / 2 and score / 12.67), `log_mmse` (logarithm of score /
26), `cdr` and `faq` (scores above 1), `hippocampus` (share of the volume expected at that age and head size, above 1).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.cohort import Cohort
from dpm.cohort.outcome_role import OutcomeRole
from dpm.cohort.records import Records
from dpm.components.card import ModelCard
from dpm.components.change import Change
from dpm.components.clock import LatentTime, onset, pace
from dpm.components.course import Course
from dpm.components.growth import LARGEST_EXPONENT
from dpm.components.logit_normal import LogitNormal
from dpm.components.outcome import Outcome
from dpm.components.parameter import ByClass, Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.scalar import Scalar
from dpm.components.subtype import Subtypes
from dpm.components.trajectory import Trajectory
from dpm.types import Key, PerVisit
from dpm.virtual.design import Design

NONE = -20.0
"""The logarithm of no acceleration: two billionths a year."""

DISEASE_ONSET = 16.1
"""Published, on the source's clock [years]."""

TYPICAL = {
    "clock_onset": -4.0,
    "clock_onset_sd": 0.015 * DISEASE_ONSET,
    "clock_onset_log_cdr": -0.072 * DISEASE_ONSET,
    "clock_onset_log_adas": -0.0439 * DISEASE_ONSET,
    "subtype_slow": float(np.log(0.44 / 0.56)),
    "subtype_slow_cdr": -1.27,
    "subtype_slow_faq": -0.341,
    "subtype_slow_hippocampus": 7.5,
    "cdr_sob_rate_0": float(np.log(0.373)),
    "cdr_sob_rate_1": float(np.log(0.260)),
    "cdr_sob_acceleration_0": float(np.log(0.0499)),
    "cdr_sob_acceleration_sd": float(np.sqrt(np.log1p(0.64**2))),
    "cdr_sob_acceleration_log_mmse": -2.01,
    "cdr_sob_correction": 4.48,
    "cdr_sob_entry_size": float(np.log(0.434)),
    "cdr_sob_entry_size_sd": float(np.sqrt(np.log1p(0.86**2))),
    "cdr_sob_sd": 0.377,
}
"""Ours, not published: `clock_onset`, and `subtype_slow`, the log odds of the 44 % of impairment."""

CARD = ModelCard(
    title="CDR sum of boxes in mild cognitive impairment and Alzheimer's disease, fast and slow",
    context_of_use="Expected course of CDR-SOB after entry into a study, and the share who progress slowly.",
    population="Mild cognitive impairment and mild Alzheimer's disease in ADNI.",
    disease="Alzheimer's disease",
    endpoint="CDR-SOB (0-18)",
    source="Delor 2013, doi 10.1038/psp.2013.54",
    status="published values; onset before entry and intercept of the classes are ours",
    units={
        "clock_onset": "years since study entry",
        "clock_onset_sd": "years",
        "clock_onset_log_cdr": "years per log CDR-SOB",
        "clock_onset_log_adas": "years per log ADAS-Cog",
        "subtype_slow": "log odds",
        "subtype_slow_cdr": "log odds per point",
        "subtype_slow_faq": "log odds per point",
        "subtype_slow_hippocampus": "log odds per expected volume",
        "cdr_sob_rate_0": "log 1/years",
        "cdr_sob_rate_1": "log 1/years",
        "cdr_sob_acceleration_0": "log 1/years",
        "cdr_sob_acceleration_sd": "log 1/years",
        "cdr_sob_acceleration_log_mmse": "log 1/years per log MMSE",
        "cdr_sob_correction": "logit of the scale",
        "cdr_sob_entry_size": "log points",
        "cdr_sob_entry_size_sd": "log points",
        "cdr_sob_sd": "logit of the scale",
    },
    covariates={
        "log_cdr": "CDR-SOB, per log",
        "log_adas": "ADAS-Cog, per log",
        "log_mmse": "MMSE, per log",
        "cdr": "CDR-SOB, per point",
        "faq": "functional questionnaire, per point",
        "hippocampus": "hippocampus, per expected volume",
    },
    reasons={
        "clock_onset": "between now and eight years before entry; not published",
        "clock_onset_sd": "published 1.5 % of 16.1 years; wider, since entry was not found",
        "clock_onset_log_cdr": "published -0.072 of 16.1 years, centred on no effect",
        "clock_onset_log_adas": "published -0.0439 of 16.1 years, centred on no effect",
        "subtype_slow": "between 5 and 95 % slow (2 sd); not published",
        "subtype_slow_cdr": "published -1.27, centred on no effect",
        "subtype_slow_faq": "published -0.341, centred on no effect",
        "subtype_slow_hippocampus": "published 7.5, centred on no effect",
        "cdr_sob_rate_0": "published 0.373 a year",
        "cdr_sob_rate_1": "published 0.260 a year",
        "cdr_sob_acceleration_0": "published 0.0499 a year; a factor of 2.7 (2 sd) either way keeps the classes apart",
        "cdr_sob_acceleration_sd": "published 64 %",
        "cdr_sob_acceleration_log_mmse": "published -2.01, centred on no effect",
        "cdr_sob_correction": "published 4.48: 0.2 points at onset",
        "cdr_sob_entry_size": "published 0.434 points",
        "cdr_sob_entry_size_sd": "published 86 %",
        "cdr_sob_sd": "published 0.377",
    },
    limitations=(
        "How long before study entry the disease began is hardly told apart from how fast it runs.",
        "The gain after study entry is a trial's or a cohort's own, not the disease's.",
        "Scores in halves are taken as continuous.",
    ),
)


@dataclass(frozen=True, kw_only=True)
class AcceleratingFromOnset(Trajectory):
    r"""$\mu = 18\,\sigma(A - c)$, $A = r\,(e^{\alpha u} - 1)/\alpha$, $u = w \log(1 + e^{\tau/w})$, $w$ = 0.05 years.

    Attributes:
        rate: $r$, of the logit [1/years].
        acceleration: $\alpha$ [1/years].
        correction: $c$; minus the logit of the score before onset.
    """

    rate: Parameter
    acceleration: Parameter
    correction: Scalar

    width = 0.05
    equation = (
        r"\mu = 18 / \{1 + e^{\mathrm{correction} - A}\},\quad"
        r" A = \mathrm{rate}\,(e^{\mathrm{acceleration}\;t_+} - 1) / \mathrm{acceleration}"
    )

    def curve(self, time: PerVisit, *, rate: Any, acceleration: Any, correction: Any) -> PerVisit:
        since = self.width * jnp.logaddexp(0.0, time / self.width)
        x = jnp.minimum(acceleration * since, LARGEST_EXPONENT)
        # (e^x - 1) / x loses its digits near zero, where a series has them all.
        far = jnp.where(x > 1e-4, x, 1.0)
        state = rate * since * jnp.where(x > 1e-4, jnp.expm1(far) / far, 1.0 + 0.5 * x + x**2 / 6.0)
        return 18.0 / (1.0 + jnp.exp(jnp.minimum(correction - state, LARGEST_EXPONENT)))


@dataclass(frozen=True, kw_only=True)
class EntryGain(Change):
    r"""Fewer points after study entry, $\mu - g$ with $g = p\,(1 - e^{-kt})$, rounded near a score of 0.

    $$\tfrac12 \{x + \sqrt{x^2 + 4\epsilon^2}\},\qquad x = \mu - \epsilon^2/\mu - g,\qquad \epsilon = 0.25$$

    It is $\mu$ at $g = 0$, close to $\mu - g$ above one point, and positive for any gain.

    Attributes:
        size: $p$ [points].
        rate: $k$ [1/years].
    """

    size: Parameter
    rate: Scalar

    half_step = 0.25
    equation = r"\mu(t) - \mathrm{size}\,(1 - e^{-\mathrm{rate}\;t_+}),\ \text{rounded near 0}"

    def course(self, unchanged: Course, time: PerVisit, records: Records, *, size: Any, rate: Any) -> PerVisit:
        before = unchanged(time)
        left = before - self.half_step**2 / before + size * jnp.expm1(-rate * jnp.maximum(time, 0.0))
        return 0.5 * (left + jnp.sqrt(left**2 + 4.0 * self.half_step**2))


DESIGN = Design(
    n=560,
    times=(0.0, 0.5, 1.0, 2.0, 3.0, 4.0),
    outcomes={
        "cdr_sob": OutcomeRole(
            column="cdr_sob", label="CDR-SOB", unit="points", kind="bounded", lower=0, upper=18, higher_is="worse"
        )
    },
    covariates={
        "log_cdr": dist.Normal(0.0, 0.6),
        "log_adas": dist.Normal(0.0, 0.4),
        "log_mmse": dist.Normal(0.0, 0.08),
        "cdr": dist.Uniform(-0.5, 3.0),
        "faq": dist.Uniform(-1.0, 12.0),
        "hippocampus": dist.Normal(-0.1, 0.15),
    },
)
"""Size as in the source where it says; who comes when is an assumption."""


def build() -> ProgressionModel:
    """The model, ready to fit."""
    began = onset(
        dist.HalfNormal(1.0),
        typical=dist.Normal(-4.0, 2.0),
        effects={"log_cdr": dist.Normal(0.0, 1.0), "log_adas": dist.Normal(0.0, 1.0)},
    )
    course = AcceleratingFromOnset(
        rate=Parameter(
            ByClass((dist.Normal(np.log(0.373), 0.3), dist.Normal(np.log(0.260), 0.3))),
            link=jnp.exp,
        ),
        acceleration=Parameter(
            ByClass((dist.Normal(np.log(0.0499), 0.5), NONE)),
            subject=dist.HalfNormal(0.8),
            effects={"log_mmse": dist.Normal(0.0, 2.0)},
            link=jnp.exp,
        ),
        correction=dist.Normal(4.5, 0.5),
    )
    entry = EntryGain(
        size=Parameter(dist.Normal(np.log(0.434), 0.7), subject=dist.HalfNormal(0.8), link=jnp.exp), rate=1.0
    )
    classes = Subtypes(
        names=("fast", "slow"),
        log_odds=dist.Normal(0.0, 1.5),
        effects={"cdr": dist.Normal(0.0, 1.0), "faq": dist.Normal(0.0, 0.5), "hippocampus": dist.Normal(0.0, 5.0)},
    )
    noise = LogitNormal(lower=0, upper=18, sd=dist.HalfNormal(0.5))
    return ProgressionModel(
        clock=LatentTime(onset=began, pace=pace(None)),
        outcomes={"cdr_sob": Outcome(course, noise, changes={"entry": entry})},
        subtypes=classes,
        correlation=None,
        card=CARD,
    )


def simulate(key: Key, n: int | None = None) -> Cohort:
    """A cohort of the design from its typical values, of `n` subjects where given."""
    return DESIGN.simulate(build(), TYPICAL, key=key, n=n)
