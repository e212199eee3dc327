"""The report: complete, harmless with hostile names, and in a real browser read, searched, copied and heard."""

from __future__ import annotations

import html
import importlib.util
import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from gradparity.adapters.document import read_case
from gradparity.harness.campaign import Settings
from gradparity.harness.portrait import portrait
from gradparity.harness.workers import Worker
from gradparity.reports.html import judged, render, write_report
from gradparity.reports.numbers import MOST_NUMBERS

from .conftest import judged_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page

TAMPERED = Path(__file__).with_name("tampered.py")
HOSTILE = "<img src=x onerror=alert(1)>"
MESSAGE = '</p><script>alert(2)</script> "quoted"\nsecond & last'
VIEWS = (
    "overview",
    "findings",
    "expectations",
    "agreement",
    "conventions",
    "platform",
    "silence",
    "drawn",
    "about",
)

Content = dict[str, Any]


@dataclass(frozen=True)
class Real:
    """A run's folder, and what its run.json holds."""

    folder: Path
    content: Content


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Real:
    """A real run: the reference, a program with one wrong weight gradient, and PyTorch with what is known of it."""
    wrong = f"exec:{shlex.quote(sys.executable)} {shlex.quote(str(TAMPERED))} weight"
    installed = ("torch:eager",) if importlib.util.find_spec("torch") else ()
    settings = Settings(("reference", wrong, *installed), cases=64, seed=1)
    settings = settings.only(("hardsigmoid", "softplus", "half_squared_error", "softmax_cross_entropy"))
    folder = tmp_path_factory.mktemp("run") / "run"
    found = json.loads(
        json.dumps(judged_run(folder, settings)).replace(json.dumps(wrong)[1:-1], "mine:wrong")
    )
    with Worker("reference", timeout=60) as worker:
        one = portrait(worker, ["float64"])
    other = deepcopy(one)
    other["conventions"]["float64"]["hardsigmoid"]["3"] = "1, 0.123"
    other["measured"][0] |= {"margin": 7.0, "units": 1234.5}
    found["portraits"] = {"reference": one, "mine:wrong": other}
    known = {"implementation": "torch:eager", "precision": "float64", "function": "relu", "equation": "", "z": [],
             "reason": "known since 2020", "link": "https://example.org/2", "cases": 0}  # fmt: skip
    found["expectations"] = [
        {**known, "holds": True, "why": "shown by its own case"},
        {**known, "holds": False, "why": "it shows nowhere any more", "link": "", "equation": "BP1 or BP2"},
    ]
    return Real(folder, found)


@pytest.fixture(scope="module")
def content(real: Real) -> Content:
    return real.content


@pytest.fixture(scope="module")
def hostile(content: Content) -> Content:
    """The same run by an implementation whose name and messages are an attack."""
    renamed: Content = json.loads(json.dumps(content).replace("mine:wrong", HOSTILE))
    renamed["messages"] = [{"implementation": HOSTILE, "verdict": "failed", "message": MESSAGE, "cases": 3}]
    renamed["findings"][0]["others"] = [{"implementation": HOSTILE, "result": HOSTILE}]
    return renamed


def text_of(page: str) -> str:
    """What is left of a page without its scripts and tags."""
    page = re.sub(r"<script[^>]*>.*?</script>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


# ------------------------------------------------------------------------------------------------- the file


def missing(content: Content, page: str) -> list[str]:
    """Give what a report ought to say and does not."""
    text = text_of(page)
    wanted = [finding["sentence"] for finding in content["findings"]]
    wanted += [implementation["name"] for implementation in content["implementations"]]
    wanted += [f"{entry['diverges']:,} of" for entry in content["matrix"] if entry["diverges"]]
    wanted += [
        f"{entry['inconclusive']:,} inconclusive" for entry in content["matrix"] if entry["inconclusive"]
    ]
    wanted += [Path(finding["case"]).name for finding in content["findings"]]
    wanted += [finding["reason"] for finding in content["findings"] if finding["expected"]]
    wanted += [*content["drawn"]["regime"], *content["drawn"]["activation"], content["command"]]
    return [one for one in wanted if " ".join(one.split()) not in text]


def test_everything_is_in_it(real: Real) -> None:
    assert real.content["findings"]
    assert missing(real.content, render(real.content, real.folder)) == []
    assert missing(real.content, render(real.content)) == []


def test_a_finding_that_is_left_out_is_missed(content: Content) -> None:
    without = render({**content, "findings": content["findings"][1:]})
    assert content["findings"][0]["sentence"] in missing(content, without)


def test_a_run_in_which_all_agree_says_so(content: Content) -> None:
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


def test_whoever_diverges_unexpectedly_is_before_who_does_more_but_as_expected(content: Content) -> None:
    changed = deepcopy(content)
    for entry in changed["matrix"]:
        known = entry["implementation"] == "reference"
        diverging = 9 if known else 1 if entry["implementation"] == "mine:wrong" else 0
        entry |= {"agrees": 10, "diverges": diverging, "expected": 9 if known else 0, "failed": 0}
    order = [one.author["name"] for one in judged(changed)]
    assert order[:2] == ["mine:wrong", "reference"]


def test_what_is_expected_comes_after_what_is_not_and_is_there(content: Content) -> None:
    first, *others = deepcopy(content["findings"])
    known = {**first, "expected": True, "reason": "known for years", "link": "https://example.org/1"}
    text = text_of(render({**content, "findings": [known, *others]}))
    assert text.index("Unexpected") < text.index(others[0]["sentence"])
    assert text.index("Expected Known divergences") < text.index(first["sentence"])
    assert "known for years https://example.org/1" in text
    if not any(one["expected"] for one in others):
        assert text.index(others[0]["sentence"]) < text.index(first["sentence"])


def test_hostile_names_and_messages_are_text(hostile: Content, real: Real) -> None:
    page = render(hostile, real.folder)
    assert "<img" not in page
    assert page.count("<script>") == 2  # its own two, whose hashes it names
    assert html.escape(HOSTILE) in page
    assert html.escape("</p><script>alert(2)</script>") in page


def test_it_loads_nothing_and_runs_nothing_else(real: Real) -> None:
    page = render(real.content, real.folder)
    policy = r"default-src 'none'; script-src 'sha256-[^']+' 'sha256-[^']+'; style-src"
    assert re.search(policy, html.unescape(page[:2000]))
    outside = re.findall(r'(?:src|href)="(?!#|\?|\./findings/|data:application/octet-stream)([^"]*)"', page)
    assert {one["link"] for one in real.content["findings"]} >= set(outside) - {
        one["link"] for one in real.content["expectations"]
    }
    assert re.findall(r"<[^>]* on[a-z]+=", page.partition("<script>")[0]) == []


@pytest.mark.parametrize("number", [300, 2000])
def test_thousands_of_findings_stay_below_3_mib(real: Real, tmp_path: Path, number: int) -> None:
    folder = tmp_path / "run"
    shutil.copytree(real.folder, folder)
    many = {**real.content, "findings": (real.content["findings"] * number)[:number]}
    write_report(many, folder / "report.html")
    assert (folder / "report.html").stat().st_size < 3 * 2**20
    page = (folder / "report.html").read_text()
    left_out = sum(int(n.replace(",", "")) for n in re.findall(r"and ([\d,]+) more finding", page))
    assert len(re.findall(r'id="finding-\d+"', page)) + left_out == number


def test_a_folder_with_other_things_in_it_is_read_as_far_as_it_can_be(real: Real, tmp_path: Path) -> None:
    (tmp_path / "verdicts").mkdir()
    (tmp_path / "verdicts" / "00000.parquet").write_bytes(b"no Parquet")
    (tmp_path / "findings").mkdir()
    elsewhere = deepcopy(real.content)
    elsewhere["findings"][0]["case"] = "../../../etc/passwd"
    page = render(elsewhere, tmp_path)
    assert "No margins" in page
    assert "data:application" not in page


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
def open_report(browser: Browser, real: Real) -> Open:
    """Open a report from disk; what it asks for beyond itself, or complains of, is an error."""

    def opened(
        content: Content | None = None,
        width: int = 1280,
        scheme: str = "light",
        address: str = "",
        scripts: bool = True,
    ) -> Page:
        file = real.folder / "report.html"
        write_report(content or real.content, file)
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]  # "light" or "dark"
            java_script_enabled=scripts,
            permissions=["clipboard-read", "clipboard-write"],
        )
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: asked.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: asked.append(f"error: {error}"))

        def dismiss(dialog: Dialog) -> None:
            asked.append(f"dialog: {dialog.message}")
            dialog.dismiss()

        page.on("dialog", dismiss)
        page.goto(file.as_uri() + address)
        page.wait_for_timeout(100)
        if scripts:
            drawn(page)
        assert asked == [file.as_uri() + address.partition("#")[0]]
        return page

    return opened


def drawn(page: Page) -> None:
    """Wait until the charts are there, wherever on the page one is."""
    page.evaluate("scrollTo(0, document.getElementById('agreement').offsetTop)")
    page.locator("#plot-curves svg").first.wait_for(state="attached")
    page.evaluate("scrollTo(0, 0)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280, 3840])
def test_it_opens_from_disk_at_every_size(
    open_report: Open, hostile: Content, width: int, scheme: str
) -> None:
    page = open_report(hostile, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("h1").count() == 1
    assert page.get_by_text(HOSTILE).first.is_visible()
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    lightness = sum(int(part) for part in re.findall(r"\d+", background)[:3])
    assert (lightness > 382) == (scheme == "light")


def violations(page: Page) -> list[str]:
    """Give what axe finds against WCAG and its best practices, on everything that can be unfolded."""
    from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has no types

    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_axe_has_nothing_against_any_view(
    open_report: Open, hostile: Content, width: int, scheme: str
) -> None:
    page = open_report(hostile, width, scheme)
    assert [view for view in VIEWS if not page.locator(f"#{view}").is_visible()] == []
    assert violations(page) == []


def test_axe_sees_what_nobody_else_can(open_report: Open) -> None:
    page = open_report()
    page.evaluate("document.querySelector('.brand').style.color = '#bbb'")
    assert [one.partition(":")[0] for one in violations(page)] == ["color-contrast"]


def test_without_scripts_everything_can_be_read(open_report: Open, content: Content) -> None:
    page = open_report(scripts=False)
    for finding in content["findings"]:
        assert page.get_by_text(finding["sentence"], exact=True).count() >= 1
    assert page.locator("#heat td").first.inner_text() != ""
    assert not page.locator("#filters").is_visible()
    assert not page.locator("button.copy").first.is_visible()


def visible_findings(page: Page) -> list[str]:
    return [one.get_attribute("data-implementation") or "" for one in page.locator(".finding:visible").all()]


def test_filters_are_kept_in_the_address_and_read_from_it(open_report: Open, content: Content) -> None:
    page = open_report()
    everybody = visible_findings(page)
    assert set(everybody) > {"mine:wrong"} or len(content["implementations"]) == 2
    page.locator("#filters [name=implementation]").select_option("mine:wrong")
    page.get_by_label("Search").fill("BP4 float64")
    shown = visible_findings(page)
    assert shown and set(shown) == {"mine:wrong"} and len(shown) < len(everybody)
    assert f"{len(shown)} of {len(everybody)} findings" in page.locator("#matching").inner_text()
    assert "?q=BP4+float64&implementation=mine%3Awrong" in page.url
    assert not page.locator("#implementation-1").is_visible()
    again = open_report(address=page.url.partition("report.html")[2])
    assert visible_findings(again) == shown
    again.get_by_role("button", name="Clear").click()
    again.wait_for_timeout(50)
    assert visible_findings(again) == everybody
    assert again.url.endswith("report.html")


def test_what_matches_nothing_says_so(open_report: Open) -> None:
    page = open_report(address="?q=nothing+is+called+this")
    assert visible_findings(page) == []
    assert page.get_by_text("No finding matches the filters.").is_visible()


@pytest.mark.parametrize(("equation", "shown"), [("BP1", 2), ("BP2", 2), ("BP3", 1), ("", 2)])
def test_an_entry_about_a_slope_is_found_under_either_equation(
    open_report: Open, equation: str, shown: int
) -> None:
    page = open_report(address=f"?equation={equation}")
    entries = page.locator("#expectations tr[data-filter]")
    assert entries.count() == 2
    assert entries.filter(visible=True).count() == shown


def test_the_filters_choose_whose_margins_are_drawn(open_report: Open) -> None:
    page = open_report()
    series = page.locator("#plot-curves .series li").all_inner_texts()
    assert len(series) == 2 * page.locator("#overview .author").count()
    page.get_by_label("Precision").select_option("float32")
    assert page.locator("#plot-curves .series li").all_inner_texts() == [
        one for one in series if "float32" in one
    ]
    assert "float32" in page.locator("#heat caption").inner_text()


def test_a_link_to_a_finding_opens_it(open_report: Open, content: Content) -> None:
    last = len(content["findings"])
    page = open_report(address=f"?implementation=reference#finding-{last}")  # which the filter would hide
    finding = page.locator(f"#finding-{last}")
    assert finding.is_visible()
    assert content["findings"][last - 1]["sentence"] in finding.inner_text()


def test_a_cell_that_diverges_leads_to_its_finding(open_report: Open) -> None:
    page = open_report()
    page.locator("#matrix a[href^='#finding-']").first.click()
    target = page.locator(page.evaluate("location.hash"))
    assert target.is_visible()
    assert "enclosure" in target.inner_text()


def test_findings_are_read_with_the_keyboard_alone(open_report: Open) -> None:
    page = open_report()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the verdicts"
    first, second = page.locator(".finding > summary").all()[:2]
    first.focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent") == second.text_content()
    was = second.evaluate("(one) => one.parentElement.open")
    page.keyboard.press("Enter")
    assert second.evaluate("(one) => one.parentElement.open") is not was
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.textContent") == first.text_content()


def test_the_command_the_program_and_the_link_are_copied(open_report: Open, content: Content) -> None:
    numbers = [i for i, one in enumerate(content["findings"], 1) if one["implementation"] == "torch:eager"]
    if not numbers:
        pytest.skip("PyTorch is not installed, or nothing is found in it")
    page = open_report()  # not every case is small enough for a program
    number = next(i for i in numbers if page.locator(f"#finding-{i} .program").count())
    page = open_report(address=f"#finding-{number}")
    body = page.locator(f"#finding-{number}")
    body.locator(".program > summary").click()
    copied = {}
    for what in ("command", "program", "link"):
        body.get_by_role("button", name=f"Copy {what}").click()
        page.wait_for_timeout(50)
        assert page.locator("#said").inner_text() == f"Copied {what}."
        copied[what] = page.evaluate("navigator.clipboard.readText()")
    file = Path(content["findings"][number - 1]["case"]).name
    assert copied["command"] == f"gradparity replay {file} torch:eager"
    assert copied["link"] == page.url
    compile(copied["program"], file, "exec")
    assert "torch.autograd.grad" in copied["program"]


@pytest.mark.parametrize("scripts", [True, False])
def test_the_case_document_is_saved_from_the_page(
    open_report: Open, content: Content, tmp_path: Path, scripts: bool
) -> None:
    page = open_report(scripts=scripts)
    link = page.locator("a[download]").first
    if not link.is_visible():
        page.locator("details.finding > summary").first.click()
    with page.expect_download() as started:
        link.click()
    started.value.save_as(tmp_path / "case.safetensors")
    name = started.value.suggested_filename
    finding = next(one for one in content["findings"] if one["case"].endswith(name))
    case = read_case((tmp_path / "case.safetensors").read_bytes())
    assert case.id in name
    assert case.architecture.to_json().items() <= finding["architecture"].items()


def numbers_in(document: Path) -> int:
    return sum(array.size for array in read_case(document.read_bytes()).tensors().values())


def test_equations_are_set_as_mathematics_with_the_numbers_of_the_case(
    open_report: Open, real: Real, content: Content
) -> None:
    page = open_report()
    assert page.locator("#about math").count() >= 5
    box = page.locator("#about math").first.bounding_box()
    assert box and box["height"] > 10
    small = [one for one in content["findings"] if numbers_in(real.folder / one["case"]) <= MOST_NUMBERS]
    assert small
    assert page.locator(".finding math .exact").count() == len(small)


def test_the_network_is_drawn_and_what_is_blamed_is_marked(open_report: Open, content: Content) -> None:
    page = open_report()
    for number, finding in enumerate(content["findings"], start=1):
        picture = page.locator(f"#finding-{number} svg.network")
        assert picture.locator(".blamed").count() >= 1
        spoken = picture.get_attribute("aria-label") or ""
        assert spoken.count("(wrong here)") == 1
        for layer in finding["architecture"]["layers"]:
            assert layer["activation"] in spoken


def test_conventions_and_accuracy_are_side_by_side(open_report: Open) -> None:
    page = open_report()
    row = page.locator("#conventions tr", has_text="hardsigmoid").filter(has_text="0.123")
    assert "≠" in row.inner_text() and "kink" in row.inner_text()
    assert "✗ 1,234" in page.locator("#platform").inner_text()


def test_on_paper_everything_is_open(open_report: Open) -> None:
    page = open_report()
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert not page.locator("#filters").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 0
