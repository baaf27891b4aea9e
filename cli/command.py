"""How a command shows itself in its help."""

from typing import Any

from typer.core import TyperArgument, TyperCommand


class Command(TyperCommand):
    """A command whose help calls an argument by its name alone, without a type of Python."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Give all arguments and options."""
        params = super().get_params(ctx)
        for param in params:
            if isinstance(param, TyperArgument):
                param.display_type_rich = _no_type  # type: ignore[method-assign]
        return params


def _no_type(ctx: object) -> None:
    """Say nothing, where an option has its metavar."""
