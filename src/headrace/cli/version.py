"""`headrace version`."""

import typer

from headrace import __version__

app = typer.Typer(add_completion=False)


@app.command()
def version() -> None:
    """Show this program's version."""
    print(f"headrace {__version__}")
