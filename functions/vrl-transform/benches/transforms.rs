//! What transforms cost.

fn main() {}
