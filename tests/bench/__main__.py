"""``python -m tests.bench [NAME ...] [--quick]``: measure against stock FiftyOne, and print a table.

Every module here with a function ``run(quick)`` is a benchmark. It answers rows of ``measure``, ``ours``,
``stock``, ``ratio`` and ``goal``; both sides take turns in one run on one machine. A figure that misses its
goal is printed as it is: nothing here ever fails because of a time.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import pkgutil
import platform
import sys
from pathlib import Path
from typing import Any

import psutil

import tests.bench as package

COLUMNS = ("measure", "ours", "stock", "ratio", "goal")


def names() -> list[str]:
    """The benchmarks, by name."""
    folder = Path(package.__file__ or "").parent
    found = [module.name for module in pkgutil.iter_modules([str(folder)]) if not module.name.startswith("_")]
    return [name for name in found if hasattr(importlib.import_module(f"tests.bench.{name}"), "run")]


def machine() -> str:
    """The machine in words."""
    model = platform.processor() or platform.machine()
    with Path("/proc/cpuinfo").open() as lines:
        model = next(
            (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model
        )
    memory = psutil.virtual_memory().total / 2**30
    system = f"{platform.system()}, Python {platform.python_version()}"
    return f"{psutil.cpu_count()} x {model}, {memory:.0f} GiB, {system}"


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as Markdown."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    lines += ["| " + " | ".join(_cell(row.get(column)) for column in COLUMNS) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return "" if value is None else str(value)


def main(arguments: list[str]) -> int:
    """Run the benchmarks named, or all."""
    known = names()
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--quick", action="store_true", help="small sizes: a look, not a figure to quote")
    given = parser.parse_args(arguments)
    if unknown := set(given.names) - set(known):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    quick = ", quick" if given.quick else ""
    print(f"{datetime.date.today().isoformat()}{quick}; {machine()}; load {psutil.getloadavg()[0]:.1f}\n")
    rows: list[dict[str, Any]] = []
    for name in given.names or known:
        print(f"{name} ...", file=sys.stderr, flush=True)
        found = importlib.import_module(f"tests.bench.{name}").run(given.quick)
        print(table(found), file=sys.stderr, flush=True)
        rows += found
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
