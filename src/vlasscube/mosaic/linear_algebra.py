"""Matrix products whose results do not depend on how many threads make them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let NumPy's linear algebra (BLAS) use one thread, within a ``with`` or, as a decorator, a function.

    BLAS shares a product out differently among different numbers of threads, and rounds differently then. The
    products of the imager are too small to gain by threads; gridding and transforms use threads in a way that
    does not change a bit.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        yield
