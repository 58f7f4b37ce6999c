//! The options of a scan.

/// The options of a scan: threads and sizes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The number of threads that read and search, at least 1.
    pub threads: usize,
    /// The length of a block, in bytes, at least 1.
    pub block_len: usize,
}

impl Options {
    /// The default length of a block: it fits into a CPU's own cache, and is large beside the cost of a read.
    pub const DEFAULT_BLOCK_LEN: usize = 1 << 20;
    /// More would mostly wait for memory.
    const MAX_DEFAULT_THREADS: usize = 16;

    /// Sets the number of threads.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Sets the length of a block, in bytes.
    #[must_use]
    pub fn block_len(mut self, block_len: usize) -> Self {
        self.block_len = block_len;
        self
    }
}

impl Default for Options {
    /// A thread for each CPU, at most 16.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.min(Self::MAX_DEFAULT_THREADS);
        Self { threads, block_len: Self::DEFAULT_BLOCK_LEN }
    }
}
