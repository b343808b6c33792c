"""Creates the missing passwords, keys and certificates of the stack, and renews its own certificates.

A certificate is renewed if the stack's authority signed it and it expires soon or lacks a host name. The pods that use it are
then restarted one by one. A certificate that someone else signed or that cert-manager manages is kept as it is, and so is
everything else. deploy.sh runs this as a Job, and a CronJob runs it every week.
"""

import os
import secrets
import subprocess
import tempfile
from pathlib import Path

from kubernetes_secrets import Secrets

KAFKA_USERS = ("broker", "admin", "logstash", "functions", "services", "report", "scaler")
# A Secret for each client, so that a pod gets only its own password.
PASSWORDS = {
    **{f"kafka-user-{user}": ["password"] for user in KAFKA_USERS},
    "redis-auth": ["password"],
    **{f"elasticsearch-user-{user}": ["password"] for user in ("elastic", "kibana", "logstash")},
    "kibana-keys": ["security", "saved-objects", "reporting"],
}
# Earlier versions had one Secret for each server, and its passwords are in use: from the old Secret and key to the new Secret.
FORMER = {
    "kafka-users": {user: f"kafka-user-{user}" for user in ("broker", "admin", "logstash", "functions", "services")},
    "elasticsearch-users": {"elastic": "elasticsearch-user-elastic", "kibana_system": "elasticsearch-user-kibana"},
}
KAFKA_NODES = 3
ELASTICSEARCH_NODES = 3
# The host names by which clients in the same namespace reach each server. The certificates have the longer names as well.
CERTIFICATES = {
    "kafka": ["kafka", *(f"kafka-{node}.kafka-headless" for node in range(KAFKA_NODES))],
    "elasticsearch": [
        "elasticsearch",
        *(f"elasticsearch-{node}.elasticsearch-headless" for node in range(ELASTICSEARCH_NODES)),
    ],
    "logstash": ["logstash"],
    "kibana": ["kibana"],
    "redis": ["redis"],
    # For clients that send logs to Logstash over Beats or TCP. They log in with it.
    "log-shipper": ["log-shipper"],
}
# What mounts the certificate.
USERS = {
    "kafka": "statefulsets/kafka",
    "elasticsearch": "statefulsets/elasticsearch",
    "logstash": "statefulsets/logstash",
    "kibana": "deployments/kibana",
    "redis": "statefulsets/redis",
}
AUTHORITY_NAME = "kafka-to-search stack"
AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 398
# A certificate with fewer days left is renewed by the next run.
RENEW_DAYS = 60


def main() -> None:
    """Creates what is missing."""
    store = Secrets.of_pod()
    take_over(store)
    for name, keys in PASSWORDS.items():
        ensure_passwords(store, name, keys)
    authority = ensure_authority(store)
    for name, hosts in CERTIFICATES.items():
        ensure_certificate(store, name, hosts, authority)


def take_over(store: Secrets) -> None:
    """Copies the passwords of earlier versions to the Secrets of the clients, unless these exist. The old Secrets stay."""
    for former, clients in FORMER.items():
        known = store.read(former)
        if known is None:
            continue
        for key, name in clients.items():
            if known.get(key) and store.read(name) is None:
                store.write(name, {"password": known[key]})
                print(f"{name}: taken over from {former}", flush=True)
        print(f"{former}: not used any more, delete it once every pod has restarted", flush=True)


def ensure_passwords(store: Secrets, name: str, keys: list[str]) -> None:
    """Adds the missing keys of a Secret, each with its own password."""
    known = store.read(name) or {}
    missing = [key for key in keys if not known.get(key)]
    if missing:
        store.write(name, known | {key: secrets.token_hex(24).encode() for key in missing})
    print(f"{name}: {'made ' + ', '.join(missing) if missing else 'kept'}", flush=True)


def ensure_authority(store: Secrets) -> dict[str, bytes]:
    """The certificate authority of the stack. Only this Job reads its key. Pods get only its certificate."""
    known = store.read("certificate-authority")
    if known:
        print("certificate-authority: kept", flush=True)
        return known
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", str(AUTHORITY_DAYS), "-subj", f"/CN={AUTHORITY_NAME}",
            "-addext", "basicConstraints=critical,CA:true,pathlen:0", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout", str(place / "ca.key"), "-out", str(place / "ca.crt"),
        )  # fmt: skip
        made = {name: (place / name).read_bytes() for name in ("ca.crt", "ca.key")}
    store.write("certificate-authority", made)
    print("certificate-authority: made", flush=True)
    return made


def ensure_certificate(store: Secrets, name: str, hosts: list[str], authority: dict[str, bytes]) -> None:
    """The key (PKCS #8) and certificate of a server. The certificate is also valid for clients."""
    secret = f"certificates-{name}"
    hosts = [*all_names(hosts, store.namespace), *external_names(name, os.environ.get("EXTERNAL_DOMAIN")), "localhost"]
    known = store.read(secret)
    if known is not None:
        reason = reason_to_keep(known, store.annotations(secret), hosts, authority)
        if reason:
            print(f"{secret}: {reason}", flush=True)
            return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "ca.crt").write_bytes(authority["ca.crt"])
        (place / "ca.key").write_bytes(authority["ca.key"])
        (place / "extensions").write_text(
            "subjectAltName=" + ",".join(f"DNS:{host}" for host in hosts) + ",IP:127.0.0.1\n"
            "basicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\n"
            "extendedKeyUsage=serverAuth,clientAuth\n"
            "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        )
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(place / "tls.key"))
        openssl("req", "-new", "-key", str(place / "tls.key"), "-subj", f"/CN={name}", "-out", str(place / "csr"))
        openssl(
            "x509", "-req", "-in", str(place / "csr"), "-CA", str(place / "ca.crt"), "-CAkey", str(place / "ca.key"),
            "-days", str(CERTIFICATE_DAYS), "-extfile", str(place / "extensions"), "-out", str(place / "tls.crt"),
        )  # fmt: skip
        key, certificate = (place / "tls.key").read_bytes(), (place / "tls.crt").read_bytes()
    values = {"tls.key": key, "tls.crt": certificate, "ca.crt": authority["ca.crt"]}
    # Kafka reads the key and the certificate chain from one file.
    values["keystore.pem"] = key + certificate + authority["ca.crt"]
    store.write(secret, values)
    if known is None:
        print(f"{secret}: made", flush=True)
        return
    restarted = name in USERS and store.restart(USERS[name], "certificate-renewed")
    print(f"{secret}: renewed{f', restarting {USERS[name]}' if restarted else ''}", flush=True)


def all_names(hosts: list[str], namespace: str) -> list[str]:
    """The names of a host in its own namespace and in others, from the shortest to the longest."""
    return [
        f"{host}{suffix}"
        for host in hosts
        for suffix in ("", *(f".{namespace}{rest}" for rest in ("", ".svc", ".svc.cluster.local")))
    ]


def external_names(name: str, domain: str | None) -> list[str]:
    """The names of a server for clients outside the cluster (components/external-access)."""
    if not domain:
        return []
    return {
        "kafka": [f"kafka-{node}.{domain}" for node in range(KAFKA_NODES)],
        "elasticsearch": [f"elasticsearch.{domain}"],
    }.get(name, [])


def reason_to_keep(
    known: dict[str, bytes], annotations: dict[str, str], hosts: list[str], authority: dict[str, bytes]
) -> str | None:
    """Why the Secret stays as it is; None if the stack must renew its certificate."""
    certificate = known.get("tls.crt")
    if not certificate:
        return "kept, although it has no tls.crt"
    lasting = lasts(certificate, RENEW_DAYS)
    if any(key.startswith("cert-manager.io/") for key in annotations):
        return "kept, cert-manager renews it"
    if not is_own(known, authority):
        return "kept, someone else signed it" + ("" if lasting else f". It expires within {RENEW_DAYS} days: renew it")
    if lasting and known.get("ca.crt") == authority["ca.crt"] and all(is_for(certificate, host) for host in hosts):
        return "kept"
    if "ca.key" not in authority:
        return "kept, because the key of the authority is not available"
    return None


def is_own(known: dict[str, bytes], authority: dict[str, bytes]) -> bool:
    """Whether this authority signed the certificate, or an earlier one that the stack made."""
    if signed_by(known["tls.crt"], authority["ca.crt"]):
        return True
    earlier = known.get("ca.crt")
    return bool(earlier) and subject(earlier) == f"CN={AUTHORITY_NAME}" and signed_by(known["tls.crt"], earlier)


def signed_by(certificate: bytes, authority: bytes) -> bool:
    """Whether the authority signed the certificate, which may have expired."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "tls.crt").write_bytes(certificate)
        (place / "ca.crt").write_bytes(authority)
        options = [
            "-no_check_time",
            "-partial_chain",
            "-no-CApath",
            "-no-CAfile",
            "-no-CAstore",
            "-trusted",
            str(place / "ca.crt"),
        ]
        return subprocess.run(
            ["openssl", "verify", *options, str(place / "tls.crt")], capture_output=True, check=False
        ).returncode == 0  # fmt: skip


def subject(certificate: bytes) -> str:
    """The subject of a certificate, such as CN=kafka."""
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253"], input=certificate, capture_output=True, check=False
    )
    return done.stdout.decode().strip().removeprefix("subject=")


def is_for(certificate: bytes, host: str) -> bool:
    """Whether a certificate is valid for a host name."""
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-checkhost", host], input=certificate, capture_output=True, check=False
    )
    return b"does match" in done.stdout


def lasts(certificate: bytes, days: int) -> bool:
    """Whether a certificate is still valid after the given number of days."""
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-checkend", str(days * 86_400)], input=certificate, capture_output=True, check=False
    )
    return done.returncode == 0


def openssl(*arguments: str) -> None:
    """Runs openssl. On failure, ends the script with openssl's error message."""
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"openssl {arguments[0]} failed: {done.stderr}")


if __name__ == "__main__":
    main()
