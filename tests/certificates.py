"""Certificates for servers of tests, made with openssl: good ones, and some with each fault."""

import ssl
import subprocess
from pathlib import Path

CA_CONFIG = """\
[ca]
default_ca = it
[it]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
"""
HERE = "IP:127.0.0.1"


class Certificates:
    """Makes certificates with openssl, all with one key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._run("ecparam -genkey -name prime256v1 -noout -out key.pem")

    def context(self, name: str) -> ssl.SSLContext:
        """Return a server's side of TLS with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path(name), self._folder / "key.pem")
        return context

    def path(self, name: str) -> Path:
        """Return the PEM file of a certificate, made once."""
        path = self._folder / f"{name.replace(' ', '_')}.pem"
        if not path.exists():
            self._make(name, path.name)
        return path

    def _make(self, name: str, file: str) -> None:
        host = "DNS:elsewhere.example" if "other host" in name else HERE
        if name == "root":
            self._run(f"req -x509 -new -key key.pem -days 9 -subj /CN=root -out {file}")
        elif "itself" in name:
            self._run(f"req -x509 -new -key key.pem -days 9 -subj /CN=x -addext subjectAltName={host} -out {file}")
        else:
            dates = {"expired": ("20200101", "20210101"), "future": ("20990101", "20991231")}
            begins, ends = dates.get(name, ("20200101", "20991231"))
            self._folder.joinpath("ca.cnf").write_text(CA_CONFIG)
            self._folder.joinpath("index").write_text("")
            self._folder.joinpath("serial").write_text("01")
            self._run(f"req -new -key key.pem -subj /CN=x -addext subjectAltName={host} -out asked.csr")
            self._run(
                f"ca -batch -notext -config ca.cnf -cert {self.path('root').name} -keyfile key.pem -in asked.csr "
                f"-out {file} -startdate {begins}000000Z -enddate {ends}000000Z"
            )

    def _run(self, arguments: str) -> None:
        subprocess.run(["openssl", *arguments.split()], cwd=self._folder, check=True, capture_output=True)
