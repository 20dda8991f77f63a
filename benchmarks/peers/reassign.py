"""Solves an instance of machine reassignment with Rebalancer, by local search.

Run by a Python that has ``rebalancer`` and nothing of this project: ``reassign.py MODEL START
SECONDS SOLUTION``, the challenge's own files. Prints a JSON object on the last line.

All costs but that of services moved, and all rules but dependencies, are stated, for which it has
words. Loads are in units of containers of size 1, as it measures what is above a limit in parts of
the container.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

ABSOLUTE, AFTER, DURING_AND_AFTER, AT_LEAST = 1, 1, 2, 2
"""Numbers of its enumerations: of a limit, of a capacity (twice) and of a number of places."""
MOVES = ("singleMoveTypeSpec", "swapMoveTypeSpec")


def _names(kind: str, values: Iterator[float]) -> dict[str, float]:
    return {f"{kind}{i}": float(value) for i, value in enumerate(values)}


def _limits(limits: Mapping[str, float], of: str = "scopeItemLimits") -> dict[str, Any]:
    return {"type": ABSOLUTE, "globalLimit": 0.0, of: dict(limits)}


def _state_rules(solver: Any, challenge: Any) -> None:
    for r, (transient, _) in enumerate(challenge.resources):
        size, needs = f"size{r}", (needs[r] for _, needs, _ in challenge.processes)
        solver.add_object_dimension(size, _names("p", needs))
        solver.add_container_dimension(
            size, _names("m", (m.capacity[r] for m in challenge.machines))
        )
        moving = DURING_AND_AFTER if transient else AFTER
        rule = {"name": f"capacity{r}", "scope": "machine", "dimension": size, "definition": moving}
        solver.add_constraint({"capacitySpec": rule})
    once = {"type": ABSOLUTE, "globalLimit": 1.0}
    rule = {"name": "conflict", "scope": "machine", "partitionName": "service", "limit": once}
    solver.add_constraint({"groupCountSpec": rule})
    used = {service for service, _, _ in challenge.processes}
    wide = {f"s{s}": n for s, (n, _) in enumerate(challenge.services) if n > 1 and s in used}
    if wide:
        least = _limits(wide, "groupLimits")
        rule = {"name": "spread", "scope": "location", "partitionName": "service"}
        solver.add_constraint({"colocateGroupsSpec": {**rule, "bound": AT_LEAST, "limit": least}})


def _excess(
    solver: Any, name: str, sizes: Iterator[float], limits: Iterator[float], weight: int
) -> None:
    """Add a goal: a weight times what lies above the machines' limits."""
    solver.add_object_dimension(name, _names("p", sizes))
    solver.add_container_dimension(name, {}, 1.0)
    goal = {"name": name, "scope": "machine", "dimension": name}
    solver.add_goal({"capacitySpec": {**goal, "limit": _limits(_names("m", limits))}}, weight)


def _state_goals(solver: Any, challenge: Any) -> None:
    machines, processes = challenge.machines, challenge.processes
    for r, (_, weight) in enumerate(challenge.resources):
        sizes, safety = (n[r] for _, n, _ in processes), (m.safety[r] for m in machines)
        if weight:
            _excess(solver, f"load{r}", sizes, safety, weight)
    for k, (a, b, target, weight) in enumerate(challenge.balance):
        sizes = (needs[b] - target * needs[a] for _, needs, _ in processes)
        limits = (m.capacity[b] - target * m.capacity[a] for m in machines)
        _excess(solver, f"balance{k}", sizes, limits, weight)
    process_weight, _, machine_weight = challenge.weights
    solver.add_object_dimension("moving", _names("p", (cost for _, _, cost in processes)))
    plain = {"magicScaling": False, "doNotNormalize": True}
    goal = {"name": "process moves", "scope": "machine", "dimension": "moving", **plain}
    solver.add_goal({"minimizeMovementSpec": goal}, process_weight)
    homes = sorted(set(challenge.start))
    costs = {
        f"m{to}": {f"h{home}": float(machines[home].move_cost[to]) for home in homes}
        for to in range(len(machines))
    }
    solver.add_dynamic_object_dimension_by_partition("distance", "machine", "home", costs, 0.0)
    solver.add_container_dimension("distance", {}, 1.0)
    goal = {"name": "machine moves", "scope": "machine", "dimension": "distance"}
    solver.add_goal({"capacitySpec": {**goal, "limit": _limits({})}}, machine_weight)


def main() -> None:
    """Solve what the command line names."""
    import rebalancer
    from roadef_checker import Challenge

    model, start, seconds, solution = sys.argv[1:]
    challenge = Challenge(Path(model).read_text(), Path(start).read_text())
    placed: dict[str, list[str]] = {f"m{m}": [] for m in range(len(challenge.machines))}
    members: dict[str, list[str]] = {}
    for p, ((service, _, _), machine) in enumerate(
        zip(challenge.processes, challenge.start, strict=True)
    ):
        placed[f"m{machine}"].append(f"p{p}")
        members.setdefault(f"s{service}", []).append(f"p{p}")
    solver = rebalancer.ProblemSolver(service_name="benchmark", service_scope="reassign")
    solver.set_object_name("process")
    solver.set_container_name("machine")
    solver.set_assignment(placed)
    places = {f"m{m}": f"l{machine.location}" for m, machine in enumerate(challenge.machines)}
    solver.add_scope("location", places)
    solver.add_partition("service", members)
    solver.add_partition("home", {f"h{m[1:]}": who for m, who in placed.items() if who})
    _state_rules(solver, challenge)
    _state_goals(solver, challenge)
    moves: list[dict[str, Any]] = [{kind: {}} for kind in MOVES]
    search = {"solveTime": int(float(seconds)), "moveTypeList": moves}
    solver.add_solver({"localSearchSolverSpec": search})
    began = time.perf_counter()
    found = solver.solve()
    wall = time.perf_counter() - began
    where = found["assignment"]
    text = " ".join(where[f"p{p}"].removeprefix("m") for p in range(len(challenge.processes)))
    Path(solution).write_text(text)
    print(json.dumps({"wall_s": round(wall, 2), "version": rebalancer.__version__}))


if __name__ == "__main__":
    main()
