//! From the paths that a user names to the files that are read.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::FileKind;
use crate::error::IngestError;

/// Folders inside of folders: more is a link that leads back.
const DEPTH_MAX: usize = 32;
/// Files of one input: each costs a few hundred bytes while the input is read.
const FILES_MAX: usize = 1_000_000;

/// What the paths lead to.
pub(super) struct Found {
    pub(super) files: Vec<(PathBuf, FileKind)>,
    /// Files in folders that have another extension or a hidden name.
    pub(super) ignored: usize,
}

/// All files that `paths` name, those of a folder sorted by path.
pub(super) fn walk<P: AsRef<Path>>(paths: &[P]) -> Result<Found, IngestError> {
    let mut found = Found { files: Vec::new(), ignored: 0 };
    for path in paths {
        let path = path.as_ref();
        let name = path.to_string_lossy();
        if fs::metadata(path).map_err(IngestError::unreadable(&name))?.is_dir() {
            folder(path, 0, &mut found)?;
        } else {
            let kind = kind(path).ok_or_else(|| {
                let what = "has an unknown extension, it must be .csv, .jsonl, .ndjson or .json";
                IngestError::unsuitable(&name, what)
            })?;
            found.add(path.to_owned(), kind)?;
        }
    }
    if found.files.is_empty() {
        let names: Vec<_> = paths.iter().map(|p| p.as_ref().to_string_lossy()).collect();
        let what = "has no .csv, .jsonl, .ndjson or .json file";
        return Err(IngestError::unsuitable(&names.join(", "), what));
    }
    refuse_doubles(&found.files)?;
    Ok(found)
}

/// One byte of a file; `None` behind its end.
pub(super) fn byte_at(path: &Path, at: u64) -> io::Result<Option<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(at))?;
    let mut byte = Vec::new();
    file.take(1).read_to_end(&mut byte)?;
    Ok(byte.first().copied())
}

impl Found {
    fn add(&mut self, path: PathBuf, kind: FileKind) -> Result<(), IngestError> {
        if self.files.len() == FILES_MAX {
            let what = format!("is one file more than {FILES_MAX}, read fewer at once");
            return Err(IngestError::unsuitable(&path.to_string_lossy(), what));
        }
        self.files.push((path, kind));
        Ok(())
    }
}

fn folder(path: &Path, depth: usize, found: &mut Found) -> Result<(), IngestError> {
    let name = path.to_string_lossy();
    if depth == DEPTH_MAX {
        let what =
            format!("is more than {DEPTH_MAX} folders deep, look for a link that leads back");
        return Err(IngestError::unsuitable(&name, what));
    }
    let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(IngestError::unreadable(&name))?;
    let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    for path in paths {
        let hidden = path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        let metadata = fs::metadata(&path);
        let metadata = metadata.map_err(IngestError::unreadable(&path.to_string_lossy()))?;
        match kind(&path) {
            _ if metadata.is_dir() && !hidden => folder(&path, depth + 1, found)?,
            Some(kind) if metadata.is_file() && !hidden => found.add(path, kind)?,
            _ => found.ignored += 1,
        }
    }
    Ok(())
}

fn kind(path: &Path) -> Option<FileKind> {
    match path.extension()?.to_ascii_lowercase().to_str()? {
        "csv" => Some(FileKind::Csv),
        "jsonl" | "ndjson" | "json" => Some(FileKind::JsonLines),
        _ => None,
    }
}

/// A file that is named twice, or named beside its folder, would count its readings twice.
fn refuse_doubles(files: &[(PathBuf, FileKind)]) -> Result<(), IngestError> {
    let mut seen = HashSet::with_capacity(files.len());
    for (path, _) in files {
        let name = path.to_string_lossy();
        if !seen.insert(path.canonicalize().map_err(IngestError::unreadable(&name))?) {
            let what = "is named twice, its readings would count twice";
            return Err(IngestError::unsuitable(&name, what));
        }
    }
    Ok(())
}
