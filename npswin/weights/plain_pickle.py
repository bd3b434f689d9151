"""Pickles that `pickle.dump` wrote, such as detectron2's .pkl, rewritten as a file that PyTorch's safe reader knows.

PyTorch's restricted reader knows the instructions of protocol 2 and a header of PyTorch's. Later protocols say the same
in other instructions. `pickletools` lists the instructions of a pickle without following them; each is replaced by
one of protocol 2, and PyTorch, not this module, then makes objects of them.
"""

import pickle
import pickletools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from npswin.files import shortened, shown_path
from npswin.weights.file_kinds import AGAIN
from npswin.weights.files import WeightFileError
from npswin.weights.reading import Progress

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001  # of PyTorch's format before zip files
_TEXT = ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE")
_BYTES = ("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8")
_PUT = ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT")
_GET = ("GET", "BINGET", "LONG_BINGET")
_DROPPED = ("FRAME", "PROTO")


def as_pytorch_file(data: bytes, path: Path, progress: Progress) -> bytes:
    """A pickle as PyTorch's format before zip files.

    Args:
        data: the pickle.
        path: where it comes from, for messages.
        progress: told how much is rewritten.

    Raises:
        WeightFileError: it is cut short or damaged.
    """
    try:
        body = b"".join(_protocol_2(data, progress))
    except MemoryError as error:
        raise WeightFileError(f"{shown_path(path)}: too little memory to read it") from error
    except Exception as error:  # pickletools raises what struct and codecs raise, too
        reason = f"a pickle, cut short or damaged ({shortened(str(error))})"
        raise WeightFileError(f"{shown_path(path)}: {reason}; if it was downloaded, {AGAIN}") from error
    head = [MAGIC, VERSION, {"protocol_version": VERSION, "little_endian": True, "type_sizes": {}}]
    return b"".join([*(pickle.dumps(one, 2) for one in head), body, pickle.dumps([], 2)])


def _protocol_2(data: bytes, progress: Progress) -> Iterator[bytes]:
    """The pickle's instructions in protocol 2.

    A text is written only when the next instruction is known, since STACK_GLOBAL takes a module and a name from the
    stack, which are part of the instruction in protocol 2. For the same reason a text is never taken from the memo.
    """
    texts: dict[int, str] = {}  # in the memo
    pending: list[str] = []
    count = 0
    yield b"\x80\x02"
    instructions: list[tuple[str, Any, Any]] = [
        (op.name, argument, position) for op, argument, position in pickletools.genops(data)
    ]
    ends = [position for _, _, position in instructions[1:]] + [len(data)]
    for (name, argument, position), end in zip(instructions, ends, strict=True):
        progress("rewriting", end, len(data))
        if name in _DROPPED:
            continue
        if name in _TEXT:
            pending.append(argument)
        elif name in _PUT:
            number = count if name == "MEMOIZE" else int(argument)
            count += 1
            if pending:
                texts[number] = pending[-1]
            else:
                texts.pop(number, None)
                yield b"r" + number.to_bytes(4, "little")
        elif name in _GET and int(argument) in texts:
            pending.append(texts[int(argument)])
        else:
            if name == "STACK_GLOBAL":
                module, attribute = pending[-2:]
                del pending[-2:]
            yield from map(_text, pending)
            pending.clear()
            if name == "STACK_GLOBAL":
                yield f"c{module}\n{attribute}\n".encode()
            elif name in _GET:
                yield b"j" + int(argument).to_bytes(4, "little")
            else:
                yield _bytes(argument) if name in _BYTES else data[position:end]


def _text(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogatepass")
    return b"X" + len(encoded).to_bytes(4, "little") + encoded


def _bytes(argument: Any) -> bytes:
    """A call of codecs.encode with the bytes as text in latin1, as protocol 2 has them."""
    return b"c_codecs\nencode\n" + _text(argument.decode("latin1")) + _text("latin1") + b"\x86R"
