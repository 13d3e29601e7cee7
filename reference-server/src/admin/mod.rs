//! What the commands `ls`, `kill`, `prune` and `doctor` do on a host, as the answers of
//! [`rejoin_protocol::admin`] (SPEC section 14). Printing them is the command line's part.

mod end;
mod list;
mod prune;
mod report;

pub(crate) use end::end_each;
pub use list::list;
pub use prune::prune;
pub use report::report;
