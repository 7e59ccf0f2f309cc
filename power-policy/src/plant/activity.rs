//! Simulated activities: where they run, what they draw, and how long each outlived the mains.
//!
//! Their state lives here and not in an agent, so that an agent that is killed and started again finds them as they
//! are. A server that halts or loses power stops its activities; nothing but a command starts them again.

use super::config::check_name;
use super::event::PlantEventKind;
use super::{Plant, PlantError, ServerPower, limits};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// An activity on one server.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Activity {
    pub(super) name: Arc<str>,
    pub(super) server: usize,
    pub(super) track: usize,
    /// Its figure, in milliwatts.
    pub(super) milliwatts: u64,
    pub(super) running: bool,
    pub(super) stopped: Option<StopRecord>,
}

/// When and how an activity stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRecord {
    /// Instant of the plant's time, in milliseconds.
    pub at_millis: u64,
    /// False when its server lost power under it.
    pub clean: bool,
}

/// An activity by its name, on whichever servers it runs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Track {
    pub(super) name: Arc<str>,
    key: u64,
    running_on: u32,
    running_since: u64,
    rides: Vec<Ride>,
    rides_dropped: u64,
}

#[derive(Clone, Debug, PartialEq)]
struct Ride {
    server: usize,
    lost_millis: u64,
    ended: Option<StopRecord>,
    restored_millis: Option<u64>,
    running_millis: u64,
}

/// How an activity rode through one loss of mains under the server it ran on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RideThrough {
    /// The server it ran on when that server's last inlet lost its mains.
    pub server: Arc<str>,
    /// When that was, in milliseconds of the plant's time.
    pub lost_millis: u64,
    /// When it first ran nowhere any more; `None`: it never stopped.
    pub ended: Option<StopRecord>,
    /// When that server had mains again; `None`: not yet.
    pub restored_millis: Option<u64>,
    /// How long it ran between the two, wherever, and after a restart too, in milliseconds.
    pub running_millis: u64,
    /// Its ride-through time in milliseconds: from the loss to its end, or to the return of the mains, or to now.
    pub ride_through_millis: u64,
}

/// Every ride-through of one activity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityReport {
    /// The activity.
    pub activity: Arc<str>,
    /// Servers that it runs on now.
    pub running_on: Vec<Arc<str>>,
    /// Its ride-throughs, oldest first.
    pub rides: Vec<RideThrough>,
    /// Later ride-throughs that were not kept ([`limits::MAX_RIDES`]).
    pub rides_dropped: u64,
}

impl Track {
    fn open_ride(&mut self) -> Option<&mut Ride> {
        self.rides
            .last_mut()
            .filter(|ride| ride.restored_millis.is_none())
    }

    fn count_running(&mut self, now: u64) {
        if self.running_on == 0 {
            return;
        }
        let since = self.running_since;
        if let Some(ride) = self.open_ride() {
            ride.running_millis += now - since.max(ride.lost_millis);
        }
        self.running_since = now;
    }

    fn started(&mut self, now: u64) {
        if self.running_on == 0 {
            self.running_since = now;
        }
        self.running_on += 1;
    }

    fn stopped(&mut self, stop: StopRecord) {
        self.count_running(stop.at_millis);
        self.running_on = self.running_on.saturating_sub(1);
        if self.running_on == 0
            && let Some(ride) = self.open_ride()
        {
            ride.ended.get_or_insert(stop);
        }
    }

    fn mains_lost(&mut self, server: usize, now: u64) {
        if self.open_ride().is_some() {
            return;
        }
        if self.rides.len() >= limits::MAX_RIDES {
            self.rides_dropped += 1;
            return;
        }
        self.rides.push(Ride {
            server,
            lost_millis: now,
            ended: None,
            restored_millis: None,
            running_millis: 0,
        });
    }

    fn mains_restored(&mut self, server: usize, now: u64) {
        if self.open_ride().is_none_or(|ride| ride.server != server) {
            return;
        }
        self.count_running(now);
        if let Some(ride) = self.open_ride() {
            ride.restored_millis = Some(now);
        }
    }

    pub(super) fn forget_rides(&mut self) {
        self.rides.clear();
        self.rides_dropped = 0;
    }
}

/// FNV-1a: a fixed hash, because std's is not the same from one build to the next.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// SplitMix64's finisher: spreads one number over 64 bits.
fn spread(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Plant {
    /// Makes an activity known on a server, with its draw above idle in milliwatts.
    ///
    /// `initially_running` is honoured the first time that this pair is declared, and only if the server is on: an
    /// agent that comes back after a stop does not start anything by declaring it again. A second declaration updates
    /// the draw.
    ///
    /// # Errors
    /// Unknown server, a name that the wire could not carry, or a limit.
    pub fn declare_activity(
        &mut self,
        server: &str,
        activity: &str,
        milliwatts: u64,
        initially_running: bool,
    ) -> Result<(), PlantError> {
        let s = self.server_index(server)?;
        check_milliwatts(milliwatts)?;
        if self.activity_index(s, activity).is_some() {
            return self.set_load(server, activity, milliwatts);
        }
        check_name(activity).map_err(|problem| PlantError::BadName(format!("activity: {problem}")))?;
        if self.activities.len() >= limits::MAX_ACTIVITIES {
            let limit = limits::MAX_ACTIVITIES as u64;
            return Err(PlantError::OverLimit {
                what: "activities".into(),
                wanted: limit + 1,
                limit,
            });
        }
        let track = self.track_of(activity);
        let name = Arc::clone(&self.tracks[track].name);
        let index = self.activities.len();
        self.activities.push(Activity {
            name: Arc::clone(&name),
            server: s,
            track,
            milliwatts,
            running: false,
            stopped: None,
        });
        self.servers[s].activities.push(index);
        self.activity_names.insert((s, name), index);
        if initially_running && self.servers[s].power == ServerPower::On {
            self.run(index);
        }
        self.command_done();
        Ok(())
    }

    /// Starts an activity; nothing happens if it runs.
    ///
    /// # Errors
    /// Unknown names, or the server is not on.
    pub fn start_activity(&mut self, server: &str, activity: &str) -> Result<(), PlantError> {
        let (s, a) = self.activity(server, activity)?;
        self.expect_power(s, "on", |power| power == ServerPower::On)?;
        if !self.activities[a].running {
            self.run(a);
            self.command_done();
        }
        Ok(())
    }

    /// Stops an activity cleanly; nothing happens if it does not run.
    ///
    /// The time that a stop takes is its agent's: the activity draws until this is called.
    ///
    /// # Errors
    /// Unknown names.
    pub fn stop_activity(&mut self, server: &str, activity: &str) -> Result<(), PlantError> {
        let (_, a) = self.activity(server, activity)?;
        if self.activities[a].running {
            self.halt_activity(a, true);
            self.command_done();
        }
        Ok(())
    }

    /// Changes what an activity draws above idle, in milliwatts.
    ///
    /// # Errors
    /// Unknown names, or a figure over the limit.
    pub fn set_load(&mut self, server: &str, activity: &str, milliwatts: u64) -> Result<(), PlantError> {
        let (s, a) = self.activity(server, activity)?;
        check_milliwatts(milliwatts)?;
        self.activities[a].milliwatts = milliwatts;
        self.sum_loads(s);
        self.command_done();
        Ok(())
    }

    /// The ride-throughs of every activity, by name.
    pub fn activity_reports(&self) -> Vec<ActivityReport> {
        self.track_names
            .values()
            .map(|t| self.report(&self.tracks[*t]))
            .collect()
    }

    fn report(&self, track: &Track) -> ActivityReport {
        let mut track = track.clone();
        track.count_running(self.now);
        let on = self
            .activities
            .iter()
            .filter(|a| a.running && a.name == track.name);
        let rides = track.rides.iter().map(|ride| {
            let end = ride
                .ended
                .map(|stop| stop.at_millis)
                .or(ride.restored_millis)
                .unwrap_or(self.now);
            RideThrough {
                server: Arc::clone(&self.servers[ride.server].name),
                lost_millis: ride.lost_millis,
                ended: ride.ended,
                restored_millis: ride.restored_millis,
                running_millis: ride.running_millis,
                ride_through_millis: end - ride.lost_millis,
            }
        });
        ActivityReport {
            activity: Arc::clone(&track.name),
            running_on: on.map(|a| Arc::clone(&self.servers[a.server].name)).collect(),
            rides: rides.collect(),
            rides_dropped: track.rides_dropped,
        }
    }

    fn track_of(&mut self, activity: &str) -> usize {
        if let Some(track) = self.track_names.get(activity) {
            return *track;
        }
        let name: Arc<str> = activity.into();
        self.tracks.push(Track {
            name: Arc::clone(&name),
            key: hash(activity),
            running_on: 0,
            running_since: 0,
            rides: Vec::new(),
            rides_dropped: 0,
        });
        self.track_names.insert(name, self.tracks.len() - 1);
        self.tracks.len() - 1
    }

    fn run(&mut self, a: usize) {
        let activity = &mut self.activities[a];
        activity.running = true;
        activity.stopped = None;
        let (s, track, name) = (activity.server, activity.track, Arc::clone(&activity.name));
        self.tracks[track].started(self.now);
        self.sum_loads(s);
        let server = Arc::clone(&self.servers[s].name);
        self.events.push(
            self.now,
            PlantEventKind::ActivityStarted {
                server,
                activity: name,
            },
        );
    }

    fn halt_activity(&mut self, a: usize, clean: bool) {
        let stop = StopRecord {
            at_millis: self.now,
            clean,
        };
        let activity = &mut self.activities[a];
        activity.running = false;
        activity.stopped = Some(stop);
        let (s, track, name) = (activity.server, activity.track, Arc::clone(&activity.name));
        self.tracks[track].stopped(stop);
        self.sum_loads(s);
        let server = Arc::clone(&self.servers[s].name);
        self.events.push(
            self.now,
            PlantEventKind::ActivityStopped {
                server,
                activity: name,
                clean,
            },
        );
    }

    /// Stops all that runs on a server.
    pub(super) fn stop_activities_of(&mut self, s: usize, clean: bool) {
        let running: Vec<usize> = self.servers[s]
            .activities
            .iter()
            .copied()
            .filter(|a| self.activities[*a].running)
            .collect();
        for a in running {
            self.halt_activity(a, clean);
        }
    }

    /// A server's last inlet lost its mains, or its first one got it back.
    pub(super) fn note_mains(&mut self, s: usize, present: bool) {
        if present {
            for track in &mut self.tracks {
                track.mains_restored(s, self.now);
            }
            return;
        }
        for a in &self.servers[s].activities {
            let activity = &self.activities[*a];
            if activity.running {
                self.tracks[activity.track].mains_lost(s, self.now);
            }
        }
    }

    /// Brings the sum of a server's running activities up to date.
    pub(super) fn sum_loads(&mut self, s: usize) {
        let running = self.servers[s]
            .activities
            .iter()
            .map(|a| &self.activities[*a])
            .filter(|a| a.running);
        self.servers[s].running = running.map(|a| self.load(a)).sum();
    }

    /// What an activity draws now. Its variation depends on seed, name and time alone, so it is the same on whatever
    /// server and under whatever commands.
    pub(super) fn load(&self, activity: &Activity) -> u64 {
        let span = self.config.load_variation_permille;
        if span == 0 {
            return activity.milliwatts;
        }
        let epoch = self.now / self.config.variation_interval_millis;
        let mixed = spread(self.config.seed ^ spread(self.tracks[activity.track].key ^ spread(epoch)));
        let permille = 1_000 - span + mixed % (2 * span + 1);
        activity.milliwatts * permille / 1_000
    }

    pub(super) fn activity_index(&self, s: usize, activity: &str) -> Option<usize> {
        // The key owns its name; a declared activity has a track, which lends one.
        let track = self.track_names.get_key_value(activity)?;
        self.activity_names.get(&(s, Arc::clone(track.0))).copied()
    }

    fn activity(&self, server: &str, activity: &str) -> Result<(usize, usize), PlantError> {
        let s = self.server_index(server)?;
        match self.activity_index(s, activity) {
            Some(a) => Ok((s, a)),
            None => Err(PlantError::UnknownActivity {
                server: server.into(),
                activity: activity.into(),
            }),
        }
    }
}

fn check_milliwatts(milliwatts: u64) -> Result<(), PlantError> {
    if milliwatts <= limits::MAX_MILLIWATTS {
        return Ok(());
    }
    let what = "milliwatts of an activity".into();
    Err(PlantError::OverLimit {
        what,
        wanted: milliwatts,
        limit: limits::MAX_MILLIWATTS,
    })
}
