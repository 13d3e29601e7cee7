//! Benchmarks of rejoin.
