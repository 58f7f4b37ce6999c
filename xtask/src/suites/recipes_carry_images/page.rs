//! `docs/recipes.md`: the page that shows the recipes. It is made from their table, and kept in the repository.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::RECIPES;

/// Demands that the page shows the recipes as they are. With `UPDATE_README` set, it is written anew first.
pub(super) fn check() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/recipes.md");
    if std::env::var_os("UPDATE_README").is_some() {
        fs::write(&path, markdown()).with_context(|| format!("write {}", path.display()))?;
    }
    let page = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    ensure!(
        page == markdown(),
        "docs/recipes.md is not made from the recipes: run UPDATE_README=1 cargo test -p xtask recipes"
    );
    Ok(())
}

fn markdown() -> String {
    let mut page = String::from(
        "# Recipes\n\n\
         How an image gets to another machine with the programs that are there already. *Here* is the machine that is dumped, *there* \
         the one that the image goes to. These very lines are run in the tests (`cargo xtask test`), with the real programs, and the \
         SHA-256 of what arrives is that of what was in memory.\n\n\
         In bash, on both machines, first:\n\n\
         \x20   HOST=192.0.2.7 PORT=9000      # where the image goes to\n\
         \x20   set -o pipefail               # a failure of memdump is then the failure of the pipe\n\n\
         If the other end goes away, memdump says so in one line and ends with status 1. The image that has arrived by then is cut \
         short: throw it away. `sha256sum memory.lime` there is for the record.\n",
    );
    for recipe in RECIPES {
        page += &format!("\n## {}\n\n{}\n", recipe.name, recipe.about);
        let mut step = |place: &str, script: &str| {
            if !script.is_empty() {
                page += &format!("\n{place}:\n\n    {}\n", script.replace('\n', "\n    "));
            }
        };
        step("There, once", recipe.prepare);
        step("There", recipe.listen);
        let bring = format!("Here, with `{}` from there", recipe.brought.join("`, `"));
        step(if recipe.brought.is_empty() { "Here" } else { &bring }, recipe.send);
        let carry = format!("There, with `{}` from here", recipe.carried.join("`, `"));
        step(&carry, recipe.open);
    }
    page
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_shows_what_is_run() {
        super::check().unwrap();
    }
}
