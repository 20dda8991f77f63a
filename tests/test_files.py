"""Instance files: exact round trip, compression, what cannot be read, the published schema."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from strategies import instances

from optalloc.instance.errors import InstanceError
from optalloc.instance.files import (
    dump_instance,
    dumps_instance,
    json_schema,
    load_instance,
    loads_instance,
)
from optalloc.instance.model import Instance, Node, Task
from optalloc.instance.schema_json import PUBLISHED, published
from optalloc.solution import read_solution

SMALL = Instance(
    name="small",
    nodes=(Node(name="a", capacity={"cpu": 4}), Node(name="b", capacity={"cpu": 2.5}, count=2)),
    tasks=(Task(name="t", demand={"cpu": 1}, current="b/1"),),
)

ZIPPED = gzip.compress(b"{}", mtime=0)


def problems(text: bytes | str) -> dict[str, str]:
    with pytest.raises(InstanceError) as caught:
        loads_instance(text)
    return dict(caught.value.problems)


@given(instances())
def test_what_is_written_is_read_back_exactly(instance: Instance) -> None:
    written = dumps_instance(instance)
    again = loads_instance(written)
    assert again == instance
    assert dumps_instance(again) == written


@given(instances())
def test_written_text_is_json_of_the_published_fields(instance: Instance) -> None:
    document = json.loads(dumps_instance(instance))
    assert document["optalloc"] == 1
    assert document.keys() <= json_schema()["properties"].keys()


def test_every_node_and_task_has_a_line_of_its_own() -> None:
    assert dumps_instance(SMALL).decode() == (
        '{\n"optalloc": 1,\n"name": "small",\n"nodes": [\n'
        '  {"name":"a","capacity":{"cpu":4}},\n'
        '  {"name":"b","capacity":{"cpu":2.5},"count":2}\n],\n"tasks": [\n'
        '  {"name":"t","demand":{"cpu":1},"current":"b/1"}\n]\n}\n'
    )


@pytest.mark.parametrize("name", ["x.json", "x.json.gz"])
def test_files_round_trip_also_compressed(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    dump_instance(SMALL, path)
    assert load_instance(path) == SMALL
    first = path.read_bytes()
    dump_instance(SMALL, str(path))
    assert path.read_bytes() == first
    assert (first[:2] == b"\x1f\x8b") == name.endswith(".gz")


def test_text_and_a_byte_order_mark_are_read() -> None:
    text = dumps_instance(SMALL)
    assert loads_instance(text.decode()) == SMALL
    assert loads_instance(b"\xef\xbb\xbf" + text) == SMALL


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"nodes": []}')
    with pytest.raises(InstanceError, match=r"1 problem in .*x\.json\nnodes: expected at least"):
        load_instance(path)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InstanceError, match=r"in .*none\.json\nNo such file"):
        load_instance(tmp_path / "none.json")
    with pytest.raises(InstanceError, match="Is a directory"):
        load_instance(tmp_path)


@pytest.mark.parametrize("data", [b"{}", ZIPPED[:-9], ZIPPED[:5]])
def test_a_broken_gzip_file_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.json.gz"
    path.write_bytes(data)
    with pytest.raises(InstanceError, match="expected a gzip file"):
        load_instance(path)


@pytest.mark.parametrize(
    "data", [None, b"{}", ZIPPED[:-9], gzip.compress(b'{"name": "\xff"}', mtime=0)]
)
def test_instance_and_solution_files_fail_in_the_same_words(
    tmp_path: Path, data: bytes | None
) -> None:
    path = tmp_path / "x.json.gz"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InstanceError) as instance:
        load_instance(path)
    with pytest.raises(InstanceError) as solution:
        read_solution(path, SMALL)
    assert instance.value.problems == solution.value.problems


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"nodes":\n [{"name": "a",}]}', "line 2, column 16"),
        (b'{"nodes": [', "line 1, column 12"),
        (b"", "line 1, column 1"),
        (b'{"name": "\n\xff"}', "byte 0xff in line 2"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"name": "\\ud800", "nodes": [{"name": "a"}]}', "surrogate"),
    ],
)
def test_text_that_is_no_json_is_refused_with_its_place(text: bytes, expected: str) -> None:
    assert expected in problems(text)[""]


def test_a_key_stated_twice_in_an_object_is_refused_with_its_path() -> None:
    text = """{"name": "x", "name": "x", "nodes": [
        {"name": "a", "capacity": {"cpu": 4, "cpu": 5}},
        {"name": "b", "labels": {"tier": ":", "\\u0074ier": "y"}}]}"""
    assert problems(text).keys() == {"name", "nodes[0].capacity.cpu", "nodes[1].labels.tier"}


def test_escapes_and_stated_defaults_are_no_repeated_keys() -> None:
    text = '{"description": "\\u003a:", "nodes": [{"name": "a", "count": 1, "labels": {"x": ":"}}]}'
    assert loads_instance(text).description == "::"


def test_the_published_schema_is_up_to_date() -> None:
    """``python -m optalloc.instance.schema_json`` rewrites it."""
    assert PUBLISHED.read_bytes() == published()


def test_every_field_of_the_schema_is_described() -> None:
    schema = json_schema()
    silent = [
        f"{name}.{field}"
        for name, definition in {"": schema, **schema["$defs"]}.items()
        for field, content in definition["properties"].items()
        if "description" not in content and field != "type"
    ]
    assert not silent


def _bounded(schema: Any, field: str = "") -> Iterator[tuple[str, int, int]]:
    """Every bounded number of a definition: its field, a number refused and one allowed."""
    if "minimum" in schema:
        yield field, schema["minimum"] - 1, schema["minimum"]
    if "exclusiveMinimum" in schema:
        yield field, schema["exclusiveMinimum"], schema["exclusiveMinimum"] + 1
    for name, inner in schema.get("properties", {}).items():
        yield from _bounded(inner, name)
    for inner in schema.get("anyOf", ()):
        yield from _bounded(inner, field)


@pytest.mark.parametrize(
    ("definition", "section"),
    [
        ("Node", ("nodes", 0)),
        ("Task", ("tasks", 0)),
        ("Resource", ("resources", "cpu")),
        ("Configuration", ("configurations", "c", 0)),
        ("optalloc.instance.model.Energy", ("energy",)),
    ],
)
def test_the_schema_bounds_numbers_as_the_reader_does(
    definition: str, section: tuple[str | int, ...]
) -> None:
    found = list(_bounded(json_schema()["$defs"][definition]))
    assert found
    for field, refused, allowed in found:
        for value, faults in ((refused, True), (allowed, False)):
            stated: dict[str, Any] = {
                "resources": {"cpu": {}},
                "nodes": [{"name": "a"}],
                "tasks": [{"name": "t"}],
                "configurations": {"c": [{}]},
                "energy": {},
            }
            place: Any = stated
            for step in section:
                place = place[step]
            place[field] = value
            at = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in (*section, field))
            try:
                loads_instance(json.dumps(stated))
                problems: dict[str, str] = {}
            except InstanceError as error:
                problems = dict(error.problems)
            assert (at[1:] in problems) == faults, (at, value)


def test_the_schema_asks_for_a_node_and_for_names() -> None:
    schema = json_schema()
    assert schema["required"] == ["nodes"]
    assert schema["properties"]["nodes"]["minItems"] == 1
    assert schema["$defs"]["Task"]["properties"]["name"]["minLength"] == 1


def test_the_schema_gives_rules_no_limits() -> None:
    definitions = json_schema()["$defs"]
    assert definitions["Spread"]["properties"]["at_most"]["type"] == "null"
    assert "anyOf" in definitions["Power"]["properties"]["at_most"]
