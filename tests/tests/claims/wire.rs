//! What was said on the QoS line, read back from the captured octets.

use cops_codec::client_type::Row;
use cops_codec::message::DecisionBody;
use cops_codec::provisioning::binding::Bindings;
use cops_codec::wire::ClientSi;
use cops_codec::{Limits, Message};
use power_policy::plan::{Stage, StepKind, Verb};
use system_tests::cluster::{Captured, Cluster, End};

/// The message of a capture, by the codec's own reading.
pub(crate) fn message(captured: &Captured) -> Message {
    let octets = captured.octets.clone();
    let frame = cops_codec::Frame::new(octets, &Limits::DEFAULT).expect("one whole message");
    Message::decode(&frame, &Limits::DEFAULT).expect("a COPS message")
}

fn rows_of(contents: &[u8]) -> Vec<Row> {
    let bindings = Bindings::new(contents, 0).map(|binding| binding.expect("a PRID and its EPD"));
    bindings
        // An empty EPD removes a row.
        .filter(|binding| !binding.epd.values().is_at_end())
        .map(|binding| Row::decode(&binding).expect("a row of the module").row)
        .collect()
}

/// Rows that an agent reported in REQs, oldest first, with the instant.
pub(crate) fn reported(cluster: &Cluster, agent: &str) -> Vec<(u64, Row)> {
    let mut rows = Vec::new();
    let from_agent = |c: &&Captured| c.agent == agent && c.from == End::Pep;
    for captured in cluster.captured().iter().filter(from_agent) {
        if let Message::Request(request) = message(captured) {
            for client_si in request.client_si {
                if let ClientSi::Named(contents) = client_si {
                    rows.extend(
                        rows_of(&contents)
                            .into_iter()
                            .map(|row| (captured.at_millis, row)),
                    );
                }
            }
        }
    }
    rows
}

/// Rows that the PDP decided for an agent, oldest first, with the instant.
pub(crate) fn decided(cluster: &Cluster, agent: &str) -> Vec<(u64, Row)> {
    let mut rows = Vec::new();
    let to_agent = |c: &&Captured| c.agent == agent && c.from == End::Pdp;
    for captured in cluster.captured().iter().filter(to_agent) {
        if let Message::Decision(decision) = message(captured)
            && let DecisionBody::Decisions(decisions) = decision.body
        {
            let installs = decisions
                .iter()
                .filter(|d| d.flags.command == cops_codec::wire::CommandCode::INSTALL);
            for contents in installs.filter_map(|d| d.named.as_ref()) {
                rows.extend(rows_of(contents).into_iter().map(|row| (captured.at_millis, row)));
            }
        }
    }
    rows
}

/// Activities with their QoS class, as the agent told them first.
pub(crate) fn qos_told(cluster: &Cluster, agent: &str) -> Vec<(String, String)> {
    let mut told: Vec<(String, String)> = Vec::new();
    for (_, row) in reported(cluster, agent) {
        if let Row::Activity(row) = row {
            let (name, class) = (row.name.to_string(), row.qos_class.map(|class| class.to_string()));
            if !told.iter().any(|(known, _)| *known == name) {
                told.push((name, class.unwrap_or_default()));
            }
        }
    }
    told
}

/// Domains that somebody reported to be without mains at or after an instant.
pub(crate) fn mains_told(cluster: &Cluster, since: u64) -> Vec<String> {
    let agents: std::collections::BTreeSet<&str> =
        cluster.captured().iter().map(|c| c.agent.as_str()).collect();
    let rows = agents.into_iter().flat_map(|agent| reported(cluster, agent));
    rows.filter_map(|(at, row)| match row {
        Row::Domain(row) if at >= since && row.mains == cops_codec::client_type::power::Mains::Absent => {
            Some(row.name.to_string())
        }
        _ => None,
    })
    .collect()
}

/// The kind of store that a reserve was reported to have.
pub(crate) fn chemistry_told(cluster: &Cluster, reserve: &str) -> Option<String> {
    reported(cluster, "rack")
        .into_iter()
        .find_map(|(_, row)| match row {
            Row::Reserve(row) if row.name.as_str() == reserve => Some(format!("{:?}", row.chemistry)),
            _ => None,
        })
}

/// Whether a stage has a server take an activity in.
pub(crate) fn takes_in(stage: &Stage, taken: &str, by: &str) -> bool {
    let is_it = |kind: &StepKind| {
        matches!(kind, StepKind::Activity { activity, server, verb: Verb::TakeIn, .. }
            if activity.as_str() == taken && server.as_str() == by)
    };
    stage.steps.iter().any(|step| is_it(&step.kind))
}
