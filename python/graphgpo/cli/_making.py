"""`convert` and `credit` from their arguments to their output."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from graphgpo.cli import _corpus
from graphgpo.cli._output import OutputClosedError, output


def make(
    arguments: argparse.Namespace,
    options: Mapping[str, Any],
    **making: Any,
) -> int:
    """Run the job; `options` are what a resumed run must share, `making` goes to `Job`."""
    from graphgpo.corpus import Job, run_job
    from graphgpo.corpus.workspace import fingerprint, found_fingerprint

    start = time.monotonic()
    out = _corpus.output_path(arguments)
    reader = _corpus.reader_of(arguments)
    made_of = fingerprint(reader.files, {**options, **_corpus.reading_options(arguments)})
    if arguments.resume and out.exists():
        if found_fingerprint(out) != made_of:
            raise _corpus.UsageError(
                f"{out} is there already, made of other inputs or options; --overwrite replaces it"
            )
        _corpus.say(
            arguments, {"output": str(out), "rows_written": 0}, f"{out} is there: nothing to do"
        )
        return 0
    with tempfile.TemporaryDirectory() as folder:
        job = Job(
            out=Path(folder) / "out.jsonl" if arguments.output == "-" else out,
            **making,
            partitions=arguments.partitions,
            fingerprint=made_of,
            overwrite=arguments.overwrite,
            resume=arguments.resume,
            strict=arguments.strict,
        )
        workers = _corpus.workers_of(arguments)
        try:
            with _ended_like_interrupted():
                summary = run_job(reader, job, workers, _corpus.Progress(arguments))
        finally:
            workers.close()
        if arguments.output == "-":
            _to_standard_output(job.out)
    seconds = time.monotonic() - start
    _corpus.say(
        arguments,
        _corpus.plain_summary(summary, arguments, seconds),
        _corpus.summary_words(summary, arguments, seconds),
    )
    return 0


@contextmanager
def _ended_like_interrupted() -> Iterator[None]:
    """A scheduler that ends a job, by SIGTERM, lets it clean up too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _to_standard_output(path: Path) -> None:
    stream = output()
    _corpus.clear_line()
    try:
        with path.open("rb") as file:
            if hasattr(stream, "buffer"):
                shutil.copyfileobj(file, stream.buffer)
                stream.flush()
            else:  # text is all it takes
                stream.write(file.read().decode())
    except BrokenPipeError:
        sys.stderr.close()  # the reader has seen enough
    except OSError as error:
        raise OutputClosedError(f"cannot write to standard output: {error.strerror}") from None
