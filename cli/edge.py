"""Where errors become a line on standard error and an exit status."""

import functools
import inspect
import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from tfbind.errors import InputError, RequestError

DATA_ERROR, INTERRUPTED, READER_GONE = 1, 130, 141

Debug = Annotated[bool, typer.Option("--debug", help="Show where an error arose in the program.")]


def at_the_edge(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command so that no traceback reaches a user who did not give `--debug`.

    Exit status: 1 for bad data, 130 for Ctrl-C, 141 where the reader of standard output has gone.
    """

    @functools.wraps(command)
    def run(*, debug: bool, **options: object) -> None:
        try:
            command(**options)
        except BrokenPipeError:
            # What Python still holds for the closed pipe must not raise again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(READER_GONE) from None
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None
        except RequestError as error:
            raise typer.BadParameter(error.message) from error
        except InputError as error:
            _fail(str(error), debug=debug)
        except OSError as error:
            _fail(f"{error.filename or 'output'}: {error.strerror or error}", debug=debug)
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except Exception as error:
            name = type(error).__name__
            _fail(f"unexpected {name}: {error}; --debug shows where it arose", debug=debug)

    signature = inspect.signature(command, eval_str=True)
    debug = inspect.Parameter(
        "debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug
    )
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[
            *(
                p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
                for p in signature.parameters.values()
            ),
            debug,
        ]
    )
    run.__annotations__ = {p.name: p.annotation for p in run.__signature__.parameters.values()}  # type: ignore[attr-defined]
    return run


def _fail(message: str, *, debug: bool) -> None:
    if debug:
        raise
    one_line = " ".join(message.split())
    print(f"tfbind: {one_line}", file=sys.stderr)
    raise SystemExit(DATA_ERROR) from None
