//! `[pdp]`: which PDPs there are, and how they are spoken to.

use std::net::SocketAddr;
use std::time::Duration;

use super::PdpEntry;
use super::check::Place;
use super::form::Form;
use crate::io::toml_file::TomlError;
use crate::limits;

pub(super) fn pdp(table: &Place<'_>, form: &Form) -> Result<PdpEntry, TomlError> {
    let form = &form.pdp;
    let (key, addresses) = match (&form.address, &form.addresses) {
        (Some(address), None) => ("address", vec![address.clone()]),
        (None, Some(addresses)) => ("addresses", addresses.clone()),
        (Some(_), Some(_)) => {
            let problem = "is there beside address, expected one of the two: address is for a single PDP";
            return table.fail_in("pdp", "addresses", problem);
        }
        (None, None) => {
            let problem = "is missing, expected host:port of the PDP, or addresses with several in order";
            return table.fail_in("pdp", "address", problem);
        }
    };
    if addresses.is_empty() {
        return table.fail_in("pdp", key, "is empty, expected at least one host:port");
    }
    check(table, key, &addresses, form.allow_plain)?;
    let also = &form.redirect_addresses;
    if !also.is_empty() && !form.follow_redirects {
        let problem = "has entries, and follow_redirects = false has none followed";
        return table.fail_in("pdp", "redirect_addresses", problem);
    }
    check(table, "redirect_addresses", also, form.allow_plain)?;
    let seconds = |key: &str, value: Option<f64>, default: u64, low: f64| {
        let most = limits::MAX_SECONDS as f64;
        match value {
            None => Ok(Duration::from_secs(default)),
            Some(value) if (low..=most).contains(&value) => Ok(Duration::from_secs_f64(value)),
            Some(value) => table.fail_in("pdp", key, format!("is {value}, expected {low} to {most}")),
        }
    };
    Ok(PdpEntry {
        addresses,
        follow_redirects: form.follow_redirects,
        redirect_addresses: also.clone(),
        allow_plain: form.allow_plain,
        plan_ttl: seconds("plan_ttl_seconds", form.plan_ttl_seconds, 86_400, 1.0)?,
        reading_interval: seconds("reading_seconds", form.reading_seconds, 5, 0.1)?,
        retry_max: seconds("retry_max_seconds", form.retry_max_seconds, 60, 1.0)?,
    })
}

/// Each is `host:port`, there once, and may be spoken to.
fn check(table: &Place<'_>, key: &str, addresses: &[String], allow_plain: bool) -> Result<(), TomlError> {
    if addresses.len() > limits::MAX_PDPS {
        let (count, most) = (addresses.len(), limits::MAX_PDPS);
        return table.fail_in(
            "pdp",
            key,
            format!("has {count} entries, expected at most {most}"),
        );
    }
    for (index, address) in addresses.iter().enumerate() {
        let port = address.rsplit_once(':').and_then(|(host, port)| {
            (!host.is_empty())
                .then(|| port.parse::<u16>().ok().filter(|port| *port != 0))
                .flatten()
        });
        if port.is_none() {
            let problem = format!("is {address:?}, expected host:port, as in \"127.0.0.1:3288\"");
            return table.fail_in("pdp", key, problem);
        }
        if addresses[..index].contains(address) {
            return table.fail_in("pdp", key, format!("has {address} twice, expected each PDP once"));
        }
        // A name is looked up when it is connected to; an address that is one already can be judged now.
        if let Ok(literal) = address.parse::<SocketAddr>()
            && !literal.ip().is_loopback()
            && !allow_plain
        {
            let problem =
                format!("{address} is not loopback: plain COPS goes there only with allow_plain = true");
            return table.fail_in("pdp", key, problem);
        }
    }
    Ok(())
}
