//! Names of tools that a target does not take, changed for it and changed back in its answers. The map lives as long as the
//! request: nothing is kept between requests, and the same name is always changed to the same other name.

use std::borrow::Cow;
use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use crate::model::{PartBody, Request, ToolChoice, ToolKind};

/// Longest name that all targets take, in bytes.
const MOST: usize = 64;
/// Letters of a digest that keep changed names apart.
const DIGEST: usize = 8;

/// What was changed: the client's name by the target's.
#[derive(Debug, Clone, Default)]
pub struct Names(HashMap<String, String>);

impl Names {
    /// Whether nothing was changed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A name out of an answer as the client knows it.
    pub(crate) fn back<'a>(&self, name: Cow<'a, str>) -> Cow<'a, str> {
        match self.0.get(&*name) {
            Some(original) => Cow::Owned(original.clone()),
            None => name,
        }
    }

    /// Changes all names in a request that `takes` refuses.
    pub(crate) fn change(request: &mut Request<'_>, takes: fn(&str) -> bool) -> Names {
        let mut names = Names::default();
        for tool in &mut request.tools {
            if let ToolKind::Function { name, .. } = &mut tool.kind {
                names.one(name, takes);
            }
        }
        for part in request.turns.iter_mut().flat_map(|turn| &mut turn.parts) {
            match &mut part.body {
                PartBody::ToolCall { name, .. } | PartBody::ToolResult { name: Some(name), .. } => {
                    names.one(name, takes)
                }
                _ => {}
            }
        }
        match &mut request.tool_choice {
            Some(ToolChoice::Named(name)) => names.one(name, takes),
            Some(ToolChoice::Among { names: among, .. }) => among.iter_mut().for_each(|name| names.one(name, takes)),
            _ => {}
        }
        names
    }

    fn one(&mut self, name: &mut Cow<'_, str>, takes: fn(&str) -> bool) {
        if takes(name) {
            return;
        }
        let changed = changed(name);
        self.0.entry(changed.clone()).or_insert_with(|| name.to_string());
        *name = Cow::Owned(changed);
    }
}

/// A name that every target takes: what can stay of the old one, and a digest of it.
fn changed(name: &str) -> String {
    let keep = |letter: char| if letter.is_ascii_alphanumeric() || letter == '_' { letter } else { '_' };
    let first = name.chars().next().filter(|letter| !letter.is_ascii_alphabetic() && *letter != '_').map(|_| '_');
    let mut out: String = first.into_iter().chain(name.chars().map(keep)).take(MOST - DIGEST - 1).collect();
    out.push('_');
    for byte in Sha256::digest(name.as_bytes()).iter().take(DIGEST / 2) {
        out.push_str(&format!("{byte:02x}"));
    }
    out
}

/// Letters, digits, `_` and `-`, at most 64: what most targets take.
pub(crate) fn is_plain(name: &str) -> bool {
    (1..=MOST).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Part, Role, Tool, Turn};

    #[test]
    fn a_changed_name_is_taken_everywhere_and_comes_back() {
        let long = "x".repeat(80);
        for name in ["files.read", "1st", "größe", "", " ", "a/b:c", &long] {
            let new = changed(name);
            assert!(is_plain(&new) && new != name && new == changed(name), "{name} -> {new}");
            assert!(new.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_'));
        }
        assert_ne!(changed("a.b"), changed("a/b"));
        let function = |name: &'static str| Tool {
            kind: ToolKind::Function { name: name.into(), description: None, schema: None, strict: None },
            cache: None,
        };
        let call = PartBody::ToolCall { id: "1".into(), name: "a.b".into(), arguments: "".into() };
        let mut request = Request {
            tools: vec![function("a.b"), function("plain")],
            turns: vec![Turn { at: 0, role: Role::Assistant, parts: vec![Part::new(call)], name: None }],
            tool_choice: Some(ToolChoice::Named("a.b".into())),
            ..Request::default()
        };
        let names = Names::change(&mut request, is_plain);
        let new = changed("a.b");
        assert_eq!(request.tool_choice, Some(ToolChoice::Named(new.clone().into())));
        assert_eq!(names.back(new.into()), "a.b");
        assert_eq!(names.back("plain".into()), "plain");
        assert!(!names.is_empty());
    }
}
