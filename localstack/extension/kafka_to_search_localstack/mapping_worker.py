"""The worker of a Kafka event source mapping inside LocalStack: it keeps the state, and does not poll.

LocalStack's own workers poll in a thread that changes the state some time later, and an update that ends the old
thread can leave an enabled mapping marked Disabled. Here nothing polls: kafka-poller, a separate process, reads the mappings
through the API and serves them. So each change of state is complete when the call returns.
"""

import datetime

from localstack.services.lambda_.event_source_mapping.esm_worker import EsmState, EsmWorker


class KafkaMappingWorker(EsmWorker):
    """Keeps a mapping's state."""

    def __init__(self, esm_config: dict, enabled: bool) -> None:
        super().__init__(esm_config, poller=None, enabled=enabled)

    def create(self) -> None:
        """Enables or disables a new or updated mapping, as requested."""
        if self.enabled:
            self.start()
        else:
            self.stop()

    def start(self) -> None:
        """Enables the mapping."""
        self.enabled = True
        self._enter(EsmState.ENABLED)

    def stop(self) -> None:
        """Disables the mapping."""
        self.enabled = False
        self._enter(EsmState.DISABLED)

    def delete(self) -> None:
        """Removes the mapping."""
        self.current_state = EsmState.DELETING
        self.delete_esm_in_store()

    def _enter(self, state: EsmState) -> None:
        with self._state_lock:
            self.current_state = state
            self.state_transition_reason = self.user_state_reason
            self.update_esm_state_in_store(state)
            mapping = self._state.event_source_mappings[self.uuid]
            mapping["LastModified"] = datetime.datetime.now()
            mapping["StateTransitionReason"] = self.state_transition_reason
