"""The debugger's pages in a real browser: light, dark, on a phone, on paper."""

import base64
import shutil

import pytest
from pages import SICK, scene_view, write_job_folder

from debugger.report.job_page import write_job_page
from debugger.report.profile_page import write_profile_page

selenium = pytest.importorskip("selenium.webdriver")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Lettering of figures that begins left of them or ends right of them, by more than a hair.
OUTSIDE = """
return [...document.querySelectorAll('svg text')].filter(text => {
  const box = text.getBoundingClientRect(), around = text.closest('svg').getBoundingClientRect();
  return box.left < around.left - 3 || box.right > around.right + 3
      || box.top < around.top - 3 || box.bottom > around.bottom + 3;
}).map(text => text.textContent)
"""
# Pairs of lettering in one figure that lie on top of each other.
OVERLAPPING = """
const found = [];
for (const svg of document.querySelectorAll('svg')) {
  const texts = [...svg.querySelectorAll('text')];
  const all = texts.map(text => [text.textContent, text.getBoundingClientRect()]);
  for (let i = 0; i < all.length; i++) for (let j = i + 1; j < all.length; j++) {
    const [a, b] = [all[i][1], all[j][1]];
    const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (x > 3 && y > 5) found.push(all[i][0] + ' / ' + all[j][0]);
  }
}
return found
"""
COLOURS = """
const all = (found, name) => [...new Set([...document.querySelectorAll(found)].map(
  one => getComputedStyle(one)[name]))].sort().join(' ');
return [all('body', 'backgroundColor'), all('svg text', 'fill'), all('#time svg path', 'fill'),
        all('#steps svg path', 'stroke')]
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The profiler's report and a job's page."""
    folder = tmp_path_factory.mktemp("pages")
    view = scene_view(SICK, folder / "scene")
    write_profile_page(view.profile, view.results, folder / "profile.html", title="Pets")
    write_job_page(write_job_folder(folder / "job"), folder / "job.html")
    return {name: (folder / f"{name}.html").as_uri() for name in ("profile", "job")}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = selenium.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = selenium.Chrome(
        options=options, service=selenium.ChromeService(executable_path=DRIVER)
    )
    opened.set_page_load_timeout(60)
    yield opened
    opened.quit()


def look(browser, address, *, scheme="light", width=1100):
    """Open a page on a screen so wide."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get(address)


@pytest.mark.parametrize("name", ["profile", "job"])
def test_it_opens_without_a_complaint_and_no_lettering_is_cut_or_covered(browser, pages, name):
    look(browser, pages[name])
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.querySelectorAll('svg text').length") > 100
    assert browser.execute_script(OUTSIDE) == []
    assert browser.execute_script(OVERLAPPING) == []
    assert browser.execute_script(
        "return [...document.images].every(i => i.complete && i.naturalWidth > 0)"
    )


@pytest.mark.parametrize("name", ["profile", "job"])
def test_dark_screens_get_other_colours_also_within_figures(browser, pages, name):
    look(browser, pages[name])
    light = browser.execute_script(COLOURS)
    look(browser, pages[name], scheme="dark")
    dark = browser.execute_script(COLOURS)
    assert all(one != other for one, other in zip(light, dark, strict=True))
    assert "var(" not in "".join(light + dark)


@pytest.mark.parametrize("name", ["profile", "job"])
def test_a_phone_shows_it_without_scrolling_sideways(browser, pages, name):
    look(browser, pages[name], width=390)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390


def test_classes_are_sorted_by_a_click(browser, pages):
    look(browser, pages["job"])
    browser.execute_script("document.querySelectorAll('table.sortable th button')[2].click()")
    rows = "[...document.querySelectorAll('table.sortable tbody tr')]"
    recalls = browser.execute_script(f"return {rows}.map(row => row.cells[2].innerText)")
    assert recalls == ["0.900", "0.400", "0.200"]


@pytest.mark.parametrize("name", ["profile", "job"])
def test_it_prints(browser, pages, name):
    look(browser, pages[name])
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    data = base64.b64decode(printed["data"])
    assert data.startswith(b"%PDF")
    assert data.count(b"/Type /Page\n") + data.count(b"/Type /Page ") >= 3
