"""What Envoy is told: compilers, the desired state, the delta-ADS session and the bootstrap."""
