//! Files that flags name.

use std::{io::Read, path::Path};

use crate::snapshot::MAX_BYTES;

/// A whole file, or standard input for `-`.
///
/// # Errors
/// It cannot be read, is no text, or is larger than a snapshot may be.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let limit = MAX_BYTES.saturating_add(1);
    if path == Path::new("-") {
        std::io::stdin().take(limit).read_to_string(&mut text)?;
    } else {
        std::fs::File::open(path)?.take(limit).read_to_string(&mut text)?;
    }
    anyhow::ensure!(text.len() as u64 <= MAX_BYTES, "larger than {MAX_BYTES} bytes");
    Ok(text)
}
