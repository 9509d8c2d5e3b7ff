"""Writes the typed half of the TypeScript client from the service's OpenAPI document: ``src/api.ts``, nothing else.

    python -m clients.generate > clients/typescript/src/api.ts          # of the service as it is here; or name a document

A kept generator (openapi-typescript, MIT, 30 packages) does more than the shapes that this document has; this is the part
needed here. What it does not know stops it: a type is never ``any`` because nobody looked.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Doc = Mapping[str, Any]
_PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
_METHODS = ("get", "post", "put", "patch", "delete")


def typescript(document: Doc) -> str:
    """The file's content.

    Raises:
        ValueError: the document has a shape that is not known here.
    """
    lines = ["// Generated from the service's OpenAPI document by clients/generate.py: change that, not this.", ""]
    lines += ["export type Bytes = Uint8Array | ArrayBuffer | Blob;", ""]
    for name, schema in sorted(document["components"]["schemas"].items()):
        lines += [*_comment(schema.get("description"), ""), f"export type {_name(name)} = {_type(schema, '')};", ""]
    lines += ["/** Every call, by method and path. */", "export interface Operations {"]
    for path, methods in sorted(document["paths"].items()):
        for method in _METHODS:
            if method in methods:
                lines += _operation(f"{method.upper()} {path}", methods[method])
    return "\n".join([*lines, "}", ""])


def _operation(name: str, operation: Doc) -> Iterator[str]:
    yield from _comment(operation.get("description") or operation.get("summary"), "  ")
    yield f"  {json.dumps(name)}: {{"
    for place in ("path", "query"):
        found = [one for one in operation.get("parameters", ()) if one["in"] == place]
        if found:
            members = "; ".join(
                f"{_member(one['name'])}{'' if one.get('required') else '?'}: {_type(one['schema'], '  ')}"
                for one in found
            )
            needed = place == "path" or any(one.get("required") for one in found)
            yield f"    {place}{'' if needed else '?'}: {{ {members} }};"
    body = operation.get("requestBody")
    if body is not None:
        mark = "" if body.get("required") else "?"
        yield f"    body{mark}: {_content(body['content'], 'Bytes')};"
    yield f"    answer: {_answer(operation['responses'])};"
    yield "  };"


def _answer(responses: Doc) -> str:
    kinds = dict.fromkeys(
        _content(one["content"], "Uint8Array") if one.get("content") else "undefined"
        for status, one in responses.items()
        if status.startswith("2")
    )
    return " | ".join(kinds) or "undefined"


def _content(content: Doc, raw: str) -> str:
    kinds = dict.fromkeys(
        _type(one.get("schema", {}), "    ") if _is_json(kind) else "string" if kind.startswith("text/") else raw
        for kind, one in content.items()
    )
    return " | ".join(kinds)


def _is_json(kind: str) -> bool:
    return kind == "application/json" or kind.endswith("+json")


def _type(schema: Doc, indent: str) -> str:
    if "$ref" in schema:
        return _name(schema["$ref"].rsplit("/", 1)[1])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " | ".join(dict.fromkeys(_type(one, indent) for one in schema[several]))
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(each, ensure_ascii=False) for each in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        inner = _type(schema["items"], indent) if "items" in schema else "unknown"
        return f"{inner}[]" if re.fullmatch(r"\w+", inner) else f"({inner})[]"
    if kind == "object" or "properties" in schema:
        return _object(schema, indent)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if set(schema) <= {"title", "description", "examples", "default"}:
        return "unknown"
    raise ValueError(f"a schema of an unknown shape: {sorted(schema)}")


def _object(schema: Doc, indent: str) -> str:
    properties, more = schema.get("properties", {}), schema.get("additionalProperties")
    if not properties:
        values = _type(more, indent) if isinstance(more, Mapping) else "unknown"
        return f"{{ [name: string]: {values} }}"
    required, inner = set(schema.get("required", ())), indent + "  "
    lines = ["{"]
    for name, one in properties.items():
        lines += _comment(one.get("description"), inner)
        lines.append(f"{inner}{_member(name)}{'' if name in required else '?'}: {_type(one, inner)};")
    if more is True:
        lines.append(f"{inner}[name: string]: unknown;")
    return "\n".join([*lines, f"{indent}}}"])


def _name(name: str) -> str:
    """The names of schemas here are names there; ``Bytes`` is the client's own."""
    plain = re.sub(r"\W", "_", name)
    if plain in ("Bytes", "Operations"):
        raise ValueError(f"{plain} is the client's own name")
    return plain


def _member(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_$][\w$]*", name) else json.dumps(name)


def _comment(text: str | None, indent: str) -> list[str]:
    said = " ".join((text or "").replace("``", "`").replace("*/", "* /").split())
    return [f"{indent}/** {said} */"] if said else []


def own_document() -> Doc:
    """Of the service as it is here. Nothing is opened for it: routes are read, none is called."""
    from types import SimpleNamespace
    from typing import cast

    from api.app import create_app
    from api.service import Service
    from api.settings import Settings

    return create_app(cast("Service", SimpleNamespace(settings=Settings()))).openapi()


if __name__ == "__main__":
    document = own_document() if len(sys.argv) < 2 else json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.stdout.write(typescript(document))
