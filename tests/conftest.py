"""Fixtures over real engines, and a home of their own for every test.

FiftyOne can be imported once per process with one database, so the session's single ``mongod`` is the
database of the whole test process: give datasets unique names (``unique_name``).
"""

from __future__ import annotations

import atexit
import os
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.engines.servers import MilvusLite, MilvusServer, Mongod
from tests.engines.standalone import MilvusStandalone, TlsMode
from tests.engines.tls import Certificates, make_certificates

if TYPE_CHECKING:
    from tui.core.settings import Settings
    from tui.core.workspace import Workspace


def _say_no_more() -> None:
    """Close stderr: triton's binding tells there, after pytest's closing line, what it did not free."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


# Registered first, so that it runs last.
atexit.register(_say_no_more)
_SESSION_HOME = tempfile.TemporaryDirectory(prefix="kitescope-tests-", ignore_cleanup_errors=True)
_XDG = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")
_QUIET = {
    "FIFTYONE_DO_NOT_TRACK": "true",
    "FIFTYONE_DATABASE_VALIDATION": "false",
    "FIFTYONE_SHOW_PROGRESS_BARS": "false",
    "FIFTYONE_LOGGING_LEVEL": "CRITICAL",
    "GRPC_VERBOSITY": "NONE",
    "OMP_WAIT_POLICY": "PASSIVE",
    # The developer's keyring is nobody's business here.
    "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
}


def _home_environment(home: Path) -> dict[str, str]:
    xdg = {name: str(home / name.lower().removesuffix("_home").replace("_", "-")) for name in _XDG}
    return {"HOME": str(home), **xdg, **_QUIET}


def _strangers(environment: dict[str, str]) -> list[str]:
    """Variables that would let the developer's own settings into a test."""
    prefixes = ("FIFTYONE_", "KITESCOPE_", "MILVUS_")
    return [name for name in environment if name.startswith(prefixes) and name not in _QUIET]


def pytest_configure(config: pytest.Config) -> None:
    """Move the process to a temporary home before anything can read the real one."""
    for name in _strangers(dict(os.environ)):
        del os.environ[name]
    os.environ.update(_home_environment(Path(_SESSION_HOME.name)))
    # Who runs tests in the background may have them ignore these, and all that they start inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_unconfigure(config: pytest.Config) -> None:
    _SESSION_HOME.cleanup()
    # Triton's bindings list what they leaked when the interpreter ends, after pytest's closing line.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home for this test: HOME and the XDG folders are there, no FiftyOne setting is inherited."""
    place = tmp_path / "home"
    place.mkdir(mode=0o700)
    for name in _strangers(dict(os.environ)):
        monkeypatch.delenv(name)
    for name, value in _home_environment(place).items():
        monkeypatch.setenv(name, value)
    return place


@pytest.fixture
def unique_name() -> Callable[[str], str]:
    """Make a name nobody else uses in the session's database."""
    return lambda stem="t": f"{stem}-{uuid.uuid4().hex[:10]}"


# -- engines: one of each for the whole session -------------------------------------------------
@pytest.fixture(scope="session")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """The test process's only FiftyOne database. Do not kill it: make a ``mongod_factory`` one for that."""
    with Mongod(tmp_path_factory.mktemp("mongod")) as server:
        yield server


@pytest.fixture(scope="session")
def milvus_lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusLite]:
    with MilvusLite(tmp_path_factory.mktemp("milvus-lite")) as server:
        yield server


@pytest.fixture(scope="session")
def milvus_standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusStandalone]:
    """The real Milvus server, open to everyone."""
    with MilvusStandalone(tmp_path_factory.mktemp("milvus")) as server:
        yield server


@pytest.fixture(params=["lite", "standalone"])
def milvus_engine(request: pytest.FixtureRequest) -> MilvusServer:
    """Each test of this runs on Milvus Lite and on the real server."""
    server: MilvusServer = request.getfixturevalue(f"milvus_{request.param}")
    return server


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


# -- engines of a test's own, for faults --------------------------------------------------------
@pytest.fixture
def mongod_factory(tmp_path: Path) -> Iterator[Callable[..., Mongod]]:
    """``mongod_factory(user=, password=)``: a started mongod that this test may kill."""
    yield from _factory(lambda n, **kw: Mongod(tmp_path / f"mongod-{n}", **kw))


@pytest.fixture
def milvus_lite_factory(tmp_path: Path) -> Iterator[Callable[..., MilvusLite]]:
    """``milvus_lite_factory()``: a started Milvus Lite server that this test may kill."""
    yield from _factory(lambda n, **kw: MilvusLite(tmp_path / f"milvus-lite-{n}", **kw))


@pytest.fixture(scope="module")
def milvus_standalone_factory(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Callable[..., MilvusStandalone]]:
    """``milvus_standalone_factory(auth=, tls=)``: a started server; equal calls share one."""
    made: dict[tuple[bool, TlsMode], MilvusStandalone] = {}

    def make(*, auth: bool = False, tls: TlsMode = "none") -> MilvusStandalone:
        if (auth, tls) not in made:
            directory = tmp_path_factory.mktemp(f"milvus-{tls}")
            made[auth, tls] = MilvusStandalone(directory, auth=auth, tls=tls, certificates=certificates)
            made[auth, tls].start()
        return made[auth, tls]

    yield make
    for server in made.values():
        server.close()


def _factory(make: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    made: list[Any] = []

    def start(**kwargs: Any) -> Any:
        made.append(make(len(made), **kwargs))
        return made[-1].start()

    yield start
    for server in made:
        server.close()


# -- what the code under test works with --------------------------------------------------------
@pytest.fixture
def engine_environment(home: Path, mongod: Mongod, milvus_lite: MilvusLite) -> dict[str, str]:
    """The environment of a child process (command line, job) on the session's mongod and Milvus Lite."""
    return {
        **os.environ,
        "FIFTYONE_DATABASE_URI": mongod.uri,
        "FIFTYONE_BRAIN_SIMILARITY_MILVUS_URI": milvus_lite.uri,
    }


def settings_for(mongod: Mongod, milvus: MilvusServer, **over: Any) -> Settings:
    """Settings that name both engines by flag."""
    from tui.core.settings import resolve

    flags = {**milvus.client_kwargs(), "database_uri": mongod.uri}
    return resolve(flags=flags, env={}, **over)


@pytest.fixture
def workspace(mongod: Mongod, milvus_lite: MilvusLite) -> Iterator[Workspace]:
    """FiftyOne on the session's mongod and Milvus Lite."""
    from tui.core.workspace import Workspace

    with Workspace(settings_for(mongod, milvus_lite)) as opened:
        yield opened


@pytest.fixture
def workspace_standalone(mongod: Mongod, milvus_standalone: MilvusStandalone) -> Iterator[Workspace]:
    """FiftyOne on the session's mongod and the real Milvus server."""
    from tui.core.workspace import Workspace

    with Workspace(settings_for(mongod, milvus_standalone)) as opened:
        yield opened


@pytest.fixture
def engine_workspace(mongod: Mongod, milvus_engine: MilvusServer) -> Iterator[Workspace]:
    """A workspace over each of the two Milvus engines in turn."""
    from tui.core.workspace import Workspace

    with Workspace(settings_for(mongod, milvus_engine)) as opened:
        yield opened
