"""Takes the pictures of the documentation from a running `make demo`: .venv/bin/python docs/pictures.py"""

import json
import os
import shutil
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = f"http://localhost:{os.environ.get('PORT', '8000')}"
FOLDER = Path(os.environ.get("DATA_DIR", ROOT / "var" / "demo"))
HOME = "/o/meridian-labs/"
PAGES = {"usage": "usage/?range=90d", "keys": "providers/"}


def sign_in(page: Page) -> None:
    remembered = json.loads((FOLDER / "demo.json").read_text())
    page.goto(f"{ADDRESS}/signin/")
    page.get_by_label("Email").fill(remembered["email"])
    page.get_by_label("Password", exact=True).fill(remembered["password"])
    page.keyboard.press("Enter")
    page.wait_for_url("**/o/**")


def main() -> None:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 860}, color_scheme="light")
        sign_in(page)
        for name, path in PAGES.items():
            page.goto(ADDRESS + HOME + path, wait_until="networkidle")
            page.screenshot(path=ROOT / "docs" / "images" / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
