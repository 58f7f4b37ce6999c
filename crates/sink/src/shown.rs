//! Names of destinations as they are shown: without secrets.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

/// A name for people. Of anything with `://` it leaves out the user, the password, the query and the fragment.
pub(crate) struct Shown<'a>(pub(crate) &'a OsStr);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string_lossy();
        let Some((scheme, rest)) = text.split_once("://") else {
            return Path::new(self.0).display().fmt(f);
        };
        // The query goes first: it may hold anything, also what looks like a user or a host.
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = authority.rsplit('@').next().unwrap_or_default();
        write!(f, "{scheme}://{host}{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        for (name, shown) in [
            ("/a/b?c@d", "/a/b?c@d"),
            ("s3://bucket/key", "s3://bucket/key"),
            ("https://user:s3cret@host:8443/a/b?sig=s3cret#s3cret", "https://host:8443/a/b"),
            ("https://s3cret@host", "https://host"),
            ("https://a:s3cret@b@host/x", "https://host/x"),
            ("https://host?token=s3cret/@x", "https://host"),
            ("x://", "x://"),
        ] {
            assert_eq!(Shown(name.as_ref()).to_string(), shown);
        }
    }
}
