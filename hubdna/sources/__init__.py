"""Bytes -> named tensors: reading weights by ranges, without running anything of a repository."""
