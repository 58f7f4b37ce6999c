//! What is told of cells: a line each while they run, and the page `docs/proof.md`. Only from outcomes.

use super::cell::Outcome;

/// A line about a cell, and why it failed.
pub(crate) fn line(outcome: &Outcome) -> String {
    let state = if outcome.failures.is_empty() { "ok  " } else { "FAIL" };
    let mut text = format!(
        "{state} {:28} {:6.2} s {:6.1} MiB peak  ",
        outcome.cell,
        outcome.seconds,
        outcome.peak_kib as f64 / 1024.0
    );
    if let Some(verdict) = &outcome.verdict {
        text.push_str(&format!("{}; pattern {} ok", verdict.total(), verdict.patterned));
        if verdict.extra > 0 {
            text.push_str(&format!(", {} extra", verdict.extra));
        }
    }
    for failure in &outcome.failures {
        text.push_str(&format!("\n     {failure}"));
    }
    if !outcome.failures.is_empty() {
        text.push_str(&format!("\n     $ {}", outcome.command));
        for line in outcome.printed.lines().take(20) {
            text.push_str(&format!("\n     | {line}"));
        }
    }
    text
}
