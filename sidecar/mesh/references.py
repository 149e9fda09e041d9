"""Objects as a view hands them out: identity and completed names at hand, the model when asked for."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.mesh.facts import VirtualServiceFacts
from sidecar.mesh.model import HostName
from sidecar.mesh.source import ObjectInForce
from store.objects.base import ObjectRef
from store.objects.gateway import Gateway
from store.objects.virtual_service import VirtualService

__all__ = ["GatewayRef", "VirtualServiceRef"]


@dataclass(frozen=True, slots=True)
class VirtualServiceRef:
    """One VirtualService with what its names mean; its model is parsed when asked for."""

    facts: VirtualServiceFacts
    """Completed names."""
    object: ObjectInForce
    """The object."""

    @property
    def ref(self) -> ObjectRef:
        """Identity; its namespace completes short names."""
        return self.facts.ref

    @property
    def generation(self) -> int:
        """Generation of the object that is in force."""
        return self.facts.generation

    @property
    def hosts(self) -> tuple[HostName, ...]:
        """Completed hosts; empty for a delegate."""
        return self.facts.hosts

    @property
    def gateways(self) -> tuple[str, ...]:
        """`mesh` or `<namespace>/<name>`."""
        return self.facts.gateways

    @property
    def export_to(self) -> tuple[str, ...]:
        """Namespaces that see it: `*` or names."""
        return self.facts.export_to

    @property
    def model(self) -> VirtualService:
        """The parsed object."""
        model = self.object.model
        assert isinstance(model, VirtualService), f"{self.ref} is a {type(model).__name__}"
        return model


@dataclass(frozen=True, slots=True)
class GatewayRef:
    """One Gateway that this context opens."""

    ref: ObjectRef
    """Identity; its namespace is what `./` in its hosts means."""
    generation: int
    """Generation of the object that is in force."""
    create_revision: int
    """Order of creation."""
    model: Gateway
    """The parsed object."""
