//! The 252 solved instances that came with the policy notes, as `fixtures/instances.txt`.
//!
//! They were made and solved by a prototype in Python (a generator with numpy, two linear programs with HiGHS), which is
//! no part of this repository. They show that this harness measures what the prototype measured.

use anyhow::{Context, Result, bail, ensure};

use super::instance::{Instance, Reserve, Scenario, Server, Set, Shape};

const TEXT: &str = include_str!("fixtures/instances.txt");

/// What a policy of the prototype reached, as fractions of the optima.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reached {
    /// Survival of the first-stopped set of the top class.
    pub survive: f64,
    /// Expected weighted service.
    pub weighted: f64,
    /// Sets stopped dirty in the two runs.
    pub dirty: [usize; 2],
}

/// An instance with its optima.
#[derive(Clone, Debug)]
pub struct Solved {
    /// The cluster.
    pub instance: Instance,
    /// Optimum of the survival program, seconds.
    pub survive: f64,
    /// Optimum of the service program.
    pub weighted: f64,
    /// What B0 to B3 and the prototype's planner reached.
    pub reached: [Reached; 5],
}

/// All of them.
///
/// # Errors
/// A line that does not read.
pub fn solved() -> Result<Vec<Solved>> {
    let mut clusters: Vec<Instance> = Vec::new();
    let mut solved = Vec::new();
    for (number, line) in TEXT.lines().enumerate() {
        let at = || format!("fixtures/instances.txt, line {}: {line:?}", number + 1);
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            [] | ["#", ..] => {}
            ["cluster", seed] => clusters.push(Instance {
                scenario: Scenario::A,
                shape: Shape::Crossbar,
                seed: seed.parse().with_context(at)?,
                servers: Vec::new(),
                reserves: Vec::new(),
                reach: Vec::new(),
                sets: Vec::new(),
            }),
            ["server", figures @ ..] => {
                let f = floats(figures).with_context(at)?;
                ensure!(f.len() == 9, "{}: nine figures expected", at());
                let cluster = clusters.last_mut().with_context(at)?;
                cluster.servers.push(Server {
                    idle: f[0],
                    peak: f[1],
                    cpu: f[2],
                    memory: f[3],
                    halt: f[4],
                    boot: f[5],
                });
                cluster.reserves.push(Reserve {
                    rated: f[6],
                    usable: f[7],
                    max_watts: f[8],
                    peukert: 1.0,
                });
            }
            ["set", host, class, figures @ ..] => {
                let f = floats(figures).with_context(at)?;
                ensure!(f.len() == 5, "{}: five figures expected", at());
                let move_time = 5.0 + 0.4 * f[1];
                clusters.last_mut().with_context(at)?.sets.push(Set {
                    host: host.parse().with_context(at)?,
                    class: class.parse().with_context(at)?,
                    cpu: f[0],
                    memory: f[1],
                    draw: f[2],
                    movable: f[3] > 0.0,
                    move_time,
                    move_energy: move_time * (40.0 + 0.5 * f[2]),
                    stop_time: f[4],
                });
            }
            ["optimum", scenario, shape, seed, figures @ ..] => {
                let f = floats(figures).with_context(at)?;
                ensure!(f.len() == 22, "{}: 22 figures expected", at());
                let seed: u64 = seed.parse().with_context(at)?;
                let cluster = clusters.iter().find(|c| c.seed == seed).with_context(at)?;
                let instance = variant(cluster, scenario, shape).with_context(at)?;
                let policy = |p: usize| Reached {
                    survive: f[2 + 4 * p],
                    weighted: f[3 + 4 * p],
                    dirty: [f[4 + 4 * p] as usize, f[5 + 4 * p] as usize],
                };
                solved.push(Solved {
                    instance,
                    survive: f[0],
                    weighted: f[1],
                    reached: [policy(0), policy(1), policy(2), policy(3), policy(4)],
                });
            }
            _ => bail!("{}: not understood", at()),
        }
    }
    Ok(solved)
}

fn floats(words: &[&str]) -> Result<Vec<f64>> {
    words.iter().map(|w| Ok(w.parse()?)).collect()
}

fn variant(cluster: &Instance, scenario: &str, shape: &str) -> Result<Instance> {
    let mut instance = cluster.clone();
    instance.shape = match shape {
        "crossbar" => Shape::Crossbar,
        "rack" => Shape::Rack,
        "ring" => Shape::Ring,
        _ => bail!("no such shape"),
    };
    match scenario {
        "A" => {}
        "B" => {
            instance.scenario = Scenario::B;
            for set in &mut instance.sets {
                set.class = set.class.saturating_sub(1);
            }
        }
        _ => bail!("no such scenario"),
    }
    instance.reach = instance.shape.reach(instance.servers.len());
    Ok(instance)
}
