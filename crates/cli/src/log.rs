//! What -v says, on standard error: -v sources and sizes, -vv regions, -vvv each read.

use tracing::level_filters::LevelFilter;

/// Sets how much is said. Never a byte of memory.
pub(crate) fn init(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false)
        .without_time()
        .init();
}
