"""Whom Envoy names when it refuses a response of several resources.

Only the reasons of CDS and LDS name resources, and only for errors found after decoding; everything else is
left to bisection. Reasons as measured on Envoy 1.40 (docs/xds.md, M6).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sidecar.xds.resource import Resource

__all__ = ["blamed"]

_NAMING = re.compile(r"Error adding/updating (?:cluster|listener)\(s\) ")


def blamed(detail: str, resources: Sequence[Resource]) -> tuple[Resource, ...]:
    """The resources named as culprits in Envoy's reason; empty when it names none."""
    found = _NAMING.search(detail)
    if found is None:
        return ()
    rest = detail[found.end() :]
    return tuple(
        resource
        for resource in resources
        if re.search(rf"(?:^|[\s,]){re.escape(resource.name)}: ", rest)
    )
