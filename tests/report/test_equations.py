"""Equations become MathML, and nothing else."""

import re
from xml.etree import ElementTree

import pytest

from dpm.report.equations import ELEMENTS, mathml


def test_relation_is_an_operator() -> None:
    assert "<mo>∼</mo>" in mathml(r"y \sim \mathrm{Normal}(\mu, \sigma^2)")


@pytest.mark.parametrize(
    "latex", [r"\frac{a}{b}", r"\begin{pmatrix} a \\ b \end{pmatrix}", r"a < b", r"\hat\beta_{ij}^2"]
)
def test_result_is_well_formed_and_of_known_elements(latex: str) -> None:
    root = ElementTree.fromstring(mathml(latex))
    assert {element.tag for element in root.iter()} <= ELEMENTS
    assert root.get("display") == "block"


@pytest.mark.parametrize("latex", [r"\bad{", r"\text{<img src=x onerror=alert(1)>}", r"\text{<b>bold</b>}", r"a & b"])
def test_what_cannot_be_typeset_is_shown_as_its_source(latex: str) -> None:
    shown = str(mathml(latex))
    assert shown.startswith('<code class="latex">')
    assert re.findall(r"<(\w+)", shown) == ["code"]


def test_link_in_an_equation_is_dropped() -> None:
    assert "href" not in mathml(r"\href{javascript:alert(1)}{x}")
