"""The report: one file, nothing fetched, everything in it; looked at in a real browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bequest.evaluators.task import Outcome
from bequest.search.study import Study

MakeStudy = Callable[..., Study]


def _train(config: dict[str, Any]) -> Outcome:
    if config["x"] > 3:
        raise ValueError("x <b>too</b> far")
    return Outcome(-abs(float(config["x"])), {"seconds": 2.5, "test_accuracy": 0.123456})


def _text(page: str) -> str:
    body = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    return re.sub(r"<[^>]+>", " ", body)


def test_the_page_holds_the_study(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(_train).run(trials=12, progress=False)
    page = study.report(tmp_path / "new" / "r.html").read_text()
    text = _text(page)
    assert f"Best configuration (trial {study.best.slot})" in text
    assert text.count("complete") >= sum(t.state == "complete" for t in study.trials)
    for title in ("Best value, trial by trial", "Which choices mattered", "Value by choice"):
        assert title in text
    assert "x &lt;b&gt;too&lt;/b&gt; far" in page
    # Whoever looks at the table must not choose by test metrics.
    assert "0.1235" not in text
    assert "test_accuracy" not in text


def test_nothing_is_fetched(make_study: MakeStudy, tmp_path: Path) -> None:
    page = make_study(_train).run(trials=10, progress=False).report(tmp_path / "r.html").read_text()
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="http', page)


def test_an_empty_study_has_a_page(make_study: MakeStudy, tmp_path: Path) -> None:
    text = _text(make_study().report(tmp_path / "r.html").read_text())
    assert "No trial is complete yet." in text


@pytest.mark.parametrize(("epochs", "drawn"), [(1, False), (2, True)])
def test_learning_curves_of_one_point_are_left_out(
    make_study: MakeStudy, tmp_path: Path, epochs: int, drawn: bool
) -> None:
    def train(config: dict[str, Any], report: Callable[[int, float], None]) -> float:
        for epoch in range(epochs):
            report(epoch, float(config["x"]))
        return float(config["x"])

    page = make_study(train).run(trials=3, progress=False).report(tmp_path / "r.html").read_text()
    assert ("Learning curves" in _text(page)) == drawn


def test_a_browser_draws_the_pictures(make_study: MakeStudy, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Debian's chromium")
    from playwright.sync_api import sync_playwright

    study = make_study(_train).run(trials=12, progress=False)
    path = study.report(tmp_path / "r.html")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path.as_uri())
        page.wait_for_selector(".js-plotly-plot .main-svg")
        assert page.locator(".js-plotly-plot").count() == 3
        assert page.locator("tr.best").count() == 1
        assert errors == []
        browser.close()
