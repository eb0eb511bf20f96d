"""`python -m hubdna`."""

from hubdna.cli import main

main()
