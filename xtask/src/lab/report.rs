//! The report on cells: a line each while they run, and the page `docs/proof.md`. Everything in it is from an outcome.

use std::fmt::Write as _;

use super::cell::Outcome;

/// The number of lines of a command's output that are shown for a cell that failed.
const PRINTED_LINES: usize = 20;

/// A line about a cell, and why it failed.
pub(crate) fn line(outcome: &Outcome) -> String {
    let state = if outcome.failures.is_empty() { "ok  " } else { "FAIL" };
    let mut text = format!(
        "{state} {:32} {:6.2} s {:5.1} MiB peak  ",
        outcome.cell,
        outcome.seconds,
        mib(outcome.peak_kib)
    );
    // Writing to a string does not fail.
    if let Some(verdict) = &outcome.verdict {
        let _ = write!(text, "{}; {} patterned ok", verdict.total(), verdict.patterned);
        if verdict.extra > 0 {
            let _ = write!(text, "; {} extra", verdict.extra);
        }
    }
    for failure in &outcome.failures {
        let _ = write!(text, "\n     {failure}");
    }
    if !outcome.failures.is_empty() {
        let _ = write!(text, "\n     $ {}", outcome.command);
        for line in outcome.printed.lines().take(PRINTED_LINES) {
            let _ = write!(text, "\n     | {line}");
        }
    }
    text
}

/// The page that shows all outcomes.
pub(crate) fn page(outcomes: &[Outcome], qemu: &str) -> String {
    let mut kernels: Vec<&str> = outcomes.iter().map(|outcome| outcome.kernel.as_str()).collect();
    kernels.sort_unstable();
    kernels.dedup();
    let failed = outcomes.iter().filter(|outcome| !outcome.failures.is_empty()).count();
    let patterned: u64 = verdicts(outcomes).map(|verdict| verdict.patterned).sum();
    let bad: u64 = verdicts(outcomes).map(|verdict| verdict.patterned_bad).sum();
    let mut page = format!(
        "{HEAD}\n{} cells, {failed} failed. {patterned} patterned pages compared, {bad} wrong or missing.\n\n\
         Kernels: {}. {qemu}.\n\n## Cells\n\n{CELLS_HEAD}",
        outcomes.len(),
        kernels.join(", "),
    );
    for outcome in outcomes {
        page.push_str(&row(outcome));
    }
    page.push_str(RANGES_HEAD);
    for outcome in outcomes {
        for range in outcome.verdict.iter().flat_map(|verdict| &verdict.ranges) {
            let counts = &range.counts;
            let _ = writeln!(
                page,
                "| {} | {} | {} | {} | {} | {} | {} |",
                outcome.cell,
                range.name,
                counts.ok,
                counts.wrong,
                counts.changed,
                counts.hole,
                counts.missing
            );
        }
    }
    page
}

const HEAD: &str = "# Proof

Written by `cargo xtask vm matrix`; not by hand.

Each cell boots a machine under QEMU's software emulation, fills half of its memory with a pattern that follows from the physical
address, runs the command, and compares the image page by page with the guest's RAM as the hypervisor has it: before, at moments
during, and after.

- **ok**: the image has what the hypervisor has after the command ended.
- **wrong**: the hypervisor has the same at every look, and the image has something else. Outside the pattern there may be some: a page
  that changed and changed back between two looks, such as one that the port's driver sends from.
- **changed**: not the same at every look, so nothing is proved either way.
- **unreadable**: not in the image, or zeros, and the guest's kernel has it unmapped, poisoned or given away to a balloon.
- **missing**: not in the image, for no such reason. There must be none.
- **extra**: of `-k`, pages that no page table mapped before or after: stacks of processes that came and went meanwhile.
- **patterned**: pages that the laboratory filled and nobody touched since. None may be wrong or missing, ever.
";

const CELLS_HEAD: &str = "\
| cell | shows | command | status | patterned ok | patterned bad | ok | wrong | changed | unreadable | missing | extra | seconds | peak MiB | |
|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|
";

const RANGES_HEAD: &str = "
## By range

Numbers of pages of 4 KiB; ranges of `System RAM` by their first and last address, of `-k` by name.

| cell | range | ok | wrong | changed | unreadable | missing |
|---|---|--:|--:|--:|--:|--:|
";

fn row(outcome: &Outcome) -> String {
    let counts = match &outcome.verdict {
        None => "| | | | | | | | ".to_owned(),
        Some(verdict) => {
            let total = verdict.total();
            format!(
                "| {} | {} | {} | {} | {} | {} | {} | {} ",
                verdict.patterned,
                verdict.patterned_bad,
                total.ok,
                total.wrong,
                total.changed,
                total.hole,
                total.missing,
                verdict.extra
            )
        }
    };
    let state = match outcome.failures.as_slice() {
        [] => "passed".to_owned(),
        failures => format!("**failed**: {}", cell_text(&failures.join("; "))),
    };
    format!(
        "| {} | {} | `{}` | {} {counts}| {:.2} | {:.1} | {state} |\n",
        outcome.cell,
        cell_text(outcome.shows),
        cell_text(&outcome.command),
        outcome.status,
        outcome.seconds,
        mib(outcome.peak_kib),
    )
}

/// Text that does not end a table's cell.
fn cell_text(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn verdicts(outcomes: &[Outcome]) -> impl Iterator<Item = &super::compare::Verdict> {
    outcomes.iter().filter_map(|outcome| outcome.verdict.as_ref())
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
