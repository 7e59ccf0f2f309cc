//! A switched outlet of a UPS or PDU as a divert line: it joins the reserve that feeds the device with the server whose
//! cord hangs on the outlet.
//!
//! What is the same for all of them, whatever protocol speaks to the device: nothing is switched that is so already, what
//! was switched is read back until it follows, and one that does not, or that cannot be read, is told as it is. An outlet
//! is on or off; it cannot limit power. What was asked for last is told as its milliwatts, and while that is not known the
//! line's largest.

use std::time::Duration;

use power_policy::model::{LineState, Name};
use tokio::time::{Instant, sleep, timeout};

use super::{DriverFuture, LineDriver, ReadError};
use crate::engine::ActionOutcome;
use crate::engine::facts::{Joint, LineReading};

/// How often an outlet that was switched is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Where an outlet stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// It feeds.
    On,
    /// It does not feed.
    Off,
    /// A command waits to be carried out.
    Moving,
    /// The device says something else: its word for it.
    Neither(String),
}

/// An outlet, as its device's protocol shows it. Each method ends within a time of its own; an error says which outlet of
/// which device it is about.
pub trait Outlet {
    /// The outlet and its device, as messages name them.
    fn label(&self) -> String;

    /// Reads it.
    fn look(&mut self) -> DriverFuture<'_, Result<Position, String>>;

    /// Has it switched, and waits for the device's word that it will be.
    fn command(&mut self, on: bool) -> DriverFuture<'_, Result<(), String>>;

    /// Ends what is held open at the device.
    fn close(&mut self) -> DriverFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// An outlet as a line.
#[derive(Debug)]
pub struct OutletLine<O> {
    outlet: O,
    reserve: Name,
    fed: Name,
    /// Power that may pass: the line's, in milliwatts.
    most: u32,
    /// Time from a command to the outlet's following, at most.
    limit: Duration,
    asked: Option<u32>,
}

impl<O: Outlet> OutletLine<O> {
    /// An outlet that joins `reserve` and the server `fed`; `most` milliwatts pass it at most. It has `limit` to follow.
    pub fn new(outlet: O, reserve: Name, fed: Name, most: u32, limit: Duration) -> Self {
        Self {
            outlet,
            reserve,
            fed,
            most,
            limit,
            asked: None,
        }
    }

    /// Switches, and reads back until the outlet follows.
    async fn switch(&mut self, milliwatts: u32) -> ActionOutcome {
        let on = milliwatts > 0;
        let wanted = if on { Position::On } else { Position::Off };
        // One that cannot be read is switched all the same: what comes of it is read back.
        if self.outlet.look().await.as_ref() == Ok(&wanted) {
            self.asked = on.then_some(milliwatts);
            return ActionOutcome::Done("so already".to_owned());
        }
        let end = Instant::now() + self.limit;
        match timeout(self.limit, self.outlet.command(on)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return ActionOutcome::Failed(error),
            Err(_) => {
                let seconds = self.limit.as_secs_f64();
                return ActionOutcome::Failed(self.at(&format!("no answer within {seconds} s")));
            }
        }
        loop {
            let problem = match self.outlet.look().await {
                Ok(position) if position == wanted => {
                    self.asked = on.then_some(milliwatts);
                    return ActionOutcome::Done(String::new());
                }
                Ok(Position::On | Position::Off) => self.at("the device says done, and it did not follow"),
                Ok(Position::Moving) => self.at("its command is still pending"),
                Ok(Position::Neither(word)) => self.at(&format!(
                    "the device says done, and its status is neither on nor off but {word}"
                )),
                Err(error) => error,
            };
            if Instant::now() >= end {
                return ActionOutcome::Failed(problem);
            }
            sleep(LOOK).await;
        }
    }

    fn at(&self, problem: &str) -> String {
        format!("{}: {problem}", self.outlet.label())
    }

    /// What is joined if power passes.
    fn joined(&self) -> Vec<Joint> {
        vec![Joint {
            reserve: self.reserve.clone(),
            server: self.fed.clone(),
            milliwatts: self.asked.unwrap_or(self.most),
        }]
    }
}

impl<O: Outlet> LineDriver for OutletLine<O> {
    fn read(&mut self) -> DriverFuture<'_, Result<LineReading, ReadError>> {
        Box::pin(async {
            let (state, joined) = match self.outlet.look().await.map_err(ReadError)? {
                Position::On => (LineState::Closed, self.joined()),
                Position::Off => (LineState::Open, Vec::new()),
                Position::Moving => (LineState::Moving, self.joined()),
                Position::Neither(_) => (LineState::Fault, Vec::new()),
            };
            Ok(LineReading { state, joined })
        })
    }

    fn join(&mut self, reserve: Name, server: Name, milliwatts: u32) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async move {
            if reserve != self.reserve || server != self.fed {
                return ActionOutcome::Refused(format!("it joins {} and {} only", self.reserve, self.fed));
            }
            self.switch(milliwatts).await
        })
    }

    fn open(&mut self) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(self.switch(0))
    }

    fn close(&mut self) -> DriverFuture<'_, ()> {
        self.outlet.close()
    }
}
