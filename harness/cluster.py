"""Shards side by side: on this machine's cores, or on a cluster that somebody else runs. Both are Dask's work.

Dask starts, feeds and restarts processes, and tries again elsewhere what died with one. Each of its processes keeps the
workers of its implementations from shard to shard, since they take seconds to start. A shard that fails every time is
set apart, and the rest goes on.
"""

from __future__ import annotations

import atexit
import logging
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from hypothesis.errors import HypothesisDeprecationWarning

from .campaign import Settings
from .expectations import Expectations
from .shards import Finished, judge_shards
from .workers import Worker, crew

if TYPE_CHECKING:
    from distributed import Client

#: How often a shard is tried, in all.
TRIES = 3

#: What Dask watches itself with, for a page that nobody opens, costs more than all else that it does for shards of
#: seconds: a profiler that looks at every thread a hundred times a second takes a tenth of the time, and with two jobs
#: clocks that tick fifty times a second in each of its servers take 11 % of a core, and once a second 2 %.
_CONFIGURATION = {
    "distributed.scheduler.allowed-failures": TRIES - 1,
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
}


class ClusterError(Exception):
    """No cluster can be had; the message is one sentence for a person."""


def judge_side_by_side(
    settings: Settings,
    expectations: Expectations,
    numbers: Sequence[int],
    jobs: int,
    scheduler: str,
    lost: dict[int, str],
) -> Iterator[Finished]:
    """Judge shards in as many processes, or on the cluster of a scheduler, and give each when it is finished.

    Why a shard could not be judged is written into ``lost``. Raises ClusterError where there is no cluster.
    """
    try:
        from distributed import as_completed
    except ImportError:
        raise ClusterError(
            "--jobs and --scheduler need Dask, which is not installed; pip install 'gradparity[cluster]'"
        ) from None
    with _client(jobs, scheduler) as client:
        ask = partial(client.submit, judge_shard, settings, expectations, retries=TRIES - 1, pure=False)
        futures = {ask(number): number for number in numbers}
        for future in as_completed(futures):
            if future.status == "finished":
                yield future.result()
            elif future.status == "error":
                lost[futures[future]] = " ".join(str(future.exception()).split())
            else:
                raise ConnectionError(f"its futures were {future.status}")
            future.release()
        # Dask blames what was only waiting in a process that died, too: alone, each shard answers for itself.
        for number in sorted(lost):
            alone = ask(number)
            if alone.exception() is None:
                del lost[number]
                yield alone.result()


@contextmanager
def _client(jobs: int, scheduler: str) -> Iterator[Client]:
    """Give a client of the scheduler that is named, or of one of our own; what Dask raises is one sentence."""
    import dask
    from distributed import Client, LocalCluster

    # A scheduler that goes away shows itself in any of these, depending on what it was asked last.
    gone = OSError, RuntimeError, CancelledError
    dask.config.set(_CONFIGURATION)
    # What matters of it is a sentence of ours, about a shard that was lost or a scheduler that went away.
    for name in ("asyncio", "distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        try:
            # Port 0 is any that is free: Dask's own choice may be another cluster's, and it would say so.
            cluster = scheduler or stack.enter_context(
                LocalCluster(
                    n_workers=jobs,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address="127.0.0.1:0",
                    memory_limit=0,
                    silence_logs=logging.CRITICAL,
                )
            )
            client = stack.enter_context(Client(cluster, timeout=10))
        except (*gone, ValueError) as error:
            why = (
                f"no Dask scheduler answers at {scheduler}"
                if scheduler
                else "Dask cannot start its processes"
            )
            raise ClusterError(f"{why}: {error}") from None
        try:
            yield client
            client.run(
                _close, on_error="ignore"
            )  # not on other ways out, where shards are still being judged
        except gone as error:
            why = f"the Dask scheduler at {client.scheduler.address} went away ({error or type(error).__name__})"
            raise ClusterError(
                f"{why}; the finished shards are kept, and `gradparity verify --resume` goes on"
            ) from None


#: The workers of this process, and whose they are.
_workers: dict[tuple[tuple[str, ...], float], list[Worker]] = {}


def judge_shard(settings: Settings, expectations: Expectations, number: int) -> Finished:
    """Judge one shard in this process, which keeps its workers for the next."""
    key = settings.implementations, settings.timeout
    if key not in _workers:
        _close()
        _workers[key] = list(crew(settings.implementations, settings.timeout))
    with warnings.catch_warnings():
        # Dask's own threads draw random numbers, and Hypothesis takes that for a strategy that does.
        warnings.simplefilter("ignore", HypothesisDeprecationWarning)
        (shard,) = judge_shards(settings, expectations, [number], workers=_workers[key])
    return shard


@atexit.register
def _close() -> None:
    """End the workers of this process."""
    for workers in _workers.values():
        for worker in workers:
            worker.close()
    _workers.clear()
