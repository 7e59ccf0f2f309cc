//! The HTTP listener for people, on a real PDP in a real cluster: tokens, roles, commands and their audit, server-sent
//! events, limits. The page's own doing is the browser's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_types,
    clippy::disallowed_methods
)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use pdp_server::api::{CommandAnswer, CommandScope, Event, EventKind, Me, Problem, Role, Status};
use power_policy::model::Phase;
use system_tests::cluster_run::{ClusterOptions, ClusterRun, PATIENCE, PdpRun, all_run, is_complete};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const OPERATOR: &str = "0123456789abcdef-operator";
const VIEWER: &str = "0123456789abcdef-viewer";

/// SHA-256 of the two, from `printf %s TOKEN | sha256sum`.
const TOKENS: &str = r#"
[[token]]
name = "anna"
role = "operator"
sha256_hex = "04fa4f957446009c490c14cad2d8747c394a341626efe44eff2a7bfb6c0a4da2"

[[token]]
name = "wall"
role = "viewer"
sha256_hex = "8c82a6239ecb034614dd1af345332bed67f915d2e14f5a595be26a5c625acbfe"
"#;

fn write_tokens(folder: &Path, text: &str, mode: u32) {
    let new = folder.join("tokens.new");
    std::fs::write(&new, text).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode)).unwrap();
    std::fs::rename(new, folder.join("tokens.toml")).unwrap();
}

fn options() -> ClusterOptions {
    ClusterOptions {
        tables: "[web]\naddress = \"127.0.0.1:0\"\ntokens = \"tokens.toml\"\n".to_owned(),
        ..ClusterOptions::default()
    }
}

/// A PDP alone, with the address where people reach it.
async fn pdp(folder: &Path) -> (PdpRun, String) {
    write_tokens(folder, TOKENS, 0o600);
    let mut pdp = PdpRun::start(folder, &options()).await.unwrap();
    let web = people(&mut pdp).await;
    (pdp, web)
}

async fn people(pdp: &mut PdpRun) -> String {
    let status = pdp.until("people are served", |s| s.web.is_some()).await.unwrap();
    let url = status.web.unwrap();
    url.strip_prefix("http://")
        .unwrap()
        .trim_end_matches('/')
        .to_owned()
}

async fn send(web: &str, request: Request<Full<bytes::Bytes>>) -> Response<Incoming> {
    let stream = TcpStream::connect(web).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}

/// A connection from the loopback address 127.0.0.`last`.
async fn from(last: u8, web: &str) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, last], 0).into()).unwrap();
    socket.connect(web.parse().unwrap()).await.unwrap()
}

/// Whether a further connection from there is closed without a word.
async fn is_closed_at_once(last: u8, web: &str) -> bool {
    // One whose connecting the PDP has not seen yet holds no place: a few are tried.
    for _ in 0..8 {
        let mut stream = from(last, web).await;
        let mut octet = [0; 1];
        let quick = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut octet)).await;
        if matches!(quick, Ok(Ok(0) | Err(_))) {
            return true;
        }
    }
    false
}

/// What a viewer is answered there.
async fn ask_from(last: u8, web: &str, path: &str) -> (StatusCode, String) {
    let stream = from(last, web).await;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let response = sender
        .send_request(request("GET", path, Some(VIEWER), ""))
        .await
        .unwrap();
    let status = response.status();
    let octets = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(octets.to_vec()).unwrap())
}

fn request(method: &str, path: &str, token: Option<&str>, body: &str) -> Request<Full<bytes::Bytes>> {
    let mut builder = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "pdp")
        .header("content-type", "application/json");
    if let Some(token) = token {
        builder = builder.header("authorization", format!("Bearer {token}"));
    }
    builder.body(Full::new(body.to_owned().into())).unwrap()
}

async fn ask(web: &str, method: &str, path: &str, token: Option<&str>, body: &str) -> (StatusCode, String) {
    let response = send(web, request(method, path, token, body)).await;
    let status = response.status();
    let octets = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(octets.to_vec()).unwrap())
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_token_that_counts_opens_the_api_and_only_an_operators_commands() {
    let folder = tempfile::tempdir().unwrap();
    let (_pdp, web) = pdp(folder.path()).await;
    for path in [
        "/v1/status",
        "/v1/plan",
        "/v1/explain",
        "/v1/snapshot",
        "/v1/history",
        "/v1/events",
        "/v1/me",
        "/metrics",
        "/no-such-path",
    ] {
        for token in [None, Some("wrong"), Some("")] {
            let response = send(&web, request("GET", path, token, "")).await;
            assert_eq!(
                response.status(),
                StatusCode::UNAUTHORIZED,
                "{path} with {token:?}"
            );
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
        }
    }
    let (code, text) = ask(&web, "GET", "/v1/me", Some(VIEWER), "").await;
    assert_eq!(code, StatusCode::OK);
    let expected = Me {
        name: "token wall".to_owned(),
        role: Role::Viewer,
    };
    assert_eq!(read::<Me>(&text), expected);
    let (code, text) = ask(&web, "GET", "/v1/status", Some(VIEWER), "").await;
    assert_eq!(
        (code, read::<Status>(&text).name),
        (StatusCode::OK, "pdp1".to_owned())
    );
    let (code, _) = ask(&web, "GET", "/metrics", Some(VIEWER), "").await;
    assert_eq!(code, StatusCode::OK);
    for (path, body) in [
        ("/v1/interrupt", "{\"id\":\"v\",\"scope\":\"cluster\"}"),
        ("/v1/drill", "{\"id\":\"v\",\"scope\":\"cluster\"}"),
        ("/v1/restore", "{\"id\":\"v\"}"),
        ("/v1/availability", "{\"id\":\"v\",\"availability\":\"drain\"}"),
    ] {
        let (code, text) = ask(&web, "POST", path, Some(VIEWER), body).await;
        assert_eq!(code, StatusCode::FORBIDDEN, "{path}");
        assert!(read::<Problem>(&text).error.contains("is a viewer"), "{text}");
        let (code, _) = ask(&web, "POST", path, None, body).await;
        assert_eq!(code, StatusCode::UNAUTHORIZED, "{path}");
    }
    // Whoever is taken out of the file is out at once.
    let (gone, _) = TOKENS.split_at(TOKENS.rfind("[[token]]").unwrap());
    write_tokens(folder.path(), gone, 0o600);
    let (code, _) = ask(&web, "GET", "/v1/status", Some(VIEWER), "").await;
    assert_eq!(code, StatusCode::UNAUTHORIZED);
    let (code, _) = ask(&web, "GET", "/v1/status", Some(OPERATOR), "").await;
    assert_eq!(code, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_token_is_taken_out() {
    let folder = tempfile::tempdir().unwrap();
    let (_pdp, web) = pdp(folder.path()).await;
    let response = send(&web, request("GET", "/v1/events?since=0", Some(VIEWER), "")).await;
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    assert!(body.frame().await.unwrap().unwrap().is_data());
    write_tokens(folder.path(), "", 0o600);
    let end = async { while body.frame().await.is_some() {} };
    tokio::time::timeout(PATIENCE, end)
        .await
        .expect("the stream ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_may_do_nothing_but_what_the_page_does() {
    let folder = tempfile::tempdir().unwrap();
    let (_pdp, web) = pdp(folder.path()).await;
    let response = send(&web, request("GET", "/", None, "")).await;
    assert_eq!(response.status(), StatusCode::OK);
    let policy = response.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'"),
        "{policy}"
    );
    assert!(
        !policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    let octets = response.into_body().collect().await.unwrap().to_bytes();
    let page = String::from_utf8(octets.to_vec()).unwrap();
    // Each file that the page names is there, and none is elsewhere.
    for attribute in ["src=\"", "href=\""] {
        for name in page
            .split(attribute)
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
        {
            assert!(!name.contains("//"), "{name}");
            if !name.starts_with('#') {
                let (code, _) = ask(&web, "GET", &format!("/{name}"), None, "").await;
                assert_eq!(code, StatusCode::OK, "{name}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_exceeds_a_limit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_pdp, web) = pdp(folder.path()).await;
    let long = format!("{{\"id\":\"{}\"}}", "x".repeat(70_000));
    let (code, _) = ask(&web, "POST", "/v1/restore", Some(OPERATOR), &long).await;
    assert_eq!(code, StatusCode::PAYLOAD_TOO_LARGE);
    let (code, text) = ask(&web, "POST", "/v1/restore", Some(OPERATOR), "{\"id\":\"\"}").await;
    assert_eq!(code, StatusCode::BAD_REQUEST, "{text}");
    let (code, text) = ask(
        &web,
        "POST",
        "/v1/restore",
        Some(OPERATOR),
        "{\"id\":\"a\",\"x\":1}",
    )
    .await;
    assert!(code.is_client_error(), "{code} {text}");
    let mut stream = TcpStream::connect(&web).await.unwrap();
    // The head is cut off long before its end; writing may fail by then.
    let head = format!("GET / HTTP/1.1\r\nhost: pdp\r\nx: {}\r\n\r\n", "x".repeat(40_000));
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("it is closed");
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"),
        "{}",
        String::from_utf8_lossy(&answer)
    );

    // One more of an address than it has places for is closed; those that are there go on, and other addresses are served.
    let mut open = Vec::new();
    for _ in 0..pdp_server::limits::MAX_WEB_CONNECTIONS_PER_ADDRESS {
        open.push(from(1, &web).await);
    }
    assert!(
        is_closed_at_once(1, &web).await,
        "one address has as many as it wants"
    );
    let (code, _) = ask_from(9, &web, "/v1/me").await;
    assert_eq!(code, StatusCode::OK);
    // And one more of all than there are places for.
    let mut address = 2;
    while open.len() < pdp_server::limits::MAX_WEB_CONNECTIONS {
        open.push(from(address, &web).await);
        address = if address == 8 { 2 } else { address + 1 };
    }
    assert!(is_closed_at_once(9, &web).await, "as many as want to are let in");
    // Those that say nothing lose their places in time.
    let silent = async {
        for stream in &mut open {
            let mut octet = [0; 1];
            let _ = stream.read(&mut octet).await;
        }
    };
    tokio::time::timeout(PATIENCE, silent)
        .await
        .expect("silent connections are closed");
    let (code, _) = ask(&web, "GET", "/v1/me", Some(VIEWER), "").await;
    assert_eq!(code, StatusCode::OK);
}

/// The next event of a stream of server-sent events that is of this kind.
async fn next_of(body: &mut Incoming, text: &mut String, kind: EventKind) -> Event {
    let wait = async {
        loop {
            while let Some((part, rest)) = text.split_once("\n\n") {
                let data = part.lines().find_map(|line| line.strip_prefix("data: "));
                let event = data.map(read::<Event>);
                if let Some(event) = &event {
                    assert!(part.contains(&format!("id: {}\n", event.seq)), "{part}");
                }
                *text = rest.to_owned();
                if let Some(event) = event.filter(|event| event.kind == kind) {
                    return event;
                }
            }
            let frame = body.frame().await.expect("the stream goes on").unwrap();
            text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("the event comes")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_is_commanded_once_followed_to_restoration_and_audited() {
    let folder = tempfile::tempdir().unwrap();
    let (pdp, web) = pdp(folder.path()).await;
    let address = pdp.address();
    let mut cluster = ClusterRun::with_agents_to(folder, pdp, address).await.unwrap();
    let mut stream = request("GET", "/v1/events?since=0", Some(VIEWER), "");
    stream
        .headers_mut()
        .insert("accept", "text/event-stream".parse().unwrap());
    let response = send(&web, stream).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (mut body, mut text) = (response.into_body(), String::new());

    let command = "{\"id\":\"once\",\"scope\":\"cluster\"}";
    let (code, first) = ask(&web, "POST", "/v1/interrupt", Some(OPERATOR), command).await;
    assert_eq!(code, StatusCode::OK, "{first}");
    let (_, second) = ask(&web, "POST", "/v1/interrupt", Some(OPERATOR), command).await;
    let (first, second) = (read::<CommandAnswer>(&first), read::<CommandAnswer>(&second));
    assert!(first.done && !first.repeated && second.repeated);
    assert_eq!(first.text, second.text);
    assert_eq!(
        next_of(&mut body, &mut text, EventKind::Command).await.subject,
        "once"
    );
    next_of(&mut body, &mut text, EventKind::Shed).await;
    cluster
        .pdp
        .until("it is in force", |s| s.phase == Phase::Interrupted)
        .await
        .unwrap();

    let (code, answer) = ask(&web, "POST", "/v1/restore", Some(OPERATOR), "{\"id\":\"back\"}").await;
    assert_eq!(code, StatusCode::OK, "{answer}");
    next_of(&mut body, &mut text, EventKind::Restored).await;
    cluster
        .pdp
        .until("everything runs again", |s| {
            s.phase == Phase::Normal && all_run(s) && is_complete(s)
        })
        .await
        .unwrap();
    // The same over the Unix socket is of this user.
    cluster
        .pdp
        .admin()
        .interrupt("once", CommandScope::Cluster)
        .await
        .unwrap();

    let journal = rusqlite::Connection::open(cluster.folder().join("journal.sqlite")).unwrap();
    let mut rows = journal
        .prepare("SELECT body FROM record WHERE kind = 'audit' ORDER BY seq")
        .unwrap();
    let audit: Vec<serde_json::Value> = rows
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap()
        .map(|body| serde_json::from_str(&body.unwrap()).unwrap())
        .collect();
    let of = |id: &str| -> Vec<(String, String, Option<String>)> {
        let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        audit
            .iter()
            .filter(|a| a["id"] == id)
            .map(|a| {
                (
                    word(&a["by"]),
                    word(&a["command"]),
                    a["answer"].as_str().map(str::to_owned),
                )
            })
            .collect()
    };
    let once = of("once");
    assert_eq!(once.len(), 6, "{once:?}");
    assert_eq!(
        once[0],
        ("token anna".to_owned(), "interrupt cluster".to_owned(), None)
    );
    assert!(once[1].2.as_ref().unwrap().starts_with("done: "), "{once:?}");
    assert!(
        once[3].2.as_ref().unwrap().starts_with("done, as before: "),
        "{once:?}"
    );
    assert!(once[5].0.starts_with("uid "), "{once:?}");
    assert_eq!(of("back").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_tokens_that_others_may_read_keeps_the_pdp_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    write_tokens(folder.path(), TOKENS, 0o644);
    let refused = PdpRun::start(folder.path(), &options()).await.unwrap_err();
    assert!(
        format!("{refused:#}").contains("tokens.toml: expected a file that only its owner"),
        "{refused:#}"
    );
}
