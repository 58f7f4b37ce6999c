//! The recipes of the README, run with the real programs: what goes in at one end comes out at the other.
