//! What can go wrong in this plane. A caller sees a `Fault`; what is behind it is logged here, once.

use domain::faults::{Fault, FaultCode};

use crate::fault;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Said to the caller as it is.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Files, sockets, sealing.
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    /// Settings that contradict each other, or a start that cannot be.
    #[error("{0}")]
    Start(String),
    /// A server that ended.
    #[error("serve {what}")]
    Serve { what: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
}

/// What the rooms of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The public face of this error.
    fn fault(self) -> Fault {
        match self {
            Error::Fault(fault) => fault,
            Error::Store(store::Error::NotFound { what }) => {
                Fault::new(FaultCode::NotFound, format!("there is no such {what}"))
            }
            Error::Store(store::Error::Conflict { what }) => {
                Fault::new(FaultCode::Conflict, format!("{what}: it exists already, is in use, or changed meanwhile"))
            }
            Error::Store(error) if error.may_retry() => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the database did not answer in time");
                Fault::new(FaultCode::ControlPlaneUnavailable, "the database is busy or away: try again")
            }
            other => {
                tracing::error!(error = &other as &dyn std::error::Error, "a call failed inside the controller");
                Fault::new(FaultCode::Internal, "the controller failed; its log says why")
            }
        }
    }
}

/// An error with its causes in one line, each said once.
pub fn in_one_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let text = deeper.to_string();
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        cause = deeper.source();
    }
    line.replace('\n', " ")
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> tonic::Status {
        fault::status(&error.fault())
    }
}
