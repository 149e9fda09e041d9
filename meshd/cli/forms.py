"""Documents as text: YAML that our reader and every YAML 1.1 reader take for the same, and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

__all__ = ["as_json_text", "as_yaml"]


def as_yaml(documents: Sequence[Mapping[str, object]]) -> str:
    """YAML documents, `---` between them; texts that YAML would read as something else are quoted."""
    import yaml

    dumper = _dumper()
    return "---\n".join(
        yaml.dump(
            _plain(document),
            Dumper=dumper,
            sort_keys=False,
            allow_unicode=True,
            default_flow_style=False,
            width=100,
        )
        for document in documents
    )


@cache
def _dumper() -> type[Any]:
    """PyYAML's dumper, which quotes what YAML 1.1 reads as no text, made to quote what we read as none, too."""
    import yaml

    from store.manifest.scalars import resolve

    base: type[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    made = type("Dumper", (base,), {})

    def represent(dumper: Any, text: str) -> Any:
        style = None if isinstance(resolve(text), str) else "'"
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    yaml.add_representer(str, represent, Dumper=made)
    return made


def as_json_text(value: object) -> str:
    """One JSON document, indented, without final newline."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False)


def _plain(value: object) -> object:
    """Lists and dicts of its own for each place, so that YAML writes no anchors."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
