"""hubdna: where does a model come from?

Reads a few MB of a model's weights, computes its *weight DNA*, finds its nearest relatives in a FAISS index, and
decides by a test with a finite-sample p-value whether two models share an origin.
"""

__version__ = "0.1.0"
