//! One SNMP agent: a PDU, a transfer switch.

use std::path::PathBuf;
use std::time::Duration;

use async_snmp::transport::UdpHandle;
use async_snmp::{Auth, AuthProtocol, Client, Oid, PrivProtocol, Retry, UsmConfig, Value};
use tokio::time::timeout;

use crate::drivers::secret_file::{SecretError, read_secret};
use crate::limits::{SNMP_ANSWER_MILLIS, SNMP_TRIES};

/// Where a device is, and as whom it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnmpDevice {
    /// `host:port`.
    pub address: String,
    /// As whom.
    pub access: SnmpAccess,
}

/// What a device knows the agent by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnmpAccess {
    /// SNMPv2c: a community, in a file. It goes over the wire in plain.
    Community(PathBuf),
    /// SNMPv3 with the User-based Security Model.
    Usm(UsmAccess),
}

/// A user of USM (RFC 3414).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsmAccess {
    /// Its name.
    pub user: String,
    /// How it is authenticated, with the file of the password.
    pub authentication: (AuthProtocol, PathBuf),
    /// How what is said is encrypted, with the file of the password; `None`: it is not.
    pub privacy: Option<(PrivProtocol, PathBuf)>,
    /// The context; empty: the default one.
    pub context: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum SnmpError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("{0}")]
    Usm(String),
    #[error("no answer within {} s", SNMP_ANSWER_MILLIS / 1_000)]
    Silent,
    #[error("{0}")]
    Client(#[from] Box<async_snmp::Error>),
    #[error("it has no object {0}")]
    Missing(Oid),
    #[error("object {oid} is {found}, expected an INTEGER")]
    Type { oid: Oid, found: String },
    #[error("its answer is not about object {0}")]
    Shape(Oid),
}

/// A device that is asked. Connects when it is first asked; after an error anew, with the secrets read anew.
pub(super) struct Asked {
    device: SnmpDevice,
    client: Option<Client<UdpHandle>>,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The client knows the secrets.
        f.debug_struct("Asked")
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

impl SnmpAccess {
    fn auth(&self) -> Result<Auth, SnmpError> {
        let usm = match self {
            Self::Community(file) => return Ok(Auth::v2c(read_secret(file)?)),
            Self::Usm(usm) => usm,
        };
        let config = UsmConfig::new(usm.user.clone()).context_name(usm.context.clone());
        let (protocol, password) = (usm.authentication.0, read_secret(&usm.authentication.1)?);
        let config = match &usm.privacy {
            None => config.auth(protocol, password),
            Some((privacy, file)) => config.auth_priv(protocol, password, *privacy, read_secret(file)?),
        };
        Ok(config.map_err(|error| SnmpError::Usm(error.to_string()))?.into())
    }
}

impl Asked {
    pub(super) fn new(device: SnmpDevice) -> Self {
        Self { device, client: None }
    }

    pub(super) fn address(&self) -> &str {
        &self.device.address
    }

    /// An answer to a question, within the time of an answer, retries and all.
    async fn ask(
        &mut self,
        question: impl AsyncFnOnce(&Client<UdpHandle>) -> Result<Value, SnmpError>,
    ) -> Result<Value, SnmpError> {
        let limit = Duration::from_millis(SNMP_ANSWER_MILLIS);
        let ask = async {
            // Taken out: a client that failed is not used again.
            let client = match self.client.take() {
                Some(client) => client,
                None => connect(&self.device).await?,
            };
            let answer = question(&client).await;
            if matches!(
                answer,
                Ok(_) | Err(SnmpError::Missing(_) | SnmpError::Type { .. })
            ) {
                self.client = Some(client);
            }
            answer
        };
        timeout(limit, ask).await.unwrap_or(Err(SnmpError::Silent))
    }

    /// The INTEGER that an object holds.
    pub(super) async fn get(&mut self, oid: &Oid) -> Result<i32, SnmpError> {
        let value = self
            .ask(async |client| {
                let response = client.get(oid).await?;
                single(oid, response.varbinds)
            })
            .await?;
        value.as_i32().ok_or_else(|| SnmpError::Type {
            oid: oid.clone(),
            found: value.to_string(),
        })
    }

    /// Sets an object to an INTEGER.
    pub(super) async fn set(&mut self, oid: &Oid, value: i32) -> Result<(), SnmpError> {
        self.ask(async |client| {
            let response = client.set(oid, Value::Integer(value)).await?;
            single(oid, response.varbinds)
        })
        .await
        .map(|_| ())
    }
}

async fn connect(device: &SnmpDevice) -> Result<Client<UdpHandle>, SnmpError> {
    let auth = device.access.auth()?;
    let each = Duration::from_millis(SNMP_ANSWER_MILLIS / u64::from(SNMP_TRIES));
    // The count is a small constant, and there is no delay to be invalid.
    let retry = Retry::fixed(SNMP_TRIES - 1, Duration::ZERO).unwrap_or_default();
    Ok(Client::builder(device.address.as_str(), auth)
        .request_timeout(each)
        .retry(retry)
        .connect()
        .await?)
}

/// The one binding of a response, if it is of the object that was asked for.
fn single(oid: &Oid, varbinds: Vec<async_snmp::VarBind>) -> Result<Value, SnmpError> {
    let [varbind] =
        <[async_snmp::VarBind; 1]>::try_from(varbinds).map_err(|_| SnmpError::Shape(oid.clone()))?;
    if varbind.oid != *oid {
        return Err(SnmpError::Shape(oid.clone()));
    }
    if varbind.value.is_exception() {
        return Err(SnmpError::Missing(oid.clone()));
    }
    Ok(varbind.value)
}
