"""The page at `/`, in a real browser."""

import shutil
from contextlib import contextmanager

import pytest
from serving import WAIT_SECONDS, colour_bundle, picture, server

selenium = pytest.importorskip("selenium")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver (apt: chromium-driver)"
)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def browser(profile):
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={profile}", "--window-size=900,900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        driver.set_page_load_timeout(WAIT_SECONDS)
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    environment = {"KENNEL_MAX_PIXELS": "1000000"}
    with (
        server(colour_bundle(), environment) as process,
        browser(tmp_path_factory.mktemp("profile")) as driver,
    ):
        driver.get(process.url)
        yield driver


def find(driver, selector):
    from selenium.webdriver.common.by import By

    return driver.find_elements(By.CSS_SELECTOR, selector)


def wait_for(driver, selector, count):
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, WAIT_SECONDS).until(lambda d: len(find(d, selector)) >= count)
    return find(driver, selector)


def send(driver, *files):
    (chooser,) = find(driver, "input[type=file]")
    chooser.send_keys("\n".join(str(file) for file in files))


def reload(driver):
    driver.refresh()
    wait_for(driver, "input[type=file]", 1)


def test_choosing_a_picture_shows_its_labels_as_bars(page, tmp_path):
    reload(page)
    (tmp_path / "grass.png").write_bytes(picture("green", size=(640, 480)))
    send(page, tmp_path / "grass.png")
    rows = wait_for(page, ".row", 3)
    assert rows[0].text.startswith("green")
    widths = [bar.size["width"] for bar in find(page, ".bar")]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 10 * widths[1]
    assert "99.6 %" in rows[0].text


def test_several_pictures_get_a_card_each(page, tmp_path):
    reload(page)
    for name in ("red", "blue"):
        (tmp_path / f"{name}.png").write_bytes(picture(name))
    send(page, tmp_path / "red.png", tmp_path / "blue.png")
    wait_for(page, ".row", 6)
    newest_first = [label.text for label in find(page, ".row:first-child .label")]
    assert newest_first == ["blue", "red"]


def test_asking_why_shows_where_the_network_looked_and_the_picture_again(page, tmp_path):
    reload(page)
    wait_for(page, "#facts:not(:empty)", 1)
    (tmp_path / "grass.png").write_bytes(picture("green", size=(640, 480)))
    send(page, tmp_path / "grass.png")
    (button,) = wait_for(page, ".why", 1)
    before = find(page, ".result img")[0].get_attribute("src")
    button.click()
    wait_for(page, ".why.on", 1)
    (shown,) = find(page, ".result img")
    wait_for(page, ".result img[alt*=bright]", 1)
    assert page.execute_script("return arguments[0].decode().then(() => 1)", shown) == 1
    assert shown.get_attribute("naturalWidth") == "32"
    button.click()
    assert find(page, ".result img")[0].get_attribute("src") == before


def test_a_refusal_is_shown_in_the_servers_own_words(page, tmp_path):
    reload(page)
    (tmp_path / "notes.png").write_bytes(b"not a picture at all")
    (tmp_path / "huge.png").write_bytes(picture(size=(1200, 1200)))
    send(page, tmp_path / "notes.png", tmp_path / "huge.png")
    huge, notes = wait_for(page, ".error", 2)
    assert "expected a picture" in notes.text
    assert "the limit is 1,000,000" in huge.text


def test_the_page_says_what_serves_it_and_fits_a_phone(page):
    reload(page)
    wait_for(page, "#facts:not(:empty)", 1)
    assert "3 labels" in find(page, "#facts")[0].text
    page.set_window_size(500, 800)
    overflow = page.execute_script(
        "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    page.set_window_size(900, 900)
    assert overflow == 0


def test_the_browser_has_no_complaint(page):
    reload(page)
    wait_for(page, "#facts:not(:empty)", 1)
    page.get_log("browser")  # what earlier tests provoked
    page.refresh()
    wait_for(page, "#facts:not(:empty)", 1)
    assert page.get_log("browser") == []
