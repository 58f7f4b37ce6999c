//! Text in memory: the strings that lie there ([`strings`]), how often each occurs ([`tally`]), and the encodings and
//! templates that both need.

mod encoding;
mod printable;
mod runs;
pub mod strings;
pub mod tally;
mod template;

pub use encoding::Encoding;
pub use printable::is_printable_char;
pub use template::template;
