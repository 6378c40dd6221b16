"""The page of a data check: complete, escaped, self-contained; and in a real browser."""

import base64
import re
import shutil

import pytest
from kinds import encode
from pages import EVIL, Page, words_of
from test_control_data_check import photo

from control.cli import main

selenium = pytest.importorskip("selenium.webdriver")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking", "--disable-sync"),
)
LONG = "a-breed-with-a-name-that-is-much-longer-than-any-column-of-a-table"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Of a set with everything wrong in it."""
    folder, seed = tmp_path_factory.mktemp("page"), 0
    dogs = folder / "dogs"
    evil = EVIL.replace("/", "")
    for split, count in (("train", 6), ("valid", 2), ("test", 3)):
        for label in ("beagle", LONG, evil):
            (dogs / split / label).mkdir(parents=True)
            for number in range(count):
                seed += 1
                photo(seed).save(dogs / split / label / f"{number}.jpg")
    whole = (dogs / "train/beagle/1.jpg").read_bytes()
    (dogs / "test/beagle/same.jpg").write_bytes(whole)
    (dogs / "test/beagle/anew.jpg").write_bytes(encode(photo(3).resize((90, 70)), "JPEG"))
    (dogs / f"train/{LONG}/wrong.jpg").write_bytes((dogs / "train/beagle/2.jpg").read_bytes())
    (dogs / "train/beagle/twice.jpg").write_bytes((dogs / "train/beagle/3.jpg").read_bytes())
    (dogs / f"train/beagle/{evil}.jpg").write_bytes(whole[:2000])
    copied = (dogs / "train" / evil / "1.jpg").read_bytes()
    (dogs / "test" / evil / "1.jpg").write_bytes(copied)
    (dogs / "train/empty").mkdir()
    assert main(["data", "check", str(dogs), "--page", str(folder / "check.html")]) == 1
    return folder / "check.html"


def test_the_page_holds_all_that_it_shows_and_nothing_runs_in_it(page):
    text = page.read_text()
    seen = Page(text)
    assert seen.crossed == []
    assert seen.handlers == []
    assert seen.tags.count("script") == 1
    assert all(one.startswith(("data:image/jpeg;base64,", "#")) for one in seen.addresses)
    assert {one.removeprefix("#") for one in seen.addresses if one[0] == "#"} <= set(seen.ids)
    assert "default-src 'none'" in text


def test_the_page_says_what_was_found(page):
    words = words_of(page.read_text())
    assert "3 of 11 test pictures are in train" in words
    assert "The same picture in two splits" in words
    assert "The same file" in words
    assert "gradients differ" in words
    assert "is damaged" in words
    assert "train/empty" in words


def test_the_pictures_of_the_page_are_jpegs_of_a_few_kilobytes(page):
    found = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", page.read_text())
    sizes = [len(base64.b64decode(one)) for one in found]
    assert len(found) == 12  # leaks 2 + 2 + 3, conflict 3, copies 2
    assert max(sizes) < 30_000
    assert all(base64.b64decode(one).startswith(b"\xff\xd8") for one in found)


def test_the_bars_are_as_long_as_the_counts(page):
    text = page.read_text()
    (row,) = re.findall(r"<g><title>beagle: [^<]*</title>.*?</g>", text)
    told = re.search(r"train (\d+), validation (\d+), test (\d+)", row)
    assert told
    widths = [float(one) + 1 for one in re.findall(r'<rect [^>]*width="([\d.]+)"', row)]
    counts = [int(one) for one in told.groups()]
    assert counts == [7, 2, 5]
    assert [w / widths[0] for w in widths] == pytest.approx([c / 7 for c in counts], abs=0.01)


@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_screen_and_a_phone(page, width, scheme):
    options = selenium.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with selenium.Chrome(options, selenium.ChromeService(DRIVER)) as browser:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
        browser.get(page.as_uri())
        assert browser.get_log("browser") == []
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        broken = "return [...document.images].filter(one => !one.naturalWidth).length"
        assert browser.execute_script(broken) == 0
        lightness = browser.execute_script(
            "return getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]"
        )
        assert (int(lightness) > 128) == (scheme == "light")
