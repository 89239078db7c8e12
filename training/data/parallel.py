"""Work on many pictures in threads, which serve: Pillow and hashlib work without Python's lock."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

_AT_ONCE = (
    16  # pictures of one piece of work: handing over each on its own would cost as much as a small one
)
_AHEAD = 2  # pieces for each thread that are done or in work before they are asked for


def in_order(work: Callable[[int], Result], count: int) -> Iterator[Result]:
    """Yield work(0), work(1), ..., computed a little ahead; memory does not grow with `count`."""
    threads = os.cpu_count() or 1

    def piece(start: int) -> list[Result]:
        return [work(i) for i in range(start, min(start + _AT_ONCE, count))]

    waiting: deque[Future[list[Result]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for start in range(0, count, _AT_ONCE):
                waiting.append(pool.submit(piece, start))
                if len(waiting) > _AHEAD * threads:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
