"""Tables of ways to run, from calibrated parameters and a fabric to an answer."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from optalloc import Instance, InstanceError, Task, policies, solve
from optalloc.instance.training import Alone, Job
from optalloc.physics.collectives import Tier, all_reduce
from optalloc.physics.interconnects import Interconnect
from optalloc.physics.parameters import Curve, Parameters
from optalloc.physics.tables import configurations, fabric_levels, nodes
from optalloc.topology.domains import Domains, derive
from optalloc.topology.generators import leaf_spine

POINTS = ((2, 1e6, 1e-3), (2, 1e8, 2e-2))
PARAMETERS = Parameters(
    kind="data-parallel",
    source=("made",),
    date="2026-01-01",
    step={
        "bookkeeping": 0.2,
        "busy": 0.6,
        "width": 0.3,
        "constant_s": 1e-3,
        "hidden_transfer": 0.5,
        "hidden_compute": 0.4,
        "transfer": 1.2,
        "full_w": 700.0,
    },
    energy={"waiting_w": 150.0, "own_share": 0.1, "byte_j": 1e-9},
    interconnects=(Curve(name="fast", transfer=1.0, waiting_w=None, points=POINTS),),
)
ALONE = Alone(step_s=0.1, step_j=50.0)
JOB = Job(
    batch=32,
    gradient_bytes=4e8,
    alone={"h100": Alone(step_s=0.1, step_j=50.0, demand={"memory": 40})},
    replicas=(1, 4, 16),
)


def fabric() -> Domains:
    return derive(leaf_spine(4, 4, bandwidth=5e10, latency=2e-6, oversubscription=2))


def test_further_out_is_slower_and_a_single_replica_is_as_measured() -> None:
    levels = fabric_levels(fabric(), 8, Tier(8, 1e-6, 4e11))
    rows = {row.name: row for row in configurations(JOB, levels, PARAMETERS)}
    alone = rows["h100 x 1"]
    assert alone.throughput == pytest.approx(32 / 0.1)
    assert alone.watts == pytest.approx(50 / 0.1)
    assert alone.within == ""
    for size in (4, 16):
        rates = [rows[f"h100 x {size} in a {level}"].throughput for level in levels]
        assert rates == sorted(rates, reverse=True)
        assert max(rates) < size * alone.throughput
        assert len(set(rates)) > 1
    assert all(row.demand == {"memory": 40} for row in rows.values())
    assert len(rows) == 1 + 2 * len(levels)


def test_a_level_of_a_fabric_takes_as_long_as_its_tiers() -> None:
    domains = fabric()
    levels = fabric_levels(domains, 8, Tier(8, 1e-6, 4e11))
    leaf = domains.levels[1]
    assert leaf.bandwidth is not None
    tiers = [Tier(8, 1e-6, 4e11), Tier(2, leaf.latency, leaf.bandwidth)]
    spread = [Tier(4, 1e-6, 4e11), Tier(4, leaf.latency, leaf.bandwidth)]
    dense, apart = all_reduce(tiers, 1e8)[0], all_reduce(spread, 1e8)[0]
    assert levels[leaf.name].all_reduce(16, 1e8) == max(dense, apart)
    assert levels["node"].all_reduce(8, 1e8) == all_reduce(tiers[:1], 1e8)[0]


def test_a_measured_interconnect_has_its_own_factors() -> None:
    levels = {"": Interconnect("fast", {2: [(1e6, 1e-3), (1e8, 2e-2)]})}
    job = Job(batch=1, gradient_bytes=1e8, alone={"h100": ALONE}, replicas=(2,))
    (mean,) = configurations(job, levels, PARAMETERS)
    (own,) = configurations(job, levels, PARAMETERS, {"": "fast"})
    assert own.throughput > mean.throughput


@pytest.mark.parametrize(
    ("replicas", "interconnects", "said"),
    [((0,), {}, "at least 1, got 0"), ((2,), {"": "slow"}, "an interconnect that was calibrated")],
)
def test_what_cannot_be_tabulated_is_told(
    replicas: tuple[int, ...], interconnects: dict[str, str], said: str
) -> None:
    job = Job(
        batch=1,
        gradient_bytes=1e8,
        alone={"h100": ALONE},
        replicas=replicas,
    )
    levels = {"": Interconnect("fast", {2: [(1e6, 1e-3)]})}
    with pytest.raises(InstanceError, match=said):
        configurations(job, levels, PARAMETERS, interconnects)
    with pytest.raises(InstanceError, match=r"alone\.h100\.step_s: .*above 0"):
        configurations(replace(job, alone={"h100": Alone(step_s=0, step_j=1)}), levels, PARAMETERS)
    with pytest.raises(InstanceError, match="at least one"):
        configurations(JOB, {}, PARAMETERS)


def test_elastic_jobs_on_a_fabric_are_placed_with_proof() -> None:
    """From parameters and a fabric to an answer: the bigger sizes pay as long as there is room."""
    domains = fabric()
    levels = fabric_levels(domains, 2, Tier(2, 1e-6, 4e11))
    table = configurations(JOB, levels, PARAMETERS)
    machines = nodes(domains, "h100", 2, capacity={"memory": 96}, idle_w=200)
    result = solve(
        Instance(
            nodes=machines,
            configurations={"job": table},
            tasks=[Task(name="job", configurations="job", count=5, required=False)],
            policies=[policies.Throughput(raw=True), policies.Power()],
            objective="throughput > power",
        ),
        time_limit=20,
    )
    assert result.status == "optimal"
    # A leaf has 8 devices: gangs of 16 reach over the spine, those of 4 and single ones need not.
    rate = {(row.replicas, row.within): row.throughput for row in table}
    sizes = [sum(run.values()) for run in result.assignment.values()]
    assert sum(sizes) <= 32
    assert result.levels[0].value == pytest.approx(
        max(
            a * rate[16, "spine"] + b * rate[4, "leaf"] + c * rate[1, ""]
            for a in range(3)
            for b in range(6 - a)
            for c in range(6 - a - b)
            if 16 * a + 4 * b + c <= 32
        )
    )
