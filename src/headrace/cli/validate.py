"""`headrace validate`: whether a document would be taken, asked of no daemon."""

import typer

from headrace.cli.client import Failure
from headrace.cli.files import FileOption, read_text

app = typer.Typer(add_completion=False)


@app.command()
def validate(file: FileOption) -> None:
    """Say whether a document is valid, or every problem that it has. No daemon is asked."""
    text = read_text(file)

    from headrace.model import ConfigError, parse_document

    try:
        document = parse_document(text)
    except ConfigError as error:
        raise Failure(str(error)) from error
    print(f"{file}: valid, {len(document.services)} services, {len(document.pools)} pools")
