"""Tensors -> Dna: which units may be compared, their rows, and sketches to find them again."""
