//! Temporary files for windows that memory has no room for.
//!
//! A file has no name from the moment it is open, so that none is left over, however the process ends.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use tidegauge_aggregate::{Spill, SpillFile, SpillWriter};

/// Bytes written at once.
const BUFFER: usize = 1 << 18;

/// A folder for spilled windows; it is made when it is first needed.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

impl Spill for Folder {
    fn create(&self) -> io::Result<Box<dyn SpillWriter>> {
        fs::create_dir_all(&self.path)?;
        let file = tempfile::tempfile_in(&self.path)?;
        Ok(Box::new(Writer { file: BufWriter::with_capacity(BUFFER, file), bytes: 0 }))
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

struct Writer {
    file: BufWriter<File>,
    bytes: u64,
}

impl Write for Writer {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl SpillWriter for Writer {
    fn finish(self: Box<Self>) -> io::Result<Arc<dyn SpillFile>> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Arc::new(Nameless { file: Arc::new(file), bytes: self.bytes }))
    }
}

struct Nameless {
    file: Arc<File>,
    bytes: u64,
}

impl SpillFile for Nameless {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Reader { file: self.file.clone(), at: 0 }))
    }
}

/// Reads with a position of its own: several may read one file.
struct Reader {
    file: Arc<File>,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spilled_file_is_read_by_several_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let spill = Folder::new(folder.path().join("deep/spill"));
        let mut writer = spill.create().expect("creates");
        writer.write_all(b"open windows").expect("writes");
        let file = writer.finish().expect("finishes");
        assert_eq!(file.bytes(), 12);
        let (mut one, mut two) = (file.read().expect("reads"), file.read().expect("reads"));
        let mut start = [0; 4];
        one.read_exact(&mut start).expect("reads");
        let all = io::read_to_string(&mut two).expect("reads");
        assert_eq!((&start, all.as_str()), (b"open", "open windows"));
        let left = fs::read_dir(folder.path().join("deep/spill")).expect("there").count();
        assert_eq!(left, 0);
    }
}
