//! The CPU time of a process, from Linux.

use std::path::Path;

use anyhow::{Context as _, Result};

/// Linux reports process time in hundredths of a second.
pub const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time of the process with this folder under `/proc`, in ticks.
///
/// # Errors
/// When it does not run.
pub fn cpu_ticks(folder: &Path) -> Result<(u64, u64)> {
    let stat = std::fs::read_to_string(folder.join("stat"))?;
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let field = |i: usize| fields.get(i).and_then(|text| text.parse().ok()).context("no such field in stat");
    // utime and stime are the 14th and 15th fields; the two before the name's bracket are cut off.
    Ok((field(11)?, field(12)?))
}
