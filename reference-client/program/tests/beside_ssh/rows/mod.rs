//! The rows: one for each thing that both programs have to do alike.

mod configured;
mod connecting;
mod running;
mod terminal;

use crate::row::Row;

/// All of them.
pub(crate) fn all() -> Vec<Row> {
    [configured::rows(), terminal::rows(), running::rows(), connecting::rows()].concat()
}
