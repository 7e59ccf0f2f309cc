//! The live page with five hundred made-up servers in an interruption, in a browser: it stays a page that people can read.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_types,
    clippy::disallowed_methods
)]

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use system_tests::browser::Browser;
use system_tests::cluster_run::PATIENCE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SERVERS: usize = 500;
const DOMAINS: usize = 4;
/// What the page draws of a domain at one time.
const SHOWN_AT_ONCE: usize = 60;

fn domain_of(server: usize) -> String {
    format!("feed-{}", server * DOMAINS / SERVERS)
}

/// A status as a PDP would give it, of an interruption that has gone on for ten minutes.
fn status() -> Value {
    let servers: Vec<Value> = (0..SERVERS)
        .map(|n| {
            json!({
                "name": format!("n{n:03}"), "pep": format!("n{n:03}"),
                "powered": if n % 10 == 9 { "OffCommanded" } else { "On" },
                "mains": "absent", "milliwatts": 150_000, "peak_milliwatts": 400_000, "domains": [domain_of(n)],
                "armed": true, "simulated": true
            })
        })
        .collect();
    let reserves: Vec<Value> = (0..SERVERS)
        .map(|n| {
            json!({
                "name": format!("ups-{n:03}"), "pep": format!("n{n:03}"), "capacity_millijoules": 360_000_000,
                "feeds": [format!("n{n:03}")], "charge_millijoules": 180_000_000, "cutoff_millijoules": 36_000_000,
                "age_millis": 1_000, "drawn_millijoules": 0, "charged_millijoules": 0,
                "drawn_in_interruption_millijoules": 0, "armed": true, "simulated": true
            })
        })
        .collect();
    let activities: Vec<Value> = (0..SERVERS * 10)
        .map(|n| {
            let host = format!("n{:03}", n / 10);
            let priority = 100 * (1 + n % 3);
            json!({
                "name": format!("work-{n:04}"), "set": format!("set-{priority}"), "priority": priority, "host": host,
                "home": host, "state": "running", "shed": priority == 100, "moving_to": null, "armed": true
            })
        })
        .collect();
    let lines: Vec<Value> = (0..SERVERS / 10)
        .map(|n| {
            let (from, to) = (n * 10 + 9, n * 10);
            json!({
                "name": format!("line-{n:02}"), "pep": "rack", "state": "closed",
                "reserves": [format!("ups-{from:03}")], "servers": [format!("n{to:03}")], "max_milliwatts": 500_000,
                "carries": [{"reserve": format!("ups-{from:03}"), "server": format!("n{to:03}"), "milliwatts": 120_000}],
                "armed": true
            })
        })
        .collect();
    let classes: Vec<Value> = [300, 200, 100]
        .iter()
        .map(|priority| {
            json!({
                "priority": priority, "sets": [format!("set-{priority}")], "activities": 1_666, "running": 1_000,
                "shed": 0, "target_millis": priority * 6_000, "ride_through_millis": priority * 7_000
            })
        })
        .collect();
    let domains: Vec<Value> = (0..DOMAINS)
        .map(|n| json!({"name": format!("feed-{n}"), "mains": "absent", "reason": "the rack says so"}))
        .collect();
    json!({
        "name": "large", "version": "0", "experimental": true, "warnings": [], "listen": "127.0.0.1:0", "web": null,
        "clock_scale": 1, "now_millis": 1_000_000, "term": 1, "client_types": [], "generation": 3,
        "phase": "Interrupted",
        "outage": {"id": "1-1", "cause": "domain_mains", "scope": "cluster", "elapsed_millis": 600_000, "mains_good_millis": 0},
        "plan": {"generation": 3, "cause": "domain_mains", "age_millis": 1_000, "stages": 0, "released": 0,
                 "outstanding": 0, "next": null},
        "classes": classes, "peers": [], "domains": domains, "servers": servers, "reserves": reserves, "lines": lines,
        "activities": activities, "alarms": [],
        "counts": {"plans": 3, "violations": 0, "alarms": 0, "connections_refused": 0, "journal_works": true},
        "last_event": 3
    })
}

/// Two plans that this interruption has had, as events; and one of an earlier one, which does not count.
fn events() -> String {
    let plan = |seq: u64, interruption: &str, elapsed: u64, factor: u64| {
        let classes: Vec<Value> = [300, 200, 100]
            .iter()
            .map(|priority| {
                json!({"priority": priority, "target_millis": null, "ride_through_millis": priority * factor})
            })
            .collect();
        let event = json!({
            "seq": seq, "kind": "plan_issued", "at_millis": 1_000 * seq, "elapsed_millis": elapsed,
            "interruption": interruption, "subject": "", "text": format!("plan {seq}"), "data": {"classes": classes}
        });
        format!("id: {seq}\ndata: {event}\n\n")
    };
    plan(1, "1-0", 5_000, 100) + &plan(2, "1-1", 3_000, 5_000) + &plan(3, "1-1", 300_000, 6_000)
}

async fn serve_one(mut stream: TcpStream, status: Arc<String>) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut part = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut part).await?;
        if count == 0 {
            return Ok(());
        }
        head.extend_from_slice(&part[..count]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head
        .split(' ')
        .nth(1)
        .unwrap_or("/")
        .split('?')
        .next()
        .unwrap_or("/")
        .to_owned();
    let (content_type, body) = match path.as_str() {
        "/v1/me" => (
            "application/json",
            json!({"name": "token wall", "role": "viewer"}).to_string(),
        ),
        "/v1/status" => ("application/json", status.to_string()),
        "/v1/plan" => ("application/json", "null".to_owned()),
        "/v1/events" => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(events().as_bytes()).await?;
            loop {
                // As a PDP does, so that the page knows that it is heard.
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                stream.write_all(b": alive\n\n").await?;
            }
        }
        path => {
            let name = if path == "/" { "/index.html" } else { path };
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pdp-server/src/io/web/page");
            let content_type = match name.rsplit('.').next() {
                Some("js") => "text/javascript",
                Some("css") => "text/css",
                Some("svg") => "image/svg+xml",
                _ => "text/html",
            };
            let text = std::fs::read_to_string(folder.join(&name[1..])).unwrap_or_default();
            (content_type, text)
        }
    };
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_servers_are_grouped_found_and_drawn_in_part() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let status = Arc::new(status().to_string());
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_one(stream, Arc::clone(&status)));
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let browser = Browser::start(folder.path()).await.unwrap();
    browser.page.goto(&url).await.unwrap();
    browser.type_into("token", "any\u{e007}").await.unwrap();
    let servers = "document.querySelectorAll('.server').length";
    let summary = "document.querySelector('.domain summary')";

    // A line a domain, and no server before one is opened.
    browser
        .until(
            &format!("document.querySelectorAll('.domain summary').length === {DOMAINS}"),
            PATIENCE,
        )
        .await
        .unwrap();
    assert_eq!(browser.value(servers).await.unwrap(), 0);
    let said = browser.value(&format!("{summary}.textContent")).await.unwrap();
    let said = said.as_str().unwrap().to_owned();
    assert!(
        said.starts_with("125 servers, ") && said.contains(" off, "),
        "{said}"
    );

    // Each class's expectation has its past: two plans and now, and not the plan of another interruption.
    browser
        .until(
            "document.querySelectorAll('#plot .expected').length === 3",
            PATIENCE,
        )
        .await
        .unwrap();
    browser
        .until(
            "document.querySelector('#plot .expected').getAttribute('points').split(' ').length === 3",
            PATIENCE,
        )
        .await
        .unwrap();

    // Opened by keyboard, it shows some, and more when asked; the focus stays.
    browser
        .value(&format!("({summary}.focus(), {summary}.click(), 1)"))
        .await
        .unwrap();
    browser
        .until(&format!("{servers} === {SHOWN_AT_ONCE}"), PATIENCE)
        .await
        .unwrap();
    browser
        .until("document.activeElement.localName === 'summary'", PATIENCE)
        .await
        .unwrap();
    browser
        .value("(document.querySelector('.domain button.more').click(), 1)")
        .await
        .unwrap();
    browser
        .until(&format!("{servers} === {}", 2 * SHOWN_AT_ONCE), PATIENCE)
        .await
        .unwrap();

    // Whoever looks for one activity finds its server.
    browser.type_into("find", "work-4321").await.unwrap();
    browser
        .until(
            &format!("{servers} === 1 && document.querySelector('.server').dataset.server === 'n432'"),
            PATIENCE,
        )
        .await
        .unwrap();
    browser.type_into("find", "x").await.unwrap();
    browser
        .until(
            "document.getElementById('cluster').textContent.startsWith('Nothing has this')",
            PATIENCE,
        )
        .await
        .unwrap();
    serving.abort();
}
