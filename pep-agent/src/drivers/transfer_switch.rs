//! A transfer switch as a divert line: it feeds a server from one of its inputs.
//!
//! A transfer switch is never open. Each of the line's reserves stands at an input; the server's own feed may stand at
//! another, on which the switch *rests*: resting there is what the line calls open. Without such an input the switch can
//! be moved from one reserve to another, and nothing can be taken off it.

use std::collections::BTreeMap;
use std::time::Duration;

use power_policy::model::{LineState, Name};
use tokio::time::{Instant, sleep, timeout};

use super::{DriverFuture, LineDriver, ReadError};
use crate::engine::ActionOutcome;
use crate::engine::facts::{Joint, LineReading};

/// How often a switch that was told to transfer is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What a transfer switch feeds from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selected {
    /// This input, by the device's word for it.
    Input(String),
    /// It is on its way from one to another.
    Moving,
    /// Nothing that the device can name: its word for that.
    Neither(String),
}

/// A transfer switch, as its device's protocol shows it. An error says which switch it is about.
pub trait TransferSwitch {
    /// The switch, as messages name it.
    fn label(&self) -> String;

    /// Reads what it feeds from.
    fn look(&mut self) -> DriverFuture<'_, Result<Selected, String>>;

    /// Has it feed from an input, and waits for the device's word that it will.
    fn transfer<'a>(&'a mut self, input: &'a str) -> DriverFuture<'a, Result<(), String>>;

    /// Ends what is held open at the device.
    fn close(&mut self) -> DriverFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// What stands at the inputs of a switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    /// The input of each reserve, by the device's word for it.
    pub reserves: BTreeMap<Name, String>,
    /// The input of the server's own feed.
    pub rest: Option<String>,
}

/// A transfer switch as a line.
#[derive(Debug)]
pub struct TransferLine<S> {
    switch: S,
    inputs: Inputs,
    fed: Name,
    /// Power that may pass: the line's, in milliwatts.
    most: u32,
    /// Time from a command to the switch's resting, at most.
    limit: Duration,
    asked: Option<u32>,
}

impl<S: TransferSwitch> TransferLine<S> {
    /// A switch that feeds the server `fed`; `most` milliwatts pass it at most. It has `limit` to follow.
    pub fn new(switch: S, inputs: Inputs, fed: Name, most: u32, limit: Duration) -> Self {
        Self {
            switch,
            inputs,
            fed,
            most,
            limit,
            asked: None,
        }
    }

    fn at(&self, problem: &str) -> String {
        format!("{}: {problem}", self.switch.label())
    }

    fn reserve_at(&self, input: &str) -> Option<&Name> {
        self.inputs
            .reserves
            .iter()
            .find(|(_, at)| at.as_str() == input)
            .map(|(reserve, _)| reserve)
    }

    /// Transfers to an input, and reads back until the switch feeds from it.
    async fn transfer(&mut self, input: &str) -> ActionOutcome {
        let wanted = Selected::Input(input.to_owned());
        if self.switch.look().await.as_ref() == Ok(&wanted) {
            return ActionOutcome::Done("so already".to_owned());
        }
        let end = Instant::now() + self.limit;
        match timeout(self.limit, self.switch.transfer(input)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return ActionOutcome::Failed(error),
            Err(_) => {
                let seconds = self.limit.as_secs_f64();
                return ActionOutcome::Failed(self.at(&format!("no answer within {seconds} s")));
            }
        }
        loop {
            let problem = match self.switch.look().await {
                Ok(selected) if selected == wanted => return ActionOutcome::Done(String::new()),
                Ok(Selected::Input(other)) => {
                    self.at(&format!("the device says done, and it feeds from input {other}"))
                }
                Ok(Selected::Moving) => self.at("it is still on its way"),
                Ok(Selected::Neither(word)) => self.at(&format!(
                    "the device says done, and it feeds from no input that it can name but {word}"
                )),
                Err(error) => error,
            };
            if Instant::now() >= end {
                return ActionOutcome::Failed(problem);
            }
            sleep(LOOK).await;
        }
    }

    async fn take_off(&mut self) -> ActionOutcome {
        match self.inputs.rest.clone() {
            Some(rest) => {
                let outcome = self.transfer(&rest).await;
                if matches!(outcome, ActionOutcome::Done(_)) {
                    self.asked = None;
                }
                outcome
            }
            None => ActionOutcome::Refused(self.at(
                "a transfer switch always feeds from one of its inputs, and the file has no rest for it",
            )),
        }
    }

    async fn put_on(&mut self, reserve: &Name, milliwatts: u32) -> ActionOutcome {
        let Some(input) = self.inputs.reserves.get(reserve).cloned() else {
            return ActionOutcome::Refused(self.at(&format!("{reserve} stands at none of its inputs")));
        };
        let outcome = self.transfer(&input).await;
        if matches!(outcome, ActionOutcome::Done(_)) {
            self.asked = Some(milliwatts);
        }
        outcome
    }
}

impl<S: TransferSwitch> LineDriver for TransferLine<S> {
    fn read(&mut self) -> DriverFuture<'_, Result<LineReading, ReadError>> {
        Box::pin(async {
            let selected = self.switch.look().await.map_err(ReadError)?;
            let (state, reserve) = match &selected {
                Selected::Input(input) => match self.reserve_at(input) {
                    Some(reserve) => (LineState::Closed, Some(reserve.clone())),
                    None if self.inputs.rest.as_ref() == Some(input) => (LineState::Open, None),
                    // An input that the file does not know: nobody can say what feeds the server.
                    None => (LineState::Fault, None),
                },
                Selected::Moving => (LineState::Moving, None),
                Selected::Neither(_) => (LineState::Fault, None),
            };
            let joined = reserve.map(|reserve| Joint {
                reserve,
                server: self.fed.clone(),
                milliwatts: self.asked.unwrap_or(self.most),
            });
            Ok(LineReading {
                state,
                joined: joined.into_iter().collect(),
            })
        })
    }

    fn join(&mut self, reserve: Name, server: Name, milliwatts: u32) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async move {
            if server != self.fed {
                return ActionOutcome::Refused(format!("it feeds {} only", self.fed));
            }
            if milliwatts > 0 {
                return self.put_on(&reserve, milliwatts).await;
            }
            match self.switch.look().await {
                // It feeds from another: this one is off already.
                Ok(Selected::Input(input)) if self.reserve_at(&input) != Some(&reserve) => {
                    ActionOutcome::Done("so already".to_owned())
                }
                _ => self.take_off().await,
            }
        })
    }

    fn open(&mut self) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(self.take_off())
    }

    fn close(&mut self) -> DriverFuture<'_, ()> {
        self.switch.close()
    }
}
