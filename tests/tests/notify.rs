//! `[[notify]]` on a real PDP: a webhook that fails at first, one that never answers, and a program.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_types,
    clippy::disallowed_methods
)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use pdp_server::api::CommandScope;
use power_policy::model::Phase;
use system_tests::cluster_run::{ClusterOptions, ClusterRun, PATIENCE};
use tokio::net::TcpListener;

/// What a webhook was sent: the header of authorisation, and the body.
type Received = Arc<Mutex<Vec<(String, String)>>>;

/// A webhook that is not well at first: it answers the first `ill` requests with 503.
async fn webhook(ill: usize) -> (std::net::SocketAddr, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let received = Received::default();
    let shared = Arc::clone(&received);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let shared = Arc::clone(&shared);
            let service = service_fn(move |request: Request<Incoming>| {
                let shared = Arc::clone(&shared);
                async move {
                    let authorization = request
                        .headers()
                        .get("authorization")
                        .map(|value| value.to_str().unwrap().to_owned())
                        .unwrap_or_default();
                    let body = request.into_body().collect().await?.to_bytes();
                    let mut list = shared.lock().unwrap();
                    list.push((authorization, String::from_utf8(body.to_vec()).unwrap()));
                    let status = if list.len() <= ill {
                        StatusCode::SERVICE_UNAVAILABLE
                    } else {
                        StatusCode::NO_CONTENT
                    };
                    let answer = Response::builder().status(status);
                    Ok::<_, hyper::Error>(answer.body(Full::new(bytes::Bytes::new())).unwrap())
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    (address, received)
}

async fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// A file that is there only when it is whole.
fn write(path: &Path, text: &str, mode: u32) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode)).unwrap();
    std::fs::rename(new, path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_told_in_order_again_where_that_failed_and_nobody_waits_for_who_does_not_answer() {
    let (address, received) = webhook(2).await;
    // Accepts, and says nothing for ever.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_address = silent.local_addr().unwrap();
    let files = tempfile::tempdir().unwrap();
    let told = files.path().join("told");
    let program = files.path().join("tell.sh");
    let token = files.path().join("token");
    write(&token, "a-token\n", 0o600);
    write(
        &program,
        &format!(
            "#!/bin/sh\n{{ cat; echo \" $PDP_EVENT_KIND\"; }} >> {}\n",
            told.display()
        ),
        0o700,
    );
    let tables = format!(
        r#"
[[notify]]
name = "good"
webhook = "http://{address}/hook?x=1"
token = "{}"
kinds = ["interruption", "shed"]

[[notify]]
name = "silent"
webhook = "http://{silent_address}/"
kinds = ["interruption"]
timeout_seconds = 1
attempts = 1

[[notify]]
name = "program"
command = ["{}"]
kinds = ["shed"]
"#,
        token.display(),
        program.display()
    );
    let options = ClusterOptions {
        tables,
        ..ClusterOptions::default()
    };
    let mut cluster = ClusterRun::start(&options).await.unwrap();
    cluster
        .pdp
        .admin()
        .interrupt("notify", CommandScope::Cluster)
        .await
        .unwrap();
    // The silent one holds up neither the engine nor the others.
    cluster
        .pdp
        .until("something is shed", |s| {
            s.phase == Phase::Interrupted && s.activities.iter().any(|a| a.shed)
        })
        .await
        .unwrap();
    wait_for("the webhook hears of what was shed", || {
        received
            .lock()
            .unwrap()
            .iter()
            .any(|(_, body)| body.contains("\"shed\""))
    })
    .await;
    let list = received.lock().unwrap().clone();
    assert!(
        list.iter().all(|(header, _)| header == "Bearer a-token"),
        "{list:?}"
    );
    // The first was sent three times, and the rest once each, in order.
    assert_eq!(list[0].1, list[1].1);
    assert_eq!(list[0].1, list[2].1);
    let seqs: Vec<u64> = list
        .iter()
        .skip(2)
        .map(|(_, body)| {
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["pdp"], "pdp1", "{body}");
            assert!(["interruption", "shed"].contains(&body["event"]["kind"].as_str().unwrap()));
            assert!(body["event"]["interruption"].is_string(), "{body}");
            body["event"]["seq"].as_u64().unwrap()
        })
        .collect();
    assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "{seqs:?}");
    wait_for("the program is run", || {
        std::fs::read_to_string(&told)
            .is_ok_and(|text| text.contains("\"kind\":\"shed\"") && text.contains(" shed\n"))
    })
    .await;
    let status = cluster
        .pdp
        .until("it is said who cannot be told", |s| {
            s.warnings
                .iter()
                .any(|w| w.contains("'silent' ([[notify]]) cannot be told"))
        })
        .await
        .unwrap();
    assert!(
        !status.warnings.iter().any(|w| w.contains("'good'")),
        "{:?}",
        status.warnings
    );
    drop(silent);
}
