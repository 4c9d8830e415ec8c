//! The catalogue that a fresh installation starts with, as apply files. Data, not rows: whoever starts an installation
//! applies it.

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../seed/", $name)))),*]
    };
}

/// Every seed file, by name, in the order to apply them: providers before what names them, the demonstration last.
const FILES: &[(&str, &str)] = files![
    "providers.toml",
    "models/anthropic.toml",
    "models/cohere.toml",
    "models/deepseek.toml",
    "models/google.toml",
    "models/meta-llama.toml",
    "models/meta.toml",
    "models/microsoft.toml",
    "models/minimax.toml",
    "models/mistralai.toml",
    "models/moonshotai.toml",
    "models/nousresearch.toml",
    "models/nvidia.toml",
    "models/openai.toml",
    "models/qwen.toml",
    "models/reflection.toml",
    "models/stepfun.toml",
    "models/thinkingmachines.toml",
    "models/x-ai.toml",
    "models/xiaomi.toml",
    "models/z-ai.toml",
    "echo.toml",
];

/// Every seed file as (name, TOML text): providers first, the demonstration (`echo.toml`) last.
pub fn seed_files() -> &'static [(&'static str, &'static str)] {
    FILES
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn every_file_in_the_folder_is_a_seed_file() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("seed");
        let mut there = BTreeSet::new();
        for (folder, prefix) in [(root.clone(), ""), (root.join("models"), "models/")] {
            for entry in std::fs::read_dir(folder).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                if name.ends_with(".toml") {
                    there.insert(format!("{prefix}{name}"));
                }
            }
        }
        let listed: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(listed, there);
        assert!(FILES.iter().all(|(_, text)| !text.trim().is_empty()));
    }
}
