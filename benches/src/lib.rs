//! Shared loads of the benchmarks.
