//! Advice on errors: the command-line option that helps, which the libraries cannot know.

use memdump_acquire::{Error, ErrorKind};
use memdump_live::process::{FindError, ProcessError, Remedy};
use memdump_live::{NoSource, Reason};
use memdump_sink::{SinkError, SinkErrorKind};

/// The option that helps when opening, copying or recording failed. It is printed after the error's own text.
pub(crate) fn for_acquire(error: &Error) -> Option<&'static str> {
    Some(match error.kind() {
        ErrorKind::UnknownFormat => {
            "; say what it is: --map FILE for a raw one, --input-format padded where position is address"
        }
        ErrorKind::DamagedImage => "; --salvage takes what is whole of it",
        ErrorKind::MapMissing => ": give its map (--map FILE)",
        ErrorKind::UsesUnknown => "; leave out --exclude",
        ErrorKind::StaleManifest => ", or leave out --no-manifest",
        _ => return None,
    })
}

/// The option that helps when a destination cannot be written to.
pub(crate) fn for_sink(error: &SinkError) -> Option<&'static str> {
    Some(match error.kind() {
        SinkErrorKind::Exists => "; choose another name, or replace it with --overwrite",
        SinkErrorKind::PartialExists => ": remove it, or use --overwrite",
        _ => return None,
    })
}

/// The option or command that helps where a process cannot be read.
pub(crate) fn for_process(error: &ProcessError) -> Option<String> {
    Some(match error.remedy()? {
        Remedy::PauseStop => "; use --pause stop".into(),
        Remedy::AnyPause => "; use --pause stop or --pause snapshot".into(),
        Remedy::NoPause => " (--pause none)".into(),
        Remedy::AllowSeccomp => {
            "; use --pause stop, or --allow-seccomp if the filter allows clone and wait4".into()
        }
        Remedy::KernelMemory => "; the kernel's memory is what `memdump -k` takes".into(),
        Remedy::Process(pid) => format!(" (memdump process {pid})"),
        _ => return None,
    })
}

/// The remedy where a source of a machine's memory cannot be used, with the options for it.
pub(crate) fn for_source(reason: &Reason) -> String {
    let option = match reason {
        Reason::Masked => ": --source /host/proc/kcore",
        Reason::NoPageFlags(_) => " (no --exclude)",
        Reason::PhysicalOnly | Reason::NoKernelMap(_) => ": leave out -k",
        _ => "",
    };
    format!("{}{option}", reason.remedy())
}

/// An error of which no source can be used: as its own text, with the options that help in each line.
fn for_sources(error: &NoSource) -> String {
    let mut text = error.to_string();
    for refusal in &error.refused {
        let line = refusal.to_string();
        let advised = format!(
            "{}: {}; {}",
            refusal.path.display(),
            refusal.reason,
            for_source(&refusal.reason)
        );
        text = text.replacen(&line, &advised, 1);
    }
    text
}

/// The text of an error with the options and commands that help. `message` is all that it and its causes say.
pub(crate) fn advise(mut message: String, chain: anyhow::Chain<'_>) -> String {
    for cause in chain {
        let process = cause.downcast_ref::<ProcessError>().or_else(|| match cause.downcast_ref() {
            Some(FindError::Process(error)) => Some(error),
            _ => None,
        });
        if let Some(no_source) = cause.downcast_ref::<NoSource>() {
            message = message.replacen(&no_source.to_string(), &for_sources(no_source), 1);
        }
        let advice = process.and_then(for_process);
        let advice = advice.or_else(|| Some(for_acquire(cause.downcast_ref()?)?.to_owned()));
        let advice = advice.or_else(|| Some(for_sink(cause.downcast_ref()?)?.to_owned()));
        message.push_str(&advice.unwrap_or_default());
    }
    message
}

/// The error, followed by the advice.
pub(crate) fn advised(error: &Error, advice: &str) -> anyhow::Error {
    let known = for_acquire(error).unwrap_or_default();
    anyhow::anyhow!("{error}{known}{advice}")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use memdump_live::Refusal;
    use memdump_live::process::SnapshotError;

    use super::*;

    fn text(error: impl Into<anyhow::Error>) -> String {
        let error = error.into();
        advise(error.to_string(), error.chain())
    }

    #[test]
    fn a_process_with_what_helps() {
        let seccomp = ProcessError::Snapshot(SnapshotError::Seccomp { pid: 7, mode: 2 });
        assert!(text(seccomp).ends_with(
            "a snapshot injects; use --pause stop, or --allow-seccomp if the filter allows clone and wait4"
        ));
        let thread = FindError::Process(ProcessError::Thread { tid: 8, pid: 7 });
        assert!(text(thread).ends_with("name the process (memdump process 7)"));
        let kernel = Error::from(ProcessError::KernelThread(2));
        assert!(text(kernel).ends_with("; the kernel's memory is what `memdump -k` takes"));
        assert!(text(ProcessError::Gone(7)).ends_with("for those there are"));
    }

    #[test]
    fn each_source_with_what_helps() {
        let refused = vec![
            Refusal { path: PathBuf::from("/proc/kcore"), reason: Reason::Masked },
            Refusal { path: PathBuf::from("/dev/mem"), reason: Reason::PhysicalOnly },
        ];
        let lines = text(NoSource::new(refused));
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(lines[0], "no source of memory can be used:");
        assert!(lines[1].ends_with("as the source: --source /host/proc/kcore"), "{}", lines[1]);
        assert!(lines[2].ends_with("or take physical memory: leave out -k"), "{}", lines[2]);
        assert_eq!(lines.len(), 3);
    }
}
