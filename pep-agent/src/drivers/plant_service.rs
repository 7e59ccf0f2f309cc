//! Answers a plant's requests: the same for the socket and in-process.

use super::plant_protocol::{Greeting, PROTOCOL_VERSION, PlantNames, PlantReply, PlantRequest};
use power_policy::plant::{Plant, PlantError};

/// A plant, and who may command what in it. Time is the caller's.
#[derive(Debug)]
pub struct PlantService {
    plant: Plant,
    clock_scale: u32,
}

impl PlantService {
    /// Puts a service around a plant; `clock_scale` is only told to who asks.
    pub fn new(plant: Plant, clock_scale: u32) -> Self {
        PlantService { plant, clock_scale }
    }

    /// The plant.
    pub fn plant(&mut self) -> &mut Plant {
        &mut self.plant
    }

    /// Lets the plant's time pass up to `now_millis`, then answers. `agent` is who is calling, as far as it said.
    ///
    /// A `Watch` is a matter of the connection: here it only gets its `Done`.
    pub fn handle(&mut self, now_millis: u64, agent: Option<&str>, request: &PlantRequest) -> PlantReply {
        self.plant.advance(now_millis);
        match self.answer(agent, request) {
            Ok(reply) => reply,
            Err(error) => PlantReply::Refused(error.to_string()),
        }
    }

    fn answer(&mut self, agent: Option<&str>, request: &PlantRequest) -> Result<PlantReply, PlantError> {
        let plant = &mut self.plant;
        Ok(match request {
            PlantRequest::Hello { .. } => PlantReply::Greeting(Greeting {
                version: PROTOCOL_VERSION,
                clock_scale: self.clock_scale,
                now_millis: plant.now_millis(),
            }),
            PlantRequest::Names {} => PlantReply::Names(names(plant)),
            PlantRequest::DescribeServer { server } => {
                PlantReply::ServerFigures(Box::new(plant.describe_server(server)?))
            }
            PlantRequest::DescribeReserve { reserve } => {
                PlantReply::ReserveFigures(Box::new(plant.describe_reserve(reserve)?))
            }
            PlantRequest::DescribeLine { line } => {
                PlantReply::LineFigures(Box::new(plant.describe_line(line)?))
            }
            PlantRequest::ReadServer { server } => PlantReply::Server(Box::new(plant.read_server(server)?)),
            PlantRequest::ReadReserve { reserve } => {
                PlantReply::Reserve(Box::new(plant.read_reserve(reserve)?))
            }
            PlantRequest::ReadLine { line } => PlantReply::Line(Box::new(plant.read_line(line)?)),
            PlantRequest::ReadDomains {} => PlantReply::Domains(plant.read_domains()),
            PlantRequest::DeclareActivity {
                server,
                activity,
                milliwatts,
                initially_running,
            } => done(plant.declare_activity(server, activity, *milliwatts, *initially_running))?,
            PlantRequest::StartActivity { server, activity } => done(plant.start_activity(server, activity))?,
            PlantRequest::StopActivity { server, activity } => done(plant.stop_activity(server, activity))?,
            PlantRequest::SetLoad {
                server,
                activity,
                milliwatts,
            } => done(plant.set_load(server, activity, *milliwatts))?,
            PlantRequest::SetLine {
                line,
                reserve,
                server,
                milliwatts,
            } => done(plant.set_line(line, reserve, server, *milliwatts))?,
            PlantRequest::ClearLine { line } => done(plant.clear_line(line, None))?,
            PlantRequest::HaltServer { server } => done(plant.halt(server))?,
            PlantRequest::PowerOff { server } => match stranger(plant, agent, server)? {
                Some(refusal) => refusal,
                None => done(plant.power_off(server))?,
            },
            PlantRequest::StartServer { server } => match stranger(plant, agent, server)? {
                Some(refusal) => refusal,
                None => done(plant.start(server))?,
            },
            PlantRequest::FailMains { domain } => done(plant.fail_mains(domain))?,
            PlantRequest::RestoreMains { domain } => done(plant.restore_mains(domain))?,
            PlantRequest::StickLine { line, stuck } => done(plant.set_line_stuck(line, *stuck))?,
            PlantRequest::WeakenReserve { reserve, permille } => {
                done(plant.weaken_reserve(reserve, *permille))?
            }
            PlantRequest::FailReserve { reserve, failed } => {
                done(plant.set_reserve_failed(reserve, *failed))?
            }
            PlantRequest::Ledger {} => PlantReply::Ledger(Box::new(plant.ledger())),
            PlantRequest::Activities {} => PlantReply::Activities(plant.activity_reports()),
            PlantRequest::History {} => PlantReply::History(Box::new(plant.history())),
            PlantRequest::Unmanaged {} => PlantReply::Unmanaged(Box::new(plant.unmanaged()?)),
            PlantRequest::Watch { .. } => PlantReply::Done,
        })
    }
}

fn done(result: Result<(), PlantError>) -> Result<PlantReply, PlantError> {
    result.map(|()| PlantReply::Done)
}

/// The refusal, if the caller is not the server's starter: an outlet answers to one hand.
fn stranger(plant: &Plant, agent: Option<&str>, server: &str) -> Result<Option<PlantReply>, PlantError> {
    let Some(starter) = plant.describe_server(server)?.figures.starter else {
        return Err(PlantError::NoStarter(server.to_owned()));
    };
    if agent == Some(starter.as_str()) {
        return Ok(None);
    }
    let caller = agent.map_or_else(
        || "a caller without a name".to_owned(),
        |agent| format!("{agent:?}"),
    );
    Ok(Some(PlantReply::Refused(format!(
        "server {server:?} is switched by its starter {starter:?}, not by {caller}"
    ))))
}

fn names(plant: &Plant) -> PlantNames {
    PlantNames {
        domains: plant
            .read_domains()
            .iter()
            .map(|domain| domain.domain.to_string())
            .collect(),
        servers: plant.server_names().map(str::to_owned).collect(),
        reserves: plant.reserve_names().map(str::to_owned).collect(),
        lines: plant.line_names().map(str::to_owned).collect(),
    }
}
