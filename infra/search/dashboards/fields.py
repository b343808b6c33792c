"""Which fields the indices of a data view have, from the response of `_field_caps`, as the products learn it."""


class FieldError(ValueError):
    """A field that a panel or a monitor can't use: it would show an error, or nothing."""


def known(name: str, fields: dict) -> dict:
    """What a field can do. It is an error if no index has it, or if indices map it to different types."""
    kinds = fields.get(name)
    if not kinds:
        raise FieldError(f"the mapping has no field `{name}`")
    if len(kinds) > 1:
        raise FieldError(f"`{name}` has several types: {', '.join(sorted(kinds))}")
    return next(iter(kinds.values()))


def searchable(name: str, fields: dict) -> None:
    """Fails unless the field can be in a query."""
    if not known(name, fields)["searchable"]:
        raise FieldError(f"`{name}` can't be searched")


def aggregatable(name: str, fields: dict) -> None:
    """Fails unless the field can be counted and sorted by."""
    if not known(name, fields)["aggregatable"]:
        raise FieldError(f"`{name}` can't be aggregated or sorted by")
