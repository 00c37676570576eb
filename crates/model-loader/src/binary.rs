//! What kind of file a library is, before the system's loader is asked, whose words are few.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::Error;

/// Bytes at the beginning that tell.
const HEAD: usize = 4096;

/// Refuses files that are no shared library for this system and processor.
pub fn check(path: &Path) -> Result<(), Error> {
    let head = head(path).map_err(|e| Error::CannotLoad { path: path.to_owned(), reason: e.to_string() })?;
    let found = describe(&head);
    let needed = Description { format: format_here(), machine: machine_here() };
    let fits = match &found {
        Some(found) => {
            found.format == needed.format && (found.machine == needed.machine || found.machine == "several")
        }
        // Scripts of linkers and the like: the loader has the last word on systems that we have no table for.
        None => false,
    };
    if fits {
        return check_length(path, &head);
    }
    let what = match found {
        Some(found) => format!("a {} file for {}", found.format, found.machine),
        None if head.is_empty() => "an empty file".to_owned(),
        None => "no shared library".to_owned(),
    };
    let needed = format!("a {} library for {}", needed.format, needed.machine);
    Err(Error::ForeignBinary { path: path.to_owned(), what, needed })
}

fn head(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// The system maps what an ELF header promises without a look at the file's length, and ends the process when it comes to use what is
/// not there.
fn check_length(path: &Path, head: &[u8]) -> Result<(), Error> {
    let refuse = |reason: String| Err(Error::CannotLoad { path: path.to_owned(), reason });
    let len = match std::fs::metadata(path) {
        Ok(file) => file.len(),
        Err(e) => return refuse(e.to_string()),
    };
    match elf_end(head) {
        None if head.starts_with(b"\x7FELF") => refuse("its header is damaged".to_owned()),
        Some(end) if end > len => refuse(format!("it is cut off: {end} bytes are needed, {len} are there")),
        _ => Ok(()),
    }
}

/// The end of the last segment that is mapped from a 64-bit ELF file, whose program headers follow its header.
fn elf_end(head: &[u8]) -> Option<u64> {
    let word = |at: usize| Some(u64::from_le_bytes(head.get(at..at.checked_add(8)?)?.try_into().ok()?));
    let half =
        |at: usize| Some(usize::from(u16::from_le_bytes(head.get(at..at.checked_add(2)?)?.try_into().ok()?)));
    let (table, size, count) = (usize::try_from(word(32)?).ok()?, half(54)?, half(56)?);
    let end = |at: usize| {
        let header = table.checked_add(at.checked_mul(size)?)?;
        word(header.checked_add(8)?)?.checked_add(word(header.checked_add(32)?)?)
    };
    (0..count).map(end).try_fold(0, |last, end| Some(last.max(end?)))
}

struct Description {
    format: &'static str,
    machine: &'static str,
}

/// Format and machine of an executable file; `None` if it is none.
fn describe(head: &[u8]) -> Option<Description> {
    let u16_at = |at: usize| Some(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?));
    let u32_at = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
    match head.get(..4)? {
        b"\x7FELF" => {
            let machine = match u16_at(18)? {
                62 => "x86-64",
                183 => "AArch64",
                3 => "x86 (32 bits)",
                40 => "ARM (32 bits)",
                243 => "RISC-V",
                _ => "another processor",
            };
            Some(Description { format: "ELF", machine })
        }
        [b'M', b'Z', ..] => {
            let header = u32_at(0x3C)? as usize;
            let machine = match u16_at(header.checked_add(4)?)? {
                0x8664 => "x86-64",
                0xAA64 => "AArch64",
                0x14C => "x86 (32 bits)",
                _ => "another processor",
            };
            (head.get(header..header + 4)? == b"PE\0\0").then_some(Description { format: "Windows", machine })
        }
        [0xCF, 0xFA, 0xED, 0xFE] => {
            let machine = match u32_at(4)? {
                0x0100_0007 => "x86-64",
                0x0100_000C => "AArch64",
                _ => "another processor",
            };
            Some(Description { format: "macOS", machine })
        }
        [0xCA, 0xFE, 0xBA, 0xBE] => Some(Description { format: "macOS", machine: "several" }),
        _ => None,
    }
}

fn format_here() -> &'static str {
    if cfg!(windows) {
        "Windows"
    } else if cfg!(target_vendor = "apple") {
        "macOS"
    } else {
        "ELF"
    }
}

fn machine_here() -> &'static str {
    if cfg!(target_arch = "x86_64") {
        "x86-64"
    } else if cfg!(target_arch = "aarch64") {
        "AArch64"
    } else {
        std::env::consts::ARCH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(head: &[u8]) -> Option<(&'static str, &'static str)> {
        describe(head).map(|found| (found.format, found.machine))
    }

    fn elf(machine: u16) -> Vec<u8> {
        let mut head = b"\x7FELF\x02\x01\x01".to_vec();
        head.resize(18, 0);
        head.extend(machine.to_le_bytes());
        head
    }

    #[test]
    fn kinds_of_files_are_told_by_their_first_bytes() {
        assert_eq!(kind(&elf(62)), Some(("ELF", "x86-64")));
        assert_eq!(kind(&elf(183)), Some(("ELF", "AArch64")));
        let mut pe = vec![0; 0x80];
        pe[..2].copy_from_slice(b"MZ");
        pe[0x3C] = 0x80;
        pe.extend(b"PE\0\0\x64\x86");
        assert_eq!(kind(&pe), Some(("Windows", "x86-64")));
        assert_eq!(kind(b"\xCF\xFA\xED\xFE\x0C\x00\x00\x01"), Some(("macOS", "AArch64")));
        assert_eq!(kind(b"\xCA\xFE\xBA\xBE\0\0\0\x02"), Some(("macOS", "several")));
    }

    #[test]
    fn the_end_of_an_elf_file_is_that_of_its_last_segment() {
        let mut head = elf(62);
        head.resize(64 + 2 * 56, 0);
        head[32] = 64;
        head[54] = 56;
        head[56] = 2;
        for (at, offset, bytes) in [(64, 0, 100), (120, 4096, 500)] {
            head[at + 8..at + 16].copy_from_slice(&u64::to_le_bytes(offset));
            head[at + 32..at + 40].copy_from_slice(&u64::to_le_bytes(bytes));
        }
        assert_eq!(elf_end(&head), Some(4596));
        assert_eq!(elf_end(&head[..100]), None);
        head[120 + 8..120 + 16].copy_from_slice(&[0xFF; 8]);
        assert_eq!(elf_end(&head), None);
    }

    #[test]
    fn short_and_strange_files_are_no_libraries() {
        let mut far = b"MZ".to_vec();
        far.resize(0x40, 0xFF);
        for head in [&b""[..], b"GGUF", b"\x7FELF", b"MZ", b"/* GNU ld script */", &far] {
            assert_eq!(kind(head), None, "{head:?}");
        }
    }
}
