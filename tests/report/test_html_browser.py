"""HTML reports in headless Chromium: a click shows the evidence, nothing is asked for, nothing of others runs."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from html_models import N_LAYERS, Shelf, layers, net, tuned
from report_audits import HOSTILE, hostile
from test_html import MORE_HOSTILE, painted

from hubdna.report import html

pytest.importorskip("selenium.webdriver", reason="needs selenium: install the extra `test`")
from selenium.common.exceptions import NoAlertPresentException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "boards"))
from chromium import DRIVER, PROGRAM, asked_for, complaints, opened, started

pytestmark = pytest.mark.skipif(
    not (PROGRAM and DRIVER), reason="needs Chromium and its driver: `make chromium` as root, or install both"
)
BASE = net(1)
LEFT = tuned(BASE, 2)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with started(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report on three models; one in which all text of others is hostile."""
    folder = tmp_path_factory.mktemp("pages")
    shelf = Shelf(folder)
    for name, model in {"lab/base": BASE, "lab/left": LEFT, "lab/right": tuned(BASE, 3)}.items():
        shelf.put(name, model)
    models = {"./tuned": tuned(LEFT, 4, 0.05), "./hole": tuned(BASE, 5, 0.05) | layers(net(6), 2), "./alone": net(7)}
    found = {"audit": html.audits([shelf.audit(model, name) for name, model in models.items()])}
    shelf.index.close()
    found["hostile"] = html.audits([(hostile(text), painted(text)) for text in [*HOSTILE, *MORE_HOSTILE]])
    return {name: written(folder / f"{name}.html", text) for name, text in found.items()}


def written(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def alerted(browser: Chrome) -> bool:
    try:
        browser.switch_to.alert.dismiss()
    except NoAlertPresentException:
        return False
    return True


def test_a_click_on_a_node_shows_the_evidence(browser: Chrome, pages: dict[str, Path]) -> None:
    opened(browser, pages["audit"])
    relative = browser.find_element(By.ID, "m0-r0")
    evidence = relative.find_element(By.TAG_NAME, "ul")
    assert not evidence.is_displayed()
    node = browser.find_element(By.CSS_SELECTOR, "#m0 svg.tree a[href='#m0-r0']")
    node.click()
    assert evidence.is_displayed() and "32 of 32 units match themselves" in evidence.text
    assert "lab/left" in relative.text and "undirected" in relative.text


def test_a_click_on_a_layer_shows_its_figures(browser: Chrome, pages: dict[str, Path]) -> None:
    opened(browser, pages["audit"])
    rows = browser.find_elements(By.CSS_SELECTOR, "#m1 details.layer")
    assert len(rows) == N_LAYERS and "matches none" in rows[2].find_element(By.TAG_NAME, "svg").text
    assert not rows[2].find_element(By.TAG_NAME, "table").is_displayed()
    rows[2].find_element(By.TAG_NAME, "summary").click()
    figures = rows[2].find_element(By.TAG_NAME, "table")
    assert figures.is_displayed() and "lab/base" in figures.text and "matches none" in figures.text


def test_without_scripts_everything_can_be_read(browser: Chrome, pages: dict[str, Path]) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        opened(browser, pages["audit"])
        relative = browser.find_element(By.ID, "m0-r0")
        relative.find_element(By.TAG_NAME, "summary").click()
        assert "32 of 32 units match themselves" in relative.text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.parametrize("name", ["audit", "hostile"])
def test_a_page_asks_nobody_for_anything_and_nothing_complains(
    browser: Chrome, pages: dict[str, Path], name: str
) -> None:
    opened(browser, pages[name])
    assert not alerted(browser)
    for link in browser.find_elements(By.CSS_SELECTOR, "a, summary")[:60]:
        browser.execute_script("arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))", link)
    assert not alerted(browser) and asked_for(browser) == [] and complaints(browser) == []


def test_the_logs_would_have_seen_a_request_and_a_script(
    browser: Chrome, pages: dict[str, Path], tmp_path: Path
) -> None:
    text = pages["audit"].read_text("utf-8")
    strange = '<img src="http://127.0.0.1:9/x.png"><script>document.title = "ran"</script></body>'
    head = text.index("<meta http-equiv"), text.index("<meta name")
    free = written(tmp_path / "free.html", (text[: head[0]] + text[head[1] :]).replace("</body>", strange))
    opened(browser, free)
    assert asked_for(browser) == ["http://127.0.0.1:9/x.png"] and browser.title == "ran"
    opened(browser, written(tmp_path / "bound.html", text.replace("</body>", strange)))
    assert browser.title != "ran", "the policy stops a script that somebody put in"
    assert sum("Content Security Policy" in line for line in complaints(browser)) >= 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_and_patterns_stand_out_from_the_ground(browser: Chrome, pages: dict[str, Path], scheme: str) -> None:
    opened(browser, pages["audit"], scheme=scheme)
    ground = luminance(browser, "background-color", "body")
    assert (ground < 0.1) is (scheme == "dark")
    assert contrast(ground, luminance(browser, "color", "body")) >= 7
    for pattern in "ABCDEF":
        assert contrast(ground, luminance(browser, "fill", f"#p{pattern} rect")) >= 3, pattern
    assert contrast(ground, luminance(browser, "color", ".soft")) >= 4.5


def luminance(browser: Chrome, prop: str, where: str) -> float:
    """Relative luminance of a colour (WCAG 2.2)."""
    value = browser.execute_script(
        "return getComputedStyle(document.querySelector(arguments[0])).getPropertyValue(arguments[1])", where, prop
    )
    channels = [int(c) / 255 for c in value.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


@pytest.mark.parametrize("name", ["audit", "hostile"])
@pytest.mark.parametrize("width", [420, 1200])
def test_nothing_overflows_the_page(browser: Chrome, pages: dict[str, Path], name: str, width: int) -> None:
    opened(browser, pages[name], width)
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
