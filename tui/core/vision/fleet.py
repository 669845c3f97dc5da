"""Several devices that share one stream of pictures: a process each, whose throughputs add up.

The parent hands out chunks and gathers vectors in any order. At most a few chunks a member are on their way,
so memory stays flat. A member that dies is replaced; the pictures it had are tried again one by one, and the
one that kills a member a second time is listed as left out. A device whose members keep dying is given up,
and the others go on; without any left the work ends with an error that says how to continue.
"""

from __future__ import annotations

import logging
import queue
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tui.core.embedding import Batch, ItemLike, groups
from tui.core.errors import Interrupted, KitescopeError
from tui.core.progress import Notice, OnEvent, Progress, ShouldStop, Skipped, ignore, never
from tui.core.services.processors import processors
from tui.core.vision.fleet_process import MemberProcess
from tui.core.vision.frames import Answer, Chunk, Embedded, Failed, Loading, Picture, Ready, Start, Stop
from tui.core.vision.images import Patch
from tui.core.words import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_log = logging.getLogger(__name__)
_CREDIT = 3  # chunks on their way to a member: one that is embedded, one that is decoded, one that waits
_MOST_DEATHS = 4  # in a row, without one chunk finished in between: it is the device, not the pictures
_FAREWELL = 10.0
_TICK = 0.2


@dataclass
class _Post:
    """One device: its member of the moment, what that is working on, and what it must try one by one."""

    start: Start
    label: str
    member: MemberProcess | None = None
    ready: Ready | None = None
    batch_size: int = 0
    given: dict[int, list[ItemLike]] = field(default_factory=dict)
    careful: deque[ItemLike] = field(default_factory=deque)
    trying: bool = False
    deaths: int = 0
    lost: bool = False

    @property
    def hungry(self) -> bool:
        """Whether it can take another chunk."""
        one_by_one = self.trying or self.careful
        return self.ready is not None and len(self.given) < (1 if one_by_one else _CREDIT)


class Fleet:
    """A model on several devices. The first member is started at once, the others when there is work for all.

    Args:
        model, precision, decode: as in `tui.core.models.load_model`.
        batch_size: as in `tui.core.embedding.embed`.
        devices: torch's names, one process for each; a name may come more than once.
        workers: decoders beside each member; the processors are shared when None.
        on_event: hears of the model's loading, and of devices that are given up.
        should_stop: asked while the first member loads.

    Raises:
        KitescopeError: the model cannot be loaded.
        Interrupted: somebody asked to stop.
    """

    def __init__(
        self,
        model: str,
        devices: Sequence[str],
        *,
        precision: str = "auto",
        decode: str = "auto",
        batch_size: int | None = None,
        workers: int | None = None,
        on_event: OnEvent = ignore,
        should_stop: ShouldStop = never,
    ) -> None:
        self._tell = on_event
        self._answers: queue.SimpleQueue[tuple[MemberProcess, Answer | None, bytes]] = queue.SimpleQueue()
        if workers is None:
            workers = max(1, processors() // len(devices))
        self._posts = [
            _Post(Start(model, name, precision, workers, batch_size, decode), f"{name} (process {number})")
            for number, name in enumerate(devices, 1)
        ]
        self._number = 0
        self._source = _Source(())
        self.dim, self.supports_prompts, self.notice = 0, False, ""
        try:
            self._load_first(should_stop)
        except BaseException:
            self.close()
            raise

    def embed(self, items: Iterable[ItemLike], should_stop: ShouldStop = never) -> Iterator[Batch]:
        """Embed items in any order; each comes back once, in a batch or among what a batch skipped.

        When somebody asks to stop, chunks under way are finished, and the stream ends within seconds.

        Raises:
            KitescopeError: the model fails on everything, or no device is left.
        """
        self._source = _Source(items)
        while not should_stop():
            self._hand_out()
            if not any(post.given or post.careful for post in self._posts) and not self._source.more:
                return
            yield from self._next(_TICK)
        yield from self._wind_up()

    def close(self) -> None:
        """End every process."""
        for post in self._posts:
            if post.member is not None:
                post.member.close(kill=post.ready is None)
                post.member = post.ready = None

    # -- handing out ----------------------------------------------------------------------------------
    def _load_first(self, should_stop: ShouldStop) -> None:
        """Start one member, which fetches the weights too; the others then find them on disk."""
        self._hire(self._posts[0])
        while not self.dim:
            if should_stop():
                raise Interrupted("Stopped; what was finished is kept", "Start again to continue")
            for _ in self._next(_TICK):
                pass

    def _hire(self, post: _Post) -> None:
        post.ready = None
        post.member = MemberProcess(post.start, len(self._posts), lambda *answer: self._answers.put(answer))
        _log.info("%s is process %d", post.label, post.member.pid)

    def _hand_out(self) -> None:
        for post in self._posts:
            while post.hungry and (chunk := self._chunk_for(post)):
                self._number += 1
                post.given[self._number] = chunk
                assert post.member is not None
                pictures = tuple(
                    Picture(item.filepath, Patch(*item.box) if item.box else None) for item in chunk
                )
                post.member.send(Chunk(self._number, pictures))
        if self._source.more:
            for post in self._posts:
                if post.member is None and not post.lost:
                    self._hire(post)

    def _chunk_for(self, post: _Post) -> list[ItemLike]:
        post.trying = bool(post.careful)
        if post.careful:
            return [post.careful.popleft()]
        return self._source.chunk(post.batch_size)

    # -- gathering ------------------------------------------------------------------------------------
    def _next(self, seconds: float) -> Iterator[Batch]:
        """Deal with one answer, if one comes in time."""
        try:
            member, answer, payload = self._answers.get(timeout=seconds)
        except queue.Empty:
            return
        post = next((post for post in self._posts if post.member is member), None)
        if post is None:  # of a member that was replaced
            return
        if isinstance(answer, Embedded):
            post.deaths = 0
            post.batch_size = answer.batch_size
            yield self._batch(post.given.pop(answer.number), answer, payload)
        elif isinstance(answer, Loading):
            if not self.dim:
                self._tell(Progress("model", answer.done, answer.total))
        elif isinstance(answer, Ready):
            self._welcome(post, answer)
        elif isinstance(answer, Failed):
            self._failed(post, answer)
        else:
            yield from self._bury(post, member)

    def _batch(self, items: Sequence[ItemLike], answer: Embedded, payload: bytes) -> Batch:
        import numpy as np

        vectors: NDArray[np.float32] = np.frombuffer(payload, np.float32).reshape(-1, self.dim)
        good = [items[place] for place in answer.places]
        skipped = (Skipped(items[place].id, items[place].filepath, why) for place, why in answer.skipped)
        return Batch(
            tuple(one.id for one in good), tuple(one.sample_id for one in good), vectors, tuple(skipped)
        )

    def _welcome(self, post: _Post, answer: Ready) -> None:
        post.ready = answer
        post.batch_size = answer.batch_size
        if not self.dim:
            self.dim, self.supports_prompts, self.notice = answer.dim, answer.supports_prompts, answer.notice
        elif answer.dim != self.dim:
            raise KitescopeError(
                f"The model's vectors have {counted(self.dim, 'number')}, and {answer.dim} on {post.label}",
                "Use one device",
            )

    # -- losses ---------------------------------------------------------------------------------------
    def _failed(self, post: _Post, answer: Failed) -> None:
        """A model that fails ends the work; one that cannot be loaded on a further device, only that one."""
        if post.ready is not None or not any(other.ready for other in self._posts):
            raise KitescopeError(answer.what, answer.remedy)
        self._give_up(post, answer.what)

    def _bury(self, post: _Post, member: MemberProcess) -> Iterator[Batch]:
        words, loaded, trying = member.last_words(), post.ready is not None, post.trying
        _log.warning("%s ended: %s\n%s", post.label, words, member.log())
        member.close()
        post.member, post.ready = None, None
        lost = [item for chunk in post.given.values() for item in chunk]
        post.given.clear()
        post.deaths += 1
        if trying and lost:
            import numpy as np

            reason = f"it ends the process that embeds it ({words})"
            skipped = tuple(Skipped(item.id, item.filepath, reason) for item in lost)
            yield Batch((), (), np.empty((0, self.dim), np.float32), skipped)
        else:
            post.careful.extend(lost)
        if post.deaths >= _MOST_DEATHS or not loaded:
            self._give_up(post, words)
        elif post.careful or self._source.more:
            self._hire(post)

    def _give_up(self, post: _Post, words: str) -> None:
        """Go on without a device; what it could not finish is tried one by one elsewhere."""
        if post.member is not None:
            post.member.close()
        post.member, post.ready, post.lost = None, None, True
        heirs = [other for other in self._posts if not other.lost]
        if not heirs:
            raise KitescopeError(
                f"No device is left to embed on. The last was {post.label}: {words}",
                "Start again to continue; what was written is kept. 'kitescope jobs log' says more",
            )
        heirs[0].careful.extend(post.careful)
        post.careful.clear()
        for heir in heirs:
            if heir.member is None:
                self._hire(heir)
        self._tell(Notice(f"{post.label} failed: {words}. The other devices go on"))

    def _wind_up(self) -> Iterator[Batch]:
        """Let every member finish the chunk it is at, and end."""
        deadline = time.monotonic() + _FAREWELL
        for post in self._posts:
            if post.member is not None:
                post.member.send(Stop())
                post.careful.clear()
        left = {post.member: post for post in self._posts if post.member is not None and post.ready}
        while left and time.monotonic() < deadline:
            try:
                member, answer, payload = self._answers.get(timeout=_TICK)
            except queue.Empty:
                continue
            if isinstance(answer, Embedded) and member in left:
                yield self._batch(left[member].given.pop(answer.number), answer, payload)
            elif answer is None:
                left.pop(member, None)
        self.close()


class _Source:
    """Items as chunks. Boxes of one file stay together, so that it is decoded once."""

    def __init__(self, items: Iterable[ItemLike]) -> None:
        self._groups = groups(items)
        self._ahead = next(self._groups, None)

    @property
    def more(self) -> bool:
        """Whether there are more."""
        return self._ahead is not None

    def chunk(self, size: int) -> list[ItemLike]:
        """The next items, about ``size`` of them; none at the end."""
        found: list[ItemLike] = []
        while self._ahead is not None and (not found or len(found) + len(self._ahead) <= size):
            found += self._ahead
            self._ahead = next(self._groups, None)
        return found
