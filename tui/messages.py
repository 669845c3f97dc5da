"""App-wide messages: past tense for facts, ``XRequested`` for wishes.

Facts go to the app, which applies them to its state; wishes go to the app, which alone starts jobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from textual.worker import Worker

    from tui.core.errors import KitescopeError
    from tui.core.indexes import BuildSpec
    from tui.core.settings import Settings
    from tui.core.workspace import Workspace
    from tui.state import EngineName, Event


class Answer(Message):
    """What may be the answer of a call to core, which notes whose it is: one can come too late.

    Attributes:
        worker: the call; None when it is none's answer.
        workspace: the engines that were asked, where the answer is worth nothing once others are in use.
    """

    worker: Worker[None] | None = None
    workspace: Workspace | None = None

    def is_late(self, workspace: Workspace) -> bool:
        """Whether nobody waits for it any more, or other engines are in use by now than were asked."""
        if self.worker is not None and self.worker.is_cancelled:
            return True
        return self.workspace is not None and self.workspace is not workspace


class Happened(Answer):
    """Something became known: the app applies ``event`` to its state."""

    def __init__(self, event: Event) -> None:
        self.event = event
        super().__init__()


class Failed(Answer):
    """A call to core raised: the app shows what happened and the remedy."""

    def __init__(self, error: KitescopeError, doing: str = "") -> None:
        self.error = error
        self.doing = doing
        super().__init__()


class ConnectRequested(Message):
    """Use these settings from now on."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        super().__init__()


class RefreshRequested(Message):
    """Read again what is listed here: datasets, runs, or an engine that failed."""

    def __init__(self, *what: EngineName | str) -> None:
        self.what = what
        super().__init__()


class BuildRequested(Message):
    """Start a job that builds an index; ``confirmed`` is what was typed to replace one that is protected."""

    def __init__(self, spec: BuildSpec, confirmed: str = "") -> None:
        self.spec = spec
        self.confirmed = confirmed
        super().__init__()


class SyncRequested(Message):
    """Start jobs that bring indexes up to date; each is a dataset, a brain key, ``confirmed`` as above."""

    def __init__(self, *indexes: tuple[str, str, str]) -> None:
        self.indexes = indexes
        super().__init__()


class JobCancelRequested(Message):
    """Stop a job and keep what is done."""

    def __init__(self, job: str) -> None:
        self.job = job
        super().__init__()


class JobResumeRequested(Message):
    """Go on with a job that was cancelled, failed or interrupted; ``confirmed`` as in ``BuildRequested``."""

    def __init__(self, job: str, confirmed: str = "") -> None:
        self.job = job
        self.confirmed = confirmed
        super().__init__()


class SearchRequested(Message):
    """Open an index on the Search screen, by one of its members when ``id`` is given."""

    def __init__(self, dataset: str, brain_key: str, id: str | None = None) -> None:
        self.dataset = dataset
        self.brain_key = brain_key
        self.id = id
        super().__init__()
