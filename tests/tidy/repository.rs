//! The repository as these tests read it: its root, its tracked files, its packages.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The top folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Files that git tracks or would track, as paths from the root.
pub fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(listed.status.success(), "git must be able to list the files");
    let names = String::from_utf8(listed.stdout).unwrap();
    let files: Vec<String> = names.lines().filter(|name| root().join(name).is_file()).map(str::to_owned).collect();
    assert!(files.len() > 100, "only {} files", files.len());
    files
}

/// Those that end like this.
pub fn files_like(suffix: &str) -> Vec<String> {
    files().into_iter().filter(|file| file.ends_with(suffix)).collect()
}

/// A file's text; empty for one that is not text.
pub fn text_of(file: &str) -> String {
    String::from_utf8(std::fs::read(root().join(file)).unwrap()).unwrap_or_default()
}

/// What cargo says of the workspace and everything below it that is built here: what only other systems need is not
/// downloaded, and so cannot be read.
pub fn metadata() -> serde_json::Value {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let told = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &platform])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    serde_json::from_slice(&told.stdout).unwrap()
}
