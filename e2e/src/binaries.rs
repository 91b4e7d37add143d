//! Where our own binaries are.

use std::path::{Path, PathBuf};

use crate::error::{HarnessError, Result};

/// The path of one of our binaries: `headroom-scheduler`, `headroom-controllers`, `kubectl-headroom`, `hollow`,
/// `bare-loop`.
///
/// The environment variable `<NAME>_BIN` (upper case, `-` as `_`) wins; else it is looked for beside the running
/// executable (cargo puts tests into `target/<profile>/deps`, binaries into `target/<profile>`).
///
/// # Errors
/// [`HarnessError::BinaryMissing`], which says what to build.
pub fn our_binary(name: &str) -> Result<PathBuf> {
    let variable = format!("{}_BIN", name.to_uppercase().replace('-', "_"));
    let given = std::env::var_os(&variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let executable = std::env::current_exe().map_err(HarnessError::io("find", "the running executable"))?;
    let path = given.unwrap_or_else(|| beside(&executable, name));
    if path.is_file() {
        return Ok(path);
    }
    let package = match name {
        "hollow" => "headroom-hollow",
        "bare-loop" => "headroom-bare",
        _ => name,
    };
    Err(HarnessError::BinaryMissing { name: name.to_owned(), path, package: package.to_owned(), variable })
}

/// `name` in the directory of `executable`, or in the one above when that is `deps` or `examples`.
fn beside(executable: &Path, name: &str) -> PathBuf {
    let dir = executable.parent().unwrap_or(Path::new("."));
    let inner = dir.file_name().is_some_and(|last| last == "deps" || last == "examples");
    let dir = if inner { dir.parent().unwrap_or(dir) } else { dir };
    dir.join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binaries_lie_beside_tests_and_tools() {
        let want = Path::new("/t/release/hollow");
        assert_eq!(beside(Path::new("/t/release/deps/scenarios-1a2b"), "hollow"), want);
        assert_eq!(beside(Path::new("/t/release/demo"), "hollow"), want);
    }

    #[test]
    fn a_missing_binary_says_what_to_build() {
        let text = our_binary("no-such-thing").unwrap_err().to_string();
        assert!(text.contains("cargo build --release -p no-such-thing"), "{text}");
        assert!(text.contains("NO_SUCH_THING_BIN"), "{text}");
    }
}
