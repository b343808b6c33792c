"""What the page's buttons do: replay a dead letter, give a conflict its usual form, enable and disable a mapping."""

from typing import Any

from local_stack.commands import conflicts, replay
from local_stack.commands.replay_function import responses
from local_stack.console import aws
from local_stack.errors import StackError
from local_stack.instance import Instance


def change(instance: Instance, path: str, request: Any) -> dict:
    """Makes the change that was posted to a path; returns whether it succeeded, and text for people."""
    match path, request:
        case "/api/replay", {"ids": list(ids)} if _names(ids):
            return _invoke(instance, {"ids": ids}, replay.describe, ("failed", "refused"))
        case "/api/replay", {"all": True}:
            return _invoke(instance, {"all": True}, replay.describe, ("failed", "refused"))
        case "/api/fix", {"ids": list(ids)} if _names(ids):
            event = {"conflicts": "fix", "ids": ids}
            return _invoke(instance, event, conflicts.describe_fix, ("failed", "still_rejected", "changed"))
        case "/api/mapping", {"uuid": str(uuid), "enabled": bool(enabled)} if uuid.replace("-", "").isalnum():
            return _set_mapping(instance, uuid, enabled)
    raise StackError(f"{path} takes no such change")


def _names(ids: list) -> bool:
    return bool(ids) and all(isinstance(each, str) and each for each in ids)


def _invoke(instance: Instance, event: dict, describe, unsuccessful: tuple[str, ...]) -> dict:
    texts, done = [], True
    for request, response in responses(instance, event):
        texts.append(describe(response))
        done = done and not any(response.get(name) for name in unsuccessful)
        # A run that failed would fail again at once.
        if response.get("failed") or response.get("next") == request:
            done = False
            break
    return {"done": done, "text": "\n".join(texts)}


def _set_mapping(instance: Instance, uuid: str, enabled: bool) -> dict:
    mapping = aws.set_mapping(instance, uuid, enabled=enabled)
    topic = (mapping.get("Topics") or ["?"])[0]
    return {"done": True, "text": f"The mapping of {topic} is {'enabled' if enabled else 'disabled'}."}
