//! Whoever has no right gets nothing: every admin method refuses a stranger, a viewer gets the few that are listed here
//! with the reason, and an organisation's people never reach another organisation.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut};
use http::uri::PathAndQuery;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tollgate_tests::actors::Operator;
use tollgate_tests::house::House;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status};

/// What somebody who may only look may call, and why.
const A_VIEWER_MAY: &[(&str, &str)] = &[
    ("OrgsService/GetOrg", "it is the viewer's own organisation"),
    ("NamesService/GetNames", "it is the viewer's own organisation"),
    ("OrgsService/ListOrgs", "the list has the viewer's own organisation alone"),
    ("FleetService/WaitForRevision", "whoever read a revision may wait until it is everywhere"),
    ("FleetService/GetVersion", "whoever may call at all may know what answers"),
    ("KeysService/GetKey", "key texts are never in it"),
    ("KeysService/ListKeys", "key texts are never in it"),
    ("CreditsService/GetBalance", "a viewer may see what is left"),
    ("CreditsService/ListEntries", "a viewer may see where it went"),
    ("UsageService/ListUsage", "a viewer may see what was used"),
    ("UsageService/GetUsage", "a viewer may see what was used"),
    ("RoutesService/Simulate", "it is told of the viewer's own organisation"),
    ("CatalogService/ListModels", "the catalogue is for everybody"),
    ("ProvidersService/ListProviders", "the catalogue is for everybody; credentials are never in it"),
];

/// Messages as bytes, so that one client can call every method.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}

async fn call(
    channel: tonic::transport::Channel,
    path: &str,
    token: Option<&str>,
    body: Vec<u8>,
) -> Result<Vec<u8>, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.expect("the admin port");
    let mut request = Request::new(body);
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let path: PathAndQuery = path.parse().unwrap();
    client.unary(request, path, Raw).await.map(tonic::Response::into_inner)
}

/// `KeysService/CreateKey` and its path, for every method of the admin API.
fn methods() -> BTreeMap<String, String> {
    let set = FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap();
    let mut found = BTreeMap::new();
    for file in set.file.iter().filter(|file| file.package() == "tollgate.admin.v1") {
        for service in &file.service {
            for method in &service.method {
                assert!(!method.client_streaming(), "gRPC-Web cannot carry {}", method.name());
                let name = format!("{}/{}", service.name(), method.name());
                found.insert(name.clone(), format!("/tollgate.admin.v1.{name}"));
            }
        }
    }
    assert!(found.len() >= 20, "{found:?}");
    found
}

#[tokio::test]
async fn every_method_refuses_strangers() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let operator = house.operator().await;
    let revoked = house.admin(&["tokens", "create", "--org", &org.id, "--name", "gone"]).await;
    house.admin(&["tokens", "revoke", revoked["id"].as_str().unwrap()]).await;
    for (name, path) in methods() {
        for token in [None, Some(""), Some("nonsense"), Some(org.key.as_str()), revoked["token"].as_str()] {
            let status = call(operator.channel(), &path, token, Vec::new()).await.err();
            assert_eq!(status.map(|status| status.code()), Some(Code::Unauthenticated), "{name} with {token:?}");
        }
    }
}

#[tokio::test]
async fn every_method_refuses_a_viewer_unless_it_is_listed() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let operator = house.operator().await;
    let viewer = operator.token(&org.id, "viewer").await;
    let methods = methods();
    for (listed, _) in A_VIEWER_MAY {
        assert!(methods.contains_key(*listed), "{listed} is listed and does not exist");
    }
    for (name, path) in methods {
        let answer = call(operator.channel(), &path, Some(&viewer), Vec::new()).await;
        let code = answer.map_or_else(|status| status.code(), |_| Code::Ok);
        let is_listed = A_VIEWER_MAY.iter().any(|(listed, _)| *listed == name);
        if is_listed {
            // With an empty message some have nothing to show; what counts is that the door is open.
            assert!(!matches!(code, Code::Unauthenticated | Code::Internal | Code::Unknown), "{name}: {code:?}");
        } else {
            assert!(matches!(code, Code::PermissionDenied | Code::NotFound), "{name}: {code:?}");
        }
    }
}

#[tokio::test]
async fn an_owner_never_reaches_another_organisation() {
    use proto::admin::*;
    let house = House::lab().await;
    let (own, other) = (house.org("1.00").await, house.org("1.00").await);
    let operator = house.operator().await;
    let token = operator.token(&own.id, "owner").await;
    let foreign_token = house.admin(&["tokens", "create", "--org", &other.id, "--name", "theirs"]).await;
    let their = |org: &str| -> Vec<(&'static str, Vec<u8>)> {
        let org = org.to_owned();
        vec![
            ("OrgsService/GetOrg", GetOrgRequest { id: org.clone() }.encode_to_vec()),
            (
                "OrgsService/UpdateOrg",
                UpdateOrgRequest { id: org.clone(), name: Some("Mine now".to_owned()), ..Default::default() }
                    .encode_to_vec(),
            ),
            ("NamesService/GetNames", GetNamesRequest { org: org.clone() }.encode_to_vec()),
            (
                "NamesService/SetAlias",
                SetAliasRequest { org: org.clone(), name: "a".to_owned(), models: vec!["lab/plain".to_owned()] }
                    .encode_to_vec(),
            ),
            (
                "KeysService/ListKeys",
                ListKeysRequest { org: org.clone(), ..ListKeysRequest::default() }.encode_to_vec(),
            ),
            (
                "KeysService/CreateKey",
                CreateKeyRequest { org: org.clone(), name: "k".to_owned(), ..CreateKeyRequest::default() }
                    .encode_to_vec(),
            ),
            ("CreditsService/GetBalance", GetBalanceRequest { org: org.clone() }.encode_to_vec()),
            (
                "CreditsService/ListEntries",
                ListEntriesRequest { org: org.clone(), ..ListEntriesRequest::default() }.encode_to_vec(),
            ),
            (
                "UsageService/ListUsage",
                ListUsageRequest { org: org.clone(), ..ListUsageRequest::default() }.encode_to_vec(),
            ),
            (
                "TokensService/CreateToken",
                CreateTokenRequest { org: org.clone(), name: "t".to_owned(), role: "viewer".to_owned() }
                    .encode_to_vec(),
            ),
            ("TokensService/ListTokens", ListTokensRequest { org: org.clone() }.encode_to_vec()),
            ("AuditService/ListAudit", ListAuditRequest { org, limit: 10, before: 0 }.encode_to_vec()),
        ]
    };
    let by_id = [
        (
            "KeysService/UpdateKey",
            UpdateKeyRequest { id: other.key_id.clone(), disabled: Some(true), ..UpdateKeyRequest::default() }
                .encode_to_vec(),
        ),
        ("KeysService/GetKey", GetKeyRequest { id: other.key_id.clone() }.encode_to_vec()),
        ("KeysService/RevokeKey", RevokeKeyRequest { id: other.key_id.clone() }.encode_to_vec()),
        ("KeysService/RotateKey", RotateKeyRequest { id: other.key_id.clone() }.encode_to_vec()),
        (
            "TokensService/RevokeToken",
            RevokeTokenRequest { id: foreign_token["id"].as_str().unwrap().to_owned() }.encode_to_vec(),
        ),
    ];
    let mut answers = BTreeMap::new();
    // An organisation that is not there and one that is not ours look the same.
    for org in [other.id.as_str(), "org_00000000000000000000000000"] {
        for (name, body) in their(org) {
            let answer = call(operator.channel(), &format!("/tollgate.admin.v1.{name}"), Some(&token), body).await;
            let status = answer.err().unwrap_or_else(|| panic!("{name} reached {org}"));
            assert_eq!(status.code(), Code::NotFound, "{name}: {status:?}");
            assert!(!status.message().contains(&own.id), "{name}: {status:?}");
            let before = answers.insert(name, status.message().replace(org, ""));
            assert!(before.is_none_or(|before| before == answers[name]), "{name} tells whether {org} exists");
        }
    }
    for (name, body) in by_id {
        let answer = call(operator.channel(), &format!("/tollgate.admin.v1.{name}"), Some(&token), body).await;
        assert_eq!(answer.err().map(|status| status.code()), Some(Code::NotFound), "{name}");
    }
    // The same calls on its own organisation work, so the refusals above are not an accident.
    for (name, body) in their(&own.id) {
        let answer = call(operator.channel(), &format!("/tollgate.admin.v1.{name}"), Some(&token), body).await;
        assert!(answer.is_ok(), "{name}: {answer:?}");
    }
    let client = house.client(0, &other.key);
    client.get("/v1/models").await.expect(200);
    let list = Operator::on(operator.channel(), &token).orgs().list_orgs(ListOrgsRequest::default()).await;
    if let Ok(list) = list {
        let ids: Vec<String> = list.into_inner().orgs.into_iter().map(|org| org.id).collect();
        assert_eq!(ids, [own.id]);
    }
}

#[tokio::test]
async fn an_owner_cannot_print_money() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let operator = house.operator().await;
    for role in ["owner", "admin", "billing", "member", "viewer"] {
        let token = operator.token(&org.id, role).await;
        let grant =
            proto::admin::GrantCreditsRequest { org: org.id.clone(), amount: "5".to_owned(), ..Default::default() };
        let somebody = Operator::on(operator.channel(), &token);
        let status =
            somebody.credits().grant_credits(grant).await.err().unwrap_or_else(|| panic!("a {role} printed money"));
        assert!(matches!(status.code(), Code::PermissionDenied | Code::NotFound), "{role}: {status:?}");
    }
    assert_eq!(house.balance(&org.id).await.funded, 1_000_000_000);
}

#[tokio::test]
async fn the_admin_port_tells_of_its_health_and_its_services() {
    let house = House::lab().await;
    let operator = house.operator().await;
    let health = call(operator.channel(), "/grpc.health.v1.Health/Check", None, Vec::new()).await.expect("health");
    assert_eq!(health, [8, 1], "not SERVING");
    // Tools ask in the newer form, in the older, or in both.
    for version in ["v1", "v1alpha"] {
        // ServerReflectionRequest { list_services: "*" } as one message of the stream.
        let list = vec![0x3a, 1, b'*'];
        let mut client = tonic::client::Grpc::new(operator.channel());
        client.ready().await.expect("the admin port");
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo").parse().unwrap();
        let request = Request::new(tokio_stream_of(list));
        let answer = client.streaming(request, path, Raw).await;
        let mut answer = answer.unwrap_or_else(|error| panic!("reflection {version}: {error}")).into_inner();
        let services = answer.message().await.expect("an answer").expect("a list");
        let services = String::from_utf8_lossy(&services);
        for service in ["KeysService", "CreditsService", "UsageService"] {
            assert!(services.contains(&format!("tollgate.admin.v1.{service}")), "{version}: {services}");
        }
    }
}

fn tokio_stream_of(message: Vec<u8>) -> impl futures_util::Stream<Item = Vec<u8>> {
    futures_util::stream::iter([message])
}
