"""Certificates of our own making, by the openssl program."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates for addresses of this host and for clients."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._name = name
        self.own = self._pair(name)
        subject = ["-subj", f"/CN={name}"]
        run_openssl("req", "-x509", "-days", "2", *subject, *_new_key(self.own))

    def sign(self, name: str, *, unit: str = "", address: str = "") -> Pair:
        """A certificate of this name, unit and address."""
        pair = self._pair(f"{self._name}-{name}")
        subject = (f"/OU={unit}" if unit else "") + f"/CN={name}"
        extra = ["-addext", f"subjectAltName=IP:{address}"] if address else []
        authority = ["-CA", str(self.own.certificate), "-CAkey", str(self.own.key)]
        run_openssl(
            "req", "-x509", "-days", "1", "-subj", subject, *authority, *extra, *_new_key(pair)
        )
        return pair

    def _pair(self, name: str) -> Pair:
        return Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")


def run_openssl(*arguments: str) -> None:
    """Run it; what it says is not for the test's reader unless it fails."""
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _new_key(pair: Pair) -> list[str]:
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    return [*kind, "-keyout", str(pair.key), "-out", str(pair.certificate)]
