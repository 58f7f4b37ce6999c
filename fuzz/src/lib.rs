//! Code that the fuzz targets share: the exercises, which the readers' own tests run too, and a bound on memory.
//!
//! Not run by hand: `cargo xtask fuzz` builds and runs the targets.

mod bounded;
#[path = "../../crates/image/tests/exercise/mod.rs"]
pub mod exercise;
