//! What the witnesses of one domain say together.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::signal::Witness;
use crate::model::{Mains, Name};

/// The latest report of one PEP on one domain. Times are on the caller's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) witness: Witness,
    pub(super) mains: Mains,
    /// When it was last known to hold.
    pub(super) observed_at: i64,
    /// Since when this PEP has said the same.
    pub(super) since: i64,
}

impl Report {
    pub(super) fn is_fresh(&self, now: i64, stale_millis: i64) -> bool {
        now.saturating_sub(self.observed_at) <= stale_millis
    }
}

/// The judgement on one domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DomainRecord {
    pub(super) mains: Mains,
    /// Since when.
    pub(super) since: i64,
    /// The facility witness said that it is absent; no majority of inlets can take that back, because a facility UPS
    /// keeps the inlets alive.
    pub(super) by_facility: bool,
    /// It was absent in this interruption and has not yet proven itself.
    pub(super) in_scope: bool,
    /// Who says so.
    pub(super) reason: String,
}

impl DomainRecord {
    /// Whether a PEP that sees its own inlet otherwise than the domain has had time to notice the loss.
    pub(super) fn believes(&self, observed_at: i64, debounce_millis: i64) -> bool {
        observed_at >= self.since.saturating_add(debounce_millis)
    }

    /// Whether a PEP that saw no mains was last heard from before the domain had it again.
    pub(super) fn has_come_back_since(&self, report: &Report) -> bool {
        self.mains == Mains::Present && report.mains == Mains::Absent && report.observed_at < self.since
    }

    /// Whether it begins to be believed when its unchanged report is renewed.
    pub(super) fn comes_to_believe(&self, report: &Report, observed_at: i64, debounce_millis: i64) -> bool {
        if self.has_come_back_since(report) {
            return observed_at >= self.since;
        }
        self.mains == Mains::Absent
            && report.mains != Mains::Absent
            && !self.believes(report.observed_at, debounce_millis)
            && self.believes(observed_at, debounce_millis)
    }
}

/// What a domain is judged from.
pub(super) struct Evidence<'a> {
    /// Its reports, by PEP.
    pub(super) reports: Option<&'a BTreeMap<Name, Report>>,
    /// The PEP whose facility witness counts.
    pub(super) facility: Option<&'a Name>,
    /// PEPs with a server in the domain; nobody else's inlet counts.
    pub(super) members: Option<&'a BTreeSet<Name>>,
    pub(super) now: i64,
    pub(super) stale_millis: i64,
    pub(super) debounce_millis: i64,
}

/// A judgement before it is compared with the one before.
pub(super) struct Judged {
    pub(super) mains: Mains,
    pub(super) by_facility: bool,
    pub(super) reason: String,
    /// When the first of those who tipped it saw the change.
    pub(super) since: i64,
}

/// Judges a domain: absent if the facility witness says so or a majority of the reporting PEPs, whose reports began
/// within one debounce of each other (or all of them), at least two where the domain has two; present by the same two
/// ways. Without a majority it stays what it was as long as somebody bears that out, and absent even by silence alone:
/// an interruption is not ended by silence. Otherwise it is unknown.
pub(super) fn judge(evidence: &Evidence<'_>, before: Option<&DomainRecord>) -> Judged {
    let Evidence { now, .. } = *evidence;
    let fresh = |report: &&Report| report.is_fresh(now, evidence.stale_millis);
    let facility = evidence
        .facility
        .and_then(|pep| evidence.reports?.get(pep))
        .filter(|r| r.witness == Witness::Facility)
        .filter(fresh)
        .filter(|r| r.mains != Mains::Unknown);
    let votes: Vec<&Report> = evidence
        .members
        .into_iter()
        .flatten()
        .filter_map(|pep| evidence.reports?.get(pep))
        .filter(|r| r.witness == Witness::Inlet && r.mains != Mains::Unknown)
        .filter(fresh)
        .collect();
    let of = |mains: Mains| votes.iter().filter(|r| r.mains == mains).count();
    let (absent, present, reporting) = (of(Mains::Absent), of(Mains::Present), votes.len());
    let was_absent = before.is_some_and(|b| b.mains == Mains::Absent);

    if let Some(report) = facility.filter(|r| r.mains == Mains::Absent) {
        return Judged {
            mains: Mains::Absent,
            by_facility: true,
            reason: "the facility witness says absent".to_owned(),
            since: report.since,
        };
    }
    let members = evidence.members.map_or(0, BTreeSet::len);
    if let Some((together, since)) = majority(&votes, absent, members, evidence.debounce_millis) {
        return Judged {
            mains: Mains::Absent,
            by_facility: false,
            reason: format!("{together} of {reporting} reporting PEPs say absent"),
            since,
        };
    }
    // Silence of the facility witness does not end what it began.
    let facility_awaited = was_absent
        && before.is_some_and(|b| b.by_facility)
        && evidence.facility.is_some()
        && facility.is_none();
    if facility_awaited {
        return held(before, now, "the facility witness that said absent is silent");
    }
    if let Some(report) = facility {
        return Judged {
            mains: report.mains,
            by_facility: false,
            reason: "the facility witness says so".to_owned(),
            since: report.since.min(now),
        };
    }
    if 2 * present > reporting {
        return Judged {
            mains: Mains::Present,
            by_facility: false,
            reason: format!("{present} of {reporting} reporting PEPs say present"),
            since: now,
        };
    }
    if was_absent {
        return held(before, now, "nobody says that it is back");
    }
    let stays_present = present > 0 && before.is_some_and(|b| b.mains == Mains::Present);
    if stays_present {
        return Judged {
            mains: Mains::Present,
            by_facility: false,
            reason: format!("{absent} of {reporting} reporting PEPs say absent: not the domain's failure"),
            since: now,
        };
    }
    if reporting > 0 && present + absent == 0 {
        return Judged {
            mains: Mains::Unstable,
            by_facility: false,
            reason: format!("{reporting} reporting PEPs say unstable"),
            since: now,
        };
    }
    Judged {
        mains: Mains::Unknown,
        by_facility: false,
        reason: if reporting == 0 {
            "nobody reports it".to_owned()
        } else {
            format!("{absent} of {reporting} reporting PEPs say absent, {present} present: no majority")
        },
        since: now,
    }
}

fn held(before: Option<&DomainRecord>, now: i64, why: &str) -> Judged {
    Judged {
        mains: Mains::Absent,
        by_facility: before.is_some_and(|b| b.by_facility),
        reason: format!("stays absent: {why}"),
        since: before.map_or(now, |b| b.since),
    }
}

/// How many absent votes carry the domain, and since when; `None` if they do not.
///
/// Absences that began far apart are not one failure of the feeder: two cords pulled hours apart do not make a domain.
fn majority(votes: &[&Report], absent: usize, members: usize, debounce_millis: i64) -> Option<(usize, i64)> {
    let least = if members >= 2 { 2 } else { 1 };
    if absent < least {
        return None;
    }
    let mut onsets: Vec<i64> = votes
        .iter()
        .filter(|r| r.mains == Mains::Absent)
        .map(|r| r.since)
        .collect();
    onsets.sort_unstable();
    let first = *onsets.first()?;
    if absent == votes.len() {
        return Some((absent, first));
    }
    let mut best = (0, first);
    let mut start = 0;
    for (end, onset) in onsets.iter().enumerate() {
        while onset.saturating_sub(onsets[start]) > debounce_millis {
            start += 1;
        }
        if end + 1 - start > best.0 {
            best = (end + 1 - start, onsets[start]);
        }
    }
    (best.0 >= least && 2 * best.0 > votes.len()).then_some(best)
}
