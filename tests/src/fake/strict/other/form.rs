//! Forms with files, as `multipart/form-data` carries them.

use serde_json::{Map, Value, json};

/// One field of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub filename: Option<String>,
    pub content_type: String,
    pub data: Vec<u8>,
}

impl Field {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.data).into_owned()
    }
}

/// The fields of a body; none when it is not a form.
pub fn fields(content_type: &str, body: &[u8]) -> Option<Vec<Field>> {
    let boundary = content_type.split(';').find_map(|part| part.trim().strip_prefix("boundary="))?.trim_matches('"');
    let mark = format!("--{boundary}").into_bytes();
    let mut places: Vec<usize> = memchr::memmem::find_iter(body, &mark).collect();
    // A mark begins a line.
    places.retain(|at| *at == 0 || body[..*at].ends_with(b"\r\n"));
    let mut found = Vec::new();
    for pair in places.windows(2) {
        let part = &body[pair[0] + mark.len()..pair[1]];
        let part = part.strip_prefix(b"\r\n")?.strip_suffix(b"\r\n")?;
        let gap = memchr::memmem::find(part, b"\r\n\r\n")?;
        found.push(field(&String::from_utf8_lossy(&part[..gap]), &part[gap + 4..])?);
    }
    let end = &body[places.last()? + mark.len()..];
    end.starts_with(b"--").then_some(found)
}

fn field(head: &str, data: &[u8]) -> Option<Field> {
    let header = |name: &str| {
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    };
    let disposition = header("content-disposition")?;
    let value = |name: &str| {
        let begin = format!("{name}=");
        disposition
            .split(';')
            .find_map(|part| part.trim().strip_prefix(&begin))
            .map(|text| text.trim_matches('"').to_owned())
    };
    Some(Field {
        name: value("name")?,
        filename: value("filename"),
        content_type: header("content-type").unwrap_or_default().to_owned(),
        data: data.to_vec(),
    })
}

/// The form as JSON: texts as they are, of files the name, type and size.
pub fn shown(fields: &[Field]) -> Value {
    let mut members = Map::new();
    for field in fields {
        let value = match &field.filename {
            Some(name) => json!({"filename": name, "content_type": field.content_type, "bytes": field.data.len()}),
            None => json!(field.text()),
        };
        match members.get_mut(&field.name) {
            Some(Value::Array(several)) => several.push(value),
            Some(one) => *one = json!([one.clone(), value]),
            None => drop(members.insert(field.name.clone(), value)),
        }
    }
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_to_the_byte() {
        let body = b"--XX\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm-1\r\n--XX\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\ncontent-type: audio/wav\r\n\r\n\r\n--X\xff\r\n--XX--\r\n";
        let found = fields("multipart/form-data; boundary=XX", body).unwrap();
        assert_eq!((found[0].name.as_str(), found[0].text().as_str()), ("model", "m-1"));
        assert_eq!((found[1].filename.as_deref(), found[1].data.as_slice()), (Some("a.wav"), &b"\r\n--X\xff"[..]));
        assert_eq!(
            shown(&found),
            json!({"model": "m-1", "file": {"filename": "a.wav", "content_type": "audio/wav", "bytes": 6}})
        );
        assert_eq!(fields("multipart/form-data; boundary=XX", &body[..body.len() - 6]), None);
    }
}
