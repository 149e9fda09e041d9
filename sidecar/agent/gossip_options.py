"""The `[gossip]` table of the settings: whether, where and with which key this host gossips."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sidecar.agent.gossip_addresses import SEED_PORT, parse_seed

__all__ = ["KEY_FILE", "GossipOptions"]

KEY_FILE = "gossip.keys"
"""In `data_dir`, where the sidecar may write: a rotation through its API is kept. Its presence turns gossip on."""


class GossipOptions(BaseModel):
    """How this host gossips with its peers. Without a key there is no gossip: nobody joins a mesh by accident."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    enabled: Literal["auto", "on", "off"] = "auto"
    """`auto`: on when the key file is there; `on`: the sidecar does not start without it; `off`: never."""
    key_file: Path | None = None
    """Keys that all hosts of the mesh share, made by `meshd keyring generate`, mode 0600; unset: `gossip.keys` in
    `data_dir`. Where the sidecar may not write, keys are changed in the file by hand."""
    port: Annotated[int, Field(ge=0, le=65535)] = SEED_PORT
    """UDP and TCP port; 0: any that is free, which peers learn from etcd."""
    bind: str = ""
    """IP address to listen on; empty: the address under which peers reach this host. `0.0.0.0` or `::` for all."""
    advertise: str = ""
    """IP address that peers are told; empty: `bind`, or where that is empty or all, this host's address."""
    seeds: tuple[str, ...] = ()
    """Members to join through: `address:port`, `name:port`, `dns:name:port`. Not needed where etcd is reachable."""
    mesh: Annotated[str, Field(max_length=100)] = ""
    """Name of the mesh, bound into each frame; the same on all hosts. Empty: etcd's prefix."""
    probe_interval_s: Annotated[float, Field(ge=0.2, le=60)] = 1.0
    """One member is probed in each; the same on all hosts. Longer: slower detection, less traffic."""
    probe_timeout_s: Annotated[float, Field(ge=0.02, le=30)] = 0.4
    """Wait for a direct answer. Should exceed the 99th percentile of the round trip; below the interval."""

    @field_validator("bind", "advertise")
    @classmethod
    def _is_an_ip(cls, address: str) -> str:
        if address:
            ipaddress.ip_address(address)
        return address

    @field_validator("advertise")
    @classmethod
    def _is_one_place(cls, address: str) -> str:
        if address and ipaddress.ip_address(address).is_unspecified:
            raise ValueError(f"peers cannot reach {address}: name one address of this host")
        return address

    @field_validator("seeds")
    @classmethod
    def _are_seeds(cls, seeds: tuple[str, ...]) -> tuple[str, ...]:
        for seed in seeds:
            parse_seed(seed)
        return seeds

    @model_validator(mode="after")
    def _answers_come_in_time(self) -> Self:
        if self.probe_timeout_s >= self.probe_interval_s:
            raise ValueError("probe_timeout_s must be below probe_interval_s")
        return self
