"""Make the README's pictures from the running program: ``make screenshots``.

Starts engines of its own, makes the demo, drives the UI with real keys and writes one PNG a screen. Textual
exports SVG; a PNG looks the same everywhere, so the SVG is rendered with a font that has every glyph we draw.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

SIZE = (120, 34)
FONT = "DejaVu Sans Mono"


async def main(folder: Path) -> None:
    """Drive the program from the list of datasets to similar pictures."""
    from tests.engines.servers import MilvusLite, Mongod
    from tui.app import Kitescope
    from tui.core.settings import resolve

    with Mongod(folder / "mongo") as mongo, MilvusLite(folder / "lite") as lite:
        settings = resolve(flags={"uri": lite.uri, "database_uri": mongo.uri})
        make_demo(settings)
        app = Kitescope(settings)
        async with app.run_test(size=SIZE) as pilot:

            async def until(ready: Callable[[], object], seconds: float = 60) -> None:
                deadline = time.monotonic() + seconds
                while not ready():
                    if time.monotonic() > deadline:
                        raise TimeoutError("the screen did not get there")
                    await pilot.pause(0.1)
                await pilot.pause(0.5)

            def shoot(name: str) -> None:
                write_png(app.export_screenshot(), HERE / f"{name}.png")

            await until(lambda: app.state.datasets)
            await pilot.press("enter")
            await until(lambda: app.state.scope)
            await pilot.pause(2)
            shoot("datasets")
            await pilot.press("1")
            await pilot.pause(1)
            shoot("connection")
            await pilot.press("3")
            await pilot.pause(3)
            shoot("build")
            await pilot.press("4")
            await until(lambda: app.state.jobs)
            shoot("jobs")
            await pilot.press("5")
            await until(lambda: app.state.runs and all(run.health for run in app.state.runs))
            shoot("runs")
            await pilot.press("enter")
            await until(lambda: app.state.index)
            await pilot.pause(3)
            await pilot.press("minus", "enter")
            await pilot.pause(5)
            shoot("search")


def make_demo(settings: object) -> None:
    """The dataset of digits and its index, by a job as a user would start it."""
    from tui.core.datasets import Scope
    from tui.core.demo import make_demo as make_dataset
    from tui.core.indexes import BuildSpec, Source
    from tui.core.models import BUILTIN
    from tui.core.workspace import Workspace
    from tui.jobs import supervisor
    from tui.jobs.spec import job_spec

    workspace = Workspace(settings)  # type: ignore[arg-type]
    make_dataset(workspace)
    build = BuildSpec(Scope("kitescope-demo"), "digits", Source(model=BUILTIN))
    job = supervisor.start(job_spec("build", "kitescope-demo", "digits", settings, build), settings)  # type: ignore[arg-type]
    ended = supervisor.wait(job.id, timeout=300)
    if ended.state != "done":
        raise RuntimeError(f"the build ended as {ended.state}: {ended.error}")


def write_png(svg: str, path: Path) -> None:
    """Render an exported screenshot."""
    import cairosvg

    svg = re.sub(r"@font-face\s*{[^}]*}", "", svg)
    svg = re.sub(r"font-family:[^;\"]*", f"font-family: {FONT}", svg)
    cairosvg.svg2png(bytestring=svg.encode(), write_to=str(path), output_width=1400)
    print(path)


if __name__ == "__main__":
    with TemporaryDirectory(prefix="kitescope-") as name:
        home = Path(name)
        for variable in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
            os.environ[variable] = str(home)
        asyncio.run(main(home))
