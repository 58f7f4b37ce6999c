//! How to copy: sizes, threads and limits.

/// How to copy.
#[derive(Clone, Copy, Debug)]
pub struct CopyOptions {
    /// Bytes asked for by one read, at least 1.
    pub read_size: usize,
    /// Threads that read, and compress what they read where the format does, at least 1.
    pub readers: usize,
    /// Stop after this many bytes of memory, not counting holes.
    pub limit: Option<u64>,
    /// Leave out pages that hold nothing but zeros: they become holes.
    pub no_zeros: bool,
}

impl CopyOptions {
    /// Below this, throughput falls (4 KiB reads cost 40 %); above it, nothing is gained.
    pub const DEFAULT_READ_SIZE: usize = 1 << 20;
    /// The largest read size: two buffers of it must fit into the 32 MiB that all buffers may take.
    pub const MAX_READ_SIZE: usize = 16 << 20;
    /// What all buffers together may take, in bytes.
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
