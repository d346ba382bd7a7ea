"""Criteria of convergence by the names that readers know, with the side their gate bounds."""

from dpm.report.run_folder import Row

CRITERIA = {
    "r_hat": ("R-hat, largest", "<"),
    "ess_bulk": ("ESS bulk, smallest", "≥"),
    "ess_tail": ("ESS tail, smallest", "≥"),
    "divergences": ("Divergent transitions", "≤"),
    "e_bfmi": ("E-BFMI, smallest", "≥"),
    "saturation": ("Trees at the largest depth, share", "≤"),
    "newton_decrement": ("Newton decrement at the maximum", "≤"),
    "elbo_rise": ("Rise of the evidence bound, over what is at rest", "≤"),
    "pareto_k": ("Pareto k of importance weights", "≤"),
    "narrow": ("Widening of an sd by weights, largest", "≤"),
}
"""Name and sign by how the table writes a criterion; another one stands as it is."""


def criterion(row: Row) -> str:
    return CRITERIA.get(row["criterion"], (row["criterion"], ""))[0]


def limit(row: Row, column: str = "gate") -> str:
    """The gate, or the default it replaces, with its sign: "≥ 400"."""
    sign = CRITERIA.get(row["criterion"], ("", ""))[1]
    return f"{sign} {row[column]}" if sign and row[column] else row[column]
