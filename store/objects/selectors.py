"""Selectors: which workloads an object is for, by their labels.

Source: istio/api networking/v1alpha3/sidecar.proto (WorkloadSelector) and type/v1beta1/selector.proto.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from store.objects.base import Model

__all__ = ["LabelSelector", "WorkloadSelector"]

_LabelValue = Annotated[str, Field(max_length=63)]


class WorkloadSelector(Model):
    """Workloads of the same namespace that bear all these labels."""

    labels: Annotated[dict[str, _LabelValue], Field(max_length=256)] = Field(default_factory=dict)
    """Label names and values, all of which must be equal; empty selects every workload."""


class LabelSelector(Model):
    """Client workloads that bear all these labels (DestinationRule; `type.v1beta1.WorkloadSelector`)."""

    match_labels: Annotated[dict[str, _LabelValue], Field(max_length=4096)] = Field(
        default_factory=dict
    )
    """Label names and values, all of which must be equal; empty selects every workload."""
