//! The agreement between the laboratory's host and its guest: the control protocol and the pattern that memory is filled with.
//! Not a library for anybody else.

pub mod pattern;
pub mod protocol;
