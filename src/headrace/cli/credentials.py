"""What the command line shows to a daemon on another host, from files and the environment."""

import os
import ssl
from pathlib import Path

from headrace.cli.client import Failure

TOKEN_FILE = "HEADRACE_TOKEN_FILE"  # noqa: S105 - names of variables
CA_FILE = "HEADRACE_CA_FILE"
CERTIFICATE = "HEADRACE_CERTIFICATE"
KEY = "HEADRACE_KEY"
_TOKEN = "HEADRACE_TOKEN"  # noqa: S105


def read_token() -> str | None:
    """The token of the environment, or of the file that it names; None if there is neither."""
    place, token = _TOKEN, os.environ.get(_TOKEN, "")
    if name := os.environ.get(TOKEN_FILE):
        place = f"--token-file {name}"
        try:
            token = Path(name).read_text(errors="replace").strip()
        except OSError as error:
            raise Failure(f"{place}: {error.strerror}") from error
    if not all("!" <= each <= "~" for each in token):
        raise Failure(f"{place}: is no token; keep the one line that `token create` printed")
    return token or None


def open_tls() -> ssl.SSLContext:
    """The TLS of a client: the system's authorities or our own, a certificate if there is one."""
    authority, certificate = os.environ.get(CA_FILE), os.environ.get(CERTIFICATE)
    try:
        context = ssl.create_default_context(cafile=authority or None)
        if certificate:
            context.load_cert_chain(certificate, os.environ.get(KEY) or None)
    except OSError as error:  # an SSLError is one
        raise Failure(
            f"{CA_FILE}={authority or ''} {CERTIFICATE}={certificate or ''}: "
            f"{error.strerror or error}; name PEM files"
        ) from error
    return context
