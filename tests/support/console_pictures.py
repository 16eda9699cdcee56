"""Writes the pictures of the console's pages to docs/pictures/: `python -m tests.support.console_pictures`.

Everything is real: a broker, a database, a consumer, a console, a Chromium.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from jobstatus_consumer.console import Options
from jobstatus_local.postgres import LocalPostgres
from playwright.sync_api import Browser, sync_playwright
from support.chromium import FLAGS, environment, executable
from support.console import Console, running_console
from support.console_scene import DEADLINES, STORY, crowd, set_scene
from support.deployment import Deployment
from support.parts import started
from support.shared_broker import session_broker
from support.waiting import until

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "pictures"
PAGES: Final[Mapping[str, str]] = {
    "overview": "/",
    "jobs": "/jobs?status=error",
    "job": f"/jobs/{STORY}",
    "stuck": "/stuck",
    "dead-letters": "/dead-letters",
    "consumers": "/consumers",
    "verify": "/verify",
}
Scheme = Literal["light", "dark"]
SIZES: Final = ((1280, 800, "light", ""), (1280, 800, "dark", "-dark"), (375, 812, "light", "-phone"))
EACH_WAY: Final = ("overview", "job")
"""The pages that are also shown in the dark and on a phone."""


@contextmanager
def scene() -> Iterator[Console]:
    """A console over real parts with something to show."""
    with (
        tempfile.TemporaryDirectory() as folder,
        started("a real Apache Kafka", session_broker()) as broker,
        started("a real PostgreSQL", LocalPostgres(settings={"fsync": "off"})) as postgres,
    ):
        url = postgres.create_database("pictures")
        deployed = Deployment(broker.bootstrap_servers, url, "job-status", "jobstatus", Path(folder))
        deployed.set_up()
        set_scene(deployed)
        options = Options(show_values=True, verify_every=3600)
        with closing(deployed), running_console(deployed, options, deadlines=DEADLINES) as console:
            deployed.consumer()
            until(lambda: console.get("/api/verify").json["right"], "the table is compared")
            until(lambda: console.get("/api/stuck").code == 200, "overdue jobs are read")
            for round_ in range(25):
                deployed.produce_events(crowd(40 + 30 * (round_ % 5), seed=100 + round_))
            deployed.caught_up()
            yield console


def take(browser: Browser, console: Console, folder: Path) -> None:
    """Write the pictures of each page into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for width, height, scheme, suffix in SIZES:
        page = browser.new_page(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            locale="en-US",
        )
        for name, path in PAGES.items():
            if not suffix or name in EACH_WAY:
                page.goto(console.url + path)
                page.wait_for_load_state("load")
                if name == "overview":
                    page.locator(".u-legend").first.wait_for()
                page.screenshot(path=folder / f"{name}{suffix}.png")
        page.close()


def main() -> None:
    """Write all of them."""
    with scene() as console, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=list(FLAGS), env=dict(environment()))
        take(browser, console, FOLDER)
        browser.close()


if __name__ == "__main__":
    main()
