//! Every real thing of a file read once, without acting on any: what `check-config` finds wrong on this machine.

use std::time::Duration;

use futures::future::LocalBoxFuture;
use power_policy::model::Name;

use super::clock::BootClock;
use super::config::{AgentConfig, PlantEntry};
use super::run::assemble::furnish;
use crate::drivers::simulated::Simulation;
use crate::drivers::{ActivityDriver, DriverSet, HostDriver, LineDriver, ReadError, ReserveDriver};
use crate::engine::facts::ActivityKey;

/// What one look at a thing gave, in words.
type Look = LocalBoxFuture<'static, Result<String, ReadError>>;

/// Drivers that are read once.
#[derive(Default)]
struct Trial(Vec<(String, Look)>);

impl DriverSet for Trial {
    fn add_host(&mut self, name: Name, mut driver: Box<dyn HostDriver>, _poll: Duration) {
        let look = Box::pin(async move {
            let reading = driver.read().await;
            driver.close().await;
            Ok(format!("{:?}", reading?.server.powered).to_lowercase())
        });
        self.0.push((format!("server {name}"), look));
    }

    fn add_domain(&mut self, _domain: Name, _simulation: Simulation, _poll: Duration) {}

    fn add_reserve(&mut self, name: Name, mut driver: Box<dyn ReserveDriver>, _poll: Duration) {
        let look = Box::pin(async move {
            let reading = driver.read().await?;
            let charge = reading
                .charge_joules
                .map_or_else(|| "charge unknown".to_owned(), |joules| format!("{joules} J"));
            let state = format!("{:?}", reading.state).to_lowercase();
            let mains = format!("{:?}", reading.mains).to_lowercase();
            Ok(format!("{charge} ({}), {state}, mains {mains}", reading.note))
        });
        self.0.push((format!("reserve {name}"), look));
    }

    fn add_line(&mut self, name: Name, mut driver: Box<dyn LineDriver>, _poll: Duration) {
        let look = Box::pin(async move {
            let reading = driver.read().await;
            driver.close().await;
            let reading = reading?;
            let state = format!("{:?}", reading.state).to_lowercase();
            Ok(format!("{state}, {} joined", reading.joined.len()))
        });
        self.0.push((format!("line {name}"), look));
    }

    fn add_activity(&mut self, key: ActivityKey, mut driver: Box<dyn ActivityDriver>, _poll: Duration) {
        let look = Box::pin(async move {
            let reading = driver.read().await?;
            Ok(format!("{:?}", reading.state).to_lowercase())
        });
        self.0
            .push((format!("activity {} on {}", key.activity, key.server), look));
    }
}

/// Reads everything once, and says what came of it, a line each. Simulated things say nothing of this machine, and are
/// left out: of a file that has any, nothing is read.
pub(super) async fn read_once(config: &AgentConfig) -> Vec<String> {
    if !matches!(config.plant, PlantEntry::None) {
        return Vec::new();
    }
    let mut trial = Trial::default();
    if let Err(error) = furnish(config, BootClock::new(1), None, &mut trial).await {
        return vec![format!("warning: nothing was read: {error}")];
    }
    let looks = trial.0.into_iter().map(|(what, look)| async move {
        match look.await {
            Ok(found) => format!("now: {what}: {found}"),
            Err(error) => format!("warning: {what} cannot be read: {error}"),
        }
    });
    futures::future::join_all(looks).await
}
