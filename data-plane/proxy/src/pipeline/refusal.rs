//! A fault on its way to the client, with words that are not ours: a provider's own code, or the flaw of a body.
//! Never carries an internal cause.

use std::borrow::Cow;

use codec::{BodyFault, UpstreamError};
use domain::faults::{Fault, FaultCode};

/// Why a request ends in an error.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub fault: Fault,
    /// In place of the row's code.
    pub code: Option<Cow<'static, str>>,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        Refusal { fault, code: None }
    }
}

impl From<BodyFault> for Refusal {
    fn from(flaw: BodyFault) -> Refusal {
        let mut fault = Fault::new(FaultCode::InvalidRequest, flaw.message);
        fault.param = flaw.param.map(Cow::Owned);
        Refusal { fault, code: Some(Cow::Borrowed(flaw.kind.code())) }
    }
}

impl Refusal {
    /// A fault with its message.
    pub fn new(code: FaultCode, message: impl Into<Cow<'static, str>>) -> Refusal {
        Fault::new(code, message).into()
    }

    /// A provider's own refusal of the request as it is, passed on with its words; the type stays one of ours.
    pub fn of_provider(status: u16, error: UpstreamError) -> Refusal {
        let message = match error.message.is_empty() {
            true => Cow::Borrowed("The provider refused the request."),
            false => Cow::Owned(error.message),
        };
        let mut fault = Fault::new(FaultCode::ProviderRefused, message).status(status);
        fault.param = error.param.map(Cow::Owned);
        Refusal { fault, code: error.code.map(Cow::Owned) }
    }

    /// A provider's error within a stream, passed on with its words. That it is overloaded is told apart: families have a
    /// type of its own for that.
    pub fn within_stream(error: UpstreamError) -> Refusal {
        const OVERLOADED: u16 = 529;
        let is_overloaded = matches!(error.status, Some(503 | OVERLOADED))
            || error.kind.as_deref().is_some_and(|kind| matches!(kind, "overloaded_error" | "UNAVAILABLE"));
        let message = match error.message.is_empty() {
            true => Cow::Borrowed("The provider failed in mid-stream."),
            false => Cow::Owned(error.message),
        };
        let fault = Fault::new(FaultCode::StreamCut, message);
        Refusal { fault: if is_overloaded { fault.status(OVERLOADED) } else { fault }, code: None }
    }

    /// The code as the client sees it.
    pub fn code(&self) -> &str {
        self.code.as_deref().unwrap_or(self.fault.code.row().code)
    }

    /// The type as the client sees it.
    pub fn kind(&self) -> &'static str {
        self.fault.code.row().kind
    }
}
