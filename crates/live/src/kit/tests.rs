use std::fs;
use std::path::Path;

use super::*;

fn kit(root: &Path) -> Kit {
    let machine = Machine { proc: root.join("proc"), sys: root.join("sys") };
    Kit::new(&machine, &Facts { release: Some("6.1.0-x".into()), ..Facts::default() })
}

fn put(root: &Path, name: &str, content: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn item(kit: &Kit, name: &str) -> KitItem {
    kit.items().find(|item| item.name == name).unwrap_or_else(|| panic!("no {name}"))
}

/// A note by the gABI: sizes of name and descriptor, type, each padded to four bytes.
fn note(kind: u32, descriptor: &[u8]) -> Vec<u8> {
    let words = [4, descriptor.len() as u32, kind].map(u32::to_le_bytes).concat();
    [&words[..], b"GNU\0", descriptor].concat()
}

#[test]
fn nothing_there_is_told_file_by_file() {
    let root = tempfile::tempdir().unwrap();
    let items: Vec<KitItem> = kit(root.path()).items().collect();
    assert!(items.iter().all(|item| item.content.is_err()), "{items:?}");
    let names: Vec<&str> = items.iter().map(|item| &*item.name).collect();
    for name in ["vmcoreinfo", "proc/kallsyms", "proc/config.gz", "sys/kernel/btf/vmlinux"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[test]
fn modules_are_put_into_two_texts() {
    let root = tempfile::tempdir().unwrap();
    // Another note stands before the identifier.
    let notes = [note(0x100, &[1, 0, 0, 0]), note(3, &[0xab, 0xcd, 0, 1])].concat();
    put(root.path(), "sys/kernel/notes", &notes);
    put(root.path(), "sys/module/ext4/notes/.note.gnu.build-id", &note(3, &[0x12, 0x34, 5, 6]));
    put(root.path(), "sys/module/ext4/sections/.text", b"0xffffffffc0123000\n");
    put(root.path(), "sys/module/ext4/sections/.data", b"0xffffffffc0200000\n");
    put(root.path(), "sys/module/crc16/notes/.note.gnu.build-id", &note(3, &[7, 8, 9, 0]));
    put(root.path(), "sys/kernel/btf/ext4", b"types");
    put(root.path(), "sys/kernel/btf/vmlinux", b"more types");
    let kit = kit(root.path());
    assert_eq!(
        item(&kit, "build-ids.txt").content.unwrap(),
        b"kernel abcd0001\ncrc16 07080900\next4 12340506\n"
    );
    assert_eq!(
        item(&kit, "module-sections.txt").content.unwrap(),
        b"ext4 .data 0xffffffffc0200000\next4 .text 0xffffffffc0123000\n"
    );
    assert_eq!(item(&kit, "sys/kernel/btf/ext4").content.unwrap(), b"types");
}

#[test]
fn hidden_addresses_are_told() {
    let root = tempfile::tempdir().unwrap();
    put(
        root.path(),
        "proc/kallsyms",
        b"0000000000000000 T _text\n0000000000000000 t init\t[ext4]\n",
    );
    put(
        root.path(),
        "proc/iomem",
        b"00000000-00000000 : System RAM\n  00000000-00000000 : Kernel\n",
    );
    put(root.path(), "proc/modules", b"ext4 999424 1 - Live 0x0000000000000000 (E)\n");
    let found = kit(root.path());
    for name in ["proc/kallsyms", "proc/iomem", "proc/modules"] {
        assert_eq!(item(&found, name).note, Some(NO_ADDRESSES), "{name}");
    }
    put(root.path(), "proc/kallsyms", b"0000000000000000 A fixed\nffffffff81000000 T _text\n");
    put(root.path(), "proc/iomem", b"00000000-00000fff : Reserved\n");
    put(root.path(), "proc/modules", b"ext4 999424 1 - Live 0xffffffffc0123000\n");
    for name in ["proc/kallsyms", "proc/iomem", "proc/modules"] {
        assert_eq!(item(&found, name).note, None, "{name}");
    }
}

#[test]
fn the_configuration_is_found_where_distributions_put_it() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("proc")).unwrap();
    put(root.path(), "boot/config-6.1.0-x", b"CONFIG_X=y\n");
    assert_eq!(item(&kit(root.path()), "boot/config-6.1.0-x").content.unwrap(), b"CONFIG_X=y\n");
    put(root.path(), "proc/config.gz", b"gz");
    assert_eq!(item(&kit(root.path()), "proc/config.gz").content.unwrap(), b"gz");
}

#[test]
fn what_is_no_file_or_too_long_is_told() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("proc/version")).unwrap();
    let fifo = root.path().join("proc/cmdline");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let long = fs::File::create(root.path().join("proc/cpuinfo")).unwrap();
    long.set_len(MAX_LEN as u64 + 1).unwrap();
    let kit = kit(root.path());
    assert_eq!(item(&kit, "proc/version").content, Err("it is no regular file".into()));
    assert_eq!(item(&kit, "proc/cmdline").content, Err("it is no regular file".into()));
    assert!(item(&kit, "proc/cpuinfo").content.unwrap_err().contains("more than 67108864 bytes"));
}
