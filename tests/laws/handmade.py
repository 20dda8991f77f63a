"""Small instances made by hand: what random ones hardly ever hit."""

from __future__ import annotations

from optalloc import policies as p
from optalloc.instance.model import Configuration, Group, Instance, Node, Resource, Task

HANDMADE = {
    "what arrives at home has to fill it first": Instance(
        nodes=(Node(name="n0"), Node(name="n1")),
        tasks=(
            Task(
                name="t0",
                configurations=(Configuration(name="c0", replicas=2),),
                cost=(0, 1),
                current=("n0",),
            ),
        ),
        policies=(p.Moves(at_least=2), p.AssignmentCost()),
        objective="assignment-cost",
    ),
    "nothing fits on some node beside identical ones": Instance(
        resources={"cpu": Resource(), "mem": Resource()},
        nodes=(
            Node(name="n0", capacity={"cpu": 1, "mem": 9}),
            Node(name="n1", capacity={"cpu": 5, "mem": 9}, count=2),
        ),
        tasks=(Task(name="t0", demand={"cpu": 2}, count=3),),
        policies=(p.Nodes(),),
        objective="nodes",
    ),
    "the only replica of a group moves": Instance(
        nodes=(Node(name="n0"), Node(name="n1")),
        tasks=(Task(name="t0", cost=(1, 0), current="n0", groups=("g0",)),),
        groups=(Group(name="g0"),),
        policies=(p.GroupMoveCost(at_most=0), p.AssignmentCost()),
        objective="assignment-cost",
    ),
    "shares of a task lie on different nodes": Instance(
        nodes=(Node(name="n0", capacity={"cpu": 4}), Node(name="n1", capacity={"cpu": 2})),
        tasks=(Task(name="t0", demand={"cpu": 1}, replicas=4, per_node=2),),
        policies=(p.Nodes(),),
        objective="nodes",
    ),
    "one of two tasks cannot have the shares of both": Instance(
        nodes=(Node(name="n0", capacity={"cpu": 4}), Node(name="n1", capacity={"cpu": 1})),
        tasks=(
            Task(name="t0", demand={"cpu": 1}, replicas=4, per_node=2, required=False, count=2),
        ),
        objective="admitted",
    ),
    "half a share on each of two nodes is none": Instance(
        nodes=(
            Node(name="n0", capacity={"cpu": 2}),
            Node(name="n1", capacity={"cpu": 1}, count=2),
        ),
        tasks=(Task(name="t0", demand={"cpu": 1}, replicas=4, per_node=2, required=False),),
        objective="admitted",
    ),
    "a gang that must run needs several nodes": Instance(
        nodes=(Node(name="n0", capacity={"cpu": 3}), Node(name="n1", capacity={"cpu": 2})),
        tasks=(Task(name="t0", demand={"cpu": 1}, replicas=4),),
        policies=(p.Nodes(),),
        objective="nodes",
    ),
    "a gang is not torn to make up for another one": Instance(
        nodes=(
            Node(name="n0", devices=5, device="gpu", domains={"rack": "r0"}),
            Node(name="n1", devices=5, device="gpu", domains={"rack": "r1"}),
        ),
        tasks=tuple(
            Task(
                name=f"t{size}",
                configurations=(
                    Configuration(
                        device="gpu", replicas=size, within="rack", throughput=throughput
                    ),
                ),
                count=count,
                required=False,
            )
            for size, count, throughput in ((4, 1, 4), (3, 2, 3), (2, 1, 1))
        ),
        policies=(p.Throughput(raw=True),),
        objective="throughput",
    ),
}
"""By what they are about."""
