//! Images that cannot be written: the exit status is 1, one line says why, and nothing is left that could pass for a
//! whole image.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::made_up::Memory;
use super::run::{Place, free_port};
use crate::command;

const LIMIT: Duration = Duration::from_secs(60);

/// A way to fail.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// There, before `script`; empty where there is no other machine.
    listen: &'static str,
    /// Here. It writes memdump's standard error to `said`, its status to `status`, and to `left` the names of what is in `disk`.
    script: &'static str,
    /// Words that the line has to contain.
    says: &'static [&'static str],
    /// The files that are left in `disk`, the directory where the image was to go.
    left: &'static [&'static str],
}

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a receiver that goes away",
        // Without the empty input, nc would stay, and read no more.
        listen: r#"nc -l "$HOST" "$PORT" < /dev/null | head -c 1M > part"#,
        script: r#"memdump -q --format lime 2> said | nc -N "$HOST" "$PORT"; echo "${PIPESTATUS[0]}" > status
ls -A disk > left"#,
        says: &["standard output went away", "not complete"],
        left: &[],
    },
    Case {
        name: "a device that is full",
        listen: "",
        script: "memdump -q > /dev/full 2> said; echo $? > status\nls -A disk > left",
        says: &["standard output", "No space left", "not complete"],
        left: &[],
    },
    // In mount namespaces of their own: root is not needed, and the small disk is gone when the script ends.
    Case {
        name: "a disk that is too small",
        listen: "",
        script: r#"unshare --mount --map-root-user bash << END
mount -t tmpfs -o size=8m tmpfs disk
memdump -q --format lime -o disk/memory.lime 2> said; echo \$? > status
ls -A disk > left
END"#,
        says: &["disk/memory.lime", "96.6 MiB", "8.0 MiB"],
        left: &[],
    },
    Case {
        name: "a disk that is too small, by the shell's redirection",
        listen: "",
        script: r#"unshare --mount --map-root-user bash << END
mount -t tmpfs -o size=8m tmpfs disk
memdump -q --format lime > disk/memory.lime 2> said; echo \$? > status
ls -A disk > left
END"#,
        says: &["standard output", "96.6 MiB", "8.0 MiB"],
        // The shell's own, before the command ran.
        left: &["memory.lime"],
    },
    Case {
        name: "a disk that fills up during the dump",
        listen: "",
        script: r#"unshare --mount --map-root-user bash << 'END'
mount -t tmpfs -o size=100m tmpfs disk
# So slow that it can be stopped in the middle.
memdump -q -b 16 --readers 1 --format lime -o disk/memory.lime 2> said &
until [ -s disk/memory.lime.partial ] || ! kill -0 $!; do :; done
kill -STOP $!
cat /dev/zero > disk/other 2> /dev/null
kill -CONT $!
wait $!; echo $? > status
ls -A disk > left
END"#,
        says: &["disk/memory.lime", "No space left", "memory.lime.partial"],
        left: &["memory.lime.partial", "other"],
    },
];

/// Runs the case with the command at `memdump`.
pub(super) fn run(case: &Case, memdump: &Path, memory: &Memory) -> Result<()> {
    let ports = [("PORT", free_port()?)];
    let place = Place::new("here", memdump, memory, &ports)?;
    let listening = match case.listen {
        "" => None,
        script => Some(place.listen(script, &ports)?),
    };
    fs::create_dir(place.folder.path().join("disk"))?;
    let done = command::finish(&mut place.bash(case.script), LIMIT)?;
    drop(listening);
    let read = |name: &str| {
        fs::read_to_string(place.folder.path().join(name))
            .with_context(|| format!("read {name}; the script said:\n{}", done.stderr))
    };
    let (status, said, left) = (read("status")?, read("said")?, read("left")?);
    ensure!(status.trim() == "1", "memdump ended with status {status}and said:\n{said}");
    ensure!(said.lines().count() == 1, "memdump said more than a line:\n{said}");
    for word in case.says {
        ensure!(said.contains(word), "memdump does not say `{word}`, but:\n{said}");
    }
    ensure!(left.lines().eq(case.left.iter().copied()), "these files are left:\n{left}");
    Ok(())
}
