//! What hosts, networks and users are like.
