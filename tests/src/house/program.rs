//! The product's program: `TOLLGATE_BIN`, or the one that cargo builds beside these tests.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The path of the `tollgate` binary. Builds it first, once, unless `TOLLGATE_BIN` names one: `cargo test` alone would
/// leave an old one lying there.
pub fn tollgate() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match std::env::var_os("TOLLGATE_BIN") {
        Some(path) => {
            let path = PathBuf::from(path);
            assert!(path.is_file(), "TOLLGATE_BIN names {}, which is not there", path.display());
            path
        }
        None => build(),
    })
}

fn build() -> PathBuf {
    let mut folder = std::env::current_exe().expect("the path of this test");
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let is_release = folder.file_name() == Some(OsStr::new("release"));
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // All targets, as the tests were built: any other set of features would build every dependency a second time.
    cargo.args(["build", "--workspace", "--all-targets", "--quiet"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if is_release {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo runs").success(), "the product does not build");
    folder.join("tollgate")
}

/// A command of the product with none of the settings of whoever runs the tests.
pub fn command() -> Command {
    let mut command = Command::new(tollgate());
    clean(&mut command);
    command
}

/// Takes away every variable that could be a setting or a provider's key.
pub fn clean(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let is_setting = name.to_str().is_some_and(|name| name.starts_with("TOLLGATE_") || name.ends_with("_API_KEY"));
        if is_setting || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
}
