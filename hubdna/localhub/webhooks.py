"""The handlers of webhooks: made, listed, changed and deleted by the user whose token it is."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hubdna.localhub.caller import hub_of, read_json, user_of
from hubdna.localhub.hooks import Hook, checked, keep_hooks, new_hook, read_hooks
from hubdna.localhub.refusals import webhook_not_found


def list_webhooks(request: Request) -> Response:
    """The caller's webhooks."""
    user = user_of(request)
    return JSONResponse([_shown(hook) for hook in read_hooks(hub_of(request)) if hook.owner == user])


def get_webhook(request: Request) -> Response:
    """One webhook."""
    return _answer(_own(read_hooks(hub_of(request)), request))


async def create_webhook(request: Request) -> Response:
    """Make a webhook; it is enabled at once."""
    user, hub = user_of(request), hub_of(request)
    made = new_hook(user, await read_json(request))

    def answer() -> Response:
        with hub.writing:
            keep_hooks(hub, (*read_hooks(hub), made))
        return _answer(made)

    return await run_in_threadpool(answer)


async def update_webhook(request: Request) -> Response:
    """Change what the body names."""
    user_of(request)
    values = checked(await read_json(request))
    return await run_in_threadpool(_change, request, lambda hook: replace(hook, **values))


def enable_webhook(request: Request) -> Response:
    """Deliver again."""
    return _change(request, lambda hook: replace(hook, disabled=False))


def disable_webhook(request: Request) -> Response:
    """Deliver nothing. What happens meanwhile is not delivered later."""
    return _change(request, lambda hook: replace(hook, disabled=True))


def delete_webhook(request: Request) -> Response:
    """Remove a webhook."""
    hub = hub_of(request)
    with hub.writing:
        hooks = read_hooks(hub)
        gone = _own(hooks, request)
        keep_hooks(hub, [hook for hook in hooks if hook is not gone])
    return JSONResponse({})


def _change(request: Request, change: Callable[[Hook], Hook]) -> Response:
    hub = hub_of(request)
    with hub.writing:
        hooks = read_hooks(hub)
        old = _own(hooks, request)
        new = change(old)
        keep_hooks(hub, [new if hook is old else hook for hook in hooks])
    return _answer(new)


def _own(hooks: tuple[Hook, ...], request: Request) -> Hook:
    user, hook_id = user_of(request), request.path_params["hook"]
    found = next((hook for hook in hooks if hook.id == hook_id and hook.owner == user), None)
    if found is None:
        raise webhook_not_found()
    return found


def _answer(hook: Hook) -> Response:
    return JSONResponse({"webhook": _shown(hook)})


def _shown(hook: Hook) -> dict[str, Any]:
    shown = {"id": hook.id, "url": hook.url, "domains": list(hook.domains), "disabled": hook.disabled}
    watched = [{"type": kind, "name": name} for kind, name in hook.watched]
    return {**shown, "watched": watched, **({"secret": hook.secret} if hook.secret is not None else {})}
