"""Benchmarks anyone can repeat: each compares two ways of doing a thing within one run, on one machine."""
