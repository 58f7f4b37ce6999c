//! The messages of -v on standard error: -v sources and sizes, -vv regions, -vvv every read.

use tracing::level_filters::LevelFilter;

/// Sets the level of the messages. No level prints bytes of memory.
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
