"""A terminal that is made larger or smaller while a dialog stands over pictures."""

from __future__ import annotations

from collections.abc import Callable

from tests.ui.conftest import screen_text, until
from tests.ui.test_search import DATASET, KEY, browsing
from tests.ui.test_search import digits as digits
from tui.app import Kitescope
from tui.widgets.pick import Pick


async def test_a_dialog_survives_every_size(
    make_app: Callable[..., Kitescope], digits: dict[str, str]
) -> None:
    app = make_app(search=(DATASET, KEY))
    async with app.run_test(size=(80, 24)) as pilot:
        await browsing(pilot, app)
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, Pick))
        for size in ((100, 40), (60, 18), (200, 50), (80, 24)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda size=size: app.size == size and "Only what is in" in screen_text(app))
