"""Commands that take several names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from tui.cli.session import Session
from tui.core.errors import KitescopeError

_T = TypeVar("_T")


def one_after_the_other(
    session: Session,
    names: Sequence[str],
    act: Callable[[str], _T],
    *,
    called: str,
    failed: str,
    facts: Callable[[_T], Mapping[str, Any]],
    tell: Callable[[_T], None],
    as_json: bool,
) -> None:
    """Do it to each name, tell what happened to each, and fail at the end when one failed.

    Args:
        called: what a name is called in JSON.
        failed: what to say of those that failed, after "2 of 3".
        facts: what became of a name, for JSON: an object for one name, a list for several.
        tell: says it to people.

    Raises:
        KitescopeError: of the kind of the worst of those that failed.
    """
    names = list(dict.fromkeys(names))
    done: list[Mapping[str, Any]] = []
    errors: list[KitescopeError] = []
    for name in names:
        try:
            result = act(name)
        except KitescopeError as error:
            if len(names) == 1:
                raise
            errors.append(error)
            done.append({called: name, "error": error.what, "remedy": error.remedy})
            session.out.say(f"{name}: {error}")
            continue
        done.append(facts(result))
        if not as_json:
            tell(result)
    if as_json:
        session.out.json(done[0] if len(names) == 1 else done)
    if errors:
        worst = max(errors, key=lambda error: error.exit_code)
        raise type(worst)(f"{len(errors)} of {len(names)} {failed}", "See above what became of each")
