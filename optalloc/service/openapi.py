"""The OpenAPI document of the service, made from the routes and the types of their bodies."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import msgspec

import optalloc
from optalloc.instance import schema_json
from optalloc.service import asked as a
from optalloc.service.routes import ROUTES, Path
from optalloc.service.tokens import Role

KEY, DEADLINE, VERSION = "Idempotency-Key", "Optalloc-Deadline-Ms", "If-Match"
LONGEST_KEY = 200
DEADLINES, VERSIONS = "0{0,8}[1-9][0-9]{0,8}", '[0-9]{1,18}|"[0-9]{1,18}"'
"""What deadlines and versions have to match."""
STATED: dict[str, dict[str, Any]] = {
    KEY: {"minLength": 1, "maxLength": LONGEST_KEY},
    DEADLINE: {"pattern": f"^({DEADLINES})$"},
    VERSION: {"pattern": f"^({VERSIONS})$"},
}
"""What parameters of the header have to be, beside text."""
KNOWN = "If-None-Match"
ERRORS = {
    400: "no JSON, or a header that cannot be read",
    401: "no known token",
    403: "a token whose role does not allow it, or a request from another site's page",
    404: "a task or node that there is not",
    408: "the body did not come in time",
    409: "the name of a task that runs already, or a move that breaks a rule",
    412: "the state has another version",
    413: "a body that is too large, or too many tasks",
    422: "a request that does not go with the cluster",
    429: "too many requests wait",
    503: "the deadline has passed, or the service cannot decide now",
}


@cache
def document() -> bytes:
    """The published document, as JSON."""
    types = [a.Error]
    for path in ROUTES:
        types += [t for t in (path.asked, path.answer) if t is not None]
    schemas, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    by_type = dict(zip(types, schemas, strict=True))
    _state_instances(components)
    paths: dict[str, Any] = {}
    for path in ROUTES:
        paths.setdefault(path.path, {})[path.method.lower()] = _operation(path, by_type)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "optalloc",
                "version": optalloc.__version__,
                "description": "The allocation oracle: asked where tasks go, it answers from a "
                "live state, and what it has acknowledged is on disk.",
            },
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            },
        }
    )


def _state_instances(components: dict[str, Any]) -> None:
    """Describe instances and their parts as their own published schema does."""
    text = msgspec.json.encode(schema_json.json_schema()).replace(
        b"#/$defs/", b"#/components/schemas/Instance."
    )
    stated = msgspec.json.decode(text)
    del stated["$schema"]
    parts = stated.pop("$defs")
    for name in (
        components.keys()
        & parts.keys()
        & {cls.__name__ for cls in (*schema_json.STATED, *schema_json.FITTED)}
    ):
        components[name] = {"$ref": f"#/components/schemas/Instance.{name}"}
    components |= {f"Instance.{name}": part for name, part in parts.items()}
    if "Instance" in components:
        components.pop("Policy")
        components["Instance"] = stated


def _operation(path: Path, schemas: dict[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": path.name,
        "summary": path.summary,
        "parameters": [_parameter(name, "path") for name in re.findall(r"{(\w+)}", path.path)],
        "responses": {"200": _answer(path, schemas)},
    }
    if path.how != "service":
        found["parameters"] += [_parameter(DEADLINE, "header", "Milliseconds to answer in.")]
    if path.how == "change":
        found["parameters"] += [
            _parameter(KEY, "header", "The same request again gets the first answer."),
            _parameter(VERSION, "header", "Version that the state must have."),
        ]
    if path.tagged:
        found["parameters"] += [_parameter(KNOWN, "header", "ETag of an answer that is there.")]
        found["responses"]["304"] = {"description": "That answer still holds."}
    if path.asked is not None:
        content = {"application/json": {"schema": schemas[path.asked]}}
        found["requestBody"] = {"required": not path.bodiless, "content": content}
    if path.role:
        found["security"] = [{"token": []}]
        found["description"] = f"Takes the role {Role(path.role).name.lower()}."
    for status, what in ERRORS.items() if path.path != "/openapi.json" else ():
        content = {"application/json": {"schema": schemas[a.Error]}}
        found["responses"][str(status)] = {"description": what, "content": content}
    return found


def _answer(path: Path, schemas: dict[Any, Any]) -> dict[str, Any]:
    if path.answer is None:
        content: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}
    else:
        content = {"application/json": {"schema": schemas[path.answer]}}
    answer: dict[str, Any] = {"description": path.summary, "content": content}
    if path.how != "service":
        tag = "Another one for another answer." if path.how == "watch" else "Version of the state."
        said = {"description": tag, "schema": {"type": "string"}}
        answer["headers"] = {"ETag": said}
    return answer


def _parameter(name: str, where: str, what: str = "") -> dict[str, Any]:
    said = {"description": what} if what else {}
    required = where == "path"
    schema = {"type": "string", **STATED.get(name, {})}
    return {"name": name, "in": where, "required": required, "schema": schema, **said}
