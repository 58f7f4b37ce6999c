//! Turns: threads take pieces of work in any order, and each waits for its piece's turn to hand on what came of it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A value that is handed from piece to piece, in their order: 0, 1, 2 and so on.
pub(crate) struct Line<T> {
    state: Mutex<State<T>>,
    moved: Condvar,
}

/// The state that a [`Line`] guards; the holder of the turn may change `value`.
pub(crate) struct State<T> {
    next: u64,
    is_closed: bool,
    pub(crate) value: T,
}

impl<T> Line<T> {
    pub(crate) fn new(value: T) -> Self {
        let state = Mutex::new(State { next: 0, is_closed: false, value });
        Self { state, moved: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of a piece; none if there will be no more turns.
    pub(crate) fn wait(&self, sequence: u64) -> Option<MutexGuard<'_, State<T>>> {
        let mut state = self.lock();
        while !state.is_closed && state.next != sequence {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        (!state.is_closed).then_some(state)
    }

    /// Ends a turn.
    pub(crate) fn pass(&self, mut state: MutexGuard<'_, State<T>>) {
        state.next += 1;
        drop(state);
        self.moved.notify_all();
    }

    /// There will be no more turns.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.moved.notify_all();
    }

    pub(crate) fn into_inner(self) -> T {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).value
    }
}
