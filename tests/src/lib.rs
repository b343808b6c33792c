//! Tests of the whole system on real servers.
