"""Finding a callable of the user's by name."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tui.core.errors import InvalidInput
from tui.core.files import expanded, is_file
from tui.core.vision.naming import split_users

_REMEDY = "Give package.module:callable or /path/file.py:callable"


def resolve(name: str) -> Callable[[], Any]:
    """Import what ``package.module:callable`` or ``/path/file.py:callable`` names; the user's code runs.

    ``package.module:callable@/folder`` says where the module is; without it, also the current folder counts.

    Raises:
        InvalidInput: there is no such module, file or callable, or it fails when it is imported.
    """
    parts = split_users(name)
    if parts is None:
        raise InvalidInput(f"{name!r} names no callable", _REMEDY)
    place, attribute, folder = parts
    try:
        made: Any = _import(place, folder)
        for part in attribute.split("."):
            made = getattr(made, part)
    except (ImportError, OSError, AttributeError) as error:
        raise InvalidInput(f"There is no model {name!r}: {error}", _REMEDY) from error
    if not callable(made):
        raise InvalidInput(f"{name} is not callable", "Name a function or class that takes no arguments")
    return made  # type: ignore[no-any-return]


@contextmanager
def beside(folder: Path, *, first: bool = False) -> Iterator[None]:
    """Modules in a folder can be imported, as with ``python -m``; ``first``: before those found elsewhere."""
    path = str(folder)
    added = path not in sys.path or first
    if added:
        sys.path.insert(0 if first else len(sys.path), path)
    try:
        yield
    finally:
        if added:
            sys.path.remove(path)


def _import(place: str, folder: str | None) -> Any:
    path = expanded(place)
    if path.suffix != ".py":
        with beside(Path(folder) if folder else Path.cwd(), first=folder is not None):
            module = importlib.import_module(place)
        if (there := str(folder or Path.cwd())) not in sys.path:
            sys.path.append(there)  # what it imports later is there too
        return module
    spec = importlib.util.spec_from_file_location(f"kitescope_user_{path.stem}", path)
    if spec is None or spec.loader is None or not is_file(path):
        raise ImportError(f"there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
