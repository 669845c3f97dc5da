"""FiftyOne's embedded database is told from a shared one, also where it is named by its present port."""

from __future__ import annotations

import psutil
import pytest

from tests.engines.servers import Mongod
from tui.core.services import database_test, fiftyone_service
from tui.core.services.fiftyone_service import Found
from tui.core.settings import resolve


@pytest.mark.parametrize("named", [False, True])
def test_an_embedded_one_that_runs_is_asked_and_not_joined(
    named: bool, mongod: Mongod, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Found((), psutil.Process(), True, mongod.port)
    monkeypatch.setattr(fiftyone_service, "find", lambda _folder: found)
    flags = {"database_uri": f"mongodb://localhost:{mongod.port}"} if named else {}
    tested = database_test.run_test(resolve(flags=flags, env={}))
    assert (tested.ok, tested.embedded) == (True, True)
    assert tested.datasets is not None and tested.server_version is not None
    assert "FiftyOne's embedded one" in tested.steps[0].detail


def test_a_mongod_of_the_users_own_on_the_folder_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Found((), psutil.Process(), False, 1)
    monkeypatch.setattr(fiftyone_service, "find", lambda _folder: found)
    tested = database_test.run_test(resolve(env={}))
    assert not tested.ok and "a mongod of yours" in tested.last.detail and tested.last.remedy
