"""The credentials of a secured server, made for each instance: a CA, the server's certificate, the administrator's password."""

import os
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path

from local_stack import java
from local_stack.errors import StackError
from local_stack.instance import Instance

# Distinguished name of the node's certificate.
NODE = "CN=node,O=kafka-to-search"
VALID_DAYS = "3650"


@dataclass(frozen=True)
class Credentials:
    """Files in a server's folder; they are kept as long as its data."""

    folder: Path

    @property
    def ca(self) -> Path:
        """The certificate to trust, PEM. Its private key is deleted, so it signs nothing else."""
        return self.folder / "ca.pem"

    @property
    def keystore(self) -> Path:
        """PKCS #12, encrypted with the password: the node's key and certificate, and the CA's certificate."""
        return self.folder / "node.p12"

    @property
    def password_file(self) -> Path:
        """The administrator's password, readable by its owner alone."""
        return self.folder / "password"

    @property
    def password(self) -> str:
        """The administrator's password."""
        return self.password_file.read_text().strip()


def ensure(instance: Instance, server: str) -> Credentials:
    """Returns a server's credentials, and makes those that do not exist."""
    folder = instance.server_folder(server)
    folder.chmod(0o700)
    own = Credentials(folder)
    if not own.password_file.exists():
        write_private(own.password_file, secrets.token_hex(20) + "\n")
    if not own.keystore.exists():
        _make_certificates(own)
    return own


def write_private(file: Path, text: str) -> None:
    """Writes a file that from the beginning only its owner may read."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)


def _make_certificates(own: Credentials) -> None:
    """Makes a CA and the node's certificate for this machine with the JDK's keytool."""
    ca_store, request, signed = (own.folder / name for name in ("ca.p12", "node.csr", "node.pem"))
    unfinished = own.folder / "node.p12.new"
    for file in (ca_store, unfinished):
        file.unlink(missing_ok=True)  # left by an interrupted attempt
    new_key = ["-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-validity", VALID_DAYS]
    _keytool(own, ca_store, [*new_key, "-alias", "ca", "-dname", "CN=ca,O=kafka-to-search",
                                  "-ext", "bc:critical=ca:true,pathlen:0", "-ext", "ku:critical=keyCertSign,cRLSign"])  # fmt: skip
    _keytool(own, ca_store, ["-exportcert", "-rfc", "-alias", "ca", "-file", str(own.ca)])
    _keytool(own, unfinished, [*new_key, "-alias", "node", "-dname", NODE])
    _keytool(own, unfinished, ["-certreq", "-alias", "node", "-file", str(request)])
    _keytool(own, ca_store, ["-gencert", "-rfc", "-alias", "ca", "-validity", VALID_DAYS,
                                  "-ext", "san=dns:localhost,ip:127.0.0.1", "-ext", "eku=serverAuth,clientAuth",
                                  "-infile", str(request), "-outfile", str(signed)])  # fmt: skip
    _keytool(own, unfinished, ["-importcert", "-noprompt", "-alias", "ca", "-file", str(own.ca)])
    _keytool(own, unfinished, ["-importcert", "-noprompt", "-alias", "node", "-file", str(signed)])
    for file in (ca_store, request, signed):
        file.unlink()
    unfinished.chmod(0o600)
    unfinished.replace(own.keystore)


def _keytool(own: Credentials, store: Path, words: list[str]) -> None:
    command = [str(java.home() / "bin" / "keytool"), "-J-XX:TieredStopAtLevel=1", *words,
               "-keystore", str(store), "-storetype", "PKCS12", "-storepass:file", str(own.password_file)]  # fmt: skip
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"keytool {words[0]} for {store} failed: {(done.stdout + done.stderr).strip()}")
