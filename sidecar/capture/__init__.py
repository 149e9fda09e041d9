"""Transparent capture (pure): whose traffic is redirected to the sidecar, as a plan and as nftables text."""
