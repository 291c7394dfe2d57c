//! The errors of A2A, and what each is in JSON-RPC, REST and gRPC (A2A 1.0.1 section 5.4).

use http::StatusCode;

/// An error that an agent may answer a call with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallError(&'static Row);

/// Its code in JSON-RPC, its name, its reason for programs, its status of HTTP, code and name of its status of gRPC.
type Row = (i32, &'static str, &'static str, u16, u8, &'static str);

impl CallError {
    /// There is no such task.
    pub const TASK_NOT_FOUND: Self = Self(&ROWS[0]);
    /// The generation is not served.
    pub const VERSION_NOT_SUPPORTED: Self = Self(&ROWS[8]);
    /// It is no call.
    pub const INVALID_REQUEST: Self = Self(&ROWS[9]);
    /// Its parameters are none.
    pub const INVALID_PARAMS: Self = Self(&ROWS[11]);

    /// By its name, in any case, with or without `Error` at the end, or by its code.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let (code, name) = (text.parse().ok(), bare(text));
        ROWS.iter().find(|row| Some(row.0) == code || bare(row.1) == name).map(Self)
    }

    /// Its code in JSON-RPC.
    #[must_use]
    pub const fn code(self) -> i32 {
        self.0.0
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0.1
    }

    /// The word for programs in its details.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        self.0.2
    }

    /// Its status of HTTP in REST.
    #[must_use]
    pub fn http(self) -> StatusCode {
        StatusCode::from_u16(self.0.3).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Code and name of its status of gRPC.
    #[must_use]
    pub const fn grpc(self) -> (u8, &'static str) {
        (self.0.4, self.0.5)
    }
}

fn bare(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    name.strip_suffix("error").unwrap_or(&name).to_owned()
}

/// Who speaks of these reasons.
pub const CALL_ERROR_DOMAIN: &str = "a2a-protocol.org";

const PRECONDITION: &str = "FAILED_PRECONDITION";

#[rustfmt::skip]
static ROWS: [Row; 14] = [
    (-32001, "TaskNotFound", "TASK_NOT_FOUND", 404, 5, "NOT_FOUND"),
    (-32002, "TaskNotCancelable", "TASK_NOT_CANCELABLE", 400, 9, PRECONDITION),
    (-32003, "PushNotificationNotSupported", "PUSH_NOTIFICATION_NOT_SUPPORTED", 400, 9, PRECONDITION),
    (-32004, "UnsupportedOperation", "UNSUPPORTED_OPERATION", 400, 9, PRECONDITION),
    (-32005, "ContentTypeNotSupported", "CONTENT_TYPE_NOT_SUPPORTED", 400, 3, "INVALID_ARGUMENT"),
    (-32006, "InvalidAgentResponse", "INVALID_AGENT_RESPONSE", 500, 13, "INTERNAL"),
    (-32007, "ExtendedAgentCardNotConfigured", "EXTENDED_AGENT_CARD_NOT_CONFIGURED", 400, 9, PRECONDITION),
    (-32008, "ExtensionSupportRequired", "EXTENSION_SUPPORT_REQUIRED", 400, 9, PRECONDITION),
    (-32009, "VersionNotSupported", "VERSION_NOT_SUPPORTED", 400, 9, PRECONDITION),
    (-32600, "InvalidRequest", "INVALID_REQUEST", 400, 3, "INVALID_ARGUMENT"),
    (-32601, "MethodNotFound", "METHOD_NOT_FOUND", 404, 12, "UNIMPLEMENTED"),
    (-32602, "InvalidParams", "INVALID_PARAMS", 400, 3, "INVALID_ARGUMENT"),
    (-32603, "InternalError", "INTERNAL_ERROR", 500, 13, "INTERNAL"),
    (-32700, "ParseError", "PARSE_ERROR", 400, 3, "INVALID_ARGUMENT"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_known_by_name_and_code() {
        for (text, code) in [
            ("TaskNotFound", -32001),
            ("taskNotFoundError", -32001),
            ("-32001", -32001),
            ("Internal", -32603),
            ("InternalError", -32603),
            ("parseerror", -32700),
        ] {
            assert_eq!(CallError::from_text(text).map(CallError::code), Some(code), "{text}");
        }
        for (name, error) in [
            ("TaskNotFound", CallError::TASK_NOT_FOUND),
            ("VersionNotSupported", CallError::VERSION_NOT_SUPPORTED),
            ("InvalidRequest", CallError::INVALID_REQUEST),
            ("InvalidParams", CallError::INVALID_PARAMS),
        ] {
            assert_eq!(error.name(), name);
        }
        for text in ["", "Error", "404", "-32000", "TaskNotFoundErrorError"] {
            assert_eq!(CallError::from_text(text), None, "{text}");
        }
    }

    #[test]
    fn each_has_a_name_a_reason_and_a_failure_of_its_own() {
        for (index, row) in ROWS.iter().enumerate() {
            let error = CallError::from_text(row.1).unwrap();
            assert_eq!(CallError::from_text(&row.0.to_string()), Some(error));
            assert!(error.http().is_client_error() || error.http().is_server_error());
            assert!(ROWS.iter().skip(index + 1).all(|other| other.0 != row.0 && other.1 != row.1 && other.2 != row.2));
        }
    }
}
