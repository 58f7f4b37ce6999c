//! The conditions for colours and for progress, on a terminal that script(1) provides.

#[path = "support/looking.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use support::{memdump, random, said};

/// The start of an escape sequence that sets a colour or a face; a reset alone is none.
const ESCAPE: &str = "\x1b[";

/// A command's output on a terminal, with these variables in its environment.
fn on_a_terminal(arguments: &str, variables: &[(&str, &str)]) -> String {
    let command = format!("{} {arguments}", env!("CARGO_BIN_EXE_memdump"));
    let mut script = Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).stdin(Stdio::null());
    script.env("TERM", "xterm").env("PAGER", "cat");
    script.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    script.envs(variables.iter().copied());
    let output = script.output().expect("script, of the Debian package bsdutils");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Its output into a pipe.
fn in_a_pipe(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let mut command = memdump();
    command.args(arguments).envs(variables.iter().copied());
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

/// The arguments of each command, for two images that differ.
fn commands(folder: &Path) -> Vec<Vec<String>> {
    let file = |name: &str, text: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, [&[0; 100], text, &[1, 2, 3, 0xff]].concat()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (a, b) = (file("a", b"some text in A"), file("b", b"some text in B"));
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    vec![
        words(&["hexdump", "--raw", &a]),
        words(&["strings", "--raw", "-t", "x", "-r", &a]),
        words(&["strings", "--raw", "--templates", &a]),
        words(&["search", "--raw", &a, "text"]),
        words(&["diff", "--bytes", &a, &b, "--raw"]),
    ]
}

#[test]
fn colours_are_for_terminals_unless_said_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    for command in commands(folder.path()) {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let shown = |arguments: &str, variables: &[(&str, &str)]| {
            let text = on_a_terminal(&format!("{} {arguments}", words.join(" ")), variables);
            assert!(text.contains("text") || text.contains("changed"), "{words:?}: {text}");
            text.contains(ESCAPE)
        };
        assert!(shown("", &[]), "{words:?}");
        assert!(!shown("--color never", &[]), "{words:?}");
        assert!(!shown("", &[("NO_COLOR", "1")]), "{words:?}");
        assert!(shown("", &[("NO_COLOR", "")]), "{words:?}: it counts where it is not empty");
        assert!(shown("--color always", &[("NO_COLOR", "1")]), "{words:?}: what was said counts");
        assert!(!shown("", &[("TERM", "dumb")]), "{words:?}");

        let piped = |more: &[&str], variables: &[(&str, &str)]| {
            in_a_pipe(&[&words[..], more].concat(), variables)
        };
        let plain = piped(&[], &[]);
        assert!(!plain.contains(ESCAPE), "{words:?}: {plain}");
        assert_eq!(piped(&["--color", "never"], &[]), plain);
        let coloured = piped(&["--color", "always"], &[("NO_COLOR", "1"), ("TERM", "dumb")]);
        assert!(coloured.contains(ESCAPE), "{words:?}: {coloured}");
    }
}

/// The text without escape sequences.
fn stripped(text: &str) -> String {
    let mut parts = text.split(ESCAPE);
    let first = parts.next().unwrap_or_default();
    let rest = parts.map(|part| part.split_once('m').expect("it ends").1);
    std::iter::once(first).chain(rest).collect()
}

#[test]
fn colours_change_nothing_else_of_a_hexdump() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("random");
    let mut bytes = random();
    bytes.truncate((1 << 20) + 5);
    bytes.extend([0; 100]);
    bytes.extend(b"and some text, long enough for a line of it");
    fs::write(&path, bytes).unwrap();
    let path = path.to_str().unwrap();
    for layout in [
        &[] as &[&str],
        &["--width", "24", "--group", "5"],
        &["--width", "3", "--group", "0"],
        &["--width", "5", "--group", "1"],
        &["--width", "4096"],
    ] {
        let of = |color| {
            in_a_pipe(&[&["hexdump", "--raw", path, "--color", color], layout].concat(), &[])
        };
        let coloured = of("always");
        assert!(stripped(&coloured) == of("never"), "{layout:?}");
        // Each line ends without a colour, so none begins with the colour of the line before.
        assert!(coloured.lines().all(|line| line.ends_with('|') || !line.contains(ESCAPE)));
        // A colour is set only where it changes, not for each byte.
        assert!(!coloured.contains("\x1b[0m\x1b[0m"));
    }
    let zeros = in_a_pipe(&["hexdump", "--raw", "--color", "always", "/dev/null"], &[]);
    assert!(!zeros.contains(ESCAPE));
}

#[test]
fn progress_is_for_a_terminal_that_shows_nothing_else() {
    // The line has the bytes done, the total, the speed and the time left.
    let moves = |shown: &str| shown.contains("B/s, ");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("random");
    fs::write(&path, random().repeat(8)).unwrap();
    let (path, out) = (path.display(), folder.path().join("out"));
    let out = out.display();
    for command in [
        format!("strings --raw {path}"),
        format!("strings --raw --templates {path}"),
        format!("search --raw {path} text"),
        format!("hexdump --raw {path}"),
        format!("diff --bytes {path} /bin/sh --raw"),
    ] {
        // Only standard error is the terminal.
        let shown = on_a_terminal(&format!("{command} > {out}"), &[]);
        assert!(moves(&shown), "{command}: {shown:?}");
        assert!(shown.ends_with("\x1b[2K") || !shown.contains('\n'), "{command}: {shown:?}");
        let quiet = on_a_terminal(&format!("{command} --quiet > {out}"), &[]);
        assert_eq!(quiet, "", "{command}");
        // No progress if the results go to the same terminal.
        let mixed = on_a_terminal(&format!("{command} | wc -c > {out}"), &[]);
        assert!(moves(&mixed), "{command}: {mixed:?}");
        let both = on_a_terminal(&command, &[("PAGER", "cat")]);
        assert!(!moves(&both), "{command}");
        // No progress into a pipe.
        let words: Vec<&str> = command.split(' ').collect();
        let output = memdump().args(words).output().unwrap();
        assert_eq!(said(&output), "", "{command}");
    }
}
