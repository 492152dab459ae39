"""Has tasks done, and writes down what each came to; started again after a kill it goes on.

`python -m benchmarks.kills.asker PORT FOLDER JOURNAL TASKS SECONDS_EACH`
"""

from __future__ import annotations

import sys
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.kills.ledger import Ledger, is_once
from benchmarks.kills.parent import end_with_it
from dcompute.executor import FleetExecutor

SETTLE_S = 0.5
RESEND_S = 2.0


def main(port: str, folder: str, journal: str, tasks: str, each_s: str) -> None:
    ledger = Ledger(Path(folder), "asker")

    def note(number: int, future: Future[Any]) -> None:
        error = future.exception()
        if error is not None:
            ledger.write(number=number, error=type(error).__name__)
        else:
            assert future.result()[0] == number
            ledger.write(number=number, result=future.result()[1])

    options: Any = {"keepalive": 2, "settle_s": SETTLE_S, "resend_s": RESEND_S}
    with FleetExecutor("127.0.0.1", int(port), journal=journal, **options) as fleet:
        for number in range(int(tasks)):
            future = fleet.submit(
                *("work", number, float(each_s)),
                key=f"t{number}",
                once=is_once(number),
                priority=number % 7 + 1,  # of which `once` is to be independent
            )
            future.add_done_callback(partial(note, number))


if __name__ == "__main__":
    end_with_it()
    main(*sys.argv[1:])
