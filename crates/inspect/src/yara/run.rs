//! The threads of a search with rules: each reads a window and searches it, and hands on what it found when it is its
//! turn, together with what the window before found where the two share memory.

use std::collections::BTreeSet;
use std::io;
use std::iter::Zip;
use std::ops::RangeFrom;
use std::sync::{Mutex, PoisonError};
use std::thread;

use memdump_image::blocks;
use memdump_image::buffer::Buffer;
use memdump_image::{AddressSpace, Extent, Hole, Plan};
use yara_x::Scanner;

use super::read::{Memory, read};
use super::windows::{Job, Jobs, Window};
use super::{MARGIN, MAX_CONTEXT, MAX_MATCHES, OVERLAP, Rules, WINDOW_LEN};
use crate::scan::turns::Line;
use crate::scan::{ScanError, Summary};

/// Where a rule was found.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The address of the match; of the unit, where the rule has none.
    pub addr: u64,
    /// The rule's name.
    pub rule: &'a str,
    /// The pattern's name (`$a`); none where the rule's condition holds without any match.
    pub pattern: Option<&'a str>,
    /// What stands before a match, as much as was asked for or there is in the region.
    pub before: &'a [u8],
    /// Its bytes.
    pub bytes: &'a [u8],
    /// What stands after it.
    pub after: &'a [u8],
}

/// How to search.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Threads, at least 1. Each has a window in memory, and what was found in it.
    pub threads: usize,
    /// Bytes that are shown before and after a match, at most [`MAX_CONTEXT`].
    pub context: usize,
}

/// What a search has seen.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The memory.
    pub summary: Summary,
    /// Patterns, by rule and name, with [`MAX_MATCHES`] matches in a window: there may be more.
    pub abundant: BTreeSet<(String, String)>,
}

/// Lengths in bytes; smaller ones in tests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) window: u64,
    /// Less than half a window.
    pub(super) overlap: u64,
    pub(super) margin: u64,
    pub(super) context: u64,
}

impl Rules {
    /// Searches the memory that `plan` names. `each` gets what was found in the order of addresses, and says whether to go
    /// on; an error of it ends the search. `advance` is told how many bytes of memory are done; an error of it does so too.
    pub fn run(
        &self,
        space: &dyn AddressSpace,
        plan: &Plan,
        options: &Options,
        each: Each<'_>,
        advance: Advance<'_>,
    ) -> (Report, Result<(), ScanError>) {
        let context = options.context.min(MAX_CONTEXT) as u64;
        let sizes = Sizes { window: WINDOW_LEN, overlap: OVERLAP, margin: MARGIN, context };
        self.run_in(space, plan, options.threads, sizes, each, advance)
    }

    pub(super) fn run_in(
        &self,
        space: &dyn AddressSpace,
        plan: &Plan,
        threads: usize,
        sizes: Sizes,
        each: Each<'_>,
        advance: Advance<'_>,
    ) -> (Report, Result<(), ScanError>) {
        let pool = Pool {
            space,
            page_size: plan.page_size,
            sizes,
            rules: self,
            jobs: Mutex::new(Jobs::new(space, plan, sizes).zip(0..)),
            turns: Line::new(Delivery {
                each,
                advance,
                carried: Vec::new(),
                is_stopped: false,
                report: Report::default(),
                result: Ok(()),
            }),
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| pool.work());
            }
            pool.work();
        });
        let delivery = pool.turns.into_inner();
        (delivery.report, if delivery.is_stopped { Ok(()) } else { delivery.result })
    }
}

/// Gets what was found; false for "enough".
pub(super) type Each<'a> = &'a mut (dyn FnMut(&Found<'_>) -> io::Result<bool> + Send);
/// Is told of bytes that are done.
pub(super) type Advance<'a> = &'a (dyn Fn(u64) -> io::Result<()> + Sync);

struct Pool<'a, 'r> {
    space: &'a dyn AddressSpace,
    page_size: u64,
    sizes: Sizes,
    rules: &'r Rules,
    jobs: Mutex<Zip<Jobs<'a>, RangeFrom<u64>>>,
    turns: Line<Delivery<'a, 'r>>,
}

impl<'r> Pool<'_, 'r> {
    /// Until there are no jobs left, or nobody wants them.
    fn work(&self) {
        // Should this thread panic, the others do not wait for it.
        let leaving = Leaving(self);
        let mut buffer = Buffer::new(0);
        let mut scanner = Scanner::new(&self.rules.compiled);
        scanner.max_matches_per_pattern(MAX_MATCHES);
        loop {
            let next = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((job, sequence)) = next else { break };
            let done = job.and_then(|job| self.done(job, &mut scanner, &mut buffer));
            let Some(mut turn) = self.turns.wait(sequence) else { break };
            let delivery = &mut turn.value;
            delivery.result = match done {
                Ok(done) => delivery.take(done, &self.sizes),
                Err(error) => Err(error),
            };
            if delivery.result.is_err() {
                drop(turn);
                break self.turns.close();
            }
            self.turns.pass(turn);
        }
        std::mem::forget(leaving);
    }

    fn done<'b>(
        &self,
        job: Job,
        scanner: &mut Scanner<'r>,
        buffer: &'b mut Buffer,
    ) -> Result<Done<'b, 'r>, ScanError> {
        let window = match job {
            Job::Window(window) => window,
            Job::Zero(extent) => return Ok(Done::Zero(extent)),
            Job::Hole(extent, cause) => return Ok(Done::Hole(Hole { extent, cause })),
        };
        let memory = read(self.space, &window, self.page_size, buffer)?;
        let mut hits = Vec::new();
        let mut abundant = BTreeSet::new();
        for unit in memory.units(window.searched, self.sizes.margin) {
            let bytes = memory.at(unit.start(), unit.end());
            let results = scanner.scan(bytes).map_err(|error| ScanError::Read {
                addr: unit.start(),
                source: io::Error::other(format!("the rules cannot be evaluated: {error}")),
            })?;
            for rule in results.matching_rules() {
                let begun = hits.len();
                for (pattern, index) in rule.patterns().zip(0..) {
                    let matches = pattern.matches();
                    if matches.len() >= MAX_MATCHES {
                        abundant.insert((rule.identifier(), pattern.identifier()));
                    }
                    hits.extend(matches.map(|found| Hit {
                        addr: unit.start() + found.range().start as u64,
                        rule: rule.identifier(),
                        pattern: Some((index, pattern.identifier())),
                        len: found.range().len() as u64,
                    }));
                }
                if hits.len() == begun {
                    let addr = unit.start();
                    hits.push(Hit { addr, rule: rule.identifier(), pattern: None, len: 0 });
                }
            }
        }
        Ok(Done::Window { window, memory, hits, abundant })
    }
}

/// Lets the other threads go when one ends before its time.
struct Leaving<'a, 'b, 'r>(&'a Pool<'b, 'r>);

impl Drop for Leaving<'_, '_, '_> {
    fn drop(&mut self) {
        self.0.turns.close();
    }
}

/// What came of a job.
enum Done<'b, 'r> {
    Window {
        window: Window,
        memory: Memory<'b>,
        hits: Vec<Hit<'r>>,
        abundant: BTreeSet<(&'r str, &'r str)>,
    },
    Zero(Extent),
    Hole(Hole),
}

/// A match; in the order of results, the shorter of two that are otherwise the same first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Hit<'r> {
    addr: u64,
    rule: &'r str,
    /// Patterns of a rule may all have the name `$`.
    pattern: Option<(usize, &'r str)>,
    len: u64,
}

/// Who gets what was found, and what was seen so far.
struct Delivery<'a, 'r> {
    each: Each<'a>,
    advance: Advance<'a>,
    /// Matches in memory that the next window shares: they are handed on with its own.
    carried: Vec<Hit<'r>>,
    is_stopped: bool,
    report: Report,
    result: Result<(), ScanError>,
}

impl<'r> Delivery<'_, 'r> {
    fn take(&mut self, done: Done<'_, 'r>, sizes: &Sizes) -> Result<(), ScanError> {
        let summary = &mut self.report.summary;
        let len = match done {
            Done::Zero(extent) => {
                summary.zero += extent.len();
                extent.len()
            }
            Done::Hole(hole) => {
                summary.holes.add(hole);
                hole.extent.len()
            }
            Done::Window { window, memory, hits, abundant } => {
                for piece in &memory.pieces {
                    let Some(extent) = piece.extent.intersection(window.own) else { continue };
                    match piece.found {
                        blocks::Found::Bytes(_) => summary.bytes += extent.len(),
                        blocks::Found::Zero => summary.zero += extent.len(),
                        blocks::Found::Hole(cause) => summary.holes.add(Hole { extent, cause }),
                    }
                }
                let names = |(rule, pattern): (&str, &str)| (rule.to_owned(), pattern.to_owned());
                self.report.abundant.extend(abundant.into_iter().map(names));
                self.hand_on(&window, &memory, hits, sizes).map_err(ScanError::Deliver)?;
                window.own.len()
            }
        };
        (self.advance)(len).map_err(ScanError::Deliver)
    }

    fn hand_on(
        &mut self,
        window: &Window,
        memory: &Memory<'_>,
        mut hits: Vec<Hit<'r>>,
        sizes: &Sizes,
    ) -> io::Result<()> {
        hits.append(&mut self.carried);
        hits.sort_unstable();
        // What both windows found is one match; where the first one's end cut it short, the longer one is right.
        hits.dedup_by(|longer, kept| {
            let is_same =
                (longer.addr, longer.rule, longer.pattern) == (kept.addr, kept.rule, kept.pattern);
            if is_same {
                kept.len = longer.len;
            }
            is_same
        });
        let shared =
            window.next.map_or(hits.len(), |next| hits.partition_point(|hit| hit.addr < next));
        self.carried = hits.split_off(shared);
        for hit in hits {
            let end = hit.addr + hit.len;
            // What was read a second time may have become a hole in between.
            let around = memory.around(hit.addr);
            // A condition that holds without a match is about the whole unit: nothing stands beside it.
            let around = around.filter(|_| hit.pattern.is_some());
            let (first, last) = around.map_or((end, hit.addr), |a| (a.start(), a.end()));
            let found = Found {
                addr: hit.addr,
                rule: hit.rule,
                pattern: hit.pattern.map(|(_, name)| name),
                before: memory.at(hit.addr.saturating_sub(sizes.context).max(first), hit.addr),
                bytes: memory.at(hit.addr, end.min(last)),
                after: memory.at(end, end.saturating_add(sizes.context).min(last)),
            };
            if !(self.each)(&found)? {
                self.is_stopped = true;
                return Err(io::Error::other("enough was found"));
            }
        }
        Ok(())
    }
}
