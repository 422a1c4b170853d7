//! A master and three minions in one process.
fn main() {}
