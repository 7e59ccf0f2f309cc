//! The first irreversible stages: what is stopped at once, and the moves, in as many waves as the room takes.

use super::decide::{SETTLE_SECONDS, on_battery};
use super::prepare::{Cluster, Supply, seconds};
use super::script::Script;
use super::words;
use crate::plan::{Step, StepKind, Trigger, Verb};

/// Most waves of moves: further ones would wait for room that others have to make first.
const MOST_WAVES: usize = 3;

/// What each server has left beside everything that is on it at this point of the plan.
struct Room(Vec<(f64, f64, f64)>);

impl Room {
    fn new(cluster: &Cluster<'_>) -> Self {
        let room = cluster.nodes.iter().map(|n| {
            let load = n.base
                + n.arrived
                + n.placements
                    .iter()
                    .map(|p| cluster.placements[*p].draw)
                    .sum::<f64>();
            let watts = if n.supply == Supply::Mains {
                n.mains_watts - load
            } else {
                f64::INFINITY
            };
            (n.free_cpu, n.free_memory, watts)
        });
        Self(room.collect())
    }

    fn fits(&self, cluster: &Cluster<'_>, p: usize, s: usize) -> bool {
        let ((cpu, memory, draw), room) = (cluster.placements[p].more_at(s), self.0[s]);
        cpu <= room.0 && memory <= room.1 && draw <= room.2
    }

    /// `sign` 1: taken; -1: free again.
    fn take(&mut self, cluster: &Cluster<'_>, p: usize, s: usize, sign: f64) {
        let ((cpu, memory, draw), room) = (cluster.placements[p].more_at(s), &mut self.0[s]);
        *room = (room.0 - sign * cpu, room.1 - sign * memory, room.2 - sign * draw);
    }
}

impl Script<'_, '_> {
    pub(super) fn first_stops_and_moves(&mut self) {
        let cluster = self.cluster;
        let mut stops: Vec<usize> = (0..cluster.placements.len())
            .filter(|p| self.decision.target[*p].is_none())
            .collect();
        stops.sort_by_key(|p| (std::cmp::Reverse(cluster.placements[*p].class), *p));
        let mut waiting: Vec<usize> = (0..cluster.placements.len())
            .filter(|p| self.decision.target[*p].is_some_and(|s| s != cluster.placements[*p].server))
            .collect();
        waiting.sort_by_key(|p| (cluster.placements[*p].class, *p));
        let mut room = Room::new(cluster);
        for wave in 0..MOST_WAVES {
            let taken = self.admit(&mut waiting, &mut room);
            // A higher class does not stop on a server on which a lower one still waits for its move.
            let waits = |p: &usize| {
                let placement = &cluster.placements[*p];
                waiting.iter().any(|q| {
                    let other = &cluster.placements[*q];
                    other.server == placement.server && other.class > placement.class
                })
            };
            let last = wave + 1 == MOST_WAVES;
            let (later, now): (Vec<usize>, Vec<usize>) = stops.iter().partition(|p| waits(p) && !last);
            stops = later;
            self.stops_and_take_ins(wave, &now, &taken, &waiting);
            for p in &now {
                room.take(cluster, *p, cluster.placements[*p].server, -1.0);
            }
            self.move_outs(&taken, &waiting);
            for p in &taken {
                room.take(cluster, *p, cluster.placements[*p].server, -1.0);
            }
            if waiting.is_empty() && stops.is_empty() {
                break;
            }
        }
        // What found no room in time stays where it is, for as long as that server can be fed.
    }

    /// Moves for which there is room now, both copies counted; of a placement that is half moved only what is not there
    /// yet.
    fn admit(&self, waiting: &mut Vec<usize>, room: &mut Room) -> Vec<usize> {
        let cluster = self.cluster;
        let mut taken = Vec::new();
        waiting.retain(|&p| {
            let Some(to) = self.decision.target[p] else {
                return false;
            };
            if !room.fits(cluster, p, to) {
                return true;
            }
            room.take(cluster, p, to, 1.0);
            taken.push(p);
            false
        });
        taken
    }

    fn stops_and_take_ins(&mut self, wave: usize, stops: &[usize], taken: &[usize], waiting: &[usize]) {
        let cluster = self.cluster;
        let stop = stops.iter().map(|p| cluster.placements[*p].stop_seconds);
        let take_in = taken.iter().map(|p| cluster.placements[*p].move_seconds);
        let mut longest = stop.chain(take_in).fold(0.0, f64::max);
        let mut steps: Vec<Step> = Vec::new();
        for p in stops {
            let why = words::shed(cluster, self.decision, *p);
            steps.extend(self.activity_steps(*p, Verb::Stop, None, &why));
            self.stop(*p);
        }
        let mut ending: Vec<(usize, f64)> = stops
            .iter()
            .map(|p| (cluster.placements[*p].server, cluster.placements[*p].stop_seconds))
            .collect();
        if wave == 0 {
            let mut under_way = self.take_back(&mut steps);
            under_way.extend(self.ask_again(&mut steps));
            longest = under_way.iter().map(|(_, stop)| *stop).fold(longest, f64::max);
            ending.extend(under_way);
        }
        longest = self.stop_what_cannot_wait(longest, ending, taken, waiting, &mut steps);
        for p in taken {
            let Some(to) = self.decision.target[*p] else {
                continue;
            };
            let why = words::shift(cluster, self.decision, *p, to);
            steps.extend(self.activity_steps(*p, Verb::TakeIn, Some(to), &why));
            self.arrive(*p, to);
        }
        let trigger = if wave == 0 && cluster.debounce_left > 0.0 {
            Trigger::Elapsed {
                millis: cluster.policy.debounce_millis,
            }
        } else {
            Trigger::AfterResults
        };
        let acts = !steps.is_empty();
        self.push(
            trigger,
            steps,
            words::first_stage(cluster, wave, stops.len(), taken.len()),
        );
        if acts {
            self.run_for(longest + SETTLE_SECONDS);
        }
    }

    fn move_outs(&mut self, taken: &[usize], waiting: &[usize]) {
        if taken.is_empty() {
            return;
        }
        let cluster = self.cluster;
        let mut steps = Vec::new();
        let longest = taken
            .iter()
            .map(|p| cluster.placements[*p].stop_seconds)
            .fold(0.0, f64::max);
        for p in taken {
            let placement = &cluster.placements[*p];
            let Some(to) = self.decision.target[*p] else {
                continue;
            };
            steps.extend(self.activity_steps(*p, Verb::MoveOut, Some(to), "its copy there runs"));
            self.leave(*p, placement.server);
            self.running[placement.server].retain(|q| q != p);
            self.running[to].push(*p);
            self.arriving[to] -= 1;
        }
        let ending = taken
            .iter()
            .map(|p| (cluster.placements[*p].server, cluster.placements[*p].stop_seconds))
            .collect();
        let longest = self.stop_what_cannot_wait(longest, ending, &[], waiting, &mut steps);
        self.push(Trigger::AfterResults, steps, words::move_out(taken.len()));
        self.run_for(longest + SETTLE_SECONDS);
    }

    /// Lets go of copies that half-done moves have started where they are not to stay: of what is stopped now, or goes
    /// elsewhere. Returns their servers, with the times that takes.
    fn take_back(&mut self, steps: &mut Vec<Step>) -> Vec<(usize, f64)> {
        let cluster = self.cluster;
        let mut ending = Vec::new();
        for (p, placement) in cluster.placements.iter().enumerate() {
            for (a, s) in placement.copies.iter().copied() {
                if self.decision.target[p] == Some(s) {
                    continue;
                }
                let activity = &cluster.snapshot.activities[a];
                steps.push(Step {
                    kind: StepKind::Activity {
                        activity: activity.name.clone(),
                        server: cluster.server_name(s).clone(),
                        verb: Verb::MoveOut,
                        peer: Some(cluster.server_name(placement.server).clone()),
                        milliwatts: 0,
                    },
                    reason: words::take_back(cluster, p),
                });
                self.leave_one(a, s);
                ending.push((s, seconds(activity.stop_millis)));
            }
        }
        ending
    }

    /// Asks for the stops that are under way on batteries once more: an agent joins what it does already, and the plan has
    /// the results that it waits for before a host closes. Returns their servers, with the times they take.
    fn ask_again(&mut self, steps: &mut Vec<Step>) -> Vec<(usize, f64)> {
        let cluster = self.cluster;
        let mut ending = Vec::new();
        for (s, node) in cluster
            .nodes
            .iter()
            .enumerate()
            .filter(|(s, _)| on_battery(cluster, *s))
        {
            for stop in node.stopping.iter().filter(|e| e.can_be_asked) {
                steps.push(Step {
                    kind: StepKind::Activity {
                        activity: cluster.snapshot.activities[stop.activity].name.clone(),
                        server: cluster.server_name(s).clone(),
                        verb: if stop.lives_on.is_some() {
                            Verb::MoveOut
                        } else {
                            Verb::Stop
                        },
                        peer: stop.lives_on.map(|to| cluster.server_name(to).clone()),
                        milliwatts: 0,
                    },
                    reason: words::ask_again(),
                });
                ending.push((s, (stop.seconds - self.forward.time).max(0.0)));
            }
        }
        ending
    }

    /// Fills up a stage in which something ends on servers (`ending`, with the times); what moves or waits to move is not
    /// stopped.
    fn stop_what_cannot_wait(
        &mut self,
        longest: f64,
        ending: Vec<(usize, f64)>,
        taken: &[usize],
        waiting: &[usize],
        steps: &mut Vec<Step>,
    ) -> f64 {
        self.fill_stage(
            longest,
            ending,
            |p| taken.contains(&p) || waiting.contains(&p),
            steps,
        )
    }
}

/// Each server once, with the longest of its times.
pub(super) fn latest(list: &[(usize, f64)]) -> Vec<(usize, f64)> {
    let mut list = list.to_vec();
    list.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
    list.dedup_by_key(|x| x.0);
    list
}
