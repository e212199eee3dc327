"""Shards side by side: on this machine's cores, or on a cluster that somebody else runs. Both are Dask's work.

Dask starts, feeds and restarts processes, and tries again elsewhere what died with one. Each of its processes keeps the
workers of its implementations from shard to shard, since they take seconds to start. A shard that fails every time is
set apart, and the rest goes on.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterator, Sequence

from .campaign import Settings
from .expectations import Expectations
from .shards import Finished, judge_shards
from .workers import Worker

#: How often a shard is tried, in all.
TRIES = 3


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
        import dask
        from distributed import Client, LocalCluster, as_completed
    except ImportError:
        raise ClusterError(
            "--jobs and --scheduler need Dask, which is not installed; pip install 'gradparity[cluster]'"
        ) from None
    dask.config.set({"distributed.scheduler.allowed-failures": TRIES - 1})
    try:
        if scheduler:
            client = Client(scheduler, timeout=10)
        else:
            cluster = LocalCluster(
                n_workers=jobs, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0
            )
            client = Client(cluster)
    except (OSError, ValueError, TimeoutError) as error:
        raise ClusterError(f"no Dask scheduler answers at {scheduler}: {error}") from None
    with client:
        futures = {
            client.submit(judge_shard, settings, expectations, number, retries=TRIES - 1, pure=False): number
            for number in numbers
        }
        try:
            for future in as_completed(futures):
                if future.status == "finished":
                    yield future.result()
                else:
                    lost[futures[future]] = " ".join(str(future.exception()).split())
                future.release()
            # Dask blames what was only waiting in a process that died, too: alone, each shard answers for itself.
            for number in sorted(lost):
                alone = client.submit(
                    judge_shard, settings, expectations, number, retries=TRIES - 1, pure=False
                )
                if alone.exception() is None:
                    del lost[number]
                    yield alone.result()
        finally:
            client.run(_close)
            if not scheduler:
                client.cluster.close()


#: The workers of this process, and whose they are.
_workers: dict[tuple[tuple[str, ...], float], list[Worker]] = {}


def judge_shard(settings: Settings, expectations: Expectations, number: int) -> Finished:
    """Judge one shard in this process, which keeps its workers for the next."""
    key = settings.implementations, settings.timeout
    if key not in _workers:
        _close()
        _workers[key] = [Worker(name, settings.timeout) for name in settings.implementations]
    (shard,) = judge_shards(settings, expectations, [number], workers=_workers[key])
    return shard


@atexit.register
def _close() -> None:
    """End the workers of this process."""
    for workers in _workers.values():
        for worker in workers:
            worker.close()
    _workers.clear()
