"""A second fit of a model to data of the same shapes runs what was compiled for the first: the model is not called."""

from collections import Counter
from dataclasses import replace

import jax
import numpy as np
import pytest

from dpm.cohort.records import Records
from dpm.inference.draws import Method
from dpm.inference.laplace import Laplace
from dpm.inference.marginal_nuts import MarginalNUTS
from dpm.inference.nuts import NUTS
from dpm.inference.variational import Variational

from .examples import EXAMPLES, records

METHODS: dict[str, Method] = {
    "laplace": Laplace(importance=200, draws=20),
    "nuts": NUTS(chains=2, warmup=20, draws=20, progress=False),
    "marginal": MarginalNUTS(chains=2, warmup=20, draws=40, progress=False, checked=40, most_shift=10.0),
    "variational": Variational(steps=1000, proposals=200, draws=20, progress=False, on_unreliable="flag"),
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_second_fit_does_not_call_the_model(method: Method) -> None:
    called: Counter[str] = Counter()

    def model(data: Records) -> None:
        called["times"] += 1
        EXAMPLES["wang_additive"].model(data)

    data = records("wang_additive")
    first = method.run(model, data, key=jax.random.key(1))
    assert called["times"] > 0
    called.clear()
    other = replace(data, values={name: 1.05 * value for name, value in data.values.items()})
    second = method.run(model, other, key=jax.random.key(1))
    assert called["times"] == 0
    # What was compiled holds no data: the second fit is of the second data.
    again = method.run(EXAMPLES["wang_additive"].model, other, key=jax.random.key(1))
    for name, draws in second.sites.items():
        np.testing.assert_allclose(draws, again.sites[name], rtol=1e-6)
        assert not np.allclose(draws, first.sites[name], rtol=1e-6)
