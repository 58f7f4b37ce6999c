//! The cache directory: what was fetched or built once. Everything in it can be deleted at any time that no task runs.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// `$MEMDUMP_LAB_CACHE`, or `~/.cache/memdump-lab`. It exists when this returns.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let folder = match env::var_os("MEMDUMP_LAB_CACHE") {
        Some(folder) => PathBuf::from(folder),
        None => env::home_dir()
            .context("there is no home directory: set MEMDUMP_LAB_CACHE")?
            .join(".cache/memdump-lab"),
    };
    fs::create_dir_all(&folder)
        .with_context(|| format!("create the cache {}", folder.display()))?;
    Ok(folder)
}

/// The directory `name` of the cache, made by `make` where it is not there. The name carries the versions, so what is there is never
/// out of date; it is made beside and renamed, so it is whole, and a run that was killed in the middle leaves only what the next
/// run throws away. A second process that wants the same directory waits.
pub(super) fn once(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    once_in(&cache_dir()?, name, make)
}

fn once_in(cache: &Path, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let folder = cache.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    let beside = |suffix: &str| cache.join(format!("{name}.{suffix}"));
    let (lock, partial) = (beside("lock"), beside("partial"));
    fs::create_dir_all(folder.parent().unwrap_or(cache))?;
    // Given back when it is closed, however this process ends.
    let lock = File::create(&lock).with_context(|| format!("create {}", lock.display()))?;
    lock.lock().context("lock the cache")?;
    if folder.is_dir() {
        return Ok(folder);
    }
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("remove {}", partial.display()))?;
    }
    fs::create_dir(&partial).with_context(|| format!("create {}", partial.display()))?;
    make(&partial)?;
    fs::rename(&partial, &folder)
        .with_context(|| format!("rename {} to {}", partial.display(), folder.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn what_failed_in_the_middle_is_made_anew_and_what_is_whole_is_kept() {
        let cache = tempfile::tempdir().expect("a directory");
        let make = |content: &'static str| {
            move |folder: &Path| Ok(fs::write(folder.join("file"), content)?)
        };
        once_in(cache.path(), "a/thing-1", |folder| {
            fs::write(folder.join("rubbish"), "half")?;
            bail!("killed")
        })
        .expect_err("the failure is passed on");
        assert!(!cache.path().join("a/thing-1").exists());

        let folder = once_in(cache.path(), "a/thing-1", make("first")).expect("made");
        assert!(!folder.join("rubbish").exists());
        once_in(cache.path(), "a/thing-1", make("second")).expect("kept");
        assert_eq!(fs::read_to_string(folder.join("file")).expect("a file"), "first");
    }
}
