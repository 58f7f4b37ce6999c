//! The thread that traces. `ptrace` belongs to the thread that attached; with a thread of its own for
//! each target, who holds a [`Stopped`](super::Stopped) may move it about, and when that thread ends the
//! kernel detaches all that it traced: also threads that never stopped, which nobody could detach by a request.

use std::io;
use std::num::NonZeroU64;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::attach::Session;

/// The time between two looks at a paused target, in case it was killed.
const IDLE: Duration = Duration::from_millis(50);

type Job = Box<dyn FnOnce(&mut Session) + Send>;

/// Hands work to the thread that traces one process.
pub(crate) struct Tracer {
    // Both are there until the tracer is dropped.
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Tracer {
    /// Starts the thread; it traces nothing yet.
    pub(crate) fn start(pid: u32) -> io::Result<Self> {
        let (jobs, received) = mpsc::channel::<Job>();
        let thread = thread::Builder::new().name(format!("ptrace {pid}")).spawn(move || {
            // The pauses of a target are sums of short sleeps.
            let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
            let mut session = Session::new(pid);
            loop {
                match received.recv_timeout(IDLE) {
                    Ok(job) => job(&mut session),
                    Err(RecvTimeoutError::Timeout) => session.let_go_of_dead(),
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            let _ = session.release();
        })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Does `work` in that thread and waits for its answer.
    ///
    /// # Panics
    /// When `work` did.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Session) -> T + Send + 'static,
    ) -> T {
        self.try_run(work).expect("the tracing thread panicked")
    }

    /// The same; none when the thread has panicked.
    pub(crate) fn try_run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Session) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = mpsc::channel();
        let job: Job = Box::new(move |session| {
            // Who asked waits below, so there is a receiver.
            let _ = answer.send(work(session));
        });
        self.jobs.as_ref()?.send(job).ok()?;
        answered.recv().ok()
    }
}

/// Detaches from all.
impl Drop for Tracer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
