//! The search with YARA rules: a rule is a set of patterns and a condition on them, in the language of YARA
//! (<https://virustotal.github.io/yara-x/docs/writing_rules/>), compiled and evaluated by YARA-X.
//!
//! YARA was made for files. In memory a condition is evaluated on a *unit*: a run of readable memory within one region, in
//! windows of [`WINDOW_LEN`] where it is longer. So `filesize` is the unit's length, and what a condition says of offsets
//! (`$a at 0`, `uint32(0)`) counts from the unit's start; results have true addresses. Never touched zeros between memory
//! are part of a unit, and those at its ends to [`MARGIN`]; a hole ends a unit, as does the end of a region.
//!
//! Neighbouring windows share [`OVERLAP`] bytes: a match that is no longer is found whole wherever it lies, and once; a
//! longer one that lies across the end of a window may come short or not at all.

mod limits;
mod options;
mod read;
mod rules;
mod run;
mod windows;

#[cfg(test)]
mod tests;

pub use limits::{MARGIN, MAX_CONTEXT, MAX_MATCHES, OVERLAP, WINDOW_LEN};
pub use options::{Event, Options, Report, RuleMatch, Sink};
pub use rules::{Rules, RulesError, Source};
