//! Commands to servers, mains and the fault hooks of reserves.

use super::event::PlantEventKind;
use super::{Plant, PlantError, ServerPower};
use std::sync::Arc;

impl Plant {
    /// The mains of a domain goes away; nothing happens if it is away.
    ///
    /// # Errors
    /// Unknown domain.
    pub fn fail_mains(&mut self, domain: &str) -> Result<(), PlantError> {
        let d = self.domain_index(domain)?;
        self.change_mains(d, false);
        Ok(())
    }

    /// The mains of a domain comes back; nothing happens if it is there.
    ///
    /// # Errors
    /// Unknown domain.
    pub fn restore_mains(&mut self, domain: &str) -> Result<(), PlantError> {
        let d = self.domain_index(domain)?;
        self.change_mains(d, true);
        Ok(())
    }

    pub(super) fn change_mains(&mut self, d: usize, present: bool) {
        if self.domains[d].present == present {
            return;
        }
        self.record_mains(d, present);
        self.domains[d].present = present;
        let domain = Arc::clone(&self.domains[d].name);
        self.events.push(
            self.now,
            if present {
                PlantEventKind::MainsRestored { domain }
            } else {
                PlantEventKind::MainsFailed { domain }
            },
        );
        for s in 0..self.servers.len() {
            self.look_at_inlets(s);
        }
        self.command_done();
    }

    /// Finds out whether a server has mains, and what follows from a change.
    pub(super) fn look_at_inlets(&mut self, s: usize) {
        let mains = self.servers[s]
            .inlets
            .iter()
            .any(|(domain, _)| self.domains[*domain].present);
        if self.servers[s].mains == mains {
            return;
        }
        self.servers[s].mains = mains;
        self.note_mains(s, mains);
        let server = &self.servers[s];
        if mains && server.power == ServerPower::Lost && server.config.starts_with_mains {
            self.boot(s);
        }
    }

    /// Begins a clean halt: what runs on the server is stopped cleanly, and it is off after its halt time.
    ///
    /// A server that is halting or off is left as it is.
    ///
    /// # Errors
    /// Unknown server, or one that is booting or without power.
    pub fn halt(&mut self, server: &str) -> Result<(), PlantError> {
        let s = self.server_index(server)?;
        if matches!(
            self.servers[s].power,
            ServerPower::Halting { .. } | ServerPower::Off
        ) {
            return Ok(());
        }
        self.expect_power(s, "on", |power| power == ServerPower::On)?;
        self.stop_activities_of(s, true);
        let until_millis = self.now + self.servers[s].config.halt_millis;
        self.servers[s].power = ServerPower::Halting { until_millis };
        let name = Arc::clone(&self.servers[s].name);
        self.events
            .push(self.now, PlantEventKind::ServerHalting { server: name });
        if until_millis == self.now {
            self.switch_off(s, true);
        }
        self.command_done();
        Ok(())
    }

    /// Cuts the power of a server at its outlet: what runs on it stops dirty.
    ///
    /// # Errors
    /// Unknown server.
    pub fn power_off(&mut self, server: &str) -> Result<(), PlantError> {
        let s = self.server_index(server)?;
        if self.servers[s].power != ServerPower::Off {
            self.stop_activities_of(s, false);
            self.switch_off(s, false);
            self.command_done();
        }
        Ok(())
    }

    /// Switches a server on: it boots, drawing idle and 0.3 of the span to its peak, and is on after its boot time.
    ///
    /// A server that is on or booting is left as it is.
    ///
    /// # Errors
    /// Unknown server, one without a starter, one that is halting, or one that nothing feeds.
    pub fn start(&mut self, server: &str) -> Result<(), PlantError> {
        let s = self.server_index(server)?;
        if matches!(
            self.servers[s].power,
            ServerPower::On | ServerPower::Booting { .. }
        ) {
            return Ok(());
        }
        if self.servers[s].config.starter.is_none() {
            return Err(PlantError::NoStarter(server.to_owned()));
        }
        self.expect_power(s, "off or without power", |power| !power.is_powered())?;
        if !self.has_feed(s) {
            return Err(PlantError::NoFeed(server.to_owned()));
        }
        self.boot(s);
        self.command_done();
        Ok(())
    }

    /// A fault hook: of the energy that this reserve says it has above its cut-off, only so many permille are there.
    ///
    /// Its readings go on as before at first, fall faster from then on, and reach the cut-off together with the truth.
    ///
    /// # Errors
    /// Unknown reserve, or more than 1000 permille.
    pub fn weaken_reserve(&mut self, reserve: &str, permille: u64) -> Result<(), PlantError> {
        let r = self.reserve_index(reserve)?;
        if permille > 1_000 {
            let what = format!("permille of reserve {reserve:?}");
            return Err(PlantError::OverLimit {
                what,
                wanted: permille,
                limit: 1_000,
            });
        }
        let reserve = &mut self.reserves[r];
        let said = reserve.said_charge_uj() - reserve.cutoff_uj;
        // No more than there is: a reserve that was weakened before does not get its energy back.
        let there = (u128::from(said) * u128::from(permille) / 1_000).min(reserve.available_uj().into());
        let there = u64::try_from(there).unwrap_or(reserve.available_uj());
        self.energies.never_there += u128::from(reserve.available_uj() - there);
        reserve.charge_uj = reserve.cutoff_uj + there;
        reserve.truth_permille = permille;
        if there == 0 {
            reserve.exhausted = true;
        }
        self.command_done();
        Ok(())
    }

    /// A fault hook: a failed reserve gives and takes nothing until it is repaired.
    ///
    /// # Errors
    /// Unknown reserve.
    pub fn set_reserve_failed(&mut self, reserve: &str, failed: bool) -> Result<(), PlantError> {
        let r = self.reserve_index(reserve)?;
        self.reserves[r].failed = failed;
        self.command_done();
        Ok(())
    }

    fn has_feed(&self, s: usize) -> bool {
        let gives = |r: usize| self.reserves[r].spare_output() > 0;
        let server = &self.servers[s];
        server.mains
            || server.supplies.iter().any(|r| gives(*r))
            || self
                .settings
                .iter()
                .any(|setting| setting.server == s && setting.is_live() && gives(setting.reserve))
    }

    fn boot(&mut self, s: usize) {
        let until_millis = self.now + self.servers[s].config.boot_millis;
        let server = Arc::clone(&self.servers[s].name);
        self.servers[s].power = ServerPower::Booting { until_millis };
        self.servers[s].starved_since = None;
        self.events
            .push(self.now, PlantEventKind::ServerBooting { server });
        if until_millis == self.now {
            self.booted(s);
        }
    }

    fn booted(&mut self, s: usize) {
        self.servers[s].power = ServerPower::On;
        let server = Arc::clone(&self.servers[s].name);
        self.events
            .push(self.now, PlantEventKind::ServerBooted { server });
    }

    fn switch_off(&mut self, s: usize, clean: bool) {
        self.servers[s].power = ServerPower::Off;
        self.servers[s].starved_since = None;
        let server = Arc::clone(&self.servers[s].name);
        self.events
            .push(self.now, PlantEventKind::ServerOff { server, clean });
    }

    /// The server could not be fed for as long as its PSU holds.
    pub(super) fn lose_power(&mut self, s: usize) {
        let server = Arc::clone(&self.servers[s].name);
        self.servers[s].power = ServerPower::Lost;
        self.servers[s].starved_since = None;
        self.events
            .push(self.now, PlantEventKind::ServerLostPower { server });
        self.stop_activities_of(s, false);
    }

    /// Ends boots and halts that are due.
    pub(super) fn finish_transitions(&mut self) {
        for s in 0..self.servers.len() {
            match self.servers[s].power {
                ServerPower::Booting { until_millis } if until_millis <= self.now => self.booted(s),
                ServerPower::Halting { until_millis } if until_millis <= self.now => self.switch_off(s, true),
                _ => {}
            }
        }
    }

    pub(super) fn expect_power(
        &self,
        s: usize,
        expected: &'static str,
        fits: impl Fn(ServerPower) -> bool,
    ) -> Result<(), PlantError> {
        let server = &self.servers[s];
        if fits(server.power) {
            return Ok(());
        }
        Err(PlantError::WrongPower {
            server: server.name.to_string(),
            power: server.power,
            expected,
        })
    }
}
