//! The remedies where a process cannot be read.

/// A way to get what an error denied. Only a program knows how its user asks for that, so errors name the way by this type and
/// not in their text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// [`Pause::Stop`](super::Pause::Stop) instead of a snapshot.
    PauseStop,
    /// Any pause, instead of none.
    AnyPause,
    /// [`Pause::None`](super::Pause::None): the memory can be read without a pause.
    NoPause,
    /// [`Options::allow_seccomp`](super::Options::allow_seccomp) where the filter allows clone and wait4, or
    /// [`Pause::Stop`](super::Pause::Stop).
    AllowSeccomp,
    /// The kernel's own memory: that is what its threads use.
    KernelMemory,
    /// The process of this number, which is the thread's.
    Process(u32),
}
