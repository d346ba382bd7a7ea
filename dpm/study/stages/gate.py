"""`gate`: stop if the fit did not converge. It reads the stored draws, so another limit needs no other draws."""

from dpm.checks.convergence import Gate, convergence_table, require_converged
from dpm.study.materials import Materials
from dpm.study.stage import Context


def gate_of(materials: Materials) -> Gate:
    """The default gate, with the limits the study changes."""
    return Gate(**materials.study.fit.gate.model_dump(exclude_none=True))


def run(context: Context) -> str:
    """Hold the draws against the gate.

    Raises:
        CheckError: the gate was not passed; the table is written all the same.
    """
    posterior, gate = context.materials.posterior, gate_of(context.materials)
    convergence = convergence_table(posterior, gate)
    context.table("fit/convergence.csv", convergence)
    require_converged(posterior, gate)
    count = len(convergence)
    return f"{'all ' if count > 1 else ''}{count} convergence gate{'s' if count > 1 else ''} passed"
