"""One tree of errors: `DPMError`, then one subclass per stage of the flow."""

from collections.abc import Sequence

NAMED = 5
"""Subjects that an error names."""


class DPMError(Exception):
    """A refusal that says where, what was expected, what was found and what to do.

    Attributes:
        where: file, table, column, parameter or function.
        expected: what dpm can work with.
        got: what was there instead, with how many rows or subjects.
        do: the remedy, a full sentence; empty when `expected` says it all.
        subjects: whom it concerns where `got` does not name them: their ids, or, from where these are not known, their
            positions in the cohort, counted from 0.
    """

    def __init__(
        self, where: str, expected: str, got: str, do: str = "", subjects: tuple[int, ...] | tuple[str, ...] = ()
    ) -> None:
        self.where, self.expected, self.got, self.do, self.subjects = where, expected, got, do, subjects

    def __reduce__(self) -> tuple[type["DPMError"], tuple[object, ...]]:
        return type(self), (self.where, self.expected, self.got, self.do, self.subjects)

    def __str__(self) -> str:
        lines = [f"{self.where}: expected {self.expected}, got {self.got}.", self.do, self._whom()]
        return "\n".join(line for line in lines if line)

    def _whom(self) -> str:
        if not self.subjects:
            return ""
        what = "Subjects" if isinstance(self.subjects[0], str) else "Subjects at positions"
        more = len(self.subjects) - NAMED
        return f"{what} {', '.join(map(str, self.subjects[:NAMED]))}{f' and {more:,} more' if more > 0 else ''}."

    def named(self, ids: Sequence[object]) -> "DPMError":
        """The same refusal with ids in place of positions; `ids` are those of the whole cohort, in its order."""
        known = tuple(one if isinstance(one, str) else str(ids[one]) for one in self.subjects)
        return type(self)(self.where, self.expected, self.got, self.do, known)


class CohortError(DPMError):
    """The data cannot be used as they are."""


class ModelError(DPMError):
    """The model cannot be built, or does not fit the cohort it is given."""


class ModelWarning(UserWarning):
    """The model can be fitted, and the cohort hardly tells a part of it; kept among the notes of the posterior."""


class InferenceError(DPMError):
    """A fit failed, or its inner problem did."""


class PosteriorError(DPMError):
    """A posterior cannot be read, written or used with this model."""


class CheckError(DPMError):
    """A gate was not passed."""


class CheckWarning(UserWarning):
    """A check was made, and a part of its answer cannot be relied on; the answer says which."""


class VirtualError(DPMError):
    """A virtual arm cannot be drawn, or must not be."""


class ControlError(DPMError):
    """A comparison cannot be made as asked."""


class ReportError(DPMError):
    """The report cannot be written."""


class StudyError(DPMError):
    """The study file or its run folder is not usable."""
