//! What the benchmarks of rejoin are made of. `README.md` says what each figure means.

pub mod compare;
pub mod deploying;
pub mod figures;
pub mod hosts;
pub mod lanes;
pub mod prober;
pub mod programs;
pub mod servers;
pub mod sharing;
pub mod waiting;
