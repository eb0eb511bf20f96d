"""A Hugging Face Hub on loopback: for the demo, for tests, and for shops without internet.

It serves a folder of repositories, `ROOT/<org>/<name>/`, to the unmodified `huggingface_hub` client: listing, model
info, downloads by range through a redirecting CDN, uploads and commits, discussions, pull requests and webhooks. It
counts every request and byte, and misbehaves on demand.

    with LocalHub(Path("models")) as hub:
        api = HfApi(endpoint=hub.endpoint, token="hf_me")
        hub.misbehave(Fault("429", path="*.safetensors", times=2))
        ...
        hub.traffic.n_bytes

Clients need `HF_HUB_DISABLE_XET=1` to upload: Xet is not spoken here. The servers need the extra `localhub`:
`pip install 'hubdna[localhub]'`.
"""

from hubdna.localhub.deliveries import Delivery
from hubdna.localhub.faults import Fault
from hubdna.localhub.server import LocalHub, serve
from hubdna.localhub.traffic import Request, Traffic

__all__ = ["Delivery", "Fault", "LocalHub", "Request", "Traffic", "serve"]
