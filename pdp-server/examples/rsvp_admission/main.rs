//! A PDP that decides on RSVP reservations beside power: an example of a client-type module. `README.md` beside it says how
//! to run it, and `docs/client-types.md` how another one is written.

// The outer ring of a program.
#![allow(clippy::disallowed_methods)]

mod admission;
mod flowspec;

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::PathBuf;
use std::sync::mpsc;

use admission::{Order, RsvpAdmission};
use anyhow::{Context, Result, bail};
use clap::Parser;
use pdp_server::config::Config;
use pdp_server::io::{Options, run_with};

/// A PDP with admission control for RSVP (RFC 2749) beside power.
#[derive(Debug, Parser)]
struct Arguments {
    /// The PDP's configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// What may be reserved on an interface, as IFINDEX=KILOBITS_A_SECOND. Lines of the same form on standard input change
    /// it while the PDP runs.
    #[arg(long, value_name = "N=KBITS", value_parser = order)]
    capacity: Vec<Order>,
}

fn order(text: &str) -> Result<Order> {
    let parts = text.trim().split_once('=');
    let read = parts.and_then(|(ifindex, kilobits)| {
        let kilobits: u64 = kilobits.trim().parse().ok()?;
        Some(Order {
            ifindex: ifindex.trim().parse().ok()?,
            octets_a_second: kilobits.checked_mul(1_000)? / 8,
        })
    });
    match read {
        Some(order) => Ok(order),
        None => bail!("{text:?}: expected IFINDEX=KILOBITS_A_SECOND, as in 2=10000"),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let file = arguments.config.display().to_string();
    let text = std::fs::read_to_string(&arguments.config).with_context(|| file.clone())?;
    let config = Config::from_toml(&file, &text)?;

    let (sender, orders) = mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            match order(&line) {
                // A PDP that has ended takes none.
                Ok(order) => drop(sender.send(order)),
                Err(error) => eprintln!("{error}"),
            }
        }
    });
    let capacity: BTreeMap<_, _> = arguments
        .capacity
        .iter()
        .map(|order| (order.ifindex, order.octets_a_second))
        .collect();
    let rsvp = RsvpAdmission::new(capacity, Some(orders));
    run_with(config, Options::default(), vec![Box::new(rsvp)]).await
}
