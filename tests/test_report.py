"""The report: complete, harmless with hostile names, and readable in a real browser."""

from __future__ import annotations

import html
import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from gradparity.harness.campaign import Clock, Settings, campaign
from gradparity.harness.run import Run
from gradparity.reports.html import render, write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page

TAMPERED = Path(__file__).with_name("tampered.py")
HOSTILE = "<img src=x onerror=alert(1)>"
MESSAGE = '</p><script>alert(2)</script> "quoted"\nsecond & last'


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A real run: the reference, and a program with one wrong weight gradient."""
    wrong = f"exec:{shlex.quote(sys.executable)} {shlex.quote(str(TAMPERED))} weight"
    settings = Settings(("reference", wrong), cases=48)
    run, clock = Run(tmp_path_factory.mktemp("run") / "run", settings, "gradparity verify reference"), Clock()
    for judged in campaign(settings, clock):
        run.add(judged)
    found: dict[str, Any] = json.loads(
        json.dumps(run.close(clock, run.findings())).replace(json.dumps(wrong)[1:-1], "mine:wrong")
    )
    return found


@pytest.fixture(scope="module")
def hostile(content: dict[str, Any]) -> dict[str, Any]:
    """The same run by an implementation whose name and messages are an attack."""
    renamed: dict[str, Any] = json.loads(json.dumps(content).replace("mine:wrong", HOSTILE))
    renamed["messages"] = [{"implementation": HOSTILE, "verdict": "failed", "message": MESSAGE, "cases": 3}]
    return renamed


def text_of(page: str) -> str:
    """What is left of a page without its tags."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


# ------------------------------------------------------------------------------------------------- the file


def missing(content: dict[str, Any], page: str) -> list[str]:
    """Give what a report ought to say and does not."""
    text = text_of(page)
    wanted = [finding["sentence"] for finding in content["findings"]]
    wanted += [implementation["name"] for implementation in content["implementations"]]
    wanted += [f"{entry['diverges']:,} of" for entry in content["matrix"] if entry["diverges"]]
    wanted += [
        f"{entry['inconclusive']:,} inconclusive" for entry in content["matrix"] if entry["inconclusive"]
    ]
    wanted += [finding["case"] for finding in content["findings"]]
    wanted += [*content["drawn"]["regime"], *content["drawn"]["activation"], content["command"]]
    return [one for one in wanted if " ".join(one.split()) not in text]


def test_everything_is_in_it(content: dict[str, Any]) -> None:
    assert content["findings"]
    assert missing(content, render(content)) == []


def test_a_finding_that_is_left_out_is_missed(content: dict[str, Any]) -> None:
    without = render({**content, "findings": content["findings"][1:]})
    assert content["findings"][0]["sentence"] in missing(content, without)


def test_a_run_in_which_all_agree_says_so(content: dict[str, Any]) -> None:
    matrix = [entry for entry in content["matrix"] if entry["implementation"] == "reference"]
    alone = {
        **content,
        "findings": [],
        "matrix": matrix,
        "implementations": content["implementations"][:1],
        "counts": {"reference": content["counts"]["reference"]},
    }
    title = re.search("<title>(.*?)</title>", render(alone), re.DOTALL)
    assert title and "agree" in title[1]
    assert "diverge" not in title[1]
    title = re.search("<title>(.*?)</title>", render(content), re.DOTALL)
    assert title and "diverge" in title[1]


def test_hostile_names_and_messages_are_text(hostile: dict[str, Any]) -> None:
    page = render(hostile)
    assert "<img" not in page
    assert "<script" not in page
    assert html.escape(HOSTILE) in page
    assert "</p><script>alert(2)</script>" in text_of(
        page.replace("&lt;", "\0").replace("&gt;", "\1")
    ).replace("\0", "<").replace("\1", ">")


def test_it_loads_nothing(content: dict[str, Any]) -> None:
    page = render(content)
    assert "default-src 'none'" in page
    assert re.findall(r'(?:src|href)="(?!#|\./findings/)[^"]*"', page) == []


def test_hundreds_of_findings_stay_small(content: dict[str, Any], tmp_path: Path) -> None:
    many = {**content, "findings": (content["findings"] * 300)[:300]}
    write_report(many, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 3 * 2**20


# ------------------------------------------------------------------------------------------------- the browser

Open = Callable[..., "Page"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("Chromium is not installed (Debian's package chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def open_report(browser: Browser, tmp_path: Path) -> Open:
    """Open a report from disk; the page keeps what it asked for and complained of."""

    def opened(content: dict[str, Any], width: int = 1280, scheme: str = "light") -> Page:
        write_report(content, tmp_path / "report.html")
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]  # "light" or "dark"
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: asked.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: asked.append(f"error: {error}"))

        def dismiss(dialog: Dialog) -> None:
            asked.append(f"dialog: {dialog.message}")
            dialog.dismiss()

        page.on("dialog", dismiss)
        url = (tmp_path / "report.html").as_uri()
        page.goto(url)
        page.wait_for_timeout(100)
        assert asked == [url]
        return page

    return opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280, 3840])
def test_it_opens_from_disk_at_every_size(
    open_report: Open, hostile: dict[str, Any], width: int, scheme: str
) -> None:
    page = open_report(hostile, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("h1").count() == 1
    assert page.get_by_text(HOSTILE).first.is_visible()
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    lightness = sum(int(part) for part in re.findall(r"\d+", background)[:3])
    assert (lightness > 382) == (scheme == "light")


def test_equations_are_set_as_mathematics(open_report: Open, content: dict[str, Any]) -> None:
    page = open_report(content)
    assert page.locator("#about math").count() >= 5
    box = page.locator("#about math").first.bounding_box()
    assert box and box["height"] > 10


def test_a_cell_that_diverges_leads_to_its_finding(open_report: Open, content: dict[str, Any]) -> None:
    page = open_report(content)
    page.locator("#matrix a[href^='#finding-']").first.click()
    target = page.locator(page.evaluate("location.hash"))
    assert target.is_visible()
    assert "exact value" in target.inner_text()
