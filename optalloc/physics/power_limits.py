"""Jobs measured at several power limits: each limit is one way in which a job can run.

A table has a row for each job and limit, as the traces of Zeus (You et al., NSDI 2023) do. A choice
of rows is linear, so what is decided on measured rows is exact; the upper concave envelope is for
who decides by slopes, or has so many limits that it pays to drop some.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from optalloc.instance.errors import InstanceError
from optalloc.instance.model import Configuration, Task
from optalloc.physics import measurements
from optalloc.physics.measurements import Limited
from optalloc.physics.power import concave_envelope, undominated

Keep = Literal["all", "undominated", "envelope"]


@dataclass(frozen=True)
class LimitedJob:
    """What was measured of a job on a device.

    Parameters
    ----------
    gpu, dataset, network, batch_size, optimizer
        Which job it is.
    rows
        By rising power limit.
    """

    gpu: str
    dataset: str
    network: str
    batch_size: int
    optimizer: str
    rows: tuple[Limited, ...]

    @property
    def name(self) -> str:
        """The job in a word."""
        return f"{self.gpu}-{self.dataset}-{self.network}-{self.batch_size}-{self.optimizer}"

    @property
    def full(self) -> Limited:
        """The row with the largest power limit."""
        return self.rows[-1]

    def kept(self, keep: Keep = "all") -> tuple[Limited, ...]:
        """Rows that matter.

        Parameters
        ----------
        keep
            ``all``; ``undominated``, without rows of more watts and no more throughput than others;
            or ``envelope``, without those that a mix of others beats.
        """
        points = [(row.average_power, 1 / row.time_per_epoch) for row in self.rows]
        match keep:
            case "undominated":
                chosen = sorted(undominated(points))
            case "envelope":
                chosen = sorted(concave_envelope(points))
            case _:
                chosen = list(range(len(points)))
        return tuple(self.rows[k] for k in chosen)

    def configurations(
        self, keep: Keep = "all", samples: float = 1, idle_w: float = 0
    ) -> tuple[Configuration, ...]:
        """The ways in which the job can run on one device.

        Parameters
        ----------
        keep
            See `kept`.
        samples
            Of an epoch: throughput is ``samples / time_per_epoch``, in epochs/s by default.
        idle_w
            Watts that the device draws idle and its node counts already; the others are stated as
            on top of them.

        Raises
        ------
        InstanceError
            If a row draws less than idle.
        """
        rows = self.kept(keep)
        low = [row.power_limit for row in rows if row.average_power < idle_w]
        if low:
            message = f"expected average_power of at least {idle_w:g} W, the device's idle power"
            raise InstanceError([(f"{limit:g} W", message) for limit in low], self.name)
        return tuple(
            Configuration(
                name=f"{row.power_limit:g} W",
                device=self.gpu,
                throughput=samples / row.time_per_epoch,
                watts=row.average_power - idle_w,
            )
            for row in rows
        )

    def task(self, keep: Keep = "all", samples: float = 1, idle_w: float = 0) -> Task:
        """The job as a task whose throughput counts 1 at the largest power limit.

        See `configurations`.
        """
        return Task(
            name=self.name,
            configurations=self.configurations(keep, samples, idle_w),
            reference=samples / self.full.time_per_epoch,
        )


def read_jobs(path: Path) -> tuple[LimitedJob, ...]:
    """Read a CSV file with the columns of `Limited`.

    Parameters
    ----------
    path
        The file; more columns may be there.

    Returns
    -------
    tuple
        The jobs, in order of their first rows.

    Raises
    ------
    InstanceError
        For missing columns, numbers that are none or not above 0, and limits measured twice.
    """
    rows: list[Limited] = measurements.read(Limited, path)
    jobs: dict[tuple[str, str, str, int, str], list[Limited]] = {}
    problems = []
    for number, row in enumerate(rows, 2):
        key = row.gpu, row.dataset, row.network, row.batch_size, row.optimizer
        mine = jobs.setdefault(key, [])
        if any(other.power_limit == row.power_limit for other in mine):
            message = (
                f"expected one row for each job and limit, got another of {row.power_limit:g} W"
            )
            problems.append((f"line {number}", message))
        mine.append(row)
    if problems:
        raise InstanceError(problems, str(path))
    return tuple(LimitedJob(*key, _by_limit(mine)) for key, mine in jobs.items())


def _by_limit(rows: Sequence[Limited]) -> tuple[Limited, ...]:
    return tuple(sorted(rows, key=lambda row: row.power_limit))
