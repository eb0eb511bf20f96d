"""The index directory: a catalogue (SQLite), DNA files, and FAISS vectors that can be rebuilt from them.

    DIR/catalogue.sqlite      one row a model: what it claims, where its DNA is, what it cost; skips with reasons
    DIR/dna/ab/abcd....dna    one file a model, named by the SHA-256 of its bytes (exact copies share one)
    DIR/sketches.faiss        1 KiB of sketch a model; derived, so a missing or stale one is made anew

The catalogue's transaction is the moment a model is stored: a killed process leaves at worst a DNA file that no row
names. Nothing in the directory holds a path outside it.
"""

from hubdna.store.catalogue import Entry
from hubdna.store.directory import IndexDir

__all__ = ["Entry", "IndexDir"]
