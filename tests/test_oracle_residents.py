"""Which tasks are on each node, and copies that share what neither has changed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from optalloc.oracle.residents import Residents

NODES = st.integers(0, 3)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "copy", "other"]), st.sets(NODES), st.integers(0, 4)
    )
)


def told(residents: Residents) -> dict[int, list[str]]:
    return {node: [*residents.of(node)] for node in range(4)}


@given(STEPS)
def test_copies_go_on_apart_as_whole_copies_would(steps: list[tuple[str, set[int], int]]) -> None:
    both = [(Residents(), {n: list[str]() for n in range(4)})]
    now = 0
    for what, nodes, k in steps:
        residents, plain = both[now]
        name = f"t{k}"
        if what == "copy":
            both.append((residents.copied(), {n: [*names] for n, names in plain.items()}))
        elif what == "other":
            now = k % len(both)
        elif what == "add":
            residents.add(nodes, name)
            for n in nodes:
                plain[n] += [name] * (name not in plain[n])
        else:
            residents.remove(nodes, name)
            for n in nodes:
                plain[n] = [other for other in plain[n] if other != name]
    for residents, plain in both:
        assert told(residents) == plain
        assert residents.numbers() == {n: len(names) for n, names in plain.items() if names}
