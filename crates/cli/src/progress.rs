//! The progress of a dump, on standard error.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle as BarStyle};

use crate::args::ProgressStyle;

/// The time between two JSON lines for programs.
const JSON_INTERVAL: Duration = Duration::from_millis(500);

pub(crate) enum Progress {
    Bar(ProgressBar),
    Json { started: Instant, last: Instant, bytes: u64, total: u64 },
    Silent,
}

impl Progress {
    /// The progress towards `total` bytes.
    pub(crate) fn new(style: ProgressStyle, quiet: bool, total: u64) -> Self {
        let now = Instant::now();
        match style {
            ProgressStyle::Json => Progress::Json { started: now, last: now, bytes: 0, total },
            ProgressStyle::Auto if !quiet && std::io::stderr().is_terminal() => {
                let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
                let template = "{bar:30} {binary_bytes} of {binary_total_bytes}, \
                    {binary_bytes_per_sec}, {eta} left";
                let style = BarStyle::with_template(template);
                Progress::Bar(bar.with_style(style.unwrap_or_else(|_| BarStyle::default_bar())))
            }
            _ => Progress::Silent,
        }
    }

    /// Adds `done` bytes to the progress. Holes count too.
    pub(crate) fn advance(&mut self, done: u64) {
        match self {
            Progress::Bar(bar) => bar.inc(done),
            Progress::Json { started, last, bytes, total } => {
                *bytes += done;
                if last.elapsed() >= JSON_INTERVAL {
                    *last = Instant::now();
                    let seconds = started.elapsed().as_secs_f64();
                    print_json(&serde_json::json!({
                        "event": "progress",
                        "bytes": *bytes,
                        "total": *total,
                        "seconds": seconds,
                        "bytes_per_second": *bytes as f64 / seconds,
                    }));
                }
            }
            Progress::Silent => {}
        }
    }

    /// Erases the progress bar.
    pub(crate) fn clear(&self) {
        if let Progress::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// Prints a JSON line on standard error. Failures are ignored: a reader that has gone is no reason to stop.
pub(crate) fn print_json(event: &serde_json::Value) {
    let _ = writeln!(std::io::stderr(), "{event}");
}
