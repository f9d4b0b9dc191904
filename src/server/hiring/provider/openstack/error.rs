//! What the refusals of OpenStack's services mean.

use serde_json::Value;

use crate::server::hiring::provider::wire::Reply;
use crate::server::hiring::provider::{ErrorClass, ProviderError};

/// The error of an answer that is no success.
pub(super) fn of_reply(reply: &Reply) -> ProviderError {
    let words = words_of(&reply.body);
    reply.error(class_of(reply.status.as_u16(), &words, reply.is_transient()), &words)
}

/// What a machine in the state ERROR died of.
pub(super) fn of_fault(machine: &str, message: &str) -> ProviderError {
    let class = if has_any(message, &["no valid host", "insufficient", "not enough", "exhausted"]) {
        ErrorClass::Capacity
    } else if has_any(message, &["quota"]) {
        ErrorClass::Quota
    } else {
        ErrorClass::Transient
    };
    let message = if message.is_empty() { "no reason given" } else { message };
    ProviderError::new(class, format!("machine `{machine}` came up in the state ERROR: {message}"))
}

/// What the service says in its own words. Each service wraps it in another way.
fn words_of(body: &Value) -> String {
    match body {
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let inner = fields.values().find_map(|value| value.get("message")?.as_str());
            let own = fields.get("message").and_then(Value::as_str);
            let nested = fields.values().find_map(Value::as_str);
            inner.or(own).or(nested).unwrap_or_default().to_owned()
        }
        _ => String::new(),
    }
}

fn class_of(status: u16, words: &str, is_transient: bool) -> ErrorClass {
    let is_quota = has_any(words, &["quota", "exceeded the maximum", "limit exceeded"]);
    match status {
        403 | 409 | 413 if is_quota => ErrorClass::Quota,
        401 | 403 => ErrorClass::Authentication,
        // Something else is being done to the same thing, or a rate limit of older versions.
        409 | 413 => ErrorClass::Transient,
        _ if is_transient && has_any(words, &["no valid host"]) => ErrorClass::Capacity,
        _ if is_transient => ErrorClass::Transient,
        _ => ErrorClass::Unsupported,
    }
}

fn has_any(text: &str, parts: &[&str]) -> bool {
    let text = text.to_lowercase();
    parts.iter().any(|part| text.contains(part))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_service_is_understood() {
        for (body, expected) in [
            (json!({"forbidden": {"code": 403, "message": "Quota exceeded"}}), "Quota exceeded"),
            (json!({"error": {"code": 401, "message": "Wrong", "title": "Unauthorized"}}), "Wrong"),
            (json!({"NeutronError": {"type": "T", "message": "No more", "detail": ""}}), "No more"),
            (json!({"message": "plain"}), "plain"),
            (json!("502 Bad Gateway"), "502 Bad Gateway"),
            (Value::Null, ""),
        ] {
            assert_eq!(words_of(&body), expected);
        }
    }

    #[test]
    fn a_refusal_has_its_class() {
        let quota = "Quota exceeded for cores: Requested 2, but already used 0 of 1 cores";
        assert_eq!(class_of(403, quota, false), ErrorClass::Quota);
        assert_eq!(class_of(403, "Policy does not allow it", false), ErrorClass::Authentication);
        assert_eq!(
            class_of(409, "Cannot 'delete' while it is building", false),
            ErrorClass::Transient
        );
        assert_eq!(class_of(400, "Flavor's disk is too small", false), ErrorClass::Unsupported);
        assert_eq!(class_of(503, "", true), ErrorClass::Transient);
        assert_eq!(of_fault("w", "No valid host was found. ").class, ErrorClass::Capacity);
        assert_eq!(of_fault("w", "Build aborted: disk broke").class, ErrorClass::Transient);
    }
}
