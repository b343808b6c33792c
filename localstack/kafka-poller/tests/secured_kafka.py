"""Runs a Kafka that requires TLS, and a login or a client's certificate, for the poller's tests. Ends with standard input.

secured_kafka.py FOLDER CONTROLLER_PORT LOGIN_PORT CERTIFICATE_PORT

FOLDER holds `ca.pem`, the authority of the clients, and `server.pem`, the broker's key and certificate.
"""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "servers"))

from local_stack.servers import kafka

USER, PASSWORD = "alice", "alice-secret"
LOGIN_MODULES = "org.apache.kafka.common.security"


def main() -> int:
    """Formats the data folder, then runs the broker until standard input is closed."""
    folder = Path(sys.argv[1])
    configuration = folder / "server.properties"
    configuration.write_text(properties(folder, *map(int, sys.argv[2:5])))
    (folder / "log4j2.properties").write_text(kafka.LOG4J2)
    java = [*kafka.java_command(kafka.KAFKA.fetch(), folder / "log4j2.properties"), "-Xmx256m"]
    scram = [f"--add-scram=SCRAM-SHA-{bits}=[name={USER},password={PASSWORD}]" for bits in (256, 512)]
    subprocess.run(
        [*java, "kafka.tools.StorageTool", "format", "-t", kafka.CLUSTER_ID, "-c", str(configuration), *scram],
        check=True, stdout=sys.stderr,
    )  # fmt: skip
    broker = subprocess.Popen([*java, "kafka.Kafka", str(configuration)], stdin=subprocess.DEVNULL, stdout=sys.stderr)
    try:
        sys.stdin.read()
    finally:
        broker.kill()
        broker.wait()
    return 0


def properties(folder: Path, controller: int, login: int, certificate: int) -> str:
    """Returns the broker's configuration."""
    return f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=CONTROLLER://127.0.0.1:{controller},LOGIN://127.0.0.1:{login},CERTIFICATE://127.0.0.1:{certificate}
advertised.listeners=LOGIN://127.0.0.1:{login},CERTIFICATE://127.0.0.1:{certificate}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,LOGIN:SASL_SSL,CERTIFICATE:SSL
inter.broker.listener.name=CERTIFICATE
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.certificate.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.login.plain.sasl.jaas.config={LOGIN_MODULES}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";
listener.name.login.scram-sha-256.sasl.jaas.config={LOGIN_MODULES}.scram.ScramLoginModule required;
listener.name.login.scram-sha-512.sasl.jaas.config={LOGIN_MODULES}.scram.ScramLoginModule required;
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=2
group.initial.rebalance.delay.ms=0
"""


if __name__ == "__main__":
    sys.exit(main())
