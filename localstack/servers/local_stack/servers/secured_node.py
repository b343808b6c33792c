"""A search node with TLS and users: its clients log in as its administrator."""

from local_stack import rest
from local_stack.instance import Instance
from local_stack.servers.credentials import Credentials
from local_stack.servers.search_node import SearchNode


class SecuredNode(SearchNode):
    """A node with credentials of its own in each instance."""

    administrator: str

    def credentials(self, instance: Instance) -> Credentials:
        """The node's files; `ensure` makes them."""
        return Credentials(instance.server_folder(self.name))

    def ready(self, instance: Instance) -> bool:
        """Whether the administrator can log in and the cluster is healthy."""
        known = self.info(instance)
        access = rest.Access(known["ca_certificate"], known["username"], known["password"])
        return rest.succeeds(f"{known['endpoint']}/_cluster/health?wait_for_status=yellow&timeout=1s", access)

    def info(self, instance: Instance) -> dict[str, str]:
        """The endpoint, the certificate to trust, and the administrator."""
        own = self.credentials(instance)
        return {
            "endpoint": f"https://127.0.0.1:{self.port(instance)}",
            "engine": self.engine.program,
            "ca_certificate": str(own.ca),
            "username": self.administrator,
            "password": own.password,
            "password_file": str(own.password_file),
        }
