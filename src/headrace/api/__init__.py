"""What the outside may ask of a node: native REST and LoxiLB's REST, over HTTP.

Asks `control` through its port `Operator`; touches no map, no session, no file but its socket, its
tokens and its certificates.
"""

from headrace.api.app import build_app
from headrace.api.host import Device, Filesystem, Host, HostProcess, HostRoute, Interface
from headrace.api.listening import NOWHERE, Listeners, Listening, listening
from headrace.api.loxilb_import import IMPORTED_FILES, import_configuration, read_files
from headrace.api.redaction import keep_secrets
from headrace.api.serving import serve
from headrace.api.tokens import Role, TokenFile

__all__ = [
    "IMPORTED_FILES",
    "NOWHERE",
    "Device",
    "Filesystem",
    "Host",
    "HostProcess",
    "HostRoute",
    "Interface",
    "Listeners",
    "Listening",
    "Role",
    "TokenFile",
    "build_app",
    "import_configuration",
    "keep_secrets",
    "listening",
    "read_files",
    "serve",
]
