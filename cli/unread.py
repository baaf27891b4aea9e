"""Options that a request does not read."""

from collections.abc import Sequence

import typer


def refuse_unread(context: typer.Context, names: Sequence[str], why: str) -> None:
    """Refuse options that stand on the command line and would be passed over.

    Parameters
    ----------
    context : typer.Context
    names : sequence of str
        Of the command's parameters. What the environment says of them is for other commands, too.
    why : str
        Of the message, behind the option.
    """
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            given = next(one for one in context.command.params if one.name == name)
            shown = given.opts[0] if given.param_type_name == "option" else name.upper()
            raise typer.BadParameter(f"{shown} {why}")
