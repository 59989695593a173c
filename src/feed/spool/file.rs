//! Spool files as the file system shows them: which there are, and the bytes after a mark.
//!
//! Everything here blocks. Only regular files are opened, and no link is followed: who may write to the
//! directory must not make this server read, or wait at, anything else. Only Asterisk writes these files: they
//! are never renamed or changed here. Knows nothing of frames and events.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::intake::SpoolMark;

/// Bytes that are read at one time.
const CHUNK: usize = 64 * 1024;

/// Bytes at the beginning of a file that tell it from another with the same inode: they hold the first token.
const HEAD: usize = 256;

/// What a file is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id {
    /// The file system that it is on.
    pub device: u64,
    /// Its number there, which is used again once it is gone.
    pub inode: u64,
}

/// A file as the directory shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which file it is.
    pub id: Id,
    /// What it is called there.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// When something was last written to it.
    pub modified: Timestamp,
    /// Whether it is a regular file, the only kind that is opened.
    pub regular: bool,
}

/// Bytes of a file after a mark.
#[derive(Debug)]
pub struct Chunk {
    /// Which file it is of: another one may have taken the name.
    pub id: Id,
    /// Where `bytes` begin. Before the mark where the file is not the one that was marked, or was truncated.
    pub offset: u64,
    /// As many as were there, 64 KiB at most.
    pub bytes: Vec<u8>,
    /// Whether the file ends where `bytes` end.
    pub at_end: bool,
    head: Vec<u8>,
}

/// The spool files of a directory, by name, so in the order of their hours.
///
/// # Errors
/// When it cannot be read.
pub fn list(dir: &Path) -> io::Result<Vec<Seen>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        // A name that is no text is none of the dialplan's.
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !name.ends_with(".spool") {
            continue;
        }
        match see(&entry.path(), name) {
            Ok(seen) => files.push(seen),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// How many of them hold something that is not taken in, as `marks` have it.
///
/// # Errors
/// When the directory cannot be read.
pub fn waiting(dir: &Path, marks: &[SpoolMark]) -> io::Result<usize> {
    let taken = |seen: &Seen| {
        let mark = marks.iter().find(|mark| mark.device == seen.id.device && mark.inode == seen.id.inode);
        mark.is_some_and(|mark| mark.offset >= seen.size)
    };
    Ok(list(dir)?.iter().filter(|seen| seen.regular && seen.size > 0 && !taken(seen)).count())
}

fn see(path: &Path, name: String) -> io::Result<Seen> {
    let about = std::fs::symlink_metadata(path)?;
    let modified = about.modified()?.try_into().unwrap_or(Timestamp::MIN);
    Ok(Seen { id: id(&about), name, size: about.len(), modified, regular: about.is_file() })
}

fn id(about: &std::fs::Metadata) -> Id {
    Id { device: about.dev(), inode: about.ino() }
}

/// Reads on where `offset` bytes were taken in of the file with this `fingerprint`; from the beginning where
/// this is another one or was truncated.
///
/// # Errors
/// When it cannot be read, or is no regular file.
pub fn read(path: &Path, offset: u64, fingerprint: &str) -> io::Result<Chunk> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let head = read_at(&file, 0, HEAD)?;
    let same = offset <= about.len() && (offset == 0 || is_head(&head, fingerprint));
    let offset = if same { offset } else { 0 };
    let bytes = read_at(&file, offset, CHUNK)?;
    let at_end = bytes.len() < CHUNK;
    Ok(Chunk { id: id(&about), offset, bytes, at_end, head })
}

fn read_at(file: &File, offset: u64, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; most];
    let mut length = 0;
    while length < most {
        match file.read_at(&mut bytes[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

impl Chunk {
    /// What tells this file from another one, once `offset` bytes of it are taken in: of bytes that may still
    /// be written nothing can be said.
    #[must_use]
    pub fn fingerprint(&self, offset: u64) -> String {
        let length = usize::try_from(offset).unwrap_or(HEAD).min(self.head.len());
        fingerprint(&self.head[..length])
    }
}

fn fingerprint(head: &[u8]) -> String {
    let hash = Sha256::digest(head);
    hash[..16].iter().fold(format!("{}-", head.len()), |text, byte| text + &format!("{byte:02x}"))
}

fn is_head(head: &[u8], known: &str) -> bool {
    let length = known.split_once('-').and_then(|(length, _)| length.parse().ok());
    length.and_then(|length: usize| head.get(..length)).is_some_and(|head| fingerprint(head) == known)
}

/// Deletes the file if it still is the one that was seen, and has not grown.
///
/// # Errors
/// When it may not be deleted, or has changed.
pub fn delete(path: &Path, seen: &Seen) -> io::Result<()> {
    let now = see(path, seen.name.clone())?;
    if now == *seen { std::fs::remove_file(path) } else { Err(io::Error::other("it has changed")) }
}
