//! The programs that the tests of the workspace's crates call, and the Debian packages that contain them. `cargo xtask test` installs
//! the missing ones before it runs those tests (`xtask/src/setup`). Otherwise a test fails and names the package.

#![allow(dead_code, unreachable_pub, reason = "each test, and xtask, takes what it needs of it")]

use std::io;

/// A program, and the package that contains it.
pub const PROGRAMS: &[(&str, &str)] = &[
    ("c++", "g++"),
    ("cc", "gcc libc6-dev"),
    ("fincore", "util-linux-extra"),
    ("grep", "grep"),
    ("gzip", "gzip"),
    ("hexdump", "bsdextrautils"),
    ("lz4", "lz4"),
    ("python3", "python3"),
    ("rg", "ripgrep"),
    ("script", "bsdutils"),
    ("setpriv", "util-linux"),
    ("sha256sum", "coreutils"),
    ("strings", "binutils"),
    ("tar", "tar"),
    ("yara", "yara"),
    ("zstd", "zstd"),
];

/// The value of a program that was started.
///
/// # Panics
/// If it could not be started, with a line that says what to install.
#[track_caller]
pub fn started<T>(program: &str, result: io::Result<T>) -> T {
    result.unwrap_or_else(|error| {
        let package = PROGRAMS.iter().find(|(name, _)| *name == program).map_or("?", |row| row.1);
        panic!("this test needs {program} ({error}): sudo apt-get install {package}")
    })
}
