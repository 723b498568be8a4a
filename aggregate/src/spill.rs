//! Where panes go that memory has no room for.
//!
//! *Why traits*: this crate does no I/O of its own; the binary says what a temporary file is.

use std::io;
use std::sync::Arc;

/// A place for temporary files.
pub trait Spill: Send + Sync {
    /// A new file.
    ///
    /// # Errors
    /// When it can't be made.
    fn create(&self) -> io::Result<Box<dyn SpillWriter>>;

    /// The place as the user knows it, for messages.
    fn place(&self) -> String;
}

/// A temporary file that is being written.
pub trait SpillWriter: io::Write + Send {
    /// The file, ready to be read.
    ///
    /// # Errors
    /// When what was written can't be flushed.
    fn finish(self: Box<Self>) -> io::Result<Arc<dyn SpillFile>>;
}

/// A temporary file. It is gone when its last handle is, and it need not survive the process.
pub trait SpillFile: Send + Sync {
    /// Its size.
    fn bytes(&self) -> u64;

    /// A reader from its beginning.
    ///
    /// # Errors
    /// When it can't be read.
    fn read(&self) -> io::Result<Box<dyn io::Read + Send>>;
}

/// Temporary files in memory, for simulations and tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct InMemory;

struct Bytes(Vec<u8>);

impl Spill for InMemory {
    fn create(&self) -> io::Result<Box<dyn SpillWriter>> {
        Ok(Box::new(Bytes(Vec::new())))
    }

    fn place(&self) -> String {
        "memory".into()
    }
}

impl io::Write for Bytes {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SpillWriter for Bytes {
    fn finish(self: Box<Self>) -> io::Result<Arc<dyn SpillFile>> {
        Ok(Arc::new(*self))
    }
}

impl SpillFile for Bytes {
    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self) -> io::Result<Box<dyn io::Read + Send>> {
        Ok(Box::new(io::Cursor::new(self.0.clone())))
    }
}
