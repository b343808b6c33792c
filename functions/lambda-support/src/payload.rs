//! Hands an invocation's payload to the handler as bytes.
//!
//! lambda_runtime deserializes a payload before the handler sees it, which for a batch of 6 MB costs a pass and a
//! copy. [`PayloadLayer`] takes the bytes out before that and [`Payload`] picks them up.

use std::cell::Cell;
use std::task::{Context, Poll};

use bytes::Bytes;
use lambda_runtime::LambdaInvocation;
use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer};
use tower::{Layer, Service};

/// A payload, not looked at. The runtime needs [`PayloadLayer`] for this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload(pub Bytes);

thread_local! {
    // A service's `call` deserializes before it returns its future: layer and payload meet within one call, on
    // one thread.
    static TAKEN: Cell<Option<Bytes>> = const { Cell::new(None) };
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer)?;
        TAKEN.take().map(Payload).ok_or_else(|| D::Error::custom("the runtime has no PayloadLayer"))
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

/// What [`PayloadLayer`] makes of a service.
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
        TAKEN.set(Some(std::mem::replace(&mut invocation.body, Bytes::from_static(b"null"))));
        let future = self.inner.call(invocation);
        TAKEN.set(None);
        future
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_its_layer_a_payload_is_refused() {
        let error = serde_json::from_str::<Payload>("{}").unwrap_err();
        assert!(error.to_string().contains("PayloadLayer"));
    }

    #[test]
    fn a_payload_is_the_bytes_that_came() {
        TAKEN.set(Some(Bytes::from_static(b"{ not json")));
        assert_eq!(serde_json::from_str::<Payload>("null").unwrap().0, "{ not json");
        assert!(serde_json::from_str::<Payload>("null").is_err(), "bytes are taken once");
    }
}
