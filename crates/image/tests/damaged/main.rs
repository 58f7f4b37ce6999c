//! Images that are cut short or damaged, of every format of the table and in every codec. They are laid out by hand; what of
//! them is whole follows from how they are laid out.

mod cut;
mod damage;
mod hostile;
mod samples;
