//! Two builds of the command in turn, on the same input: what a change costs. Nothing of it is published.

use anyhow::Result;

/// One run of one build.
#[derive(Clone, Copy)]
pub(super) struct Turn {
    pub(super) seconds: f64,
    /// The largest resident set, in KiB.
    pub(super) peak_kib: u64,
}

/// Runs each of `tasks` with the build of before and that of now in turn, a round to warm up and then `rounds`, and prints medians
/// and peaks. `measure` gets the task, and true for the build of before.
pub(super) fn compare(
    tasks: &[String],
    rounds: usize,
    mut measure: impl FnMut(usize, bool) -> Result<Turn>,
) -> Result<()> {
    let mut turns = vec![(Vec::new(), Vec::new()); tasks.len()];
    for round in 0..=rounds {
        for (task, (before, now)) in turns.iter_mut().enumerate() {
            // Each is first as often as the other.
            for is_before in [round % 2 == 0, round % 2 != 0] {
                let turn = measure(task, is_before)?;
                if round > 0 {
                    if is_before { before.push(turn) } else { now.push(turn) }
                }
            }
        }
    }
    println!("| what | before, seconds | now, seconds | now / before | peak before | peak now |");
    println!("|---|---|---|---|---|---|");
    for (task, (before, now)) in tasks.iter().zip(&turns) {
        println!(
            "| {task} | {:.3} | {:.3} | {:.3} | {:.1} MiB | {:.1} MiB |",
            median(before),
            median(now),
            median(now) / median(before),
            peak_mib(before),
            peak_mib(now),
        );
    }
    Ok(())
}

fn median(turns: &[Turn]) -> f64 {
    let mut seconds: Vec<f64> = turns.iter().map(|turn| turn.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN)
}

fn peak_mib(turns: &[Turn]) -> f64 {
    turns.iter().map(|turn| turn.peak_kib).max().unwrap_or(0) as f64 / 1024.0
}
