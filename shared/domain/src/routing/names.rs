//! Names that an organisation has of its own: an alias stands for a model, or for several in turn; a preset is models and
//! rules under one name, in versions that do not change. They come before the names of the catalogue.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::rules::{Parts, Rules};

/// What stands between a model and the preset that is asked for with it; also where there is no model.
pub const PRESET: &str = "@preset/";

/// The most aliases and presets each, the most versions of one, and the most models behind a name.
const NAMES_MOST: usize = 100;
const VERSIONS_MOST: usize = 20;
const MODELS_MOST: usize = 15;
const NAME_LONGEST: usize = 128;

/// An organisation's names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Names {
    /// What each stands for, in the order in which they are tried.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    aliases: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    presets: BTreeMap<String, Versions>,
}

/// The versions of a preset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// The highest number that was ever given, so that none is given twice.
    latest: u32,
    kept: BTreeMap<u32, Preset>,
}

/// Models and rules under one name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Preset {
    /// The model that the preset stands for, and those to try after it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    #[serde(flatten)]
    pub rules: Rules,
}

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    #[error("`{0}` is no name: letters, digits, and . - _ /, at most 128")]
    Shape(String),
    #[error("`{0}` is no model: at most 200 visible letters")]
    Model(String),
    #[error("it stands for no model")]
    NoModel,
    #[error("it stands for more than {MODELS_MOST} models")]
    TooManyModels,
    #[error("`{0}` stands for itself")]
    Itself(String),
    #[error("there are {NAMES_MOST} already")]
    TooMany,
    #[error("`{0}` has {VERSIONS_MOST} versions already: remove some that nobody names")]
    TooManyVersions(String),
}

impl Names {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.aliases.is_empty() && self.presets.is_empty()
    }

    /// The models that an alias stands for.
    pub fn alias(&self, name: &str) -> Option<&[String]> {
        self.aliases.get(name).map(Vec::as_slice)
    }

    /// Every alias by name.
    pub fn aliases(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.aliases.iter().map(|(name, models)| (name.as_str(), models.as_slice()))
    }

    /// The preset that `slug` or `slug@version` means. Without a version the newest.
    pub fn preset(&self, named: &str) -> Option<&Preset> {
        match named.rsplit_once('@') {
            Some((slug, version)) => self.presets.get(slug)?.kept.get(&version.parse().ok()?),
            None => self.presets.get(named)?.kept.values().next_back(),
        }
    }

    /// Every version of every preset: slug, version, whether it is the newest, and the preset.
    pub fn presets(&self) -> impl Iterator<Item = (&str, u32, bool, &Preset)> {
        self.presets.iter().flat_map(|(slug, versions)| {
            let newest = versions.kept.keys().next_back().copied();
            let kept = versions.kept.iter();
            kept.map(move |(version, preset)| (slug.as_str(), *version, Some(*version) == newest, preset))
        })
    }

    /// Lets a name stand for models.
    pub fn set_alias(&mut self, name: &str, models: Vec<String>) -> Result<(), BadName> {
        check_name(name)?;
        check_models(&models)?;
        if models.is_empty() {
            return Err(BadName::NoModel);
        }
        if models.iter().any(|model| model == name) {
            return Err(BadName::Itself(name.to_owned()));
        }
        if self.aliases.len() >= NAMES_MOST && !self.aliases.contains_key(name) {
            return Err(BadName::TooMany);
        }
        self.aliases.insert(name.to_owned(), models);
        Ok(())
    }

    /// Takes an alias away; false where there is none.
    pub fn remove_alias(&mut self, name: &str) -> bool {
        self.aliases.remove(name).is_some()
    }

    /// Makes the next version of a preset and says its number. The same content as the newest makes none.
    pub fn set_preset(&mut self, slug: &str, preset: Preset) -> Result<u32, BadName> {
        check_name(slug)?;
        check_models(&preset.models)?;
        let has_any = |versions: &Versions| !versions.kept.is_empty();
        let others = self.presets.iter().filter(|(other, versions)| *other != slug && has_any(versions)).count();
        if others >= NAMES_MOST {
            return Err(BadName::TooMany);
        }
        let versions = self.presets.entry(slug.to_owned()).or_default();
        if let Some((version, newest)) = versions.kept.last_key_value()
            && *newest == preset
        {
            return Ok(*version);
        }
        if versions.kept.len() >= VERSIONS_MOST {
            return Err(BadName::TooManyVersions(slug.to_owned()));
        }
        versions.latest = versions.latest.saturating_add(1);
        versions.kept.insert(versions.latest, preset);
        Ok(versions.latest)
    }

    /// Takes one version of a preset away, or all of them; false where there is none. Its numbers stay given.
    pub fn remove_preset(&mut self, slug: &str, version: Option<u32>) -> bool {
        let Some(versions) = self.presets.get_mut(slug) else { return false };
        match version {
            Some(version) => versions.kept.remove(&version).is_some(),
            None => !std::mem::take(&mut versions.kept).is_empty(),
        }
    }
}

fn check_name(name: &str) -> Result<(), BadName> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/".contains(&byte);
    let is_fine = !name.is_empty() && name.len() <= NAME_LONGEST && name.bytes().all(fits);
    if is_fine { Ok(()) } else { Err(BadName::Shape(name.chars().take(40).collect())) }
}

fn check_models(models: &[String]) -> Result<(), BadName> {
    let fits = |model: &&String| {
        !model.is_empty()
            && model.len() <= 200
            && model.bytes().all(|byte| byte.is_ascii_graphic())
            && !model.contains('@')
    };
    match models.iter().find(|model| !fits(model)) {
        Some(odd) => Err(BadName::Model(odd.chars().take(40).collect())),
        None if models.len() > MODELS_MOST => Err(BadName::TooManyModels),
        None => Ok(()),
    }
}

impl<'de> Deserialize<'de> for Preset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Preset, D::Error> {
        let mut parts = Parts::deserialize(deserializer)?;
        let models = parts.models.take().unwrap_or_default();
        Ok(Preset { models, rules: parts.rules()? })
    }
}
