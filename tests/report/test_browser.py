"""What a browser makes of the page: nothing is fetched, nothing complains, nothing sticks out."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .chromium import Chromium

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the program chromium")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.mark.parametrize("width", [1280, 400])
def test_page_fits_and_keeps_to_itself(browser: Chromium, reported: Path, width: int) -> None:
    page = reported / "report.html"
    visit = browser.visit(page, width)
    assert visit.width == width
    assert visit.content_width <= width
    assert visit.requests == (page.as_uri(),)
    assert visit.messages == ()
    assert visit.images == 8


def test_the_measure_finds_what_it_looks_for(browser: Chromium, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    wide = "<div style='width: 900px'>wide</div><img src='absent.png'><script>console.error('loud')</script>"
    page.write_text(f"<!DOCTYPE html>{wide}", encoding="utf-8")
    visit = browser.visit(page, 400)
    assert visit.content_width >= 900
    assert len(visit.requests) == 2
    assert any("loud" in message for message in visit.messages)
    assert visit.images == 0
