"""Codes MESH02xx: several objects together, and fields that have no effect."""

from __future__ import annotations

from store.diagnostics.code import Code, Level

__all__ = ["MESH_CODES"]

MESH_CODES = (
    Code(
        "MESH0290",
        Level.WARNING,
        "field has no effect yet",
        "The field belongs to Istio's API and is stored, but this version of meshd does not put it in force.",
        "Leave it out where its effect matters, or keep it for the version that will honour it.",
    ),
    Code(
        "MESH0291",
        Level.WARNING,
        "field that Istio itself does not implement",
        "The field belongs to Istio's API, but Istio does not put it in force, and so neither does meshd: an object "
        "means the same in both.",
        "Leave it out, or take what the message proposes.",
    ),
)
