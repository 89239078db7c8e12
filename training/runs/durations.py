"""Times on a command line: 90s, 30m, 1h30m."""

import re

from training.runs.command import InputError

_SECONDS = {"h": 3600, "m": 60, "s": 1}


def seconds(text: str, flag: str) -> int:
    """Return the seconds of a text such as "90s", "30m", "2h" or "1h30m".

    Raises:
        InputError: If it is none of these, or no time at all.
    """
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text.strip().lower())
    total = (
        sum(int(n) * unit for n, unit in zip(parts.groups(), _SECONDS.values(), strict=True) if n)
        if parts
        else 0
    )
    if not total:
        raise InputError(f"{flag} takes a time such as 90s, 30m or 1h30m, not '{text}'.")
    return total
