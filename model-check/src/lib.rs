//! Where the state machines of `rejoin-protocol` are to be checked exhaustively, with Stateright.
//!
//! Nothing is checked here yet: there is no model, and no property has been proved by one. What
//! holds the machines to their rules so far are the tests of `rejoin-protocol`: a table of every
//! state and event, and random histories of clients, links and a server.
//!
//! The model will step the machines that ship, not a second description of them.

pub mod recording;
