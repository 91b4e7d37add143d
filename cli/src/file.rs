//! Files that flags name.

use std::{
    ffi::OsStr,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::snapshot::MAX_BYTES;

/// Standard input.
const INPUT: &str = "-";
/// How the names of those files of a directory end that are read, as kubectl reads them.
const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];
/// Most files of a directory.
const MAX_FILES: usize = 10_000;

/// A whole file, or standard input for `-`.
///
/// # Errors
/// It cannot be read, is no text, or is larger than a snapshot may be.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    up_to(path, MAX_BYTES, 0)
}

/// All files that a flag names when it is given several times. Of a directory those that look like objects are read, in
/// the order of their names, and not those of directories in it.
///
/// # Errors
/// One of them cannot be read or is no text, there is nothing to read in a directory, or all of them together are larger
/// than a snapshot may be.
pub(crate) fn read_all(flag: &str, paths: &[PathBuf]) -> anyhow::Result<Vec<(PathBuf, String)>> {
    within(flag, paths, MAX_BYTES)
}

/// A path as it stands behind its flag.
pub(crate) fn named(flag: &str, path: &Path) -> String {
    format!("{flag} {}", path.display())
}

fn within(flag: &str, paths: &[PathBuf], most: u64) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let inputs = paths.iter().filter(|path| path.as_os_str() == INPUT).count();
    anyhow::ensure!(inputs <= 1, "{flag} {INPUT} {inputs} times: standard input can be read once");
    let (mut all, mut before) = (Vec::new(), 0);
    for path in paths {
        for file in files(path).with_context(|| named(flag, path))? {
            let text = up_to(&file, most, before).with_context(|| named(flag, &file))?;
            before += text.len() as u64;
            all.push((file, text));
        }
    }
    Ok(all)
}

/// The file itself, or those of a directory.
fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if path.as_os_str() == INPUT || !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let file = entry?.path();
        let extension = file.extension().and_then(OsStr::to_str);
        if extension.is_some_and(|extension| EXTENSIONS.contains(&extension)) && !file.is_dir() {
            files.push(file);
            anyhow::ensure!(files.len() <= MAX_FILES, "more than {MAX_FILES} files in one directory");
        }
    }
    anyhow::ensure!(!files.is_empty(), "a directory without files *.yaml, *.yml or *.json");
    files.sort();
    Ok(files)
}

/// A whole file that may have so many bytes together with those that were read before it.
fn up_to(path: &Path, most: u64, before: u64) -> anyhow::Result<String> {
    let mut text = String::new();
    let left = most.saturating_sub(before);
    let limit = left.saturating_add(1);
    if path.as_os_str() == INPUT {
        std::io::stdin().take(limit).read_to_string(&mut text)?;
    } else {
        std::fs::File::open(path)?.take(limit).read_to_string(&mut text)?;
    }
    let together = if before > 0 { " together with the files before it" } else { "" };
    anyhow::ensure!(text.len() as u64 <= left, "larger than {most} bytes{together}");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        directory
    }

    fn line(paths: &[PathBuf], most: u64) -> String {
        let line = format!("{:#}", within("-f", paths, most).unwrap_err());
        assert!(!line.contains('\n'), "{line}");
        line
    }

    #[test]
    fn a_directory_is_its_files_in_the_order_of_their_names() {
        let all =
            [("c.yml", "3"), ("a.json", "1"), ("b.yaml", "2"), ("README.md", "x"), ("yaml", "x"), ("d.YAML", "x")];
        let directory = directory(&all);
        std::fs::create_dir(directory.path().join("sub.yaml")).unwrap();
        std::fs::write(directory.path().join("sub.yaml/e.yaml"), "x").unwrap();
        let single = directory.path().join("README.md");
        let read = read_all("-f", &[single.clone(), directory.path().to_owned()]).unwrap();
        let texts: Vec<&str> = read.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["x", "1", "2", "3"]);
        assert_eq!((&read[0].0, read[1].0.file_name().unwrap()), (&single, OsStr::new("a.json")));
    }

    #[test]
    fn what_cannot_be_read_is_one_line() {
        let empty = directory(&[("notes.txt", "x")]);
        let expected = format!("-f {}: a directory without files *.yaml, *.yml or *.json", empty.path().display());
        assert_eq!(line(&[empty.path().to_owned()], 10), expected);
        let twice = ["-", "-"].map(PathBuf::from);
        assert_eq!(line(&twice, 10), "-f - 2 times: standard input can be read once");
        assert!(line(&["/does/not/exist".into()], 10).starts_with("-f /does/not/exist: No such file"));
    }

    #[test]
    fn all_files_together_are_bounded() {
        let directory = directory(&[("a.yaml", "12345"), ("b.yaml", "12345")]);
        let (a, all) = (directory.path().join("a.yaml"), [directory.path().to_owned()]);
        assert_eq!(within("-f", &all, 10).unwrap().len(), 2);
        assert!(line(&all, 9).ends_with("b.yaml: larger than 9 bytes together with the files before it"));
        assert!(line(&[a], 4).ends_with("a.yaml: larger than 4 bytes"));
    }
}
