//! A Redfish service as a rack PDU or a transfer switch has it (DSP0266, DSP2046), over TLS, with sessions.
//!
//! sushy-tools, the public emulator, has servers only: no PowerEquipment, no SessionService. This is what is missing there,
//! and it can be told to fail as devices do.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, pem::PemObject};

pub(crate) const USER: &str = "pep";
pub(crate) const PASSWORD: &str = "not-a-secret";
pub(crate) const SWITCH: &str = "/redfish/v1/PowerEquipment/TransferSwitches/1";
const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";
const MONITOR: &str = "/redfish/v1/TaskService/TaskMonitors/1";

pub(crate) fn outlet_path(outlet: &str) -> String {
    format!("/redfish/v1/PowerEquipment/RackPDUs/1/Outlets/{outlet}")
}

/// What the service is, and what was asked of it.
#[derive(Debug, Default)]
pub(crate) struct Rack {
    /// PowerState of each outlet.
    pub(crate) outlets: BTreeMap<&'static str, Value>,
    /// Outlets that do not follow.
    pub(crate) stuck: BTreeSet<&'static str>,
    /// Outlets whose power control is locked.
    pub(crate) locked: BTreeSet<&'static str>,
    /// How often a task says that it runs; `None`: actions are done at once.
    pub(crate) task_looks: Option<u32>,
    /// How the task ends.
    pub(crate) task_fails: bool,
    /// ActiveMainsId.
    pub(crate) mains: &'static str,
    pub(crate) closed_transition: bool,
    /// Whether the switch stays where it is.
    pub(crate) mains_stuck: bool,
    /// Sessions that are open.
    pub(crate) sessions: BTreeSet<String>,
    /// Sessions that were ever opened.
    pub(crate) logins: u32,
    /// Connections that were accepted.
    pub(crate) connections: u32,
    /// Actions that were posted, with what they said.
    pub(crate) posted: Vec<(String, Value)>,
}

/// The service; it ends with the runtime of its test.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) rack: Arc<Mutex<Rack>>,
}

impl Service {
    /// Starts it, and writes its certificate and the files of a login into a folder.
    pub(crate) async fn start(folder: &Path, rack: Rack) -> Self {
        write_certificate(folder);
        secret(&folder.join("password"), PASSWORD);
        let certificate = fs::read(folder.join("cert.pem")).unwrap();
        let key = fs::read(folder.join("key.pem")).unwrap();
        let chain = vec![PemObject::from_pem_slice(&certificate).unwrap()];
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::from_pem_slice(&key).unwrap())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let rack = Arc::new(Mutex::new(rack));
        let shared = Arc::clone(&rack);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, rack) = (acceptor.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    // A client that does not like the certificate is gone.
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    rack.lock().unwrap().connections += 1;
                    let service = service_fn(move |request| answer(Arc::clone(&rack), request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, rack }
    }

    pub(crate) fn rack(&self) -> std::sync::MutexGuard<'_, Rack> {
        self.rack.lock().unwrap()
    }
}

/// A certificate for this machine that has certified itself, as devices have, and its key.
pub(crate) fn write_certificate(folder: &Path) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    secret(&folder.join("key.pem"), &signing_key.serialize_pem());
}

pub(crate) fn secret(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

async fn answer(
    rack: Arc<Mutex<Rack>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let octets = body.collect().await.unwrap().to_bytes();
    let form: Value = serde_json::from_slice(&octets).unwrap_or(Value::Null);
    let token = head
        .headers
        .get("x-auth-token")
        .and_then(|token| token.to_str().ok());
    Ok(rack
        .lock()
        .unwrap()
        .answer(&head.method, head.uri.path(), token, form))
}

fn say(status: StatusCode, body: Value) -> Response<Full<Bytes>> {
    let octets = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let mut response = Response::new(Full::new(Bytes::from(octets)));
    *response.status_mut() = status;
    response
}

fn error(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    say(
        status,
        json!({ "error": { "@Message.ExtendedInfo": [{ "Message": message }] } }),
    )
}

impl Rack {
    fn answer(
        &mut self,
        method: &Method,
        path: &str,
        token: Option<&str>,
        form: Value,
    ) -> Response<Full<Bytes>> {
        if path == SESSIONS && method == Method::POST {
            if form != json!({ "UserName": USER, "Password": PASSWORD }) {
                return error(StatusCode::UNAUTHORIZED, "wrong user or password");
            }
            self.logins += 1;
            let token = format!("token-{}", self.logins);
            self.sessions.insert(token.clone());
            let mut response = say(StatusCode::CREATED, json!({ "Id": token }));
            let headers = response.headers_mut();
            headers.insert("x-auth-token", token.parse().unwrap());
            headers.insert(
                "location",
                format!("https://pdu{SESSIONS}/{token}").parse().unwrap(),
            );
            return response;
        }
        if !token.is_some_and(|token| self.sessions.contains(token)) {
            return error(StatusCode::UNAUTHORIZED, "no session");
        }
        if let Some(session) = path.strip_prefix(&format!("{SESSIONS}/")) {
            self.sessions.remove(session);
            return say(StatusCode::NO_CONTENT, Value::Null);
        }
        if path == MONITOR {
            return self.monitor();
        }
        if path.starts_with(SWITCH) {
            return self.switch(method, path, form);
        }
        let known: Vec<&'static str> = self.outlets.keys().copied().collect();
        let outlet = known
            .into_iter()
            .find(|name| path == outlet_path(name) || path.starts_with(&(outlet_path(name) + "/")));
        match outlet {
            Some(outlet) => self.outlet(outlet, method, path, form),
            None => error(StatusCode::NOT_FOUND, "no such resource"),
        }
    }

    fn monitor(&mut self) -> Response<Full<Bytes>> {
        match self.task_looks {
            Some(left) if left > 0 => {
                self.task_looks = Some(left - 1);
                say(StatusCode::ACCEPTED, json!({ "TaskState": "Running" }))
            }
            _ if self.task_fails => say(
                StatusCode::OK,
                json!({ "TaskState": "Exception", "Messages": [{ "Message": "the relay is welded" }] }),
            ),
            _ => say(StatusCode::NO_CONTENT, Value::Null),
        }
    }

    fn done(&self) -> Response<Full<Bytes>> {
        if self.task_looks.is_none() {
            return say(StatusCode::NO_CONTENT, Value::Null);
        }
        let mut response = say(StatusCode::ACCEPTED, Value::Null);
        response
            .headers_mut()
            .insert("location", MONITOR.parse().unwrap());
        response
    }

    fn outlet(
        &mut self,
        outlet: &'static str,
        method: &Method,
        path: &str,
        form: Value,
    ) -> Response<Full<Bytes>> {
        let action = format!("{}/Actions/Outlet.PowerControl", outlet_path(outlet));
        if method == Method::GET {
            return say(
                StatusCode::OK,
                json!({
                    "Id": outlet, "PowerState": self.outlets[outlet],
                    "PowerControlLocked": self.locked.contains(outlet),
                    "Actions": { "#Outlet.PowerControl": { "target": action } },
                }),
            );
        }
        if path != action {
            return error(StatusCode::METHOD_NOT_ALLOWED, "not that");
        }
        self.posted.push((action, form.clone()));
        if !self.stuck.contains(outlet) {
            self.outlets.insert(outlet, form["PowerState"].clone());
        }
        self.done()
    }

    fn switch(&mut self, method: &Method, path: &str, form: Value) -> Response<Full<Bytes>> {
        let action = format!("{SWITCH}/Actions/PowerDistribution.TransferControl");
        if method == Method::GET {
            return say(
                StatusCode::OK,
                json!({
                    "Id": "1", "EquipmentType": "AutomaticTransferSwitch",
                    "TransferConfiguration": {
                        "ActiveMainsId": self.mains, "ClosedTransitionAllowed": self.closed_transition,
                    },
                    "Actions": { "#PowerDistribution.TransferControl": { "target": action } },
                }),
            );
        }
        if path != action {
            return error(StatusCode::METHOD_NOT_ALLOWED, "not that");
        }
        self.posted.push((action, form.clone()));
        if !self.mains_stuck {
            self.mains = match form["TransferTo"].as_str() {
                Some("A") => "A",
                Some("B") => "B",
                Some("C") => "C",
                _ => return error(StatusCode::BAD_REQUEST, "no such mains"),
            };
        }
        self.done()
    }
}
