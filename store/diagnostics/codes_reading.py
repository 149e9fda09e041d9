"""Codes MESH01xx: reading files and YAML, kinds and names, fields and their types."""

from __future__ import annotations

from store.diagnostics.code import Code, Level

__all__ = ["READING_CODES"]

_E, _W, _I = Level.ERROR, Level.WARNING, Level.INFO

READING_CODES = (
    Code(
        "MESH0101",
        _E,
        "required field missing",
        "The API requires the field; without it the object means nothing.",
        "Add the field. When it is there, look at its indentation: it may stand beside its parent, not under it.",
    ),
    Code(
        "MESH0102",
        _E,
        "unknown field",
        "No field of this name exists at this place: a spelling mistake, a wrong indentation, or a field of "
        "another kind. It is refused, since ignoring it would change what the object does without a word.",
        "Take the name that the message proposes, move the field to where it belongs, or remove it.",
    ),
    Code(
        "MESH0103",
        _E,
        "wrong type",
        "The value is of another type than the field: text for a number, a list for a single value.",
        'Write the value as the message says. Quotes make text: `"80"` is text, `80` is a number.',
    ),
    Code(
        "MESH0104",
        _E,
        "value out of range",
        "The value has the right type but is too small, too large, too long or of the wrong form.",
        "Choose a value within the range that the message gives.",
    ),
    Code(
        "MESH0105",
        _E,
        "unknown choice",
        "The field takes one of a fixed set of words, and this is none of them. Case counts.",
        "Take one of the words that the message lists.",
    ),
    Code(
        "MESH0106",
        _E,
        "value not accepted",
        "The value does not have the form that the field needs, or fields that exclude each other are set together.",
        "Do what the message says.",
    ),
    Code(
        "MESH0107",
        _E,
        "empty value",
        "The field or list item is there but has no value. Often its content is indented too little and "
        "stands beside it.",
        "Give it a value, indent its content under it, or remove it.",
    ),
    Code(
        "MESH0110",
        _E,
        "unknown API version",
        "The kind is one of ours, but not in this `apiVersion`.",
        "Write one of the versions that the message lists.",
    ),
    Code(
        "MESH0111",
        _E,
        "unknown kind",
        "The `apiVersion` is one of ours, but it has no such kind.",
        "Take the kind that the message proposes.",
    ),
    Code(
        "MESH0112",
        _I,
        "skipped",
        "The document is an object of another system (a Kubernetes Deployment, for instance) or of a kind that "
        "the mesh does not use.",
        "Nothing; it is neither stored nor checked.",
    ),
    Code(
        "MESH0113",
        _E,
        "not an object",
        "A document must be a mapping with apiVersion, kind, metadata and spec.",
        "Write the four fields; if the document is not meant for the mesh, keep it out of these files.",
    ),
    Code(
        "MESH0114",
        _E,
        "illegal name",
        "Names follow Kubernetes' rule, since they become keys in the store and parts of host names.",
        "Use at most 253 lower-case letters, digits, `-` and `.`, beginning and ending with a letter or digit.",
    ),
    Code(
        "MESH0115",
        _E,
        "illegal namespace",
        "Namespaces are single DNS labels.",
        "Use at most 63 lower-case letters, digits and `-`, beginning and ending with a letter or digit.",
    ),
    Code(
        "MESH0116",
        _E,
        "annotation not accepted",
        "The annotation is reserved or has no meaning for this kind.",
        "Remove the annotation.",
    ),
    Code(
        "MESH0120",
        _E,
        "cannot be read",
        "The file or folder does not exist, may not be read, or reading it failed.",
        "Correct the path or its permissions.",
    ),
    Code(
        "MESH0121",
        _E,
        "not UTF-8 text",
        "Objects are UTF-8 text; this file holds other bytes.",
        "Save the file as UTF-8.",
    ),
    Code(
        "MESH0122",
        _E,
        "too large",
        "The text is larger, deeper nested or (with aliases expanded) longer than any object can be.",
        "Split the file, or write the repeated parts out where they are needed.",
    ),
    Code(
        "MESH0123",
        _E,
        "not valid YAML",
        "The text breaks the rules of YAML at this place, so that what follows cannot be understood with certainty.",
        "Correct the place that the message shows.",
    ),
    Code(
        "MESH0124",
        _E,
        "unquoted *",
        "A plain `*` begins an alias in YAML (a reference to an `&anchor`), so a host such as *.example.org "
        "needs quotes.",
        'Put the value in quotes: `- "*.example.org"`.',
    ),
    Code(
        "MESH0125",
        _E,
        "tab in indentation",
        "YAML does not allow tabs in indentation, since editors disagree on their width.",
        "Indent with spaces.",
    ),
    Code(
        "MESH0126",
        _E,
        "field given twice",
        "A mapping has the same key twice. Many readers silently keep the last one.",
        "Remove one of the two, or make one list of them.",
    ),
    Code(
        "MESH0127",
        _E,
        "key is not text",
        "Keys of objects are text; an unquoted number, true, false or null is not.",
        "Put the key in quotes.",
    ),
    Code(
        "MESH0128",
        _E,
        "wrong indentation",
        "The line is indented so that it belongs to nothing: under a text, or between two levels.",
        "Indent the line to the level of the fields that it belongs to.",
    ),
    Code(
        "MESH0129",
        _E,
        "YAML feature not accepted",
        "Aliases must name an earlier anchor and must not contain themselves; tags other than YAML's own have "
        "no meaning here.",
        "Write the value out.",
    ),
    Code(
        "MESH0130",
        _W,
        "other readers see another value",
        "Readers of YAML 1.1 (kubectl among them) take unquoted words such as NO, on or 0443 for something else "
        "than text.",
        "Put the value in quotes.",
    ),
    Code(
        "MESH0131",
        _E,
        "control character",
        "YAML text holds no control characters save line feed, carriage return and tab.",
        "Remove the character; in a quoted text write it as an escape.",
    ),
    Code(
        "MESH0132",
        _E,
        "nothing to read",
        "The file or folder holds no document, which is almost always a mistake in the path.",
        "Name a file with objects, or a folder with .yaml, .yml or .json files.",
    ),
    Code(
        "MESH0133",
        _E,
        "value needs quotes",
        "The value begins with, or holds, a character that has a meaning of its own in YAML.",
        "Put the value in quotes; regular expressions in single quotes, where a backslash stands for itself.",
    ),
)
