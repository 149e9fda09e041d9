"""Outliers: which endpoints fail, by the evidence of many hosts, and which of them are ejected. Pure."""
