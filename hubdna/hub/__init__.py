"""The only room that talks to the Hub: listings, byte ranges, cards.

Three facts of the Hub shape it. `config.json` through `/resolve/` counts as a download, so configs come from listings.
A large file's `/resolve/` answers with a redirect that already carries its SHA-256 and size: exact copies are known
before a weight byte is read, and every later range goes straight to the signed address. And a server that ignores
`Range` answers 200 with the whole file, so the status is checked before the body is touched.
"""

from hubdna.hub.client import TIMEOUT, Hub
from hubdna.hub.reader import HubReader

__all__ = ["TIMEOUT", "Hub", "HubReader"]
