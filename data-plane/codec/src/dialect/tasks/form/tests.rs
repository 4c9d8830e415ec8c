//! Forms as clients send them, and as nobody should.

use bytes::Bytes;

use super::*;

const TYPE: &str = "multipart/form-data; boundary=xyz";

fn form(parts: &[(&str, &str)]) -> String {
    let parts =
        parts.iter().map(|(head, value)| format!("--xyz\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n"));
    parts.collect::<String>() + "--xyz--\r\n"
}

#[test]
fn the_model_is_found_where_it_stands_and_files_are_media() {
    let body = form(&[
        ("name=\"file\"; filename=\"a.mp3\"\r\nContent-Type: audio/mpeg", "--xy\r\n--notxyz\u{0}"),
        ("name=\"model\"", "whisper-1"),
        ("name=\"stream\"", "true"),
        ("name=\"n\"", "3"),
    ]);
    let scan = scan(body.as_bytes(), TYPE).unwrap();
    assert_eq!((scan.model.as_deref(), scan.stream, scan.choices), (Some("whisper-1"), true, 3));
    assert_eq!((scan.media_parts, scan.media_bytes), (1, 15));
    assert_eq!(scan.form.as_ref().unwrap().model.unwrap().of(body.as_bytes()), b"whisper-1");
    assert_eq!(sent(&body), body.replace("whisper-1", "up/m"));
}

/// What a provider gets.
fn sent(body: &str) -> String {
    let scan = scan(body.as_bytes(), TYPE).unwrap();
    let mut edits = Edits::default();
    scan.form.unwrap().edit(body.as_bytes(), "up/m", &mut edits);
    String::from_utf8(edits.apply_in_one(Bytes::copy_from_slice(body.as_bytes())).to_vec()).unwrap()
}

#[test]
fn our_own_fields_are_read_as_in_json_and_taken_out() {
    let file = ("name=\"file\"; filename=\"a\"", "\u{1}\r\n--\r\n");
    let (model, up) = (("name=\"model\"", "m"), ("name=\"model\"", "up/m"));
    let provider = ("name=\"provider\"", r#" {"order":["x"]} "#);
    let models = ("name=\"models\"", r#"["a\u002fb","c"]"#);
    let body = form(&[provider, file, model, ("name=\"route\"", "fallback"), models, ("name=\"tags[]\"", "t")]);
    let read = scan(body.as_bytes(), TYPE).unwrap();
    assert_eq!(read.provider.unwrap().of(body.as_bytes()), br#" {"order":["x"]} "#);
    assert_eq!(read.fallbacks, ["a/b", "c"]);
    assert_eq!(sent(&body), form(&[file, up]));
    for (own, fallbacks) in [
        (&[("name=\"transforms\"", "[]"), ("name=\"usage\"", "{}"), ("name=\"provider\"", "null")][..], 0),
        (&[("name=\"models[]\"", "a"), ("name=\"models[]\"", "b"), ("name=\"trace[id]\"", "\u{e4}")], 2),
        (&[("name=\"models\"", "null")], 0),
    ] {
        let body = form(&[own, &[model]].concat());
        let read = scan(body.as_bytes(), TYPE).unwrap();
        assert_eq!((read.provider, read.fallbacks.len()), (None, fallbacks), "{body}");
        assert_eq!(sent(&body), form(&[up]), "{body}");
    }
}

#[test]
fn a_form_whose_model_stands_in_the_list_gets_one_of_its_own() {
    let (models, file) = (("name=\"models\"", r#"["a"]"#), ("name=\"file\"; filename=\"a\"", "x"));
    let up = ("name=\"model\"", "up/m");
    for own in [&[models, file][..], &[file, models]] {
        assert_eq!(sent(&form(own)), form(&[up, file]));
        assert_eq!(sent(&format!("preamble\r\n{}", form(own))), format!("preamble\r\n{}", form(&[up, file])));
    }
}

#[test]
fn fields_of_ours_that_cannot_be_read_are_named() {
    let model = ("name=\"model\"", "m");
    for (own, param, kind) in [
        (&[("name=\"provider\"", "fast")][..], "provider", BodyFaultKind::WrongType),
        (&[("name=\"provider\"", "[]")], "provider", BodyFaultKind::WrongType),
        (&[("name=\"provider\"", "")], "provider", BodyFaultKind::WrongType),
        (&[("name=\"provider[order][]\"", "x")], "provider", BodyFaultKind::WrongType),
        (&[("name=\"Provider\"", "{}")], "provider", BodyFaultKind::Repeated),
        (&[("name=\"provider\"", "{}"), ("name=\"provider\"", "{}")], "provider", BodyFaultKind::Repeated),
        (&[("name=\"models\"", "a")], "models", BodyFaultKind::WrongType),
        (&[("name=\"models\"", "[1]")], "models", BodyFaultKind::WrongType),
        (&[("name=\"models\"", r#"[""]"#)], "models", BodyFaultKind::OutOfRange),
        (&[("name=\"models[]\"", "a"), ("name=\"models\"", r#"["b"]"#)], "models", BodyFaultKind::Repeated),
        (&[("name=\"models\"", r#"["b"]"#), ("name=\"models[]\"", "a")], "models", BodyFaultKind::Repeated),
        (&[("name=\"route\"; filename=\"r\"", "x")], "route", BodyFaultKind::WrongType),
    ] {
        let body = form(&[&[model], own].concat());
        let fault = scan(body.as_bytes(), TYPE).unwrap_err();
        assert_eq!((fault.param.as_deref(), fault.kind), (Some(param), kind), "{body}");
    }
}

#[test]
fn forms_that_two_readers_could_read_two_ways_are_refused() {
    let model = ("name=\"model\"", "m");
    for (body, kind) in [
        (form(&[model, model]), BodyFaultKind::Repeated),
        (form(&[("name=\"Model\"", "m")]), BodyFaultKind::Repeated),
        (form(&[("name=\"stream\"", "true")]), BodyFaultKind::Missing),
        (form(&[model, ("name=\"stream\"", "maybe")]), BodyFaultKind::WrongType),
        (form(&[model, ("name=\"n\"", "99")]), BodyFaultKind::OutOfRange),
        (form(&[("x=\"y\"", "m")]), BodyFaultKind::Malformed),
        (form(&[model]).replace("--xyz--", ""), BodyFaultKind::Malformed),
        (String::new(), BodyFaultKind::Malformed),
    ] {
        assert_eq!(scan(body.as_bytes(), TYPE).unwrap_err().kind, kind, "{body}");
    }
}

#[test]
fn a_form_goes_on_with_our_own_content_type() {
    for (asked, sent) in [
        (
            "multipart/form-data; boundary=----WebKitFormBoundaryX",
            "multipart/form-data; boundary=----WebKitFormBoundaryX",
        ),
        ("multipart/form-data; boundary=0f3a9c-_.+'", "multipart/form-data; boundary=0f3a9c-_.+'"),
        ("Multipart/Form-Data;charset=\"utf;8\" ; Boundary=\"a-b\";", "multipart/form-data; boundary=a-b"),
        ("multipart/form-data; boundary=\"a b\"", "multipart/form-data; boundary=\"a b\""),
        ("multipart/form-data; boundary===1/2==", "multipart/form-data; boundary=\"==1/2==\""),
    ] {
        let boundary = head::boundary(asked).unwrap();
        let body = form(&[("name=\"model\"", "m")]).replace("xyz", boundary);
        assert_eq!(scan(body.as_bytes(), asked).unwrap().form_type(), Some(sent), "{asked}");
        assert_eq!(head::boundary(sent).unwrap(), boundary, "{asked}");
    }
    let longest = "x".repeat(70);
    assert_eq!(head::boundary(&format!("multipart/form-data; boundary={longest}")).unwrap(), longest);
}

#[test]
fn content_types_that_two_readers_could_read_two_ways_are_refused() {
    let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
    for asked in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data boundary=x",
        "multipart/form-datax; boundary=x",
        "application/json; boundary=x",
        "multipart/form-data; boundary=\"a;b\"",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=a; Boundary=a",
        "multipart/form-data; boundary=a; boundary*=utf-8''b",
        "multipart/form-data; boundary*=utf-8''b",
        "multipart/form-data; boundary*0=a; boundary*1=b",
        "multipart/form-data; boundary=\"a\\b\"",
        "multipart/form-data; boundary=\"a\\\"b\"",
        "multipart/form-data; boundary=a\\b",
        "multipart/form-data; x=\"\\\"; boundary=a; y=\"; boundary=b",
        "multipart/form-data; boundary=\"a \"",
        "multipart/form-data; boundary=a b",
        "multipart/form-data; boundary=\"a",
        "multipart/form-data; boundary=\"a\"b",
        "multipart/form-data; boundary=a\"b\"",
        "multipart/form-data; boundary =a",
        "multipart/form-data; boundary=a, multipart/form-data; boundary=b",
        "multipart/form-data; boundary=a_\u{e4}",
        &long,
    ] {
        assert_eq!(head::boundary(asked).unwrap_err().kind, BodyFaultKind::Malformed, "{asked}");
    }
}

#[test]
fn heads_of_parts_are_read_as_they_are_quoted() {
    for (head, name, is_file) in [
        ("name=\"file\"; filename=\"a; name=model.mp3\"", "file", true),
        ("filename=\"C:\\a.mp3\"; name=file", "file", true),
        ("name=\"file\"; filename=\"a.mp3\"; filename*=utf-8''%C3%A4.mp3", "file", true),
        ("NAME=file; FileName*=utf-8''a", "file", true),
        ("name=\"tags[]\";", "tags[]", false),
        ("name=\"a\"\r\ncontent-type: text/plain\r\nContent-Transfer-Encoding: 8bit", "a", false),
    ] {
        let read = head::disposition(format!("Content-Disposition: form-data; {head}").as_bytes()).unwrap();
        assert_eq!((read.name.as_str(), read.is_file), (name, is_file), "{head}");
    }
}

#[test]
fn heads_that_two_readers_could_read_two_ways_are_refused() {
    let disposition = "Content-Disposition: form-data; name=\"model\"";
    for head in [
        "name=\"x\"; name*=utf-8''model",
        "name=\"x\"; name*0=mo; name*1=del",
        "name=\"mo\\del\"",
        "name=\"mo%64el\"",
        "name=\"=?utf-8?q?model?=\"",
        "name=\"x\"; name=\"model\"",
        "name=\"x\"; Name=\"model\"",
        "name=\"x\"; filename=\"a\"; filename=\"b\"",
        "name=\"x\"; filename*=a; filename*=b",
        "name=\"x\"; filename*0=\"a\"",
        "name=\"x\"; filename=\"a\\\"; name=\"model\"",
        "name=\"x\"y; filename=\"a\"",
        "name=x\"; filename=\"a",
        "name=\"x",
        "name = \"model\"",
        "name",
        "filename=\"a\"",
        &format!("name=\"x\"\r\n{disposition}"),
        &format!("name=\"x\"\n{disposition}"),
        &format!("name=\"x\"\r{disposition}"),
        &format!("name=\"x\"\r\nA: b\n\n{disposition}"),
        "name=\"x\"\r\n ; filename=\"a\"",
        "name=\"x\"\r\nContent-Disposition : form-data; name=\"model\"",
        "name=\"x\"\r\nno field",
        "name=\"x\u{0}\"",
        "name=\"x\"\r\nContent-Transfer-Encoding: base64",
    ] {
        let body = form(&[("name=\"model\"", "m"), (head, "1")]);
        assert_eq!(scan(body.as_bytes(), TYPE).unwrap_err().kind, BodyFaultKind::Malformed, "{head}");
    }
    let attached = form(&[("name=\"model\"", "m")]).replace("form-data", "attachment");
    assert_eq!(scan(attached.as_bytes(), TYPE).unwrap_err().kind, BodyFaultKind::Malformed);
    for (head, kind) in [
        ("name=\" n\"", BodyFaultKind::Repeated),
        ("name=\"model[]\"", BodyFaultKind::Repeated),
        ("name=\" provider\"", BodyFaultKind::Repeated),
        ("name=\"n\"; filename=\"a\"", BodyFaultKind::WrongType),
    ] {
        let body = form(&[("name=\"model\"", "m"), (head, "1")]);
        assert_eq!(scan(body.as_bytes(), TYPE).unwrap_err().kind, kind, "{head}");
    }
}

#[test]
fn boundaries_that_only_some_readers_see_are_refused() {
    let whole = form(&[("name=\"model\"", "m")]);
    let hidden = "--xyz\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n9\r\n";
    for body in [
        format!("preamble\n{hidden}{whole}"),
        format!("{whole}{hidden}--xyz--\r\n"),
        form(&[("name=\"model\"", "m"), ("name=\"x\"", &format!("y\n{hidden}z"))]),
        form(&[("name=\"model\"", "m"), ("name=\"x\"", &format!("y\r{hidden}z"))]),
        form(&[("name=\"model\"", "m"), ("name=\"x\"", "--xyz--\r\n")]),
    ] {
        assert_eq!(scan(body.as_bytes(), TYPE).unwrap_err().kind, BodyFaultKind::Malformed, "{body}");
    }
    let inside = form(&[("name=\"model\"", "m"), ("name=\"x\"; filename=\"a\"", "binary--xyz")]);
    assert_eq!(scan(inside.as_bytes(), TYPE).unwrap().media_bytes, 11);
}
