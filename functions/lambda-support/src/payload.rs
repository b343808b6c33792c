//! Passes an invocation's payload to the handler as bytes.
//!
//! lambda_runtime deserializes a payload before the handler sees it. For a batch of 6 MB that costs a pass and a copy.
//! [`PayloadLayer`] takes the bytes out before that, and [`Payload`] picks them up.

use std::cell::Cell;
use std::task::{Context, Poll};

use bytes::Bytes;
use lambda_runtime::LambdaInvocation;
use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer};
use tower::{Layer, Service};

/// A payload that has not been parsed. The runtime needs [`PayloadLayer`] for this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload(pub Bytes);

thread_local! {
    // A service's `call` deserializes before it returns its future, so the layer sets this and `Payload` takes it within
    // one call, on one thread.
    static PAYLOAD_BYTES: Cell<Option<Bytes>> = const { Cell::new(None) };
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer)?;
        PAYLOAD_BYTES.take().map(Payload).ok_or_else(|| D::Error::custom("the runtime has no PayloadLayer"))
    }
}

/// Keeps payloads from being deserialized.
#[derive(Debug, Clone, Copy, Default)]
pub struct PayloadLayer;

impl<S> Layer<S> for PayloadLayer {
    type Service = PayloadService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        PayloadService { inner }
    }
}

/// A service wrapped by [`PayloadLayer`].
#[derive(Debug, Clone)]
pub struct PayloadService<S> {
    inner: S,
}

impl<S: Service<LambdaInvocation>> Service<LambdaInvocation> for PayloadService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut invocation: LambdaInvocation) -> Self::Future {
        PAYLOAD_BYTES.set(Some(std::mem::replace(&mut invocation.body, Bytes::from_static(b"null"))));
        let future = self.inner.call(invocation);
        PAYLOAD_BYTES.set(None);
        future
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_without_its_layer_is_an_error() {
        let error = serde_json::from_str::<Payload>("{}").unwrap_err();
        assert!(error.to_string().contains("PayloadLayer"));
    }

    #[test]
    fn a_payload_holds_the_bytes_of_the_request() {
        PAYLOAD_BYTES.set(Some(Bytes::from_static(b"{ not json")));
        assert_eq!(serde_json::from_str::<Payload>("null").unwrap().0, "{ not json");
        assert!(serde_json::from_str::<Payload>("null").is_err(), "the bytes can be taken once");
    }
}
