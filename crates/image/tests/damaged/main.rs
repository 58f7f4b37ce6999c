//! Truncated and damaged images, of every format of the table and in every codec. They are laid out by hand, so the test knows
//! which memory is intact.

mod cut;
mod damage;
mod hostile;
mod samples;
