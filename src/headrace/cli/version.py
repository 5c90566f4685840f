"""`headrace version`."""

import typer

from headrace import __version__

app = typer.Typer()


@app.command()
def version() -> None:
    """Show this program's version."""
    print(f"headrace {__version__}")
