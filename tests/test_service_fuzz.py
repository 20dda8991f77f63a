"""The service is asked anything: it answers what is wrong, never fails, and keeps its state."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from served import Client, serving, stated

from optalloc.oracle.oracle import Oracle
from optalloc.service.app import Limits
from optalloc.service.improving import Improving
from optalloc.service.openapi import document
from optalloc.service.routes import ROUTES
from optalloc.verify import verify

ANSWERS = {200, 400, 404, 405, 409, 412, 413, 422}
"""All that a client can get whom nobody hurries and who is let in."""

FINDS_NOTHING = Improving(worker=(sys.executable, "-c", """print('{"plan":{}}')"""))
"""A run of the improver that ends at once."""

NAMES = st.sampled_from(["a", "b", "c", "rack0/n0", "rack1/n3", "", "?", "\0", "é", "a/b"])
NUMBERS = st.one_of(
    st.integers(-2, 20),
    st.floats(allow_nan=False),
    st.sampled_from([2**31, 2**53, 2**63, 2**64, -(2**63), 1e308, 1e-308, 0.1]),
)
SCALARS = st.one_of(NUMBERS, NAMES, st.booleans(), st.none(), st.text(max_size=5))
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
SCHEMAS: dict[str, Any] = json.loads(document())["components"]["schemas"]


def valued(schema: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Draw values that a schema allows, and now and then others."""
    if depth > 6:
        return SCALARS
    if "$ref" in schema:
        return valued(SCHEMAS[schema["$ref"].rpartition("/")[2]], depth)
    if "anyOf" in schema:
        return st.one_of([valued(s, depth + 1) for s in schema["anyOf"]])
    made = by_type(schema, depth)
    return st.integers(0, 15).flatmap(lambda k: made if k else ANYTHING)


PLAIN = {
    "integer": st.one_of(st.integers(0, 3), NUMBERS),
    "number": st.one_of(st.integers(0, 8), NUMBERS),
    "string": NAMES,
    "boolean": st.booleans(),
}


def by_type(schema: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
    kind = schema.get("type", "")
    if "prefixItems" in schema:
        return st.tuples(*(valued(s, depth + 1) for s in schema["prefixItems"])).map(list)
    if kind == "array":
        return st.lists(valued(schema.get("items", {}), depth + 1), max_size=3)
    if kind != "object":
        return PLAIN.get(kind, ANYTHING)
    if "properties" in schema:
        fields = {k: valued(s, depth + 1) for k, s in schema["properties"].items()}
        must = {k: fields.pop(k) for k in schema.get("required", [])}
        return st.builds(lambda a, b: a | b, st.fixed_dictionaries(must), some(fields))
    inner = schema.get("additionalProperties")
    values = valued(inner, depth + 1) if isinstance(inner, dict) else ANYTHING
    keys = st.one_of(NAMES, st.sampled_from(["cpu", "device"]))
    return st.dictionaries(keys, values, max_size=2)


def some(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """A few of the fields."""
    names = st.lists(st.sampled_from([*fields] or ["x"]), max_size=2, unique=True)
    return names.flatmap(lambda n: st.fixed_dictionaries({k: fields.get(k, SCALARS) for k in n}))


ASKED = [path for path in ROUTES if path.asked is not None]
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "idempotency-key": st.sampled_from(["k", "l", "", "x" * 300]),
        "if-match": st.sampled_from(["0", '"1"', "*", "-1", "9" * 30]),
        "optalloc-deadline-ms": st.sampled_from(["10000", "0", "x", "1e3"]),
    },
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    limits = Limits(body=20_000, tasks=5)
    with serving(folder / "j", limits=limits, improving=FINDS_NOTHING) as made:
        made.post("/v1/place", {"tasks": [stated("a"), stated("b", replicas=2)]})
        yield made
        check(made)
    with serving(folder / "j") as again:
        assert again.service.writer.oracle.version == made.service.writer.oracle.version
        check(again)


def check(client: Client) -> None:
    """The state is verified, and the counters are those of what runs, counted afresh."""
    oracle = client.service.writer.oracle
    assert verify(*oracle.instance()).feasible
    fresh = Oracle.restore(oracle.snapshot())
    assert (fresh.ground.free() == oracle.ground.free()).all()
    assert client.service.metrics.failures._value.get() == 0


@pytest.mark.parametrize("path", ASKED, ids=lambda p: p.name)
@settings(max_examples=60)
@given(st.data())
def test_bodies_along_the_schema_are_answered(path: Any, client: Client, data: Any) -> None:
    body = data.draw(valued(SCHEMAS[path.asked.__name__]))
    answer = client.call(path.method, path.path, body, data.draw(HEADERS))
    assert answer.status in ANSWERS, answer.body
    assert isinstance(answer.json, dict)
    if data.draw(st.integers(0, 9)) == 0:
        check(client)


@settings(max_examples=100)
@given(st.sampled_from(ASKED), st.one_of(st.binary(max_size=50), ANYTHING), HEADERS)
def test_anything_is_answered(client: Client, path: Any, body: Any, headers: Any) -> None:
    answer = client.call(path.method, path.path, body, headers)
    assert answer.status in ANSWERS
    assert isinstance(answer.json, dict)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[" * 10_000,
        b'{"tasks":' + b"[" * 5_000,
        b'{"tasks": [{"name": "\\ud800"}]}',
        b'{"tasks": [{"name": "\xff"}]}',
        b'{"unknown": "\xff"}',
        b'{"unknown": ' + b"[" * 5_000,
        b'{"tasks": [{"name": "n", "demand": {"cpu": 1e999}}]}',
        b'{"tasks": [{"name": "n", "demand": {"cpu": 99999999999999999999999999}}]}',
        b'{"tasks": [{"name": "n", "replicas": 9223372036854775807}]}',
        b'{"tasks": [{"name": "n", "replicas": 1000000000}]}',
        b'{"tasks": [{"name": "n", "count": 1000000000}]}',
        b'{"tasks": [{"name": "n", "weight": 1e308}]}',
        b"\x00" * 100,
        b"null",
    ],
    ids=lambda body: body[:40].decode("ascii", "replace"),
)
def test_hostile_bodies_are_answered(client: Client, body: bytes) -> None:
    answer = client.post("/v1/place", body)
    assert answer.status in (400, 409, 413, 422), answer.body
    assert client.get("/v1/state").status == 200


@settings(max_examples=100)
@given(st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD"]), st.text(max_size=20))
def test_any_path_is_answered(client: Client, method: str, path: str) -> None:
    answer = client.call(method, "/v1/tasks/" + path, None)
    assert answer.status in ANSWERS
    assert client.call(method, "/" + path, None).status in ANSWERS
