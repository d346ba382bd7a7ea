"""The study file: every key it may hold, and what the keys must have in common."""

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from dpm.cohort.cleaning import CleaningRule
from dpm.cohort.fitness_for_use import FitnessRule
from dpm.cohort.index_date import IndexRule
from dpm.cohort.role import Name
from dpm.cohort.roles import Roles
from dpm.study.fields import (
    Build,
    Count,
    Draws,
    Levels,
    Number,
    Positive,
    Section,
    Share,
    Text,
    refuse,
    require_distinct,
    require_one_of,
)
from dpm.study.method_choice import ApproximateFit, ChosenFit, GuidedFit, MarginalFit, SampledFit

Strategy = Literal["hypothetical"]
"""What an estimand does about an intercurrent event, in the words of ICH E9(R1); those dpm can carry out."""


class Identity(Section):
    """What is asked.

    Attributes:
        name: of the run folder; lower-case letters, digits and _.
        title: one line, over the report.
        question: one sentence that the estimands make precise.
        context_of_use: what the answer may be used for.
        seed: from which every stage derives its own key.
    """

    name: Name
    title: Text
    question: Text
    context_of_use: Text
    seed: Annotated[int, Field(ge=0, lt=2**32, strict=True)]


class SourceChoice(Section):
    """One of several sources; see `dpm.cohort.sources.SourceFile`."""

    file: Text
    rename: dict[Text, Text] = Field(default_factory=dict)
    units: dict[Text, Text] = Field(default_factory=dict)
    absent: tuple[Text, ...] = ()


class AdamFiles(Section):
    """CDISC ADaM data sets; see `dpm.cohort.adam.read_adam`."""

    adsl: Text
    bds: Annotated[tuple[Text, ...], Field(min_length=1)]
    adtte: Text | None = None
    baseline_window: Annotated[int, Field(ge=0, strict=True)] = 0


class NonmemFile(Section):
    """A NONMEM or Monolix data set; see `dpm.cohort.nonmem.read_nonmem`. Names are by DVID."""

    file: Text
    names: dict[Text, Name] = Field(default_factory=dict)
    drop: tuple[Text, ...] = ()
    positive: bool = False

    @model_validator(mode="after")
    def _by_number(self) -> "NonmemFile":
        for number in self.names:
            if not number.isdigit():
                refuse("data.nonmem.names", "the outcome's name by the number of its DVID", f'"{number}"')
        return self


class Data(Section):
    """Where the patients are, and what is done to their tables before anything is learned from them.

    A file is CSV, Parquet or SAS transport, beside the study file, or `data:<set>/<file>` for one shipped with dpm.

    Attributes:
        file: a row per subject and visit.
        sources: instead of `file`, several by the name of their study.
        adam, nonmem: instead of `file`, data sets of these forms.
        subjects: a row per subject, joined to the visits.
        events: a row per event, where events do not stand beside each visit.
        units: unit by column where it is not the declared one.
        rules: changes to the raw tables, in order; see `dpm.cohort.cleaning.CleaningRule`.
        index: which visit is time zero; see `dpm.cohort.index_date.IndexRule`.
        roles: which column is what.
    """

    file: Text | None = None
    sources: dict[Name, SourceChoice] = Field(default_factory=dict)
    adam: AdamFiles | None = None
    nonmem: NonmemFile | None = None
    subjects: Text | None = None
    events: Text | None = None
    units: dict[Text, Text] | None = None
    rules: tuple[CleaningRule, ...] = ()
    index: IndexRule | None = None
    roles: Roles

    @model_validator(mode="after")
    def _somewhere(self) -> "Data":
        forms = ("file", "sources", "adam", "nonmem")
        given = [form for form in forms if getattr(self, form)]
        if len(given) != 1:
            refuse("data", f"one of {', '.join(forms)}", " and ".join(given) or "none of them")
        if given[0] in ("adam", "nonmem") and (self.subjects or self.events):
            do = "Data sets of these forms bring their own."
            refuse("data", f"no subjects and no events beside {given[0]}", "a file for them", do)
        return self

    @property
    def files(self) -> dict[str, str]:
        """Every file named here, by its key."""
        single = {key: name for key in ("file", "subjects", "events") if (name := getattr(self, key)) is not None}
        if self.adam is not None:
            more = {f"adam.bds[{number}]": name for number, name in enumerate(self.adam.bds)}
            single |= {"adam.adsl": self.adam.adsl, **more}
            single |= {"adam.adtte": self.adam.adtte} if self.adam.adtte else {}
        if self.nonmem is not None:
            single["nonmem.file"] = self.nonmem.file
        return single | {f"sources.{name}.file": source.file for name, source in self.sources.items()}


class FitnessChoice(Section):
    """What the data have to be fit for, and what counts as fit.

    Attributes:
        planned: times at which visits were due [years]; without them timing and visit process are not judged.
        window_days: how far from every planned time a visit is off schedule [days].
        by: what is one source: study (where declared), arm, or another label of patients.
        rules: limits in place of dpm's; see `dpm.cohort.fitness_for_use.FitnessRule`.
    """

    planned: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] | None = None
    window_days: Positive = 60.0
    by: Text = "study"
    rules: tuple[FitnessRule, ...] = ()


class CohortStudy(Section):
    """A cohort file: data, and what they have to be fit for, without a question."""

    data: Data
    fitness: FitnessChoice = FitnessChoice()


class Cohorts(Section):
    """Who the natural history is learned from, and who was treated: level by column, as in `Cohort.where`."""

    history: Levels
    trial: Levels


class ModelChoice(Section):
    """The model: `<file>.py:<function>`, a function of no argument that returns it."""

    build: Build


class Check(Section):
    """Whether the fit can be believed.

    Attributes:
        folds: parts the natural-history patients are split into; each is predicted from the others.
        at: time of the held-out measurements [years].
        levels: of the prediction intervals whose coverage is counted.
        subgroups: columns by whose levels it is also counted.
        bins: edges of the time bins of the visual predictive check [years].
        simulations: how many cohorts it simulates.
    """

    folds: Annotated[int, Field(ge=2, strict=True)] = 5
    at: Positive
    levels: Annotated[tuple[Share, ...], Field(min_length=1)] = (0.5, 0.8, 0.9, 0.95)
    subgroups: tuple[Text, ...] = ()
    bins: Annotated[tuple[Annotated[Number, Field(ge=0)], ...], Field(min_length=2)]
    simulations: Count = 500

    @model_validator(mode="after")
    def _in_order(self) -> "Check":
        if list(self.bins) != sorted(set(self.bins)):
            refuse("check.bins", "edges in increasing order", str(list(self.bins)))
        require_distinct("check.levels", self.levels)
        require_distinct("check.subgroups", self.subgroups)
        return self


class Arm(Section):
    """The untreated twins. What is not given is dpm's default.

    Attributes:
        draws: of the posterior.
        replicates: twins of each patient per draw.
        show: how many patients the report shows.
        years: how far it shows their courses [years].
    """

    draws: Draws | None = None
    replicates: Annotated[int, Field(ge=2, le=1_000, strict=True)] | None = None
    show: Annotated[int, Field(ge=1, le=24, strict=True)] = 9
    years: Positive = 5.0


class MeanChange(Section):
    """Difference in mean change from baseline to `at` [years], read from visits within `window` of it [years]."""

    type: Literal["mean_change"]
    name: Name
    label: Text | None = None
    outcome: Text
    at: Positive
    window: Positive | None = None
    intercurrent: dict[Text, Strategy] = Field(default_factory=dict)


class SlopeDifference(Section):
    """Difference in mean slope from `over[0]` to `over[1]` [years]."""

    type: Literal["slope_difference"]
    name: Name
    label: Text | None = None
    outcome: Text
    over: tuple[Annotated[Number, Field(ge=0)], Positive]
    intercurrent: dict[Text, Strategy] = Field(default_factory=dict)


Question = Annotated[MeanChange | SlopeDifference, Field(discriminator="type")]


class VisitRuleChoice(Section):
    """Which visits took place only because the patient was dying; see `dpm.cohort.visits.VisitRule`."""

    within_days: Annotated[Number, Field(ge=0)] = 90.0
    off_schedule_days: Annotated[Number, Field(ge=0)] = 60.0
    planned: Annotated[tuple[Annotated[Number, Field(ge=0)], ...], Field(min_length=1)] | None = None


class Truth(Section):
    """The answer the study is held against, where the data know it."""

    method: Literal["randomised"]


class Compare(Section):
    """How the question is answered: the first method gives the answer, the others stand beside it."""

    methods: Annotated[tuple[Literal["twin", "unadjusted"], ...], Field(min_length=1)] = ("twin",)
    truth: Truth | None = None
    visit_rule: VisitRuleChoice | None = None
    sensitivity: tuple[Literal["all_visits"], ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> "Compare":
        require_distinct("compare.methods", self.methods)
        require_distinct("compare.sensitivity", self.sensitivity)
        return self


class Study(Section):
    """A study file. Tables are in the order of the flow."""

    study: Identity
    data: Data
    fitness: FitnessChoice = FitnessChoice()
    cohorts: Cohorts
    model: ModelChoice
    fit: Annotated[SampledFit | MarginalFit | ApproximateFit | GuidedFit | ChosenFit, Field(discriminator="method")]
    check: Check
    arm: Arm = Arm()
    estimand: Annotated[tuple[Question, ...], Field(min_length=1)]
    compare: Compare = Compare()

    @property
    def outcomes(self) -> tuple[str, ...]:
        """What the estimands are about, each once; the first is what the study is about."""
        return tuple(dict.fromkeys(each.outcome for each in self.estimand))

    @model_validator(mode="after")
    def _tables_agree(self) -> "Study":
        self._cohorts_exist()
        for subgroup in self.check.subgroups:
            require_one_of(
                "check.subgroups", subgroup, self.data.roles.groupings, "a column among data.roles.subgroups"
            )
        names = [each.name for each in self.estimand]
        for number, each in enumerate(self.estimand):
            if each.name in names[:number]:
                refuse(f"estimand[{number}].name", "a name of its own", f'"{each.name}" a second time')
            self._answerable(f"estimand[{number}]", each)
        return self

    def _cohorts_exist(self) -> None:
        roles = self.data.roles
        columns = [*(["arm"] if roles.arm else []), *roles.groupings]
        for name, levels in (("history", self.cohorts.history), ("trial", self.cohorts.trial)):
            for column in levels:
                require_one_of(
                    f"cohorts.{name}", column, columns, "arm, or a column among data.roles.subgroups or groups"
                )
        if self.cohorts.history == self.cohorts.trial:
            refuse("cohorts", "different patients in history and trial", f"{self.cohorts.history} for both")

    def _answerable(self, where: str, question: MeanChange | SlopeDifference) -> None:
        roles = self.data.roles
        require_one_of(f"{where}.outcome", question.outcome, roles.outcomes, "an outcome among data.roles.outcomes")
        if isinstance(question, SlopeDifference) and not question.over[0] < question.over[1]:
            refuse(f"{where}.over", "an earlier and a later time", str(list(question.over)))
        types = roles.events[roles.terminal].names if roles.terminal else ()
        for event in question.intercurrent:
            require_one_of(
                f"{where}.intercurrent",
                event,
                types,
                "an event that ends follow-up",
            )
        for event in types:
            if event not in question.intercurrent:
                do = "Say what the estimand does about it: " + ", ".join(get_args(Strategy)) + "."
                refuse(f"{where}.intercurrent", f"a strategy for every event, also for {event}", "none for it", do)
