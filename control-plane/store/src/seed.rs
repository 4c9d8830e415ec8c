//! The catalogue that a fresh installation starts with, as apply files. Data, not rows: whoever starts an installation
//! applies it. In the folder a provider's `quirks` stand once, at the provider; here they are given to its endpoints, where
//! an apply file wants them.

use std::collections::HashMap;
use std::sync::LazyLock;

use toml::{Table, Value};

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

/// The apply files. What is no TOML stays as it is: who reads it says where it is wrong.
static APPLY_FILES: LazyLock<Vec<(&str, String)>> = LazyLock::new(|| {
    let mut tables: Vec<Option<Table>> = FILES.iter().map(|(_, text)| text.parse().ok()).collect();
    let quirks: HashMap<String, Vec<Value>> = tables.iter_mut().flatten().flat_map(take_quirks).collect();
    tables.iter_mut().flatten().for_each(|table| give_quirks(table, &quirks));
    let texts = FILES.iter().zip(tables).map(|((name, text), table)| {
        let inherited = table.and_then(|table| toml::to_string(&table).ok());
        (*name, inherited.unwrap_or_else(|| (*text).to_owned()))
    });
    texts.collect()
});

/// Every seed file as (name, TOML text): providers first, the demonstration (`echo.toml`) last.
pub fn seed_files() -> &'static [(&'static str, String)] {
    &APPLY_FILES
}

/// The tables of a list of tables.
fn rows<'t>(table: &'t mut Table, list: &str) -> impl Iterator<Item = &'t mut Table> + use<'t> {
    table.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_table_mut)
}

/// Takes the quirks off the providers of a file.
fn take_quirks(file: &mut Table) -> Vec<(String, Vec<Value>)> {
    let providers = rows(file, "providers").filter_map(|provider| {
        let Some(Value::Array(quirks)) = provider.remove("quirks") else { return None };
        Some((provider.get("id")?.as_str()?.to_owned(), quirks))
    });
    providers.collect()
}

/// Puts the quirks of its provider before those of each endpoint of a file.
fn give_quirks(file: &mut Table, quirks: &HashMap<String, Vec<Value>>) {
    for model in rows(file, "models") {
        for endpoint in rows(model, "endpoints") {
            let provider = endpoint.get("provider").and_then(Value::as_str).unwrap_or_default();
            let Some(inherited) = quirks.get(provider) else { continue };
            let mut all = inherited.clone();
            if let Some(Value::Array(own)) = endpoint.get("quirks") {
                all.extend(own.iter().filter(|quirk| !inherited.contains(quirk)).cloned());
            }
            endpoint.insert("quirks".to_owned(), Value::Array(all));
        }
    }
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

    #[test]
    fn endpoints_have_the_quirks_of_their_provider_and_their_own_behind_them() {
        let mut file: Table = r#"
            [[providers]]
            id = "a"
            quirks = ["x", "y"]
            [[providers]]
            id = "b"
            [[models]]
            [[models.endpoints]]
            provider = "a"
            quirks = ["y", "z"]
            [[models.endpoints]]
            provider = "a"
            [[models.endpoints]]
            provider = "b"
            quirks = ["z"]
            [[models.endpoints]]
            provider = "b"
        "#
        .parse()
        .unwrap();
        let quirks = take_quirks(&mut file).into_iter().collect();
        give_quirks(&mut file, &quirks);
        assert!(file["providers"].as_array().unwrap().iter().all(|provider| provider.get("quirks").is_none()));
        let told = |at: usize| file["models"][0]["endpoints"][at].get("quirks").map(ToString::to_string);
        assert_eq!(told(0).as_deref(), Some(r#"["x", "y", "z"]"#));
        assert_eq!(told(1).as_deref(), Some(r#"["x", "y"]"#));
        assert_eq!(told(2).as_deref(), Some(r#"["z"]"#));
        assert_eq!(told(3), None);
    }

    #[test]
    fn the_files_of_the_folder_are_apply_files_with_nothing_else_changed() {
        for ((name, text), (_, given)) in FILES.iter().zip(seed_files()) {
            let (mut source, mut given): (Table, Table) = (text.parse().unwrap(), given.parse().unwrap());
            assert!(rows(&mut given, "providers").all(|provider| !provider.contains_key("quirks")), "{name}");
            for table in [&mut source, &mut given] {
                rows(table, "providers").for_each(|provider| drop(provider.remove("quirks")));
                for model in rows(table, "models") {
                    rows(model, "endpoints").for_each(|endpoint| drop(endpoint.remove("quirks")));
                }
            }
            assert_eq!(source, given, "{name}");
        }
        let mistral: Table =
            seed_files().iter().find(|(name, _)| name.ends_with("mistralai.toml")).unwrap().1.parse().unwrap();
        let inherited = &mistral["models"][0]["endpoints"][0]["quirks"];
        assert!(inherited.as_array().unwrap().contains(&Value::from("random-seed")), "{inherited}");
    }
}
