"""The dashboard in a real browser, with an accessibility checker."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe


def open_dashboard(page: Any, link: str) -> str:
    """Log the browser in; the dashboard's address."""
    page.goto(link)
    assert "login" not in page.url
    return page.url.partition("/dashboard/")[0] + "/dashboard"


def go(page: Any, *names: str) -> None:
    """Open a page by the menu."""
    for name in names:
        page.get_by_role("navigation", name="Dashboard").get_by_role("link", name=name, exact=True).first.click()


def check_accessibility(page: Any) -> None:
    """Let axe look at the page, in light and in dark, once the click before has led there."""
    page.wait_for_load_state("networkidle")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page).response["violations"]
        said = [(one["id"], one["help"], [node["html"][:300] for node in one["nodes"]]) for one in found]
        assert not said, f"{page.url} in {scheme}: {said}"
    page.emulate_media(color_scheme="light")
