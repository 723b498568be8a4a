//! For tests: a disk in memory that loses power, fills up, or fails to sync.
//!
//! It keeps what POSIX promises and no more: content is durable after the file's sync, a name after
//! the sync of its folder, whatever order the calls came in. What was not synced may still survive
//! a loss of power, or not: any part of it, as a seed decides. Only a rename is one piece.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::disk::{Disk, Found, OpenFile};
use super::{LocalStore, StoreError};

/// What happens at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// The call is not made, nor any after it until [`PowerlessDisk::restart`].
    Death,
    /// This error code, once.
    Once(i32),
    /// This error code, from now on, of every call that would write.
    Always(i32),
}

/// What a loss of power leaves of that which was not synced.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Survives {
    Nothing,
    Everything,
    Some { seed: u64 },
}

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct PowerlessDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    files: Vec<Content>,
    folders: Vec<Folder>,
    /// Changes of names that no sync has made durable, oldest first.
    pending: Vec<Change>,
    pieces: u64,
    calls: u64,
    mishap: Option<(u64, Mishap)>,
    always: Option<i32>,
    dead: bool,
    /// Each folder is on a file system of its own.
    apart: bool,
}

#[derive(Debug, Clone, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
struct Folder {
    now: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    File(usize),
    Folder(usize),
}

#[derive(Debug, Clone)]
struct Change {
    folder: usize,
    name: String,
    node: Option<Node>,
    /// Changes of one piece survive together.
    piece: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            folders: vec![Folder::default()],
            pending: Vec::new(),
            pieces: 0,
            calls: 0,
            mishap: None,
            always: None,
            dead: false,
            apart: false,
        }
    }
}

impl PowerlessDisk {
    /// A store on this disk, in a folder that it makes.
    pub fn store(&self) -> Result<Arc<LocalStore>, StoreError> {
        LocalStore::create_on(Box::new(self.clone()), "/disk/lake".into()).map(Arc::new)
    }

    /// At the n-th call from now on that changes something or syncs, counting from 1.
    pub fn fail_at(&self, n: u64, mishap: Mishap) {
        let mut state = self.state();
        (state.calls, state.mishap) = (0, Some((n, mishap)));
    }

    /// From now on each folder is on a file system of its own.
    pub fn set_apart(&self) {
        self.state().apart = true;
    }

    /// Whether the mishap has not come yet.
    pub fn is_armed(&self) -> bool {
        self.state().mishap.is_some()
    }

    /// No mishap comes any more, and the disk answers. The process that used it is gone; what it had
    /// not synced is still in the machine's memory.
    pub fn restart(&self) {
        let mut state = self.state();
        (state.dead, state.mishap, state.always) = (false, None, None);
    }

    /// Power is lost and comes back.
    pub fn lose_power(&self, survives: Survives) {
        self.restart();
        let state = &mut *self.state();
        let mut random = match survives {
            Survives::Some { seed } => Some(StdRng::seed_from_u64(seed)),
            Survives::Nothing | Survives::Everything => None,
        };
        let everything = matches!(survives, Survives::Everything);
        let mut lasts = || random.as_mut().map_or(everything, |random| random.random());
        let mut pieces = BTreeMap::new();
        for change in std::mem::take(&mut state.pending) {
            if *pieces.entry(change.piece).or_insert_with(&mut lasts) {
                set(&mut state.folders[change.folder].durable, &change.name, change.node);
            }
        }
        for folder in &mut state.folders {
            folder.now.clone_from(&folder.durable);
        }
        for file in state.files.iter_mut().filter(|file| file.now != file.durable) {
            // Any length of what was written may have reached the disk; what has not is missing or zero.
            let whole = file.now.len();
            let reached = match &mut random {
                Some(random) => random.random_range(0..=whole),
                None if everything => whole,
                None => 0,
            };
            file.now.truncate(reached);
            if random.as_mut().is_some_and(|random| random.random()) {
                file.now.resize(whole, 0);
            }
            file.durable.clone_from(&file.now);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk, before a call that changes something or syncs.
    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.look()?;
        state.calls += 1;
        match state.mishap {
            Some((n, mishap)) if n == state.calls => {
                state.mishap = None;
                match mishap {
                    Mishap::Death => {
                        state.dead = true;
                        return Err(died());
                    }
                    Mishap::Once(code) => return Err(io::Error::from_raw_os_error(code)),
                    Mishap::Always(code) => state.always = Some(code),
                }
            }
            _ => {}
        }
        match state.always {
            Some(code) => Err(io::Error::from_raw_os_error(code)),
            None => Ok(state),
        }
    }

    fn look(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.dead { Err(died()) } else { Ok(state) }
    }
}

fn died() -> io::Error {
    io::Error::other("the process has died")
}

fn set(names: &mut BTreeMap<String, Node>, name: &str, node: Option<Node>) {
    match node {
        Some(node) => names.insert(name.to_owned(), node),
        None => names.remove(name),
    };
}

impl State {
    fn node(&self, path: &Path) -> io::Result<Node> {
        let mut node = Node::Folder(0);
        for part in path.iter().skip(1) {
            let Node::Folder(folder) = node else {
                return Err(ErrorKind::NotADirectory.into());
            };
            let name = part.to_string_lossy();
            node = *self.folders[folder].now.get(name.as_ref()).ok_or(ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    fn folder(&self, path: &Path) -> io::Result<usize> {
        match self.node(path)? {
            Node::Folder(folder) => Ok(folder),
            Node::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.node(path)? {
            Node::File(file) => Ok(file),
            Node::Folder(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    /// The folder and the name of a path.
    fn place(&self, path: &Path) -> io::Result<(usize, String)> {
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
        let above = path.parent().ok_or(ErrorKind::InvalidInput)?;
        Ok((self.folder(above)?, name.to_string_lossy().into_owned()))
    }

    /// Changes names, as one piece.
    fn rename<const N: usize>(&mut self, changes: [(usize, String, Option<Node>); N]) {
        self.pieces += 1;
        for (folder, name, node) in changes {
            set(&mut self.folders[folder].now, &name, node);
            self.pending.push(Change { folder, name, node, piece: self.pieces });
        }
    }

    /// Gives a node a name that must be free.
    fn add(&mut self, path: &Path, make: impl FnOnce(&mut Self) -> Node) -> io::Result<()> {
        let (folder, name) = self.place(path)?;
        if self.folders[folder].now.contains_key(&name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let node = make(self);
        self.rename([(folder, name, Some(node))]);
        Ok(())
    }

    fn describe(&self, node: Node) -> Found {
        let (is_file, size) = match node {
            Node::File(file) => (true, self.files[file].now.len() as u64),
            Node::Folder(_) => (false, 0),
        };
        Found { is_file, is_folder: !is_file, size, modified: SystemTime::UNIX_EPOCH }
    }
}

impl Disk for PowerlessDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let mut state = self.change()?;
        let file = state.files.len();
        state.add(path, |state| {
            state.files.push(Content::default());
            Node::File(file)
        })?;
        Ok(Box::new(Open { disk: self.clone(), file }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.look()?;
        Ok(state.files[state.file(path)?].now.clone())
    }

    fn found(&self, path: &Path) -> io::Result<Found> {
        let state = self.look()?;
        Ok(state.describe(state.node(path)?))
    }

    fn entries(&self, folder: &Path) -> io::Result<Vec<(PathBuf, Found)>> {
        let state = self.look()?;
        let names = &state.folders[state.folder(folder)?].now;
        Ok(names.iter().map(|(name, node)| (folder.join(name), state.describe(*node))).collect())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let file = state.file(from)?;
        state.add(to, |_| Node::File(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let file = state.file(from)?;
        let ((source, old), (target, new)) = (state.place(from)?, state.place(to)?);
        if matches!(state.folders[target].now.get(&new), Some(Node::Folder(_))) {
            return Err(ErrorKind::IsADirectory.into());
        }
        if state.apart && source != target {
            return Err(ErrorKind::CrossesDevices.into());
        }
        state.rename([(target, new, Some(Node::File(file))), (source, old, None)]);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        state.file(path)?;
        let (folder, name) = state.place(path)?;
        state.rename([(folder, name, None)]);
        Ok(())
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let folder = state.folders.len();
        state.add(path, |state| {
            state.folders.push(Folder::default());
            Node::Folder(folder)
        })
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let folder = state.folder(folder)?;
        let (ours, others): (Vec<_>, _) =
            std::mem::take(&mut state.pending).into_iter().partition(|c| c.folder == folder);
        state.pending = others;
        for change in ours {
            set(&mut state.folders[folder].durable, &change.name, change.node);
        }
        Ok(())
    }
}

struct Open {
    disk: PowerlessDisk,
    file: usize,
}

impl OpenFile for Open {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.change()?;
        state.files[self.file].now.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let file = self.file;
        match self.disk.change() {
            Ok(mut state) => {
                let content = &mut state.files[file];
                content.durable.clone_from(&content.now);
                Ok(())
            }
            Err(error) => {
                // The kernel forgets what it could not write, and the next sync would succeed.
                let state = &mut *self.disk.state();
                let content = &mut state.files[file];
                if !state.dead {
                    content.now.fill(0);
                }
                Err(error)
            }
        }
    }
}
