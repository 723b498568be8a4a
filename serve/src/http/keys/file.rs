//! The file of hashed keys: TOML, one table a key, replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{KeyHash, KeysError, Role, Secret};

/// More is no file of keys.
const BYTES_MAX: u64 = 1 << 20;
const KEYS_MAX: usize = 1000;
const NAME_MAX: usize = 64;

const HEAD: &str = "# Hashes of the keys to tidegauge's HTTP port. Written by `tidegauge keys`.\n";

/// The hashes may be read by the process's group; they are no keys.
const FILE_MODE: u32 = 0o640;

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEntry {
    /// Who has it, such as `grafana`.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Its hash.
    pub hash: KeyHash,
    /// When it was made.
    pub created: String,
}

/// What the file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyFile {
    /// In the order in which they were made.
    pub keys: Vec<KeyEntry>,
}

/// A file that [`init`] made, or found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// It was not there.
    New(PathBuf),
    /// It was, and is as it was.
    Kept(PathBuf),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    key: Vec<WrittenKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKey {
    name: String,
    role: String,
    sha256: String,
    created: String,
}

impl KeyFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`KeysError::Io`] and [`KeysError::Content`] with the file's name.
    pub fn read(path: &Path) -> Result<Self, KeysError> {
        let mut text = String::new();
        let file = File::open(path).map_err(io_at(path))?;
        file.take(BYTES_MAX + 1).read_to_string(&mut text).map_err(io_at(path))?;
        let content = |what| KeysError::Content { path: path.display().to_string(), what };
        if text.len() as u64 > BYTES_MAX {
            return Err(content(format!("it has more than {BYTES_MAX} bytes")));
        }
        Self::parse(&text).map_err(content)
    }

    /// Nothing of the text is in the error: a key may have been put there by mistake.
    fn parse(text: &str) -> Result<Self, String> {
        let written: Written = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
            format!(
                "not as `tidegauge keys` writes it at line {}",
                before.matches('\n').count() + 1
            )
        })?;
        if written.key.len() > KEYS_MAX {
            return Err(format!("it has more than {KEYS_MAX} keys"));
        }
        let entry = |(number, key): (usize, WrittenKey)| {
            let at = |what: &str| format!("key {} {what}", number + 1);
            check_name(&key.name).map_err(|_| at("has no proper name"))?;
            Ok(KeyEntry {
                role: Role::parse(&key.role)
                    .ok_or_else(|| at("has no role of view, score, operate"))?,
                hash: KeyHash::parse(&key.sha256)
                    .ok_or_else(|| at("has no sha256 of 64 hexadecimal digits"))?,
                name: key.name,
                created: key.created,
            })
        };
        let keys = written.key.into_iter().enumerate().map(entry).collect::<Result<_, String>>()?;
        Ok(Self { keys })
    }

    fn text(&self) -> String {
        let written = |entry: &KeyEntry| WrittenKey {
            name: entry.name.clone(),
            role: entry.role.as_str().to_owned(),
            sha256: entry.hash.text(),
            created: entry.created.clone(),
        };
        let written = Written { key: self.keys.iter().map(written).collect() };
        let body = toml::to_string(&written).expect("texts can be written as TOML");
        format!("{HEAD}\n{body}")
    }

    /// Replaces the file, so that a reader sees the old one or the new one.
    fn write(&self, path: &Path) -> Result<(), KeysError> {
        let mode = fs::metadata(path).map_or(FILE_MODE, |old| old.permissions().mode() & 0o777);
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let new = path.with_file_name(name);
        // Left behind by one that was killed; whoever writes holds the folder's lock.
        let _ = fs::remove_file(&new);
        write_new(&new, &self.text(), mode)?;
        // Whoever changes it, it stays the server's to read.
        if let Ok(old) = fs::metadata(path) {
            std::os::unix::fs::chown(&new, Some(old.uid()), Some(old.gid()))
                .map_err(io_at(&new))?;
        }
        fs::rename(&new, path).map_err(io_at(path))?;
        sync_folder(path)
    }
}

/// Adds a key, and makes the file when it is not there.
///
/// # Errors
/// When the name is no name, or the file can't be read or written.
pub fn add(
    path: &Path,
    role: Role,
    name: &str,
    secret: &Secret,
    created: &str,
) -> Result<(), KeysError> {
    check_name(name)?;
    change(path, |file| {
        if file.keys.len() >= KEYS_MAX {
            let what = format!("{} has {KEYS_MAX} keys, as many as it may", path.display());
            return Err(KeysError::Wrong(what));
        }
        let (name, created) = (name.to_owned(), created.to_owned());
        file.keys.push(KeyEntry { name, role, hash: secret.hash(), created });
        Ok(())
    })
}

/// Removes the keys that `goes` says, and returns them.
///
/// # Errors
/// When there are none, or the file can't be read or written.
pub fn remove(path: &Path, goes: impl Fn(&KeyEntry) -> bool) -> Result<Vec<KeyEntry>, KeysError> {
    // Not made anew when it is not there.
    KeyFile::read(path)?;
    change(path, |file| {
        let (gone, kept) = std::mem::take(&mut file.keys).into_iter().partition(|key| goes(key));
        file.keys = kept;
        let gone: Vec<KeyEntry> = gone;
        match gone.is_empty() {
            true => Err(KeysError::Wrong(format!("{} has no such key", path.display()))),
            false => Ok(gone),
        }
    })
}

/// Makes `keys.toml`, and one file with a key for each role, in a folder; what is there stays. The key to
/// look may be read by the files' group, for those who scrape; the others only by their owner.
///
/// # Errors
/// When the folder can't be written to.
pub fn init(folder: &Path, created: &str) -> Result<Vec<Made>, KeysError> {
    let keys = folder.join("keys.toml");
    if !keys.exists() && Role::ALL.iter().any(|role| folder.join(role.as_str()).exists()) {
        let what = format!(
            "{} is missing, and the keys beside it are useless without: remove them too, or bring it back",
            keys.display()
        );
        return Err(KeysError::Wrong(what));
    }
    let mut made = Vec::new();
    for role in Role::ALL {
        let path = folder.join(role.as_str());
        if path.exists() {
            made.push(Made::Kept(path));
            continue;
        }
        let secret = Secret::random()?;
        // The hash first: a key without its hash would never work, and never be made again.
        add(&keys, role, role.as_str(), &secret, created)?;
        let mode = if role == Role::View { 0o640 } else { 0o600 };
        write_new(&path, &format!("{}\n", secret.text()), mode)?;
        made.push(Made::New(path));
    }
    sync_folder(&keys)?;
    Ok(made)
}

/// Reads, changes and writes the file, while no other process does.
fn change<T>(
    path: &Path,
    change: impl FnOnce(&mut KeyFile) -> Result<T, KeysError>,
) -> Result<T, KeysError> {
    let folder = folder(path);
    let lock = File::open(folder).map_err(io_at(folder))?;
    lock.lock().map_err(io_at(folder))?;
    let mut file = match KeyFile::read(path) {
        Err(KeysError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            KeyFile::default()
        }
        file => file?,
    };
    let result = change(&mut file)?;
    file.write(path)?;
    Ok(result)
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), KeysError> {
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(mode).open(path).map_err(io_at(path))?;
    // The process's mask may have taken the group's right away.
    let mode = fs::Permissions::from_mode(mode);
    let written = file
        .set_permissions(mode)
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.sync_all());
    written.map_err(io_at(path))
}

fn sync_folder(path: &Path) -> Result<(), KeysError> {
    let folder = folder(path);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_at(folder))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn check_name(name: &str) -> Result<(), KeysError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '@');
    match !name.is_empty() && name.len() <= NAME_MAX && name.chars().all(fits) {
        true => Ok(()),
        false => Err(KeysError::Wrong(format!(
            "the name is {name:?}, allowed are 1 to {NAME_MAX} letters, digits and - . _ @"
        ))),
    }
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> KeysError + '_ {
    move |source| KeysError::Io { path: path.display().to_string(), source }
}
