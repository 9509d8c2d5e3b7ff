"""What all pages keep, shown on the page at the service's address."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import api
from api.pages import all_words
from consent import terms as agreed
from consent.terms import Reader
from tests.pages.conftest import FIRST_LOAD_MOST, Site, first_load, looks_right

pytestmark = [pytest.mark.browser, pytest.mark.service]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_start_page(visit: Callable[..., Page], language: str) -> None:
    page = visit("/", language=language)
    assert page.locator("html").get_attribute("lang") == {"en": "en", "zh": "zh-Hans"}[language]
    looks_right(page, f"start-{language}")


def test_the_language_that_was_chosen_stays(visit: Callable[..., Page]) -> None:
    page = visit("/")
    page.get_by_role("link", name="简体中文").click()
    page.wait_for_url("**lang=zh")
    page.goto(page.url.partition("?")[0])
    assert "面容" in page.get_by_role("heading", level=1).inner_text()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_terms_are_there_for_people_to_read(visit: Callable[..., Page], language: str) -> None:
    page = visit("/", language=language)
    page.get_by_role("link", name={"en": "The terms", "zh": "条款"}[language]).click()
    terms = agreed.current(language)
    shown = page.locator("article").inner_text()
    assert [line for line in terms.text.splitlines() if line.lstrip("#- ") not in shown] == []
    expect(page.get_by_text(terms.sha256)).to_be_visible()
    looks_right(page, f"terms-{language}", whole=False)


def test_an_older_text_stays_at_its_fingerprint_and_leads_to_the_newer_one(
    visit: Callable[..., Page], site: Site
) -> None:
    old = next(one for one in agreed.VERSIONS if one.language == "en" and one != agreed.current("en", one.reader))
    page = visit(f"/terms/{old.sha256}")
    expect(page.locator("article")).to_contain_text(f"Version {old.version}")
    page.get_by_role("link", name="Read the newer one").click()
    expect(page.locator("article")).to_contain_text(f"Version {agreed.current('en').version}")
    expect(page.locator("main .notice")).to_have_count(0)
    page.get_by_role("link", name="The face of somebody you speak for").click()
    expect(page.get_by_text(agreed.current("en", Reader.REPRESENTATIVE).sha256)).to_be_visible()
    assert site.world.call("GET", f"/terms/{'0' * 64}").status_code == 404


def test_first_load_is_small(visit: Callable[..., Page], site: Site) -> None:
    page = visit("/nowhere-at-all")
    assert 0 < first_load(page, site.url("/")) <= FIRST_LOAD_MOST


def test_pages_of_this_machine_live_where_passkeys_work(visit: Callable[..., Page], site: Site) -> None:
    page = visit("/")
    page.goto(site.url("/?lang=zh").replace("localhost", "127.0.0.1"))
    assert page.url == site.url("/?lang=zh")


def test_every_area_has_its_words_in_both_languages() -> None:
    folder = Path(api.__file__).parent / "pages" / "words"
    areas = sorted(path.stem for path in folder.glob("*.toml"))
    assert areas
    for area in areas:
        words = all_words(area)
        for key, english in words["en"].items():
            in_english, in_chinese = (
                {part.partition("}")[0] for part in text.split("{")[1:]} for text in (english, words["zh"][key])
            )
            assert in_english == in_chinese, f"{area}: {key}"
