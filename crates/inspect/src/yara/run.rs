//! The threads of a search with rules. Each reads and searches a window, and delivers the results when it is its turn,
//! together with those of the window before in the memory that both share.

use std::collections::BTreeSet;
use std::io;
use std::iter::Zip;
use std::ops::RangeFrom;
use std::sync::{Mutex, PoisonError};
use std::thread;

use memdump_image::blocks::PieceContent;
use memdump_image::buffer::Buffer;
use memdump_image::{Extent, Hole, View};
use yara_x::Scanner;

use super::limits::{MARGIN, MAX_CONTEXT, MAX_MATCHES, OVERLAP, Sizes, WINDOW_LEN};
use super::options::{Event, Options, Report, RuleMatch, Sink};
use super::read::{Memory, read};
use super::rules::Rules;
use super::windows::{Job, Jobs, Window};
use crate::scan::turns::Line;
use crate::scan::{Flow, ScanError};

impl Rules {
    /// Searches the memory of `view`.
    ///
    /// # Errors
    /// When the source fails as a whole, or `sink` does.
    pub fn run(
        &self,
        view: &View<'_>,
        options: &Options,
        sink: Sink<'_>,
    ) -> Result<Report, ScanError> {
        let context = options.context.min(MAX_CONTEXT) as u64;
        let sizes = Sizes { window: WINDOW_LEN, overlap: OVERLAP, margin: MARGIN, context };
        self.run_in(view, options.threads, sizes, sink)
    }

    pub(super) fn run_in(
        &self,
        view: &View<'_>,
        threads: usize,
        sizes: Sizes,
        sink: Sink<'_>,
    ) -> Result<Report, ScanError> {
        let pool = Pool {
            view,
            sizes,
            rules: self,
            jobs: Mutex::new(Jobs::new(view, sizes).zip(0..)),
            turns: Line::new(Delivery {
                sink,
                carried: Vec::new(),
                report: Report::default(),
                flow: Ok(Flow::Continue),
            }),
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| pool.work());
            }
            pool.work();
        });
        let delivery = pool.turns.into_inner();
        delivery.flow.map(|_| delivery.report)
    }
}

struct Pool<'a, 'r> {
    view: &'a View<'a>,
    sizes: Sizes,
    rules: &'r Rules,
    jobs: Mutex<Zip<Jobs<'a>, RangeFrom<u64>>>,
    turns: Line<Delivery<'a, 'r>>,
}

impl<'r> Pool<'_, 'r> {
    /// Works until no jobs are left, or no more results are wanted.
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
            delivery.flow = match done {
                Ok(done) => delivery.take(done, &self.sizes),
                Err(error) => Err(error),
            };
            if !matches!(delivery.flow, Ok(Flow::Continue)) {
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
        let memory = read(self.view, &window, buffer)?;
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

/// The result of a job.
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

/// The receiver of the events, and what was seen so far.
struct Delivery<'a, 'r> {
    sink: Sink<'a>,
    /// Matches in memory that the next window shares: they are handed on with its own.
    carried: Vec<Hit<'r>>,
    report: Report,
    /// The sink's last answer, or what went wrong.
    flow: Result<Flow, ScanError>,
}

impl<'r> Delivery<'_, 'r> {
    fn take(&mut self, done: Done<'_, 'r>, sizes: &Sizes) -> Result<Flow, ScanError> {
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
                    match piece.content {
                        PieceContent::Bytes(_) => summary.bytes += extent.len(),
                        PieceContent::Zero => summary.zero += extent.len(),
                        PieceContent::Hole(cause) => summary.holes.add(Hole { extent, cause }),
                    }
                }
                let names = |(rule, pattern): (&str, &str)| (rule.to_owned(), pattern.to_owned());
                self.report.abundant.extend(abundant.into_iter().map(names));
                let flow = self.hand_on(&window, &memory, hits, sizes);
                if flow.map_err(ScanError::Deliver)?.is_stop() {
                    return Ok(Flow::Stop);
                }
                window.own.len()
            }
        };
        (self.sink)(Event::Progress(len)).map_err(ScanError::Deliver)
    }

    fn hand_on(
        &mut self,
        window: &Window,
        memory: &Memory<'_>,
        mut hits: Vec<Hit<'r>>,
        sizes: &Sizes,
    ) -> io::Result<Flow> {
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
            let found = RuleMatch {
                addr: hit.addr,
                rule: hit.rule,
                pattern: hit.pattern.map(|(_, name)| name),
                before: memory.at(hit.addr.saturating_sub(sizes.context).max(first), hit.addr),
                bytes: memory.at(hit.addr, end.min(last)),
                after: memory.at(end, end.saturating_add(sizes.context).min(last)),
            };
            if (self.sink)(Event::Match(found))?.is_stop() {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Continue)
    }
}
