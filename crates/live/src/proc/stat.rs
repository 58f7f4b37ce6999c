//! `/proc/PID/stat`: one line; its second field, the name, stands in parentheses and may hold any
//! bytes, parentheses too.
//!
//! Fields: `proc_pid_stat(5)`.

use std::time::Duration;

/// The fields that are needed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// At most 15 bytes.
    pub(crate) name: Vec<u8>,
    pub(crate) state: u8,
    pub(crate) ppid: u32,
    pub(crate) pgrp: u32,
    pub(crate) sid: u32,
    /// `PF_` flags of the kernel.
    pub(crate) flags: u64,
    pub(crate) user_time: Duration,
    pub(crate) system_time: Duration,
    pub(crate) nice: i8,
    /// The time of its start, in ticks since boot.
    pub(crate) start_time: u64,
    /// The start of its stack when its program was started; 0 where that may not be known.
    pub(crate) start_stack: u64,
}

/// `PF_KTHREAD` (`include/linux/sched.h`).
const PF_KTHREAD: u64 = 0x0020_0000;

impl Stat {
    /// `ticks` is how many clock ticks there are in a second (`_SC_CLK_TCK`).
    pub(crate) fn parse(text: &[u8], ticks: u64) -> Option<Self> {
        let open = text.iter().position(|&byte| byte == b'(')?;
        let close = text.iter().rposition(|&byte| byte == b')')?;
        let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // Field 3 of the manual is the first after the name.
        let field = |number: usize| fields.get(number - 3).copied();
        let number = |n: usize| field(n)?.parse::<u64>().ok();
        let id = |n: usize| Some(field(n)?.parse::<i64>().ok()? as u32);
        let time = |n: usize| {
            let nanoseconds = u128::from(number(n)?) * 1_000_000_000 / u128::from(ticks.max(1));
            Some(Duration::from_nanos(u64::try_from(nanoseconds).ok()?))
        };
        Some(Self {
            name: text.get(open + 1..close)?.to_vec(),
            state: *field(3)?.as_bytes().first()?,
            ppid: id(4)?,
            pgrp: id(5)?,
            sid: id(6)?,
            flags: number(9)?,
            user_time: time(14)?,
            system_time: time(15)?,
            nice: field(19)?.parse().ok()?,
            start_time: number(22)?,
            start_stack: number(28).unwrap_or(0),
        })
    }

    /// Returns true if it is a thread of the kernel, which has no memory of its own.
    pub(crate) fn is_kernel_thread(&self) -> bool {
        self.flags & PF_KTHREAD != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_may_hold_parentheses() {
        let text = b"42 (a) R (b\xff) S 1 42 -1 0 -1 4194304 0 0 0 0 150 7 0 0 20 -5 3 0 9000 \
            1 2 3 4 5 140720000000000 0 0\n";
        let stat = Stat::parse(text, 100).unwrap();
        assert_eq!(stat.name, b"a) R (b\xff");
        assert_eq!((stat.state, stat.ppid, stat.pgrp, stat.sid), (b'S', 1, 42, u32::MAX));
        assert_eq!(stat.user_time, Duration::from_millis(1500));
        assert_eq!((stat.nice, stat.start_time), (-5, 9000));
        assert_eq!(stat.start_stack, 140_720_000_000_000);
        assert!(!stat.is_kernel_thread());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(noise in prop::collection::vec(any::<u8>(), 0..200), ticks: u64) {
            Stat::parse(&noise, ticks);
            Stat::parse(&[b"1 (x) ", noise.as_slice()].concat(), ticks);
        }
    }
}
