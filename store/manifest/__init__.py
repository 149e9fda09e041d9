"""Text to documents: YAML or JSON, many documents to a file, files, folders and standard input.

What is read keeps the line and column of every field, so that each later problem can point at its place.
Reading goes on after a problem wherever the rest can still be understood, so that all problems of an input
show at once.
"""

from __future__ import annotations

from store.manifest.documents import Document, Manifest, read_text
from store.manifest.files import read_paths

__all__ = ["Document", "Manifest", "read_paths", "read_text"]
