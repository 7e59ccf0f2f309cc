//! Lines behind a program: an outlet, a transfer switch.

use std::time::Duration;

use power_policy::model::{LineState, Name};

use super::protocol::{self, Verb};
use super::{ExecProgram, ReadBack, name};
use crate::drivers::{DriverFuture, LineDriver, ReadError};
use crate::engine::ActionOutcome;
use crate::engine::facts::{Joint, LineReading};

/// A line that a program reads and switches.
#[derive(Debug)]
pub struct ExecLine {
    program: ExecProgram,
    name: Name,
    /// How long a change may take.
    limit: Duration,
}

impl ExecLine {
    /// The line of this name; a change may take `limit`, from the question to the switch at rest.
    pub fn new(program: ExecProgram, name: Name, limit: Duration) -> Self {
        Self { program, name, limit }
    }

    fn look(&self) -> Verb<'_> {
        Verb::ReadLine {
            line: self.name.as_str(),
        }
    }
}

impl LineDriver for ExecLine {
    fn read(&mut self) -> DriverFuture<'_, Result<LineReading, ReadError>> {
        Box::pin(async {
            let told: protocol::Line = self.program.read(self.look()).await?;
            let mut joined = Vec::new();
            for joint in &told.joined {
                joined.push(Joint {
                    reserve: name(&joint.reserve, "reserve")?,
                    server: name(&joint.server, "server")?,
                    milliwatts: joint.milliwatts,
                });
            }
            joined.sort();
            Ok(LineReading {
                state: match told.state {
                    protocol::LineState::Open => LineState::Open,
                    protocol::LineState::Closed => LineState::Closed,
                    protocol::LineState::Moving => LineState::Moving,
                    protocol::LineState::Fault => LineState::Fault,
                },
                joined,
            })
        })
    }

    fn join(&mut self, reserve: Name, server: Name, milliwatts: u32) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async move {
            let verb = Verb::Join {
                line: self.name.as_str(),
                reserve: reserve.as_str(),
                server: server.as_str(),
                milliwatts,
            };
            let wanted = (milliwatts > 0).then_some(milliwatts);
            let judge = |line: &protocol::Line| {
                let joint = line
                    .joined
                    .iter()
                    .find(|joint| joint.reserve == reserve.as_str() && joint.server == server.as_str());
                judge(line, joint.map(|joint| joint.milliwatts) == wanted)
            };
            self.program.act(verb, self.look(), self.limit, judge).await
        })
    }

    fn open(&mut self) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async {
            let verb = Verb::Open {
                line: self.name.as_str(),
            };
            let judge = |line: &protocol::Line| judge(line, line.joined.is_empty());
            self.program.act(verb, self.look(), self.limit, judge).await
        })
    }
}

/// A switch counts when it rests, and only as what it is read to be.
fn judge(line: &protocol::Line, is_so: bool) -> ReadBack {
    match line.state {
        protocol::LineState::Moving => ReadBack::OnItsWay,
        protocol::LineState::Fault => ReadBack::Otherwise("the line is stuck or unreadable".to_owned()),
        _ if is_so => ReadBack::Done,
        _ => ReadBack::Otherwise("the line rests at something else".to_owned()),
    }
}
