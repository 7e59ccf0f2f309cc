//! The admin socket: who may have it, what is answered, and the exit status of a wrong file.

#![allow(clippy::unwrap_used, clippy::disallowed_types, clippy::disallowed_methods)]

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::Command;

use pdp_server::api::{CommandAnswer, CommandScope, Event, EventKind, Problem};
use pdp_server::io::admin::{self, AdminCall, AdminClient, AdminHandle, ClientError, EventLog};

#[tokio::test]
async fn the_socket_is_the_owners_and_one_of_a_dead_pdp_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pdp.sock");
    // A listener that is gone leaves its file behind.
    drop(UnixListener::bind(&path).unwrap());
    let socket = admin::bind(&path).await.unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let second = admin::bind(&path).await.unwrap_err();
    assert!(
        second.to_string().starts_with("another PDP listens on "),
        "{second}"
    );
    drop(socket);
    assert!(!path.exists());
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("precious");
    std::fs::write(&path, "data").unwrap();
    let refused = admin::bind(&path).await.unwrap_err();
    assert!(refused.to_string().contains("is no socket"), "{refused}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "data");
}

#[tokio::test]
async fn commands_reach_the_loop_and_events_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pdp.sock");
    let log = EventLog::default();
    let (handle, mut calls) = AdminHandle::new(log.clone());
    let server = tokio::spawn(admin::serve(admin::bind(&path).await.unwrap(), handle));
    let answering = tokio::spawn(async move {
        while let Some(call) = calls.recv().await {
            match call {
                AdminCall::Interrupt(request, _, reply) if request.scope == CommandScope::Cluster => {
                    let answer = CommandAnswer {
                        id: request.id,
                        done: true,
                        text: "as told".into(),
                        repeated: false,
                    };
                    reply.send(Ok(answer)).unwrap();
                }
                AdminCall::Interrupt(_, _, reply) => {
                    reply
                        .send(Err(Problem {
                            error: "no such domain".into(),
                        }))
                        .unwrap();
                }
                _ => {}
            }
        }
    });
    let client = AdminClient::new(&path);
    assert_eq!(
        client.interrupt("one", CommandScope::Cluster).await.unwrap().text,
        "as told"
    );
    let refused = client
        .interrupt("two", CommandScope::Domain("x".into()))
        .await
        .unwrap_err();
    assert_eq!(refused.to_string(), "no such domain");
    let bad_id = client.interrupt("", CommandScope::Cluster).await.unwrap_err();
    assert!(
        matches!(&bad_id, ClientError::Refused(text) if text.starts_with("id: expected 1 to ")),
        "{bad_id}"
    );

    let mut events = client.events(Some(0)).await.unwrap();
    for seq in 1..=2 {
        log.push(Event {
            seq,
            kind: EventKind::Alarm,
            at_millis: 0,
            elapsed_millis: None,
            interruption: None,
            subject: "s".into(),
            text: format!("event {seq}"),
            data: serde_json::Value::Null,
        });
    }
    assert_eq!(events.next().await.unwrap().unwrap().text, "event 1");
    assert_eq!(events.next().await.unwrap().unwrap().text, "event 2");
    log.close();
    assert!(events.next().await.unwrap().is_none());
    answering.abort();
    server.abort();
    let _ = server.await;
    let gone = client.status().await.unwrap_err();
    assert!(matches!(gone, ClientError::NoPdp { .. }), "{gone}");
}

#[test]
fn a_file_that_is_not_there_is_a_wrong_command() {
    let output = Command::new(env!("CARGO_BIN_EXE_pdp-server"))
        .args(["check-config", "/nonexistent/pdp.toml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("/nonexistent/pdp.toml"), "{said}");
}

#[tokio::test]
async fn a_pdp_that_does_not_answer_is_said_to_be_silent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pdp.sock");
    // It takes connections, and says nothing.
    let listener = UnixListener::bind(&path).unwrap();
    let client = AdminClient::new(&path).with_patience(std::time::Duration::from_millis(50));
    let silent = client.status().await.unwrap_err();
    assert!(matches!(silent, ClientError::Silent { .. }), "{silent}");
    let silent = client.restore("r1").await.unwrap_err();
    assert!(silent.to_string().contains("did not answer within"), "{silent}");
    let silent = client.events(None).await.unwrap_err();
    assert!(matches!(silent, ClientError::Silent { .. }), "{silent}");
    drop(listener);
}

#[tokio::test]
async fn events_that_a_slow_reader_lost_are_counted() {
    use std::io::{Read, Write};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pdp.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let pdp = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0_u8; 1_024];
        assert!(stream.read(&mut request).unwrap() > 0);
        let lines = "{\"lost\":3}\n{\"lost\":4}\n{\"seq\":9,\"kind\":\"pdp\",\"at_millis\":1,\"elapsed_millis\":null,\
                     \"subject\":\"\",\"text\":\"t\"}\n";
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{lines}",
            lines.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
    });
    let mut events = AdminClient::new(&path).events(None).await.unwrap();
    assert_eq!(events.lost(), 0);
    assert_eq!(events.next().await.unwrap().unwrap().seq, 9);
    assert_eq!(events.lost(), 7);
    assert_eq!(events.next().await.unwrap(), None);
    pdp.join().unwrap();
}
