"""From which tensors a tensor is computed when it is judged: the last ones before it that the port dumped."""

from collections.abc import Collection

from npswin.verify.graph import Run


class DumpedInputs:
    """Looks up, for each tensor, the dumped tensors and the others that its local error depends on.

    Args:
        run: of the key's graph.
        dumped: the names of the tensors that the dump has, readable or not.
    """

    def __init__(self, run: Run, dumped: Collection[str]) -> None:
        self._run, self._names = run, dumped
        self._cache: dict[str, tuple[list[str], list[str]]] = {}

    def dumped(self, name: str) -> list[str]:
        """The tensors before this one that were dumped, with none that was dumped between."""
        return self._inputs(name)[0]

    def not_dumped(self, name: str) -> list[str]:
        """The computed tensors between those and this one, which are computed by the key's operations."""
        return self._inputs(name)[1]

    def _inputs(self, name: str) -> tuple[list[str], list[str]]:
        if name not in self._cache:
            dumped, others = [], []
            waiting, visited = self._before(name), set()
            while waiting:
                one = waiting.pop()
                if one in visited:
                    continue
                visited.add(one)
                if one in self._names:
                    dumped.append(one)
                elif one not in self._run.given:
                    others.append(one)
                    waiting += self._before(one)
            self._cache[name] = dumped, others
        return self._cache[name]

    def _before(self, name: str) -> list[str]:
        try:
            return self._run.inputs_of(name)
        except KeyError:  # a source
            return []
