//! The build identifiers of modules and the addresses of their sections, from `/sys/module`. One small text of each, in place of
//! thousands of files.

use std::fmt::Write;
use std::path::Path;

use memdump_image::elf::notes;

use super::files::{MAX_LEN, names, read};

/// `NT_GNU_BUILD_ID` of elf.h.
const NT_GNU_BUILD_ID: u32 = 3;
/// A note with a build identifier, or the address of a section: a line.
const MAX_NOTE_LEN: usize = 64 << 10;

/// A line `NAME BUILD-ID` for the kernel and each module, the identifier in hexadecimal; `kernel` comes first.
pub(super) fn build_ids(sys: &Path) -> Result<Vec<u8>, String> {
    let mut text = String::new();
    let mut add = |name: &str, path: &Path| {
        if let Some(id) = read(path, MAX_NOTE_LEN).ok().and_then(|content| build_id(&content)) {
            // A String takes everything.
            let _ = writeln!(text, "{name} {id}");
        }
    };
    add("kernel", &sys.join("kernel/notes"));
    for name in names(&sys.join("module")) {
        add(&name, &sys.join("module").join(&name).join("notes/.note.gnu.build-id"));
    }
    match text.is_empty() {
        true => Err("neither the kernel nor a module tells its own".into()),
        false => Ok(text.into_bytes()),
    }
}

fn build_id(content: &[u8]) -> Option<String> {
    let note = notes(content).find(|note| note.name == b"GNU" && note.kind == NT_GNU_BUILD_ID)?;
    Some(note.descriptor.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A line `MODULE SECTION 0xADDRESS` for each section of each module.
pub(super) fn sections(sys: &Path) -> Result<Vec<u8>, String> {
    let mut text = String::new();
    for module in names(&sys.join("module")) {
        let folder = sys.join("module").join(&module).join("sections");
        for section in names(&folder) {
            let Ok(address) = read(&folder.join(&section), MAX_NOTE_LEN) else { continue };
            let address = String::from_utf8_lossy(&address);
            let _ = writeln!(text, "{module} {section} {}", address.trim());
            if text.len() > MAX_LEN {
                return Err(format!("it would have more than {MAX_LEN} bytes"));
            }
        }
    }
    match text.is_empty() {
        true => Err("no module tells where its sections lie".into()),
        false => Ok(text.into_bytes()),
    }
}
