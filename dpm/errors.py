"""One tree of errors: `DPMError`, then one subclass per stage of the flow."""


class DPMError(Exception):
    """A refusal that says where, what was expected, what was found and what to do.

    Attributes:
        where: file, table, column, parameter or function.
        expected: what dpm can work with.
        got: what was there instead, with how many rows or subjects.
        do: the remedy, a full sentence; empty when `expected` says it all.
    """

    def __init__(self, where: str, expected: str, got: str, do: str = "") -> None:
        self.where, self.expected, self.got, self.do = where, expected, got, do

    def __reduce__(self) -> tuple[type["DPMError"], tuple[str, str, str, str]]:
        return type(self), (self.where, self.expected, self.got, self.do)

    def __str__(self) -> str:
        first = f"{self.where}: expected {self.expected}, got {self.got}."
        return f"{first}\n{self.do}" if self.do else first


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
