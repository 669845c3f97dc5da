"""Finding a callable of the user's by name."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tui.core.errors import InvalidInput


def resolve(name: str) -> Callable[[], Any]:
    """Import what ``package.module:callable`` or ``/path/file.py:callable`` names; the user's code runs.

    Raises:
        InvalidInput: there is no such module, file or callable.
    """
    place, _, attribute = name.rpartition(":")
    try:
        module = _import(place)
        made: Any = module
        for part in attribute.split("."):
            made = getattr(made, part)
    except (ImportError, OSError, AttributeError) as error:
        raise InvalidInput(
            f"There is no model {name!r}: {error}", "Give package.module:callable or /path/file.py:callable"
        ) from error
    if not callable(made):
        raise InvalidInput(f"{name} is not callable", "Name a function or class that takes no arguments")
    return made  # type: ignore[no-any-return]


def _import(place: str) -> Any:
    path = Path(place).expanduser()
    if path.suffix != ".py":
        if (here := str(Path.cwd())) not in sys.path:
            sys.path.append(here)  # a module beside the user is meant, as with python -m
        return importlib.import_module(place)
    spec = importlib.util.spec_from_file_location(f"kitescope_user_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ImportError(f"there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
