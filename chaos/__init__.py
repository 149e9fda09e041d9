"""Faults on real processes in network namespaces: drives what users run, looks at what users see, imports no core."""
