"""Paints, but some pictures end it or hold it up.

No file is known that does this to every release of Pillow.
"""

from __future__ import annotations

import os
import signal
import time

from tui.core.services.child import serve
from tui.widgets.painting import Order, Painted, Unpainted, paint


def answer(_about: None, order: Order) -> Painted | Unpainted:
    if "crash" in order.subject.path:
        os.kill(os.getpid(), signal.SIGKILL)
    if "hang" in order.subject.path:
        time.sleep(3600)
    return paint(order)


if __name__ == "__main__":
    serve(answer)
