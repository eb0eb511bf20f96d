"""Files: `/resolve/` on the Hub, and the CDN that large ones are redirected to.

Small text files are answered directly. Weights get a 302 to the second port with a signed, expiring URL, as on the
Hub; the redirect already carries size, hash and commit, which is all that a HEAD request wants. The bytes themselves
are starlette's `FileResponse`: it streams, and answers ranges with 206 and 416. `X-Xet-Hash` is never sent: clients
would turn to a protocol that is not spoken here.
"""

from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from hubdna.localhub.access import OPEN_FILE, check_access
from hubdna.localhub.caller import hub_of, path_of, repo_at, repo_id_of
from hubdna.localhub.files import CHUNK, RepoFile, identity_of, knows_content, sha256_of
from hubdna.localhub.repos import MAIN_REF, Hub, Repo, file_in, find_repo, sha_of
from hubdna.localhub.revisions import at_revision
from hubdna.localhub.signing import check_signature, signed

OCTETS = "application/octet-stream"


class Stream(FileResponse):
    """A file in larger steps: each one is a trip to another thread, and weights are large."""

    chunk_size = CHUNK


def resolve(request: Request) -> Response:
    """Answer a file, or the way to it."""
    repo, path = repo_at(request), path_of(request)
    if path != OPEN_FILE:
        check_access(request, repo)
    commit = {"X-Repo-Commit": sha_of(repo)}
    file = file_in(repo, path)
    if file.is_lfs:
        return Response(status_code=302, headers={**commit, **_redirect(hub_of(request), repo, file)})
    return Stream(file.stamp.path, headers={**commit, "ETag": _etag(file)}, media_type="text/plain")


def deliver(request: Request) -> Response:
    """The CDN: no token, no revision, only a signature."""
    hub = hub_of(request)
    check_signature(hub.secret, request)
    # The signature was given to somebody who was allowed to read the file.
    repo = find_repo(hub, repo_id_of(request), authorized=True)
    file = file_in(at_revision(hub, repo, request.query_params.get("ref", MAIN_REF)), path_of(request))
    return Stream(file.stamp.path, headers={"ETag": _etag(file)}, media_type=OCTETS)


def _redirect(hub: Hub, repo: Repo, file: RepoFile) -> dict[str, str]:
    query = "" if repo.ref == MAIN_REF else urlencode({"ref": repo.ref})
    headers = {
        "Location": hub.cdn_endpoint + signed(hub.secret, quote(f"/{repo.id}/{file.path}"), query),
        "Accept-Ranges": "bytes",
        "X-Linked-Size": str(file.size),
        "ETag": _etag(file),
    }
    # Without it clients take the ETag, which need not be a sha256: better than hashing 14 GB while they wait.
    return {**headers, "X-Linked-Etag": f'"{sha256_of(file)}"'} if knows_content(file) else headers


def _etag(file: RepoFile) -> str:
    return f'"{identity_of(file)}"'
