//! What the functions share: configuration, secrets, telemetry, deadline.
