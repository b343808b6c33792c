"""What a secured server proves itself with and lets people in by, made for each instance: a certificate, a password."""

import os
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path

import java
import rest
from errors import StackError
from instance import Instance

# Distinguished name of the node's certificate.
NODE = "CN=node,O=kafka-to-search"
VALID_DAYS = "3650"


@dataclass(frozen=True)
class Identity:
    """Files in a server's folder; they last as long as its data."""

    folder: Path

    @property
    def ca(self) -> Path:
        """The certificate to trust, PEM. Its private key is thrown away: nobody can sign with it again."""
        return self.folder / "ca.pem"

    @property
    def keystore(self) -> Path:
        """PKCS #12, locked by the password: the node's key and certificate, and the CA's certificate."""
        return self.folder / "node.p12"

    @property
    def password_file(self) -> Path:
        """The administrator's password, readable by its owner alone."""
        return self.folder / "password"

    @property
    def password(self) -> str:
        """The administrator's password."""
        return self.password_file.read_text().strip()


def ensure(instance: Instance, server: str) -> Identity:
    """Makes what is not there yet."""
    folder = instance.server_folder(server)
    folder.chmod(0o700)
    identity = Identity(folder)
    if not identity.password_file.exists():
        write_private(identity.password_file, secrets.token_hex(20) + "\n")
    if not identity.keystore.exists():
        _make_certificates(identity)
    return identity


def info(instance: Instance, server: str, port: int, username: str, engine: str) -> dict:
    """Where clients of a secured server connect, and with what."""
    identity = Identity(instance.server_folder(server))
    return {
        "endpoint": f"https://127.0.0.1:{port}",
        "engine": engine,
        "ca_certificate": str(identity.ca),
        "username": username,
        "password": identity.password,
        "password_file": str(identity.password_file),
    }


def healthy(known: dict) -> bool:
    """Whether the server that `info` describes answers its administrator and has a healthy cluster."""
    access = rest.Access(known["ca_certificate"], known["username"], known["password"])
    return rest.answers(f"{known['endpoint']}/_cluster/health?wait_for_status=yellow&timeout=1s", access)


def write_private(file: Path, text: str) -> None:
    """Writes a file that only its owner may read, from its first byte on."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)


def _make_certificates(identity: Identity) -> None:
    """A CA and the node's certificate for this machine, by the JDK's keytool."""
    ca_store, request, signed = (identity.folder / name for name in ("ca.p12", "node.csr", "node.pem"))
    unfinished = identity.folder / "node.p12.new"
    for file in (ca_store, unfinished):
        file.unlink(missing_ok=True)  # left by a try that was cut short
    new_key = ["-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-validity", VALID_DAYS]
    _keytool(identity, ca_store, [*new_key, "-alias", "ca", "-dname", "CN=ca,O=kafka-to-search",
                                  "-ext", "bc:critical=ca:true,pathlen:0", "-ext", "ku:critical=keyCertSign,cRLSign"])  # fmt: skip
    _keytool(identity, ca_store, ["-exportcert", "-rfc", "-alias", "ca", "-file", str(identity.ca)])
    _keytool(identity, unfinished, [*new_key, "-alias", "node", "-dname", NODE])
    _keytool(identity, unfinished, ["-certreq", "-alias", "node", "-file", str(request)])
    _keytool(identity, ca_store, ["-gencert", "-rfc", "-alias", "ca", "-validity", VALID_DAYS,
                                  "-ext", "san=dns:localhost,ip:127.0.0.1", "-ext", "eku=serverAuth,clientAuth",
                                  "-infile", str(request), "-outfile", str(signed)])  # fmt: skip
    _keytool(identity, unfinished, ["-importcert", "-noprompt", "-alias", "ca", "-file", str(identity.ca)])
    _keytool(identity, unfinished, ["-importcert", "-noprompt", "-alias", "node", "-file", str(signed)])
    for file in (ca_store, request, signed):
        file.unlink()
    unfinished.chmod(0o600)
    unfinished.replace(identity.keystore)


def _keytool(identity: Identity, store: Path, words: list[str]) -> None:
    command = [str(java.home() / "bin" / "keytool"), "-J-XX:TieredStopAtLevel=1", *words,
               "-keystore", str(store), "-storetype", "PKCS12", "-storepass:file", str(identity.password_file)]  # fmt: skip
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"keytool {words[0]} for {store} failed: {(done.stdout + done.stderr).strip()}")
