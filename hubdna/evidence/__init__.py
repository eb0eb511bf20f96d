"""Dna x Dna -> Evidence: which genes correspond, the exact test, and what the bits say about the relation."""
