"""From an instance in memory to a solver with the model loaded, against PuLP's own road.

2,000 tasks x 500 nodes, all pairs allowed: 1,000,000 binaries. Each measurement is a process of its
own: CPU seconds of all its threads, and the largest memory that it ever held, with the interpreter,
the instance and the solver's library inside.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contract import Benchmark, Case, Context, Figure, Row, at_most
from benchmarks.fresh import Stages, fresh, peak_mb
from benchmarks.generated import Assignment, assignment

FULL, SMOKE = (2000, 500), (40, 10)
REPEATS = 3
SEED = 1
PULP = "pulp"
WORK = ("columns", "formulate", "load")
"""What counts as building and loading; importing and stating the instance is said apart."""


def build(engine: str, tasks: int, nodes: int) -> Row:
    """Measure the package's road into one of its engines."""
    from optalloc.engines import engine as find_engine
    from optalloc.engines.protocol import Job
    from optalloc.formulation.encoding import encode
    from optalloc.formulation.model import Form
    from optalloc.formulation.problem import Problem
    from optalloc.formulation.sparse import finish
    from optalloc.objective import read_objective

    numbers = assignment(tasks, nodes, SEED)
    chosen = find_engine(engine)
    stages = Stages()
    _import_solver(engine)
    stages.done("import")
    instance = numbers.instance()
    stages.done("instance")
    columns = instance.columns
    _ = columns.demand, columns.cost, columns.capacity
    stages.done("columns")
    form: Form = "cpsat" if chosen.form == "cpsat" else "milp"
    model = finish(encode(Problem(instance, read_objective(instance)), form))
    stages.done("formulate")
    session = chosen.open(model, Job())
    stages.done("load")
    del session
    return _row(stages, WORK, model.columns, model.rows, int(model.value.size))


def _import_solver(engine: str) -> None:
    if engine == "cpsat":
        import ortools.sat.python.cp_model  # noqa: F401
    else:
        import highspy  # noqa: F401


def build_with_pulp(tasks: int, nodes: int) -> Row:
    """Measure PuLP's own road: expressions, then the MPS file that a solver such as CBC reads."""
    numbers = assignment(tasks, nodes, SEED)
    stages = Stages()
    import pulp  # noqa: F401

    stages.done("import")
    model = _pulp_model(numbers)
    stages.done("formulate")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.mps"
        model.writeMPS(str(path))
        stages.done("load")
        size = path.stat().st_size
    entries = sum(map(len, model.constraints.values()))
    row = _row(stages, ("formulate", "load"), model.numVariables(), len(model.constraints), entries)
    return {**row, "file_mb": round(size / 1e6, 1)}


def _pulp_model(numbers: Assignment) -> Any:
    import pulp

    tasks, nodes = range(len(numbers.use)), range(len(numbers.capacity))
    model = pulp.LpProblem("assignment", pulp.LpMinimize)
    x = [[pulp.LpVariable(f"x_{t}_{n}", cat=pulp.LpBinary) for n in nodes] for t in tasks]
    model += pulp.LpAffineExpression([(x[t][n], numbers.cost[t][n]) for t in tasks for n in nodes])
    for t in tasks:
        model += pulp.LpAffineExpression([(x[t][n], 1) for n in nodes]) == 1
    for n in nodes:
        load = pulp.LpAffineExpression([(x[t][n], numbers.use[t][n]) for t in tasks])
        model += load <= numbers.capacity[n]
    return model


def _row(stages: Stages, work: Sequence[str], columns: int, rows: int, entries: int) -> Row:
    return {
        "cpu_s": round(sum(stages.cpu_s[name] for name in work), 3),
        "peak_mb": round(peak_mb(), 1),
        "stages_cpu_s": stages.cpu_s,
        "columns": columns,
        "rows": rows,
        "entries": entries,
    }


def _cases(context: Context) -> list[Case]:
    tasks, nodes = SMOKE if context.smoke else FULL

    def case(engine: str, repeat: int) -> Case:
        def measure() -> Row:
            if engine == PULP:
                measured = fresh(build_with_pulp, tasks, nodes)
            else:
                measured = fresh(build, engine, tasks, nodes)
            return {"road": engine, "repeat": repeat, "tasks": tasks, "nodes": nodes, **measured}

        return Case(f"{engine} {tasks}x{nodes} #{repeat}", measure)

    repeats = 1 if context.smoke else REPEATS
    own = [case(engine, r) for engine in ("milp", "cpsat") for r in range(repeats)]
    return [*own, case(PULP, 0)]


def _figures(rows: Sequence[Row]) -> list[Figure]:
    by_road = {road: [r for r in rows if r["road"] == road] for road in ("milp", "cpsat", PULP)}

    def middle(road: str, field: str) -> float | None:
        return median(row[field] for row in by_road[road]) if by_road[road] else None

    def ratio(road: str, field: str) -> float | None:
        own, other = middle(road, field), middle(PULP, field)
        return other / own if own and other else None

    size = f"{rows[0]['tasks']:,} x {rows[0]['nodes']:,}"

    def of_road(road: str, name: str, cpu: float, memory: float | None) -> list[Figure]:
        cases = len(by_road[road]), REPEATS
        limit = None if memory is None else at_most(memory)
        return [
            Figure(
                f"model of {size} built and loaded into {name}, CPU",
                middle(road, "cpu_s"), "s", at_most(cpu), cases, _stages(by_road[road]),
            ),
            Figure(f"the same, peak memory ({name})", middle(road, "peak_mb"), "MB", limit, cases),
        ]  # fmt: skip

    return [
        *of_road("milp", "HiGHS", 3, 700),
        *of_road("cpsat", "CP-SAT", 4, None),
        Figure("PuLP's own road (expressions, MPS file), CPU", middle(PULP, "cpu_s"), "s"),
        Figure("PuLP's own road, peak memory", middle(PULP, "peak_mb"), "MB"),
        Figure("PuLP's CPU over that into HiGHS", ratio("milp", "cpu_s"), "x"),
        Figure("PuLP's memory over that into HiGHS", ratio("milp", "peak_mb"), "x"),
    ]


def _stages(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    names = rows[0]["stages_cpu_s"]
    middles = {n: median(row["stages_cpu_s"][n] for row in rows) for n in names}
    return ", ".join(f"{name} {value:.2f}" for name, value in middles.items())


BENCHMARK = Benchmark(
    summary="formulation loaded into HiGHS and CP-SAT, CPU and memory, against PuLP",
    minutes=2,
    cases=_cases,
    figures=_figures,
)
