"""Codes MESH04xx: values found in the store, however they came there."""

from __future__ import annotations

from store.diagnostics.code import Code, Level

__all__ = ["STORE_CODES"]

STORE_CODES = (
    Code(
        "MESH0401",
        Level.ERROR,
        "key outside the layout",
        "The key lies under the mesh's prefix but is none of meshd's: a mistyped folder, plural or name.",
        "Move the value to the key of its object (`meshd put` does), or delete the key.",
    ),
    Code(
        "MESH0402",
        Level.ERROR,
        "refused by Envoy",
        "The object is valid by every rule that meshd knows, but Envoy refused (NACK) what was made from it.",
        "Correct the object as Envoy's words say and put it again. Until then the last accepted generation serves.",
    ),
    Code(
        "MESH0403",
        Level.ERROR,
        "format key cannot be read",
        "The key `format` says how the store is written, and holds something that no version of meshd writes.",
        "Put back the value that `meshd put` writes. Until then the store is read as before.",
    ),
    Code(
        "MESH0404",
        Level.ERROR,
        "Envoy crashed on it",
        "Envoy ended by itself twice (a fault such as SIGSEGV, or an exit status that is not 0), each time within"
        " seconds of getting this change. SIGKILL does not count.",
        "Change the object, then put it again: a new generation is tried anew. Until then the one that Envoy lived"
        " with serves. Of several objects that changed together all are taken back: put them one by one to find it.",
    ),
    Code(
        "MESH0410",
        Level.ERROR,
        "value and key disagree",
        "The value lies under the key of another object: its kind, namespace or name is not what the key says.",
        "Put the value under its own key (`meshd put` does), or correct it. What it leaves out comes from the key.",
    ),
    Code(
        "MESH0411",
        Level.ERROR,
        "not one object",
        "A key holds exactly one object; this value holds several, or none.",
        "Put each object under its own key, as `meshd put` does.",
    ),
)
