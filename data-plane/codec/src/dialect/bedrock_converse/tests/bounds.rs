//! Requests that are made to be slow are not: this took minutes.

use super::*;
use crate::model::ToolChoice;

#[test]
fn thousands_of_tools_among_many_names_are_offered_at_once() {
    let offered = |number: usize| {
        let name = format!("t{number}").into();
        let kind = ToolKind::Function { name, description: None, schema: None, strict: None };
        Tool { kind, cache: None }
    };
    let names = (0..100_000).map(|number| format!("o{number}").into()).chain(["t7".into(), "t4095".into()]).collect();
    let request = Request {
        tools: (0..4_096).map(offered).collect(),
        tool_choice: Some(ToolChoice::Among { names, required: true }),
        ..request(vec![user("x")])
    };
    let (body, _) = encode(&request, of(CLAUDE));
    let tools = body["toolConfig"]["tools"].as_array().unwrap();
    let names: Vec<&Value> = tools.iter().map(|tool| &tool["toolSpec"]["name"]).collect();
    assert_eq!(names, ["t7", "t4095"]);
}
