//! The options of a copy: sizes, threads and limits.

/// The options of a copy. Defaults suit most machines.
///
/// ```
/// use memdump_image::CopyOptions;
///
/// let options = CopyOptions::default().readers(4).limit(1 << 30);
/// assert_eq!(options.read_size, CopyOptions::DEFAULT_READ_SIZE);
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CopyOptions {
    /// The number of bytes that one read asks for, from 1 to [`MAX_READ_SIZE`](Self::MAX_READ_SIZE).
    pub read_size: usize,
    /// The number of threads that read, and compress where the format does; at least 1.
    pub readers: usize,
    /// The number of bytes of memory after which the copy ends, holes not counted; none for all.
    pub limit: Option<u64>,
    /// True if pages that hold nothing but zeros are left out, as holes.
    pub no_zeros: bool,
}

impl Default for CopyOptions {
    /// Everything is taken, by a thread for each CPU.
    fn default() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let readers = cpus.min(Self::MAX_USEFUL_READERS);
        Self { read_size: Self::DEFAULT_READ_SIZE, readers, limit: None, no_zeros: false }
    }
}

impl CopyOptions {
    /// Sets the number of bytes that one read asks for.
    #[must_use]
    pub fn read_size(mut self, read_size: usize) -> Self {
        self.read_size = read_size;
        self
    }

    /// Sets the number of threads that read.
    #[must_use]
    pub fn readers(mut self, readers: usize) -> Self {
        self.readers = readers;
        self
    }

    /// Ends the copy after this many bytes of memory.
    #[must_use]
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Leaves out pages of zeros, or takes them.
    #[must_use]
    pub fn no_zeros(mut self, no_zeros: bool) -> Self {
        self.no_zeros = no_zeros;
        self
    }

    /// Below this, throughput falls (4 KiB reads cost 40 %); above it, nothing is gained.
    pub const DEFAULT_READ_SIZE: usize = 1 << 20;
    /// The largest read size: two buffers of it must fit into the 32 MiB that all buffers may take.
    pub const MAX_READ_SIZE: usize = 16 << 20;
    /// The most that all buffers together may take, in bytes.
    const MAX_BUFFERS_LEN: usize = 32 << 20;
    /// Readers whose buffers are all to be had, at the default read size.
    pub const MAX_USEFUL_READERS: usize = (Self::MAX_BUFFERS_LEN / Self::DEFAULT_READ_SIZE - 1) / 2;
    /// Small reads are gathered in blocks of at least this many bytes, so that threads do not meet
    /// at every one of them.
    const MIN_BLOCK_LEN: usize = 256 << 10;

    /// Bytes in a block: a multiple of the read size.
    pub(super) fn block_len(&self) -> usize {
        Self::MIN_BLOCK_LEN.next_multiple_of(self.read_size)
    }

    /// Threads to start. No more than there are buffers: when nothing is left to read, each reader
    /// finds that out with a buffer in its hand, and those without would wait for ever.
    pub(super) fn threads(&self) -> usize {
        self.readers.min(self.buffers())
    }

    /// Buffers to read into: for each reader one to fill and one that is being written.
    pub(super) fn buffers(&self) -> usize {
        (2 * self.readers + 1).min(Self::MAX_BUFFERS_LEN / self.block_len()).max(2)
    }
}
