"""What `fit` is handed that is no model, cohort, method or key."""

from typing import Any

import jax
import pytest

from dpm.errors import DPMError, InferenceError
from dpm.inference.laplace import Laplace
from dpm.posterior.fit import require_kinds
from tests.posterior.small import KEY, MODEL, cohort, table

GOOD: dict[str, Any] = {"model": MODEL, "method": Laplace(), "key": KEY}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model": type(MODEL)}, "fit: model: expected a function of records, .*got the class ProgressionModel"),
        ({"model": None}, "fit: model: .*got NoneType"),
        ({"cohort": table()}, "fit: cohort: expected a Cohort, got DataFrame.\nRead the table first"),
        ({"method": Laplace}, "fit: method: .*got the class Laplace"),
        ({"method": None}, "fit: method: .*got NoneType"),
        ({"key": 1}, "fit: key: expected a JAX key, got int.\nMake one of a number"),
    ],
)
def test_what_is_none_is_refused_by_its_name(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(DPMError, match=message):
        require_kinds(**{**GOOD, "cohort": cohort(), **wrong})


def test_what_is_one_is_not() -> None:
    require_kinds(**GOOD, cohort=cohort())
    require_kinds(**{**GOOD, "method": "auto"}, cohort=cohort())


def test_32_bits_are_refused() -> None:
    """As where the environment says JAX_ENABLE_X64=0, which JAX obeys without a word."""
    with jax.enable_x64(False), pytest.raises(InferenceError, match="expected JAX with 64-bit numbers"):
        require_kinds(**GOOD, cohort=cohort())
