"""JSON files to records: lines and whole documents, typed, so that token ids are skipped unread."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from .errors import FileError
from .paths import Source
from .report import Report

T = TypeVar("T")

TOO_DEEP = "this is nested too deeply to be read"
NOT_JSON = (msgspec.DecodeError, ValueError)
"""What msgspec raises on other bytes; ValueError where they are not even UTF-8."""


def records(source: Source, kind: type[T], report: Report) -> Iterator[tuple[int, T]]:
    """Every record of a JSON Lines file, with the number of its line from 0.

    A last line that is torn, as a writer leaves it that was stopped or is still at work, is left
    out with a warning.

    Raises
    ------
    FileError
        If another line is not JSON, or a line is not of `kind`.
    """
    decode = msgspec.json.Decoder(kind).decode
    lines = _whole_lines(source, report)
    for row, line in lines:
        try:
            record = decode(line)
        except msgspec.ValidationError as error:
            raise FileError(wrong_type(error), source.name, row) from None
        except RecursionError:
            raise FileError(TOO_DEEP, source.name, row) from None
        except NOT_JSON as error:
            leniently = _python_json(line)
            if leniently is None:
                if next(lines, None) is None:
                    report.warn(f"{source.name}: the last line is torn and was left out")
                    return
                raise FileError(f"this is not JSON: {error}", source.name, row) from None
            try:
                record = decode(leniently)
            except msgspec.ValidationError as wrong:
                raise FileError(wrong_type(wrong), source.name, row) from None
        yield row, record


def document(source: Source, kind: type[T]) -> T:
    """A whole JSON file.

    Raises
    ------
    FileError
        If it is not JSON, or not of `kind`.
    """
    with source.unpacking(), source.open() as stream:
        data = stream.read()
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise FileError(wrong_type(error), source.name) from None
    except RecursionError:
        raise FileError(TOO_DEEP, source.name) from None
    except NOT_JSON as error:
        leniently = _python_json(data)
        if leniently is None:
            raise FileError(f"this is not JSON: {error}", source.name) from None
        try:
            return msgspec.json.decode(leniently, type=kind)
        except msgspec.ValidationError as wrong:
            raise FileError(wrong_type(wrong), source.name) from None


def records_of_document(source: Source) -> list[dict[str, Any]]:
    """The records of a whole JSON file: a list of them, or one.

    Raises
    ------
    FileError
        If it holds neither.
    """
    content: Any = document(source, list[dict[str, Any]] | dict[str, Any])  # type: ignore[arg-type]
    return content if isinstance(content, list) else [content]


def wrong_type(error: msgspec.ValidationError) -> str:
    """What a typed decoder found, in our words: "score: expected `float | null`, got `str`"."""
    what, _, where = str(error).partition(" - at ")
    path = where.strip("`").removeprefix("$").removeprefix(".")
    what = what[:1].lower() + what[1:]
    return f"{path}: {what}" if path else what


def _whole_lines(source: Source, report: Report) -> Iterator[tuple[int, bytes]]:
    try:
        yield from source.lines()
    except EOFError:  # a gzip file that ends in the middle
        report.warn(f"{source.name}: the compressed file is torn; what follows was left out")


def _python_json(data: bytes) -> bytes | None:
    """Strict JSON of what Python's json writes besides: NaN, Infinity (null) and lone surrogates.

    None if that does not help.
    """
    try:
        value: Any = json.loads(data, parse_constant=lambda _: None)
    except ValueError:
        return None
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
