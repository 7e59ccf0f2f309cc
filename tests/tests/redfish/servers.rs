//! Servers behind a board controller: sushy-tools' emulator with its fake driver, over TLS 1.2 and with HTTP Basic, as it
//! has neither newer TLS nor sessions; real controllers of that kind are common.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use pep_agent::drivers::HostDriver;
use pep_agent::drivers::redfish::{RedfishHost, RedfishService};
use pep_agent::engine::ActionOutcome;
use pep_agent::engine::facts::Role;
use pep_agent::io::config::AgentConfig;
use power_policy::model::Powered;
use power_policy::plan::HostState;
use system_tests::process::Program;

use crate::rack::{PASSWORD, USER, secret, write_certificate};

const EMULATOR: &str = "sushy-emulator";
const READY_WITHIN: Duration = Duration::from_secs(30);
const SYSTEM: &str = "27946b59-9e44-4fa7-8e91-f3527a1ef094";
/// bcrypt of the password: the only digest that the emulator reads.
const PASSWORD_DIGEST: &str = "$2b$04$bNC6oKnRWmW2ytLpvmUJEe/y4jHTVtQxUpHAgEqI5nXBDTF7LtF1u";

/// `tests/deps.sh` installs it below `target/tools`, unless it is on the PATH.
fn emulator() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/tools/sushy-tools/bin")
        .join(EMULATOR);
    if own.is_file() { own } else { EMULATOR.into() }
}

struct Controller {
    _program: Program,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Controller {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        write_certificate(here);
        secret(&here.join("password"), PASSWORD);
        fs::write(here.join("users"), format!("{USER}:{PASSWORD_DIGEST}\n")).unwrap();
        fs::create_dir(here.join("state")).unwrap();
        fs::write(
            here.join("emulator.conf"),
            format!(
                "SUSHY_EMULATOR_AUTH_FILE = {:?}\nSUSHY_EMULATOR_STATE_DIR = {:?}\nSUSHY_EMULATOR_FAKE_DRIVER = True\n",
                here.join("users"),
                here.join("state")
            ),
        )
        .unwrap();
        let mut failures = Vec::new();
        for _ in 0..5 {
            // It cannot say which port it got, so it is told one that was free a moment ago.
            let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .unwrap()
                .local_addr()
                .unwrap();
            let mut command = Command::new(emulator());
            command
                .arg("--config")
                .arg(here.join("emulator.conf"))
                .args([
                    "--interface",
                    "127.0.0.1",
                    "--port",
                    &address.port().to_string(),
                    "--fake",
                ])
                .arg("--ssl-certificate")
                .arg(here.join("cert.pem"))
                .arg("--ssl-key")
                .arg(here.join("key.pem"));
            let mut program = Program::start(EMULATOR, &mut command, &here.join("log")).unwrap();
            let listens = || std::net::TcpStream::connect(address).is_ok();
            match program.wait_until("it listens", READY_WITHIN, listens) {
                Ok(()) => {
                    return Self {
                        _program: program,
                        address,
                        folder,
                    };
                }
                Err(error) => failures.push(error),
            }
        }
        panic!("{failures:?}")
    }

    fn host(&self, system: &str) -> RedfishHost {
        let text = format!(
            r#"
[agent]
name = "rack-1"
state_dir = "state"
[pdp]
address = "127.0.0.1:3288"
[[server]]
name = "s2"
driver = "redfish"
role = "witness"
url = "https://{}"
resource = "/redfish/v1/Systems/{system}"
authorities = "cert.pem"
user = "{USER}"
password_file = "password"
idle_watts = 100
peak_watts = 300
inlets = [{{ domain = "feedA", max_watts = 500 }}]
"#,
            self.address
        );
        let config = AgentConfig::from_text(&self.folder.path().join("agent.toml"), &text).unwrap();
        let (access, path) = config.servers[0].redfish.clone().unwrap();
        let service = Rc::new(RedfishService::new(access));
        RedfishHost::new(service, path, Role::Witness, Duration::from_secs(60))
    }
}

#[tokio::test]
async fn a_server_is_switched_on_and_shut_down_and_seen() {
    let controller = Controller::start();
    let mut host = controller.host(SYSTEM);
    assert_eq!(host.read().await.unwrap().server.powered, Powered::OffSeen);
    assert_eq!(host.set(HostState::On).await, ActionOutcome::Done(String::new()));
    assert_eq!(host.read().await.unwrap().server.powered, Powered::On);
    assert_eq!(
        host.set(HostState::On).await,
        ActionOutcome::Done("so already".to_owned())
    );
    assert_eq!(host.set(HostState::Off).await, ActionOutcome::Done(String::new()));
    assert_eq!(host.read().await.unwrap().server.powered, Powered::OffSeen);

    let missing = controller.host("another").read().await.unwrap_err().0;
    assert!(missing.contains("404"), "{missing}");
    secret(&controller.folder.path().join("password"), "something-else");
    let refused = controller.host(SYSTEM).read().await.unwrap_err().0;
    assert!(
        refused.contains("401") && !refused.contains("something-else"),
        "{refused}"
    );
}
