//! Holes in JSON, for programs.

use memdump_image::Hole;
use serde_json::{Value, json};

/// Holes as a JSON array of objects with `start`, `end` (exclusive) and `cause`, a word of
/// [`Cause::name`](memdump_image::Cause::name).
pub fn holes_json(holes: &[Hole]) -> Value {
    let hole = |hole: &Hole| {
        json!({
            "start": hole.extent.start(),
            "end": hole.extent.end(),
            "cause": hole.cause.name(),
        })
    };
    holes.iter().map(hole).collect()
}
