"""Write the man pages from the command line itself: `python man/build.py`.

A page is made of the very strings that `--help` shows, so the two cannot say different things. It
holds neither a date nor a version, so it changes only when the help does.
"""

import textwrap
from collections.abc import Iterator
from pathlib import Path

from typer import Context
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from tfbind.cli import app

HERE = Path(__file__).parent
AS_TYPED = "\b"
"""Alone on the first line of a block, it keeps help from folding that block."""

ESCAPES = str.maketrans(
    {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}
)
"""What a typesetter would turn into something that a shell does not understand when pasted."""

EXIT_STATUS = [
    ("0", "All is done."),
    ("1", "Bad data or a failed run; one line on standard error says what, where and what to do."),
    ("2", "Wrong usage."),
    ("130", "Interrupted, as by Ctrl-C."),
    ("141", "The reader of standard output went away, as head does."),
    ("143", "Asked to end by SIGTERM, as by kill; by SIGHUP it is 129."),
]


def roff(text: str) -> str:
    """Escape text so that it can be copied from the page and no line is taken for a request."""
    lines = text.translate(ESCAPES).splitlines()
    return "\n".join(rf"\&{line}" if line.startswith(".") else line for line in lines)


def set_block(block: str) -> str:
    """Set a paragraph: filled, unless it is indented or marked to stay as it is typed."""
    lines = block.splitlines()
    marked = lines[0].strip(" ") == AS_TYPED
    text = "\n".join(lines[1:] if marked else lines)
    if marked or text.startswith("  "):
        return f".nf\n.RS 4\n{roff(textwrap.dedent(text))}\n.RE\n.fi"
    return roff(" ".join(text.split()))


def set_body(text: str) -> str:
    """Set the paragraphs of a docstring."""
    blocks = [block.strip("\n") for block in text.split("\n\n")]
    return "\n.PP\n".join(set_block(block) for block in blocks if block.strip())


def set_list(title: str, entries: list[tuple[str, str]]) -> str:
    """Set a section of terms and what they mean; nothing if there are none."""
    items = "".join(f".TP\n\\fB{roff(term)}\\fR\n{roff(meaning)}\n" for term, meaning in entries)
    return f".SH {title}\n{items}" if items else ""


def records(
    command: TyperCommand | TyperGroup, context: Context, kind: str
) -> list[tuple[str, str]]:
    """List the arguments or the options of a command as its help shows them."""
    shown = (
        param.get_help_record(context)
        for param in command.get_params(context)
        if param.param_type_name == kind
    )
    return [record for record in shown if record]


def children(
    command: TyperCommand | TyperGroup, context: Context
) -> Iterator[tuple[TyperCommand | TyperGroup, Context]]:
    """Yield the commands of a group, in the order of its help."""
    if not isinstance(command, TyperGroup):
        return
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        if isinstance(child, TyperCommand | TyperGroup) and not child.hidden:
            yield child, Context(child, info_name=name, parent=context)


def page_name(command_path: str) -> str:
    """Name the page of a command, as `tfbind-explain-attribute`."""
    return command_path.replace(" ", "-")


def page(command: TyperCommand | TyperGroup, context: Context) -> str:
    """Set one command as a man page."""
    name = page_name(context.command_path)
    summary, _, rest = (command.help or "").strip().partition("\n")
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    commands = [
        (f"{page_name(below.command_path)}(1)", child.get_short_help_str(200))
        for child, below in children(command, context)
    ]
    above = (
        f".SH SEE ALSO\n{roff(page_name(context.parent.command_path))}(1)\n"
        if context.parent
        else ""
    )
    return "".join(
        (
            f'.TH {roff(name.upper())} 1 "" tfbind\n',
            f".SH NAME\n{roff(name)} \\- {roff(summary.rstrip('.'))}\n",
            f".SH SYNOPSIS\n{roff(usage)}\n",
            f".SH DESCRIPTION\n{set_body(rest)}\n" if rest.strip() else "",
            set_list("ARGUMENTS", records(command, context, "argument")),
            set_list("OPTIONS", records(command, context, "option")),
            set_list("COMMANDS", commands),
            set_list("EXIT STATUS", EXIT_STATUS),
            above,
        )
    )


def walk(command: TyperCommand | TyperGroup, context: Context) -> Iterator[tuple[Path, str]]:
    """Yield the page of a command and of every command below it."""
    yield HERE / f"{page_name(context.command_path)}.1", page(command, context)
    for child, below in children(command, context):
        yield from walk(child, below)


def pages() -> Iterator[tuple[Path, str]]:
    """Yield the path and the text of every page."""
    top = get_command(app)
    assert isinstance(top, TyperGroup)
    yield from walk(top, Context(top, info_name=top.name))


if __name__ == "__main__":
    made = dict(pages())
    for stale in set(HERE.glob("*.1")) - set(made):
        stale.unlink()
    for path, text in made.items():
        path.write_text(text)
