"""XML from files that may be anything: without entities, which could grow to gigabytes or read other files."""

from os import PathLike
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from npswin.data.errors import DataFileError
from npswin.data.formats.findings import EntryError
from npswin.files import shown_path


def parse_xml(content: bytes, path: str | PathLike[str]) -> Element:
    """The outermost element.

    Args:
        content: of the file.
        path: of the file, for the message.

    Raises:
        DataFileError: it is not XML, or declares a document type, as entities need it.
    """
    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError, LookupError) as error:  # an encoding that is not known or not Unicode
        raise DataFileError(f"{shown_path(path)}: cannot be read as XML ({error})") from error
    return builder.close()


def _refuse(*_: Any) -> None:
    raise ValueError("it declares a document type")


def only_child(parent: Element, name: str) -> Element:
    """The child of this name, or an EntryError where there is none, or several."""
    found = parent.findall(name)
    if not found:
        raise EntryError("missing element", f"<{parent.tag[:50]}> has no <{name}>, expected one")
    if len(found) > 1:
        raise EntryError("element twice", f"<{parent.tag[:50]}> has {len(found)} of <{name}>, expected one")
    return found[0]
