//! `memdump generate`: the man page and shell completions, generated from the argument parser's table.

use clap::CommandFactory;
use clap_complete::Shell;

use super::print;
use crate::args::{Cli, Generated};
use crate::exit::Exit;

pub(crate) fn run(what: Generated) -> anyhow::Result<Exit> {
    let mut command = Cli::command();
    let mut text = Vec::new();
    match what {
        Generated::Man => clap_mangen::Man::new(command).render(&mut text)?,
        Generated::Bash => clap_complete::generate(Shell::Bash, &mut command, "memdump", &mut text),
        Generated::Fish => clap_complete::generate(Shell::Fish, &mut command, "memdump", &mut text),
        Generated::Zsh => clap_complete::generate(Shell::Zsh, &mut command, "memdump", &mut text),
    }
    print(&String::from_utf8(text)?)?;
    Ok(Exit::Complete)
}
