"""Checkers: each is a pure function from a history to what violates its invariant. They know no scenario."""
