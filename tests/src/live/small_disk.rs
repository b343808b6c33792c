//! A small disk for a server's data, which can be filled: a tmpfs. To mount one takes root, or sudo without a password.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The file that takes the room.
const FILLING: &str = "filling";

/// A mounted disk. It is emptied of what fills it and unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts a disk of this many MiB over `folder`, whose own content is hidden until the end.
    ///
    /// # Errors
    /// When it can't be mounted.
    pub fn mount(folder: &Path, mebibytes: u32) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let options = format!("size={mebibytes}m,mode=0777");
        let folder = folder.to_path_buf();
        as_root(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&folder))?;
        Ok(Self(folder))
    }

    /// Writes until there is no room left.
    ///
    /// # Errors
    /// When the disk fails otherwise.
    pub fn fill(&self) -> Result<()> {
        let mut file = File::create(self.0.join(FILLING))?;
        let block = vec![1; 1 << 16];
        loop {
            match file.write_all(&block) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Makes room again.
    ///
    /// # Errors
    /// When what fills the disk can't be removed.
    pub fn make_room(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.0.join(FILLING))?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.make_room();
        // Lazily: the server of a test that failed still runs on it.
        let _ = as_root(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

/// Runs a command as root: this user, or by sudo.
fn as_root(command: &Command) -> Result<()> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let mut tried = Command::new("sh");
    tried
        .args(["-c", r#"if [ "$(id -u)" = 0 ]; then exec "$@"; else exec sudo -n "$@"; fi"#, "sh"])
        .args(words);
    let output = tried.output().with_context(|| format!("{command:?}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} takes root or sudo without a password: {text}");
    Ok(())
}
