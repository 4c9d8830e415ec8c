//! Public errors as gRPC answers: the row's status code, the sentence, and what the command line may show beside it.

use domain::faults::{Fault, FaultCode};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// The metadata key under which a fault's stable code travels.
pub const CODE_HEADER: &str = "tollgate-code";

/// A fault as the answer of an RPC.
pub fn status(fault: &Fault) -> Status {
    let row = fault.code.row();
    let message = match &fault.param {
        Some(param) => format!("{param}: {}", fault.message),
        None => fault.message.to_string(),
    };
    let mut status = Status::new(Code::from_i32(i32::from(row.grpc)), message);
    if let Ok(code) = MetadataValue::try_from(row.code) {
        status.metadata_mut().insert(CODE_HEADER, code);
    }
    status
}

/// A field of the request that is wrong.
pub fn invalid(param: &'static str, what: impl Into<String>) -> Fault {
    Fault::new(FaultCode::InvalidRequest, what.into()).param(param)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_field_is_named() {
        let status = status(&invalid("amount", "`x` is not a decimal amount"));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "amount: `x` is not a decimal amount");
        assert_eq!(status.metadata().get(CODE_HEADER).map(|code| code.as_bytes()), Some(&b"invalid_request"[..]));
    }
}
