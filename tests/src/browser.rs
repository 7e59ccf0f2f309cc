//! A headless Chromium, driven over WebDriver; ended, with all that it started, when dropped.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tempfile::TempDir;

use crate::process::Program;

/// How long a browser may take to start on a machine that has other work.
const START_WITHIN: Duration = Duration::from_secs(60);
/// How long it may take to end once it is killed.
const END_WITHIN: Duration = Duration::from_secs(10);
/// How often the page is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A browser with one page.
pub struct Browser {
    /// What is sent to it.
    pub page: Client,
    driver: Program,
    _profile: TempDir,
}

impl Browser {
    /// Starts one; logs and profile in folders of their own.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(folder: &Path) -> Result<Self> {
        let profile = tempfile::tempdir().context("a folder for the browser")?;
        let mut command = Command::new("chromedriver");
        command
            .arg("--port=0")
            .env("TMPDIR", profile.path())
            .process_group(0);
        let mut driver = Program::start("chromedriver", &mut command, &folder.join("chromedriver.log"))?;
        driver.wait_until("its port", START_WITHIN, || chosen_port(folder).is_some())?;
        let port = chosen_port(folder).context("port of chromedriver")?;
        let data = profile.path().join("data");
        let options = serde_json::json!({
            "binary": "/usr/bin/chromium",
            "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic",
                "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--window-size=1400,1200", format!("--user-data-dir={}", data.display()),
            ],
        });
        let capabilities = [("goog:chromeOptions".to_owned(), options)].into_iter().collect();
        let page = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .with_context(|| driver.last_lines())?;
        Ok(Self {
            page,
            driver,
            _profile: profile,
        })
    }

    /// Clicks the element of this id.
    ///
    /// # Errors
    /// There is none that can be clicked.
    pub async fn click(&self, id: &str) -> Result<()> {
        let element = self.page.find(Locator::Id(id)).await;
        let element = element.with_context(|| format!("no #{id}"))?;
        element.click().await.with_context(|| format!("clicking #{id}"))
    }

    /// Types into the element of this id.
    ///
    /// # Errors
    /// There is none that takes text.
    pub async fn type_into(&self, id: &str, text: &str) -> Result<()> {
        let element = self.page.find(Locator::Id(id)).await;
        let element = element.with_context(|| format!("no #{id}"))?;
        element
            .send_keys(text)
            .await
            .with_context(|| format!("typing into #{id}"))
    }

    /// What an expression gives in the page.
    ///
    /// # Errors
    /// It fails there.
    pub async fn value(&self, expression: &str) -> Result<serde_json::Value> {
        let script = format!("return {expression}");
        let value = self.page.execute(&script, Vec::new()).await;
        value.with_context(|| expression.to_owned())
    }

    /// Waits until an expression holds in the page.
    ///
    /// # Errors
    /// It does not come to hold; with what the page shows.
    pub async fn until(&self, expression: &str, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            if self.value(expression).await? == serde_json::Value::Bool(true) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let shown = self.value("document.body.innerText").await?;
                bail!("not within {within:?}: {expression}; the page shows:\n{shown:#}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver leaves its browser alone when it ends, so all of its process group is ended.
        let group = i32::try_from(self.driver.pid()).ok().and_then(Pid::from_raw);
        let Some(group) = group else { return };
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.driver.kill();
        // Only then can the profile's folder be removed.
        let deadline = Instant::now() + END_WITHIN;
        while test_kill_process_group(group).is_ok() {
            if Instant::now() > deadline {
                eprintln!("the browser does not end within {END_WITHIN:?}");
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// The port that the driver says it has chosen.
fn chosen_port(folder: &Path) -> Option<u16> {
    let log = std::fs::read_to_string(folder.join("chromedriver.log")).ok()?;
    let (_, rest) = log.split_once("started successfully on port ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    // The whole number is there once what follows it is.
    rest.len().gt(&digits.len()).then(|| digits.parse().ok())?
}
