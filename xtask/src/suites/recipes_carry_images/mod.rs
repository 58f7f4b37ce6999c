//! The recipes of `docs/recipes.md`: how an image gets to another machine with the programs that are there already. The text that a
//! reader copies is the text that is run here, with the real programs, and what arrives is compared by SHA-256 with what was in
//! memory. Not about images of real machines: the memory is made up, the laboratory proves the rest.

mod failures;
mod made_up;
mod page;
mod run;

use anyhow::{Context, Result};

use crate::lab::initramfs::Program;
use crate::lab::payload;
use crate::setup;
use crate::test::Say;
use made_up::Memory;

/// The Debian packages that the recipes call.
const PACKAGES: &[&str] = &["age", "netcat-openbsd", "openssl", "stunnel4", "zstd"];

/// A way to another machine. Each text is a script for bash; an empty one is not needed. *Here* is the machine that is dumped,
/// *there* the one that the image goes to. `$HOST` and `$PORT` are the address of the latter.
#[derive(Debug)]
struct Recipe {
    name: &'static str,
    about: &'static str,
    /// There, once.
    prepare: &'static str,
    /// Files to bring here from there, after that.
    brought: &'static [&'static str],
    /// There, before `send` and until the image has arrived.
    listen: &'static str,
    /// Further ports that `listen` listens on: variables, each set by the reader as `$PORT` is.
    ports: &'static [&'static str],
    /// Ports that `send` listens on.
    ports_here: &'static [&'static str],
    /// Here. One of its lines begins with `memdump`.
    send: &'static str,
    /// Files that `send` leaves here, to be carried there.
    carried: &'static [&'static str],
    /// There, at last.
    open: &'static str,
}

/// The file that every recipe ends in, there.
const IMAGE: &str = "memory.lime";

const NOTHING: Recipe = Recipe {
    name: "",
    about: "",
    prepare: "",
    brought: &[],
    listen: "",
    ports: &[],
    ports_here: &[],
    send: "",
    carried: &[],
    open: "",
};

const CERTIFICATE: &str = r#"openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=$HOST" -keyout key.pem -out cert.pem"#;

const RECIPES: &[Recipe] = &[
    Recipe {
        name: "disk",
        about: "One that is not evidence itself: a disk that was plugged in, a share. `-o` would do the same, beside the name until \
                the image is whole.",
        send: "memdump --format lime > memory.lime",
        carried: &["memory.lime"],
        ..NOTHING
    },
    Recipe {
        name: "nc",
        about: "In the clear, for a network that is trusted. `nc` is netcat-openbsd; its `-N` ends the connection when the image ends.",
        listen: r#"nc -l "$HOST" "$PORT" > memory.lime"#,
        send: r#"memdump --format lime | nc -N "$HOST" "$PORT""#,
        ..NOTHING
    },
    Recipe {
        name: "openssl",
        about: "Encrypted, with a program that is on most machines. Each of the client's options is needed: without `-no_ign_eof` it does \
                not end, and without `-nocommands` it takes a `Q` or an `R` at the start of a block for a command: after a `Q` it ends, \
                with success, and the rest of the image is lost. The server ends as soon as its standard input does: run it in a \
                terminal.",
        prepare: CERTIFICATE,
        brought: &["cert.pem"],
        listen: r#"openssl s_server -quiet -naccept 1 -accept "$HOST:$PORT" -cert cert.pem -key key.pem > memory.lime"#,
        send: r#"memdump --format lime |
    openssl s_client -quiet -no_ign_eof -nocommands -connect "$HOST:$PORT" -CAfile cert.pem -verify_return_error"#,
        ..NOTHING
    },
    Recipe {
        name: "stunnel",
        about: "Encrypted, where stunnel is what you run. `$PLAIN` is a port that is free there, `$LOCAL` one that is free here. Do not \
                pipe into stunnel itself: when a pipe is closed it can drop what is left in it, in one of a hundred runs on a busy \
                machine, and say that all is well.",
        prepare: CERTIFICATE,
        brought: &["cert.pem"],
        listen: r#"stunnel -fd 0 << END &
foreground = yes
debug = err
[memory]
accept = $HOST:$PORT
connect = 127.0.0.1:$PLAIN
cert = cert.pem
key = key.pem
END
nc -l 127.0.0.1 "$PLAIN" > memory.lime
kill %1"#,
        ports: &["PLAIN"],
        ports_here: &["LOCAL"],
        send: r#"stunnel -fd 3 3<< END
pid = $PWD/stunnel.pid
debug = err
[memory]
client = yes
accept = 127.0.0.1:$LOCAL
connect = $HOST:$PORT
CAfile = cert.pem
verifyPeer = yes
END
memdump --format lime | nc -N 127.0.0.1 "$LOCAL" && kill "$(cat stunnel.pid)""#,
        ..NOTHING
    },
    Recipe {
        name: "zstd and age",
        about: "Compressed, and encrypted to a key that never is on the machine that is dumped: for an image that lies on a disk, or goes \
                through hands that should not read it. In place of the file, `age` can write into `nc`.",
        prepare: "age-keygen -o key.txt\nage-keygen -y key.txt > recipient.txt",
        brought: &["recipient.txt"],
        send: "memdump --format lime | zstd | age -R recipient.txt > memory.lime.zst.age",
        carried: &["memory.lime.zst.age"],
        open: "age -d -i key.txt memory.lime.zst.age | zstd -d > memory.lime",
        ..NOTHING
    },
];

/// Runs every recipe, and what becomes of an image that cannot be written, with the command among `programs`; says what was proved.
///
/// # Errors
/// If the page does not show these recipes; at the first that fails, or whose image is not what was in memory.
pub(crate) fn check(programs: &[Program], say: Say) -> Result<()> {
    let memdump = &payload::memdump(programs)?;
    page::check()?;
    setup::apt(PACKAGES)?;
    let memory = Memory::make_up()?;
    let mib = memory.image_bytes() >> 20;
    for recipe in RECIPES {
        run::run(recipe, memdump, &memory).with_context(|| format!("recipe {}", recipe.name))?;
        say(format!("recipe {}: {mib} MiB, equal SHA-256 at both ends", recipe.name));
    }
    for case in failures::CASES {
        failures::run(case, memdump, &memory).with_context(|| case.name)?;
        say(format!("{}: failed in one line, as it should", case.name));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_ends_in_the_image_and_starts_with_the_command() {
        for recipe in RECIPES {
            let dumps = recipe.send.lines().any(|line| line.starts_with("memdump "));
            assert!(dumps, "{}", recipe.name);
            let steps = [recipe.listen, recipe.send, recipe.open];
            let ends = steps.map(|step| {
                step.contains(&format!("> {IMAGE}\n")) || step.ends_with(&format!("> {IMAGE}"))
            });
            assert_eq!(ends.iter().filter(|&&end| end).count(), 1, "{}", recipe.name);
        }
    }
}
