"""Validation of objects: shape, the rules of Istio's own validation, and what meshd does not do yet.

Source of the rules: istio/istio `pkg/config/validation` and the CRDs' own (CEL) rules; `reference` names in
the modules are those of its functions. Rules that need several objects are not here.
"""

from __future__ import annotations

from store.validation.check import Locate, check_document, check_object

__all__ = ["Locate", "check_document", "check_object"]
