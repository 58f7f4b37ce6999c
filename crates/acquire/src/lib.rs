//! What the command does, for a program: resolves a TARGET, runs the one `Job` that copies memory to an image, and records what was taken.

#![forbid(unsafe_code)]
