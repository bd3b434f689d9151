"""How many examples a test draws: fewer in the default run than with --thorough."""

enabled = False  # set by tests/conftest.py before a test module is imported


def examples(count: int, least: int = 5) -> int:
    """The `max_examples` of a test: `count` with --thorough, else a quarter of it, but at least `least`."""
    return count if enabled else min(count, max(count // 4, least))
