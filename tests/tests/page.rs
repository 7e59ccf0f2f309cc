//! The live page in a browser, on a real PDP in a real cluster.

#![allow(clippy::unwrap_used, clippy::disallowed_types, clippy::disallowed_methods)]

use std::os::unix::fs::PermissionsExt;

use power_policy::model::Phase;
use rustix::process::Signal;
use system_tests::browser::Browser;
use system_tests::cluster_run::{ClusterOptions, ClusterRun, PATIENCE, PdpRun, all_run};

/// SHA-256 of `op` and `vi`.
const TOKENS: &str = r#"
[[token]]
name = "anna"
role = "operator"
sha256_hex = "037aeaeaf4bbf26ddabe7256a8294dc52da48d575a1247b5c2598c47de7aebab"

[[token]]
name = "wall"
role = "viewer"
sha256_hex = "c0ff93ea8927a7366db0331e5fd9d19f438614c305b66cd24d7c873f77b63b7b"
"#;

const SHED: &str = "document.querySelectorAll('.set.shed').length";

fn shows(id: &str, start: &str) -> String {
    format!("document.getElementById('{id}').textContent.startsWith('{start}')")
}

async fn cluster() -> (ClusterRun, String) {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens.toml");
    std::fs::write(&tokens, TOKENS).unwrap();
    std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o600)).unwrap();
    let options = ClusterOptions {
        tables: "[web]\naddress = \"127.0.0.1:0\"\ntokens = \"tokens.toml\"\n".to_owned(),
        ..ClusterOptions::default()
    };
    let pdp = PdpRun::start(folder.path(), &options).await.unwrap();
    let address = pdp.address();
    let mut cluster = ClusterRun::with_agents_to(folder, pdp, address).await.unwrap();
    let status = cluster.pdp.until("people are served", |s| s.web.is_some()).await;
    (cluster, status.unwrap().web.unwrap())
}

async fn enter(browser: &Browser, url: &str, token: &str) {
    browser.page.goto(url).await.unwrap();
    browser.type_into("token", token).await.unwrap();
    browser
        .page
        .execute("document.querySelector('#enter button').click()", Vec::new())
        .await
        .unwrap();
    browser
        .until(&shows("phase", "All is well"), PATIENCE)
        .await
        .unwrap();
    browser
        .until("document.querySelectorAll('.server').length === 2", PATIENCE)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_is_commanded_from_the_page_and_followed_to_restoration() {
    let (mut cluster, url) = cluster().await;
    let browser = Browser::start(cluster.folder()).await.unwrap();
    enter(&browser, &url, "op").await;

    // What is about to be done is said, and the answer that does nothing is the one at hand.
    browser.click("interrupt").await.unwrap();
    browser
        .until("document.getElementById('confirm').open", PATIENCE)
        .await
        .unwrap();
    assert_eq!(
        browser.value("document.activeElement.id").await.unwrap(),
        "confirm-no"
    );
    browser.click("confirm-no").await.unwrap();
    assert_eq!(
        browser
            .value("document.getElementById('confirm').open")
            .await
            .unwrap(),
        false
    );
    browser.click("interrupt").await.unwrap();
    browser.click("confirm-yes").await.unwrap();
    browser
        .until(&shows("command-answer", "Done: "), PATIENCE)
        .await
        .unwrap();
    browser
        .until(&shows("phase", "Interruption: "), PATIENCE)
        .await
        .unwrap();
    browser.until(&format!("{SHED} > 0"), PATIENCE).await.unwrap();
    browser
        .until(&shows("why", "Why: an administrator commanded it"), PATIENCE)
        .await
        .unwrap();
    cluster
        .pdp
        .until("it is in force", |s| s.phase == Phase::Interrupted)
        .await
        .unwrap();

    browser.click("restore").await.unwrap();
    browser.click("confirm-yes").await.unwrap();
    browser
        .until(&shows("phase", "All is well"), PATIENCE)
        .await
        .unwrap();
    browser.until(&format!("{SHED} === 0"), PATIENCE).await.unwrap();
    cluster
        .pdp
        .until("everything runs again", |s| {
            s.phase == Phase::Normal && all_run(s)
        })
        .await
        .unwrap();

    let elsewhere =
        "performance.getEntriesByType('resource').filter((r) => !r.name.startsWith(location.origin)).length";
    assert_eq!(browser.value(elsewhere).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_cannot_command_and_sees_when_the_pdp_is_silent() {
    let (cluster, url) = cluster().await;
    let browser = Browser::start(cluster.folder()).await.unwrap();
    browser.page.goto(&url).await.unwrap();
    browser.type_into("token", "wrong\u{e007}").await.unwrap();
    browser
        .until(&shows("enter-problem", "This token does not count"), PATIENCE)
        .await
        .unwrap();
    enter(&browser, &url, "vi").await;

    assert_eq!(
        browser
            .value("document.getElementById('commands').hidden")
            .await
            .unwrap(),
        true
    );
    let tried = "const done = arguments[0]; fetch('/v1/interrupt', { method: 'POST', body: '{\"id\":\"v\",\"scope\":\"cluster\"}', \
                 headers: { Authorization: 'Bearer vi', 'Content-Type': 'application/json' } }).then((r) => done(r.status))";
    assert_eq!(browser.page.execute_async(tried, Vec::new()).await.unwrap(), 403);

    let stale = "!document.getElementById('stale').hidden";
    assert_eq!(browser.value(stale).await.unwrap(), false);
    cluster.pdp.signal(Signal::STOP).unwrap();
    browser.until(stale, PATIENCE).await.unwrap();
    assert_eq!(
        browser
            .value("document.getElementById('interrupt').disabled")
            .await
            .unwrap(),
        true
    );
    cluster.pdp.signal(Signal::CONT).unwrap();
    browser.until(&format!("!({stale})"), PATIENCE).await.unwrap();
}
