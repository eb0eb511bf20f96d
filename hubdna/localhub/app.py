"""The two applications: the Hub and its CDN.

Here is the list of what the local Hub can do, and nothing else. Handlers that only look at the disk are plain
functions, which starlette runs in its thread pool; those that read a body are coroutines.
"""

import logging

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hubdna.localhub import access, community, listing, moves, resolve, settings, tree, webhooks, writing
from hubdna.localhub.caller import is_authorized, user_of
from hubdna.localhub.refusals import Refusal, repo_not_found
from hubdna.localhub.repos import Hub

logger = logging.getLogger(__name__)

MODEL = "/api/models/{org}/{name}"
DISCUSSION = MODEL + "/discussions/{num}"
HOOKS = "/api/settings/webhooks"


def hub_app(hub: Hub) -> Starlette:
    """The Hub: API and `/resolve/`."""
    return _app(
        hub,
        [
            Route("/api/whoami-v2", whoami),
            Route("/api/validate-yaml", writing.validate_yaml, methods=["POST"]),
            Route("/api/repos/create", settings.create_repo, methods=["POST"]),
            Route("/api/repos/delete", settings.delete_repo, methods=["DELETE"]),
            Route("/api/repos/move", settings.move_repo, methods=["POST"]),
            Route(HOOKS, webhooks.list_webhooks),
            Route(HOOKS, webhooks.create_webhook, methods=["POST"]),
            Route(HOOKS + "/{hook}", webhooks.get_webhook),
            Route(HOOKS + "/{hook}", webhooks.update_webhook, methods=["POST"]),
            Route(HOOKS + "/{hook}", webhooks.delete_webhook, methods=["DELETE"]),
            Route(HOOKS + "/{hook}/enable", webhooks.enable_webhook, methods=["POST"]),
            Route(HOOKS + "/{hook}/disable", webhooks.disable_webhook, methods=["POST"]),
            Route("/api/models", listing.list_models),
            Route("/api/models/{name}", no_such_repo),
            Route(MODEL, listing.model_info),
            Route(MODEL + "/revision/{revision}", listing.model_info),
            Route(MODEL + "/tree/{revision}", tree.tree),
            Route(MODEL + "/tree/{revision}/{path:path}", tree.tree),
            Route(MODEL + "/paths-info/{revision}", tree.paths_info, methods=["POST"]),
            Route(MODEL + "/refs", tree.refs),
            Route(MODEL + "/commits/{revision}", tree.commits),
            Route(MODEL + "/auth-check", tree.auth_check),
            Route(MODEL + "/auth-check/write", tree.auth_check),
            Route(MODEL + "/safetensors-metadata/{path:path}", tree.safetensors_metadata),
            Route(MODEL + "/preupload/{revision}", writing.preupload, methods=["POST"]),
            Route(MODEL + "/commit/{revision}", writing.commit, methods=["POST"]),
            Route(MODEL + "/user-access-request/handle", access.handle, methods=["POST"]),
            Route(MODEL + "/user-access-request/grant", access.grant, methods=["POST"]),
            Route(MODEL + "/user-access-request/{status}", access.list_requests),
            Route("/{org}/{name}/ask-access", access.ask, methods=["POST"]),
            Route(MODEL + "/settings", settings.update_settings, methods=["PUT"]),
            Route(MODEL + "/discussions", community.list_discussions),
            Route(MODEL + "/discussions", community.create_discussion, methods=["POST"]),
            Route(DISCUSSION, community.discussion_details),
            Route(DISCUSSION + "/comment", community.comment, methods=["POST"]),
            Route(DISCUSSION + "/comment/{comment}/edit", community.edit_comment, methods=["POST"]),
            Route(DISCUSSION + "/comment/{comment}/hide", community.hide_comment, methods=["POST"]),
            Route(DISCUSSION + "/title", community.rename, methods=["POST"]),
            Route(DISCUSSION + "/status", community.change_status, methods=["POST"]),
            Route(DISCUSSION + "/merge", community.merge, methods=["POST"]),
            Route("/{org}/{name}.git/info/lfs/objects/batch", writing.lfs_batch, methods=["POST"]),
            Route("/.hub/lfs/{oid}", writing.lfs_upload, methods=["PUT"]),
            Route("/{org}/{name}/resolve/{revision}/{path:path}", resolve.resolve),
        ],
    )


def cdn_app(hub: Hub) -> Starlette:
    """The CDN: nothing but signed files."""
    return _app(hub, [Route("/{org}/{name}/{path:path}", resolve.deliver)])


def whoami(request: Request) -> Response:
    """Tell callers who they are."""
    name = user_of(request)
    token = {"displayName": "local", "role": "write"}
    return JSONResponse(
        {
            "type": "user",
            "name": name,
            "fullname": name,
            "orgs": [],
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


def no_such_repo(request: Request) -> Response:
    """An id without an organisation: the Hub has a few old ones, a folder of folders has none."""
    raise repo_not_found(is_authorized(request))


def _app(hub: Hub, routes: list[Route]) -> Starlette:
    app = Starlette(
        routes=routes,
        exception_handlers={Refusal: _on_refusal, HTTPException: _on_http_error, Exception: _on_defect},
    )
    # A URL with one slash too many is another file name, not a page that moved.
    app.router.redirect_slashes = False
    app.state.hub = hub
    return app


def _on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    if error.code == "RepoNotFound" and (elsewhere := moves.redirect(request.app.state.hub, request)):
        return elsewhere
    return JSONResponse({"error": error.message}, status_code=error.status, headers=error.headers)


def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, status_code=error.status_code)


def _on_defect(request: Request, error: Exception) -> Response:
    """Our own mistake: the log has the traceback, the caller only learns that there is one."""
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return JSONResponse({"error": "Internal error of the local Hub"}, status_code=500)
