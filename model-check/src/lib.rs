//! Model checking of the rejoin machines.
